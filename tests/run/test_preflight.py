"""What is wrong with the inputs is told at once, by a plan and before a run makes anything."""

from __future__ import annotations

import errno
import gzip
import io
import json
import shutil
import tarfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from vlasscube import casa, cli
from vlasscube.errors import InputsError, MissingResourcesError
from vlasscube.options import RunOptions
from vlasscube.processes import isolation
from vlasscube.processes.parallel import SerialExecutor
from vlasscube.recipe import RECIPE
from vlasscube.run import preflight
from vlasscube.run.preflight import InputReport, check_inputs
from vlasscube.run.workflow import run_workflow
from vlasscube.simulation import simulate
from vlasscube.simulation.presets import preset
from vlasscube.testing.casa_images import write_image
from vlasscube.workspace.directory import Workspace

from .quick_field import QUICK_FIELD

pytestmark = pytest.mark.casa

FIELD = preset("tiny", **QUICK_FIELD)
SE, CC = FIELD.image_name("se"), FIELD.image_name("cc")
TEMPLATE = f"{FIELD.working_ms.removesuffix('.ms')}.flagtargetstemplate.txt"


@pytest.fixture(scope="module")
def field(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("preflight") / "field"
    casa.configure(tmp_path_factory.mktemp("logs") / "casa.log")
    simulate(directory, FIELD, seed=2)
    return directory


@pytest.fixture
def workspace(field: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    # A process for each test would take longer than all else.
    monkeypatch.setattr(isolation, "_make_pool", SerialExecutor)
    return Workspace(shutil.copytree(field, tmp_path / "run"))


def check(workspace: Workspace) -> InputReport:
    return check_inputs(workspace, RunOptions())


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def repack(workspace: Workspace, rename: Callable[[str], str | None]) -> None:
    """Pack the archive again with other names, or without those that become None."""
    path = workspace.resources_archive
    content = path.read_bytes()
    with (
        tarfile.open(fileobj=io.BytesIO(content)) as old,
        tarfile.open(path, "w:gz", compresslevel=1) as new,
    ):
        for member in old:
            name = rename(member.name)
            if name is not None:
                data = old.extractfile(member)
                member.name = name
                member.pax_headers.clear()
                new.addfile(member, data)


# --------------------------------------------------------------------------------------- what is wrong


def unknown_key(workspace: Workspace) -> None:
    with workspace.ccip_parameter_file.open("a") as stream:
        stream.write("weigthing='briggs'\n")


def absent_window(workspace: Workspace) -> None:
    edit(workspace.ccip_parameter_file, "'3']", "'3', '9']")


def no_continuum_list(workspace: Workspace) -> None:
    workspace.seip_parameter_file.unlink()


def another_place(workspace: Workspace) -> None:
    edit(workspace.ccip_parameter_file, "10:00:00.000", "11:00:00.000")


def no_archive(workspace: Workspace) -> None:
    workspace.resources_archive.rename(workspace.directory / f"{SE}.tgz")


def cut_archive(workspace: Workspace) -> None:
    content = workspace.resources_archive.read_bytes()
    workspace.resources_archive.write_bytes(content[: len(content) // 2])


def another_image(workspace: Workspace) -> None:
    repack(workspace, lambda name: name.replace(SE, "Coarse_Test"))


def another_set(workspace: Workspace) -> None:
    repack(workspace, lambda name: name.replace(FIELD.working_ms, "mine_split.ms"))


def lost_mask(workspace: Workspace) -> None:
    repack(workspace, lambda name: None if "combined-tier2" in name else name)


def another_grid(workspace: Workspace) -> None:
    edit(workspace.seip_parameter_file, "cell=['8arcsec']", "cell=['7arcsec']")


def other_rows(workspace: Workspace) -> None:
    edit(workspace.seip_parameter_file, "spw='2,3'", "spw='2'")


def bad_template(workspace: Workspace) -> None:
    (workspace.directory / TEMPLATE).write_text("mode='manual' spw='3'\nflag everything\n")


def no_mask(workspace: Workspace) -> None:
    with workspace.ccip_parameter_file.open("a") as stream:
        stream.write("mask=['mine.mask', 'pb']\n")


def bad_mask(workspace: Workspace) -> None:
    mask = workspace.directory / "mine.mask"
    mask.mkdir()
    (mask / "table.dat").write_text("no table")
    with workspace.ccip_parameter_file.open("a") as stream:
        stream.write(f"mask=['{mask}', 'pb']\n")


def wrong_label(workspace: Workspace) -> None:
    (workspace.directory / "vlasscube.toml").write_text('tile = "T01t01"\n')


def foreign_product(workspace: Workspace) -> None:
    workspace.products.mkdir()
    (workspace.products / "weblog.tgz").write_text("of another run")


def foreign_page(workspace: Workspace) -> None:
    workspace.weblog.mkdir()
    (workspace.weblog / "index.html").write_text("<title>Pipeline Weblog</title>")


def foreign_scripts(workspace: Workspace) -> None:
    (workspace.weblog / "viewer").mkdir(parents=True)
    (workspace.weblog / "viewer" / "data.js").write_text("theirs")


def foreign_table(workspace: Workspace, name: str) -> None:
    place = workspace.working / name
    place.mkdir(parents=True)
    (place / "table.dat").write_text("theirs")


def foreign_working_set(workspace: Workspace) -> None:
    foreign_table(workspace, FIELD.working_ms)


def foreign_mask(workspace: Workspace) -> None:
    foreign_table(workspace, f"s13_0.{SE}.combined-tier2.mask")


def foreign_model(workspace: Workspace) -> None:
    foreign_table(workspace, f"s5_0.{SE}.I.iter1.model.tt1")


def foreign_image(workspace: Workspace) -> None:
    foreign_table(workspace, f"s7_0.{CC}.spw2.IQUV.iter3.image.tt0")


WRONG: dict[Callable[[Workspace], None], tuple[str, str]] = {
    unknown_key: ("CCIP_parameter.list:7: unknown key 'weigthing'", ""),
    absent_window: ("no data of 9 in the measurement set", "has data of 2, 3"),
    no_continuum_list: ("SEIP_parameter.list: cannot be read", ""),
    another_place: ("CCIP_parameter.list: No data are selected", "Compare phasecenter"),
    no_archive: ("reimaging_resources.tgz is missing: stage 4", f"{SE}.tgz: rename it"),
    cut_archive: ("The archive is truncated", "download the archive again"),
    another_image: (f"nothing matches s*_0.{SE}.combined-tier2.mask", "write imagename='Coarse_Test'"),
    another_set: ("missing: nothing matches", "rename the measurement set to mine.ms"),
    lost_mask: ("tier2_mask", "Take reimaging_resources.tgz of the continuum run"),
    another_grid: (
        "expected pixels of -7 x 7 arcsec, found -8 x 8 arcsec",
        "SEIP_parameter.list of the same",
    ),
    other_rows: ("rows as", "SEIP_parameter.list of the same run"),
    bad_template: (f"{TEMPLATE}:2: 'flag' is not parameter=value", "flagdata command"),
    no_mask: ("CCIP_parameter.list: there is no mask image 'mine.mask'", "absolute path"),
    bad_mask: ("the mask mine.mask cannot be used", "CASA image of floats"),
    wrong_label: ("vlasscube.toml: tile is 'T01t01', but imagename", "each a string"),
    foreign_product: ("weblog.tgz", "Move them"),
    foreign_page: ("weblog holds files that this run has not made:\n  index.html", "Move them"),
    foreign_scripts: ("weblog holds files that this run has not made:\n  viewer/data.js", "Move them"),
    foreign_working_set: (f"this run has not made:\n  {FIELD.working_ms}", "Move them"),
    foreign_mask: (f"this run has not made:\n  s13_0.{SE}.combined-tier2.mask", "Move them"),
    foreign_model: (f"this run has not made:\n  s5_0.{SE}.I.iter1.model.tt1", "Move them"),
    foreign_image: (f"this run has not made:\n  s7_0.{CC}.spw2.IQUV.iter3.image.tt0", "Move them"),
}


def test_good_inputs_have_no_problems(workspace: Workspace) -> None:
    started = time.process_time()
    report = check(workspace)
    assert time.process_time() - started < 5
    assert report.problems == ()
    assert report.warnings == ()
    assert report.can_be_planned
    report.require_usable()
    assert not workspace.working.exists()


@pytest.mark.parametrize("spoil", WRONG, ids=lambda spoil: spoil.__name__)
def test_each_is_told_with_its_hint(workspace: Workspace, spoil: Callable[[Workspace], None]) -> None:
    spoil(workspace)
    report = check(workspace)
    text, hint = WRONG[spoil]
    assert len(report.problems) == 1
    assert text in report.text
    assert hint in report.problems[0].hint
    lists = (unknown_key, absent_window, no_continuum_list, another_place)
    assert report.can_be_planned == (spoil not in lists)
    # By the error that the stage would raise.
    with pytest.raises(type(report.errors[0])):
        report.require_usable()


def test_what_others_have_beside_ours_is_not_in_the_way(workspace: Workspace) -> None:
    near = (
        f"{FIELD.working_ms}.bak",
        f"s13_0.{SE}.combined-tier2.mask.old",
        f"s7_0.{CC}.spw9.IQUV.iter3.image.tt0",
    )
    for name in near:
        foreign_table(workspace, name)
    (workspace.weblog / "figures").mkdir(parents=True)
    for name in ("notes.html", "figures/mine.png"):
        (workspace.weblog / name).write_text("theirs")
    assert check(workspace).problems == ()


def test_a_slip_in_one_line_hides_nothing_of_the_others(workspace: Workspace) -> None:
    absent_window(workspace)
    no_mask(workspace)
    edit(workspace.seip_parameter_file, "spw='2,3'", "spw='2,9'")
    another_image(workspace)
    for path in (workspace.seip_parameter_file, workspace.ccip_parameter_file):
        with path.open("a") as stream:
            stream.write("robust=[1.0\n")
    told = [(problem.file, problem.text.splitlines()[-1]) for problem in check(workspace).problems]
    assert [file for file, _ in told] == [
        *("SEIP_parameter.list", "SEIP_parameter.list", "CCIP_parameter.list", "CCIP_parameter.list"),
        "reimaging_resources.tgz",
    ]
    expected = ("robust: a bracket '['", "no data of spw", "robust: a bracket '['", "no data of 9", "missing")
    for (_, text), part in zip(told, expected, strict=True):
        assert part in text


def test_no_difference_from_the_archive_is_made_up_where_a_line_cannot_be_read(workspace: Workspace) -> None:
    edit(workspace.seip_parameter_file, "imsize=[128, 128]", "imsize=[128, 128")
    (problem,) = check(workspace).problems
    assert "a bracket '[' is not closed" in problem.text


TOGETHER = (absent_window, another_image, bad_template, foreign_product)


def test_all_are_told_by_a_plan_and_before_a_run(
    workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    for spoil in TOGETHER:
        spoil(workspace)
    directory = str(workspace.directory)
    inputs = set(workspace.directory.iterdir())
    before = {path for path in workspace.directory.rglob("*") if ".ms" not in str(path)}
    texts = [WRONG[spoil][0] for spoil in TOGETHER]
    assert cli.main(["plan", directory]) == 1
    told = capsys.readouterr().err
    assert all(told.count(text) == 1 for text in texts)
    assert cli.main(["plan", directory, "--json"]) == 1
    problems = json.loads(capsys.readouterr().out)["problems"]
    assert [problem["file"] for problem in problems] == [
        "CCIP_parameter.list",
        "reimaging_resources.tgz",
        TEMPLATE,
        "products",
    ]
    assert {path for path in workspace.directory.rglob("*") if ".ms" not in str(path)} == before
    assert cli.main(["run", directory, "--force"]) == 1
    again = capsys.readouterr().err
    assert all(again.count(text) == 1 for text in texts)
    made = {path.name for path in set(workspace.directory.iterdir()) - inputs}
    assert made <= {"logs", "records"}
    assert not list(workspace.records.glob("*import*"))


def test_a_plan_with_a_problem_beside_it(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    no_archive(workspace)
    assert cli.main(["plan", str(workspace.directory), "--workers", "1"]) == 1
    told = capsys.readouterr()
    assert "8 fields in 2 scans" in told.out
    assert "reimaging_resources.tgz is missing" in told.err
    assert cli.main(["plan", str(workspace.directory), "--workers", "1", "--json"]) == 1
    plan = json.loads(capsys.readouterr().out)
    assert len(plan["planes"]) == 2
    assert "reimaging_resources.tgz is missing" in plan["problems"][0]["text"]


def test_only_what_is_asked_for_is_looked_at(workspace: Workspace) -> None:
    no_archive(workspace)
    unknown_key(workspace)
    foreign_product(workspace)
    early = RECIPE.stages[:3]
    assert check_inputs(workspace, RunOptions(), early).problems == ()
    with pytest.raises(MissingResourcesError):
        check_inputs(workspace, RunOptions(), RECIPE.stages[:5]).require_usable()
    with pytest.raises(InputsError):
        run_workflow(workspace, RunOptions())


def test_a_mask_on_another_grid_is_warned_of(workspace: Workspace) -> None:
    mask = workspace.directory / "mine.mask"
    write_image(mask, np.ones((1, 100, 100)), 8.0)
    with workspace.ccip_parameter_file.open("a") as stream:
        stream.write(f"mask=['{mask}', 'pb']\n")
    report = check(workspace)
    assert report.problems == ()
    (warning,) = report.warnings
    assert "mask mine.mask is on another grid" in warning.text
    assert "expected 128x128 pixels" in warning.text


def test_a_template_of_another_name_is_warned_of(workspace: Workspace) -> None:
    (workspace.directory / "other.flagtargetstemplate.txt").write_text("mode='manual' spw='3'\n")
    (warning,) = check(workspace).warnings
    assert TEMPLATE in warning.text


def test_an_archive_of_gigabytes_is_shown(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vlasscube.run.preflight._SECONDS_BETWEEN_TELLING", 0.0)
    told: list[tuple[str, float | None]] = []
    check_inputs(workspace, RunOptions(), progress=lambda text, fraction: told.append((text, fraction)))
    fractions = [fraction for text, fraction in told if text.startswith("look into") and fraction is not None]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1.0


def test_what_the_system_refuses_is_told_with_the_rest(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(preflight, "read_measurement_set", refuse)
    unknown_key(workspace)
    measurement_set, cube_list = check(workspace).problems
    assert measurement_set.text == f"{workspace.input_ms} cannot be read: Permission denied"
    assert "unknown key" in cube_list.text


def test_hostile_archives_leave_nothing(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scratch = tmp_path / "tmp"
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    repack(workspace, lambda name: f"../{name}" if name.endswith("table.dat") else name)
    assert "leads out of the archive" in check(workspace).text
    workspace.resources_archive.write_bytes(gzip.compress(b"no tar"))
    assert len(check(workspace).problems) == 1
    assert list(scratch.iterdir()) == []
