"""The workflow: which steps are to be done, in what order, by whom."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass

from vlasscube import casa
from vlasscube.errors import VlassCubeError
from vlasscube.estimates.cost import affordable_workers, largest_worker_bytes
from vlasscube.estimates.run_size import run_size
from vlasscube.estimates.work_costs import imaging_method
from vlasscube.options import RunOptions
from vlasscube.processes.machine import available_memory, usable_cores
from vlasscube.recipe import (
    EDIT_IMAGE_LIST_CONTINUUM,
    EDIT_IMAGE_LIST_CUBE,
    EXPORT_VLASS_DATA,
    GATHER_PLANES,
    IMPORT_DATA,
    MAKE_IMAGES,
    RECIPE,
    Stage,
)
from vlasscube.records import Outcome, StepRecord
from vlasscube.results.reading import InputSource, imaged_planes, read_result
from vlasscube.results.types import CubeImages, CubePlan
from vlasscube.results.working_names import WorkingOwnership
from vlasscube.run.plane_walk import Event, Listener, PlaneReport, PlaneWalk, make_pictures_of
from vlasscube.run.planned_steps import why_begun_again
from vlasscube.run.preflight import check_inputs, products_in_the_way
from vlasscube.run.steps import do_step
from vlasscube.run.wiring import prepare_step
from vlasscube.stages.make_images import GatherInputs, gather_planes
from vlasscube.stages.step import PreparedStep
from vlasscube.weblog.own_pages import claim_weblog
from vlasscube.weblog.upkeep import WeblogUpkeep
from vlasscube.workspace.directory import Workspace
from vlasscube.workspace.locks import require_table_locks, wait_for_planes
from vlasscube.workspace.record_json import from_plain
from vlasscube.workspace.run_state import recorded_run

logger = logging.getLogger("vlasscube")

INPUTS = "inputs"
"""Stands for a stage in the events of what comes before the first."""


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


# --------------------------------------------------------------------------------------------------- run


def run_workflow(
    workspace: Workspace,
    options: RunOptions | None = None,
    *,
    first: str | None = None,
    last: str | None = None,
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
    first, last : str, optional
        Stages to begin and end with, by name, number or task name; by default the first and the last.
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
            logger.info("the run by %s ended without releasing its lock; this run resumes it", before)
        # Nothing is made before the inputs are found to be right, but working/ may lie on a disk of its own.
        tables = workspace.working if workspace.working.is_dir() else workspace.records
        require_table_locks(tables, workspace.directory.glob("*.ms"))
        options = options or workspace.read_options() or RunOptions()
        _check_inputs(workspace, options, stages, tell)
        workspace.write_options(options)
        # Workers on other machines may not know yet that the run before this one has ended.
        wait_for_planes(workspace.records / "planes")
        workspace.clear_partial()
        weblog = WeblogUpkeep(workspace)
        if reason := why_begun_again(workspace, options):
            logger.warning("%s", reason)
            tell(Event("message", stages[0].name, None, f"warning: {reason}"))
        try:
            _run_stages(workspace, options, stages, workers, executor, tell, weblog)
        finally:
            weblog.finish()
        planes = _outcomes(workspace) if stages[-1].number >= MAKE_IMAGES.number else None
    return RunResult(planes, time.monotonic() - clock)


def _check_inputs(
    workspace: Workspace, options: RunOptions, stages: Sequence[Stage[object]], tell: Listener
) -> None:
    """Find out before the work that an input cannot be used or that a product cannot be put in its place."""
    tell(Event("stage", INPUTS, None, "Look at the inputs"))
    report = check_inputs(
        workspace, options, stages, lambda text, fraction: tell(Event("step", INPUTS, None, text, fraction))
    )
    report.require_usable()
    for message in report.warnings:
        logger.warning("%s", message.text)
        tell(Event("message", INPUTS, None, f"warning: {message.text}"))
    tell(Event("stage_done", INPUTS, None, "Look at the inputs"))
    # What only records tell is kept before the first of them goes.
    if EXPORT_VLASS_DATA in stages:
        products_in_the_way(workspace)[1].remember()
    WorkingOwnership(workspace).remember()
    claim_weblog(workspace, ())


def _selected(first: str | None, last: str | None) -> tuple[Stage[object], ...]:
    begin = RECIPE.first if first is None else RECIPE.find(first)
    end = RECIPE.last if last is None else RECIPE.find(last)
    if begin.number > end.number:
        raise VlassCubeError(f"stage {first} comes after stage {last}", hint="Swap --from and --to.")
    return RECIPE.stages[begin.number - 1 : end.number]


def _run_stages(
    workspace: Workspace,
    options: RunOptions,
    stages: Sequence[Stage[object]],
    workers: int | None,
    executor: Executor | None,
    tell: Listener,
    weblog: WeblogUpkeep,
) -> None:
    plane_stages = tuple(stage for stage in stages if stage.scope == "plane")
    source = InputSource(workspace, options)
    for stage in stages:
        if stage.scope == "plane":
            if stage == plane_stages[0]:
                _run_planes(workspace, options, plane_stages, workers, executor, tell, weblog)
            continue
        tell(Event("stage", stage.name, None, stage.title))

        def progress(text: str, fraction: float | None, name: str = stage.name) -> None:
            tell(Event("step", name, None, text, fraction))

        record = do_step(workspace, prepare_step(stage, source), progress)
        _tell_messages(record, tell)
        tell(Event("stage_done", stage.name, None, stage.title))
        make_pictures_of(workspace, stage, None)
        weblog.update()


def _run_planes(
    workspace: Workspace,
    options: RunOptions,
    stages: tuple[Stage[object], ...],
    workers: int | None,
    executor: Executor | None,
    tell: Listener,
    weblog: WeblogUpkeep,
) -> None:
    plan = read_result(workspace, EDIT_IMAGE_LIST_CUBE)
    labels = [t.label for t in plan.targets if t.outcome is None or t.outcome.has_images]
    names = ", ".join(stage.name for stage in stages)
    tell(Event("stage", stages[0].name, None, f"{len(labels)} planes: {names}"))
    if workers is None:
        imported = read_result(workspace, IMPORT_DATA)
        fields = read_result(workspace, EDIT_IMAGE_LIST_CONTINUUM).field_ids
        need = largest_worker_bytes(
            run_size(plan, imported, fields, options, labels), imaging_method(options)
        )
        workers = affordable_workers(len(labels), usable_cores(), need, available_memory().bytes)
    walk = PlaneWalk(workspace, options, stages, len(labels), tell, weblog)
    if executor is not None:
        walk.run_on(executor, labels)
    else:
        walk.run_locally(labels, workers)
    _gather(workspace, options, plan, walk.reports, tell)


def _gather(
    workspace: Workspace,
    options: RunOptions,
    plan: CubePlan,
    reports: Mapping[str, PlaneReport],
    tell: Listener,
) -> None:
    images = imaged_planes(workspace, plan)
    failures = {
        label: f"{report.failed_stage}: {report.error}"
        for label, report in reports.items()
        if report.failed_stage
    }
    inputs = GatherInputs(plan, images, failures, options.without_name)
    step = PreparedStep(GATHER_PLANES, None, inputs, lambda context: gather_planes(inputs, context))
    record = do_step(workspace, step)
    _tell_messages(record, tell)
    planes = from_plain(GATHER_PLANES.result, record.result)
    if not planes.with_images:
        reasons = "\n".join(f"  spw {p.spw}: {p.outcome}: {p.reason}" for p in planes.planes)
        raise VlassCubeError(
            f"no plane was imaged:\n{reasons}", hint="See the web log and logs/ for each plane."
        )


def _tell_messages(record: StepRecord, tell: Listener) -> None:
    for message in record.messages:
        tell(Event("message", record.stage, record.plane, f"{message.level}: {message.text}"))


def _outcomes(workspace: Workspace) -> CubeImages | None:
    record = workspace.read_record(GATHER_PLANES.name)
    return from_plain(GATHER_PLANES.result, record.result) if record and record.status == "done" else None


__all__ = ["Event", "Listener", "RunResult", "run_workflow"]
