"""Quantities with units, as the parameter lists hold them and tclean takes them: the only grammar of them.

A quantity is a decimal number and a unit of CASA, with or without blanks between: ``'0.6arcsec'``,
``'3.0 GHz'``. The case of a unit matters where it makes another one, milli or mega: ``'MJy'`` is not
``'mJy'``, and ``'mHz'`` not ``'MHz'``.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence

from vlasscube.constants import ARCSEC_PER_DEG
from vlasscube.errors import QuantityError
from vlasscube.mosaic.weighting import UvTaper
from vlasscube.texts import shown

Units = Mapping[str, float]
"""Value of each unit in the one that the numbers are wanted in."""

FLUX_JY: Units = {"": 1.0, "Jy": 1.0, "mJy": 1e-3, "uJy": 1e-6}
FREQUENCY_HZ: Units = {"Hz": 1.0, "kHz": 1e3, "MHz": 1e6, "GHz": 1e9}
ANGLE_RAD: Units = {
    "mas": math.radians(1e-3 / ARCSEC_PER_DEG),
    "arcsec": math.radians(1 / ARCSEC_PER_DEG),
    "arcmin": math.radians(1 / 60),
    "deg": math.radians(1),
    "rad": 1.0,
}
ANGLE_ARCSEC: Units = {
    "mas": 1e-3,
    "arcsec": 1.0,
    "arcmin": 60.0,
    "deg": ARCSEC_PER_DEG,
    "rad": math.degrees(1) * ARCSEC_PER_DEG,
}
LENGTH_M: Units = {"": 1.0, "m": 1.0, "km": 1e3}
WAVELENGTHS: Units = {"lambda": 1.0, "klambda": 1e3, "Mlambda": 1e6}

NUMBER = r"(?:[0-9]{1,40}(?:\.[0-9]{0,40})?|\.[0-9]{1,40})(?:[eE][-+]?[0-9]{1,3})?"
"""An unsigned decimal number, as a regular expression without groups."""

_QUANTITY = re.compile(rf"([-+]?{NUMBER})\s*([a-zA-Z]*)")
_MIN_WAVELENGTHS = 1e-3
"""Less has no meaning, and least of all a width that is a number."""


def parse_quantity(text: str, units: Units, what: str, example: str) -> float:
    """Parse a number with a unit.

    Parameters
    ----------
    text : str
        E.g. ``'3.0GHz'``.
    units : mapping
        The units that are possible; the key ``''`` stands for none. Letters count whatever their case, except
        that ``m`` and ``M`` in front are told apart where both begin a unit of CASA.
    what, example : str
        For the message: what was expected (``'a frequency'``), and how to write it.

    Returns
    -------
    float
        In the unit whose value is 1 in the table; finite.

    Raises
    ------
    QuantityError
        If it is anything else.
    """
    match = _QUANTITY.fullmatch(text.strip())
    unit = None if match is None else _value_of_unit(match[2], units)
    if match is not None and unit is not None:
        value = float(match[1]) * unit
        if math.isfinite(value):
            return value
    raise _not(text, what, example)


def parse_flux_jy(text: str) -> float:
    """Parse a flux density such as ``'0.1mJy'`` or ``'0.1mJy/beam'``, in Jy; without unit it is in Jy.

    Raises
    ------
    QuantityError
        If it is not one.
    """
    try:
        return parse_quantity(text.strip().removesuffix("/beam"), FLUX_JY, "", "")
    except QuantityError:
        raise _not(text, "a flux density", "'0.5mJy'") from None


def parse_frequency_hz(text: str) -> float:
    """Parse a frequency above zero such as ``'3.0GHz'``, in Hz.

    Raises
    ------
    QuantityError
        If it is not one.
    """
    return _above_zero(text, FREQUENCY_HZ, "a frequency", "'3.0GHz'")


def parse_angle_arcsec(text: str) -> float:
    """Parse an angle above zero such as ``'0.6arcsec'``, in arcsec.

    Raises
    ------
    QuantityError
        If it is not one.
    """
    return _above_zero(text, ANGLE_ARCSEC, "an angle above zero", "'0.6arcsec'")


def parse_taper(uvtaper: Sequence[str]) -> UvTaper | None:
    """Parse a uv taper as tclean takes it: ``['5arcsec']`` or ``['5klambda', '3klambda', '30deg']``.

    Parameters
    ----------
    uvtaper : sequence of str
        Major and minor axis, each a full width at half maximum on the sky or a half width at half maximum in
        the uv plane, and position angle; the minor axis is the major one and the angle 0 if left out.

    Returns
    -------
    UvTaper or None
        None for an empty list.

    Raises
    ------
    QuantityError
        If it is not one.
    """
    parts = [part for part in uvtaper if part.strip()]
    if not parts:
        return None
    example = "['2.6arcsec'] or ['5klambda', '3klambda', '30deg']"
    if len(parts) > 3:
        raise QuantityError(f"{shown(list(uvtaper))} has more than three parts; expected e.g. {example}")
    widths = [_taper_width_rad(part) for part in parts[:2]]
    angle = 0.0
    if len(parts) == 3:
        angle = parse_quantity(parts[2], ANGLE_RAD, "the position angle of a uv taper", "'30deg'")
    return UvTaper(widths[0], widths[-1], angle)


def format_angle_arcsec(angle_arcsec: float) -> str:
    """Write an angle as tclean takes it: ``'0.6arcsec'``, with twelve digits at most."""
    return f"{angle_arcsec:.12g}arcsec"


def format_frequency_ghz(frequency_hz: float) -> str:
    """Write a frequency as production does: ``'3.052GHz'``, with twelve digits at most.

    More would bring binary noise (3.0519999999999996) into names and headers.
    """
    return f"{float(f'{frequency_hz / 1e9:.12g}')}GHz"


def _taper_width_rad(text: str) -> float:
    try:
        angle = parse_quantity(text, ANGLE_RAD, "", "")
        if angle >= 0:
            return angle
    except QuantityError:
        pass
    try:
        wavelengths = parse_quantity(text, WAVELENGTHS, "", "")
        if wavelengths >= _MIN_WAVELENGTHS:
            # Half width at half maximum in the uv plane.
            return 2 * math.log(2) / (math.pi * wavelengths)
    except QuantityError:
        pass
    raise _not(text, "the width of a uv taper, an angle or a number of wavelengths", "'2.6arcsec'")


def _above_zero(text: str, units: Units, what: str, example: str) -> float:
    value = parse_quantity(text, units, what, example)
    if not value > 0:
        raise _not(text, what, example)
    return value


def _value_of_unit(unit: str, units: Units) -> float | None:
    if unit in units:
        return units[unit]
    for known, value in units.items():
        if known.lower() == unit.lower() and {known[:1], unit[:1]} != {"m", "M"}:
            return value
    return None


def _not(text: str, what: str, example: str) -> QuantityError:
    return QuantityError(f"{shown(text)} is not {what}; expected e.g. {example}")
