"""Visibilities by direct sum over the sources.

CASA's conventions, found by comparison with its simulator: V = Σ S exp(+2πi (u·l + v·m + w·(n − 1)) ν / c)
for the UVW of a measurement set (position of ANTENNA1 minus that of ANTENNA2); RR = I + V, LL = I − V,
RL = Q + iU, LR = Q − iU.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from vlasscube.constants import ARCSEC_PER_DEG, SPEED_OF_LIGHT_M_S
from vlasscube.simulation.beam import power_beam
from vlasscube.simulation.sky import Source, stokes_spectrum
from vlasscube.sky import direction_cosines, separation_rad

_CHUNK_SAMPLES = 1 << 19


def coherency(source: Source, freq_hz: NDArray[np.float64], radius_arcmin: float) -> NDArray[np.complex128]:
    """RR, RL, LR, LL in Jy of a source at a distance from the pointing centre; shape (4, channels)."""
    i, q, u, v = stokes_spectrum(source, freq_hz) * power_beam(radius_arcmin, freq_hz)
    return np.stack([i + v + 0j, q + 1j * u, q - 1j * u, i - v + 0j])


def predict(
    sources: Sequence[Source],
    uvw_m: NDArray[np.float64],
    freq_hz: NDArray[np.float64],
    phase_centre_rad: tuple[float, float],
    pointing_rad: tuple[float, float] | None = None,
) -> NDArray[np.complex64]:
    """Sum the sources as seen by one pointing.

    Parameters
    ----------
    sources : sequence of Source
    uvw_m : ndarray
        Baselines in metres towards the phase centre, shape (rows, 3).
    freq_hz : ndarray
        Channel frequencies, shape (channels,).
    phase_centre_rad : tuple of float
        Right ascension and declination of the phase centre.
    pointing_rad : tuple of float, optional
        Where the antennas point; the phase centre by default.

    Returns
    -------
    ndarray
        RR, RL, LR, LL in Jy, shape (4, channels, rows).
    """
    rows, channels = len(uvw_m), len(freq_hz)
    result = np.zeros((4, channels, rows), dtype=np.complex64)
    terms = []
    for source in sources:
        position = math.radians(source.ra_deg), math.radians(source.dec_deg)
        lmn = np.array(direction_cosines(*position, *phase_centre_rad))
        radius_arcmin = math.degrees(separation_rad(*position, *(pointing_rad or phase_centre_rad))) * 60
        brightness = coherency(source, freq_hz, radius_arcmin)
        if np.any(brightness):
            terms.append((source, lmn, brightness))
    wavenumber = freq_hz / SPEED_OF_LIGHT_M_S
    step = max(1, _CHUNK_SAMPLES // max(channels, 1))
    for start in range(0, rows, step):
        baselines = uvw_m[start : start + step]
        total = np.zeros((4, channels, len(baselines)), dtype=np.complex128)
        for source, lmn, brightness in terms:
            fringe = np.exp(2j * np.pi * wavenumber[:, None] * (baselines @ lmn)[None, :])
            if not source.is_point:
                fringe *= _gaussian_taper(source, baselines, wavenumber)
            for correlation in range(4):
                total[correlation] += brightness[correlation][:, None] * fringe
        result[:, :, start : start + step] = total
    return result


def _gaussian_taper(
    source: Source, baselines_m: NDArray[np.float64], wavenumber: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Fourier transform of a unit Gaussian: exp(−π² θ² q² / (4 ln 2)) along each axis; (channels, rows)."""
    angle = math.radians(source.position_angle_deg)
    along_major = baselines_m[:, 0] * math.sin(angle) + baselines_m[:, 1] * math.cos(angle)
    along_minor = baselines_m[:, 0] * math.cos(angle) - baselines_m[:, 1] * math.sin(angle)
    axes = np.radians(np.array([source.major_arcsec, source.minor_arcsec]) / ARCSEC_PER_DEG)
    size = (axes[0] * along_major) ** 2 + (axes[1] * along_minor) ** 2
    taper: NDArray[np.float64] = np.exp(
        -(np.pi**2) / (4 * math.log(2)) * wavenumber[:, None] ** 2 * size[None, :]
    )
    return taper
