"""Reading visibilities; CASA's own selection, measures and imager are the oracles."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from vlasscube import casa, casacore_tables
from vlasscube.errors import MeasurementSetError
from vlasscube.measurement_set.frequency_frame import lsrk_factor
from vlasscube.measurement_set.visibilities import read_visibilities
from vlasscube.mosaic.visibilities import ALL_USABLE, ROW_FLAGGED
from vlasscube.records import DataSelection

EVERYTHING = DataSelection("", "", "", "", "", "")
VLA_M = (-1601188.989351, -5042000.518599, 3554843.38448)


def selection(**parts: str) -> DataSelection:
    return DataSelection(**{**EVERYTHING.__dict__, **parts})


@pytest.fixture(scope="module")
def filled_ms(pristine_ms, tmp_path_factory) -> Path:
    """With data, random baselines of up to 15 km, weights and flags; EXPOSURE is the row number."""
    path = tmp_path_factory.mktemp("filled") / pristine_ms.name
    shutil.copytree(pristine_ms, path)
    rng = np.random.default_rng(3)
    with casacore_tables.table(path, writable=True) as table:
        table.removecols(["CORRECTED_DATA", "MODEL_DATA"])
        rows = table.nrows()
        direction = rng.normal(size=(rows, 3))
        length = rng.uniform(10, 15000, rows)
        table.putcol("UVW", direction / np.linalg.norm(direction, axis=1)[:, None] * length[:, None])
        table.putcol("EXPOSURE", np.arange(rows, dtype=float))
        table.putcol("WEIGHT", rng.uniform(0.5, 2, (rows, 4)).astype(np.float32))
        for row in range(rows):
            shape = (*table.getcell("DATA", row).shape, 2)
            values = rng.normal(size=shape).astype(np.float32).view(np.complex64)[..., 0]
            table.putcell("DATA", row, values)
            table.putcell("FLAG", row, rng.random(values.shape) < 0.1)
        table.putcol("FLAG_ROW", rng.random(rows) < 0.05)
    return path


@pytest.fixture
def ms(filled_ms, tmp_path) -> Path:
    path = tmp_path / filled_ms.name
    shutil.copytree(filled_ms, path)
    return path


def casa_rows(path: Path, chosen: DataSelection) -> list[int]:
    """Row numbers by CASA's selection."""
    tool = casa.tools().ms()
    tool.open(str(path))
    try:
        names = {"antenna": "baseline", "intent": "scanintent", "uvrange": "uvdist"}
        parts = {names.get(name, name): text for name, text in chosen.__dict__.items() if text}
        if parts and not tool.msselect(parts):
            return []
        return sorted(int(row) for row in tool.range(["rows"])["rows"])
    finally:
        tool.close()


SELECTIONS = (
    selection(),
    selection(field="0"),
    selection(field="0,1", spw="1"),
    selection(field="1~2", spw="0~1"),
    selection(field="0,99", spw="2"),
    selection(scan="5,8"),
    selection(scan="4~8", spw="2"),
    selection(antenna="0,1,2,3&"),
    selection(antenna="0~2&", spw="1,2"),
    selection(antenna="1,3,77&&"),
    selection(intent="OBSERVE_TARGET#UNSPECIFIED"),
    selection(intent="*OBSERVE_TARGET*"),
    selection(intent="CALIBRATE*"),
    selection(uvrange="<12km"),
    selection(uvrange="<5000", spw="1"),
    selection(uvrange=">1.5km"),
    selection(uvrange="2~7km"),
    selection(uvrange="2000~7000m,>9.5km"),
    selection(uvrange="<30klambda"),
    selection(uvrange="5~60klambda", spw="1,2"),
    selection(uvrange=">0.05Mlambda"),
    selection(
        field="0,1",
        spw="1,2",
        antenna="0,1,2,3&",
        scan="5,8",
        intent="OBSERVE_TARGET#UNSPECIFIED",
        uvrange="<12km",
    ),
)


@pytest.mark.casa
@pytest.mark.parametrize(
    "chosen", SELECTIONS, ids=lambda chosen: "-".join(filter(None, chosen.__dict__.values()))
)
def test_rows_equal_casa(filled_ms, chosen):
    visibilities = read_visibilities(filled_ms, chosen, column="data")
    rows = sorted(row for window in visibilities.spectral_windows for row in window.row.tolist())
    assert rows == casa_rows(filled_ms, chosen)
    assert rows


@pytest.mark.casa
@pytest.mark.parametrize("unit", ["m", "km"])
def test_uvrange_takes_in_its_ends_as_casa_does(ms, unit):
    with casacore_tables.table(ms, writable=True) as table:
        uvw = np.zeros((table.nrows(), 3))
        uvw[:, 0] = 1499.0 + np.arange(table.nrows()) % 3
        uvw[:, 2] = 1e6
        table.putcol("UVW", uvw)
    value = {"m": "1500m", "km": "1.5km"}[unit]
    number = value.removesuffix(unit)
    for text in (f"<{value}", f">{value}", f"{number}~{value}"):
        visibilities = read_visibilities(ms, selection(uvrange=text), column="data")
        rows = sorted(row for window in visibilities.spectral_windows for row in window.row.tolist())
        assert rows == casa_rows(ms, selection(uvrange=text))


@pytest.mark.casa
def test_columns(filled_ms):
    visibilities = read_visibilities(filled_ms, selection(field="0,1", spw="1,2"), column="data")
    assert [window.id for window in visibilities.spectral_windows] == [1, 2]
    assert [field.id for field in visibilities.fields] == [0, 1]
    for window in visibilities.spectral_windows:
        assert window.data.shape == (window.rows, window.channels, 4)
        with casa.table(filled_ms) as table:
            for index, row in enumerate(window.row.tolist()):
                flag = table.getcell("FLAG", row).T | table.getcell("FLAG_ROW", row)
                usable = np.unpackbits(window.usable[index][:, None], axis=1, bitorder="little")[:, :4]
                np.testing.assert_array_equal(usable, ~flag)
                by_row_alone = ~table.getcell("FLAG", row).any(axis=0) & table.getcell("FLAG_ROW", row)
                np.testing.assert_array_equal(window.usable[index] == ROW_FLAGGED, by_row_alone)
                np.testing.assert_array_equal(window.data[index], table.getcell("DATA", row).T)
                np.testing.assert_array_equal(window.uvw_m[index], table.getcell("UVW", row))
                expected = table.getcell("WEIGHT", row)[[0, 3]].mean()
                np.testing.assert_allclose(window.weight[index], expected, rtol=1e-6)
                assert window.time_mjd_s[index] == table.getcell("TIME", row)
                assert window.antenna1[index] == table.getcell("ANTENNA1", row)
                assert window.antenna2[index] == table.getcell("ANTENNA2", row)
                assert visibilities.fields[window.field_index[index]].id == table.getcell("FIELD_ID", row)
        with casa.table(filled_ms / "SPECTRAL_WINDOW") as table:
            np.testing.assert_array_equal(window.channel_frequency_hz, table.getcell("CHAN_FREQ", window.id))
    assert visibilities.count == sum(window.usable.size for window in visibilities.spectral_windows) > 0
    assert visibilities.non_finite == visibilities.bad_weights == 0
    assert visibilities.observation.telescope == "EVLA"
    assert visibilities.observation.object_name == "0050003-023000"
    assert len(visibilities.observation.antenna_position_m) == 4


@pytest.mark.casa
def test_many_batches_equal_one(filled_ms, monkeypatch):
    from vlasscube.measurement_set import visibilities as module

    whole = read_visibilities(filled_ms, selection(spw="1"), column="data").spectral_windows[0]
    monkeypatch.setattr(module, "_BATCH_BYTES", 4 * 4 * 4 * 8 * 7)
    monkeypatch.setattr(module, "_SCAN_ROWS", 11)
    pieces = read_visibilities(filled_ms, selection(spw="1"), column="data").spectral_windows[0]
    for name in ("row", "data", "usable", "weight", "uvw_m", "field_index"):
        np.testing.assert_array_equal(getattr(whole, name), getattr(pieces, name))


@pytest.mark.casa
def test_the_measurement_set_is_left_alone(ms):
    def state() -> dict[Path, tuple[int, bytes]]:
        return {
            path: (path.stat().st_mtime_ns, path.read_bytes()) for path in ms.rglob("*") if path.is_file()
        }

    before = state()
    read_visibilities(ms, selection(uvrange="<12km"), column="data")
    assert state() == before
    with casa.table(ms, writable=True) as table:
        # No lock is left that would keep CASA from writing.
        table.putcell("SCAN_NUMBER", 0, table.getcell("SCAN_NUMBER", 0))


@pytest.mark.casa
def test_what_is_not_finite_is_not_usable(ms):
    with casacore_tables.table(ms, writable=True) as table:
        row = int(np.flatnonzero(table.getcol("DATA_DESC_ID") == 1)[0])
        data, flag = table.getcell("DATA", row), table.getcell("FLAG", row)
        data[1, 2], data[2, 0], data[3, 3] = np.nan, np.inf, complex(0, np.nan)
        flag[:], flag[3, 3] = False, True
        table.putcell("DATA", row, data)
        table.putcell("FLAG", row, flag)
        table.putcell("FLAG_ROW", row, False)
    visibilities = read_visibilities(ms, selection(spw="1"), column="data")
    window = visibilities.spectral_windows[0]
    index = window.row.tolist().index(row)
    assert visibilities.non_finite == 2
    assert window.usable[index].tolist() == [15, 15 - 4, 15 - 1, 15 - 8]
    assert np.isfinite(window.data).all()
    assert window.data[index, 1, 2] == window.data[index, 3, 3] == 0


@pytest.mark.casa
def test_autocorrelations_are_not_usable(ms):
    with casacore_tables.table(ms, writable=True) as table:
        table.putcol("ANTENNA2", table.getcol("ANTENNA1", 0, 3), 0, 3)
    visibilities = read_visibilities(ms, selection(), column="data")
    by_row = {
        row: bits
        for window in visibilities.spectral_windows
        for row, bits in zip(window.row.tolist(), window.usable, strict=True)
    }
    assert not any(by_row[row].any() for row in range(3))
    assert any(bits.any() for bits in by_row.values())


def add_column(path: Path, name: str, like: str) -> None:
    with casacore_tables.table(path, writable=True) as table:
        description = table.getcoldesc(like)
        description |= {"dataManagerGroup": name, "dataManagerType": "TiledShapeStMan"}
        if name == "WEIGHT_SPECTRUM":
            description |= {"valueType": "float"}
        table.addcols({name: description}, {"NAME": name, "TYPE": "TiledShapeStMan", "SPEC": {}})


@pytest.mark.casa
def test_weight_spectrum_takes_precedence_once_filled(ms):
    plain = read_visibilities(ms, selection(spw="1"), column="data").spectral_windows[0]
    add_column(ms, "WEIGHT_SPECTRUM", "DATA")
    empty = read_visibilities(ms, selection(spw="1"), column="data").spectral_windows[0]
    np.testing.assert_array_equal(empty.weight, plain.weight)
    rng = np.random.default_rng(5)
    spectra = {}
    with casacore_tables.table(ms, writable=True) as table:
        for row in range(table.nrows()):
            spectra[row] = rng.uniform(0, 3, table.getcell("DATA", row).shape).astype(np.float32)
            table.putcell("WEIGHT_SPECTRUM", row, spectra[row])
    filled = read_visibilities(ms, selection(spw="1"), column="data").spectral_windows[0]
    expected = np.stack([spectra[row][:, [0, 3]].mean(axis=1) for row in filled.row.tolist()])
    np.testing.assert_allclose(filled.weight, expected, rtol=1e-6)


@pytest.mark.casa
def test_bad_weights_count_as_zero(ms):
    with casacore_tables.table(ms, writable=True) as table:
        rows = np.flatnonzero(table.getcol("DATA_DESC_ID") == 1)[:3].tolist()
        for row, weight in zip(rows, ([np.nan, 1, 1, 1], [-3, 1, 1, 1], [0, np.nan, -5, 1]), strict=True):
            table.putcell("WEIGHT", row, np.array(weight, np.float32))
    visibilities = read_visibilities(ms, selection(spw="1"), column="data")
    window = visibilities.spectral_windows[0]
    weights = [window.weight[window.row.tolist().index(row)].tolist() for row in rows]
    # The cross hands do not matter.
    assert weights == [[0.0] * 4, [0.0] * 4, [0.5] * 4]
    assert visibilities.bad_weights == 2 * 4


@pytest.mark.casa
@pytest.mark.parametrize(
    ("chosen", "text"),
    [
        (selection(field="0050*"), "field='0050"),
        (selection(spw="1:0~2"), "spw='1:0~2'"),
        (selection(antenna="0,1"), "antenna='0,1'"),
        (selection(antenna="ea01&"), "antenna"),
        (selection(uvrange="<12 furlong"), "uvrange"),
        (selection(uvrange="500m~1km"), "uvrange"),
        (selection(uvrange="<=1km"), "uvrange"),
        (selection(field="99"), "no data"),
        (selection(spw="3"), "no data"),
        (selection(intent="OBSERVE_TARGET"), "no data"),
        (selection(uvrange=">100km"), "no data"),
    ],
)
def test_selections_that_cannot_be(filled_ms, chosen, text):
    with pytest.raises(MeasurementSetError) as caught:
        read_visibilities(filled_ms, chosen, column="data")
    assert text in caught.value.message
    assert caught.value.hint


@pytest.mark.casa
def test_missing_column(filled_ms):
    with pytest.raises(MeasurementSetError, match="CORRECTED_DATA") as caught:
        read_visibilities(filled_ms, selection())
    assert "hifv_restorepims" in caught.value.hint


@pytest.mark.casa
def test_column_that_was_not_filled(ms):
    add_column(ms, "CORRECTED_DATA", "DATA")
    with pytest.raises(MeasurementSetError, match="is empty"):
        read_visibilities(ms, selection())


@pytest.mark.casa
def test_other_correlations(ms):
    with casacore_tables.table(ms / "POLARIZATION", writable=True) as table:
        for row in range(table.nrows()):
            table.putcell("CORR_TYPE", row, np.array([9, 10, 11, 12], np.int32))
    with pytest.raises(MeasurementSetError, match="XX XY YX YY, not RR RL LR LL"):
        read_visibilities(ms, selection(spw="1"), column="data")


@pytest.mark.casa
def test_other_frames(ms):
    with casacore_tables.table(ms / "FIELD", writable=True) as table:
        measure = table.getcolkeyword("PHASE_DIR", "MEASINFO")
        table.putcolkeyword("PHASE_DIR", "MEASINFO", {**measure, "Ref": "AZEL"})
    with pytest.raises(MeasurementSetError, match="AZEL"):
        read_visibilities(ms, selection(), column="data")
    with casacore_tables.table(ms / "SPECTRAL_WINDOW", writable=True) as table:
        table.putcell("MEAS_FREQ_REF", 1, 1)
    with pytest.raises(MeasurementSetError, match="not topocentric"):
        read_visibilities(ms, selection(spw="1"), column="data")


@pytest.mark.casa
def test_frame_given_field_by_field(ms):
    with casacore_tables.table(ms / "FIELD", writable=True) as table:
        code = {
            "valueType": "int",
            "dataManagerType": "StandardStMan",
            "dataManagerGroup": "SSM",
            "option": 0,
        }
        table.addcols({"PhaseDir_Ref": {**code, "maxlen": 0, "comment": ""}})
        table.putcol("PhaseDir_Ref", np.array([21, 0, 5], np.int32))
        measure = table.getcolkeyword("PHASE_DIR", "MEASINFO")
        references = {
            "VarRefCol": "PhaseDir_Ref",
            "TabRefTypes": ["J2000", "HADEC", "ICRS"],
            "TabRefCodes": np.array([0, 5, 21], np.uint32),
        }
        table.putcolkeyword("PHASE_DIR", "MEASINFO", {"type": measure["type"], **references})
    with casacore_tables.table(ms / "FIELD") as table:
        given = table.getcol("PHASE_DIR")[:, 0]
    found = read_visibilities(ms, selection(field="0,1"), column="data")
    assert {field.frame for field in found.fields} == {"J2000"}
    assert (found.fields[1].ra_rad, found.fields[1].dec_rad) == (given[1, 0] % (2 * np.pi), given[1, 1])
    # By the 23 mas between the two frames.
    assert 1e-8 < abs(found.fields[0].ra_rad - given[0, 0] % (2 * np.pi)) < 2e-7
    with pytest.raises(MeasurementSetError, match=r"HADEC \(fields 2\)"):
        read_visibilities(ms, selection(field="2"), column="data")


def test_no_measurement_set(tmp_path):
    with pytest.raises(MeasurementSetError, match="no measurement set"):
        read_visibilities(tmp_path / "none.ms", EVERYTHING)
    (tmp_path / "broken.ms").mkdir()
    (tmp_path / "broken.ms" / "table.dat").write_bytes(b"no table")
    with pytest.raises(MeasurementSetError, match="cannot be read"):
        read_visibilities(tmp_path / "broken.ms", EVERYTHING)


@pytest.mark.casa
def test_lsrk_equals_casa():
    measures = casa.tools().measures()
    rng = np.random.default_rng(8)
    x, y, z = VLA_M
    longitude, latitude, distance = np.arctan2(y, x), np.arctan2(z, np.hypot(x, y)), np.linalg.norm(VLA_M)
    site = measures.position("ITRF", f"{longitude:.16g}rad", f"{latitude:.16g}rad", f"{distance:.16g}m")
    measures.doframe(site)
    for _ in range(50):
        ra, dec = float(rng.uniform(0, 2 * np.pi)), float(np.arcsin(rng.uniform(-0.65, 1)))
        time = float(rng.uniform(57900, 60900)) * 86400
        measures.doframe(measures.epoch("UTC", f"{time}s"))
        measures.doframe(measures.direction("J2000", f"{ra}rad", f"{dec}rad"))
        expected = measures.measure(measures.frequency("TOPO", "3GHz"), "LSRK")["m0"]["value"] / 3e9
        assert lsrk_factor(ra, dec, time, VLA_M) == pytest.approx(expected, rel=2e-9)


@pytest.mark.casa
def test_tclean_weighs_the_same_visibilities(ms, tmp_path):
    """Sums of natural weights: what tclean grids is what has all correlations usable."""
    with casacore_tables.table(ms, writable=True) as table:
        uvw = table.getcol("UVW")
        table.putcol("UVW", np.column_stack([uvw[:, :2] / 20, np.zeros(len(uvw))]))
    chosen = selection(field="0,1", spw="1,2", antenna="0,1,2,3&", uvrange="<0.6km")
    window_sums = [
        float((window.weight * (window.usable == ALL_USABLE)).sum(dtype=np.float64))
        for window in read_visibilities(ms, chosen, column="data").spectral_windows
    ]
    casa.run_task(
        "tclean",
        vis=str(ms),
        field=chosen.field,
        spw=chosen.spw,
        antenna=chosen.antenna,
        uvrange=chosen.uvrange,
        imagename=str(tmp_path / "image"),
        datacolumn="data",
        imsize=[64, 64],
        cell="1arcsec",
        stokes="IQUV",
        gridder="standard",
        weighting="natural",
        deconvolver="mtmfs",
        nterms=1,
        niter=0,
        restoration=False,
    )
    with casa.image(tmp_path / "image.sumwt.tt0") as image:
        sums = image.getchunk().ravel()
    np.testing.assert_allclose(sums, sum(window_sums), rtol=1e-5)
