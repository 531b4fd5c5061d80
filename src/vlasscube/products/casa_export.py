"""From CASA images to FITS in memory, and CASA's way to a common beam and grid."""

from __future__ import annotations

from pathlib import Path

from astropy.io import fits

from vlasscube import casa
from vlasscube.products.position_correction import PositionCorrection
from vlasscube.records import Beam
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


def align_with_casa(
    image: Path, output: Path, target: Beam | None, position: PositionCorrection | None
) -> None:
    """Smooth an image to a beam and regrid it from its corrected onto its nominal position, as asked.

    Parameters
    ----------
    image : Path
        Image whose reference position is the nominal one.
    output : Path
        Image to make.
    target : Beam, optional
        Beam to smooth to; None leaves the resolution.
    position : PositionCorrection, optional
        Where the reference pixel really is; None leaves the grid.
    """
    smoothed = output if position is None else output.with_name(f"{output.name}.smoothed")
    if target is not None:
        beam = {
            "major": f"{target.bmaj_arcsec!r}arcsec",
            "minor": f"{target.bmin_arcsec!r}arcsec",
            "pa": f"{target.bpa_deg!r}deg",
        }
        casa.run_task(
            "imsmooth",
            imagename=str(image),
            kernel="gauss",
            targetres=True,
            beam=beam,
            outfile=str(smoothed),
            overwrite=True,
        )
    else:
        casa.run_task("imsubimage", imagename=str(image), outfile=str(smoothed), overwrite=True)
    if position is None:
        return
    for key, value in (("crval1", position.corrected_ra_deg), ("crval2", position.corrected_dec_deg)):
        casa.run_task("imhead", imagename=str(smoothed), mode="put", hdkey=key, hdvalue=f"{value!r}deg")
    casa.run_task(
        "imregrid",
        imagename=str(smoothed),
        template=str(image),
        output=str(output),
        axes=[0, 1],
        interpolation="linear",
        decimate=10,
        overwrite=True,
    )
    remove(smoothed)
