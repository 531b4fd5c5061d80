"""The brightest sources of an image, for those who want to look at them: no catalogue, no completeness."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from vlasscube.errors import ProductError
from vlasscube.images.reduction import block_extreme, block_mean, blocks_for
from vlasscube.records import BrightSource

FloatArray = npt.NDArray[np.float32]

SEARCH_PIXELS = 800
"""Longest side, in blocks, of what is searched: a block holds no more than one source."""
MOST_SOURCES = 48
FAINTEST_SNR = 7.0
APART_PIXELS = 32
"""If the blocks of two sources are not further apart than this, in either axis, the brighter one is kept."""
LEAST_NOISE = 0.1
"""In units of the median rms: below, an rms image does not tell the noise."""

_CANDIDATES = 40 * MOST_SOURCES


def brightest_sources(intensity: FloatArray, rms: FloatArray) -> tuple[BrightSource, ...]:
    """Find peaks of Stokes I by signal-to-noise ratio.

    Parameters
    ----------
    intensity, rms : ndarray of float32, shape (ny, nx)
        Stokes I, primary-beam corrected, and its rms image, Jy/beam; NaN where there is no value.

    Returns
    -------
    tuple of BrightSource
        At most `MOST_SOURCES`, of at least `FAINTEST_SNR`, the highest ratio first.

    Raises
    ------
    ProductError
        If the shapes differ.

    Notes
    -----
    The ratio is that of the value of largest size in a block to the mean of the rms image there. Where that
    mean is less than a tenth of the median rms it is none of the noise: the interpolation of rms images
    swings through zero at the edge of the mosaic.
    """
    if intensity.shape != rms.shape:
        raise ProductError(f"rms image of shape {rms.shape} for an image of shape {intensity.shape}")
    size = blocks_for(intensity.shape, SEARCH_PIXELS)
    noise = block_mean(rms, size)
    known = np.isfinite(noise) & (noise > 0)
    if known.any():
        known &= noise >= LEAST_NOISE * np.median(noise[known])
    ratio = np.zeros_like(noise)
    np.divide(block_extreme(intensity, size), noise, out=ratio, where=known)
    ratio[~np.isfinite(ratio)] = 0.0
    order = np.argsort(ratio, axis=None)[::-1][:_CANDIDATES]
    found: list[BrightSource] = []
    corners: list[tuple[int, int]] = []
    for row, column in zip(*np.unravel_index(order, ratio.shape), strict=True):
        snr, corner = float(ratio[row, column]), (int(column) * size, int(row) * size)
        if snr < FAINTEST_SNR or len(found) == MOST_SOURCES:
            break
        if all(max(abs(corner[0] - x), abs(corner[1] - y)) > APART_PIXELS for x, y in corners):
            corners.append(corner)
            found.append(_peak(intensity, corner, size, snr))
    return tuple(found)


def _peak(intensity: FloatArray, corner: tuple[int, int], size: int, snr: float) -> BrightSource:
    x, y = corner
    block = intensity[y : y + size, x : x + size]
    row, column = np.unravel_index(int(np.where(np.isfinite(block), block, -np.inf).argmax()), block.shape)
    return BrightSource(x + int(column), y + int(row), float(block[row, column]), snr)
