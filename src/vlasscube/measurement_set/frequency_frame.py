"""Frequencies in the local standard of rest, as CASA has it."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from vlasscube.constants import DAY_S, JD_OF_MJD_ZERO, SPEED_OF_LIGHT_M_S
from vlasscube.sky import unit_vector

_EARTH_ROTATION_RAD_S = 7.292115e-5
_EARTH_RADIUS_M = (6.3e6, 6.45e6)
_AU_M = 149_597_870_700.0
_SOLAR_MOTION_M_S = np.array([289.99706839, -17317.26478972, 10001.41199546])
"""20 km/s towards 18h +30° of B1900, in J2000: the kinematic local standard of rest."""


def lsrk_factor(
    ra_rad: float, dec_rad: float, time_mjd_s: float, position_m: Sequence[float] | npt.NDArray[np.float64]
) -> float:
    """Return the ratio of a frequency in the kinematic local standard of rest to the topocentric one.

    Parameters
    ----------
    ra_rad, dec_rad : float
        Direction of observation, J2000 or ICRS.
    time_mjd_s : float
        UTC, modified Julian date in seconds.
    position_m : array of float, shape (3,)
        Geocentric position of the telescope, ITRF.

    Returns
    -------
    float
        Like CASA, the product of the relativistic Doppler factors of three motions along the direction: of
        the telescope about the geocentre, of the Earth about the barycentre, and of the latter among the
        stars.
    """
    direction = unit_vector(ra_rad, dec_rad)
    telescope, earth = _velocities_m_s(time_mjd_s, np.asarray(position_m, dtype=np.float64))
    factor = 1.0
    for velocity in (telescope, earth, _SOLAR_MOTION_M_S):
        beta = float(velocity @ direction) / SPEED_OF_LIGHT_M_S
        factor *= math.sqrt((1 - beta) / (1 + beta))
    return factor


def on_earth(positions_m: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    """Which positions, shape (n, 3), geocentric, are on the Earth's surface.

    Places of the array without an antenna have rows in ANTENNA, at the centre of the Earth.
    """
    radius = np.linalg.norm(positions_m, axis=1)
    low, high = _EARTH_RADIUS_M
    found: npt.NDArray[np.bool_] = (radius > low) & (radius < high)
    return found


def _velocities_m_s(
    time_mjd_s: float, position_m: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    import erfa

    day = time_mjd_s / DAY_S
    with warnings.catch_warnings():
        # A leap second announced after the release of ERFA is worth 6 mm/s.
        warnings.simplefilter("ignore", erfa.ErfaWarning)
        tt = erfa.taitt(*erfa.utctai(JD_OF_MJD_ZERO, day))
    # UT1 is within a second of UTC: at most 3 cm/s of the telescope's 400 m/s.
    to_itrf = erfa.c2tcio(erfa.c2i06a(*tt), erfa.era00(JD_OF_MJD_ZERO, day), np.identity(3))
    spin = np.array([0.0, 0.0, _EARTH_ROTATION_RAD_S])
    telescope = to_itrf.T @ np.cross(spin, position_m)
    _, barycentric = erfa.epv00(*tt)
    return telescope, np.asarray(barycentric["v"], dtype=np.float64) * (_AU_M / DAY_S)
