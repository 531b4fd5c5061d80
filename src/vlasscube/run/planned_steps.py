"""Which steps a run would do, and why; nothing is changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from vlasscube import __version__
from vlasscube.errors import StageOrderError, VlassCubeError
from vlasscube.options import RunOptions
from vlasscube.processes.code_identity import CODE, code_digest
from vlasscube.recipe import EDIT_IMAGE_LIST_CUBE, RECIPE, Stage
from vlasscube.records import StepRecord
from vlasscube.results.reading import InputSource, read_result
from vlasscube.run.steps import is_current, step_key
from vlasscube.run.wiring import prepare_step
from vlasscube.workspace.directory import Workspace
from vlasscube.workspace.record_json import to_plain


@dataclass(frozen=True)
class PlannedStep:
    """What a run would do about a stage."""

    number: int
    name: str
    action: Literal["skip", "run", "perhaps"]
    """``perhaps``: it is done, and will be done again if an earlier stage gives a different result."""
    reason: str


def _why_again(record: StepRecord, inputs: object) -> str:
    """Tell what changed since a step was done."""
    changes = [*_code_change(record), *_differences(record.inputs, to_plain(inputs))]
    shown = ", ".join(changes[:4]) + (" …" if len(changes) > 4 else "")
    return f"{_CHANGED}{shown}" if changes else "its inputs changed"


def _code_change(record: StepRecord) -> list[str]:
    """Tell how the code differs from that which did a step."""
    version = record.versions.get("vlasscube")
    if version is None:
        return []
    if version != __version__:
        return [f"code version {version} → {__version__}"]
    return [] if record.versions.get(CODE) == code_digest() else [f"the code (same version, {version})"]


_CHANGED = "changed: "


def _differences(old: object, new: object, place: str = "") -> list[str]:
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        found: list[str] = []
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


def _record(
    workspace: Workspace, stage: Stage[object], plane: str | None = None
) -> tuple[StepRecord | None, str]:
    """Return the record of a step, or why there is none."""
    try:
        record = workspace.read_record(stage.name, plane)
    except VlassCubeError:
        return None, "its record is damaged"
    return record, "not yet run" if record is None else ""


def judge_step(
    workspace: Workspace, options: RunOptions, stage: Stage[object], plane: str | None = None
) -> tuple[bool, str]:
    """Tell whether a step is done as it would be done now, and if not, why."""
    record, problem = _record(workspace, stage, plane)
    if record is None:
        return False, problem
    if record.status == "failed":
        return False, "failed before"
    try:
        inputs = prepare_step(stage, InputSource(workspace, options, plane)).inputs
    except StageOrderError as error:
        return False, error.message
    key = step_key(stage.name, inputs)
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
            done, reason = judge_step(workspace, options, entry)
        steps.append(PlannedStep(entry.number, entry.name, "skip" if done else "run", reason))
    return tuple(steps)


def _after(workspace: Workspace, entry: Stage[object], behind: PlannedStep) -> PlannedStep:
    record, reason = _record(workspace, entry.closing or entry)
    if entry.scope == "plane" and entry.closing is None:
        done = sorted((workspace.records / "planes").glob(f"*/{entry.name}.json"))
        record, reason = _record(workspace, entry, done[0].parent.name) if done else (None, "not yet run")
        if record is not None and not _code_change(record):
            return PlannedStep(entry.number, entry.name, "perhaps", "for planes that are imaged again")
    if record is None or record.status == "failed":
        return PlannedStep(entry.number, entry.name, "run", reason or "failed before")
    if changes := _code_change(record):
        return PlannedStep(entry.number, entry.name, "run", f"{_CHANGED}{', '.join(changes)}")
    text = f"done; again if stage {behind.number} gives a different result"
    return PlannedStep(entry.number, entry.name, "perhaps", text)


def _judge_planes(workspace: Workspace, options: RunOptions, entry: Stage[object]) -> tuple[bool, str]:
    plan = read_result(workspace, EDIT_IMAGE_LIST_CUBE)
    labels = [t.label for t in plan.targets if t.outcome is None or t.outcome.has_images]
    judged = {label: judge_step(workspace, options, entry, label) for label in labels}
    missing = {label: reason for label, (done, reason) in judged.items() if not done}
    if missing:
        reasons = sorted(set(missing.values()))
        text = f"{len(labels) - len(missing)} of {len(labels)} planes done"
        return False, f"{text}; {', '.join(sorted(missing))}: {'; '.join(reasons)}"
    if entry.closing is not None and _record(workspace, entry.closing)[0] is None:
        return False, f"{len(labels)} of {len(labels)} planes done; outcomes not yet compared"
    return True, f"{len(labels)} of {len(labels)} planes done"


def why_begun_again(workspace: Workspace, options: RunOptions) -> str:
    """Tell from which stage on a run does again what was done, and why; ``''`` if it only goes on."""
    try:
        steps = planned_steps(workspace, options)
    except VlassCubeError:
        # What is wrong with the inputs is told by the stage that finds it.
        return ""
    first = next((step for step in steps if step.action == "run"), None)
    if first is None or _CHANGED not in first.reason:
        return ""
    return f"stage {first.number} ({first.name}) and all that depend on it are done again; {first.reason}"
