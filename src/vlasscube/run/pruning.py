"""Removing what a run does not need once it is finished: the CASA images and the working measurement set.

They are nine tenths of a run directory. Only what vlasscube itself has put there is removed, by name; links
are removed and never followed, and what anybody else has put beside it stays.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass

from vlasscube.errors import WorkspaceError
from vlasscube.naming import IMAGE_ENDING
from vlasscube.recipe import EDIT_IMAGE_LIST_CUBE, RECIPE, RESTORE_PIMS, TRANSFORM_IMAGE_DATA
from vlasscube.results.reading import find_result
from vlasscube.workspace.directory import Workspace
from vlasscube.workspace.files import remove, size_bytes
from vlasscube.workspace.leftovers import is_leftover


@dataclass(frozen=True)
class Pruned:
    """What was removed, or would be, and what was not."""

    removed: tuple[str, ...]
    """Names in ``working/``."""
    freed_bytes: int
    kept: tuple[str, ...]
    """Names in ``working/`` that are not the run's."""


def prune_working(workspace: Workspace, *, force: bool = False, dry_run: bool = False) -> Pruned:
    """Remove the CASA images and the working measurement set of a finished run.

    Products, web log, records and logs stay. Whoever runs the directory again makes everything again.

    Parameters
    ----------
    workspace : Workspace
        Run directory.
    force : bool
        Also where the run is not finished, and would have to begin anew.
    dry_run : bool
        Remove nothing.

    Returns
    -------
    Pruned
        What was removed, or would be.

    Raises
    ------
    WorkspaceLockedError
        If a run works in the directory.
    WorkspaceError
        If the run is not finished, or ``working/`` is a link.
    """
    if not workspace.working.exists():
        return Pruned((), 0, ())
    if workspace.working.is_symlink():
        raise WorkspaceError(
            f"{workspace.working} is a link, which is not followed",
            hint="Remove what is not needed where it points to.",
        )
    with workspace.locked():
        if not force and not _is_finished(workspace):
            raise WorkspaceError(
                f"the run in {workspace.directory} is not finished: without working/ it would begin anew",
                hint="Finish it with 'vlasscube run', or give --force.",
            )
        made = re.compile("|".join(_patterns(workspace)))
        removed, kept, freed = [], [], 0
        for path in sorted(workspace.working.iterdir()):
            if not made.fullmatch(path.name) and not is_leftover(path.name):
                kept.append(path.name)
                continue
            freed += 0 if path.is_symlink() else size_bytes(path)
            removed.append(path.name)
            if not dry_run:
                remove(path)
        if not kept and not dry_run:
            # On NFS what somebody has still open stays until it is closed.
            with contextlib.suppress(OSError):
                workspace.working.rmdir()
    return Pruned(tuple(removed), freed, tuple(kept))


def _is_finished(workspace: Workspace) -> bool:
    try:
        record = workspace.read_record(RECIPE.last.name)
    except WorkspaceError:
        return False
    return record is not None and record.status == "done"


def _patterns(workspace: Workspace) -> Iterator[str]:
    """Names that a run gives to what it puts into ``working/``, as regular expressions."""
    transformed = find_result(workspace, TRANSFORM_IMAGE_DATA)
    if transformed is not None:
        yield rf"{re.escape(transformed.working_ms)}(\.touched|\.flagversions)?"
    restored = find_result(workspace, RESTORE_PIMS)
    if restored is not None:
        names = (restored.tier1_mask, restored.tier2_mask, *restored.model_images, restored.selfcal_table)
        yield from map(re.escape, names)
    plan = find_result(workspace, EDIT_IMAGE_LIST_CUBE)
    if plan is not None:
        yield from (rf"{re.escape(target.image_root)}\.iter\d\.{IMAGE_ENDING}" for target in plan.targets)
