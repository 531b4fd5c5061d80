"""Stage 8: divide image and residual by the primary beam."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vlasscube import casa, naming
from vlasscube.images.casa_images import image_facts, read_plane
from vlasscube.images.cutouts import cut
from vlasscube.images.derived_images import AddPlane, derived_image
from vlasscube.images.primary_beam import correct_primary_beam as divide
from vlasscube.images.statistics import plane_statistics
from vlasscube.imaging.plane_imager import inner_square_degree
from vlasscube.recipe import EDIT_IMAGE_LIST_CUBE, MAKE_IMAGES, PBCOR
from vlasscube.records import PixelBox, PlaneStatistics
from vlasscube.results.reading import InputSource
from vlasscube.results.types import PbcorResult
from vlasscube.stages.context import StageContext
from vlasscube.stages.step import Step


@dataclass(frozen=True)
class PbcorInputs:
    """The final images of a plane; ``inner_box`` is the inner square degree."""

    iteration_root: str
    inner_box: PixelBox
    upstream: tuple[str, ...]


def pbcor_inputs(source: InputSource) -> PbcorInputs:
    """Make the inputs of the stage."""
    return PbcorInputs(
        iteration_root=source.result(MAKE_IMAGES).last_root,
        inner_box=inner_square_degree(source.result(EDIT_IMAGE_LIST_CUBE).geometry),
        upstream=source.keys(MAKE_IMAGES),
    )


def correct_primary_beam(inputs: PbcorInputs, context: StageContext) -> PbcorResult:
    """Make ``image.pbcor.tt0`` and ``image.residual.pbcor.tt0``; where the beam is masked they are masked."""
    working = context.workspace.working
    root = inputs.iteration_root
    pb = working / naming.tclean_product(root, "pb")
    sources = {kind: working / naming.tclean_product(root, kind) for kind in ("image", "residual")}
    targets = {
        "image": working / naming.pbcor_name(root),
        "residual": working / naming.residual_pbcor_name(root),
    }
    statistics: dict[str, PlaneStatistics] = {}
    with contextlib.ExitStack() as images:
        add = {
            kind: images.enter_context(_quotient(targets[kind], source, pb))
            for kind, source in sources.items()
        }
        for index in range(len(image_facts(pb).stokes)):
            response = read_plane(pb, index)
            if index == 0:
                inner = cut(response, inputs.inner_box)
                counts, edges = np.histogram(inner[np.isfinite(inner)], bins=10, range=(0.0, 1.0))
            for kind, source in sources.items():
                corrected = divide(read_plane(source, index), response)
                add[kind](corrected)
                if index == 0:
                    statistics[kind] = plane_statistics(corrected)
    for target in targets.values():
        context.add_output(target)
    return PbcorResult(
        image=targets["image"].name,
        residual=targets["residual"].name,
        statistics=statistics,
        pb_histogram_counts=tuple(int(n) for n in counts),
        pb_histogram_edges=tuple(float(edge) for edge in edges),
    )


def _quotient(target: Path, source: Path, pb: Path) -> contextlib.AbstractContextManager[AddPlane]:
    call = casa.record_equivalent(
        "impbcor",
        imagename=source.name,
        pbimage=pb.name,
        outfile=target.name,
        mode="divide",
        cutoff=-1.0,
        stretch=False,
    )
    return derived_image(target, source, masked=True, also_from=[pb], history=[call])


STEP = Step(PBCOR, pbcor_inputs, correct_primary_beam)
