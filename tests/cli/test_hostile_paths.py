"""Run directories with names that people, and others, give them."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest

from vlasscube import cli
from vlasscube.errors import WorkspaceError
from vlasscube.stages.import_data import require_path_for_casa
from vlasscube.workspace.directory import Workspace

PLAIN = (
    "with spaces",
    "semicolon;and%percent",
    unicodedata.normalize("NFC", "é"),
    unicodedata.normalize("NFD", "é"),
    "\N{GRINNING FACE}",
    "-n",
    "~",
    "x" * 200,
)
FOREIGN = ("it's", 'a "name"', "$HOME", "$(reboot)", "[ab]", "two\nlines", "bytes\udcff")


@pytest.mark.parametrize("name", PLAIN)
def test_fine(name: str) -> None:
    require_path_for_casa(Path("/data") / name / "a.ms")


@pytest.mark.parametrize("name", FOREIGN)
def test_refused_before_the_work_with_the_character(name: str) -> None:
    with pytest.raises(WorkspaceError, match="CASA cannot work in") as caught:
        require_path_for_casa(Path("/data") / name / "a.ms")
    assert "symbolic link" in caught.value.hint
    assert str(caught.value).isprintable()


def test_too_long() -> None:
    with pytest.raises(WorkspaceError, match="bytes, more than"):
        require_path_for_casa(Path("/", *["x" * 250] * 20))


def test_a_path_that_is_taken_leaves_room_for_the_files_of_images() -> None:
    def path(size: int) -> Path:
        return Path("/" + "/".join(["x" * 99] * 50)[: size - 1])

    # Linux takes 4095 bytes; an image in working/ is a directory, and names have up to 255.
    longest = 4095 - len("/working/") - 2 * len("/" + 255 * "x")
    require_path_for_casa(path(3400))
    with pytest.raises(WorkspaceError, match="bytes, more than"):
        require_path_for_casa(path(longest + 1))


@pytest.mark.parametrize("name", [*PLAIN, *FOREIGN])
def test_status_and_web_log_anywhere(tmp_path: Path, name: str) -> None:
    directory = tmp_path / name
    directory.mkdir()
    assert cli.main(["status", str(directory)]) == 0
    assert cli.main(["weblog", f"{directory}/"]) == 0
    assert (directory / "weblog" / "index.html").is_file()


def test_links_and_relative_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    monkeypatch.chdir(tmp_path)
    assert Workspace("link").directory == tmp_path / "link"
    assert Workspace("./real/").directory == tmp_path / "real"
    monkeypatch.setenv("HOME", str(tmp_path))
    assert Workspace("~/real").directory == tmp_path / "real"
