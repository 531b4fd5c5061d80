"""Which names in ``weblog/`` are the run's own: nothing of anybody else is overwritten or removed."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from vlasscube.products.owned_files import Ownership
from vlasscube.recipe import RECIPE
from vlasscube.weblog.previews import DIRECTORY
from vlasscube.weblog.site import plane_page, stage_page
from vlasscube.workspace.directory import Workspace

INDEX = "index.html"
VIEWER = "viewer.html"
SHEETS = ("style.css", "viewer.css")
SCRIPTS_DIRECTORY = "viewer"
_BRAND = b"vlasscube"
_IN_DIRECTORIES = {
    SCRIPTS_DIRECTORY: re.compile(r"\w+\.js", re.ASCII),
    DIRECTORY: re.compile(r"index\.js|sources|spw\d+(_\d+)*", re.ASCII),
}
"""What the run puts into its directories; others may put in more. Figures are never written over another."""


def weblog_names(labels: Iterable[str]) -> Iterator[str]:
    """Names of all files and directories of the web log of a run with these planes."""
    yield from (INDEX, VIEWER, *SHEETS, *_IN_DIRECTORIES)
    yield from map(stage_page, RECIPE)
    yield from map(plane_page, labels)


class WeblogOwnership(Ownership):
    """The run's own files in ``weblog/``, by name: pages change with every step.

    Runs of earlier versions have kept no names. Where there are records of steps, and the first page is one
    of ours, all that is there is the run's.

    Parameters
    ----------
    workspace : Workspace
        Run directory.
    """

    def __init__(self, workspace: Workspace) -> None:
        directory = workspace.weblog
        is_earlier = directory.is_dir() and workspace.record_path(RECIPE.first.name).exists()
        if is_earlier and _is_ours(directory / INDEX):
            recorded = [path.name for path in directory.iterdir()]
        else:
            recorded = []
        super().__init__(workspace, directory=directory, recorded=recorded)

    def _entries(self, name: str) -> Iterator[str]:
        pattern, directory = _IN_DIRECTORIES.get(name), self._directory / name
        if pattern is None or not directory.is_dir():
            yield name
        elif name not in self.names:
            found = (path.name for path in directory.iterdir() if pattern.fullmatch(path.name))
            yield from (f"{name}/{entry}" for entry in sorted(found))


def _is_ours(first_page: Path) -> bool:
    try:
        return _BRAND in first_page.read_bytes()
    except FileNotFoundError:
        return True
    except OSError:
        return False


def claim_weblog(workspace: Workspace, labels: Iterable[str]) -> Ownership:
    """Take the names of the web log of a run with these planes, before anything is written there.

    Raises
    ------
    ProblemListError
        If something that the run has not made lies under one of them; nothing has been changed.
    """
    owned = WeblogOwnership(workspace)
    owned.claim(weblog_names(labels))
    return owned
