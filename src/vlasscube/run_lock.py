"""One run at a time in a directory.

The lock is the kernel's (``flock``): it ends with the process that holds it, however that ends. Its text
names the owner. The kernel of another machine may know nothing of it, though: network file systems can keep
locks to each client. So an owner on another machine who has not said goodbye is believed to be alive until
the user says otherwise.
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


@dataclass(frozen=True)
class LockOwner:
    """The process that works, or worked, in a directory."""

    host: str
    pid: int
    started: str
    """UTC."""
    boot_id: str = ""
    """Of the kernel it ran under: containers on one machine have different names."""

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}, started {self.started}"


def utc_now() -> str:
    """Time as it stands in records."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def this_process() -> LockOwner:
    """Describe this process as an owner."""
    try:
        boot_id = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        boot_id = ""
    return LockOwner(socket.gethostname(), os.getpid(), utc_now(), boot_id)


@contextlib.contextmanager
def held(path: Path, *, steal: bool = False) -> Iterator[LockOwner | None]:
    """Hold a lock file.

    Parameters
    ----------
    path : Path
        Of the lock file; its directory is made.
    steal : bool
        Take the lock although an owner on another machine has not given it back. The lock of a process of
        this machine that lives is never taken.

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
    directory = path.parent.parent
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        stream = path.open("a+", encoding="utf-8")
    except OSError as error:
        raise WorkspaceError(
            f"cannot write in {directory}: {error.strerror}",
            hint="Make the directory writable, or copy or link the inputs into one that is.",
        ) from error
    with stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise WorkspaceLockedError(
                f"{directory} is in use by {_owner(stream) or 'another process'}.",
                hint="Wait until it has finished or stop it; the lock ends with the process that holds it.",
            ) from None
        me, before = this_process(), _owner(stream)
        if before is not None and not _is_gone(before, me) and not steal:
            raise WorkspaceLockedError(
                f"{directory} may be in use by {before}: it has not given its lock back, and from {me.host} "
                "it cannot be seen whether it lives.",
                hint=f"If it has ended (look on {before.host}), go on with --steal-lock.",
            )
        _write(stream, json.dumps(asdict(me)))
        try:
            yield before
        finally:
            _write(stream, "")


def _is_gone(owner: LockOwner, me: LockOwner) -> bool:
    # Whoever shares our kernel would hold the lock; of the same machine's earlier boots nothing lives.
    return owner.boot_id == me.boot_id or owner.host == me.host


def _write(stream: IO[str], text: str) -> None:
    stream.seek(0)
    stream.truncate(0)
    stream.write(text)
    stream.flush()


def _owner(stream: IO[str]) -> LockOwner | None:
    """The owner that a lock file names; None if it names none that can be understood."""
    stream.seek(0)
    try:
        found: Any = json.loads(stream.read(10_000))
        return LockOwner(
            str(found["host"]), int(found["pid"]), str(found["started"]), str(found.get("boot_id", ""))
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def present_owner(path: Path) -> LockOwner | None:
    """Tell who holds a lock file, without taking it for longer than a look."""
    try:
        stream = path.open(encoding="utf-8")
    except OSError:
        return None
    with stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return _owner(stream) or LockOwner("unknown", 0, "unknown")
    return None
