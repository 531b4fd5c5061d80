"""Statistics of image planes.

Planes are arrays of any shape (usually [y, x], Jy/beam). Pixels that are NaN or infinite never take part.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from vlasscube.constants import MAD_TO_SIGMA_CASA
from vlasscube.errors import ProductError
from vlasscube.records import CutoutStatistics, PlaneStatistics

FloatArray = npt.NDArray[np.floating[Any]]
BoolArray = npt.NDArray[np.bool_]

"""Standard deviation of a Gaussian in units of its median absolute deviation, as CASA's users round it."""

RMS_LIMIT_JY = 800e-6
"""Noise of a Stokes plane that the cutout page counts pixels below."""


def _usable(array: FloatArray, mask: BoolArray | None) -> FloatArray:
    """Pixels that take part, as a new 1-D array."""
    good = np.isfinite(array)
    if mask is not None:
        if mask.shape != array.shape:
            raise ProductError(f"statistics: mask of shape {mask.shape} for a plane of shape {array.shape}")
        good &= mask
    values: FloatArray = array[good]
    return values


def _median_in_place(values: FloatArray) -> float:
    """Median of a non-empty array, which is left partially sorted; the mean of the middle two if even."""
    middle = values.size // 2
    values.partition(middle)
    if values.size % 2:
        return float(values[middle])
    return (float(values[:middle].max()) + float(values[middle])) / 2


def _median_and_mad(values: FloatArray) -> tuple[float, float]:
    """Median and median absolute deviation of a non-empty array, whose values are destroyed."""
    median = _median_in_place(values)
    # In the precision of the values: float32 resolves the deviations to 6e-8 of the values.
    np.subtract(values, median, out=values)
    np.abs(values, out=values)
    return median, _median_in_place(values)


def plane_statistics(array: FloatArray, mask: BoolArray | None = None) -> PlaneStatistics:
    """Statistics of the finite pixels.

    Parameters
    ----------
    array : ndarray of float
        Any shape.
    mask : ndarray of bool, same shape, optional
        True where a pixel takes part (CASA's sense).

    Returns
    -------
    PlaneStatistics
        ``sigma`` is the sample standard deviation (0 for one pixel). All None if no pixel takes part.
    """
    values = _usable(array, mask)
    if not values.size:
        return PlaneStatistics(0, None, None, None, None, None, None)
    low, high = float(values.min()), float(values.max())
    mean = float(values.mean(dtype=np.float64))
    sigma = float(np.sqrt(_squared_deviations(values, mean) / (values.size - 1))) if values.size > 1 else 0.0
    median, mad = _median_and_mad(values)
    return PlaneStatistics(values.size, high, low, mean, median, sigma, MAD_TO_SIGMA_CASA * mad)


def _squared_deviations(values: FloatArray, mean: float) -> float:
    # By pieces: a float64 copy of a whole plane would be 300 MB.
    piece = 1 << 18
    return sum(
        float(np.square(values[start : start + piece].astype(np.float64) - mean).sum())
        for start in range(0, values.size, piece)
    )


def scaled_mad(array: FloatArray, mask: BoolArray | None = None) -> float | None:
    """1.4826 × median absolute deviation from the median; None if no pixel takes part.

    Parameters
    ----------
    array : ndarray of float
        Any shape.
    mask : ndarray of bool, same shape, optional
        True where a pixel takes part.
    """
    values = _usable(array, mask)
    return MAD_TO_SIGMA_CASA * _median_and_mad(values)[1] if values.size else None


def fraction_within(array: FloatArray, low: float, high: float) -> float | None:
    """Fraction of the finite pixels with low <= value <= high; None if there are none."""
    finite = int(np.count_nonzero(np.isfinite(array)))
    return int(np.count_nonzero((array >= low) & (array <= high))) / finite if finite else None


def masked_fraction(array: FloatArray) -> float:
    """Fraction of the pixels that are not finite; 1 for an array without pixels."""
    return 1.0 - int(np.count_nonzero(np.isfinite(array))) / array.size if array.size else 1.0


def cutout_statistics(
    image: FloatArray,
    residual: FloatArray,
    pbcor: FloatArray,
    rms: FloatArray,
    pb_mask: BoolArray | None = None,
) -> CutoutStatistics:
    """Numbers of the cutout page for one Stokes plane.

    Parameters
    ----------
    image, residual : ndarray, shape (ny, nx)
        Restored image and residual, not primary-beam corrected.
    pbcor, rms : ndarray, shape (ny, nx)
        Primary-beam corrected image and its rms image.
    pb_mask : ndarray of bool, shape (ny, nx), optional
        True inside the primary-beam limit. The uncorrected images may lack it and have pixels of low
        amplitude beyond (CAS-13818).
    """
    return CutoutStatistics(
        image=plane_statistics(image, pb_mask),
        residual=plane_statistics(residual, pb_mask),
        pbcor=plane_statistics(pbcor),
        rms=plane_statistics(rms),
        rms_fraction_below_800ujy=fraction_within(rms, 0.0, RMS_LIMIT_JY),
        rms_masked_fraction=masked_fraction(rms),
    )


def deviations(values: Sequence[float | None]) -> list[float | None]:
    """Deviations from the median in units of the scaled median absolute deviation.

    Parameters
    ----------
    values : sequence of float or None
        One for each plane; None where there is none.

    Returns
    -------
    list of float or None
        None for None; 0 for all if the values do not scatter.
    """
    known = np.array([value for value in values if value is not None], np.float64)
    if not known.size:
        return [None for _ in values]
    middle = float(np.median(known))
    sigma = MAD_TO_SIGMA_CASA * float(np.median(np.abs(known - middle)))
    return [None if v is None else (v - middle) / sigma if sigma > 0 else 0.0 for v in values]
