"""Tickets: the right to work on a plane once, for one run, as files in ``records/cluster/``."""

from __future__ import annotations

import contextlib
import platform
import socket
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from vlasscube import __version__
from vlasscube.casa import version as casa_version
from vlasscube.errors import WorkerLostError, WorkerRefusedError, WorkspaceError
from vlasscube.processes.code_identity import CODE, code_digest
from vlasscube.workspace.files import discard, move, write_text
from vlasscube.workspace.locks import held, present_owner

LOCK_PATIENCE_S = 5.0
"""Seconds to wait for the lock of a run: its workers look at it, each for a moment."""


@dataclass(frozen=True)
class Ticket:
    """The right to work on one plane once, for one run."""

    directory: Path
    name: str
    token: str
    versions: dict[str, str]
    threads: dict[str, int]

    @property
    def issued(self) -> Path:
        """The file until a worker takes it."""
        return self.directory / f"{self.name}.issued"

    @property
    def taken(self) -> Path:
        """The file after that."""
        return self.directory / f"{self.name}.taken"

    def issue(self) -> None:
        """Make it valid."""
        write_text(self.issued, self.token)

    def revoke(self) -> None:
        """Make it invalid: whoever works on it ends."""
        discard(self.issued)
        discard(self.taken)

    def take(self) -> None:
        """Take it.

        Raises
        ------
        WorkerLostError
            If another worker has, which then has not come back with a result.
        """
        try:
            move(self.issued, self.taken)
        except FileNotFoundError:
            raise WorkerLostError("the worker that was imaging the plane is lost") from None

    def is_valid(self) -> bool:
        """Whether the result is still wanted: the ticket is there, and its run alive."""
        try:
            # Opened rather than looked for: network file systems ask the server only then.
            if self.taken.read_text(encoding="ascii") != self.token:
                return False
            return run_is_alive(self.directory, self.token)
        except FileNotFoundError:
            return False
        except OSError:
            # A file system that does not answer says nothing about the run.
            return True

    def refuse_other_versions(self) -> None:
        """Refuse to work with other versions than the run's: a worker may have come after the others.

        Raises
        ------
        WorkerRefusedError
            Naming host and versions.
        """
        if (ours := versions()) != self.versions:
            raise WorkerRefusedError(other_versions(socket.gethostname(), ours, self.versions))

    def refuse_without_directory(self) -> None:
        """Refuse to work where the run directory is not seen.

        Raises
        ------
        WorkerRefusedError
            Naming host and directory.
        """
        if not self.directory.is_dir():
            raise WorkerRefusedError(
                f"the worker on {socket.gethostname()} does not see {self.directory.parent.parent}"
            )


@contextlib.contextmanager
def ticket_directory(directory: Path) -> Iterator[tuple[Path, str]]:
    """Open the directory of tickets for one run; its lock says that the run is alive.

    Raises
    ------
    WorkspaceError
        If the run directory is not there, not writable, or used by another run.
    """
    if not directory.is_dir():
        raise WorkspaceError(f"no such directory: {directory}", hint="Give the run directory.")
    tickets, token = directory / "records" / "cluster", uuid.uuid4().hex
    lock = tickets / "lock"
    with held(lock, f"{directory} (its cluster)", patience_s=LOCK_PATIENCE_S, token=token):
        # Tickets of another token are good for nothing.
        for leftover in (*tickets.glob("*.issued"), *tickets.glob("*.taken")):
            discard(leftover)
        yield tickets, token


def run_is_alive(tickets: Path, token: str) -> bool:
    """Whether the run of this token holds its lock; OSError if that cannot be told."""
    owner = present_owner(tickets / "lock")
    return owner is not None and owner.token == token


def versions() -> dict[str, str]:
    """Tell what must be the same on all machines."""
    return {
        "vlasscube": __version__,
        CODE: code_digest(),
        "Python": platform.python_version(),
        "casatasks": casa_version(),
    }


def other_versions(host: str, theirs: Mapping[str, str], ours: Mapping[str, str]) -> str:
    """Describe what is not the same on a worker."""
    differing = [
        f"{name} {theirs.get(name)} instead of {ours[name]}"
        for name in ours
        if theirs.get(name) != ours[name]
    ]
    return f"the worker on {host} has {', '.join(differing)}"
