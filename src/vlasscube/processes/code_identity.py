"""What the code is: its version, and a digest of its sources that changes with every edit."""

from __future__ import annotations

import functools
import hashlib
import importlib.util
from collections.abc import Iterable, Iterator
from pathlib import Path

from vlasscube.errors import CodeChangedError

CODE = "vlasscube code"
"""Name of `code_digest` among the versions of a record."""

PACKAGE = Path(__file__).parents[1]
WITHOUT_INFLUENCE = ("cli", "simulation", "testing", "weblog")
"""Rooms that change no result: they show records, make inputs, whose own digests are in the keys, or test."""


def source_files(package: Path) -> Iterator[Path]:
    """Python files of the package that can change a result, in a fixed order."""
    for path in sorted(package.rglob("*.py"), key=lambda path: path.relative_to(package).as_posix()):
        if path.relative_to(package).parts[0] not in WITHOUT_INFLUENCE:
            yield path


def digest_of(files: Iterable[tuple[str, bytes]]) -> str:
    """Digest of named contents, as 16 hexadecimal digits."""
    state = hashlib.sha256()
    for name, content in files:
        state.update(f"{name}\0{len(content)}\0".encode())
        state.update(content)
    return state.hexdigest()[:16]


def _kernels() -> Path:
    # In an editable installation the compiled kernels are not beside the sources.
    spec = importlib.util.find_spec("vlasscube._kernels")
    if spec is None or spec.origin is None:
        raise ImportError("vlasscube._kernels is not installed")
    return Path(spec.origin)


@functools.cache
def code_digest() -> str:
    """Digest of the code that makes results: Python sources and compiled kernels.

    Computed once per process, so that it stays that of the code which was loaded. It is part of the key of
    every step: a changed line does the steps again even where the version is the same, as in an editable
    installation. Building the same sources with the same compiler gives the same kernels bit for bit.

    Raises
    ------
    OSError
        If the sources cannot be read.
    """
    files = [(path.relative_to(PACKAGE).as_posix(), path.read_bytes()) for path in source_files(PACKAGE)]
    return digest_of([*files, ("_kernels", _kernels().read_bytes())])


def require_same_code(digest: str) -> None:
    """Refuse to work for a process that runs other code.

    A worker starts later than its run, and loads what is then installed.

    Parameters
    ----------
    digest : str
        `code_digest` of the process that gives the work.

    Raises
    ------
    CodeChangedError
        If it is not that of this process.
    """
    if (ours := code_digest()) != digest:
        raise CodeChangedError(
            f"the source code of vlasscube changed during the run ({digest} → {ours})",
            hint="Run the same command again to resume.",
        )
