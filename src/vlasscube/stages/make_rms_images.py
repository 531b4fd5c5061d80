"""Stage 9: local rms of the primary-beam corrected image."""

from __future__ import annotations

from dataclasses import dataclass

from vlasscube import naming
from vlasscube.images.rms_image import write_rms_image
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
    statistics = write_rms_image(source, target)
    context.add_output(target)
    return RmsResult(image=target.name, statistics=statistics)


STEP = Step(MAKE_RMS_IMAGES, rms_inputs, make_rms_image)
