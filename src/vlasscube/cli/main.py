"""The command line.

Exit status: 0 all planes fine, 2 some planes not, 1 failure (also of usage), 130 on Ctrl-C, 143 on SIGTERM.
Nothing heavy is imported before a command needs it.
"""

from __future__ import annotations

import contextlib
import io
import logging
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vlasscube.cli.command_errors import FAILURE, OK, command
from vlasscube.cli.command_options import RunOptionsCommand, combined_options, with_run_options
from vlasscube.cli.streams import lasting_streams

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from vlasscube.options import RunOptions
    from vlasscube.run.workflow import Event
    from vlasscube.workspace.directory import Workspace


logger = logging.getLogger("vlasscube")

_HELP = """Coarse full-Stokes cubes of the VLA Sky Survey.

Takes a directory with a per-image measurement set, SEIP_parameter.list, CCIP_parameter.list and
reimaging_resources.tgz, and makes science-ready IQUV images of each spectral-window group, with rms images,
Stokes analysis, FITS products and a web log.

Exit status: 0 all planes fine, 2 some planes failed or rejected, 1 failure, 130 interrupted."""

app = typer.Typer(
    name="vlasscube",
    help=_HELP,
    epilog="Example: vlasscube demo",
    add_completion=False,
    no_args_is_help=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Directory = Annotated[
    Path, typer.Argument(metavar="DIR", help="Run directory, with the inputs in it.", show_default="here")
]
Vis = Annotated[
    str | None,
    typer.Option("--vis", metavar="NAME", help="The measurement set in DIR to use, if there are several."),
]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Workers = Annotated[
    int | None,
    typer.Option(
        "--workers",
        "-j",
        min=0,
        metavar="N",
        help="Number of planes imaged at the same time, each in its own process; 0 for all in this process.",
        show_default="as cores and memory allow",
    ),
]
LogJson = Annotated[bool, typer.Option("--log-json", help="One JSON object per event on standard output.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Show only warnings and errors.")]
PruneForce = Annotated[bool, typer.Option("--force", help="Also if the run is not finished.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what would be removed.")]
HERE = Path()


# ---------------------------------------------------------------------------------------------------- run


@app.callback(invoke_without_command=True)
def _root(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Show the version.")] = False,
) -> int:
    if version:
        from vlasscube import __version__

        print(f"vlasscube {__version__}")
        raise typer.Exit(OK)
    if context.invoked_subcommand is None:
        print(context.get_help())
    return OK


@app.command(cls=RunOptionsCommand, epilog="Example: vlasscube run J1234 --workers 4")
@command
@with_run_options
def run(
    *,
    directory: Directory = HERE,
    first: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="STAGE",
            help="Stage to begin with, by name, number or task; by default the first.",
        ),
    ] = None,
    last: Annotated[
        str | None,
        typer.Option(
            "--to", metavar="STAGE", help="Stage to end with, by name, number or task; by default the last."
        ),
    ] = None,
    workers: Workers = None,
    vis: Vis = None,
    scheduler: Annotated[
        str | None,
        typer.Option(
            "--scheduler", metavar="ADDRESS", help="Image planes on the workers of a dask scheduler."
        ),
    ] = None,
    mpi: Annotated[
        bool, typer.Option("--mpi", help="Image planes in the other MPI processes (start with mpirun).")
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Start even if there is not enough disk space or memory.")
    ] = False,
    steal_lock: Annotated[
        bool,
        typer.Option("--steal-lock", help="Take over the lock of a run that died on another machine."),
    ] = False,
    log_json: LogJson = False,
    quiet: Quiet = False,
    debug: Debug = False,
    given: dict[str, Any],
) -> int:
    """Make the cube, or resume a run that was interrupted.

    Only steps whose inputs, parameters or code changed are done again. Options that are not given are those
    of the earlier run in the directory.
    """
    from vlasscube.casa import check_installation

    check_installation()
    from vlasscube.cluster import cluster_executor, serve_mpi

    if mpi and serve_mpi():
        return OK
    # At once: the other processes of MPI wait for it, and are let go by it.
    with cluster_executor(directory, scheduler=scheduler, mpi=mpi) as executor:
        from vlasscube.workspace.directory import Workspace

        workspace = Workspace(directory, vis)
        options = combined_options(workspace.read_options(), given)
        choices = RunChoices(first, last, workers, force, steal_lock)
        return _run(workspace, options, choices, executor=executor, log_json=log_json, quiet=quiet)


@dataclass(frozen=True)
class RunChoices:
    """How a run is done; none of it changes what comes out."""

    first: str | None = None
    last: str | None = None
    workers: int | None = None
    force: bool = False
    steal_lock: bool = False


def _run(
    workspace: Workspace,
    options: RunOptions,
    choices: RunChoices,
    *,
    executor: Executor | None = None,
    log_json: bool = False,
    quiet: bool = False,
) -> int:
    from vlasscube.cli.console import JsonProgress, foreign_output_to, logging_to, make_progress
    from vlasscube.cli.run_report import emit_error, emit_result, show_result, tell_plane_warnings
    from vlasscube.cli.signals import outliving_the_terminal
    from vlasscube.recipe import RECIPE
    from vlasscube.run.workflow import run_workflow

    with (
        outliving_the_terminal(),
        foreign_output_to(workspace.logs / "output.log") as (stdout, _),
        make_progress(stdout, log_json=log_json, quiet=quiet) as progress,
        logging_to(workspace.logs / "vlasscube.log", progress.tell),
    ):

        def listen(event: Event) -> None:
            progress(event)
            if event.kind == "plane_done":
                tell_plane_warnings(workspace, event.plane)

        try:
            last = RECIPE.last if choices.last is None else RECIPE.find(choices.last)
            if last.number >= RECIPE.of_planes[0].number:
                from vlasscube.run.planning import require_resources

                require_resources(workspace, options, choices.workers, force=choices.force)
            result = run_workflow(
                workspace,
                options,
                first=choices.first,
                last=choices.last,
                workers=choices.workers,
                executor=executor,
                listener=listen,
                steal_lock=choices.steal_lock,
            )
        except BaseException as error:
            logger.error("the run ended: %s", error, exc_info=True, extra={"is_shown": True})
            if isinstance(progress, JsonProgress):
                emit_error(progress, error)
            raise
        progress.close(finished=True)
        if isinstance(progress, JsonProgress):
            emit_result(progress, workspace, result)
        else:
            show_result(progress, workspace, result, quiet)
    return result.exit_status


@app.command(cls=RunOptionsCommand, epilog="Example: vlasscube plan J1234 --workers 4")
@command
@with_run_options
def plan(
    *,
    directory: Directory = HERE,
    workers: Workers = None,
    vis: Vis = None,
    json_output: AsJson = False,
    debug: Debug = False,
    given: dict[str, Any],
) -> int:
    """Show what a run would do and cost, changing nothing.

    Shows planes, fields, image size, finished and missing steps, and estimates of disk space, memory and
    time; warns if there is not enough disk space or memory. If inputs cannot be used, lists every problem
    and exits with status 1.
    """
    from vlasscube.processes.environment import require_limits

    require_limits()
    from vlasscube.cli.console import logging_to, show_json
    from vlasscube.cli.show_plan import show_plan, show_warnings
    from vlasscube.run.planning import RunPlan, plan_run
    from vlasscube.workspace.directory import Workspace

    workspace = Workspace(directory, vis)
    with logging_to(None), _bar("Inputs") as tell:
        options = combined_options(workspace.read_options(), given)
        run_plan, inputs = plan_run(workspace, options, workers, tell)
    if json_output:
        show_json(run_plan)
        return FAILURE if run_plan.problems else OK
    if isinstance(run_plan, RunPlan):
        show_plan(run_plan)
    else:
        show_warnings(run_plan.warnings)
    inputs.require_usable()
    return OK


@app.command(epilog="Example: vlasscube status J1234")
@command
def status(directory: Directory = HERE, json_output: AsJson = False, debug: Debug = False) -> int:
    """Show what has been done: stages and planes."""
    from vlasscube.cli.console import show_json
    from vlasscube.cli.show_status import show_status
    from vlasscube.run.status import read_status
    from vlasscube.workspace.directory import Workspace

    state = read_status(Workspace(directory))
    if json_output:
        show_json(state)
    else:
        show_status(state)
    return OK


@app.command(epilog="Example: vlasscube verify J1234")
@command
def verify(directory: Directory = HERE, json_output: AsJson = False, debug: Debug = False) -> int:
    """Check the products: complete, with the recorded hashes and headers."""
    from vlasscube.cli.console import show_json
    from vlasscube.run.verification import verify_products
    from vlasscube.texts import printable
    from vlasscube.workspace.directory import Workspace

    report = verify_products(Workspace(directory))
    if json_output:
        show_json(report)
    else:
        for problem in report.problems:
            print(printable(f"{problem.file}: {problem.text}"))
        count = len(report.problems)
        print(f"{report.checked} products checked, {count or 'no'} problem{'' if count == 1 else 's'}.")
    return FAILURE if report.problems else OK


@app.command(epilog="Example: vlasscube weblog J1234")
@command
def weblog(directory: Directory = HERE, debug: Debug = False) -> int:
    """Render the web log again from the records.

    Missing pictures are made from the images.
    """
    from vlasscube.errors import WorkspaceError
    from vlasscube.texts import printable
    from vlasscube.weblog.own_pages import claim_weblog
    from vlasscube.weblog.render import render_weblog
    from vlasscube.workspace.directory import Workspace

    workspace = Workspace(directory)
    claim_weblog(workspace, ())
    if workspace.records.is_dir():
        # A run makes its own pictures, and where nothing can be written there is nothing to be made.
        with contextlib.suppress(WorkspaceError), workspace.locked():
            _make_missing_pictures(workspace)
    print(printable(str(render_weblog(workspace))))
    return OK


@app.command(epilog="Example: vlasscube prune J1234")
@command
def prune(
    directory: Directory = HERE,
    force: PruneForce = False,
    dry_run: DryRun = False,
    debug: Debug = False,
) -> int:
    """Remove the CASA images and the working measurement set of a finished run.

    Products, web log, records and logs stay, and what anybody else has put into working/. Running the
    directory again makes everything again.
    """
    return _prune(directory, force=force, dry_run=dry_run)


@app.command(hidden=True, epilog="Example: vlasscube prune J1234")
@command
def clean(
    directory: Directory = HERE,
    force: PruneForce = False,
    dry_run: DryRun = False,
    debug: Debug = False,
) -> int:
    """Former name of the command prune."""
    print("vlasscube: 'clean' is now called 'prune'.", file=sys.stderr)
    return _prune(directory, force=force, dry_run=dry_run)


def _prune(directory: Path, *, force: bool, dry_run: bool) -> int:
    from vlasscube.run.pruning import prune_working
    from vlasscube.texts import data_size, printable
    from vlasscube.workspace.directory import Workspace

    pruned = prune_working(Workspace(directory), force=force, dry_run=dry_run)
    if dry_run:
        for name in pruned.removed:
            print(f"working/{printable(name)}")
    verb = "Would remove" if dry_run else "Removed"
    print(f"{verb} {len(pruned.removed)} images and tables, {data_size(pruned.freed_bytes)}.")
    if pruned.kept:
        print(f"Not the run's, and kept in working/: {printable(', '.join(pruned.kept))}")
    return OK


def _make_missing_pictures(workspace: Workspace) -> None:
    from vlasscube.weblog.picture_making import make_missing_pictures

    with _bar("Pictures") as tell:
        make_missing_pictures(workspace, tell)


@contextlib.contextmanager
def _bar(title: str) -> Iterator[Callable[[str, float | None], None]]:
    """Show on a terminal how far something is that ends a command; nothing of it stays."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(title, total=1.0)

        def tell(text: str, fraction: float | None) -> None:
            bar.update(task, completed=fraction or 0.0, description=f"{title}: {text}")

        yield tell


# --------------------------------------------------------------------------------------------- simulation


@app.command(epilog="Example: vlasscube simulate sim --preset tiny --seed 7 --imsize 512,512")
@command
def simulate(
    *,
    directory: Annotated[
        Path, typer.Argument(metavar="DIR", help="Directory to create.", show_default="simulation")
    ] = Path("simulation"),
    preset_name: Annotated[
        str, typer.Option("--preset", metavar="NAME", help="Ready-made set of parameters.")
    ] = "tiny",
    seed: Annotated[int, typer.Option(min=0, help="Seed of sky, noise and errors.")] = 1,
    rows: Annotated[int | None, typer.Option(min=1, help="Rows of the mosaic.")] = None,
    fields_per_row: Annotated[int | None, typer.Option(min=1, help="Fields per row.")] = None,
    antennas: Annotated[int | None, typer.Option(min=5, help="Number of antennas.")] = None,
    channels: Annotated[int | None, typer.Option(min=1, help="Channels per spectral window.")] = None,
    spws: Annotated[
        str | None, typer.Option(metavar="IDS", help="Science spectral windows, e.g. 2,3,4 or 2~17.")
    ] = None,
    configuration: Annotated[
        str | None, typer.Option(metavar="a|b|c|d", help="Configuration of the VLA.")
    ] = None,
    declination: Annotated[
        float | None, typer.Option(help="Declination of the image centre, degrees.")
    ] = None,
    hour_angle: Annotated[float | None, typer.Option(help="Hour angle of the image centre, hours.")] = None,
    imsize: Annotated[
        str | None, typer.Option(metavar="NX[,NY]", help="Image size in the parameter lists, pixels.")
    ] = None,
    cell: Annotated[float | None, typer.Option(min=0.0, help="Pixel size, arcsec.")] = None,
    list_presets: Annotated[bool, typer.Option("--list-presets", help="List the presets and exit.")] = False,
    debug: Debug = False,
) -> int:
    """Make the inputs of a run from a simulated field.

    Parameters that are not given are those of the preset. The truth is kept beside the inputs.
    """
    from vlasscube.cli.simulation_command import (
        make_field,
        parse_image_size,
        restricted_to,
        show_presets,
    )
    from vlasscube.id_lists import parse_ids
    from vlasscube.simulation.presets import PRESETS, preset

    if list_presets:
        show_presets(PRESETS)
        return OK
    overrides = {
        "rows": rows,
        "fields_per_row": fields_per_row,
        "antennas": antennas,
        "channels": channels,
        "science_spws": None if spws is None else tuple(sorted(set(parse_ids(spws, ranges=True)))),
        "configuration": configuration,
        "dec_deg": declination,
        "hour_angle_h": hour_angle,
        "imsize": None if imsize is None else parse_image_size(imsize),
        "cell_arcsec": cell,
    }
    changed: dict[str, Any] = {key: value for key, value in overrides.items() if value is not None}
    if "science_spws" in changed:
        changed |= restricted_to(PRESETS.get(preset_name), changed["science_spws"])
    parameters = preset(preset_name, **changed)
    make_field(directory, parameters, seed)
    print(f"Made {directory}. Next: vlasscube run {directory}")
    return OK


@app.command(epilog="Example: vlasscube demo")
@command
def demo(
    directory: Annotated[
        Path, typer.Argument(metavar="DIR", help="Directory to work in.", show_default="demo")
    ] = Path("demo"),
    workers: Workers = None,
    quiet: Quiet = False,
    debug: Debug = False,
) -> int:
    """Simulate a small field and image it."""
    from vlasscube.casa import check_installation

    check_installation()
    from vlasscube.cli.simulation_command import comparison_line, is_simulated, make_field
    from vlasscube.simulation.presets import preset
    from vlasscube.workspace.directory import Workspace

    if not is_simulated(directory):
        make_field(directory, preset("demo"), seed=1)
    workspace = Workspace(directory)
    options = combined_options(workspace.read_options(), {})
    exit_status = _run(workspace, options, RunChoices(workers=workers), quiet=quiet)
    print(comparison_line(workspace))
    print(f"Open {workspace.weblog / 'index.html'} in a browser.")
    return exit_status


# --------------------------------------------------------------------------------------------------- main

_USAGE_ERROR: type[Exception] = next(
    kind for kind in typer.BadParameter.__mro__ if kind.__name__ == "ClickException"
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status."""
    with lasting_streams() as output:
        status = _main(arguments)
        if output is not None and output.problem is not None:
            print(f"vlasscube: error: cannot write the output: {output.problem.strerror}.", file=sys.stderr)
            status = status or FAILURE
    return status


def _main(arguments: Sequence[str] | None) -> int:
    try:
        status = app(
            prog_name="vlasscube", args=None if arguments is None else list(arguments), standalone_mode=False
        )
    except _USAGE_ERROR as error:
        # The usual status of wrong usage, 2, says here that some planes are not fine.
        text = io.StringIO()
        error.show(file=text)  # type: ignore[attr-defined]
        print(text.getvalue(), end="", file=sys.stderr)
        return FAILURE
    except typer.Abort:
        return 130
    return status if isinstance(status, int) else OK


__all__ = ["app", "main"]
