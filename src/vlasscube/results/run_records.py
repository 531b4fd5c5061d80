"""What the records of a run say: steps, planes, messages, and which records are damaged or outdated.

Nothing here raises because of what a record holds: a record that cannot be read is a problem to be shown.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, TypeVar

from vlasscube import naming
from vlasscube.errors import VlassCubeError
from vlasscube.options import RunOptions
from vlasscube.recipe import (
    EDIT_IMAGE_LIST_CUBE,
    GATHER_PLANES,
    MAKE_IMAGES,
    MAX_ITERATIONS,
    RECIPE,
    Stage,
    iteration_step,
)
from vlasscube.records import Beam, Iteration, Outcome, PlaneImages, PlaneTarget, StepRecord
from vlasscube.results.types import CubePlan, PlaneVerdict
from vlasscube.workspace.directory import Workspace
from vlasscube.workspace.record_json import from_plain

ResultT = TypeVar("ResultT")

StatusName = Literal["pending", "running", "done", "partial", "failed", "damaged", "outdated"]


@dataclass(frozen=True)
class FoundStep:
    """The record of a step as it was found."""

    record: StepRecord | None
    problem: str = ""
    """Why there is none although there is a file."""
    outdated: bool = False
    """Whether a step that it depends on is being, or has been, done again."""

    @property
    def status(self) -> StatusName:
        """Status of the step."""
        if self.problem:
            return "damaged"
        if self.record is None:
            return "pending"
        if self.outdated:
            return "outdated"
        return self.record.status


@dataclass(frozen=True)
class StageStatus:
    """Status of a stage, over all planes if it is run plane by plane."""

    entry: Stage[object]
    status: StatusName
    text: str
    seconds: float | None
    """Total for all planes if the stage is run plane by plane."""


@dataclass(frozen=True)
class PlaneState:
    """Status of a requested plane; ``outcome`` is None while it is not decided."""

    label: str
    spw: str
    outcome: Outcome | None
    progress: str
    """What was done last, for a plane without outcome."""
    reason: str
    frequency_hz: float
    beam: Beam | None
    flagged_fraction: float | None
    stop: str
    rms_jy: float | None
    seconds: float | None
    is_reference: bool

    @property
    def word(self) -> str:
        """The outcome, or how far the plane is."""
        return str(self.outcome) if self.outcome is not None else self.progress


@dataclass(frozen=True)
class Notice:
    """A warning or failure, and where it belongs."""

    level: Literal["warning", "error"]
    text: str
    hint: str
    entry: Stage[object]
    plane: str | None


class RunRecords:
    """The records of a run directory, each read once.

    Parameters
    ----------
    workspace : Workspace
        Run directory; its records are read when they are first asked for.
    """

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self._steps: dict[tuple[str, str | None], FoundStep] = {}
        self._results: dict[tuple[str, str | None], object] = {}
        self.options_problem = ""
        self.options: RunOptions | None = None
        try:
            self.options = workspace.read_options()
        except (VlassCubeError, OSError) as error:
            self.options_problem = f"records/options.json: {error}"
        self._mark_outdated()
        for _, stage, plane, _ in list(self.steps()):
            # Now, so that every page tells the same of a result that cannot be read.
            self.result(stage, plane)

    # ---------------------------------------------------------------------------------------------- reading

    def step(self, stage: Stage[object], plane: str | None = None) -> FoundStep:
        """Return the record of a step as it was found."""
        place = (stage.name, plane)
        if place not in self._steps:
            try:
                self._steps[place] = FoundStep(self.workspace.read_record(stage.name, plane))
            except (VlassCubeError, OSError) as error:
                self._steps[place] = FoundStep(None, str(error))
        return self._steps[place]

    def result(self, stage: Stage[ResultT], plane: str | None = None) -> ResultT | None:
        """Return the result of a finished step; None, and the problem kept, if it cannot be read."""
        place = (stage.name, plane)
        if place not in self._results:
            record = self.step(stage, plane).record
            value = None
            if record is not None and record.status == "done":
                try:
                    value = from_plain(stage.result, record.result)
                except VlassCubeError as error:
                    path = self.workspace.relative(self.workspace.record_path(stage.name, plane))
                    self._steps[place] = FoundStep(record, f"{path}: {error}")
            self._results[place] = value
        found = self._results[place]
        return found if isinstance(found, stage.result) else None

    def steps(self) -> Iterator[tuple[Stage[object], Stage[object], str | None, FoundStep]]:
        """Yield all steps of the recipe in order, those of planes by plane: stage, step, plane, record."""
        for entry in RECIPE:
            for plane in self._planes_of(entry):
                yield entry, entry, plane, self.step(entry, plane)
            if entry.closing is not None:
                yield entry, entry.closing, None, self.step(entry.closing)

    def _planes_of(self, entry: Stage[object]) -> tuple[str | None, ...]:
        return tuple(target.label for target in self.targets) if entry.scope == "plane" else (None,)

    def _mark_outdated(self) -> None:
        """Mark steps that depend on one that is not done (any more)."""
        keys: set[str] = set()
        for _, stage, plane, step in list(self.steps()):
            if step.record is None or step.problem:
                continue
            inputs = step.record.inputs if isinstance(step.record.inputs, Mapping) else {}
            if stage == GATHER_PLANES:
                outdated = self._is_overtaken(step.record)
            else:
                outdated = not keys.issuperset(str(key) for key in inputs.get("upstream") or ())
            if outdated:
                self._steps[stage.name, plane] = FoundStep(step.record, outdated=True)
            elif step.record.status == "done":
                keys.add(step.record.key)

    def _is_overtaken(self, gathered: StepRecord) -> bool:
        """Whether planes were imaged, or are being imaged, after they were compared."""
        labels = gathered.inputs.get("images", ()) if isinstance(gathered.inputs, Mapping) else ()
        records = [self.step(MAKE_IMAGES, str(label)).record for label in labels]
        return any(record is None or record.finished > gathered.finished for record in records)

    # ----------------------------------------------------------------------------------------------- planes

    @property
    def plan(self) -> CubePlan | None:
        """The planes asked for; None before stage 6."""
        plan = self.result(EDIT_IMAGE_LIST_CUBE)
        # Labels become file names and links.
        if plan is not None and any(not _is_label(target) for target in plan.targets):
            place = (EDIT_IMAGE_LIST_CUBE.name, None)
            self._results[place] = None
            self._steps[place] = FoundStep(
                self.step(EDIT_IMAGE_LIST_CUBE).record, "the plane labels in the record are not valid"
            )
            return None
        return plan

    @property
    def targets(self) -> tuple[PlaneTarget, ...]:
        """Requested planes; empty before stage 6."""
        return self.plan.targets if self.plan else ()

    @property
    def verdicts(self) -> dict[str, PlaneVerdict]:
        """Outcomes by plane label; empty until all planes are imaged."""
        if self.step(GATHER_PLANES).status != "done":
            return {}
        gathered = self.result(GATHER_PLANES)
        return {verdict.label: verdict for verdict in gathered.planes} if gathered else {}

    def images(self, label: str) -> PlaneImages | None:
        """A plane's images; None if it is not imaged."""
        return self.result(MAKE_IMAGES, label)

    def iterations(self, label: str) -> tuple[Iteration, ...]:
        """Iterations of a plane finished so far; not one that diverged, of which there are no images."""
        images = self.images(label)
        if images is not None:
            return images.iterations
        found: list[Iteration] = []
        while len(found) < MAX_ITERATIONS:
            iteration = self.result(iteration_step(len(found)), label)
            if iteration is None or iteration.stop_code.is_divergence:
                break
            found.append(iteration)
        return tuple(found)

    def plane_states(self) -> tuple[PlaneState, ...]:
        """All requested planes, in the order asked for."""
        verdicts = self.verdicts
        return tuple(self._state(target, verdicts.get(target.label)) for target in self.targets)

    def _state(self, target: PlaneTarget, verdict: PlaneVerdict | None) -> PlaneState:
        if verdict is not None:
            return PlaneState(
                label=target.label,
                spw=target.spw,
                outcome=verdict.outcome,
                progress="",
                reason=verdict.reason,
                frequency_hz=verdict.frequency_hz,
                beam=verdict.beam,
                flagged_fraction=verdict.flagged_fraction,
                stop=verdict.stop,
                rms_jy=verdict.rms_jy,
                seconds=verdict.seconds or None,
                is_reference=verdict.is_reference,
            )
        outcome, reason, progress = target.outcome, target.reason, ""
        if outcome is None or outcome.has_images:
            progress = self._progress(target.label)
            failed = self.failed_step(target.label)
            outcome = None if failed is None else Outcome.FAILED
            if failed is not None:
                reason = f"{failed.stage}: {failed.error.message if failed.error else 'no reason recorded'}"
        images, iterations = self.images(target.label), self.iterations(target.label)
        last = iterations[-1] if iterations else None
        return PlaneState(
            label=target.label,
            spw=target.spw,
            outcome=outcome,
            progress=progress,
            reason=reason,
            frequency_hz=target.reffreq_hz,
            beam=images.beam if images else None,
            flagged_fraction=target.box_flags.fraction,
            stop=images.attempted[-1].stop_code.text if images else "",
            rms_jy=last.statistics["I"].image_rms if images and last and "I" in last.statistics else None,
            seconds=sum(i.seconds for i in iterations) if iterations else None,
            is_reference=False,
        )

    def failed_step(self, label: str) -> StepRecord | None:
        """Record of the stage that a plane failed in."""
        for entry in RECIPE.of_planes:
            step = self.step(entry, label)
            if step.record is not None and step.status == "failed":
                return step.record
        return None

    def _progress(self, label: str) -> str:
        for entry in reversed(RECIPE.of_planes):
            if self.step(entry, label).status == "done":
                return f"{entry.name} done"
        iterations = self.iterations(label)
        return f"iter{iterations[-1].number} done" if iterations else "waiting"

    # ----------------------------------------------------------------------------------------------- stages

    def stage_status(self, entry: Stage[object]) -> StageStatus:
        """Status of a stage."""
        if entry.scope == "plane":
            return self._plane_stage_status(entry)
        step = self.step(entry)
        words = {
            "pending": "not run",
            "done": "done",
            "failed": "failed",
            "damaged": "record damaged",
            "outdated": "to be done again",
        }
        seconds = step.record.seconds if step.record else None
        return StageStatus(entry, step.status, words[step.status], seconds)

    def _plane_stage_status(self, entry: Stage[object]) -> StageStatus:
        counts = dict.fromkeys(("pending", "done", "failed", "damaged", "outdated", "unreached"), 0)
        seconds = 0.0
        labels = [t.label for t in self.targets if t.outcome is None or t.outcome.has_images]
        for label in labels:
            step = self.step(entry, label)
            unreached = step.status == "pending" and self.failed_step(label) is not None
            counts["unreached" if unreached else step.status] += 1
            seconds += step.record.seconds if step.record else 0.0
        texts = [f"{counts['done']} of {len(labels)} planes"]
        texts += [f"{counts['failed']} failed"] if counts["failed"] else []
        texts += [f"{counts['damaged']} with damaged records"] if counts["damaged"] else []
        texts += [f"{counts['unreached']} failed before"] if counts["unreached"] else []
        status: StatusName
        if not labels or counts["pending"] + counts["unreached"] == len(labels):
            status, texts = "pending", ["not run"]
        elif counts["pending"] or counts["outdated"]:
            status = "running"
        elif counts["failed"] or counts["damaged"]:
            status = "partial" if counts["done"] else "failed"
        else:
            status = "done"
        return StageStatus(entry, status, ", ".join(texts), seconds or None)

    # --------------------------------------------------------------------------------------------- messages

    def notices(self) -> tuple[Notice, ...]:
        """Warnings and failures of the whole run, failures first."""
        found = [
            notice
            for entry, _, plane, step in list(self.steps())
            for notice in self._notices(entry, plane, step)
        ]
        return tuple(sorted(found, key=lambda notice: notice.level != "error"))

    def stage_notices(self, entry: Stage[object]) -> tuple[Notice, ...]:
        """Warnings and failures of a stage."""
        return tuple(notice for notice in self.notices() if notice.entry == entry)

    def _notices(self, entry: Stage[object], plane: str | None, step: FoundStep) -> Iterator[Notice]:
        if step.problem:
            hint = "The step is done again when the run is resumed."
            yield Notice("error", f"damaged record: {step.problem}", hint, entry, plane)
        record = step.record
        if record is None or step.outdated:
            return
        if record.error is not None:
            yield Notice("error", record.error.message, record.error.hint, entry, plane)
        for message in record.messages:
            if message.level != "info":
                yield Notice(message.level, message.text, message.hint, entry, plane)


def _is_label(target: PlaneTarget) -> bool:
    try:
        return naming.plane_label(target.spw) == target.label
    except VlassCubeError:
        return False
