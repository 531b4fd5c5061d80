"""Which images of a plane the web log shows, and how."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from vlasscube import naming
from vlasscube.clean_terms import PrimaryBeamMask
from vlasscube.records import STOKES, Iteration, PlaneImages
from vlasscube.results.types import CutoutResult, PbcorResult, RmsResult

Scale = Literal["intensity", "symmetric", "model", "noise", "psf", "response", "mask"]
"""What colours are given by."""
Frame = Literal["image", "cutout"]
"""Pixels of the whole image or of the cutout."""
Combine = Literal["mean", "extreme"]
"""What a sample of a reduced image says of its pixels: their mean, or the value of largest size."""

CUBE = "cutout.pbcor"
"""The images that users get; those a spectrum is measured in."""
CUBE_RMS = "cutout.rms"

CUBE_PIXELS = 1100
"""Longest side of what is kept of the images that users get; of all others less is enough for a look."""
OTHER_PIXELS = 400


@dataclass(frozen=True)
class ShownImage:
    """An image to be shown: which Stokes planes, and how."""

    kind: str
    """``image``, ``pbcor``, ``rms``, ``psf``, ``pb``, ``model``; with ``iterN.`` before it for iterations."""
    name: str
    """Name of the CASA image."""
    title: str
    scale: Scale
    stokes: tuple[str, ...] = STOKES

    @property
    def largest(self) -> int:
        """Longest side of what is kept of it, in samples."""
        return CUBE_PIXELS if self.kind == CUBE else OTHER_PIXELS

    @property
    def combine(self) -> Combine:
        """The mean of many pixels of noise and few of a source hides the source."""
        keeps_sources = self.scale in ("intensity", "symmetric", "model", "mask") and self.kind != CUBE
        return "extreme" if keeps_sources else "mean"


def frame_of(kind: str) -> Frame | None:
    """Pixels that an image has; None for one that is not of the sky."""
    if kind == "psf":
        return None
    return "cutout" if kind.startswith("cutout.") else "image"


def shown_images(result: object) -> tuple[ShownImage, ...]:
    """Images that a step of a plane left, by its result; none of a step that is not known to leave any."""
    match result:
        case PlaneImages():
            return _of_imaging(result)
        case PbcorResult():
            return _of_pbcor(result)
        case RmsResult():
            return (ShownImage("rms", result.image, "Rms", "noise"),)
        case CutoutResult():
            return _of_cutouts(result)
    return ()


def _of_imaging(images: PlaneImages) -> tuple[ShownImage, ...]:
    root = images.last_root
    shown = [image for iteration in images.iterations for image in _of_iteration(images, iteration)]
    return (
        *shown,
        ShownImage("model", naming.tclean_product(root, "model"), "Model", "model"),
        ShownImage("psf", naming.tclean_product(root, "psf"), "Psf", "psf", ("I",)),
        ShownImage("pb", naming.tclean_product(root, "pb"), "Primary beam", "response", ("I",)),
    )


def _of_iteration(images: PlaneImages, iteration: Iteration) -> list[ShownImage]:
    root = naming.iteration_root(images.target.image_root, iteration.number)
    name = f"iter{iteration.number}"
    mask: Literal["mask", "cleanmask"] = (
        "mask" if isinstance(iteration.mask, PrimaryBeamMask) else "cleanmask"
    )
    return [
        ShownImage(f"{name}.image", naming.tclean_product(root, "image"), f"{name}: image", "intensity"),
        ShownImage(
            f"{name}.residual", naming.tclean_product(root, "residual"), f"{name}: residual", "symmetric"
        ),
        # The same in all Stokes planes.
        ShownImage(
            f"{name}.cleanmask", naming.tclean_product(root, mask), f"{name}: clean mask", "mask", ("I",)
        ),
    ]


def _of_pbcor(result: PbcorResult) -> tuple[ShownImage, ...]:
    return (
        ShownImage("pbcor", result.image, "Primary-beam corrected", "intensity"),
        ShownImage("residual_pbcor", result.residual, "Residual, primary-beam corrected", "symmetric"),
    )


def _of_cutouts(result: CutoutResult) -> tuple[ShownImage, ...]:
    names = result.images
    shown: tuple[tuple[str, str, Scale, tuple[str, ...]], ...] = (
        ("pbcor", "Cutout, primary-beam corrected", "intensity", STOKES),
        ("residual_pbcor", "Cutout of the residual, primary-beam corrected", "symmetric", STOKES),
        ("rms", "Cutout of the rms", "noise", STOKES),
        ("pb", "Cutout of the primary beam", "response", ("I",)),
    )
    return tuple(
        ShownImage(f"cutout.{kind}", names[kind], title, scale, stokes)
        for kind, title, scale, stokes in shown
        if kind in names
    )
