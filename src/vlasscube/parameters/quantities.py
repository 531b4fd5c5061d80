"""Quantities with units, as tclean takes them and the parameter lists hold them."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

from vlasscube.errors import ImagingError
from vlasscube.mosaic.weighting import UvTaper
from vlasscube.texts import shown

_FLUX_JY = {"": 1.0, "jy": 1.0, "mjy": 1e-3, "ujy": 1e-6}
_FREQUENCY_HZ = {"hz": 1.0, "khz": 1e3, "mhz": 1e6, "ghz": 1e9}
_ANGLE_RAD = {
    "mas": math.radians(1e-3 / 3600),
    "arcsec": math.radians(1 / 3600),
    "arcmin": math.radians(1 / 60),
    "deg": math.radians(1),
    "rad": 1.0,
}
_WAVELENGTHS = {"lambda": 1.0, "klambda": 1e3, "mlambda": 1e6}
_MIN_WAVELENGTHS = 1e-3
"""Less has no meaning, and least of all a width that is a number."""
_QUANTITY = re.compile(r"([-+]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?)\s*([a-zA-Z]*)")


def _value(text: str, units: Mapping[str, float]) -> float | None:
    """Value in the unit that is 1 in the table; None if the text is no finite number with one of them."""
    match = _QUANTITY.fullmatch(text.strip())
    if match is None or match[2].lower() not in units:
        return None
    value = float(match[1]) * units[match[2].lower()]
    return value if math.isfinite(value) else None


def parse_flux(text: str) -> float:
    """Parse a flux density such as ``'0.1mJy'``, in Jy; without unit it is in Jy.

    Raises
    ------
    ImagingError
        If it is not one.
    """
    flux = _value(text.removesuffix("/beam"), _FLUX_JY)
    if flux is None:
        raise ImagingError(f"threshold {shown(text)} is not a flux density", hint="Write it like '0.5mJy'.")
    return flux


def parse_frequency(text: str) -> float:
    """Parse a frequency such as ``'3.0GHz'``, in Hz.

    Raises
    ------
    ImagingError
        If it is not one.
    """
    frequency = _value(text, _FREQUENCY_HZ)
    if frequency is None or frequency <= 0:
        raise ImagingError(f"{shown(text)} is not a frequency", hint="Write it like '3.0GHz'.")
    return frequency


def parse_taper(uvtaper: tuple[str, ...]) -> UvTaper | None:
    """Parse a uv taper as tclean takes it: ``('5arcsec',)`` or ``('5klambda', '3klambda', '30deg')``.

    Raises
    ------
    ImagingError
        If it is not one.
    """
    parts = [part for part in uvtaper if part.strip()]
    if not parts:
        return None
    hint = "Write it like ['2.6arcsec'] or ['5klambda', '3klambda', '30deg']."
    if len(parts) > 3:
        raise ImagingError(f"uvtaper {shown(list(uvtaper))} has more than three parts", hint=hint)
    widths = []
    for part in parts[:2]:
        angle, wavelengths = _value(part, _ANGLE_RAD), _value(part, _WAVELENGTHS)
        if angle is not None and angle >= 0:
            widths.append(angle)
        elif wavelengths is not None and wavelengths >= _MIN_WAVELENGTHS:
            # Half width at half maximum in the uv plane.
            widths.append(2 * math.log(2) / (math.pi * wavelengths))
        else:
            raise ImagingError(
                f"{shown(part)} in uvtaper is neither an angle nor a number of wavelengths", hint=hint
            )
    position_angle = _value(parts[2], _ANGLE_RAD) if len(parts) == 3 else 0.0
    if position_angle is None:
        raise ImagingError(f"{shown(parts[2])} in uvtaper is not an angle", hint=hint)
    return UvTaper(widths[0], widths[-1], position_angle)
