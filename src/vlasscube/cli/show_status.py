"""What has been done in a run directory, as tables for a terminal."""

from __future__ import annotations

from vlasscube.cli.console import make_console, make_table
from vlasscube.run.status import RunStatus
from vlasscube.texts import duration, printable
from vlasscube.workspace.run_state import RunState


def show_status(status: RunStatus) -> None:
    """Print a status."""
    console = make_console()
    if status.running is not None:
        owner = status.running
        text = f"Process {owner.pid} on {owner.host} has been running here since {owner.started}."
        console.print(printable(text))
    elif status.last_run is not None:
        console.print(printable(_ending(status.last_run)))
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
        console.print(f"\nproblem: {printable(problem)}")


def _ending(run: RunState) -> str:
    if run.state == "running":
        return f"The last run (process {run.pid} on {run.host}, started {run.started}) was killed."
    why = f": {run.reason.splitlines()[0]}" if run.reason else ""
    ended = "was interrupted" if run.state == "interrupted" else run.state
    return f"The last run {ended} at {run.ended}{why}"
