"""The noise spectra that stages 10 and 11 show."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from vlasscube.recipe import GATHER
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

        return noise_spectrum(title, frequencies, rejected, rms_jy)

    return site.figure(
        name,
        [site.keys(GATHER), *(site.keys("make_cutout_images", plane=label) for label in rms_jy)],
        f"{title} against frequency, for Stokes I, Q, U and V of {len(states)} planes.",
        f"{title} against frequency. Grey: system equivalent flux density of the receivers, scaled to the planes.",
        draw,
    )
