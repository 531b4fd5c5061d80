"""Which pixels may get model flux, as tclean combines them."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]
MaskArray = npt.NDArray[np.bool_]


def user_mask(image: npt.NDArray[Any]) -> MaskArray:
    """Return the mask that a mask image stands for: where it is above zero.

    Like tclean's, it is not cut where the primary beam ends; the residual there is zero.

    Parameters
    ----------
    image : ndarray, shape (ny, nx) or (planes, ny, nx)
        One plane serves all Stokes planes. NaN is outside.

    Returns
    -------
    ndarray of bool
        Mask of the same shape, without an axis of length one for Stokes.
    """
    mask: MaskArray = np.asarray(image) > 0
    return mask[0] if mask.ndim == 3 and mask.shape[0] == 1 else mask


def pb_mask(pb: FloatArray, level: float) -> MaskArray:
    """Return where the primary beam is above a level; NaN is outside."""
    mask: MaskArray = pb > level
    return mask


def full_mask(shape: tuple[int, int]) -> MaskArray:
    """Return the mask of a clean without mask: everywhere."""
    return np.ones(shape, np.bool_)


def mask_planes(mask: MaskArray, planes: int) -> FloatArray:
    """Return the mask as tclean writes it.

    Parameters
    ----------
    mask : ndarray of bool, shape (ny, nx) or (planes, ny, nx)
        What was cleaned.
    planes : int
        Number of Stokes planes.

    Returns
    -------
    ndarray of float32, shape (planes, ny, nx)
        1 within the mask, 0 outside; not writable if one mask serves all planes.
    """
    values = mask.astype(np.float32)
    return np.broadcast_to(values, (planes, *values.shape[-2:]))
