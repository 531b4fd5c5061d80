"""Which names in ``weblog/`` are the run's own: nothing of anybody else is overwritten or removed."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator

from vlasscube.products.owned_files import Ownership
from vlasscube.recipe import RECIPE
from vlasscube.weblog.previews import DIRECTORY
from vlasscube.weblog.site import FIGURES, plane_page, stage_page
from vlasscube.workspace.directory import Workspace

INDEX = "index.html"
VIEWER = "viewer.html"
SHEETS = ("style.css", "viewer.css")
SCRIPTS_DIRECTORY = "viewer"
_BRAND = "vlasscube"


def weblog_names(labels: Iterable[str]) -> Iterator[str]:
    """Names of all files and directories of the web log of a run with these planes."""
    yield from (INDEX, VIEWER, *SHEETS, SCRIPTS_DIRECTORY, DIRECTORY, FIGURES)
    yield from map(stage_page, RECIPE)
    yield from map(plane_page, labels)


def weblog_ownership(workspace: Workspace) -> Ownership:
    """Tell what in ``weblog/`` is the run's own, by name: pages change with every step.

    Runs of earlier versions have kept no names. Where there are records of steps and the first page is one of
    ours, all that is there is the run's.
    """
    directory = workspace.weblog
    recorded: list[str] = []
    with contextlib.suppress(OSError):
        first_page = (directory / INDEX).read_text(encoding="utf-8", errors="replace")
        if workspace.record_path(RECIPE.first.name).exists() and _BRAND in first_page:
            recorded = [path.name for path in directory.iterdir()]
    return Ownership(workspace, directory=directory, recorded=recorded)


def claim_weblog(workspace: Workspace, labels: Iterable[str]) -> Ownership:
    """Take the names of the web log of a run with these planes, before anything is written there.

    Raises
    ------
    ProblemListError
        If something that the run has not made lies under one of them; nothing has been changed.
    """
    owned = weblog_ownership(workspace)
    owned.claim(weblog_names(labels))
    return owned
