"""Standard output and error that every text can be written to, and whose reader may go away.

A run takes hours and is not to end because a terminal was closed or `head` has seen enough: what cannot be
shown is lost, and the exit status is that of the work.
"""

from __future__ import annotations

import codecs
import contextlib
import errno
import io
import os
import select
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

_READER_GONE = (errno.EPIPE, errno.EIO, errno.ENXIO, errno.ECONNRESET)
"""The end of a pipe or socket, and of a terminal."""
_ERRORS = "vlasscube.replace"
_PLAIN = {
    "×": "x",
    "″": '"',
    "′": "'",
    "–": "-",
    "…": "...",
    "µ": "u",
    "°": " deg",
    "±": "+/-",
    "→": ">",
    "✓": "+",
    "✗": "x",
    "λ": "lambda",
    "²": "^2",
}
"""What our own texts contain besides ASCII, as near as that can come to it."""


def _replace(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(_plain(char) for char in error.object[error.start : error.end]), error.end


def _plain(char: str) -> str:
    if "\u2800" <= char <= "\u28ff":
        # Of the sign that turns while something is at work.
        return "*"
    return _PLAIN.get(char) or char.encode("unicode_escape").decode("ascii")


codecs.register_error(_ERRORS, _replace)


class _Outlet(io.FileIO):
    """The write end of a file descriptor; when nothing can be written any more it drops what it is given."""

    def __init__(self, descriptor: int, *, owned: bool) -> None:
        super().__init__(descriptor, "w", closefd=owned)
        self.problem: OSError | None = None

    def write(self, data: ReadableBuffer, /) -> int:
        size = memoryview(data).nbytes
        while self.problem is None:
            try:
                written = super().write(data)
            except OSError as error:
                self.problem = error
            else:
                if written is not None:
                    return written
                # Whoever shares the terminal has made it answer at once, though it has no room.
                select.select([], [self], [])
        return size


class OutputStream(io.TextIOWrapper):
    """A text stream onto a file descriptor; see `open_stream`."""

    def __init__(self, outlet: _Outlet, encoding: str) -> None:
        super().__init__(io.BufferedWriter(outlet), encoding, _ERRORS, line_buffering=True)
        self._outlet = outlet

    @property
    def problem(self) -> OSError | None:
        """Why something could not be written, unless it is only that nobody reads any more."""
        with contextlib.suppress(ValueError):
            self.flush()
        problem = self._outlet.problem
        return None if problem is None or problem.errno in _READER_GONE else problem


def open_stream(descriptor: int, encoding: str | None, *, owned: bool = False) -> OutputStream:
    """Make a text stream onto a file descriptor.

    Parameters
    ----------
    descriptor : int
        Open for writing.
    encoding : str, optional
        Characters that it lacks are replaced: those of our own texts by what is nearest in ASCII, others by
        their numbers.
    owned : bool
        Close the descriptor with the stream.
    """
    return OutputStream(_Outlet(descriptor, owned=owned), encoding or "utf-8")


def _occupy_closed_descriptors() -> None:
    """Point standard streams that are closed nowhere: files opened later would take their numbers."""
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            # The lowest number that is free is this one.
            os.open(os.devnull, os.O_RDONLY if number == 0 else os.O_WRONLY)


def _is_real(stream: TextIO | None, number: int) -> bool:
    """Whether a stream is Python's own onto that descriptor, or closed, and nobody's replacement."""
    if stream is None:
        return True
    try:
        return stream.fileno() == number and stream in (sys.__stdout__, sys.__stderr__)
    except (OSError, ValueError, AttributeError):
        return False


@contextlib.contextmanager
def lasting_streams() -> Iterator[OutputStream | None]:
    """Put streams that never fail in the place of standard output and error; yields that of the output.

    Where Python's streams are not those of the process (embedded, under test) they are left alone.
    """
    before = sys.stdout, sys.stderr
    if not (_is_real(before[0], 1) and _is_real(before[1], 2)):
        yield None
        return
    _occupy_closed_descriptors()
    for stream in before:
        if stream is not None:
            with contextlib.suppress(OSError):
                stream.flush()
    output, errors = (
        open_stream(number, None if stream is None else stream.encoding)
        for number, stream in enumerate(before, start=1)
    )
    sys.stdout, sys.stderr = output, errors
    try:
        yield output
    finally:
        output.flush()
        errors.flush()
        sys.stdout, sys.stderr = before
