"""A new stage is one module and one entry in the recipe: nothing else knows its name."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

from vlasscube import casa
from vlasscube.errors import StageOrderError
from vlasscube.options import RunOptions
from vlasscube.products.command_log import recipe_script
from vlasscube.recipe import MAKE_CUTOUT_IMAGES, RECIPE, Stage
from vlasscube.results.reading import read_result
from vlasscube.results.run_records import RunRecords
from vlasscube.run.plane_walk import Event
from vlasscube.run.planned_steps import judge_step, planned_steps
from vlasscube.run.status import read_status
from vlasscube.run.workflow import run_workflow
from vlasscube.weblog.render import render_weblog
from vlasscube.workspace.directory import Workspace

from .released_run import unpack_released_run

PLANE_STAGE = '''
"""Stage 13: the peak of a plane's cutout."""
from dataclasses import dataclass

from vlasscube.recipe import MAKE_CUTOUT_IMAGES, Stage
from vlasscube.stages.step import Step


@dataclass(frozen=True)
class PeakInputs:
    peak_jy: float
    upstream: tuple[str, ...]


@dataclass(frozen=True)
class Peak:
    mjy: float


STAGE = Stage(
    13,
    "find_peaks",
    "x_findpeaks",
    "Find the peaks",
    "plane",
    Peak,
    arguments=(("deep", True),),
    package=__package__,
)


def peak_inputs(source):
    statistics = source.result(MAKE_CUTOUT_IMAGES).statistics["I"]
    return PeakInputs(statistics.image.peak, source.keys(MAKE_CUTOUT_IMAGES))


def find_peak(inputs, context):
    with (context.workspace.directory / "calls").open("a") as calls:
        calls.write(f"{context.plane}\\n")
    return Peak(1e3 * inputs.peak_jy)


STEP = Step(STAGE, peak_inputs, find_peak)
'''
FIELD_STAGE = '''
"""Stage 14: the plane with the highest peak."""
from dataclasses import dataclass

from vlasscube.recipe import EDIT_IMAGE_LIST_CUBE, Stage
from vlasscube.stages.step import Step

from added_stages.find_peaks import STAGE as FIND_PEAKS


@dataclass(frozen=True)
class BrightestInputs:
    peaks_mjy: dict[str, float]
    upstream: tuple[str, ...]


@dataclass(frozen=True)
class Brightest:
    label: str


STAGE = Stage(
    14, "find_brightest", "x_brightest", "Find the brightest plane", "field", Brightest, package=__package__
)


def brightest_inputs(source):
    planes = [source.of_plane(target.label) for target in source.result(EDIT_IMAGE_LIST_CUBE).targets]
    peaks = {plane.plane: plane.result(FIND_PEAKS).mjy for plane in planes}
    return BrightestInputs(peaks, tuple(key for plane in planes for key in plane.keys(FIND_PEAKS)))


def find_brightest(inputs, context):
    context.progress("comparing")
    context.warn("this is new")
    return Brightest(max(inputs.peaks_mjy, key=inputs.peaks_mjy.get))


STEP = Step(STAGE, brightest_inputs, find_brightest)
'''


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """A finished run of two planes; no CASA is asked for."""
    monkeypatch.setattr(casa, "check_installation", lambda: None)
    monkeypatch.setattr(casa, "configure", lambda *args: None)
    directory = unpack_released_run(tmp_path / "run")
    (directory / "VLASS2.1.sb38546349.eb38559922.59066.15098736111_split.ms").mkdir(exist_ok=True)
    return Workspace(directory)


@pytest.fixture
def added(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Stage[object], ...]]:
    """Two modules, and their stages at the end of the recipe."""
    package = tmp_path / "added_stages"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "find_peaks.py").write_text(PLANE_STAGE)
    (package / "find_brightest.py").write_text(FIELD_STAGE)
    monkeypatch.syspath_prepend(tmp_path)
    modules = [import_module(f"added_stages.{name}") for name in ("find_peaks", "find_brightest")]
    stages = tuple(module.STAGE for module in modules)
    monkeypatch.setattr(RECIPE, "stages", (*RECIPE.stages, *stages))
    yield stages
    for name in [name for name in sys.modules if name.startswith("added_stages")]:
        del sys.modules[name]


def test_it_is_run_shown_and_planned(workspace: Workspace, added: tuple[Stage[object], ...]) -> None:
    find_peaks, find_brightest = added
    events: list[Event] = []
    assert judge_step(workspace, RunOptions(), find_peaks, "spw2") == (False, "not yet run")
    run_workflow(workspace, first="x_findpeaks", workers=0, listener=events.append)

    peaks = {label: read_result(workspace, find_peaks, label).mjy for label in ("spw2", "spw3")}
    cutouts = {label: read_result(workspace, MAKE_CUTOUT_IMAGES, label) for label in peaks}
    assert peaks == {
        label: pytest.approx(1e3 * cutout.statistics["I"].image.peak) for label, cutout in cutouts.items()
    }
    assert read_result(workspace, find_brightest).label == max(peaks, key=peaks.__getitem__)

    assert {event.stage for event in events} >= {"find_peaks", "find_brightest"}
    assert ("message", "warning: this is new") in {(event.kind, event.text) for event in events}

    status = {line.name: line for line in read_status(workspace).stages}
    assert (status["find_peaks"].state, status["find_peaks"].text) == ("done", "2 of 2 planes")
    assert (status["find_brightest"].number, status["find_brightest"].warnings) == (14, 1)
    assert [p.word for p in RunRecords(workspace).plane_states()] == ["imaged", "imaged"]

    options = workspace.read_options() or RunOptions()
    assert judge_step(workspace, options, find_peaks, "spw2") == (True, "done")
    assert judge_step(workspace, options, find_brightest) == (True, "done")
    assert [step.name for step in planned_steps(workspace, options)][-2:] == ["find_peaks", "find_brightest"]

    render_weblog(workspace)
    page = (workspace.weblog / "stage14-find_brightest.html").read_text()
    assert "this is new" in page
    assert "peaks_mjy" in page
    assert "2 of 2 planes" in (workspace.weblog / "stage13-find_peaks.html").read_text()
    assert "x_findpeaks(workspace, deep=True)" in recipe_script()


def test_it_is_done_once(workspace: Workspace, added: tuple[Stage[object], ...]) -> None:
    for _ in range(2):
        run_workflow(workspace, first="find_peaks", workers=0)
    assert (workspace.directory / "calls").read_text().split() == ["spw2", "spw3"]
    workspace.remove_record("find_peaks", "spw3")
    run_workflow(workspace, first="13", workers=0)
    assert (workspace.directory / "calls").read_text().split() == ["spw2", "spw3", "spw3"]


def test_what_it_needs_is_named(workspace: Workspace, added: tuple[Stage[object], ...]) -> None:
    with pytest.raises(StageOrderError, match=r"stage 13 \(find_peaks\) has not been run for spw2"):
        run_workflow(workspace, first="find_brightest")
