"""Oracles: the defining formulas, scipy, known distributions."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats

from vlasscube.errors import ProductError
from vlasscube.images.statistics import (
    cutout_statistics,
    deviations,
    fraction_within,
    masked_fraction,
    plane_statistics,
    scaled_mad,
)
from vlasscube.records import PlaneStatistics
from vlasscube.workspace.record_json import from_json, to_json

planes = hnp.arrays(
    np.float32,
    hnp.array_shapes(min_dims=2, max_dims=2, min_side=0, max_side=9),
    elements=st.one_of(st.floats(-1e6, 1e6, width=32), st.sampled_from([np.nan, np.inf, -np.inf])),
)
NOTHING = PlaneStatistics(0, None, None, None, None, None, None)


@given(planes)
def test_against_the_definitions(plane):
    values = plane[np.isfinite(plane)].astype(float)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = plane_statistics(plane)
        mad = scaled_mad(plane)
    if not values.size:
        assert found == NOTHING
        assert mad is None
        return
    scale = max(np.abs(values).max(), 1e-30)
    assert found.npts == values.size
    assert (found.min, found.max) == (values.min(), values.max())
    assert found.mean == pytest.approx(values.mean(), abs=1e-9 * scale)
    assert found.median == pytest.approx(np.median(values), abs=1e-9 * scale)
    assert found.sigma == pytest.approx(values.std(ddof=1) if values.size > 1 else 0.0, abs=1e-9 * scale)
    expected = 1.4826 * stats.median_abs_deviation(values)
    assert found.madrms == pytest.approx(expected, abs=1e-6 * scale)
    assert mad == found.madrms


def test_inputs_are_not_changed():
    rng = np.random.default_rng(3)
    plane = rng.normal(size=(20, 30)).astype(np.float32)
    plane[3, 4] = np.nan
    before = plane.copy()
    plane_statistics(plane)
    plane_statistics(plane, np.ones(plane.shape, bool))
    np.testing.assert_array_equal(plane, before)


def test_mask_selects():
    plane = np.array([[1.0, 2.0], [30.0, np.nan]])
    found = plane_statistics(plane, np.array([[True, True], [False, True]]))
    assert (found.npts, found.max, found.mean) == (2, 2.0, 1.5)
    assert plane_statistics(plane, np.zeros((2, 2), bool)) == NOTHING
    with pytest.raises(ProductError, match="shape"):
        plane_statistics(plane, np.ones((1, 2), bool))


@pytest.mark.parametrize(
    "plane", [np.full((4, 4), np.nan), np.zeros((0, 5)), np.full((2, 2), np.inf), np.full((1, 1), -np.inf)]
)
def test_nothing_left(plane):
    assert plane_statistics(plane) == NOTHING
    assert plane_statistics(plane).peak is None
    assert fraction_within(plane, 0, 1) is None
    assert masked_fraction(plane) == 1.0
    assert NOTHING.max_over_madrms is None


def test_single_finite_pixel():
    plane = np.full((5, 5), np.nan, np.float32)
    plane[2, 2] = -3.0
    assert plane_statistics(plane) == PlaneStatistics(1, -3.0, -3.0, -3.0, -3.0, 0.0, 0.0)
    assert masked_fraction(plane) == pytest.approx(24 / 25)
    assert plane_statistics(plane).max_over_madrms is None


def test_noise_with_sources():
    rng = np.random.default_rng(1)
    plane = rng.normal(2e-5, 1.2e-4, (700, 700)).astype(np.float32)
    plane[100:110, 100:110] = 1.0
    found = plane_statistics(plane)
    assert found.madrms == pytest.approx(1.2e-4, rel=0.01)
    assert found.sigma > 10 * found.madrms
    assert found.max_over_madrms == pytest.approx(1.0 / found.madrms)


def test_float32_plane_with_offset_keeps_the_digits():
    plane = np.full(300_000, 1.0, np.float32)
    plane[::2] += np.float32(2**-20)
    found = plane_statistics(plane)
    assert found.mean == pytest.approx(1 + 2**-21, abs=1e-12)
    assert found.sigma == pytest.approx(2**-21, rel=1e-4)


def test_fractions():
    plane = np.array([-1e-4, 0.0, 8e-4, 8.1e-4, np.nan, np.inf])
    assert fraction_within(plane, 0.0, 8e-4) == pytest.approx(0.5)
    assert masked_fraction(plane) == pytest.approx(1 / 3)


def test_cutout_page():
    image = np.array([[5.0, 1.0, -1.0, 0.0], [1e-9, 1e-9, 1e-9, 1e-9]])
    inside = np.array([[True] * 4, [False] * 4])
    rms = np.array([[1e-4, 2e-4, 9e-4, np.nan], [1e-4, 1e-4, 1e-4, 1e-4]])
    found = cutout_statistics(image, -image, image * 2, rms, inside)
    assert found.image.npts == 4
    assert found.residual.peak == -5.0
    assert found.pbcor.npts == 8
    assert found.rms_fraction_below_800ujy == pytest.approx(6 / 7)
    assert found.rms_masked_fraction == pytest.approx(1 / 8)
    # max / (1.4826 MAD), not max / MAD × 1.4826: median 0.5, deviations 4.5, 0.5, 1.5, 0.5.
    assert found.image.max_over_madrms == pytest.approx(5.0 / (1.4826 * 1.0))
    assert from_json(type(found), to_json(found)) == found


def test_deviations_in_units_of_the_scatter():
    """Median 4; deviations 3, 2, 0, 2, 6, so the MAD is 2."""
    found = deviations([1.0, None, 2.0, 4.0, 6.0, 10.0])
    assert found[1] is None
    expected = [-3 / 2.9652, -2 / 2.9652, 0.0, 2 / 2.9652, 6 / 2.9652]
    assert [value for value in found if value is not None] == pytest.approx(expected)
    assert deviations([7.0, 7.0, 7.0, 8.0]) == [0.0] * 4
    assert deviations([None, None]) == [None, None]
    assert deviations([]) == []
