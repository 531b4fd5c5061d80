"""How errors and signals end a command: a message with a hint, and an exit status."""

from __future__ import annotations

import errno
import functools
import sys
import traceback
from collections.abc import Callable
from typing import Any

from vlasscube.errors import VlassCubeError

OK, FAILURE = 0, 1


def describe_error(error: Exception) -> tuple[str, str]:
    """Tell message and hint of an error."""
    if isinstance(error, VlassCubeError):
        return error.message, error.hint
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        hint = ""
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            hint = "Free disk space, then run the same command again to resume."
        elif error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            hint = "Make it accessible, or work on a copy."
        return f"{where}{error.strerror or error}", hint
    return f"{type(error).__name__}: {error}", "This is a bug in vlasscube; --debug shows where it happened."


def _complain(error: Exception, debug: bool) -> int:
    from vlasscube.texts import printable_lines

    message, hint = describe_error(error)
    print(f"vlasscube: error: {printable_lines(message)}", file=sys.stderr)
    if hint:
        print(f"  {printable_lines(hint)}", file=sys.stderr)
    if debug:
        print(printable_lines("".join(traceback.format_exception(error))), file=sys.stderr)
    return FAILURE


def command(function: Callable[..., int]) -> Callable[..., int]:
    """Make errors and signals of a command into messages and an exit status."""

    @functools.wraps(function)
    def guarded(*args: Any, **kwargs: Any) -> int:
        from vlasscube.cli.signals import INTERRUPTED_TEXT, Interrupted, ending_on_signals

        try:
            with ending_on_signals():
                return function(*args, **kwargs)
        except Interrupted as interruption:
            print(INTERRUPTED_TEXT, file=sys.stderr)
            return interruption.exit_status
        except KeyboardInterrupt:
            print(INTERRUPTED_TEXT, file=sys.stderr)
            return 130
        except BrokenPipeError:
            # Whoever read our output has gone; Python would complain once more when it flushes at exit.
            sys.stdout = None
            return FAILURE
        except Exception as error:
            return _complain(error, bool(kwargs.get("debug")))

    return guarded
