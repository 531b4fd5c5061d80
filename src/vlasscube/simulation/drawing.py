"""Draw the sky of a simulated field: sources in the mosaic, doubles, bright ones beyond the image."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from vlasscube.simulation.beam import first_null_arcmin
from vlasscube.simulation.parameters import FieldSimulation
from vlasscube.simulation.sky import Kind, Source
from vlasscube.simulation.spectral_windows import spw_mean_frequency_hz
from vlasscube.sky import direction_at, direction_cosines, rad_from_arcsec

_SIDELOBE = 1.42
"""Radius of the first sidelobe's peak over that of the null."""


def draw_sky(parameters: FieldSimulation, seed: int) -> tuple[Source, ...]:
    """Draw all sources of a field.

    Raises
    ------
    ValueError
        If the sources do not fit into the mosaic.
    """
    p = parameters
    on_pixels = p.continuum_model == "truth" and p.sources_on_pixels
    extent = (p.fields_per_row - 1) * p.field_step_arcmin, (p.rows - 1) * p.row_spacing_arcmin
    half_width = extent[0] / 2 + p.source_margin_arcmin, extent[1] / 2 + p.source_margin_arcmin
    centre = p.ra_deg, p.dec_deg
    single = random_sky(
        [seed, 0],
        points=p.points,
        gaussians=p.gaussians,
        centre_deg=centre,
        half_width_arcmin=half_width,
        flux_range_jy=p.flux_range_jy,
        separation_arcmin=p.separation_arcmin,
        gaussian_fwhm_arcsec=p.gaussian_fwhm_arcsec,
        pixel_grid_arcsec=p.cell_arcsec if on_pixels else None,
    )
    return (*single, *_doubles(p, seed, single, half_width), *_outside(p, seed), *_in_sidelobe(p, seed))


def _doubles(
    p: FieldSimulation, seed: int, others: Sequence[Source], half_width_arcmin: tuple[float, float]
) -> list[Source]:
    rng = np.random.default_rng([seed, 18])
    places = []
    for other in others:
        position = math.radians(other.ra_deg), math.radians(other.dec_deg)
        places.append(np.degrees(np.stack(direction_cosines(*position, *p.centre_rad)[:2])) * 60)
    centres = _offsets(rng, p.doubles, half_width_arcmin, p.separation_arcmin, places)
    sources = []
    for number, centre in enumerate(centres, 1):
        angle = rng.uniform(0.0, math.pi)
        direction = np.array([math.sin(angle), math.cos(angle)])
        half = rng.uniform(*p.double_separation_arcsec) / 60 / 2 * direction
        flux = _flux(rng, p.flux_range_jy)
        for letter, place, share in (("a", centre + half, 1.0), ("b", centre - half, rng.uniform(0.3, 1.0))):
            sources.append(_point(rng, p, f"D{number:02d}{letter}", place, flux * share, "double"))
    return sources


def _outside(p: FieldSimulation, seed: int) -> list[Source]:
    """Half to three arcminutes beyond the border."""
    rng = np.random.default_rng([seed, 19])
    half = np.array(p.imsize) * p.cell_arcsec / 60 / 2
    sources = []
    for number in range(1, p.outside_sources + 1):
        beyond, along, side = rng.uniform(0.5, 3.0), rng.uniform(-0.6, 0.6), int(rng.integers(4))
        axis, sign = side // 2, 1 if side % 2 else -1
        place = half * along
        place[axis] = sign * (half[axis] + beyond)
        name = f"X{number:02d}"
        sources.append(_point(rng, p, name, place, _flux(rng, p.bright_flux_range_jy), "outside"))
    return sources


def _in_sidelobe(p: FieldSimulation, seed: int) -> list[Source]:
    rng = np.random.default_rng([seed, 20])
    frequency = np.mean([spw_mean_frequency_hz(spw) for spw in p.science_spws])
    radius = _SIDELOBE * float(first_null_arcmin(frequency)[0])
    sources = []
    for number in range(1, p.sidelobe_sources + 1):
        angle = rng.uniform(0.0, math.tau)
        place = radius * rng.uniform(0.95, 1.05) * np.array([math.sin(angle), math.cos(angle)])
        name = f"L{number:02d}"
        sources.append(_point(rng, p, name, place, _flux(rng, p.bright_flux_range_jy), "sidelobe"))
    return sources


def _flux(rng: np.random.Generator, flux_range_jy: tuple[float, float]) -> float:
    return float(np.exp(rng.uniform(*np.log(flux_range_jy))))


def _point(
    rng: np.random.Generator,
    p: FieldSimulation,
    name: str,
    offset_arcmin: NDArray[np.float64],
    flux_jy: float,
    kind: Kind,
) -> Source:
    """Draw the spectrum and the polarisation of a point at an offset to the east and north of the centre."""
    x, y = np.radians(offset_arcmin / 60)
    ra, dec = direction_at(float(x), float(y), *p.centre_rad)
    return Source(
        name=name,
        ra_deg=math.degrees(ra) % 360.0,
        dec_deg=math.degrees(dec),
        flux_3ghz_jy=flux_jy,
        alpha=float(np.clip(rng.normal(-0.7, 0.25), -1.2, 0.2)),
        fractional_polarization=float(rng.uniform(0.02, 0.1)),
        polarization_angle_deg=float(rng.uniform(-90.0, 90.0)),
        rotation_measure_rad_m2=float(rng.uniform(-40.0, 40.0)),
        kind=kind,
    )


def random_sky(
    seed: int | Sequence[int],
    *,
    points: int,
    gaussians: int,
    centre_deg: tuple[float, float],
    half_width_arcmin: tuple[float, float],
    flux_range_jy: tuple[float, float],
    separation_arcmin: float,
    gaussian_fwhm_arcsec: tuple[float, float],
    pixel_grid_arcsec: float | None = None,
) -> tuple[Source, ...]:
    """Draw sources at random in a box, brightest first.

    The brightest is a polarised point source without V; one in three is unpolarised, one in four has V.

    Parameters
    ----------
    seed : int or sequence of int
        Seed of `numpy.random.default_rng`.
    points, gaussians : int
        Numbers of point and Gaussian sources.
    centre_deg : tuple of float
        Right ascension and declination of the box centre.
    half_width_arcmin : tuple of float
        Half the size of the box, in right ascension (on the sky) and declination.
    flux_range_jy : tuple of float
        Range of the flux density at 3 GHz; log-uniform within.
    separation_arcmin : float
        Smallest distance between sources.
    gaussian_fwhm_arcsec : tuple of float
        Range of the major axis (FWHM) of Gaussian sources.
    pixel_grid_arcsec : float, optional
        Put the sources on the pixel centres of a SIN-projected image of this pixel size around the centre.

    Returns
    -------
    tuple of Source

    Raises
    ------
    ValueError
        If the sources do not fit into the box at that separation.
    """
    rng = np.random.default_rng(seed)
    count = points + gaussians
    offsets = _offsets(rng, count, half_width_arcmin, separation_arcmin)
    low, high = np.log(flux_range_jy)
    fluxes = np.sort(np.exp(rng.uniform(low, high, count)))[::-1]
    if count:
        fluxes[0] = flux_range_jy[1]
    extended = set(rng.choice(np.arange(1, count), gaussians, replace=False).tolist()) if gaussians else set()
    sources = []
    for index in range(count):
        x, y = np.radians(offsets[index] / 60.0)
        if pixel_grid_arcsec is not None:
            pixel = rad_from_arcsec(pixel_grid_arcsec)
            x, y = round(x / pixel) * pixel, round(y / pixel) * pixel
        ra, dec = direction_at(x, y, *np.radians(centre_deg))
        alpha, linear, angle, rotation, major, ratio, position_angle, circular = (
            rng.normal(-0.7, 0.25),
            rng.uniform(0.05, 0.15),
            rng.uniform(-90.0, 90.0),
            rng.uniform(-40.0, 40.0),
            rng.uniform(*gaussian_fwhm_arcsec),
            rng.uniform(0.5, 0.9),
            rng.uniform(0.0, 180.0),
            rng.choice([-1.0, 1.0]) * rng.uniform(0.03, 0.08),
        )
        is_polarized = index % 3 != 2
        is_extended = index in extended
        sources.append(
            Source(
                name=f"S{index + 1:02d}",
                ra_deg=math.degrees(ra) % 360.0,
                dec_deg=math.degrees(dec),
                flux_3ghz_jy=float(fluxes[index]),
                alpha=float(np.clip(alpha, -1.2, 0.2)),
                fractional_polarization=float(linear) if is_polarized else 0.0,
                polarization_angle_deg=float(angle) if is_polarized else 0.0,
                rotation_measure_rad_m2=float(rotation) if is_polarized else 0.0,
                fractional_v=float(circular) if index % 4 == 1 else 0.0,
                major_arcsec=float(major) if is_extended else 0.0,
                minor_arcsec=float(major * ratio) if is_extended else 0.0,
                position_angle_deg=float(position_angle) if is_extended else 0.0,
            )
        )
    return tuple(sources)


def _offsets(
    rng: np.random.Generator,
    count: int,
    half_width_arcmin: tuple[float, float],
    separation_arcmin: float,
    others: Sequence[NDArray[np.float64]] = (),
) -> NDArray[np.float64]:
    """Draw positions in a box with a smallest separation, from `others`, too; shape (count, 2), arcmin."""
    accepted: list[NDArray[np.float64]] = []
    rejected = 0
    while len(accepted) < count and rejected < 1000:
        candidate = rng.uniform(-1.0, 1.0, 2) * half_width_arcmin
        if all(np.hypot(*(candidate - other)) >= separation_arcmin for other in (*others, *accepted)):
            accepted.append(candidate)
            rejected = 0
        else:
            rejected += 1
    if len(accepted) < count:
        raise ValueError(f"{count} sources {separation_arcmin}' apart do not fit into ±{half_width_arcmin}'")
    return np.array(accepted).reshape(count, 2)
