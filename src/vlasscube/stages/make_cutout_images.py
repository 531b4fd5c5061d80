"""Stage 10: cut the inner square degree out of a plane's images."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from vlasscube import casa, naming
from vlasscube.images.casa_images import image_facts, read_plane
from vlasscube.images.cutouts import cutout_box
from vlasscube.images.statistics import cutout_statistics, plane_statistics
from vlasscube.records import ImageGeometry, PixelBox
from vlasscube.stages.context import StageContext
from vlasscube.stages.results import CutoutResult
from vlasscube.workspace import publish, remove


@dataclass(frozen=True)
class CutoutInputs:
    """The final images of a plane and what is cut out of them."""

    iteration_root: str
    geometry: ImageGeometry
    cutout_imsize: tuple[int, int] | None
    convention: Literal["archive", "current"]
    upstream: tuple[str, ...]


def make_cutout_images(inputs: CutoutInputs, context: StageContext) -> CutoutResult:
    """Make the ``.subim`` images and their statistics."""
    working = context.workspace.working
    geometry, root = inputs.geometry, inputs.iteration_root
    box = cutout_box(
        geometry.nx,
        geometry.ny,
        geometry.cell_arcsec,
        size_pixels=inputs.cutout_imsize,
        convention=inputs.convention,
    )
    sources = {
        "image": naming.tclean_product(root, "image"),
        "residual": naming.tclean_product(root, "residual"),
        "pbcor": naming.pbcor_name(root),
        "rms": naming.rms_name(naming.pbcor_name(root)),
        "psf": naming.tclean_product(root, "psf"),
        "residual_pbcor": naming.residual_pbcor_name(root),
        "pb": naming.tclean_product(root, "pb"),
    }
    images = {kind: naming.subim_name(name) for kind, name in sources.items()}
    for kind, name in sources.items():
        _cut(working / name, box, working / images[kind])
        context.add_output(working / images[kind])
    statistics = {}
    for index, stokes in enumerate(image_facts(working / images["image"]).stokes):
        image, residual, pbcor, rms, pb = (
            read_plane(working / images[kind], index) for kind in ("image", "residual", "pbcor", "rms", "pb")
        )
        statistics[stokes] = cutout_statistics(image, residual, pbcor, rms, np.isfinite(pb))
    return CutoutResult(
        box=box,
        images=images,
        statistics=statistics,
        pb=plane_statistics(read_plane(working / images["pb"])),
    )


def _cut(source: Path, box: PixelBox, target: Path) -> None:
    partial = target.with_name(f".{target.name}.partial")
    remove(partial)
    casa.run_task(
        "imsubimage",
        imagename=str(source),
        outfile=str(partial),
        box=f"{box.blc_x},{box.blc_y},{box.trc_x},{box.trc_y}",
    )
    publish(partial, target)
