"""Locks: one run at a time in a directory, one process at a time for a plane.

A lock is the kernel's (``flock``): it ends with the process that holds it, however that ends. Its text names
the owner. The kernel of another machine may know nothing of it, though: network file systems can keep locks
to each client. So an owner of a run directory on another machine who has not said goodbye is believed to be
alive until the user says otherwise.

Where the file system has no ``flock`` the lock is a file beside it, ``NAME.exclusive``, which only one
process can create. It does not end with its process; but whether a process of this machine lives can be
seen, and an owner on another machine is treated as above.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import os
import socket
import tempfile
import time
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

from vlasscube.errors import WorkspaceError, WorkspaceLockedError
from vlasscube.workspace.file_systems import NO_LOCKS, file_system, locking_hint
from vlasscube.workspace.files import discard, move, remove, sync_stream

logger = logging.getLogger("vlasscube")

PLANE_PATIENCE_S = 60.0
"""Seconds to wait for the lock of a plane: whoever holds it is of a run that has ended, and ends, too."""
_POLL_S = 0.2
_NOT_OURS = (FileNotFoundError, NotADirectoryError, PermissionError, BlockingIOError)
"""A table without a lock, that nobody may lock, or that is locked."""


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
    pid_namespace: str = ""
    """In which ``pid`` means something: containers on one machine have different ones."""
    start_ticks: str = ""
    """When the process began, in the kernel's ticks: a number may be used again by another process."""

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
    try:
        pid_namespace = str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        pid_namespace = ""
    pid = os.getpid()
    return LockOwner(
        socket.gethostname(), pid, utc_now(), boot_id, token, pid_namespace, _start_ticks(pid) or ""
    )


def _start_ticks(pid: int) -> str | None:
    """When a process of this machine began; None if there is none of this number, or only its remains."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    # The name of the program, in parentheses, can hold anything.
    state, *rest = text.rpartition(")")[2].split()
    return None if state in "ZX" else rest[18]


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
    with contextlib.ExitStack() as stack:
        stack.enter_context(stream)
        me = this_process(token)
        try:
            _acquire(stream, fcntl.LOCK_EX, what, patience_s)
        except OSError as error:
            if error.errno not in NO_LOCKS:
                raise
            _tell_of_lock_files(path, error)
            stack.enter_context(_lock_file(path, what, me, patience_s, steal=steal))
        else:
            # Another machine may have mounted the same directory without locks.
            _wait_for_lock_file(path, what, me, patience_s, steal=steal)
        before = _owner(stream)
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


# ---------------------------------------------------------------------------------------- without flock


_told: set[str] = set()


def _tell_of_lock_files(path: Path, error: OSError) -> None:
    """Warn, once for each file system, that a lock may stay behind."""
    system = file_system(path)
    if system.mount_point not in _told:
        _told.add(system.mount_point)
        logger.warning(
            "%s (%s) has no flock: %s. Files %s are the locks instead; one whose process was killed on "
            "another machine has to be taken with --steal-lock. %s",
            path.parent, system, error.strerror, f"{path.name}.exclusive", locking_hint(system.kind),
        )  # fmt: skip


def _exclusive(path: Path) -> Path:
    return path.with_name(f"{path.name}.exclusive")


@contextlib.contextmanager
def _lock_file(path: Path, what: str, me: LockOwner, patience_s: float, *, steal: bool) -> Iterator[None]:
    """Hold a lock by the existence of a file."""
    place, deadline = _exclusive(path), time.monotonic() + patience_s
    while True:
        try:
            stream = place.open("x", encoding="utf-8")
        except FileExistsError:
            _wait_for_lock_file(path, what, me, deadline - time.monotonic(), steal=steal)
        else:
            break
    try:
        with stream:
            _write(stream, json.dumps(asdict(me)))
        yield
    finally:
        if _owner_in(place) in (me, None):
            remove(place)


def _wait_for_lock_file(path: Path, what: str, me: LockOwner, patience_s: float, *, steal: bool) -> None:
    """Wait until nobody holds a lock by a file, and remove one that was left behind."""
    place, deadline = _exclusive(path), time.monotonic() + patience_s
    while os.path.lexists(place):
        holder = _owner_in(place)
        lives = None if holder is None else _lives(holder, me)
        is_late = time.monotonic() >= deadline
        if lives is False or (lives is None and steal and is_late):
            _break_lock_file(place, holder)
        elif is_late:
            who = holder or "another process"
            if lives:
                raise WorkspaceLockedError(
                    f"{what} is in use by {who}.", hint="Wait until it has finished, or stop it."
                )
            raise WorkspaceLockedError(
                f"{what} may be in use by {who}: its lock file {place} is there, and from {me.host} it "
                "cannot be seen whether it lives.",
                hint="If it has ended, go on with --steal-lock.",
            )
        else:
            time.sleep(_POLL_S)


def _break_lock_file(place: Path, holder: LockOwner | None) -> None:
    """Remove the lock file of a process that has ended, unless another one has just taken its place."""
    aside = place.with_name(f".{place.name}.{uuid.uuid4().hex}.partial")
    try:
        move(place, aside)
    except FileNotFoundError:
        return
    if _owner_in(aside) != holder:
        with contextlib.suppress(OSError):
            place.hardlink_to(aside)
    discard(aside)


def _owner_in(place: Path) -> LockOwner | None:
    try:
        with place.open(encoding="utf-8") as stream:
            return _owner(stream)
    except OSError:
        return None


def _lives(owner: LockOwner, me: LockOwner) -> bool | None:
    """Whether a process lives; None if that cannot be seen from here."""
    if not owner.boot_id or not me.boot_id:
        return None
    if owner.boot_id != me.boot_id:
        return False if owner.host == me.host else None
    if owner.pid_namespace != me.pid_namespace:
        return None
    return _start_ticks(owner.pid) == owner.start_ticks


def require_table_locks(directory: Path, tables: Iterable[Path]) -> None:
    """Require the locks that CASA needs to open its tables.

    Parameters
    ----------
    directory : Path
        Where tables will be made.
    tables : iterable of Path
        What will be read.

    Raises
    ------
    WorkspaceError
        If a file system has none, naming it and the mount option.
    """
    try:
        with tempfile.NamedTemporaryFile(dir=directory, prefix=".locks.", suffix=".partial") as stream:
            fcntl.lockf(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        for table in tables:
            # Who is writing to it is told where it is read.
            with contextlib.suppress(*_NOT_OURS), (table / "table.lock").open("rb") as lock:
                directory = table
                fcntl.lockf(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
        system = file_system(directory)
        raise WorkspaceError(
            f"{directory} ({system}) has no file locks (fcntl): {error.strerror}. CASA cannot open its "
            "tables without.",
            hint=f"{locking_hint(system.kind)} Or work in a directory on another file system.",
        ) from error


# -------------------------------------------------------------------------------------------- owners


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
            str(found.get("pid_namespace", "")),
            str(found.get("start_ticks", "")),
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
        except OSError as error:
            if error.errno not in NO_LOCKS:
                raise
    place = _exclusive(path)
    if not os.path.lexists(place):
        return None
    owner = _owner_in(place) or LockOwner("unknown", 0, "unknown")
    return None if _lives(owner, this_process()) is False else owner


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
            what, patience_s = f"plane {path.parent.name}", deadline - time.monotonic()
            try:
                _acquire(stream, fcntl.LOCK_SH, what, patience_s)
            except OSError as error:
                if error.errno not in NO_LOCKS:
                    raise
            # Of a process on another machine that has not ended by then nothing more is to be expected.
            _wait_for_lock_file(path, what, this_process(), deadline - time.monotonic(), steal=True)
