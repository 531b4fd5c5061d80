"""Oracles: analytic Gaussian sources on the shifted grid, direct convolution, conservation of flux."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.ndimage import distance_transform_edt
from scipy.optimize import least_squares
from scipy.stats import norm

from vlasscube.errors import ProductError
from vlasscube.images.beams import (
    GaussianKernel,
    beam_area_pixels,
    beam_matrix,
    common_beam,
    convolve_beams,
    deconvolve_beam,
)
from vlasscube.images.smoothing import _dilate, kernel_radius_pixels, smooth_and_shift
from vlasscube.records import Beam
from vlasscube.testing.casa_images import beam_quantities, run_task

CELL = 0.6
SPW2 = Beam(4.26222, 3.35171, -10.3953)
SPW15 = Beam(2.24657, 1.51079, 3.65619)
TARGET = common_beam([SPW2, SPW15])
PHASES = [(x, y) for x in np.linspace(-0.5, 0.5, 5) for y in np.linspace(-0.5, 0.5, 5)]


def source(beam, x, y, shape=(64, 72), flux=1.0):
    """A point source of 1 Jy as a perfect image shows it, peak 1 Jy/beam."""
    rows, columns = np.indices(shape)
    north, east = (rows - y) * CELL, -(columns - x) * CELL
    inverse = np.linalg.inv(beam_matrix(beam))
    exponent = inverse[0, 0] * north**2 + 2 * inverse[0, 1] * north * east + inverse[1, 1] * east**2
    return flux * np.exp(-4 * math.log(2) * exponent)


def fitted_peak_and_position(image, beam, x, y):
    fit = least_squares(
        lambda p: (p[0] * source(beam, p[1], p[2], image.shape) - image).ravel(), (1.0, x, y), xtol=1e-12
    )
    return fit.x


@pytest.mark.parametrize(("beam", "dtype"), [(SPW15, np.float64), (SPW2, np.float64), (SPW15, np.float32)])
def test_point_source_at_every_phase(beam, dtype):
    worst = np.zeros(4)
    for phase in PHASES:
        for shift in ((0.31, -0.69), (-1.5, 0.5), (0.0, 0.0)):
            x, y = 35 + phase[0], 31 + phase[1]
            image = smooth_and_shift(source(beam, x, y).astype(dtype), beam, TARGET, CELL, shift)
            assert image.dtype == dtype
            expected = source(TARGET, x + shift[0], y + shift[1])
            peak, fitted_x, fitted_y = fitted_peak_and_position(
                np.nan_to_num(image), TARGET, x + shift[0], y + shift[1]
            )
            flux = np.nansum(image, dtype=float) / beam_area_pixels(TARGET, CELL)
            distance = math.hypot(fitted_x - x - shift[0], fitted_y - y - shift[1]) * CELL * 1000
            errors = [abs(peak - 1), distance, abs(flux - 1), np.nanmax(np.abs(image - expected))]
            worst = np.maximum(worst, errors)
    # Peak < 0.1 %, position < 0.5 mas, flux < 0.01 %, and the image itself; much better than asked for.
    assert worst[0] < 1e-4
    assert worst[1] < 0.05
    assert worst[2] < 5e-5
    assert worst[3] < 1e-4


def test_linear_interpolation_would_fail_where_this_does_not():
    """The comparison that motivates the method: half a pixel, beam of spw 15, no smoothing."""
    image = source(SPW15, 35.0, 31.0)
    linear = (image + np.roll(image, 1, axis=1)) / 2
    exact = smooth_and_shift(image, SPW15, SPW15, CELL, (0.5, 0.0))
    assert fitted_peak_and_position(linear, SPW15, 35.5, 31)[0] < 0.97
    peak, x, y = fitted_peak_and_position(np.nan_to_num(exact), SPW15, 35.5, 31)
    assert peak == pytest.approx(1.0, abs=1e-3)
    assert math.hypot(x - 35.5, y - 31) * CELL < 5e-4


@settings(max_examples=30, deadline=None)
@given(st.floats(2.0, 4.0), st.floats(0.6, 1.0), st.floats(-90, 90), st.floats(0.5, 3.0), st.floats(-90, 90))
def test_any_beam_and_kernel(bmaj, ratio, angle, kernel_size, kernel_angle):
    beam = Beam(bmaj, max(bmaj * ratio, 1.5), angle)
    target = convolve_beams(beam, Beam(kernel_size, 0.5 * kernel_size, kernel_angle))
    shape = (96, 96)
    image = smooth_and_shift(source(beam, 47.2, 48.1, shape), beam, target, CELL, (0.4, -0.3))
    assert np.nanmax(np.abs(image - source(target, 47.6, 47.8, shape))) < 1e-2
    flux = np.nansum(image) / beam_area_pixels(target, CELL)
    assert flux == pytest.approx(1.0, abs=1e-4)


def test_direct_convolution():
    """On noise, which is not a beam's shape: the sum over the sampled kernel."""
    rng = np.random.default_rng(2)
    plane = rng.normal(size=(40, 48))
    beam, kernel_beam = Beam(2.0, 2.0, 0.0), Beam(4.0, 3.0, 35.0)
    target = convolve_beams(beam, kernel_beam)
    found = smooth_and_shift(plane, beam, target, CELL)
    kernel = source(kernel_beam, 30, 30, (61, 61)) / beam_area_pixels(kernel_beam, CELL)
    padded = np.pad(plane, 30)
    direct = np.array(
        [[(padded[y : y + 61, x : x + 61] * kernel).sum() for x in range(48)] for y in range(40)]
    )
    scale = beam_area_pixels(target, CELL) / beam_area_pixels(beam, CELL)
    np.testing.assert_allclose(found, direct * scale, atol=1e-4)


def test_there_and_back_by_whole_pixels():
    rng = np.random.default_rng(1)
    plane = rng.normal(size=(21, 34))
    moved = smooth_and_shift(plane, SPW2, SPW2, CELL, (3.0, -2.0))
    np.testing.assert_allclose(moved[:-2, 3:], plane[2:, :-3], atol=1e-12)
    assert np.isnan(moved[-2:]).all()
    assert np.isnan(moved[:, :3]).all()
    assert np.isnan(moved).sum() == 2 * 34 + 3 * 21 - 6


def test_linearity_and_no_wrapping():
    bright = source(SPW15, 0.0, 0.0)
    image = smooth_and_shift(bright, SPW15, TARGET, CELL)
    assert np.abs(image[-20:]).max() < 1e-8
    assert np.abs(image[:, -20:]).max() < 1e-8
    double = smooth_and_shift(2 * bright, SPW15, TARGET, CELL)
    np.testing.assert_allclose(double, 2 * image)


def test_identity_copies():
    plane = np.arange(12, dtype=np.float32).reshape(3, 4)
    plane[1, 2] = np.nan
    result = smooth_and_shift(plane, SPW2, SPW2, CELL)
    np.testing.assert_array_equal(result, plane)
    assert result is not plane


@settings(max_examples=60, deadline=None)
@given(
    hnp.arrays(bool, st.tuples(st.integers(1, 25), st.integers(1, 25)), elements=st.booleans()),
    st.floats(-3, 3),
    st.floats(-3, 3),
    st.sampled_from([np.nan, np.inf, -np.inf]),
)
def test_blanks_do_not_spread_beyond_kernel_and_a_pixel(blanked, dx, dy, value):
    plane = np.where(blanked, value, 1.0)
    result = smooth_and_shift(plane, SPW15, TARGET, CELL, (dx, dy))
    radius = kernel_radius_pixels(deconvolve_beam(TARGET, SPW15), CELL)
    bad = np.add(np.argwhere(blanked), (dy, dx))
    ny, nx = plane.shape
    assert not np.isinf(result).any()
    for y, x in np.argwhere(np.isnan(result)):
        from_outside = not (-0.5 <= x - dx <= nx - 0.5 and -0.5 <= y - dy <= ny - 0.5)
        near = bool(len(bad)) and np.hypot(bad[:, 0] - y, bad[:, 1] - x).min() <= radius + 1 + math.sqrt(0.5)
        assert from_outside or near or blanked.all()
    if not blanked.any() and (dx, dy) == (0.0, 0.0):
        assert np.isfinite(result).all()


def test_what_is_left_beside_a_blank_is_right():
    shape = (80, 80)
    plane = source(SPW15, 40, 40, shape)
    plane[:, :20] = np.nan
    result = smooth_and_shift(plane, SPW15, TARGET, CELL, (0.3, 0.2))
    good = np.isfinite(result)
    assert np.abs(result - source(TARGET, 40.3, 40.2, shape))[good].max() < 1e-4
    flat = np.ones(shape)
    flat[:, :20] = np.nan
    result = smooth_and_shift(flat, SPW15, TARGET, CELL)[30:50, :60]
    scale = beam_area_pixels(TARGET, CELL) / beam_area_pixels(SPW15, CELL)
    assert np.nanmax(np.abs(result / scale - 1)) < 2e-3


@pytest.mark.parametrize(
    ("fwhm_arcsec", "cell_arcsec", "radius"),
    # Three standard deviations are 1.274 widths at half maximum.
    [(10.0, 1.0, 13), (10.0, 2.0, 7), (7.84, 1.0, 10), (7.86, 1.0, 11), (3.0, 0.6, 7), (0.1, 0.6, 1)],
)
def test_radius_of_a_kernel(fwhm_arcsec, cell_arcsec, radius):
    """The longer axis counts."""
    for minor in (fwhm_arcsec, fwhm_arcsec / 3):
        assert kernel_radius_pixels(GaussianKernel(fwhm_arcsec, minor, 30.0), cell_arcsec) == radius


def test_blanks_spread_as_far_as_they_matter_and_no_farther():
    """Oracle: the normal distribution's integral, for a sky of one value that is half blank."""
    beam, target, cell = Beam(3.0, 3.0, 0.0), Beam(9.0, 9.0, 0.0), 0.7
    sigma = math.sqrt(9.0**2 - 3.0**2) / math.sqrt(8 * math.log(2)) / cell
    plane = np.ones((64, 128))
    plane[:, :50] = np.nan
    row = smooth_and_shift(plane, beam, target, cell)[32] / 9.0
    first = int(np.argmax(np.isfinite(row)))
    seen = 1 - norm.cdf((49.5 - np.arange(128)) / sigma)
    assert row[first:100] == pytest.approx(seen[first:100], abs=1e-4)
    # The promise: a thousandth is lost to a blank on one side at most, and one pixel less would not do.
    assert 1 - seen[first] < norm.sf(3.0) < 1 - seen[first - 2]


@given(hnp.arrays(bool, st.tuples(st.integers(1, 20), st.integers(1, 20))), st.integers(0, 9))
def test_disc(blanked, radius):
    expected = distance_transform_edt(~blanked) <= radius if blanked.any() else np.zeros_like(blanked)
    np.testing.assert_array_equal(_dilate(blanked, radius), expected)


@pytest.mark.parametrize("shape", [(0, 5), (0, 0), (4, 0)])
def test_empty_planes(shape):
    assert smooth_and_shift(np.zeros(shape), SPW15, TARGET, CELL, (1.0, 0.0)).shape == shape


def test_all_blanked():
    assert np.isnan(smooth_and_shift(np.full((4, 4), np.inf), SPW15, TARGET, CELL)).all()


def test_refusals():
    plane = np.zeros((8, 8))
    with pytest.raises(ProductError, match="cannot be smoothed"):
        smooth_and_shift(plane, SPW2, SPW15, CELL)
    with pytest.raises(ProductError, match="needs a plane"):
        smooth_and_shift(np.zeros((2, 8, 8)), SPW15, TARGET, CELL)
    with pytest.raises(ProductError, match="not a number"):
        smooth_and_shift(plane, SPW15, TARGET, CELL, (math.nan, 0.0))


# --------------------------------------------------------------------------------------------------- CASA


@pytest.mark.casa
@pytest.mark.parametrize("beam", [SPW15, SPW2])
def test_smoothing_equals_imsmooth(tmp_path, beam):
    shape = (160, 150)
    plane = source(beam, 70.3, 81.6, shape) + source(beam, 90.0, 60.0, shape, flux=-0.3)
    parameters = dict(kernel="gauss", targetres=True, beam=beam_quantities(TARGET))
    expected = run_task("imsmooth", tmp_path, plane[None], CELL, restoring_beam=beam, **parameters)[0]
    found = smooth_and_shift(plane.astype(np.float32), beam, TARGET, CELL)
    np.testing.assert_allclose(found, expected, atol=3e-5)


def test_peak_of_an_aligned_source_is_kept():
    """In float32, on the nominal grid, for the corrections of all spectral windows: to 0.1 %."""
    for frequency_ghz in (2.028, 3.052, 3.948):
        for zenith_distance_deg in (10.0, 40.0, 65.0):
            offset = 0.25 * math.tan(math.radians(zenith_distance_deg)) * (3.0 / frequency_ghz) ** 2 / CELL
            shift = (-0.6 * offset, 0.8 * offset)
            plane = source(SPW15, 36.0 - shift[0], 32.0 - shift[1]).astype(np.float32)
            found = smooth_and_shift(plane, SPW15, TARGET, CELL, shift, workers=2)
            assert found[32, 36] == pytest.approx(1.0, abs=1e-3)
            assert np.nanmax(found) == found[32, 36]
