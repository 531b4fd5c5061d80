"""Flag statistics, against flagdata and at the exact thresholds."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vlasscube.errors import MeasurementSetError
from vlasscube.measurement_set import flags
from vlasscube.measurement_set.flags import (
    PlaneRejectionMs,
    count_flags,
    flags_by_spw,
    group_flags,
    incomplete_by_spw,
    reject_by_flags,
    unflagged_channels,
)
from vlasscube.records import FieldFlags, FlagCount


def fields_of(*counts, spw=2):
    """One field for each (flagged, total)."""
    return tuple(
        FieldFlags(number, str(number), 1, {spw: FlagCount(*count)} if count[1] else {})
        for number, count in enumerate(counts)
    )


def test_group_sums():
    fields = (
        FieldFlags(7, "a", 1, {2: FlagCount(1, 10), 3: FlagCount(2, 20)}),
        FieldFlags(9, "b", 1, {2: FlagCount(4, 40)}),
    )
    assert group_flags(fields, (2, 3), None) == FlagCount(7, 70)
    assert group_flags(fields, (2,), (9,)) == FlagCount(4, 40)
    assert flags_by_spw(fields) == {2: FlagCount(5, 50), 3: FlagCount(2, 20)}


@pytest.mark.parametrize(("spws", "ids"), [((5,), None), ((2,), ()), ((2,), (99,)), ((), None)])
def test_nothing_is_zero_not_nan(spws, ids):
    count = group_flags(fields_of((1, 2)), spws, ids)
    assert count == FlagCount(0, 0)
    assert count.fraction is None


@pytest.mark.parametrize(
    ("above", "at", "nfield", "rejected"),
    [
        (11, 50, 12, False),
        (12, 0, 12, True),
        (13, 0, 12, True),
        (0, 50, 1, False),
        (1, 0, 1, True),
        (0, 0, 1, False),
    ],
)
def test_thresholds(above, at, nfield, rejected):
    """Fields above 90 % count, those at exactly 90 % do not; from 12 fields on the plane is rejected."""
    fields = fields_of(*[(901, 1000)] * above, *[(900, 1000)] * at, *[(0, 0)] * 5)
    verdict = reject_by_flags(fields, (2,), range(len(fields)), PlaneRejectionMs(nfield_thresh=nfield))
    assert (verdict.rejected, verdict.field_count) == (rejected, above)


@pytest.mark.parametrize("total", [10, 1000, 123_450])
@pytest.mark.parametrize("percent", [80, 90, 100])
def test_exact_fractions_do_not_count(total, percent):
    fields = fields_of((total * percent // 100, total))
    options = PlaneRejectionMs(flagpct_thresh=percent / 100, nfield_thresh=1)
    assert reject_by_flags(fields, (2,), (0,), options).field_count == 0


def test_only_fields_of_the_box_and_only_if_applied():
    fields = fields_of(*[(10, 10)] * 20)
    assert reject_by_flags(fields, (2,), range(11), PlaneRejectionMs()).field_count == 11
    assert reject_by_flags(fields, (2,), range(20), PlaneRejectionMs()).rejected
    off = reject_by_flags(fields, (2,), range(20), PlaneRejectionMs(apply=False))
    assert (off.rejected, off.field_count) == (False, 20)
    assert not reject_by_flags(fields, (2, 3), range(20), PlaneRejectionMs(exclude_spw="3,4")).rejected
    assert reject_by_flags(fields, (2,), range(20), PlaneRejectionMs(exclude_spw="3,22")).rejected


@given(st.lists(st.tuples(st.integers(0, 10), st.integers(1, 10)).map(sorted).map(tuple), max_size=30))
def test_sums_do_not_depend_on_how_they_are_split(counts):
    fields = fields_of(*counts)
    whole = group_flags(fields, (2,), None)
    parts = [group_flags(fields, (2,), (number,)) for number in range(len(fields))]
    assert sum(parts, FlagCount(0, 0)) == whole
    assert whole == FlagCount(sum(f for f, _ in counts), sum(t for _, t in counts))


# --------------------------------------------------------------------------------- measurement sets


@pytest.fixture
def flagged_ms(small_ms, layout):
    """Random flags; spectral window 2 completely flagged in field 1."""
    from vlasscube import casa

    rng = np.random.default_rng(5)
    with casa.table(small_ms, writable=True) as table:
        descriptions, fields = table.getcol("DATA_DESC_ID"), table.getcol("FIELD_ID")
        for row in range(table.nrows()):
            shape = (4, layout.channels[descriptions[row]])
            flag = rng.random(shape) < 0.3
            if descriptions[row] == 1:
                flag[:, 0] = True
            if descriptions[row] == 2 and fields[row] == 1:
                flag[:] = True
            table.putcell("FLAG", row, flag)
        table.putcol("FLAG_ROW", np.zeros(table.nrows(), bool))
    return small_ms


@pytest.mark.casa
def test_counts_are_those_of_flagdata(flagged_ms, monkeypatch):
    from vlasscube import casa

    found = count_flags(flagged_ms, range(4))
    summary = casa.run_task("flagdata", vis=str(flagged_ms), mode="summary", fieldcnt=True)
    assert {field.name for field in found} == {
        key for key in summary if isinstance(summary[key], dict) and "spw" in summary[key]
    }
    for field in found:
        oracle = summary[field.name]["spw"]
        assert field.by_spw == {
            int(spw): FlagCount(int(value["flagged"]), int(value["total"]))
            for spw, value in oracle.items()
            if value["total"]
        }
    assert [(field.field_id, field.scan) for field in found] == [(0, 5), (1, 5), (2, 3)]
    assert found[1].by_spw[2].fraction == 1

    monkeypatch.setattr(flags, "_CHUNK_BYTES", 100)
    assert count_flags(flagged_ms, range(4)) == found
    (only,) = {tuple(field.by_spw) for field in count_flags(flagged_ms, [2])}
    assert only == (2,)
    assert count_flags(flagged_ms, [3, 17]) == ()


@pytest.mark.casa
def test_a_flagged_row_counts_as_tclean_has_it(flagged_ms):
    """All of it, whatever FLAG says, and nothing besides."""
    from vlasscube import casa

    before = count_flags(flagged_ms, range(4))
    with casa.table(flagged_ms, writable=True) as table:
        flag_row = np.random.default_rng(7).random(table.nrows()) < 0.2
        table.putcol("FLAG_ROW", flag_row)
        descriptions, fields = table.getcol("DATA_DESC_ID"), table.getcol("FIELD_ID")
        cells = [table.getcell("FLAG", row) for row in range(table.nrows())]
    found = count_flags(flagged_ms, range(4))
    assert found != before
    for field in found:
        for spw, count in field.by_spw.items():
            rows = np.flatnonzero((descriptions == spw) & (fields == field.field_id))
            expected = sum(cells[row].size if flag_row[row] else int(cells[row].sum()) for row in rows)
            assert count == FlagCount(expected, sum(cells[row].size for row in rows))


@pytest.mark.casa
def test_one_flagged_correlation_takes_the_others_with_it(flagged_ms):
    from vlasscube import casa

    with casa.table(flagged_ms, writable=True) as table:
        flag_row = np.random.default_rng(7).random(table.nrows()) < 0.2
        table.putcol("FLAG_ROW", flag_row)
        descriptions, fields = table.getcol("DATA_DESC_ID"), table.getcol("FIELD_ID")
        cells = [table.getcell("FLAG", row) | flag_row[row] for row in range(table.nrows())]
    found = count_flags(flagged_ms, range(4))
    for field in found:
        for spw in field.by_spw:
            rows = np.flatnonzero((descriptions == spw) & (fields == field.field_id))
            expected = sum(int((~cells[row] & cells[row].any(axis=0)).sum()) for row in rows)
            assert field.incomplete.get(spw, 0) == expected
    assert incomplete_by_spw(found)[1] == sum(field.incomplete.get(1, 0) for field in found) > 0


@pytest.mark.casa
def test_unflagged_channels(flagged_ms, monkeypatch):
    """Those of which tclean images a row: with all four correlations, and not flagged as a whole."""
    from vlasscube import casa

    with casa.table(flagged_ms, writable=True) as table:
        descriptions = table.getcol("DATA_DESC_ID")
        last, partly = np.flatnonzero(descriptions == 0)[-1], np.flatnonzero(descriptions == 1)
        for row in range(table.nrows()):
            flag = table.getcell("FLAG", row)
            flag[2, 1] |= row in partly
            # In the first window one row is left, flagged as a whole.
            flag[:] |= descriptions[row] == 0 and row != last
            table.putcell("FLAG", row, flag & (row != last))
        flag_row = np.arange(table.nrows()) == last
        table.putcol("FLAG_ROW", flag_row)
        cells = [table.getcell("FLAG", row) | flag_row[row] for row in range(table.nrows())]
    expected = []
    for spw in range(3):
        imaged = [~cells[row].any(axis=0) for row in np.flatnonzero(descriptions == spw)]
        expected.append(int(np.any(imaged, axis=0).sum()))
    assert expected == [0, 2, 4]
    assert [unflagged_channels(flagged_ms, spw) for spw in range(4)] == [*expected, 0]
    assert unflagged_channels(flagged_ms, 17) == 0
    monkeypatch.setattr(flags, "_CHUNK_BYTES", 100)
    assert [unflagged_channels(flagged_ms, spw) for spw in range(4)] == [*expected, 0]


@pytest.mark.casa
def test_no_measurement_set(tmp_path):
    with pytest.raises(MeasurementSetError):
        count_flags(tmp_path / "none.ms", [2])
    with pytest.raises(MeasurementSetError):
        unflagged_channels(tmp_path / "none.ms", 2)
