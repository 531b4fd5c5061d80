"""The true sky: sources with full-Stokes spectra, and their table on disk."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vlasscube.constants import SPEED_OF_LIGHT_M_S

REFERENCE_FREQUENCY_HZ = 3.0e9
IONOSPHERIC_RM = "ionospheric_rm_rad_m2"
"""In the metadata of the truth: what the ionosphere added to all rotation measures, in the mean."""

COHERENCE = "coherence"
"""In the metadata of the truth: the part of the flux densities that uncorrected phases leave."""

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


Kind = Literal["field", "double", "outside", "sidelobe"]


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
    kind: Kind = "field"
    """Drawn within the mosaic, one of a double, beyond the image, or in the first sidelobe."""

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
    numbers = [field.name for field in fields(Source) if field.name not in ("name", "kind")]
    # Tables of version 0.1 have no kind.
    kinds = [str(kind) for kind in table["kind"]] if "kind" in table.colnames else ["field"] * len(table)
    known = {str(kind): kind for kind in get_args(Kind)}
    return tuple(
        Source(name=str(row["name"]), kind=known[kind], **{name: float(row[name]) for name in numbers})
        for row, kind in zip(table, kinds, strict=True)
    )


def read_truth_metadata(path: Path) -> dict[str, Any]:
    """What `write_truth` was told besides the sources."""
    from astropy.table import Table

    return dict(Table.read(path, format="ascii.ecsv").meta)
