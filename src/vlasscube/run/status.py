"""What has been done in a run directory, and who works in it."""

from __future__ import annotations

from dataclasses import dataclass

from vlasscube.recipe import RECIPE
from vlasscube.results.run_records import RunRecords
from vlasscube.workspace.directory import Workspace
from vlasscube.workspace.locks import LockOwner
from vlasscube.workspace.run_state import RunState, read_run_state


@dataclass(frozen=True)
class StageLine:
    """Status of a stage."""

    number: int
    name: str
    task: str
    state: str
    text: str
    seconds: float | None
    warnings: int


@dataclass(frozen=True)
class PlaneLine:
    """Status of a plane."""

    label: str
    spw: str
    frequency_hz: float
    state: str
    """Its outcome, or how far it is."""
    reason: str
    seconds: float | None


@dataclass(frozen=True)
class RunStatus:
    """What has been done in a run directory."""

    directory: str
    running: LockOwner | None
    last_run: RunState | None
    """The run that goes on, or how the last one ended."""
    stages: tuple[StageLine, ...]
    planes: tuple[PlaneLine, ...]
    problems: tuple[str, ...]


def read_status(workspace: Workspace) -> RunStatus:
    """Tell what the records of a directory say."""
    records = RunRecords(workspace)
    owner = workspace.present_owner
    stages, under_way = [], owner is None
    for entry in RECIPE:
        status = records.stage_status(entry)
        state, text = str(status.status), status.text
        if not under_way and state not in ("done", "partial", "failed"):
            state, text = "running", f"in progress, {text}" if entry.scope == "plane" else "in progress"
            under_way = True
        elif state == "running":
            state = "incomplete"
        warnings = sum(notice.level == "warning" for notice in records.stage_notices(entry))
        stages.append(StageLine(entry.number, entry.name, entry.task, state, text, status.seconds, warnings))
    planes = tuple(
        PlaneLine(p.label, p.spw, p.frequency_hz, p.word, p.reason, p.seconds) for p in records.plane_states()
    )
    problems = tuple(notice.text for notice in records.notices() if notice.level == "error")
    if records.options_problem:
        problems = (records.options_problem, *problems)
    last_run = read_run_state(workspace)
    return RunStatus(str(workspace.directory), owner, last_run, tuple(stages), planes, problems)
