"""What a run would do and what it would cost; nothing is changed."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace

from vlasscube.errors import ResourceLimitError, VlassCubeError
from vlasscube.estimates import cost as estimates
from vlasscube.estimates.cube_size import CubeSize
from vlasscube.estimates.machine_speed import REFERENCE, MachineSpeed, measure_speed
from vlasscube.estimates.run_size import plane_visibilities, run_size
from vlasscube.estimates.work_costs import imaging_method
from vlasscube.options import RunOptions
from vlasscube.processes.machine import (
    available_memory,
    process_memory,
    slurm_cores,
    unused_cores_text,
    usable_cores,
)
from vlasscube.recipe import (
    EDIT_IMAGE_LIST_CONTINUUM,
    EDIT_IMAGE_LIST_CUBE,
    IMPORT_DATA,
    MAKE_IMAGES,
    RESTORE_PIMS,
    Stage,
)
from vlasscube.records import Message
from vlasscube.results.reading import read_result
from vlasscube.results.run_records import RunRecords
from vlasscube.results.types import CubePlan, ImportResult
from vlasscube.run.planned_steps import PlannedStep, judge_step, planned_steps
from vlasscube.run.preflight import InputProblem, InputReport, Progress, check_inputs
from vlasscube.stages.image_lists import (
    nothing_flagged,
    plan_continuum,
    plan_cube,
    read_list,
)
from vlasscube.stages.import_data import read_measurement_set
from vlasscube.texts import data_size
from vlasscube.workspace.directory import Workspace
from vlasscube.workspace.files import size_bytes

logger = logging.getLogger("vlasscube")


@dataclass(frozen=True)
class PlannedPlane:
    """A plane of the cube."""

    label: str
    spw: str
    frequency_hz: float
    visibilities: int
    """Rows × channels."""
    state: str


@dataclass(frozen=True)
class Machine:
    """What there is to work with."""

    cores: int
    memory_bytes: int
    """For all processes together."""
    disk_free_bytes: int
    disk_used_bytes: int
    """By what the run directory already holds of the run."""
    memory_limit: str = ""
    """What says so, e.g. a control group."""
    process_memory_bytes: int | None = None
    """What each process may use at most by its own limit; None without."""
    process_memory_limit: str = ""


@dataclass(frozen=True)
class RunPlan:
    """What a run would do, and what it would cost."""

    directory: str
    measurement_set: str
    image_name: str
    profile: str
    """Profile, and what was changed of it."""
    profile_values: dict[str, object]
    """Options that profiles set, as they will be."""
    from_records: bool
    """Whether the planes are those of a finished stage 6; otherwise flags are not known yet."""
    fields: int
    scans: int
    visibilities: int
    """Total for all planes, rows × channels."""
    nx: int
    ny: int
    cell_arcsec: float
    phasecenter: str
    planes: tuple[PlannedPlane, ...]
    steps: tuple[PlannedStep, ...]
    estimate: estimates.Estimate
    remaining_seconds: float
    """Estimated time of what is still to be done, from the planes on that are not yet imaged."""
    pace: estimates.Pace
    """Assumed, or of the planes that are finished."""
    speed: MachineSpeed
    machine: Machine
    shortages: tuple[Message, ...]
    """Where disk space or memory is too small."""
    warnings: tuple[Message, ...]
    """Warnings about the inputs, and the shortages."""
    problems: tuple[InputProblem, ...] = ()
    """Why a run would be refused."""


# ------------------------------------------------------------------------------------------------ machine


def look_at_machine(workspace: Workspace) -> Machine:
    """Cores, memory and disk for a run in a directory."""
    places = (workspace.working, workspace.products, workspace.weblog)
    used = sum(size_bytes(place) for place in places if place.is_dir())
    memory, own = available_memory(), process_memory()
    return Machine(
        cores=usable_cores(),
        memory_bytes=memory.bytes,
        disk_free_bytes=shutil.disk_usage(workspace.directory).free,
        disk_used_bytes=used,
        memory_limit=memory.limit,
        process_memory_bytes=None if own is None else own.bytes,
        process_memory_limit="" if own is None else own.limit,
    )


# --------------------------------------------------------------------------------------------------- plan


def _imported(workspace: Workspace, is_done: bool) -> ImportResult:
    return read_result(workspace, IMPORT_DATA) if is_done else read_measurement_set(workspace.input_ms)


def _planes_from_lists(
    workspace: Workspace, imported: ImportResult, options: RunOptions
) -> tuple[CubePlan, tuple[int, ...], tuple[Message, ...]]:
    """Plan the planes as if nothing were flagged; also the fields of the working data, and warnings."""
    continuum_list, of_continuum_list = read_list(workspace.seip_parameter_file, "continuum")
    cube_list, of_cube_list = read_list(workspace.ccip_parameter_file, "cube")
    continuum = plan_continuum(continuum_list, imported)
    plan, of_planes = plan_cube(
        cube_list,
        imported,
        nothing_flagged(imported.summary),
        # What masks there are is not known before the archive is opened; nothing here asks for them.
        (),
        options,
    )
    return plan, continuum.field_ids, (*of_continuum_list, *of_cube_list, *of_planes)


def make_plan(
    workspace: Workspace,
    options: RunOptions,
    workers: int | None = None,
    speed: MachineSpeed | None = None,
) -> RunPlan:
    """Tell what a run in a directory would do and cost; nothing is changed.

    Parameters
    ----------
    workspace : Workspace
        Run directory; at least the measurement set and the parameter lists must be there.
    options : RunOptions
        Options of the run.
    workers : int, optional
        Planes imaged at the same time; by default as many as a run would take.
    speed : MachineSpeed, optional
        Speed of this machine; measured by default.

    Raises
    ------
    VlassCubeError
        If the inputs cannot be used.
    """
    steps = planned_steps(workspace, options)
    done = {step.name for step in steps if step.action == "skip"}
    imported = _imported(workspace, IMPORT_DATA.name in done)
    summary = imported.summary
    from_records = EDIT_IMAGE_LIST_CUBE.name in done
    messages: tuple[Message, ...] = ()
    if from_records:
        plan = read_result(workspace, EDIT_IMAGE_LIST_CUBE)
        ms_fields = read_result(workspace, EDIT_IMAGE_LIST_CONTINUUM).field_ids
        messages = _recorded_messages(workspace, EDIT_IMAGE_LIST_CONTINUUM, EDIT_IMAGE_LIST_CUBE)
    else:
        plan, ms_fields, messages = _planes_from_lists(workspace, imported, options)
    states = {state.label: state.word for state in RunRecords(workspace).plane_states()}
    planes = tuple(
        PlannedPlane(
            label=target.label,
            spw=target.spw,
            frequency_hz=target.reffreq_hz,
            visibilities=plane_visibilities(summary, target.spw_ids, len(plan.field_ids)),
            state=str(target.outcome) if target.outcome else states.get(target.label, "to be imaged"),
        )
        for target in plan.targets
    )
    imaged = [t.label for t in plan.targets if t.outcome is None or t.outcome.has_images]
    finished = [label for label in imaged if judge_step(workspace, options, MAKE_IMAGES, label)[0]]
    if not from_records:
        finished = []
    ahead = [label for label in imaged if label not in finished]
    machine = look_at_machine(workspace)

    def size_of(labels: list[str]) -> CubeSize:
        return run_size(plan, imported, ms_fields, options, labels)

    if workers is None:
        need = estimates.largest_worker_bytes(size_of(imaged), imaging_method(options))
        workers = estimates.affordable_workers(len(imaged), machine.cores, need, machine.memory_bytes)
    resources = estimates.Resources(
        workers=workers,
        cores=machine.cores,
        speed=measure_speed(machine.cores) if speed is None else speed,
    )
    nmajor, engine = plan.clean.nmajor, imaging_method(options)
    pace = _pace(workspace, size_of, finished, resources, engine)
    whole = estimates.estimate(size_of(imaged), resources, nmajor=nmajor, engine=engine, pace=pace)
    rest = estimates.estimate(
        size_of(ahead),
        resources,
        nmajor=nmajor,
        engine=engine,
        pace=pace,
        is_restored=RESTORE_PIMS.name in done,
    )
    shortages = fit_warnings(whole, len(ahead), machine)
    unused: tuple[Message, ...] = ()
    if machine.cores < (requested := slurm_cores()):
        unused = (Message("warning", unused_cores_text(machine.cores, requested)),)
    return RunPlan(
        directory=str(workspace.directory),
        measurement_set=summary.name,
        image_name=plan.image_name,
        profile=options.profile_text,
        profile_values=options.profile_values,
        from_records=from_records,
        fields=len(plan.field_ids),
        scans=len({field.scan for field in summary.fields if field.id in set(plan.field_ids)}),
        visibilities=sum(plane.visibilities for plane in planes),
        nx=plan.geometry.nx,
        ny=plan.geometry.ny,
        cell_arcsec=plan.geometry.cell_arcsec,
        phasecenter=plan.geometry.phasecenter,
        planes=planes,
        steps=steps,
        estimate=whole,
        remaining_seconds=0.0 if all(step.action == "skip" for step in steps) else rest.seconds,
        pace=pace,
        speed=resources.speed,
        machine=machine,
        shortages=shortages,
        warnings=(*messages, *shortages, *unused),
    )


@dataclass(frozen=True)
class UnusableInputs:
    """What is told of inputs that no plan can be made of."""

    directory: str
    problems: tuple[InputProblem, ...]
    warnings: tuple[Message, ...]


def plan_run(
    workspace: Workspace, options: RunOptions, workers: int | None = None, progress: Progress | None = None
) -> tuple[RunPlan | UnusableInputs, InputReport]:
    """Look at the inputs of a run, and tell what it would do and cost; nothing is changed.

    Parameters
    ----------
    workspace, options, workers
        As for `make_plan`.
    progress : callable, optional
        Told what is being looked at.

    Returns
    -------
    RunPlan or UnusableInputs
        The plan with the problems that a run would be refused for, and their warnings; if measurement set or
        parameter lists cannot be used, these alone.
    InputReport
        The same problems as errors.
    """
    report = check_inputs(workspace, options, progress=progress)
    if not report.can_be_planned:
        return UnusableInputs(report.directory, report.problems, report.warnings), report
    plan = make_plan(workspace, options, workers)
    warnings = tuple(dict.fromkeys((*report.warnings, *plan.warnings)))
    return replace(plan, warnings=warnings, problems=report.problems), report


def _recorded_messages(workspace: Workspace, *stages: Stage[object]) -> tuple[Message, ...]:
    records = [workspace.read_record(stage.name) for stage in stages]
    return tuple(message for record in records if record is not None for message in record.messages)


def _pace(
    workspace: Workspace,
    size_of: Callable[[list[str]], CubeSize],
    finished: list[str],
    resources: estimates.Resources,
    engine: str,
) -> estimates.Pace:
    """Learn from the planes that are finished; they are taken to have been made as the others will be."""
    cycles, measured, expected = [], 0.0, 0.0
    at_work = max(1, min(resources.workers, len(finished)))
    for label in finished:
        images = read_result(workspace, MAKE_IMAGES, label)
        if images.diverged is not None:
            continue
        own = tuple(float(iteration.major_cycles) for iteration in images.iterations)
        cycles.append(own)
        measured += sum(iteration.seconds for iteration in images.iterations)
        size = size_of([label])
        (plane,) = size.planes
        pace = estimates.Pace(own)
        expected += estimates.plane_stages(size, plane, at_work, resources, pace, engine)[0].seconds
    if not cycles or len({len(own) for own in cycles}) > 1 or expected <= 0:
        return estimates.ASSUMED
    means = tuple(sum(counts) / len(cycles) for counts in zip(*cycles, strict=True))
    return estimates.Pace(means, measured / expected, len(cycles))


def fit_warnings(estimate: estimates.Estimate, planes: int, machine: Machine) -> tuple[Message, ...]:
    """Warn if there is not enough disk space or memory.

    Parameters
    ----------
    estimate : Estimate
        Estimate for the whole run.
    planes : int
        Planes still to be imaged; without any, memory does not matter.
    machine : Machine
        What there is.
    """
    found = []
    missing = estimate.disk_bytes - machine.disk_used_bytes - machine.disk_free_bytes
    if planes and missing > 0:
        text = (
            f"not enough disk space: {data_size(estimate.disk_bytes)} needed in total, "
            f"{data_size(machine.disk_used_bytes)} already used, {data_size(machine.disk_free_bytes)} free"
        )
        hint = (
            f"Free {data_size(missing)}, work on a larger disk, or ask for fewer planes in "
            "CCIP_parameter.list."
        )
        found.append(Message("warning", text, hint))
    usable = int(estimates.MEMORY_SHARE * machine.memory_bytes)
    if planes and estimate.memory_bytes > usable:
        text = (
            f"not enough memory: {data_size(estimate.memory_bytes)} needed for {estimate.workers} × "
            f"{data_size(estimate.worker_memory_bytes)}, {available_text(machine)}"
        )
        fitting = estimates.affordable_workers(
            estimate.workers, machine.cores, estimate.worker_memory_bytes, machine.memory_bytes
        )
        hint = f"Use --workers {fitting}."
        if replace(estimate, workers=1).memory_bytes > usable:
            hint = "Not even one plane fits: use a machine with more memory, or a smaller imsize."
        found.append(Message("warning", text, hint))
    own = machine.process_memory_bytes
    if planes and own is not None and estimate.worker_memory_bytes > own:
        text = (
            f"not enough memory: {data_size(estimate.worker_memory_bytes)} needed for one plane, "
            f"{data_size(own)} allowed to one process ({machine.process_memory_limit})"
        )
        found.append(Message("warning", text, "Raise the limit, or take a smaller imsize."))
    return tuple(found)


def available_text(machine: Machine) -> str:
    """Tell how much memory there is, and where the figure comes from."""
    where = f" ({machine.memory_limit})" if machine.memory_limit else ""
    return f"{data_size(machine.memory_bytes)} available{where}"


def require_resources(workspace: Workspace, options: RunOptions, workers: int | None, *, force: bool) -> None:
    """Refuse a run for which there is not enough disk space or memory.

    Parameters
    ----------
    workspace : Workspace
        Run directory.
    options : RunOptions
        Options of the run.
    workers : int, optional
        Planes to be imaged at the same time.
    force : bool
        Warn instead of refusing.

    Raises
    ------
    ResourceLimitError
        Naming what is needed and what there is.
    """
    try:
        # How long it takes does not matter here.
        shortages = make_plan(workspace, options, workers, REFERENCE).shortages
    except VlassCubeError:
        # What is wrong with the inputs is told when the run looks at them.
        return
    if not shortages:
        return
    if force:
        for message in shortages:
            logger.warning("%s", message.text)
        return
    text = "; ".join(message.text for message in shortages)
    hints = " ".join(message.hint for message in shortages)
    raise ResourceLimitError(text, hint=f"{hints} Use --force to try anyway.")
