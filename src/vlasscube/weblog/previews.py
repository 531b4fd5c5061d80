"""Pictures of a plane's images, made by its worker as soon as the images are there.

Beside the pictures stands a list of them with the key of the step they belong to, so that the pages show no
picture of an earlier run.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from vlasscube import naming
from vlasscube.errors import VlassCubeError
from vlasscube.images.casa_images import read_plane
from vlasscube.images.reduction import block_extreme, block_mean, blocks_for
from vlasscube.imaging.clean_sequence import PB_MASK
from vlasscube.records import STOKES, Beam, Iteration, PlaneImages, StepRecord, from_json, from_plain, to_json
from vlasscube.stages.results import CubePlan, CutoutResult, PbcorResult, RmsResult
from vlasscube.weblog import pictures
from vlasscube.weblog.pictures import FloatArray, Ramp, Stretch
from vlasscube.workspace import Workspace, write_text

FULL_PIXELS = 1200
"""Longest side of a picture."""
THUMB_PIXELS = 240
PSF_PIXELS = 240
"""Side of the central part that is shown of a psf."""
DIRECTORY = "images"
"""Of the pictures, in the web log."""

Scale = Literal["intensity", "symmetric", "model", "noise", "psf", "response", "mask"]


@dataclass(frozen=True)
class Preview:
    """A picture of one Stokes plane of an image."""

    kind: str
    """``image``, ``pbcor``, ``rms``, ``psf``, ``pb``, ``model``; with ``iterN.`` before it for iterations."""
    stokes: str
    file: str
    """Name in the plane's directory of pictures."""
    thumb: str
    width: int
    height: int
    ramp: Ramp
    low: float
    """Value at the lower end of the colours."""
    high: float
    unit: str
    caption: str


@dataclass(frozen=True)
class PreviewList:
    """Pictures made after a step; ``key`` is that of its record."""

    key: str
    previews: tuple[Preview, ...]


@dataclass(frozen=True)
class _Source:
    """An image to be shown: which Stokes planes, and how."""

    kind: str
    name: str
    caption: str
    scale: Scale
    stokes: tuple[str, ...] = STOKES


def directory_of(workspace: Workspace, label: str) -> Path:
    """Directory of a plane's pictures."""
    return workspace.weblog / DIRECTORY / label


def list_path(workspace: Workspace, stage: str, label: str) -> Path:
    """List of the pictures made after a stage of a plane."""
    return directory_of(workspace, label) / f"{stage}.json"


def read_previews(workspace: Workspace, stage: str, label: str, key: str) -> tuple[Preview, ...]:
    """Return the pictures that belong to a step; none if they are of an earlier one, missing, or damaged."""
    try:
        found = from_json(PreviewList, list_path(workspace, stage, label).read_bytes())
    except (OSError, VlassCubeError):
        return ()
    return found.previews if found.key == key else ()


def make_previews(workspace: Workspace, stage: str, label: str) -> None:
    """Make the pictures of the images that a finished stage of a plane left.

    Parameters
    ----------
    workspace : Workspace
        Run directory.
    stage : str
        ``make_images``, ``pbcor``, ``make_rms_images`` or ``make_cutout_images``; others leave no pictures.
    label : str
        Plane.

    Raises
    ------
    VlassCubeError
        If a record is missing or an image cannot be read.
    """
    record = workspace.read_record(stage, label)
    if stage not in _SOURCES or record is None or record.status != "done":
        return
    known = read_previews(workspace, stage, label, record.key)
    directory = directory_of(workspace, label)
    if known and all((directory / name).is_file() for item in known for name in (item.file, item.thumb)):
        return
    beam, cell_arcsec = _beam_and_cell(workspace, label)
    directory.mkdir(parents=True, exist_ok=True)
    list_path(workspace, stage, label).unlink(missing_ok=True)
    made: list[Preview] = []
    for source in _SOURCES[stage](record):
        path = workspace.working / source.name
        if not path.exists():
            continue
        for stokes in source.stokes:
            plane = read_plane(path, STOKES.index(stokes))
            made.append(_make(plane, source, stokes, directory, beam, cell_arcsec))
    write_text(list_path(workspace, stage, label), to_json(PreviewList(record.key, tuple(made))))


def _beam_and_cell(workspace: Workspace, label: str) -> tuple[Beam | None, float]:
    images = workspace.read_record("make_images", label)
    plan = workspace.read_record("edit_image_list_cube")
    beam = from_plain(PlaneImages, images.result).beam if images and images.status == "done" else None
    geometry = from_plain(CubePlan, plan.result).geometry if plan and plan.status == "done" else None
    return beam, geometry.cell_arcsec if geometry else 1.0


# ----------------------------------------------------------------------------------------- what is shown


def _imaging_sources(record: StepRecord) -> tuple[_Source, ...]:
    images = from_plain(PlaneImages, record.result)
    sources: list[_Source] = []
    for iteration in images.iterations:
        sources += _iteration_sources(images, iteration)
    root = naming.iteration_root(images.target.image_root, images.last.number)
    sources += [
        _Source("model", naming.tclean_product(root, "model"), "model", "model"),
        _Source("psf", naming.tclean_product(root, "psf"), "psf", "psf", ("I",)),
        _Source("pb", naming.tclean_product(root, "pb"), "primary beam", "response", ("I",)),
    ]
    return tuple(sources)


def _iteration_sources(images: PlaneImages, iteration: Iteration) -> list[_Source]:
    root = naming.iteration_root(images.target.image_root, iteration.number)
    name = f"iter{iteration.number}"
    mask: Literal["mask", "cleanmask"] = "mask" if iteration.mask == PB_MASK else "cleanmask"
    return [
        _Source(f"{name}.image", naming.tclean_product(root, "image"), f"{name} restored image", "intensity"),
        _Source(f"{name}.residual", naming.tclean_product(root, "residual"), f"{name} residual", "symmetric"),
        # The same in all Stokes planes.
        _Source(f"{name}.cleanmask", naming.tclean_product(root, mask), f"{name} clean mask", "mask", ("I",)),
    ]


def _pbcor_sources(record: StepRecord) -> tuple[_Source, ...]:
    result = from_plain(PbcorResult, record.result)
    return (
        _Source("pbcor", result.image, "image, primary-beam corrected", "intensity"),
        _Source("residual_pbcor", result.residual, "residual, primary-beam corrected", "symmetric"),
    )


def _rms_sources(record: StepRecord) -> tuple[_Source, ...]:
    result = from_plain(RmsResult, record.result)
    return (_Source("rms", result.image, "rms", "noise"),)


def _cutout_sources(record: StepRecord) -> tuple[_Source, ...]:
    names = from_plain(CutoutResult, record.result).images
    shown: Mapping[str, tuple[str, Scale, tuple[str, ...]]] = {
        "pbcor": ("cutout of the image, primary-beam corrected", "intensity", STOKES),
        "residual_pbcor": ("cutout of the residual, primary-beam corrected", "symmetric", STOKES),
        "rms": ("cutout of the rms image", "noise", STOKES),
        "pb": ("cutout of the primary beam", "response", ("I",)),
    }
    return tuple(
        _Source(f"cutout.{kind}", names[kind], caption, scale, stokes)
        for kind, (caption, scale, stokes) in shown.items()
        if kind in names
    )


_SOURCES: dict[str, Callable[[StepRecord], tuple[_Source, ...]]] = {
    "make_images": _imaging_sources,
    "pbcor": _pbcor_sources,
    "make_rms_images": _rms_sources,
    "make_cutout_images": _cutout_sources,
}


# ------------------------------------------------------------------------------------------ one picture


def _make(
    plane: FloatArray, source: _Source, stokes: str, directory: Path, beam: Beam | None, cell_arcsec: float
) -> Preview:
    extent = f"{plane.shape[1]} × {plane.shape[0]} pixels"
    if source.scale == "psf":
        plane = _centre(plane, PSF_PIXELS)
        extent = f"central {plane.shape[1]} × {plane.shape[0]} pixels"
    ramp, unit, stretch = _colours(plane, source.scale, stokes)
    size = blocks_for(plane.shape, FULL_PIXELS)
    full = (block_extreme if source.scale == "model" else block_mean)(plane, size)
    reduce = block_mean if source.scale in ("noise", "response", "mask") else block_extreme
    small = reduce(full, blocks_for(full.shape, THUMB_PIXELS))
    indices, thumb = pictures.colour_indices(full, stretch), pictures.colour_indices(small, stretch)
    caption = f"{source.caption}, Stokes {stokes}, {extent}"
    if beam is not None and source.scale in ("intensity", "symmetric"):
        enlarged = pictures.draw_beam(indices, beam, cell_arcsec * size)
        caption += f"; beam drawn {enlarged:.0f} times enlarged" if enlarged > 1 else ""
    names = f"{source.kind}.{stokes}.png", f"{source.kind}.{stokes}.thumb.png"
    for name, picture in zip(names, (indices, thumb), strict=True):
        partial = directory / f".{name}.partial"
        partial.write_bytes(pictures.png(picture, ramp))
        partial.replace(directory / name)
    return Preview(
        kind=source.kind,
        stokes=stokes,
        file=names[0],
        thumb=names[1],
        width=indices.shape[1],
        height=indices.shape[0],
        ramp=ramp,
        low=stretch.low,
        high=stretch.high,
        unit=unit,
        caption=caption,
    )


def _centre(plane: FloatArray, side: int) -> FloatArray:
    y, x = ((n - min(n, side)) // 2 for n in plane.shape)
    return plane[y : y + side, x : x + side]


_FIXED: dict[Scale, tuple[Ramp, Stretch]] = {
    "psf": ("inferno", Stretch(-0.1, 0.3)),
    "response": ("cividis", Stretch(0.0, 1.0)),
    "mask": ("mask", Stretch(0.0, 1.0)),
}


def _colours(plane: FloatArray, scale: Scale, stokes: str) -> tuple[Ramp, str, Stretch]:
    """Colour table, unit and stretch; a plane without noise or values gets one that shows it as flat."""
    if scale in _FIXED:
        ramp, stretch = _FIXED[scale]
        return ramp, "", stretch
    if scale == "noise":
        return "viridis", "Jy/beam", Stretch(0.0, 3 * (pictures.typical(plane) or 1.0))
    if scale == "model":
        size = (pictures.largest_size(plane) or 1.0) / 4
        return "coolwarm", "Jy/pixel", Stretch(-size, size)
    sigma = pictures.noise(plane) or pictures.largest_size(plane) or 1.0
    if scale == "intensity" and stokes == "I":
        return "inferno", "Jy/beam", Stretch(-5 * sigma, 20 * sigma)
    return "coolwarm", "Jy/beam", Stretch(-6 * sigma, 6 * sigma)
