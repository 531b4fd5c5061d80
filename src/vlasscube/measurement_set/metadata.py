"""What the workflow needs to know of a measurement set, read once and without writing to it."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vlasscube import casa
from vlasscube.errors import MeasurementSetError
from vlasscube.measurement_set.direction_frame import IMAGE_FRAME, convert_direction, direction_frames
from vlasscube.measurement_set.frequency_frame import on_earth
from vlasscube.measurement_set.main_table import MainTableRows, scan_main_table
from vlasscube.measurement_set.selection import TARGET_INTENT
from vlasscube.processes.isolation import UNREADABLE, reason_text
from vlasscube.records import Antenna, Field, MeasurementSetSummary, Scan, SpectralWindow
from vlasscube.stokes_codes import CIRCULAR_CORRELATIONS, correlation_name
from vlasscube.texts import plain_text as _clean

TELESCOPES = ("EVLA", "VLA")
S_BAND_HZ = (1.9e9, 4.1e9)

# All that version 2 of the measurement set requires: CASA's tasks do not do without any of them.
SUBTABLES = (
    "ANTENNA", "DATA_DESCRIPTION", "FEED", "FIELD", "FLAG_CMD", "HISTORY", "OBSERVATION", "POINTING",
    "POLARIZATION", "PROCESSOR", "SPECTRAL_WINDOW", "STATE",
)  # fmt: skip
_COLUMNS = (
    "ANTENNA1", "ANTENNA2", "ARRAY_ID", "DATA_DESC_ID", "EXPOSURE", "FEED1", "FEED2", "FIELD_ID", "FLAG",
    "FLAG_CATEGORY", "FLAG_ROW", "INTERVAL", "OBSERVATION_ID", "PROCESSOR_ID", "SCAN_NUMBER", "SIGMA",
    "STATE_ID", "TIME", "TIME_CENTROID", "UVW", "WEIGHT",
)  # fmt: skip
_TOPOCENTRIC = 5
_SHOWN = 5
_MAX_ID = 1_000_000
"""Limit of ids without a subtable, or whose subtable is optional: CASA makes lists as long as the highest."""


def summarise_measurement_set(path: Path) -> MeasurementSetSummary:
    """Read what the workflow needs to know.

    Parameters
    ----------
    path : Path
        Measurement set; it is opened for reading. Its main table is read in pieces of a million rows.

    Returns
    -------
    MeasurementSetSummary
        Texts of the measurement set are cut to 200 characters and lose their control characters.

    Raises
    ------
    MeasurementSetError
        If it is no measurement set, is empty, lacks columns or subtables, is not of the VLA, or has no
        targets.
    """
    path = Path(path)
    require_table(path)
    try:
        return _summarise(path)
    except UNREADABLE as error:
        raise MeasurementSetError(
            f"{path.name} cannot be read as a measurement set: {reason_text(error)}",
            hint="It may be damaged or incomplete; copy it again from its source.",
        ) from error


def require_table(path: Path) -> None:
    """Refuse what is not a table, or is a multi-MS.

    Raises
    ------
    MeasurementSetError
        If there is nothing, or not a table, or a multi-MS.
    """
    if not (path / "table.dat").is_file():
        raise MeasurementSetError(
            f"{path.name} is not a measurement set."
            if path.exists()
            else f"There is no measurement set {path}.",
            hint="Give the directory of a measurement set (it has a file table.dat).",
        )
    if (path / "SUBMSS").is_dir():
        raise MeasurementSetError(
            f"{path.name} is a multi-MS (it has a directory SUBMSS), not a plain measurement set.",
            hint="Convert it with CASA's mstransform(..., createmms=False).",
        )


def require_science_windows(summary: MeasurementSetSummary) -> tuple[int, ...]:
    """Ids of the spectral windows of the survey: those with data in S band.

    Raises
    ------
    MeasurementSetError
        If there are none, or the data are not of both circular polarizations.
    """
    ids = _science_windows(summary.spectral_windows)
    if not ids:
        low, high = S_BAND_HZ
        found = ", ".join(f"{window.mean_frequency_hz / 1e9:.5g}" for window in summary.spectral_windows[:32])
        raise MeasurementSetError(
            f"{summary.name} has no spectral window between {low / 1e9} and {high / 1e9} GHz "
            f"(its windows are at {found or 'none'} GHz).",
            hint="Give a VLASS measurement set; the survey is in S band.",
        )
    missing = [name for name in CIRCULAR_CORRELATIONS if name not in summary.correlations]
    if missing:
        raise MeasurementSetError(
            f"{summary.name} lacks the correlation{'s' * (len(missing) > 1)} {', '.join(missing)}.",
            hint="All four Stokes parameters are imaged, which requires RR, RL, LR and LL.",
        )
    if summary.correlations != CIRCULAR_CORRELATIONS:
        raise MeasurementSetError(
            f"{summary.name} has the correlations {' '.join(summary.correlations)}, "
            f"not {' '.join(CIRCULAR_CORRELATIONS)}.",
            hint="Exactly these four are required, in this order.",
        )
    return ids


def _science_windows(windows: Sequence[SpectralWindow]) -> tuple[int, ...]:
    low, high = S_BAND_HZ
    return tuple(window.id for window in windows if low < window.mean_frequency_hz < high)


# ---------------------------------------------------------------------------------------------- reading


def _summarise(path: Path) -> MeasurementSetSummary:
    columns = _check_structure(path)
    telescope, observer, project = _observation(path)
    intents = _intents(path)
    descriptions = _data_descriptions(path)
    limits = _id_limits(path)
    with casa.table(path) as table:
        scanned = scan_main_table(table, limits, len(descriptions))
    spw_rows: dict[int, int] = {}
    for (spw, _), rows in zip(descriptions, scanned.rows_by_description, strict=True):
        if rows:
            spw_rows[spw] = spw_rows.get(spw, 0) + int(rows)
    windows, window_count = _spectral_windows(path, spw_rows)
    antennas = _antennas(path, scanned.antennas)
    used = {
        (spw, polarization): int(row)
        for (spw, polarization), row in zip(descriptions, scanned.last_rows, strict=True)
        if row >= 0
    }
    correlation_counts = _correlation_counts(path, {polarization for _, polarization in used})
    science = set(_science_windows(windows))
    _check_cells(
        path,
        columns,
        {
            row: (_channels(windows, spw), correlation_counts[polarization])
            for (spw, polarization), row in used.items()
        },
        may_be_empty={row for (spw, _), row in used.items() if spw not in science},
    )
    scans = tuple(
        Scan(
            number,
            start,
            end,
            tuple(sorted({name for state in states for name in intents[state]})),
            observation,
        )
        for (observation, number), (start, end, states) in sorted(scanned.scans.items())
    )
    _require_targets(path, scans)
    return MeasurementSetSummary(
        name=path.name,
        telescope=telescope,
        observer=observer,
        project=project,
        rows=scanned.rows,
        size_bytes=_size_bytes(path),
        columns=columns,
        # Calibrators in other bands may have been observed with other correlations.
        correlations=_correlations(
            path, {polarization for spw, polarization in used if spw in science or not science}
        ),
        integration_s=scanned.integration_s,
        start_mjd_s=min(scan.start_mjd_s for scan in scans),
        end_mjd_s=max(scan.end_mjd_s for scan in scans),
        spectral_windows=windows,
        spectral_window_count=window_count,
        fields=_fields(path, scanned, intents),
        antennas=antennas,
        scans=scans,
        field_rows=_rows(path / "FIELD"),
        converted_frames=_converted_frames(path, scanned),
    )


def _require_targets(path: Path, scans: Sequence[Scan]) -> None:
    found = sorted({name for scan in scans for name in scan.intents})
    if not found:
        raise MeasurementSetError(
            f"{path.name} has no intents: it does not say which of its fields are targets.",
            hint="STATE_ID is -1 in all rows, or its STATE table is empty; a conversion through UVFITS loses "
            "the intents. Use the measurement set as delivered by the archive, or one made from that with "
            "split or mstransform, which keep them.",
        )
    if not any(TARGET_INTENT in name for name in found):
        raise MeasurementSetError(
            f"{path.name} has no data with the intent {TARGET_INTENT}, only with "
            f"{', '.join(found[:_SHOWN])}.",
            hint="Its scans of the sky survey may have been left out by the split that made it.",
        )


def _check_structure(path: Path) -> tuple[str, ...]:
    with casa.table(path) as table:
        columns = tuple(sorted(str(name) for name in table.colnames()))
        keywords = {str(name) for name in table.keywordnames()}
        rows = int(table.nrows())
    problems = [f"column {name}" for name in _COLUMNS if name not in columns]
    if "DATA" not in columns and "CORRECTED_DATA" not in columns:
        problems.append("column DATA")
    problems += [
        f"subtable {name}"
        for name in SUBTABLES
        if name not in keywords or not (path / name / "table.dat").is_file()
    ]
    # An optional one that is announced and not there is missed by CASA, too.
    if "SOURCE" in keywords and not (path / "SOURCE" / "table.dat").is_file():
        problems.append("subtable SOURCE")
    if problems:
        raise MeasurementSetError(
            f"{path.name} is not a complete measurement set; it lacks {', '.join(problems)}.",
            hint="It may be another kind of table, or damaged; copy it again from its source.",
        )
    if rows == 0:
        raise MeasurementSetError(
            f"{path.name} has no rows.", hint="The split that made it selected no data."
        )
    return columns


def _observation(path: Path) -> tuple[str, str, str]:
    with casa.table(path / "OBSERVATION") as table:
        if table.nrows() == 0:
            raise MeasurementSetError(
                f"{path.name} does not say which telescope it is from.",
                hint="Its OBSERVATION table is empty.",
            )
        texts = [
            _text(table, name, 0) if name in table.colnames() else ""
            for name in ("TELESCOPE_NAME", "OBSERVER", "PROJECT")
        ]
    if texts[0] not in TELESCOPES:
        raise MeasurementSetError(
            f"{path.name} is from the telescope {texts[0]!r}, not from the VLA.",
            hint="Give a VLASS measurement set (telescope EVLA).",
        )
    return texts[0], texts[1], texts[2]


def _text(table: Any, column: str, row: int) -> str:
    # Where a text is not UTF-8 CASA's getcol takes it for Latin-1, and its getcell raises an error.
    return _clean(str(table.getcol(column, row, 1)[0]))


def _intents(path: Path) -> list[tuple[str, ...]]:
    with casa.table(path / "STATE") as table:
        modes = [str(mode) for mode in table.getcol("OBS_MODE")] if table.nrows() else []
    return [tuple(_clean(part) for part in mode.split(",") if part.strip()) for mode in modes]


def _id_limits(path: Path) -> dict[str, tuple[int, int]]:
    """Lowest and highest id in each column of ids; -1 stands for none where CASA takes it so."""
    last = {}
    for name in ("ANTENNA", "DATA_DESCRIPTION", "FIELD", "OBSERVATION", "PROCESSOR", "STATE"):
        with casa.table(path / name) as table:
            last[name] = int(table.nrows()) - 1
    with casa.table(path / "FEED") as table:
        feeds = table.getcol("FEED_ID") if table.nrows() else np.zeros(1, int)
    return {
        "DATA_DESC_ID": (0, last["DATA_DESCRIPTION"]),
        "FIELD_ID": (0, last["FIELD"]),
        "STATE_ID": (-1, last["STATE"]),
        "ANTENNA1": (0, last["ANTENNA"]),
        "ANTENNA2": (0, last["ANTENNA"]),
        "FEED1": (0, int(feeds.max())),
        "FEED2": (0, int(feeds.max())),
        "OBSERVATION_ID": (0, last["OBSERVATION"]),
        # CASA's simulator leaves the table empty.
        "PROCESSOR_ID": (-1, max(last["PROCESSOR"], 0)),
        "ARRAY_ID": (0, _MAX_ID),
        "SCAN_NUMBER": (0, _MAX_ID),
    }


def _data_descriptions(path: Path) -> list[tuple[int, int]]:
    with casa.table(path / "DATA_DESCRIPTION") as table:
        if table.nrows() == 0:
            raise ValueError("the DATA_DESCRIPTION table is empty")
        spws, polarizations = table.getcol("SPECTRAL_WINDOW_ID"), table.getcol("POLARIZATION_ID")
    return [(int(spw), int(polarization)) for spw, polarization in zip(spws, polarizations, strict=True)]


def _spectral_windows(path: Path, rows: dict[int, int]) -> tuple[tuple[SpectralWindow, ...], int]:
    with casa.table(path / "SPECTRAL_WINDOW") as table:
        count = int(table.nrows())
        if any(not 0 <= spw < count for spw in rows):
            raise ValueError("DATA_DESCRIPTION names a spectral window that is not there")
        windows = []
        for spw in sorted(rows):
            frequencies = np.asarray(table.getcell("CHAN_FREQ", spw), dtype=float)
            widths = np.abs(np.asarray(table.getcell("CHAN_WIDTH", spw), dtype=float))
            _check_window(path, table, spw, frequencies, widths)
            windows.append(
                SpectralWindow(
                    id=spw,
                    name=_text(table, "NAME", spw),
                    mean_frequency_hz=float(frequencies.mean()),
                    bandwidth_hz=float(widths.sum()),
                    channel_width_hz=float(widths.mean()),
                    channels=int(frequencies.size),
                    rows=rows[spw],
                )
            )
    return tuple(windows), count


def _correlations(path: Path, polarizations: set[int]) -> tuple[str, ...]:
    with casa.table(path / "POLARIZATION") as table:
        found = [
            tuple(correlation_name(int(code)) for code in table.getcell("CORR_TYPE", number))
            for number in sorted(polarizations)
        ]
    if len(set(found)) != 1:
        raise MeasurementSetError(
            f"{path.name} has data with different correlations: {'; '.join(map(' '.join, found))}.",
            hint="All spectral windows in S band must have the same correlations.",
        )
    return found[0]


def _check_window(
    path: Path, table: Any, spw: int, frequencies: NDArray[np.float64], widths: NDArray[np.float64]
) -> None:
    problem = ""
    bandwidths = np.asarray(table.getcell("EFFECTIVE_BW", spw), dtype=float)
    resolutions = np.asarray(table.getcell("RESOLUTION", spw), dtype=float)
    steps = np.diff(frequencies)
    if not frequencies.size == widths.size == int(table.getcell("NUM_CHAN", spw)) or not frequencies.size:
        problem = (
            f"has {frequencies.size} channel frequencies and {widths.size} channel widths, where NUM_CHAN is "
            f"{table.getcell('NUM_CHAN', spw)}"
        )
    elif not (np.isfinite(frequencies).all() and frequencies.min() > 0):
        problem = "has channel frequencies that are not positive numbers"
    elif not (np.isfinite(widths).all() and widths.min() > 0):
        problem = "has channel widths that are not numbers, or zero"
    elif not bandwidths.size == resolutions.size == frequencies.size:
        problem = (
            f"has {frequencies.size} channels, where EFFECTIVE_BW has {bandwidths.size} and RESOLUTION "
            f"{resolutions.size}"
        )
    elif not (np.isfinite(bandwidths).all() and bandwidths.min() > 0):
        # Weights are made of them.
        problem = "has effective bandwidths (EFFECTIVE_BW) that are not positive numbers"
    elif not ((steps > 0).all() or (steps < 0).all()):
        problem = "has channel frequencies that are not monotonic"
    elif int(table.getcell("MEAS_FREQ_REF", spw)) != _TOPOCENTRIC:
        problem = f"is not topocentric (MEAS_FREQ_REF is {table.getcell('MEAS_FREQ_REF', spw)})"
    if problem:
        raise MeasurementSetError(
            f"Spectral window {spw} of {path.name} {problem}.",
            hint="Give the measurement set as observed, without Doppler correction; it may be damaged.",
        )


def _channels(windows: Sequence[SpectralWindow], spw: int) -> int:
    return next(window.channels for window in windows if window.id == spw)


def _correlation_counts(path: Path, used: set[int]) -> dict[int, int]:
    with casa.table(path / "POLARIZATION") as table:
        count = int(table.nrows())
        if not used <= set(range(count)):
            raise ValueError(
                f"DATA_DESCRIPTION names the polarizations {sorted(used)}, where POLARIZATION has {count}"
            )
        counts = {number: len(table.getcell("CORR_TYPE", number)) for number in sorted(used)}
        for number, correlations in counts.items():
            told = int(table.getcell("NUM_CORR", number))
            receptors = np.asarray(table.getcell("CORR_PRODUCT", number))
            if told != correlations or receptors.shape != (2, correlations):
                raise ValueError(
                    f"row {number} of POLARIZATION has {correlations} correlations (CORR_TYPE), where "
                    f"NUM_CORR is {told} and CORR_PRODUCT of the shape {receptors.shape}"
                )
            if not np.isin(receptors, (0, 1)).all():
                raise ValueError(f"row {number} of POLARIZATION has a CORR_PRODUCT besides 0 and 1")
    return counts


def _check_cells(
    path: Path,
    columns: Sequence[str],
    expected: Mapping[int, tuple[int, int]],
    *,
    may_be_empty: Collection[int],
) -> None:
    """Read the last row of each spectral window: a truncated file ends before it.

    Rows that nothing is imaged from need not have visibilities. Shapes that contradict the subtables would
    otherwise be found by CASA, which ends the process over them.
    """
    data = [name for name in ("DATA", "CORRECTED_DATA") if name in columns][:1]
    with casa.table(path) as table:
        for row, (channels, correlations) in expected.items():
            for name in _COLUMNS:
                # Its cells are empty as a rule.
                if name != "FLAG_CATEGORY" and (row not in may_be_empty or table.iscelldefined(name, row)):
                    table.getcell(name, row)
            for name, shape in (
                *((name, (correlations, channels)) for name in (*data, "FLAG")),
                *((name, (correlations,)) for name in ("WEIGHT", "SIGMA")),
                ("UVW", (3,)),
            ):
                if not table.iscelldefined(name, row):
                    if row in may_be_empty:
                        continue
                    raise MeasurementSetError(
                        f"{name} of {path.name} is empty in row {row}, which has data of S band.",
                        hint="Remove such rows; CASA cannot split them. In casacore's TaQL:  "
                        f"DELETE FROM {path.name} WHERE NOT ISDEFINED({name})",
                    )
                found = np.shape(table.getcell(name, row))
                if found != shape:
                    raise MeasurementSetError(
                        f"{name} of {path.name} has the shape {found} in row {row}, expected {shape} "
                        "(correlations, channels) by its subtables.",
                        hint="It is damaged or incomplete; copy it again from its source.",
                    )


def _antennas(path: Path, used: set[int]) -> tuple[Antenna, ...]:
    with casa.table(path / "ANTENNA") as table:
        names, diameters = table.getcol("NAME"), table.getcol("DISH_DIAMETER")
        is_on_earth = on_earth(np.asarray(table.getcol("POSITION"), dtype=float).T)
    lost = [number for number in sorted(used) if not is_on_earth[number]]
    if lost:
        raise MeasurementSetError(
            f"{len(lost)} antennas of {path.name} with data have no position on Earth: "
            f"{', '.join(_clean(str(names[number])) for number in lost[:_SHOWN])}.",
            hint="Check POSITION in its ANTENNA table.",
        )
    diameters = np.where(np.isfinite(diameters), diameters, 0.0)
    if not all(diameters[number] > 0 for number in used):
        raise MeasurementSetError(
            f"{path.name} has antennas whose diameter is not a positive number.",
            hint="Check DISH_DIAMETER in its ANTENNA table.",
        )
    return tuple(
        Antenna(number, _clean(str(name)), float(diameter))
        for number, (name, diameter) in enumerate(zip(names, diameters, strict=True))
    )


def _fields(path: Path, scanned: MainTableRows, intents: Sequence[tuple[str, ...]]) -> tuple[Field, ...]:
    targets = {state for state, names in enumerate(intents) if any(TARGET_INTENT in name for name in names)}
    result = []
    lost: list[str] = []
    frames = direction_frames(path, scanned.fields)
    observed = min(start for start, _, _ in scanned.scans.values())
    with casa.table(path / "FIELD") as table:
        names = table.getcol("NAME")
        _check_field_numbers(table)
        for number, (scan, states) in sorted(scanned.fields.items()):
            # The first row of the polynomial is the direction at its reference time.
            direction = np.asarray(table.getcell("PHASE_DIR", number), dtype=float).reshape(2, -1)[:, 0]
            if not (np.isfinite(direction[0]) and abs(np.degrees(direction[1])) <= 90):
                lost.append(f"{number} ({_clean(str(names[number]))})")
                continue
            longitude, latitude = map(float, direction)
            place = convert_direction(longitude, latitude, frames[number], IMAGE_FRAME, observed)
            ra, dec = np.degrees(place[:2])
            result.append(
                Field(
                    id=number,
                    name=_clean(str(names[number])),
                    ra_deg=float(ra % 360),
                    dec_deg=float(dec),
                    scan=scan,
                    intent_target=not targets.isdisjoint(states),
                )
            )
    if lost:
        raise MeasurementSetError(
            f"{len(lost)} fields of {path.name} with data have no position on the sky: "
            f"{', '.join(lost[:_SHOWN])}.",
            hint="Check PHASE_DIR in its FIELD table; it may be damaged.",
        )
    return tuple(result)


def _converted_frames(path: Path, scanned: MainTableRows) -> tuple[str, ...]:
    return tuple(sorted(set(direction_frames(path, scanned.fields).values()) - {IMAGE_FRAME}))


def _check_field_numbers(table: Any) -> None:
    """Refuse numbers that CASA makes arrays of, unseen."""
    for number, (terms, source) in enumerate(
        zip(table.getcol("NUM_POLY"), table.getcol("SOURCE_ID"), strict=True)
    ):
        found = np.size(table.getcell("PHASE_DIR", number)) // 2
        if not 0 <= terms < found:
            raise ValueError(f"NUM_POLY of field {number} is {terms}, where PHASE_DIR has {found} terms")
        if not -1 <= source <= _MAX_ID:
            raise ValueError(f"SOURCE_ID of field {number} is {source}, expected -1 to {_MAX_ID}")


def _rows(path: Path) -> int:
    with casa.table(path) as table:
        return int(table.nrows())


def _size_bytes(path: Path) -> int:
    total = 0
    for directory, _, files in os.walk(path):
        for name in files:
            total += (Path(directory) / name).lstat().st_size
    return total
