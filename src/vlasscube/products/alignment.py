"""Images brought to the common beam and onto the nominal grid: by CASA, or in one Fourier transform."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from vlasscube import casa
from vlasscube.images.casa_images import image_facts, read_plane
from vlasscube.images.derived_images import derived_image
from vlasscube.images.smoothing import smooth_and_shift
from vlasscube.processes.parallel import plane_threads
from vlasscube.products.common_beam import CommonBeamStep
from vlasscube.products.position_correction import PositionCorrection
from vlasscube.records import Beam
from vlasscube.workspace.files import remove


@contextlib.contextmanager
def aligned_image(
    image: Path,
    scratch: Path,
    beam: Beam,
    position: PositionCorrection,
    step: CommonBeamStep,
    method: Literal["casa", "fourier"],
) -> Iterator[Path]:
    """Make an image a member of the common-beam set.

    Parameters
    ----------
    image : Path
        CASA image with axes RA, Dec, Stokes, frequency, whose reference position is the nominal one.
    scratch : Path
        Directory for the image that is made; it is removed on exit.
    beam : Beam
        Beam of `image`.
    position : PositionCorrection
        Where its reference pixel really is.
    step : CommonBeamStep
        Whether to smooth it, whether to regrid it, and to what.
    method : {'casa', 'fourier'}
        ``'casa'``: imsmooth and imregrid, whose linear interpolation takes 1–2 % off a peak; ``'fourier'``
        keeps it.

    Yields
    ------
    Path
        The aligned image; `image` itself if there is nothing to do.
    """
    if not (step.smooth or step.regrid):
        yield image
        return
    aligned = scratch / f"{image.name}.com"
    if method == "fourier":
        align_by_fourier(image, aligned, beam, step.beam, step.shift_pixels if step.regrid else (0.0, 0.0))
    else:
        align_with_casa(image, aligned, step.beam if step.smooth else None, position if step.regrid else None)
    try:
        yield aligned
    finally:
        remove(aligned)


@contextlib.contextmanager
def regridded_response(
    image: Path, scratch: Path, position: PositionCorrection, step: CommonBeamStep
) -> Iterator[Path]:
    """Regrid an image of the primary beam as an image of its plane is, for the common-beam set.

    It is not smoothed, and it is interpolated linearly whatever is done with the other images: it changes so
    slowly that nothing is lost, and its edge, where it is masked, would ring in a Fourier transform.

    Parameters
    ----------
    image, scratch, position, step
        As for `aligned_image`.

    Yields
    ------
    Path
        Stokes I of the regridded image; `image` itself if there is nothing to do.
    """
    if not step.regrid:
        yield image
        return
    regridded = scratch / f"{image.name}.com"
    align_with_casa(image, regridded, None, position, stokes="I")
    try:
        yield regridded
    finally:
        remove(regridded)


def align_by_fourier(
    image: Path, output: Path, beam: Beam, target: Beam, shift_pixels: tuple[float, float]
) -> None:
    """Smooth an image to a beam and shift its content by a fraction of a pixel.

    CASA's ``imregrid`` interpolates linearly and takes 1–2 % off a peak; this keeps it.

    Parameters
    ----------
    image : Path
        CASA image with axes RA, Dec, Stokes, frequency.
    output : Path
        Image to make; header and grid are those of `image`, which gives the beam anew to whoever writes it.
    beam, target : Beam
        Beams of `image` and of `output`.
    shift_pixels : (float, float)
        (dx, dy) by which the content moves.
    """
    facts = image_facts(image)
    call = casa.record_equivalent(
        "imsmooth",
        imagename=image.name,
        outfile=output.name,
        beam=[target.bmaj_arcsec, target.bmin_arcsec, target.bpa_deg],
        shift_pixels=list(shift_pixels),
    )
    with derived_image(output, image, masked=True, history=[call]) as add:
        for index in range(len(facts.stokes)):
            plane = read_plane(image, index)
            add(
                smooth_and_shift(
                    plane, beam, target, facts.cell_arcsec, shift_pixels, workers=plane_threads()
                )
            )


def align_with_casa(
    image: Path,
    output: Path,
    target: Beam | None,
    position: PositionCorrection | None,
    *,
    stokes: str = "",
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
    stokes : str
        Of an image that is not smoothed the Stokes parameters wanted; all by default.
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
        casa.run_task(
            "imsubimage", imagename=str(image), outfile=str(smoothed), stokes=stokes, overwrite=True
        )
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
