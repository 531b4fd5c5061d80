"""Flags that the measurement set comes with: patterns as calibration leaves them, and rows at random.

Each pattern has its own generator, so that one of them does not change another.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from vlasscube.simulation.layout import Pointing
from vlasscube.simulation.observation import Observation
from vlasscube.simulation.spectral_windows import LAST_OF_FIRST_BASEBAND
from vlasscube.stokes_codes import CIRCULAR_CORRELATIONS

_OF_FIRST = {0: (0, 1), 1: (2, 3)}
"""Correlations that the first antenna's receiver R (0) or L (1) takes part in."""
_OF_SECOND = {0: (0, 2), 1: (1, 3)}


def initial_flags(
    observation: Observation,
    index: int,
    pointing: Pointing,
    spw: int,
    first: NDArray[np.int32],
    second: NDArray[np.int32],
) -> NDArray[np.bool_]:
    """Flags of a field: (correlations, channels, rows).

    Parameters
    ----------
    observation : Observation
    index : int
        Of the pointing among those of the observation.
    pointing : Pointing
    spw : int
    first, second : ndarray, shape (rows,)
        Antennas of the rows.
    """
    p = observation.parameters
    row_flags = _random_rows(observation, index, spw, len(first))
    row_flags |= _touches(antennas_out_of_scan(observation, pointing.scan), first, second)
    without = {
        antenna
        for antenna, is_second in antennas_without_baseband(observation, pointing.scan)
        if is_second == (spw > LAST_OF_FIRST_BASEBAND)
    }
    row_flags |= _touches(without, first, second)
    flags = np.zeros((len(CIRCULAR_CORRELATIONS), p.channels, len(first)), dtype=bool)
    flags[:, :, row_flags] = True
    if spw in p.half_flagged_spws:
        flags[:, : p.channels // 2] = True
    if p.hanning and p.channels == 64:
        # Smoothing needs both neighbours.
        flags[:, [0, -1]] = True
    if p.flagged_correlation:
        flags[CIRCULAR_CORRELATIONS.index(p.flagged_correlation)][:, first == 0] = True
    for antenna, receiver in one_polarization_antennas(observation):
        for correlations, antennas in ((_OF_FIRST, first), (_OF_SECOND, second)):
            for correlation in correlations[receiver]:
                flags[correlation][:, antennas == antenna] = True
    return flags


def antennas_out_of_scan(observation: Observation, scan: int) -> set[int]:
    """Antennas without data in a scan."""
    count = observation.parameters.antennas_out_per_scan
    return set(_draw(observation, 10, scan, count=count).tolist())


def antennas_without_baseband(observation: Observation, scan: int) -> set[tuple[int, bool]]:
    """Antennas that lack a baseband in a scan, and whether that is the second one, B0D0."""
    count = observation.parameters.basebands_out_per_scan
    antennas = _draw(observation, 11, scan, count=count)
    second = np.random.default_rng([observation.seed, 12, scan]).random(count) < 0.5
    return set(zip(antennas.tolist(), second.tolist(), strict=True))


def one_polarization_antennas(observation: Observation) -> set[tuple[int, int]]:
    """Antennas of which one receiver is flagged throughout: 0 for R, 1 for L."""
    count = observation.parameters.one_polarization_antennas
    antennas = _draw(observation, 13, count=count)
    return {(antenna, number % 2) for number, antenna in enumerate(antennas.tolist())}


def antennas_without_solutions(observation: Observation) -> set[int]:
    """Antennas for which self-calibration finds nothing in any scan."""
    return set(_draw(observation, 14, count=observation.parameters.antennas_without_solutions).tolist())


def _draw(observation: Observation, *key: int, count: int) -> NDArray[np.int64]:
    """Different antennas with data, drawn at random."""
    rng = np.random.default_rng([observation.seed, *key])
    return np.asarray(rng.choice(observation.array.active, count, replace=False), dtype=np.int64)


def _touches(antennas: set[int], first: NDArray[np.int32], second: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Rows with one of the antennas."""
    chosen = sorted(antennas)
    return np.asarray(np.isin(first, chosen) | np.isin(second, chosen))


def _random_rows(observation: Observation, index: int, spw: int, rows: int) -> NDArray[np.bool_]:
    p = observation.parameters
    rng = np.random.default_rng([observation.seed, 4, index, spw])
    flagged: NDArray[np.bool_] = rng.random(rows) < p.flagged_row_fraction
    total = p.rows * p.fields_per_row
    # Spread over the mosaic, so that the fields of the central square degree are among them.
    heavy = {number * total // p.heavily_flagged_fields for number in range(p.heavily_flagged_fields)}
    if spw in p.heavily_flagged_spws and index in heavy:
        # At least the fraction asked for, whatever the random rows above.
        chosen = rng.permutation(rows)[: math.ceil(p.heavily_flagged_fraction * rows)]
        flagged[chosen] = True
    return flagged
