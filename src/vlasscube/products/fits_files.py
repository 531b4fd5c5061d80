"""Reading and writing FITS files: the I/O edge of the products."""

from __future__ import annotations

import errno
import math
import os
import re
import shutil
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
import numpy.typing as npt
from astropy.io import fits
from astropy.utils.exceptions import AstropyUserWarning

from vlasscube.errors import ProductError, ResourceLimitError
from vlasscube.products.headers import header_number, header_value
from vlasscube.stokes_codes import FITS_CODES
from vlasscube.workspace.files import new_file

_STOKES_BY_CODE = {code: name for name, code in FITS_CODES.items()}
_MAGIC = b"SIMPLE  ="
_RECORD, _CARD = 2880, 80
_MAX_HEADER_RECORDS = 1000
_MAX_AXES = 999
_OF_SIZE = re.compile(r"BITPIX|NAXIS[0-9]*|PCOUNT|GCOUNT|TFIELDS")
_WHOLE_NUMBER = re.compile(rb"= *([+-]?[0-9]{1,18}) *(?:/.*)?", re.DOTALL)

READ_ERRORS = (
    OSError,
    EOFError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    ArithmeticError,
    MemoryError,
    AssertionError,
    fits.VerifyError,
    AstropyUserWarning,
)
"""What astropy raises, or warns of, on files that are not as they should be."""


@dataclass(frozen=True)
class FitsPlane:
    """An image of one channel, as read."""

    header: fits.Header
    data: npt.NDArray[np.float32]
    """[stokes, y, x]."""
    stokes: tuple[str, ...]


def write_fits(path: Path, hdus: fits.HDUList) -> None:
    """Write a FITS file so that its name only ever stands for the whole file.

    It is written beside its place, forced to disk and renamed. Checksums of an earlier content are dropped.

    Parameters
    ----------
    path : Path
        In an existing directory; what stood there is replaced, a link is not followed.
    hdus : HDUList
        Must be legal FITS (see `vlasscube.products.headers.tidy_header`).

    Raises
    ------
    ProductError
        If the HDUs are not legal or the file cannot be written.
    ResourceLimitError
        If the disk is full.
    """
    for hdu in hdus:
        for keyword in ("CHECKSUM", "DATASUM"):
            if keyword in hdu.header:
                del hdu.header[keyword]
    try:
        with new_file(path) as stream:
            hdus.writeto(stream, output_verify="exception", checksum=False)
    except (fits.VerifyError, ValueError, TypeError, LookupError) as error:
        raise ProductError(f"{path.name} would not be legal FITS: {error}") from error
    except OSError as error:
        # astropy raises a bare OSError with its own text when it finds the disk too small.
        if error.errno == errno.ENOSPC or "Not enough space" in str(error):
            raise ResourceLimitError(
                f"not enough disk space: {path} needs "
                f"{sum(int(hdu.filebytes()) for hdu in hdus) / 1e6:.0f} MB, "
                f"{shutil.disk_usage(path.parent).free / 1e6:.0f} MB are free",
                hint="Free disk space, then run the same command again to resume.",
            ) from error
        raise ProductError(f"{path} cannot be written: {error}") from error


def require_fits(path: Path) -> None:
    """Refuse a file that astropy must not see: it unpacks what is compressed, and believes any size.

    Raises
    ------
    OSError
        If it cannot be read, does not begin as FITS does, has a header without an end or with more axes or
        columns than FITS allows, or is shorter than its headers say.
    """
    size = path.stat().st_size
    with path.open("rb") as stream:
        if stream.read(len(_MAGIC)) != _MAGIC:
            raise OSError(f"it does not begin with {_MAGIC.decode()!r}")
        stream.seek(0)
        while stream.tell() < size:
            data_bytes = _data_bytes(_mandatory_values(stream))
            if stream.tell() + data_bytes > size:
                raise OSError("it is truncated")
            stream.seek(-(-data_bytes // _RECORD) * _RECORD, os.SEEK_CUR)


def _mandatory_values(stream: IO[bytes]) -> dict[str, int]:
    """Whole numbers of the next header that tell its size, each from the first card with its keyword."""
    values: dict[str, int] = {}
    for _ in range(_MAX_HEADER_RECORDS):
        record = stream.read(_RECORD)
        if len(record) < _RECORD:
            raise OSError("it is truncated in a header")
        for start in range(0, _RECORD, _CARD):
            keyword = record[start : start + 8].rstrip().decode("latin-1")
            if keyword == "END":
                return values
            if _OF_SIZE.fullmatch(keyword):
                value = _WHOLE_NUMBER.fullmatch(record[start + 8 : start + _CARD])
                if value is None:
                    raise OSError(f"its {keyword} is not a whole number")
                values.setdefault(keyword, int(value[1]))
    raise OSError("it has a header without an end")


def _data_bytes(values: dict[str, int]) -> int:
    axes = values.get("NAXIS", 0)
    if not (0 <= axes <= _MAX_AXES and values.get("TFIELDS", 0) <= _MAX_AXES):
        raise OSError(f"it has more than {_MAX_AXES} axes or columns")
    sizes = [values.get(f"NAXIS{axis}", -1) for axis in range(1, axes + 1)]
    if min(sizes, default=0) < 0:
        raise OSError("it has an axis without length, or of negative length")
    count = values.get("PCOUNT", 0) + math.prod(sizes) if sizes else 0
    return max(0, abs(values.get("BITPIX", 8)) // 8 * values.get("GCOUNT", 1) * count)


def read_fits(path: Path) -> fits.HDUList:
    """Read a FITS file into memory; the file is closed afterwards.

    Raises
    ------
    ProductError
        If it is missing, not FITS, or shorter than its header says.
    """
    try:
        require_fits(path)
        with warnings.catch_warnings():
            warnings.filterwarnings("error", message=".*truncated.*", category=AstropyUserWarning)
            with fits.open(path, memmap=False, lazy_load_hdus=False) as opened:
                for hdu in opened:
                    # Reading the data now: later the file is closed.
                    hdu.data  # noqa: B018
                return fits.HDUList(list(opened))
    except READ_ERRORS as error:
        raise ProductError(f"{path} cannot be read as FITS: {error}") from error


def read_plane(path: Path) -> FitsPlane:
    """Read an image of one channel with its Stokes planes.

    Returns
    -------
    FitsPlane
        Data as float32 [stokes, y, x] in native byte order.

    Raises
    ------
    ProductError
        If the file is unusable, or the image has more than one channel or Stokes parameters beyond IQUV.
    """
    hdu = read_fits(path)[0]
    header, data = hdu.header, hdu.data
    count = 0 if data is None else data.ndim
    if count < 2 or not data.size:
        raise ProductError(f"{path} holds no image")
    stokes_axis = None
    for axis in range(3, count + 1):
        if str(header_value(header, f"CTYPE{axis}")).startswith("STOKES"):
            stokes_axis = axis
        elif header[f"NAXIS{axis}"] != 1:
            raise ProductError(f"{path} has {header[f'NAXIS{axis}']} planes along axis {axis}, 1 is expected")
    planes = np.ascontiguousarray(data.reshape(-1, *data.shape[-2:]), dtype=np.float32)
    names = tuple(_stokes_name(header, stokes_axis, plane) for plane in range(len(planes)))
    if None in names:
        raise ProductError(f"{path} has Stokes parameters other than I, Q, U, V")
    return FitsPlane(header, planes, tuple(name for name in names if name is not None))


def _stokes_name(header: fits.Header, axis: int | None, plane: int) -> str | None:
    if axis is None:
        return "I"
    value, pixel, step = (
        header_number(header, f"{keyword}{axis}") for keyword in ("CRVAL", "CRPIX", "CDELT")
    )
    code = value + (plane + 1 - pixel) * step
    return _STOKES_BY_CODE.get(round(code)) if math.isfinite(code) else None
