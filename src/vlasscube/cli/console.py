"""What a run shows: live on a terminal, plain lines elsewhere, JSON lines for machines; and its log file."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from rich.console import Console, Group
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from vlasscube.cli.streams import open_stream
from vlasscube.recipe import RECIPE
from vlasscube.texts import duration, printable

if TYPE_CHECKING:
    from vlasscube.results.types import CubeImages
    from vlasscube.run.workflow import Event

logger = logging.getLogger("vlasscube")

_PLAIN_WIDTH = 160
_LEVEL_STYLES = {"info": "dim", "warning": "yellow", "error": "bold red"}


def make_console(stream: TextIO | None = None) -> Console:
    """Make a console; without a terminal lines are wide rather than broken, and carry no colours."""
    stream = sys.stdout if stream is None else stream
    is_terminal = stream.isatty()
    return Console(
        file=stream,
        width=None if is_terminal else _PLAIN_WIDTH,
        highlight=False,
        markup=False,
        emoji=False,
        soft_wrap=not is_terminal,
    )


def make_table(columns: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[str] = ()) -> Table:
    """Make a table of plain texts; ``right`` names the columns that are aligned to the right."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, justify="right" if column in right else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(printable(cell)) for cell in row))
    return table


def show_json(record: object) -> None:
    """Print a record as JSON in ASCII, which every terminal and every reader can take."""
    from vlasscube.workspace.record_json import to_json

    print(re.sub(r"[^\x00-\x7f]", lambda found: json.dumps(found[0])[1:-1], to_json(record)))


def planes_table(planes: CubeImages) -> Table:
    """Make the table of planes that ends a run."""
    rows = []
    for plane in planes.planes:
        beam = plane.beam
        flagged = plane.flagged_fraction
        rows.append(
            (
                plane.spw,
                f"{plane.frequency_hz / 1e9:.4f}",
                str(plane.outcome),
                f"{beam.bmaj_arcsec:.2f} × {beam.bmin_arcsec:.2f}, {beam.bpa_deg:.1f}°" if beam else "–",
                f"{100 * flagged:.1f}" if flagged is not None else "–",
                f"{1e6 * plane.rms_jy:.1f}" if plane.rms_jy is not None else "–",
                plane.stop or "–",
                _shortened(plane.reason),
            )
        )
    columns = ("spw", "GHz", "outcome", "beam ″", "flagged %", "rms µJy", "stop", "reason")
    return make_table(columns, rows, right=("GHz", "flagged %", "rms µJy"))


def _shortened(text: str, limit: int = 200) -> str:
    first = text.strip().split("\n")[0]
    return first if len(first) <= limit else f"{first[: limit - 1]}…"


# ------------------------------------------------------------------------------------------------- logging


class _Formatter(logging.Formatter):
    """UTC times; every record on lines of its own that it cannot forge."""

    def __init__(self) -> None:
        super().__init__("%(asctime)sZ %(levelname)-7s %(message)s", datefmt="%Y-%m-%dT%H:%M:%S")
        self.converter = time.gmtime

    def format(self, record: logging.LogRecord) -> str:
        return "\n    ".join(printable(line) for line in super().format(record).split("\n"))


class _ForwardHandler(logging.Handler):
    def __init__(self, show: Callable[[str, str], None]) -> None:
        super().__init__(logging.WARNING)
        self._show = show

    def emit(self, record: logging.LogRecord) -> None:
        if getattr(record, "is_shown", False):
            return
        try:
            self._show(record.levelname.lower(), record.getMessage())
        except Exception:
            self.handleError(record)


@contextlib.contextmanager
def logging_to(path: Path | None, show: Callable[[str, str], None] | None = None) -> Iterator[None]:
    """Send the package's log to a file, and its warnings to whoever shows the progress.

    Parameters
    ----------
    path : Path, optional
        Log file, appended to.
    show : callable, optional
        Called with level and text of each warning.
    """
    # Without any handler Python itself would print warnings.
    handlers: list[logging.Handler] = [logging.NullHandler()]
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        file_handler = logging.FileHandler(path, encoding="utf-8", errors="backslashreplace")
        file_handler.setFormatter(_Formatter())
        handlers.append(file_handler)
    if show is not None:
        handlers.append(_ForwardHandler(show))
    level, propagate = logger.level, logger.propagate
    logger.setLevel(logging.INFO)
    logger.propagate = False
    for handler in handlers:
        logger.addHandler(handler)
    try:
        yield
    finally:
        for handler in handlers:
            logger.removeHandler(handler)
            handler.close()
        logger.setLevel(level)
        logger.propagate = propagate


_true_streams: dict[str, TextIO] = {}


def true_stderr() -> TextIO | None:
    """Standard error as the user sees it, wherever that of the process goes meanwhile."""
    return _true_streams.get("stderr", sys.__stderr__)


@contextlib.contextmanager
def foreign_output_to(path: Path) -> Iterator[tuple[TextIO, TextIO]]:
    """Send what libraries and workers print to a file, and yield the true standard output and error.

    CASA's libraries write to the file descriptors themselves, which would break the live display and the JSON
    lines. Where Python's streams are not those descriptors (embedded, under test) nothing is redirected.
    """
    try:
        real = sys.stdout.fileno() == 1 and sys.stderr.fileno() == 2
    except (OSError, ValueError, AttributeError):
        real = False
    if not real:
        yield sys.stdout, sys.stderr
        return
    sys.stdout.flush()
    sys.stderr.flush()
    path.parent.mkdir(parents=True, exist_ok=True)
    target = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    saved = (os.dup(1), os.dup(2))
    streams = [open_stream(os.dup(fd), sys.stdout.encoding, owned=True) for fd in saved]
    os.dup2(target, 1)
    os.dup2(target, 2)
    os.close(target)
    _true_streams["stderr"] = streams[1]
    try:
        yield streams[0], streams[1]
    finally:
        _true_streams.clear()
        sys.stdout.flush()
        sys.stderr.flush()
        for number, fd in enumerate(saved, start=1):
            os.dup2(fd, number)
            os.close(fd)
        for stream in streams:
            if stream.problem is not None:
                reason = stream.problem.strerror
                print(f"vlasscube: warning: some of what was to be shown is lost: {reason}.", file=sys.stderr)
            stream.close()


# ------------------------------------------------------------------------------------------------ progress


class Progress:
    """Shows the events of a run.

    It is a listener of the workflow and a context manager; the base class shows nothing but problems.

    Parameters
    ----------
    console : Console
        Where to write.
    """

    def __init__(self, console: Console) -> None:
        self.console = console
        self._told: set[str] = set()

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self, *, finished: bool = False) -> None:
        """Leave the terminal as it was; ``finished`` if the run came to its end."""

    def __call__(self, event: Event) -> None:
        """Show an event; a message is shown once, however it arrives."""
        if event.kind == "message":
            level, _, text = event.text.partition(": ")
            self.tell(level, text)
        else:
            logger.info("%s", _log_line(event))
            self.show(event)

    def show(self, event: Event) -> None:
        """Show an event that is not a message."""
        if event.kind == "plane_done" and event.text != "done":
            self.line(f"{event.plane}: {event.text}", "bold red")

    def tell(self, level: str, text: str) -> None:
        """Show a message of the run or of the log."""
        key = f"{level}: {text}"
        if key not in self._told:
            self._told.add(key)
            self.message(level, text)

    def message(self, level: str, text: str) -> None:
        """Show a message for the first time."""
        if level != "info":
            self.line(f"{level}: {text}", _LEVEL_STYLES.get(level, ""))

    def line(self, text: str, style: str = "") -> None:
        """Write a line that stays."""
        self.console.print(Text(printable(text), style=style))


def _log_line(event: Event) -> str:
    place = event.stage if event.plane is None else f"{event.stage} {event.plane}"
    return f"[{place}] {event.kind}: {event.text}"


def _stage_title(name: str) -> str:
    entry = next((stage for stage in RECIPE if stage.name == name), None)
    return f"{entry.number:2d}/{len(RECIPE)} {entry.name}" if entry else name


class PlainProgress(Progress):
    """One line with a time for each event, for log files and pipes."""

    def show(self, event: Event) -> None:
        """Write the event as a line."""
        done = {"stage_done": "done", "plane_done": f"{event.plane}: {event.text}"}
        text = done.get(
            event.kind, event.text if event.plane is None else f"{event.plane}: {event.text} done"
        )
        if event.kind == "step" and event.fraction is not None:
            text += f" ({event.fraction:.0%})"
        self.line(f"{_stage_title(event.stage.partition('.')[0])}: {text}")

    def message(self, level: str, text: str) -> None:
        """Write the message as a line."""
        self.line(f"{level}: {text}", _LEVEL_STYLES.get(level, ""))

    def line(self, text: str, style: str = "") -> None:
        """Write a line that stays, with its time."""
        stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        self.console.print(Text(f"{stamp}  {printable(text)}"))


class JsonProgress(Progress):
    """One JSON object per line for each event."""

    def __call__(self, event: Event) -> None:
        """Write the event."""
        if event.kind == "message":
            level, _, text = event.text.partition(": ")
            if event.text not in self._told:
                self._told.add(event.text)
                self.emit("message", stage=event.stage, plane=event.plane, level=level, text=text)
        else:
            logger.info("%s", _log_line(event))
            self.emit(
                event.kind, stage=event.stage, plane=event.plane, text=event.text, fraction=event.fraction
            )

    def message(self, level: str, text: str) -> None:
        """Write a message that no event carried."""
        self.emit("message", stage=None, plane=None, level=level, text=text)

    def emit(self, event: str, **values: Any) -> None:
        """Write one object; ``event`` and ``time`` come first."""
        stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        self.console.file.write(json.dumps({"event": event, "time": stamp, **values}) + "\n")
        self.console.file.flush()


class RichProgress(Progress):
    """What is at work stands in a live area with its time; what is finished scrolls away above it."""

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        self._stage: tuple[str, str, float] | None = None
        self._step = ""
        self._planes: dict[str, tuple[str, float]] = {}
        self._live = Live(get_renderable=self._render, console=console, refresh_per_second=4, transient=True)
        self._live.start()

    def close(self, *, finished: bool = False) -> None:
        """Remove the live area; a stage that is still at work was interrupted or failed."""
        if finished:
            self._finish_stage()
        else:
            self._finish_stage("✗", "bold red")
        self._live.stop()

    def show(self, event: Event) -> None:
        """Update the live area."""
        now = time.monotonic()
        if event.kind == "stage":
            self._finish_stage()
            self._stage, self._step = (event.stage, event.text, now), ""
        elif event.kind == "stage_done":
            self._finish_stage()
        elif event.kind == "step":
            done = "" if event.fraction is None else f" {event.fraction:.0%}"
            self._step = event.text + done
        elif event.kind == "plane" and event.plane is not None:
            started = self._planes.get(event.plane, ("", now))[1]
            self._planes[event.plane] = (event.text, started)
        elif event.kind == "plane_done" and event.plane is not None:
            self._planes.pop(event.plane, None)
            good = event.text == "done"
            mark, style = ("✓", "green") if good else ("✗", "bold red")
            self.console.print(
                Text.assemble((f"     {mark} ", style), printable(f"{event.plane}: {event.text}"))
            )
            self._step = "" if event.fraction is None else f"{event.fraction:.0%} of the planes finished"

    def _finish_stage(self, mark: str = "✓", style: str = "green") -> None:
        if self._stage is not None:
            name, title, started = self._stage
            elapsed = duration(time.monotonic() - started)
            line = Text.assemble(
                (f"{mark} ", style),
                (f"{_stage_title(name):<30} ", ""),
                printable(title),
                (f"  {elapsed}", "dim"),
            )
            self.console.print(line)
        self._stage = None
        self._planes.clear()

    def _render(self) -> Group:
        if self._stage is None:
            return Group()
        name, title, started = self._stage
        now = time.monotonic()
        head = Text.assemble(
            (f"{_stage_title(name):<30} ", "bold"), printable(title), (f"  {duration(now - started)}", "dim")
        )
        lines: list[Any] = [Spinner("dots", head)]
        if self._step:
            lines.append(
                Text(f"     {printable(self._step)}", style="cyan", no_wrap=True, overflow="ellipsis")
            )
        for label, (text, since) in sorted(self._planes.items()):
            lines.append(Text(f"     {label}: {printable(text)} done, {duration(now - since)}", style="cyan"))
        return Group(*lines)


def make_progress(stream: TextIO, *, log_json: bool, quiet: bool) -> Progress:
    """Choose how a run is shown."""
    console = make_console(stream)
    if log_json:
        return JsonProgress(console)
    if quiet:
        return Progress(console)
    return RichProgress(console) if console.is_terminal else PlainProgress(console)
