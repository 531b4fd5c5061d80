"""The only interface to CASA.

CASA is configured here before its first import: where its data are (the ``casadata`` package), no automatic
updates, no file outside the run directory. Every task call is recorded as it was executed, so that the run
can be read and replayed.

CASA is global to a process. One plane at a time is imaged in a process (see `vlasscube.processes.parallel`).
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import importlib.util
import os
import pprint
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from vlasscube import __version__
from vlasscube.errors import CasaTaskError, CasaUnavailableError
from vlasscube.processes.environment import prepare_process, require_limits
from vlasscube.workspace.file_systems import lacks_locks

_REQUIRED = ("casatools", "casatasks", "casadata", "six")
_INSTALL_HINT = (
    "Install CASA's packages with:  pip install casatools casatasks casadata six  "
    "(wheels exist for Python 3.11 to 3.13 on Linux x86_64)."
)
_STALE_LEAP_SECONDS = ("Leap second table", "Until the table is updated", "derived from UTC")
"""CASA calls an old leap-second table severe; no leap second has been announced since 2017."""
_state: dict[str, Any] = {"configured": False, "log": None, "call_log": None, "scratch": None}


def check_installation() -> None:
    """Verify that CASA's packages can be found, without importing them.

    Raises
    ------
    CasaUnavailableError
        Naming the missing packages and how to install them, or what keeps CASA from starting.
    """
    prepare_process()
    require_limits()
    missing = [name for name in _REQUIRED if importlib.util.find_spec(name) is None]
    if missing:
        raise CasaUnavailableError(f"CASA cannot be used: missing {', '.join(missing)}.", hint=_INSTALL_HINT)
    if sys.flags.optimize > 1 and importlib.util.find_spec("cerberus") is None:
        # casatools reads docstrings of the copy of cerberus that it brings.
        raise CasaUnavailableError(
            "CASA does not start in a Python without docstrings (python -OO, PYTHONOPTIMIZE=2).",
            hint="Unset PYTHONOPTIMIZE, and start Python without -OO.",
        )


def configure(
    log_file: Path | None = None, call_log: Path | None = None, scratch: Path | None = None
) -> None:
    """Point CASA at its data and its log, importing it if need be.

    Parameters
    ----------
    log_file : Path, optional
        CASA's own log; its directory must exist. Without it CASA writes no log.
    call_log : Path, optional
        File to which each task call is appended as Python text.
    scratch : Path, optional
        Existing directory for CASA's temporary files, by default one of the system's. They can be as large as
        the images.

    Raises
    ------
    CasaUnavailableError
        If CASA is missing or fails to start.
    """
    if not _state["configured"]:
        check_installation()
        _import_casa(log_file)
        _state["configured"] = True
    if log_file is not None and log_file != _state["log"]:
        log_file.parent.mkdir(parents=True, exist_ok=True)
        casatasks = importlib.import_module("casatasks")
        casatasks.casalog.setlogfile(str(log_file))
        _state["log"] = log_file
    if call_log is not None:
        _state["call_log"] = call_log
    if scratch is not None:
        _state["scratch"] = scratch


@functools.cache
def _system_scratch() -> Path:
    try:
        scratch = Path(tempfile.gettempdir()) / f"vlasscube-{os.getuid()}"
        scratch.mkdir(mode=0o700, exist_ok=True)
        if scratch.is_symlink() or scratch.stat().st_uid != os.getuid():
            # Somebody else made it: it is not ours to trust.
            scratch = Path(tempfile.mkdtemp(prefix="vlasscube-"))
    except OSError as error:
        raise CasaUnavailableError(
            f"CASA has no directory for temporary files: {error.strerror or error}.",
            hint="Set TMPDIR to a directory that can be written to, on a disk with free space.",
        ) from error
    return scratch


def _import_casa(log_file: Path | None) -> None:
    # matplotlib, which casatasks imports, would otherwise write its font cache into the user's home.
    scratch = _system_scratch()
    os.environ.setdefault("MPLCONFIGDIR", str(scratch))
    os.environ.setdefault("MPLBACKEND", "Agg")
    # TBB or OpenMP pools of several planes would fight for the same cores.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ["CASASITECONFIG"] = str(Path(__file__).with_name("casasiteconfig.py"))
    os.environ["VLASSCUBE_CASA_SCRATCH"] = str(scratch)
    os.environ["VLASSCUBE_CASA_LOG"] = str(log_file) if log_file is not None else ""
    if log_file is not None:
        log_file.parent.mkdir(parents=True, exist_ok=True)
    arguments = sys.argv
    # casaconfig parses the command line of any program that imports it; --noconfig keeps ~/.casa out.
    sys.argv = [arguments[0] if arguments else "vlasscube", "--noconfig"]
    try:
        importlib.import_module("casatools")
        importlib.import_module("casatasks")
    except Exception as error:
        raise CasaUnavailableError(f"CASA does not start: {error}", hint=_INSTALL_HINT) from error
    finally:
        sys.argv = arguments
    _state["log"] = log_file


def version() -> str:
    """Version of casatasks as installed, without importing it."""
    from importlib.metadata import PackageNotFoundError
    from importlib.metadata import version as package_version

    try:
        return package_version("casatasks")
    except PackageNotFoundError:
        return "not installed"


def tools() -> ModuleType:
    """Return the casatools module, configured."""
    configure()
    return importlib.import_module("casatools")


def tasks() -> ModuleType:
    """Return the casatasks module, configured. Prefer `run_task`, which records the call."""
    configure()
    return importlib.import_module("casatasks")


def run_task(name: str, /, **parameters: Any) -> Any:
    """Call a CASA task, recording the call.

    Parameters
    ----------
    name : str
        Task name, e.g. ``'tclean'``.
    **parameters
        The task's parameters; paths as str.

    Returns
    -------
    Any
        What the task returns.

    Raises
    ------
    CasaTaskError
        If the task raises or returns False; the message has the last severe line of CASA's log.
    """
    task = getattr(tasks(), name)
    started = time.time()
    log_start = _log_size()
    _record_call(name, parameters)
    try:
        # CASA puts temporary images into the current directory, which need not be writable, or ours.
        with contextlib.chdir(_state["scratch"] or _system_scratch()):
            result = task(**parameters)
    except Exception as error:
        raise CasaTaskError(_describe_failure(name, str(error), log_start)) from error
    if result is False:
        raise CasaTaskError(_describe_failure(name, "the task returned False", log_start))
    _append(f"# {name} took {time.time() - started:.2f} s\n")
    return result


def _log_size() -> int:
    log: Path | None = _state["log"]
    return log.stat().st_size if log is not None and log.exists() else 0


def _describe_failure(name: str, reason: str, log_start: int) -> str:
    log: Path | None = _state["log"]
    severe: list[str] = []
    if log is not None and log.exists():
        with log.open(encoding="utf-8", errors="replace") as stream:
            stream.seek(log_start)
            severe = [line.split("\t")[-1].strip() for line in stream if "\tSEVERE\t" in line]
    severe = [line for line in severe if not any(text in line for text in _STALE_LEAP_SECONDS)]
    details = "; ".join(line for line in severe[-3:] if line and line not in reason)
    _append(f"# {name} failed\n")
    return f"{name}: {reason.strip()}" + (f" ({details})" if details else "")


def format_call(name: str, parameters: dict[str, Any]) -> str:
    """Format a task call as Python text, at most 110 columns where possible."""
    single = f"{name}({_arguments(parameters)})"
    if len(single) <= 100:
        return single
    lines = []
    for key, value in parameters.items():
        text = pprint.pformat(value, width=90, compact=True).replace("\n", "\n        ")
        lines.append(f"    {key}={text},")
    return "\n".join([f"{name}(", *lines, ")"])


def record_equivalent(name: str, /, **parameters: Any) -> str:
    """Record a step that vlasscube does itself as the task call that it replaces: as a comment.

    Parameters
    ----------
    name : str
        Task name, e.g. ``'impbcor'``.
    **parameters
        The task's parameters; images by name, without directory.

    Returns
    -------
    str
        The step in one line, for the history of an image.
    """
    stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    call = format_call(name, parameters).replace("\n", "\n# ")
    _append(f"\n# {stamp}\n# Done by vlasscube in the place of:\n# {call}\n")
    return f"vlasscube {__version__} in the place of {name}({_arguments(parameters)})"


def _arguments(parameters: dict[str, Any]) -> str:
    return ", ".join(f"{key}={value!r}" for key, value in parameters.items())


def _record_call(name: str, parameters: dict[str, Any]) -> None:
    stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    _append(f"\n# {stamp}\n{format_call(name, parameters)}\n")


def _append(text: str) -> None:
    call_log: Path | None = _state["call_log"]
    if call_log is not None:
        call_log.parent.mkdir(parents=True, exist_ok=True)
        with call_log.open("a", encoding="utf-8") as stream:
            stream.write(text)


@contextlib.contextmanager
def table(path: Path | str, *, writable: bool = False) -> Iterator[Any]:
    """Open a casacore table (casatools ``table``), closed on exit."""
    tool = tools().table()
    try:
        tool.open(str(path), nomodify=not writable)
    except RuntimeError as error:
        if writable or not lacks_locks(error):
            raise
        # What nobody can lock can be read all the same.
        tool.open(str(path), nomodify=True, lockoptions={"option": "autonoread"})
    try:
        yield tool
    finally:
        tool.close()


@contextlib.contextmanager
def image(path: Path | str) -> Iterator[Any]:
    """Open a CASA image (casatools ``image``), closed on exit."""
    tool = tools().image()
    tool.open(str(path))
    try:
        yield tool
    finally:
        tool.close()
