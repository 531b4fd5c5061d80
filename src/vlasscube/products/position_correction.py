"""Correction of the position error that imaging without w-terms leaves, VLASS memo 14, equation 9.

Sources appear displaced towards the zenith by ``0.25″ tan(ZD) (3 GHz / ν)²``. The correction moves the
reference position of the image by that much along the great circle through the zenith, evaluated at the
middle of the observation.
"""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from typing import Literal

from astropy.io import fits

from vlasscube.constants import ARCSEC_PER_DEG
from vlasscube.errors import ProductError
from vlasscube.products.headers import header_number, header_value
from vlasscube.records import NoncoplanarEffect
from vlasscube.sky import position_at, wrapped_deg, zenith_distance_and_parallactic_angle

_LOG = logging.getLogger(__name__)

Latitude = Literal["geocentric", "geodetic"]

LONGITUDE_DEG = math.degrees(-1.8782884344)
"""Longitude of the VLA, east positive, as CASA's observatory table gives it for EVLA."""

LATITUDE_DEG: dict[Latitude, float] = {
    "geocentric": math.degrees(0.5916753431),
    "geodetic": 34.0788,
}
"""Latitudes of the VLA: the archive was made with the geocentric, the zenith is given by the geodetic one."""

AMPLITUDE_ARCSEC = 0.25
REFERENCE_FREQUENCY_HZ = 3.0e9

FLAG_KEYWORD = "POSCORR"
"""Logical keyword of a header whose reference position has been corrected."""

_DONE_MARK = "Position correction "


@dataclass(frozen=True)
class PositionCorrection:
    """Where the reference position of one plane belongs."""

    zd_deg: float
    """Zenith distance at ``telmjd``."""
    parallactic_angle_deg: float
    """Position angle of the zenith seen from the source, (-180, 180]."""
    delta_arcsec: float
    """Size of the displacement."""
    nominal_ra_deg: float
    nominal_dec_deg: float
    corrected_ra_deg: float
    corrected_dec_deg: float
    telmjd: float
    """MJD (UTC) the angles are for."""
    w_corrected: bool = False
    """Whether the image was made with w-correction: then the displacement is 0, and the header says why."""


def position_correction(
    ra_deg: float,
    dec_deg: float,
    frequency_hz: float,
    mjd_utc: float,
    *,
    latitude: Latitude = "geocentric",
    ut1_minus_utc_s: float = 0.0,
    w_corrected: bool = False,
) -> PositionCorrection:
    """Find the corrected reference position of a plane.

    Parameters
    ----------
    ra_deg, dec_deg : float
        Reference position as imaged.
    frequency_hz : float
        Reference frequency of the plane (CRVAL3).
    mjd_utc : float
        Middle between the start of the first and the end of the last scan.
    latitude : {'geocentric', 'geodetic'}
        ``'geocentric'`` reproduces the archive; ``'geodetic'`` is the true zenith (they differ by 2.7 mas at
        2 GHz and a zenith distance of 37°).
    ut1_minus_utc_s : float
        Below 0.9 s; changes the correction by less than 2e-4 of itself.
    w_corrected : bool
        The image was made with w-correction: sources are where they are, and nothing is to be corrected.

    Raises
    ------
    ProductError
        If the position was not above the horizon or the frequency is not positive: time, position or
        frequency are wrong then.
    """
    if not frequency_hz > 0:
        raise ProductError(f"position correction: the frequency of the plane is {frequency_hz} Hz")
    zenith_distance, angle = zenith_distance_and_parallactic_angle(
        ra_deg,
        dec_deg,
        mjd_utc,
        longitude_deg=LONGITUDE_DEG,
        latitude_deg=LATITUDE_DEG[latitude],
        ut1_minus_utc_s=ut1_minus_utc_s,
    )
    if not zenith_distance < 90.0:
        raise ProductError(
            f"position correction: RA {ra_deg:.5f} Dec {dec_deg:.5f} deg is below the horizon of the VLA at "
            f"MJD {mjd_utc:.6f} (zenith distance {zenith_distance:.2f} deg)",
            hint="The times of the measurement set do not belong to this field.",
        )
    scale = (REFERENCE_FREQUENCY_HZ / frequency_hz) ** 2
    delta = 0.0 if w_corrected else AMPLITUDE_ARCSEC * math.tan(math.radians(zenith_distance)) * scale
    corrected = position_at(ra_deg, dec_deg, angle + 180.0, delta / ARCSEC_PER_DEG)
    return PositionCorrection(
        zd_deg=zenith_distance,
        parallactic_angle_deg=angle,
        delta_arcsec=delta,
        nominal_ra_deg=ra_deg,
        nominal_dec_deg=dec_deg,
        corrected_ra_deg=corrected[0],
        corrected_dec_deg=corrected[1],
        telmjd=mjd_utc,
        w_corrected=w_corrected,
    )


def shift_beside_correction(
    effect: NoncoplanarEffect | None, correction: PositionCorrection
) -> tuple[float | None, float | None]:
    """Compare the mean shift expected of leaving w out with the one that is corrected for.

    Parameters
    ----------
    effect : NoncoplanarEffect or None
        Expected from the data of the plane; None if not recorded.
    correction : PositionCorrection
        For the same plane.

    Returns
    -------
    towards_zenith_arcsec : float or None
        Component of the expected shift along the great circle through the zenith; equation 9's is
        ``correction.delta_arcsec``.
    difference_arcsec : float or None
        Length of the difference of both shifts, as vectors.
    """
    if effect is None:
        return None, None
    angle = math.radians(correction.parallactic_angle_deg)
    east, north = effect.shift_east_arcsec, effect.shift_north_arcsec
    corrected = correction.delta_arcsec * math.sin(angle), correction.delta_arcsec * math.cos(angle)
    along = east * math.sin(angle) + north * math.cos(angle)
    return along, math.hypot(east - corrected[0], north - corrected[1])


def history_cards(correction: PositionCorrection) -> tuple[str, ...]:
    """HISTORY texts of a correction; the first, second and last are read by users' scripts, byte for byte."""
    angle = math.radians(correction.parallactic_angle_deg)
    delta = correction.delta_arcsec
    # Not -delta: a correction of nothing would read -0.
    east, north = (0.0 - delta * part for part in (math.sin(angle), math.cos(angle)))
    return (
        f"Uncorrected CRVAL1 = {correction.nominal_ra_deg:.12E} deg",
        f"Uncorrected CRVAL2 = {correction.nominal_dec_deg:.12E} deg",
        "ZD is the zenith distance of the reference position at TELMJD.",
        "TELMJD is the middle of the observation, for which ZD was computed.",
        f"{_DONE_MARK}({east:.3E}/cos(CRVAL2), {north:.3E}) arcsec applied",
    )


def is_corrected(header: fits.Header) -> bool:
    """Whether a header says that its position has been corrected, here or by the official pipeline."""
    if header_value(header, FLAG_KEYWORD) is True:
        return True
    return "HISTORY" in header and any(_DONE_MARK in str(line) for line in header["HISTORY"])


def apply_position_correction(header: fits.Header, correction: PositionCorrection) -> bool:
    """Put a correction into a header, once.

    Sets CRVAL1/2 and CUNIT1/2, ZD, TELMJD, the flag keyword, and appends the HISTORY cards.

    Returns
    -------
    bool
        Whether the reference position is now a corrected one. False, with a warning in the log and the header
        left alone, if it has been corrected before; false also for an image made with w-correction.

    Raises
    ------
    ProductError
        If the header has no reference position, or another than the correction was made for.
    """
    if is_corrected(header):
        name = header_value(header, "OBJECT") or "the image"
        _LOG.warning("the position of %s has been corrected before; left alone", name)
        return False
    nominal = header_number(header, "CRVAL1") % 360.0, header_number(header, "CRVAL2")
    expected = correction.nominal_ra_deg % 360.0, correction.nominal_dec_deg
    turn = abs(wrapped_deg(nominal[0] - expected[0]))
    # A header rounds to 12 digits or more; 1e-8 degree is 36 microarcseconds.
    if turn > 1e-8 or abs(nominal[1] - expected[1]) > 1e-8:
        raise ProductError(
            f"position correction: the header's reference position {nominal} deg is not {expected} deg, "
            "which the correction was made for"
        )
    if correction.w_corrected:
        header.add_history("Imaged with w-correction: reference position is the nominal one.")
        _tell(header, correction, False, "imaged with w-correction: none needed")
        return False
    header["CRVAL1"] = correction.corrected_ra_deg
    header["CRVAL2"] = correction.corrected_dec_deg
    header["CUNIT1"] = "deg"
    header["CUNIT2"] = "deg"
    _tell(header, correction, True, "reference position corrected for w-term shift")
    return True


def tell_of_regridding(header: fits.Header, correction: PositionCorrection) -> None:
    """Say in a header of nominal reference position that its pixels have been moved there.

    The reference position was corrected, and the image then regridded so that the nominal one is right: it
    needs no correction any more. Scripts that would make one look for the same lines of HISTORY as in the
    other products.
    """
    header.add_history("Regridded from the corrected position: CRVAL is the nominal one.")
    _tell(header, correction, True, "w-term shift corrected by regridding")


def _tell(header: fits.Header, correction: PositionCorrection, corrected: bool, comment: str) -> None:
    header["ZD"] = (correction.zd_deg, "[deg] zenith distance at TELMJD")
    header["TELMJD"] = (correction.telmjd, "[d] MJD (UTC) of mid-observation")
    header[FLAG_KEYWORD] = (corrected, comment)
    for text in history_cards(correction):
        header.add_history(text)
