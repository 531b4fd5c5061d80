"""The run directory: atomic files, digests, lock, records."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from vlasscube.cli.signals import Interrupted
from vlasscube.errors import WorkspaceError, WorkspaceLockedError
from vlasscube.options import RunOptions
from vlasscube.records import StepRecord
from vlasscube.stages.context import StageContext
from vlasscube.workspace import directory, files
from vlasscube.workspace.directory import Workspace
from vlasscube.workspace.files import content_digest, digest, publish, remove, write_text
from vlasscube.workspace.leftovers import is_leftover
from vlasscube.workspace.locks import this_process
from vlasscube.workspace.run_state import note_forced_end, read_run_state, recorded_run


@pytest.fixture
def workspace(tmp_path):
    return Workspace(tmp_path)


def make_tree(path, content="x"):
    path.mkdir(parents=True)
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
        "import os, sys; from vlasscube.workspace.directory import Workspace\n"
        "with Workspace(sys.argv[1]).locked(): os._exit(9)"
    )
    assert subprocess.run([sys.executable, "-c", code, str(workspace.directory)]).returncode == 9
    left = json.loads((workspace.records / "lock").read_text())
    assert left["pid"] != os.getpid()
    assert workspace.present_owner is None
    with workspace.locked() as before:
        assert before.pid == left["pid"]
        assert workspace.present_owner.pid == os.getpid()
    with workspace.locked() as before:
        assert before is None


ELSEWHERE = {"host": "node17", "pid": 4711, "started": "2026-01-31T12:00:00Z", "boot_id": "another"}


def leave_lock(workspace, **owner):
    workspace.records.mkdir(exist_ok=True)
    (workspace.records / "lock").write_text(json.dumps(owner))


def test_lock_left_on_another_machine_is_explained_and_can_be_taken(workspace):
    leave_lock(workspace, **ELSEWHERE)
    with (
        pytest.raises(WorkspaceLockedError, match="process 4711 on node17, started 2026-01-31") as caught,
        workspace.locked(),
    ):
        pass
    assert "--steal-lock" in caught.value.hint
    assert json.loads((workspace.records / "lock").read_text()) == ELSEWHERE
    with workspace.locked(steal=True) as before:
        assert (before.host, before.pid) == ("node17", 4711)
    with workspace.locked() as before:
        assert before is None


def test_lock_left_by_an_earlier_boot_or_a_container_of_this_machine_is_taken(workspace):
    me = this_process()
    for owner in ({**ELSEWHERE, "host": me.host}, {**ELSEWHERE, "boot_id": me.boot_id}):
        leave_lock(workspace, **owner)
        with workspace.locked() as before:
            assert before.pid == 4711


@pytest.mark.parametrize("steal", [False, True])
def test_lock_of_a_living_process_is_never_taken(workspace, steal):
    second = Workspace(workspace.directory)
    refused = pytest.raises(WorkspaceLockedError, match="is in use by process")
    with workspace.locked(), refused, second.locked(steal=steal):
        pass


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"host": 1}', '{"pid": "x"}', "\x00" * 100])
def test_damaged_lock_file_is_no_owner(workspace, text):
    workspace.records.mkdir()
    (workspace.records / "lock").write_text(text)
    with workspace.locked() as before:
        assert before is None


class TestRunState:
    def test_running_and_finished(self, workspace):
        workspace.records.mkdir()
        assert read_run_state(workspace) is None
        with recorded_run(workspace):
            state = read_run_state(workspace)
            assert (state.state, state.pid, state.ended) == ("running", os.getpid(), "")
        state = read_run_state(workspace)
        assert (state.state, state.reason) == ("finished", "")
        assert state.ended >= state.started

    @pytest.mark.parametrize(
        ("error", "state", "reason"),
        [
            (WorkspaceError("no room"), "failed", "no room"),
            (KeyboardInterrupt(), "interrupted", "KeyboardInterrupt"),
            (Interrupted(signal.SIGTERM), "interrupted", "SIGTERM"),
        ],
    )
    def test_other_endings(self, workspace, error, state, reason):
        workspace.records.mkdir()
        with pytest.raises(type(error)), recorded_run(workspace):
            raise error
        found = read_run_state(workspace)
        assert (found.state, found.reason) == (state, reason)

    def test_forced_end(self, workspace):
        workspace.records.mkdir()
        with recorded_run(workspace):
            note_forced_end("SIGINT")
            assert read_run_state(workspace).state == "interrupted"
        note_forced_end("SIGTERM")
        assert read_run_state(workspace).state == "finished"

    def test_damage(self, workspace):
        workspace.records.mkdir()
        (workspace.records / "run.json").write_text('{"state": "dancing"}')
        assert read_run_state(workspace) is None


OURS = (
    ".casa.partial",
    ".export.partial",
    ".split_input.partial",
    ".small_split.ms.partial",
    ".s7_0.NAME.spw2_3.IQUV.iter1.partial",
    ".s7_0.NAME.spw2.IQUV.iter3.image.tt0.rms.partial",
    ".a b.json.4711.12.partial",
    ".x.image.4711.1.doomed",
    ".look.node-1.example.org.99.partial",
    ".lock.0123456789abcdef0123456789abcdef.partial",
    ".locks.ab_c12xy.partial",
    ".resources.ab_c12xy.partial",
)
FOREIGN = (
    ".notes.partial",
    ".download.ms.partial",
    ".old.doomed",
    ".x.4711.partial",
    ".x.4711.3.partial.bak",
    "x.4711.3.partial",
    ".s7_0.NAME.partial",
    ".casa.partial~",
)


def test_clear_partial_removes_what_interrupted_steps_leave_and_nothing_of_others(workspace):
    places = [workspace.working, workspace.records / "planes" / "spw2", workspace.weblog / "images" / "spw2"]
    for place in (*places, workspace.products, workspace.working / "theirs"):
        for name in (*OURS, *FOREIGN, "image"):
            make_tree(place / name)
    workspace.clear_partial()
    for place in places:
        assert {path.name for path in place.iterdir()} - {"theirs"} == {*FOREIGN, "image"}
    for untouched in (workspace.products, workspace.working / "theirs"):
        assert {path.name for path in untouched.iterdir()} == {*OURS, *FOREIGN, "image"}


def test_names_of_partial_files_are_known_as_such(workspace, monkeypatch):
    seen = []
    monkeypatch.setattr(Path, "replace", lambda self, target: seen.append(self.name))
    monkeypatch.setattr(Path, "rename", lambda self, target: seen.append(Path(target).name))
    with contextlib.suppress(OSError):
        write_text(workspace.directory / ("x" * 250), "text")
    with contextlib.suppress(OSError):
        remove(make_tree(workspace.directory / "tree"))
    assert len(seen) == 2
    assert all(map(is_leftover, seen))


# ------------------------------------------------------------------------------------ copied run directories


@pytest.fixture
def table(tmp_path):
    """A table with a file that is too large to be digested by content as a matter of course."""
    place = tmp_path / "working" / "t.image"
    place.mkdir(parents=True)
    (place / "table.f0_TSM0").write_bytes(os.urandom(3 << 20))
    (place / "table.dat").write_bytes(b"description")
    os.utime(place / "table.f0_TSM0", ns=(10**18 + 123456789, 10**18 + 123456789))
    return place


def cut_to_seconds(path):
    for file in path.rglob("*"):
        seconds = file.stat().st_mtime_ns // 10**9
        os.utime(file, ns=(seconds * 10**9, seconds * 10**9))


def copied_plainly(path):
    shutil.copytree(path, path.with_name("copy"), copy_function=shutil.copyfile)
    shutil.rmtree(path)
    path.with_name("copy").rename(path)


def copied_by_tar(path):
    subprocess.run(["tar", "-C", path.parent, "-cf", path.parent / "t.tar", path.name], check=True)
    shutil.rmtree(path)
    subprocess.run(["tar", "-C", path.parent, "-xf", path.parent / "t.tar"], check=True)


@pytest.mark.parametrize("change", [cut_to_seconds, copied_plainly, copied_by_tar])
def test_a_copied_table_is_as_it_was(tmp_path, table, change):
    workspace = Workspace(tmp_path)
    record = workspace.file_record(table)
    assert workspace.is_unchanged(record)
    change(table)
    assert digest(table) != record.digest
    assert workspace.is_unchanged(record)


def test_a_table_with_other_contents_is_not_as_it_was(tmp_path, table):
    workspace = Workspace(tmp_path)
    record = workspace.file_record(table)
    with (table / "table.f0_TSM0").open("r+b") as stream:
        stream.seek(2 << 20)
        byte = stream.read(1)
        stream.seek(2 << 20)
        stream.write(bytes([byte[0] ^ 1]))
    assert not workspace.is_unchanged(record)


def test_a_record_without_contents_goes_by_times(tmp_path, table):
    workspace = Workspace(tmp_path)
    record = replace(workspace.file_record(table), content="")
    assert workspace.is_unchanged(record)
    cut_to_seconds(table)
    assert not workspace.is_unchanged(record)


def test_what_is_left_of_removed_files_does_not_count(tmp_path, table):
    workspace = Workspace(tmp_path)
    record = workspace.file_record(table)
    (table / ".nfs00000000012345").write_bytes(b"kept by NFS")
    assert workspace.is_unchanged(record)


def test_contents_are_read_in_pieces(tmp_path, table, monkeypatch):
    """Whatever the pieces, a change in any of them is seen."""
    monkeypatch.setattr(files, "_PIECE_BYTES", 1 << 20)
    seen = {content_digest(table)}
    file = table / "table.f0_TSM0"
    data = bytearray(file.read_bytes())
    for place in (0, (1 << 20) - 1, 1 << 20, 2 << 20, len(data) - 1):
        data[place] ^= 1
        file.write_bytes(data)
        seen.add(content_digest(table))
    file.write_bytes(data[1 << 20 :] + data[: 1 << 20])
    seen.add(content_digest(table))
    assert len(seen) == 7
    assert all(text.startswith("content:") for text in seen)


def test_small_tables_are_digested_by_content_anyway(tmp_path):
    (tmp_path / "t").mkdir()
    (tmp_path / "t" / "small").write_bytes(b"x")
    assert content_digest(tmp_path / "t") == ""
    assert content_digest(tmp_path / "t" / "small") == ""


def test_times_are_kept_so_that_contents_are_read_once(tmp_path, table, monkeypatch):
    workspace = Workspace(tmp_path)
    outputs = (workspace.file_record(table),)
    record = StepRecord("pbcor", None, "key", "done", "", "", 1.0, {}, {}, outputs=outputs)
    workspace.write_record(record)
    assert workspace.with_present_times(record) == record
    cut_to_seconds(table)
    now = workspace.with_present_times(record)
    assert workspace.read_record("pbcor") == now != record
    monkeypatch.setattr(directory, "content_digest", lambda path: pytest.fail("read again"))
    assert all(workspace.is_unchanged(output) for output in now.outputs)


def test_a_copied_input_is_the_same_input(tmp_path, table):
    workspace = Workspace(tmp_path)
    context = StageContext(workspace, "import_data")
    link = tmp_path / "t.ms"
    link.symlink_to(table)
    first = workspace.source_digest(None, link)
    context.add_source(link)
    record = StepRecord(
        "import_data", None, "key", "done", "", "", 1.0, {"digest": first}, {}, sources=tuple(context.sources)
    )
    cut_to_seconds(table)
    assert workspace.source_digest(None, link) != first
    assert workspace.source_digest(record, link) == first
    again = workspace.with_present_times(record)
    assert workspace.source_digest(again, link) == first
    (table / "table.f0_TSM0").write_bytes(os.urandom(3 << 20))
    assert workspace.source_digest(again, link) != first
