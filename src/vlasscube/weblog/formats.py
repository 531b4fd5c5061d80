"""How numbers, times and sizes are written on the pages. None and what is not finite becomes a dash."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from vlasscube import texts
from vlasscube.constants import MJD_EPOCH
from vlasscube.sky import right_ascension_parts, sexagesimal_parts

DASH = "–"
MAX_TEXT = 4000
"""Longest text shown of a record; error messages can hold whole logs."""


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def fixed(value: float | None, places: int = 2, scale: float = 1.0) -> str:
    """Number with a fixed number of decimal places, after multiplication by ``scale``."""
    return f"{value * scale:.{places}f}" if value is not None and _is_number(value) else DASH


def significant(value: float | None, digits: int = 3, scale: float = 1.0) -> str:
    """Number with that many significant digits."""
    return f"{value * scale:.{digits}g}" if value is not None and _is_number(value) else DASH


def count(value: int | None) -> str:
    """Whole number, thousands apart by thin spaces."""
    return f"{value:,}".replace(",", "\u202f") if value is not None and _is_number(value) else DASH


def ghz(hertz: float | None, places: int = 3) -> str:
    """Frequency in GHz, without the unit."""
    return fixed(hertz, places, 1e-9)


def mhz(hertz: float | None, places: int = 1) -> str:
    """Frequency in MHz, without the unit."""
    return fixed(hertz, places, 1e-6)


def mjy(jansky: float | None, places: int = 3) -> str:
    """Flux density in mJy, without the unit."""
    return fixed(jansky, places, 1e3)


def with_error(
    value: float | None, error: float | None, places: int = 3, scale: float = 1.0, unit: str = ""
) -> str:
    """Number and its standard deviation, to the same decimal place; the number alone if there is no error."""
    number = fixed(value, places, scale)
    if number == DASH or error is None or not _is_number(error):
        return number if number == DASH else number + unit
    return f"{number}{unit} ± {fixed(error, places, scale)}{unit}"


def percent(fraction: float | None, places: int = 1) -> str:
    """Fraction as a percentage, with its sign."""
    return f"{fraction * 100:.{places}f} %" if fraction is not None and _is_number(fraction) else DASH


def file_size(size: int | None) -> str:
    """Size in a decimal unit."""
    return texts.data_size(size) if size is not None and _is_number(size) else DASH


def duration(seconds: float | None) -> str:
    """Duration in the two largest units that matter."""
    return texts.duration(seconds) if seconds is not None and _is_number(seconds) and seconds >= 0 else DASH


def utc(mjd_s: float | None) -> str:
    """Time from seconds of modified Julian date."""
    if mjd_s is None or not _is_number(mjd_s) or not 0 < mjd_s < 2e10:
        return DASH
    return (MJD_EPOCH + timedelta(seconds=mjd_s)).strftime("%Y-%m-%d %H:%M:%S UTC")


def timestamp(text: str) -> str:
    """Time of a record (``2026-01-31T12:00:00Z``) as it reads better."""
    return f"{text[:10]} {text[11:19]} UTC" if len(text) == 20 and text.endswith("Z") else text or DASH


def sky_position(ra_deg: float | None, dec_deg: float | None) -> str:
    """Right ascension and declination in sexagesimal notation."""
    if ra_deg is None or dec_deg is None or not (_is_number(ra_deg) and _is_number(dec_deg)):
        return DASH
    hours, minutes, seconds = right_ascension_parts(ra_deg, 2)
    degrees, arcmin, arcsec = sexagesimal_parts(abs(dec_deg), 1)
    ra = f"{hours:02d}:{minutes:02d}:{seconds:05.2f}"
    dec = f"{degrees:02d}°{arcmin:02d}′{arcsec:04.1f}″"
    return f"{ra} {'-' if dec_deg < 0 else '+'}{dec}"


def limited(text: Any, limit: int = MAX_TEXT) -> str:
    """Text without control characters other than line ends, cut to a readable length."""
    shown = "".join(
        c if c == "\n" or c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in str(text)[:limit]
    )
    left = len(str(text)) - limit
    return shown if left <= 0 else f"{shown} … ({left} more characters in the record)"


FILTERS: dict[str, Callable[..., str]] = {
    "fixed": fixed,
    "significant": significant,
    "count": count,
    "ghz": ghz,
    "mhz": mhz,
    "mjy": mjy,
    "with_error": with_error,
    "percent": percent,
    "file_size": file_size,
    "duration": duration,
    "utc": utc,
    "timestamp": timestamp,
    "limited": limited,
}
