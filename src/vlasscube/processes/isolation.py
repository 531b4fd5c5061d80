"""Reading what may be damaged in a process of its own.

casacore ends its process over some damages of a table instead of raising an error, and asks for gigabytes of
memory over others. So tables and images that come from outside are read first by a process that nothing is
lost with.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import resource
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from concurrent.futures.process import BrokenProcessPool
from typing import ParamSpec, TypeVar

from vlasscube.errors import CasaUnavailableError
from vlasscube.processes.environment import describe_limits, prepare_process
from vlasscube.processes.parallel import SerialExecutor, make_executor, stop_workers
from vlasscube.texts import plain_text

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")

_MEMORY_BYTES = 4 << 30
"""Far more than reading in pieces takes."""


UNREADABLE = (
    RuntimeError, ValueError, KeyError, IndexError, TypeError, OSError, MemoryError
)  # fmt: skip
"""What reading a damaged table or image raises, if it does not end the process."""


class ReaderDiedError(Exception):
    """The process that read something ended over it."""


def reason_text(error: Exception) -> str:
    """Why something could not be read, in one line."""
    if isinstance(error, MemoryError):
        return "it needs more memory than is available"
    return plain_text(str(error)) or type(error).__name__


class IsolatedReader:
    """Calls functions in a process of its own, one after the other; made by `isolated_reader`."""

    def __init__(self) -> None:
        self._pool: Executor | None = None

    def call(
        self, function: Callable[Arguments, Result], *args: Arguments.args, **kwargs: Arguments.kwargs
    ) -> Result:
        """Call a function there; it, its arguments and what it returns or raises are pickled.

        Raises
        ------
        ReaderDiedError
            If the process ended. The next call gets a new one.
        """
        if self._pool is None:
            self._pool = _make_pool()
        try:
            return self._pool.submit(function, *args, **kwargs).result()
        except BrokenProcessPool as error:
            self.close()
            raise ReaderDiedError("the process that read it died") from error

    def start(self, function: Callable[[], None]) -> None:
        """Call a function that loads the libraries which the reading needs.

        Raises
        ------
        CasaUnavailableError
            If the process ended over it: then what is to be read is not at fault.
        """
        try:
            self.call(function)
        except (ReaderDiedError, MemoryError) as error:
            limits = describe_limits()
            raise CasaUnavailableError(
                "CASA ends its process when it starts; no data have been read yet.",
                hint=f"The limits here are: {limits}. Raise them." if limits else "Is there enough memory?",
            ) from error

    def close(self) -> None:
        """End the process."""
        if self._pool is not None:
            self._pool.shutdown()
            self._pool = None

    def abandon(self) -> None:
        """End the process in the middle of a call."""
        if self._pool is not None:
            stop_workers()
            self._pool.shutdown(wait=False, cancel_futures=True)
            self._pool = None


@contextlib.contextmanager
def isolated_reader() -> Iterator[IsolatedReader]:
    """Make a reader, whose process starts with its first call and ends with the context.

    Where no process may be started, in a worker of some clusters, the calls are made in this one.
    """
    reader = IsolatedReader()
    try:
        yield reader
    except Exception:
        reader.close()
        raise
    except BaseException:
        # Interrupted: what is being read is not waited for.
        reader.abandon()
        raise
    reader.close()


def _make_pool() -> Executor:
    if multiprocessing.current_process().daemon:
        return SerialExecutor()
    pool = make_executor(1)
    pool.submit(_settle)
    return pool


def _settle() -> None:
    """Limit the memory, and keep the terminal free of what libraries print when they end a process."""
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    limit = _MEMORY_BYTES if hard == resource.RLIM_INFINITY else min(_MEMORY_BYTES, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, hard))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(nowhere, stream)
    os.close(nowhere)
    # Libraries that reserve memory for each of many cores would reach the limit by that alone.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    prepare_process()
