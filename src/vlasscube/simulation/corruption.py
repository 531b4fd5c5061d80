"""What stands between the true sky and the data: noise, errors of the gains, interference.

Every random quantity has its own generator, seeded by what it belongs to, so that the data of a field do not
depend on which other spectral windows are simulated.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vlasscube.polarization.sefd import sefd_jy
from vlasscube.simulation.layout import Pointing
from vlasscube.simulation.parameters import FieldSimulation
from vlasscube.simulation.spectral_windows import BANDWIDTH_HZ, NATIVE_CHANNEL_HZ, NATIVE_CHANNELS

_EDGE = 0.08
"""Part of the band at each end where the noise rises."""


def noise_jy(
    freq_hz: NDArray[np.float64], channel_width_hz: float, integration_s: float
) -> NDArray[np.float64]:
    """Rms of the real (or imaginary) part of a visibility, SEFD / √(2 Δν Δt)."""
    return sefd_jy(freq_hz) / math.sqrt(2 * channel_width_hz * integration_s)


def noise(
    parameters: FieldSimulation, freq_hz: NDArray[np.float64], rows: int, rng: np.random.Generator
) -> NDArray[np.complex64]:
    """Draw the noise of visibilities; shape (4, channels, rows).

    With `FieldSimulation.hanning` it is drawn for VLASS's channels of 2 MHz, smoothed over three of them (¼,
    ½, ¼), and averaged to the simulated ones: neighbours are correlated, the two outermost have no value.
    """
    p = parameters
    if not p.hanning:
        sigma = p.noise_scale * noise_jy(freq_hz, BANDWIDTH_HZ / p.channels, p.integration_s)
        sigma *= edge_profile(p, p.channels)
        drawn = rng.standard_normal((4, p.channels, rows, 2), dtype=np.float32).view(np.complex64)[..., 0]
        return np.asarray(sigma.astype(np.float32)[None, :, None] * drawn)
    middle = float(freq_hz.mean())
    edge = NATIVE_CHANNEL_HZ * (NATIVE_CHANNELS - 1) / 2
    native_hz = np.linspace(middle - edge, middle + edge, NATIVE_CHANNELS)
    sigma = p.noise_scale * noise_jy(native_hz, NATIVE_CHANNEL_HZ, p.integration_s)
    sigma = (sigma * edge_profile(p, NATIVE_CHANNELS)).astype(np.float32)
    drawn = rng.standard_normal((4, NATIVE_CHANNELS, rows, 2), dtype=np.float32).view(np.complex64)[..., 0]
    drawn = drawn * sigma[None, :, None]
    smooth = np.zeros_like(drawn)
    smooth[:, 1:-1] = 0.25 * drawn[:, :-2] + 0.5 * drawn[:, 1:-1] + 0.25 * drawn[:, 2:]
    share = NATIVE_CHANNELS // p.channels
    sums = smooth.reshape(4, p.channels, share, rows).sum(axis=2)
    present = np.full(p.channels, share)
    present[[0, -1]] -= 1
    return np.asarray(sums / np.maximum(present, 1).astype(np.float32)[None, :, None])


def edge_profile(parameters: FieldSimulation, channels: int) -> NDArray[np.float64]:
    """Noise of channels relative to the middle of the window.

    It rises where the receiver's filter falls off: as a cosine over the outer 8 % of the band, to
    `FieldSimulation.edge_noise` at its ends.
    """
    from_end = 0.5 - np.abs((np.arange(channels) + 0.5) / channels - 0.5)
    rise = 0.5 * (1 + np.cos(np.pi * np.minimum(from_end / _EDGE, 1.0)))
    profile: NDArray[np.float64] = 1 + (parameters.edge_noise - 1) * rise
    return profile


def phase_errors_rad(
    parameters: FieldSimulation, seed: int, scan: int, positions_m: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Phase error of each antenna in a scan, the same for R and L so that the polarisation angle stays.

    A phase common to all antennas, or one that grows linearly across the array (a shift of the sky), is left
    out: self-calibration cannot see it, so the sources would not end up at their true positions.

    Parameters
    ----------
    parameters : FieldSimulation
    seed, scan : int
    positions_m : ndarray, shape (n, 3)
        Antenna positions.
    """
    return _seen_by_selfcal(parameters.phase_error_deg, np.random.default_rng([seed, 2, scan]), positions_m)


def phase_gradient_rad(
    parameters: FieldSimulation, seed: int, scan: int, positions_m: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Phase of each antenna in a scan that is linear in its position: the shift of the sky by the air."""
    rng = np.random.default_rng([seed, 17, scan])
    slopes = math.radians(parameters.phase_gradient_deg) * rng.normal(size=3)
    centred = positions_m - positions_m.mean(axis=0)
    phases: NDArray[np.float64] = centred @ slopes / np.abs(centred).max()
    return phases


def phase_drift_rad(
    parameters: FieldSimulation, seed: int, scan: int, positions_m: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Phase of each antenna at the end of a scan, minus that in its middle; it goes linearly through a scan.

    The rms over a scan is `FieldSimulation.phase_drift_deg`, the mean 0: what one solution a scan leaves.
    Parts common to all antennas or linear in their positions are left out, as in `phase_errors_rad`.
    """
    rms = math.sqrt(3) * parameters.phase_drift_deg
    return _seen_by_selfcal(rms, np.random.default_rng([seed, 15, scan]), positions_m)


def coherence(
    parameters: FieldSimulation,
    seed: int,
    scans: Collection[int],
    positions_m: NDArray[np.float64],
    baselines: tuple[NDArray[np.int32], NDArray[np.int32]],
    unsolved: Collection[int],
) -> float:
    """Part of the flux density that phases leave which self-calibration does not correct.

    The mean over scans and baselines of sin Δ / Δ, with Δ the difference of both antennas' drifts, and of the
    cosine of the phase errors of antennas without solutions.
    """
    first, second = baselines
    factors = []
    for scan in scans:
        drift = phase_drift_rad(parameters, seed, scan, positions_m)
        errors = phase_errors_rad(parameters, seed, scan, positions_m)
        left = np.where(np.isin(np.arange(len(errors)), sorted(unsolved)), errors, 0.0)
        turns = (drift[first] - drift[second]) / np.pi
        factors.append(np.mean(np.sinc(turns) * np.cos(left[first] - left[second])))
    return float(np.mean(factors))


def amplitudes(
    parameters: FieldSimulation, seed: int, scan: int, spw: int, active: Sequence[int]
) -> NDArray[np.float64]:
    """Amplitude of each antenna's gain in a scan and spectral window, for R and L; shape (2, antennas).

    The product over the antennas with data is 1: an error of the flux scale is not what is simulated.
    """
    rng = np.random.default_rng([seed, 16, scan, spw])
    logarithm = parameters.amplitude_error * rng.normal(size=(2, parameters.antennas))
    logarithm -= logarithm[:, list(active)].mean(axis=1, keepdims=True)
    gains: NDArray[np.float64] = np.exp(logarithm)
    return gains


def _seen_by_selfcal(
    rms_deg: float, rng: np.random.Generator, positions_m: NDArray[np.float64]
) -> NDArray[np.float64]:
    errors = math.radians(rms_deg) * rng.normal(size=len(positions_m))
    centred = positions_m - positions_m.mean(axis=0)
    unseen = np.column_stack([np.ones(len(centred)), centred / np.abs(centred).max()])
    seen: NDArray[np.float64] = errors - unseen @ np.linalg.lstsq(unseen, errors, rcond=None)[0]
    return seen


@dataclass(frozen=True)
class Interference:
    """Interference in some channels of a spectral window; in all fields, or in those named."""

    spw: int
    first_channel: int
    last_channel: int
    field_ids: tuple[int, ...] = ()

    def covers(self, field_id: int) -> bool:
        """Whether a field is affected."""
        return not self.field_ids or field_id in self.field_ids

    @property
    def flag_command(self) -> str:
        """The command of CASA's flagdata that removes it."""
        command = f"mode='manual' spw='{self.spw}:{self.first_channel}~{self.last_channel}'"
        return command + (f" field='{','.join(map(str, self.field_ids))}'" if self.field_ids else "")


def interference(
    parameters: FieldSimulation, seed: int, fields: Sequence[Pointing]
) -> tuple[Interference, ...]:
    """Draw the interference: some channels in all fields, and bursts over all channels in some fields."""
    events = []
    ids = [pointing.field_id for pointing in fields]
    for spw in parameters.rfi_spws:
        rng = np.random.default_rng([seed, 3, spw])
        width = max(1, parameters.channels // 8)
        first = int(rng.integers(0, parameters.channels - width + 1))
        events.append(Interference(spw, first, first + width - 1))
        bursts = sorted(rng.choice(ids, max(1, len(ids) // 10), replace=False).tolist())
        events.append(Interference(spw, 0, parameters.channels - 1, tuple(bursts)))
    return tuple(events)


def add_interference(
    data: NDArray[np.complex64],
    events: Sequence[Interference],
    field_id: int,
    spw: int,
    amplitude_jy: float,
    rng: np.random.Generator,
) -> None:
    """Add interference of random phase to visibilities (correlations, channels, rows), in place."""
    for event in events:
        if event.spw == spw and event.covers(field_id):
            channels = slice(event.first_channel, event.last_channel + 1)
            shape = data[:, channels].shape
            amplitude = amplitude_jy * rng.uniform(0.8, 1.2, shape)
            data[:, channels] += amplitude * np.exp(2j * np.pi * rng.random(shape))
