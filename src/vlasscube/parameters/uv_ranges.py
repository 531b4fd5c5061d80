"""Ranges of baseline lengths (``uvrange``): the part of CASA's syntax that is understood."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from vlasscube.errors import MeasurementSetError

_NUMBER = r"([0-9]+(?:\.[0-9]*)?(?:[eE][+-]?[0-9]{1,3})?|\.[0-9]+(?:[eE][+-]?[0-9]{1,3})?)"
_UV_RANGE = re.compile(rf"(?:([<>])\s*|{_NUMBER}\s*~\s*){_NUMBER}\s*([a-zA-Z]*)")
_UV_UNITS = {"": 1.0, "m": 1.0, "km": 1e3, "lambda": 1.0, "klambda": 1e3, "mlambda": 1e6}
_UV_ABOVE = 1e-10
"""What CASA adds to a lower limit given with >, in its unit."""


@dataclass(frozen=True)
class UvRange:
    """A range of projected baseline lengths, both ends included."""

    low: float
    high: float
    """In metres or wavelengths."""
    in_wavelengths: bool


def parse_uvrange(text: str) -> tuple[UvRange, ...]:
    """Ranges of which one has to hold; none for an empty text.

    Raises
    ------
    MeasurementSetError
        If it is not a list of ``<b``, ``>a`` or ``a~b`` in m (the default), km, lambda, klambda or Mlambda.
    """
    ranges = []
    for part in text.split(",") if text.strip() else []:
        match = _UV_RANGE.fullmatch(part.strip())
        unit = match[4].lower() if match else ""
        if match is None or unit not in _UV_UNITS:
            raise MeasurementSetError(
                f"The selection uvrange={text[:80]!r} is not understood.",
                hint="Write a list of '<12km', '>1km' or '1~12km', in m, km, lambda, klambda or Mlambda.",
            )
        scale, value = _UV_UNITS[unit], float(match[3])
        if match[1] == "<":
            low, high = 0.0, value
        elif match[1] == ">":
            low, high = value + _UV_ABOVE, float(np.finfo(np.float32).max)
        else:
            low, high = float(match[2]), value
        ranges.append(UvRange(low * scale, high * scale, in_wavelengths=unit.endswith("lambda")))
    return tuple(ranges)
