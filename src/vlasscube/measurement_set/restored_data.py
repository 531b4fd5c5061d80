"""Restored data that lack something: a model when weights were made, or a solution of the self-calibration.

Production leaves such data in, and so does the restore; here they are counted and named.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from vlasscube import casacore_tables
from vlasscube.errors import MeasurementSetError
from vlasscube.texts import plain_text

BoolArray = npt.NDArray[np.bool_]
IntArray = npt.NDArray[np.int64]

_BATCH_BYTES = 64_000_000
_SHOWN = 8
_RECEPTORS = (np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1]))
"""Of the first and the second antenna, in RR, RL, LR, LL."""


@dataclass(frozen=True)
class AffectedData:
    """Unflagged visibilities that lack something, and where they are."""

    count: int
    unflagged: int
    """All unflagged visibilities."""
    by_antenna: Mapping[str, float]
    """Affected fraction of the unflagged visibilities of an antenna, by its name, if any are."""
    by_scan: Mapping[int, float]
    by_spw: Mapping[int, float]

    @property
    def places(self) -> str:
        """Antennas, scans and spectral windows with percentages, the most affected first."""
        parts: tuple[tuple[str, Mapping[Any, float]], ...] = (
            ("antennas", self.by_antenna),
            ("scans", self.by_scan),
            ("spectral windows", self.by_spw),
        )
        return "; ".join(f"{name} {_listed(shares)}" for name, shares in parts)

    def __str__(self) -> str:
        share = self.count / self.unflagged if self.unflagged else 0.0
        return f"{self.count} unflagged visibilities ({100 * share:.3g} %)"


def _listed(shares: Mapping[Any, float]) -> str:
    ordered = sorted(shares, key=lambda name: -shares[name])
    text = ", ".join(f"{name} ({100 * shares[name]:.3g} %)" for name in ordered[:_SHOWN])
    return text + (f" and {len(ordered) - _SHOWN} more" if len(ordered) > _SHOWN else "")


@dataclass
class _Sums:
    """Unflagged visibilities, and affected ones among them, by a number."""

    all: dict[int, int] = field(default_factory=dict)
    affected: dict[int, int] = field(default_factory=dict)

    def add(self, key: npt.NDArray[np.int32], unflagged: IntArray, affected: IntArray) -> None:
        for sums, counts in ((self.all, unflagged), (self.affected, affected)):
            by_key = np.bincount(key, weights=counts).astype(np.int64)
            for number in np.flatnonzero(by_key):
                sums[int(number)] = sums.get(int(number), 0) + int(by_key[number])

    def shares(self) -> dict[int, float]:
        return {number: count / self.all[number] for number, count in sorted(self.affected.items())}


@dataclass(frozen=True, eq=False)
class _Rows:
    """A batch of rows: ids of shape (n,), and which visibilities are unflagged, (n, nchan, 4)."""

    numbers: IntArray
    spw: int
    antenna1: npt.NDArray[np.int32]
    antenna2: npt.NDArray[np.int32]
    scan: npt.NDArray[np.int32]
    time_mjd_s: npt.NDArray[np.float64]
    good: BoolArray


class _Tally:
    """Adds up what is affected."""

    def __init__(self) -> None:
        self.count = self.unflagged = 0
        self._antennas, self._scans, self._spws = _Sums(), _Sums(), _Sums()

    def add(self, rows: _Rows, affected: IntArray, of_antennas: tuple[IntArray, IntArray]) -> None:
        """Add a batch: how many visibilities of each row are affected, and how many by either antenna."""
        unflagged = np.count_nonzero(rows.good, axis=(1, 2))
        self.count += int(affected.sum())
        self.unflagged += int(unflagged.sum())
        for antenna, by_it in zip((rows.antenna1, rows.antenna2), of_antennas, strict=True):
            self._antennas.add(antenna, unflagged, by_it)
        self._scans.add(rows.scan, unflagged, affected)
        self._spws.add(np.full(rows.scan.size, rows.spw, np.int32), unflagged, affected)

    def result(self, names: list[str]) -> AffectedData:
        return AffectedData(
            count=self.count,
            unflagged=self.unflagged,
            by_antenna={names[number]: share for number, share in self._antennas.shares().items()},
            by_scan=self._scans.shares(),
            by_spw=self._spws.shares(),
        )


def data_without_model(ms: Path, predicted_flags: Path) -> AffectedData:
    """Count data whose MODEL_DATA is zero as they were flagged when the model was predicted, but are no more.

    Parameters
    ----------
    ms : Path
        Working measurement set with the flags that weights are made with; it stays as it is.
    predicted_flags : Path
        Table of the flags (of flagmanager) that it had when the model was predicted: one flagged correlation
        of a row and channel left all four without a model.

    Raises
    ------
    MeasurementSetError
        If the tables cannot be read, or do not belong together.
    """
    tally = _Tally()
    try:
        with casacore_tables.table(ms) as table, casacore_tables.table(predicted_flags) as saved:
            if table.nrows() != saved.nrows():
                raise ValueError(f"{predicted_flags.name} has {saved.nrows()} rows, not {table.nrows()}")
            for rows in _unflagged_rows(ms, table):
                before = saved.selectrows(rows.numbers)
                flagged = casacore_tables.read_column(before, "FLAG", np.bool_)
                flagged |= casacore_tables.read_column(before, "FLAG_ROW", np.bool_)[:, None, None]
                unflagged = (flagged & rows.good).any(axis=2, keepdims=True)
                affected = np.count_nonzero(rows.good & unflagged, axis=(1, 2))
                tally.add(rows, affected, (affected, affected))
    except (RuntimeError, ValueError) as error:
        raise _unreadable(ms, error) from error
    return tally.result(_antenna_names(ms))


def data_without_solution(ms: Path, caltable: Path, spw: int) -> AffectedData:
    """Count unflagged data that the self-calibration leaves uncalibrated, or half so.

    applycal takes, for each antenna, the solution nearest in time. Where that is flagged in a polarization,
    or the antenna has none, it applies nothing for that antenna (``applymode='calonly'``).

    Parameters
    ----------
    ms : Path
        Working measurement set; it stays as it is.
    caltable : Path
        Gains (G) of one spectral window for all.
    spw : int
        That spectral window.

    Returns
    -------
    AffectedData
        A visibility is affected if either antenna's solution is missing; the fraction of an antenna is that
        of its own missing solutions.

    Raises
    ------
    MeasurementSetError
        If a table cannot be read.
    """
    tally = _Tally()
    try:
        solutions = _Solutions(caltable, spw)
        with casacore_tables.table(ms) as table:
            for rows in _unflagged_rows(ms, table):
                good = np.count_nonzero(rows.good, axis=1)
                missing = [
                    solutions.is_missing(antenna, rows.time_mjd_s)[:, receptor]
                    for antenna, receptor in zip((rows.antenna1, rows.antenna2), _RECEPTORS, strict=True)
                ]
                affected = np.where(missing[0] | missing[1], good, 0).sum(axis=1)
                first, second = (np.where(lack, good, 0).sum(axis=1) for lack in missing)
                tally.add(rows, affected, (first, second))
    except (RuntimeError, ValueError) as error:
        raise _unreadable(ms, error) from error
    return tally.result(_antenna_names(ms))


class _Solutions:
    """Which solutions of a gain table are flagged, by antenna."""

    def __init__(self, caltable: Path, spw: int) -> None:
        with casacore_tables.table(caltable) as table:
            chosen = casacore_tables.read_column(table, "SPECTRAL_WINDOW_ID", np.int32) == spw
            antenna = casacore_tables.read_column(table, "ANTENNA1", np.int32)[chosen]
            time = casacore_tables.read_column(table, "TIME", np.float64)[chosen]
            flags = casacore_tables.read_column(table, "FLAG", np.bool_)[chosen].any(axis=1)
        flags = np.broadcast_to(flags, (antenna.size, 2))
        self._by_antenna = {}
        for number in np.unique(antenna):
            own = np.flatnonzero(antenna == number)
            own = own[np.argsort(time[own], kind="stable")]
            self._by_antenna[int(number)] = time[own], flags[own]

    def is_missing(self, antenna: npt.NDArray[np.int32], time_mjd_s: npt.NDArray[np.float64]) -> BoolArray:
        """Tell where the solutions of antennas at times are missing; shape (n, 2), of R and L."""
        missing = np.ones((antenna.size, 2), dtype=bool)
        for number in np.unique(antenna):
            if int(number) not in self._by_antenna:
                continue
            times, flags = self._by_antenna[int(number)]
            rows = antenna == number
            halfway = (times[1:] + times[:-1]) / 2
            missing[rows] = flags[np.searchsorted(halfway, time_mjd_s[rows])]
        return missing


def _unflagged_rows(ms: Path, table: Any) -> Iterator[_Rows]:
    """Read ids and flags, a bounded number of rows at a time; autocorrelations are no good."""
    with casacore_tables.table(ms / "DATA_DESCRIPTION") as opened:
        spws = casacore_tables.read_column(opened, "SPECTRAL_WINDOW_ID", np.int32)
    descriptions = casacore_tables.read_column(table, "DATA_DESC_ID", np.int32)
    for description in np.unique(descriptions):
        chosen = np.flatnonzero(descriptions == description)
        shape = np.shape(table.getcell("FLAG", int(chosen[0])))
        if shape[-1:] != (4,):
            continue
        step = max(1, _BATCH_BYTES // (4 * max(1, int(np.prod(shape)))))
        for start in range(0, chosen.size, step):
            numbers = chosen[start : start + step]
            part = table.selectrows(numbers)

            def read(name: str, dtype: type = np.int32, part: Any = part) -> Any:
                return casacore_tables.read_column(part, name, dtype)

            good = ~read("FLAG", np.bool_)
            antenna1, antenna2 = read("ANTENNA1"), read("ANTENNA2")
            good[read("FLAG_ROW", np.bool_) | (antenna1 == antenna2)] = False
            yield _Rows(
                numbers,
                int(spws[description]),
                antenna1,
                antenna2,
                read("SCAN_NUMBER"),
                read("TIME", np.float64),
                good,
            )


def _antenna_names(ms: Path) -> list[str]:
    with casacore_tables.table(ms / "ANTENNA") as table:
        return [plain_text(str(name)) for name in table.getcol("NAME")]


def _unreadable(ms: Path, error: Exception) -> MeasurementSetError:
    return MeasurementSetError(
        f"The restored data of {ms.name} cannot be counted: {error}",
        hint="They may be damaged, or be open in another program; run the same command again to remake them.",
    )
