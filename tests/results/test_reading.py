"""Results are read by the handles of their stages, and what is missing is named."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from vlasscube.errors import StageOrderError, WorkspaceError
from vlasscube.options import RunOptions
from vlasscube.recipe import GATHER_PLANES, MAKE_RMS_IMAGES, PBCOR, TRANSFORM_IMAGE_DATA, Stage
from vlasscube.records import Outcome, StepRecord
from vlasscube.results.reading import InputSource, find_result, finished_record, imaged_planes, read_result
from vlasscube.results.types import RmsResult, TransformResult
from vlasscube.testing.synthetic_run import SyntheticRun
from vlasscube.workspace.directory import Workspace
from vlasscube.workspace.record_json import to_plain

TRANSFORMED = TransformResult("a.ms", "a_split.ms", 7, 3, "2,3")


def leave(
    workspace: Workspace, stage: Stage[object], result: object, plane: str | None = None, status: str = "done"
) -> None:
    workspace.write_record(
        StepRecord(
            stage=stage.name,
            plane=plane,
            key=f"key of {stage.name} {plane}",
            status=status,  # type: ignore[arg-type]
            started="",
            finished="",
            seconds=1.0,
            inputs={},
            result=None if result is None else to_plain(result),
        )
    )


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path)


def test_a_result_comes_back_in_its_type(workspace: Workspace) -> None:
    leave(workspace, TRANSFORM_IMAGE_DATA, TRANSFORMED)
    leave(workspace, MAKE_RMS_IMAGES, RmsResult("rms", {}), "spw2")
    assert read_result(workspace, TRANSFORM_IMAGE_DATA) == TRANSFORMED
    assert read_result(workspace, MAKE_RMS_IMAGES, "spw2") == RmsResult("rms", {})


@pytest.mark.parametrize(
    ("stage", "plane", "message"),
    [
        (TRANSFORM_IMAGE_DATA, None, r"stage 3 \(transform_image_data\) has not been run"),
        (PBCOR, "spw2", r"stage 8 \(pbcor\) has not been run for spw2"),
        (GATHER_PLANES, None, r"stage 7 \(make_images\) has not been run"),
    ],
)
def test_what_has_not_been_run_is_named(
    workspace: Workspace, stage: Stage[object], plane: str | None, message: str
) -> None:
    with pytest.raises(StageOrderError, match=message) as caught:
        read_result(workspace, stage, plane)
    assert caught.value.hint.startswith("Run it first: --from ")
    assert find_result(workspace, stage, plane) is None


def test_a_failed_step_has_no_result(workspace: Workspace) -> None:
    leave(workspace, PBCOR, None, "spw2", status="failed")
    with pytest.raises(StageOrderError, match=r"stage 8 \(pbcor\) failed for spw2"):
        finished_record(workspace, PBCOR, "spw2")
    assert find_result(workspace, PBCOR, "spw2") is None


def test_a_result_of_another_type_is_damage(workspace: Workspace) -> None:
    leave(workspace, TRANSFORM_IMAGE_DATA, RmsResult("rms", {}))
    with pytest.raises(WorkspaceError, match="TransformResult"):
        read_result(workspace, TRANSFORM_IMAGE_DATA)
    assert find_result(workspace, TRANSFORM_IMAGE_DATA) is None


def test_inputs_come_from_the_same_plane_or_from_the_field(workspace: Workspace) -> None:
    leave(workspace, TRANSFORM_IMAGE_DATA, TRANSFORMED)
    for label in ("spw2", "spw3"):
        leave(workspace, MAKE_RMS_IMAGES, RmsResult(f"rms of {label}", {}), label)
    source = InputSource(workspace, RunOptions(), "spw2")
    assert source.result(TRANSFORM_IMAGE_DATA) == TRANSFORMED
    assert source.result(MAKE_RMS_IMAGES).image == "rms of spw2"
    assert source.of_plane("spw3").result(MAKE_RMS_IMAGES).image == "rms of spw3"
    assert source.keys(TRANSFORM_IMAGE_DATA, MAKE_RMS_IMAGES) == (
        "key of transform_image_data None",
        "key of make_rms_images spw2",
    )
    with pytest.raises(StageOrderError):
        source.keys(TRANSFORM_IMAGE_DATA, PBCOR)


def test_planes_that_the_plan_leaves_out_have_no_images(tmp_path: Path) -> None:
    """They may have had, with other options."""
    run = SyntheticRun(tmp_path).start().field_stages()
    for spw in (2, 3, 4):
        run.plane_stages(spw, last="make_images")
    outcomes = {"spw2": Outcome.FLAGGED, "spw3": Outcome.REJECTED}
    targets = tuple(replace(target, outcome=outcomes.get(target.label)) for target in run.plan.targets)
    found = imaged_planes(run.workspace, replace(run.plan, targets=targets))
    assert set(found) == {"spw3", "spw4"}
