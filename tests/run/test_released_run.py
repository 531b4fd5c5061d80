"""What an earlier release has made can be read, shown, checked and gone on from."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from astropy.io import fits

from vlasscube import __version__, cli
from vlasscube.clean_terms import ImageMask, NoMask, PrimaryBeamMask, StopCode
from vlasscube.products.owned_files import Ownership
from vlasscube.recipe import EXPORT_VLASS_DATA, MAKE_IMAGES, RECIPE
from vlasscube.records import StepRecord
from vlasscube.results.reading import InputSource, read_result
from vlasscube.results.run_records import RunRecords
from vlasscube.run.planned_steps import planned_steps
from vlasscube.run.verification import verify_products
from vlasscube.stages.export_vlass_data import export_inputs, product_names
from vlasscube.workspace.directory import Workspace
from vlasscube.workspace.record_json import from_json

from .released_run import unpack_released_run


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return Workspace(unpack_released_run(tmp_path_factory.mktemp("released") / "run"))


def test_records_are_read(workspace: Workspace) -> None:
    paths = [
        path for path in workspace.records.rglob("*.json") if path.name not in ("options.json", "run.json")
    ]
    assert len(paths) == 25
    for path in paths:
        record = from_json(StepRecord, path.read_bytes())
        assert record.status == "done"
        for step in RECIPE.steps:
            if step.name == record.stage:
                assert isinstance(read_result(workspace, step, record.plane), step.result)
    assert workspace.read_options() is not None
    assert [(p.label, p.word) for p in RunRecords(workspace).plane_states()] == [
        ("spw2", "imaged"),
        ("spw3", "imaged"),
    ]


def test_masks_and_stop_codes_of_the_release_are_understood(workspace: Workspace) -> None:
    """They stood as text and number, and so they do in these records."""
    path = workspace.record_path(MAKE_IMAGES.name, "spw2")
    written = json.loads(path.read_text())["result"]["iterations"]
    assert [iteration["mask"] for iteration in written][::3] == ["", "pb"]
    assert all(isinstance(iteration["stop_code"], int) for iteration in written)
    read = read_result(workspace, MAKE_IMAGES, "spw2").iterations
    assert [iteration.mask for iteration in read] == [
        NoMask(),
        *(ImageMask(iteration["mask"]) for iteration in written[1:3]),
        PrimaryBeamMask(),
    ]
    assert [iteration.stop_code for iteration in read] == [
        StopCode(iteration["stop_code"]) for iteration in written
    ]
    assert [iteration.stop_code.reason for iteration in read] == [
        iteration["stop_reason"] for iteration in written
    ]


def test_products_are_verified(workspace: Workspace) -> None:
    report = verify_products(workspace)
    assert report.checked == 18
    assert {problem.file for problem in report.problems} == {"weblog.tgz"}
    listed = json.loads((workspace.products / "manifest.json").read_text())
    with fits.open(sorted(workspace.products.glob("*spw2.IQU*.subim.fits"))[0]) as opened:
        assert opened[0].header["VLASSSPW"] == "2"
    assert len(listed["planes"]) == 2


@pytest.mark.slow
def test_status_plan_and_web_log(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["status", str(workspace.directory)]) == 0
    assert "12" in capsys.readouterr().out
    assert cli.main(["weblog", str(workspace.directory)]) == 0
    pages = {path.name for path in workspace.weblog.glob("*.html")}
    assert "index.html" in pages
    text = "".join(path.read_text() for path in workspace.weblog.glob("*.html"))
    assert "cannot be read" not in text
    assert "Traceback" not in text


def test_a_run_says_why_it_begins_again(workspace: Workspace) -> None:
    """Without its measurement set a run is not current, and says so step by step instead of failing."""
    (Path(workspace.directory) / "VLASS2.1.sb38546349.eb38559922.59066.15098736111_split.ms").mkdir(
        exist_ok=True
    )
    options = workspace.read_options()
    assert options is not None
    steps = planned_steps(workspace, options)
    assert {step.action for step in steps} == {"run"}
    assert steps[0].reason == f"changed: code version 0.1.0 → {__version__}, the input file"
    assert {step.reason for step in steps[1:]} == {f"changed: code version 0.1.0 → {__version__}"}


def test_its_products_are_known_to_be_its_own(workspace: Workspace) -> None:
    """The record of its export is all that says so; without it nothing of it would be overwritten."""
    options = workspace.read_options()
    assert options is not None
    record = workspace.read_record(EXPORT_VLASS_DATA.name)
    names = set(product_names(export_inputs(InputSource(workspace, options))))
    assert names >= {path.name for path in workspace.products.iterdir()}
    assert Ownership(workspace, record).in_the_way(names) == ()
    in_the_way = {path.name for path in workspace.products.iterdir()}
    assert set(Ownership(workspace).in_the_way(names)) == in_the_way
