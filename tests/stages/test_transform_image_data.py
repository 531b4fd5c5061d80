"""Stage 3 on a small measurement set. Oracle: the rows by numpy, the weight 2·Δν·Δt in closed form."""

from __future__ import annotations

import numpy as np
import pytest

from vlasscube import casa
from vlasscube.errors import MeasurementSetError
from vlasscube.measurement_set.working_copy import flag_versions_directory, is_pristine, mark_touched
from vlasscube.stages.context import StageContext
from vlasscube.stages.transform_image_data import TransformInputs, transform_image_data
from vlasscube.workspace.directory import Workspace

from .conftest import digests

pytestmark = pytest.mark.casa
IDS = ("FIELD_ID", "DATA_DESC_ID", "SCAN_NUMBER", "STATE_ID", "ANTENNA1", "ANTENNA2")
OUTPUT = "small_split_split.ms"


def columns(ms, *names):
    """Columns by rows, [corr, chan, row] in the order of ids and time; of one spectral window if of cells."""
    with casa.table(ms) as table:
        return {name: table.getcol(name) for name in names}


def cells(ms, name, spw):
    """Cells of the rows of a spectral window, in the order of time and baseline."""
    with casa.table(ms) as table:
        rows = table.query(f"DATA_DESC_ID=={spw}", sortlist="TIME,ANTENNA1,ANTENNA2")
        try:
            return rows.getcol(name), rows.getcol("FIELD_ID")
        finally:
            rows.close()


@pytest.fixture
def workspace(casa_session, small_ms):
    rng = np.random.default_rng(5)
    with casa.table(small_ms, writable=True) as table:
        for row in range(table.nrows()):
            shape = table.getcell("DATA", row).shape
            table.putcell("DATA", row, rng.normal(size=shape) + 1j * rng.normal(size=shape))
    return Workspace(small_ms.parent)


def run(workspace, field_ids=(0,), spw="1,2", input_ms="small_split.ms"):
    context = StageContext(workspace, "transform_image_data")
    inputs = TransformInputs(input_ms, OUTPUT, field_ids, spw, ("key",))
    return transform_image_data(inputs, context), context


@pytest.mark.parametrize(("field_ids", "spw"), [((0,), "1,2"), ((1, 0), "2")])
def test_the_rows_of_the_fields_with_their_ids(workspace, small_ms, layout, field_ids, spw):
    before = digests(small_ms)
    result, context = run(workspace, field_ids, spw)
    assert digests(small_ms) == before
    made = workspace.working / OUTPUT
    windows = [int(number) for number in spw.split(",")]
    source, target = columns(small_ms, "TIME", *IDS), columns(made, "TIME", *IDS)
    chosen = np.isin(source["FIELD_ID"], field_ids) & np.isin(source["DATA_DESC_ID"], windows)
    rows = {tuple(row) for row in np.stack([source[name] for name in IDS])[:, chosen].T}
    assert {tuple(row) for row in np.stack([target[name] for name in IDS]).T} == rows
    assert target["TIME"].size == np.count_nonzero(chosen) < chosen.size
    for window in windows:
        wanted, field = cells(small_ms, "DATA", window)
        data, _ = cells(made, "DATA", window)
        np.testing.assert_array_equal(data, wanted[:, :, np.isin(field, field_ids)])
        weight, _ = cells(made, "WEIGHT", window)
        expected = 2 * 128e6 / layout.channels[window] * layout.integration_s
        np.testing.assert_allclose(weight, expected, rtol=1e-5)
    assert result.working_ms == OUTPUT
    assert (result.input_ms, result.field_count, result.spw) == (small_ms.name, len(field_ids), spw)
    files = [path for path in made.rglob("*") if path.is_file()]
    assert result.size_bytes == sum(path.stat().st_size for path in files)
    assert context.messages == []
    # Later stages change it.
    assert [(output.path, output.digest) for output in context.outputs] == [(f"working/{OUTPUT}", "")]
    assert is_pristine(made)


def test_again_replaces_what_stood_there_with_all_that_belonged_to_it(workspace):
    run(workspace)
    made = workspace.working / OUTPUT
    first = columns(made, "TIME", "WEIGHT", *IDS)
    with casa.table(made, writable=True) as table:
        table.putcol("WEIGHT", 0 * table.getcol("WEIGHT"))
    mark_touched(made)
    flag_versions_directory(made).mkdir()
    run(workspace)
    for name, values in columns(made, "TIME", "WEIGHT", *IDS).items():
        np.testing.assert_array_equal(values, first[name])
    assert is_pristine(made)
    assert not flag_versions_directory(made).exists()
    run(workspace, spw="2")
    assert set(columns(made, "DATA_DESC_ID")["DATA_DESC_ID"]) == {2}


def test_times_are_those_of_the_fields_that_were_split_off(workspace, small_ms):
    """Field 1 of a larger input was observed four hours later, in a scan of the same number, too."""
    with casa.table(small_ms, writable=True) as table:
        time, field = table.getcol("TIME"), table.getcol("FIELD_ID")
        for name in ("TIME", "TIME_CENTROID"):
            table.putcol(name, table.getcol(name) + np.where(field == 1, 4 * 3600, 0))
        scan, half = table.getcol("SCAN_NUMBER"), table.getcol("INTERVAL") / 2
    result, _ = run(workspace, (0,), "1,2")
    assert [found.number for found in result.scans] == [5, 8]
    for found in result.scans:
        rows = (scan == found.number) & (field == 0)
        assert found.start_mjd_s == pytest.approx((time - half)[rows].min(), abs=1e-6)
        assert found.end_mjd_s == pytest.approx((time + half)[rows].max(), abs=1e-6)
    later, _ = run(workspace, (1,), "1,2")
    assert [found.number for found in later.scans] == [5]
    assert later.scans[0].start_mjd_s > result.scans[0].start_mjd_s + 4 * 3600


@pytest.mark.parametrize("change", [{"input_ms": "gone.ms"}, {"spw": "7"}, {"field_ids": (99,)}])
def test_what_cannot_be_split_leaves_what_stood_there(workspace, change):
    run(workspace)
    before = digests(workspace.working / OUTPUT)
    with pytest.raises(MeasurementSetError, match="cannot be split") as caught:
        run(workspace, **change)
    assert caught.value.hint
    assert digests(workspace.working / OUTPUT) == before
    assert [path.name for path in workspace.working.iterdir()] == [OUTPUT]
