"""When the targets of a measurement set were observed, scan by scan."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from vlasscube import casacore_tables
from vlasscube.measurement_set.selection import TARGET_INTENT
from vlasscube.records import Scan

_CHUNK_ROWS = 1_000_000


def observed_scans(ms: Path) -> tuple[Scan, ...]:
    """Scans of the targets of a measurement set.

    Parameters
    ----------
    ms : Path
        Measurement set; it is opened for reading.

    Returns
    -------
    tuple of Scan
        By observation and number. First and last time are those of the rows with a target intent, whatever
        is flagged, intervals included: of a set that was split off another one, not those of the whole scan.
    """
    with casacore_tables.table(ms / "STATE") as states:
        modes = [str(mode) for mode in states.getcol("OBS_MODE")] if states.nrows() else []
    targets = [number for number, mode in enumerate(modes) if TARGET_INTENT in mode]
    found: dict[tuple[int, int], tuple[float, float, set[int]]] = {}
    with casacore_tables.table(ms) as table:
        rows = int(table.nrows())
        for start in range(0, rows, _CHUNK_ROWS):
            _add_rows(found, table, start, min(_CHUNK_ROWS, rows - start), targets)
    return tuple(
        Scan(
            number,
            begin,
            end,
            tuple(sorted({part.strip() for state in states for part in modes[state].split(",")})),
            observation,
        )
        for (observation, number), (begin, end, states) in sorted(found.items())
    )


def _add_rows(
    found: dict[tuple[int, int], tuple[float, float, set[int]]],
    table: Any,
    start: int,
    count: int,
    targets: list[int],
) -> None:
    def read(name: str, dtype: type) -> npt.NDArray[Any]:
        return casacore_tables.read_column(table, name, dtype, start=start, rows=count)

    state = read("STATE_ID", np.int32)
    chosen = np.flatnonzero(np.isin(state, targets))
    if not chosen.size:
        return
    keys = np.stack([read("OBSERVATION_ID", np.int32), read("SCAN_NUMBER", np.int32), state])[:, chosen]
    middle, half = read("TIME", np.float64)[chosen], read("INTERVAL", np.float64)[chosen] / 2
    # Rows are in the order of time, so there are far fewer changes than rows.
    starts = np.concatenate([[0], 1 + np.flatnonzero((np.diff(keys, axis=1) != 0).any(axis=0))])
    begins, ends = np.minimum.reduceat(middle - half, starts), np.maximum.reduceat(middle + half, starts)
    for index, first in enumerate(starts):
        observation, number, of = (int(value) for value in keys[:, first])
        known = found.get((observation, number), (float(begins[index]), float(ends[index]), set()))
        found[observation, number] = (
            min(known[0], float(begins[index])),
            max(known[1], float(ends[index])),
            known[2] | {of},
        )
