"""Files under their final name are whole and on disk; nothing else writes, renames, syncs or digests."""

from __future__ import annotations

import ast
import errno
import hashlib
import os
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

import vlasscube
from vlasscube import casacore_tables
from vlasscube.errors import ResourceLimitError
from vlasscube.images.derived_images import derived_image
from vlasscube.images.mosaic_images import ImageHeader, write_mosaic_image
from vlasscube.measurement_set import working_copy
from vlasscube.mosaic.visibilities import ObservationInfo
from vlasscube.parameters.lists import write_parameter_file
from vlasscube.products.fits_files import write_fits
from vlasscube.products.manifest import Manifest, write_manifest
from vlasscube.records import ImageGeometry
from vlasscube.testing.durability import watched
from vlasscube.workspace import files
from vlasscube.workspace.files import (
    digest,
    discard,
    make_directory,
    mark,
    move,
    new_file,
    publish,
    publish_all,
    remove,
    text_digest,
    write_bytes,
    write_text,
)

OBSERVATION = ObservationInfo("EVLA", "me", 5.1e9, "field", ((-1.6e6, -5e6, 3.5e6),))
HEADER = ImageHeader(
    ImageGeometry(6, 4, 1.0, "J2000 10:00:00.000 +34.00.00.0000"), 3e9, 128e6, 2.9e9, OBSERVATION
)


def make_tree(path: Path, content: str = "x") -> Path:
    (path / "logtable").mkdir(parents=True)
    (path / "table.f0").write_text(content)
    (path / "logtable" / "table.f0").write_text(content)
    return path


# ------------------------------------------------------------------------------------------------ durability


def mosaic_image(place: Path) -> Path:
    mask = np.ones((4, 6), bool)
    write_mosaic_image(place / "a.image", "image", HEADER, [np.ones((4, 6), "f4")] * 4, mask=mask)
    return place / "a.image"


def image_of_an_image(place: Path) -> Path:
    template = mosaic_image(place)
    with derived_image(place / "b.image", template) as add:
        for _ in range(4):
            add(np.zeros((4, 6), np.float32))
    return place / "b.image"


def working_set(place: Path) -> Path:
    casacore_tables.write_table(place / "in.ms", {"TIME": np.zeros(1)})
    working_copy.make_working_copy(place / "in.ms", place / "out.ms", [1], "2")
    return place / "out.ms"


def packed(place: Path) -> Path:
    with new_file(place / "a.tgz") as stream, tarfile.open("a.tgz", "w:gz", stream) as archive:
        archive.add(Path(__file__), arcname="x")
    return place / "a.tgz"


def fits_file(place: Path) -> Path:
    write_fits(place / "a.fits", fits.HDUList([fits.PrimaryHDU(np.ones((3, 3), np.float32))]))
    return place / "a.fits"


def shared_files(place: Path) -> Path:
    """As the images that do not change from iteration to iteration."""
    publish(make_tree(place / "one.partial"), place / "one")
    (place / "two.partial").mkdir()
    os.link(place / "one" / "table.f0", place / "two.partial" / "table.f0")
    publish(place / "two.partial", place / "two")
    return place / "two"


def published_over(place: Path) -> Path:
    make_tree(place / "a", "old")
    publish(make_tree(place / "a.partial"), place / "a")
    return place / "a"


def called(name: str, write: Callable[[Path], object]) -> Callable[[Path], Path]:
    def made(place: Path) -> Path:
        write(place / name)
        return place / name

    return made


WRITERS = {
    "text": called("new/deep/a.json", lambda path: write_text(path, "{}")),
    "bytes": called("a.png", lambda path: write_bytes(path, b"\x89")),
    "mark": called("a.ms.touched", mark),
    "parameter list": called("a.list", lambda path: write_parameter_file(path, {"imagename": "x"})),
    "manifest": called("manifest.json", lambda path: write_manifest(path.parent, Manifest("x", (), ()))),
    "FITS": fits_file,
    "archive": packed,
    "image": mosaic_image,
    "derived image": image_of_an_image,
    "image over another": published_over,
    "shared files": shared_files,
    "working measurement set": working_set,
}


@pytest.fixture
def no_casa(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(working_copy, "_split", lambda source, partial, *rest: make_tree(partial))
    monkeypatch.setattr(working_copy, "_tidy_texts", lambda ms: (ms / "table.f1").write_text("tidy"))


@pytest.mark.parametrize("kind", WRITERS)
@pytest.mark.usefixtures("no_casa")
def test_a_final_name_survives_a_loss_of_power(kind: str, tmp_path: Path) -> None:
    with watched() as watch:
        final = WRITERS[kind](tmp_path)
    assert final.exists()
    assert watch.problems(final) == []


@pytest.mark.parametrize("kind", WRITERS)
@pytest.mark.parametrize("broken", ["sync_stream sync_tree", "_sync_directory"])
@pytest.mark.usefixtures("no_casa")
def test_without_syncs_that_would_be_seen(
    kind: str, broken: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in broken.split():
        monkeypatch.setattr(files, name, lambda _: None)
    with watched() as watch:
        final = WRITERS[kind](tmp_path)
    assert watch.problems(final)


def test_none_gets_its_name_before_all_are_on_disk(tmp_path: Path) -> None:
    moves = [(make_tree(tmp_path / f"{n}.partial"), tmp_path / n) for n in "abc"]
    with watched() as watch:
        publish_all(iter(moves))
    kinds = [kind for kind, *_ in watch.events]
    assert kinds == ["sync"] * 12 + ["rename"] * 3 + ["sync"]
    assert all(not watch.problems(final) for _, final in moves)


def test_new_directories_are_on_disk(tmp_path: Path) -> None:
    with watched() as watch:
        make_directory(tmp_path / "a" / "b")
    synced = [state.inode for _, state, _ in watch.events if state]
    assert synced == [tmp_path.stat().st_ino, (tmp_path / "a").stat().st_ino]


def test_a_file_system_that_cannot_sync_directories_is_used_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sync = os.fsync

    def refuse(descriptor: int) -> None:
        if os.path.isdir(f"/proc/self/fd/{descriptor}"):  # noqa: PTH112 (a link of the kernel's)
            raise OSError(errno.EINVAL, "Invalid argument")
        sync(descriptor)

    monkeypatch.setattr("os.fsync", refuse)
    write_text(tmp_path / "a", "x")
    publish(make_tree(tmp_path / "b.partial"), tmp_path / "b")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]


# ------------------------------------------------------------------------------------------------- wholeness


def test_what_stood_there_stays_if_the_new_file_fails(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("old")

    def interrupted() -> None:
        with new_file(tmp_path / "a") as stream:
            stream.write(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"a": "old"}


def test_what_stood_there_stays_if_the_disk_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    make_tree(tmp_path / "image", "old")
    make_tree(tmp_path / ".new.partial", "new")
    (tmp_path / "a").write_text("old")
    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match=r"No space left.*partial"):
        publish(tmp_path / ".new.partial", tmp_path / "image")
    with pytest.raises(OSError, match="No space left"):
        write_text(tmp_path / "a", "new")
    with pytest.raises(ResourceLimitError):
        write_fits(tmp_path / "a", fits.HDUList([fits.PrimaryHDU()]))
    assert (tmp_path / "image" / "table.f0").read_text() == "old"
    assert (tmp_path / "a").read_text() == "old"
    assert sorted(path.name for path in tmp_path.iterdir()) == [".new.partial", "a", "image"]


def test_a_link_is_replaced_and_not_followed(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("keep")
    (tmp_path / "a").symlink_to("precious")
    write_text(tmp_path / "a", "new")
    make_tree(tmp_path / "tree")
    (tmp_path / "b").symlink_to("tree")
    publish(make_tree(tmp_path / "b.partial", "new"), tmp_path / "b")
    (tmp_path / "c").symlink_to("tree")
    remove(tmp_path / "c")
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "link").symlink_to(tmp_path / "tree")
    remove(tmp_path / "d")
    assert (tmp_path / "precious").read_text() == "keep"
    assert (tmp_path / "a").read_text() == "new"
    assert (tmp_path / "tree" / "table.f0").read_text() == "x"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b", "precious", "tree"]


def test_files_and_directories_replace_each_other(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("file")
    publish(make_tree(tmp_path / "a.partial"), tmp_path / "a")
    assert (tmp_path / "a" / "table.f0").read_text() == "x"
    (tmp_path / "a.partial").write_text("file again")
    publish(tmp_path / "a.partial", tmp_path / "a")
    assert [path.read_text() for path in tmp_path.iterdir()] == ["file again"]


def test_names_as_long_as_they_can_be(tmp_path: Path) -> None:
    write_text(tmp_path / ("ä" * 127), "x")
    assert len(list(tmp_path.iterdir())) == 1


def test_one_of_several_gets_a_file(tmp_path: Path) -> None:
    (tmp_path / "issued").write_text("x")
    move(tmp_path / "issued", tmp_path / "taken")
    with pytest.raises(FileNotFoundError):
        move(tmp_path / "issued", tmp_path / "taken")


def test_removal_of_what_is_not_there_and_of_what_cannot_be_removed(tmp_path: Path) -> None:
    remove(tmp_path / "nowhere")
    (tmp_path / "file").write_text("")
    discard(tmp_path / "file" / "below")
    with pytest.raises(OSError, match="Not a directory"):
        remove(tmp_path / "file" / "below")


def test_digests_are_sha256(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    assert digest(tmp_path / "a") == hashlib.sha256(b"abc").hexdigest() == text_digest("abc")


# ------------------------------------------------------------------------------------------- one way for each

MODULES = sorted(Path(vlasscube.__file__).parent.rglob("*.py"))
FILES = Path("workspace/files.py")
ELSEWHERE = {
    # The digest of the code is one of many contents, not of a file.
    "processes/code_identity.py": {"hashlib"},
    # Whole trees that are copied from a file to another, and moved when they are whole.
    "resources/archive.py": {"open for writing"},
    # Parts of an archive in a temporary directory, of which nothing is kept.
    "resources/header_files.py": {"open for writing"},
    # Files without end, which are added to.
    "casa.py": {"open for writing"},
    "cluster/plane_process.py": {"open for writing"},
    "workspace/locks.py": {"open for writing"},
    # Room for an image in the making.
    "casacore_tables.py": {"open for writing"},
}
"""What else writes, and what it writes to."""
BY_HAND = {("shutil", "move"), ("shutil", "rmtree")} | {
    ("os", name) for name in ("fsync", "rename", "replace", "renames", "remove", "unlink")
}


def own_ways(tree: ast.AST) -> Iterator[str]:
    """What a module does to files by itself."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = {alias.name for alias in node.names} | {getattr(node, "module", None)}
            if "hashlib" in names:
                yield "hashlib"
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
            continue
        owner = node.func.value.id if isinstance(node.func.value, ast.Name) else ""
        name, count = node.func.attr, len(node.args)
        renames = name in ("rename", "replace") and count == 1 and not node.keywords
        if (owner, name) in BY_HAND:
            yield f"{owner}.{name}"
        elif name in ("write_text", "write_bytes") or (renames and owner != "dataclasses"):
            yield f"Path.{name}"
        elif name == "open" and owner not in ("os", "tarfile"):
            modes = [a.value for a in node.args if isinstance(a, ast.Constant) and isinstance(a.value, str)]
            if any(set(mode) & set("wax+") and set(mode) <= set("rwaxbt+") for mode in modes):
                yield "open for writing"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(MODULES[0].parent)))
def test_only_one_module_renames_syncs_removes_and_digests(path: Path) -> None:
    name = path.relative_to(MODULES[0].parent)
    if name == FILES or name.parts[0] == "testing":
        return
    found = set(own_ways(ast.parse(path.read_text(encoding="utf-8"))))
    assert found == ELSEWHERE.get(str(name), set())


def test_the_walk_sees_what_it_looks_for() -> None:
    text = (
        "import hashlib\nos.fsync(3)\npath.replace(other)\npath.rename(other)\nshutil.rmtree(p)\n"
        "p.write_text('x')\np.open('wb')\n'a'.replace('b', 'c')\ndataclasses.replace(r, a=1)\np.open('rb')\n"
    )
    assert sorted(own_ways(ast.parse(text))) == [
        "Path.rename", "Path.replace", "Path.write_text", "hashlib", "open for writing", "os.fsync",
        "shutil.rmtree",
    ]  # fmt: skip
