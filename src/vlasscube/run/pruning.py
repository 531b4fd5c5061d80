"""Removing what a run does not need once it is finished: the CASA images and the working measurement set.

They are nine tenths of a run directory. Only what vlasscube itself has put there is removed, by name; links
are removed and never followed, and what anybody else has put beside it stays.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass

from vlasscube.errors import WorkspaceError
from vlasscube.recipe import RECIPE
from vlasscube.results.working_names import WorkingOwnership, name_pattern
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
        owned = WorkingOwnership(workspace)
        patterns = [name_pattern(name) for name in owned.names]
        removed, kept, freed = [], [], 0
        for path in sorted(workspace.working.iterdir()):
            is_made = any(pattern.fullmatch(path.name) for pattern in patterns)
            if not is_made and not is_leftover(path.name):
                kept.append(path.name)
                continue
            freed += 0 if path.is_symlink() else size_bytes(path)
            removed.append(path.name)
            if not dry_run:
                remove(path)
        if not dry_run:
            owned.release(owned.names)
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
