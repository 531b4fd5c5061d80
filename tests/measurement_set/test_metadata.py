"""Reading a measurement set, whole and otherwise; msmetadata is the oracle."""

from __future__ import annotations

import shutil
from dataclasses import replace

import numpy as np
import pytest

from vlasscube.errors import MeasurementSetError
from vlasscube.measurement_set import main_table
from vlasscube.measurement_set.metadata import require_science_windows, summarise_measurement_set
from vlasscube.records import MeasurementSetSummary, SpectralWindow
from vlasscube.workspace.record_json import from_json, to_json

casa_test = pytest.mark.casa


@casa_test
def test_summary(small_ms, layout):
    from vlasscube import casa

    before = {item: item.stat().st_mtime_ns for item in small_ms.rglob("*") if item.name != "table.lock"}
    summary = summarise_measurement_set(small_ms)
    assert {
        item: item.stat().st_mtime_ns for item in small_ms.rglob("*") if item.name != "table.lock"
    } == before
    assert from_json(MeasurementSetSummary, to_json(summary)) == summary
    assert (summary.name, summary.telescope) == ("small_split.ms", "EVLA")
    assert summary.correlations == ("RR", "RL", "LR", "LL")
    assert summary.integration_s == pytest.approx(layout.integration_s)
    assert {"DATA", "FLAG", "UVW"} <= set(summary.columns)
    assert summary.spectral_window_count == 4
    assert summary.field_rows == len(layout.fields)
    assert [antenna.name for antenna in summary.antennas] == ["ea01", "ea02", "ea03", "ea04"]
    assert {antenna.diameter_m for antenna in summary.antennas} == {25.0}
    assert summary.size_bytes > 1000

    md = casa.tools().msmetadata()
    md.open(str(small_ms))
    try:
        assert summary.rows == md.nrows()
        assert [scan.number for scan in summary.scans] == list(md.scannumbers()) == [3, 5, 8]
        for scan in summary.scans:
            assert set(scan.intents) == set(md.intentsforscan(scan.number))
            times = md.timesforscan(scan.number)
            assert scan.start_mjd_s == pytest.approx(times.min() - layout.integration_s / 2, abs=1e-6)
            assert scan.end_mjd_s == pytest.approx(times.max() + layout.integration_s / 2, abs=1e-6)
        assert [window.id for window in summary.spectral_windows] == [0, 1, 2]
        for window in summary.spectral_windows:
            assert window.mean_frequency_hz == pytest.approx(md.meanfreq(window.id))
            assert window.mean_frequency_hz == pytest.approx(layout.mean_frequencies_hz[window.id])
            assert window.bandwidth_hz == pytest.approx(md.bandwidths(window.id))
            assert window.channels == md.nchan(window.id) == layout.channels[window.id]
            assert window.channel_width_hz == pytest.approx(128e6 / window.channels)
            assert window.rows == summary.rows / 3
        assert [field.id for field in summary.fields] == [0, 1, 2]
        for field, (name, ra, dec) in zip(summary.fields, layout.fields, strict=True):
            assert field.name == name == md.namesforfields(field.id)[0]
            assert (field.ra_deg, field.dec_deg) == pytest.approx((ra, dec), abs=1e-9)
            assert field.scan == min(md.scansforfield(field.id))
            assert field.intent_target == (field.id in md.fieldsforintent("*OBSERVE_TARGET*"))
    finally:
        md.close()
    assert summary.start_mjd_s == pytest.approx(layout.start_mjd_s, abs=40)
    assert 20 < summary.end_mjd_s - summary.start_mjd_s < 22
    assert require_science_windows(summary) == (1, 2)


@casa_test
def test_small_pieces_make_the_same_summary(small_ms, monkeypatch):
    whole = summarise_measurement_set(small_ms)
    monkeypatch.setattr(main_table, "_CHUNK_ROWS", 7)
    assert summarise_measurement_set(small_ms) == whole


def change(path, column, value, row=None):
    from vlasscube import casa

    with casa.table(path, writable=True) as table:
        if row is None:
            table.putcol(column, np.full_like(table.getcol(column), value))
        else:
            table.putcell(column, row, value)


@casa_test
def test_hostile_texts(small_ms):
    text = "<script>\x1b[31m\n'\"; $(x) " + "x" * 100_000
    change(small_ms / "FIELD", "NAME", text, 0)
    change(small_ms / "OBSERVATION", "OBSERVER", text, 0)
    change(small_ms / "ANTENNA", "NAME", "é\u202e", 0)
    summary = summarise_measurement_set(small_ms)
    for shown in (summary.fields[0].name, summary.observer, summary.antennas[0].name):
        assert shown.isprintable()
        assert len(shown) <= 200
    assert summary.fields[0].name.startswith("<script>")


def no_target(path):
    change(path / "STATE", "OBS_MODE", "CALIBRATE_PHASE#UNSPECIFIED", 0)


def no_states(path):
    """As importuvfits leaves it."""
    from vlasscube import casa

    change(path, "STATE_ID", -1)
    with casa.table(path / "STATE", writable=True) as table:
        table.removerows(list(range(table.nrows())))


def remove_column(name):
    def damage(path):
        from vlasscube import casa

        with casa.table(path, writable=True) as table:
            table.removecols(name)

    return damage


def remove_rows(path):
    from vlasscube import casa

    empty = path.with_name("empty.ms")
    with casa.table(path) as table:
        table.copy(str(empty), deep=True, norows=True).close()
    for name in (
        "ANTENNA",
        "DATA_DESCRIPTION",
        "FIELD",
        "OBSERVATION",
        "POLARIZATION",
        "SPECTRAL_WINDOW",
        "STATE",
    ):
        shutil.rmtree(empty / name)
        shutil.copytree(path / name, empty / name)
    shutil.rmtree(path)
    empty.rename(path)


def truncate(path):
    (path / "table.dat").write_bytes((path / "table.dat").read_bytes()[:500])


@casa_test
@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (no_target, "no data with the intent OBSERVE_TARGET, only with CALIBRATE_AMPLI#.*CALIBRATE_PHASE"),
        (no_states, "has no intents"),
        (lambda path: change(path / "STATE", "OBS_MODE", ""), "has no intents"),
        (remove_column("FLAG"), "lacks column FLAG"),
        (remove_rows, "has no rows"),
        (truncate, "cannot be read"),
        (lambda path: shutil.rmtree(path / "FIELD"), "lacks subtable FIELD"),
        (
            lambda path: change(path / "OBSERVATION", "TELESCOPE_NAME", "ALMA\x1b", 0),
            "'ALMA.*' *, not from the VLA",
        ),
        (lambda path: change(path, "FIELD_ID", 99), "FIELD_ID goes from 99"),
        (lambda path: change(path, "STATE_ID", 2), "STATE_ID goes from 2"),
        (lambda path: change(path, "STATE_ID", -1), "has no intents"),
        (lambda path: change(path, "TIME", np.nan), "not finite"),
    ],
)
def test_refused(small_ms, damage, reason):
    damage(small_ms)
    with pytest.raises(MeasurementSetError, match=reason) as caught:
        summarise_measurement_set(small_ms)
    assert caught.value.hint


@casa_test
def test_another_kind_of_table(small_ms):
    with pytest.raises(MeasurementSetError, match="not a complete measurement set"):
        summarise_measurement_set(small_ms / "FIELD")


def test_no_table_at_all(tmp_path):
    (tmp_path / "x.ms").mkdir()
    (tmp_path / "file.ms").touch()
    for name, reason in (("x.ms", "not a measurement set"), ("file.ms", "not a"), ("none.ms", "There is no")):
        with pytest.raises(MeasurementSetError, match=reason):
            summarise_measurement_set(tmp_path / name)


def test_no_science_windows():
    summary = MeasurementSetSummary(
        "x.ms", "EVLA", "", "", 1, 1, (), ("RR", "LL"), 0.45, 0, 1, (), 1, (), (), ()
    )
    with pytest.raises(MeasurementSetError, match="no spectral window"):
        require_science_windows(summary)
    window = SpectralWindow(2, "", 2.028e9, 128e6, 2e6, 64, 1)
    with pytest.raises(MeasurementSetError, match="lacks the correlations RL, LR"):
        require_science_windows(replace(summary, spectral_windows=(window,)))
