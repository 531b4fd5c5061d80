"""The noise spectra that stages 10 and 11 show."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from vlasscube.polarization.sefd import FREQUENCY_RANGE_HZ, sefd_jy, sefd_scale
from vlasscube.recipe import GATHER
from vlasscube.records import STOKES
from vlasscube.results.types import CutoutResult, is_noise_unexpected
from vlasscube.weblog import formats
from vlasscube.weblog.shading import Cell
from vlasscube.weblog.site import FigureLink, Site

if TYPE_CHECKING:
    from matplotlib.figure import Figure


_OF_RMS_IMAGES = (
    " and the median response of the primary beam; rms images whose boxes of 60″ are only a few beams wide, "
    "or that lack the edge of the mosaic, fall short of it. "
)


def ratio_cell(stokes: str, ratio: float | None) -> Cell:
    """Measured over expected noise, shaded if it is out of bounds."""
    unexpected = ratio is not None and is_noise_unexpected(stokes, ratio)
    return Cell(formats.fixed(ratio), 4 if unexpected else 0, "out of bounds" if unexpected else "")


def noise_figure(
    site: Site,
    name: str,
    title: str,
    rms_jy: Mapping[str, Mapping[str, float | None]],
    *,
    corrected: bool,
) -> FigureLink:
    """Noise against frequency; planes count as kept or rejected as far as that is decided.

    The noise that the weights let expect grows by the primary-beam correction, by as much as the median over
    the cutout does.
    """
    states = [state for state in site.run.plane_states() if state.label in rms_jy]
    rejected = {state.label for state in states if state.outcome == "rejected"}
    frequencies = {state.label: state.frequency_hz for state in states}

    def draw() -> Figure:
        from vlasscube.weblog.figures import noise_spectrum

        kept = [label for label in frequencies if label not in rejected]
        scale = sefd_scale(
            [frequencies[label] for label in kept],
            {stokes: [rms_jy[label].get(stokes) for label in kept] for stokes in STOKES},
        )
        grid = np.linspace(*FREQUENCY_RANGE_HZ, 200)
        sefd = (grid, scale * sefd_jy(grid)) if scale is not None else None
        return noise_spectrum(title, frequencies, rejected, rms_jy, expected, sefd)

    def expected_jy(label: str) -> float | None:
        images = site.run.images(label)
        cutout = site.run.result(CutoutResult, "make_cutout_images", label)
        response = 1.0 if not corrected else cutout.pb.median if cutout else None
        noise = images.expected_noise_jy if images else None
        return noise / response if noise is not None and response else None

    expected = {state.label: expected_jy(state.label) for state in states}
    return site.figure(
        name,
        [site.keys(GATHER), *(site.keys("make_cutout_images", plane=label) for label in rms_jy)],
        f"{title} against frequency, for Stokes I, Q, U and V of {len(states)} planes.",
        f"{title} against frequency. Black: expected from the weights of the data"
        + (_OF_RMS_IMAGES if corrected else ". ")
        + "Grey: system equivalent flux density of the receivers, scaled to Q, U and V of the planes that "
        "are not rejected.",
        draw,
    )
