"""Locks: one run at a time in a directory, one process at a time for a plane.

A lock is the kernel's (``flock``): it ends with the process that holds it, however that ends. Its text names
the owner. The kernel of another machine may know nothing of it, though: network file systems can keep locks
to each client. So an owner of a run directory on another machine who has not said goodbye is believed to be
alive until the user says otherwise.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import socket
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

from vlasscube.errors import WorkspaceError, WorkspaceLockedError
from vlasscube.workspace.files import sync_stream

PLANE_PATIENCE_S = 60.0
"""Seconds to wait for the lock of a plane: whoever holds it is of a run that has ended, and ends, too."""
_POLL_S = 0.2


@dataclass(frozen=True)
class LockOwner:
    """The process that holds, or held, a lock."""

    host: str
    pid: int
    started: str
    """UTC."""
    boot_id: str = ""
    """Boot id of its kernel: containers on one machine have different host names."""
    token: str = ""
    """Token of a run on a cluster, by which its workers recognise it."""

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}, started {self.started}"


def utc_now() -> str:
    """Time as it stands in records."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def this_process(token: str = "") -> LockOwner:
    """Describe this process as an owner."""
    try:
        boot_id = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        boot_id = ""
    return LockOwner(socket.gethostname(), os.getpid(), utc_now(), boot_id, token)


@contextlib.contextmanager
def held(
    path: Path, what: str, *, patience_s: float = 0.0, steal: bool = True, token: str = ""
) -> Iterator[LockOwner | None]:
    """Hold a lock file.

    Parameters
    ----------
    path : Path
        Path of the lock file; its directory is made.
    what : str
        What the lock is of, for the message.
    patience_s : float
        Seconds to wait for a process that holds it.
    steal : bool
        Take the lock although an owner on another machine has not given it back. The lock of a process of
        this machine that lives is never taken.
    token : str
        Kept in the lock file.

    Yields
    ------
    LockOwner or None
        The owner before, if it ended without giving the lock back.

    Raises
    ------
    WorkspaceLockedError
        If another process holds it, or may hold it; the message names its host, process and start.
    WorkspaceError
        If the directory cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        stream = path.open("a+", encoding="utf-8")
    except OSError as error:
        raise WorkspaceError(
            f"cannot write to {path.parent}: {error.strerror}",
            hint="Make the directory writable, or copy or link the inputs into one that is.",
        ) from error
    with stream:
        _acquire(stream, fcntl.LOCK_EX, what, patience_s)
        me, before = this_process(token), _owner(stream)
        if before is not None and not _is_gone(before, me) and not steal:
            raise WorkspaceLockedError(
                f"{what} may be in use by {before}: its lock was not released, and {me.host} cannot tell "
                "whether it is still running.",
                hint=f"If it has ended (check on {before.host}), take over its lock with --steal-lock.",
            )
        _write(stream, json.dumps(asdict(me)))
        try:
            yield before
        finally:
            _write(stream, "")


def _acquire(stream: IO[str], kind: int, what: str, patience_s: float) -> None:
    deadline = time.monotonic() + patience_s
    while True:
        try:
            fcntl.flock(stream, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                raise WorkspaceLockedError(
                    f"{what} is in use by {_owner(stream) or 'another process'}.",
                    hint="Wait until it has finished, or stop it; its lock is released when it ends.",
                ) from None
            time.sleep(_POLL_S)
        else:
            return


def _is_gone(owner: LockOwner, me: LockOwner) -> bool:
    # Whoever shares our kernel would hold the lock; of the same machine's earlier boots nothing lives.
    return owner.boot_id == me.boot_id or owner.host == me.host


def _write(stream: IO[str], text: str) -> None:
    stream.seek(0)
    stream.truncate(0)
    stream.write(text)
    sync_stream(stream)


def _owner(stream: IO[str]) -> LockOwner | None:
    """The owner that a lock file names; None if it names none that can be understood."""
    stream.seek(0)
    try:
        found: Any = json.loads(stream.read(10_000))
        return LockOwner(
            str(found["host"]),
            int(found["pid"]),
            str(found["started"]),
            str(found.get("boot_id", "")),
            str(found.get("token", "")),
        )
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
        return None


def present_owner(path: Path) -> LockOwner | None:
    """Tell who holds a lock file, without taking it for longer than a look.

    Raises
    ------
    OSError
        If that cannot be told, e.g. because there is no such file.
    """
    with path.open(encoding="utf-8") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return _owner(stream) or LockOwner("unknown", 0, "unknown")
    return None


# ------------------------------------------------------------------------------------------------- planes


def plane_lock(planes: Path, label: str) -> contextlib.AbstractContextManager[LockOwner | None]:
    """Lock that is held while a plane is written; ``planes`` is the directory of the planes' records."""
    return held(planes / label / "lock", f"plane {label}", patience_s=PLANE_PATIENCE_S)


def wait_for_planes(planes: Path) -> None:
    """Wait until no plane is being written any more, e.g. by workers that an earlier run has left.

    Raises
    ------
    WorkspaceLockedError
        If one still is after `PLANE_PATIENCE_S`.
    """
    deadline = time.monotonic() + PLANE_PATIENCE_S
    for path in sorted(planes.glob("*/lock")):
        with contextlib.suppress(FileNotFoundError), path.open(encoding="utf-8") as stream:
            _acquire(stream, fcntl.LOCK_SH, f"plane {path.parent.name}", deadline - time.monotonic())
