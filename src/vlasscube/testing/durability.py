"""What a machine that loses power would keep: the order of syncs and renames."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from unittest import mock


@dataclass(frozen=True)
class _State:
    """An inode when it was forced to disk, or what would tell that it was changed after."""

    inode: int
    size_bytes: int
    modified_ns: int


def _state(facts: os.stat_result) -> _State:
    return _State(facts.st_ino, facts.st_size, facts.st_mtime_ns)


@dataclass
class DiskWatch:
    """Syncs and renames of this process while `watched` lasts, in their order."""

    events: list[tuple[str, _State | None, str]] = field(default_factory=list)
    """``sync`` with the state of the inode, or ``rename`` with the new name."""

    def problems(self, final: Path) -> list[str]:
        """Why a file or directory might not be there, or not be whole, after a loss of power.

        Everything in it must have been forced to disk, as it is now, before it got its name (or that of a
        directory above it), and the directory that holds the name after that.
        """
        above = {str(path) for path in (final, *final.parents)}
        named = [n for n, (kind, _, name) in enumerate(self.events) if kind == "rename" and name in above]
        if not named:
            return [f"{final.name} has not been renamed into place"]
        last = named[-1]
        before = {state for kind, state, _ in self.events[:last] if kind == "sync"}
        after = {state.inode for kind, state, _ in self.events[last:] if kind == "sync" and state}
        parts = [final, *final.rglob("*")] if final.is_dir() else [final]
        found = [
            f"{path.relative_to(final.parent)} was not forced to disk before it had its name"
            for path in parts
            if not path.is_symlink() and not self._is_on_disk(path, before)
        ]
        holder = Path(self.events[last][2]).parent
        if holder.stat().st_ino not in after:
            found.append(f"the directory of {final.name} was not forced to disk after the renaming")
        return found

    @staticmethod
    def _is_on_disk(path: Path, synced: set[_State | None]) -> bool:
        if path.is_dir():
            return path.stat().st_ino in {state.inode for state in synced if state}
        return _state(path.stat()) in synced


@contextmanager
def watched() -> Iterator[DiskWatch]:
    """Watch the syncs and renames of this process."""
    watch = DiskWatch()
    sync, rename, replace = os.fsync, os.rename, os.replace

    def noted_sync(descriptor: int) -> None:
        sync(descriptor)
        watch.events.append(("sync", _state(os.fstat(descriptor)), ""))

    def noted_rename(source: str | Path, target: str | Path) -> None:
        rename(source, target)
        watch.events.append(("rename", None, str(target)))

    def noted_replace(source: str | Path, target: str | Path) -> None:
        replace(source, target)
        watch.events.append(("rename", None, str(target)))

    with (
        mock.patch("os.fsync", noted_sync),
        mock.patch("os.rename", noted_rename),
        mock.patch("os.replace", noted_replace),
    ):
        yield watch
