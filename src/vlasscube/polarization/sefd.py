"""System equivalent flux density of the VLA in S band, to compare the noise of planes with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vlasscube.errors import ProductError

# Frequency in MHz and SEFD in Jy: 34 of 120 samples of the measurements of the VLA at S band that
# the web logs of the survey draw. The VLA's Observational Status Summary gives 370 Jy for the band.
_SAMPLES = np.array(
    [
        (1850.5, 1192), (1889.5, 608), (1909.0, 519), (1959.0, 413), (1998.0, 390),
        (2037.0, 378), (2056.5, 381), (2087.0, 364), (2106.5, 369), (2165.0, 355),
        (2234.5, 374), (2273.5, 369), (2312.5, 371), (2362.5, 407), (2401.5, 411),
        (2440.5, 397), (2561.5, 401), (2689.5, 390), (2798.0, 400), (2945.5, 362),
        (3054.0, 352), (3182.0, 319), (3310.0, 315), (3438.0, 293), (3559.0, 275),
        (3687.0, 290), (3815.0, 326), (3943.0, 323), (4001.5, 340), (4090.5, 326),
        (4149.0, 421), (4168.5, 474), (4199.0, 929), (4218.5, 1416),
    ]
)  # fmt: skip

FREQUENCY_RANGE_HZ = (float(_SAMPLES[0, 0]) * 1e6, float(_SAMPLES[-1, 0]) * 1e6)
"""Where the SEFD is known."""

_SCALING_STOKES = ("Q", "U", "V")


@dataclass(frozen=True)
class ReceiverNoise:
    """The SEFD scaled to the noise of the planes: a broken line, one entry for each sample of the SEFD."""

    scale: float
    """Noise over SEFD."""
    frequencies_hz: tuple[float, ...]
    noise_jy: tuple[float, ...]
    """In the unit of the planes' noise, Jy/beam."""


def sefd_jy(frequency_hz: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """SEFD by linear interpolation.

    Parameters
    ----------
    frequency_hz : array_like
        Any shape.

    Returns
    -------
    ndarray of float64, same shape
        Jy; NaN outside of `FREQUENCY_RANGE_HZ`.
    """
    megahertz = np.asarray(frequency_hz, np.float64) / 1e6
    return np.asarray(np.interp(megahertz, _SAMPLES[:, 0], _SAMPLES[:, 1], left=np.nan, right=np.nan))


def sefd_scale(frequencies_hz: Sequence[float], noise: Mapping[str, Sequence[float | None]]) -> float | None:
    """Factor that brings the SEFD to the noise of the planes.

    Parameters
    ----------
    frequencies_hz : sequence of float, shape (n,)
        Frequencies of the planes.
    noise : mapping of str to sequence of float or None, shape (n,)
        Noise of each plane by Stokes parameter, in any unit; Q, U and V count, I is limited by its sources.

    Returns
    -------
    float or None
        Median over planes and over Q, U, V of noise / SEFD; None without any noise.

    Raises
    ------
    ProductError
        If a Stokes parameter has not one noise for each plane.
    """
    sefd = sefd_jy(frequencies_hz)
    ratios: list[npt.NDArray[np.float64]] = []
    for stokes in _SCALING_STOKES:
        values = np.array([np.nan if v is None else v for v in noise.get(stokes, ())], np.float64)
        if values.size not in (0, sefd.size):
            raise ProductError(f"{values.size} noise values of Stokes {stokes} for {sefd.size} planes")
        if values.size:
            ratios.append(values / sefd)
    finite = np.concatenate(ratios) if ratios else np.empty(0)
    finite = finite[np.isfinite(finite)]
    return float(np.median(finite)) if finite.size else None


def receiver_noise(
    frequencies_hz: Sequence[float], noise_jy: Mapping[str, Sequence[float | None]]
) -> ReceiverNoise | None:
    """Scale the SEFD to the noise of the planes, as `sefd_scale`; None without any noise.

    Raises
    ------
    ProductError
        If a Stokes parameter has not one noise for each plane.
    """
    scale = sefd_scale(frequencies_hz, noise_jy)
    if scale is None:
        return None
    samples = _SAMPLES.tolist()
    return ReceiverNoise(
        scale,
        frequencies_hz=tuple(megahertz * 1e6 for megahertz, _ in samples),
        noise_jy=tuple(scale * jansky for _, jansky in samples),
    )
