"""Steps and planes without CASA: what is done, skipped, done again; how failures end."""

import signal
from concurrent.futures import BrokenExecutor
from dataclasses import dataclass

import pytest

from vlasscube import casa
from vlasscube.cli.signals import Interrupted
from vlasscube.errors import (
    CasaTaskError,
    ImagingError,
    InputsError,
    MemoryLimitError,
    ParameterFileError,
    StageOrderError,
    VlassCubeError,
    WorkspaceError,
)
from vlasscube.options import RunOptions
from vlasscube.processes.code_identity import CODE, code_digest
from vlasscube.processes.parallel import SerialExecutor
from vlasscube.recipe import PBCOR
from vlasscube.records import Outcome
from vlasscube.results.types import CubeImages, PlaneVerdict
from vlasscube.run import plane_walk, steps, workflow
from vlasscube.run.plane_walk import PlaneReport, PlaneWalk, run_plane
from vlasscube.run.steps import do_step
from vlasscube.stages import pbcor
from vlasscube.stages.flag_targets_data import read_flag_template
from vlasscube.stages.step import PreparedStep, Step
from vlasscube.weblog.upkeep import WeblogUpkeep
from vlasscube.workspace.directory import Workspace


@dataclass(frozen=True)
class Inputs:
    value: int = 1


@pytest.fixture
def workspace(tmp_path, monkeypatch):
    monkeypatch.setattr(casa, "configure", lambda *args: None)
    return Workspace(tmp_path)


class Counter:
    """A step that counts how often it is done and leaves one output."""

    def __init__(self):
        self.done = 0

    def __call__(self, context):
        self.done += 1
        path = context.workspace.working / "image"
        path.write_text(str(self.done))
        context.add_output(path)
        return Inputs(self.done)


def do(workspace, run, inputs=None):
    return do_step(workspace, PreparedStep(PBCOR, "spw2", inputs or Inputs(), run))


def use_step(monkeypatch, run):
    """Let stage 8 do something else."""
    monkeypatch.setattr(pbcor, "STEP", Step(PBCOR, lambda source: Inputs(), run))


def test_a_finished_step_is_not_done_again(workspace):
    counter = Counter()
    first = do(workspace, counter)
    assert do(workspace, counter) == first
    assert counter.done == 1


def test_changed_inputs_do_a_step_again(workspace):
    counter = Counter()
    do(workspace, counter)
    do(workspace, counter, Inputs(2))
    assert counter.done == 2


def test_another_code_version_does_a_step_again(workspace, monkeypatch):
    counter = Counter()
    do(workspace, counter)
    monkeypatch.setattr(steps, "__version__", "99")
    do(workspace, counter)
    assert counter.done == 2


def test_changed_sources_of_the_same_version_do_a_step_again(workspace, monkeypatch):
    counter = Counter()
    do(workspace, counter)
    assert workspace.read_record("pbcor", "spw2").versions[CODE] == code_digest()
    monkeypatch.setattr(steps, "code_digest", lambda: "other")
    do(workspace, counter)
    assert counter.done == 2
    assert workspace.read_record("pbcor", "spw2").versions[CODE] == "other"


@pytest.mark.parametrize("damage", ["delete", "alter", "record"])
def test_lost_or_altered_results_are_made_again(workspace, damage):
    counter = Counter()
    do(workspace, counter)
    output = workspace.working / "image"
    if damage == "delete":
        output.unlink()
    elif damage == "alter":
        output.write_text("X")
    else:
        workspace.record_path("pbcor", "spw2").write_text("{")
    do(workspace, counter)
    assert counter.done == 2
    assert output.read_text() == "2"


def test_a_failure_is_recorded_and_tried_again(workspace):
    def fail(context):
        context.warn("before")
        raise ImagingError("it broke", hint="mend it")

    with pytest.raises(ImagingError):
        do(workspace, fail)
    record = workspace.read_record("pbcor", "spw2")
    assert (record.status, record.error.type, record.error.hint) == ("failed", "ImagingError", "mend it")
    assert [message.text for message in record.messages] == ["before"]
    counter = Counter()
    do(workspace, counter)
    assert counter.done == 1
    assert workspace.read_record("pbcor", "spw2").error is None


@pytest.mark.parametrize("interruption", [KeyboardInterrupt(), Interrupted(signal.SIGTERM)])
def test_an_interruption_that_a_library_took_for_its_own_error_is_one(workspace, interruption):
    def run(context):
        try:
            try:
                raise interruption
            except BaseException as cause:
                raise SystemError("returned a result with an exception set") from cause
        except Exception as failure:
            raise CasaTaskError(f"imsubimage: {failure}") from failure

    with pytest.raises(type(interruption)):
        do(workspace, run)
    assert workspace.read_record("pbcor", "spw2") is None


def test_one_failing_plane_leaves_the_others(workspace, monkeypatch):
    def run(inputs, context):
        if context.plane == "spw3":
            raise ImagingError("diverged")
        return inputs

    use_step(monkeypatch, run)
    reports = [
        run_plane(workspace, label, (PBCOR,), RunOptions(), code_digest())
        for label in ("spw2", "spw3", "spw4")
    ]
    assert [report.failed_stage for report in reports] == [None, "pbcor", None]
    assert workspace.read_record("pbcor", "spw3").error.message == "diverged"


def test_a_worker_with_other_code_than_the_run_does_nothing(workspace, monkeypatch):
    use_step(monkeypatch, lambda inputs, context: Counter()(context))
    report = run_plane(workspace, "spw2", (PBCOR,), RunOptions(), "other")
    assert report.failed_stage == "pbcor"
    assert "the source code of vlasscube changed" in report.error
    assert workspace.read_record("pbcor", "spw2") is None


def test_inputs_that_cannot_be_had_fail_the_plane_only(workspace):
    report = run_plane(workspace, "spw2", (PBCOR,), RunOptions(), code_digest())
    assert report.failed_stage == "pbcor"
    assert "make_images" in report.error
    assert workspace.read_record("pbcor", "spw2").status == "failed"


class DyingExecutor(SerialExecutor):
    def submit(self, fn, /, workspace, label, *args, **kwargs):
        if label == "spw3":
            return super().submit(lambda: 1 / 0)
        return super().submit(fn, workspace, label, *args, **kwargs)


def test_a_dead_worker_loses_its_plane_only(workspace, monkeypatch):
    use_step(monkeypatch, lambda inputs, context: inputs)
    monkeypatch.setattr(WeblogUpkeep, "finish", lambda self: None)
    events = []
    walk = PlaneWalk(workspace, RunOptions(), (PBCOR,), 3, events.append, WeblogUpkeep(workspace))
    assert walk.run(DyingExecutor(), ["spw2", "spw3", "spw4"]) == ["spw3"]
    assert {label: report.failed_stage for label, report in walk.reports.items()} == {
        "spw2": None,
        "spw3": "pbcor",
        "spw4": None,
    }
    done = [event for event in events if event.kind == "plane_done"]
    assert {event.plane for event in done} == {"spw2", "spw3", "spw4"}
    assert [event.fraction for event in done] == pytest.approx([1 / 3, 2 / 3, 1.0])


@pytest.mark.parametrize(
    "error", [MemoryError(), MemoryLimitError("5 GB needed"), CasaTaskError("tclean: std::bad_alloc")]
)
@pytest.mark.parametrize("times", [1, 2])
def test_a_plane_that_lacks_memory_gets_another_chance_alone(workspace, monkeypatch, error, times):
    tries = []

    def step(inputs, context):
        tries.append(context.plane)
        if context.plane == "spw3" and tries.count("spw3") <= times:
            raise error
        return inputs

    use_step(monkeypatch, step)
    walk = PlaneWalk(workspace, RunOptions(), (PBCOR,), 3, lambda event: None, WeblogUpkeep(workspace))
    monkeypatch.setattr(WeblogUpkeep, "update", lambda self: None)
    walk.run_on(SerialExecutor(), ["spw2", "spw3", "spw4"])
    assert tries == ["spw2", "spw3", "spw4", "spw3"]
    failed = {label: report.failed_stage for label, report in walk.reports.items()}
    assert failed == {"spw2": None, "spw3": "pbcor" if times == 2 else None, "spw4": None}


def dying(deaths, dies):
    """What takes a plane through its stages, but for the first times of some."""
    left = dict(deaths)

    def run(workspace, label, *arguments):
        left[label] = left.get(label, 0) - 1
        if left[label] < 0:
            return PlaneReport(label, None, "")
        if dies == "worker":
            raise BrokenExecutor("gone")
        return PlaneReport(label, "pbcor", "no memory", lacks_memory=True)

    return run


class RecordedWalk(PlaneWalk):
    """A walk in this process that keeps which planes were tried together, in what order."""

    def __init__(self, workspace, monkeypatch, run, count=3):
        monkeypatch.setattr(plane_walk, "run_plane", run)
        monkeypatch.setattr(WeblogUpkeep, "update", lambda self: None)
        super().__init__(
            workspace, RunOptions(), (PBCOR,), count, lambda event: None, WeblogUpkeep(workspace)
        )
        self.rounds = []

    def run(self, executor, labels):
        self.rounds.append(" ".join(labels))
        return super().run(executor, labels)


@pytest.mark.parametrize("dies", ["worker", "memory"])
@pytest.mark.parametrize(
    ("deaths", "tries"),
    [
        ({"spw3": 1, "spw4": 1}, ["spw2 spw3 spw4", "spw3 spw4"]),
        ({"spw3": 2, "spw4": 2}, ["spw2 spw3 spw4", "spw3 spw4", "spw3", "spw4"]),
        ({"spw3": 1, "spw4": 2}, ["spw2 spw3 spw4", "spw3 spw4", "spw4"]),
        ({"spw3": 3, "spw4": 1}, ["spw2 spw3 spw4", "spw3 spw4", "spw3"]),
        ({"spw3": 1}, ["spw2 spw3 spw4", "spw3"]),
    ],
)
def test_planes_that_die_together_get_another_chance_together_then_alone(
    workspace, monkeypatch, deaths, tries, dies
):
    walk = RecordedWalk(workspace, monkeypatch, dying(deaths, dies))
    walk.run_on(SerialExecutor(), ["spw2", "spw3", "spw4"])
    assert walk.rounds == tries
    lost = {label for label, report in walk.reports.items() if report.failed_stage}
    assert lost == {label for label, times in deaths.items() if times == 3}


@pytest.mark.parametrize("dies", ["worker", "memory"])
@pytest.mark.parametrize("workers", [0, 1, 3])
@pytest.mark.parametrize("deaths", [{}, {"spw4": 1}, {"spw2": 1, "spw4": 1}, {"spw3": 2, "spw2": 1}])
def test_planes_lost_by_local_workers_are_tried_again_alone(workspace, monkeypatch, deaths, workers, dies):
    pools = []

    def in_this_process(workers):
        pools.append(workers)
        return SerialExecutor()

    monkeypatch.setattr(plane_walk, "make_executor", in_this_process)
    walk = RecordedWalk(workspace, monkeypatch, dying(deaths, dies))
    walk.run_locally(["spw2", "spw3", "spw4"], workers)
    assert walk.rounds == ["spw2 spw3 spw4", *sorted(deaths)]
    # What is tried alone has nothing beside it.
    assert pools == [workers, *[min(workers, 1)] * len(deaths)]
    lost = {label for label, report in walk.reports.items() if report.failed_stage}
    assert lost == {label for label, times in deaths.items() if times == 2}


@pytest.mark.parametrize("order", [range(40), range(39, -1, -1)], ids=["upwards", "downwards"])
def test_planes_are_tried_again_in_the_order_of_the_plan(workspace, monkeypatch, order):
    """All end at once, of which neither the futures nor the sets they are in keep an order."""
    labels = [f"spw{number}" for number in order]

    def run(workspace, label, *arguments):
        raise BrokenExecutor("gone")

    walk = RecordedWalk(workspace, monkeypatch, run, len(labels))
    assert walk.run(SerialExecutor(), labels) == labels


def test_other_failures_are_final(workspace, monkeypatch):
    tries = []

    def step(inputs, context):
        tries.append(context.plane)
        raise ImagingError("diverged")

    use_step(monkeypatch, step)
    monkeypatch.setattr(WeblogUpkeep, "update", lambda self: None)
    walk = PlaneWalk(workspace, RunOptions(), (PBCOR,), 1, lambda event: None, WeblogUpkeep(workspace))
    walk.run_on(SerialExecutor(), ["spw2"])
    assert tries == ["spw2"]


def verdict(outcome, label="spw2"):
    return PlaneVerdict(label, label[3:], outcome, "", 2e9, None, None, "", None, 0.0)


@pytest.mark.parametrize(
    ("outcomes", "status"),
    [
        ([Outcome.IMAGED] * 3, 0),
        ([Outcome.IMAGED, Outcome.FLAGGED, Outcome.EMPTY], 0),
        ([Outcome.IMAGED, Outcome.REJECTED], 2),
        ([Outcome.IMAGED, Outcome.FAILED], 2),
        ([Outcome.REJECTED], 2),
        ([Outcome.FAILED, Outcome.FLAGGED], 1),
        ([Outcome.FLAGGED], 1),
    ],
)
def test_exit_status(outcomes, status):
    result = workflow.RunResult(CubeImages(tuple(map(verdict, outcomes))), 1.0)
    assert result.exit_status == status


def test_stages_in_the_wrong_order_are_refused(workspace):
    with pytest.raises(VlassCubeError, match="comes after"):
        workflow.run_workflow(workspace, first="8", last="7")


def test_a_stage_without_its_predecessors_says_which(workspace):
    with pytest.raises(StageOrderError, match=r"stage 1 \(import_data\) has not been run"):
        workflow.run_workflow(workspace, first="restore_pims", last="flag_targets_data")


def test_what_lies_in_the_way_of_a_product_is_told_before_the_work(workspace):
    workspace.products.mkdir()
    (workspace.products / "weblog.tgz").write_text("of another run")
    with pytest.raises(InputsError, match=r"has not made.*\n.*weblog\.tgz"):
        workflow.run_workflow(workspace)
    # Without the export nothing is written there.
    with pytest.raises(WorkspaceError, match="no measurement set"):
        workflow.run_workflow(workspace, last="import_data")
    assert (workspace.products / "weblog.tgz").read_text() == "of another run"


def test_a_flagging_template_that_is_no_text_is_named(tmp_path):
    template = tmp_path / "a.flagtargetstemplate.txt"
    template.write_text("mode='manual' spw='2'\n")
    assert read_flag_template(template) == "mode='manual' spw='2'\n"
    template.write_bytes(b"mode='manual' field='caf\xe9'")
    with pytest.raises(ParameterFileError, match=r"a\.flagtargetstemplate\.txt") as caught:
        read_flag_template(template)
    assert "UTF-8" in caught.value.hint
