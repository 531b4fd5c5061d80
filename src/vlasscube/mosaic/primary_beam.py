"""The EVLA power beam as CASA uses it for the S band.

The polynomials are those of EVLA Memo 195 (R. Perley 2016), PB = 1 + a₂x² + a₄x⁴ + a₆x⁶ with
x = r[arcmin] · ν[GHz]. Which of them CASA takes was measured on single-pointing images: the one nearest in
frequency, without interpolation, of the band that the frequency belongs to. The ends of VLASS's range belong
to the L band (below 2.003 GHz) and the C band (above 4 GHz).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

# MHz: (a2 / 1e-3, a4 / 1e-7, a6 / 1e-10)
_L_BAND = {
    1872: (-1.486, 8.26, -1.75),
    1936: (-1.459, 7.93, -1.62),
    2000: (-1.508, 8.31, -1.68),
}
_S_BAND = {
    2052: (-1.429, 7.52, -1.47),
    2180: (-1.389, 7.06, -1.33),
    2436: (-1.377, 6.90, -1.27),
    2564: (-1.381, 6.92, -1.26),
    2692: (-1.402, 7.23, -1.40),
    2820: (-1.433, 7.62, -1.54),
    2948: (-1.433, 7.46, -1.42),
    3052: (-1.467, 8.05, -1.70),
    3180: (-1.497, 8.38, -1.80),
    3308: (-1.504, 8.37, -1.77),
    3436: (-1.521, 8.63, -1.88),
    3564: (-1.505, 8.37, -1.75),
    3692: (-1.521, 8.51, -1.79),
    3820: (-1.534, 8.57, -1.77),
    3948: (-1.516, 8.30, -1.66),
}
_C_BAND = {4052: (-1.406, 7.41, -1.48)}
_L_BAND_LIMIT_HZ = 2.0032e9
_C_BAND_LIMIT_HZ = 4.0005e9
_LOWEST_HZ, _HIGHEST_HZ = 1.84e9, 4.116e9


def _table(band: dict[int, tuple[float, float, float]]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    frequencies = np.array(list(band), dtype=float) * 1e6
    coefficients = np.array(list(band.values())) * np.array([1e-3, 1e-7, 1e-10])
    return frequencies, coefficients


def evla_power_beam(
    radius_arcmin: ArrayLike, freq_hz: ArrayLike, band_hz: float | None = None
) -> NDArray[np.float64]:
    """Evaluate the power beam, 1 on axis and 0 from the first null outwards.

    Parameters
    ----------
    radius_arcmin : array_like
        Distance from the pointing centre in arcmin; broadcast against `freq_hz`.
    freq_hz : array_like
        Frequency in Hz, 1.84 to 4.116 GHz.
    band_hz : float, optional
        Frequency that decides the band, by default each frequency itself. CASA's mosaic gridder takes the
        polynomials of one band for all channels of a spectral window, its prediction from components does
        not.

    Returns
    -------
    ndarray
        Power beam, of the broadcast shape.

    Raises
    ------
    ValueError
        If a frequency lies outside the tabulated range.
    """
    frequency = np.atleast_1d(np.asarray(freq_hz, dtype=float))
    if not np.all((frequency >= _LOWEST_HZ) & (frequency <= _HIGHEST_HZ)):
        raise ValueError(
            f"the power beam is tabulated for {_LOWEST_HZ / 1e9}…{_HIGHEST_HZ / 1e9} GHz, "
            f"not for all of {frequency.min() / 1e9}…{frequency.max() / 1e9} GHz"
        )
    coefficients = np.empty((*frequency.shape, 3))
    deciding = frequency if band_hz is None else np.full_like(frequency, band_hz)
    band_of = np.digitize(deciding, [_L_BAND_LIMIT_HZ, _C_BAND_LIMIT_HZ])
    for number, band in enumerate((_L_BAND, _S_BAND, _C_BAND)):
        tabulated, values = _table(band)
        chosen = band_of == number
        coefficients[chosen] = values[np.abs(frequency[chosen][:, None] - tabulated).argmin(axis=1)]
    coefficients = coefficients.reshape(*np.shape(freq_hz), 3)
    x2 = (np.asarray(radius_arcmin, dtype=float) * np.asarray(freq_hz, dtype=float) / 1e9) ** 2
    a2, a4, a6 = np.moveaxis(coefficients, -1, 0)
    # All sets stay negative beyond their first zero, so clipping ends the beam there, as CASA does.
    beam: NDArray[np.float64] = np.maximum(1.0 + x2 * (a2 + x2 * (a4 + x2 * a6)), 0.0)
    return beam


def beam_radius_rad(freq_hz: float) -> float:
    """Return the radius up to which CASA tabulates the beam, 0.8564° at 1 GHz."""
    return float(np.radians(0.8564) / (freq_hz / 1e9))
