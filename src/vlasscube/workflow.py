"""The workflow: which steps are to be done, in what order, by whom.

A step is done again only if its inputs, its parameters or the code version changed, or if its outputs are no
longer there as recorded. Planes walk alone: each goes through imaging, primary-beam correction, rms and
cutouts in one worker while others are still being imaged.
"""

from __future__ import annotations

import hashlib
import json
import logging
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, CancelledError, Executor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vlasscube import __version__, casa
from vlasscube.errors import VlassCubeError, WorkspaceError, WorkspaceLockedError
from vlasscube.estimates import affordable_workers, worker_memory_bytes
from vlasscube.locks import plane_lock, utc_now, wait_for_planes
from vlasscube.options import RunOptions
from vlasscube.parallel import (
    available_memory_bytes,
    make_executor,
    see_others_changes,
    stop_workers,
    usable_cores,
)
from vlasscube.products.command_log import begin_call_log
from vlasscube.recipe import FIRST, GATHER, LAST, RECIPE, StageEntry, stage_entry
from vlasscube.records import ErrorInfo, Message, Outcome, StepRecord, from_plain, to_plain
from vlasscube.run_state import recorded_run
from vlasscube.stages.context import Progress, StageContext
from vlasscube.stages.make_images import GatherInputs, gather_planes
from vlasscube.stages.results import CubeImages, CubePlan
from vlasscube.weblog.upkeep import WeblogUpkeep
from vlasscube.wiring import STEPS, Step, plane_images, require_result
from vlasscube.workspace import Workspace

logger = logging.getLogger("vlasscube")


@dataclass(frozen=True)
class Event:
    """Something that happened in a run, for whoever shows its progress."""

    kind: str
    """``stage``, ``stage_done``, ``step``, ``plane``, ``plane_done``, ``message``."""
    stage: str
    plane: str | None
    text: str
    fraction: float | None = None


Listener = Callable[[Event], None]


@dataclass(frozen=True)
class RunResult:
    """How a run ended."""

    planes: CubeImages | None
    """None if the run ended before stage 7."""
    seconds: float

    @property
    def exit_status(self) -> int:
        """0 if all planes are fine, 2 if some are not, 1 if none is.

        A plane that is flagged or empty has no data to image: that is a property of the field, not a failure.
        """
        if self.planes is None:
            return 0
        outcomes = [plane.outcome for plane in self.planes.planes]
        if not any(outcome.has_images for outcome in outcomes):
            return 1
        return 2 if Outcome.FAILED in outcomes or Outcome.REJECTED in outcomes else 0


# -------------------------------------------------------------------------------------------------- steps


def step_key(stage: str, inputs: Any) -> str:
    """Hash of what a step depends on: its inputs and the code version."""
    plain = json.dumps([stage, __version__, to_plain(inputs)], sort_keys=True)
    return hashlib.sha256(plain.encode()).hexdigest()


def is_current(workspace: Workspace, record: StepRecord | None, key: str) -> bool:
    """Whether a step was done with this key and its outputs are as it left them."""
    return (
        record is not None
        and record.status == "done"
        and record.key == key
        and all(workspace.is_unchanged(output) for output in record.outputs)
    )


def _read_record(workspace: Workspace, stage: str, plane: str | None) -> StepRecord | None:
    try:
        return workspace.read_record(stage, plane)
    except WorkspaceError as error:
        logger.warning("%s", error.message)
        return None


def do_step(
    workspace: Workspace,
    stage: str,
    plane: str | None,
    inputs: Any,
    run: Callable[[StageContext, str], Any],
    progress: Progress | None = None,
) -> StepRecord:
    """Do a step unless it is done, and keep its record.

    Raises
    ------
    Exception
        Whatever the step raised, after its failure has been recorded.
    """
    key = step_key(stage, inputs)
    existing = _read_record(workspace, stage, plane)
    if existing is not None and is_current(workspace, existing, key):
        return existing
    casa_log, call_log = workspace.step_logs(stage, plane)
    workspace.casa_scratch.mkdir(parents=True, exist_ok=True)
    casa.configure(casa_log, call_log, workspace.casa_scratch)
    begin_call_log(call_log, key)
    workspace.remove_record(stage, plane)
    context = StageContext(workspace, stage, plane, progress)
    started, clock = utc_now(), time.monotonic()
    error: Exception | None = None
    result = None
    try:
        result = run(context, key)
    except Exception as failure:  # the boundary at which a failure becomes a record
        error = failure
    record = StepRecord(
        stage=stage,
        plane=plane,
        key=key,
        status="done" if error is None else "failed",
        started=started,
        finished=utc_now(),
        seconds=time.monotonic() - clock,
        inputs=to_plain(inputs),
        result=None if result is None else to_plain(result),
        messages=tuple(context.messages),
        outputs=tuple(context.outputs),
        error=None if error is None else _error_info(error),
        versions={"vlasscube": __version__, "casatasks": casa.version()},
    )
    workspace.write_record(record)
    if error is not None:
        raise error
    return record


def _error_info(error: Exception) -> ErrorInfo:
    report = getattr(error, "report", None)
    return ErrorInfo(
        type=type(error).__name__,
        message=str(error),
        hint=error.hint if isinstance(error, VlassCubeError) else "",
        traceback="".join(traceback.format_exception(error)),
        details=None if report is None else to_plain(report),
    )


# ------------------------------------------------------------------------------------------------- planes


@dataclass(frozen=True)
class PlaneReport:
    """How a plane's walk through its stages ended."""

    label: str
    failed_stage: str | None
    error: str


def run_plane(workspace: Workspace, label: str, stages: Sequence[str], options: RunOptions) -> PlaneReport:
    """Take one plane through its stages; a failure ends its walk and nothing else.

    A plane that another process still writes, e.g. one that its scheduler has lost sight of, is waited for,
    and then fails.
    """
    try:
        with plane_lock(workspace.records / "planes", label):
            return _walk_stages(workspace, label, stages, options)
    except WorkspaceLockedError as error:
        # Its records belong to whoever holds it.
        logger.error("%s: %s", label, error)
        return PlaneReport(label, stages[0], str(error))


def _walk_stages(workspace: Workspace, label: str, stages: Sequence[str], options: RunOptions) -> PlaneReport:
    for stage in stages:
        step = STEPS[stage]
        try:
            inputs = step.inputs(workspace, options, label)
            do_step(workspace, stage, label, inputs, _runner(step, inputs))
        except Exception as error:  # the plane boundary: one plane fails, the others go on
            logger.error("%s: %s failed: %s", label, stage, error)
            _record_failure(workspace, stage, label, error)
            return PlaneReport(label, stage, str(error))
        _make_pictures(workspace, stage, label)
    return PlaneReport(label, None, "")


def _record_failure(workspace: Workspace, stage: str, label: str, error: Exception) -> None:
    """Record a failure that came before the step itself, e.g. of its inputs."""
    record = _read_record(workspace, stage, label)
    if record is None:
        workspace.write_record(
            StepRecord(
                stage, label, "", "failed", utc_now(), utc_now(), 0.0, None, None, error=_error_info(error)
            )
        )


def _runner(step: Step, inputs: Any) -> Callable[[StageContext, str], Any]:
    return lambda context, key: step.run(inputs, context, key)


# --------------------------------------------------------------------------------------------------- run


def run_workflow(
    workspace: Workspace,
    options: RunOptions | None = None,
    *,
    first: str = FIRST,
    last: str = LAST,
    workers: int | None = None,
    executor: Executor | None = None,
    listener: Listener | None = None,
    steal_lock: bool = False,
) -> RunResult:
    """Run the workflow, or the part of it from one stage to another, going on where an earlier run stopped.

    Parameters
    ----------
    workspace : Workspace
        Run directory.
    options : RunOptions, optional
        By default those of the earlier run in this directory, or the defaults.
    first, last : str
        Stages to begin and end with, by name, number or task name.
    workers : int, optional
        Number of planes imaged at the same time, each in its own process; by default as many as cores and
        memory allow, no more than there are planes; 0 images in this process.
    executor : concurrent.futures.Executor, optional
        Executor for the planes instead of local processes (dask, MPI).
    listener : callable, optional
        Called with each `Event`.
    steal_lock : bool
        Work in the directory although a run on another machine has not given its lock back.

    Returns
    -------
    RunResult
        With the outcome of every requested plane.

    Raises
    ------
    VlassCubeError
        If a stage of the whole field fails; failures of single planes are outcomes.
    """
    casa.check_installation()
    stages = _selected(first, last)
    tell = listener or (lambda event: None)
    clock = time.monotonic()
    with workspace.locked(steal=steal_lock) as before, recorded_run(workspace):
        if before is not None:
            logger.info("the run of %s ended without giving the directory back; this one goes on", before)
        options = options or workspace.read_options() or RunOptions()
        workspace.write_options(options)
        # Workers on other machines may not know yet that the run before this one has ended.
        wait_for_planes(workspace.records / "planes")
        workspace.clear_partial()
        weblog = WeblogUpkeep(workspace)
        try:
            _run_stages(workspace, options, stages, workers, executor, tell, weblog)
        finally:
            weblog.finish()
        planes = _outcomes(workspace) if stages[-1].number >= 7 else None
    return RunResult(planes, time.monotonic() - clock)


def _selected(first: str, last: str) -> tuple[StageEntry, ...]:
    begin, end = stage_entry(first).number, stage_entry(last).number
    if begin > end:
        raise VlassCubeError(f"stage {first} comes after stage {last}", hint="Exchange --from and --to.")
    return RECIPE[begin - 1 : end]


def _run_stages(
    workspace: Workspace,
    options: RunOptions,
    stages: Sequence[StageEntry],
    workers: int | None,
    executor: Executor | None,
    tell: Listener,
    weblog: WeblogUpkeep,
) -> None:
    plane_stages = [entry.name for entry in stages if entry.scope == "plane"]
    for entry in stages:
        if entry.scope == "plane":
            if entry.name == plane_stages[0]:
                _run_planes(workspace, options, plane_stages, workers, executor, tell, weblog)
            continue
        tell(Event("stage", entry.name, None, entry.title))
        step = STEPS[entry.name]
        inputs = step.inputs(workspace, options, None)

        def progress(text: str, fraction: float | None, stage: str = entry.name) -> None:
            tell(Event("step", stage, None, text, fraction))

        record = do_step(workspace, entry.name, None, inputs, _runner(step, inputs), progress)
        _tell_messages(record, tell)
        tell(Event("stage_done", entry.name, None, entry.title))
        _make_pictures(workspace, entry.name, None)
        weblog.update()


def _run_planes(
    workspace: Workspace,
    options: RunOptions,
    stages: Sequence[str],
    workers: int | None,
    executor: Executor | None,
    tell: Listener,
    weblog: WeblogUpkeep,
) -> None:
    plan: CubePlan = require_result(workspace, "edit_image_list_cube")
    labels = [t.label for t in plan.targets if t.outcome is None or t.outcome.has_images]
    tell(Event("stage", stages[0], None, f"{len(labels)} planes: {', '.join(stages)}"))
    if workers is None:
        need = worker_memory_bytes(plan.geometry.nx, plan.geometry.ny, options.engine)
        workers = affordable_workers(len(labels), usable_cores(), need, available_memory_bytes())
    walk = _Walk(workspace, options, tuple(stages), len(labels), tell, weblog)
    if executor is not None:
        walk.run_on(executor, labels)
    else:
        lost = walk.run_locally(labels, workers)
        # When a worker dies, those beside it are lost with it; each gets another chance, alone.
        for label in lost:
            walk.run_locally([label], min(workers, 1))
    _gather(workspace, options, plan, walk.reports, tell)


class _Walk:
    """Planes on their way through their stages."""

    def __init__(
        self,
        workspace: Workspace,
        options: RunOptions,
        stages: tuple[str, ...],
        count: int,
        tell: Listener,
        weblog: WeblogUpkeep,
    ) -> None:
        self._workspace = workspace
        self._options = options
        self._stages = stages
        self._count = count
        self._tell = tell
        self._weblog = weblog
        self._seen: set[tuple[str, str]] = set()
        self._before: dict[Path, int] = {}
        self.reports: dict[str, PlaneReport] = {}

    def run_locally(self, labels: Sequence[str], workers: int) -> list[str]:
        """Take planes through their stages in local processes; return those whose worker died."""
        pool = make_executor(workers)
        try:
            lost = self.run(pool, labels)
        except BaseException:
            stop_workers()
            pool.shutdown(wait=False, cancel_futures=True)
            raise
        pool.shutdown()
        return lost

    def run_on(self, executor: Executor, labels: Sequence[str]) -> None:
        """Take planes through their stages by an executor, those whose worker died once more."""
        lost = self.run(executor, labels)
        # A machine that dies takes all its planes with it, and they can go to others together. A plane whose
        # worker dies again may need the memory of those beside it.
        if len(lost) > 1:
            lost = self.run(executor, lost)
        for label in lost:
            self.run(executor, [label])

    def run(self, executor: Executor, labels: Sequence[str]) -> list[str]:
        """Take planes through their stages; return those whose worker died."""
        for label in labels:
            for name in self._record_names():
                record = self._workspace.record_path(name, label)
                self._before.setdefault(record, _changed_ns(record))
        futures = {
            executor.submit(run_plane, self._workspace, label, self._stages, self._options): label
            for label in labels
        }
        lost = []
        pending = set(futures)
        while pending:
            finished, pending = wait(pending, timeout=1.0, return_when=FIRST_COMPLETED)
            for label in futures.values():
                self._tell_new_records(label)
            for future in finished:
                label = futures[future]
                see_others_changes(self._workspace.record_path(self._stages[0], label).parent)
                error = CancelledError("given up") if future.cancelled() else future.exception()
                if error is not None:
                    lost.append(label)
                    died = RuntimeError(f"the worker died: {error or type(error).__name__}")
                    _record_failure(self._workspace, self._stages[0], label, died)
                    self._finish(PlaneReport(label, self._stages[0], str(died)))
                else:
                    self._finish(future.result())
        return lost

    def _finish(self, report: PlaneReport) -> None:
        self.reports[report.label] = report
        failed = report.failed_stage
        text = "done" if failed is None else f"failed in {failed}: {report.error}"
        fraction = len(self.reports) / self._count
        self._tell(Event("plane_done", self._stages[0], report.label, text, fraction))
        self._weblog.update()

    def _tell_new_records(self, label: str) -> None:
        for name in self._record_names():
            place, record = (label, name), self._workspace.record_path(name, label)
            if place not in self._seen and _changed_ns(record) not in (0, self._before.get(record, 0)):
                self._seen.add(place)
                self._tell(Event("plane", name, label, name.replace("_", " ")))

    def _record_names(self) -> Iterator[str]:
        for stage in self._stages:
            if stage == "make_images":
                yield from (f"{stage}.iter{n}" for n in range(4))
            yield stage


def _changed_ns(record: Path) -> int:
    """When a record was written, by its file system's clock, which need not be ours; 0 if there is none."""
    try:
        return record.stat().st_mtime_ns
    except FileNotFoundError:
        return 0


def _gather(
    workspace: Workspace,
    options: RunOptions,
    plan: CubePlan,
    reports: Mapping[str, PlaneReport],
    tell: Listener,
) -> None:
    images = plane_images(workspace, plan)
    failures = {
        label: f"{report.failed_stage}: {report.error}"
        for label, report in reports.items()
        if report.failed_stage
    }
    inputs = GatherInputs(plan, images, failures, options)
    record = do_step(workspace, GATHER, None, inputs, lambda context, key: gather_planes(inputs, context))
    _tell_messages(record, tell)
    planes = from_plain(CubeImages, record.result)
    if not planes.with_images:
        reasons = "\n".join(f"  spw {p.spw}: {p.outcome}: {p.reason}" for p in planes.planes)
        raise VlassCubeError(
            f"no plane was imaged:\n{reasons}", hint="See the web log and logs/ for each plane."
        )


def _tell_messages(record: StepRecord, tell: Listener) -> None:
    for message in record.messages:
        tell(Event("message", record.stage, record.plane, f"{message.level}: {message.text}"))


def _outcomes(workspace: Workspace) -> CubeImages | None:
    record = workspace.read_record(GATHER)
    return from_plain(CubeImages, record.result) if record and record.status == "done" else None


def _make_pictures(workspace: Workspace, stage: str, label: str | None) -> None:
    from vlasscube.weblog.picture_making import make_pictures

    make_pictures(workspace, stage, label)


__all__ = ["Event", "Message", "RunResult", "run_workflow"]
