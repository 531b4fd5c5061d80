"""What the rows of a main table say, read in pieces."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vlasscube.constants import DAY_S

_CHUNK_ROWS = 1_000_000
_TIMES_MJD = (42778.0, 88069.0)
"""From 1976, the first antennas of the VLA, to 2100: what lies outside is no time of an observation, and
would end CASA's process instead of raising an error."""
_MAX_DAYS = 100.0
"""Between the first and the last time of an observation; an epoch of the survey takes half a year, one of
its tiles less."""
_ID_COLUMNS = (
    "DATA_DESC_ID", "FIELD_ID", "STATE_ID", "ANTENNA1", "ANTENNA2", "FEED1", "FEED2", "OBSERVATION_ID",
    "PROCESSOR_ID", "ARRAY_ID", "SCAN_NUMBER",
)  # fmt: skip


@dataclass
class MainTableRows:
    """What the rows of the main table say, gathered piece by piece."""

    rows_by_description: NDArray[np.int64]
    last_rows: NDArray[np.int64]
    """By description, -1 for none."""
    rows: int = 0
    antennas: set[int] = field(default_factory=set)
    """Antennas with data."""
    integration_s: float = 0.0
    fields: dict[int, tuple[int, set[int]]] = field(default_factory=dict)
    """First scan, and states, by field."""
    scans: dict[tuple[int, int], tuple[float, float, set[int]]] = field(default_factory=dict)
    """Start, end, and states, by observation and scan: several observations in one set repeat numbers."""

    def add(self, number: int, observation: int, scan: int, state: int, start: float, end: float) -> None:
        """Add rows of one field, observation, scan and state; state -1 stands for none."""
        states = {state} if state >= 0 else set()
        first, field_states = self.fields.get(number, (scan, set()))
        self.fields[number] = (min(first, scan), field_states | states)
        key = observation, scan
        known_start, known_end, scan_states = self.scans.get(key, (start, end, set()))
        self.scans[key] = (min(known_start, start), max(known_end, end), scan_states | states)


def scan_main_table(
    table: Any, limits: Mapping[str, tuple[int, int]], description_count: int
) -> MainTableRows:
    """Read ids and times of all rows.

    Parameters
    ----------
    table : casatools table
        Main table, with rows.
    limits : mapping of str to tuple of int
        Lowest and highest id that a column may have; every column of ids is in it.
    description_count : int
        Rows of DATA_DESCRIPTION.

    Raises
    ------
    ValueError
        If ids or times are none.
    """
    found = MainTableRows(np.zeros(description_count, np.int64), np.full(description_count, -1, np.int64))
    for columns in _column_chunks(table):
        for name in _ID_COLUMNS:
            _check_ids(name, columns[name], *limits[name])
        _check_times(columns["TIME"], columns["INTERVAL"])
        if not found.rows:
            found.integration_s = float(np.median(columns["INTERVAL"]))
            if not found.integration_s > 0:
                raise ValueError(f"the integration time (INTERVAL) is {found.integration_s:g} s")
        for name in ("ANTENNA1", "ANTENNA2"):
            found.antennas.update(int(number) for number in np.unique(columns[name]))
        descriptions = columns["DATA_DESC_ID"]
        # Of several assignments to an element the last one stays.
        found.last_rows[descriptions] = found.rows + np.arange(descriptions.size)
        found.rows += int(descriptions.size)
        found.rows_by_description += np.bincount(descriptions, minlength=description_count)
        _add_runs(found, columns)
    _check_span(found)
    return found


def _check_ids(name: str, values: NDArray[np.int64], low: int, high: int) -> None:
    if values.min() < low or values.max() > high:
        raise ValueError(f"{name} goes from {values.min()} to {values.max()}, expected {low} to {high}")


def _check_span(found: MainTableRows) -> None:
    spans: dict[int, tuple[float, float]] = {}
    for (observation, _), (start, end, _) in found.scans.items():
        low, high = spans.get(observation, (start, end))
        spans[observation] = min(low, start), max(high, end)
    for low, high in spans.values():
        if high - low > _MAX_DAYS * DAY_S:
            raise ValueError(
                f"its times go from MJD {low / DAY_S:.8g} to {high / DAY_S:.8g}, expected one observation "
                f"(at most {_MAX_DAYS:.0f} days)"
            )


def _check_times(times: NDArray[np.float64], intervals: NDArray[np.float64]) -> None:
    if not (np.isfinite(times).all() and np.isfinite(intervals).all()):
        raise ValueError("TIME or INTERVAL is not finite")
    low, high = float(times.min()) / DAY_S, float(times.max()) / DAY_S
    if not _TIMES_MJD[0] <= low <= high <= _TIMES_MJD[1]:
        raise ValueError(
            f"its times go from MJD {low:.6g} to {high:.6g}, expected between {_TIMES_MJD[0]:.0f} (1976) "
            f"and {_TIMES_MJD[1]:.0f} (2100)"
        )


def _add_runs(found: MainTableRows, columns: dict[str, NDArray[Any]]) -> None:
    names = ("FIELD_ID", "OBSERVATION_ID", "SCAN_NUMBER", "STATE_ID")
    keys = np.stack([columns[name] for name in names])
    # Rows are in the order of time, so there are far fewer changes than rows.
    starts = np.concatenate([[0], 1 + np.flatnonzero((np.diff(keys, axis=1) != 0).any(axis=0))])
    low = np.minimum.reduceat(columns["TIME"] - columns["INTERVAL"] / 2, starts)
    high = np.maximum.reduceat(columns["TIME"] + columns["INTERVAL"] / 2, starts)
    for index, begin in enumerate(starts):
        number, observation, scan, state = (int(value) for value in keys[:, begin])
        found.add(number, observation, scan, state, float(low[index]), float(high[index]))


def _column_chunks(table: Any) -> Iterator[dict[str, NDArray[Any]]]:
    names = (*_ID_COLUMNS, "TIME", "INTERVAL")
    rows = int(table.nrows())
    for start in range(0, rows, _CHUNK_ROWS):
        count = min(_CHUNK_ROWS, rows - start)
        yield {name: np.asarray(table.getcol(name, start, count)) for name in names}
