"""Stage 1 on a small measurement set. Oracle: its tables by CASA's table tool and numpy."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

from vlasscube import casa
from vlasscube.errors import MeasurementSetError, WorkspaceError
from vlasscube.options import RunOptions
from vlasscube.recipe import IMPORT_DATA
from vlasscube.results.reading import InputSource
from vlasscube.run.steps import step_key
from vlasscube.run.wiring import prepare_step
from vlasscube.stages.context import StageContext
from vlasscube.stages.import_data import import_data, import_inputs
from vlasscube.workspace.directory import Workspace

from .conftest import digests

pytestmark = pytest.mark.casa


@pytest.fixture
def workspace(casa_session, small_ms):
    return Workspace(small_ms.parent)


def run(workspace):
    context = StageContext(workspace, "import_data")
    return import_data(import_inputs(InputSource(workspace, RunOptions())), context), context


def test_summary_is_of_the_tables(workspace, small_ms, layout):
    with casa.table(small_ms) as table:
        columns = ("TIME", "INTERVAL", "FIELD_ID", "DATA_DESC_ID", "SCAN_NUMBER")
        main = {name: table.getcol(name) for name in columns}
    before = digests(small_ms)
    result, context = run(workspace)
    assert digests(small_ms) == before
    summary = result.summary
    assert (summary.name, summary.telescope, summary.rows) == (small_ms.name, "EVLA", main["TIME"].size)
    assert summary.correlations == ("RR", "RL", "LR", "LL")
    assert summary.start_mjd_s == pytest.approx((main["TIME"] - main["INTERVAL"] / 2).min(), abs=1e-6)
    assert summary.end_mjd_s == pytest.approx((main["TIME"] + main["INTERVAL"] / 2).max(), abs=1e-6)
    # The last window has no data; the first is not one of the survey's S band.
    assert {w.id: w.rows for w in summary.spectral_windows} == {
        spw: np.count_nonzero(main["DATA_DESC_ID"] == spw) for spw in range(3)
    }
    assert summary.spectral_window_count == len(layout.channels)
    for window in summary.spectral_windows:
        assert window.mean_frequency_hz == pytest.approx(layout.mean_frequencies_hz[window.id], rel=1e-12)
        assert window.bandwidth_hz == pytest.approx(128e6)
        assert window.channel_width_hz == pytest.approx(128e6 / layout.channels[window.id])
    for field in summary.fields:
        name, ra, dec = layout.fields[field.id]
        assert (field.name, field.ra_deg) == (name, pytest.approx(ra))
        assert field.dec_deg == pytest.approx(dec)
        assert field.scan == main["SCAN_NUMBER"][main["FIELD_ID"] == field.id].min()
        assert field.intent_target == (field.id != 2)
    assert [scan.number for scan in summary.scans] == sorted(set(main["SCAN_NUMBER"]))
    assert result.science_spws == (1, 2)
    assert (context.outputs, context.messages) == ([], [])


def test_twice_is_the_same_and_an_altered_measurement_set_is_another(workspace, small_ms):
    source = InputSource(workspace, RunOptions())
    first = prepare_step(IMPORT_DATA, source).inputs
    result, _ = run(workspace)
    again = prepare_step(IMPORT_DATA, source).inputs
    assert run(workspace)[0] == result
    assert step_key("import_data", again) == step_key("import_data", first)
    with casa.table(small_ms / "FIELD", writable=True) as table:
        table.putcell("NAME", 0, "another")
    altered = prepare_step(IMPORT_DATA, source).inputs
    assert altered.ms == first.ms
    assert step_key("import_data", altered) != step_key("import_data", first)
    assert run(workspace)[0].summary.fields[0].name == "another"


def test_a_link_is_followed(workspace, small_ms, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "data.ms"
    direct = import_inputs(InputSource(workspace, RunOptions()))
    small_ms.rename(elsewhere)
    small_ms.symlink_to(elsewhere)
    assert import_inputs(InputSource(workspace, RunOptions())) == direct
    assert run(workspace)[0].summary.name == small_ms.name


def test_no_measurement_set(tmp_path):
    with pytest.raises(WorkspaceError, match="no measurement set"):
        import_inputs(InputSource(Workspace(tmp_path), RunOptions()))


@pytest.mark.parametrize("gone", ["", "SPECTRAL_WINDOW", "table.dat"])
def test_a_measurement_set_that_was_lost_on_the_way_is_refused(workspace, small_ms, gone):
    inputs = import_inputs(InputSource(workspace, RunOptions()))
    path = small_ms / gone if gone else small_ms
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()
    with pytest.raises(MeasurementSetError, match=small_ms.name) as caught:
        import_data(inputs, StageContext(workspace, "import_data"))
    assert caught.value.hint
