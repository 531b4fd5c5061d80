"""Oracles: the table of the VLA's sensitivity, interpolation and medians by hand, a published mean."""

from __future__ import annotations

import numpy as np
import pytest

from vlasscube.errors import ProductError
from vlasscube.polarization.sefd import FREQUENCY_RANGE_HZ, receiver_noise, sefd_jy, sefd_scale

# Copied a second time, in columns, from the measurements of the VLA's sensitivity in S band that the survey's
# web logs draw: MHz, Jy.
MEASURED = """
    1850.5 1192   1998.0 390   2106.5 369   2312.5 371   2440.5 397    3054.0 352   3687.0 290
    1889.5  608   2037.0 378   2165.0 355   2362.5 407   2561.5 401    3182.0 319   3815.0 326
    1909.0  519   2056.5 381   2234.5 374   2401.5 411   2689.5 390    3310.0 315   3943.0 323
    1959.0  413   2087.0 364   2273.5 369   2798.0 400   2945.5 362    3438.0 293   4001.5 340
    4149.0  421   4168.5 474   4199.0 929   4218.5 1416  3559.0 275    4090.5 326
"""
PUBLISHED_JY = 370.0
"""Nominal value of the VLA's Observational Status Summary for the whole of S band."""


def test_every_sample_and_the_middle_between_neighbours():
    numbers = np.array(MEASURED.split(), float).reshape(-1, 2)
    samples = numbers[np.argsort(numbers[:, 0])]
    assert len(samples) == 34
    megahertz, jansky = samples.T
    np.testing.assert_array_equal(sefd_jy(megahertz * 1e6), jansky)
    middle = (megahertz[1:] + megahertz[:-1]) / 2
    np.testing.assert_allclose(sefd_jy(middle * 1e6), (jansky[1:] + jansky[:-1]) / 2, rtol=1e-12)


def test_the_band_is_as_sensitive_as_published():
    """For a source in all planes, 1 / SEFD² adds up."""
    planes = 2.028e9 + 0.128e9 * np.arange(16)
    assert np.mean(sefd_jy(planes) ** -2.0) ** -0.5 == pytest.approx(PUBLISHED_JY, rel=0.1)


def test_samples_and_interpolation():
    assert sefd_jy(1850.5e6) == 1192
    assert sefd_jy(3.559e9) == 275
    assert sefd_jy((1998e6 + 2037e6) / 2) == pytest.approx(384)
    assert np.isnan(sefd_jy([1.0e9, 5e9])).all()
    assert FREQUENCY_RANGE_HZ == (1850.5e6, 4218.5e6)


def test_curve_is_reasonable_over_the_band():
    planes = 2.028e9 + 0.128e9 * np.arange(16)
    assert np.all((sefd_jy(planes) > 270) & (sefd_jy(planes) < 420))


def test_scale():
    frequencies = [2.4015e9, 3.054e9, 3.438e9]
    sefd = np.array([411, 352, 293])
    noise = {
        "I": list(sefd * 9.0),
        "Q": list(sefd * 2.0),
        "U": [sefd[0] * 3.0, None, float("nan")],
        "V": list(sefd * 1.0),
    }
    # Ratios 2 2 2, 3, 1 1 1.
    assert sefd_scale(frequencies, noise) == pytest.approx(2.0)
    assert sefd_scale(frequencies, {"I": noise["I"]}) is None
    assert sefd_scale([], {}) is None
    assert sefd_scale([1e9], {"Q": [1.0]}) is None
    with pytest.raises(ProductError, match="2 noise values of Stokes Q for 3 planes"):
        sefd_scale(frequencies, {"Q": [1.0, 2.0]})


def test_receiver_noise_is_a_line_through_the_scaled_samples():
    """Noise of Q three times the SEFD of the table, in microjansky: 1233 at 2401.5 MHz is 3 × 411."""
    found = receiver_noise([2.4015e9, 3.054e9], {"Q": [1233e-6, 1056e-6], "I": [9.0, 9.0]})
    assert found.scale == pytest.approx(3e-6)
    assert len(found.frequencies_hz) == len(found.noise_jy) == 34
    assert (found.frequencies_hz[0], found.frequencies_hz[-1]) == FREQUENCY_RANGE_HZ
    at = dict(zip(found.frequencies_hz, found.noise_jy, strict=True))
    assert at[3.438e9] == pytest.approx(879e-6)
    assert at[1.8505e9] == pytest.approx(3576e-6)
    assert np.interp(2.0175e9, found.frequencies_hz, found.noise_jy) == pytest.approx(3 * 384e-6)
    assert receiver_noise([2.4015e9], {"I": [1.0]}) is None
