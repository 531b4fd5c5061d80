"""The run directory: atomic files, digests, lock, records."""

import json
import os
import subprocess
import sys

import pytest

from vlasscube.errors import WorkspaceError, WorkspaceLockedError
from vlasscube.options import RunOptions
from vlasscube.records import StepRecord
from vlasscube.workspace import Workspace, digest, publish, remove, write_text


@pytest.fixture
def workspace(tmp_path):
    return Workspace(tmp_path)


def make_tree(path, content="x"):
    path.mkdir()
    (path / "table.f0").write_text(content)
    (path / "table.dat").write_text("book")
    (path / "table.lock").write_text("1")
    return path


def record(stage="pbcor", plane="spw2", **changes):
    values = dict(
        stage=stage,
        plane=plane,
        key="k",
        status="done",
        started="",
        finished="",
        seconds=1.0,
        inputs={"a": 1},
        result=[1, None],
    )
    return StepRecord(**values | changes)


def test_missing_directory_is_named(tmp_path):
    with pytest.raises(WorkspaceError, match="nowhere"):
        Workspace(tmp_path / "nowhere")


def test_input_ms_is_the_only_one(workspace):
    with pytest.raises(WorkspaceError, match="no measurement set"):
        _ = workspace.input_ms
    (workspace.directory / "a.ms").mkdir()
    assert workspace.input_ms.name == "a.ms"
    (workspace.directory / "b.ms").mkdir()
    with pytest.raises(WorkspaceError, match=r"a\.ms, b\.ms"):
        _ = workspace.input_ms
    assert Workspace(workspace.directory, "b.ms").input_ms.name == "b.ms"


def test_digest_ignores_bookkeeping_but_no_data(tmp_path):
    tree = make_tree(tmp_path / "image")
    before = digest(tree)
    (tree / "table.lock").write_text("22222")
    (tree / "table.dat").write_text("koob")
    (tree / "table.f0").write_text("x")
    os.utime(tree / "table.f0", ns=(1, 1))
    assert digest(tree) == before
    (tree / "table.f0").write_text("y")
    assert digest(tree) != before
    (tree / "table.f0").unlink()
    assert digest(tree) != before


def test_digest_of_large_files_is_by_time(tmp_path):
    tree = make_tree(tmp_path / "image")
    (tree / "table.f0_TSM0").write_bytes(bytes(1 << 21))
    before = digest(tree)
    os.utime(tree / "table.f0_TSM0", ns=(1, 1))
    assert digest(tree) != before


def test_digest_survives_renaming(tmp_path):
    tree = make_tree(tmp_path / "image")
    before = digest(tree)
    tree.rename(tmp_path / "other")
    assert digest(tmp_path / "other") == before


def test_publish_replaces(tmp_path):
    make_tree(tmp_path / "old", "old")
    make_tree(tmp_path / "new", "new")
    publish(tmp_path / "new", tmp_path / "old")
    assert (tmp_path / "old" / "table.f0").read_text() == "new"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["old"]


def test_remove_does_not_follow_links(tmp_path):
    target = make_tree(tmp_path / "precious")
    (tmp_path / "link").symlink_to(target)
    remove(tmp_path / "link")
    assert (target / "table.f0").exists()


def test_write_text_leaves_nothing_else(tmp_path):
    write_text(tmp_path / "deep" / "file.json", "{}")
    assert [p.name for p in (tmp_path / "deep").iterdir()] == ["file.json"]


def test_record_round_trip(workspace):
    assert workspace.read_record("pbcor", "spw2") is None
    workspace.write_record(record())
    assert workspace.read_record("pbcor", "spw2") == record()
    workspace.remove_record("pbcor", "spw2")
    assert workspace.read_record("pbcor", "spw2") is None


def test_damaged_record_is_named(workspace):
    workspace.write_record(record())
    workspace.record_path("pbcor", "spw2").write_text('{"stage": ')
    with pytest.raises(WorkspaceError, match=r"records/planes/spw2/pbcor\.json"):
        workspace.read_record("pbcor", "spw2")


def test_output_states(workspace):
    tree = make_tree(workspace.directory / "image")
    fixed, mutable = workspace.file_record(tree), workspace.file_record(tree, mutable=True)
    assert workspace.is_unchanged(fixed)
    (tree / "table.f0").write_text("changed")
    assert not workspace.is_unchanged(fixed)
    assert workspace.is_unchanged(mutable)
    remove(tree)
    assert not workspace.is_unchanged(mutable)


def test_options_round_trip(workspace):
    assert workspace.read_options() is None
    options = RunOptions(nmajor=220, cutout="current")
    workspace.write_options(options)
    assert workspace.read_options() == options


def test_second_run_is_refused_with_the_owner(workspace):
    second = Workspace(workspace.directory)
    owner = f"process {os.getpid()} on "
    with workspace.locked(), pytest.raises(WorkspaceLockedError, match=owner), second.locked():
        pass


def test_lock_ends_with_its_process(workspace):
    code = (
        "import os, sys; from vlasscube.workspace import Workspace\n"
        "with Workspace(sys.argv[1]).locked(): os._exit(9)"
    )
    assert subprocess.run([sys.executable, "-c", code, str(workspace.directory)]).returncode == 9
    assert json.loads((workspace.records / "lock").read_text())["pid"] != os.getpid()
    with workspace.locked():
        pass


def test_clear_partial(workspace):
    workspace.working.mkdir()
    make_tree(workspace.working / ".image.partial")
    (workspace.working / ".x.1.partial").write_text("half")
    make_tree(workspace.working / "image")
    workspace.clear_partial()
    assert [p.name for p in workspace.working.iterdir()] == ["image"]
