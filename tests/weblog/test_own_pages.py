"""The web log of somebody else is never overwritten, by a run or by the command; ours is rendered again."""

from __future__ import annotations

from pathlib import Path

import pytest

from vlasscube import cli
from vlasscube.errors import ProblemListError
from vlasscube.weblog.own_pages import SCRIPTS_DIRECTORY, WeblogOwnership, claim_weblog, weblog_names
from vlasscube.weblog.previews import DIRECTORY
from vlasscube.weblog.render import SCRIPTS, render_weblog
from vlasscube.workspace.directory import Workspace

THEIRS = ("index.html", "style.css", "stage03-transform_image_data.html", "viewer/data.js", "images/index.js")


def content(directory: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()
    }


@pytest.mark.parametrize("name", THEIRS)
def test_of_somebody_else(tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    workspace = Workspace(tmp_path)
    place = workspace.weblog / name
    place.parent.mkdir(parents=True)
    place.write_text("precious")
    with pytest.raises(ProblemListError, match=f"has not made:\n  {name}"):
        render_weblog(workspace)
    assert cli.main(["weblog", str(tmp_path)]) == 1
    assert name in capsys.readouterr().err
    assert content(tmp_path) == {f"weblog/{name}": b"precious"}


def test_ours_is_rendered_again_and_leaves_what_is_beside_it(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    render_weblog(workspace)
    first = content(workspace.weblog)
    theirs = workspace.weblog / "plane-spw99.html"
    theirs.write_text("precious")
    (workspace.weblog / "index.html").write_text("damaged")
    render_weblog(workspace)
    assert content(workspace.weblog) == {**first, theirs.name: b"precious"}


def test_a_page_of_a_plane_that_is_no_longer_asked_for_is_removed(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    claim_weblog(workspace, ["spw99"])
    workspace.weblog.mkdir()
    (workspace.weblog / "plane-spw99.html").write_text("ours")
    render_weblog(workspace)
    assert not (workspace.weblog / "plane-spw99.html").exists()
    assert "plane-spw99.html" not in WeblogOwnership(workspace).names


@pytest.mark.parametrize(
    ("page", "is_ours"), [("<a>vlasscube</a>", True), ("<a>CASA</a>", False), (None, True)]
)
def test_of_a_run_of_an_earlier_version(tmp_path: Path, page: str | None, is_ours: bool) -> None:
    workspace = Workspace(tmp_path)
    workspace.record_path("import_data").parent.mkdir()
    workspace.record_path("import_data").write_text("{}")
    workspace.weblog.mkdir()
    (workspace.weblog / "style.css").write_text("old")
    if page is not None:
        (workspace.weblog / "index.html").write_text(page)
    in_the_way = WeblogOwnership(workspace).in_the_way(weblog_names(["spw2"]))
    assert (in_the_way == ()) == is_ours


def test_every_file_of_the_web_log_has_a_name_that_is_claimed(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    render_weblog(workspace)
    assert {path.name for path in workspace.weblog.iterdir()} <= set(weblog_names(()))
    assert all(script.split("/")[0] in {SCRIPTS_DIRECTORY, DIRECTORY} for script in SCRIPTS)
