"""The mean time of a plane's data beside sums over all visibilities."""

from dataclasses import replace

import numpy as np
import pytest

from vlasscube.mosaic.imager import ImagerSettings, MosaicImager
from vlasscube.mosaic.observed_time import observed_time
from vlasscube.mosaic.visibilities import ALL_USABLE
from vlasscube.testing.observations import image_grid, observe

GRID = image_grid()
START_MJD_S = 59066 * 86400.0


def test_flagged_rows_have_no_time():
    times = START_MJD_S + np.array([0.0, 10.0, 20.0, 30.0])
    found = observed_time(times, np.array([0.0, 3.0, 1.0, 0.0]))
    assert found.first_mjd_s == START_MJD_S + 10
    assert found.last_mjd_s == START_MJD_S + 20
    assert found.mean_mjd_s == pytest.approx(START_MJD_S + 12.5, abs=1e-5)
    assert observed_time(times, np.zeros(4)) is None


def test_of_an_imager_beside_a_plain_sum():
    visibilities = observe(GRID, antennas=12, size_m=250.0, channels=4)
    (data,) = visibilities.spectral_windows
    rng = np.random.default_rng(7)
    times = START_MJD_S + np.sort(rng.uniform(0, 3600, data.rows))
    # Flags grow with time, weights too; one flagged correlation takes a visibility with it.
    chance = np.linspace(0, 1, data.rows)[:, None]
    usable = np.where(rng.random(data.usable.shape) < chance, ALL_USABLE & 0b1011, ALL_USABLE)
    usable[: data.rows // 10] = 0
    weight = (data.weight * np.linspace(1, 3, data.rows)[:, None]).astype(np.float32)
    seen = replace(data, time_mjd_s=times, usable=usable.astype(np.uint8), weight=weight)
    # Natural weights are those of the data.
    imager = MosaicImager(GRID, replace(visibilities, spectral_windows=(seen,)), ImagerSettings(robust=9.0))
    total = moment = 0.0
    used = []
    for row in range(seen.rows):
        for channel in range(seen.channels):
            if usable[row, channel] == ALL_USABLE:
                total += float(weight[row, channel])
                moment += float(weight[row, channel]) * (times[row] - START_MJD_S)
                used.append(times[row])
    found = imager.observed_time()
    assert found.mean_mjd_s == pytest.approx(START_MJD_S + moment / total, abs=1e-3)
    assert (found.first_mjd_s, found.last_mjd_s) == (min(used), max(used))
    assert abs(found.mean_mjd_s - times.mean()) > 100
