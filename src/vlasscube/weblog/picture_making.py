"""Pictures and values for the viewer after a step, or all that are missing in a run."""

from __future__ import annotations

import logging
from collections.abc import Callable

from vlasscube.recipe import ANALYZE_STOKES_CUBES, Stage
from vlasscube.results.run_records import RunRecords
from vlasscube.weblog.previews import make_previews
from vlasscube.weblog.source_stamps import make_source_stamps
from vlasscube.workspace.directory import Workspace

logger = logging.getLogger("vlasscube")


def make_pictures(workspace: Workspace, stage: Stage[object], label: str | None) -> None:
    """Make what the web log shows of the images of a finished step; a failure is logged and harms nothing.

    Parameters
    ----------
    workspace : Workspace
        Run directory.
    stage : Stage
        Most leave no images.
    label : str or None
        Plane of a stage of planes.
    """
    try:
        if label is not None:
            make_previews(workspace, stage, label)
        elif stage == ANALYZE_STOKES_CUBES:
            make_source_stamps(workspace)
    except Exception as error:  # a picture never harms a product
        logger.warning("%s: pictures of %s failed: %s", label or "web log", stage.name, error)


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
    steps = [
        (step, label)
        for _, step, label, found in run.steps()
        if found.status == "done" and (label is not None or step == ANALYZE_STOKES_CUBES)
    ]
    for number, (stage, label) in enumerate(steps):
        tell(f"{stage.name} {label or ''}".strip(), number / len(steps))
        make_pictures(workspace, stage, label)
