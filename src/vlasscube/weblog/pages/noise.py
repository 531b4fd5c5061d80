"""The noise spectra that stages 10 and 11 show."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from vlasscube.polarization.sefd import ReceiverNoise
from vlasscube.recipe import ANALYZE_STOKES_CUBES, GATHER_PLANES, MAKE_CUTOUT_IMAGES
from vlasscube.results.types import StokesAnalysis, is_noise_unexpected
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

    The noise of the receivers is there once stage 11 has scaled it to all planes.
    """
    states = [state for state in site.run.plane_states() if state.label in rms_jy]
    rejected = {state.label for state in states if state.outcome == "rejected"}
    frequencies = {state.label: state.frequency_hz for state in states}
    expected = {state.label: _expected_jy(site, state.label, corrected=corrected) for state in states}
    analysis = site.run.result(ANALYZE_STOKES_CUBES)
    receivers = None
    if analysis is not None:
        receivers = analysis.receivers_by_rms if corrected else analysis.receivers_by_image

    def draw() -> Figure:
        from vlasscube.weblog.figures import noise_spectrum

        return noise_spectrum(title, frequencies, rejected, rms_jy, expected, receivers)

    return site.figure(
        name,
        [
            site.keys(GATHER_PLANES, ANALYZE_STOKES_CUBES),
            *(site.keys(MAKE_CUTOUT_IMAGES, plane=label) for label in rms_jy),
        ],
        f"{title} against frequency, for Stokes I, Q, U and V of {len(states)} planes.",
        f"{title} against frequency. "
        + _expected_caption(expected, corrected=corrected)
        + _receivers_caption(analysis, receivers),
        draw,
    )


def _expected_jy(site: Site, label: str, *, corrected: bool) -> float | None:
    cutout = site.run.result(MAKE_CUTOUT_IMAGES, label)
    if cutout is None:
        return None
    return cutout.expected_corrected_noise_jy if corrected else cutout.expected_noise_jy


def _expected_caption(expected: Mapping[str, float | None], *, corrected: bool) -> str:
    if all(noise is None for noise in expected.values()):
        return "The noise expected from the weights of the data is not recorded. "
    return "Black: expected from the weights of the data" + (_OF_RMS_IMAGES if corrected else ". ")


def _receivers_caption(analysis: StokesAnalysis | None, receivers: ReceiverNoise | None) -> str:
    if receivers is not None:
        return (
            "Grey: system equivalent flux density of the receivers, scaled to Q, U and V of the planes "
            "that are not rejected."
        )
    if analysis is None:
        return "The system equivalent flux density of the receivers is shown once stage 11 is done."
    return "The system equivalent flux density of the receivers, scaled to the planes, is not recorded."
