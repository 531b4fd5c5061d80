"""Geometry on the sky, for all rooms: tangent planes, offsets, the horizon, and directions in writing.

Right ascension and declination are of the image's frame (J2000 or ICRS); the sine projection (SIN) of a
centre has l to the east and m to the north, as direction cosines. All of it is tested against astropy and
erfa.

Some formulas stand here twice, once for arrays and once for the small differences that products are made of:
the numbers of products do not change in their last digit.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vlasscube.constants import ARCSEC_PER_DEG, DAY_S, MJD_OF_J2000
from vlasscube.errors import QuantityError

if TYPE_CHECKING:
    from astropy.wcs import WCS

Array = NDArray[np.float64]

# ------------------------------------------------------------------------------------------------- angles


def rad_from_arcsec(arcsec: float) -> float:
    """Convert an angle in arcsec to rad."""
    return math.radians(arcsec / ARCSEC_PER_DEG)


def arcsec_from_rad(rad: float) -> float:
    """Convert an angle in rad to arcsec."""
    return math.degrees(rad) * ARCSEC_PER_DEG


def wrapped_deg(angle_deg: float) -> float:
    """Bring an angle, such as a difference of right ascensions, into [-180, 180)."""
    return (angle_deg + 180.0) % 360.0 - 180.0


def unit_vector(ra_rad: float, dec_rad: float) -> Array:
    """Return the unit vector towards a direction; shape (3,)."""
    return np.array(
        [math.cos(dec_rad) * math.cos(ra_rad), math.cos(dec_rad) * math.sin(ra_rad), math.sin(dec_rad)]
    )


# ------------------------------------------------------------------------------------------ tangent plane


def tangent_axes(ra_rad: Array, dec_rad: Array) -> tuple[Array, Array]:
    """Return the unit vectors to the east (u, l) and to the north (v, m) at directions; shape (n, 3) each."""
    zero = np.zeros_like(ra_rad)
    east = np.stack([-np.sin(ra_rad), np.cos(ra_rad), zero], axis=-1)
    north = np.stack(
        [-np.sin(dec_rad) * np.cos(ra_rad), -np.sin(dec_rad) * np.sin(ra_rad), np.cos(dec_rad)], axis=-1
    )
    return east, north


def direction_cosines(
    ra_rad: ArrayLike, dec_rad: ArrayLike, ra0_rad: float, dec0_rad: float
) -> tuple[Array, Array, Array]:
    """Project directions onto the tangent plane of a centre.

    Parameters
    ----------
    ra_rad, dec_rad : array_like
        Directions, of any shape.
    ra0_rad, dec0_rad : float
        The centre.

    Returns
    -------
    tuple of ndarray
        l (east), m (north) and n − 1 = −2 sin²(r/2), from the haversine, which keeps its precision near the
        centre.
    """
    ra, dec = np.asarray(ra_rad, dtype=float), np.asarray(dec_rad, dtype=float)
    turn = ra - ra0_rad
    east = np.cos(dec) * np.sin(turn)
    north = np.sin(dec) * np.cos(dec0_rad) - np.cos(dec) * np.sin(dec0_rad) * np.cos(turn)
    haversine = np.sin((dec - dec0_rad) / 2) ** 2 + np.cos(dec) * np.cos(dec0_rad) * np.sin(turn / 2) ** 2
    return east, north, -2.0 * haversine


def direction_at(l: float, m: float, ra0_rad: float, dec0_rad: float) -> tuple[float, float]:  # noqa: E741
    """Return the direction at direction cosines from a centre, the inverse of `direction_cosines`.

    Returns
    -------
    tuple of float
        Right ascension, within half a turn of the centre's, and declination, rad.
    """
    n = math.sqrt(max(0.0, 1.0 - l * l - m * m))
    sine = n * math.sin(dec0_rad) + m * math.cos(dec0_rad)
    turn = math.atan2(l, n * math.cos(dec0_rad) - m * math.sin(dec0_rad))
    return ra0_rad + turn, math.asin(max(-1.0, min(1.0, sine)))


def small_offset_rad(ra_deg: float, dec_deg: float, ra0_deg: float, dec0_deg: float) -> tuple[float, float]:
    """Direction cosines l and m of a direction beside a centre, with all digits of their small difference."""
    turn = math.radians(wrapped_deg(ra_deg - ra0_deg))
    dec, nominal = math.radians(dec_deg), math.radians(dec0_deg)
    east = math.cos(dec) * math.sin(turn)
    # sin δ cos δ₀ - cos δ sin δ₀ cos Δα, written so that small differences keep their digits.
    north = math.sin(dec - nominal) + 2.0 * math.cos(dec) * math.sin(nominal) * math.sin(turn / 2.0) ** 2
    return east, north


def meridian_turn_deg(ra_deg: float, ra0_deg: float, dec0_deg: float) -> float:
    """Angle by which north at a right ascension is turned against north at a centre beside it."""
    turn = math.radians(wrapped_deg(ra_deg - ra0_deg))
    return -math.degrees(turn * math.sin(math.radians(dec0_deg)))


def image_wcs(ra_deg: float, dec_deg: float, cell_arcsec: float, reference_pixel: tuple[float, float]) -> WCS:
    """Return the celestial coordinates of an image.

    Parameters
    ----------
    ra_deg, dec_deg : float
        Position of the reference pixel.
    cell_arcsec : float
        Size of the square pixels; x grows to the west, y to the north.
    reference_pixel : tuple of float
        (x, y), counted from 0.
    """
    from astropy.wcs import WCS

    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---SIN", "DEC--SIN"]
    wcs.wcs.crval = [ra_deg, dec_deg]
    wcs.wcs.crpix = [reference_pixel[0] + 1, reference_pixel[1] + 1]
    wcs.wcs.cdelt = [-cell_arcsec / ARCSEC_PER_DEG, cell_arcsec / ARCSEC_PER_DEG]
    return wcs


# ----------------------------------------------------------------------------------------- on the sphere


def separation_rad(ra_rad: float, dec_rad: float, ra0_rad: float, dec0_rad: float) -> float:
    """Angle between two directions."""
    haversine = -direction_cosines(ra_rad, dec_rad, ra0_rad, dec0_rad)[2] / 2
    return 2 * math.asin(math.sqrt(min(1.0, float(haversine))))


def offsets_arcsec(
    ra_deg: ArrayLike, dec_deg: ArrayLike, centre_ra_deg: float, centre_dec_deg: float
) -> tuple[Array, Array]:
    """Longitude and latitude in the frame whose origin is the centre and whose equator runs east.

    Parameters
    ----------
    ra_deg, dec_deg : array_like
        Positions.
    centre_ra_deg, centre_dec_deg : float
        The origin.

    Returns
    -------
    tuple of ndarray
        Offsets in arcsec, longitude in ±180° (as astropy's ``SkyOffsetFrame``).
    """
    dec, dec0 = np.radians(dec_deg), math.radians(centre_dec_deg)
    turn = np.radians(np.asarray(ra_deg) - centre_ra_deg)
    x = np.cos(dec) * np.cos(turn) * math.cos(dec0) + np.sin(dec) * math.sin(dec0)
    y = np.cos(dec) * np.sin(turn)
    z = np.sin(dec) * math.cos(dec0) - np.cos(dec) * np.cos(turn) * math.sin(dec0)
    # atan2 instead of asin: exact also near the poles of the frame.
    longitude, latitude = np.arctan2(y, x), np.arctan2(z, np.hypot(x, y))
    return np.degrees(longitude) * ARCSEC_PER_DEG, np.degrees(latitude) * ARCSEC_PER_DEG


def position_at(ra_deg: float, dec_deg: float, angle_deg: float, distance_deg: float) -> tuple[float, float]:
    """Return the position (deg) at a distance along a position angle; right ascension in [0, 360)."""
    dec, angle, distance = math.radians(dec_deg), math.radians(angle_deg), math.radians(distance_deg)
    # In the frame whose first axis points at the position, second to the east and third to the north.
    forward = math.cos(distance)
    east = math.sin(distance) * math.sin(angle)
    north = math.sin(distance) * math.cos(angle)
    outward = math.cos(dec) * forward - math.sin(dec) * north
    up = math.sin(dec) * forward + math.cos(dec) * north
    ra = (ra_deg + math.degrees(math.atan2(east, outward))) % 360.0
    return ra, math.degrees(math.atan2(up, math.hypot(outward, east)))


# ---------------------------------------------------------------------------------------------- horizon


def sidereal_time_deg(mjd_utc: float, longitude_deg: float, ut1_minus_utc_s: float = 0.0) -> float:
    """Local mean sidereal time (IAU 1982) in degrees, [0, 360).

    The formula of Aoki et al. 1982, A&A 105, 359; longitude east positive.
    """
    days = (mjd_utc - MJD_OF_J2000) + ut1_minus_utc_s / DAY_S
    centuries = days / 36525.0
    seconds = 67310.54841 + centuries * (8640184.812866 + centuries * (0.093104 - 6.2e-6 * centuries))
    # The 876600 h per century of the published polynomial are whole turns but for the fraction of the day.
    turn = (days % 1.0) * 360.0 + seconds / 240.0
    return (turn + longitude_deg) % 360.0


def zenith_distance_and_parallactic_angle(
    ra_deg: float,
    dec_deg: float,
    mjd_utc: float,
    *,
    longitude_deg: float,
    latitude_deg: float,
    ut1_minus_utc_s: float = 0.0,
) -> tuple[float, float]:
    """Zenith distance and parallactic angle, both in degrees.

    Mean sidereal time and the catalogue position are used as they are: precession, nutation and refraction
    are neglected, as in the archive.

    Returns
    -------
    zenith_distance_deg : float
        In [0, 180].
    parallactic_angle_deg : float
        Position angle of the zenith, in (-180, 180]: negative east of the meridian, and 180° on the meridian
        between pole and zenith.
    """
    sidereal = sidereal_time_deg(mjd_utc, longitude_deg, ut1_minus_utc_s)
    hour_angle = math.radians(wrapped_deg(sidereal - ra_deg))
    dec, latitude = math.radians(dec_deg), math.radians(latitude_deg)
    east = math.sin(hour_angle) * math.cos(latitude)
    north = math.cos(dec) * math.sin(latitude) - math.sin(dec) * math.cos(latitude) * math.cos(hour_angle)
    up = math.sin(latitude) * math.sin(dec) + math.cos(latitude) * math.cos(dec) * math.cos(hour_angle)
    # (north, east) is sin(ZD) times the unit vector to the zenith: no loss of digits near it, unlike acos.
    return math.degrees(math.atan2(math.hypot(north, east), up)), math.degrees(math.atan2(east, north))


# --------------------------------------------------------------------------------------------- in writing

FRAMES = ("J2000", "ICRS")
"""The frames that images have, by CASA's names."""

_NUMBER = r"[0-9]{1,12}(?:\.[0-9]{0,20})?|\.[0-9]{1,20}"
_SECONDS = r"(?P<s>[0-9]{1,2}(?:\.[0-9]{0,12})?)"
_SEXAGESIMAL = {
    kind: re.compile(rf"(?P<sign>[+-]?)(?P<units>[0-9]{{1,3}}){pattern}", re.IGNORECASE)
    for kind, pattern in {
        ":": rf":(?P<m>[0-9]{{1,2}})(?::{_SECONDS})?",
        "h": rf"h(?:(?P<m>[0-9]{{1,2}})m(?:{_SECONDS}s?)?)?",
        ".": rf"\.(?P<m>[0-9]{{1,2}})\.{_SECONDS}",
        "d": rf"d(?:(?P<m>[0-9]{{1,2}})m(?:{_SECONDS}s?)?)?",
    }.items()
}
"""Notations by the mark after hours (``:``, ``h``) or degrees (``.``, ``d``), as CASA reads them."""
_DEG_PER_HOUR = 15
_WITH_UNIT = re.compile(
    rf"(?P<number>[+-]?(?:{_NUMBER})(?:e[+-]?[0-9]{{1,3}})?)(?P<unit>[a-z]*)", re.IGNORECASE
)
_ANGLE_UNITS_DEG = {
    "deg": 1.0,
    "rad": math.degrees(1.0),
    "arcmin": 1 / 60,
    "arcsec": 1 / ARCSEC_PER_DEG,
    "mas": 1e-3 / ARCSEC_PER_DEG,
}
_MINUS_SIGNS = str.maketrans(dict.fromkeys("\u2212\u2013\u2010\u2011", "-"))
"""What word processors and web pages make of a hyphen."""
_CASA_NATIVE = re.compile(
    r"[A-Za-z0-9]+\s+[0-9]{1,3}(?::[0-9]{1,2}:[0-9.]+|h[0-9]{1,2}m[0-9.]+s?)"
    r"\s+[+-]?[0-9]{1,3}(?:\.[0-9]{1,2}\.[0-9.]+|d[0-9]{1,2}m[0-9.]+s?)"
)
_DIRECTION_HINT = "Expected e.g. 'J2000 00:50:0.366 -02.30.0.0000' or 'J2000 12.5deg -2.5deg'."


def parse_phasecenter(text: str) -> tuple[float, float, str]:
    """Parse a phase centre in one of the notations of CASA.

    Parameters
    ----------
    text : str
        Frame, right ascension, declination: ``'J2000 00:50:0.366 -02.30.0.0000'`` (dots in the declination),
        with letters (``'J2000 00h50m0.366 -02d30m0.0'``), or with units (``'ICRS 12.5deg -0.04rad'``). A
        frame that is not given is J2000.

    Returns
    -------
    tuple
        Right ascension in [0, 360) and declination, both in degrees, and the frame (``'J2000'`` or
        ``'ICRS'``).

    Raises
    ------
    QuantityError
        Saying which part is wrong; among others where CASA would read something else than was meant.
    """
    shown = repr(text[:80])
    words = _direction_words(text)
    if len(words) == 4 and words[1].upper() in FRAMES:
        # As a table of coordinates is written out, with the number of the row.
        raise QuantityError(f"phase centre {shown}: take {words[0]!r} before the frame out.")
    if any(word.endswith(",") for word in words):
        raise QuantityError(f"phase centre {shown}: take the commas out.")
    if len(words) != 3:
        raise QuantityError(
            f"phase centre {shown} is not 'frame right-ascension declination'.", hint=_DIRECTION_HINT
        )
    # Python's capitals of some letters beyond ASCII are in it.
    frame = words[0].upper() if words[0].isascii() else ""
    if frame not in FRAMES:
        raise QuantityError(
            f"phase centre {shown}: frame {words[0]!r} is not supported.", hint=f"Use {' or '.join(FRAMES)}."
        )
    try:
        ra_deg = _right_ascension_deg(words[1])
        dec_deg = _declination_deg(words[2])
    except ValueError as error:
        raise QuantityError(f"phase centre {shown}: {error}.", hint=_DIRECTION_HINT) from None
    return ra_deg, dec_deg, frame


def gives_frame(text: str) -> bool:
    """Whether a phase centre that can be parsed says its frame."""
    return text.split(maxsplit=1)[0].upper() in FRAMES


def direction_for_casa(text: str) -> str:
    """Write a phase centre so that CASA reads it as `parse_phasecenter` does.

    Returns
    -------
    str
        The text itself if it has a frame and both coordinates to the seconds; otherwise as
        `format_phasecenter` writes it, with more decimals where they are needed.

    Raises
    ------
    QuantityError
        As `parse_phasecenter`.
    """
    ra_deg, dec_deg, frame = parse_phasecenter(text)
    if _CASA_NATIVE.fullmatch(text.strip()):
        return text
    written = format_phasecenter(ra_deg, dec_deg, frame)
    ra, dec, _ = parse_phasecenter(written)
    if max(abs(wrapped_deg(ra - ra_deg)), abs(dec - dec_deg)) > _EXACT_DEG:
        written = format_phasecenter(ra_deg, dec_deg, frame, ra_decimals=9, dec_decimals=8)
    return written


_EXACT_DEG = 1e-11


def _direction_words(text: str) -> list[str]:
    """Frame and coordinates; a unit apart from its number is joined to it."""
    words: list[str] = []
    if len(text) > 200 or not text.isprintable():
        return words
    for word in text.translate(_MINUS_SIGNS).split():
        if words and word.lower() in _ANGLE_UNITS_DEG:
            words[-1] += word
        else:
            words.append(word)
    # A frame begins with a letter, a coordinate does not.
    return [FRAMES[0], *words] if len(words) == 2 and not words[0][0].isalpha() else words


def _right_ascension_deg(word: str) -> float:
    if _SEXAGESIMAL["."].fullmatch(word):
        raise ValueError(
            f"right ascension {word!r} has dots, which CASA reads as degrees; write HH:MM:SS.sss for hours"
        )
    for mark, factor, limit in ((":", _DEG_PER_HOUR, 24), ("h", _DEG_PER_HOUR, 24), ("d", 1, 360)):
        if match := _SEXAGESIMAL[mark].fullmatch(word):
            if match["sign"]:
                raise ValueError(f"right ascension {word!r} has a sign")
            return factor * _sexagesimal_value(match, f"right ascension {word!r}", limit, is_open=True)
    value = _value_with_unit(word, "right ascension", "HH:MM:SS.sss, 12h30m0.0s or 187.5deg")
    if abs(value) > 360:
        raise ValueError(f"right ascension {word!r} is out of range")
    # The remainder of a small negative number is 360 itself.
    return value % 360 % 360


def _declination_deg(word: str) -> float:
    for mark in (":", "h"):
        if _SEXAGESIMAL[mark].fullmatch(word):
            # To CASA an angle with colons is a time, also in declination: fifteen times what was meant.
            reason = f"CASA reads {'colons' if mark == ':' else 'h'} as hours; write dots"
            raise ValueError(f"declination {word!r} is not +DD.MM.SS.sss ({reason})")
    for mark in (".", "d"):
        if match := _SEXAGESIMAL[mark].fullmatch(word):
            value = _sexagesimal_value(match, f"declination {word!r}", 90)
            return -value if match["sign"] == "-" else value
    value = _value_with_unit(word, "declination", "+DD.MM.SS.sss, +02d30m0.0s or -2.5deg")
    if abs(value) > 90:
        raise ValueError(f"declination {word!r} is out of range")
    return value


def _sexagesimal_value(match: re.Match[str], what: str, limit: int, *, is_open: bool = False) -> float:
    units, minutes, seconds = int(match["units"]), int(match["m"] or 0), float(match["s"] or 0)
    value = units + minutes / 60 + seconds / 3600
    if minutes >= 60 or seconds >= 60 or value > limit or (is_open and units >= limit):
        raise ValueError(f"{what} is out of range")
    return value


def _value_with_unit(word: str, what: str, forms: str) -> float:
    match = _WITH_UNIT.fullmatch(word)
    if match is None:
        raise ValueError(f"{what} {word!r} is not {forms}")
    unit = match["unit"].lower()
    if not unit:
        raise ValueError(f"{what} {word!r} has no unit; write e.g. {word}deg")
    if unit not in _ANGLE_UNITS_DEG:
        raise ValueError(f"{what} {word!r} is not {forms}: the unit {match['unit']!r} is no angle")
    return float(match["number"]) * _ANGLE_UNITS_DEG[unit]


def format_phasecenter(
    ra_deg: float, dec_deg: float, frame: str = "J2000", *, ra_decimals: int = 3, dec_decimals: int = 4
) -> str:
    """Write a phase centre as `parse_phasecenter` reads it, by default to 1 ms of time and 0.1 mas."""
    hours, minutes, seconds = right_ascension_parts(ra_deg, ra_decimals)
    degrees, arcmin, arcsec = sexagesimal_parts(abs(dec_deg), dec_decimals)
    sign = "-" if dec_deg < 0 else "+"
    ra = f"{hours:02d}:{minutes:02d}:{seconds:0{ra_decimals + 3}.{ra_decimals}f}"
    return f"{frame} {ra} {sign}{degrees:02d}.{arcmin:02d}.{arcsec:0{dec_decimals + 3}.{dec_decimals}f}"


def right_ascension_parts(ra_deg: float, decimals: int) -> tuple[int, int, float]:
    """Hours, minutes and seconds of a right ascension, rounded to decimals of a second, below 24 h."""
    hours, minutes, seconds = sexagesimal_parts(ra_deg % 360 / 15, decimals)
    return hours % 24, minutes, seconds


def sexagesimal_parts(value: float, decimals: int) -> tuple[int, int, float]:
    """Whole units, minutes and seconds of a number from 0, rounded to decimals of a second."""
    scale: int = 10**decimals
    minutes, steps = divmod(round(value * 3600 * scale), 60 * scale)
    return minutes // 60, minutes % 60, steps / scale
