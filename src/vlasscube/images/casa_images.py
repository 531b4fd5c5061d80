"""CASA images as arrays: the small I/O edge of `vlasscube.images`.

Arrays are indexed [stokes, y, x] as elsewhere in the package; masked pixels are NaN.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from vlasscube import casa, casacore_tables
from vlasscube.records import Beam, PixelBox
from vlasscube.sky import arcsec_from_rad

FloatArray = npt.NDArray[np.float32]


@dataclass(frozen=True)
class ImageFacts:
    """Shape and coordinates of a CASA image."""

    nx: int
    ny: int
    stokes: tuple[str, ...]
    reference_pixel: tuple[float, float]
    """Reference pixel of the direction axes, 0-based."""
    reference_ra_deg: float
    reference_dec_deg: float
    cell_arcsec: float
    frequency_hz: float
    channel_width_hz: float
    beam: Beam | None
    """Beam of Stokes I (the first plane)."""


def image_facts(path: Path) -> ImageFacts:
    """Read shape, coordinates and beam of an image with axes RA, Dec, Stokes, frequency."""
    with casa.image(path) as image:
        shape = image.shape()
        coordinates = image.coordsys()
        try:
            reference = coordinates.referencevalue(format="n")["numeric"]
            pixel = coordinates.referencepixel()["numeric"]
            increment = coordinates.increment(format="n")["numeric"]
            stokes = tuple(str(name) for name in coordinates.stokes())
        finally:
            coordinates.done()
        beam = _beam(image.restoringbeam(channel=0, polarization=0)) if image.restoringbeam() else None
    return ImageFacts(
        nx=int(shape[0]),
        ny=int(shape[1]),
        stokes=stokes,
        reference_pixel=(float(pixel[0]), float(pixel[1])),
        reference_ra_deg=float(np.rad2deg(reference[0])) % 360.0,
        reference_dec_deg=float(np.rad2deg(reference[1])),
        cell_arcsec=arcsec_from_rad(abs(float(increment[1]))),
        frequency_hz=float(reference[3]),
        channel_width_hz=float(increment[3]),
        beam=beam,
    )


def _beam(record: dict[str, Any]) -> Beam:
    quanta = casa.tools().quanta()

    def value(key: str, unit: str) -> float:
        return float(quanta.convert(record[key], unit)["value"])

    angle = "positionangle" if "positionangle" in record else "pa"
    return Beam(value("major", "arcsec"), value("minor", "arcsec"), value(angle, "deg"))


class PlaneReader:
    """An open image whose Stokes planes, or parts of them, are read; made by `open_image`."""

    def __init__(self, path: Path, stored: casacore_tables.StoredImage | None) -> None:
        self._path, self._stored = path, stored

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of a plane, (ny, nx)."""
        if self._stored is not None:
            return self._stored.shape[2], self._stored.shape[3]
        facts = image_facts(self._path)
        return facts.ny, facts.nx

    def read(self, stokes: int = 0, box: PixelBox | None = None) -> FloatArray:
        """Read one Stokes plane or a part of it, as `read_plane`."""
        if self._stored is None:
            return _read_plane_by_casa(self._path, stokes, box)
        first = (0, stokes, box.blc_y, box.blc_x) if box else (0, stokes, 0, 0)
        last = (0, stokes, box.trc_y, box.trc_x) if box else (0, stokes, -1, -1)
        values, good = self._stored.read(first, last)
        plane: FloatArray = values[0, 0]
        if good is not None:
            plane[~good[0, 0]] = np.nan
        return plane


@contextlib.contextmanager
def open_image(path: Path) -> Iterator[PlaneReader]:
    """Open a CASA image with axes RA, Dec, Stokes, frequency, of which more than one part is to be read."""
    with casacore_tables.stored_image(path) as stored:
        yield PlaneReader(path, stored)


def read_plane(path: Path, stokes: int = 0, box: PixelBox | None = None) -> FloatArray:
    """Read one Stokes plane.

    Parameters
    ----------
    path : Path
        CASA image with axes RA, Dec, Stokes, frequency.
    stokes : int
        Index of the plane.
    box : PixelBox, optional
        Part of it.

    Returns
    -------
    ndarray of float32, shape (ny, nx)
        Masked pixels are NaN.
    """
    with open_image(path) as image:
        return image.read(stokes, box)


def _read_plane_by_casa(path: Path, stokes: int, box: PixelBox | None) -> FloatArray:
    # Whatever CASA takes for an image: FITS, expressions, masks by reference.
    with casa.image(path) as image:
        nx, ny = (int(n) for n in image.shape()[:2])
        box = box or PixelBox(0, 0, nx - 1, ny - 1)
        blc, trc = [box.blc_x, box.blc_y, stokes, 0], [box.trc_x, box.trc_y, stokes, 0]
        values = np.asarray(image.getchunk(blc, trc))[:, :, 0, 0].T.astype(np.float32)
        if image.maskhandler("default")[0]:
            good = np.asarray(image.getchunk(blc, trc, getmask=True))[:, :, 0, 0].T
            values[~good] = np.nan
    return values


def iterate_planes(path: Path) -> Iterator[tuple[str, FloatArray]]:
    """Yield the Stokes planes of an image one by one, as (name, array)."""
    for index, name in enumerate(image_facts(path).stokes):
        yield name, read_plane(path, index)


def read_cube(path: Path) -> FloatArray:
    """Read all Stokes planes, shape (4, ny, nx)."""
    return np.stack([plane for _, plane in iterate_planes(path)])


def set_missing_beams(psf: Path, images: tuple[Path, ...]) -> tuple[str, ...]:
    """Give images without restoring beam those of the psf, plane by plane.

    CASA before 6.6 leaves IQUV images without beams (CAS-13401); later versions need nothing.

    Returns
    -------
    tuple of str
        Names of the images that lacked a beam.
    """
    mended = []
    for path in images:
        if not path.exists():
            continue
        with casa.image(psf) as source, casa.image(path) as target:
            if target.restoringbeam():
                continue
            stokes, channels = (int(n) for n in source.shape()[2:4])
            for channel in range(channels):
                for polarization in range(stokes):
                    beam = source.restoringbeam(channel=channel, polarization=polarization)
                    target.setrestoringbeam(beam=beam, channel=channel, polarization=polarization)
        mended.append(path.name)
    return tuple(mended)
