"""Pruning removes what a run has made, and nothing else."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from vlasscube import cli
from vlasscube.errors import WorkspaceError, WorkspaceLockedError
from vlasscube.naming import plane_image_root
from vlasscube.recipe import EDIT_IMAGE_LIST_CUBE, TRANSFORM_IMAGE_DATA
from vlasscube.results.reading import read_result
from vlasscube.results.working_names import WorkingOwnership
from vlasscube.run.pruning import prune_working
from vlasscube.workspace.directory import Workspace

from .released_run import unpack_released_run

FOREIGN = ("notes", "other.ms", ".hidden", "s7_0.", ".notes.partial", ".other.doomed")
PARTIAL = (".s7_0.x.spw2.IQUV.iter3.partial", ".s7_0.x.4711.3.doomed", ".casa.partial")


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """A finished run with everything that its records name, and what others have put beside it."""
    found = Workspace(unpack_released_run(tmp_path / "run"))
    for name in (*made_by(found), *PARTIAL, *foreign(found)):
        (found.working / name).mkdir(parents=True)
        (found.working / name / "table.f0").write_bytes(bytes(1000))
    return found


def made_by(workspace: Workspace) -> set[str]:
    """Names in ``working/`` that stand in the records as outputs."""
    names = set()
    for path in workspace.records.rglob("*.json"):
        record = json.loads(path.read_text())
        outputs = record.get("outputs", []) if isinstance(record, dict) else []
        names |= {Path(o["path"]).name for o in outputs if o["path"].startswith("working/")}
    assert len(names) > 40
    return names


def foreign(workspace: Workspace) -> tuple[str, ...]:
    plan = read_result(workspace, EDIT_IMAGE_LIST_CUBE)
    root = plan.targets[0].image_root
    ms = read_result(workspace, TRANSFORM_IMAGE_DATA).working_ms
    near = (f"{root}.iter3.image.tt0 (copy)", f"{root}0.iter3.image.tt0", f"{root}.iter3.notes", f"{ms}.bak")
    return (*FOREIGN, *near, plane_image_root(plan.image_name, "17"))


def content(directory: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()
    }


def test_what_the_run_made_is_removed_and_nothing_else(workspace: Workspace) -> None:
    before = {name: content(workspace.directory / name) for name in ("products", "records")}
    pruned = prune_working(workspace)
    assert set(pruned.removed) == made_by(workspace) | set(PARTIAL)
    assert pruned.freed_bytes == 1000 * len(pruned.removed)
    assert {path.name for path in workspace.working.iterdir()} == set(foreign(workspace)) == set(pruned.kept)
    after = {name: content(workspace.directory / name) for name in before}
    after["records"].pop("lock")
    assert after == before
    assert prune_working(workspace).removed == ()


def test_links_are_not_followed(workspace: Workspace, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    (elsewhere / "deep").mkdir(parents=True)
    (elsewhere / "deep" / "data").write_text("precious")
    first, second, *_ = sorted(made_by(workspace))
    shutil.rmtree(workspace.working / first)
    (workspace.working / first).symlink_to(elsewhere)
    (workspace.working / second / "link").symlink_to(elsewhere)
    (workspace.working / second / "data").symlink_to(elsewhere / "deep" / "data")
    prune_working(workspace)
    assert not (workspace.working / first).is_symlink()
    assert content(elsewhere) == {"deep/data": b"precious"}
    shutil.rmtree(workspace.working)
    workspace.working.symlink_to(elsewhere)
    with pytest.raises(WorkspaceError, match="is a link"):
        prune_working(workspace)
    assert content(elsewhere) == {"deep/data": b"precious"}


def test_nothing_is_removed_from_a_run_that_works_or_is_not_finished(workspace: Workspace) -> None:
    before = content(workspace.working)
    second = Workspace(workspace.directory)
    with workspace.locked(), pytest.raises(WorkspaceLockedError):
        prune_working(second)
    workspace.remove_record("export_vlass_data")
    with pytest.raises(WorkspaceError, match="is not finished") as caught:
        prune_working(workspace)
    assert "--force" in caught.value.hint
    assert content(workspace.working) == before
    assert prune_working(workspace, force=True).removed


def test_command(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    before = content(workspace.working)
    assert cli.main(["prune", str(workspace.directory), "--dry-run"]) == 0
    shown = capsys.readouterr().out
    assert "Would remove" in shown
    assert all(f"working/{name}" in shown for name in made_by(workspace))
    assert content(workspace.working) == before
    assert cli.main(["prune", str(workspace.directory)]) == 0
    shown = capsys.readouterr().out
    assert "Removed" in shown
    assert "kept in working/: .hidden" in shown
    for name in foreign(workspace):
        shutil.rmtree(workspace.working / name)
    assert cli.main(["prune", str(workspace.directory)]) == 0
    assert not workspace.working.exists()


def test_nothing_to_prune(tmp_path: Path) -> None:
    assert prune_working(Workspace(tmp_path)).removed == ()


def test_former_name_of_the_command(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["clean", str(workspace.directory)]) == 0
    shown = capsys.readouterr()
    assert "Removed" in shown.out
    assert shown.err == "vlasscube: 'clean' is now called 'prune'.\n"
    assert cli.main(["--help"]) == 0
    assert "clean" not in capsys.readouterr().out.split("Commands:")[1].split()


def test_what_was_pruned_is_no_longer_the_runs(workspace: Workspace) -> None:
    ms = read_result(workspace, TRANSFORM_IMAGE_DATA).working_ms
    owned = WorkingOwnership(workspace)
    owned.remember()
    assert ms in owned.names
    assert prune_working(workspace, dry_run=True).freed_bytes > 0
    assert ms in WorkingOwnership(workspace).names
    prune_working(workspace)
    assert WorkingOwnership(workspace).names == set()
    (workspace.working / ms).mkdir(parents=True)
    assert WorkingOwnership(workspace).in_the_way([ms]) == (ms,)
    assert prune_working(workspace).removed == ()
