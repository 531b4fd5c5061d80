"""The working measurement set: made from the input, changed by the restore, made again if in doubt."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from vlasscube import casa, casacore_tables
from vlasscube.errors import CasaTaskError, MeasurementSetError
from vlasscube.measurement_set.lean_input import split_input
from vlasscube.texts import MAX_TEXT, header_text, plain_text
from vlasscube.workspace.files import mark, publish, remove

_HEADER_TEXTS = (("OBSERVATION", "OBSERVER"), ("OBSERVATION", "PROJECT"), ("OBSERVATION", "TELESCOPE_NAME"))
"""They get into the headers of images and products, where CASA ends with an error if they do not fit."""
_TEXTS = (
    ("ANTENNA", "NAME"), ("ANTENNA", "STATION"), ("FIELD", "NAME"), ("SOURCE", "NAME"),
    ("SPECTRAL_WINDOW", "NAME"),
)  # fmt: skip


def flag_versions_directory(working_ms: Path) -> Path:
    """Where CASA keeps the flag versions of a measurement set."""
    return working_ms.with_name(f"{working_ms.name}.flagversions")


def _touched_marker(working_ms: Path) -> Path:
    return working_ms.with_name(f"{working_ms.name}.touched")


def make_working_copy(input_ms: Path, output: Path, field_ids: Sequence[int], spw: str) -> None:
    """Split fields and spectral windows, keeping their ids, and initialise the weights.

    WEIGHT becomes 2·Δν·Δt (``wtmode='nyq'``). The input is not modified. What stood under ``output``, and its
    flag versions, are replaced.

    Parameters
    ----------
    input_ms, output : Path
        Measurement sets.
    field_ids : sequence of int
        Fields to keep.
    spw : str
        Spectral windows to keep, e.g. ``'2,3,4'``.

    Raises
    ------
    MeasurementSetError
        If CASA cannot split it; nothing is left behind.

    Notes
    -----
    Names of observers, fields, antennas and the like that are longer or other than what headers and terminals
    take are replaced in the copy, and rest frequencies that are none. Subtables that nothing reads, some of
    them longer than the main table, are empty there.
    """
    output.parent.mkdir(parents=True, exist_ok=True)
    partial = output.with_name(f".{output.name}.partial")
    remove(partial)
    try:
        with split_input(input_ms, output.parent) as lean:
            _split(lean, partial, field_ids, spw)
        _tidy_texts(partial)
        _tidy_rest_frequencies(partial)
    except (CasaTaskError, RuntimeError, OSError) as error:
        remove(partial)
        remove(flag_versions_directory(partial))
        raise MeasurementSetError(
            f"{input_ms.name} cannot be split: {error}",
            hint="It may be damaged or incomplete (copy it again from its source), or the disk may be full.",
        ) from error
    remove(output)
    remove(flag_versions_directory(output))
    remove(_touched_marker(output))
    remove(flag_versions_directory(partial))
    publish(partial, output)


def _split(input_ms: Path, partial: Path, field_ids: Sequence[int], spw: str) -> None:
    casa.run_task(
        "mstransform",
        vis=str(input_ms),
        outputvis=str(partial),
        field=",".join(str(field_id) for field_id in sorted(field_ids)),
        spw=spw,
        datacolumn="data",
        chanbin=1,
        timebin="0s",
        reindex=False,
    )
    casa.run_task("initweights", vis=str(partial), wtmode="nyq")


def _tidy_texts(ms: Path) -> None:
    for (subtable, column), tidy in (
        *((place, header_text) for place in _HEADER_TEXTS),
        *((place, _tidy_name) for place in _TEXTS),
    ):
        if not (ms / subtable / "table.dat").is_file():
            continue
        texts, are_utf8 = _read_texts(ms / subtable, column)
        changed = {row: tidy(text) for row, text in enumerate(texts) if tidy(text) != text or not are_utf8}
        if changed:
            with casacore_tables.table(ms / subtable, writable=True) as table:
                for row, text in changed.items():
                    table.putcell(column, row, text)


def _tidy_rest_frequencies(ms: Path) -> None:
    """Take away rest frequencies that are no frequencies: images then have that of their plane.

    Otherwise they would get into the headers of images, where CASA ends with an error over some of them.
    """
    if not (ms / "SOURCE" / "table.dat").is_file():
        return
    with casacore_tables.table(ms / "SOURCE") as table:
        if "REST_FREQUENCY" not in table.colnames():
            return
        bad = [
            row
            for row in range(table.nrows())
            if table.iscelldefined("REST_FREQUENCY", row)
            and not _are_frequencies(table.getcell("REST_FREQUENCY", row))
        ]
    if bad:
        with casacore_tables.table(ms / "SOURCE", writable=True) as table:
            for row in bad:
                table.putcell("REST_FREQUENCY", row, np.zeros(0))


def _are_frequencies(values: npt.ArrayLike) -> bool:
    return all(math.isfinite(value) and value > 0 for value in np.ravel(values))


def _read_texts(path: Path, column: str) -> tuple[list[str], bool]:
    """Texts of a column, and whether they are UTF-8; otherwise CASA takes them for Latin-1."""
    try:
        with casacore_tables.table(path) as table:
            return [str(text) for text in table.getcol(column)] if table.nrows() else [], True
    except UnicodeDecodeError:
        with casa.table(path) as table:
            return [str(text) for text in table.getcol(column)], False


def _tidy_name(text: str) -> str:
    return text if text.isprintable() and len(text) <= MAX_TEXT else plain_text(text)


def is_pristine(working_ms: Path) -> bool:
    """Whether nothing has changed the working measurement set since it was made."""
    return working_ms.is_dir() and not was_touched(working_ms)


def was_touched(working_ms: Path) -> bool:
    """Whether a restore has begun to change a working measurement set of this name."""
    return _touched_marker(working_ms).exists()


def mark_touched(working_ms: Path) -> None:
    """Note that the working measurement set is about to be changed; on disk before the first change is."""
    mark(_touched_marker(working_ms))
