"""The file system that a path lies on, and what to do where it cannot do what a run needs."""

from __future__ import annotations

import errno
import os
import re
from dataclasses import dataclass
from pathlib import Path

NO_LOCKS = frozenset({errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP})
"""Errors of file systems that have no locks, or whose server of locks does not answer."""

_MOUNTS = Path("/proc/self/mountinfo")
_MOUNT_WITH_LOCKS = (
    (
        "lustre",
        "Mount Lustre with -o flock on all machines (localflock, if only one machine uses the directory).",
    ),
    (
        "nfs",
        "NFS needs its lock service: mount with local_lock=none and without nolock, and for NFS 3 have "
        "rpc.statd running (nolock or local_lock=all, if only one machine uses the directory).",
    ),
)
_ANY_MOUNT = (
    "Mount it with file locks (Lustre: -o flock; NFS: without nolock, local_lock=none; others have similar "
    "options)."
)


@dataclass(frozen=True)
class FileSystem:
    """A mounted file system."""

    kind: str
    """E.g. ``nfs4``, ``lustre``, ``ext4``; ``unknown`` if it cannot be told."""
    mount_point: str

    def __str__(self) -> str:
        return f"file system {self.kind}, mounted at {self.mount_point}" if self.mount_point else self.kind


def file_system(path: Path, mounts: Path = _MOUNTS) -> FileSystem:
    """Tell what file system a path lies on.

    Parameters
    ----------
    path : Path
        Need not exist; links are followed.
    mounts : Path
        In the form of ``/proc/self/mountinfo``, see proc(5).
    """
    place = Path(os.path.realpath(path))
    found, depth = FileSystem("unknown file system", ""), -1
    try:
        lines = mounts.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return found
    for line in lines:
        left, _, right = line.partition(" - ")
        before, after = left.split(), right.split()
        if len(before) < 5 or not after:
            continue
        point = Path(re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), before[4]))
        # What is mounted later at the same place hides what was there.
        if place.is_relative_to(point) and len(point.parts) >= depth:
            found, depth = FileSystem(after[0], str(point)), len(point.parts)
    return found


def lacks_locks(error: RuntimeError) -> bool:
    """Whether casacore could not open or close a table because its file system has no locks."""
    text = str(error)
    return "ing lock on " in text and any(f"({os.strerror(code)})" in text for code in NO_LOCKS)


def locking_hint(kind: str) -> str:
    """Tell how a kind of file system is mounted with locks."""
    return next((hint for name, hint in _MOUNT_WITH_LOCKS if kind.startswith(name)), _ANY_MOUNT)
