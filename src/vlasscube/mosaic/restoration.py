"""The restoring beam and the restored image."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from scipy import fft
from scipy.optimize import least_squares

from vlasscube.errors import ImagingError
from vlasscube.mosaic.beam_model import FloatArray, beam_reach, gaussian
from vlasscube.records import Beam

DoubleArray = npt.NDArray[np.float64]

_REACH = 20
"""Pixels from the peak within which the main lobe is looked for."""
_MARGIN = 5
"""Pixels kept around the main lobe for the interpolation."""
_FIT_POINTS = 3001
"""Approximate number of points of the interpolated main lobe."""
_LOWEST_CUTOFF = 0.009
_CUTOFF_STEP = 1.5
_MIN_PEAK = 1e-7
_HINT = "Check the psf image; a plane with few visibilities may have no main lobe."


def fit_beam(psf: FloatArray, cell_arcsec: float, cutoff: float = 0.5) -> Beam:
    """Fit a Gaussian to the main lobe of a psf.

    The lobe above ``cutoff`` is interpolated to thousands of points, and a Gaussian fitted to them whose peak
    and centre are those of the interpolated lobe (the method of CASA since 6.2, CAS-13022).

    Parameters
    ----------
    psf : ndarray, shape (ny, nx)
        Point spread function.
    cell_arcsec : float
        Pixel size.
    cutoff : float
        Fraction of the peak above which points take part (``psfcutoff``); lowered if the fit fails.

    Returns
    -------
    Beam
        Position angle within ±90°.

    Raises
    ------
    ImagingError
        If the psf has no peak near its centre, or no Gaussian fits.
    """
    values = np.nan_to_num(psf)
    ny, nx = values.shape
    py, px = (int(position) for position in np.unravel_index(int(np.argmax(values)), values.shape))
    peak = float(values[py, px])
    if peak < _MIN_PEAK:
        raise ImagingError("the psf has no peak", hint=_HINT)
    if not (nx / 4 <= px <= 3 * nx / 4 and ny / 4 <= py <= 3 * ny / 4):
        raise ImagingError("the peak of the psf is outside the inner quarter of the image", hint=_HINT)
    values = values / peak
    while cutoff > _LOWEST_CUTOFF:
        beam = _fit_lobe(values, py, px, cell_arcsec, cutoff)
        if beam is not None:
            return beam
        cutoff /= _CUTOFF_STEP
    raise ImagingError("no Gaussian fits the main lobe of the psf", hint=_HINT)


def _fit_lobe(psf: FloatArray, py: int, px: int, cell_arcsec: float, cutoff: float) -> Beam | None:
    rows, columns = _lobe_pixels(psf, py, px, _REACH, cutoff)
    # The window is a square in pixel numbers, as CASA cuts it: large for an image that is not square.
    first = max(min(int(rows.min()), int(columns.min())) - _MARGIN, 0)
    last = max(int(rows.max()), int(columns.max())) + _MARGIN
    window = psf[first : last + 1, first : last + 1].astype(np.float64)
    oversampling = max(math.isqrt(_FIT_POINTS // window.size), 1)
    fine = _interpolate(window, oversampling)
    fy, fx = (int(position) for position in np.unravel_index(int(np.argmax(fine)), fine.shape))
    fine /= fine[fy, fx]
    reach = (oversampling * min(window.shape) - 1) // 2
    rows, columns = _lobe_pixels(fine, fy, fx, reach, cutoff)
    scale = cell_arcsec / oversampling
    y = (rows - fy).astype(np.float64) * scale
    x = (columns - fx).astype(np.float64) * scale
    return _fit_gaussian(y, x, fine[rows, columns], 2.5 * cell_arcsec)


def _lobe_pixels(
    psf: npt.NDArray[np.floating], py: int, px: int, reach: int, cutoff: float
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Pixels of the main lobe: in each row, outwards from the peak's column until the lobe ends."""
    ny, nx = psf.shape
    rows: list[int] = []
    columns: list[int] = []
    for row in range(max(py - reach, 0), min(py + reach, ny - 1) + 1):
        for step in (-1, 1):
            is_in_lobe = bool(psf[row, px] > cutoff)
            for distance in range(0 if step < 0 else 1, reach + 1):
                column = px + step * distance
                if not 0 <= column < nx or (is_in_lobe and psf[row, column] < cutoff):
                    break
                if psf[row, column] > cutoff:
                    is_in_lobe = True
                    rows.append(row)
                    columns.append(column)
    return np.array(rows), np.array(columns)


def _interpolate(window: DoubleArray, oversampling: int) -> DoubleArray:
    """Interpolate by cubics with central differences for slopes; oversampling points a pixel."""
    if oversampling == 1:
        return window
    return _interpolate_rows(_interpolate_rows(window, oversampling).T, oversampling).T


def _interpolate_rows(window: DoubleArray, oversampling: int) -> DoubleArray:
    count = window.shape[0]
    position = np.arange((count - 1) * oversampling + 1) / oversampling
    start = np.clip(position.astype(int), 1, count - 3)
    t = position - start
    weights = (
        (-0.5 * t + t**2 - 0.5 * t**3),
        (1.0 - 2.5 * t**2 + 1.5 * t**3),
        (0.5 * t + 2.0 * t**2 - 1.5 * t**3),
        (-0.5 * t**2 + 0.5 * t**3),
    )
    fine = sum(
        (weight[:, np.newaxis] * window[start + offset] for offset, weight in enumerate(weights, start=-1)),
        start=np.zeros((position.size, window.shape[1])),
    )
    # Beyond the last cubic there is nothing to go by.
    fine[(t < 0) | (t > 1)] = 0.0
    return np.asarray(fine)


def _fit_gaussian(y: DoubleArray, x: DoubleArray, values: DoubleArray, start: float) -> Beam | None:
    """Fit axes and position angle of a Gaussian of peak 1 at the origin; offsets north and west."""

    def misfit(parameters: DoubleArray) -> DoubleArray:
        a, b, c = parameters
        return np.asarray(np.exp(-(a * y**2 + b * x * y + c * x**2)) - values)

    width = 4.0 * math.log(2.0) / start**2
    solution = least_squares(misfit, (width, 0.0, width), x_scale=width, xtol=1e-12, ftol=1e-12, gtol=1e-15)
    a, b, c = solution.x
    eigenvalues, vectors = np.linalg.eigh([[a, b / 2], [b / 2, c]])
    if not solution.success or values.size < 3 or eigenvalues[0] <= 0:
        return None
    bmaj, bmin = (float(math.sqrt(4.0 * math.log(2.0) / value)) for value in eigenvalues)
    north, west = vectors[:, 0]
    angle = math.degrees(math.atan2(-west, north))
    return Beam(bmaj, bmin, (angle + 90.0) % 180.0 - 90.0)


def restore(
    model: FloatArray, residual: FloatArray, beam: Beam, cell_arcsec: float, threads: int = 1
) -> FloatArray:
    """Return a restored plane: the model convolved with a beam, and the residual.

    The model is flat-noise normalised as the residual is, so it is convolved as it stands. tclean restores
    all Stokes planes of an image with the beam of Stokes I.

    Parameters
    ----------
    model : ndarray of float32, shape (ny, nx)
        Jy/pixel.
    residual : ndarray of float32, shape (ny, nx)
        Jy/beam; NaN counts as zero.
    beam : Beam
        Restoring beam.
    cell_arcsec : float
        Pixel size.
    threads : int
        Number of threads.

    Returns
    -------
    ndarray of float32, shape (ny, nx)
        Jy/beam. Like tclean's it is not masked where the primary beam ends: there it is zero but for the
        edges of the model.
    """
    image: FloatArray = np.nan_to_num(residual)
    rows = np.flatnonzero(model.any(axis=1))
    columns = np.flatnonzero(model.any(axis=0))
    if rows.size == 0:
        return image
    ny, nx = model.shape
    reach = beam_reach(beam, cell_arcsec)
    y0, y1 = max(int(rows[0]) - reach, 0), min(int(rows[-1]) + reach + 1, ny)
    x0, x1 = max(int(columns[0]) - reach, 0), min(int(columns[-1]) + reach + 1, nx)
    image[y0:y1, x0:x1] += _convolve(model[y0:y1, x0:x1], beam, cell_arcsec, threads)
    return image


def _convolve(model: FloatArray, beam: Beam, cell_arcsec: float, threads: int) -> FloatArray:
    ny, nx = model.shape
    reach = beam_reach(beam, cell_arcsec)
    shape = tuple(fft.next_fast_len(length + reach, real=True) for length in (ny, nx))
    y, x = np.ogrid[-reach : reach + 1, -reach : reach + 1]
    # Folded to the origin; a model smaller than the beam is reached by the folded beam more than once.
    kernel = np.zeros(shape, np.float32)
    stamp = gaussian(y, x, beam, cell_arcsec)
    np.add.at(kernel, (y % shape[0], x % shape[1]), stamp)
    spectrum = fft.rfft2(model, s=shape, workers=threads)
    spectrum *= fft.rfft2(kernel, workers=threads)
    convolved: FloatArray = fft.irfft2(spectrum, s=shape, overwrite_x=True, workers=threads)
    return convolved[:ny, :nx]
