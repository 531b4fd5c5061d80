"""The official pipeline's task names: each runs its stage, and takes the recipe's arguments only."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from vlasscube import tasks
from vlasscube.errors import VlassCubeError, WorkspaceError
from vlasscube.recipe import RECIPE
from vlasscube.run.workflow import RunResult
from vlasscube.workspace.directory import Workspace


@pytest.fixture
def stages(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Stages in the order in which they are run."""
    run: list[str] = []

    def fake(workspace: Workspace, options: Any, *, first: str, last: str, **others: Any) -> RunResult:
        assert isinstance(workspace, Workspace)
        assert first == last
        run.append(first)
        return RunResult(None, 0.0)

    monkeypatch.setattr(tasks, "run_workflow", fake)
    return run


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "field_split.ms").mkdir()
    return tmp_path


def test_recipe_script_runs_all_stages_in_order(directory: Path, stages: list[str]) -> None:
    ws = Workspace(directory)
    tasks.hifv_importdata(ws, nocopy=True)
    tasks.hif_editimlist(ws, parameter_file="SEIP_parameter.list")
    tasks.hif_transformimagedata(
        ws, datacolumn="data", clear_pointing=False, modify_weights=True, wtmode="nyq"
    )
    tasks.hifv_restorepims(ws)
    tasks.hifv_flagtargetsdata(ws)
    tasks.hif_editimlist(ws, parameter_file="CCIP_parameter.list", editmode="replace")
    tasks.hif_makeimages(ws, hm_masking="manual")
    tasks.hifv_pbcor(ws)
    tasks.hif_makermsimages(ws)
    tasks.hif_makecutoutimages(ws)
    tasks.hifv_analyzestokescubes(ws)
    tasks.hifv_exportvlassdata(ws)
    assert stages == [entry.name for entry in RECIPE]


def test_there_is_a_function_for_each_task_of_the_recipe() -> None:
    assert {entry.task for entry in RECIPE} == set(tasks.__all__)
    assert all(getattr(tasks, name).__doc__ for name in tasks.__all__)


def test_a_path_serves_as_well(directory: Path, stages: list[str]) -> None:
    tasks.hifv_importdata(str(directory))
    tasks.hifv_pbcor(directory)
    assert stages == ["import_data", "pbcor"]


def test_missing_directory(tmp_path: Path, stages: list[str]) -> None:
    with pytest.raises(WorkspaceError, match="no such directory"):
        tasks.hifv_importdata(tmp_path / "nowhere")
    assert stages == []


@pytest.mark.parametrize(
    ("task", "arguments", "named"),
    [
        ("hifv_importdata", {"nocopy": False}, "nocopy=False"),
        ("hifv_importdata", {"nocopy": 1}, "nocopy=1"),
        ("hif_transformimagedata", {"datacolumn": "corrected"}, "datacolumn='corrected'"),
        ("hif_transformimagedata", {"clear_pointing": True}, "clear_pointing=True"),
        ("hif_transformimagedata", {"modify_weights": False}, "modify_weights=False"),
        ("hif_transformimagedata", {"wtmode": "ones"}, "wtmode='ones'"),
        ("hifv_restorepims", {"reimaging_resources": "other.tgz"}, "reimaging_resources='other.tgz'"),
        ("hif_editimlist", {"parameter_file": "QL_parameter.list"}, "parameter_file='QL_parameter.list'"),
        (
            "hif_editimlist",
            {"parameter_file": "SEIP_parameter.list", "editmode": "replace"},
            "editmode='replace'",
        ),
        ("hif_editimlist", {"parameter_file": "CCIP_parameter.list", "editmode": "add"}, "editmode='add'"),
        ("hif_makeimages", {"hm_masking": "auto"}, "hm_masking='auto'"),
    ],
)
def test_other_values_are_refused(
    directory: Path, stages: list[str], task: str, arguments: dict[str, Any], named: str
) -> None:
    with pytest.raises(VlassCubeError) as caught:
        getattr(tasks, task)(directory, **arguments)
    assert named in str(caught.value)
    assert "only" in str(caught.value)
    assert caught.value.hint
    assert stages == []


def test_vis_must_be_the_measurement_set_of_the_workspace(directory: Path, stages: list[str]) -> None:
    tasks.hifv_importdata(directory, vis="field_split.ms")
    tasks.hifv_importdata(directory, vis=["field_split.ms"])
    with pytest.raises(VlassCubeError, match=r"other\.ms"):
        tasks.hifv_importdata(directory, vis="other.ms")
    assert stages == ["import_data"] * 2


def test_workers_and_options_are_passed_on(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, Any] = {}
    monkeypatch.setattr(tasks, "run_workflow", lambda ws, options, **others: seen.update(others, o=options))
    tasks.hif_makeimages(directory, workers=3)
    assert seen["workers"] == 3
    assert seen["o"] is None
