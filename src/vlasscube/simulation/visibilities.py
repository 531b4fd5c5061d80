"""Visibilities by direct sum over the sources.

CASA's conventions, found by comparison with its simulator: V = Σ S exp(+2πi (u·l + v·m + w·(n − 1)) ν / c)
for the UVW of a measurement set (position of ANTENNA1 minus that of ANTENNA2); RR = I + V, LL = I − V,
RL = Q + iU, LR = Q − iU.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vlasscube.constants import ARCSEC_PER_DEG, SPEED_OF_LIGHT_M_S
from vlasscube.simulation.beam import power_beam
from vlasscube.simulation.leakage import leakage_beam
from vlasscube.simulation.sky import Source, stokes_spectrum
from vlasscube.sky import direction_cosines, separation_rad

_CHUNK_SAMPLES = 1 << 19


@dataclass(frozen=True)
class View:
    """How the antennas see the sky during one integration."""

    directions_rad: tuple[tuple[float, float], ...]
    """Right ascension and declination that they point at, one after the other."""
    shares: tuple[float, ...] = (1.0,)
    """Part of the integration spent on each direction."""
    parallactic_angle_rad: float = 0.0
    rotation_measure_rad_m2: float = 0.0
    """Of the ionosphere: turns the polarisation of what arrives."""
    sidelobe: bool = False
    """Whether the beam has a first sidelobe."""
    leakage: bool = False
    """Whether the beam makes polarisation off its axis."""

    @classmethod
    def towards(cls, ra_rad: float, dec_rad: float) -> View:
        """Look in one direction, with a perfect instrument."""
        return cls(((ra_rad, dec_rad),))


@dataclass(frozen=True)
class ChannelResponse:
    """What a channel averages over: a source's phase turns within it."""

    width_hz: float
    hanning: bool = False

    def of_path(self, path_m: NDArray[np.float64]) -> NDArray[np.float64]:
        """Factor of a visibility whose path difference is as given: sin πx / πx, x = path · width / c.

        Hanning smoothing, ¼, ½, ¼ of three channels, multiplies (1 + cos 2πx) / 2.
        """
        turns = path_m * self.width_hz / SPEED_OF_LIGHT_M_S
        factor: NDArray[np.float64] = np.sinc(turns)
        return factor * (1 + np.cos(2 * np.pi * turns)) / 2 if self.hanning else factor


def coherency(source: Source, freq_hz: NDArray[np.float64], view: View) -> NDArray[np.complex128]:
    """RR, RL, LR, LL in Jy of a source as it is seen in an integration; shape (4, channels)."""
    position = math.radians(source.ra_deg), math.radians(source.dec_deg)
    beam = np.zeros(len(freq_hz))
    made = np.zeros((3, len(freq_hz)))
    for direction, share in zip(view.directions_rad, view.shares, strict=True):
        radius_arcmin = math.degrees(separation_rad(*position, *direction)) * 60
        beam += share * power_beam(radius_arcmin, freq_hz, sidelobe=view.sidelobe)
        if view.leakage:
            l, m, _ = direction_cosines(*position, *direction)  # noqa: E741
            offset = math.degrees(float(l)) * 60, math.degrees(float(m)) * 60
            made += share * leakage_beam(*offset, freq_hz, view.parallactic_angle_rad)
    i, q, u, v = stokes_spectrum(source, freq_hz)
    if view.rotation_measure_rad_m2:
        wavelength = SPEED_OF_LIGHT_M_S / freq_hz
        turned = (q + 1j * u) * np.exp(2j * view.rotation_measure_rad_m2 * wavelength**2)
        q, u = turned.real, turned.imag
    q, u, v = q * beam + made[0] * i, u * beam + made[1] * i, v * beam + made[2] * i
    i = i * beam
    return np.stack([i + v + 0j, q + 1j * u, q - 1j * u, i - v + 0j])


def predict(
    sources: Sequence[Source],
    uvw_m: NDArray[np.float64],
    freq_hz: NDArray[np.float64],
    phase_centre_rad: tuple[float, float],
    view: View | None = None,
    response: ChannelResponse | None = None,
) -> NDArray[np.complex64]:
    """Sum the sources as seen in one integration, or in several that see the same.

    Parameters
    ----------
    sources : sequence of Source
    uvw_m : ndarray
        Baselines in metres towards the phase centre, shape (rows, 3).
    freq_hz : ndarray
        Channel frequencies, shape (channels,).
    phase_centre_rad : tuple of float
        Right ascension and declination of the phase centre.
    view : View, optional
        Where and how the antennas look; at the phase centre by default, with a perfect instrument.
    response : ChannelResponse, optional
        Of a channel; by default it takes one frequency.

    Returns
    -------
    ndarray
        RR, RL, LR, LL in Jy, shape (4, channels, rows).
    """
    rows, channels = len(uvw_m), len(freq_hz)
    result = np.zeros((4, channels, rows), dtype=np.complex64)
    view = view or View.towards(*phase_centre_rad)
    terms = []
    for source in sources:
        position = math.radians(source.ra_deg), math.radians(source.dec_deg)
        brightness = coherency(source, freq_hz, view)
        if np.any(brightness):
            terms.append((source, np.array(direction_cosines(*position, *phase_centre_rad)), brightness))
    wavenumber = freq_hz / SPEED_OF_LIGHT_M_S
    step = max(1, _CHUNK_SAMPLES // max(channels, 1))
    for start in range(0, rows, step):
        baselines = uvw_m[start : start + step]
        total = np.zeros((4, channels, len(baselines)), dtype=np.complex128)
        for source, lmn, brightness in terms:
            path = baselines @ lmn
            fringe = np.exp(2j * np.pi * wavenumber[:, None] * path[None, :])
            if not source.is_point:
                fringe *= _gaussian_taper(source, baselines, wavenumber)
            if response is not None:
                fringe *= response.of_path(path)
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
