"""Files and directories that are whole under their final name, and stay so when the machine loses power.

Everything is written beside its place under a name that says so (``.NAME….partial``), forced to disk with the
directories it lies in, and then renamed; the directory that holds the name is forced to disk last. A CASA
image or table is a directory and is treated in the same way, with all files in it. Only this module renames,
syncs, removes trees and computes digests.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import ctypes
import errno
import hashlib
import itertools
import os
import shutil
import stat
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO

_BOOKKEEPING = ("table.dat", "table.info")
"""CASA writes these anew even where it only reads a table; as table.lock, whenever it opens one."""
_SMALL_BYTES = 1 << 20
"""Files in a table up to this size are digested by content, larger ones by modification time."""
_NO_DIRECTORY_SYNC = frozenset({errno.EINVAL, errno.ENOTSUP, errno.ENOSYS})
"""Errors of network file systems that cannot force a directory to disk."""
_NO_RESERVATION = frozenset({errno.EINVAL, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS, errno.ENODEV})
"""Errors of file systems that cannot set room aside."""
_STILL_IN_USE = frozenset({errno.ENOTEMPTY, errno.EEXIST, errno.EBUSY, errno.ESTALE})
"""Errors of network file systems, which keep a file (``.nfs…``) until nobody has it open any more."""
_REMOVAL_PAUSES_S = (0.05, 0.1, 0.2, 0.4, 0.8)
_PIECE_BYTES = 64 << 20
"""Of a large file, digested by itself."""
_MAX_STEM_BYTES = 200
"""Bytes of a name that are kept in the name of its partial file; names have at most 255 bytes."""

_numbers = itertools.count(1)


# ---------------------------------------------------------------------------------------------------- writing


@contextlib.contextmanager
def new_file(path: Path) -> Iterator[IO[bytes]]:
    """Write a file so that its name only ever stands for the whole of it.

    What stood there is replaced on exit, and stays if the block or the disk fails; a link is replaced, not
    followed.

    Parameters
    ----------
    path : Path
        Path of the file, in an existing directory.

    Yields
    ------
    binary stream
        To write to; it is flushed and forced to disk on exit.

    Raises
    ------
    OSError
        If it cannot be written.
    """
    partial = _beside(path, "partial")
    try:
        # Of an earlier process with the same number.
        partial.unlink(missing_ok=True)
        with partial.open("wb") as stream:
            yield stream
            sync_stream(stream)
        partial.replace(path)
    except BaseException:
        discard(partial)
        raise
    _sync_directory(path.parent)


def write_bytes(path: Path, content: bytes) -> None:
    """Write a whole file; see `new_file`. Its directory is made if need be."""
    make_directory(path.parent)
    with new_file(path) as stream:
        stream.write(content)


def write_text(path: Path, text: str) -> None:
    """Write a whole file in UTF-8; see `write_bytes`."""
    write_bytes(path, text.encode())


def mark(path: Path) -> None:
    """Make an empty file that is on disk before anything else happens."""
    write_bytes(path, b"")


def make_directory(path: Path) -> None:
    """Make a directory with those above it, if they are not there, and force their names to disk."""
    missing = list(itertools.takewhile(lambda place: not place.exists(), (path, *path.parents)))
    path.mkdir(parents=True, exist_ok=True)
    for place in reversed(missing):
        _sync_directory(place.parent)


def publish(partial: Path, final: Path) -> None:
    """Rename a finished file or directory to its final name, replacing what stood there.

    It is forced to disk before, with everything in it, and its new name after.

    Raises
    ------
    OSError
        If it cannot be forced to disk or renamed.
    """
    publish_all([(partial, final)])


def publish_all(moves: Iterable[tuple[Path, Path]]) -> None:
    """Publish several files or directories: none is renamed before all of them are on disk.

    Parameters
    ----------
    moves : iterable of (Path, Path)
        What is finished, and its final name on the same file system.
    """
    moves = list(moves)
    for partial, _ in moves:
        sync_tree(partial)
    doomed = []
    for partial, final in moves:
        if _is_directory(final) or _is_directory(partial):
            # Only files can be replaced in one step.
            if os.path.lexists(final):
                doomed.append(_out_of_its_name(final))
            partial.rename(final)
        else:
            partial.replace(final)
    for directory in sorted({path.parent for move in moves for path in move}):
        _sync_directory(directory)
    for path in doomed:
        remove(path)


def move(source: Path, target: Path) -> None:
    """Rename a file that is on disk already; of several processes that try, one succeeds.

    Raises
    ------
    FileNotFoundError
        If it is not there (any more).
    """
    source.rename(target)
    _sync_directory(target.parent)


def sync_stream(stream: IO[bytes] | IO[str]) -> None:
    """Force what was written to a stream to disk."""
    stream.flush()
    os.fsync(stream.fileno())


def sync_tree(path: Path) -> None:
    """Force a file, or a directory with everything in it, to disk; links are not followed.

    What is on disk already costs next to nothing, e.g. files that hard links share with another image.
    """
    if path.is_symlink():
        return
    if not path.is_dir():
        _sync(path, os.O_RDONLY)
        return
    for root, _, names in os.walk(path, topdown=False):
        for name in names:
            file = Path(root, name)
            if not _is_removed(file) and stat.S_ISREG(file.lstat().st_mode):
                _sync(file, os.O_RDONLY)
        _sync_directory(Path(root))


def reserve(stream: IO[bytes], size_bytes: int) -> None:
    """Set room for a file aside, so that writing it cannot fail for want of room.

    Where the file system cannot do so, it is only seen whether there is room now. The system call is used,
    not the C library's ``posix_fallocate``: that would write into every block instead, 1.2 million times for
    a plane of production size.

    Parameters
    ----------
    stream : binary stream
        Open for writing; the file has at least this size afterwards, if room can be set aside.
    size_bytes : int
        From its beginning.

    Raises
    ------
    OSError
        ENOSPC or EDQUOT if there is not that much room, EFBIG if no file may be that large.
    """
    try:
        _fallocate(stream.fileno(), size_bytes)
    except OSError as error:
        if error.errno not in _NO_RESERVATION:
            raise
        room = os.fstatvfs(stream.fileno())
        missing = size_bytes - os.fstat(stream.fileno()).st_size
        # File systems that tell nothing about their room are believed to have some.
        if room.f_blocks and room.f_bavail * room.f_frsize < missing:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) from error


def _fallocate(descriptor: int, size_bytes: int) -> None:
    library = ctypes.CDLL(None, use_errno=True)
    call = getattr(library, "fallocate64", None) or getattr(library, "fallocate", None)
    if call is None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    arguments = (ctypes.c_int(descriptor), ctypes.c_int(0), ctypes.c_int64(0), ctypes.c_int64(size_bytes))
    while call(*arguments) != 0:
        code = ctypes.get_errno()
        if code != errno.EINTR:
            raise OSError(code, os.strerror(code))


def _is_removed(file: Path) -> bool:
    """Whether a file was removed already, and is only kept by NFS until nobody has it open any more."""
    return file.name.startswith(".nfs")


def _sync_directory(directory: Path) -> None:
    try:
        _sync(directory, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        if error.errno not in _NO_DIRECTORY_SYNC:
            raise


def _sync(path: Path, flags: int) -> None:
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    except OSError as error:
        # The system call does not know the name, which a message needs.
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        os.close(descriptor)


def _is_directory(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


def _beside(path: Path, suffix: str) -> Path:
    stem = os.fsdecode(os.fsencode(path.name)[:_MAX_STEM_BYTES])
    return path.with_name(f".{stem}.{os.getpid()}.{next(_numbers)}.{suffix}")


# --------------------------------------------------------------------------------------------------- removing


def remove(path: Path) -> None:
    """Remove a file or directory tree if it is there; links are removed, not followed.

    What is left of a directory because a network file system keeps files that somebody has still open has
    another name (``.NAME….doomed``), and is removed when the next run begins.

    Raises
    ------
    OSError
        If it is there and cannot be removed.
    """
    if _is_directory(path):
        # Out of its name first: a half-deleted directory must not be taken for a whole one.
        _remove_tree(_out_of_its_name(path))
    else:
        path.unlink(missing_ok=True)


def _remove_tree(path: Path) -> None:
    for pause_s in (*_REMOVAL_PAUSES_S, None):
        try:
            shutil.rmtree(path)
        except FileNotFoundError:
            # What NFS had kept is gone meanwhile.
            if not path.exists():
                return
        except OSError as error:
            if error.errno not in _STILL_IN_USE:
                raise
        else:
            return
        if pause_s is not None:
            time.sleep(pause_s)


def discard(path: Path) -> None:
    """Remove what an attempt that failed has left, as far as that is possible: its error matters more."""
    with contextlib.suppress(OSError):
        remove(path)


def _out_of_its_name(path: Path) -> Path:
    doomed = _beside(path, "doomed")
    path.rename(doomed)
    return doomed


# ------------------------------------------------------------------------------------------------- describing


def digest(path: Path) -> str:
    """Digest of a file or directory, by which it is known whether it is as it was.

    Returns
    -------
    str
        For a file the SHA-256, hexadecimal; for a directory ``tree:`` and the SHA-256 of names, sizes, the
        content of files up to 1 MiB and the modification times of larger ones; of what CASA rewrites even
        where it only reads, names and sizes, and of ``table.lock`` nothing. Where the times of large files
        are not those of writing them, because the directory was copied, see `content_digest`.
    """
    if path.is_file():
        return _sha256(path)
    return f"tree:{_tree_digest(path, lambda file, facts: str(facts.st_mtime_ns))}"


def content_digest(path: Path) -> str:
    """Digest of a directory by the content of large files, too, wherever it was copied to.

    All of it is read, in several threads.

    Returns
    -------
    str
        ``content:`` and the SHA-256 of names, sizes and contents, but for what `digest` leaves out; empty
        for a file and for a directory without large files, of which `digest` says as much.
    """
    if path.is_file() or all(facts.st_size <= _SMALL_BYTES for _, facts in _files_in(path)):
        return ""
    with concurrent.futures.ThreadPoolExecutor(min(len(os.sched_getaffinity(0)), 8)) as pool:

        def read(file: Path, facts: os.stat_result) -> str:
            starts = range(0, facts.st_size, _PIECE_BYTES)
            return text_digest("".join(pool.map(lambda start: _piece_digest(file, start), starts)))

        return f"content:{_tree_digest(path, read)}"


def _tree_digest(path: Path, describe_large: Callable[[Path, os.stat_result], str]) -> str:
    state = hashlib.sha256()
    for entry, facts in _files_in(path):
        if entry.name in _BOOKKEEPING:
            content = ""
        elif facts.st_size <= _SMALL_BYTES:
            content = _sha256(entry)
        else:
            content = describe_large(entry, facts)
        state.update(f"{entry.relative_to(path)}\0{facts.st_size}\0{content}\n".encode())
    return state.hexdigest()


def _files_in(path: Path) -> Iterator[tuple[Path, os.stat_result]]:
    for entry in sorted(path.rglob("*")):
        if entry.is_file() and entry.name != "table.lock" and not _is_removed(entry):
            yield entry, entry.stat()


def _piece_digest(file: Path, start: int) -> str:
    with file.open("rb") as stream:
        stream.seek(start)
        state, end = hashlib.sha256(), start + _PIECE_BYTES
        while piece := stream.read(min(_SMALL_BYTES, end - stream.tell())):
            state.update(piece)
    return state.hexdigest()


def text_digest(text: str) -> str:
    """SHA-256 of a text in UTF-8, hexadecimal."""
    return hashlib.sha256(text.encode()).hexdigest()


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def size_bytes(path: Path) -> int:
    """Size of a file or of all files in a directory."""
    if path.is_file():
        return path.stat().st_size
    return sum(
        entry.stat().st_size for entry in path.rglob("*") if entry.is_file() and not _is_removed(entry)
    )
