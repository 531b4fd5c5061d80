"""Data without a model or a self-calibration solution. Oracles: flags counted by numpy, applycal itself."""

from __future__ import annotations

import numpy as np
import pytest

from vlasscube import casa
from vlasscube.errors import MeasurementSetError
from vlasscube.measurement_set.restore import apply_selfcal, save_flags, saved_flags
from vlasscube.measurement_set.restored_data import data_without_model, data_without_solution

pytestmark = pytest.mark.casa

SPW = 1


@pytest.fixture
def ms(small_ms):
    """With data: a point source and noise."""
    rng = np.random.default_rng(2)
    with casa.table(small_ms, writable=True) as table:
        table.putcol("FLAG_ROW", np.zeros(table.nrows(), bool))
        for row in range(table.nrows()):
            shape = table.getcell("DATA", row).shape
            table.putcell("DATA", row, np.exp(0.3j * rng.normal(size=shape)))
            table.putcell("FLAG", row, rng.random(shape) < 0.1)
    return small_ms


def rows_of(ms):
    with casa.table(ms) as table:
        columns = {
            name: table.getcol(name)
            for name in ("ANTENNA1", "ANTENNA2", "SCAN_NUMBER", "DATA_DESC_ID", "FLAG_ROW", "TIME")
        }
        cells = [
            {name: table.getcell(name, row) for name in ("FLAG", "DATA", "CORRECTED_DATA")}
            for row in range(table.nrows())
        ]
    return columns, cells


def check_shares(found, columns, affected, unflagged, antennas):
    """Fractions by antenna, scan and window, from the numbers of each row."""
    first, second = columns["ANTENNA1"], columns["ANTENNA2"]
    for number in range(4):
        total = unflagged[(first == number) | (second == number)].sum()
        own = antennas[0][first == number].sum() + antennas[1][second == number].sum()
        assert found.by_antenna.get(f"ea{number + 1:02d}", 0) == pytest.approx(own / total)
    for shares, key in ((found.by_scan, "SCAN_NUMBER"), (found.by_spw, "DATA_DESC_ID")):
        for number in np.unique(columns[key]):
            rows = columns[key] == number
            expected = affected[rows].sum() / unflagged[rows].sum()
            assert shares.get(int(number), 0) == pytest.approx(expected)


def test_data_that_were_flagged_when_the_model_was_predicted(ms):
    save_flags(ms, "before", "as the model was predicted")
    _, before = rows_of(ms)
    with casa.table(ms, writable=True) as table:
        for row in range(table.nrows()):
            flag = table.getcell("FLAG", row)
            # Un-flagged on one antenna in one scan; elsewhere some more are flagged.
            if table.getcell("SCAN_NUMBER", row) == 5 and 2 in (
                table.getcell("ANTENNA1", row),
                table.getcell("ANTENNA2", row),
            ):
                flag[:] = False
            else:
                flag[:, 0] = True
            table.putcell("FLAG", row, flag)
        table.putcell("FLAG_ROW", 0, True)
    found = data_without_model(ms, saved_flags(ms, "before"))
    columns, after = rows_of(ms)
    good = [~now["FLAG"] & ~flag_row for now, flag_row in zip(after, columns["FLAG_ROW"], strict=True)]
    lost = [int((now & (old["FLAG"] & now).any(axis=0)).sum()) for now, old in zip(good, before, strict=True)]
    affected, unflagged = np.array(lost), np.array([int(now.sum()) for now in good])
    assert (found.count, found.unflagged) == (affected.sum(), unflagged.sum())
    assert found.count > 0
    check_shares(found, columns, affected, unflagged, (affected, affected))
    assert "ea03 (" in found.places
    assert "scans 5 (" in found.places
    assert str(found).endswith(f"({100 * found.count / found.unflagged:.3g} %)")


def test_nothing_is_without_a_model_where_no_flag_was_taken_away(ms):
    save_flags(ms, "before", "as the model was predicted")
    with casa.table(ms, writable=True) as table:
        for row in range(table.nrows()):
            flag = table.getcell("FLAG", row)
            table.putcell("FLAG", row, np.broadcast_to(flag.any(axis=0), flag.shape).copy())
    found = data_without_model(ms, saved_flags(ms, "before"))
    assert (found.count, found.by_antenna, found.by_scan, found.by_spw) == (0, {}, {}, {})


def test_flags_of_another_measurement_set(ms, tmp_path):
    save_flags(ms, "before", "")
    with casa.table(saved_flags(ms, "before"), writable=True) as table:
        table.addrows(1)
    with pytest.raises(MeasurementSetError, match="rows"):
        data_without_model(ms, saved_flags(ms, "before"))


@pytest.mark.parametrize("missing", ["flagged", "removed"])
def test_data_that_applycal_leaves_uncalibrated(ms, tmp_path, missing):
    """Antenna 2 has no solution, antenna 1 none in scan 5, antenna 3 none in scan 8 for L."""
    caltable = tmp_path / "selfcal.tbl"
    casa.run_task("clearcal", vis=str(ms), addmodel=True)
    casa.run_task(
        "gaincal", vis=str(ms), caltable=str(caltable), spw="1,2", solint="inf", combine="spw,field",
        refant="ea01", minblperant=1, minsnr=0, gaintype="G", calmode="p",
    )  # fmt: skip
    with casa.table(caltable, writable=True) as table:
        gain, antenna, scan = table.getcol("CPARAM"), table.getcol("ANTENNA1"), table.getcol("SCAN_NUMBER")
        time, flag = table.getcol("TIME"), np.zeros(gain.shape, bool)
        phase = 0.2 * (1 + antenna) ** 2 + 0.01 * scan
        gain[:] = np.exp(1j * phase)
        flag[..., antenna == 2] = True
        flag[..., (antenna == 1) & (scan == 5)] = True
        flag[1, :, (antenna == 3) & (scan == 8)] = True
        table.putcol("CPARAM", gain)
        table.putcol("FLAG", flag)
        present = np.ones(antenna.size, bool)
        if missing == "removed":
            present = ~flag.all(axis=(0, 1))
            table.removerows(np.flatnonzero(~present).tolist())
    apply_selfcal(ms, caltable, SPW, 4)
    found = data_without_solution(ms, caltable, SPW)
    columns, cells = rows_of(ms)
    affected, unflagged, own = [], [], ([], [])
    for row, cell in enumerate(cells):
        good = ~cell["FLAG"]
        ends = columns["ANTENNA1"][row], columns["ANTENNA2"][row]
        nearest = [
            min(
                np.flatnonzero((antenna == end) & present),
                key=lambda one, row=row: abs(time[one] - columns["TIME"][row]),
                default=None,
            )
            for end in ends
        ]
        if None in nearest:
            calibrated = np.zeros(good.shape, bool)
        else:
            expected = cell["DATA"] * np.exp(1j * (phase[nearest[1]] - phase[nearest[0]]))
            calibrated = np.abs(cell["CORRECTED_DATA"] - expected) < 1e-5
        affected.append((good & ~calibrated).sum())
        unflagged.append(good.sum())
        for one, solution, receptors in zip(own, nearest, ((0, 0, 1, 1), (0, 1, 0, 1)), strict=True):
            lack = np.array([solution is None or flag[k, 0, solution] for k in receptors])
            one.append((good & lack[:, None]).sum())
    affected, unflagged = np.array(affected), np.array(unflagged)
    assert (found.count, found.unflagged) == (affected.sum(), unflagged.sum())
    assert 0 < found.count < found.unflagged
    check_shares(found, columns, affected, unflagged, (np.array(own[0]), np.array(own[1])))
    assert found.by_antenna["ea03"] == 1
    assert "ea01" not in found.by_antenna
