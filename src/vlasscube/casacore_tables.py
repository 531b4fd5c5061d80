"""The only interface to python-casacore: tables read and written as float32 and complex64, without CASA.

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
import tempfile
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from vlasscube.constants import DAY_S, MJD_OF_UNIX_EPOCH
from vlasscube.errors import CasaUnavailableError
from vlasscube.processes.environment import prepare_process
from vlasscube.workspace.file_systems import lacks_locks
from vlasscube.workspace.files import reserve

_INSTALL_HINT = "Install it with:  pip install python-casacore"
_PIXELS = "map"
_TILE = 512
_BUCKET_BYTES = 1 << 20
"""Of a table with many rows; casacore's own are for a few."""
_HEADER_BYTES = 2_000_000
"""More than an image takes besides its pixels."""
_MJD_OF_UNIX_S = MJD_OF_UNIX_EPOCH * DAY_S
_COPIED_KEYWORDS = ("imageinfo", "miscinfo", "units")

AddPlane = Callable[[npt.NDArray[np.float32], npt.NDArray[np.bool_] | None], None]
"""Writes the next Stokes plane [y, x] and its mask, True where good; None if the image has no mask."""


def _now_mjd_s() -> float:
    return time.time() + _MJD_OF_UNIX_S


@dataclass(frozen=True)
class LogLine:
    """A line of an image's log."""

    message: str
    location: str = "vlasscube"
    priority: str = "INFO"
    time_mjd_s: float = field(default_factory=_now_mjd_s)


@dataclass(frozen=True)
class ImageDescription:
    """What a CASA image holds besides its pixels."""

    shape: tuple[int, int, int, int]
    """In C order: frequency, Stokes, y, x."""
    coordinates: Mapping[str, Any]
    """Record of the coordinate system."""
    keywords: Mapping[str, Any]
    """Its keywords ``imageinfo``, ``miscinfo`` and ``units``, as far as it has them."""
    has_mask: bool
    log: tuple[LogLine, ...]


def _module(name: str) -> Any:
    try:
        prepare_process()
        return importlib.import_module(f"casacore.{name}")
    except ImportError as error:
        raise CasaUnavailableError(f"python-casacore cannot be used: {error}", hint=_INSTALL_HINT) from error


@contextlib.contextmanager
def table(path: Path | str, *, writable: bool = False) -> Iterator[Any]:
    """Open a table, closed on exit.

    Parameters
    ----------
    path : Path
        Path of a table, e.g. a measurement set or one of its subtables.
    writable : bool
        If false, nothing is written and no lock is taken.

    Raises
    ------
    RuntimeError
        If it is not a table, or, for writing, is in use elsewhere.
    """
    # Read locks would be written into the table's lock file, and are of no use on a table nobody changes.
    # (usernoread would release one that it does not have, which fails where there are none.)
    locking = {"option": "auto" if writable else "autonoread"}
    opened = _module("tables").table(str(path), readonly=not writable, lockoptions=locking, ack=False)
    try:
        yield opened
    finally:
        try:
            opened.close()
        except RuntimeError as error:
            # Where there are none, none can be given back.
            if writable or not lacks_locks(error):
                raise


def copy_structure(source: Path, target: Path) -> None:
    """Make a table with the columns and keywords of another, and no rows.

    Raises
    ------
    RuntimeError
        If the other one is damaged.
    """
    with table(source) as opened:
        opened.copy(str(target), deep=True, valuecopy=True, copynorows=True).close()


def make_ms_subtable(name: str, path: Path) -> None:
    """Make an empty subtable that the format of measurement sets defines, e.g. ``'WEATHER'``."""
    _module("tables").default_ms_subtable(name, str(path)).close()


def write_table(path: Path, columns: Mapping[str, npt.NDArray[Any]]) -> None:
    """Make a table of its own, without keywords.

    Parameters
    ----------
    path : Path
        Where nothing stands yet.
    columns : mapping of str to ndarray
        One element along the first axis for each row, the same number in all of them; none for an empty
        table.
    """
    tables = _module("tables")
    descriptions = []
    for name, values in columns.items():
        if values.ndim == 1:
            descriptions.append(tables.makescacoldesc(name, values[0].item()))
        else:
            descriptions.append(
                tables.makearrcoldesc(
                    name, values.flat[0].item(), ndim=values.ndim - 1, shape=list(values.shape[1:])
                )
            )
    rows = len(next(iter(columns.values()))) if columns else 0
    storage = {
        "*1": {
            "TYPE": "StandardStMan",
            "NAME": "Standard",
            "SPEC": {"BUCKETSIZE": _BUCKET_BYTES},
            "COLUMNS": list(columns),
        }
    }
    made = tables.table(
        str(path),
        tables.maketabdesc(descriptions),
        nrow=rows,
        dminfo=storage if columns else {},
        ack=False,
    )
    try:
        for name, values in columns.items():
            made.putcol(name, values)
    finally:
        made.close()


def read_column(
    source: Any, name: str, dtype: npt.DTypeLike, *, start: int = 0, rows: int | None = None
) -> npt.NDArray[Any]:
    """Read a column whose cells all have the shape of the first, straight into an array of the given type.

    Parameters
    ----------
    source : casacore table
        From `table`, or a selection of its rows.
    name : str
        Name of the column.
    dtype : dtype
        Type of the column, or one that it converts to without loss.
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


@contextlib.contextmanager
def stored_image(path: Path | str) -> Iterator[StoredImage | None]:
    """Open a CASA image for reading; None for one that is stored in another way than tclean's.

    Opening takes longer than reading a small part.
    """
    if not (Path(path) / "table.dat").is_file():
        yield None
        return
    with contextlib.ExitStack() as stack:
        image = stack.enter_context(table(path))
        if _PIXELS not in image.colnames() or image.coldatatype(_PIXELS) != "float":
            yield None
            return
        shape = _cell_shape(image, _PIXELS)
        keywords = image.getkeywords()
        mask_name = keywords.get("Image_defaultmask", "")
        if not mask_name:
            yield StoredImage(image, None, shape)
            return
        region = keywords["masks"][mask_name]
        if region["name"] != "LCPagedMask":
            yield None
            return
        mask = stack.enter_context(table(str(region["mask"]).removeprefix("Table: ")))
        fits = _cell_shape(mask, mask.colnames()[0]) == shape
        yield StoredImage(image, mask, shape) if fits else None


@dataclass(frozen=True)
class StoredImage:
    """Pixels and mask of an open image."""

    _pixels: Any
    _mask: Any
    shape: tuple[int, ...]
    """In C order: frequency, Stokes, y, x."""

    def read(
        self, first: Sequence[int], last: Sequence[int]
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_] | None]:
        """Read a part, from one corner to the other, both included.

        Returns
        -------
        tuple
            Values, and a mask that is True where they are good, or None if the image has no mask.
        """
        values = np.asarray(self._pixels.getcellslice(_PIXELS, 0, list(first), list(last)))
        if self._mask is None:
            return values, None
        column = self._mask.colnames()[0]
        return values, np.asarray(self._mask.getcellslice(column, 0, list(first), list(last)))


def _cell_shape(source: Any, column: str) -> tuple[int, ...]:
    # Given in Fortran order, as text.
    text = str(source.getcolshapestring(column, 0, 1)[0])
    return tuple(int(size) for size in text.strip("[]").split(","))


def describe_image(path: Path) -> ImageDescription:
    """Read what a CASA image holds besides its pixels.

    Raises
    ------
    RuntimeError
        If it is not an image stored as a table.
    """
    with table(path) as image:
        keywords = image.getkeywords()
        frequency, stokes, ny, nx = _cell_shape(image, _PIXELS)
    with table(path / "logtable") as stored:
        names = ("MESSAGE", "LOCATION", "PRIORITY", "TIME")
        columns = [stored.getcol(name) for name in names] if stored.nrows() else []
    return ImageDescription(
        shape=(frequency, stokes, ny, nx),
        coordinates=keywords["coords"],
        keywords={name: keywords[name] for name in _COPIED_KEYWORDS if name in keywords},
        has_mask=bool(keywords.get("Image_defaultmask", "")),
        log=tuple(LogLine(*values) for values in zip(*columns, strict=True)),
    )


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
    path, shape, coordinates, keywords
        As of `new_image`.
    planes : iterable of ndarray of float32, shape (ny, nx)
        As many as there are Stokes parameters; asked for one by one.
    mask : ndarray of bool, shape (ny, nx), optional
        Mask of all planes, True where they are good.
    history : sequence of str
        Lines of the image's log.

    Raises
    ------
    OSError, RuntimeError
        As `new_image`.
    """
    log = [LogLine(text) for text in history]
    description = ImageDescription(shape, coordinates, keywords, mask is not None, tuple(log))
    with new_image(path, description) as add:
        for plane in planes:
            add(plane, mask)


@contextlib.contextmanager
def new_image(path: Path, description: ImageDescription) -> Iterator[AddPlane]:
    """Make a CASA image whose Stokes planes are added one after the other, finished on exit.

    Several can be under way at once.

    Parameters
    ----------
    path : Path
        Where nothing stands yet.
    description : ImageDescription
        What the image is to hold besides its pixels; one frequency.

    Raises
    ------
    OSError
        If the disk is full.
    RuntimeError
        If casacore cannot write.
    """
    pixels = _NewPixels(path, description)
    try:
        yield pixels.add
        pixels.flush()
    except BaseException as error:
        # There is no close: the image goes with the last reference, which a frame of a failed call may hold,
        # and should go before its files do.
        traceback.clear_frames(error.__traceback__)
        raise
    finally:
        pixels.release()
    with table(path, writable=True) as image:
        for name, value in description.keywords.items():
            image.putkeyword(name, value)
    lines = description.log
    if lines:
        with table(path / "logtable", writable=True) as log:
            log.addrows(len(lines))
            log.putcol("MESSAGE", [line.message for line in lines])
            log.putcol("LOCATION", [line.location for line in lines])
            log.putcol("PRIORITY", [line.priority for line in lines])
            log.putcol("TIME", np.array([line.time_mjd_s for line in lines]))
            log.putcol("OBJECT_ID", [""] * len(lines))


class _NewPixels:
    """Pixels and mask of an image in the making."""

    def __init__(self, path: Path, description: ImageDescription) -> None:
        images = _module("images")
        coordinates = importlib.import_module("casacore.images.coordinates")
        shape = description.shape
        # A tile holds one Stokes parameter: planes are written, and mostly read, one at a time.
        tile = (1, 1, *(-(-size // -(-size // _TILE)) for size in shape[2:]))
        tiles = math.prod(-(-size // side) for size, side in zip(shape, tile, strict=True))
        sizes = {"table.f0_TSM0": 4 * math.prod(tile) * tiles}
        if description.has_mask:
            sizes["mask0/table.f0_TSM0"] = -(-math.prod(tile) // 8) * tiles
        # casacore keeps tiles to itself and writes them late, all of them; if it cannot, it ends the process.
        with tempfile.TemporaryFile(dir=path.parent) as trial:
            reserve(trial, sum(sizes.values()) + _HEADER_BYTES)
        self._image = images.image(
            str(path),
            shape=shape,
            coordsys=coordinates.coordinatesystem(dict(description.coordinates)),
            tileshape=tile,
            maskname="mask0" if description.has_mask else "",
            overwrite=False,
        )
        self._count = 0
        try:
            for name, size in sizes.items():
                with (path / name).open("r+b") as stream:
                    reserve(stream, size)
        except BaseException:
            self.release()
            raise

    def add(self, plane: npt.NDArray[np.float32], good: npt.NDArray[np.bool_] | None) -> None:
        corner = (0, self._count, 0, 0)
        self._image.putdata(plane[None, None], blc=corner)
        if good is not None:
            # python-casacore takes numpy's sense of a mask, and stores CASA's.
            self._image.putmask(~good[None, None], blc=corner)
        self._count += 1

    def flush(self) -> None:
        self._image.unlock()

    def release(self) -> None:
        self._image = None
