"""What the workers of a cluster see of a run, asked before anything is handed out."""

from __future__ import annotations

import os
import socket
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from vlasscube.cluster.tickets import other_versions, run_is_alive, versions
from vlasscube.errors import ClusterError


@dataclass(frozen=True)
class Sight:
    """What a worker sees of the run."""

    host: str
    versions: dict[str, str]
    cores: frozenset[int]
    directory: bool
    alive: bool
    trouble: str = ""


def look(office: str, token: str) -> Sight:
    """Tell what this process sees of a run."""
    place, trouble = Path(office), ""
    directory = alive = False
    try:
        directory = token in (place / "lock").read_text(encoding="utf-8")
        alive = directory and run_is_alive(place, token)
        # A directory that can be read need not be writable.
        if directory:
            with tempfile.NamedTemporaryFile(dir=place, prefix=".look.", suffix=".partial"):
                pass
    except OSError as error:
        trouble = f"{error.strerror or error}: {error.filename or place}"
    cores = frozenset(os.sched_getaffinity(0))
    return Sight(socket.gethostname(), versions(), cores, directory, alive, trouble)


def require_same_sight(directory: Path, sights: Mapping[str, Sight | BaseException]) -> None:
    """Complain about the first worker with which the run cannot go well.

    Raises
    ------
    ClusterError
        Naming the worker's host and what is wrong.
    """
    same = "Start the workers in the same environment (virtual environment, container) as this command."
    for name, sight in sights.items():
        if isinstance(sight, BaseException):
            if isinstance(sight, ImportError | AttributeError):
                raise ClusterError(f"vlasscube cannot be used on the worker {name}: {sight}", hint=same)
            raise ClusterError(f"the worker {name} does not answer: {sight or type(sight).__name__}")
        if sight.versions != versions():
            raise ClusterError(other_versions(sight.host, sight.versions, versions()), hint=same)
        if not sight.directory:
            reason = f" ({sight.trouble})" if sight.trouble else ""
            raise ClusterError(
                f"the worker on {sight.host} does not see the run directory {directory}{reason}",
                hint="Put it on a file system that all machines share, under the same path.",
            )
        if not sight.alive and not sight.trouble:
            raise ClusterError(
                f"the worker on {sight.host} does not see that {directory} is locked by this run",
                hint="The file system must share locks between machines: mount Lustre with -o flock, NFS "
                "without nolock and local_lock.",
            )
        if sight.trouble:
            raise ClusterError(f"the worker on {sight.host}: {sight.trouble}")


def thread_shares(sights: Mapping[str, Sight | BaseException]) -> dict[str, int]:
    """Threads for a plane by host: the worker's cores, divided among the workers that have the same ones."""
    found = [sight for sight in sights.values() if isinstance(sight, Sight)]
    shares: dict[str, int] = {}
    for sight in found:
        beside = sum(1 for other in found if other.host == sight.host and other.cores & sight.cores)
        threads = max(len(sight.cores) // max(beside, 1), 1)
        shares[sight.host] = min(threads, shares.get(sight.host, threads))
    return shares
