"""The power beam of the antennas, of the simulator's own: it is what the imager's beam is judged by.

EVLA Memo 195 (R. Perley 2016) gives PB = 1 + a₂x² + a₄x⁴ + a₆x⁶ with x = r[arcmin] · ν[GHz], here the set
nearest in frequency among those of the S-band receiver. VLASS observes all its windows with that receiver,
also the lower third of window 2, for which the memo has sets of the L band as well, and the end of window 17.

Beyond its first null the beam is 0 or, if asked for, has a first sidelobe: that of a uniformly illuminated
aperture of which the middle quarter of the diameter is blocked, stretched so that its first null is the
polynomial's. Its peak is 3.8 % at 1.42 times the radius of the null. The true one, 3 to 5 %, is not round
because of the legs of the subreflector; further sidelobes are left out.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import j1

_SETS = np.array(
    [  # MHz, a2 / 1e-3, a4 / 1e-7, a6 / 1e-10
        (2052, -1.429, 7.52, -1.47),
        (2180, -1.389, 7.06, -1.33),
        (2436, -1.377, 6.90, -1.27),
        (2564, -1.381, 6.92, -1.26),
        (2692, -1.402, 7.23, -1.40),
        (2820, -1.433, 7.62, -1.54),
        (2948, -1.433, 7.46, -1.42),
        (3052, -1.467, 8.05, -1.70),
        (3180, -1.497, 8.38, -1.80),
        (3308, -1.504, 8.37, -1.77),
        (3436, -1.521, 8.63, -1.88),
        (3564, -1.505, 8.37, -1.75),
        (3692, -1.521, 8.51, -1.79),
        (3820, -1.534, 8.57, -1.77),
        (3948, -1.516, 8.30, -1.66),
    ]
)
_BLOCKED = 0.25
"""Blocked part of the diameter."""
_FIRST_NULL, _SECOND_NULL = 3.586338, 7.541329
"""Of the voltage pattern of the blocked aperture, in units of its argument."""


def power_beam(
    radius_arcmin: ArrayLike, freq_hz: ArrayLike, *, sidelobe: bool = False
) -> NDArray[np.float64]:
    """Evaluate the power beam, 1 on axis.

    Parameters
    ----------
    radius_arcmin, freq_hz : array_like
        Distance from the pointing centre and frequency, broadcast against each other.
    sidelobe : bool
        Go on to the second null; otherwise the beam ends at the first.

    Returns
    -------
    ndarray
        Of the broadcast shape.
    """
    frequency = np.asarray(freq_hz, dtype=float)
    number = np.abs(np.atleast_1d(frequency)[..., None] - _SETS[:, 0] * 1e6).argmin(axis=-1)
    number = number.reshape(frequency.shape)
    a2, a4, a6 = np.moveaxis((_SETS[:, 1:] * np.array([1e-3, 1e-7, 1e-10]))[number], -1, 0)
    x2 = (np.asarray(radius_arcmin, dtype=float) * frequency / 1e9) ** 2
    # All sets stay negative beyond their first zero.
    beam: NDArray[np.float64] = np.maximum(1.0 + x2 * (a2 + x2 * (a4 + x2 * a6)), 0.0)
    if sidelobe:
        relative = np.sqrt(x2) / _nulls()[number]
        beam = np.where(relative > 1.0, _first_sidelobe(relative), beam)
    return beam


def first_null_arcmin(freq_hz: ArrayLike) -> NDArray[np.float64]:
    """Radius of the first null."""
    frequency = np.atleast_1d(np.asarray(freq_hz, dtype=float))
    number = np.abs(frequency[:, None] - _SETS[:, 0] * 1e6).argmin(axis=1)
    radius: NDArray[np.float64] = _nulls()[number] / (frequency / 1e9)
    return radius


@cache
def _nulls() -> NDArray[np.float64]:
    """First zero of each polynomial, arcmin · GHz."""
    result = []
    for a2, a4, a6 in _SETS[:, 1:] * np.array([1e-3, 1e-7, 1e-10]):
        roots = np.roots([a6, a4, a2, 1.0])
        real = roots.real[(np.abs(roots.imag) < 1e-9) & (roots.real > 0)]
        result.append(np.sqrt(real.min()))
    return np.array(result)


def _first_sidelobe(relative: NDArray[np.float64]) -> NDArray[np.float64]:
    """Power at radii in units of that of the first null."""
    x = _FIRST_NULL * np.maximum(relative, 1.0)
    voltage = (2 * j1(x) / x - _BLOCKED * 2 * j1(_BLOCKED * x) / x) / (1 - _BLOCKED**2)
    power: NDArray[np.float64] = np.where(x < _SECOND_NULL, voltage**2, 0.0)
    return power
