"""What is needed to open the tables of an archive without their pixels: small whatever the archive."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from vlasscube.resources.tar_stream import VettedMember

_HEADER_FILE_BYTES = 32 << 20
"""A larger file of a table holds no more than its cells: pixels, or flags."""
_TILED_FILE_BYTES = 1 << 20
"""The same for the files of tiles, whose cells are large from few of them on."""
_HEADERS_BYTES = 512 << 20
"""Of all header files together."""


class HeaderFiles:
    """What an archive holds of its tables besides their many cells, which is enough to open them.

    Files of pixels and of flags become holes of their size, so that what is written is small whatever the
    archive.

    Parameters
    ----------
    directory : Path
        An empty private directory.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.is_usable = True
        """Whether all could be written."""
        self._bytes = 0
        self._holes: set[str] = set()
        self._unread: set[str] = set()

    def can_be_opened(self, name: str) -> bool:
        """Whether all is there that is needed to open a table."""
        return self.is_usable and not any(file.startswith(f"{name}/") for file in self._unread)

    def is_whole(self, name: str) -> bool:
        """Whether a table has all its cells, too."""
        return self.can_be_opened(name) and not any(hole.startswith(f"{name}/") for hole in self._holes)

    def keeping(self, members: Iterator[VettedMember], expressions: Sequence[str]) -> Iterator[VettedMember]:
        """Pass on the members of an archive, keeping files of tables that are named by an expression."""
        below = [re.compile(rf"(?:{expression})/.+", re.ASCII) for expression in expressions]
        for vetted in members:
            member = vetted.member
            wanted = not member.is_directory and any(item.fullmatch(member.name) for item in below)
            if wanted and self.is_usable:
                try:
                    self._keep(vetted)
                except OSError:
                    # There is no room for them: what they would tell is found when the archive is extracted.
                    self.is_usable = False
            yield vetted

    def _keep(self, vetted: VettedMember) -> None:
        member = vetted.member
        target = self.directory / member.name
        target.parent.mkdir(parents=True, exist_ok=True)
        limit = _TILED_FILE_BYTES if "_TSM" in target.name else _HEADER_FILE_BYTES
        if member.size_bytes <= min(limit, _HEADERS_BYTES - self._bytes):
            with target.open("xb") as stream:
                for chunk in vetted.chunks():
                    stream.write(chunk)
            self._bytes += member.size_bytes
            if target.stat().st_size != member.size_bytes:
                # A hard link, whose data came with another name.
                self._unread.add(member.name)
            return
        self._holes.add(member.name)
        with target.open("xb") as stream:
            stream.truncate(member.size_bytes)
