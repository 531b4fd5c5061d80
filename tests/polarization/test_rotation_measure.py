"""Oracles: injected rotation measures, averages over finely sampled channels, Monte Carlo."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vlasscube.constants import SPEED_OF_LIGHT_M_S
from vlasscube.errors import ProductError
from vlasscube.polarization.rotation_measure import rotation_measure

FREQUENCIES = 2.028e9 + 0.128e9 * np.arange(16)
USUAL = np.array([0, *range(3, 14)])  # planes of released tiles: spw 2, 5 … 15


def screen(frequency, rm, angle_deg, polarized=0.01):
    angle = math.radians(angle_deg) + rm * (SPEED_OF_LIGHT_M_S / frequency) ** 2
    return polarized * np.exp(2j * angle)


def averaged(rm, angle_deg, polarized=0.01):
    """Planes of 128 MHz, by sampling each of them 2000 times."""
    within = (np.arange(2000) + 0.5) / 2000 - 0.5
    return np.array([screen(f + 0.128e9 * within, rm, angle_deg, polarized).mean() for f in FREQUENCIES])


def turn(first, second):
    return abs((first - second + 90.0) % 180.0 - 90.0)


@given(st.floats(-500, 500), st.floats(0, 180), st.floats(1e-5, 10.0))
def test_narrow_channels(rm, angle, polarized):
    p = screen(FREQUENCIES, rm, angle, polarized)
    fit = rotation_measure(FREQUENCIES, p.real, p.imag, 0.01 * polarized)
    assert fit.rm == pytest.approx(rm, abs=1e-3)
    assert turn(fit.angle0_deg, angle) < 1e-3
    assert fit.polarized == pytest.approx(polarized, rel=1e-6)
    assert 0 <= fit.angle0_deg < 180
    assert fit.channels == 16


@settings(deadline=None)
@given(st.floats(-500, 500), st.floats(0, 180))
def test_wide_channels(rm, angle):
    p = averaged(rm, angle)
    fit = rotation_measure(FREQUENCIES, p.real, p.imag, 1e-4, bandwidth_hz=0.128e9)
    # What is left is the change of dλ²/dν within a channel.
    assert fit.rm == pytest.approx(rm, abs=0.5)
    assert turn(fit.angle0_deg, angle) < 1.0
    assert fit.polarized == pytest.approx(0.01, rel=0.01)


def test_bandwidth_depolarises_as_predicted():
    p = averaged(500.0, 30.0)
    assert 1 - abs(p[0]) / 0.01 == pytest.approx(0.29, abs=0.01)
    ignoring = rotation_measure(FREQUENCIES, p.real, p.imag, 1e-4)
    assert ignoring.rm == pytest.approx(500.0, abs=5.0)
    assert ignoring.polarized < 0.0097


def test_mean_of_lambda_squared_as_given():
    """Half of the data are flagged: they stand 32 MHz above the plane's frequency."""
    p = screen(FREQUENCIES + 32e6, 300.0, 15.0)
    given = (SPEED_OF_LIGHT_M_S / (FREQUENCIES + 32e6)) ** 2
    fit = rotation_measure(FREQUENCIES, p.real, p.imag, 1e-4, mean_lambda2_m2=given)
    assert fit.rm == pytest.approx(300.0, abs=1e-3)
    assert turn(fit.angle0_deg, 15.0) < 1e-3
    by_frequency = rotation_measure(FREQUENCIES, p.real, p.imag, 1e-4)
    assert turn(by_frequency.angle0_deg, 15.0) > 1
    with pytest.raises(ProductError, match="λ²"):
        rotation_measure(FREQUENCIES, p.real, p.imag, 1e-4, mean_lambda2_m2=0.0)


def test_error_is_the_scatter():
    rng = np.random.default_rng(11)
    sigma = np.full(16, 5e-4)
    sigma[3] = 5e-3
    truth = screen(FREQUENCIES, 37.0, 120.0)
    fits = []
    for _ in range(300):
        p = truth + rng.normal(0, sigma) + 1j * rng.normal(0, sigma)
        fits.append(rotation_measure(FREQUENCIES, p.real, p.imag, sigma))
    rms = np.array([fit.rm for fit in fits])
    angles = np.array([(fit.angle0_deg - 120.0 + 90) % 180 - 90 for fit in fits])
    assert rms.std() == pytest.approx(fits[0].rm_error, rel=0.15)
    assert angles.std() == pytest.approx(fits[0].angle0_error_deg, rel=0.15)
    assert abs(rms.mean() - 37.0) < 4 * rms.std() / math.sqrt(300)
    assert np.mean([fit.reduced_chi2 for fit in fits]) == pytest.approx(1.0, abs=0.05)
    assert fits[0].snr == pytest.approx(0.01 * math.sqrt((1 / sigma**2).sum()), rel=0.1)


def test_usual_planes_and_blanks():
    p = screen(FREQUENCIES, -210.0, 15.0)
    blanked = np.full(16, np.nan + 0j)
    blanked[USUAL] = p[USUAL]
    fit = rotation_measure(FREQUENCIES, blanked.real, blanked.imag.copy(), 1e-4)
    assert fit.channels == 12
    assert fit.rm == pytest.approx(-210.0, abs=1e-3)


def test_two_screens_are_noticed():
    p = screen(FREQUENCIES, 0.0, 0.0) + screen(FREQUENCIES, 300.0, 40.0, 0.008)
    assert rotation_measure(FREQUENCIES, p.real, p.imag, 1e-4).reduced_chi2 > 100


def test_nothing_to_fit():
    ones = np.ones(16)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert rotation_measure(FREQUENCIES, 0 * ones, 0 * ones, 1.0) is None
        assert rotation_measure(FREQUENCIES, np.nan * ones, ones, 1.0) is None
        assert rotation_measure(FREQUENCIES[:2], [1, 2], [1, 2], 1.0) is None
        assert rotation_measure([3e9] * 4, ones[:4], ones[:4], 1.0) is None
        assert rotation_measure(FREQUENCIES[:3], [1, 2, 3], [1, 2, 3], 1.0).channels == 3


@pytest.mark.parametrize(
    ("frequency", "sigma", "width"),
    [
        (FREQUENCIES[:3], 1.0, None),
        (-FREQUENCIES, 1.0, None),
        (FREQUENCIES, 0.0, None),
        (FREQUENCIES, 1.0, 5e9),
        (np.array([[2e9] * 16]), 1.0, None),
    ],
)
def test_refusals(frequency, sigma, width):
    with pytest.raises(ProductError, match="rotation measure"):
        rotation_measure(frequency, np.ones(16), np.ones(16), sigma, bandwidth_hz=width)
