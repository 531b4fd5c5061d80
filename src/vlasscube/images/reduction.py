"""Large images made small, block by block."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from vlasscube import _kernels

FloatArray = npt.NDArray[np.float32]


def blocks_for(shape: tuple[int, ...], largest: int) -> int:
    """Block size that brings both sides to at most ``largest`` pixels."""
    return max(1, math.ceil(max(shape) / largest))


def block_mean(plane: FloatArray, size: int) -> FloatArray:
    """Mean of the finite pixels of each block; NaN where there is none. The last blocks may be smaller."""
    return _reduced(plane, size, _kernels.block_mean)


def block_extreme(plane: FloatArray, size: int) -> FloatArray:
    """Value of largest size in each block: what keeps a point source in sight when a picture gets small."""
    return _reduced(plane, size, _kernels.block_extreme)


def _reduced(
    plane: FloatArray, size: int, reduce: Callable[[FloatArray, FloatArray, int], None]
) -> FloatArray:
    if size == 1:
        return plane
    result = np.empty([-(-side // size) for side in plane.shape], np.float32)
    reduce(np.ascontiguousarray(plane, np.float32), result, size)
    return result
