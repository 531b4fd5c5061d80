"""Writing MODEL_DATA; CASA's own column is the oracle."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

from vlasscube import casa, casacore_tables
from vlasscube.errors import MeasurementSetError
from vlasscube.measurement_set.model_column import write_model_column
from vlasscube.measurement_set.visibilities import read_visibilities
from vlasscube.mosaic.visibilities import SpectralWindowData
from vlasscube.records import DataSelection

pytestmark = pytest.mark.casa


@pytest.fixture
def ms(small_ms):
    with casacore_tables.table(small_ms, writable=True) as table:
        table.removecols(["CORRECTED_DATA", "MODEL_DATA"])
    return small_ms


def windows(ms) -> tuple[SpectralWindowData, ...]:
    selection = DataSelection("0,1", "1,2", "", "", "", "")
    return read_visibilities(ms, selection, column="data").spectral_windows


def test_the_column_is_as_casa_makes_it(ms, tmp_path):
    theirs = tmp_path / "theirs.ms"
    shutil.copytree(ms, theirs)
    casa.run_task("clearcal", vis=str(theirs), addmodel=True)
    write_model_column(ms, [])
    with casacore_tables.table(ms) as ours, casacore_tables.table(theirs) as expected:
        assert ours.getcoldesc("MODEL_DATA") == expected.getcoldesc("MODEL_DATA")
        managers = [table.getdminfo("MODEL_DATA") for table in (ours, expected)]
        assert managers[0]["NAME"] == managers[1]["NAME"]
        assert managers[0]["TYPE"] == managers[1]["TYPE"]
        for row in range(ours.nrows()):
            np.testing.assert_array_equal(
                ours.getcell("MODEL_DATA", row), expected.getcell("MODEL_DATA", row)
            )
    with casa.table(ms) as table:
        assert table.getcell("MODEL_DATA", 0)[:, 0].tolist() == [1, 0, 0, 1]
    casa.run_task("uvsub", vis=str(ms))


def test_a_model_comes_back_where_it_belongs(ms, monkeypatch):
    monkeypatch.setattr("vlasscube.measurement_set.model_column._BATCH_ROWS", 5)
    rng = np.random.default_rng(0)
    models = {
        window.id: rng.normal(size=(*window.data.shape, 2)).astype(np.float32).view(np.complex64)[..., 0]
        for window in windows(ms)
    }
    write_model_column(ms, ((window.row, models[window.id]) for window in windows(ms)))
    with casa.table(ms) as table:
        written = {}
        for window in windows(ms):
            for row, model in zip(window.row.tolist(), models[window.id], strict=True):
                written[row] = model
        for row in range(table.nrows()):
            found = table.getcell("MODEL_DATA", row).T
            if row in written:
                np.testing.assert_array_equal(found, written[row])
            else:
                assert (found == [1, 0, 0, 1]).all()
    # Once more, now that the column is there: other rows stay.
    window = windows(ms)[0]
    write_model_column(ms, [(window.row[:1], np.zeros((1, window.channels, 4), np.complex64))])
    with casa.table(ms) as table:
        assert not table.getcell("MODEL_DATA", int(window.row[0])).any()
        np.testing.assert_array_equal(
            table.getcell("MODEL_DATA", int(window.row[1])).T, written[window.row[1]]
        )


def test_a_model_that_does_not_fit(ms):
    window = windows(ms)[0]
    with pytest.raises(MeasurementSetError, match="does not fit"):
        write_model_column(ms, [(window.row, window.data[:, :1])])
