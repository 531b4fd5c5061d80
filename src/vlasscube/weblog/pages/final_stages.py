"""Pages of stages 11 and 12, which look at all planes together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vlasscube.polarization.records import DerivedStokes, PointSourceStokes, RegionSpectrum, StokesMeasurement
from vlasscube.recipe import ANALYZE_STOKES_CUBES, EXPORT_VLASS_DATA
from vlasscube.results.types import ProductFile
from vlasscube.weblog import formats
from vlasscube.weblog.pages.noise import noise_figure
from vlasscube.weblog.shading import Cell, above, below
from vlasscube.weblog.shown_images import CUBE
from vlasscube.weblog.site import FigureLink, Site

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SNR_LIMITS = (10.0, 7.5, 5.0, 3.0)
RESIDUAL_PERCENT_LIMITS = (5.0, 10.0, 20.0, 30.0)
LEAST_FREQUENCY_OFFSET_HZ = 0.5e6
"""Effective frequencies this near to those of the planes are not shown."""

_TITLES = {
    "peak_stokesi": "Peak of Stokes I",
    "peak_linpolint": "Peak of the linearly polarised intensity",
}


@dataclass(frozen=True)
class FluxCells:
    """What a power law and the noise say of a value."""

    snr: Cell
    model: str
    residual: str
    residual_percent: Cell


@dataclass(frozen=True)
class SpectrumRow:
    """A plane in the tables of a region."""

    measurement: StokesMeasurement
    mean: FluxCells
    """Of the mean in the box."""
    point_source: FluxCells | None
    """Of the value of a point source; None: not recorded, or the box is on the flank of the beam."""


@dataclass(frozen=True)
class Spectrum:
    """A region at one resolution."""

    resolution: str
    region: RegionSpectrum
    rows: list[SpectrumRow]
    viewer: str
    """Link to the position in the viewer, ``''`` without pictures."""
    u_vs_q: FigureLink
    flux: FigureLink
    polarization: FigureLink | None
    """None without values of a point source."""
    has_point_source: bool
    has_effective_frequencies: bool
    """Whether they differ visibly from those of the planes."""


@dataclass(frozen=True)
class Region:
    """A position, measured at native and at common resolution."""

    title: str
    spectra: list[Spectrum]


def analyze_stokes_cubes(site: Site) -> dict[str, Any]:
    """Stokes spectra at the two peaks, native and common resolution side by side."""
    result = site.run.result(ANALYZE_STOKES_CUBES)
    if result is None:
        return {"result": None}
    regions = []
    for name, title in _TITLES.items():
        named = {
            "native resolution": [r for r in result.native if r.name == name],
            "common resolution": [r for r in result.common if r.name == name],
        }
        both = [region for found in named.values() for region in found]
        spectra = [_spectrum(site, kind, region, both) for kind, found in named.items() for region in found]
        if spectra:
            regions.append(Region(title, spectra))
    return {
        "result": result,
        "regions": regions,
        "beam_means": _beam_means(result.native),
        "noise": noise_figure(
            site, "rms-median", "Median of the rms image", result.rms_median, corrected=True
        ),
    }


def _beam_means(native: Sequence[RegionSpectrum]) -> list[StokesMeasurement]:
    """Measurements of the lowest and the highest frequency, whose means in the box differ most."""
    measured = [m for m in native[0].measurements if m.point_source is not None] if native else []
    measured.sort(key=lambda m: m.frequency_hz)
    return [measured[0], measured[-1]] if len(measured) > 1 else []


def _spectrum(
    site: Site, resolution: str, region: RegionSpectrum, both: Sequence[RegionSpectrum]
) -> Spectrum:
    short = resolution.split(maxsplit=1)[0]
    title = _TITLES[region.name]
    where = f"{title[0].lower()}{title[1:]}, {resolution}"

    def draw_u_vs_q() -> Figure:
        from vlasscube.weblog.figures import shared_fraction_limit, stokes_u_vs_q

        return stokes_u_vs_q(region, resolution.capitalize(), shared_fraction_limit(both))

    def draw_polarization() -> Figure:
        from vlasscube.weblog.figures import polarization_spectrum

        return polarization_spectrum(region, resolution.capitalize())

    def draw_flux() -> Figure:
        from vlasscube.weblog.figures import flux_spectrum, shared_flux_limits

        return flux_spectrum(region, resolution.capitalize(), shared_flux_limits(both))

    key = site.keys(ANALYZE_STOKES_CUBES)
    has_point_source = any(m.point_source is not None for m in region.measurements)
    bars = "; bars: noise" if has_point_source else ""
    return Spectrum(
        resolution=resolution,
        region=region,
        rows=[_row(measurement) for measurement in region.measurements],
        viewer=_viewer_link(site, region),
        u_vs_q=site.figure(
            f"stokes-{region.name}-{short}-u-vs-q",
            key,
            f"U/I against Q/I of {len(region.measurements)} planes, {where}.",
            f"U/I against Q/I, {where}{bars}.",
            draw_u_vs_q,
        ),
        flux=site.figure(
            f"stokes-{region.name}-{short}-flux",
            key,
            f"Stokes I against frequency of {len(region.measurements)} planes, {where}.",
            f"Stokes I against frequency, {where}; "
            + ("bars: noise; crosses: 3 × 3 means as they are." if has_point_source else "bars: local rms."),
            draw_flux,
        ),
        polarization=site.figure(
            f"stokes-{region.name}-{short}-polarization",
            key,
            f"Polarised intensity and angle against λ² of {len(region.measurements)} planes, {where}.",
            f"Polarised intensity, free of the noise bias, and position angle against λ², {where}{bars}.",
            draw_polarization,
        )
        if has_point_source
        else None,
        has_point_source=has_point_source,
        has_effective_frequencies=any(
            abs(m.fit_frequency_hz - m.frequency_hz) > LEAST_FREQUENCY_OFFSET_HZ for m in region.measurements
        ),
    )


def _viewer_link(site: Site, region: RegionSpectrum) -> str:
    lowest = min(region.measurements, key=lambda m: m.frequency_hz, default=None)
    picture = site.pictures(lowest.label).get((CUBE, "I")) if lowest is not None else None
    if picture is None:
        return ""
    return f"viewer.html?image={picture.image}&x={region.pixel_x}&y={region.pixel_y}"


def _row(measurement: StokesMeasurement) -> SpectrumRow:
    derived = measurement.derived or DerivedStokes(None, None, None, None, None, None)
    point = measurement.point_source
    return SpectrumRow(measurement, _cells(derived), _cells(point) if point is not None else None)


def _cells(derived: DerivedStokes | PointSourceStokes) -> FluxCells:
    off = derived.residual_percent
    return FluxCells(
        snr=below(derived.snr, formats.fixed(derived.snr, 1), SNR_LIMITS),
        model=formats.mjy(derived.model_jy),
        residual=formats.mjy(derived.residual_jy),
        residual_percent=above(
            abs(off) if off is not None else None, formats.fixed(off, 1), RESIDUAL_PERCENT_LIMITS
        ),
    )


@dataclass(frozen=True)
class ProductRow:
    """A product and the link to it, ``''`` if it is no longer there."""

    file: ProductFile
    href: str


def export_vlass_data(site: Site) -> dict[str, Any]:
    """All products with size, hash and link."""
    result = site.run.result(EXPORT_VLASS_DATA)
    files = result.files if result else ()
    return {
        "result": result,
        "products": [ProductRow(file, site.product_link(file.name)) for file in files],
        "spw": {state.label: state.spw for state in site.run.plane_states()},
    }
