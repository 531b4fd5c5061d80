import numpy as np
import pytest

from vlasscube.mosaic.primary_beam import evla_power_beam


def test_is_one_on_axis_and_zero_beyond_the_null():
    frequencies = np.linspace(1.965e9, 4.011e9, 300)
    assert np.all(evla_power_beam(0.0, frequencies) == 1.0)
    assert np.all(evla_power_beam(46.0 / (frequencies / 1e9), frequencies) == 0.0)
    assert np.all(evla_power_beam(500.0, frequencies) == 0.0)


def test_falls_monotonically():
    radius = np.linspace(0.0, 45.0, 500)[:, None]
    frequencies = np.linspace(1.965e9, 4.011e9, 77)
    assert np.all(np.diff(evla_power_beam(radius / (frequencies / 1e9), frequencies), axis=0) <= 0)


def test_full_width_at_half_power_is_42_arcmin_per_ghz():
    radius = np.linspace(5.0, 15.0, 20001)
    beam = evla_power_beam(radius, 3.0e9)
    assert 2 * radius[np.argmin(np.abs(beam - 0.5))] * 3.0 == pytest.approx(42.0, rel=0.05)


def test_takes_the_polynomial_nearest_in_frequency():
    # 2308 MHz lies half-way between two tabulated frequencies: the beam jumps there.
    below, above = evla_power_beam(10.0, [2.30799e9, 2.30801e9])
    nearby = evla_power_beam(10.0, 2.30797e9)
    assert abs(below - nearby) < 1e-5
    assert abs(above - below) > 1e-4


def test_broadcasts():
    assert evla_power_beam(np.ones((3, 1)), np.full(5, 3e9)).shape == (3, 5)
    assert evla_power_beam(1.0, 3e9).shape == ()


@pytest.mark.parametrize("frequency", [1.0e9, 5.0e9, np.nan])
def test_rejects_frequencies_without_a_polynomial(frequency):
    with pytest.raises(ValueError, match="tabulated"):
        evla_power_beam(1.0, frequency)
