"""The parameters of iter0 … iter3: what production hands to the imager, and what the user may change.

Values: VLASS coarse-cube production as recorded in the HISTORY of the released planes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from vlasscube.clean_terms import CleanMask, ImageMask, NoMask, PrimaryBeamMask
from vlasscube.parameters.quantities import format_angle_arcsec, format_frequency_ghz
from vlasscube.records import DataSelection, ImageGeometry


@dataclass(frozen=True)
class CleanParameters:
    """What is the same in all iterations of all planes of a cube."""

    geometry: ImageGeometry
    masks: tuple[CleanMask, ...]
    """Masks of iter1, iter2, …"""
    robust: float = 1.0
    uvtaper: tuple[str, ...] = ()
    pblimit: float = 0.1
    pbmask: float = 0.4
    niter: int = 20000
    threshold: str | None = None
    nsigma: float | None = None
    """If given, for all iterations with a mask; otherwise 3.0, and 4.5 with the primary-beam mask."""
    cyclefactor: float = 3.0
    cycleniter: int | None = None
    """If given, for iter1 and iter2, which have 500 otherwise; iter3 has 100 in production in any case."""
    cycleniter_pbmask: int | None = None
    """If given, for the iteration with the primary-beam mask."""
    nmajor: int | None = None
    scales: tuple[int, ...] | None = None
    restore_iter0: bool = False


@dataclass(frozen=True)
class IterationParameters:
    """What distinguishes one iteration."""

    number: int
    mask: CleanMask
    niter: int
    threshold: str
    nsigma: float
    pbmask: float
    scales: tuple[int, ...]
    cycleniter: int
    nmajor: int | None
    restoration: bool

    @property
    def is_first(self) -> bool:
        """Whether psf, primary beam and dirty image are to be made."""
        return self.number == 0


def iteration_sequence(parameters: CleanParameters) -> tuple[IterationParameters, ...]:
    """Return iter0 (dirty) and one iteration for each mask."""
    first = IterationParameters(
        number=0,
        mask=NoMask(),
        niter=0,
        threshold="0.0mJy",
        nsigma=2.0,
        pbmask=0.0,
        scales=(),
        cycleniter=500,
        nmajor=None,
        restoration=parameters.restore_iter0,
    )
    cleaned = []
    for number, mask in enumerate(parameters.masks, start=1):
        iteration = IterationParameters(
            number=number,
            mask=mask,
            niter=parameters.niter,
            threshold=parameters.threshold or "0Jy",
            nsigma=3.0 if number < 3 else 4.5,
            pbmask=0.0,
            scales=(0, 5, 12) if parameters.scales is None else parameters.scales,
            cycleniter=_cycleniter(number, parameters),
            nmajor=parameters.nmajor,
            restoration=True,
        )
        if parameters.nsigma is not None:
            iteration = replace(iteration, nsigma=parameters.nsigma)
        if isinstance(mask, PrimaryBeamMask):
            iteration = replace(iteration, pbmask=parameters.pbmask)
            if parameters.cycleniter_pbmask is not None:
                iteration = replace(iteration, cycleniter=parameters.cycleniter_pbmask)
        cleaned.append(iteration)
    return (first, *cleaned)


def _cycleniter(number: int, parameters: CleanParameters) -> int:
    if number >= 3:
        return 100
    return 500 if parameters.cycleniter is None else parameters.cycleniter


def tclean_arguments(
    vis: str,
    selection: DataSelection,
    reffreq_hz: float,
    imagename: str,
    parameters: CleanParameters,
    iteration: IterationParameters,
) -> dict[str, Any]:
    """Return the arguments of the tclean call that makes an iteration.

    Parameters
    ----------
    vis : str
        Measurement set.
    selection : DataSelection
        Visibilities of the plane.
    reffreq_hz : float
        Mean frequency of the plane.
    imagename : str
        Root of the images, ending in ``.iter<N>``.
    parameters, iteration
        What is common to the cube and what belongs to this iteration; ``iteration.mask`` names the mask image
        to use, already on the image grid's directory.
    """
    geometry = parameters.geometry
    arguments: dict[str, Any] = {
        "vis": [vis],
        "field": [selection.field],
        "spw": [selection.spw],
        "antenna": [selection.antenna],
        "scan": [selection.scan],
        "intent": selection.intent,
        "uvrange": selection.uvrange,
        "datacolumn": "corrected",
        "imagename": imagename,
        "imsize": [geometry.nx, geometry.ny],
        "cell": format_angle_arcsec(geometry.cell_arcsec),
        "phasecenter": geometry.phasecenter,
        "stokes": "IQUV",
        "projection": "SIN",
        "specmode": "mfs",
        "reffreq": format_frequency_ghz(reffreq_hz),
        "outframe": "LSRK",
        "veltype": "radio",
        "perchanweightdensity": False,
        "gridder": "mosaic",
        "wprojplanes": 1,
        "facets": 1,
        "mosweight": False,
        "aterm": True,
        "psterm": False,
        "wbawp": True,
        "conjbeams": False,
        "cfcache": "",
        "usepointing": False,
        "rotatepastep": 5.0,
        "computepastep": 360.0,
        "pointingoffsetsigdev": [300, 30],
        "pblimit": parameters.pblimit,
        "normtype": "flatnoise",
        "deconvolver": "mtmfs",
        "scales": list(iteration.scales),
        "nterms": 1,
        "smallscalebias": 0.4,
        "restoration": iteration.restoration,
        "restoringbeam": "common",
        "pbcor": False,
        "weighting": "briggs",
        "robust": parameters.robust,
        "noise": "1.0Jy",
        "npixels": 0,
        "uvtaper": list(parameters.uvtaper) or [""],
        "niter": iteration.niter,
        "gain": 0.1,
        "threshold": iteration.threshold,
        "nsigma": iteration.nsigma,
        "cycleniter": iteration.cycleniter,
        "cyclefactor": parameters.cyclefactor,
        "minpsffraction": 0.05,
        "maxpsffraction": 0.8,
        "interactive": False,
        "fullsummary": True,
        "usemask": "pb" if isinstance(iteration.mask, PrimaryBeamMask) else "user",
        "mask": iteration.mask.name if isinstance(iteration.mask, ImageMask) else "",
        "pbmask": iteration.pbmask,
        "fastnoise": True,
        "restart": True,
        "savemodel": "none",
        "calcres": iteration.is_first,
        "calcpsf": iteration.is_first,
        "psfcutoff": 0.5,
        "parallel": False,
        "verbose": False,
    }
    if iteration.nmajor is not None:
        arguments["nmajor"] = iteration.nmajor
    return arguments
