"""The imaging engines, by name."""

from __future__ import annotations

from vlasscube.imaging.engine import Gridding, ImagingEngine, OtfBeam


def imaging_engine(
    name: str,
    *,
    gridding: Gridding = "casa",
    w_correction: bool = False,
    otf_beam: OtfBeam = "field",
    nsigma_per_stokes: bool = False,
) -> ImagingEngine:
    """Return an engine by name.

    Parameters
    ----------
    name : str
        ``'mosaic'`` or ``'casa'``.
    gridding, w_correction, otf_beam
        Settings of the mosaic engine; see `vlasscube.mosaic.imager.ImagerSettings`.
    nsigma_per_stokes : bool
        Another; see `vlasscube.mosaic.iteration_control.CleanControl`.
    """
    if name == "casa":
        from vlasscube.imaging.tclean import TcleanEngine

        return TcleanEngine()
    from vlasscube.imaging.mosaic_engine import MosaicEngine

    return MosaicEngine(
        gridding=gridding,
        w_correction=w_correction,
        otf_beam=otf_beam,
        nsigma_per_stokes=nsigma_per_stokes,
    )
