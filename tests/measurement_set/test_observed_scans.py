"""Scans of the targets of a measurement set. Oracle: its rows, by numpy."""

from __future__ import annotations

import numpy as np
import pytest

from vlasscube import casa
from vlasscube.measurement_set import observed_scans as module
from vlasscube.measurement_set.observed_scans import observed_scans

pytestmark = pytest.mark.casa


def put(ms, name, values):
    with casa.table(ms, writable=True) as table:
        table.putcol(name, values)


def get(ms, *names):
    with casa.table(ms) as table:
        return [table.getcol(name) for name in names]


@pytest.mark.parametrize("chunk", [7, 1_000_000])
def test_first_and_last_time_of_the_targets(small_ms, monkeypatch, chunk):
    """A row of a calibrator within a scan of the targets, and hours before it, is none of theirs."""
    monkeypatch.setattr(module, "_CHUNK_ROWS", chunk)
    scan, state, time, interval = get(small_ms, "SCAN_NUMBER", "STATE_ID", "TIME", "INTERVAL")
    first = np.flatnonzero(scan == 5)[0]
    state[first], time[first] = 1, time[first] - 4 * 3600
    observation = np.where(scan == 8, 1, 0).astype(np.int32)
    for name, values in (("STATE_ID", state), ("TIME", time), ("OBSERVATION_ID", observation)):
        put(small_ms, name, values)
    found = observed_scans(small_ms)
    assert [(s.observation, s.number) for s in found] == [(0, 5), (1, 8)]
    for number, seen in zip((5, 8), found, strict=True):
        rows = (scan == number) & (state == 0)
        assert seen.start_mjd_s == (time - interval / 2)[rows].min()
        assert seen.end_mjd_s == (time + interval / 2)[rows].max()
        assert seen.intents == ("OBSERVE_TARGET#UNSPECIFIED",)
    assert found[0].end_mjd_s - found[0].start_mjd_s < 60


def test_flags_are_nothing_to_it(small_ms):
    before = observed_scans(small_ms)
    with casa.table(small_ms, writable=True) as table:
        table.putcol("FLAG_ROW", np.ones(table.nrows(), bool))
    assert observed_scans(small_ms) == before


def test_no_targets(small_ms):
    (state,) = get(small_ms, "STATE_ID")
    put(small_ms, "STATE_ID", np.full_like(state, -1))
    assert observed_scans(small_ms) == ()
