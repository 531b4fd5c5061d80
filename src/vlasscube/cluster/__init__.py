"""Planes onto the machines of a cluster, by dask or MPI, through the executor that local processes use too.

A worker of a cluster is a place, not the process that images: each plane is given a process of its own
there, as on one machine. So a plane has CASA for itself, its output goes to the log of the run, its death is
not that of the worker, and a worker can talk to its scheduler while CASA holds the interpreter's lock.

What dask or MPI believe about their workers is not relied upon. Each plane that is handed out has a ticket, a
file in ``records/cluster/``: a worker takes it by renaming it, which only one can do, and ends the plane as
soon as the ticket is gone or the run that wrote it no longer holds its lock. A ticket is never taken twice,
so a plane that dask would do again by itself comes back instead, and `vlasscube.run.workflow` decides.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from concurrent.futures import Executor
from pathlib import Path

from vlasscube.cluster.dask_scheduler import dask_executor
from vlasscube.cluster.mpi import mpi_executor, serve_mpi
from vlasscube.errors import ClusterError


@contextlib.contextmanager
def cluster_executor(
    directory: str | os.PathLike[str], *, scheduler: str | None = None, mpi: bool = False
) -> Iterator[Executor | None]:
    """Yield an executor for the planes of a run directory.

    Before anything is handed out, every worker is asked what it sees.

    Parameters
    ----------
    directory : path-like
        Run directory, seen under the same path by all workers.
    scheduler : str, optional
        Address of a dask scheduler, e.g. ``tcp://host:8786``.
    mpi : bool
        Use the other processes that mpirun has started; they must be in `serve_mpi`.

    Yields
    ------
    concurrent.futures.Executor or None
        None if neither is asked for.

    Raises
    ------
    ClusterError
        If the package is not installed, the scheduler not reached, there are no workers, or one of them does
        not see the run directory or has other versions.
    WorkspaceError
        If the run directory is not usable.
    """
    place = Path(directory).expanduser().absolute()
    if scheduler is not None and mpi:
        raise ClusterError("dask and MPI cannot be used together", hint="Give either --scheduler or --mpi.")
    if scheduler is not None:
        with dask_executor(place, scheduler) as executor:
            yield executor
    elif mpi:
        with mpi_executor(place) as executor:
            yield executor
    else:
        yield None


__all__ = ["cluster_executor", "serve_mpi"]
