"""A gzip tar as a stream of vetted members: nothing is written here, and nothing hostile gets past.

The standard library's extraction is not used at all: its filters have been bypassed with links more than
once.
"""

from __future__ import annotations

import gzip
import re
import struct
import tarfile
import unicodedata
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from vlasscube.errors import ArchiveError

Progress = Callable[[int, int], None]
"""Called with the bytes of the archive done, and its size."""

CHUNK_BYTES = 1 << 20
_BLOCK_BYTES = 512
_MAX_COMPONENT_BYTES = 255
_MAX_PATH_BYTES = 1024
_MAX_DEPTH = 16
_MAX_HEADER_BYTES = 1 << 16
_MAX_HEADERS_BYTES = 64 << 20
"""Largest total size of the extended headers."""
_MAX_RECORDS = 1000
"""Largest number of records of one extended header, and of all global ones."""
_TYPE = slice(156, 157)
"""Where a header block has its type."""
_PAX_RECORD = re.compile(rb"([0-9]{1,5}) ([^=\n]+)=")
_OF_ONE_MEMBER = frozenset({b"path", b"linkpath", b"size"})
"""Keys that no global header can have: tarfile would skip another size than it reads."""
_LONG_NUMBER = re.compile(rb"[0-9]{100}")
_MAX_PADDING_BYTES = 16 << 20
_PAX_TYPES = (tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE)
_EXTENSION_TYPES = (*_PAX_TYPES, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK)
_DAMAGED_HINT = "Copy or download the archive again and compare its checksum with the original."
_HOSTILE_HINT = (
    "Pack the products of the continuum run again, as plain files and directories with relative names."
)
_LINK_HINT = "Pack the products of the continuum run again with: tar --hard-dereference"


@dataclass(frozen=True)
class ArchiveLimits:
    """What an archive may hold; real ones have a dozen images of 12500² or 16384² pixels (625 to 1074 MB)."""

    max_members: int = 50_000
    max_member_bytes: int = 4 << 30
    max_total_bytes: int = 64 << 30
    max_ratio: float = 1000.0
    """Unpacked to packed size, looked at above `ratio_from_bytes`. Deflate ends at 1032, and empty masks come
    close to that: only larger archives can be told from bombs."""
    ratio_from_bytes: int = 4 << 30


@dataclass(frozen=True)
class Member:
    """A regular file or directory of an archive."""

    name: str
    """Relative path with single slashes."""
    is_directory: bool
    size_bytes: int
    same_as: str = ""
    """Name of an earlier member that is a file with data of its own, where this one is a hard link to it."""


@dataclass(frozen=True)
class VettedMember:
    """A member and how to read it; readable only until the next one is asked for. A hard link has no data."""

    member: Member
    chunks: Callable[[], Iterator[bytes]]


class _Source:
    """The unpacked bytes, forward only, counted and bounded; damage becomes `ArchiveError`."""

    def __init__(self, raw: IO[bytes], size: int, limits: ArchiveLimits, progress: Progress | None) -> None:
        self._raw = raw
        self._size = size
        self._gzip = gzip.GzipFile(fileobj=raw, mode="rb")
        self._limits = limits
        self._progress = progress
        self._position = 0
        self.last = b""
        """What the last read returned."""
        self._extension = b""
        """Type of the extended header whose content comes next."""
        self._extension_bytes = 0
        self._global_records = 0

    def tell(self) -> int:
        return self._position

    def read(self, count: int = -1) -> bytes:
        """Read for tarfile: header blocks, and the content of extended headers in one piece."""
        if not 0 <= count <= _MAX_HEADER_BYTES:
            raise ArchiveError(f"The archive has a header of {count} bytes.", hint=_HOSTILE_HINT)
        block, extension, self._extension = self.take(count), self._extension, b""
        if extension:
            self._vet_extension(extension, block)
        elif count == _BLOCK_BYTES:
            kind = block[_TYPE]
            if kind == tarfile.GNUTYPE_SPARSE:
                raise _sparse()
            if kind in _EXTENSION_TYPES:
                self._extension = kind
        return block

    def _vet_extension(self, kind: bytes, content: bytes) -> None:
        self._extension_bytes += len(content)
        if self._extension_bytes > _MAX_HEADERS_BYTES:
            raise ArchiveError(
                f"The archive has more than {_MAX_HEADERS_BYTES >> 20} MiB of headers.", hint=_HOSTILE_HINT
            )
        if kind in _PAX_TYPES:
            keys = _pax_keys(content)
            if kind == tarfile.XGLTYPE:
                self._global_records += len(keys)
                if not _OF_ONE_MEMBER.isdisjoint(keys):
                    raise ArchiveError(
                        "The archive gives all its members one size or name.", hint=_HOSTILE_HINT
                    )
            if max(len(keys), self._global_records) > _MAX_RECORDS:
                raise ArchiveError("The archive has a header of too many records.", hint=_HOSTILE_HINT)

    def take(self, count: int) -> bytes:
        """Read what is not a header."""
        try:
            self.last = self._gzip.read(count)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise ArchiveError(
                f"The archive is truncated, damaged or not a gzip file: {error}", hint=_DAMAGED_HINT
            ) from error
        except OSError as error:
            raise ArchiveError(
                f"The archive cannot be read: {error.strerror or error}", hint=_DAMAGED_HINT
            ) from error
        self._position += len(self.last)
        self._check_limits()
        return self.last

    def seek(self, offset: int, whence: int = 0) -> int:
        if whence != 0 or offset < self._position:
            raise ArchiveError("The archive's members overlap.", hint=_HOSTILE_HINT)
        while self._position < offset:
            if not self.take(min(CHUNK_BYTES, offset - self._position)):
                raise ArchiveError("The archive is truncated.", hint=_DAMAGED_HINT)
        return self._position

    def _check_limits(self) -> None:
        packed = self._raw.tell()
        if self._progress is not None:
            self._progress(min(packed, self._size), self._size)
        if self._position > self._limits.max_total_bytes:
            raise ArchiveError(
                f"The archive unpacks to more than {self._limits.max_total_bytes / 2**30:.1f} GiB.",
                hint="Raise the limit if you trust the archive.",
            )
        if (
            self._position > self._limits.ratio_from_bytes
            and self._position > self._limits.max_ratio * packed
        ):
            raise ArchiveError(
                f"The archive unpacks to more than {self._limits.max_ratio:g} times its size.",
                hint="This does not look like an archive of images; raise the limit if you trust it.",
            )

    def drain(self) -> None:
        """Read to the end, which makes gzip compare its checksum; only padding may be left."""
        padding = 0
        while chunk := self.take(CHUNK_BYTES):
            padding += len(chunk)
            if padding > _MAX_PADDING_BYTES or chunk.count(0) != len(chunk):
                raise ArchiveError("The archive has data after its end.", hint=_HOSTILE_HINT)


def _pax_keys(content: bytes) -> list[bytes]:
    """Keys of the records of a pax header; what makes tarfile slow or greedy is refused.

    Lengths that do not fit, and long numbers, take it time and memory that grow with the square of the size,
    in the releases of Python that lack the correction of CVE-2024-6232.
    """
    content = content.rstrip(b"\0")
    if _LONG_NUMBER.search(content):
        raise ArchiveError("The archive has an absurd number in a header.", hint=_HOSTILE_HINT)
    position, keys = 0, []
    while position < len(content):
        match = _PAX_RECORD.match(content, position)
        end = position + int(match[1]) if match else 0
        if match is None or end < match.end() or content[end - 1 : end] != b"\n":
            raise ArchiveError("The archive has a damaged extended header.", hint=_DAMAGED_HINT)
        if match[2].startswith(b"GNU.sparse."):
            raise _sparse()
        keys.append(match[2])
        position = end
    return keys


def _sparse() -> ArchiveError:
    # Sparse files unpack to something that has nothing to do with their size in the archive.
    return ArchiveError("The archive has a sparse file.", hint=_HOSTILE_HINT)


class _Vetting:
    """Looks at the members of one archive in turn; remembers their names."""

    def __init__(self, limits: ArchiveLimits) -> None:
        self._limits = limits
        self._count = 0
        self._known: dict[str, tuple[str, bool, bool]] = {}
        self._files: dict[str, tuple[str, int]] = {}
        """Where the data of a file are, and their size, by its name."""
        self._linked_bytes = 0

    def vet(self, info: tarfile.TarInfo) -> Member | None:
        """Return the member, None for the top directory itself, or refuse it."""
        self._count += 1
        if self._count > self._limits.max_members:
            raise ArchiveError(
                f"The archive has more than {self._limits.max_members} members.", hint=_HOSTILE_HINT
            )
        name = _vet_name(info.name)
        if not (info.isdir() or info.type in {tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.LNKTYPE}):
            raise ArchiveError(
                f"The archive's {_shown(info.name)} is neither a file nor a directory.", hint=_HOSTILE_HINT
            )
        if not 0 <= info.size <= self._limits.max_member_bytes:
            raise ArchiveError(
                f"The archive's {_shown(info.name)} has {info.size / 2**30:.1f} GiB, "
                f"more than {self._limits.max_member_bytes / 2**30:.1f} GiB.",
                hint="Raise the limit if you trust the archive.",
            )
        if not name:
            return None
        parts = name.split("/")
        for depth in range(1, len(parts)):
            self._remember("/".join(parts[:depth]), is_directory=True, listed=False)
        if info.islnk():
            # Looked up first: a link to itself names nothing that came before.
            origin, size = self._linked_file(info)
            self._remember(name, is_directory=False, listed=True)
            self._files[name] = origin, size
            return Member(name, False, size, same_as=origin)
        self._remember(name, is_directory=info.isdir(), listed=True)
        if not info.isdir():
            self._files[name] = name, info.size
        return Member(name, info.isdir(), 0 if info.isdir() else info.size)

    def _linked_file(self, info: tarfile.TarInfo) -> tuple[str, int]:
        """Name and size of the file that a hard link stands for."""
        parts = info.linkname.split("/")
        # As of members: a name that leads elsewhere is in no list of theirs.
        target = "" if parts[0] == "" else "/".join(part for part in parts if part not in {"", "."})
        if target not in self._files:
            raise ArchiveError(
                f"The archive's {_shown(info.name)} is a hard link to {_shown(info.linkname)}, "
                "which is no file before it in the archive.",
                hint=_LINK_HINT,
            )
        origin, size = self._files[target]
        self._linked_bytes += size
        if self._linked_bytes > self._limits.max_total_bytes:
            raise ArchiveError(
                f"The archive's hard links stand for more than {self._limits.max_total_bytes / 2**30:.1f} "
                "GiB.",
                hint="Raise the limit if the archive is to be trusted.",
            )
        return origin, size

    def _remember(self, name: str, *, is_directory: bool, listed: bool) -> None:
        # Two names that some file system takes for one are refused everywhere.
        key = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())
        known, known_directory, known_listed = self._known.get(key, (name, is_directory, False))
        problem = ""
        if known != name:
            problem = f"{_shown(known)} and {_shown(name)} that differ only in case or Unicode form"
        elif known_directory != is_directory:
            problem = f"{_shown(name)} as a file and as a directory"
        elif listed and known_listed:
            problem = f"{_shown(name)} twice"
        if problem:
            raise ArchiveError(f"The archive has {problem}.", hint=_HOSTILE_HINT)
        self._known[key] = (name, is_directory, listed or known_listed)


def _shown(name: str) -> str:
    return ascii(name if len(name) <= 120 else f"{name[:117]}...")


def _vet_name(name: str) -> str:
    parts = [part for part in name.split("/") if part not in {"", "."}]
    problem = ""
    if name.startswith("/") or ".." in parts:
        problem = "leads out of the archive"
    elif not name.isprintable() or "\\" in name:
        problem = "has control characters or backslashes in its name"
    elif (
        len(name.encode()) > _MAX_PATH_BYTES
        or len(parts) > _MAX_DEPTH
        or any(len(part.encode()) > _MAX_COMPONENT_BYTES for part in parts)
    ):
        problem = "has too long a name"
    if problem:
        raise ArchiveError(f"The archive's {_shown(name)} {problem}.", hint=_HOSTILE_HINT)
    return "/".join(parts)


def walk_archive(
    path: Path, limits: ArchiveLimits | None = None, progress: Progress | None = None
) -> Iterator[VettedMember]:
    """Read a gzip tar from its beginning to its checked end.

    Parameters
    ----------
    path : Path
        The archive.
    limits : ArchiveLimits, optional
        What it may hold.
    progress : callable, optional
        Called as the archive is read.

    Yields
    ------
    VettedMember
        Each regular file and directory, and each hard link to a file that came before it; modes, owners and
        times are left behind.

    Raises
    ------
    ArchiveError
        If the archive cannot be read, is damaged or truncated (also after its last member), exceeds a limit,
        or has a member that is hostile: wherever it is, and whether or not anyone wants it.
    """
    limits = limits or ArchiveLimits()
    try:
        if not path.is_file():
            raise ArchiveError(
                f"There is no archive {path}.", hint="It must be a file made by the continuum run."
            )
        raw = path.open("rb")
    except (OSError, ValueError) as error:
        raise ArchiveError(f"The archive {path} cannot be read: {error}", hint=_DAMAGED_HINT) from error
    with raw:
        source = _Source(raw, path.stat().st_size, limits, progress)
        vetting = _Vetting(limits)
        archive = _parse(lambda: tarfile.TarFile(fileobj=_as_file(source), mode="r"))
        while (info := _parse(archive.next)) is not None:
            archive.members.clear()
            member = vetting.vet(info)
            if member is not None:
                yield VettedMember(member, _no_data if member.same_as else _reader(source, info))
        # tarfile takes a damaged header for the end, too.
        if source.last != bytes(_BLOCK_BYTES):
            raise ArchiveError("The archive is truncated or damaged.", hint=_DAMAGED_HINT)
        source.drain()


def _as_file(source: _Source) -> Any:
    return source


def _parse(step: Callable[[], Any]) -> Any:
    try:
        return step()
    except (
        tarfile.TarError,
        ValueError,
        ArithmeticError,
        LookupError,
        RecursionError,
        MemoryError,
        struct.error,
    ) as error:
        raise ArchiveError(f"The archive is damaged or not a tar: {error}", hint=_DAMAGED_HINT) from error


def _no_data() -> Iterator[bytes]:
    return iter(())


def _reader(source: _Source, info: tarfile.TarInfo) -> Callable[[], Iterator[bytes]]:
    def chunks() -> Iterator[bytes]:
        source.seek(info.offset_data)
        remaining = info.size
        while remaining:
            chunk = source.take(min(CHUNK_BYTES, remaining))
            if not chunk:
                raise ArchiveError("The archive is truncated.", hint=_DAMAGED_HINT)
            remaining -= len(chunk)
            yield chunk

    return chunks
