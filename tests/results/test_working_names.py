"""Which tables in ``working/`` are a run's own: what it has claimed or, if earlier, its records say."""

from __future__ import annotations

from pathlib import Path

import pytest

from vlasscube.errors import ProblemListError
from vlasscube.results.working_names import WorkingOwnership, set_names
from vlasscube.stages.context import StageContext
from vlasscube.workspace.directory import Workspace

MS, ROOT, MASK = "a_split.ms", "s7_0.a.spw2.IQUV", "s13_0.a.combined-tier2.mask"
IMAGE = f"{ROOT}.iter3.image.tt0"


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    (tmp_path / "working").mkdir()
    return Workspace(tmp_path)


def claim(workspace: Workspace, *names: str) -> None:
    StageContext(workspace, "restore_pims").claim(names)


@pytest.mark.parametrize(("name", "found"), [(MS, MS), (MASK, MASK), (ROOT, IMAGE)])
def test_what_is_there_before_a_claim_is_somebody_elses(workspace: Workspace, name: str, found: str) -> None:
    place = workspace.working / found
    place.mkdir()
    with pytest.raises(ProblemListError, match=found):
        claim(workspace, "other", name)
    assert WorkingOwnership(workspace).names == set()
    place.rmdir()
    claim(workspace, "other", name)
    place.mkdir()
    claim(workspace, name)
    assert WorkingOwnership(workspace).names == {"other", name}


def test_a_link_is_never_the_runs(workspace: Workspace) -> None:
    claim(workspace, MS)
    (workspace.working / MS).symlink_to(workspace.directory)
    with pytest.raises(ProblemListError, match=MS):
        claim(workspace, MS)


def test_names_that_only_begin_alike_are_not_in_the_way(workspace: Workspace) -> None:
    for name in (f"{MS}.bak", f"{ROOT}.iter3.notes", f"{ROOT}0.iter3.image.tt0", f"{MASK}.old"):
        (workspace.working / name).mkdir()
    claim(workspace, *set_names(MS), ROOT, MASK)


def test_a_restore_of_an_earlier_version_that_was_killed(workspace: Workspace) -> None:
    """It has left no record, but its mark; once the run has kept its names, such a mark says nothing."""
    for name in (MS, f"{MS}.flagversions", MASK):
        (workspace.working / name).mkdir()
    (workspace.working / f"{MS}.touched").write_text("")
    owned = WorkingOwnership(workspace)
    assert owned.in_the_way([*set_names(MS), MASK]) == ()
    owned.remember()
    later = "s5_0.a.I.iter1.model.tt0"
    (workspace.working / later).mkdir()
    assert WorkingOwnership(workspace).in_the_way([later]) == (later,)
