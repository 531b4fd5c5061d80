"""Stokes parameters along the spectrum of a position.

Cubes are arrays [stokes, y, x] in the order I, Q, U, V; pixels are (x, y), 0-based. NaN is masked.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import least_squares

from vlasscube.errors import ProductError
from vlasscube.polarization.records import DerivedStokes, PowerLaw, StokesMeasurement

FloatArray = npt.NDArray[np.floating[Any]]
BoolArray = npt.NDArray[np.bool_]

PIVOT_HZ = 3.0e9
"""Frequency at which a power law states its flux density."""


@dataclass(frozen=True)
class PeakPixel:
    """A maximum: 0-based pixel and the value there."""

    x: int
    y: int
    value: float


# --------------------------------------------------------------------------------------------- positions


def joint_mask(masks: Sequence[FloatArray | BoolArray | None]) -> BoolArray | None:
    """Pixels inside all masks: above 0.5 in each, NaN is outside.

    Parameters
    ----------
    masks : sequence of ndarray [y, x] or None
        None (a missing mask) is left out.

    Returns
    -------
    ndarray of bool [y, x] or None
        None if there is no mask at all.

    Raises
    ------
    ProductError
        If the masks differ in shape.
    """
    joint: BoolArray | None = None
    for mask in masks:
        if mask is None:
            continue
        inside = np.asarray(mask > 0.5)
        if joint is not None and inside.shape != joint.shape:
            raise ProductError(f"masks of different shape: {joint.shape} and {inside.shape}")
        joint = inside if joint is None else joint & inside
    return joint


def find_peak(plane: FloatArray, mask: BoolArray | None = None) -> PeakPixel | None:
    """Find the largest finite value of a plane.

    Parameters
    ----------
    plane : ndarray [y, x]
        An image plane.
    mask : ndarray of bool [y, x], optional
        Where to search.

    Returns
    -------
    PeakPixel or None
        Among equal maxima the first in memory order; None if no finite pixel is inside the mask.

    Raises
    ------
    ProductError
        If mask and plane differ in shape.
    """
    good = np.isfinite(plane)
    if mask is not None:
        if mask.shape != plane.shape:
            raise ProductError(f"peak search: mask of shape {mask.shape} for a plane of shape {plane.shape}")
        good &= mask
    if not good.any():
        return None
    y, x = np.unravel_index(np.argmax(np.where(good, plane, -np.inf)), plane.shape)
    return PeakPixel(int(x), int(y), float(plane[y, x]))


def linear_polarization(q: FloatArray, u: FloatArray) -> FloatArray:
    """Linearly polarised intensity √(Q² + U²), not corrected for the noise bias; any shape."""
    return np.hypot(q, u)


def find_peak_polarization(
    cube: FloatArray, mask: BoolArray | None = None
) -> tuple[PeakPixel | None, PeakPixel | None]:
    """Peaks of Stokes I and of linearly polarised intensity in a cube [stokes, y, x]; as `find_peak`."""
    return find_peak(cube[0], mask), find_peak(linear_polarization(cube[1], cube[2]), mask)


def measure_box(cube: FloatArray, x: int, y: int, half_width: int = 1) -> npt.NDArray[np.float64]:
    """Mean over a box of pixels around a position.

    Parameters
    ----------
    cube : ndarray [stokes, y, x]
        Any number of planes.
    x, y : int
        Central pixel, inside the image.
    half_width : int
        The box has 2 half_width + 1 pixels a side, fewer at the border of the image.

    Returns
    -------
    ndarray of float64, shape (stokes,)
        Each plane's mean of its finite pixels; NaN where it has none.

    Raises
    ------
    ProductError
        If the position is outside the image.
    """
    ny, nx = cube.shape[-2:]
    if not (0 <= x < nx and 0 <= y < ny):
        raise ProductError(f"pixel ({x}, {y}) is outside the image of {nx} x {ny} pixels")
    part = cube[:, max(y - half_width, 0) : y + half_width + 1, max(x - half_width, 0) : x + half_width + 1]
    values = part.reshape(cube.shape[0], -1).astype(np.float64)
    good = np.isfinite(values)
    counts = good.sum(axis=1)
    totals = np.where(good, values, 0.0).sum(axis=1)
    return np.where(counts > 0, totals / np.maximum(counts, 1), np.nan)


# ---------------------------------------------------------------------------------------------- spectrum


def fit_power_law(
    frequencies_hz: Sequence[float],
    flux_jy: Sequence[float],
    kept: Sequence[bool],
    errors_jy: Sequence[float] | None = None,
) -> PowerLaw | None:
    """Fit I(ν) = A·(ν / 3 GHz)^α with A ≥ 0 by Levenberg–Marquardt least squares.

    Parameters
    ----------
    frequencies_hz, flux_jy : sequence of float, shape (n,)
        Spectrum; points that are not finite are left out.
    kept : sequence of bool, shape (n,)
        Whether a point takes part.
    errors_jy : sequence of float, shape (n,), optional
        Standard deviations: points have the weights 1/σ², those without a positive one are left out. By
        default all points have the same weight.

    Returns
    -------
    PowerLaw or None
        Errors are one standard deviation. Without `errors_jy` they are scaled by the scatter of the
        residuals; with them they are those of the noise, scaled by √χ²/(n − 2) where that is above 1. None
        with only two points and no `errors_jy`. No fit (None) with fewer than two points at different
        frequencies, or if the best A is zero, where α means nothing.

    Raises
    ------
    ProductError
        If the sequences differ in length.
    """
    given = [1.0] * len(flux_jy) if errors_jy is None else errors_jy
    if not len(frequencies_hz) == len(flux_jy) == len(kept) == len(given):
        raise ProductError("power law: frequencies, flux densities and weights differ in number")
    frequency, flux, sigma = (np.asarray(a, float) for a in (frequencies_hz, flux_jy, given))
    use = np.asarray(kept, bool) & np.isfinite(frequency) & np.isfinite(flux) & (frequency > 0)
    use &= np.isfinite(sigma) & (sigma > 0)
    x, scale = np.log(frequency[use] / PIVOT_HZ), np.abs(flux[use]).max(initial=0.0)
    if np.unique(x).size < 2 or scale == 0.0 or not (flux[use] > 0).any():
        return None
    y = flux[use] / scale
    root_weight = sigma[use].min() / sigma[use]

    def residuals(parameters: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        # A = a² keeps A ≥ 0 without bounds, which Levenberg–Marquardt does not have.
        model = parameters[0] ** 2 * np.exp(np.clip(parameters[1] * x, -50.0, 50.0))
        return np.asarray(root_weight * (model - y))

    positive = y > 0
    slope = 0.0
    if np.unique(x[positive]).size >= 2:
        slope = float(np.polyfit(x[positive], np.log(y[positive]), 1)[0])
    starts = [np.array([math.sqrt(max(float(np.mean(y[positive])), 1e-3)), alpha]) for alpha in (slope, 0.0)]
    solutions = [
        least_squares(residuals, start, method="lm", xtol=1e-14, ftol=1e-14, gtol=1e-14) for start in starts
    ]
    best = min(solutions, key=lambda solution: float(solution.cost))
    amplitude, alpha = float(best.x[0]) ** 2, float(best.x[1])
    model = amplitude * np.exp(np.clip(alpha * x, -50.0, 50.0))
    data = root_weight * y
    if amplitude < 1e-9 or not math.isfinite(alpha) or float(best.cost) >= 0.5 * float(data @ data):
        return None
    noise = None if errors_jy is None else float(sigma[use].min() / scale)
    errors = _errors(
        root_weight[:, None] * np.column_stack([model / amplitude, model * x]),
        data - root_weight * model,
        noise,
    )
    return PowerLaw(
        amplitude * float(scale),
        alpha,
        errors[1] if errors else None,
        errors[0] * float(scale) if errors else None,
    )


def _errors(
    jacobian: npt.NDArray[np.float64], residual: npt.NDArray[np.float64], noise: float | None
) -> tuple[float, float] | None:
    """Standard deviations of A and α, from the inverse of JᵀJ and the larger of noise and scatter."""
    freedom = residual.size - 2
    variance = noise**2 if noise is not None else 0.0
    if freedom > 0:
        variance = max(variance, float(residual @ residual) / freedom)
    elif noise is None:
        return None
    normal = jacobian.T @ jacobian
    determinant = float(np.linalg.det(normal))
    if determinant <= 0:
        return None
    return (
        math.sqrt(variance * float(normal[1, 1]) / determinant),
        math.sqrt(variance * float(normal[0, 0]) / determinant),
    )


def power_law_flux(law: PowerLaw, frequency_hz: float) -> float:
    """Flux density of a power law at a frequency, Jy."""
    return float(law.flux_3ghz_jy * (frequency_hz / PIVOT_HZ) ** law.alpha)


def derive(measurement: StokesMeasurement, law: PowerLaw | None) -> DerivedStokes:
    """Ratios, signal to noise, and residual from the power law of one measurement."""
    i, noise = measurement.stokes_i, measurement.rms_median.get("I")
    model = power_law_flux(law, measurement.frequency_hz) if law is not None else None
    residual = i - model if model is not None else None
    return DerivedStokes(
        q_over_i=ratio(measurement.stokes_q, i),
        u_over_i=ratio(measurement.stokes_u, i),
        snr=ratio(i, noise),
        model_jy=model,
        residual_jy=residual if residual is not None and math.isfinite(residual) else None,
        residual_percent=ratio(100.0 * residual, i) if residual is not None else None,
    )


def ratio(numerator: float, denominator: float | None) -> float | None:
    """Quotient of two numbers; None where it is not defined."""
    if not denominator or not math.isfinite(denominator) or not math.isfinite(numerator):
        return None
    return numerator / denominator
