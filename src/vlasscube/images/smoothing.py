"""Smoothing to a common beam and sub-pixel shifting, in one pass through the Fourier domain.

An interpolation on the pixel grid lowers peaks and broadens the beam (1-2 % for linear interpolation of VLASS
planes). Multiplication with a phase ramp shifts an image exactly, and costs nothing when it is smoothed
anyway.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import fft

from vlasscube.errors import ProductError
from vlasscube.images.beams import GaussianKernel, beam_matrix, deconvolve_beam
from vlasscube.records import Beam

FloatArray = npt.NDArray[np.floating[Any]]
BoolArray = npt.NDArray[np.bool_]

FWHM_TO_SIGMA = 1.0 / math.sqrt(8.0 * math.log(2.0))

KERNEL_RADIUS_SIGMA = 3.0
"""A kernel has 1 % of its weight outside of this many standard deviations, 0.1 % on one side of them."""

_ROWS_PER_PIECE = 256


def kernel_radius_pixels(kernel: GaussianKernel, cell_arcsec: float) -> int:
    """Distance up to which a kernel spreads blanked pixels: three standard deviations, rounded up."""
    return math.ceil(KERNEL_RADIUS_SIGMA * FWHM_TO_SIGMA * kernel.bmaj_arcsec / cell_arcsec)


def smooth_and_shift(
    plane: FloatArray,
    beam: Beam,
    target: Beam,
    cell_arcsec: float,
    shift_pixels: tuple[float, float] = (0.0, 0.0),
    *,
    workers: int = 1,
) -> FloatArray:
    """Bring an image in Jy/beam to another beam and onto a shifted grid.

    The spectrum of the image is multiplied with that of the kernel, ``exp(-2π² fᵀ Σ f)`` with Σ the kernel's
    covariance, with the phase ramp of the shift, and with the ratio of the beam areas. The image is padded so
    that nothing wraps around.

    Parameters
    ----------
    plane : ndarray of float32 or float64 [y, x]
        Image in Jy/beam; x grows to the west, y to the north. NaN and infinite pixels are blanked.
    beam, target : Beam
        Beams of the image and of the result.
    cell_arcsec : float
        Size of the square pixels.
    shift_pixels : (float, float)
        (dx, dy) by which the content of the image moves.
    workers : int
        Threads of the Fourier transform.

    Returns
    -------
    ndarray [y, x], of the same shape and type
        Blanked pixels count as zero in the smoothing. NaN where they would falsify it: within the kernel's
        radius of them (`kernel_radius_pixels`, plus one pixel if the image is shifted), after the shift. Also
        NaN is what the shift brings in from beyond the border. The border itself is not blanked: as after
        CASA's smoothing, a source within a kernel's width of it loses what lies beyond.

    Raises
    ------
    ProductError
        If the beam cannot be brought to the target, or the array is not a plane.
    """
    if plane.ndim != 2:
        raise ProductError(f"smoothing needs a plane, not an array of shape {plane.shape}")
    kernel = deconvolve_beam(target, beam)
    if kernel is None:
        raise ProductError(
            f"an image of beam {beam} cannot be smoothed to {target}",
            hint="The target must be as large as the beam in every direction: use the planes' common beam.",
        )
    if not all(map(math.isfinite, shift_pixels)):
        raise ProductError(f"the shift is not a number: {shift_pixels}")
    good = np.isfinite(plane)
    if not good.any():
        return np.full_like(plane, np.nan)
    shifted = shift_pixels != (0.0, 0.0)
    whole = bool(good.all())
    scale = target.bmaj_arcsec * target.bmin_arcsec / (beam.bmaj_arcsec * beam.bmin_arcsec)
    filled = plane if whole else np.where(good, plane, plane.dtype.type(0.0))
    if kernel.is_point and not shifted:
        result: FloatArray = filled * plane.dtype.type(scale)
    else:
        margins = [
            2 * kernel_radius_pixels(kernel, cell_arcsec) + math.ceil(abs(shift)) + 2
            for shift in shift_pixels
        ]
        shape = (
            fft.next_fast_len(plane.shape[0] + margins[1], real=True),
            fft.next_fast_len(plane.shape[1] + margins[0], real=True),
        )
        spectrum = fft.rfft2(filled, s=shape, workers=workers)
        covariance = beam_matrix(kernel) * (FWHM_TO_SIGMA / cell_arcsec) ** 2
        _multiply_transfer(spectrum, shape, covariance, shift_pixels, scale)
        restored = fft.irfft2(spectrum, s=shape, workers=workers, overwrite_x=True)
        result = restored[: plane.shape[0], : plane.shape[1]].astype(plane.dtype, copy=True)
    if not whole:
        radius = kernel_radius_pixels(kernel, cell_arcsec)
        result[_spread(~good, radius, shift_pixels)] = np.nan
    _blank_beyond_border(result, shift_pixels)
    return result


def _multiply_transfer(
    spectrum: npt.NDArray[np.complexfloating[Any, Any]],
    shape: tuple[int, int],
    covariance: npt.NDArray[np.float64],
    shift_pixels: tuple[float, float],
    scale: float,
) -> None:
    """Multiply a half spectrum (rfft2) in place; ``covariance`` is the kernel's, (north, east), pixel²."""
    (north, cross), (_, east) = covariance
    fy = fft.fftfreq(shape[0])
    fx = fft.rfftfreq(shape[1])
    decay = 2.0 * math.pi**2
    # East is towards smaller x, so the mixed term changes its sign.
    along_y = np.exp(-decay * north * fy**2 - 2j * math.pi * fy * shift_pixels[1]) * scale
    along_x = np.exp(-decay * east * fx**2 - 2j * math.pi * fx * shift_pixels[0])
    along_y, along_x = along_y.astype(spectrum.dtype), along_x.astype(spectrum.dtype)
    mixed_x = (2.0 * decay * cross * fx).astype(spectrum.real.dtype)
    # By pieces of rows: a whole plane of factors would double the memory.
    for start in range(0, shape[0], _ROWS_PER_PIECE):
        rows = slice(start, start + _ROWS_PER_PIECE)
        spectrum[rows] *= along_y[rows, None]
        spectrum[rows] *= along_x
        if cross:
            spectrum[rows] *= np.exp(fy[rows, None].astype(mixed_x.dtype) * mixed_x)


def _spread(blanked: BoolArray, radius: int, shift_pixels: tuple[float, float]) -> BoolArray:
    """Pixels within a radius of blanked ones after the shift."""
    whole = [round(shift) for shift in shift_pixels]
    fractional = any(shift != step for shift, step in zip(shift_pixels, whole, strict=True))
    reach = radius + (1 if fractional else 0)
    moved = np.zeros_like(blanked)
    ny, nx = blanked.shape
    dx, dy = (max(-n, min(n, step)) for n, step in zip((nx, ny), whole, strict=True))
    moved[max(dy, 0) : ny + min(dy, 0), max(dx, 0) : nx + min(dx, 0)] = blanked[
        max(-dy, 0) : ny + min(-dy, 0), max(-dx, 0) : nx + min(-dx, 0)
    ]
    return _dilate(moved, reach) if reach and moved.any() else moved


def _dilate(blanked: BoolArray, radius: int) -> BoolArray:
    """Pixels within a radius of blanked ones: a disc, row by row, from rows widened step by step."""
    ny, nx = blanked.shape
    result, widened = blanked.copy(), blanked.copy()
    width = 0
    for dy in range(radius, -1, -1):
        while width < math.isqrt(radius**2 - dy**2):
            width += 1
            if width < nx:
                widened[:, width:] |= blanked[:, :-width]
                widened[:, :-width] |= blanked[:, width:]
        if dy < ny:
            result[dy:] |= widened[: ny - dy]
            result[: ny - dy] |= widened[dy:]
    return result


def _blank_beyond_border(plane: FloatArray, shift_pixels: tuple[float, float]) -> None:
    """Blank the rows and columns whose centres came from outside of the image."""
    ny, nx = plane.shape
    x, y = np.arange(nx) - shift_pixels[0], np.arange(ny) - shift_pixels[1]
    plane[:, (x < -0.5) | (x > nx - 0.5)] = np.nan
    plane[(y < -0.5) | (y > ny - 0.5), :] = np.nan
