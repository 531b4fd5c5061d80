"""Reading what earlier steps left, by the handles of their stages."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TypeVar

from vlasscube.errors import StageOrderError, VlassCubeError
from vlasscube.options import RunOptions
from vlasscube.recipe import MAKE_IMAGES, RECIPE, Stage
from vlasscube.records import PlaneImages, StepRecord
from vlasscube.results.types import CubePlan
from vlasscube.workspace.directory import Workspace
from vlasscube.workspace.record_json import from_plain

ResultT = TypeVar("ResultT")


def finished_record(workspace: Workspace, stage: Stage[object], plane: str | None = None) -> StepRecord:
    """Return the record of a finished step.

    Raises
    ------
    StageOrderError
        If it has not been run or failed.
    WorkspaceError
        If the record is damaged.
    """
    record = workspace.read_record(stage.name, plane)
    if record is None or record.status != "done":
        what = "failed" if record is not None else "has not been run"
        where = "" if plane is None else f" for {plane}"
        known = RECIPE.stage_of(stage)
        raise StageOrderError(
            f"stage {known.number} ({known.name}) {what}{where}", hint=f"Run it first: --from {known.name}."
        )
    return record


def read_result(workspace: Workspace, stage: Stage[ResultT], plane: str | None = None) -> ResultT:
    """Return the result of a finished step.

    Parameters
    ----------
    workspace : Workspace
        Run directory.
    stage : Stage
        Whose result is asked for.
    plane : str, optional
        Label of the plane for a stage of planes.

    Raises
    ------
    StageOrderError, WorkspaceError
        As `finished_record`.
    """
    return from_plain(stage.result, finished_record(workspace, stage, plane).result)


def find_result(workspace: Workspace, stage: Stage[ResultT], plane: str | None = None) -> ResultT | None:
    """Return the result of a step; None where there is none that can be read."""
    try:
        return read_result(workspace, stage, plane)
    except VlassCubeError:
        return None


def imaged_planes(workspace: Workspace, plan: CubePlan) -> dict[str, PlaneImages]:
    """Return the planes that are imaged, by label; not those that the plan leaves out, whatever was before.

    Raises
    ------
    WorkspaceError
        If a record is damaged.
    """
    images = {}
    for target in plan.targets:
        if target.outcome is not None and not target.outcome.has_images:
            continue
        record = workspace.read_record(MAKE_IMAGES.name, target.label)
        if record is not None and record.status == "done":
            images[target.label] = from_plain(MAKE_IMAGES.result, record.result)
    return images


@dataclass(frozen=True)
class InputSource:
    """What the inputs of a step are made from: the records of the steps before it, and the options."""

    workspace: Workspace
    options: RunOptions
    plane: str | None = None
    """Label of the plane for a stage of planes."""

    def of_plane(self, label: str) -> InputSource:
        """The same for a plane."""
        return replace(self, plane=label)

    def result(self, stage: Stage[ResultT]) -> ResultT:
        """Return the result of an earlier step, of the same plane for a stage of planes.

        Raises
        ------
        StageOrderError
            If it has not been run or failed.
        """
        return read_result(self.workspace, stage, self._plane_of(stage))

    def keys(self, *stages: Stage[object]) -> tuple[str, ...]:
        """Return the keys of steps before, so that a step is done again when they are.

        Raises
        ------
        StageOrderError
            If one of them has not been run or failed.
        """
        return tuple(finished_record(self.workspace, stage, self._plane_of(stage)).key for stage in stages)

    def _plane_of(self, stage: Stage[object]) -> str | None:
        return self.plane if stage.scope == "plane" else None
