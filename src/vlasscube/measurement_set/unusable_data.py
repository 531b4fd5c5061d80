"""Data that cannot be used, flagged in the working measurement set and counted.

CASA's tasks carry one visibility that is not a number into the weights of its whole baseline and from there
into every pixel; so what is not a number, and what no correlator measures, is flagged before it gets there.
Data that were flagged before do not count, and where nothing is found nothing is written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from vlasscube import casacore_tables
from vlasscube.errors import MeasurementSetError

BoolArray = npt.NDArray[np.bool_]

_BATCH_BYTES = 64_000_000
_CUBE_DIMENSIONS = 3
_LONGEST_M = 1.3e7
"""Between two antennas: the diameter of the Earth."""

_Look = Callable[[Any, BoolArray], BoolArray]
"""Finds in a selection of rows, given the visibilities not flagged so far, those that are unusable."""


@dataclass(frozen=True)
class UnusableData:
    """Numbers of visibilities that were flagged, each counted once, for the first reason that holds."""

    non_finite: int = 0
    zero: int = 0
    without_baseline: int = 0
    without_time: int = 0
    bad_weights: int = 0
    non_finite_corrected: int = 0

    @property
    def total(self) -> int:
        """All of them."""
        return sum(getattr(self, item.name) for item in fields(self))

    def __str__(self) -> str:
        texts = {
            "non_finite": "are not finite",
            "zero": "are exactly zero",
            "without_baseline": "have no valid baseline (UVW)",
            "without_time": "have no valid integration time",
            "bad_weights": "have a weight that is negative or not finite",
            "non_finite_corrected": "are not finite after the calibration",
        }
        return ", ".join(f"{count} {text}" for name, text in texts.items() if (count := getattr(self, name)))


def flag_unusable_visibilities(ms: Path) -> UnusableData:
    """Flag visibilities that are no measurement, before anything is computed from them.

    These are: NaN and infinite DATA; DATA that are exactly zero where RR or LL is (noise is never zero; a
    cross-hand correlation may be, in noiseless simulations); rows whose UVW is not finite, larger than the
    Earth, or zero between two antennas; rows without a positive integration time.

    Parameters
    ----------
    ms : Path
        Working measurement set; only FLAG is changed, and only where something is found.

    Raises
    ------
    MeasurementSetError
        If it cannot be read or written.
    """
    return UnusableData(
        **_flag(
            ms,
            {
                "non_finite": _non_finite("DATA"),
                "zero": _zero,
                "without_baseline": _without_baseline,
                "without_time": _without_time,
            },
        )
    )


def flag_unusable_results(ms: Path) -> UnusableData:
    """Flag visibilities that weights or calibration have made unusable, as `flag_unusable_visibilities`.

    These are: weights that are negative or not finite (a weight of zero does no harm), and CORRECTED_DATA
    that are not finite.
    """
    return UnusableData(
        **_flag(ms, {"bad_weights": _bad_weight, "non_finite_corrected": _non_finite("CORRECTED_DATA")})
    )


# ------------------------------------------------------------------------------------------------- looking


def _non_finite(column: str) -> _Look:
    def look(part: Any, good: BoolArray) -> BoolArray:
        data = casacore_tables.read_column(part, column, np.complex64)
        # The sum of finite numbers is finite but for absurdly large ones, which the closer look acquits.
        with np.errstate(invalid="ignore", over="ignore"):
            if np.isfinite(data.view(np.float32).sum()):
                return np.zeros_like(good)
        bad: BoolArray = ~np.isfinite(data)
        return bad

    return look


def _zero(part: Any, good: BoolArray) -> BoolArray:
    zero: BoolArray = casacore_tables.read_column(part, "DATA", np.complex64) == 0
    zero &= (zero[..., 0] | zero[..., -1])[..., None]
    return zero


def _without_baseline(part: Any, good: BoolArray) -> BoolArray:
    uvw = casacore_tables.read_column(part, "UVW", np.float64)
    cross = casacore_tables.read_column(part, "ANTENNA1", np.int32) != casacore_tables.read_column(
        part, "ANTENNA2", np.int32
    )
    rows = ~(np.abs(uvw) < _LONGEST_M).all(axis=1) | (cross & ~uvw.any(axis=1))
    spread: BoolArray = np.broadcast_to(rows[:, None, None], good.shape)
    return spread


def _without_time(part: Any, good: BoolArray) -> BoolArray:
    interval = casacore_tables.read_column(part, "INTERVAL", np.float64)
    rows = ~((interval > 0) & np.isfinite(interval))
    spread: BoolArray = np.broadcast_to(rows[:, None, None], good.shape)
    return spread


def _bad_weight(part: Any, good: BoolArray) -> BoolArray:
    name = "WEIGHT_SPECTRUM"
    if name in part.colnames() and part.iscelldefined(name, 0) and np.ndim(part.getcell(name, 0)) == 2:
        weight = casacore_tables.read_column(part, name, np.float32)
    else:
        weight = casacore_tables.read_column(part, "WEIGHT", np.float32)[:, None, :]
    spread: BoolArray = np.broadcast_to(~(np.isfinite(weight) & (weight >= 0)), good.shape)
    return spread


# ------------------------------------------------------------------------------------------------- flagging


def _flag(ms: Path, looks: dict[str, _Look]) -> dict[str, int]:
    found = dict.fromkeys(looks, 0)
    try:
        with casacore_tables.table(ms, writable=True) as table:
            for part in _parts(table):
                flags = casacore_tables.read_column(part, "FLAG", np.bool_)
                if flags.ndim != _CUBE_DIMENSIONS or flags.all():
                    continue
                good = ~flags
                changed = False
                for name, look in looks.items():
                    bad = look(part, good) & good
                    count = int(np.count_nonzero(bad))
                    if count:
                        found[name] += count
                        good &= ~bad
                        changed = True
                if changed:
                    part.putcol("FLAG", ~good)
    except (RuntimeError, ValueError) as error:
        raise MeasurementSetError(
            f"{ms.name} cannot be searched for unusable data: {error}",
            hint="It may be damaged, or be open in another program; run the same command again to remake it.",
        ) from error
    return found


def _parts(table: Any) -> Iterator[Any]:
    """Selections of rows whose cells have one shape, a bounded number at a time, in the table's order."""
    rows = int(table.nrows())
    descriptions = casacore_tables.read_column(table, "DATA_DESC_ID", np.int32)
    by_shape: dict[tuple[int, ...], list[int]] = {}
    for number in np.unique(descriptions):
        first = int(np.argmax(descriptions == number))
        shape = np.shape(table.getcell("FLAG", first))
        by_shape.setdefault(shape, []).append(int(number))
    for shape, numbers in by_shape.items():
        chosen = np.arange(rows) if len(by_shape) == 1 else np.flatnonzero(np.isin(descriptions, numbers))
        step = max(1, _BATCH_BYTES // (8 * max(1, int(np.prod(shape)))))
        for start in range(0, chosen.size, step):
            yield table.selectrows(chosen[start : start + step])
