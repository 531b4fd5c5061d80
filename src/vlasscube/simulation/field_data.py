"""Visibilities and flags of one field: the sky as the antennas see it, and what the instrument does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vlasscube.simulation import corruption
from vlasscube.simulation.flag_patterns import initial_flags
from vlasscube.simulation.layout import Pointing, ionospheric_rm_rad_m2, parallactic_angle_rad
from vlasscube.simulation.leakage import apply_d_terms, residual_d_terms
from vlasscube.simulation.observation import Observation
from vlasscube.simulation.parameters import FieldSimulation
from vlasscube.simulation.sky import Source
from vlasscube.simulation.spectral_windows import NATIVE_CHANNEL_HZ, channel_frequencies_hz
from vlasscube.simulation.visibilities import ChannelResponse, View, predict


@dataclass(frozen=True)
class FieldData:
    """Rows of one field and spectral window, all integrations one after the other."""

    data: NDArray[np.complex64]
    """RR, RL, LR, LL in Jy, shape (4, channels, rows)."""
    flag: NDArray[np.bool_]


def field_data(
    observation: Observation, index: int, pointing: Pointing, spw: int, uvw: NDArray[np.float64]
) -> FieldData:
    """Make the data of one field and spectral window; `uvw` is (integrations, baselines, 3)."""
    p, seed = observation.parameters, observation.seed
    first, second = (np.tile(antenna, len(uvw)) for antenna in observation.array.baselines)
    frequencies = channel_frequencies_hz(p, spw)
    data = ideal_visibilities(p, observation.sources, pointing, uvw, frequencies)
    if p.d_term_rms:
        d_terms = residual_d_terms(p.d_term_rms, seed, spw, p.antennas)
        angles = np.repeat(_parallactic_angles(pointing), len(uvw[0]))
        data = apply_d_terms(data, d_terms, angles, first, second)
    data *= _gain_factors(observation, pointing, spw)
    rng = np.random.default_rng([seed, 5, index, spw])
    data += corruption.noise(p, frequencies, data.shape[2], rng)
    corruption.add_interference(data, observation.interference, pointing.field_id, spw, p.rfi_jy, rng)
    flag = initial_flags(observation, index, pointing, spw, first, second)
    _insert_nan(observation, index, spw, data, flag)
    return FieldData(data.astype(np.complex64, copy=False), flag)


def ideal_visibilities(
    parameters: FieldSimulation,
    sources: Sequence[Source],
    pointing: Pointing,
    uvw: NDArray[np.float64],
    freq_hz: NDArray[np.float64],
) -> NDArray[np.complex64]:
    """Visibilities as the antennas receive them; shape (4, channels, integrations × baselines).

    With the beam (its motion and leakage, too), the ionosphere and the channels' width; without D-terms,
    gains and noise.
    """
    centre = pointing.ra_rad, pointing.dec_rad
    smearing = parameters.channel_smearing
    response = ChannelResponse(NATIVE_CHANNEL_HZ, parameters.hanning) if smearing else None
    seen = views(parameters, pointing)
    if all(view == seen[0] for view in seen):
        return predict(sources, uvw.reshape(-1, 3), freq_hz, centre, seen[0], response)
    dumps = zip(uvw, seen, strict=True)
    return np.concatenate(
        [predict(sources, dump, freq_hz, centre, view, response) for dump, view in dumps], axis=2
    )


def views(parameters: FieldSimulation, pointing: Pointing) -> tuple[View, ...]:
    """How the antennas see the sky in each integration of a field."""
    p = parameters
    angles = _parallactic_angles(pointing) if p.leakage_beam else np.zeros(p.dumps_per_field)
    along, weights = np.polynomial.legendre.leggauss(p.positions_per_dump)
    result = []
    for dump, (time, angle) in enumerate(zip(pointing.times_mjd_s, angles, strict=True)):
        directions: tuple[tuple[float, float], ...] = ((pointing.ra_rad, pointing.dec_rad),)
        shares: tuple[float, ...] = (1.0,)
        if p.beam_at == "dump":
            directions = (pointing.dump_directions_rad[dump],)
        elif p.beam_at == "otf":
            directions = pointing.path_rad(dump, along / 2)
            shares = tuple((weights / 2).tolist())
        result.append(
            View(
                directions,
                shares,
                parallactic_angle_rad=float(angle),
                rotation_measure_rad_m2=ionospheric_rm_rad_m2(p, time),
                sidelobe=p.beam_sidelobe,
                leakage=p.leakage_beam,
            )
        )
    return tuple(result)


def _parallactic_angles(pointing: Pointing) -> NDArray[np.float64]:
    """Of each integration."""
    return np.array(
        [parallactic_angle_rad(time, pointing.ra_rad, pointing.dec_rad) for time in pointing.times_mjd_s]
    )


def _gain_factors(observation: Observation, pointing: Pointing, spw: int) -> NDArray[np.complexfloating]:
    """What the antennas' gains multiply; shape (rows,), or (4, 1, rows) if they differ between R and L."""
    p, seed = observation.parameters, observation.seed
    first, second = observation.array.baselines
    positions = observation.array.positions_m
    phases = corruption.phase_errors_rad(p, seed, pointing.scan, positions)
    if p.phase_gradient_deg:
        phases = phases + corruption.phase_gradient_rad(p, seed, pointing.scan, positions)
    factor = np.tile(np.exp(1j * (phases[first] - phases[second])), p.dumps_per_field)
    if p.phase_drift_deg:
        drift = corruption.phase_drift_rad(p, seed, pointing.scan, positions)
        part = observation.part_of_scan(pointing)
        moved = np.outer(part, drift[first] - drift[second]).ravel()
        factor = factor * np.exp(1j * moved)
    if p.amplitude_error:
        active = observation.array.active
        right, left = corruption.amplitudes(p, seed, pointing.scan, spw, active)
        pairs = ((right, right), (right, left), (left, right), (left, left))
        amplitude = np.stack([np.tile(a[first] * b[second], p.dumps_per_field) for a, b in pairs])
        return np.asarray(factor * amplitude[:, None, :])
    return factor


def _insert_nan(
    observation: Observation,
    index: int,
    spw: int,
    data: NDArray[np.complex64],
    flag: NDArray[np.bool_],
) -> None:
    """Set this block's share of the NaN visibilities, flagged."""
    p = observation.parameters
    cells = len(observation.pointings) * len(p.science_spws)
    cell = index * len(p.science_spws) + p.science_spws.index(spw)
    count = (cell + 1) * p.nan_visibilities // cells - cell * p.nan_visibilities // cells
    rng = np.random.default_rng([observation.seed, 6, index, spw])
    where = np.unravel_index(rng.choice(data.size, min(count, data.size), replace=False), data.shape)
    data[where] = complex(np.nan, np.nan)
    flag[where] = True
