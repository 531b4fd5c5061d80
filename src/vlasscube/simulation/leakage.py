"""Polarisation that the instrument makes: residual D-terms, and the leakage of the beam off its axis.

The beam's leakage is that of the average VLA antenna in the S band, from holography (Sekhar et al. 2022, AJ
163, 87), expanded in Gauss–Laguerre modes up to 1.3 half-power widths. `leakage_beam.json` tells where its
numbers come from, its conventions, and what of them is not verified on the sky: the sign of the two axes and
the angle of Q + iU. The size of the effect is right, its sign perhaps.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray
from scipy.special import eval_genlaguerre

from vlasscube.simulation.spectral_windows import spw_mean_frequency_hz


@dataclass(frozen=True)
class _Expansion:
    """Modes of the leakage into one Stokes parameter, for all windows."""

    modes: tuple[tuple[int, int], ...]
    coefficients: NDArray[np.float64]
    """Shape (windows, modes)."""


@dataclass(frozen=True)
class _Table:
    width_hpbw: float
    radius_hpbw: float
    plane_hz: NDArray[np.float64]
    half_power_arcmin_hz: NDArray[np.float64]
    """Half-power width times frequency."""
    q: _Expansion
    u: _Expansion
    v: _Expansion


@cache
def _table() -> _Table:
    content = json.loads((files("vlasscube.simulation") / "leakage_beam.json").read_text())
    planes = content["planes"]

    def expansion(stokes: str) -> _Expansion:
        modes = tuple((int(p), int(m)) for p, m in content["modes"][stokes])
        return _Expansion(modes, np.array([plane[stokes] for plane in planes]))

    return _Table(
        width_hpbw=float(content["width_hpbw"]),
        radius_hpbw=float(content["radius_hpbw"]),
        plane_hz=np.array([spw_mean_frequency_hz(int(plane["plane_spw"])) for plane in planes]),
        half_power_arcmin_hz=np.array(
            [plane["hpbw_arcmin"] * plane["frequency_mhz"] * 1e6 for plane in planes]
        ),
        q=expansion("Q"),
        u=expansion("U"),
        v=expansion("V"),
    )


def leakage_beam(
    east_arcmin: float, north_arcmin: float, freq_hz: NDArray[np.float64], parallactic_angle_rad: float
) -> NDArray[np.float64]:
    """Q, U and V that the beam makes of an unpolarised source, in units of its Stokes I on the axis.

    Parameters
    ----------
    east_arcmin, north_arcmin : float
        Where the source is, from the pointing centre.
    freq_hz : ndarray, shape (n,)
        Frequencies; each takes the modes of the spectral window it lies in.
    parallactic_angle_rad : float
        Position angle of the zenith.

    Returns
    -------
    ndarray
        Shape (3, n); zero on the axis and beyond 1.3 half-power widths.
    """
    table = _table()
    window = np.abs(freq_hz[:, None] - table.plane_hz).argmin(axis=1)
    half_power = table.half_power_arcmin_hz[window] / freq_hz
    radius = math.hypot(east_arcmin, north_arcmin) / half_power
    # Towards the antenna's axes: x across the elevation, opposite to the position angle's sense, y along it.
    angle = math.atan2(east_arcmin, north_arcmin) - parallactic_angle_rad
    azimuth = math.atan2(math.cos(angle), -math.sin(angle))
    q, u, v = (_evaluate(part, window, radius, azimuth) for part in (table.q, table.u, table.v))
    turned = (q + 1j * u) * np.exp(2j * parallactic_angle_rad)
    return np.stack([turned.real, turned.imag, v])


def _evaluate(
    expansion: _Expansion, window: NDArray[np.int64], radius: NDArray[np.float64], azimuth: float
) -> NDArray[np.float64]:
    table = _table()
    s = 2 * radius**2 / table.width_hpbw**2
    total = np.zeros_like(radius)
    for number, (p, m) in enumerate(expansion.modes):
        order = abs(m)
        norm = math.sqrt((2 if m else 1) * math.factorial(p) / math.factorial(p + order))
        around = math.cos(m * azimuth) if m >= 0 else math.sin(-m * azimuth)
        mode = norm * around * s ** (order / 2) * eval_genlaguerre(p, order, s)
        total += expansion.coefficients[window, number] * mode
    inside: NDArray[np.float64] = np.where(radius <= table.radius_hpbw, total * np.exp(-s / 2), 0.0)
    return inside


def residual_d_terms(rms: float, seed: int, spw: int, antennas: int) -> NDArray[np.complex128]:
    """Draw what calibration has left of the antennas' leakage on the axis, one number a window.

    Parameters
    ----------
    rms : float
        Root mean square of the modulus.
    seed, spw, antennas : int

    Returns
    -------
    ndarray
        Of the receivers R (what it takes of L) and L, in the antenna's frame; shape (2, antennas).
    """
    rng = np.random.default_rng([seed, 8, spw])
    draws = rng.normal(size=(2, 2, antennas))
    terms: NDArray[np.complex128] = rms / math.sqrt(2) * (draws[0] + 1j * draws[1])
    return terms


def apply_d_terms(
    visibilities: NDArray[np.complex64],
    d_terms: NDArray[np.complex128],
    parallactic_angles_rad: NDArray[np.float64],
    first: NDArray[np.int32],
    second: NDArray[np.int32],
) -> NDArray[np.complex64]:
    """Multiply J₁ V J₂ᴴ with J = (1, d_R; d_L, 1).

    The data have their parallactic angle χ taken out, as calibrated data have, so that d_R turns by +2χ and
    d_L by −2χ (Hamaker, Bregman & Sault 1996, A&AS 117, 137).

    Parameters
    ----------
    visibilities : ndarray, shape (4, channels, rows)
        RR, RL, LR, LL.
    d_terms : ndarray, shape (2, antennas)
    parallactic_angles_rad, first, second : ndarray, shape (rows,)
        Parallactic angle, and numbers of both antennas.
    """
    turn = np.exp(2j * parallactic_angles_rad)
    of_first, of_second = (
        np.stack([d_terms[0][antenna] * turn, d_terms[1][antenna] * turn.conj()])
        for antenna in (first, second)
    )
    rr, rl, lr, ll = visibilities.astype(np.complex128)
    # J₁ V
    upper_r, upper_l = rr + of_first[0] * lr, rl + of_first[0] * ll
    lower_r, lower_l = lr + of_first[1] * rr, ll + of_first[1] * rl
    conjugate = of_second.conj()
    result = np.stack(
        [
            upper_r + conjugate[0] * upper_l,
            upper_l + conjugate[1] * upper_r,
            lower_r + conjugate[0] * lower_l,
            lower_l + conjugate[1] * lower_r,
        ]
    )
    return result.astype(np.complex64)
