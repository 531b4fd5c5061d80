"""The noise spectra that stages 10 and 11 show."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from vlasscube.polarization.sefd import FREQUENCY_RANGE_HZ, sefd_jy, sefd_scale
from vlasscube.recipe import GATHER
from vlasscube.records import STOKES
from vlasscube.weblog.site import FigureLink, Site

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def noise_figure(
    site: Site, name: str, title: str, rms_jy: Mapping[str, Mapping[str, float | None]]
) -> FigureLink:
    """Noise against frequency; planes count as kept or rejected as far as that is decided."""
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
        expected = (grid, scale * sefd_jy(grid)) if scale is not None else None
        return noise_spectrum(title, frequencies, rejected, rms_jy, expected)

    return site.figure(
        name,
        [site.keys(GATHER), *(site.keys("make_cutout_images", plane=label) for label in rms_jy)],
        f"{title} against frequency, for Stokes I, Q, U and V of {len(states)} planes.",
        f"{title} against frequency. Grey: system equivalent flux density of the receivers, scaled to Q, U "
        "and V of the planes that are not rejected.",
        draw,
    )
