"""Stage 4 on a simulated field. Oracle: the state that its continuum run left, by its own calls of CASA."""

from __future__ import annotations

import shutil
import tarfile
from pathlib import Path

import numpy as np
import pytest

from vlasscube import casa
from vlasscube.errors import MissingResourcesError, VlassCubeError
from vlasscube.measurement_set.restore import RESTORED_FLAGS, restore_flags
from vlasscube.measurement_set.working_copy import is_pristine
from vlasscube.options import RunOptions
from vlasscube.recipe import EDIT_IMAGE_LIST_CONTINUUM, IMPORT_DATA, RESTORE_PIMS, TRANSFORM_IMAGE_DATA
from vlasscube.results.reading import InputSource
from vlasscube.run.steps import do_step
from vlasscube.run.wiring import prepare_step
from vlasscube.stages.context import StageContext
from vlasscube.stages.restore_pims import restore_inputs, restore_pims
from vlasscube.workspace.directory import Workspace

from .conftest import digests

pytestmark = [pytest.mark.casa, pytest.mark.slow]
KEYS = ("DATA_DESC_ID", "FIELD_ID", "TIME", "ANTENNA1", "ANTENNA2")
STATE = ("FLAG", "FLAG_ROW", "WEIGHT", "SIGMA", "WEIGHT_SPECTRUM", "MODEL_DATA", "CORRECTED_DATA")


@pytest.fixture(scope="module")
def split(simulated, tmp_path_factory) -> Workspace:
    """The field after stages 1 to 3; not to be changed."""
    directory = tmp_path_factory.mktemp("split") / "field"
    directory.mkdir()
    for path in Path(simulated.directory).iterdir():
        (directory / path.name).symlink_to(path)
    workspace = Workspace(directory)
    source = InputSource(workspace, RunOptions())
    for stage in (IMPORT_DATA, EDIT_IMAGE_LIST_CONTINUUM, TRANSFORM_IMAGE_DATA):
        do_step(workspace, prepare_step(stage, source))
    return workspace


@pytest.fixture
def workspace(split, tmp_path):
    shutil.copytree(split.directory, tmp_path / "field", symlinks=True)
    return Workspace(tmp_path / "field")


def run(workspace, engine="mosaic"):
    context = StageContext(workspace, "restore_pims")
    return restore_pims(restore_inputs(InputSource(workspace, RunOptions(engine=engine))), context), context


def state(workspace, simulated):
    """The columns of the working measurement set in the order of the state that was kept."""
    with casa.table(workspace.working / simulated.working_measurement_set) as table:
        order = np.lexsort([table.getcol(name) for name in KEYS[::-1]])
        return {name: table.getcol(name)[..., order] for name in STATE}


@pytest.fixture(scope="module")
def final(simulated):
    with np.load(Path(simulated.directory) / simulated.final_state) as arrays:
        return dict(arrays)


def test_the_state_is_that_of_the_continuum_run_bit_by_bit(workspace, simulated, final):
    ms, archive = workspace.input_ms.resolve(), workspace.resources_archive.resolve()
    before = digests(ms, archive)
    result, context = run(workspace, "casa")
    assert digests(ms, archive) == before
    for name, values in state(workspace, simulated).items():
        np.testing.assert_array_equal(values, final[name], err_msg=name)
    assert final["FLAG"].any()
    assert not final["FLAG"].all()
    names = (result.tier1_mask, result.tier2_mask)
    assert [(o.path, bool(o.digest)) for o in context.outputs] == [
        *((f"working/{name}", True) for name in names),
        (f"working/{simulated.working_measurement_set}", False),
    ]
    assert [message for message in context.messages if message.level != "info"] == []
    assert list(result.seconds) == [
        "look for resources",
        "extract resources",
        "save initial flags",
        "fill model",
        "restore flags",
        "look for unusable data",
        "restore weights",
        "apply self-calibration",
        "look for unusable results",
        "save restored flags",
    ]
    assert result.flag_version == "statwt_1"
    assert [name.rsplit(".", 1)[-1] for name in result.model_images] == ["tt0", "tt1"]
    assert {path.name for path in workspace.working.glob(".*")} <= {workspace.casa_scratch.name}
    # What is imaged is not yet what was saved for flagging again: it is the same.
    restore_flags(workspace.working / simulated.working_measurement_set, RESTORED_FLAGS)
    np.testing.assert_array_equal(state(workspace, simulated)["FLAG"], final["FLAG"])


def test_our_own_prediction_leads_to_the_same_state_within_its_accuracy(workspace, simulated, final):
    run(workspace)
    ours = state(workspace, simulated)
    for name in ("FLAG", "FLAG_ROW", "CORRECTED_DATA"):
        np.testing.assert_array_equal(ours[name], final[name], err_msg=name)
    peak = np.abs(final["MODEL_DATA"]).max()
    np.testing.assert_allclose(ours["MODEL_DATA"], final["MODEL_DATA"], atol=2e-3 * peak)
    np.testing.assert_allclose(ours["WEIGHT"], final["WEIGHT"], rtol=0.02)


def test_again_is_the_same_whatever_was_done_to_the_working_copy(workspace, simulated):
    first, _ = run(workspace)
    restored = state(workspace, simulated)
    with casa.table(workspace.working / simulated.working_measurement_set, writable=True) as table:
        table.putcol("DATA", 0 * table.getcol("DATA"))
        table.putcol("FLAG", ~table.getcol("FLAG"))
    second, context = run(workspace)
    assert [m.text for m in context.messages if m.level == "warning"] == [
        "an earlier restore has changed the working measurement set: it is made again"
    ]
    assert (second.report, second.model_images) == (first.report, first.model_images)
    assert "split again" in second.seconds
    for name, values in state(workspace, simulated).items():
        np.testing.assert_array_equal(values, restored[name], err_msg=name)


def test_data_without_model_or_solution_are_counted_and_named(workspace, simulated):
    """The input has flags that the continuum run takes away, and an antenna has no solution in a scan."""
    ms = workspace.working / simulated.working_measurement_set
    with casa.table(ms, writable=True) as table:
        names = casa_column(ms / "ANTENNA", "NAME")
        first, second = table.getcol("ANTENNA1"), table.getcol("ANTENNA2")
        scan = int(table.getcol("SCAN_NUMBER").min())
        flag = table.getcol("FLAG")
        flag[..., (first == 3) | (second == 3)] = True
        table.putcol("FLAG", flag)
    archive, unpacked = workspace.resources_archive, workspace.directory / "unpacked"
    with tarfile.open(archive) as source:
        source.extractall(unpacked, filter="data")
    (caltable,) = unpacked.glob("*.tbl")
    with casa.table(caltable, writable=True) as table:
        flags = table.getcol("FLAG")
        flags[..., (table.getcol("ANTENNA1") == 5) & (table.getcol("SCAN_NUMBER") == scan)] = True
        table.putcol("FLAG", flags)
    archive.unlink()
    with tarfile.open(archive, "w:gz", compresslevel=1) as target:
        for path in sorted(unpacked.iterdir()):
            target.add(path, path.name)
    result, context = run(workspace)
    now = state(workspace, simulated)
    good = ~now["FLAG"]
    found = result.without_model
    assert found.unflagged == good.sum()
    # RL and LR have none anyway.
    assert found.count == (good & (now["MODEL_DATA"][:1] == 0)).sum() > 0
    assert found.by_antenna[names[3]] == 1
    assert max(share for name, share in found.by_antenna.items() if name != names[3]) < 0.2
    missing = result.without_solution
    assert set(missing.by_antenna) == {names[5]}
    assert set(missing.by_scan) == {scan}
    assert 0 < missing.count < found.unflagged
    model, solution = (m.text for m in context.messages if m.level == "warning")
    assert model.startswith(f"{found.count} unflagged visibilities (")
    assert f"antennas {names[3]} (100 %)" in model
    assert f"antennas {names[5]} (" in solution
    assert f"scans {scan} (" in solution


def casa_column(path, name):
    with casa.table(path) as table:
        return table.getcol(name)


def test_without_a_resource_nothing_is_touched(workspace, simulated):
    archive = workspace.resources_archive
    with tarfile.open(archive) as source:
        source.extractall(workspace.directory / "unpacked", filter="data")
    archive.unlink()
    with tarfile.open(archive, "w:gz") as target:
        for path in sorted((workspace.directory / "unpacked").iterdir()):
            if not path.name.endswith((".tbl", "tier2.mask")):
                target.add(path, path.name)
    ms = workspace.working / simulated.working_measurement_set
    before = digests(ms)
    with pytest.raises(MissingResourcesError) as caught:
        run(workspace)
    missing = {row.key for row in caught.value.report.resources if not row.available}
    assert missing == {"selfcal_table", "tier2_mask"}
    assert digests(ms) == before
    assert is_pristine(ms)
    assert [path.name for path in workspace.working.iterdir() if not path.name.startswith(".")] == [ms.name]


def test_without_the_archive(workspace, simulated):
    workspace.resources_archive.unlink()
    with pytest.raises(VlassCubeError, match=r"reimaging_resources\.tgz"):
        run(workspace)
    assert is_pristine(workspace.working / simulated.working_measurement_set)


def test_the_step_is_another_when_archive_or_engine_change(workspace):
    source = InputSource(workspace, RunOptions())
    before = prepare_step(RESTORE_PIMS, source).inputs
    assert prepare_step(RESTORE_PIMS, source).inputs == before
    other = InputSource(workspace, RunOptions(engine="casa" if before.engine == "mosaic" else "mosaic"))
    assert prepare_step(RESTORE_PIMS, other).inputs != before
    content = workspace.resources_archive.read_bytes()
    workspace.resources_archive.unlink()
    workspace.resources_archive.write_bytes(content + b"\0")
    assert prepare_step(RESTORE_PIMS, source).inputs != before
