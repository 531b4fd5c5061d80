"""Small images for CASA's tasks to work on, and what they made of them."""

from __future__ import annotations

import shutil

import numpy as np

from vlasscube import casa
from vlasscube.images.casa_images import read_cube
from vlasscube.records import STOKES


def beam_quantities(beam):
    """A beam as CASA's tasks take it."""
    return dict(major=f"{beam.bmaj_arcsec}arcsec", minor=f"{beam.bmin_arcsec}arcsec", pa=f"{beam.bpa_deg}deg")


def write_image(path, planes, cell_arcsec, *, reference_pixel=None, restoring_beam=None):
    """A CASA image of planes [stokes, y, x] in Jy/beam, masked where they are NaN."""
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
    name,
    directory,
    planes,
    cell_arcsec,
    *,
    companions=None,
    reference_pixel=None,
    restoring_beam=None,
    **parameters,
):
    """What a task makes of planes, [stokes, y, x], NaN where masked; `companions`: further inputs."""
    source, target = directory / f"{name}.in", directory / f"{name}.out"
    for path in (source, target):
        shutil.rmtree(path, ignore_errors=True)
    write_image(source, planes, cell_arcsec, reference_pixel=reference_pixel, restoring_beam=restoring_beam)
    for parameter, companion in (companions or {}).items():
        write_image(directory / parameter, companion, cell_arcsec)
        parameters[parameter] = str(directory / parameter)
    casa.run_task(name, imagename=str(source), outfile=str(target), **parameters)
    return read_cube(target)
