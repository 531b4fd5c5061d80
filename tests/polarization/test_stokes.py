"""Oracles: brute force over pixels, injected spectra, lmfit-free closed forms, Monte Carlo."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.optimize import curve_fit

from vlasscube.errors import ProductError
from vlasscube.polarization.records import PowerLaw, StokesMeasurement
from vlasscube.polarization.stokes import (
    derive,
    find_peak,
    find_peak_polarization,
    fit_power_law,
    joint_mask,
    measure_box,
    power_law_flux,
)
from vlasscube.records import Beam

FREQUENCIES = 2.028e9 + 0.128e9 * np.arange(16)
values = st.one_of(st.floats(-10, 10, width=32), st.just(np.nan), st.sampled_from([np.inf, -np.inf]))
cubes = hnp.arrays(np.float32, st.tuples(st.just(4), st.integers(1, 7), st.integers(1, 7)), elements=values)


# ---------------------------------------------------------------------------------------------- positions


@given(cubes, st.data())
def test_peaks_by_brute_force(cube, data):
    mask = data.draw(hnp.arrays(bool, cube.shape[1:]))
    intensity, polarized = find_peak_polarization(cube, mask)
    finite = {(x, y): cube[0, y, x] for y, x in np.argwhere(mask & np.isfinite(cube[0]))}
    assert (intensity is None) == (not finite)
    if intensity is not None:
        assert intensity.value == max(finite.values()) == finite[intensity.x, intensity.y]
    linear = [
        math.hypot(cube[1, y, x], cube[2, y, x])
        for y, x in np.argwhere(mask & np.isfinite(cube[1]) & np.isfinite(cube[2]))
    ]
    assert (polarized is None) == (not linear)
    if polarized is not None:
        assert polarized.value == pytest.approx(max(linear), rel=1e-6)


def test_peak_edge_cases():
    assert find_peak(np.full((3, 3), np.nan)) is None
    assert find_peak(np.zeros((0, 4))) is None
    assert find_peak(np.full((3, 3), -2.0), np.eye(3) > 0).value == -2.0
    with pytest.raises(ProductError, match="shape"):
        find_peak(np.zeros((3, 3)), np.ones((2, 3), bool))


def test_joint_mask():
    first = np.array([[1.0, 1.0, 0.5, np.nan]])
    second = np.array([[True, False, True, True]])
    np.testing.assert_array_equal(joint_mask([first, None, second]), [[True, False, False, False]])
    assert joint_mask([None, None]) is None
    with pytest.raises(ProductError, match="different shape"):
        joint_mask([first, second.T])


@given(cubes, st.data())
def test_box_mean_by_brute_force(cube, data):
    _, ny, nx = cube.shape
    x, y = data.draw(st.integers(0, nx - 1)), data.draw(st.integers(0, ny - 1))
    width = data.draw(st.integers(0, 2))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        means = measure_box(cube, x, y, width)
    for plane, mean in zip(cube, means, strict=True):
        inside = [
            float(plane[j, i])
            for j in range(max(y - width, 0), min(y + width, ny - 1) + 1)
            for i in range(max(x - width, 0), min(x + width, nx - 1) + 1)
            if math.isfinite(plane[j, i])
        ]
        assert mean == pytest.approx(np.mean(inside) if inside else np.nan, abs=1e-9, nan_ok=True)


@pytest.mark.parametrize(("x", "y"), [(-1, 0), (0, -1), (5, 0), (0, 4)])
def test_box_outside(x, y):
    with pytest.raises(ProductError, match="outside the image"):
        measure_box(np.zeros((4, 4, 5)), x, y)


# ----------------------------------------------------------------------------------------------- spectrum


@given(st.floats(1e-5, 100.0), st.floats(-3.0, 3.0))
def test_exact_power_law_is_recovered(flux, alpha):
    spectrum = flux * (FREQUENCIES / 3e9) ** alpha
    law = fit_power_law(FREQUENCIES, spectrum, [True] * 16)
    assert law.flux_3ghz_jy == pytest.approx(flux, rel=1e-7)
    assert law.alpha == pytest.approx(alpha, abs=1e-6)
    assert law.alpha_error < 1e-5
    assert power_law_flux(law, 2.028e9) == pytest.approx(spectrum[0], rel=1e-6)


def test_rejected_and_missing_planes_do_not_count():
    spectrum = 0.01 * (FREQUENCIES / 3e9) ** -0.7
    kept = [True] * 16
    spectrum[3], kept[3] = 5.0, False
    spectrum[7] = np.nan
    law = fit_power_law(FREQUENCIES, spectrum, kept)
    assert law.alpha == pytest.approx(-0.7, abs=1e-6)


def test_agrees_with_curve_fit_and_its_error():
    rng = np.random.default_rng(5)
    for _ in range(20):
        spectrum = 0.01 * (FREQUENCIES / 3e9) ** rng.uniform(-2, 1) + rng.normal(0, 5e-4, 16)
        law = fit_power_law(FREQUENCIES, spectrum, [True] * 16)
        best, covariance = curve_fit(
            lambda f, a, b: a * (f / 3e9) ** b, FREQUENCIES, spectrum, p0=(0.01, 0.0)
        )
        assert law.flux_3ghz_jy == pytest.approx(best[0], rel=1e-5)
        assert law.alpha == pytest.approx(best[1], abs=1e-4)
        assert law.alpha_error == pytest.approx(math.sqrt(covariance[1, 1]), rel=1e-3)


def test_weights_agree_with_curve_fit():
    """Errors are those of the noise, of the scatter where that is larger."""
    rng = np.random.default_rng(6)
    for scatter in (0.3, 1.0, 3.0) * 5:
        noise = rng.uniform(1e-4, 1e-3, 16)
        spectrum = 0.02 * (FREQUENCIES / 3e9) ** -0.7 + scatter * rng.normal(0, noise)
        kept = [True] * 15 + [False]
        law = fit_power_law(FREQUENCIES, spectrum, kept, noise)
        best, covariance = curve_fit(
            lambda f, a, b: a * (f / 3e9) ** b,
            FREQUENCIES[:15],
            spectrum[:15],
            p0=(0.02, 0.0),
            sigma=noise[:15],
            absolute_sigma=True,
        )
        model = best[0] * (FREQUENCIES[:15] / 3e9) ** best[1]
        reduced = np.sum(((spectrum[:15] - model) / noise[:15]) ** 2) / 13
        errors = np.sqrt(np.diag(covariance) * max(1.0, reduced))
        assert (law.flux_3ghz_jy, law.alpha) == pytest.approx(tuple(best), rel=1e-4)
        assert (law.flux_3ghz_error_jy, law.alpha_error) == pytest.approx(tuple(errors), rel=1e-3)


def test_two_points_with_errors():
    """σ of α is that of ln(S₂/S₁) over ln(ν₂/ν₁); points without a positive error are left out."""
    law = fit_power_law([2e9, 4e9, 3e9], [0.02, 0.01, 9.0], [True] * 3, [1e-4, 2e-4, 0.0])
    assert law.alpha == pytest.approx(-1.0)
    assert law.alpha_error == pytest.approx(math.hypot(1e-4 / 0.02, 2e-4 / 0.01) / math.log(2), rel=1e-3)


@pytest.mark.slow
def test_error_of_alpha_is_the_scatter():
    rng = np.random.default_rng(8)
    laws = [
        fit_power_law(FREQUENCIES, 0.01 * (FREQUENCIES / 3e9) ** -0.7 + rng.normal(0, 2e-4, 16), [True] * 16)
        for _ in range(600)
    ]
    scatter = np.std([law.alpha for law in laws])
    assert np.mean([law.alpha_error for law in laws]) == pytest.approx(scatter, rel=0.1)
    assert np.mean([law.alpha for law in laws]) == pytest.approx(-0.7, abs=4 * scatter / math.sqrt(600))


def test_two_points_give_no_error():
    law = fit_power_law([2e9, 4e9], [0.02, 0.01], [True, True])
    assert law.alpha == pytest.approx(-1.0)
    assert law.alpha_error is None


@pytest.mark.parametrize(
    ("flux", "kept"),
    [
        ([0.0] * 4, [True] * 4),
        ([-1.0] * 4, [True] * 4),
        ([np.nan] * 4, [True] * 4),
        ([1.0] * 4, [True, False, False, False]),
        ([1.0] * 4, [False] * 4),
    ],
)
def test_no_fit(flux, kept):
    assert fit_power_law(FREQUENCIES[:4], flux, kept) is None


@given(st.lists(st.floats(-1.0, 1.0), min_size=16, max_size=16))
def test_amplitude_is_never_negative(flux):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        law = fit_power_law(FREQUENCIES, flux, [True] * 16)
    if law is not None:
        assert law.flux_3ghz_jy > 0
        assert math.isfinite(law.alpha)
        model = law.flux_3ghz_jy * (FREQUENCIES / 3e9) ** law.alpha
        assert np.sum((np.array(flux) - model) ** 2) <= np.sum(np.square(flux)) * (1 + 1e-9)


def test_lengths():
    with pytest.raises(ProductError, match="differ in number"):
        fit_power_law(FREQUENCIES, [1.0], [True])


def measurement(i=0.02, noise=1e-4):
    return StokesMeasurement(
        "spw2", 2e9, Beam(3.0, 2.0, 0.0), True, i, 0.002, -0.001, 0.0, 1e-4, {"I": noise}
    )


def test_derived_numbers():
    found = derive(measurement(), PowerLaw(0.01, -1.0, 0.1))
    assert found.q_over_i == pytest.approx(0.1)
    assert found.u_over_i == pytest.approx(-0.05)
    assert found.snr == pytest.approx(200.0)
    assert found.model_jy == pytest.approx(0.015)
    assert found.residual_jy == pytest.approx(0.005)
    assert found.residual_percent == pytest.approx(25.0)


def test_derived_numbers_that_are_undefined():
    found = derive(measurement(i=0.0, noise=0.0), None)
    assert set(vars(found).values()) == {None}
    found = derive(measurement(i=math.nan), PowerLaw(0.01, -1.0, None))
    assert (found.residual_jy, found.residual_percent, found.snr) == (None, None, None)
