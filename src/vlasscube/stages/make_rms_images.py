"""Stage 9: local rms of the primary-beam corrected image."""

from __future__ import annotations

from dataclasses import dataclass

from vlasscube import casa, naming
from vlasscube.images.casa_images import iterate_planes
from vlasscube.images.statistics import plane_statistics
from vlasscube.stages.context import StageContext
from vlasscube.stages.results import RmsResult
from vlasscube.workspace import publish, remove


@dataclass(frozen=True)
class RmsInputs:
    """The primary-beam corrected image of a plane."""

    pbcor: str
    upstream: tuple[str, ...]


def make_rms_image(inputs: RmsInputs, context: StageContext) -> RmsResult:
    """Make the rms image.

    On a grid of every 10th pixel the scaled median absolute deviation of a 60″ box, outliers clipped by
    Chauvenet's criterion; cubic interpolation between.
    """
    working = context.workspace.working
    target = working / naming.rms_name(inputs.pbcor)
    partial = target.with_name(f".{target.name}.partial")
    remove(partial)
    casa.run_task(
        "imdev",
        imagename=str(working / inputs.pbcor),
        outfile=str(partial),
        region="",
        box="",
        chans="",
        stokes="",
        mask="",
        overwrite=True,
        stretch=False,
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
    publish(partial, target)
    context.add_output(target)
    return RmsResult(
        image=target.name,
        statistics={stokes: plane_statistics(plane) for stokes, plane in iterate_planes(target)},
    )
