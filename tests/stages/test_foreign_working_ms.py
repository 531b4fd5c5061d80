"""A measurement set of somebody else under the name of the working one is never overwritten."""

from __future__ import annotations

from pathlib import Path

import pytest

from vlasscube.errors import ProblemListError
from vlasscube.measurement_set.working_copy import mark_touched
from vlasscube.records import FileRecord, StepRecord
from vlasscube.stages import transform_image_data as stage
from vlasscube.stages.context import StageContext
from vlasscube.workspace.directory import Workspace
from vlasscube.workspace.files import publish

NAME = "a_split.ms"
INPUTS = stage.TransformInputs("a.ms", NAME, (0,), "2", ("key",))


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """Where splitting makes a directory with one file."""

    def split(input_ms: Path, output: Path, field_ids: object, spw: str) -> None:
        partial = output.with_name(f".{output.name}.partial")
        plant(partial, "new")
        publish(partial, output)

    monkeypatch.setattr(stage, "make_working_copy", split)
    monkeypatch.setattr(stage, "observed_scans", lambda ms: ())
    return Workspace(tmp_path)


def plant(place: Path, text: str) -> None:
    place.mkdir(parents=True)
    (place / "table.f0").write_text(text)


def run(workspace: Workspace, previous: StepRecord | None = None) -> str:
    context = StageContext(workspace, "transform_image_data", previous=previous)
    stage.transform_image_data(INPUTS, context)
    return (workspace.working / NAME / "table.f0").read_text()


@pytest.mark.parametrize("kind", ["directory", "link", "broken link"])
def test_of_somebody_else(workspace: Workspace, tmp_path: Path, kind: str) -> None:
    place = workspace.working / NAME
    if kind == "directory":
        plant(place, "precious")
    else:
        workspace.working.mkdir()
        place.symlink_to(tmp_path / "elsewhere.ms")
        if kind == "link":
            plant(tmp_path / "elsewhere.ms", "precious")
    for _ in range(2):
        with pytest.raises(ProblemListError, match=rf"this run has not made:\n.*{NAME}") as caught:
            run(workspace)
        assert "Move them" in caught.value.hint
    assert place.is_symlink() == (kind != "directory")
    assert kind == "broken link" or (place / "table.f0").read_text() == "precious"


def test_of_this_run_even_if_it_was_killed_before_the_record(workspace: Workspace) -> None:
    assert run(workspace) == "new"
    (workspace.working / NAME / "table.f0").write_text("old")
    assert run(workspace) == "new"


def test_of_a_run_of_an_earlier_version(workspace: Workspace) -> None:
    plant(workspace.working / NAME, "old")
    record = StepRecord(
        stage="transform_image_data",
        plane=None,
        key="k",
        status="done",
        started="",
        finished="",
        seconds=1.0,
        inputs={},
        result=None,
        messages=(),
        outputs=(FileRecord(f"working/{NAME}", 3, ""),),
        error=None,
        versions={},
    )
    assert run(workspace, record) == "new"


def test_of_a_run_that_has_begun_to_restore_it(workspace: Workspace) -> None:
    plant(workspace.working / NAME, "old")
    mark_touched(workspace.working / NAME)
    assert run(workspace) == "new"
