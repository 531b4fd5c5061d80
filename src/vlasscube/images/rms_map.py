"""The local rms of an image, as CASA's ``imdev`` makes it for the VLASS products.

What ``imdev`` does was measured with the task (casatasks 6.7) on images made for it:

* The statistic is taken at every tenth pixel, counted from the reference pixel, in a square box around it
  (±50 pixels for 60″ of 0.6″), which is cut at the border of the image.
* Masked pixels take no part; where the grid's own pixel is masked there is no value.
* Chauvenet's criterion is repeated until nothing is rejected any more: mean ± z(n)·σ of the n pixels left.
* Between grid points it interpolates by cubic convolution (Keys 1981, a = -1/2) of 4×4 points, all of which
  must have a value. Near the border, where there are no 4×4 points, it interpolates linearly, and beyond the
  last point it goes on linearly.

Two of its oddities are not repeated, neither of which production meets: if the reference pixel is not pixel
n // 2 of the image, rounding loses some pixels at the edges of the boxes; and a grid point that is masked in
one Stokes plane has no value in the following ones either.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vlasscube import _kernels
from vlasscube.errors import ProductError
from vlasscube.records import PixelBox

FloatArray = npt.NDArray[np.float32]

STEP_PIXELS = 10
WIDTH_ARCSEC = 60.0

_ROWS_PER_PIECE = 128


@dataclass(frozen=True)
class _Axis:
    """Pixels of one axis that a map is made for, and the grid points that they need."""

    first: int
    """Pixel of the first grid point needed."""
    count: int
    """Number of grid points needed."""
    cell: npt.NDArray[np.intp]
    """For each pixel of the map the grid point before it, counted from the first one needed."""
    position: FloatArray
    """For each pixel of the map its place after that point, in steps; outside of 0 … 1 beyond the grid."""
    cubic: slice
    """Pixels of the map that have two grid points on either side."""
    on_grid: slice
    """Pixels of the map that are grid points."""


def rms_map(
    plane: FloatArray,
    cell_arcsec: float,
    reference_pixel: tuple[float, float],
    *,
    box: PixelBox | None = None,
    threads: int = 1,
) -> FloatArray:
    """Map of 1.4826 × median absolute deviation from the median, in boxes of 60″.

    Parameters
    ----------
    plane : ndarray of float32 [y, x]
        Primary-beam corrected image, the whole of it. NaN and infinite pixels are masked.
    cell_arcsec : float
        Size of the square pixels.
    reference_pixel : (float, float)
        (x, y), 0-based, as in `vlasscube.images.casa_images.ImageFacts`; it is a point of the grid.
    box : PixelBox, optional
        The part that is wanted. Its values are those of the whole map.
    threads : int
        Threads that work.

    Returns
    -------
    ndarray of float32 [y, x]
        NaN where the image is masked, and where a grid point that is needed is masked.

    Raises
    ------
    ProductError
        If the array is not a plane, the pixels have no size, or no grid point lies in the image.
    """
    if plane.ndim != 2:
        raise ProductError(f"an rms map needs a plane, not an array of shape {plane.shape}")
    if not (cell_arcsec > 0 and math.isfinite(cell_arcsec)):
        raise ProductError(f"an rms map needs a positive pixel size, not {cell_arcsec} arcsec")
    ny, nx = plane.shape
    box = box or PixelBox(0, 0, nx - 1, ny - 1)
    x = _axis(nx, reference_pixel[0], box.blc_x, box.trc_x)
    y = _axis(ny, reference_pixel[1], box.blc_y, box.trc_y)
    # 60″ of 0.6″ reach 50 pixels, whatever the last digit of the quotient.
    reach = math.floor(WIDTH_ARCSEC / (2.0 * cell_arcsec) + 1e-6)
    grid = np.empty((y.count, x.count), dtype=np.float32)
    image = np.ascontiguousarray(plane, dtype=np.float32)
    _kernels.local_rms(image, grid, y.first, x.first, STEP_PIXELS, reach, threads)
    result = np.empty((len(y.cell), len(x.cell)), dtype=np.float32)
    whole = slice(0, len(y.cell)), slice(0, len(x.cell))
    if (y.cubic, x.cubic) != whole:
        _interpolate(result, grid, y, x, whole, _linear_weights)
    _interpolate(result, grid, y, x, (y.cubic, x.cubic), _cubic_weights)
    # A point has its value even where a neighbour is missing.
    points = result[y.on_grid, x.on_grid]
    inner = grid[_points_of(y), _points_of(x)]
    np.copyto(points, inner, where=np.isfinite(inner))
    result[~np.isfinite(image[box.blc_y : box.trc_y + 1, box.blc_x : box.trc_x + 1])] = np.nan
    return result


def _axis(n: int, reference: float, low: int, high: int) -> _Axis:
    """Grid points for the pixels from ``low`` to ``high``, both included, of an axis of n pixels."""
    anchor = math.floor(reference + 0.5) % STEP_PIXELS
    if not (anchor < n and 0 <= low <= high < n):
        raise ProductError(f"no rms map of pixels {low} to {high} of {n} with reference pixel {reference}")
    last = (n - 1 - anchor) // STEP_PIXELS
    pixels = np.arange(low, high + 1)
    cell = np.clip((pixels - anchor) // STEP_PIXELS, 0, max(last - 1, 0))
    start, stop = max(int(cell[0]) - 1, 0), min(int(cell[-1]) + 2, last)
    inside = np.flatnonzero((cell >= 1) & (cell <= last - 2))
    return _Axis(
        first=anchor + start * STEP_PIXELS,
        count=stop - start + 1,
        cell=cell - start,
        position=((pixels - anchor - cell * STEP_PIXELS) / STEP_PIXELS).astype(np.float32),
        cubic=slice(int(inside[0]), int(inside[-1]) + 1) if inside.size else slice(0, 0),
        on_grid=slice((anchor - low) % STEP_PIXELS, len(pixels), STEP_PIXELS),
    )


def _points_of(axis: _Axis) -> slice:
    """Grid points that are pixels of the map, in the order of `_Axis.on_grid`."""
    first, stop, step = axis.on_grid.indices(len(axis.cell))
    number = len(range(first, stop, step))
    if not number:
        return slice(0, 0)
    start = int(axis.cell[first]) + round(float(axis.position[first]))
    return slice(start, start + number)


def _linear_weights(s: FloatArray) -> dict[int, FloatArray]:
    return {0: 1 - s, 1: s}


def _cubic_weights(s: FloatArray) -> dict[int, FloatArray]:
    """Weights of the points at -1, 0, 1, 2 for a place between 0 and 1; Keys (1981), eq. 15."""
    return {
        -1: ((-0.5 * s + 1) * s - 0.5) * s,
        0: (1.5 * s - 2.5) * s * s + 1,
        1: ((-1.5 * s + 2) * s + 0.5) * s,
        2: (0.5 * s - 0.5) * s * s,
    }


def _interpolate(
    result: FloatArray,
    grid: FloatArray,
    y: _Axis,
    x: _Axis,
    part: tuple[slice, slice],
    weights: Callable[[FloatArray], dict[int, FloatArray]],
) -> None:
    """Fill a part of a map; it is NaN where one of the points is, even if its weight is zero."""
    rows, columns = part
    x_weights = weights(x.position[columns])
    x_cells = x.cell[columns]
    for start in range(rows.start, rows.stop, _ROWS_PER_PIECE):
        piece = slice(start, min(start + _ROWS_PER_PIECE, rows.stop))
        along_y = sum(
            weight[:, None] * grid[np.minimum(y.cell[piece] + step, y.count - 1)]
            for step, weight in weights(y.position[piece]).items()
        )
        result[piece, columns] = sum(
            weight * np.take(along_y, np.minimum(x_cells + step, x.count - 1), axis=1)
            for step, weight in x_weights.items()
        )
