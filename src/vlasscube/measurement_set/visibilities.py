"""The visibilities of a plane, read once from the working measurement set."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from vlasscube import casacore_tables
from vlasscube.errors import MeasurementSetError
from vlasscube.measurement_set.direction_frame import IMAGE_FRAME, convert_direction, direction_frames
from vlasscube.measurement_set.frequency_frame import lsrk_factor, on_earth
from vlasscube.measurement_set.row_selection import (
    is_among,
    matching_states,
    select_baselines,
    select_uv,
    selected_ids,
)
from vlasscube.mosaic.visibilities import (
    ALL_USABLE,
    ROW_FLAGGED,
    ObservationInfo,
    SpectralWindowData,
    Visibilities,
    VisibilityField,
)
from vlasscube.parameters.uv_ranges import parse_uvrange
from vlasscube.records import DataSelection
from vlasscube.stokes_codes import CIRCULAR_CORRELATIONS, correlation_name

_COLUMNS = {"data": "DATA", "corrected": "CORRECTED_DATA"}
_TOPOCENTRIC = 5
_SCAN_ROWS = 1_000_000
_BATCH_BYTES = 64_000_000


def read_visibilities(
    ms: Path,
    selection: DataSelection,
    *,
    column: Literal["corrected", "data"] | None = "corrected",
    frame: str = IMAGE_FRAME,
) -> Visibilities:
    """Read the visibilities of a plane.

    Parameters
    ----------
    ms : Path
        Measurement set; it is opened for reading and stays as it is.
    selection : DataSelection
        As for tclean; ids and ranges of ids only.
    column : {'corrected', 'data'}, optional
        What to read; None for all but the data, which then have no rows.
    frame : str
        Frame of the image, ``'J2000'`` or ``'ICRS'``: phase centres are converted into it; (u, v) stay as
        stored.

    Returns
    -------
    Visibilities
        Beyond these arrays, at most about 300 MB are in use on the way.

    Raises
    ------
    MeasurementSetError
        If nothing is selected, the selection is not understood, a column is missing, or the correlations are
        not RR, RL, LR, LL.
    """
    if not (ms / "table.dat").is_file():
        raise MeasurementSetError(
            f"There is no measurement set {ms}.", hint="Give the directory of a measurement set."
        )
    try:
        with casacore_tables.table(ms) as table:
            return _read(ms, table, selection, _COLUMNS[column] if column else None, frame)
    except (RuntimeError, ValueError, IndexError, KeyError) as error:
        raise MeasurementSetError(
            f"The visibilities of {ms.name} cannot be read: {error}",
            hint="The measurement set may be damaged or incomplete.",
        ) from error


def _read(ms: Path, table: Any, selection: DataSelection, column: str | None, frame: str) -> Visibilities:
    if column is not None:
        _require_column(ms, table, column)
    spws = _windows_of_descriptions(ms)
    rows, field_ids = _selected_rows(ms, table, selection, spws)
    if not rows:
        raise MeasurementSetError(
            f"The selection has no data in {ms.name}: {_describe(selection)}.",
            hint="Compare it with the fields, scans, spectral windows and intents of the measurement set.",
        )
    counts = _Counts()
    windows = tuple(
        _read_window(ms, table, spw, numbers, column, field_ids, counts)
        for spw, numbers in sorted(rows.items())
    )
    positions = _antenna_positions(ms)
    centre = np.mean(positions, axis=0)
    fields = _read_fields(ms, field_ids, windows, centre, frame)
    first = min(windows, key=lambda window: int(window.row[0]))
    first_field = fields[first.field_index[0]]
    return Visibilities(
        spectral_windows=windows,
        fields=fields,
        observation=_read_observation(ms, positions, float(first.time_mjd_s[0]), first_field.name),
        lsrk_range_hz=_lsrk_range_hz(windows, fields, centre),
        rest_frequency_hz=_rest_frequency_hz(ms, first_field.id, windows[0].id),
        non_finite=counts.non_finite,
        bad_weights=counts.bad_weights,
    )


def _require_column(ms: Path, table: Any, column: str) -> None:
    if column in table.colnames():
        return
    hint = (
        "It is made when the calibration is applied (task hifv_restorepims)."
        if column == "CORRECTED_DATA"
        else "The measurement set is incomplete; copy it again from its source."
    )
    raise MeasurementSetError(f"{ms.name} has no column {column}.", hint=hint)


def _describe(selection: DataSelection) -> str:
    texts = {name: getattr(selection, name) for name in selection.__dataclass_fields__}
    return ", ".join(f"{name}={text[:80]!r}" for name, text in texts.items() if text)


# ------------------------------------------------------------------------------------------------- selection


def _windows_of_descriptions(ms: Path) -> npt.NDArray[np.int32]:
    with casacore_tables.table(ms / "DATA_DESCRIPTION") as table:
        return casacore_tables.read_column(table, "SPECTRAL_WINDOW_ID", np.int32)


def _selected_rows(
    ms: Path, table: Any, selection: DataSelection, spws: npt.NDArray[np.int32]
) -> tuple[dict[int, npt.NDArray[np.int64]], npt.NDArray[np.int32]]:
    """Numbers of the selected rows, by spectral window (those that have any), and ids of their fields."""
    fields = selected_ids(selection.field, "field")
    scans = selected_ids(selection.scan, "scan")
    windows = selected_ids(selection.spw, "spw")
    uvranges = parse_uvrange(selection.uvrange)
    with casacore_tables.table(ms / "STATE") as states:
        states_wanted = matching_states(selection.intent, states.getcol("OBS_MODE") if states.nrows() else ())
    with casacore_tables.table(ms / "SPECTRAL_WINDOW") as windows_table:
        reference = casacore_tables.read_column(windows_table, "REF_FREQUENCY", np.float64)
    found: dict[int, list[npt.NDArray[np.int64]]] = {}
    found_fields = np.empty(0, np.int32)
    total = int(table.nrows())
    for start in range(0, total, _SCAN_ROWS):
        count = min(_SCAN_ROWS, total - start)

        def read(name: str, dtype: type = np.int32, start: int = start, count: int = count) -> Any:
            return casacore_tables.read_column(table, name, dtype, start=start, rows=count)

        spw = spws[read("DATA_DESC_ID")]
        selected = is_among(windows, spw)
        field = read("FIELD_ID")
        selected &= is_among(fields, field)
        selected &= is_among(scans, read("SCAN_NUMBER"))
        selected &= is_among(states_wanted, read("STATE_ID"))
        selected &= select_baselines(selection.antenna, read("ANTENNA1"), read("ANTENNA2"))
        if uvranges and selected.any():
            selected &= select_uv(uvranges, read("UVW", np.float64), spw, reference)
        numbers = np.flatnonzero(selected)
        found_fields = np.union1d(found_fields, field[numbers])
        for window in np.unique(spw[numbers]):
            found.setdefault(int(window), []).append(start + numbers[spw[numbers] == window])
    return {window: np.concatenate(parts) for window, parts in found.items()}, found_fields


# -------------------------------------------------------------------------------------------- the main table


@dataclass
class _Counts:
    """What was wrong with the visibilities."""

    non_finite: int = 0
    bad_weights: int = 0


def _read_window(
    ms: Path,
    table: Any,
    spw: int,
    rows: npt.NDArray[np.int64],
    column: str | None,
    field_ids: npt.NDArray[np.int32],
    counts: _Counts,
) -> SpectralWindowData:
    chosen = table.selectrows(rows)

    def cells(name: str, dtype: type) -> npt.NDArray[Any]:
        return casacore_tables.read_column(chosen, name, dtype)

    _require_circular(ms, spw, np.unique(cells("DATA_DESC_ID", np.int32)))
    name, frequencies, widths = _read_channels(ms, spw)
    cell = (frequencies.size, len(CIRCULAR_CORRELATIONS))
    _require_cells(ms, table, column or "FLAG", rows, cell)
    antenna1, antenna2 = (cells(antenna, np.int32) for antenna in ("ANTENNA1", "ANTENNA2"))
    cross, row_flagged = antenna1 != antenna2, cells("FLAG_ROW", np.bool_)
    data = np.empty((rows.size if column else 0, *cell), np.complex64)
    usable = np.empty((rows.size, cell[0]), np.uint8)
    weight = np.empty((rows.size, cell[0]), np.float32)
    has_spectrum = _has_weight_spectrum(table, rows, cell)
    for begin, end in _batches(rows.size, 32 * cell[0] * cell[1]):
        part = table.selectrows(rows[begin:end])
        good = ~casacore_tables.read_column(part, "FLAG", np.bool_)
        good &= cross[begin:end, None, None]
        if column is not None:
            part.getcolnp(column, data[begin:end])
            counts.non_finite += _discard_non_finite(data[begin:end], good, row_flagged[begin:end])
        usable[begin:end] = _usable_bits(good, row_flagged[begin:end])
        if has_spectrum:
            spectrum = casacore_tables.read_column(part, "WEIGHT_SPECTRUM", np.float32)
            weight[begin:end] = _parallel_mean(spectrum)
    if not has_spectrum:
        weight[:] = _parallel_mean(cells("WEIGHT", np.float32))[:, None]
    bad = ~(np.isfinite(weight) & (weight >= 0))
    counts.bad_weights += int(bad.sum())
    weight[bad] = 0
    return SpectralWindowData(
        id=spw,
        name=name,
        channel_frequency_hz=frequencies,
        channel_width_hz=widths,
        row=rows,
        uvw_m=cells("UVW", np.float64),
        antenna1=antenna1,
        antenna2=antenna2,
        time_mjd_s=cells("TIME", np.float64),
        field_index=np.searchsorted(field_ids, cells("FIELD_ID", np.int32)).astype(np.int32),
        data=data,
        usable=usable,
        weight=weight,
    )


def _usable_bits(good: npt.NDArray[np.bool_], row_flagged: npt.NDArray[np.bool_]) -> npt.NDArray[np.uint8]:
    bits: npt.NDArray[np.uint8] = np.packbits(good, axis=-1, bitorder="little")[..., 0]
    if row_flagged.any():
        bits[row_flagged] = np.where(bits[row_flagged] == ALL_USABLE, ROW_FLAGGED, 0)
    return bits


def _batches(rows: int, bytes_per_row: int) -> Iterator[tuple[int, int]]:
    size = max(1, _BATCH_BYTES // bytes_per_row)
    for begin in range(0, rows, size):
        yield begin, min(begin + size, rows)


def _parallel_mean(weights: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    # As tclean has it, whether or not one of the two is flagged.
    mean: npt.NDArray[np.float32] = (weights[..., 0] + weights[..., -1]) * np.float32(0.5)
    return mean


def _discard_non_finite(
    data: npt.NDArray[np.complex64], good: npt.NDArray[np.bool_], row_flagged: npt.NDArray[np.bool_]
) -> int:
    """Zero what is not finite, mark it as not good, and count what was not flagged."""
    with np.errstate(invalid="ignore", over="ignore"):
        # The sum of finite numbers is finite but for absurdly large ones, which the closer look acquits.
        if np.isfinite(data.view(np.float32).sum()):
            return 0
    bad = ~np.isfinite(data)
    data[bad] = 0
    count = int((bad & good)[~row_flagged].sum())
    good &= ~bad
    return count


def _require_cells(
    ms: Path, table: Any, column: str, rows: npt.NDArray[np.int64], cell: tuple[int, int]
) -> None:
    for row in (int(rows[0]), int(rows[-1])):
        shape = np.shape(table.getcell(column, row)) if table.iscelldefined(column, row) else ()
        if shape != cell:
            found = f"has the shape {shape}" if shape else "is empty"
            raise MeasurementSetError(
                f"{column} of {ms.name} {found} in row {row}, where {cell[0]} channels and {cell[1]} "
                "correlations are expected.",
                hint="The column was not filled, or the measurement set is damaged.",
            )


def _has_weight_spectrum(table: Any, rows: npt.NDArray[np.int64], cell: tuple[int, int]) -> bool:
    name = "WEIGHT_SPECTRUM"
    return name in table.colnames() and all(
        table.iscelldefined(name, int(row)) and np.shape(table.getcell(name, int(row))) == cell
        for row in (rows[0], rows[-1])
    )


# ------------------------------------------------------------------------------------------------- subtables


def _require_circular(ms: Path, spw: int, descriptions: Sequence[int] | npt.NDArray[np.int32]) -> None:
    with casacore_tables.table(ms / "DATA_DESCRIPTION") as table:
        polarizations = {int(table.getcell("POLARIZATION_ID", int(number))) for number in descriptions}
    with casacore_tables.table(ms / "POLARIZATION") as table:
        for polarization in polarizations:
            codes = table.getcell("CORR_TYPE", polarization)
            names = tuple(correlation_name(int(code)) for code in codes)
            if names != CIRCULAR_CORRELATIONS:
                raise MeasurementSetError(
                    f"Spectral window {spw} of {ms.name} has the correlations {' '.join(names)}, "
                    f"not {' '.join(CIRCULAR_CORRELATIONS)}.",
                    hint="All four Stokes parameters are imaged, from both circular polarizations.",
                )


def _read_channels(ms: Path, spw: int) -> tuple[str, npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    with casacore_tables.table(ms / "SPECTRAL_WINDOW") as table:
        reference = int(table.getcell("MEAS_FREQ_REF", spw))
        if reference != _TOPOCENTRIC:
            raise MeasurementSetError(
                f"The frequencies of spectral window {spw} of {ms.name} are not topocentric "
                f"(MEAS_FREQ_REF is {reference}).",
                hint="Give the measurement set as it was observed, without Doppler correction.",
            )
        frequencies = np.array(table.getcell("CHAN_FREQ", spw), dtype=np.float64)
        widths = np.abs(np.array(table.getcell("CHAN_WIDTH", spw), dtype=np.float64))
        return str(table.getcell("NAME", spw)), frequencies, widths


def _read_fields(
    ms: Path,
    ids: npt.NDArray[np.int32],
    windows: Sequence[SpectralWindowData],
    position_m: npt.NDArray[np.float64],
    frame: str,
) -> tuple[VisibilityField, ...]:
    index = np.concatenate([window.field_index for window in windows])
    times = np.concatenate([window.time_mjd_s for window in windows])
    origin = float(times.min())
    mean_times = origin + np.bincount(index, times - origin) / np.bincount(index)
    frames = direction_frames(ms, map(int, ids))
    fields = []
    with casacore_tables.table(ms / "FIELD") as table:
        for number, time in zip(map(int, ids), mean_times, strict=True):
            # The first row of the polynomial is the direction at its reference time.
            longitude, latitude = (
                float(angle) for angle in np.asarray(table.getcell("PHASE_DIR", number))[0]
            )
            ra, dec, turn = convert_direction(longitude, latitude, frames[number], frame, float(time))
            fields.append(
                VisibilityField(
                    id=number,
                    name=str(table.getcell("NAME", number)),
                    ra_rad=ra % (2 * np.pi),
                    dec_rad=dec,
                    frame=frame,
                    time_mjd_s=float(time),
                    lsrk_factor=lsrk_factor(ra, dec, float(time), position_m),
                    turn_rad=turn,
                )
            )
    return tuple(fields)


def _antenna_positions(ms: Path) -> npt.NDArray[np.float64]:
    with casacore_tables.table(ms / "ANTENNA") as table:
        positions = casacore_tables.read_column(table, "POSITION", np.float64)
    return positions[on_earth(positions)]


def _read_observation(
    ms: Path, positions_m: npt.NDArray[np.float64], start_mjd_s: float, object_name: str
) -> ObservationInfo:
    with casacore_tables.table(ms / "OBSERVATION") as table:
        telescope, observer = (str(table.getcell(name, 0)) for name in ("TELESCOPE_NAME", "OBSERVER"))
    return ObservationInfo(
        telescope=telescope,
        observer=observer,
        start_mjd_s=start_mjd_s,
        object_name=object_name,
        antenna_position_m=tuple((float(x), float(y), float(z)) for x, y, z in positions_m),
    )


def _lsrk_range_hz(
    windows: Sequence[SpectralWindowData],
    fields: Sequence[VisibilityField],
    position_m: npt.NDArray[np.float64],
) -> tuple[float, float]:
    factors: dict[tuple[float, int], float] = {}
    edges: list[float] = []
    for window in windows:
        half = window.channel_width_hz / 2
        low = float((window.channel_frequency_hz - half).min())
        high = float((window.channel_frequency_hz + half).max())
        changes = (np.diff(window.time_mjd_s) != 0) | (np.diff(window.field_index) != 0)
        for row in (0, *(1 + np.flatnonzero(changes)).tolist()):
            key = (float(window.time_mjd_s[row]), int(window.field_index[row]))
            if key not in factors:
                field = fields[key[1]]
                factors[key] = lsrk_factor(field.ra_rad, field.dec_rad, key[0], position_m)
            edges += [low * factors[key], high * factors[key]]
    return min(edges), max(edges)


def _rest_frequency_hz(ms: Path, field: int, spw: int) -> float:
    """Rest frequency of a field's source, as CASA looks it up for image headers; 0 if it has none."""
    path = ms / "SOURCE"
    if not (path / "table.dat").is_file():
        return 0.0
    with casacore_tables.table(ms / "FIELD") as table:
        source = int(table.getcell("SOURCE_ID", field))
    with casacore_tables.table(path) as table:
        if "REST_FREQUENCY" not in table.colnames():
            return 0.0
        sources, windows = (
            casacore_tables.read_column(table, name, np.int32) for name in ("SOURCE_ID", "SPECTRAL_WINDOW_ID")
        )
        for row in map(int, np.flatnonzero((sources == source) & np.isin(windows, (-1, spw)))):
            if table.iscelldefined("REST_FREQUENCY", row):
                values = np.atleast_1d(table.getcell("REST_FREQUENCY", row))
                first = float(values[0]) if values.size else 0.0
                return first if np.isfinite(first) and first > 0 else 0.0
    return 0.0
