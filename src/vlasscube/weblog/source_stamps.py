"""Full-resolution stamps around the brightest sources, through all planes and Stokes parameters.

Of large images the web log keeps means of many pixels; around these sources it keeps every pixel, so that a
spectrum read there is that of the products.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vlasscube.errors import VlassCubeError
from vlasscube.images.casa_images import PlaneReader, open_image
from vlasscube.images.reduction import blocks_for
from vlasscube.recipe import ANALYZE_STOKES_CUBES, GATHER_PLANES, MAKE_CUTOUT_IMAGES
from vlasscube.records import STOKES, PixelBox
from vlasscube.results.reading import find_result
from vlasscube.weblog.pictures import FloatArray
from vlasscube.weblog.previews import DIRECTORY
from vlasscube.weblog.shown_images import CUBE_PIXELS
from vlasscube.weblog.viewer_data import encode_array, script
from vlasscube.workspace.directory import Workspace
from vlasscube.workspace.files import remove, write_text
from vlasscube.workspace.record_json import from_json, from_plain, to_json

SIDE_PIXELS = 64

_SIGMA_STEPS = 64


@dataclass(frozen=True)
class SourceStamp:
    """Where pixels of the cutouts are kept."""

    name: str
    file: str
    """Link relative to the pages."""
    box: PixelBox
    peak_x: int
    peak_y: int


@dataclass(frozen=True)
class SourceStamps:
    """Stamps made after a step; ``key`` is that of its record."""

    key: str
    stamps: tuple[SourceStamp, ...]


def _directory(workspace: Workspace) -> Path:
    return workspace.weblog / DIRECTORY / "sources"


def read_source_stamps(workspace: Workspace, key: str) -> tuple[SourceStamp, ...]:
    """Return the stamps that belong to a step; none if they are of an earlier one, missing, or damaged."""
    try:
        found = from_json(SourceStamps, (_directory(workspace) / "list.json").read_bytes())
    except (OSError, VlassCubeError):
        return ()
    return found.stamps if found.key == key else ()


def make_source_stamps(workspace: Workspace) -> None:
    """Make the stamps, if the cutouts are too large to be kept whole and the stamps are not there.

    Raises
    ------
    VlassCubeError
        If a record is missing or an image cannot be read.
    """
    # After this stage all planes are there and the regions are known.
    record = workspace.read_record(ANALYZE_STOKES_CUBES.name)
    gathered = find_result(workspace, GATHER_PLANES)
    if record is None or record.status != "done" or gathered is None:
        return
    known = read_source_stamps(workspace, record.key)
    if known and all((workspace.weblog / stamp.file).is_file() for stamp in known):
        return
    analysis = from_plain(ANALYZE_STOKES_CUBES.result, record.result)
    planes = gathered.with_images
    cutouts = {plane.label: _cutouts(workspace, plane.label) for plane in planes}
    with contextlib.ExitStack() as stack:
        images = {
            label: stack.enter_context(open_image(workspace.working / names["pbcor"]))
            for label, names in cutouts.items()
            if names
        }
        # Cutouts of all planes are of one shape.
        shape = next((image.shape for image in images.values()), (0, 0))
        if blocks_for(shape, CUBE_PIXELS) == 1:
            return
        peaks = [(region.pixel_x, region.pixel_y) for region in analysis.native]
        peaks += [(source.pixel_x, source.pixel_y) for source in analysis.sources or ()]
        stamps = _stamps(peaks, shape)
        directory = _directory(workspace)
        directory.mkdir(parents=True, exist_ok=True)
        remove(directory / "list.json")
        for stamp in stamps:
            content = {
                label: {s: _pixels(image, s, stamp.box, analysis.rms_median.get(label, {})) for s in STOKES}
                for label, image in images.items()
            }
            box = stamp.box
            corners = [box.blc_x, box.blc_y, box.trc_x, box.trc_y]
            text = script(f"source/{stamp.name}", {"box": corners, "planes": content})
            write_text(workspace.weblog / stamp.file, text)
    write_text(directory / "list.json", to_json(SourceStamps(record.key, stamps)))


def _stamps(peaks: list[tuple[int, int]], shape: tuple[int, int]) -> tuple[SourceStamp, ...]:
    return tuple(
        SourceStamp(str(number), f"{DIRECTORY}/sources/{number}.js", _box(x, y, *shape[::-1]), x, y)
        for number, (x, y) in enumerate(_apart(peaks), 1)
    )


def _cutouts(workspace: Workspace, label: str) -> Mapping[str, str]:
    cutouts = find_result(workspace, MAKE_CUTOUT_IMAGES, label)
    return cutouts.images if cutouts else {}


def _apart(peaks: list[tuple[int, int]]) -> list[tuple[int, int]]:
    kept: list[tuple[int, int]] = []
    for x, y in peaks:
        if all(max(abs(x - other_x), abs(y - other_y)) > SIDE_PIXELS // 4 for other_x, other_y in kept):
            kept.append((x, y))
    return kept


def _box(x: int, y: int, nx: int, ny: int) -> PixelBox:
    half = SIDE_PIXELS // 2
    return PixelBox(max(x - half, 0), max(y - half, 0), min(x + half, nx) - 1, min(y + half, ny) - 1)


def _pixels(image: PlaneReader, stokes: str, box: PixelBox, rms: Mapping[str, float]) -> dict[str, object]:
    plane: FloatArray = image.read(STOKES.index(stokes), box)
    sigma = rms.get(stokes) or float(np.nanmax(np.abs(plane), initial=0.0)) or 1.0
    width, height = box.shape
    unit = {"block": 1, "combine": "mean", "nx": width, "ny": height, "unit": "Jy/beam"}
    return {**encode_array(plane, sigma / _SIGMA_STEPS), **unit}
