"""Stage 10: cut the inner square degree out of a plane's images."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from vlasscube import casa, naming
from vlasscube.images.casa_images import image_facts, read_plane
from vlasscube.images.cutouts import cutout_box
from vlasscube.images.derived_images import AddPlane, derived_image
from vlasscube.images.primary_beam import corrected_noise
from vlasscube.images.statistics import cutout_statistics, plane_statistics
from vlasscube.recipe import (
    EDIT_IMAGE_LIST_CUBE,
    MAKE_CUTOUT_IMAGES,
    MAKE_IMAGES,
    MAKE_RMS_IMAGES,
    PBCOR,
)
from vlasscube.records import CutoutStatistics, ImageGeometry, PixelBox
from vlasscube.results.reading import InputSource
from vlasscube.results.types import CutoutResult
from vlasscube.stages.context import StageContext
from vlasscube.stages.step import Step


@dataclass(frozen=True)
class CutoutInputs:
    """The final images of a plane and what is cut out of them."""

    iteration_root: str
    geometry: ImageGeometry
    cutout_imsize: tuple[int, int] | None
    convention: Literal["archive", "current"]
    expected_noise_jy: float | None
    """By the weights of the data, Jy/beam; None where it is not known."""
    upstream: tuple[str, ...]


def cutout_inputs(source: InputSource) -> CutoutInputs:
    """Make the inputs of the stage."""
    plan = source.result(EDIT_IMAGE_LIST_CUBE)
    images = source.result(MAKE_IMAGES)
    return CutoutInputs(
        iteration_root=images.last_root,
        geometry=plan.geometry,
        cutout_imsize=plan.parameters.cutout_imsize,
        convention=source.options.cutout,
        expected_noise_jy=images.expected_noise_jy,
        upstream=source.keys(MAKE_IMAGES, PBCOR, MAKE_RMS_IMAGES),
    )


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
    statistics: dict[str, CutoutStatistics] = {}
    with contextlib.ExitStack() as stack:
        add = {
            kind: stack.enter_context(_cutout(working / images[kind], working / name, box))
            for kind, name in sources.items()
        }
        for index, stokes in enumerate(image_facts(working / sources["image"]).stokes):
            planes = {kind: read_plane(working / name, index, box) for kind, name in sources.items()}
            for kind, plane in planes.items():
                add[kind](plane)
            statistics[stokes] = cutout_statistics(
                planes["image"],
                planes["residual"],
                planes["pbcor"],
                planes["rms"],
                np.isfinite(planes["pb"]),
            )
            if index == 0:
                response = plane_statistics(planes["pb"])
    for name in images.values():
        context.add_output(working / name)
    return CutoutResult(
        box=box,
        images=images,
        statistics=statistics,
        pb=response,
        expected_noise_jy=inputs.expected_noise_jy,
        expected_corrected_noise_jy=corrected_noise(inputs.expected_noise_jy, response.median),
        noise_ratio={
            stokes: found.residual.madrms / inputs.expected_noise_jy
            for stokes, found in statistics.items()
            if found.residual.madrms is not None and inputs.expected_noise_jy
        },
    )


def _cutout(target: Path, source: Path, box: PixelBox) -> contextlib.AbstractContextManager[AddPlane]:
    corners = f"{box.blc_x},{box.blc_y},{box.trc_x},{box.trc_y}"
    call = casa.record_equivalent("imsubimage", imagename=source.name, outfile=target.name, box=corners)
    return derived_image(target, source, box=box, history=[call])


STEP = Step(MAKE_CUTOUT_IMAGES, cutout_inputs, make_cutout_images)
