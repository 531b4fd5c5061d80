"""What a run would do and what it would cost; nothing is changed."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from vlasscube import __version__, estimates
from vlasscube.console import (
    data_size,
    duration,
    logging_to,
    make_console,
    make_table,
    neutralise,
)
from vlasscube.errors import ResourceLimitError, StageOrderError, VlassCubeError
from vlasscube.images.cutouts import cutout_box
from vlasscube.measurement_set.archive import ResourceReport
from vlasscube.options import RunOptions
from vlasscube.parallel import available_memory_bytes, usable_cores
from vlasscube.recipe import GATHER, RECIPE, StageEntry
from vlasscube.records import FieldFlags, FlagCount, MeasurementSetSummary, Message, StepRecord, to_plain
from vlasscube.stages.context import StageContext
from vlasscube.stages.edit_image_list import (
    ContinuumListInputs,
    CubeListInputs,
    edit_image_list_continuum,
    edit_image_list_cube,
)
from vlasscube.stages.import_data import ImportInputs, import_data
from vlasscube.stages.results import CubePlan, FlagResult, ImportResult, RestoreResult
from vlasscube.steps import is_current, step_key
from vlasscube.weblog.run_records import RunRecords
from vlasscube.wiring import STEPS, require_result
from vlasscube.workspace import Workspace, size_bytes

logger = logging.getLogger("vlasscube")

MEMORY_SHARE = 0.9
"""Of the available memory that the workers may take."""


@dataclass(frozen=True)
class PlannedStep:
    """What a run would do about a stage."""

    number: int
    name: str
    action: Literal["skip", "run", "perhaps"]
    """``perhaps``: it is done, and will be done again if an earlier stage gives another result."""
    reason: str


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
    disk_free_bytes: int
    disk_used_bytes: int
    """By what the run directory already holds of the run."""


@dataclass(frozen=True)
class RunPlan:
    """What a run would do, and what it would cost."""

    directory: str
    measurement_set: str
    image_name: str
    from_records: bool
    """Whether the planes are those of a finished stage 6; otherwise flags are not known yet."""
    fields: int
    scans: int
    visibilities: int
    """Of all planes, rows × channels."""
    nx: int
    ny: int
    cell_arcsec: float
    phasecenter: str
    planes: tuple[PlannedPlane, ...]
    steps: tuple[PlannedStep, ...]
    estimate: estimates.Estimate
    remaining_seconds: float
    """Estimated time of what is still to be imaged."""
    machine: Machine
    shortages: tuple[Message, ...]
    """What disk or memory will not suffice for."""
    warnings: tuple[Message, ...]
    """Of the inputs, and the shortages."""


# ------------------------------------------------------------------------------------------------ machine


def look_at_machine(workspace: Workspace) -> Machine:
    """Cores, memory and disk for a run in a directory."""
    places = (workspace.working, workspace.products, workspace.weblog)
    used = sum(size_bytes(place) for place in places if place.is_dir())
    return Machine(
        cores=usable_cores(),
        memory_bytes=available_memory_bytes(),
        disk_free_bytes=shutil.disk_usage(workspace.directory).free,
        disk_used_bytes=used,
    )


# -------------------------------------------------------------------------------------------------- steps


def _why_again(record: StepRecord, inputs: Any) -> str:
    """Tell what changed since a step was done."""
    version = record.versions.get("vlasscube", __version__)
    changes = [] if version == __version__ else [f"code version {version} → {__version__}"]
    changes += _differences(record.inputs, to_plain(inputs))
    shown = ", ".join(changes[:4]) + (" …" if len(changes) > 4 else "")
    return f"changed: {shown}" if changes else "its inputs changed"


def _differences(old: Any, new: Any, place: str = "") -> list[str]:
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        found = []
        for key in sorted({*old, *new}):
            if key != "upstream":
                found += _differences(old.get(key), new.get(key), f"{place}.{key}" if place else str(key))
        return found
    return [] if old == new else [_INPUT_NAMES.get(place.rpartition(".")[2], place)]


_INPUT_NAMES = {
    "digest": "the input file",
    "archive_digest": "reimaging_resources.tgz",
    "template_text": "the flag template",
}


def _record(workspace: Workspace, stage: str, plane: str | None = None) -> tuple[StepRecord | None, str]:
    """Return the record of a step, or why there is none."""
    try:
        record = workspace.read_record(stage, plane)
    except VlassCubeError:
        return None, "its record is damaged"
    return record, "not yet run" if record is None else ""


def _judge(
    workspace: Workspace, options: RunOptions, stage: str, plane: str | None = None
) -> tuple[bool, str]:
    """Tell whether a step is done as it would be done now, and if not, why."""
    record, problem = _record(workspace, stage, plane)
    if record is None:
        return False, problem
    if record.status == "failed":
        return False, "failed before"
    try:
        inputs = STEPS[stage].inputs(workspace, options, plane)
    except StageOrderError as error:
        return False, error.message
    key = step_key(stage, inputs)
    if record.key != key:
        return False, _why_again(record, inputs)
    if not is_current(workspace, record, key):
        return False, "its outputs were altered or removed"
    return True, "done"


def planned_steps(workspace: Workspace, options: RunOptions) -> tuple[PlannedStep, ...]:
    """Tell for each stage whether a run would do it, and why."""
    steps: list[PlannedStep] = []
    for entry in RECIPE:
        behind = next((step for step in steps if step.action != "skip"), None)
        if behind is not None:
            steps.append(_after(workspace, entry, behind))
            continue
        if entry.scope == "plane":
            done, reason = _judge_planes(workspace, options, entry)
        else:
            done, reason = _judge(workspace, options, entry.name)
        steps.append(PlannedStep(entry.number, entry.name, "skip" if done else "run", reason))
    return tuple(steps)


def _after(workspace: Workspace, entry: StageEntry, behind: PlannedStep) -> PlannedStep:
    stage = GATHER if entry.name == "make_images" else entry.name
    record, reason = _record(workspace, stage)
    if entry.scope == "plane" and entry.name != "make_images":
        place = workspace.records / "planes"
        record = None
        if any(place.glob(f"*/{entry.name}.json")):
            return PlannedStep(entry.number, entry.name, "perhaps", "as far as planes are imaged anew")
    if record is None or record.status == "failed":
        return PlannedStep(entry.number, entry.name, "run", reason or "failed before")
    text = f"done; again if stage {behind.number} gives another result"
    return PlannedStep(entry.number, entry.name, "perhaps", text)


def _judge_planes(workspace: Workspace, options: RunOptions, entry: StageEntry) -> tuple[bool, str]:
    plan: CubePlan = require_result(workspace, "edit_image_list_cube")
    labels = [t.label for t in plan.targets if t.outcome is None or t.outcome.has_images]
    judged = {label: _judge(workspace, options, entry.name, label) for label in labels}
    missing = {label: reason for label, (done, reason) in judged.items() if not done}
    if missing:
        reasons = sorted(set(missing.values()))
        text = f"{len(labels) - len(missing)} of {len(labels)} planes done"
        return False, f"{text}; {', '.join(sorted(missing))}: {'; '.join(reasons)}"
    if entry.name == "make_images" and _record(workspace, GATHER)[0] is None:
        return False, f"{len(labels)} of {len(labels)} planes done; outcomes not yet compared"
    return True, f"{len(labels)} of {len(labels)} planes done"


# --------------------------------------------------------------------------------------------------- plan


def _quiet_context(workspace: Workspace, stage: str) -> StageContext:
    return StageContext(workspace, stage)


def _imported(workspace: Workspace, is_done: bool) -> ImportResult:
    if is_done:
        result: ImportResult = require_result(workspace, "import_data")
        return result
    inputs = ImportInputs(ms=workspace.input_ms.name, digest="")
    return import_data(inputs, _quiet_context(workspace, "import_data"))


def _planes_from_lists(
    workspace: Workspace, imported: ImportResult, options: RunOptions
) -> tuple[CubePlan, tuple[int, ...], tuple[Message, ...]]:
    """Do what stages 2 and 6 would do, as if nothing were flagged."""
    continuum_context = _quiet_context(workspace, "edit_image_list_continuum")
    continuum = edit_image_list_continuum(
        ContinuumListInputs(workspace.seip_parameter_file.name, "", imported, ()), continuum_context
    )
    summary = imported.summary
    unflagged = {window.id: FlagCount(0, 1) for window in summary.spectral_windows}
    flags = FlagResult(
        template="",
        commands=(),
        before={},
        fields=tuple(FieldFlags(f.id, f.name, f.scan, unflagged) for f in summary.fields),
        unflagged_channels={window.id: window.channels for window in summary.spectral_windows},
    )
    restored = RestoreResult(
        report=ResourceReport("", "", "", ()),
        tier1_mask="tier 1",
        tier2_mask="tier 2",
        model_images=(),
        selfcal_table="",
        flag_version="",
        seconds={},
    )
    context = _quiet_context(workspace, "edit_image_list_cube")
    plan = edit_image_list_cube(
        CubeListInputs(workspace.ccip_parameter_file.name, "", imported, restored, flags, options, ()),
        context,
    )
    return plan, continuum.field_ids, (*continuum_context.messages, *context.messages)


def _visibilities(summary: MeasurementSetSummary, spw_ids: tuple[int, ...], field_count: int) -> int:
    """Rows × channels of spectral windows in some fields; every field is taken to have as many rows."""
    share = field_count / max(len(summary.fields), 1)
    windows = [window for window in summary.spectral_windows if window.id in spw_ids]
    return round(sum(window.rows * window.channels for window in windows) * share)


def _rows(summary: MeasurementSetSummary, spw_ids: tuple[int, ...], field_count: int) -> int:
    share = field_count / max(len(summary.fields), 1)
    return round(sum(window.rows for window in summary.spectral_windows if window.id in spw_ids) * share)


def make_plan(workspace: Workspace, options: RunOptions, workers: int | None = None) -> RunPlan:
    """Tell what a run in a directory would do and cost; nothing is changed.

    Parameters
    ----------
    workspace : Workspace
        Run directory; at least the measurement set and the parameter lists must be there.
    options : RunOptions
        Of the run.
    workers : int, optional
        Planes imaged at the same time; by default one per core.

    Raises
    ------
    VlassCubeError
        If the inputs cannot be used.
    """
    with logging_to(None):
        return _make_plan(workspace, options, workers)


def _make_plan(workspace: Workspace, options: RunOptions, workers: int | None) -> RunPlan:
    steps = planned_steps(workspace, options)
    done = {step.name for step in steps if step.action == "skip"}
    imported = _imported(workspace, "import_data" in done)
    summary = imported.summary
    from_records = "edit_image_list_cube" in done
    messages: tuple[Message, ...] = ()
    if from_records:
        plan: CubePlan = require_result(workspace, "edit_image_list_cube")
        ms_fields: tuple[int, ...] = require_result(workspace, "edit_image_list_continuum").field_ids
    else:
        plan, ms_fields, messages = _planes_from_lists(workspace, imported, options)
    states = {state.label: state.word for state in RunRecords(workspace).plane_states()}
    planes = tuple(
        PlannedPlane(
            label=target.label,
            spw=target.spw,
            frequency_hz=target.reffreq_hz,
            visibilities=_visibilities(summary, target.spw_ids, len(plan.field_ids)),
            state=str(target.outcome) if target.outcome else states.get(target.label, "to be imaged"),
        )
        for target in plan.targets
    )
    imaged = [t.label for t in plan.targets if t.outcome is None or t.outcome.has_images]
    ahead = [label for label in imaged if not _judge(workspace, options, "make_images", label)[0]]
    if not from_records:
        ahead = imaged
    machine = look_at_machine(workspace)
    wanted = machine.cores if workers is None else workers
    box = cutout_box(
        plan.geometry.nx,
        plan.geometry.ny,
        plan.geometry.cell_arcsec,
        size_pixels=plan.parameters.cutout_imsize,
        convention=options.cutout,
    )

    def size_of(labels: list[str], with_data: bool) -> estimates.CubeSize:
        return estimates.CubeSize(
            nx=plan.geometry.nx,
            ny=plan.geometry.ny,
            cutout_nx=box.shape[0],
            cutout_ny=box.shape[1],
            visibilities=tuple(plane.visibilities for plane in planes if plane.label in labels),
            ms_rows=_rows(summary, imported.science_spws, len(ms_fields)) if with_data else 0,
            ms_visibilities=_visibilities(summary, imported.science_spws, len(ms_fields)) if with_data else 0,
        )

    nmajor, engine = plan.clean.nmajor, options.engine
    whole = estimates.estimate(size_of(imaged, with_data=True), wanted, nmajor, engine)
    rest = estimates.estimate(size_of(ahead, "restore_pims" not in done), wanted, nmajor, engine)
    shortages = fit_warnings(whole, len(ahead), machine)
    return RunPlan(
        directory=str(workspace.directory),
        measurement_set=summary.name,
        image_name=plan.image_name,
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
        remaining_seconds=rest.seconds,
        machine=machine,
        shortages=shortages,
        warnings=(*_input_warnings(workspace, done), *messages, *shortages),
    )


def _input_warnings(workspace: Workspace, done: set[str]) -> tuple[Message, ...]:
    if "restore_pims" in done or workspace.resources_archive.exists():
        return ()
    text = f"{workspace.resources_archive.name} is missing: stage 4 cannot restore the continuum run's state"
    return (Message("warning", text, "Copy or link the archive of the continuum run into the directory."),)


def fit_warnings(estimate: estimates.Estimate, planes: int, machine: Machine) -> tuple[Message, ...]:
    """Warn where disk or memory will not suffice.

    Parameters
    ----------
    estimate : Estimate
        Of the whole run.
    planes : int
        Planes still to be imaged; without any, memory does not matter.
    machine : Machine
        What there is.
    """
    found = []
    missing = estimate.disk_bytes - machine.disk_used_bytes - machine.disk_free_bytes
    if planes and missing > 0:
        text = (
            f"the disk will not suffice: {data_size(estimate.disk_bytes)} needed in all, "
            f"{data_size(machine.disk_used_bytes)} of it there, {data_size(machine.disk_free_bytes)} free"
        )
        hint = (
            f"Free {data_size(missing)}, work on a larger disk, or ask for fewer planes in "
            "CCIP_parameter.list."
        )
        found.append(Message("warning", text, hint))
    usable = int(MEMORY_SHARE * machine.memory_bytes)
    if planes and estimate.memory_bytes > usable:
        text = (
            f"memory will not suffice: {estimate.workers} × {data_size(estimate.worker_memory_bytes)}, "
            f"{data_size(machine.memory_bytes)} available"
        )
        fitting = estimates.affordable_workers(
            estimate.workers, machine.cores, estimate.worker_memory_bytes, usable
        )
        hint = f"Use --workers {fitting}."
        if estimate.worker_memory_bytes > usable:
            hint = "Not even one plane fits: use a machine with more memory, or a smaller imsize."
        found.append(Message("warning", text, hint))
    return tuple(found)


def require_resources(workspace: Workspace, options: RunOptions, workers: int | None, *, force: bool) -> None:
    """Refuse a run that disk or memory will not suffice for.

    Parameters
    ----------
    workspace : Workspace
        Run directory.
    options : RunOptions
        Of the run.
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
        shortages = make_plan(workspace, options, workers).shortages
    except VlassCubeError:
        # What is wrong with the inputs is told by the stage that finds it.
        return
    if not shortages:
        return
    if force:
        for message in shortages:
            logger.warning("%s", message.text)
        return
    text = "; ".join(message.text for message in shortages)
    hints = " ".join(message.hint for message in shortages)
    raise ResourceLimitError(text, hint=f"{hints} To try it all the same: --force.")


_MARKS = {"skip": "✓", "run": "→", "perhaps": "?"}


def show_plan(plan: RunPlan) -> None:
    """Print a plan."""
    console, cost, machine = make_console(), plan.estimate, plan.machine
    console.print(f"{neutralise(plan.image_name)}, from {neutralise(plan.measurement_set)}")
    console.print(
        f"{plan.fields} fields in {plan.scans} scans, {plan.visibilities / 1e6:.3g} million visibilities × 4"
    )
    console.print(f"{plan.nx} × {plan.ny} pixels of {plan.cell_arcsec:g}″ at {neutralise(plan.phasecenter)}")
    if not plan.from_records:
        console.print("Flags are not counted yet: planes without unflagged data will be left out.")
    console.print()
    rows = [
        (p.spw, f"{p.frequency_hz / 1e9:.4f}", f"{p.visibilities / 1e6:.3g}", p.state) for p in plan.planes
    ]
    right = ("GHz", "million visibilities")
    console.print(make_table(("spw", "GHz", "million visibilities", "state"), rows, right=right))
    console.print()
    steps = [(_MARKS[s.action], str(s.number), s.name, s.reason) for s in plan.steps]
    console.print(make_table(("", "#", "stage", "why"), steps, right=("#",)))
    console.print()
    console.print(
        f"Disk    {data_size(cost.disk_bytes)} at the peak, {data_size(cost.kept_bytes)} kept (data "
        f"{data_size(cost.ms_bytes)}, images {data_size(cost.images_bytes)}, cutouts "
        f"{data_size(cost.cutouts_bytes)}, FITS {data_size(cost.products_bytes)}, web log "
        f"{data_size(cost.weblog_bytes)}); "
        f"{data_size(machine.disk_used_bytes)} there, {data_size(machine.disk_free_bytes)} free"
    )
    console.print(
        f"Memory  {data_size(cost.memory_bytes)} for {cost.workers} worker{'s' * (cost.workers > 1)}; "
        f"{data_size(machine.memory_bytes)} available"
    )
    console.print(
        f"Time    {'' if plan.from_records else 'up to '}{duration(plan.remaining_seconds)} to go of about "
        f"{duration(cost.seconds)} "
        f"(assuming {sum(estimates.MAJOR_CYCLES)} major cycles per plane; the sky decides)"
    )
    for message in plan.warnings:
        console.print()
        console.print(f"{message.level}: {neutralise(message.text)}")
        if message.hint:
            console.print(f"  {neutralise(message.hint)}")
