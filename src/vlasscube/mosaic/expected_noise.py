"""The noise expected in a mosaic from the weights of its visibilities.

A weight is w = 1/σ², with σ the noise of the real (or imaginary) part of a correlation, as CASA's statwt has
it; all four correlations have one weight. Stokes I = (RR + LL)/2, Q, U and V then each have σ²/2.

Before it is normalised, the dirty image is D(x) = Σ W A(x) Re(V e^iφ), with W the imaging weights and A the
power beams of the pointings. Its variance is N(x) = Σ W² A²(x) σ²/2, whatever the phases. The flat-noise
image is D / √(S(x) Smax) with S(x) = ΣWA²(x), so its variance is N(x) / (S(x) Smax): about the same
everywhere, as far as the pointings have the same ratio of ΣW²σ² and ΣW.

Channels need not be independent: Hanning smoothing, which the calibration of VLASS applies, correlates the
noise of neighbours by 2/3 and 1/6. To N(x) then come the products of channels c and c + k,
Σ ρ_k W_c W_(c+k) A²(x) σ_c σ_(c+k) cos(2π Δu·x), with Δu how far they are apart in the uv plane. In a mosaic
the cosine averages to the Fourier transform of the squared beam at Δu, over that at 0. On short baselines
Hanning smoothing makes the noise √(8/3) times that of independent channels with the same weights.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from vlasscube.mosaic.visibilities import ALL_USABLE, SpectralWindowData
from vlasscube.mosaic.weighting import batches

Float = npt.NDArray[np.float32]

_CROSS_HANDS = slice(1, 3)
_LARGEST_LAG = 2
_MOST_PAIRS = 4096
_OUTLIER = 5.0
"""Amplitude, in units of the median, from which a visibility counts as interference: 5.9 σ."""
_SIGNIFICANCE = 4.0
_LEAST_LEFT = 1e-6


def channel_correlation(window: SpectralWindowData) -> tuple[float, ...]:
    """Measure how far the noise of neighbouring channels is correlated.

    Two integrations that follow each other see the same sky, so their difference is noise; RL and LR are
    taken, where sources are faint.

    Parameters
    ----------
    window : SpectralWindowData
        With data.

    Returns
    -------
    tuple of float
        Correlation coefficients of channels 1 and 2 apart; 0 where there is none beyond four times its error,
        or no baseline has two integrations of a pointing.
    """
    order = np.lexsort((window.time_mjd_s, window.field_index, window.antenna2, window.antenna1))
    keys = np.stack([window.antenna1, window.antenna2, window.field_index])[:, order]
    follows = np.flatnonzero(np.all(keys[:, 1:] == keys[:, :-1], axis=0))
    follows = follows[:: max(1, -(-follows.size // _MOST_PAIRS))]
    first, second = order[follows], order[follows + 1]
    weights = window.weight[first], window.weight[second]
    good = (window.usable[first] == ALL_USABLE) & (window.usable[second] == ALL_USABLE)
    good &= (weights[0] > 0) & (weights[1] > 0)
    if not good.any():
        return (0.0,) * _LARGEST_LAG
    difference = window.data[first, :, _CROSS_HANDS] - window.data[second, :, _CROSS_HANDS]
    variance = sum(1 / np.where(good, weight, 1) for weight in weights)
    difference /= np.sqrt(variance)[..., None]
    amplitude = np.abs(difference)
    valid = good[..., None] & (amplitude < _OUTLIER * np.median(amplitude[good]))
    difference[~valid] = 0
    return tuple(_correlation_at(difference, valid, lag) for lag in range(1, _LARGEST_LAG + 1))


def _correlation_at(noise: npt.NDArray[np.complex64], valid: npt.NDArray[np.bool_], lag: int) -> float:
    """Correlation coefficient of channels a number of channels apart; noise has shape (n, nchan, m)."""
    near, far = noise[:, :-lag], noise[:, lag:]
    both = valid[:, :-lag] & valid[:, lag:]
    power = (np.abs(near[both]) ** 2).sum(dtype=np.float64) + (np.abs(far[both]) ** 2).sum(dtype=np.float64)
    count = int(np.count_nonzero(both))
    if not power > 0:
        return 0.0
    product = float((near[both] * far[both].conj()).real.sum(dtype=np.float64))
    correlation = 2 * product / float(power)
    return correlation if abs(correlation) > _SIGNIFICANCE / np.sqrt(2 * count) else 0.0


def decorrelation(
    cells_x: npt.NDArray[np.float64], cells_y: npt.NDArray[np.float64], squared_beam: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Compute the logarithm of what the primary beam leaves of the correlation of two visibilities.

    Parameters
    ----------
    cells_x, cells_y : ndarray, shape (n,)
        How far they are apart in the uv plane, in cells.
    squared_beam : ndarray, shape (2 t + 1, 2 t + 1)
        Fourier transform of the squared power beam, by cells.

    Returns
    -------
    ndarray, shape (n,)
        At most 0; the transform is taken for a Gaussian, so it grows with the square of the distance.
    """
    centre = squared_beam.shape[0] // 2
    peak = squared_beam[centre, centre]
    nearby = np.array([squared_beam[centre, centre + 1], squared_beam[centre + 1, centre]]) / peak
    # In an image smaller than the beam nothing may be left at the next cell.
    by_x, by_y = np.log(np.maximum(nearby, _LEAST_LEFT))
    exponent: npt.NDArray[np.float64] = by_x * cells_x**2 + by_y * cells_y**2
    return exponent


def noise_sums(
    window: SpectralWindowData,
    imaging_weight: Float,
    correlation: tuple[float, ...],
    neighbours: npt.NDArray[np.float64],
    beam_of_channel: npt.NDArray[np.int32],
    pointings: int,
    beams: int,
) -> npt.NDArray[np.float64]:
    """Sum the variances that the visibilities bring into the dirty image of a Stokes parameter.

    Parameters
    ----------
    window : SpectralWindowData
        Visibilities and their weights.
    imaging_weight : ndarray, shape (n, nchan)
        W; 0 where a visibility is not imaged.
    correlation : tuple of float
        As from `channel_correlation`.
    neighbours : ndarray, shape (n,)
        As from `decorrelation`, for neighbouring channels.
    beam_of_channel : ndarray of int, shape (nchan,)
        Which beam serves a channel, -1 for none.
    pointings, beams : int
        How many there are.

    Returns
    -------
    ndarray, shape (pointings, beams)
        ΣW²σ²/2, and what correlated channels add.
    """
    sums = np.zeros((pointings, beams))
    for rows in batches(window.rows):
        weight = window.weight[rows]
        used = (imaging_weight[rows] > 0) & (weight > 0) & (beam_of_channel >= 0)
        scatter = np.where(used, imaging_weight[rows] / np.sqrt(np.where(used, weight, 1)), 0)
        variance = scatter**2
        for lag, coefficient in enumerate(correlation, start=1):
            if coefficient:
                shared = (2 * coefficient * np.exp(lag**2 * neighbours[rows])).astype(np.float32)
                variance[:, :-lag] += shared[:, None] * scatter[:, :-lag] * scatter[:, lag:]
        for beam in range(beams):
            of_rows = variance[:, beam_of_channel == beam].sum(axis=1, dtype=np.float64)
            sums[:, beam] += np.bincount(window.field_index[rows], of_rows, minlength=pointings)
    return sums / 2
