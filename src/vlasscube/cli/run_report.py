"""What the command line tells of a run when it ends, to people and to machines."""

from __future__ import annotations

import logging

from vlasscube.cli.command_errors import FAILURE, describe_error
from vlasscube.cli.console import JsonProgress, Progress, planes_table
from vlasscube.errors import VlassCubeError
from vlasscube.recipe import RECIPE
from vlasscube.records import Outcome
from vlasscube.run.workflow import RunResult
from vlasscube.texts import duration
from vlasscube.workspace.directory import Workspace
from vlasscube.workspace.record_json import to_plain

logger = logging.getLogger("vlasscube")


def tell_plane_warnings(workspace: Workspace, label: str | None) -> None:
    """Log the warnings of a plane, whose steps were done by a worker; they are shown as all warnings are."""
    for stage in RECIPE.of_planes:
        try:
            record = workspace.read_record(stage.name, label)
        except VlassCubeError:
            continue
        for message in record.messages if record is not None else ():
            if message.level != "info":
                logger.log(logging.getLevelName(message.level.upper()), "%s", message.text)


def emit_error(progress: JsonProgress, error: BaseException) -> None:
    """Tell a machine how a run ended early."""
    if isinstance(error, Exception):
        message, hint = describe_error(error)
        progress.emit("error", type=type(error).__name__, text=message, hint=hint, exit_status=FAILURE)
    else:
        status = getattr(error, "exit_status", 130)
        progress.emit("interrupted", text=str(error) or "interrupted", exit_status=status)


def emit_result(progress: JsonProgress, workspace: Workspace, result: RunResult) -> None:
    """Tell a machine what a run has made."""
    progress.emit(
        "result",
        exit_status=result.exit_status,
        seconds=round(result.seconds, 3),
        planes=to_plain(result.planes)["planes"] if result.planes else [],
        products=str(workspace.products),
        weblog=str(workspace.weblog / "index.html"),
    )


def show_result(progress: Progress, workspace: Workspace, result: RunResult, quiet: bool) -> None:
    """Show what a run has made, or with ``quiet`` only what has failed."""
    console = progress.console
    if not quiet:
        if result.planes is not None:
            console.print()
            console.print(planes_table(result.planes))
            console.print()
        console.print(f"Products  {workspace.products}")
        console.print(f"Web log   {workspace.weblog / 'index.html'}")
        console.print(f"Finished in {duration(result.seconds)}.")
    for plane in result.planes.planes if result.planes else ():
        if plane.outcome is Outcome.FAILED:
            progress.line(f"Failed: spw {plane.spw}: {plane.reason}", "bold red")
