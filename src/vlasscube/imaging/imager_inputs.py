"""What the imager takes, from the parameters of a clean."""

from __future__ import annotations

import math

from vlasscube.imaging.clean_sequence import CleanParameters, IterationParameters
from vlasscube.imaging.engine import Gridding, OtfBeam
from vlasscube.mosaic.grid import ImageGrid
from vlasscube.mosaic.imager import ImagerSettings
from vlasscube.mosaic.iteration_control import CleanControl
from vlasscube.parameters.quantities import parse_flux_jy, parse_taper
from vlasscube.records import ImageGeometry
from vlasscube.sky import parse_phasecenter, rad_from_arcsec


def image_grid(geometry: ImageGeometry) -> ImageGrid:
    """Return the pixel grid of an image geometry."""
    ra_deg, dec_deg, _ = parse_phasecenter(geometry.phasecenter)
    return ImageGrid(
        geometry.nx,
        geometry.ny,
        rad_from_arcsec(geometry.cell_arcsec),
        math.radians(ra_deg),
        math.radians(dec_deg),
    )


def image_frame(geometry: ImageGeometry) -> str:
    """Return the frame of an image, which its pointings are brought into."""
    return parse_phasecenter(geometry.phasecenter)[2]


def imager_settings(
    parameters: CleanParameters,
    threads: int,
    *,
    gridding: Gridding = "casa",
    w_correction: bool = False,
    otf_beam: OtfBeam = "field",
) -> ImagerSettings:
    """Return how the visibilities of a plane are weighted and gridded."""
    return ImagerSettings(
        robust=parameters.robust,
        taper=parse_taper(parameters.uvtaper),
        pblimit=parameters.pblimit,
        gridding=gridding,
        w_correction=w_correction,
        otf_beam=otf_beam,
        threads=threads,
    )


def clean_control(
    parameters: CleanParameters, iteration: IterationParameters, *, nsigma_per_stokes: bool = False
) -> CleanControl:
    """Return when and how an iteration is cleaned."""
    return CleanControl(
        niter=iteration.niter,
        nsigma=iteration.nsigma,
        cycleniter=iteration.cycleniter,
        threshold_jy=parse_flux_jy(iteration.threshold),
        cyclefactor=parameters.cyclefactor,
        nmajor=iteration.nmajor,
        scales=tuple(float(scale) for scale in iteration.scales) or (0.0,),
        pblimit=parameters.pblimit,
        pbmask=iteration.pbmask,
        nsigma_per_stokes=nsigma_per_stokes,
    )
