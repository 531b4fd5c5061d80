"""Flag statistics of a measurement set, and the rule that rejects planes by them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vlasscube import casa
from vlasscube.errors import MeasurementSetError
from vlasscube.parameters.lists import PlaneRejectionMs
from vlasscube.records import FieldFlags, FlagCount

__all__ = [
    "PlaneFlagVerdict",
    "PlaneRejectionMs",
    "count_flags",
    "flags_by_spw",
    "group_flags",
    "incomplete_by_spw",
    "reject_by_flags",
    "unflagged_channels",
]

_CHUNK_BYTES = 64_000_000


@dataclass(frozen=True)
class _Description:
    """A row of DATA_DESCRIPTION: its spectral window and the shape of its visibilities."""

    id: int
    spw: int
    shape: tuple[int, int]
    """Correlations, channels."""


@dataclass(frozen=True)
class _Chunk:
    """Consecutive rows of the main table."""

    description: NDArray[np.int64]
    field: NDArray[np.int64]
    scan: NDArray[np.int64]
    flags: NDArray[np.bool_]
    """Shape (rows, channels, correlations); all of a row whose FLAG_ROW is set, which tclean leaves out."""

    @property
    def partly_flagged(self) -> NDArray[np.bool_]:
        """Shape (rows, channels): where some correlations are flagged, which take the others with them."""
        return np.asarray(self.flags.any(axis=2) & ~self.flags.all(axis=2))


def count_flags(path: Path, spw_ids: Collection[int]) -> tuple[FieldFlags, ...]:
    """Count flagged and all visibilities of each field and spectral window.

    Parameters
    ----------
    path : Path
        Measurement set; it is opened for reading.
    spw_ids : collection of int
        Spectral windows to count.

    Returns
    -------
    tuple of FieldFlags
        Fields with rows in these spectral windows, by id; spectral windows without rows are left out. The
        same numbers as ``flagdata(mode='summary', fieldcnt=True)``, but that a row with FLAG_ROW counts as
        flagged, as tclean has it; flagdata looks at FLAG alone.

    Raises
    ------
    MeasurementSetError
        If it cannot be read as a measurement set.
    """
    try:
        with casa.table(path) as table:
            descriptions = _descriptions(path, spw_ids)
            names = _field_names(path)
            return _count(table, descriptions, names)
    except RuntimeError as error:
        raise _unreadable(path, error) from error


def _count(table: Any, descriptions: Sequence[_Description], names: Sequence[str]) -> tuple[FieldFlags, ...]:
    width = 1 + max((description.id for description in descriptions), default=0)
    flagged = np.zeros((len(names), width), dtype=np.int64)
    total = np.zeros_like(flagged)
    incomplete = np.zeros_like(flagged)
    scans = np.full(len(names), np.iinfo(np.int64).max)
    for chunk in _chunks(table, descriptions):
        if chunk.field.min() < 0 or chunk.field.max() >= len(names):
            raise RuntimeError("FIELD_ID has values that are not in the FIELD table")
        key = chunk.field * width + chunk.description
        samples = chunk.flags.shape[1] * chunk.flags.shape[2]
        per_row = np.count_nonzero(chunk.flags, axis=(1, 2))
        # Weights are doubles: exact as long as a chunk has fewer than 2**53 visibilities.
        counts = np.bincount(key, weights=per_row, minlength=flagged.size).astype(np.int64)
        flagged += counts.reshape(flagged.shape)
        partly = chunk.partly_flagged
        if partly.any():
            left = np.count_nonzero(~chunk.flags & partly[..., None], axis=(1, 2))
            counts = np.bincount(key, weights=left, minlength=flagged.size).astype(np.int64)
            incomplete += counts.reshape(flagged.shape)
        total += samples * np.bincount(key, minlength=flagged.size).reshape(flagged.shape)
        np.minimum.at(scans, chunk.field, chunk.scan)
    result = []
    for field in (int(number) for number in np.flatnonzero(total.any(axis=1))):
        by_spw: dict[int, FlagCount] = {}
        left_out: dict[int, int] = {}
        for description in descriptions:
            count = FlagCount(int(flagged[field, description.id]), int(total[field, description.id]))
            if count.total:
                by_spw[description.spw] = by_spw.get(description.spw, FlagCount(0, 0)) + count
            if number := int(incomplete[field, description.id]):
                left_out[description.spw] = left_out.get(description.spw, 0) + number
        result.append(FieldFlags(field, names[field], int(scans[field]), by_spw, left_out))
    return tuple(result)


def unflagged_channels(path: Path, spw_id: int) -> int:
    """Count the channels of a spectral window that are imaged: with all correlations unflagged in any row.

    Parameters
    ----------
    path : Path
        Measurement set; it is opened for reading.
    spw_id : int
        The spectral window.

    Returns
    -------
    int
        0 if it has no rows.

    Raises
    ------
    MeasurementSetError
        If it cannot be read as a measurement set.
    """
    good: set[int] = set()
    try:
        with casa.table(path) as table:
            for chunk in _chunks(table, _descriptions(path, {spw_id}), one_by_one=True):
                good.update(int(channel) for channel in np.flatnonzero(~chunk.flags.any(axis=2).all(axis=0)))
                if len(good) == chunk.flags.shape[1]:
                    break
    except RuntimeError as error:
        raise _unreadable(path, error) from error
    return len(good)


def _unreadable(path: Path, error: RuntimeError) -> MeasurementSetError:
    return MeasurementSetError(
        f"The flags of {path.name} cannot be read: {error}",
        hint="Check that it is a complete measurement set that nothing else is writing to.",
    )


def _descriptions(path: Path, spw_ids: Collection[int]) -> list[_Description]:
    with casa.table(path / "DATA_DESCRIPTION") as table:
        spws = [int(value) for value in table.getcol("SPECTRAL_WINDOW_ID")]
        polarizations = [int(value) for value in table.getcol("POLARIZATION_ID")]
    with casa.table(path / "SPECTRAL_WINDOW") as table:
        channels = [int(value) for value in table.getcol("NUM_CHAN")]
    with casa.table(path / "POLARIZATION") as table:
        correlations = [int(value) for value in table.getcol("NUM_CORR")]
    return [
        _Description(number, spw, (correlations[polarization], channels[spw]))
        for number, (spw, polarization) in enumerate(zip(spws, polarizations, strict=True))
        if spw in spw_ids and 0 <= spw < len(channels) and 0 <= polarization < len(correlations)
    ]


def _field_names(path: Path) -> list[str]:
    with casa.table(path / "FIELD") as table:
        return [str(name) for name in table.getcol("NAME")] if table.nrows() else []


def _chunks(
    table: Any, descriptions: Sequence[_Description], *, one_by_one: bool = False
) -> Iterator[_Chunk]:
    """Read rows of data descriptions in the order of the table, a bounded number at a time."""
    groups: dict[tuple[int, int], list[int]] = {}
    for description in descriptions:
        groups.setdefault(description.shape, []).append(description.id)
    for shape, ids in groups.items():
        # One query for all windows of a shape: their rows alternate, and so do they in the tiles on disk.
        for selected in [[one] for one in ids] if one_by_one else [ids]:
            yield from _query_chunks(table, shape, selected)


def _query_chunks(table: Any, shape: tuple[int, int], ids: Sequence[int]) -> Iterator[_Chunk]:
    query = table.query(f"DATA_DESC_ID IN [{','.join(map(str, ids))}]")
    try:
        rows = int(query.nrows())
        step = max(1, _CHUNK_BYTES // max(1, shape[0] * shape[1]))
        for start in range(0, rows, step):
            count = min(step, rows - start)
            # CASA's arrays are Fortran-ordered with the row last; transposed they are contiguous per row.
            flags = np.asarray(query.getcol("FLAG", start, count), dtype=bool).T
            flag_row = np.asarray(query.getcol("FLAG_ROW", start, count), dtype=bool)
            if flag_row.any():
                flags = flags | flag_row[:, None, None]
            integers = {
                name: np.asarray(query.getcol(name, start, count), dtype=np.int64)
                for name in ("DATA_DESC_ID", "FIELD_ID", "SCAN_NUMBER")
            }
            yield _Chunk(integers["DATA_DESC_ID"], integers["FIELD_ID"], integers["SCAN_NUMBER"], flags)
    finally:
        query.close()


# ------------------------------------------------------------------------------------------------ rules


def group_flags(
    field_flags: Sequence[FieldFlags], spw_ids: Collection[int], field_ids: Collection[int] | None
) -> FlagCount:
    """Sum over the spectral windows of a group.

    Parameters
    ----------
    field_flags : sequence of FieldFlags
        From `count_flags`.
    spw_ids : collection of int
        The group.
    field_ids : collection of int or None
        Fields to sum over; None for all.

    Returns
    -------
    FlagCount
        Total 0 without data (whose fraction is None, not NaN).
    """
    chosen = None if field_ids is None else set(field_ids)
    counts = (field.over(spw_ids) for field in field_flags if chosen is None or field.field_id in chosen)
    return sum(counts, FlagCount(0, 0))


def incomplete_by_spw(field_flags: Sequence[FieldFlags]) -> dict[int, int]:
    """Sum `FieldFlags.incomplete` over all fields, by spectral window."""
    sums: dict[int, int] = {}
    for field in field_flags:
        for spw, number in field.incomplete.items():
            sums[spw] = sums.get(spw, 0) + number
    return dict(sorted(sums.items()))


def flags_by_spw(field_flags: Sequence[FieldFlags]) -> dict[int, FlagCount]:
    """Sum over all fields, by spectral window."""
    spws = sorted({spw for field in field_flags for spw in field.by_spw})
    return {spw: group_flags(field_flags, (spw,), None) for spw in spws}


@dataclass(frozen=True)
class PlaneFlagVerdict:
    """What the flags of its fields mean for a plane."""

    rejected: bool
    field_count: int
    """Fields flagged above the threshold."""


def reject_by_flags(
    field_flags: Sequence[FieldFlags],
    spw_ids: Collection[int],
    field_ids: Collection[int],
    options: PlaneRejectionMs,
) -> PlaneFlagVerdict:
    """Judge a plane by the number of its fields that are nearly all flagged.

    Parameters
    ----------
    field_flags : sequence of FieldFlags
        From `count_flags`.
    spw_ids : collection of int
        Spectral windows of the plane.
    field_ids : collection of int
        Fields of the central square degree.
    options : PlaneRejectionMs
        Thresholds, and spectral windows that protect their plane.

    Returns
    -------
    PlaneFlagVerdict
        Fields count if more than ``flagpct_thresh`` of their data are flagged (exactly that much is not
        enough; without data they do not count). The plane is rejected from ``nfield_thresh`` such fields on.
    """
    chosen = set(field_ids)
    fractions = (
        group_flags((field,), spw_ids, None).fraction for field in field_flags if field.field_id in chosen
    )
    count = sum(fraction is not None and fraction > options.flagpct_thresh for fraction in fractions)
    protected = not options.excluded_ids.isdisjoint(spw_ids)
    return PlaneFlagVerdict(options.apply and not protected and count >= options.nfield_thresh, count)
