"""Planes by the other processes of mpirun."""

from __future__ import annotations

import contextlib
import importlib
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import Executor
from pathlib import Path
from typing import Any

from vlasscube.cluster.executor import TicketExecutor
from vlasscube.cluster.packages import require_package
from vlasscube.cluster.tickets import ticket_directory
from vlasscube.cluster.worker_checks import (
    WorkerView,
    inspect_worker,
    require_usable_workers,
    thread_shares,
    warn_of_unused_cores,
)
from vlasscube.errors import ClusterError


def _import_mpi() -> tuple[Any, Any]:
    require_package("mpi4py", "mpi4py")
    try:
        return importlib.import_module("mpi4py.MPI"), importlib.import_module("mpi4py.futures")
    except (ImportError, RuntimeError) as error:
        raise ClusterError(
            f"MPI does not start: {error}", hint="mpi4py needs an MPI library (Debian: openmpi-bin)."
        ) from error


def serve_mpi() -> bool:
    """Do what the first process of mpirun hands out, if this is one of the others.

    Returns
    -------
    bool
        Whether it is: there is nothing left to do then. Otherwise `cluster_executor` must follow at once, as
        the others wait for it.

    Raises
    ------
    ClusterError
        If MPI cannot be used.
    """
    mpi, futures = _import_mpi()
    world = mpi.COMM_WORLD
    if world.Get_rank() == 0:
        return False
    if threading.current_thread() is threading.main_thread():
        # An interrupted task would be a result like others. The first process ends what is to be ended; when
        # mpirun or the queue does, its signal is final.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
    question: tuple[str, str] | None = world.bcast(None, root=0)
    if question is None:
        return True
    world.gather(_try_to_inspect(*question), root=0)
    if world.bcast(None, root=0):
        with futures.MPICommExecutor(world, root=0):
            pass
    return True


def _try_to_inspect(tickets: str, token: str) -> WorkerView | Exception:
    try:
        return inspect_worker(tickets, token)
    except Exception as error:
        return RuntimeError(f"{type(error).__name__}: {error}")


@contextlib.contextmanager
def mpi_executor(directory: Path) -> Iterator[Executor]:
    """Yield an executor for the other processes of MPI; see `vlasscube.cluster.cluster_executor`."""
    mpi, futures = _import_mpi()
    world = mpi.COMM_WORLD
    if world.Get_size() < 2:
        raise ClusterError(
            "MPI has only one process",
            hint="Start several, e.g.:  mpirun -n 5 vlasscube run DIR --mpi  (one leads, four image).",
        )
    with contextlib.ExitStack() as stack:
        try:
            tickets, token = stack.enter_context(ticket_directory(directory))
        except BaseException:
            world.bcast(None, root=0)
            raise
        world.bcast((str(tickets), token), root=0)
        _, *found = world.gather(None, root=0)
        views: dict[str, WorkerView | BaseException] = {
            f"{rank} of MPI": view for rank, view in enumerate(found, start=1)
        }
        try:
            require_usable_workers(directory, views)
            warn_of_unused_cores(views)
        except BaseException:
            world.bcast(False, root=0)
            raise
        world.bcast(True, root=0)
        # main=False: the workers are in a command of their own already and import no main module.
        pool = stack.enter_context(futures.MPICommExecutor(world, root=0, main=False))
        executor = TicketExecutor(pool, tickets, token, thread_shares(views))
        try:
            yield executor
        except BaseException:
            # The tickets go, so the workers end their planes and the pool can be left.
            executor.shutdown(cancel_futures=True)
            pool.shutdown(wait=False, cancel_futures=True)
            raise
