"""Planes on their way through their stages: each by one worker, while others are still being imaged."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, CancelledError, Executor, wait
from dataclasses import dataclass
from pathlib import Path

from vlasscube.errors import CodeChangedError, MemoryLimitError, WorkspaceLockedError
from vlasscube.options import RunOptions
from vlasscube.processes.code_identity import code_digest, require_same_code
from vlasscube.processes.parallel import make_executor, see_others_changes, stop_workers
from vlasscube.recipe import MAKE_IMAGES, MAX_ITERATIONS, Stage, iteration_step
from vlasscube.records import StepRecord
from vlasscube.results.reading import InputSource
from vlasscube.run.steps import do_step, error_info, readable_record
from vlasscube.run.wiring import prepare_step
from vlasscube.weblog.upkeep import WeblogUpkeep
from vlasscube.workspace.directory import Workspace
from vlasscube.workspace.locks import plane_lock, utc_now

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
class PlaneReport:
    """How a plane's walk through its stages ended."""

    label: str
    failed_stage: str | None
    error: str
    lacks_memory: bool = False
    """Whether it failed for want of memory, which it may have when it is alone."""


def run_plane(
    workspace: Workspace, label: str, stages: Sequence[Stage[object]], options: RunOptions, code: str
) -> PlaneReport:
    """Take one plane through its stages; a failure ends its walk and nothing else.

    A plane that another process still writes, e.g. one that its scheduler has lost sight of, is waited for,
    and then fails. So does one whose worker runs other code than the run, which is known by its digest.
    """
    try:
        require_same_code(code)
        with plane_lock(workspace.records / "planes", label):
            return _walk_stages(workspace, label, stages, options)
    except (WorkspaceLockedError, CodeChangedError) as error:
        # Its records belong to whoever holds it, or to the code that made them.
        logger.error("%s: %s", label, error)
        return PlaneReport(label, stages[0].name, str(error))


def _walk_stages(
    workspace: Workspace, label: str, stages: Sequence[Stage[object]], options: RunOptions
) -> PlaneReport:
    source = InputSource(workspace, options, label)
    for stage in stages:
        try:
            do_step(workspace, prepare_step(stage, source))
        except Exception as error:  # the plane boundary: one plane fails, the others go on
            logger.error("%s: %s failed: %s", label, stage.name, error)
            _record_failure(workspace, stage, label, error)
            return PlaneReport(label, stage.name, str(error), _is_for_want_of_memory(error))
        make_pictures_of(workspace, stage, label)
    return PlaneReport(label, None, "")


def _is_for_want_of_memory(error: Exception) -> bool:
    # CASA tells of it as C++ does.
    return isinstance(error, MemoryError | MemoryLimitError) or "bad_alloc" in str(error)


def _record_failure(workspace: Workspace, stage: Stage[object], label: str, error: Exception) -> None:
    """Record a failure that came before the step itself, e.g. of its inputs."""
    record = readable_record(workspace, stage.name, label)
    if record is None:
        workspace.write_record(
            StepRecord(
                stage=stage.name,
                plane=label,
                key="",
                status="failed",
                started=utc_now(),
                finished=utc_now(),
                seconds=0.0,
                inputs=None,
                result=None,
                error=error_info(error),
            )
        )


def make_pictures_of(workspace: Workspace, stage: Stage[object], label: str | None) -> None:
    """Make the pictures of a step for the web log; what it imports is heavy."""
    from vlasscube.weblog.picture_making import make_pictures

    make_pictures(workspace, stage, label)


class PlaneWalk:
    """Planes on their way through their stages."""

    def __init__(
        self,
        workspace: Workspace,
        options: RunOptions,
        stages: tuple[Stage[object], ...],
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

    def run_locally(self, labels: Sequence[str], workers: int) -> None:
        """Take planes through their stages in local processes, some of them once more."""
        # When a worker dies, those beside it are lost with it; what lacked memory may have it when nothing is
        # beside it: each gets another chance, alone.
        for label in self._run_in_pool(labels, workers):
            self._run_in_pool([label], min(workers, 1))

    def _run_in_pool(self, labels: Sequence[str], workers: int) -> list[str]:
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
        """Take planes through their stages by an executor, some of them once more."""
        lost = self.run(executor, labels)
        # A machine that dies takes all its planes with it, and they can go to others together. A plane whose
        # worker dies again may need the memory of those beside it.
        if len(lost) > 1:
            lost = self.run(executor, lost)
        for label in lost:
            self.run(executor, [label])

    def run(self, executor: Executor, labels: Sequence[str]) -> list[str]:
        """Take planes through their stages; return those to be tried again, in the order of `labels`.

        These are the planes whose worker died or that lacked memory.
        """
        for label in labels:
            for name in self._record_names(label):
                record = self._workspace.record_path(name, label)
                self._before.setdefault(record, _changed_ns(record))
        futures = {
            executor.submit(
                run_plane, self._workspace, label, self._stages, self._options, code_digest()
            ): label
            for label in labels
        }
        lost: set[str] = set()
        pending = set(futures)
        while pending:
            finished, pending = wait(pending, timeout=1.0, return_when=FIRST_COMPLETED)
            for label in futures.values():
                self._tell_new_records(label)
            for future in finished:
                label = futures[future]
                see_others_changes(self._workspace.record_path(self._stages[0].name, label).parent)
                error = CancelledError("given up") if future.cancelled() else future.exception()
                if error is not None:
                    lost.add(label)
                    died = RuntimeError(f"the worker died: {error or type(error).__name__}")
                    _record_failure(self._workspace, self._stages[0], label, died)
                    self._finish(PlaneReport(label, self._stages[0].name, str(died)))
                else:
                    report = future.result()
                    if report.lacks_memory:
                        lost.add(label)
                    self._finish(report)
        return [label for label in labels if label in lost]

    def _finish(self, report: PlaneReport) -> None:
        self.reports[report.label] = report
        failed = report.failed_stage
        text = "done" if failed is None else f"failed in {failed}: {report.error}"
        fraction = len(self.reports) / self._count
        self._tell(Event("plane_done", self._stages[0].name, report.label, text, fraction))
        self._weblog.update()

    def _tell_new_records(self, label: str) -> None:
        for name in self._record_names(label):
            place, record = (label, name), self._workspace.record_path(name, label)
            if place not in self._seen and _changed_ns(record) not in (0, self._before.get(record, 0)):
                self._seen.add(place)
                self._tell(Event("plane", name, label, name.replace("_", " ")))

    def _record_names(self, label: str) -> Iterator[str]:
        """Names of the records that a plane's steps leave, of iterations those that are there."""
        for stage in self._stages:
            if stage == MAKE_IMAGES:
                for number in range(MAX_ITERATIONS):
                    name = iteration_step(number).name
                    if not self._workspace.record_path(name, label).exists():
                        break
                    yield name
            yield stage.name


def _changed_ns(record: Path) -> int:
    """When a record was written, by its file system's clock, which need not be ours; 0 if there is none."""
    try:
        return record.stat().st_mtime_ns
    except FileNotFoundError:
        return 0
