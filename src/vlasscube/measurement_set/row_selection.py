"""The part of CASA's selection syntax that the workflow uses, on arrays: which rows go into an image."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from vlasscube.constants import SPEED_OF_LIGHT_M_S
from vlasscube.errors import MeasurementSetError, QuantityError
from vlasscube.id_lists import parse_ids
from vlasscube.parameters.uv_ranges import UvRange

IntArray = npt.NDArray[np.int32]
BoolArray = npt.NDArray[np.bool_]


def selected_ids(text: str, what: str) -> frozenset[int] | None:
    """Ids in a list of numbers and ranges such as ``'2,5~7'``; None, meaning all, for an empty one.

    Raises
    ------
    MeasurementSetError
        If it is anything else (CASA's syntax has names, wildcards and comparisons too).
    """
    if not text.strip():
        return None
    try:
        return frozenset(parse_ids(text, ranges=True))
    except QuantityError:
        raise _unsupported(what, text, "ids and ranges of ids such as '2,5~7'") from None


def select_uv(
    ranges: Sequence[UvRange],
    uvw_m: npt.NDArray[np.float64],
    spw: IntArray,
    reference_frequency_hz: npt.NDArray[np.float64],
) -> BoolArray:
    """Rows whose baseline length is in one of the ranges.

    Parameters
    ----------
    ranges : sequence of UvRange
        From `parse_uvrange`, not empty.
    uvw_m : ndarray of float64, shape (n, 3)
        As stored; as in CASA, only u and v count.
    spw : ndarray of int32, shape (n,)
        Spectral windows of the rows.
    reference_frequency_hz : ndarray of float64
        REF_FREQUENCY of the spectral windows, for ranges in wavelengths.
    """
    square = uvw_m[:, 0] ** 2 + uvw_m[:, 1] ** 2
    selected = np.zeros(square.size, dtype=bool)
    for limits in ranges:
        if limits.in_wavelengths:
            wavelength = (SPEED_OF_LIGHT_M_S / reference_frequency_hz)[spw]
            # CASA holds these limits, and their squares, in single precision.
            with np.errstate(over="ignore"):
                low = (limits.low * wavelength).astype(np.float32) ** 2
                high = (limits.high * wavelength).astype(np.float32) ** 2
            selected |= (square >= low) & (square <= high)
        else:
            selected |= (square >= limits.low**2) & (square <= limits.high**2)
    return selected


def select_baselines(text: str, antenna1: IntArray, antenna2: IntArray) -> BoolArray:
    """Rows whose antennas are both in a list of ids such as ``'0,1~4&'``.

    Parameters
    ----------
    text : str
        Ending in ``&`` for the cross-correlations among the antennas, in ``&&`` with their autocorrelations;
        empty for all rows.
    antenna1, antenna2 : ndarray of int32, shape (n,)
        Antennas of the rows.

    Raises
    ------
    MeasurementSetError
        If it is anything else.
    """
    if not text.strip():
        return np.ones(antenna1.size, dtype=bool)
    match = re.fullmatch(r"([^&]+)(&&?)", text.strip())
    if match is None:
        raise _unsupported("antenna", text, "a list of ids such as '0,1,2&'")
    ids = selected_ids(match[1], "antenna")
    selected = is_among(ids, antenna1) & is_among(ids, antenna2)
    return selected if match[2] == "&&" else selected & (antenna1 != antenna2)


def matching_states(text: str, modes: Sequence[str]) -> frozenset[int] | None:
    """States whose OBS_MODE matches one of the intents.

    Parameters
    ----------
    text : str
        List of intents with the wildcard ``*``; empty for all.
    modes : sequence of str
        OBS_MODE of the rows of the STATE table.

    Returns
    -------
    frozenset of int or None
        None stands for all rows, those without a state included.
    """
    if not text.strip():
        return None
    patterns = [re.compile(fnmatch.translate(part.strip())) for part in text.split(",")]
    return frozenset(
        state for state, mode in enumerate(modes) if any(pattern.fullmatch(mode) for pattern in patterns)
    )


def is_among(ids: frozenset[int] | None, values: IntArray) -> BoolArray:
    """Which of the values are among the ids; all of them if that is None."""
    if ids is None:
        return np.ones(values.size, dtype=bool)
    return np.isin(values, np.fromiter(ids, dtype=np.int64, count=len(ids)))


def _unsupported(what: str, text: str, expected: str) -> MeasurementSetError:
    return MeasurementSetError(
        f"The selection {what}={text[:80]!r} is not understood.", hint=f"The imaging engine takes {expected}."
    )
