"""The simulated measurement set, read back through CASA."""

import numpy as np
import pytest

from vlasscube import casa
from vlasscube.naming import parse_field_position
from vlasscube.simulation import preset
from vlasscube.simulation.build import observe
from vlasscube.simulation.field_data import ideal_visibilities
from vlasscube.simulation.measurement_set import write_measurement_set
from vlasscube.simulation.spectral_windows import spw_name

pytestmark = pytest.mark.casa

PARAMETERS = preset(
    "tiny",
    missing_antennas=2,
    first_field_id=30,
    science_spws=(2, 3, 10),
    rfi_spws=(3,),
    heavily_flagged_spws=(2,),
    heavily_flagged_fields=2,
    nan_visibilities=50,
    flagged_correlation="LL",
    dec_deg=-10.0,
)


@pytest.fixture(scope="module")
def observation():
    return observe(PARAMETERS, 3)


@pytest.fixture(scope="module")
def ms(casa_session, observation, tmp_path_factory):
    path = tmp_path_factory.mktemp("ms") / PARAMETERS.input_ms
    fractions = []
    rows = write_measurement_set(path, observation, fractions.append)
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1.0
    with casa.table(path) as table:
        assert table.nrows() == rows
    return path


@pytest.fixture(scope="module")
def main(ms):
    with casa.table(ms) as table:
        names = set(table.colnames())
        return {name: table.getcol(name) for name in names - {"FLAG_CATEGORY"}}


def column(ms, subtable, name):
    with casa.table(ms / subtable) as table:
        return table.getcol(name)


def test_columns_are_those_of_an_archive_measurement_set(main):
    assert {"DATA", "FLAG", "WEIGHT", "SIGMA", "UVW"} <= set(main)
    assert not {"MODEL_DATA", "CORRECTED_DATA", "WEIGHT_SPECTRUM"} & set(main)


def test_rows_are_in_order_and_complete(main, observation):
    baselines = 23 * 22 // 2
    assert len(main["TIME"]) == 8 * 2 * 3 * baselines
    assert np.all(np.diff(main["TIME"]) >= 0)
    keys = np.stack([main[name] for name in ("TIME", "DATA_DESC_ID", "ANTENNA1", "ANTENNA2")])
    assert len(np.unique(keys, axis=1).T) == len(main["TIME"])
    assert set(main["DATA_DESC_ID"]) == {2, 3, 10}
    assert set(main["FIELD_ID"]) == set(range(30, 38))
    for pointing in observation.pointings:
        rows = main["FIELD_ID"] == pointing.field_id
        assert set(main["SCAN_NUMBER"][rows]) == {pointing.scan}
        assert sorted(set(main["TIME"][rows])) == pytest.approx(sorted(pointing.times_mjd_s), abs=1e-5)
    assert set(main["ANTENNA1"]) | set(main["ANTENNA2"]) == set(observation.array.active)


def test_weights_are_nyquist_weights(main):
    assert main["WEIGHT"] == pytest.approx(2 * 16e6 * 0.45)
    assert main["SIGMA"] == pytest.approx(main["WEIGHT"] ** -0.5)
    assert np.all(main["EXPOSURE"] == 0.45)
    assert np.all(main["INTERVAL"] == 0.45)


def test_data_are_the_sky_with_phase_errors_noise_and_interference(main, observation):
    from vlasscube.simulation import corruption

    pointing = observation.pointings[3]
    for spw, width in ((2, 8), (3, 8)):
        rows = (main["FIELD_ID"] == pointing.field_id) & (main["DATA_DESC_ID"] == spw)
        frequencies = 2.028e9 + 128e6 * (spw - 2) + 16e6 * (np.arange(width) - 3.5)
        model = ideal_visibilities(
            PARAMETERS, observation.sources, pointing, main["UVW"].T[rows], frequencies
        )
        phases = corruption.phase_errors_rad(PARAMETERS, 3, pointing.scan, observation.array.positions_m)
        model *= np.exp(1j * (phases[main["ANTENNA1"][rows]] - phases[main["ANTENNA2"][rows]]))
        residual = main["DATA"][:, :, rows] - model
        expected = corruption.noise_jy(frequencies, 16e6, 0.45)
        scatter = np.sqrt(np.nanmean(np.abs(residual) ** 2, axis=(0, 2)) / 2)
        affected = np.zeros(8, dtype=bool)
        for event in observation.interference:
            if event.spw == spw and event.covers(pointing.field_id):
                affected[event.first_channel : event.last_channel + 1] = True
        assert affected.any() == (spw == 3)
        assert scatter[~affected] == pytest.approx(expected[~affected], rel=0.06)
        assert np.all(scatter[affected] > 5 * expected[affected])


def test_flags(main):
    flag = main["FLAG"]
    np.testing.assert_array_equal(main["FLAG_ROW"], flag.all(axis=(0, 1)))
    bad = np.isnan(main["DATA"])
    assert bad.sum() == 50
    assert flag[bad].all()
    assert flag[3][:, main["ANTENNA1"] == 0].all() or 0 not in set(main["ANTENNA1"])
    fractions = {
        field: flag[:, :, (main["FIELD_ID"] == field) & (main["DATA_DESC_ID"] == 2)].mean()
        for field in set(main["FIELD_ID"])
    }
    assert sum(fraction >= 0.95 for fraction in fractions.values()) == 2


def test_fields(ms, observation):
    names = column(ms, "FIELD", "NAME")
    directions = column(ms, "FIELD", "PHASE_DIR")[:, 0]
    assert len(names) == 38
    for name, direction in zip(names, directions.T, strict=True):
        ra, dec = np.deg2rad(parse_field_position(name))
        assert (direction[0] - ra + np.pi) % (2 * np.pi) - np.pi == pytest.approx(0.0, abs=1e-9)
        assert direction[1] == pytest.approx(dec, abs=1e-9)
    assert list(names[30:]) == [pointing.name for pointing in observation.pointings]
    sources = column(ms, "SOURCE", "SOURCE_ID")
    assert set(column(ms, "FIELD", "SOURCE_ID")) <= set(sources)


def test_spectral_windows(ms):
    assert list(column(ms, "SPECTRAL_WINDOW", "NAME")) == [spw_name(spw) for spw in range(18)]
    assert spw_name(2) == "EVLA_S#A0C0#2"
    assert set(column(ms, "SPECTRAL_WINDOW", "BBC_NO")) == {12, 15}
    with casa.table(ms / "SPECTRAL_WINDOW") as table:
        for spw in range(2, 18):
            frequencies = table.getcell("CHAN_FREQ", spw)
            assert frequencies.mean() == pytest.approx(2.028e9 + 128e6 * (spw - 2))
            assert table.getcell("CHAN_WIDTH", spw).sum() == pytest.approx(128e6)
        assert all(8e9 < table.getcell("CHAN_FREQ", spw).mean() < 12e9 for spw in (0, 1))
    assert list(column(ms, "DATA_DESCRIPTION", "SPECTRAL_WINDOW_ID")) == list(range(18))
    assert column(ms, "POLARIZATION", "CORR_TYPE").T.tolist() == [[5, 6, 7, 8]]


def test_what_the_official_pipeline_asks_for(ms):
    assert list(column(ms, "OBSERVATION", "TELESCOPE_NAME")) == ["EVLA"]
    assert "38546349" in column(ms, "OBSERVATION", "SCHEDULE")[0, 0]
    assert list(column(ms, "PROCESSOR", "TYPE")) == ["CORRELATOR"]
    assert list(column(ms, "STATE", "OBS_MODE")) == ["OBSERVE_TARGET#UNSPECIFIED"]
    assert set(column(ms, "ANTENNA", "DISH_DIAMETER")) == {25.0}
    assert len(column(ms, "ANTENNA", "NAME")) == 25


def test_pointing_table_follows_the_scan(ms, observation):
    directions = column(ms, "POINTING", "DIRECTION")[:, 0].T
    times = column(ms, "POINTING", "TIME")
    assert len(times) == 8 * 2 * 25
    for pointing in observation.pointings:
        for time, direction in zip(pointing.times_mjd_s, pointing.dump_directions_rad, strict=True):
            rows = np.abs(times - time) < 0.01
            assert rows.sum() == 25
            assert directions[rows] == pytest.approx(np.tile(direction, (25, 1)), abs=1e-12)


def test_casa_reads_the_metadata(ms):
    tool = casa.tools().msmetadata()
    tool.open(str(ms))
    try:
        assert tool.fieldsforintent("OBSERVE_TARGET#UNSPECIFIED").tolist() == list(range(30, 38))
        assert tool.scannumbers().tolist() == [346, 349]
        assert tool.spwsforintent("OBSERVE_TARGET#UNSPECIFIED").tolist() == [2, 3, 10]
        assert tool.observatorynames() == ["EVLA"]
    finally:
        tool.done()


def test_the_same_seed_gives_the_same_data(ms, main, observation, tmp_path):
    write_measurement_set(tmp_path / "again.ms", observe(PARAMETERS, 3))
    with casa.table(tmp_path / "again.ms") as table:
        np.testing.assert_array_equal(table.getcol("DATA"), main["DATA"])
        np.testing.assert_array_equal(table.getcol("FLAG"), main["FLAG"])


def test_beam_at_each_dump(observation):
    import dataclasses

    p = dataclasses.replace(PARAMETERS, beam_at="dump")
    pointing = observation.pointings[0]
    uvw = np.zeros((2, 1, 3))
    moving = ideal_visibilities(p, observation.sources, pointing, uvw, np.array([3.0e9]))
    fixed = ideal_visibilities(PARAMETERS, observation.sources, pointing, uvw, np.array([3.0e9]))
    assert fixed[0, 0, 0] == fixed[0, 0, 1]
    assert abs(moving[0, 0, 0] - moving[0, 0, 1]) > 1e-3 * abs(fixed[0, 0, 0])
    assert moving[0, 0].mean() == pytest.approx(fixed[0, 0, 0], rel=0.05)
