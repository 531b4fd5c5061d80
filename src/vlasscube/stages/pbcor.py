"""Stage 8: divide image and residual by the primary beam."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vlasscube import casa, naming
from vlasscube.images.casa_images import read_plane
from vlasscube.images.statistics import plane_statistics
from vlasscube.records import PixelBox
from vlasscube.stages.context import StageContext
from vlasscube.stages.results import PbcorResult
from vlasscube.workspace import publish, remove


@dataclass(frozen=True)
class PbcorInputs:
    """The final images of a plane; ``inner_box`` is the inner square degree."""

    iteration_root: str
    inner_box: PixelBox
    upstream: tuple[str, ...]


def correct_primary_beam(inputs: PbcorInputs, context: StageContext) -> PbcorResult:
    """Make ``image.pbcor.tt0`` and ``image.residual.pbcor.tt0``; where the beam is masked they are masked."""
    working = context.workspace.working
    root = inputs.iteration_root
    pb = working / naming.tclean_product(root, "pb")
    names = {
        "image": (naming.tclean_product(root, "image"), naming.pbcor_name(root)),
        "residual": (naming.tclean_product(root, "residual"), naming.residual_pbcor_name(root)),
    }
    statistics = {}
    for kind, (source, target) in names.items():
        _divide(working / source, pb, working / target)
        context.add_output(working / target)
        statistics[kind] = plane_statistics(read_plane(working / target))
    response = read_plane(pb, box=inputs.inner_box)
    counts, edges = np.histogram(response[np.isfinite(response)], bins=10, range=(0.0, 1.0))
    return PbcorResult(
        image=names["image"][1],
        residual=names["residual"][1],
        statistics=statistics,
        pb_histogram_counts=tuple(int(n) for n in counts),
        pb_histogram_edges=tuple(float(edge) for edge in edges),
    )


def _divide(source: Path, pb: Path, target: Path) -> None:
    partial = target.with_name(f".{target.name}.partial")
    remove(partial)
    casa.run_task(
        "impbcor",
        imagename=str(source),
        pbimage=str(pb),
        outfile=str(partial),
        mode="divide",
        cutoff=-1.0,
        stretch=False,
    )
    publish(partial, target)
