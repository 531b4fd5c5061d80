"""From a small array to a picture, fast: colour table, JPEG or PNG. Arrays in, bytes out.

A figure per image would cost seconds; this costs a pass over the pixels.
"""

from __future__ import annotations

import functools
import io
import json
import math
from dataclasses import dataclass
from importlib import resources
from typing import Literal

import numpy as np
import numpy.typing as npt
from PIL import Image

from vlasscube.images.statistics import scaled_mad
from vlasscube.records import Beam

FloatArray = npt.NDArray[np.float32]
IndexArray = npt.NDArray[np.uint8]

Ramp = Literal["inferno", "coolwarm", "viridis", "cividis", "mask"]
"""Colour tables: perceptually uniform, and readable without red or green."""

COLOURS = 254
"""Colours of a ramp; two more entries of the palette are taken."""
BLANK = 254
"""Palette entry of pixels without value."""
INK = 255
"""Palette entry of what is drawn on the picture."""
_BLANK_RGB = (128, 134, 142)
_MASK_RGB = ((38, 43, 51), (240, 196, 83))


@dataclass(frozen=True)
class Stretch:
    """Values at both ends of the colour table."""

    low: float
    high: float


_NOTHING = 1e-6
"""Fraction of the largest pixel below which there is neither source nor noise."""


def noise(plane: FloatArray) -> float | None:
    """Scaled median absolute deviation of the finite pixels; None without noise.

    Restored images are zero, or all but zero, beyond the primary-beam limit: no noise is there.
    """
    values = plane[np.isfinite(plane)]
    size = np.abs(values)
    return scaled_mad(values[size > _NOTHING * size.max(initial=0)]) or None


def typical(plane: FloatArray) -> float | None:
    """Median of the finite pixels; None if it is not positive."""
    values = plane[np.isfinite(plane)]
    middle = float(np.median(values)) if values.size else 0.0
    return middle if middle > 0 else None


def largest_size(plane: FloatArray) -> float | None:
    """Largest absolute value of the finite pixels; None if there is none but zero."""
    if not plane.size:
        return None
    high, low = np.fmax.reduce(plane, axis=None), np.fmin.reduce(plane, axis=None)
    size = max(float(high), -float(low))
    return size if math.isfinite(size) and size > 0 else None


def colour_indices(plane: FloatArray, stretch: Stretch) -> IndexArray:
    """Palette entries of an array, first row at the top of the picture."""
    span = stretch.high - stretch.low
    with np.errstate(invalid="ignore"):
        scaled = np.clip((plane - stretch.low) * ((COLOURS - 1) / span), 0, COLOURS - 1)
    scaled[~np.isfinite(plane)] = BLANK
    # North is up: the first row of an image is its southernmost.
    result: IndexArray = scaled[::-1].astype(np.uint8)
    return result


def draw_beam(indices: IndexArray, beam: Beam, cell_arcsec: float) -> float:
    """Draw the outline of the beam at the bottom left.

    Parameters
    ----------
    indices : ndarray of uint8
        Picture, drawn into; north up, east left.
    cell_arcsec : float
        Size of a pixel of the picture.

    Returns
    -------
    float
        How much larger than to scale it is drawn; 1.0 unless it would be too small to be seen.
    """
    smallest = 14.0
    height, width = indices.shape
    major = beam.bmaj_arcsec / cell_arcsec
    enlarged = max(1.0, math.ceil(smallest / major))
    if major * enlarged + 10 > min(height, width):
        return 1.0
    semi_major, semi_minor = major * enlarged / 2, beam.bmin_arcsec / cell_arcsec * enlarged / 2
    centre = math.ceil(semi_major) + 4
    angle = np.deg2rad(beam.bpa_deg)
    t = np.linspace(0, 2 * np.pi, max(64, int(12 * semi_major)))
    # Position angle from north (up) to east (left).
    along, across = semi_major * np.cos(t), max(semi_minor, 0.5) * np.sin(t)
    x = centre - along * np.sin(angle) + across * np.cos(angle)
    y = (height - 1 - centre) - along * np.cos(angle) - across * np.sin(angle)
    for grow in (0.0, 0.5):
        rows = np.clip(np.rint(y + grow), 0, height - 1).astype(int)
        columns = np.clip(np.rint(x + grow), 0, width - 1).astype(int)
        indices[rows, columns] = INK
    return enlarged


@functools.cache
def palette(ramp: Ramp) -> bytes:
    """Colours of a ramp as the 768 bytes of a palette."""
    if ramp == "mask":
        half = COLOURS // 2
        table = [*_MASK_RGB[0]] * half + [*_MASK_RGB[1]] * (COLOURS - half)
        ink = (255, 255, 255)
    else:
        colours = np.frombuffer(bytes.fromhex("".join(_ramps()[ramp])), np.uint8).reshape(-1, 3)
        places = np.rint(np.linspace(0, len(colours) - 1, COLOURS)).astype(int)
        table = [int(value) for value in colours[places].ravel()]
        ink = (20, 20, 24) if ramp == "coolwarm" else (255, 255, 255)
    return bytes([*table, *_BLANK_RGB, *ink])


@functools.cache
def _ramps() -> dict[str, list[str]]:
    """The viewer's colour tables: matplotlib, whose they are, takes long to import."""
    text = resources.files(__package__).joinpath("static", "viewer", "ramps.js").read_text(encoding="utf-8")
    tables: dict[str, list[str]] = json.loads(text[text.index("{") : text.rindex("}") + 1])
    return tables


def jpeg(indices: IndexArray, ramp: Ramp) -> bytes:
    """Encode a picture that is mostly noise: half of what PNG takes, in a fraction of the time."""
    return _encoded(_picture(indices, ramp).convert("RGB"), "JPEG", quality=85)


def png(indices: IndexArray, ramp: Ramp) -> bytes:
    """Encode a picture with edges, exactly."""
    return _encoded(_picture(indices, ramp), "PNG", compress_level=4)


def _picture(indices: IndexArray, ramp: Ramp) -> Image.Image:
    image = Image.fromarray(indices)
    image.putpalette(palette(ramp))
    return image


def _encoded(image: Image.Image, form: str, **options: int) -> bytes:
    stream = io.BytesIO()
    image.save(stream, format=form, **options)
    return stream.getvalue()
