"""Whether what an archive holds belongs to the image and the measurement set at hand.

Names can be right where the content is of another tile or epoch. So geometry and pixels of the images, the
antennas, spectral windows, fields and times of the self-calibration, and the size of the saved flags are
compared before anything is changed.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from vlasscube import casacore_tables
from vlasscube.constants import ARCSEC_PER_DEG, DAY_S
from vlasscube.errors import ResourceMismatchError
from vlasscube.measurement_set.inspection import read_rows
from vlasscube.parameters.quantities import ANGLE_ARCSEC
from vlasscube.processes.isolation import (
    UNREADABLE,
    IsolatedReader,
    ReaderDiedError,
    isolated_reader,
    reason_text,
)
from vlasscube.records import STOKES, ImageGeometry, Message
from vlasscube.resources.archive import ResourceReport
from vlasscube.resources.header_files import HeaderFiles
from vlasscube.sky import FRAMES, offsets_arcsec, parse_phasecenter
from vlasscube.texts import plain_text

_TOLERANCE_PIXELS = 0.1
"""Images of one grid agree far better; those of the next tile or another pixel size far worse."""
_TOLERANCE_S = 10.0
_ROWS_PER_PIECE = 512
_SCAN_ROWS = 1_000_000
_SHOWN = 5

Finding = str | Message
"""What does not fit, or a warning about what fits."""


def check_resources(
    directory: Path, report: ResourceReport, ms: Path, geometry: ImageGeometry, selfcal_spw: int
) -> tuple[Message, ...]:
    """Compare the resources of the continuum run with the measurement set and the continuum image.

    Masks and model images must be float images with the axes right ascension, declination, Stokes, one
    frequency, on the grid of the continuum image, without pixels that are NaN or infinite (masked pixels do
    not count, and are outside of a mask). Model images are of Stokes I. A mask has one Stokes plane, which
    serves I, Q, U and V, or these four; a pixel is inside where it is above zero.

    Parameters
    ----------
    directory : Path
        With the resources, under the names of the report.
    report : ResourceReport
        A complete one.
    ms : Path
        Working measurement set; opened for reading.
    geometry : ImageGeometry
        Of the continuum image.
    selfcal_spw : int
        Spectral window that the self-calibration is applied from.

    Returns
    -------
    tuple of Message
        Warnings about what can be used and yet is suspicious: a mask or a model that is zero everywhere.

    Raises
    ------
    ResourceMismatchError
        With one line for each thing that does not fit: file, expected, found.
    """
    facts = _read_facts(ms)
    flags, table = report.get("flag_version").found[0], report.selfcal_table
    findings: list[tuple[str, list[Finding]]] = []
    with isolated_reader() as reader:
        for name in (report.tier1_mask, report.tier2_mask):
            findings.append((name, _examine(reader, _check_mask, directory / name, geometry)))
        for name in report.model_images:
            findings.append((name, _examine(reader, _check_model, directory / name, geometry)))
        findings.append((flags, _examine(reader, _check_flags, directory / flags, facts, ms.name)))
        findings.append(
            (table, _examine(reader, _check_selfcal, directory / table, facts, ms.name, selfcal_spw))
        )
    _refuse_problems(report, findings)
    return tuple(item for _, items in findings for item in items if isinstance(item, Message))


def check_headers(
    headers: HeaderFiles,
    report: ResourceReport,
    ms: Path,
    field_ids: Collection[int],
    spw_ids: Collection[int],
    geometry: ImageGeometry,
    selfcal_spw: int,
) -> None:
    """Compare, before anything is made, what can be known of the resources without their pixels.

    Axes of masks and model images, the number of rows that flags are of, and the self-calibration; what of
    these an archive lacks, or has twice, is left out.

    Parameters
    ----------
    headers : HeaderFiles
        From `inspect_archive`.
    report : ResourceReport
        From there, too; it need not be complete.
    ms : Path
        Input measurement set; opened for reading.
    field_ids, spw_ids : collection of int
        What the working measurement set will have of it.
    geometry : ImageGeometry
        Of the continuum image.
    selfcal_spw : int
        Spectral window that the self-calibration is applied from.

    Raises
    ------
    ResourceMismatchError
        As `check_resources`.
    """
    if not headers.is_usable:
        return
    facts = _read_facts(ms, field_ids, spw_ids)
    findings: list[tuple[str, list[Finding]]] = []
    with isolated_reader() as reader:

        def examine(key: str, check: Callable[..., Iterator[Finding]], *arguments: object) -> None:
            row = report.get(key)
            for name in filter(headers.can_be_opened, row.found if row.available else ()):
                found = _examine(reader, check, headers.directory / name, *arguments)
                findings.append((name, found))

        examine("tier1_mask", _check_mask_header, geometry)
        examine("tier2_mask", _check_mask_header, geometry)
        examine("model_images", _check_model_header, geometry)
        examine("flag_version", _check_flags, facts, report.ms_name)
        if all(headers.is_whole(name) for name in report.get("selfcal_table").found):
            examine("selfcal_table", _check_selfcal, facts, report.ms_name, selfcal_spw)
    _refuse_problems(report, findings)


def _refuse_problems(report: ResourceReport, findings: Sequence[tuple[str, list[Finding]]]) -> None:
    problems = [f"{name}: {item}" for name, items in findings for item in items if isinstance(item, str)]
    if problems:
        raise ResourceMismatchError(
            f"{report.archive} does not belong to this image and measurement set, or is damaged; "
            "nothing was changed:",
            problems,
            hint="Take reimaging_resources.tgz of the continuum run of this image and measurement set, and "
            "SEIP_parameter.list of the same run.",
        )


def _examine(
    reader: IsolatedReader, check: Callable[..., Iterator[Finding]], *arguments: object
) -> list[Finding]:
    try:
        return reader.call(_findings, check, arguments)
    except ReaderDiedError as error:
        return [f"cannot be read: {error}"]


def _findings(check: Callable[..., Iterator[Finding]], arguments: tuple[object, ...]) -> list[Finding]:
    try:
        return list(check(*arguments))
    except UNREADABLE as error:
        return [f"cannot be read: {reason_text(error)}"]


# --------------------------------------------------------------------------------------------------- images


@dataclass
class _Pixels:
    """What the pixels of an image amount to, masked ones left out."""

    bad: int = 0
    positive: int = 0
    other: int = 0


def image_problems(path: Path, geometry: ImageGeometry) -> list[str]:
    """Differences of an image's axes from those of a geometry, each with expected and found."""
    with casacore_tables.table(path) as table:
        if "map" not in table.colnames() or "coords" not in table.keywordnames():
            return ["expected an image, found another kind of table"]
        kind = str(table.coldatatype("map"))
        coordinates = table.getkeyword("coords")
        text = str(table.getcolshapestring("map", 0, 1)[0])
    if kind != "float":
        return [f"expected pixels of type float, found {kind}"]
    shape = tuple(int(size) for size in text.strip("[]").split(","))
    if len(shape) != 4:
        return [f"expected 4 axes, found {len(shape)}"]
    problems = []
    if shape[2:] != (geometry.ny, geometry.nx) or shape[0] != 1:
        found = f"{shape[3]}x{shape[2]} pixels and {shape[0]} frequencies"
        problems.append(f"expected {geometry.nx}x{geometry.ny} pixels and 1 frequency, found {found}")
    directions = [value for key, value in coordinates.items() if key.startswith("direction")]
    if len(directions) != 1:
        return [*problems, f"expected one direction axis pair, found {len(directions)}"]
    return problems + list(_direction_problems(directions[0], geometry))


def _direction_problems(direction: Any, geometry: ImageGeometry) -> Iterator[str]:
    ra, dec, frame = parse_phasecenter(geometry.phasecenter)
    found_frame = str(direction["system"])
    if found_frame != frame and not {found_frame, frame} <= set(FRAMES):
        yield f"expected the frame {frame}, found {found_frame}"
        return
    parameters = np.atleast_1d(direction.get("projection_parameters", ()))
    if str(direction["projection"]) != "SIN" or parameters.any():
        shown = " ".join(f"{value:g}" for value in parameters)
        yield f"expected the projection SIN, found {direction['projection']} {shown}".rstrip()
    units = [str(unit) for unit in direction["units"]]
    scale = [_ARCSEC[unit] for unit in units]
    values = zip(direction["crval"], scale, strict=True)
    centre = [float(value) * factor / ARCSEC_PER_DEG for value, factor in values]
    step = [float(value) * factor for value, factor in zip(direction["cdelt"], scale, strict=True)]
    pixel = [float(value) for value in direction["crpix"]]
    cell = geometry.cell_arcsec
    # At the edge of the image a difference of the pixels' sizes is largest.
    slack = _TOLERANCE_PIXELS * cell / max(geometry.nx, geometry.ny) * 2
    if not (abs(step[0] + cell) <= slack and abs(step[1] - cell) <= slack):
        yield f"expected pixels of -{cell:g} x {cell:g} arcsec, found {step[0]:g} x {step[1]:g} arcsec"
    if not np.allclose(direction["pc"], np.eye(2), atol=1e-6):
        yield "expected axes along right ascension and declination, found them turned"
    lon, lat = offsets_arcsec(centre[0], centre[1], ra, dec)
    if not float(np.hypot(lon, lat)) <= _TOLERANCE_PIXELS * cell:
        yield (
            f"expected the centre at RA {ra:.6f} Dec {dec:+.6f} deg, "
            f"found RA {centre[0] % 360:.6f} Dec {centre[1]:+.6f} deg"
        )
    middle = geometry.nx // 2, geometry.ny // 2
    if not max(abs(pixel[0] - middle[0]), abs(pixel[1] - middle[1])) <= _TOLERANCE_PIXELS:
        yield f"expected the centre in pixel {middle[0]}, {middle[1]}, found {pixel[0]:g}, {pixel[1]:g}"


_ARCSEC = {**ANGLE_ARCSEC, "'": 60.0, '"': 1.0}


def stokes_of(path: Path) -> tuple[str, ...]:
    """Names of the Stokes planes of an image; empty if it has no such axis."""
    with casacore_tables.table(path) as table:
        coordinates = table.getkeyword("coords")
    found = [value["stokes"] for key, value in coordinates.items() if key.startswith("stokes")]
    return tuple(str(name) for name in found[0]) if found else ()


def survey_pixels(path: Path) -> tuple[int, int, int]:
    """Count the pixels of a float image that are not finite, positive, and negative; none that are masked.

    Read in pieces: the images of a continuum run have a gigabyte.
    """
    counts = _Pixels()
    with casacore_tables.stored_image(path) as image:
        if image is None:
            raise ValueError("it is stored in a way that is not supported")
        frequencies, stokes, ny, nx = image.shape
        for frequency, plane in itertools.product(range(frequencies), range(stokes)):
            for start in range(0, ny, _ROWS_PER_PIECE):
                last = min(start + _ROWS_PER_PIECE, ny) - 1
                values, good = image.read((frequency, plane, start, 0), (frequency, plane, last, nx - 1))
                finite = np.isfinite(values)
                use = np.ones_like(finite) if good is None else good
                counts.bad += int(np.count_nonzero(~finite & use))
                use = use & finite
                counts.positive += int(np.count_nonzero((values > 0) & use))
                counts.other += int(np.count_nonzero((values < 0) & use))
    return counts.bad, counts.positive, counts.other


def _pixel_problems(bad: int) -> Iterator[str]:
    if bad:
        yield f"expected finite pixels, found {bad} that are NaN or infinite"


def _check_mask_header(path: Path, geometry: ImageGeometry) -> Iterator[str]:
    problems = image_problems(path, geometry)
    yield from problems
    if not _is_no_float_image(problems):
        yield from mask_stokes_problems(path)


def _is_no_float_image(problems: Sequence[str]) -> bool:
    return any("type float" in problem or "an image" in problem for problem in problems)


def _check_mask(path: Path, geometry: ImageGeometry) -> Iterator[Finding]:
    problems = list(_check_mask_header(path, geometry))
    yield from problems
    if _is_no_float_image(problems):
        return
    bad, inside, negative = survey_pixels(path)
    yield from mask_pixel_problems(bad, negative)
    if not inside:
        text = f"the mask {path.name} is zero everywhere: nothing is cleaned with it"
        yield Message("warning", text, "Check the continuum run's masks.")


def mask_pixel_problems(bad: int, negative: int) -> Iterator[str]:
    """What is wrong with the pixels of a mask, by their numbers from `survey_pixels`."""
    yield from _pixel_problems(bad)
    if negative:
        yield f"expected values from 0, found {negative} negative pixels"


def mask_stokes_problems(path: Path) -> list[str]:
    """What is wrong with the Stokes axis of a mask."""
    stokes = stokes_of(path)
    if len(stokes) == 1 or stokes == STOKES:
        return []
    return [f"expected one Stokes plane, or I Q U V, found {' '.join(stokes) or 'no Stokes axis'}"]


def _check_model_header(path: Path, geometry: ImageGeometry) -> Iterator[str]:
    problems = image_problems(path, geometry)
    yield from problems
    if _is_no_float_image(problems):
        return
    stokes = stokes_of(path)
    if stokes != ("I",):
        yield f"expected Stokes I, found {' '.join(stokes) or 'no Stokes axis'}"


def _check_model(path: Path, geometry: ImageGeometry) -> Iterator[Finding]:
    problems = list(_check_model_header(path, geometry))
    yield from problems
    if _is_no_float_image(problems):
        return
    bad, positive, negative = survey_pixels(path)
    yield from _pixel_problems(bad)
    if not positive and not negative and path.name.endswith(".tt0"):
        text = f"the model {path.name} is zero everywhere: weights are taken from the data with their sources"
        yield Message("warning", text, "Check the continuum run's model images.")


# ------------------------------------------------------------------------------------------ measurement set


@dataclass(frozen=True)
class _Facts:
    """What the resources of a measurement set have in common with it."""

    rows: int
    shapes: tuple[tuple[int, ...], ...]
    """Of the flags in the first and the last row; empty where the order of the rows is not known."""
    antennas: tuple[str, ...]
    fields: tuple[str, ...]
    field_ids: frozenset[int]
    windows: int
    scans: dict[int, tuple[float, float]]
    """First and last time by number."""


def _read_facts(
    ms: Path, wanted_fields: Collection[int] | None = None, wanted_spws: Collection[int] = ()
) -> _Facts:
    """Read the facts of a working measurement set, or of what will be split off an input."""
    field_ids: set[int] = set()
    scans: dict[int, tuple[float, float]] = {}
    chosen_rows = 0
    spws = _spectral_windows_of_descriptions(ms) if wanted_fields is not None else None
    with casacore_tables.table(ms) as table:
        rows = int(table.nrows())

        def read(name: str, dtype: npt.DTypeLike) -> npt.NDArray[Any]:
            return casacore_tables.read_column(table, name, dtype, start=start, rows=count)

        for start in range(0, rows, _SCAN_ROWS):
            count = min(_SCAN_ROWS, rows - start)
            ids, numbers, times = (
                read("FIELD_ID", np.int32),
                read("SCAN_NUMBER", np.int32),
                read("TIME", np.float64),
            )
            if wanted_fields is not None and spws is not None:
                spw_ids = spws[read("DATA_DESC_ID", np.int32)]
                use = np.isin(ids, list(wanted_fields)) & np.isin(spw_ids, list(wanted_spws))
                ids, numbers, times = ids[use], numbers[use], times[use]
            chosen_rows += ids.size
            field_ids.update(int(number) for number in np.unique(ids))
            for number in np.unique(numbers):
                chosen = times[numbers == number]
                low, high = scans.get(int(number), (np.inf, -np.inf))
                scans[int(number)] = min(low, float(chosen.min())), max(high, float(chosen.max()))
        ends = (0, rows - 1) if wanted_fields is None else ()
        shapes = tuple(np.shape(table.getcell("FLAG", row)) for row in ends)
    return _Facts(
        rows=chosen_rows,
        shapes=shapes,
        antennas=_names(ms / "ANTENNA"),
        fields=_names(ms / "FIELD"),
        field_ids=frozenset(field_ids),
        windows=_row_count(ms / "SPECTRAL_WINDOW"),
        scans=scans,
    )


def _spectral_windows_of_descriptions(ms: Path) -> npt.NDArray[np.int32]:
    with casacore_tables.table(ms / "DATA_DESCRIPTION") as table:
        return casacore_tables.read_column(table, "SPECTRAL_WINDOW_ID", np.int32)


def _names(path: Path) -> tuple[str, ...]:
    with casacore_tables.table(path) as table:
        return tuple(plain_text(str(name)) for name in table.getcol("NAME")) if table.nrows() else ()


def _row_count(path: Path) -> int:
    with casacore_tables.table(path) as table:
        return int(table.nrows())


def _check_flags(path: Path, facts: _Facts, ms_name: str) -> Iterator[str]:
    with casacore_tables.table(path) as table:
        if missing := [name for name in ("FLAG", "FLAG_ROW") if name not in table.colnames()]:
            yield f"expected saved flags, found a table without {' and '.join(missing)}"
            return
        rows = int(table.nrows())
        if rows != facts.rows:
            yield f"expected flags of {facts.rows} rows as {ms_name} has, found {rows}"
            return
        shapes = [np.shape(table.getcell("FLAG", row)) for row in (0, rows - 1)] if facts.shapes else []
    for expected, found in zip(facts.shapes, shapes, strict=True):
        if expected != found:
            yield f"expected flags of {_shown(expected)} in a row, found {_shown(found)}"
            return


def _shown(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape)) or "nothing"


def _check_selfcal(path: Path, facts: _Facts, ms_name: str, spw: int) -> Iterator[str]:
    with casacore_tables.table(path) as table:
        columns = set(table.colnames())
        needed = ("TIME", "FIELD_ID", "SCAN_NUMBER", "SPECTRAL_WINDOW_ID", "ANTENNA1", "CPARAM", "FLAG")
        if missing := [name for name in needed if name not in columns]:
            yield f"expected a gain table, found a table without {', '.join(missing)}"
            return
        if not table.nrows():
            yield "expected gain solutions, found none"
            return
        times, fields, scans, spws, antennas = (
            casacore_tables.read_column(table, name, np.float64 if name == "TIME" else np.int32)
            for name in needed[:5]
        )
        gains = casacore_tables.read_column(table, "CPARAM", np.complex64)
        flags = casacore_tables.read_column(table, "FLAG", np.bool_)
    # CASA will read them.
    for subtable in sorted(path.glob("*/table.dat")):
        with casacore_tables.table(subtable.parent) as table:
            read_rows(table)
    yield from _name_problems(_names(path / "ANTENNA"), facts.antennas, ms_name)
    if int(antennas.max()) >= len(facts.antennas) or int(antennas.min()) < 0:
        yield f"expected antennas 0 to {len(facts.antennas) - 1}, found {antennas.min()} to {antennas.max()}"
    windows = _row_count(path / "SPECTRAL_WINDOW")
    if windows != facts.windows:
        yield f"expected {facts.windows} spectral windows as {ms_name} has, found {windows}"
    if spw not in spws:
        found = ", ".join(str(number) for number in np.unique(spws)[:_SHOWN])
        yield f"expected solutions of spectral window {spw}, found those of {found}"
    yield from _field_problems(np.unique(fields), _names(path / "FIELD"), facts, ms_name)
    yield from _time_problems(times, scans, facts, ms_name)
    bad = ~(np.isfinite(gains) & (gains != 0)) & ~flags
    if bad.any():
        yield f"expected finite gains, found {int(bad.sum())} that are zero, NaN or infinite and not flagged"


def _name_problems(found: tuple[str, ...], expected: tuple[str, ...], ms_name: str) -> Iterator[str]:
    if len(found) != len(expected):
        yield f"expected {len(expected)} antennas as {ms_name} has, found {len(found)}"
    elif found != expected:
        pairs = [(want, have) for want, have in zip(expected, found, strict=True) if want != have][:_SHOWN]
        wanted, had = (", ".join(names) for names in zip(*pairs, strict=True))
        yield f"expected the antennas {wanted} of {ms_name}, found {had} in their places"


def _field_problems(
    ids: npt.NDArray[np.int32], names: tuple[str, ...], facts: _Facts, ms_name: str
) -> Iterator[str]:
    strange = [int(number) for number in ids if int(number) not in facts.field_ids]
    if strange:
        shown = ", ".join(map(str, strange[:_SHOWN]))
        yield f"expected solutions of fields that {ms_name} has data of, found field {shown}"
        return
    for number in map(int, ids):
        found = names[number] if 0 <= number < len(names) else "(none)"
        if found != facts.fields[number]:
            yield f"expected field {number} to be {facts.fields[number]}, found {found}"
            return


def _time_problems(
    times: npt.NDArray[np.float64], scans: npt.NDArray[np.int32], facts: _Facts, ms_name: str
) -> Iterator[str]:
    if not np.isfinite(times).all():
        yield f"expected times, found {int((~np.isfinite(times)).sum())} that are NaN or infinite"
        return
    inside = np.zeros(times.size, dtype=bool)
    for number, (low, high) in facts.scans.items():
        in_time = (times >= low - _TOLERANCE_S) & (times <= high + _TOLERANCE_S)
        inside |= in_time & ((scans == number) | (scans < 0))
    if not inside.any():
        start, end = (
            min(low for low, _ in facts.scans.values()),
            max(high for _, high in facts.scans.values()),
        )
        yield (
            f"expected solutions in the scans of {ms_name} (MJD {start / DAY_S:.5f} to {end / DAY_S:.5f}), "
            f"found MJD {times.min() / DAY_S:.5f} to {times.max() / DAY_S:.5f}"
        )
