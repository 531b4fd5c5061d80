"""Pictures and values for the viewer after a step, or all that are missing in a run."""

from __future__ import annotations

import logging
from collections.abc import Callable

from vlasscube.recipe import RECIPE
from vlasscube.results.run_records import RunRecords
from vlasscube.weblog.previews import make_previews
from vlasscube.weblog.source_stamps import STAGE as STAMPS_STAGE
from vlasscube.weblog.source_stamps import make_source_stamps
from vlasscube.workspace.directory import Workspace

logger = logging.getLogger("vlasscube")

PICTURE_STAGES = tuple(entry.name for entry in RECIPE if entry.scope == "plane" or entry.name == STAMPS_STAGE)


def make_pictures(workspace: Workspace, stage: str, label: str | None) -> None:
    """Make what the web log shows of the images of a finished step; a failure is logged and harms nothing.

    Parameters
    ----------
    workspace : Workspace
        Run directory.
    stage : str
        Stage; most leave no images.
    label : str or None
        Plane of a stage of planes.
    """
    try:
        if label is not None:
            make_previews(workspace, stage, label)
        elif stage == STAMPS_STAGE:
            make_source_stamps(workspace)
    except Exception as error:  # a picture never harms a product
        logger.warning("%s: pictures of %s failed: %s", label or "web log", stage, error)


def make_missing_pictures(workspace: Workspace, tell: Callable[[str, float], None]) -> None:
    """Make all pictures that the images of a run allow and that are not there.

    Parameters
    ----------
    workspace : Workspace
        Run directory.
    tell : callable
        Called before each step with its name and the fraction done.
    """
    run = RunRecords(workspace)
    labels: list[str | None] = [target.label for target in run.targets]
    plane_stages = {entry.name for entry in RECIPE if entry.scope == "plane"}
    steps = [
        (stage, label)
        for stage in PICTURE_STAGES
        for label in (labels if stage in plane_stages else [None])
        if run.step(stage, label).status == "done"
    ]
    for number, (stage, label) in enumerate(steps):
        tell(f"{stage} {label or ''}".strip(), number / len(steps))
        make_pictures(workspace, stage, label)
