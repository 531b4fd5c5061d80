"""How errors and signals end a command: a message with a hint, and an exit status."""

from __future__ import annotations

import errno
import functools
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from vlasscube.errors import VlassCubeError, WorkspaceError
from vlasscube.processes.environment import describe_limits, prepare_process

OK, FAILURE = 0, 1


def describe_error(error: Exception) -> tuple[str, str]:
    """Tell message and hint of an error."""
    if isinstance(error, VlassCubeError):
        return error.message, error.hint
    if _is_lack_of_threads(error):
        limits = describe_limits()
        return (
            "the system does not allow any more threads or processes.",
            "Raise the limit on processes, that of the shell (ulimit -u) or of the container."
            + (f" The limits here are: {limits}." if limits else ""),
        )
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        hint = ""
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            hint = "Free disk space, then run the same command again to resume."
        elif error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            hint = "Make it accessible, or work on a copy."
        return f"{where}{error.strerror or error}", hint
    return f"{type(error).__name__}: {error}", "This is a bug in vlasscube; --debug shows where it happened."


def _is_lack_of_threads(error: Exception) -> bool:
    """Whether a thread or process could not be started; unlike a file, a process has no name."""
    if isinstance(error, OSError):
        return error.errno == errno.EAGAIN and error.filename is None
    return isinstance(error, RuntimeError) and "can't start new thread" in str(error)


def _complain(error: Exception, debug: bool) -> int:
    from vlasscube.texts import printable_lines

    message, hint = describe_error(error)
    print(f"vlasscube: error: {printable_lines(message)}", file=sys.stderr)
    if hint:
        print(f"  {printable_lines(hint)}", file=sys.stderr)
    if debug:
        print(printable_lines("".join(traceback.format_exception(error))), file=sys.stderr)
    return FAILURE


def _leave_removed_directory(directory: Path | None) -> None:
    """Go to the root where the current directory has been removed, with which many functions cannot live."""
    try:
        Path.cwd()
    except FileNotFoundError as error:
        if directory is not None and not directory.is_absolute():
            raise WorkspaceError(
                "the current directory has been removed.",
                hint="Change to one that exists, or give the run directory by its full path.",
            ) from error
        os.chdir("/")


def command(function: Callable[..., int]) -> Callable[..., int]:
    """Make errors and signals of a command into messages and an exit status."""

    @functools.wraps(function)
    def guarded(*args: Any, **kwargs: Any) -> int:
        from vlasscube.cli.signals import INTERRUPTED_TEXT, Interrupted, ending_on_signals

        try:
            prepare_process()
            with ending_on_signals():
                _leave_removed_directory(kwargs.get("directory"))
                return function(*args, **kwargs)
        except Interrupted as interruption:
            print(INTERRUPTED_TEXT, file=sys.stderr)
            return interruption.exit_status
        except KeyboardInterrupt:
            print(INTERRUPTED_TEXT, file=sys.stderr)
            return 130
        except Exception as error:
            return _complain(error, bool(kwargs.get("debug")))

    return guarded
