"""Measurement sets as CASA's tasks and users leave them: odd, valid, and read as what they hold.

The oracle is the same measurement set without the oddity.
"""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from casacore.tables import makearrcoldesc, makescacoldesc, maketabdesc
from casacore.tables import table as new_table

from vlasscube import casa
from vlasscube.casacore_tables import table
from vlasscube.errors import MeasurementSetError
from vlasscube.measurement_set.inspection import inspect_measurement_set
from vlasscube.measurement_set.lean_input import KEPT_SUBTABLES, split_input
from vlasscube.measurement_set.metadata import require_science_windows, summarise_measurement_set
from vlasscube.measurement_set.restore import drop_virtual_model
from vlasscube.measurement_set.selection import (
    data_selection,
    majority_antennas,
    middle_of_observation_mjd_s,
    target_scans,
)
from vlasscube.measurement_set.unusable_data import flag_unusable_results
from vlasscube.measurement_set.visibilities import read_visibilities
from vlasscube.measurement_set.working_copy import make_working_copy
from vlasscube.workspace.files import digest

pytestmark = pytest.mark.casa

TARGETS, WINDOWS = (0, 1), "1,2"


def put(path, column, value, row=0):
    with table(path, writable=True) as opened:
        opened.putcell(column, row, value)


def split(ms, output):
    before = digest(ms)
    make_working_copy(ms, output, TARGETS, WINDOWS)
    assert digest(ms) == before
    assert not list(output.parent.glob(".*partial"))
    return output


def visibilities_of(working, ms, spw="1"):
    summary = summarise_measurement_set(ms)
    selection = data_selection(summary, TARGETS, spw, "")
    return read_visibilities(working, selection, column="data")


def assert_same_data(found, expected):
    for name in ("DATA", "FLAG", "WEIGHT", "UVW", "TIME", "FIELD_ID", "DATA_DESC_ID"):
        with table(found) as left, table(expected) as right:
            np.testing.assert_array_equal(left.getcol(name), right.getcol(name), err_msg=name)


@pytest.fixture
def plain_working(pristine_ms, tmp_path):
    return split(pristine_ms, tmp_path / "plain" / "working.ms")


# ------------------------------------------------------------------------------------- columns of records


def test_virtual_model_in_source(small_ms, tmp_path, plain_working):
    """As setjy(usescratch=False) leaves it: a column of records, which CASA's table tool cannot read."""
    casa.run_task(
        "setjy", vis=str(small_ms), field="2", standard="manual", fluxdensity=[1, 0, 0, 0], usescratch=False
    )
    with table(small_ms / "SOURCE") as source:
        assert source.coldatatype("SOURCE_MODEL") == "record"
    summary = inspect_measurement_set(small_ms)
    assert require_science_windows(summary) == (1, 2)
    working = split(small_ms, tmp_path / "out" / "working.ms")
    drop_virtual_model(working)
    assert_same_data(working, plain_working)


@pytest.mark.parametrize(
    "name", ["FIELD", "SOURCE", "ANTENNA", "SPECTRAL_WINDOW", "POINTING", "FEED", "STATE"]
)
def test_columns_of_records_in_any_subtable(small_ms, tmp_path, name):
    with table(small_ms / name, writable=True) as opened:
        opened.addcols(maketabdesc([makescacoldesc("EXTRA", {}, valuetype="record")]))
        opened.addcols(maketabdesc([makearrcoldesc("EMPTY_CELLS", 0.0, ndim=1)]))
    assert inspect_measurement_set(small_ms).rows
    split(small_ms, tmp_path / "out" / "working.ms")


# ---------------------------------------------------------------------------------------- long subtables


def test_subtables_that_nothing_reads_are_left_empty(small_ms, tmp_path, plain_working):
    names = ("SYSPOWER", "CALDEVICE", "ASDM_ANTENNA")
    description = maketabdesc([makescacoldesc("ANTENNA_ID", 0), makescacoldesc("TIME", 0.0)])
    for name in names:
        if not (small_ms / name).exists():
            new_table(str(small_ms / name), description, nrow=50, ack=False).close()
            with table(small_ms, writable=True) as opened:
                opened.putkeyword(name, f"Table: {small_ms / name}")
    with table(small_ms / "POINTING") as opened:
        assert opened.nrows()
    inspect_measurement_set(small_ms)
    working = split(small_ms, tmp_path / "out" / "working.ms")
    assert_same_data(working, plain_working)
    for name in ("POINTING", "FLAG_CMD", *names):
        with table(working / name) as copied, table(small_ms / name) as original:
            assert copied.nrows() == 0
            assert set(copied.colnames()) == set(original.colnames())
    for name in set(KEPT_SUBTABLES) - {"HISTORY"}:
        with table(working / name) as copied, table(small_ms / name) as original:
            assert copied.nrows() == original.nrows()


def test_optional_subtable_that_was_deleted(small_ms, tmp_path):
    new_table(str(small_ms / "SYSPOWER"), maketabdesc([makescacoldesc("TIME", 0.0)]), ack=False).close()
    with table(small_ms, writable=True) as opened:
        opened.putkeyword("SYSPOWER", f"Table: {small_ms / 'SYSPOWER'}")
    shutil.rmtree(small_ms / "SYSPOWER")
    assert inspect_measurement_set(small_ms).rows
    assert split(small_ms, tmp_path / "out" / "working.ms").is_dir()


def test_stand_in_leaves_nothing_behind(small_ms, tmp_path):
    def stopped():
        with split_input(small_ms, tmp_path / "out") as lean:
            assert lean.name == small_ms.name
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        stopped()
    assert list((tmp_path / "out").iterdir()) == []


# ------------------------------------------------------------------------------------- rest frequencies


def fill_sources(ms, rest_frequency_hz):
    """Give each field a source."""
    with table(ms / "FIELD", writable=True) as opened:
        count = opened.nrows()
        opened.putcol("SOURCE_ID", np.arange(count, dtype=np.int32))
    with table(ms / "SOURCE", writable=True) as opened:
        opened.addrows(count - opened.nrows())
        for row in range(count):
            opened.putcell("SOURCE_ID", row, row)
            opened.putcell("SPECTRAL_WINDOW_ID", row, -1)
            opened.putcell("REST_FREQUENCY", row, np.array(rest_frequency_hz))


REST_FREQUENCIES = [[-1.0], [0.0], [np.nan], [np.inf], [], [-1.0, 3e9], None]


@pytest.mark.parametrize("value", REST_FREQUENCIES, ids=str)
def test_rest_frequencies_that_are_none(small_ms, tmp_path, value):
    fill_sources(small_ms, value or [])
    if value is None:
        with table(small_ms / "SOURCE", writable=True) as opened:
            opened.removecols("REST_FREQUENCY")
    inspect_measurement_set(small_ms)
    assert visibilities_of(small_ms, small_ms).rest_frequency_hz == 0.0
    working = split(small_ms, tmp_path / "out" / "working.ms")
    assert visibilities_of(working, small_ms).rest_frequency_hz == 0.0
    with table(working / "SOURCE") as opened:
        for row in range(opened.nrows() if value is not None else 0):
            assert opened.getcell("REST_FREQUENCY", row).size == 0


def test_rest_frequency_that_is_one(small_ms, tmp_path):
    fill_sources(small_ms, [1.42e9])
    working = split(small_ms, tmp_path / "out" / "working.ms")
    assert visibilities_of(working, small_ms).rest_frequency_hz == 1.42e9


# ---------------------------------------------------------------------------------- columns without cells


@pytest.mark.parametrize("filled", [0, 1])
def test_weight_spectrum_without_cells(small_ms, tmp_path, plain_working, filled):
    with table(small_ms, writable=True) as opened:
        for name in ("WEIGHT_SPECTRUM", "SIGMA_SPECTRUM"):
            if name not in opened.colnames():
                opened.addcols(makearrcoldesc(name, 0.0, ndim=2, valuetype="float"))
            for row in range(filled):
                opened.putcell(name, row, np.ones(opened.getcell("FLAG", row).shape, np.float32))
    inspect_measurement_set(small_ms)
    working = split(small_ms, tmp_path / "out" / "working.ms")
    assert_same_data(working, plain_working)
    expected = visibilities_of(plain_working, small_ms).spectral_windows[0].weight
    found = visibilities_of(working, small_ms).spectral_windows[0].weight
    np.testing.assert_array_equal(found, expected)
    with table(working, writable=True) as opened:
        opened.renamecol("DATA", "CORRECTED_DATA")
    assert flag_unusable_results(working).bad_weights == 0


def test_rows_without_visibilities(small_ms, tmp_path):
    """Of another band they do not matter; of the survey's they are named with what removes them."""
    with table(small_ms, writable=True) as opened:
        descriptions = opened.getcol("DATA_DESC_ID")
        description = opened.getcoldesc("DATA")
        opened.renamecol("DATA", "FULL")
        opened.addcols(maketabdesc([{"name": "DATA", "desc": {**description, "dataManagerGroup": "New"}}]))
        for row in np.flatnonzero(descriptions != 0):
            opened.putcell("DATA", int(row), opened.getcell("FULL", int(row)))
    assert require_science_windows(inspect_measurement_set(small_ms)) == (1, 2)
    split(small_ms, tmp_path / "out" / "working.ms")
    with table(small_ms, writable=True) as opened:
        opened.removecols("DATA")
        opened.addcols(maketabdesc([{"name": "DATA", "desc": {**description, "dataManagerGroup": "New"}}]))
    with pytest.raises(MeasurementSetError, match=r"DATA of .* is empty in row") as caught:
        inspect_measurement_set(small_ms)
    assert "DELETE FROM" in caught.value.hint


# ----------------------------------------------------------------------------------------------- antennas


def test_places_without_an_antenna(small_ms, tmp_path):
    expected = visibilities_of(small_ms, small_ms).fields[0].lsrk_factor
    before = majority_antennas(summarise_measurement_set(small_ms).antennas)
    with table(small_ms / "ANTENNA", writable=True) as opened:
        count = opened.nrows()
        opened.addrows(5)
        for row in range(count, count + 5):
            opened.putcell("NAME", row, "")
            opened.putcell("POSITION", row, np.zeros(3))
            opened.putcell("DISH_DIAMETER", row, 0.0 if row > count else np.nan)
    summary = inspect_measurement_set(small_ms)
    assert len(summary.antennas) == count + 5
    assert majority_antennas(summary.antennas) == before
    working = split(small_ms, tmp_path / "out" / "working.ms")
    assert visibilities_of(working, small_ms).fields[0].lsrk_factor == expected


# ------------------------------------------------------------------------------------------- correlations


def append_rows_with_two_correlations(ms, spw):
    """Rows of a window again, with RR and LL alone, under a data description of their own."""
    with table(ms / "POLARIZATION", writable=True) as opened:
        polarization = opened.nrows()
        opened.addrows(1)
        opened.putcell("NUM_CORR", polarization, 2)
        opened.putcell("CORR_TYPE", polarization, np.array([5, 8], np.int32))
        opened.putcell("CORR_PRODUCT", polarization, np.array([[0, 0], [1, 1]], np.int32))
    with table(ms / "DATA_DESCRIPTION", writable=True) as opened:
        description = opened.nrows()
        opened.addrows(1)
        opened.putcell("SPECTRAL_WINDOW_ID", description, spw)
        opened.putcell("POLARIZATION_ID", description, polarization)
    with table(ms, writable=True) as opened:
        rows = np.flatnonzero(opened.getcol("DATA_DESC_ID") == spw)
        start = opened.nrows()
        opened.addrows(len(rows))
        for name in opened.colnames():
            for to, row in enumerate(map(int, rows), start):
                if opened.iscelldefined(name, row):
                    cell = opened.getcell(name, row)
                    if name in ("DATA", "FLAG", "WEIGHT", "SIGMA"):
                        cell = np.ascontiguousarray(cell[..., :2])
                    opened.putcell(name, to, cell)
        opened.putcol("DATA_DESC_ID", np.full(len(rows), description, np.int32), start, len(rows))


def test_calibrators_with_other_correlations(small_ms):
    """X band with RR and LL alone, beside what is imaged, which has all four."""
    append_rows_with_two_correlations(small_ms, 0)
    summary = inspect_measurement_set(small_ms)
    assert require_science_windows(summary) == (1, 2)
    assert summary.correlations == ("RR", "RL", "LR", "LL")


def test_targets_with_other_correlations(small_ms):
    append_rows_with_two_correlations(small_ms, 1)
    with pytest.raises(MeasurementSetError, match=r"RL, LR|RR LL"):
        inspect_measurement_set(small_ms)


# -------------------------------------------------------------------------------------- two observations


@pytest.mark.parametrize("days", [0.01, 30.0, 900.0])
def test_two_observations_in_one_set(small_ms, tmp_path, days):
    """A user's concat, at the border of two tiles: numbers of scans come again."""
    other = tmp_path / "other.ms"
    shutil.copytree(small_ms, other)
    seconds = days * 86400
    for name in ("TIME", "TIME_CENTROID"):
        with table(other, writable=True) as opened:
            opened.putcol(name, opened.getcol(name) + seconds)
    with table(other / "OBSERVATION", writable=True) as opened:
        opened.putcell("PROJECT", 0, "another")
        opened.putcol("TIME_RANGE", opened.getcol("TIME_RANGE") + seconds)
    both = tmp_path / "both.ms"
    casa.run_task("concat", vis=[str(small_ms), str(other)], concatvis=str(both))
    with table(both, writable=True) as opened:
        observation = opened.getcol("OBSERVATION_ID")
        assert set(observation) == {0, 1}
        # CASA of today counts on; concats of others, and of observations in one, have numbers twice.
        scan = opened.getcol("SCAN_NUMBER")
        opened.putcol(
            "SCAN_NUMBER", np.where(observation == 1, scan - scan[observation == 1].min() + 3, scan)
        )
    one, two = summarise_measurement_set(small_ms), inspect_measurement_set(both)
    assert [(scan.observation, scan.number) for scan in two.scans] == [
        (observation, scan.number) for observation in (0, 1) for scan in one.scans
    ]
    for scan in two.scans:
        assert scan.end_mjd_s - scan.start_mjd_s < 60
    assert target_scans(two, TARGETS) == target_scans(one, TARGETS)
    middle = middle_of_observation_mjd_s(two.scans)
    if days > 1:
        # Not in the time between them, when nothing was observed.
        assert any(abs(middle - start) < 60 for start in (one.start_mjd_s, one.start_mjd_s + seconds))
    else:
        assert middle == 0.5 * (two.start_mjd_s + two.end_mjd_s)
    working = split(both, tmp_path / "out" / "working.ms")
    found = visibilities_of(working, both).spectral_windows[0]
    expected = visibilities_of(small_ms, small_ms).spectral_windows[0]
    assert found.row.size == 2 * expected.row.size
    assert np.isclose(found.time_mjd_s.max() - expected.time_mjd_s.max(), seconds, atol=1e-3)
