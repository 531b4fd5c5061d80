"""Oracles: the table of the VLA's sensitivity, interpolation and medians by hand."""

from __future__ import annotations

import numpy as np
import pytest

from vlasscube.errors import ProductError
from vlasscube.polarization.sefd import FREQUENCY_RANGE_HZ, sefd_jy, sefd_scale


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
