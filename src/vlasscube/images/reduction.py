"""Large images made small, block by block."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]

_STRIP_PIXELS = 1 << 19
"""Worked on at a time: few enough to stay in the cache."""


def blocks_for(shape: tuple[int, ...], largest: int) -> int:
    """Block size that brings both sides to at most ``largest`` pixels."""
    return max(1, math.ceil(max(shape) / largest))


def block_mean(plane: FloatArray, size: int) -> FloatArray:
    """Mean of the finite pixels of each block; NaN where there is none. The last blocks may be smaller."""
    return _by_strips(plane, size, _strip_mean)


def block_extreme(plane: FloatArray, size: int) -> FloatArray:
    """Value of largest size in each block: what keeps a point source in sight when a picture gets small."""
    return _by_strips(plane, size, _strip_extreme)


def _by_strips(plane: FloatArray, size: int, function: Callable[[FloatArray, int], FloatArray]) -> FloatArray:
    if size == 1:
        return plane
    rows = max(1, _STRIP_PIXELS // (plane.shape[1] * size)) * size
    return np.concatenate(
        [function(plane[start : start + rows], size) for start in range(0, plane.shape[0], rows)]
    )


def _strip_mean(strip: FloatArray, size: int) -> FloatArray:
    good = np.isfinite(strip)
    if good.all():
        rows, columns = (_blocks(np.add, np.ones((1, n), np.float32), size) for n in strip.shape)
        mean: FloatArray = _blocks(np.add, strip, size) / (rows.T * columns)
        return mean
    sums = _blocks(np.add, np.where(good, strip, np.float32(0)), size)
    counts = _blocks(np.add, good.astype(np.float32), size)
    return np.divide(sums, counts, out=np.full_like(sums, np.nan), where=counts > 0)


def _strip_extreme(strip: FloatArray, size: int) -> FloatArray:
    good = np.isfinite(strip)
    complete = good.all()
    filled = strip if complete else np.where(good, strip, np.float32(0))
    high, low = _blocks(np.maximum, filled, size), _blocks(np.minimum, filled, size)
    extreme = np.where(high >= -low, high, low)
    if not complete:
        extreme[_blocks(np.logical_or, good, size) == 0] = np.nan
    return extreme


def _blocks(function: np.ufunc, values: npt.NDArray[np.generic], size: int) -> FloatArray:
    """Reduce each block; along the columns first, where whole rows can be taken at once."""
    ny, nx = values.shape
    whole = ny - ny % size
    parts = [function.reduce(values[:whole].reshape(-1, size, nx), axis=1)] if whole else []
    if whole < ny:
        parts.append(function.reduce(values[whole:], axis=0)[None])
    result: FloatArray = function.reduceat(np.concatenate(parts), np.arange(0, nx, size), axis=1)
    return result
