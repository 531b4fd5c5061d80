"""The true sky: sources with full-Stokes spectra, and their table on disk."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vlasscube.constants import SPEED_OF_LIGHT_M_S
from vlasscube.sky import direction_at, rad_from_arcsec

REFERENCE_FREQUENCY_HZ = 3.0e9

_UNITS = {
    "ra_deg": "deg",
    "dec_deg": "deg",
    "flux_3ghz_jy": "Jy",
    "polarization_angle_deg": "deg",
    "rotation_measure_rad_m2": "rad / m2",
    "major_arcsec": "arcsec",
    "minor_arcsec": "arcsec",
    "position_angle_deg": "deg",
}


@dataclass(frozen=True)
class Source:
    """A point or Gaussian source; ICRS position, Gaussian axes as FWHM, angles east of north."""

    name: str
    ra_deg: float
    dec_deg: float
    flux_3ghz_jy: float
    """Total Stokes I at 3 GHz."""
    alpha: float = 0.0
    """Spectral index: I ∝ ν^alpha."""
    fractional_polarization: float = 0.0
    polarization_angle_deg: float = 0.0
    """Angle χ₀ of the electric vector at λ = 0; χ = χ₀ + RM λ²."""
    rotation_measure_rad_m2: float = 0.0
    fractional_v: float = 0.0
    """V / I; V = (RR − LL) / 2."""
    major_arcsec: float = 0.0
    """0 for a point source."""
    minor_arcsec: float = 0.0
    position_angle_deg: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.fractional_polarization <= 1 or not -1 <= self.fractional_v <= 1:
            raise ValueError(f"{self.name}: polarised fractions must lie within 0…1 (linear) and −1…1 (V)")
        if not self.major_arcsec >= self.minor_arcsec >= 0:
            raise ValueError(f"{self.name}: major_arcsec >= minor_arcsec >= 0 does not hold")

    @property
    def is_point(self) -> bool:
        """Whether the source has no extent."""
        return self.major_arcsec == 0


def stokes_spectrum(source: Source, freq_hz: ArrayLike) -> NDArray[np.float64]:
    """Stokes parameters of a source.

    Parameters
    ----------
    source : Source
    freq_hz : array_like
        Frequencies in Hz, shape (n,).

    Returns
    -------
    ndarray
        I, Q, U, V in Jy, shape (4, n).
    """
    frequency = np.atleast_1d(np.asarray(freq_hz, dtype=float))
    intensity = source.flux_3ghz_jy * (frequency / REFERENCE_FREQUENCY_HZ) ** source.alpha
    wavelength_squared = (SPEED_OF_LIGHT_M_S / frequency) ** 2
    angle = math.radians(source.polarization_angle_deg) + source.rotation_measure_rad_m2 * wavelength_squared
    linear = source.fractional_polarization * intensity
    return np.stack(
        [intensity, linear * np.cos(2 * angle), linear * np.sin(2 * angle), source.fractional_v * intensity]
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
    rng: np.random.Generator, count: int, half_width_arcmin: tuple[float, float], separation_arcmin: float
) -> NDArray[np.float64]:
    """Draw positions in a box with a smallest separation; shape (count, 2), arcmin."""
    accepted: list[NDArray[np.float64]] = []
    rejected = 0
    while len(accepted) < count and rejected < 1000:
        candidate = rng.uniform(-1.0, 1.0, 2) * half_width_arcmin
        if all(np.hypot(*(candidate - other)) >= separation_arcmin for other in accepted):
            accepted.append(candidate)
            rejected = 0
        else:
            rejected += 1
    if len(accepted) < count:
        raise ValueError(f"{count} sources {separation_arcmin}' apart do not fit into ±{half_width_arcmin}'")
    return np.array(accepted).reshape(count, 2)


def write_truth(path: Path, sources: Sequence[Source], metadata: dict[str, Any] | None = None) -> None:
    """Write sources as an ECSV table."""
    from astropy import units
    from astropy.table import Table

    names = [field.name for field in fields(Source)]
    table = Table(
        {name: [getattr(source, name) for source in sources] for name in names}, meta=metadata or {}
    )
    for name, unit in _UNITS.items():
        table[name].unit = units.Unit(unit)
    table.meta["reference_frequency_hz"] = REFERENCE_FREQUENCY_HZ
    table.write(path, format="ascii.ecsv", overwrite=True)


def read_truth(path: Path) -> tuple[Source, ...]:
    """Read sources back from `write_truth`."""
    from astropy.table import Table

    table = Table.read(path, format="ascii.ecsv")
    numbers = [field.name for field in fields(Source) if field.name != "name"]
    return tuple(
        Source(name=str(row["name"]), **{name: float(row[name]) for name in numbers}) for row in table
    )
