import json
import math
from pathlib import Path

import numpy as np
import pytest

from vlasscube.simulation import leakage
from vlasscube.simulation.beam import power_beam
from vlasscube.simulation.spectral_windows import spw_mean_frequency_hz


def ring(spw, fraction_hpbw, half_power_arcmin, angle=0.0, points=72):
    """Leakage around a circle; shape (3, points)."""
    frequency = np.array([spw_mean_frequency_hz(spw)])
    azimuths = np.linspace(0, 2 * math.pi, points, endpoint=False)
    radius = fraction_hpbw * half_power_arcmin
    return np.stack(
        [
            leakage.leakage_beam(radius * math.sin(a), radius * math.cos(a), frequency, angle)[:, 0]
            for a in azimuths
        ],
        axis=1,
    )


@pytest.mark.parametrize(
    ("spw", "half_power_arcmin", "linear", "circular"),
    # Published with the table: |QU|/I (rms) and V/I (rms) at half power, per cent.
    [
        (2, 20.5, 0.9, 6.3),
        (5, 17.4, 4.4, 5.9),
        (10, 13.5, 1.3, 6.2),
        (14, 11.4, 2.4, 6.4),
        (17, 10.2, 1.7, 6.1),
    ],
)
def test_leakage_at_half_power(spw, half_power_arcmin, linear, circular):
    # The table's entries lie 24 MHz above the planes and hold in units of the half-power width.
    half_power_arcmin *= (spw_mean_frequency_hz(spw) + 24e6) / spw_mean_frequency_hz(spw)
    q, u, v = ring(spw, 0.5, half_power_arcmin)
    percent = 100 / 0.5
    assert math.sqrt(np.mean(q**2 + u**2)) * percent == pytest.approx(linear, abs=0.2)
    assert math.sqrt(np.mean(v**2)) * percent == pytest.approx(circular, abs=0.4)


def test_mosaic_interior():
    """Sum of A B over sum of A² in VLASS's spacing: window 10 has 0.38 % of |QU| and −0.40 % of V."""
    frequency = np.array([spw_mean_frequency_hz(10)])
    total, weight = np.zeros(3), 0.0
    for row in range(-4, 5):
        for column in range(-8, 9):
            east, north = column * 2.98 + 0.7, row * 7.2 + 1.9
            beam = float(power_beam(math.hypot(east, north), frequency)[0])
            total += beam * leakage.leakage_beam(east, north, frequency, 0.0)[:, 0]
            weight += beam**2
    q, u, v = 100 * total / weight
    assert math.hypot(q, u) == pytest.approx(0.38, abs=0.12)
    assert v == pytest.approx(-0.40, abs=0.12)


def test_nothing_leaks_on_the_axis_nor_far_out():
    frequency = np.array([2.0e9, 3.0e9, 3.9e9])
    assert np.abs(leakage.leakage_beam(0.0, 0.0, frequency, 0.3)).max() < 1e-4
    assert not np.any(leakage.leakage_beam(30.0, 0.0, frequency, 0.3))


def test_the_squint_is_across_the_elevation():
    """V is R minus L; the vector from L to R is (+0.057, −0.011) half-power widths in (x, y)."""
    x, y = 0.3, 0.0
    east, north = -x * 13.6, y * 13.6
    frequency = np.array([spw_mean_frequency_hz(10)])
    v = leakage.leakage_beam(east, north, frequency, 0.0)[2, 0]
    slope = (math.exp(-4 * math.log(2) * 0.29**2) - math.exp(-4 * math.log(2) * 0.31**2)) / 0.02
    assert v == pytest.approx(0.057 / 2 * slope, rel=0.3)
    assert leakage.leakage_beam(-east, north, frequency, 0.0)[2, 0] == pytest.approx(-v, rel=0.3)


def test_the_beam_turns_with_the_sky():
    """At parallactic angle χ the pattern and its polarisation stand turned by χ."""
    frequency = np.array([2.4e9])
    angle = 0.7
    there = leakage.leakage_beam(3.0, 5.0, frequency, 0.0)[:, 0]
    east = 3.0 * math.cos(angle) + 5.0 * math.sin(angle)
    north = -3.0 * math.sin(angle) + 5.0 * math.cos(angle)
    q, u, v = leakage.leakage_beam(east, north, frequency, angle)[:, 0]
    assert v == pytest.approx(there[2])
    assert q + 1j * u == pytest.approx((there[0] + 1j * there[1]) * np.exp(2j * angle))


def test_the_table_says_where_it_is_from():
    content = json.loads(Path(leakage.__file__).with_name("leakage_beam.json").read_text())
    assert "MIT" in json.dumps(content["source"])
    assert len(content["planes"]) == 16
    assert all(
        len(plane[stokes]) == len(content["modes"][stokes]) for plane in content["planes"] for stokes in "QUV"
    )


def test_d_terms_are_the_product_of_matrices():
    rng = np.random.default_rng(1)
    data = (rng.normal(size=(4, 3, 6)) + 1j * rng.normal(size=(4, 3, 6))).astype(np.complex64)
    first = np.array([0, 0, 0, 1, 1, 2], dtype=np.int32)
    second = np.array([1, 2, 3, 2, 3, 3], dtype=np.int32)
    d = leakage.residual_d_terms(0.1, 1, 2, 4)
    angles = np.array([0.0, 0.2, 0.4, 0.6, 0.8, 1.0])
    found = leakage.apply_d_terms(data, d, angles, first, second)
    for row in range(6):
        turned = np.diag([np.exp(-1j * angles[row]), np.exp(1j * angles[row])])
        jones = []
        for antenna in (first[row], second[row]):
            matrix = np.array([[1, d[0, antenna]], [d[1, antenna], 1]])
            # Received turned by the parallactic angle, calibrated by turning it back.
            jones.append(turned.conj().T @ matrix @ turned)
        for channel in range(3):
            sky = data[:, channel, row].reshape(2, 2)
            expected = jones[0] @ sky @ jones[1].conj().T
            np.testing.assert_allclose(found[:, channel, row].reshape(2, 2), expected, rtol=1e-5, atol=1e-6)


def test_unpolarised_source_reads_the_sum_of_the_d_terms():
    """RL / I = d_R of the first plus the conjugate d_L of the second antenna."""
    data = np.zeros((4, 1, 1), dtype=np.complex64)
    data[[0, 3]] = 2.0
    d = np.array([[0.003 + 0.001j, 0.0], [0.0, -0.002 + 0.004j]])
    none, one = np.array([0], dtype=np.int32), np.array([1], dtype=np.int32)
    found = leakage.apply_d_terms(data, d, np.zeros(1), none, one)
    assert found[1, 0, 0] / 2.0 == pytest.approx(0.003 + 0.001j - 0.002 - 0.004j, abs=1e-6)


def test_size_of_the_d_terms():
    d = leakage.residual_d_terms(0.004, 1, 2, 4000)
    assert np.sqrt(np.mean(np.abs(d) ** 2, axis=1)) == pytest.approx([0.004, 0.004], rel=0.05)
    assert not np.array_equal(d, leakage.residual_d_terms(0.004, 1, 3, 4000))
    np.testing.assert_array_equal(d, leakage.residual_d_terms(0.004, 1, 2, 4000))
