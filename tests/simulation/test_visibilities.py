import cmath
import math

import numpy as np
import pytest

from vlasscube.simulation import visibilities
from vlasscube.simulation.beam import power_beam
from vlasscube.simulation.sky import Source, stokes_spectrum
from vlasscube.simulation.visibilities import View, predict
from vlasscube.sky import direction_at

CENTRE = (2.6, 0.6)
FREQUENCIES = np.array([2.0e9, 2.5e9, 3.9e9])


def source_at(east_arcmin, north_arcmin, **properties):
    ra, dec = direction_at(
        math.sin(math.radians(east_arcmin / 60)), math.sin(math.radians(north_arcmin / 60)), *CENTRE
    )
    return Source("A", math.degrees(ra), math.degrees(dec), 1.0, **properties)


def uvw(rows=40, seed=1):
    return np.random.default_rng(seed).normal(scale=500.0, size=(rows, 3))


def brute_force(sources, baselines, frequencies, centre, pointing):
    """One visibility after the other, from angles on the sphere."""
    result = np.zeros((4, len(frequencies), len(baselines)), dtype=complex)
    ra0, dec0 = centre
    for source in sources:
        ra, dec = math.radians(source.ra_deg), math.radians(source.dec_deg)
        east = math.cos(dec) * math.sin(ra - ra0)
        north = math.sin(dec) * math.cos(dec0) - math.cos(dec) * math.sin(dec0) * math.cos(ra - ra0)
        cosine = math.sin(dec) * math.sin(dec0) + math.cos(dec) * math.cos(dec0) * math.cos(ra - ra0)
        from_pointing = math.acos(
            math.sin(dec) * math.sin(pointing[1])
            + math.cos(dec) * math.cos(pointing[1]) * math.cos(ra - pointing[0])
        )
        for channel, frequency in enumerate(frequencies):
            i, q, u, v = (float(value[0]) for value in stokes_spectrum(source, frequency))
            beam = float(power_beam(math.degrees(from_pointing) * 60, frequency))
            for row, (x, y, z) in enumerate(baselines):
                path = x * east + y * north + z * (cosine - 1)
                fringe = beam * cmath.exp(2j * math.pi * path * frequency / 299792458.0)
                for correlation, value in enumerate((i + v, q + 1j * u, q - 1j * u, i - v)):
                    result[correlation, channel, row] += value * fringe
    return result


def test_equals_brute_force(monkeypatch):
    sources = [
        source_at(3.0, -7.0, alpha=-0.7, fractional_polarization=0.1, polarization_angle_deg=20.0),
        source_at(-9.0, 1.0, alpha=0.3, fractional_v=0.2, rotation_measure_rad_m2=30.0),
    ]
    pointing = direction_at(0.0004, 0.0, *CENTRE)
    view = View.towards(*pointing)
    expected = brute_force(sources, uvw(), FREQUENCIES, CENTRE, pointing)
    np.testing.assert_allclose(predict(sources, uvw(), FREQUENCIES, CENTRE, view), expected, atol=2e-6)
    # The result does not depend on how the rows are cut.
    monkeypatch.setattr(visibilities, "_CHUNK_SAMPLES", 21)
    np.testing.assert_allclose(predict(sources, uvw(), FREQUENCIES, CENTRE, view), expected, atol=2e-6)


def test_points_at_the_phase_centre_by_default():
    source = source_at(5.0, 5.0)
    expected = predict([source], uvw(), FREQUENCIES, CENTRE, View.towards(*CENTRE))
    np.testing.assert_array_equal(predict([source], uvw(), FREQUENCIES, CENTRE), expected)


def test_gaussian_equals_a_sum_of_many_points():
    size = {"major_arcsec": 40.0, "minor_arcsec": 20.0, "position_angle_deg": 30.0}
    offsets = np.arange(-80.0, 80.1, 4.0)
    angle = math.radians(30.0)
    baselines = uvw(rows=12, seed=4) / 5
    total, weight = np.zeros((4, 1, 12), dtype=complex), 0.0
    for east in offsets:
        for north in offsets:
            along = east * math.sin(angle) + north * math.cos(angle)
            across = east * math.cos(angle) - north * math.sin(angle)
            value = math.exp(-4 * math.log(2) * ((along / 40.0) ** 2 + (across / 20.0) ** 2))
            weight += value
            # The beam at the centre throughout, as for the Gaussian itself.
            total += (
                value
                * brute_force([source_at(east / 60, north / 60)], baselines, [3.0e9], CENTRE, CENTRE)
                / power_beam(math.hypot(east, north) / 60, 3.0e9)
            )
    result = predict([source_at(0.0, 0.0, **size)], baselines, np.array([3.0e9]), CENTRE)
    np.testing.assert_allclose(result[0], total[0] / weight, atol=2e-4)
    assert 0.05 < np.abs(result[0]).min() < 0.8


def test_sources_beyond_the_null_are_not_seen():
    assert not np.any(predict([source_at(0.0, 40.0)], uvw(), FREQUENCIES, CENTRE))


def test_empty_sky_and_no_rows():
    assert not np.any(predict([], uvw(), FREQUENCIES, CENTRE))
    assert predict([source_at(0.0, 0.0)], uvw(rows=0), FREQUENCIES, CENTRE).shape == (4, 3, 0)


def test_flux_on_axis_at_zero_baseline():
    source = source_at(0.0, 0.0, fractional_polarization=0.1, fractional_v=0.02)
    rr, rl, lr, ll = predict([source], np.zeros((1, 3)), np.array([3.0e9]), CENTRE)[:, 0, 0]
    assert (rr + ll) / 2 == pytest.approx(1.0)
    assert (rr - ll) / 2 == pytest.approx(0.02)
    assert (rl + lr) / 2 == pytest.approx(0.1)
    assert (rl - lr) / 2j == pytest.approx(0.0)
