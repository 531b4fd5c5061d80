"""Ranges of baseline lengths (``uvrange``): the part of CASA's syntax that is understood."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from vlasscube.errors import QuantityError
from vlasscube.parameters.quantities import LENGTH_M, NUMBER, WAVELENGTHS

_UV_RANGE = re.compile(rf"(?:([<>])\s*|({NUMBER})\s*~\s*)({NUMBER})\s*([a-zA-Z]*)")
# Here CASA does not look at the case: m is a metre, and mlambda a million wavelengths.
_UV_UNITS = {unit.lower(): value for unit, value in {**LENGTH_M, **WAVELENGTHS}.items()}
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
    QuantityError
        If it is not a list of ``<b``, ``>a`` or ``a~b`` in m (the default), km, lambda, klambda or Mlambda.
    """
    ranges = []
    for part in text.split(",") if text.strip() else []:
        match = _UV_RANGE.fullmatch(part.strip())
        unit = match[4].lower() if match else ""
        if match is None or unit not in _UV_UNITS:
            raise QuantityError(
                f"The selection uvrange={text[:80]!r} is not understood; expected a list of "
                "'<12km', '>1km' or '1~12km', in m, km, lambda, klambda or Mlambda"
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
