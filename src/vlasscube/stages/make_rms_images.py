"""Stage 9: local rms of the primary-beam corrected image."""

from __future__ import annotations

from dataclasses import dataclass

from vlasscube import casa, naming
from vlasscube.images.casa_images import image_facts, read_plane
from vlasscube.images.derived_images import derived_image
from vlasscube.images.rms_map import STEP_PIXELS, WIDTH_ARCSEC, rms_map
from vlasscube.images.statistics import plane_statistics
from vlasscube.parameters.quantities import format_angle_arcsec
from vlasscube.processes.parallel import plane_threads
from vlasscube.recipe import MAKE_RMS_IMAGES, PBCOR
from vlasscube.results.reading import InputSource
from vlasscube.results.types import RmsResult
from vlasscube.stages.context import StageContext
from vlasscube.stages.step import Step


@dataclass(frozen=True)
class RmsInputs:
    """The primary-beam corrected image of a plane."""

    pbcor: str
    upstream: tuple[str, ...]


def rms_inputs(source: InputSource) -> RmsInputs:
    """Make the inputs of the stage."""
    return RmsInputs(pbcor=source.result(PBCOR).image, upstream=source.keys(PBCOR))


def make_rms_image(inputs: RmsInputs, context: StageContext) -> RmsResult:
    """Make the rms image.

    On a grid of every 10th pixel the scaled median absolute deviation of a 60″ box, outliers clipped by
    Chauvenet's criterion; cubic interpolation between.
    """
    source = context.workspace.working / inputs.pbcor
    target = source.with_name(naming.rms_name(inputs.pbcor))
    call = casa.record_equivalent(
        "imdev",
        imagename=source.name,
        outfile=target.name,
        grid=[STEP_PIXELS, STEP_PIXELS],
        anchor="ref",
        xlength=format_angle_arcsec(WIDTH_ARCSEC),
        ylength=format_angle_arcsec(WIDTH_ARCSEC),
        interp="cubic",
        stattype="xmadm",
        statalg="chauvenet",
        zscore=-1,
        maxiter=-1,
    )
    facts = image_facts(source)
    statistics = {}
    with derived_image(target, source, masked=True, history=[call]) as add:
        for index, stokes in enumerate(facts.stokes):
            noise = rms_map(
                read_plane(source, index),
                facts.cell_arcsec,
                facts.reference_pixel,
                threads=plane_threads(),
            )
            add(noise)
            statistics[stokes] = plane_statistics(noise)
    context.add_output(target)
    return RmsResult(image=target.name, statistics=statistics)


STEP = Step(MAKE_RMS_IMAGES, rms_inputs, make_rms_image)
