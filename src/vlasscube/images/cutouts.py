"""Which pixels of an image belong to the product: the central square degree and a border."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
import numpy.typing as npt

from vlasscube.constants import ARCSEC_PER_DEG
from vlasscube.errors import ProductError
from vlasscube.records import PixelBox

SIZE_DEG = 1.0
BORDER_DEG = 2.0 / 60.0
"""Both sides together."""

FloatArray = npt.NDArray[np.float32]
Convention = Literal["archive", "current"]


def cutout_box(
    nx: int,
    ny: int,
    cell_arcsec: float,
    *,
    size_pixels: tuple[int, int] | None = None,
    offset_blc_arcsec: tuple[float, float] | None = None,
    offset_trc_arcsec: tuple[float, float] | None = None,
    convention: Convention = "archive",
) -> PixelBox:
    """Box of the cutout.

    Parameters
    ----------
    nx, ny : int
        Size of the image in pixels.
    cell_arcsec : float
        Size of a pixel.
    size_pixels : (int, int), optional
        Size wanted instead of 1°2′ (``cutout_imsize``), met exactly unless it exceeds the image.
    offset_blc_arcsec, offset_trc_arcsec : (float, float), optional
        Distances of the corners from the centre, both to be given; they replace the size.
    convention : {'archive', 'current'}
        The cutout of 1°2′ of production: that of 2022, as archived, has two pixels more at the upper right
        (3150 … 9351 of 12500); that since 2025 has an even 6200.

    Returns
    -------
    PixelBox
        Corners included, clamped to the image. An axis of up to 1°2′ is taken whole.

    Raises
    ------
    ProductError
        If image, pixel or box have no extent, or one corner's offset comes without the other's.
    """
    if not (nx > 0 and ny > 0 and cell_arcsec > 0 and math.isfinite(cell_arcsec)):
        raise ProductError(f"no cutout of an image of {nx} x {ny} pixels of {cell_arcsec} arcsec")
    if (offset_blc_arcsec is None) != (offset_trc_arcsec is None):
        raise ProductError("a cutout by offsets needs the offsets of both corners")
    spans = []
    for axis, n in enumerate((nx, ny)):
        if offset_blc_arcsec is not None and offset_trc_arcsec is not None:
            low = n // 2 - _round_half_up(offset_blc_arcsec[axis] / cell_arcsec)
            high = n // 2 + _round_half_up(offset_trc_arcsec[axis] / cell_arcsec) - 1
        elif size_pixels is not None:
            low = n // 2 - size_pixels[axis] // 2
            high = low + size_pixels[axis] - 1
        else:
            low, high = _default_span(n, cell_arcsec, convention)
        spans.append((max(low, 0), min(high, n - 1)))
    (left, right), (bottom, top) = spans
    if left > right or bottom > top:
        raise ProductError(
            f"the cutout is empty: x {left} to {right}, y {bottom} to {top} of {nx} x {ny} pixels",
            hint="Check cutout_imsize and the corner offsets in the parameter list.",
        )
    return PixelBox(left, bottom, right, top)


def _default_span(n: int, cell_arcsec: float, convention: Convention) -> tuple[int, int]:
    # Half a thousandth of a pixel: 3720″ in 6200 pixels of 0.6″ is not more than 1°2′.
    if n * cell_arcsec <= ARCSEC_PER_DEG * (SIZE_DEG + BORDER_DEG) + 5e-4 * cell_arcsec:
        return 0, n - 1
    wanted = _round_half_up(ARCSEC_PER_DEG * (SIZE_DEG + BORDER_DEG) / cell_arcsec)
    low = n // 2 - wanted // 2
    return low, low + wanted + (1 if convention == "archive" else -1)


def _round_half_up(value: float) -> int:
    return math.floor(value + 0.5)


def cut(plane: FloatArray, box: PixelBox) -> FloatArray:
    """Part of a plane, as a view.

    Raises
    ------
    ProductError
        If the box is not within the plane.
    """
    ny, nx = plane.shape
    if not (0 <= box.blc_x <= box.trc_x < nx and 0 <= box.blc_y <= box.trc_y < ny):
        raise ProductError(f"{box} does not lie in an image of {nx} x {ny} pixels")
    return plane[box.blc_y : box.trc_y + 1, box.blc_x : box.trc_x + 1]
