"""An export touches only the run's own files: against a directory that anybody writes into."""

from __future__ import annotations

import string
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from vlasscube.errors import ProblemListError
from vlasscube.products.owned_files import OwnedFile, OwnedFiles, Ownership
from vlasscube.records import FileRecord, StepRecord
from vlasscube.workspace.directory import Workspace
from vlasscube.workspace.files import text_digest, write_text

LEDGER = "products.owned"
names = st.text(string.ascii_letters + "./\0 ", max_size=6)
owned_files = st.builds(OwnedFile, names, st.integers(0, 3), st.sampled_from(["a", "b"]))
ledgers = st.builds(OwnedFiles, st.lists(owned_files).map(tuple), st.lists(names).map(tuple))


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    (tmp_path / "products").mkdir()
    return Workspace(tmp_path)


def export(
    workspace: Workspace, texts: dict[str, str], previous: StepRecord | None = None, stop_after: int = 99
) -> tuple[str, ...]:
    """Do what the stage does; killed after some of the files, it settles nothing."""
    owned = Ownership(workspace, previous)
    owned.claim(texts)
    for number, (name, text) in enumerate(texts.items()):
        if number == stop_after:
            return ()
        write_text(owned.path(name), text)
        # A kill between the two lines.
        if number + 1 != stop_after:
            owned.add(OwnedFile(name, len(text), text_digest(text)))
    return owned.settle(texts) if stop_after > len(texts) else ()


def content(workspace: Workspace) -> dict[str, str]:
    return {path.name: path.read_text() for path in workspace.products.iterdir()}


@given(ledgers, names, st.integers(0, 3), st.sampled_from(["a", "b"]))
def test_a_file_is_known_by_name_and_content(ledger: OwnedFiles, name: str, size: int, sha256: str) -> None:
    recorded = any((f.name, f.size_bytes, f.sha256) == (name, size, sha256) for f in ledger.files)
    assert ledger.knows(name, size, lambda: sha256) == (recorded or name in ledger.pending)


@given(ledgers, owned_files, st.lists(names))
def test_what_is_noted_is_what_was_written_last(
    ledger: OwnedFiles, file: OwnedFile, claimed: list[str]
) -> None:
    assert set(ledger.claimed(claimed).pending) == {*ledger.pending, *claimed}
    noted = ledger.claimed(claimed).with_file(file)
    assert [other for other in noted.files if other.name == file.name] == [file]
    assert file.name not in noted.pending
    assert noted.only([file.name]) == OwnedFiles((file,))
    assert all(Path("x", name).parent == Path("x") and name not in ("", "..") for name in noted.names)


def test_what_others_have_put_there_stays(workspace: Workspace) -> None:
    others = {"continuum.fits": "precious", "notes.txt": "mine", ".hidden.partial": "", "weblog_old.tgz": "x"}
    for name, text in others.items():
        (workspace.products / name).write_text(text)
    assert export(workspace, {"a.fits": "1", "b.fits": "2"}) == ()
    assert export(workspace, {"a.fits": "3"}) == ()
    assert content(workspace) == {"a.fits": "3", **others}


@pytest.mark.parametrize("kind", ["file", "directory", "link", "link to nothing"])
def test_what_lies_in_the_way_is_named_and_nothing_is_touched(workspace: Workspace, kind: str) -> None:
    place = workspace.products / "weblog.tgz"
    if kind == "file":
        place.write_text("of another run")
    elif kind == "directory":
        place.mkdir()
    else:
        place.symlink_to(workspace.directory / ("nowhere" if kind.endswith("nothing") else "products"))
    with pytest.raises(ProblemListError, match=r"weblog\.tgz") as caught:
        export(workspace, {"a.fits": "1", "weblog.tgz": "2"})
    assert caught.value.problems == ("weblog.tgz",)
    assert "Move them" in caught.value.hint
    assert [path.name for path in workspace.products.iterdir()] == ["weblog.tgz"]
    assert not (workspace.records / LEDGER).exists()


def test_a_product_that_was_changed_is_set_aside_and_made_again(workspace: Workspace) -> None:
    for text in "XY":
        export(workspace, {"a.fits": "1", "b.fits": "2"})
        (workspace.products / "b.fits").write_text(text)
    owned = Ownership(workspace)
    assert owned.in_the_way(["b.fits"]) == ()
    assert owned.claim(["b.fits"]) == {"b.fits": "b.fits.changed1"}
    expected = {"a.fits": "1", "b.fits.changed": "X", "b.fits.changed1": "Y"}
    assert content(workspace) == expected
    export(workspace, {"a.fits": "1", "b.fits": "2"})
    assert content(workspace) == {**expected, "b.fits": "2"}


def test_a_product_that_was_changed_and_is_no_longer_one_stays(workspace: Workspace) -> None:
    export(workspace, {"a.fits": "1", "b.fits": "2"})
    (workspace.products / "b.fits").write_text("X")
    assert export(workspace, {"a.fits": "1"}) == ("b.fits",)
    assert content(workspace) == {"a.fits": "1", "b.fits": "X"}
    # From then on it is nobody's.
    assert export(workspace, {"a.fits": "1"}) == ()


@pytest.mark.parametrize("kind", ["link", "directory"])
def test_what_has_taken_the_place_of_a_product_is_not_its_own(workspace: Workspace, kind: str) -> None:
    export(workspace, {"a.fits": "1", "b.fits": "2"}, stop_after=1)
    place = workspace.products / "a.fits"
    place.rename(workspace.directory / "precious")
    if kind == "link":
        place.symlink_to(workspace.directory / "precious")
    else:
        (place / "precious").mkdir(parents=True)
    with pytest.raises(ProblemListError, match=r"a\.fits"):
        export(workspace, {"a.fits": "1", "b.fits": "2"})
    assert export(workspace, {"b.fits": "2"}) == ("a.fits",)
    assert place.is_symlink() or (place / "precious").is_dir()


@pytest.mark.parametrize("stop_after", [0, 1, 2])
def test_a_killed_export_is_repeated(workspace: Workspace, stop_after: int) -> None:
    export(workspace, {"a.fits": "1", "old.fits": "2"})
    export(workspace, {"a.fits": "3", "b.fits": "4", "c.fits": "5"}, stop_after=stop_after)
    (workspace.products / ".b.fits.4711.3.partial").write_text("half")
    (workspace.products / ".d.fits.4711.3.partial").write_text("somebody else's")
    export(workspace, {"a.fits": "6", "c.fits": "7"})
    assert content(workspace) == {"a.fits": "6", "c.fits": "7", ".d.fits.4711.3.partial": "somebody else's"}


def test_the_record_of_an_earlier_version_says_what_is_its_own(workspace: Workspace) -> None:
    for name in ("a.fits", "b.fits", "c.fits"):
        (workspace.products / name).write_text(name)
    outputs = tuple(
        FileRecord(f"{place}/{name}", len(name), text_digest(name))
        for place, name in (("products", "a.fits"), ("products", "b.fits"), ("working", "c.fits"))
    )
    record = StepRecord("export_vlass_data", None, "k", "done", "", "", 1.0, None, None, outputs=outputs)
    Ownership(workspace, record).remember()
    # The record is removed when the step begins, and what is known is kept.
    export(workspace, {"a.fits": "1"})
    assert content(workspace) == {"a.fits": "1", "c.fits": "c.fits"}


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", '{"files": [], "pending": ["../precious", "..", "", "/", "a/b"]}'],
)
def test_records_that_are_damaged_or_hostile_own_nothing_else(workspace: Workspace, text: str) -> None:
    (workspace.directory / "precious").write_text("keep")
    write_text(workspace.records / LEDGER, text)
    (workspace.products / "a.fits").write_text("keep")
    export(workspace, {"b.fits": "1"})
    assert (workspace.directory / "precious").read_text() == "keep"
    assert content(workspace) == {"a.fits": "keep", "b.fits": "1"}


def test_a_name_that_was_not_announced_is_not_written(workspace: Workspace) -> None:
    owned = Ownership(workspace)
    owned.claim(["a.fits"])
    with pytest.raises(ValueError, match=r"b\.fits"):
        owned.path("b.fits")


class AnybodyWrites(RuleBasedStateMachine):
    """Exports, whole and killed, in a directory where others put and change files in between."""

    products = st.dictionaries(st.sampled_from(["a", "b", "c"]), st.sampled_from(["1", "22"]), max_size=3)

    def __init__(self) -> None:
        super().__init__()
        self.place = tempfile.TemporaryDirectory()
        self.workspace = Workspace(self.place.name)
        self.workspace.products.mkdir()
        self.precious: dict[str, str] = {}
        self.pending: set[str] = set()
        self.delivered: set[str] = set()

    def teardown(self) -> None:
        self.place.cleanup()

    @rule(name=st.sampled_from(["a", "b", "c", "d"]), text=st.sampled_from(["3", "44"]))
    def somebody_writes(self, name: str, text: str) -> None:
        # What is written under a name that a killed export had announced cannot be told from its own.
        if name not in self.pending:
            (self.workspace.products / name).write_text(text)
            self.precious[name] = text

    @precondition(lambda self: self.precious)
    @rule(data=st.data())
    def somebody_moves_his_file_away(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(self.precious)))
        if "changed" in name:
            return
        (self.workspace.products / name).unlink()
        del self.precious[name]

    @rule(texts=products, stop_after=st.sampled_from([0, 1, 2, 99, 99]))
    def run(self, texts: dict[str, str], stop_after: int) -> None:
        changed = set(texts) & set(self.precious)
        blocked = changed - self.delivered - self.pending
        if blocked:
            with pytest.raises(ProblemListError) as caught:
                export(self.workspace, texts, stop_after=stop_after)
            assert set(caught.value.problems) == blocked
            return
        export(self.workspace, texts, stop_after=stop_after)
        for name in changed:
            taken = sum(other.startswith(f"{name}.changed") for other in self.precious)
            self.precious[f"{name}.changed{taken or ''}"] = self.precious.pop(name)
        if stop_after <= len(texts):
            self.pending |= set(texts)
            return
        self.pending, self.delivered = set(), set(texts)
        assert content(self.workspace) == {**self.precious, **texts}

    @invariant()
    def nothing_precious_is_lost(self) -> None:
        found = content(self.workspace)
        assert {name: found.get(name) for name in self.precious} == self.precious


TestAnybodyWrites = AnybodyWrites.TestCase
TestAnybodyWrites.settings = settings(max_examples=40, stateful_step_count=12, deadline=None)
