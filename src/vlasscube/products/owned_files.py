"""Which files in ``working/``, ``products/`` and ``weblog/`` are the run's own: no others are overwritten.

The directories may hold anything else: images of a continuum run, products of another run, a web log of
another program. Before anything is written, its names are put into ``records/<directory>.owned``, if what
lies there under these names is the run's own. Of a product the digest is added when it is whole. So an export
that was killed knows its files again, and one with other options removes what the one before has made and
nothing else. Tables and pages change while a run works: of them the name is all that is kept.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from vlasscube.errors import ProblemListError, VlassCubeError
from vlasscube.records import StepRecord
from vlasscube.workspace.directory import Workspace
from vlasscube.workspace.files import digest, move, remove, write_text
from vlasscube.workspace.record_json import from_json, to_json

_LEFTOVER = re.compile(r"\.(.+?)(\.\d+)*\.(partial|doomed)", re.DOTALL)


@dataclass(frozen=True)
class OwnedFile:
    """A product as the run has left it."""

    name: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True)
class OwnedFiles:
    """What the run's own records say of a directory."""

    files: tuple[OwnedFile, ...] = ()
    """Files of all exports so far; a name may have been written more than once."""
    pending: tuple[str, ...] = ()
    """Names that an export under way, or one that was killed, may have written; of other directories than
    ``products/`` all that are the run's."""

    def knows(self, name: str, size_bytes: int, sha256: Callable[[], str]) -> bool:
        """Whether a file with this name and content is the run's own; the digest is asked for if need be."""
        if name in self.pending:
            return True
        sizes = [file for file in self.files if (file.name, file.size_bytes) == (name, size_bytes)]
        return bool(sizes) and sha256() in {file.sha256 for file in sizes}

    @property
    def names(self) -> set[str]:
        """All names that can be the run's own; none leads out of the directory."""
        return {name for name in (*self.pending, *(file.name for file in self.files)) if _is_plain(name)}

    def claimed(self, names: Iterable[str]) -> OwnedFiles:
        """Add names that are about to be written."""
        return replace(self, pending=tuple(sorted({*self.pending, *names})))

    def with_file(self, file: OwnedFile) -> OwnedFiles:
        """Add a file that has been written."""
        others = (other for other in self.files if other.name != file.name)
        pending = tuple(name for name in self.pending if name != file.name)
        return OwnedFiles((*others, file), pending)

    def only(self, names: Iterable[str]) -> OwnedFiles:
        """Leave out all files but these, and whatever was pending."""
        kept = set(names)
        return OwnedFiles(tuple(file for file in self.files if file.name in kept))


def _is_plain(name: str) -> bool:
    return name not in ("", ".", "..") and "/" not in name and "\0" not in name


class Ownership:
    """The run's own files in one of its directories, kept up to date while they are written.

    Parameters
    ----------
    workspace : Workspace
        Run directory.
    previous : StepRecord, optional
        Record of the export before this one: runs of version 0.1.0 have left nothing else.
    directory : Path, optional
        ``working/`` or ``weblog/``; by default ``products/``, where only files can be the run's own.
    recorded : iterable of str
        Names in the directory that are the run's own by its other records, if it has never claimed any there:
        it is one of an earlier version.
    """

    def __init__(
        self,
        workspace: Workspace,
        previous: StepRecord | None = None,
        directory: Path | None = None,
        recorded: Iterable[str] = (),
    ) -> None:
        self._directory = workspace.products if directory is None else directory
        self._is_of_files = self._directory == workspace.products
        self._path = workspace.records / f"{self._directory.name}.owned"
        self._kept = _read(self._path)
        listed = _recorded(workspace, previous)
        self._owned = replace(self._kept, files=tuple(dict.fromkeys((*self._kept.files, *listed))))
        if not self._path.exists():
            self._owned = self._owned.claimed(recorded)
        self._allowed: set[str] = set()

    @property
    def names(self) -> set[str]:
        """All names that can be the run's own."""
        return self._owned.names

    def in_the_way(self, names: Iterable[str]) -> tuple[str, ...]:
        """Return the names under which there is something that the run has never made.

        A product that was changed later does not count: it is set aside.
        """
        entries = (entry for name in sorted(set(names)) for entry in self._entries(name))
        return tuple(
            entry
            for entry in entries
            if not self._is_free_or_own(entry) and not self._is_changed(self._directory / entry)
        )

    def remember(self) -> None:
        """Keep what is known of the run's own files: the record of a step goes when it begins again."""
        self._keep(self._owned)

    def claim(self, names: Iterable[str]) -> dict[str, str]:
        """Announce files before any of them is written, and remove what a killed export left beside them.

        Returns
        -------
        dict of str to str
            Products that were changed since they were made, and the names under which they are kept.

        Raises
        ------
        ProblemListError
            If something that the run has never made lies under one of the names; nothing has been changed.
        """
        names = set(names)
        refuse_to_overwrite(self._directory, self.in_the_way(names))
        aside = {}
        for path in (self._directory / name for name in sorted(names)):
            if self._is_changed(path):
                kept = _free_name(path)
                move(path, kept)
                aside[path.name] = kept.name
        self._keep(self._owned.claimed(names))
        self._allowed = names
        for path in list(self._directory.iterdir()) if self._is_of_files else ():
            # Elsewhere a run does that when it begins.
            leftover = _LEFTOVER.fullmatch(path.name)
            if leftover and leftover.group(1) in self._owned.names:
                remove(path)
        return aside

    def path(self, name: str) -> Path:
        """Where to write a product.

        Raises
        ------
        ValueError
            If its name has not been claimed: nobody has looked whether something else lies there.
        """
        if name not in self._allowed:
            raise ValueError(f"{name} is not among the products that were announced")
        return self._directory / name

    def add(self, file: OwnedFile) -> None:
        """Note a product that has been written."""
        self._keep(self._owned.with_file(file))

    def settle(self, made: Iterable[str]) -> tuple[str, ...]:
        """Remove the run's own files that are no longer among the products.

        Parameters
        ----------
        made : iterable of str
            Names of all products.

        Returns
        -------
        tuple of str
            Names of earlier products that have been changed since, and are left alone.
        """
        made, changed = set(made), []
        for name in sorted(self._owned.names - made):
            path = self._directory / name
            if self._is_own(path):
                remove(path)
            elif path.is_symlink() or path.exists():
                changed.append(name)
        self._keep(self._owned.only(made))
        return tuple(changed)

    def release(self, names: Iterable[str]) -> None:
        """Forget names under which there is nothing of the run's any more."""
        gone = set(names)
        kept = tuple(name for name in self._owned.pending if name not in gone)
        if self._path.exists():
            # Even with no name left it tells that whatever comes there later is somebody else's.
            self._keep(replace(self._owned, pending=kept))

    def _entries(self, name: str) -> Iterable[str]:
        """Names in the directory that a claimed name stands for."""
        return (name,)

    def _is_free_or_own(self, name: str) -> bool:
        path = self._directory / name
        return self._is_own(path) or not (path.is_symlink() or path.exists())

    def _is_own(self, path: Path) -> bool:
        # What a run makes is never a link, and a product is a file.
        if path.is_symlink() or (self._is_of_files and not path.is_file()):
            return False
        if not path.is_file():
            return path.is_dir() and path.name in self._owned.pending
        return self._owned.knows(path.name, path.stat().st_size, lambda: digest(path))

    def _is_changed(self, path: Path) -> bool:
        """Whether a file has the name of a product, but no longer what the run has written."""
        is_file = path.is_file() and not path.is_symlink()
        return is_file and path.name in self._owned.names and not self._is_own(path)

    def _keep(self, owned: OwnedFiles) -> None:
        if owned != self._kept:
            write_text(self._path, to_json(owned))
        self._kept = self._owned = owned


def _free_name(path: Path) -> Path:
    numbered = (path.with_name(f"{path.name}.changed{n or ''}") for n in itertools.count())
    return next(name for name in numbered if not (name.is_symlink() or name.exists()))


def refuse_to_overwrite(directory: Path, names: Iterable[str]) -> None:
    """Raise an error if there are names of files that are in the way.

    Raises
    ------
    ProblemListError
        Naming them.
    """
    if names := tuple(names):
        raise ProblemListError(
            f"{directory} holds files that this run has not made:",
            names,
            hint="They would be overwritten. Move them to another directory and run the same command again.",
        )


def _read(path: Path) -> OwnedFiles:
    try:
        return from_json(OwnedFiles, path.read_bytes())
    except (OSError, VlassCubeError):
        # Without it nothing is known to be the run's own, which is the safe side.
        return OwnedFiles()


def _recorded(workspace: Workspace, record: StepRecord | None) -> Iterable[OwnedFile]:
    place = workspace.relative(workspace.products)
    for output in record.outputs if record is not None else ():
        directory, _, name = output.path.rpartition("/")
        if directory == place and output.digest:
            yield OwnedFile(name, output.size_bytes, output.digest)
