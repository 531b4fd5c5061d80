"""What the workers of a cluster see of a run, asked before anything is handed out."""

from __future__ import annotations

import logging
import os
import socket
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from vlasscube.cluster.tickets import other_versions, run_is_alive, versions
from vlasscube.errors import ClusterError
from vlasscube.processes.machine import slurm_cores, unused_cores_text, usable_cores

logger = logging.getLogger("vlasscube")


@dataclass(frozen=True)
class WorkerView:
    """What a worker sees of the run."""

    host: str
    versions: dict[str, str]
    cores: frozenset[int]
    directory: bool
    alive: bool
    trouble: str = ""
    usable_cores: int = 0
    """Of ``cores``, by the quota of control groups; 0 if not known."""
    requested_cores: int = 0
    """Asked of SLURM for each task; 0 without."""


def inspect_worker(tickets: str, token: str) -> WorkerView:
    """Tell what this process sees of a run."""
    place, trouble = Path(tickets), ""
    directory = alive = False
    try:
        directory = token in (place / "lock").read_text(encoding="utf-8")
        alive = directory and run_is_alive(place, token)
        # A directory that can be read need not be writable.
        if directory:
            with tempfile.NamedTemporaryFile(dir=place, prefix=".check.", suffix=".partial"):
                pass
    except OSError as error:
        trouble = f"{error.strerror or error}: {error.filename or place}"
    cores = frozenset(os.sched_getaffinity(0))
    return WorkerView(
        socket.gethostname(), versions(), cores, directory, alive, trouble, usable_cores(), slurm_cores()
    )


def require_usable_workers(directory: Path, views: Mapping[str, WorkerView | BaseException]) -> None:
    """Complain about the first worker with which the run cannot go well.

    Raises
    ------
    ClusterError
        Naming the worker's host and what is wrong.
    """
    same = "Start the workers in the same environment (virtual environment, container) as this command."
    for name, view in views.items():
        if isinstance(view, BaseException):
            if isinstance(view, ImportError | AttributeError):
                raise ClusterError(f"vlasscube cannot be used on the worker {name}: {view}", hint=same)
            raise ClusterError(f"the worker {name} does not answer: {view or type(view).__name__}")
        if view.versions != versions():
            raise ClusterError(other_versions(view.host, view.versions, versions()), hint=same)
        if not view.directory:
            reason = f" ({view.trouble})" if view.trouble else ""
            raise ClusterError(
                f"the worker on {view.host} does not see the run directory {directory}{reason}",
                hint="Put it on a file system that all machines share, under the same path.",
            )
        if not view.alive and not view.trouble:
            raise ClusterError(
                f"the worker on {view.host} does not see that {directory} is locked by this run",
                hint="The file system must share locks between machines: mount Lustre with -o flock, NFS "
                "without nolock and local_lock.",
            )
        if view.trouble:
            raise ClusterError(f"the worker on {view.host}: {view.trouble}")


def warn_of_unused_cores(views: Mapping[str, WorkerView | BaseException]) -> None:
    """Warn of hosts where workers have fewer cores than SLURM was asked for."""
    few = {
        view.host: view
        for view in views.values()
        if isinstance(view, WorkerView) and 0 < view.usable_cores < view.requested_cores
    }
    for host, view in few.items():
        logger.warning(
            "the worker on %s: %s", host, unused_cores_text(view.usable_cores, view.requested_cores)
        )


def thread_shares(views: Mapping[str, WorkerView | BaseException]) -> dict[str, int]:
    """Threads for a plane by host: the worker's cores, divided among the workers that have the same ones."""
    found = [view for view in views.values() if isinstance(view, WorkerView)]
    shares: dict[str, int] = {}
    for view in found:
        beside = sum(1 for other in found if other.host == view.host and other.cores & view.cores)
        # A quota is of the group that a worker is in, and mostly its own.
        threads = max(min(len(view.cores) // max(beside, 1), view.usable_cores or len(view.cores)), 1)
        shares[view.host] = min(threads, shares.get(view.host, threads))
    return shares
