"""Numbers of Stokes parameters and correlations in measurement sets and FITS files."""

from __future__ import annotations

CIRCULAR_CORRELATIONS = ("RR", "RL", "LR", "LL")
"""The correlations of a set that can be imaged, in this order, which is that of all arrays, too."""

_NAMES = {
    1: ("I", "Q", "U", "V"),
    5: CIRCULAR_CORRELATIONS,
    9: ("XX", "XY", "YX", "YY"),
    13: ("RX", "RY", "LX", "LY"),
    17: ("XR", "XL", "YR", "YL"),
    21: ("PP", "PQ", "QP", "QQ"),
    25: ("RCircular", "LCircular", "Linear"),
    28: ("Ptotal", "Plinear", "PFtotal", "PFlinear", "Pangle"),
}

CASACORE_CODES = {name: first + place for first, names in _NAMES.items() for place, name in enumerate(names)}
"""Number by name in casacore's enumeration ``Stokes::StokesTypes``: CORR_TYPE in a measurement set."""

FITS_CODES = {name: CASACORE_CODES[name] for name in ("I", "Q", "U", "V")}
"""Number by name of what images have, on the axis STOKES of a FITS file; the same ones, while the
correlations have negative numbers there."""

_NAME_OF_CODE = {code: name for name, code in CASACORE_CODES.items()}


def correlation_name(code: int) -> str:
    """Name of a CORR_TYPE; the number itself where it has none."""
    return _NAME_OF_CODE.get(code, str(code))
