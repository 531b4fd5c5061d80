"""From CASA images to FITS in memory: where the products are read."""

from __future__ import annotations

from pathlib import Path

from astropy.io import fits

from vlasscube import casa
from vlasscube.workspace.files import remove


def export_stokes(image: Path, stokes: str, scratch: Path) -> fits.HDUList:
    """Read the given Stokes parameters of a CASA image as FITS.

    Parameters
    ----------
    image : Path
        CASA image with axes RA, Dec, Stokes, frequency.
    stokes : str
        E.g. ``'IQU'``.
    scratch : Path
        Directory for what is made on the way and removed again.

    Returns
    -------
    HDUList
        In memory, axes RA, Dec, FREQ, STOKES.
    """
    part, file = scratch / f"{image.name}.{stokes}", scratch / f"{image.name}.{stokes}.fits"
    remove(part)
    casa.run_task(
        "imsubimage",
        imagename=str(image),
        outfile=str(part),
        stokes=stokes,
        dropdeg=False,
        overwrite=True,
    )
    casa.run_task("exportfits", imagename=str(part), fitsimage=str(file), overwrite=True)
    with fits.open(file, memmap=False) as opened:
        copied = fits.HDUList([hdu.copy() for hdu in opened])
    remove(part)
    remove(file)
    return copied
