"""The continuum run's model, predicted into MODEL_DATA by the mosaic engine.

The result is that of ``tclean(gridder='mosaic', deconvolver='mtmfs', savemodel='modelcolumn')``: the model is
divided by the mosaic's primary beam, which follows from the weights of all spectral windows, and each
pointing sees it through its own.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from vlasscube import casa
from vlasscube.errors import ImagingError
from vlasscube.images.casa_images import read_plane
from vlasscube.imaging.imager_inputs import image_frame, image_grid
from vlasscube.measurement_set.model_column import write_model_column
from vlasscube.measurement_set.visibilities import read_visibilities
from vlasscube.mosaic.imager import ImagerSettings, MosaicImager
from vlasscube.parameters.quantities import format_angle_arcsec, parse_frequency_hz, parse_taper
from vlasscube.processes.parallel import plane_threads
from vlasscube.records import DataSelection, ImageGeometry


def predict_continuum_model(
    ms: Path,
    models: Sequence[Path],
    selection: DataSelection,
    geometry: ImageGeometry,
    *,
    robust: float,
    uvtaper: Sequence[str],
    reffreq: str,
    pblimit: float,
) -> None:
    """Fill MODEL_DATA of a measurement set.

    Parameters
    ----------
    ms : Path
        Working measurement set.
    models : sequence of Path
        Model images of the Taylor terms, one or two, in order.
    selection, geometry, robust, uvtaper, pblimit
        Those of the continuum run.
    reffreq : str
        Reference frequency of the Taylor terms, e.g. ``'3.0GHz'``.

    Raises
    ------
    ImagingError
        If an image does not fit the geometry, or there are more than two terms.
    """
    if not 1 <= len(models) <= 2:
        raise ImagingError(f"{len(models)} model images: only one or two Taylor terms can be predicted")
    visibilities = read_visibilities(ms, selection, column=None, frame=image_frame(geometry))
    settings = ImagerSettings(
        robust=robust, taper=parse_taper(uvtaper), pblimit=pblimit, threads=plane_threads()
    )
    imager = MosaicImager(image_grid(geometry), visibilities, settings)
    terms = np.stack([np.nan_to_num(read_plane(path)) for path in models])
    if terms.shape[1:] != imager.grid.shape:
        raise ImagingError(
            f"{models[0].name} has {terms.shape[2]}x{terms.shape[1]} pixels, not {geometry.nx}x{geometry.ny}",
            hint="The archive's model images and SEIP_parameter.list do not belong together.",
        )
    if not imager.weight_sum > 0:
        raise ImagingError("no unflagged visibility to predict the model for", hint="Check the flags.")
    weight_image = imager.weight_image()
    casa.record_equivalent(
        "tclean",
        vis=ms.name,
        startmodel=[path.name for path in models],
        **dataclasses.asdict(selection),
        imsize=[geometry.nx, geometry.ny],
        cell=format_angle_arcsec(geometry.cell_arcsec),
        phasecenter=geometry.phasecenter,
        gridder="mosaic",
        deconvolver="mtmfs",
        nterms=len(models),
        reffreq=reffreq,
        weighting="briggs",
        robust=robust,
        uvtaper=list(uvtaper),
        pblimit=pblimit,
        niter=0,
        savemodel="modelcolumn",
    )
    predicted = imager.predict_taylor(terms, weight_image, parse_frequency_hz(reffreq))
    write_model_column(ms, ((window.row, model) for window, model in predicted))
