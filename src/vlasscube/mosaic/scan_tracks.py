"""How far the antennas moved during a field of an on-the-fly mosaic, from phase centres and times alone.

While a row is scanned the antennas move on and the phase centre stays for a field, then jumps to the next
one: a field is seen by a beam that moves by the distance of the phase centres. POINTING, which would tell the
same, need not be there.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Double = npt.NDArray[np.float64]

_LARGEST_GAP = 1.5
"""Fields follow each other in a row if their mean times are at most this many dwell times apart."""
_ALIGNED_DEG = 6.0
"""Tracks this close to their mean direction, or closer, are taken as one."""
_GROUP_DEG = 10.0
"""Width of a group of directions otherwise."""


@dataclass(frozen=True, eq=False)
class ScanTrack:
    """The way that the antennas went, on average, during each of some fields."""

    vector_rad: tuple[float, float]
    """From one end to the other along x and y of the image (x grows to the west); the sign has no meaning."""
    pointings: npt.NDArray[np.bool_]
    """Shape (all pointings,): those it belongs to."""

    @property
    def length_rad(self) -> float:
        """Length on the sky."""
        return math.hypot(*self.vector_rad)

    @property
    def position_angle_deg(self) -> float:
        """North through east, 0 to 180."""
        x, y = self.vector_rad
        return math.degrees(math.atan2(-x, y)) % 180.0


class _Visits(NamedTuple):
    """Spans of time in which one field was observed without a break, in the order of time."""

    field: npt.NDArray[np.int64]
    time_s: Double
    """Mean of the dumps."""
    dwell_s: Double


def scan_tracks(
    time_s: Double, field: npt.NDArray[np.integer], x_rad: Double, y_rad: Double, largest_step_rad: float
) -> tuple[ScanTrack, ...]:
    """Find the tracks of the fields of a mosaic.

    Parameters
    ----------
    time_s : ndarray, shape (n,)
        Centre of each integration, in any order, any number of times.
    field : ndarray of int, shape (n,)
        Which pointing was observed.
    x_rad, y_rad : ndarray, shape (pointings,)
        Phase centres on the image.
    largest_step_rad : float
        Phase centres further apart do not belong to one row.

    Returns
    -------
    tuple of ScanTrack
        One if all directions agree within a few degrees, else several, each for tracks within ten degrees of
        each other; pointings without a neighbour in time get that of the nearest pointing. Empty if fewer
        than half of the pointings have a neighbour: then they are not those of on-the-fly rows.
    """
    tensors = _track_tensors(_visits(time_s, field), x_rad, y_rad, largest_step_rad)
    moved = np.trace(tensors, axis1=1, axis2=2) > 0
    if not moved.any() or 2 * np.count_nonzero(moved) < np.unique(field).size:
        return ()
    groups = np.full(x_rad.size, -1)
    groups[moved] = _groups(tensors[moved])
    for number in np.flatnonzero(~moved):
        distance = np.hypot(x_rad[moved] - x_rad[number], y_rad[moved] - y_rad[number])
        groups[number] = groups[moved][distance.argmin()]
    return tuple(
        ScanTrack(_principal(tensors[moved & (groups == group)].mean(axis=0)), groups == group)
        for group in np.unique(groups)
    )


def _visits(time_s: Double, field: npt.NDArray[np.integer]) -> _Visits:
    if time_s.size == 0:
        return _Visits(np.zeros(0, np.int64), np.zeros(0), np.zeros(0))
    # In the order of a measurement set the baselines of a dump follow each other.
    first = np.flatnonzero(np.r_[True, (np.diff(time_s) != 0) | (np.diff(field) != 0)])
    dumps = np.unique(np.stack([time_s[first], field[first].astype(float)]), axis=1)
    time, of_field = dumps[0], dumps[1].astype(np.int64)
    steps = np.diff(time)
    dump_s = float(np.median(steps[steps > 0])) if np.any(steps > 0) else 0.0
    starts = np.flatnonzero(np.r_[True, (np.diff(of_field) != 0) | (steps > _LARGEST_GAP * dump_s)])
    counts = np.diff(np.r_[starts, time.size])
    return _Visits(of_field[starts], np.add.reduceat(time, starts) / counts, counts * dump_s)


def _track_tensors(visits: _Visits, x_rad: Double, y_rad: Double, largest_step_rad: float) -> Double:
    """Mean of v vᵀ of the tracks v of each pointing, shape (pointings, 2, 2); 0 where there is none."""
    position = np.stack([x_rad, y_rad], axis=1)
    step = np.diff(position[visits.field], axis=0)
    length = np.hypot(step[:, 0], step[:, 1])
    dwell = np.maximum(visits.dwell_s[1:], visits.dwell_s[:-1])
    follows = (np.diff(visits.time_s) <= _LARGEST_GAP * dwell) & (length > 0) & (length <= largest_step_rad)
    # The track of a field is half the way from the one before it to the one after it.
    step[~follows] = 0
    neighbours = np.zeros(visits.field.size)
    track = np.zeros((visits.field.size, 2))
    for part in (slice(None, -1), slice(1, None)):
        neighbours[part] += follows
        track[part] += step
    seen = neighbours > 0
    track[seen] /= neighbours[seen, None]
    tensors = np.zeros((x_rad.size, 2, 2))
    np.add.at(tensors, visits.field[seen], np.einsum("ni,nj->nij", track[seen], track[seen]))
    counts = np.bincount(visits.field[seen], minlength=x_rad.size)
    return tensors / np.maximum(counts, 1)[:, None, None]


def _angle_rad(tensors: Double) -> Double:
    """Direction of the largest spread; shape (n,)."""
    angle: Double = np.arctan2(2 * tensors[:, 0, 1], tensors[:, 0, 0] - tensors[:, 1, 1]) / 2
    return angle


def _groups(tensors: Double) -> npt.NDArray[np.int64]:
    """Number the directions of tracks; shape (n,)."""
    angle = _angle_rad(tensors)
    mean = np.angle(np.exp(2j * angle).mean()) / 2
    away = np.degrees(np.angle(np.exp(2j * (angle - mean))) / 2)
    if np.abs(away).max() <= _ALIGNED_DEG:
        return np.zeros(angle.size, dtype=np.int64)
    # 90° away in either sense is the same direction.
    groups: npt.NDArray[np.int64] = np.rint(away / _GROUP_DEG).astype(np.int64) % round(180 / _GROUP_DEG)
    return groups


def _principal(tensor: Double) -> tuple[float, float]:
    """Vector along the largest spread whose length is its root mean square."""
    spread, axes = np.linalg.eigh(tensor)
    x, y = axes[:, 1] * math.sqrt(spread[1])
    return float(x), float(y)
