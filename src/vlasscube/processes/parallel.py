"""Planes onto workers, through `concurrent.futures.Executor` and nothing else.

CASA is global to a process, so planes are imaged one per process: spawned, never forked. Executors for dask
and MPI are made by `vlasscube.cluster`; any other serves as well, provided that it images one plane per
process and that the workers see the run directory under the same path.

Whatever the executor, a plane is written by one process at a time: it holds the plane's lock.
"""

from __future__ import annotations

import contextlib
import ctypes
import multiprocessing
import os
import signal
import socket
import sys
from collections.abc import Callable
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from multiprocessing.context import SpawnContext, SpawnProcess
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import ModuleType
from typing import Any, ParamSpec, TypeVar

from vlasscube.processes.machine import usable_cores

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


class SerialExecutor(Executor):
    """Run each call at once, in this process."""

    def submit(
        self, fn: Callable[Arguments, Result], /, *args: Arguments.args, **kwargs: Arguments.kwargs
    ) -> Future[Result]:
        """Call ``fn`` and return its finished future."""
        future: Future[Result] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


def peak_memory_bytes() -> int:
    """Peak resident memory of this process so far, libraries included; 0 if it cannot be told."""
    # Not ru_maxrss, which in a spawned process can begin with what its parent had.
    for line in Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0


_PR_SET_PDEATHSIG = 1


_THREADS = "VLASSCUBE_THREADS"


def plane_threads() -> int:
    """Number of threads that a plane may use in this process: its share of the cores.

    It is told to workers by the environment variable ``VLASSCUBE_THREADS``; without, all cores are the
    plane's.
    """
    text = os.environ.get(_THREADS, "")
    return max(int(text), 1) if text.isdecimal() else usable_cores()


def start_worker(threads: int, parent: int) -> None:
    """Make this process one that images planes for its parent, and ends with it.

    Parameters
    ----------
    threads : int
        Threads that a plane may use here.
    parent : int
        The process that started this one.
    """
    os.environ[_THREADS] = str(threads)
    # Ctrl-C reaches the whole process group; the parent decides what happens to its workers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # A worker whose parent was killed must not go on writing into a directory that a new run takes over.
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        # It ended before we could ask to be told, and nobody will give us work or end us.
        os._exit(1)


class _WorkerProcess(SpawnProcess):
    """A spawned process that does not import the parent's main module.

    A recipe is a script without ``if __name__ == "__main__"``: importing it in a worker would run it again.
    """

    @staticmethod
    def _Popen(process_obj: BaseProcess) -> Any:  # noqa: N802 (multiprocessing's name)
        main = sys.modules["__main__"]
        sys.modules["__main__"] = ModuleType("__main__")
        try:
            return SpawnProcess._Popen(process_obj)
        finally:
            sys.modules["__main__"] = main


class _WorkerContext(SpawnContext):
    Process = _WorkerProcess


def stop_workers() -> None:
    """Kill the processes of our own executors at once; what else this process has started goes on.

    A library user may have pools and processes of his own, and those of a dask cluster on this machine are
    children of his process, too.
    """
    own = [process for process in multiprocessing.active_children() if isinstance(process, _WorkerProcess)]
    for process in own:
        process.kill()
    for process in own:
        process.join()


def make_executor(workers: int) -> Executor:
    """Make the executor for a number of workers.

    Parameters
    ----------
    workers : int
        Number of processes; 0 for this process itself.
    """
    if workers <= 0:
        return SerialExecutor()
    return ProcessPoolExecutor(
        max_workers=workers,
        mp_context=_WorkerContext(),
        initializer=start_worker,
        initargs=(max(usable_cores() // workers, 1), os.getpid()),
    )


def see_others_changes(directory: Path) -> None:
    """See what other machines have just made in a directory of a network file system.

    Such a file system answers for up to a minute from memory whether a name exists, unless this machine has
    changed the directory itself.
    """
    mark = directory / f".look.{socket.gethostname()}.{os.getpid()}.partial"
    with contextlib.suppress(OSError):
        mark.touch()
        mark.unlink()
