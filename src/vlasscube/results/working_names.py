"""Names that a run gives to what it puts into ``working/``, and which of them are its own there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from vlasscube.naming import IMAGE_ENDING
from vlasscube.products.owned_files import Ownership
from vlasscube.recipe import EDIT_IMAGE_LIST_CUBE, RESTORE_PIMS, TRANSFORM_IMAGE_DATA
from vlasscube.records import StepRecord
from vlasscube.resources.archive import ResourceReport, is_resource_name
from vlasscube.results.reading import find_result
from vlasscube.workspace.directory import Workspace

_TOUCHED = ".touched"


def set_names(working_ms: str) -> tuple[str, ...]:
    """Names of the working measurement set and of its flag versions."""
    return working_ms, f"{working_ms}.flagversions"


def template_commands_name(working_ms: str) -> str:
    """Name of the file with the commands of the flagging template as CASA is given them."""
    return f"{working_ms.removesuffix('.ms')}.flagtargetscmds.txt"


def restored_names(report: ResourceReport) -> tuple[str, ...]:
    """Names of what is extracted from a complete archive of the continuum run."""
    tables = (report.tier1_mask, report.tier2_mask, *report.model_images, report.selfcal_table)
    return (*tables, *report.get("flag_dir").found)


def recorded_names(workspace: Workspace) -> Iterator[str]:
    """Names in ``working/`` by the records of finished steps; a plane's is the root of its images."""
    transformed = find_result(workspace, TRANSFORM_IMAGE_DATA)
    if transformed is not None:
        yield from set_names(transformed.working_ms)
        yield template_commands_name(transformed.working_ms)
    restored = find_result(workspace, RESTORE_PIMS)
    if restored is not None:
        yield from (restored.tier1_mask, restored.tier2_mask, *restored.model_images, restored.selfcal_table)
    plan = find_result(workspace, EDIT_IMAGE_LIST_CUBE)
    if plan is not None:
        yield from (target.image_root for target in plan.targets)


def _begun_names(workspace: Workspace) -> Iterator[str]:
    """Names that a restore has left which was killed before its record was written."""
    marks = [path.name.removesuffix(_TOUCHED) for path in workspace.working.glob(f"*.ms{_TOUCHED}")]
    for mark in marks:
        # It is made by a restore alone, beside the run's own measurement set.
        yield from set_names(mark)
    if marks:
        yield from (path.name for path in workspace.working.iterdir() if is_resource_name(path.name))


def name_pattern(name: str) -> re.Pattern[str]:
    """What is the run's by one of these names: itself, a measurement set's mark, images of a plane."""
    return re.compile(rf"{re.escape(name)}(?:{re.escape(_TOUCHED)}|\.iter\d\.{IMAGE_ENDING})?")


class WorkingOwnership(Ownership):
    """The run's own tables in ``working/``, by name; the root of a plane's images stands for all of them.

    Parameters
    ----------
    workspace : Workspace
        Run directory.
    previous : StepRecord, optional
        What the step has left that is done now.
    """

    def __init__(self, workspace: Workspace, previous: StepRecord | None = None) -> None:
        outputs = () if previous is None else previous.outputs
        recorded = {*recorded_names(workspace), *_begun_names(workspace)}
        recorded |= {Path(file.path).name for file in outputs}
        super().__init__(workspace, directory=workspace.working, recorded=recorded)

    def _entries(self, name: str) -> Iterator[str]:
        yield name
        if name not in self.names and self._directory.is_dir():
            pattern = name_pattern(name)
            found = (path.name for path in self._directory.iterdir() if pattern.fullmatch(path.name))
            yield from sorted(other for other in found if other != name)
