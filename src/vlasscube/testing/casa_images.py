"""Small images for CASA's tasks to work on, and what they made of them."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from vlasscube import casa
from vlasscube.images.casa_images import read_cube
from vlasscube.records import STOKES, Beam

Planes = npt.NDArray[Any]
"""[stokes, y, x], NaN where masked."""

IMDEV = dict(
    grid=[10, 10],
    anchor="ref",
    xlength="60arcsec",
    ylength="60arcsec",
    interp="cubic",
    stattype="xmadm",
    statalg="chauvenet",
    zscore=-1,
    maxiter=-1,
)
"""Arguments of the imdev call that makes the rms images of VLASS."""


def beam_quantities(beam: Beam) -> dict[str, str]:
    """Return a beam as CASA's tasks take it."""
    return dict(major=f"{beam.bmaj_arcsec}arcsec", minor=f"{beam.bmin_arcsec}arcsec", pa=f"{beam.bpa_deg}deg")


def write_image(
    path: Path,
    planes: Planes,
    cell_arcsec: float,
    *,
    reference_pixel: tuple[float, float] | None = None,
    restoring_beam: Beam | None = None,
) -> None:
    """Write a CASA image of planes in Jy/beam, masked where they are NaN."""
    stokes, ny, nx = planes.shape
    tools = casa.tools()
    coordinates, image = tools.coordsys(), tools.image()
    axes = coordinates.newcoordsys(direction=True, stokes=list(STOKES[:stokes]), spectral=True)
    axes.setunits(["rad", "rad", "", "Hz"])
    increment = np.deg2rad(cell_arcsec / 3600.0)
    axes.setincrement([-increment, increment], "direction")
    axes.setreferencevalue([1.0, 0.3], "direction")
    axes.setreferencepixel(list(reference_pixel or (nx // 2, ny // 2)), "direction")
    image.fromshape(str(path), [nx, ny, stokes, 1], csys=axes.torecord())
    try:
        good = np.isfinite(planes)
        image.putchunk(np.nan_to_num(planes).transpose(2, 1, 0)[..., None])
        if not good.all():
            image.calcmask("T", name="mask0")
            image.putregion(pixelmask=np.ascontiguousarray(good.transpose(2, 1, 0)[..., None]))
        image.setbrightnessunit("Jy/beam")
        if restoring_beam is not None:
            image.setrestoringbeam(**beam_quantities(restoring_beam))
    finally:
        image.done()
        axes.done()
        coordinates.done()


def run_task(
    name: str,
    directory: Path,
    planes: Planes,
    cell_arcsec: float,
    *,
    companions: Mapping[str, Planes] | None = None,
    reference_pixel: tuple[float, float] | None = None,
    restoring_beam: Beam | None = None,
    **parameters: Any,
) -> Planes:
    """Return what a CASA task makes of planes.

    Parameters
    ----------
    name : str
        Task with parameters ``imagename`` and ``outfile``.
    directory : Path
        For its images.
    planes : array
        Input, [stokes, y, x] in Jy/beam, NaN where masked.
    cell_arcsec : float
        Size of a pixel.
    companions : mapping, optional
        Further input images, by the task's parameter.
    reference_pixel, restoring_beam : optional
        Those of the input.
    **parameters
        Further arguments of the task.
    """
    source, target = directory / f"{name}.in", directory / f"{name}.out"
    for path in (source, target):
        shutil.rmtree(path, ignore_errors=True)
    write_image(source, planes, cell_arcsec, reference_pixel=reference_pixel, restoring_beam=restoring_beam)
    for parameter, companion in (companions or {}).items():
        write_image(directory / parameter, companion, cell_arcsec)
        parameters[parameter] = str(directory / parameter)
    casa.run_task(name, imagename=str(source), outfile=str(target), **parameters)
    return read_cube(target)


def describe(path: Path) -> dict[str, object]:
    """Return all that CASA says of an image but its pixels, as a flat dict."""
    with casa.image(path) as image:
        coordinates = image.coordsys()
        record = {
            "coordinates": coordinates.torecord(),
            "miscinfo": image.miscinfo(),
            "beam": image.restoringbeam(),
            "summary": image.summary(list=False),
            "unit": image.brightnessunit(),
            "shape": image.shape(),
            "masks": image.maskhandler("get"),
            "default mask": image.maskhandler("default"),
        }
        coordinates.done()
    flat: dict[str, object] = {}

    def add(prefix: str, value: object) -> None:
        if isinstance(value, dict):
            for key, item in value.items():
                add(f"{prefix}.{key}", item)
        else:
            flat[prefix] = value

    add("", record)
    # The log is not what is compared, the tiles are ours, and tclean's memory is its own affair.
    skipped = (".messages", ".tileshape", ".memavail", ".memreq", ".mpiprocs", ".chnchnks")
    return {key: value for key, value in flat.items() if not key.endswith(skipped)}
