"""What has been done in a run directory, and who works in it."""

from __future__ import annotations

from dataclasses import dataclass

from vlasscube.cli.console import duration, make_console, make_table, neutralise
from vlasscube.recipe import RECIPE
from vlasscube.results.run_records import RunRecords
from vlasscube.workspace.directory import Workspace
from vlasscube.workspace.locks import LockOwner
from vlasscube.workspace.run_state import RunState, read_run_state


@dataclass(frozen=True)
class StageLine:
    """How a stage stands."""

    number: int
    name: str
    task: str
    state: str
    text: str
    seconds: float | None
    warnings: int


@dataclass(frozen=True)
class PlaneLine:
    """How a plane stands."""

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


def _ending(run: RunState) -> str:
    if run.state == "running":
        return f"The last run (process {run.pid} on {run.host}, started {run.started}) was killed."
    why = f": {run.reason.splitlines()[0]}" if run.reason else ""
    ended = "was interrupted" if run.state == "interrupted" else run.state
    return f"The last run {ended} at {run.ended}{why}"


def show_status(status: RunStatus) -> None:
    """Print a status."""
    console = make_console()
    if status.running is not None:
        owner = status.running
        text = f"Process {owner.pid} on {owner.host} works here since {owner.started}."
        console.print(neutralise(text))
    elif status.last_run is not None:
        console.print(neutralise(_ending(status.last_run)))
    rows = [
        (
            str(line.number),
            line.name,
            line.text,
            duration(line.seconds) if line.seconds is not None else "",
            str(line.warnings) if line.warnings else "",
        )
        for line in status.stages
    ]
    columns = ("#", "stage", "state", "time", "warnings")
    console.print(make_table(columns, rows, right=("#", "time", "warnings")))
    if status.planes:
        console.print()
        plane_rows = [
            (
                plane.spw,
                f"{plane.frequency_hz / 1e9:.4f}",
                plane.state,
                duration(plane.seconds) if plane.seconds is not None else "",
                plane.reason.split("\n")[0],
            )
            for plane in status.planes
        ]
        plane_columns = ("spw", "GHz", "state", "imaging", "reason")
        console.print(make_table(plane_columns, plane_rows, right=("GHz", "imaging")))
    for problem in status.problems:
        console.print(f"\nproblem: {neutralise(problem)}")
