"""Model visibilities, written into the working measurement set."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from vlasscube import casacore_tables
from vlasscube.errors import MeasurementSetError

_MODEL = "MODEL_DATA"
_MODEL_MANAGER = "TiledModel"
_BATCH_ROWS = 20_000


def write_model_column(
    ms: Path, model: Iterable[tuple[npt.NDArray[np.int64], npt.NDArray[np.complex64]]]
) -> None:
    """Write model visibilities into MODEL_DATA.

    Parameters
    ----------
    ms : Path
        Measurement set. If it has no MODEL_DATA, the column is made as CASA makes it: in tiles like those of
        DATA, with a point source of 1 Jy where nothing is given.
    model : iterable of (rows, values)
        Row numbers, shape (n,), and their visibilities, shape (n, nchan, 4), Jy; taken one by one.

    Raises
    ------
    MeasurementSetError
        If the measurement set cannot be written, or shapes do not fit.
    """
    try:
        with casacore_tables.table(ms, writable=True) as table:
            if _MODEL not in table.colnames():
                _add_model_column(ms, table)
            for rows, values in model:
                _put_model(ms, table, rows, values)
    except RuntimeError as error:
        raise MeasurementSetError(
            f"The model cannot be written to {ms.name}: {error}",
            hint="Another program may have the measurement set open, or the disk may be full.",
        ) from error


def _add_model_column(ms: Path, table: Any) -> None:
    if "DATA" not in table.colnames():
        raise MeasurementSetError(
            f"{ms.name} has no column DATA.", hint="Copy the measurement set again from its source."
        )
    description = table.getcoldesc("DATA")
    manager = table.getdminfo("DATA")
    description |= {"dataManagerGroup": _MODEL_MANAGER, "dataManagerType": "TiledShapeStMan"}
    tile = manager.get("SPEC", {}).get("DEFAULTTILESHAPE")
    specification = {} if tile is None else {"DEFAULTTILESHAPE": tile}
    table.addcols(
        {_MODEL: description},
        {"NAME": _MODEL_MANAGER, "TYPE": "TiledShapeStMan", "SPEC": specification},
    )
    for start in range(0, int(table.nrows()), _BATCH_ROWS):
        count = min(_BATCH_ROWS, int(table.nrows()) - start)
        description_ids = casacore_tables.read_column(
            table, "DATA_DESC_ID", np.int32, start=start, rows=count
        )
        for number in np.unique(description_ids):
            rows = start + np.flatnonzero(description_ids == number)
            unit = np.zeros((rows.size, *np.shape(table.getcell("DATA", int(rows[0])))), np.complex64)
            unit[..., 0] = unit[..., -1] = 1
            table.selectrows(rows).putcol(_MODEL, unit)


def _put_model(ms: Path, table: Any, rows: npt.NDArray[np.int64], values: npt.NDArray[np.complex64]) -> None:
    if rows.size == 0:
        return
    shape = (rows.size, *np.shape(table.getcell(_MODEL, int(rows[0]))))
    if values.shape != shape:
        raise MeasurementSetError(
            f"A model of shape {values.shape} does not fit {ms.name}, whose rows need {shape}.",
            hint="The measurement set has changed since the model was made.",
        )
    for begin in range(0, rows.size, _BATCH_ROWS):
        part = slice(begin, begin + _BATCH_ROWS)
        table.selectrows(rows[part]).putcol(_MODEL, np.ascontiguousarray(values[part]))
