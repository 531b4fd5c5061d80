"""Looking at a measurement set from outside before anything is done with it."""

from __future__ import annotations

import contextlib
import fcntl
import functools
from collections.abc import Collection
from pathlib import Path
from typing import Any

from vlasscube import casa
from vlasscube.errors import MeasurementSetError
from vlasscube.measurement_set.metadata import SUBTABLES, require_table, summarise_measurement_set
from vlasscube.processes.isolation import UNREADABLE, ReaderDiedError, isolated_reader, reason_text
from vlasscube.records import MeasurementSetSummary
from vlasscube.workspace.file_systems import lacks_locks
from vlasscube.workspace.files import digest

_NEEDED = {
    "ANTENNA": ("NAME", "STATION", "MOUNT", "POSITION", "OFFSET", "DISH_DIAMETER", "FLAG_ROW"),
    "DATA_DESCRIPTION": ("SPECTRAL_WINDOW_ID", "POLARIZATION_ID", "FLAG_ROW"),
    "FEED": (
        "ANTENNA_ID", "FEED_ID", "SPECTRAL_WINDOW_ID", "TIME", "INTERVAL", "NUM_RECEPTORS", "BEAM_OFFSET",
        "POLARIZATION_TYPE", "POL_RESPONSE", "POSITION", "RECEPTOR_ANGLE",
    ),
    "FIELD": (
        "NAME", "CODE", "TIME", "NUM_POLY", "DELAY_DIR", "PHASE_DIR", "REFERENCE_DIR", "SOURCE_ID",
        "FLAG_ROW",
    ),
    "OBSERVATION": ("TELESCOPE_NAME", "TIME_RANGE", "OBSERVER", "PROJECT", "RELEASE_DATE", "FLAG_ROW"),
    "POLARIZATION": ("NUM_CORR", "CORR_TYPE", "CORR_PRODUCT", "FLAG_ROW"),
    "PROCESSOR": ("TYPE", "SUB_TYPE", "TYPE_ID", "MODE_ID", "FLAG_ROW"),
    "SPECTRAL_WINDOW": (
        "NUM_CHAN", "NAME", "REF_FREQUENCY", "CHAN_FREQ", "CHAN_WIDTH", "MEAS_FREQ_REF", "EFFECTIVE_BW",
        "RESOLUTION", "TOTAL_BANDWIDTH", "NET_SIDEBAND", "IF_CONV_CHAIN", "FREQ_GROUP", "FREQ_GROUP_NAME",
        "FLAG_ROW",
    ),
    "STATE": ("SIG", "REF", "CAL", "LOAD", "SUB_SCAN", "OBS_MODE", "FLAG_ROW"),
    "SOURCE": ("SOURCE_ID", "SPECTRAL_WINDOW_ID", "TIME", "INTERVAL", "NAME", "REST_FREQUENCY"),
}  # fmt: skip
"""Columns that are read, by this package or CASA's tasks. Others may hold anything, records among it, which
CASA's tools for Python cannot read. Of the other subtables nothing is read: some are as long as the main
table."""
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
            read_rows(table, _NEEDED.get(name, ()))
    except UNREADABLE as error:
        raise _unreadable(f"{path.name}/{name}", error) from error


def read_rows(table: Any, needed: Collection[str] | None = None) -> None:
    """Read a small open table, of casatools or python-casacore.

    Parameters
    ----------
    table : table
        Open for reading.
    needed : collection of str, optional
        Columns to read, as far as the table has them; by default all but those of records.

    Raises
    ------
    Exception
        One of `UNREADABLE` if that is not possible.
    """
    rows = int(table.nrows())
    for column in map(str, table.colnames()):
        if str(table.coldatatype(column)) == "record" or (needed is not None and column not in needed):
            continue
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
