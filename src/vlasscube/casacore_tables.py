"""The only door to python-casacore: tables read and written as float32 and complex64, without CASA.

CASA's own Python tools hand out every number in double precision and copy it on the way; where whole
columns or images go through memory, that is twenty times slower. Everything that needs more than rows and
pixels (measures, selections, regridding) goes through `vlasscube.casa`.

Both libraries can be in a process together, each with its own copy of casacore. They do not know of each
other's locks: a table is never open in both at once.
"""

from __future__ import annotations

import contextlib
import importlib
import math
import os
import tempfile
import time
import traceback
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from vlasscube.errors import CasaUnavailableError

_INSTALL_HINT = "Install it with:  pip install python-casacore"
_PIXELS = "map"
_TILE = 512
_HEADER_BYTES = 2_000_000
"""More than an image takes besides its pixels."""
_MJD_OF_UNIX_S = 40587 * 86400.0


def _module(name: str) -> Any:
    try:
        return importlib.import_module(f"casacore.{name}")
    except ImportError as error:
        raise CasaUnavailableError(f"python-casacore is not usable: {error}", hint=_INSTALL_HINT) from error


@contextlib.contextmanager
def table(path: Path | str, *, writable: bool = False) -> Iterator[Any]:
    """Open a table, closed on exit.

    Parameters
    ----------
    path : Path
        Of a table, e.g. a measurement set or one of its subtables.
    writable : bool
        If false, nothing is written and no lock is taken.

    Raises
    ------
    RuntimeError
        If it is not a table, or, for writing, is in use elsewhere.
    """
    # Read locks would be written into the table's lock file, and are of no use on a table nobody changes.
    locking = {"option": "auto"} if writable else {"option": "usernoread"}
    opened = _module("tables").table(str(path), readonly=not writable, lockoptions=locking, ack=False)
    try:
        yield opened
    finally:
        opened.close()


def read_column(
    source: Any, name: str, dtype: npt.DTypeLike, *, start: int = 0, rows: int | None = None
) -> npt.NDArray[Any]:
    """Read a column whose cells all have the shape of the first, straight into an array of the given type.

    Parameters
    ----------
    source : casacore table
        From `table`, or a selection of its rows.
    name : str
        Of the column.
    dtype : dtype
        Of the column or one that it converts to without loss.
    start, rows : int
        Range of rows; by default all.

    Returns
    -------
    ndarray
        One element along the first axis for each row; axes of a cell in C order (channel, correlation).
    """
    count = int(source.nrows()) - start if rows is None else rows
    cell = () if source.isscalarcol(name) or count == 0 else np.shape(source.getcell(name, start))
    values = np.empty((count, *cell), dtype)
    if count:
        source.getcolnp(name, values, start, count)
    return values


def read_image_plane(
    path: Path | str, first: Sequence[int], last: Sequence[int]
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_] | None] | None:
    """Read a part of a CASA image as it is stored.

    Parameters
    ----------
    path : Path
        Of the image.
    first, last : sequence of int
        Its corners, both included, in C order: frequency, Stokes, y, x.

    Returns
    -------
    tuple or None
        Values, and a mask that is True where they are good, or None if the image has no mask. None instead of
        the tuple for images stored in another way than tclean's.
    """
    if not (Path(path) / "table.dat").is_file():
        return None
    with table(path) as image:
        if _PIXELS not in image.colnames() or image.coldatatype(_PIXELS) != "float":
            return None
        shape = _cell_shape(image, _PIXELS)
        keywords = image.getkeywords()
        values = np.asarray(image.getcellslice(_PIXELS, 0, list(first), list(last)))
    mask_name = keywords.get("Image_defaultmask", "")
    if not mask_name:
        return values, None
    region = keywords["masks"][mask_name]
    if region["name"] != "LCPagedMask":
        return None
    with table(str(region["mask"]).removeprefix("Table: ")) as stored:
        column = stored.colnames()[0]
        if _cell_shape(stored, column) != shape:
            return None
        return values, np.asarray(stored.getcellslice(column, 0, list(first), list(last)))


def _cell_shape(source: Any, column: str) -> tuple[int, ...]:
    # Given in Fortran order, as text.
    text = str(source.getcolshapestring(column, 0, 1)[0])
    return tuple(int(size) for size in text.strip("[]").split(","))


def write_image(
    path: Path,
    planes: Iterable[npt.NDArray[np.float32]],
    shape: tuple[int, int, int, int],
    *,
    coordinates: Mapping[str, Any],
    keywords: Mapping[str, Any],
    mask: npt.NDArray[np.bool_] | None = None,
    history: Sequence[str] = (),
) -> None:
    """Write a CASA image, one Stokes plane after the other.

    Parameters
    ----------
    path : Path
        Where nothing stands yet.
    planes : iterable of ndarray of float32, shape (ny, nx)
        As many as there are Stokes parameters; asked for one by one.
    shape : tuple of int
        Of the image in C order: frequency (1), Stokes, y, x.
    coordinates : mapping
        Record of the coordinate system.
    keywords : mapping
        Records ``imageinfo`` and ``miscinfo``, and ``units``.
    mask : ndarray of bool, shape (ny, nx), optional
        Mask of all planes, True where they are good.
    history : sequence of str
        Lines of the image's log.

    Raises
    ------
    OSError
        If the disk is full.
    RuntimeError
        If casacore cannot write.
    """
    # A tile holds one Stokes parameter: planes are written, and mostly read, one at a time.
    tile = (1, 1, *(-(-size // -(-size // _TILE)) for size in shape[2:]))
    _write_pixels(path, planes, shape, tile, coordinates, mask)
    with table(path, writable=True) as image:
        for name, value in keywords.items():
            image.putkeyword(name, value)
    if history:
        with table(path / "logtable", writable=True) as log:
            log.addrows(len(history))
            log.putcol("MESSAGE", list(history))
            log.putcol("TIME", np.full(len(history), time.time() + _MJD_OF_UNIX_S))
            for name, text in (("PRIORITY", "INFO"), ("LOCATION", "vlasscube"), ("OBJECT_ID", "")):
                log.putcol(name, [text] * len(history))


def _write_pixels(
    path: Path,
    planes: Iterable[npt.NDArray[np.float32]],
    shape: tuple[int, int, int, int],
    tile: tuple[int, ...],
    coordinates: Mapping[str, Any],
    mask: npt.NDArray[np.bool_] | None,
) -> None:
    images = _module("images")
    system = importlib.import_module("casacore.images.coordinates").coordinatesystem(dict(coordinates))
    tiles = math.prod(-(-size // side) for size, side in zip(shape, tile, strict=True))
    sizes = {"table.f0_TSM0": 4 * math.prod(tile) * tiles}
    if mask is not None:
        sizes["mask0/table.f0_TSM0"] = -(-math.prod(tile) // 8) * tiles
    # casacore keeps tiles to itself and writes them late, all of them; if it cannot, it ends the process.
    with tempfile.TemporaryFile(dir=path.parent) as trial:
        os.posix_fallocate(trial.fileno(), 0, sum(sizes.values()) + _HEADER_BYTES)
    image = images.image(
        str(path),
        shape=shape,
        coordsys=system,
        tileshape=tile,
        maskname="" if mask is None else "mask0",
        overwrite=False,
    )
    try:
        for name, size in sizes.items():
            with (path / name).open("r+b") as stream:
                os.posix_fallocate(stream.fileno(), 0, size)
        for stokes, plane in enumerate(planes):
            image.putdata(plane[None, None], blc=(0, stokes, 0, 0))
            if mask is not None:
                # python-casacore takes numpy's sense of a mask, and stores CASA's.
                image.putmask(~mask[None, None], blc=(0, stokes, 0, 0))
        image.unlock()
    except BaseException as error:
        # There is no close: the image goes with the last reference, which a frame of a failed call may hold,
        # and should go before its files do.
        traceback.clear_frames(error.__traceback__)
        raise
    finally:
        del image
