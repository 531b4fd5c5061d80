"""What an archive holds against a measurement set and an image; made so that it fits, then altered."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from casacore.tables import makearrcoldesc, makescacoldesc, maketabdesc
from casacore.tables import table as new_table

from vlasscube import casa
from vlasscube.casacore_tables import table
from vlasscube.errors import ResourceMismatchError
from vlasscube.processes import isolation
from vlasscube.processes.parallel import SerialExecutor
from vlasscube.records import ImageGeometry
from vlasscube.resources.archive import Resource, ResourceReport
from vlasscube.resources.resource_checks import check_resources

pytestmark = pytest.mark.casa

SIZE, CELL = 32, 2.0
CENTRE = (12.5, -2.5)
GEOMETRY = ImageGeometry(phasecenter="J2000 00:50:00.000 -02.30.00.000", nx=SIZE, ny=SIZE, cell_arcsec=CELL)
MASKS, MODELS = ("tier1.mask", "tier2.mask"), ("field.model.tt0", "field.model.tt1")
FLAGS, GAINS = "flags.statwt_1", "selfcal.tbl"
FILES = {
    "tier1_mask": MASKS[:1],
    "tier2_mask": MASKS[1:],
    "model_images": MODELS,
    "flag_version": (FLAGS,),
    "selfcal_table": (GAINS,),
}
REPORT = ResourceReport(
    "reimaging_resources.tgz",
    "small_split.ms",
    "field",
    tuple(Resource(key, key, "", "*", names, available=True) for key, names in FILES.items()),
)


def make_image(path: Path, stokes: tuple[str, ...] = ("I",), shape: tuple[int, ...] = (SIZE, SIZE)) -> Path:
    coordinates = casa.tools().coordsys().newcoordsys(direction=True, stokes=list(stokes), spectral=True)
    coordinates.setunits(["arcsec", "arcsec", "", "Hz"])
    coordinates.setincrement([-CELL, CELL], "direction")
    coordinates.setreferencevalue([f"{angle}deg" for angle in CENTRE], "direction")
    coordinates.setreferencepixel([SIZE // 2, SIZE // 2], "direction")
    tool = casa.tools().image()
    tool.fromshape(str(path), [*shape, len(stokes), 1], csys=coordinates.torecord(), overwrite=True)
    tool.addnoise("uniform", [0.5, 1.0])
    tool.close()
    return path


def make_gains(path: Path, ms: Path) -> None:
    columns = [
        makescacoldesc("TIME", 0.0),
        *(makescacoldesc(name, 0) for name in ("FIELD_ID", "SCAN_NUMBER", "SPECTRAL_WINDOW_ID", "ANTENNA1")),
        makearrcoldesc("CPARAM", 0j, ndim=2, valuetype="complex"),
        makearrcoldesc("FLAG", False, ndim=2),
    ]
    with table(ms) as opened:
        row = int(np.flatnonzero(opened.getcol("FIELD_ID") == 0)[0])
        time, scan = opened.getcell("TIME", row), opened.getcell("SCAN_NUMBER", row)
    gains = new_table(str(path), maketabdesc(columns), nrow=4, ack=False)
    gains.putcol("TIME", np.full(4, time))
    gains.putcol("SCAN_NUMBER", np.full(4, scan, np.int32))
    gains.putcol("SPECTRAL_WINDOW_ID", np.ones(4, np.int32))
    gains.putcol("ANTENNA1", np.arange(4, dtype=np.int32))
    gains.putcol("CPARAM", np.ones((4, 1, 2), np.complex64))
    gains.putcol("FLAG", np.zeros((4, 1, 2), bool))
    gains.close()
    for name in ("ANTENNA", "FIELD", "SPECTRAL_WINDOW"):
        shutil.copytree(ms / name, path / name)


@pytest.fixture(scope="module")
def whole(pristine_ms: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("resources")
    for name in (*MASKS, *MODELS):
        make_image(directory / name)
    with table(pristine_ms) as opened:
        flags = opened.select("FLAG, FLAG_ROW").copy(str(directory / FLAGS), deep=True)
        flags.close()
    make_gains(directory / GAINS, pristine_ms)
    return directory


@pytest.fixture
def resources(whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    # A process for each test would take longer than all else.
    monkeypatch.setattr(isolation, "_make_pool", SerialExecutor)
    return Path(shutil.copytree(whole, tmp_path / "resources"))


def problems(resources: Path, ms: Path) -> tuple[str, ...]:
    with pytest.raises(ResourceMismatchError) as caught:
        check_resources(resources, REPORT, ms, GEOMETRY, 1)
    assert "nothing was changed" in caught.value.message
    assert caught.value.hint
    return caught.value.problems


def test_what_belongs_together(whole: Path, pristine_ms: Path) -> None:
    """In a process of its own, as in a run."""
    assert check_resources(whole, REPORT, pristine_ms, GEOMETRY, 1) == ()


def test_all_that_does_not_fit_is_told_at_once(resources: Path, pristine_ms: Path) -> None:
    for name in (*MASKS, *MODELS):
        shutil.rmtree(resources / name)
        make_image(resources / name, shape=(SIZE, SIZE + 2))
    os.truncate(resources / FLAGS / "table.dat", 100)
    shutil.rmtree(resources / GAINS)
    found = problems(resources, pristine_ms)
    assert [problem.split(":")[0] for problem in found] == [*MASKS, *MODELS, FLAGS, GAINS]
    assert all("32x32 pixels and 1 frequency, found 32x34" in problem for problem in found[:4])


def test_reading_that_ends_the_process(whole: Path, pristine_ms: Path, monkeypatch) -> None:
    """What comes after it is looked at by another process."""

    class Dying:
        def __init__(self) -> None:
            self.reader = isolation.IsolatedReader()

        def call(self, function, check, arguments):
            if arguments[0].name == MASKS[0]:
                return self.reader.call(os.abort)
            return self.reader.call(function, check, arguments)

        def __enter__(self):
            return self

        def __exit__(self, *_):
            self.reader.close()

    monkeypatch.setattr("vlasscube.resources.resource_checks.isolated_reader", Dying)
    (problem,) = problems(whole, pristine_ms)
    assert problem == f"{MASKS[0]}: cannot be read: the process that read it died"


# ----------------------------------------------------------------------------------------------------- images


@pytest.mark.parametrize("name", [MASKS[0], MODELS[0]])
@pytest.mark.parametrize("kind", ["d", "c", "cd"])
def test_images_of_another_type(resources: Path, pristine_ms: Path, name: str, kind: str) -> None:
    shutil.move(resources / name, resources / "plain")
    with casa.image(resources / "plain") as plain:
        csys = plain.coordsys().torecord()
        plain.newimagefromshape(str(resources / name), [SIZE, SIZE, 1, 1], csys=csys, type=kind).close()
    (problem,) = problems(resources, pristine_ms)
    assert problem.startswith(f"{name}: expected pixels of type float, found")


@pytest.mark.parametrize(
    ("stokes", "reason"),
    [
        (("Q", "U", "V"), "expected one Stokes plane, or I Q U V, found Q U V"),
        (("I", "V"), "expected one Stokes plane, or I Q U V, found I V"),
    ],
)
def test_masks_of_other_stokes_planes(
    resources: Path, pristine_ms: Path, stokes: tuple[str, ...], reason: str
) -> None:
    shutil.rmtree(resources / MASKS[0])
    make_image(resources / MASKS[0], stokes)
    assert problems(resources, pristine_ms) == (f"{MASKS[0]}: {reason}",)


@pytest.mark.parametrize("frame", ["GALACTIC", "B1950"])
def test_images_in_another_frame(resources: Path, pristine_ms: Path, frame: str) -> None:
    with casa.image(resources / MODELS[0]) as image:
        coordinates = image.coordsys()
        coordinates.setreferencecode(frame, "direction", adjust=False)
        image.setcoordsys(coordinates.torecord())
    assert problems(resources, pristine_ms) == (f"{MODELS[0]}: expected the frame J2000, found {frame}",)


def test_axes_in_another_order(resources: Path, pristine_ms: Path) -> None:
    shutil.move(resources / MASKS[0], resources / "plain")
    casa.run_task(
        "imtrans", imagename=str(resources / "plain"), outfile=str(resources / MASKS[0]), order="3201"
    )
    assert all(problem.startswith(MASKS[0]) for problem in problems(resources, pristine_ms))


@pytest.mark.parametrize(
    ("value", "reason"),
    [(np.nan, "found 1 that are NaN or infinite"), (-1.0, "found 1 negative pixels")],
)
def test_pixels_of_a_mask(resources: Path, pristine_ms: Path, value: float, reason: str) -> None:
    with table(resources / MASKS[1], writable=True) as image:
        pixels = image.getcell("map", 0)
        pixels[0, 0, 3, 4] = value
        image.putcell("map", 0, pixels)
    (problem,) = problems(resources, pristine_ms)
    assert problem.startswith(f"{MASKS[1]}: ")
    assert reason in problem


def test_masks_and_models_that_are_empty(resources: Path, pristine_ms: Path) -> None:
    for name in (MASKS[0], MODELS[0]):
        with table(resources / name, writable=True) as image:
            image.putcell("map", 0, np.zeros((1, 1, SIZE, SIZE), np.float32))
    messages = check_resources(resources, REPORT, pristine_ms, GEOMETRY, 1)
    assert [message.level for message in messages] == ["warning", "warning"]
    assert all("zero everywhere" in message.text for message in messages)


def test_images_that_ask_for_too_much_memory(whole: Path, pristine_ms: Path, tmp_path: Path) -> None:
    """A header that says that a tile has sixteen gigabytes, in a process of its own with its limit."""
    directory = tmp_path / "resources"
    shutil.copytree(whole, directory)
    header = directory / MASKS[0] / "table.f0"
    content = header.read_bytes()
    sides = np.array([SIZE, SIZE, 1, 1], ">u4").tobytes()
    assert sides in content
    header.write_bytes(content.replace(sides, np.array([65536, 65536, 1, 1], ">u4").tobytes()))
    (problem,) = problems(directory, pristine_ms)
    assert problem.startswith(f"{MASKS[0]}: ")


@pytest.mark.parametrize("part", ["table.dat", "table.f0", "table.f0_TSM0"])
def test_images_that_end_too_early(resources: Path, pristine_ms: Path, part: str) -> None:
    os.truncate(resources / MASKS[0] / part, (resources / MASKS[0] / part).stat().st_size // 2)
    (problem,) = problems(resources, pristine_ms)
    assert problem.startswith(f"{MASKS[0]}: cannot be read: ")


# ---------------------------------------------------------------------------------------------------- tables


def test_flags_of_other_rows(resources: Path, pristine_ms: Path) -> None:
    with table(resources / FLAGS, writable=True) as flags:
        flags.addrows(3)
    (problem,) = problems(resources, pristine_ms)
    assert problem.startswith(f"{FLAGS}: expected flags of")


def test_flags_without_flags(resources: Path, pristine_ms: Path) -> None:
    with table(resources / FLAGS, writable=True) as flags:
        flags.renamecol("FLAG", "FLAGS")
    assert problems(resources, pristine_ms) == (f"{FLAGS}: expected saved flags, found a table without FLAG",)


def change(column, values):
    def alter(gains: Path) -> None:
        with table(gains, writable=True) as opened:
            stored = opened.getcol(column)
            stored[...] = values
            opened.putcol(column, stored)

    return alter


def without(column):
    def alter(gains: Path) -> None:
        with table(gains, writable=True) as opened:
            opened.renamecol(column, "OTHER")

    return alter


def without_rows(gains: Path) -> None:
    empty = gains.with_name("empty.tbl")
    with table(gains) as opened:
        opened.copy(str(empty), deep=True, copynorows=True).close()
    for subtable in ("ANTENNA", "FIELD", "SPECTRAL_WINDOW"):
        shutil.move(gains / subtable, empty / subtable)
    shutil.rmtree(gains)
    empty.rename(gains)


def other_names(subtable):
    def alter(gains: Path) -> None:
        with table(gains / subtable, writable=True) as opened:
            opened.putcol("NAME", [f"other{row}" for row in range(opened.nrows())])

    return alter


def fewer(subtable):
    def alter(gains: Path) -> None:
        with table(gains / subtable, writable=True) as opened:
            opened.removerows([0])

    return alter


@pytest.mark.parametrize(
    ("alter", "reason"),
    [
        (change("TIME", 5.0e9), "expected solutions in the scans of"),
        (change("TIME", np.nan), "expected times, found 4 that are NaN"),
        (change("CPARAM", np.nan), "expected finite gains, found 8"),
        (change("CPARAM", 0), "expected finite gains, found 8"),
        (change("FIELD_ID", 99), "expected solutions of fields that"),
        (change("FIELD_ID", -1), "expected solutions of fields that"),
        (change("ANTENNA1", 99), "expected antennas 0 to 3, found 99 to 99"),
        (change("ANTENNA1", -1), "expected antennas 0 to 3, found -1 to -1"),
        (change("SPECTRAL_WINDOW_ID", 2), "expected solutions of spectral window 1"),
        (other_names("ANTENNA"), "found other0, other1"),
        (other_names("FIELD"), "expected field 0 to be"),
        (fewer("ANTENNA"), "expected 4 antennas as small_split.ms has, found 3"),
        (fewer("SPECTRAL_WINDOW"), "expected 4 spectral windows as small_split.ms has, found 3"),
        (without_rows, "expected gain solutions, found none"),
        (without("CPARAM"), "found a table without CPARAM"),
        (without("TIME"), "found a table without TIME"),
        (lambda gains: os.truncate(gains / "table.f0", 1000), "cannot be read"),
        (lambda gains: os.truncate(gains / "table.dat", 100), "cannot be read"),
        (lambda gains: os.truncate(gains / "SPECTRAL_WINDOW" / "table.f0", 1000), "cannot be read"),
        (lambda gains: shutil.rmtree(gains / "ANTENNA"), "cannot be read"),
    ],
)
def test_calibration_of_something_else(resources: Path, pristine_ms: Path, alter, reason: str) -> None:
    alter(resources / GAINS)
    found = problems(resources, pristine_ms)
    assert all(problem.startswith(f"{GAINS}: ") for problem in found)
    assert any(reason in problem for problem in found), found
