"""Measurement sets that are damaged, foreign or hostile: refused with one message, or read as they should be.

The oracle is the measurement set before it was damaged: it is accepted, so what is refused is the damage.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from casacore.tables import makearrcoldesc

from vlasscube import casa
from vlasscube.casacore_tables import table
from vlasscube.errors import MeasurementSetError
from vlasscube.measurement_set.flags import count_flags
from vlasscube.measurement_set.inspection import inspect_measurement_set
from vlasscube.measurement_set.metadata import require_science_windows, summarise_measurement_set
from vlasscube.measurement_set.unusable_data import flag_unusable_results, flag_unusable_visibilities
from vlasscube.measurement_set.working_copy import make_working_copy
from vlasscube.processes.isolation import ReaderDiedError, isolated_reader
from vlasscube.workspace.files import digest

pytestmark = pytest.mark.casa

TARGETS, WINDOWS = (0, 1), "1,2"
IDS = (
    "ANTENNA1", "ANTENNA2", "ARRAY_ID", "DATA_DESC_ID", "FEED1", "FEED2", "FIELD_ID", "OBSERVATION_ID",
    "PROCESSOR_ID", "SCAN_NUMBER", "STATE_ID",
)  # fmt: skip


def put(path: Path, column: str, value: object, row: int = 0) -> None:
    with table(path, writable=True) as opened:
        opened.putcell(column, row, value)


def fill(path: Path, column: str, value: object) -> None:
    with table(path, writable=True) as opened:
        values = opened.getcol(column)
        values[...] = value
        opened.putcol(column, values)


def refusal(ms: Path) -> str:
    """The one message that a measurement set is refused with."""
    with pytest.raises(MeasurementSetError) as caught:
        require_science_windows(summarise_measurement_set(ms))
    assert ms.name in caught.value.message
    assert caught.value.hint
    assert "\n" not in caught.value.message
    assert len(caught.value.message) < 500
    return caught.value.message


def split(ms: Path, output: Path) -> Path:
    make_working_copy(ms, output, TARGETS, WINDOWS)
    return output


# ------------------------------------------------------------------------------------------------ structure


@pytest.mark.parametrize(
    "column",
    [
        *IDS,
        "EXPOSURE",
        "FLAG",
        "FLAG_CATEGORY",
        "FLAG_ROW",
        "INTERVAL",
        "SIGMA",
        "TIME",
        "TIME_CENTROID",
        "UVW",
        "WEIGHT",
    ],
)
def test_main_columns_that_are_missing(small_ms, column):
    with table(small_ms, writable=True) as opened:
        opened.renamecol(column, f"{column}_OF_OLD")
    assert f"lacks column {column}." in refusal(small_ms)


@pytest.mark.parametrize(
    "name",
    [
        "ANTENNA",
        "DATA_DESCRIPTION",
        "FEED",
        "FIELD",
        "FLAG_CMD",
        "HISTORY",
        "OBSERVATION",
        "POINTING",
        "POLARIZATION",
        "PROCESSOR",
        "SPECTRAL_WINDOW",
        "STATE",
        "SOURCE",
    ],
)
def test_subtables_that_are_missing(small_ms, name):
    shutil.rmtree(small_ms / name)
    assert f"lacks subtable {name}." in refusal(small_ms)


def test_all_that_is_missing_is_told_at_once(small_ms):
    shutil.rmtree(small_ms / "FIELD")
    with table(small_ms, writable=True) as opened:
        opened.removecols(["WEIGHT"])
    assert "column WEIGHT, subtable FIELD" in refusal(small_ms)


@pytest.mark.parametrize(
    ("column", "kind", "shape"),
    [
        ("WEIGHT", "float", (2,)),
        ("SIGMA", "float", (5,)),
        ("UVW", "double", (2,)),
        ("DATA", "complex", (4, 2)),
        ("FLAG", "boolean", (3, 4)),
    ],
)
def test_cells_of_another_shape(small_ms, column, kind, shape):
    with table(small_ms, writable=True) as opened:
        rows = opened.nrows()
        opened.renamecol(column, f"{column}_OF_OLD")
        opened.addcols(makearrcoldesc(column, 0, valuetype=kind, ndim=len(shape)))
        for row in range(rows):
            opened.putcell(column, row, np.zeros(shape, {"boolean": bool}.get(kind, kind)))
    assert f"{column} of" in (message := refusal(small_ms))
    assert f"the shape {shape[::-1]}" in message
    assert "expected" in message


def test_cells_that_are_empty(small_ms):
    with table(small_ms, writable=True) as opened:
        opened.renamecol("WEIGHT", "WEIGHT_OF_OLD")
        opened.addcols(makearrcoldesc("WEIGHT", 0, valuetype="float", ndim=1))
    assert "cannot be read" in refusal(small_ms)


def test_window_that_contradicts_the_data(small_ms):
    windows = small_ms / "SPECTRAL_WINDOW"
    put(windows, "NUM_CHAN", 2, 1)
    for column in ("CHAN_FREQ", "CHAN_WIDTH", "EFFECTIVE_BW", "RESOLUTION"):
        with table(windows) as opened:
            values = opened.getcell(column, 1)
        put(windows, column, values[:2], 1)
    assert "expected (4, 2) (correlations, channels)" in refusal(small_ms)


def test_two_correlations(small_ms):
    for row in range(4):
        put(small_ms / "POLARIZATION", "CORR_TYPE", np.array([5, 8], np.int32), row)
        put(small_ms / "POLARIZATION", "CORR_PRODUCT", np.array([[0, 0], [1, 1]], np.int32), row)
        put(small_ms / "POLARIZATION", "NUM_CORR", 2, row)
    assert "expected (2, 2) (correlations, channels)" in refusal(small_ms)


# ---------------------------------------------------------------------------------------------------- numbers

LARGEST, SMALLEST = 2**31 - 1, -(2**31)


@pytest.mark.parametrize("value", [-2, LARGEST, SMALLEST])
@pytest.mark.parametrize("column", IDS)
def test_ids_of_what_is_not_there(small_ms, column, value):
    put(small_ms, column, value, 7)
    message = refusal(small_ms)
    assert f"{column} goes from" in message
    assert str(value) in message
    assert "expected" in message


@pytest.mark.parametrize(
    ("subtable", "column", "value", "reason"),
    [
        ("DATA_DESCRIPTION", "SPECTRAL_WINDOW_ID", 99, "names a spectral window that is not there"),
        ("DATA_DESCRIPTION", "SPECTRAL_WINDOW_ID", -1, "names a spectral window that is not there"),
        ("DATA_DESCRIPTION", "POLARIZATION_ID", 99, "names the polarizations"),
        ("DATA_DESCRIPTION", "POLARIZATION_ID", -1, "names the polarizations"),
        ("POLARIZATION", "NUM_CORR", LARGEST, f"NUM_CORR is {LARGEST}"),
        ("POLARIZATION", "NUM_CORR", -7, "NUM_CORR is -7"),
        ("POLARIZATION", "CORR_PRODUCT", np.full((4, 2), 9, np.int32), "CORR_PRODUCT besides 0 and 1"),
        ("POLARIZATION", "CORR_PRODUCT", np.zeros((2, 2), np.int32), "CORR_PRODUCT of the shape"),
        ("SPECTRAL_WINDOW", "NUM_CHAN", LARGEST, f"NUM_CHAN is {LARGEST}"),
        ("SPECTRAL_WINDOW", "NUM_CHAN", -1, "NUM_CHAN is -1"),
        ("SPECTRAL_WINDOW", "CHAN_FREQ", np.full(2, 3e9), "are not monotonic"),
        ("SPECTRAL_WINDOW", "CHAN_FREQ", np.array([3e9, np.nan]), "not positive numbers"),
        ("SPECTRAL_WINDOW", "CHAN_FREQ", np.zeros(0), "0 channel frequencies"),
        ("SPECTRAL_WINDOW", "CHAN_WIDTH", np.zeros(2), "channel widths that are not numbers, or zero"),
        ("SPECTRAL_WINDOW", "EFFECTIVE_BW", np.full(2, np.nan), "effective bandwidths"),
        ("SPECTRAL_WINDOW", "RESOLUTION", np.full(7, 1e6), "RESOLUTION 7"),
        ("SPECTRAL_WINDOW", "MEAS_FREQ_REF", 1, "not topocentric"),
        ("FIELD", "NUM_POLY", LARGEST, f"NUM_POLY of field 0 is {LARGEST}"),
        ("FIELD", "NUM_POLY", -1, "NUM_POLY of field 0 is -1"),
        ("FIELD", "SOURCE_ID", LARGEST, f"SOURCE_ID of field 0 is {LARGEST}"),
        ("FIELD", "PHASE_DIR", np.array([[np.nan, 0.0]]), "no position on the sky"),
        ("FIELD", "PHASE_DIR", np.array([[0.0, 99.0]]), "no position on the sky"),
        ("ANTENNA", "POSITION", np.full(3, np.nan), "no position on Earth"),
        ("ANTENNA", "POSITION", np.zeros(3), "no position on Earth"),
        ("ANTENNA", "DISH_DIAMETER", -25.0, "diameter is not a positive number"),
        ("ANTENNA", "DISH_DIAMETER", np.nan, "diameter is not a positive number"),
        ("OBSERVATION", "TELESCOPE_NAME", "MeerKAT", "'MeerKAT', not from the VLA"),
        ("", "TIME", 0.0, "MJD 0 to"),
        ("", "TIME", 48000 * 86400.0, "expected one observation"),
        ("", "TIME", np.inf, "not finite"),
        ("", "INTERVAL", np.nan, "not finite"),
        ("", "INTERVAL", 1e300, "e+294, expected one observation"),
    ],
)
def test_numbers_that_cannot_be(small_ms, subtable, column, value, reason):
    put(small_ms / subtable, column, value)
    assert reason in refusal(small_ms)


def test_windows_of_the_survey_with_different_correlations(small_ms):
    put(small_ms / "POLARIZATION", "CORR_TYPE", np.array([9, 10, 11, 12], np.int32), 1)
    assert "different correlations" in refusal(small_ms)


def test_integrations_without_time(small_ms):
    fill(small_ms, "INTERVAL", 0.0)
    assert "the integration time (INTERVAL) is 0 s" in refusal(small_ms)


def test_channels_from_high_to_low(small_ms, tmp_path):
    windows = small_ms / "SPECTRAL_WINDOW"
    with table(windows) as opened:
        frequencies = opened.getcell("CHAN_FREQ", 1)
    before = summarise_measurement_set(small_ms)
    put(windows, "CHAN_FREQ", frequencies[::-1].copy(), 1)
    assert summarise_measurement_set(small_ms) == before
    put(windows, "CHAN_FREQ", frequencies[[1, 0, 2, 3]], 1)
    assert "Spectral window 1" in refusal(small_ms)


def test_window_without_rows_and_windows_of_one_frequency(small_ms):
    """A window that nothing was observed in may hold anything; two windows may be alike."""
    windows = small_ms / "SPECTRAL_WINDOW"
    put(windows, "CHAN_FREQ", np.full(4, np.nan), 3)
    with table(windows) as opened:
        frequencies = opened.getcell("CHAN_FREQ", 1)
    put(windows, "CHAN_FREQ", frequencies, 2)
    with table(small_ms, writable=True) as opened:
        descriptions = opened.getcol("DATA_DESC_ID")
        opened.putcol("DATA_DESC_ID", np.where(descriptions == 1, 2, descriptions))
    summary = summarise_measurement_set(small_ms)
    assert [window.id for window in summary.spectral_windows] == [0, 2]
    assert require_science_windows(summary) == (2,)


# ------------------------------------------------------------------------------------------------------ texts


@pytest.mark.parametrize("text", ["", "<script>alert(1)</script>", "a\x1b[31m\nb'\"$(c);*", "x" * 1_000_000])
def test_texts(small_ms, tmp_path, text):
    places = [("FIELD", "NAME"), ("OBSERVATION", "OBSERVER"), ("OBSERVATION", "PROJECT"), ("ANTENNA", "NAME")]
    places += [("SPECTRAL_WINDOW", "NAME"), ("SOURCE", "NAME"), ("ANTENNA", "STATION")]
    for subtable, column in places:
        put(small_ms / subtable, column, text)
    summary = summarise_measurement_set(small_ms)
    shown = [summary.fields[0].name, summary.observer, summary.project, summary.antennas[0].name]
    shown += [summary.spectral_windows[0].name]
    assert all(len(name) <= 200 and (name == "" or name.isprintable()) for name in shown)
    working = split(small_ms, tmp_path / "working.ms")
    assert count_flags(working, (1, 2))
    for subtable, column in places:
        with table(working / subtable) as opened:
            names = opened.getcol(column)
        assert all(len(name) <= 200 and name.isprintable() for name in names)


def test_texts_in_latin1(small_ms, tmp_path):
    """As old programs write them; python-casacore writes none, so they are put into the files."""
    places = (
        ("FIELD", "NAME"),
        ("OBSERVATION", "OBSERVER"),
        ("ANTENNA", "NAME"),
        ("SPECTRAL_WINDOW", "NAME"),
    )
    for subtable, column in places:
        put(small_ms / subtable, column, "Q" * 20)
        stored = small_ms / subtable / "table.f0"
        content = stored.read_bytes()
        assert content.count(b"Q" * 20) == 1
        stored.write_bytes(content.replace(b"Q" * 20, b"\xfc" * 20))
    summary = summarise_measurement_set(small_ms)
    shown = (summary.fields[0], summary.antennas[0], summary.spectral_windows[0])
    assert {item.name for item in shown} | {summary.observer} == {"ü" * 20}
    working = split(small_ms, tmp_path / "working.ms")
    for subtable, column in places:
        with table(working / subtable) as opened:
            assert opened.getcell(column, 0) == ("?" * 20 if column == "OBSERVER" else "ü" * 20)


# ------------------------------------------------------------------------------------------------------- data


@pytest.mark.parametrize("value", [np.nan, np.inf, -1.0, 0.0])
def test_weights_of_the_input_do_not_count(small_ms, tmp_path, value):
    expected = split(small_ms, tmp_path / "expected.ms")
    fill(small_ms, "WEIGHT", value)
    fill(small_ms, "SIGMA", value)
    summarise_measurement_set(small_ms)
    working = split(small_ms, tmp_path / "working.ms")
    with table(working) as found, table(expected) as wanted:
        np.testing.assert_array_equal(found.getcol("WEIGHT"), wanted.getcol("WEIGHT"))
    assert flag_unusable_results_without_corrected(working) == 0


def flag_unusable_results_without_corrected(ms):
    with table(ms, writable=True) as opened:
        if "CORRECTED_DATA" not in opened.colnames():
            opened.renamecol("DATA", "CORRECTED_DATA")
    return flag_unusable_results(ms).bad_weights


@pytest.mark.parametrize(
    ("column", "value", "reason"),
    [
        ("UVW", np.nan, "no valid baseline"),
        ("UVW", 1e300, "no valid baseline"),
        ("UVW", 0.0, "no valid baseline"),
        ("INTERVAL", -1.0, "no valid integration time"),
        ("DATA", np.nan, "not finite"),
        ("DATA", 0.0, "exactly zero"),
    ],
)
def test_rows_that_are_no_measurement(small_ms, tmp_path, column, value, reason):
    working = split(small_ms, tmp_path / "working.ms")
    fill(working, "DATA", 1.0)
    assert flag_unusable_visibilities(working).total == 0
    with table(working, writable=True) as opened:
        cell = opened.getcell(column, 3)
        opened.putcell(column, 3, np.full_like(cell, value) if np.ndim(cell) else value)
    found = flag_unusable_visibilities(working)
    assert found.total == 16
    assert reason in str(found)
    with table(working) as opened:
        assert opened.getcell("FLAG", 3).all()


# ----------------------------------------------------------------------------------------------------- places


def test_places(small_ms, tmp_path):
    expected = summarise_measurement_set(small_ms)
    link = tmp_path / "link.ms"
    link.symlink_to(small_ms)
    assert summarise_measurement_set(link).scans == expected.scans
    (tmp_path / "dangling.ms").symlink_to(tmp_path / "nowhere")
    (tmp_path / "file.ms").write_bytes(b"no table")
    (tmp_path / "empty.ms").mkdir()
    (tmp_path / "strange.ms" / "table.dat").mkdir(parents=True)
    for name in ("dangling.ms", "file.ms", "empty.ms", "strange.ms"):
        assert name in refusal(tmp_path / name)


def test_multi_ms(small_ms, tmp_path):
    parts = tmp_path / "multi.ms"
    casa.run_task(
        "partition",
        vis=str(small_ms),
        outputvis=str(parts),
        createmms=True,
        separationaxis="scan",
        flagbackup=False,
    )
    assert "is a multi-MS" in refusal(parts)


def test_input_that_may_not_be_written(small_ms, tmp_path):
    """Neither its content changes nor is anything written beside it."""
    before = digest(small_ms)
    everything = sorted(small_ms.rglob("*"))
    for path in everything:
        path.chmod(0o555 if path.is_dir() else 0o444)
    small_ms.chmod(0o555)
    try:
        assert inspect_measurement_set(small_ms).rows
        assert split(small_ms, tmp_path / "working.ms").is_dir()
        assert digest(small_ms) == before
        assert sorted(small_ms.rglob("*")) == everything
    finally:
        for path in (small_ms, *everything):
            path.chmod(0o755)


HOLD = """
import sys
from casacore.tables import table
opened = table(sys.argv[1], readonly=False, lockoptions="permanent", ack=False)
print("held", flush=True)
sys.stdin.read()
"""


def test_measurement_set_that_is_being_written_to(small_ms):
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(small_ms)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(MeasurementSetError, match=r"small_split\.ms is being written to") as caught:
            inspect_measurement_set(small_ms)
        assert "table.lock" in caught.value.message
        holder.stdin.close()
    assert inspect_measurement_set(small_ms) == summarise_measurement_set(small_ms)


# ---------------------------------------------------------------------------------------------------- storage


def spoil_version(path: Path) -> None:
    """Change a version number in a table, over which casacore ends its process."""
    content = bytearray(path.read_bytes())
    place = content.index(b"IPosition") + len(b"IPosition")
    content[place : place + 4] = b"\x7f" * 4
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("name", "told"), [("table.dat", "small_split.ms"), ("POINTING/table.dat", "small_split.ms/POINTING")]
)
def test_damage_that_ends_the_process(small_ms, name, told):
    spoil_version(small_ms / name)
    before = digest(small_ms)
    with pytest.raises(MeasurementSetError) as caught:
        inspect_measurement_set(small_ms)
    assert caught.value.message.startswith(f"{told} cannot be read")
    assert caught.value.hint
    assert digest(small_ms) == before


def test_reader_that_dies_is_followed_by_another():
    with isolated_reader() as reader:
        first = reader.call(os.getpid)
        assert first != os.getpid()
        assert reader.call(os.getpid) == first
        with pytest.raises(ReaderDiedError):
            reader.call(os.abort)
        assert reader.call(os.getpid) not in (first, os.getpid())
        with pytest.raises(MemoryError):
            reader.call(bytearray, 5 << 30)
    with pytest.raises(ProcessLookupError):
        os.kill(first, 0)


def test_reader_ends_when_interrupted():
    processes = []

    def interrupted():
        with isolated_reader() as reader:
            processes.append(reader.call(os.getpid))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    with pytest.raises(ProcessLookupError):
        os.kill(processes[0], 0)


@pytest.mark.parametrize("keep", [0.0, 0.5, 0.999])
def test_data_that_end_too_early(small_ms, tmp_path, keep):
    """Damage that comes after the import, or that it does not see: the split fails, and leaves nothing."""
    stored = max(small_ms.glob("table.f*_TSM*"), key=lambda path: path.stat().st_size)
    os.truncate(stored, int(stored.stat().st_size * keep))
    before = digest(small_ms)
    with pytest.raises(MeasurementSetError, match=r"small_split\.ms cannot be split"):
        split(small_ms, tmp_path / "out" / "working.ms")
    assert list((tmp_path / "out").iterdir()) == []
    assert digest(small_ms) == before


@pytest.mark.parametrize("subtable", ["FEED", "HISTORY", "PROCESSOR", "SOURCE", "POINTING"])
def test_subtable_that_ends_too_early(small_ms, tmp_path, subtable):
    os.truncate(small_ms / subtable / "table.dat", 100)
    with pytest.raises(MeasurementSetError, match="cannot be split"):
        split(small_ms, tmp_path / "working.ms")
    assert not (tmp_path / "working.ms").exists()
