"""What the mean over a box of pixels says of a point source.

A mean over 3 × 3 pixels is less than the peak, the less the smaller the beam: for VLASS from 0.91 of it at
2 GHz to 0.67 at 3.7 GHz, so that a spectrum of such means is too steep. The mean over the same pixels of the
plane's own beam, standing where the source does, tells by how much.

Images in Jy/beam show a point source as the restoring beam, sampled at the centres of the pixels. Pixels are
(x, y), 0-based; x grows to the west, y to the north.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
from scipy.optimize import least_squares

from vlasscube.images.beams import beam_matrix
from vlasscube.polarization.records import (
    PointSourceStokes,
    PowerLaw,
    RegionSpectrum,
    RotationMeasureFit,
    StokesMeasurement,
)
from vlasscube.polarization.rotation_measure import rotation_measure
from vlasscube.polarization.stokes import FloatArray, fit_power_law, power_law_flux, ratio
from vlasscube.records import STOKES, Beam

Array = npt.NDArray[np.float64]

PIXEL_CENTER_ERROR = 1 / math.sqrt(12)
"""Standard deviation, in pixels and either axis, of a source from the centre of the pixel it is in."""
MAX_CENTER_OFFSET = 1.0
"""A centre fitted further off the peak pixel, in either axis, is not believed."""
RANDOM_ANGLE_ERROR_DEG = 180 / math.sqrt(12)
"""Standard deviation of a position angle of which nothing is known."""

_FIT_HALF_WIDTH = 2


# ---------------------------------------------------------------------------------------------- the beam


def beam_value(beam: Beam, cell_arcsec: float, offset_x: npt.ArrayLike, offset_y: npt.ArrayLike) -> Array:
    """Value of a beam of peak 1 at offsets in pixels from its centre; any shape."""
    east = -np.asarray(offset_x, np.float64) * cell_arcsec
    north = np.asarray(offset_y, np.float64) * cell_arcsec
    (nn, ne), (_, ee) = np.linalg.inv(beam_matrix(beam)).tolist()
    return np.asarray(np.exp(-4 * math.log(2) * (nn * north**2 + 2 * ne * north * east + ee * east**2)))


def box_pixels(plane: FloatArray, x: int, y: int, half_width: int = 1) -> Array:
    """Centres (x, y) of the pixels in a box that have a value, shape (n, 2); as `measure_box` takes them."""
    ny, nx = plane.shape
    rows = np.arange(max(y - half_width, 0), min(y + half_width + 1, ny))
    columns = np.arange(max(x - half_width, 0), min(x + half_width + 1, nx))
    grid = np.stack(np.meshgrid(columns, rows), axis=-1).reshape(-1, 2)
    good = np.isfinite(plane[grid[:, 1], grid[:, 0]])
    pixels: Array = grid[good].astype(np.float64)
    return pixels


def beam_mean(beam: Beam, cell_arcsec: float, pixels: Array, center: tuple[float, float]) -> float:
    """Mean over pixels (n, 2) of a beam of peak 1 that stands at a centre (x, y)."""
    offsets = pixels - np.asarray(center)
    return float(beam_value(beam, cell_arcsec, offsets[:, 0], offsets[:, 1]).mean())


def mean_noise(beam: Beam, cell_arcsec: float, pixels: Array) -> float:
    """Noise of the mean over pixels (n, 2) relative to that of one of them.

    The noise of neighbouring pixels is taken to be correlated as the beam, which is so for natural weighting.
    """
    offsets = pixels[:, None, :] - pixels[None, :, :]
    return math.sqrt(float(beam_value(beam, cell_arcsec, offsets[..., 0], offsets[..., 1]).mean()))


def fit_center(
    plane: FloatArray, x: int, y: int, beam: Beam, cell_arcsec: float, noise: float
) -> tuple[float, float] | None:
    """Find the centre of a point source between the pixels.

    A beam is fitted to the 5 × 5 pixels around the peak; free are its height and its place.

    Parameters
    ----------
    plane : ndarray [y, x]
        Image in Jy/beam.
    x, y : int
        Peak pixel.
    beam : Beam
        Restoring beam.
    cell_arcsec : float
        Size of the square pixels.
    noise : float
        Standard deviation of a pixel, in the unit of the image.

    Returns
    -------
    tuple of float or None
        (x, y). None where the centre of the pixel is the better guess: if the error of the fit, σ_beam over
        the signal-to-noise ratio (Condon 1997, PASP 109, 166), is above `PIXEL_CENTER_ERROR`, if pixels have
        no value, or if the fit leads further off than `MAX_CENTER_OFFSET`.
    """
    pixels = box_pixels(plane, x, y, _FIT_HALF_WIDTH)
    peak = float(plane[y, x])
    sigma_pixels = beam.bmaj_arcsec / math.sqrt(8 * math.log(2)) / cell_arcsec
    complete = len(pixels) == (2 * _FIT_HALF_WIDTH + 1) ** 2
    if not complete or not noise > 0 or not peak * PIXEL_CENTER_ERROR >= sigma_pixels * noise:
        return None
    columns, rows = pixels.astype(int).T
    values = plane[rows, columns].astype(np.float64) / peak

    def residuals(parameters: Array) -> Array:
        height, dx, dy = parameters
        offsets = pixels - (x + dx, y + dy)
        return np.asarray(height * beam_value(beam, cell_arcsec, *offsets.T) - values)

    found = least_squares(residuals, np.array([1.0, 0.0, 0.0]), method="lm")
    height, dx, dy = (float(value) for value in found.x)
    if not (found.success and height > 0 and max(abs(dx), abs(dy)) <= MAX_CENTER_OFFSET):
        return None
    return x + dx, y + dy


# ------------------------------------------------------------------------------------------- the numbers


def point_source_stokes(
    measurement: StokesMeasurement, mean_of_beam: float, error_jy: Mapping[str, float]
) -> PointSourceStokes:
    """Stokes parameters of a point source from means in a box.

    Parameters
    ----------
    measurement : StokesMeasurement
        The means in the box.
    mean_of_beam : float
        Mean of the beam over the same pixels, from `beam_mean`.
    error_jy : mapping
        Standard deviation of the means by Stokes parameter, Jy/beam.

    Notes
    -----
    Errors are propagated to first order. The polarised intensity is freed of its bias as by Wardle & Kronberg
    (1974, ApJ 194, 249), √(P² − σ²), which is right for a fixed place (not for the peak of a Faraday
    spectrum), with σ the noise at right angles to the polarisation: that is what makes the bias, and the
    error of the angle.
    """
    means = (measurement.stokes_i, measurement.stokes_q, measurement.stokes_u, measurement.stokes_v)
    flux = {stokes: mean / mean_of_beam for stokes, mean in zip(STOKES, means, strict=True)}
    error = {stokes: error_jy[stokes] / mean_of_beam for stokes in STOKES}
    polarized, along, across = _polarized(flux["Q"], flux["U"], error["Q"], error["U"])
    unbiased = math.sqrt(max(polarized**2 - across**2, 0.0))
    angle = math.degrees(math.atan2(flux["U"], flux["Q"])) / 2 % 180.0
    angle_error = math.degrees(across / (2 * polarized)) if polarized > 0 else math.inf
    return PointSourceStokes(
        beam_mean=mean_of_beam,
        flux_jy=flux,
        error_jy=error,
        snr=ratio(flux["I"], measurement.rms_median.get("I")),
        q_over_i=ratio(flux["Q"], flux["I"]),
        q_over_i_error=_ratio_error(flux, error, "Q"),
        u_over_i=ratio(flux["U"], flux["I"]),
        u_over_i_error=_ratio_error(flux, error, "U"),
        polarized_jy=unbiased,
        polarized_error_jy=along,
        angle_deg=angle if unbiased > 0 else None,
        angle_error_deg=min(angle_error, RANDOM_ANGLE_ERROR_DEG) if unbiased > 0 else None,
    )


def _polarized(q: float, u: float, q_error: float, u_error: float) -> tuple[float, float, float]:
    """√(Q² + U²), and the noise along it and across it in the plane of Q and U."""
    polarized = math.hypot(q, u)
    if polarized == 0.0:
        return 0.0, math.sqrt((q_error**2 + u_error**2) / 2), math.sqrt((q_error**2 + u_error**2) / 2)
    cosine, sine = q / polarized, u / polarized
    along = math.hypot(cosine * q_error, sine * u_error)
    return polarized, along, math.hypot(sine * q_error, cosine * u_error)


def _ratio_error(flux: Mapping[str, float], error: Mapping[str, float], stokes: str) -> float | None:
    """Standard deviation of a Stokes parameter over I, whose noises are independent."""
    fraction = ratio(flux[stokes], flux["I"])
    if fraction is None:
        return None
    return math.hypot(error[stokes], fraction * error["I"]) / abs(flux["I"])


def fit_point_source(region: RegionSpectrum) -> RegionSpectrum:
    """Fit power law and rotation measure to the values of a point source.

    Points are weighted by their errors and stand at the planes' effective frequencies and mean λ²; rejected
    planes take no part. The rotation measure is that of Q and U over the Stokes I of the power law.

    Returns
    -------
    RegionSpectrum
        With `point_source_law`, `rotation_measure`, and the residuals of each plane.
    """
    measured = [(m, m.point_source) for m in region.measurements if m.point_source is not None]
    law = fit_power_law(
        [m.fit_frequency_hz for m, _ in measured],
        [point.flux_jy["I"] for _, point in measured],
        [m.kept for m, _ in measured],
        [point.error_jy["I"] for _, point in measured],
    )
    if law is None:
        return region
    return replace(
        region,
        measurements=tuple(_with_residual(m, law) for m in region.measurements),
        point_source_law=law,
        rotation_measure=_rotation_measure([(m, point) for m, point in measured if m.kept], law),
    )


def _with_residual(measurement: StokesMeasurement, law: PowerLaw) -> StokesMeasurement:
    point = measurement.point_source
    if point is None:
        return measurement
    model = power_law_flux(law, measurement.fit_frequency_hz)
    residual = point.flux_jy["I"] - model
    return replace(
        measurement,
        point_source=replace(
            point,
            model_jy=model,
            residual_jy=residual,
            residual_percent=ratio(100.0 * residual, point.flux_jy["I"]),
        ),
    )


def _rotation_measure(
    measured: Sequence[tuple[StokesMeasurement, PointSourceStokes]], law: PowerLaw
) -> RotationMeasureFit | None:
    models = [power_law_flux(law, m.fit_frequency_hz) for m, _ in measured]
    errors = [math.hypot(p.error_jy["Q"], p.error_jy["U"]) / math.sqrt(2) for _, p in measured]
    if not all(model > 0 and error > 0 for model, error in zip(models, errors, strict=True)):
        return None
    return rotation_measure(
        [m.fit_frequency_hz for m, _ in measured],
        [p.flux_jy["Q"] / model for (_, p), model in zip(measured, models, strict=True)],
        [p.flux_jy["U"] / model for (_, p), model in zip(measured, models, strict=True)],
        [error / model for error, model in zip(errors, models, strict=True)],
        bandwidth_hz=[m.bandwidth_hz or 0.0 for m, _ in measured],
        mean_lambda2_m2=[m.fit_lambda2_m2 for m, _ in measured],
    )
