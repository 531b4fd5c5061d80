"""Pictures of a plane's images and their values for the viewer, made by its worker when they are there.

Beside them stands a list with the key of the step they belong to, so that the pages show nothing of an
earlier run.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from vlasscube.errors import VlassCubeError
from vlasscube.images.casa_images import PlaneReader, open_image
from vlasscube.images.reduction import block_extreme, block_mean, blocks_for
from vlasscube.recipe import EDIT_IMAGE_LIST_CUBE, MAKE_IMAGES, Stage
from vlasscube.records import STOKES, Beam, PixelBox
from vlasscube.results.reading import find_result
from vlasscube.weblog import pictures
from vlasscube.weblog.pictures import FloatArray, Ramp, Stretch
from vlasscube.weblog.shown_images import ShownImage, shown_images
from vlasscube.weblog.viewer_data import encode_array, script
from vlasscube.workspace.directory import Workspace
from vlasscube.workspace.files import remove, write_bytes, write_text
from vlasscube.workspace.record_json import from_json, from_plain, to_json

PICTURE_PIXELS = 480
"""Longest side of a picture."""
PSF_PIXELS = 240
"""Side of the central part that is shown of a psf."""
DIRECTORY = "images"
"""Directory of the pictures in the web log."""

_STRIP_PIXELS = 3 << 21
"""24 MB: larger strips cost more in fresh memory than smaller ones in tiles read twice."""
_SAMPLE_PIXELS = 1 << 14
"""As many pixels, evenly spread, give the noise to one per cent."""


@dataclass(frozen=True)
class Preview:
    """What the web log has of one Stokes plane of an image."""

    kind: str
    """As of `vlasscube.weblog.shown_images.ShownImage`."""
    stokes: str
    picture: str
    """File in the plane's directory of pictures."""
    data: str
    """File with the values, there too."""
    width: int
    """Width of the picture, pixels."""
    height: int
    block: int
    """Side of the square of pixels that a value stands for."""
    ramp: Ramp
    low: float
    """Value at the lower end of the colours."""
    high: float
    unit: str
    title: str
    caption: str


@dataclass(frozen=True)
class PreviewList:
    """Pictures made after a step; ``key`` is that of its record."""

    key: str
    previews: tuple[Preview, ...]


def directory_of(workspace: Workspace, label: str) -> Path:
    """Directory of a plane's pictures."""
    return workspace.weblog / DIRECTORY / label


def list_path(workspace: Workspace, stage: Stage[object], label: str) -> Path:
    """List of the pictures made after a stage of a plane."""
    return directory_of(workspace, label) / f"{stage.name}.json"


def read_previews(workspace: Workspace, stage: Stage[object], label: str, key: str) -> tuple[Preview, ...]:
    """Return the pictures that belong to a step; none if they are of an earlier one, missing, or damaged."""
    try:
        found = from_json(PreviewList, list_path(workspace, stage, label).read_bytes())
    except (OSError, VlassCubeError):
        return ()
    return found.previews if found.key == key else ()


def make_previews(workspace: Workspace, stage: Stage[object], label: str) -> None:
    """Make the pictures of the images that a finished stage of a plane left, if they are not there.

    Parameters
    ----------
    workspace : Workspace
        Run directory.
    stage : Stage
        A stage that is run plane by plane.
    label : str
        Plane.

    Raises
    ------
    VlassCubeError
        If a record is missing or an image cannot be read.
    """
    record = workspace.read_record(stage.name, label)
    if record is None or record.status != "done":
        return
    known = read_previews(workspace, stage, label, record.key)
    directory = directory_of(workspace, label)
    if known and all((directory / name).is_file() for item in known for name in (item.picture, item.data)):
        return
    beam, cell_arcsec = _beam_and_cell(workspace, label)
    directory.mkdir(parents=True, exist_ok=True)
    remove(list_path(workspace, stage, label))
    made: list[Preview] = []
    for image in shown_images(from_plain(stage.result, record.result)):
        path = workspace.working / image.name
        if path.exists():
            with open_image(path) as reader:
                for stokes in image.stokes:
                    made.append(_Maker(reader, image, stokes, beam, cell_arcsec).make(label, directory))
    write_text(list_path(workspace, stage, label), to_json(PreviewList(record.key, tuple(made))))


def _beam_and_cell(workspace: Workspace, label: str) -> tuple[Beam | None, float]:
    images = find_result(workspace, MAKE_IMAGES, label)
    plan = find_result(workspace, EDIT_IMAGE_LIST_CUBE)
    return images.beam if images else None, plan.geometry.cell_arcsec if plan else 1.0


def read_strips(image: PlaneReader, stokes: str, box: PixelBox, block: int) -> Iterator[FloatArray]:
    """Read a part of a Stokes plane in strips of whole blocks of rows, from the south."""
    index = STOKES.index(stokes)
    rows = max(1, _STRIP_PIXELS // (box.shape[0] * block)) * block
    for start in range(box.blc_y, box.trc_y + 1, rows):
        end = min(start + rows - 1, box.trc_y)
        yield image.read(index, PixelBox(box.blc_x, start, box.trc_x, end))


class _Maker:
    """Makes picture and values of one Stokes plane."""

    def __init__(
        self, reader: PlaneReader, image: ShownImage, stokes: str, beam: Beam | None, cell_arcsec: float
    ) -> None:
        self._image, self._stokes = image, stokes
        self._beam = beam if image.scale in ("intensity", "symmetric") else None
        self._cell_arcsec = cell_arcsec
        ny, nx = reader.shape
        self._box = _centre(nx, ny, PSF_PIXELS) if image.scale == "psf" else PixelBox(0, 0, nx - 1, ny - 1)
        self._shape = self._box.shape[::-1]
        self._block = blocks_for(self._shape, image.largest)
        self._values, self._sample = self._read(reader)

    def _read(self, reader: PlaneReader) -> tuple[FloatArray, FloatArray]:
        """Reduced image, and a sample of its pixels."""
        reduce = block_extreme if self._image.combine == "extreme" else block_mean
        every = _every(self._shape)
        values, sample = [], []
        for strip in read_strips(reader, self._stokes, self._box, self._block):
            values.append(reduce(strip, self._block))
            sample.append(strip[::every, ::every].copy())
        return np.concatenate(values), np.concatenate(sample)

    def make(self, label: str, directory: Path) -> Preview:
        """Write both files."""
        image, stokes = self._image, self._stokes
        ramp, unit, stretch = _colours(self._sample, self._values, image.scale, stokes)
        extent = f"{self._shape[1]} × {self._shape[0]} pixels"
        caption = f"{image.title}, Stokes {stokes}, {'central ' if image.scale == 'psf' else ''}{extent}"
        indices, enlarged = self._picture(stretch)
        has_edges = image.scale in ("mask", "model")
        if enlarged > 1:
            caption += f"; beam drawn {enlarged:.0f} times enlarged"
        preview = Preview(
            kind=image.kind,
            stokes=stokes,
            picture=f"{image.kind}.{stokes}.{'png' if has_edges else 'jpg'}",
            data=f"{image.kind}.{stokes}.js",
            width=indices.shape[1],
            height=indices.shape[0],
            block=self._block,
            ramp=ramp,
            low=stretch.low,
            high=stretch.high,
            unit=unit,
            title=image.title,
            caption=caption,
        )
        array = {
            **encode_array(self._values, self._step()),
            "block": self._block,
            "combine": image.combine,
            "nx": self._shape[1],
            "ny": self._shape[0],
            "beam": asdict(self._beam) if self._beam else None,
            **{name: getattr(preview, name) for name in ("low", "high", "ramp", "unit", "caption")},
        }
        encode = pictures.png if has_edges else pictures.jpeg
        # The list of what is there is written when all is whole.
        write_bytes(directory / preview.picture, encode(indices, ramp))
        name = f"{label}/{image.kind}.{stokes}"
        write_text(directory / preview.data, script(name, array))
        return preview

    def _picture(self, stretch: Stretch) -> tuple[pictures.IndexArray, float]:
        size = blocks_for(self._values.shape, PICTURE_PIXELS)
        reduce = block_mean if self._image.scale in ("noise", "response", "psf") else block_extreme
        indices = pictures.colour_indices(reduce(self._values, size), stretch)
        if self._beam is None:
            return indices, 1.0
        return indices, pictures.draw_beam(indices, self._beam, self._cell_arcsec * self._block * size)

    def _step(self) -> float:
        """Precision of the stored values: far below the noise where they are those of single pixels."""
        scale = self._image.scale
        if scale in ("psf", "response"):
            return 1e-4
        if scale == "mask":
            return 1.0
        if scale == "noise":
            return (pictures.typical(self._values) or 1.0) / 500
        if scale == "model":
            return (pictures.largest_size(self._values) or 1.0) / 1e5
        every = _every(self._values.shape)
        sigma = pictures.noise(self._values[::every, ::every]) or pictures.largest_size(self._values) or 1.0
        if self._block == 1:
            return sigma / 64
        return sigma / 8 if self._image.combine == "mean" else sigma / 4


def _every(shape: tuple[int, ...]) -> int:
    """Distance of the pixels of a sample."""
    return max(1, math.isqrt(shape[0] * shape[1] // _SAMPLE_PIXELS))


def _centre(nx: int, ny: int, side: int) -> PixelBox:
    x, y = ((n - min(n, side)) // 2 for n in (nx, ny))
    return PixelBox(x, y, x + min(nx, side) - 1, y + min(ny, side) - 1)


def _colours(sample: FloatArray, values: FloatArray, scale: str, stokes: str) -> tuple[Ramp, str, Stretch]:
    """Colour table, unit and stretch; a plane without noise or values gets one that shows it as flat."""
    fixed: dict[str, tuple[Ramp, Stretch]] = {
        "psf": ("inferno", Stretch(-0.1, 0.3)),
        "response": ("cividis", Stretch(0.0, 1.0)),
        "mask": ("mask", Stretch(0.0, 1.0)),
    }
    if scale in fixed:
        ramp, stretch = fixed[scale]
        return ramp, "", stretch
    if scale == "noise":
        return "viridis", "Jy/beam", Stretch(0.0, 3 * (pictures.typical(sample) or 1.0))
    if scale == "model":
        size = (pictures.largest_size(values) or 1.0) / 4
        return "coolwarm", "Jy/pixel", Stretch(-size, size)
    sigma = pictures.noise(sample) or pictures.largest_size(values) or 1.0
    if scale == "intensity" and stokes == "I":
        return "inferno", "Jy/beam", Stretch(-5 * sigma, 20 * sigma)
    return "coolwarm", "Jy/beam", Stretch(-6 * sigma, 6 * sigma)
