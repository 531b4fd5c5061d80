"""Looking at a measurement set from outside before anything is done with it."""

from __future__ import annotations

import contextlib
import fcntl
import functools
from pathlib import Path
from typing import Any

from vlasscube import casa
from vlasscube.errors import MeasurementSetError
from vlasscube.measurement_set.metadata import SUBTABLES, require_table, summarise_measurement_set
from vlasscube.processes.isolation import UNREADABLE, ReaderDiedError, isolated_reader, reason_text
from vlasscube.records import MeasurementSetSummary
from vlasscube.workspace.file_systems import lacks_locks
from vlasscube.workspace.files import digest

_UNREAD = ("POINTING",)
"""It is as long as the main table, and nothing is taken from it."""
_ROWS = 10_000


def inspect_measurement_set(path: Path) -> MeasurementSetSummary:
    """Read what the workflow needs to know, as `summarise_measurement_set`, and all else that CASA will read.

    The subtables are read whole, the main table as far as `summarise_measurement_set` does; in a process of
    its own, as casacore ends a process over some damages.

    Parameters
    ----------
    path : Path
        Measurement set; it is opened for reading.

    Returns
    -------
    MeasurementSetSummary
        From `summarise_measurement_set`.

    Raises
    ------
    MeasurementSetError
        If it is damaged, incomplete, not of the survey, or being written to.
    """
    require_table(path)
    return _inspected(path, digest(path.resolve()))


@functools.lru_cache(maxsize=1)
def _inspected(path: Path, state: str) -> MeasurementSetSummary:
    """Look once at what is in a state: a run asks before it begins whether there is room for it."""
    what = path.name
    try:
        with isolated_reader() as reader:
            reader.start(casa.configure)
            reader.call(_require_unlocked, path)
            for name in (*SUBTABLES, "SOURCE"):
                if (path / name / "table.dat").is_file():
                    what = f"{path.name}/{name}"
                    reader.call(_read_subtable, path, name)
            what = path.name
            summary = reader.call(summarise_measurement_set, path)
            reader.call(_open_as_measurement_set, path)
    except ReaderDiedError as error:
        raise MeasurementSetError(
            f"{what} cannot be read: {error}.",
            hint="It is damaged, or there is not enough memory; copy it again from its source.",
        ) from error
    return summary


def _require_unlocked(path: Path) -> None:
    """Refuse what another program is writing to: CASA would wait for it without a word."""
    for lock in (path / "table.lock", *sorted(path.glob("*/table.lock"))):
        # A table that nobody could write to may have none, and some file systems have no locks.
        with contextlib.suppress(OSError), lock.open("rb") as stream:
            try:
                fcntl.lockf(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                raise MeasurementSetError(
                    f"{path.name} is being written to by another program, which holds {lock}.",
                    hint="Stop that program or wait for it, then run the same command again.",
                ) from None


def _read_subtable(path: Path, name: str) -> None:
    try:
        with casa.table(path / name) as table:
            if name not in _UNREAD:
                read_rows(table)
    except UNREADABLE as error:
        raise _unreadable(f"{path.name}/{name}", error) from error


def read_rows(table: Any) -> None:
    """Read all of a small open table, of casatools or python-casacore.

    Raises
    ------
    Exception
        One of `UNREADABLE` if that is not possible.
    """
    rows = int(table.nrows())
    for column in map(str, table.colnames()):
        for start in range(0, rows, _ROWS):
            count = min(_ROWS, rows - start)
            try:
                table.getcol(column, start, count)
            except UNREADABLE:
                if table.isscalarcol(column):
                    raise
                # Cells need not have one shape, or any.
                for row in range(start, start + count):
                    if table.iscelldefined(column, row):
                        table.getcell(column, row)


def _open_as_measurement_set(path: Path) -> None:
    tool = casa.tools().ms()
    try:
        tool.open(str(path))
    except RuntimeError as error:
        if lacks_locks(error):
            # A run says so before it begins; to look needs none.
            return
        raise _unreadable(path.name, error) from error
    finally:
        tool.close()


def _unreadable(name: str, error: Exception) -> MeasurementSetError:
    return MeasurementSetError(
        f"{name} cannot be read as a part of a measurement set: {reason_text(error)}",
        hint="It may be damaged or incomplete; copy it again from its source.",
    )
