"""What a split is made from: the input measurement set without the subtables that nothing reads."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

from vlasscube import casacore_tables
from vlasscube.workspace.files import remove

KEPT_SUBTABLES = (
    "ANTENNA", "DATA_DESCRIPTION", "FEED", "FIELD", "HISTORY", "OBSERVATION", "POLARIZATION", "PROCESSOR",
    "SOURCE", "SPECTRAL_WINDOW", "STATE",
)  # fmt: skip
"""All others (POINTING, FLAG_CMD, SYSPOWER, CALDEVICE, WEATHER, ASDM_* ...) are left empty: an archive's set
has those of the whole observation, millions of rows, which CASA would copy row by row."""


DIRECTORY = ".split_input.partial"
"""Where the stand-in is while it is needed."""


@contextlib.contextmanager
def split_input(ms: Path, directory: Path) -> Iterator[Path]:
    """Stand in for a measurement set by one of the same name and data, whose unneeded subtables are empty.

    Parameters
    ----------
    ms : Path
        Measurement set; nothing is written to it.
    directory : Path
        Where the stand-in is made, in a directory of its own: symbolic links to the files of the measurement
        set, and empty tables. It is removed at exit.

    Yields
    ------
    Path
        To be opened for reading only; the measurement set itself on a file system without symbolic links.

    Raises
    ------
    RuntimeError
        If a subtable is damaged.
    OSError
        If the stand-in cannot be made.
    """
    private = directory / DIRECTORY
    remove(private)
    lean = private / ms.name
    lean.mkdir(parents=True)
    try:
        if not _has_links(private):
            yield ms
            return
        for item in sorted(ms.resolve().iterdir()):
            if item.name == "table.lock":
                # Written to by whoever opens the table; and of rows that were added the number may stand
                # here alone.
                with contextlib.suppress(OSError):
                    shutil.copyfile(item, lean / item.name)
                continue
            if item.is_dir() and item.name not in KEPT_SUBTABLES and (item / "table.dat").is_file():
                casacore_tables.copy_structure(item, lean / item.name)
            else:
                (lean / item.name).symlink_to(item)
        for name in _announced(ms):
            if not (lean / name).exists():
                casacore_tables.write_table(lean / name, {})
        yield lean
    finally:
        remove(private)


def _has_links(directory: Path) -> bool:
    try:
        (directory / "link").symlink_to("target")
    except OSError:
        return False
    return True


def _announced(ms: Path) -> list[str]:
    """Names of the subtables that the main table has keywords of."""
    with casacore_tables.table(ms) as table:
        values = table.getkeywords()
    return [
        str(value).removeprefix("Table: ").rsplit("/", 1)[-1]
        for value in values.values()
        if isinstance(value, str) and value.startswith("Table: ")
    ]
