"""What stands between the true sky and the data: noise, phase errors, interference, flags.

Every random quantity has its own generator, seeded by what it belongs to, so that the data of a field do not
depend on which other spectral windows are simulated.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vlasscube.polarization.sefd import sefd_jy
from vlasscube.simulation.layout import Pointing
from vlasscube.simulation.parameters import FieldSimulation
from vlasscube.stokes_codes import CIRCULAR_CORRELATIONS


def noise_jy(
    freq_hz: NDArray[np.float64], channel_width_hz: float, integration_s: float
) -> NDArray[np.float64]:
    """Rms of the real (or imaginary) part of a visibility, SEFD / √(2 Δν Δt)."""
    return sefd_jy(freq_hz) / math.sqrt(2 * channel_width_hz * integration_s)


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
    rng = np.random.default_rng([seed, 2, scan])
    errors = math.radians(parameters.phase_error_deg) * rng.normal(size=parameters.antennas)
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


def initial_flags(
    parameters: FieldSimulation, seed: int, pointing_index: int, spw: int, first_antenna: NDArray[np.int32]
) -> NDArray[np.bool_]:
    """Flags of a field that the measurement set comes with: (correlations, channels, rows)."""
    p = parameters
    rows = len(first_antenna)
    rng = np.random.default_rng([seed, 4, pointing_index, spw])
    row_flags = rng.random(rows) < p.flagged_row_fraction
    total = p.rows * p.fields_per_row
    # Spread over the mosaic, so that the fields of the central square degree are among them.
    heavy = {number * total // p.heavily_flagged_fields for number in range(p.heavily_flagged_fields)}
    if spw in p.heavily_flagged_spws and pointing_index in heavy:
        # At least the fraction asked for, whatever the random rows above.
        chosen = rng.permutation(rows)[: math.ceil(p.heavily_flagged_fraction * rows)]
        row_flags[chosen] = True
    flags = np.zeros((len(CIRCULAR_CORRELATIONS), p.channels, rows), dtype=bool)
    flags[:, :, row_flags] = True
    if p.flagged_correlation:
        flags[CIRCULAR_CORRELATIONS.index(p.flagged_correlation)][:, first_antenna == 0] = True
    return flags
