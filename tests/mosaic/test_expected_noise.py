"""The noise expected from the weights beside that of images of pure noise."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from vlasscube import casa
from vlasscube.imaging.imager_inputs import image_grid as grid_of_geometry
from vlasscube.measurement_set.restore import WEIGHT_SCATTER
from vlasscube.measurement_set.visibilities import read_visibilities
from vlasscube.mosaic.expected_noise import channel_correlation
from vlasscube.mosaic.imager import ImagerSettings, MosaicImager
from vlasscube.mosaic.visibilities import ALL_USABLE
from vlasscube.mosaic.weighting import UvTaper
from vlasscube.records import DataSelection, ImageGeometry
from vlasscube.simulation import preset
from vlasscube.simulation.build import observe as lay_out
from vlasscube.simulation.measurement_set import write_measurement_set
from vlasscube.testing import observations
from vlasscube.testing.observations import ARCSEC, image_grid

observe = partial(observations.observe, antennas=20, size_m=250.0)
GRID = image_grid()
NATURAL = 9.0
"""A robust parameter that leaves the weights as they are."""


def change(visibilities, **arrays):
    (window,) = visibilities.spectral_windows
    return replace(visibilities, spectral_windows=(replace(window, **arrays),))


def with_noise(visibilities, seed, *, hanning=False, source_jy=0.0):
    """Noise as the weights say, and a source at the pointing centres, the same in all correlations."""
    (window,) = visibilities.spectral_windows
    rng = np.random.default_rng(seed)
    noise = rng.normal(size=(window.rows, window.channels + 2, 4, 2)).view(complex)[..., 0]
    smoothed = (noise[:, :-2] + 2 * noise[:, 1:-1] + noise[:, 2:]) / np.sqrt(6)
    noise = smoothed if hanning else noise[:, 1:-1]
    return change(
        visibilities, data=(source_jy + noise / np.sqrt(window.weight)[..., None]).astype(np.complex64)
    )


def imaged(grid, visibilities, **settings):
    """Expected noise, and the variance of each Stokes parameter's flat-noise image."""
    imager = MosaicImager(grid, visibilities, ImagerSettings(**dict(threads=2) | settings))
    weight_image = imager.weight_image()
    residual = np.empty((4, *grid.shape), dtype=np.float32)
    imager.residual(None, weight_image, residual)
    inside = imager.primary_beam(weight_image) > 0
    return imager.expected_noise_jy(), (residual[:, inside] ** 2).mean(axis=1)


def ratios(visibilities, *, seeds=8, hanning=False, **settings):
    """Expected over measured noise of I, Q, U and V."""
    made = [
        imaged(GRID, with_noise(visibilities, seed, hanning=hanning), **settings) for seed in range(seeds)
    ]
    expected, variances = zip(*made, strict=True)
    found = np.mean(expected) / np.sqrt(np.mean(variances, axis=0))
    print(np.round(found, 3))
    return found


def weights_of_antennas(visibilities):
    (window,) = visibilities.spectral_windows
    factor = np.random.default_rng(5).uniform(0.3, 3, 20)
    pairs = factor[window.antenna1] * factor[window.antenna2]
    return change(visibilities, weight=(window.weight * pairs[:, None]).astype(np.float32))


def weights_of_pointings(visibilities):
    (window,) = visibilities.spectral_windows
    factor = np.array([0.2, 1, 5])[window.field_index]
    return change(visibilities, weight=(window.weight * factor[:, None]).astype(np.float32))


def flags(visibilities):
    (window,) = visibilities.spectral_windows
    rng = np.random.default_rng(6)
    usable = window.usable.copy()
    usable[rng.random(usable.shape) < 0.3] = 0
    usable[rng.random(usable.shape) < 0.1] = ALL_USABLE & 0b0111
    usable[:, 3] = 0
    return change(visibilities, usable=usable)


def as_observed(visibilities):
    return visibilities


@pytest.mark.slow
@pytest.mark.parametrize(
    ("observed", "alter", "settings"),
    [
        ({}, as_observed, dict(robust=NATURAL)),
        ({}, as_observed, dict(robust=1.0)),
        ({}, as_observed, dict(robust=-2.0)),
        ({}, as_observed, dict(robust=1.0, taper=UvTaper(90 * ARCSEC, 60 * ARCSEC, 0.5), seeds=24)),
        ({}, weights_of_antennas, dict(robust=0.5)),
        ({}, weights_of_pointings, dict(robust=0.5)),
        ({}, flags, dict(robust=0.5)),
        # A tenth of the visibilities lie beyond the uv grid.
        (dict(size_m=800.0), as_observed, dict(robust=0.5)),
        (dict(channels=2, antennas=30), as_observed, dict(robust=0.5, gridding="exact", seeds=4)),
    ],
)
def test_pure_noise_is_what_the_weights_say(observed, alter, settings):
    found = ratios(alter(observe(GRID, **observed)), **settings)
    np.testing.assert_allclose(found, 1, atol=0.05)


def test_natural_weighting_of_one_pointing_in_closed_form():
    """N visibilities of noise σ: σ/√(2N) in each Stokes parameter where the pointing looks."""
    visibilities = observe(GRID, pointings=((0.0, 0.0),))
    (window,) = visibilities.spectral_windows
    even = change(visibilities, weight=np.full(window.weight.shape, 4.0, dtype=np.float32))
    expected, _ = imaged(GRID, with_noise(even, 1), robust=NATURAL)
    assert expected == pytest.approx(0.5 / np.sqrt(2 * window.weight.size), rel=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("alter", [as_observed, flags])
def test_hanning_smoothing_adds_noise(alter):
    """The weights are those of single channels; the sum of correlated channels is noisier."""
    visibilities = alter(observe(GRID, channels=24, antennas=14))
    np.testing.assert_allclose(ratios(visibilities, hanning=True, robust=0.5), 1, atol=0.05)


def test_correlation_of_channels():
    visibilities = observe(GRID, channels=24, antennas=14)
    (window,) = with_noise(visibilities, 1, hanning=True).spectral_windows
    assert channel_correlation(window) == pytest.approx((2 / 3, 1 / 6), abs=0.02)
    (window,) = with_noise(visibilities, 1).spectral_windows
    assert channel_correlation(window) == (0.0, 0.0)


def test_sources_and_interference_are_no_correlation():
    visibilities = observe(GRID, channels=24, antennas=14)
    (window,) = with_noise(visibilities, 1, source_jy=2.0).spectral_windows
    assert channel_correlation(window) == (0.0, 0.0)
    loud = window.data.copy()
    loud[::50, 4:8] += 100.0
    assert channel_correlation(replace(window, data=loud)) == pytest.approx((0.0, 0.0), abs=0.02)


@pytest.mark.parametrize("observed", [dict(dumps=1), dict(channels=1)])
def test_nothing_to_measure_a_correlation_with(observed):
    (window,) = with_noise(observe(GRID, **observed), 1).spectral_windows
    assert channel_correlation(window) == (0.0, 0.0)


def test_weights_scaled_by_four_let_expect_half_the_noise():
    visibilities = with_noise(observe(GRID), 1)
    (window,) = visibilities.spectral_windows
    once, measured = imaged(GRID, visibilities)
    again, same = imaged(GRID, change(visibilities, weight=4 * window.weight))
    assert again == pytest.approx(once / 2, rel=1e-4)
    np.testing.assert_allclose(same, measured, rtol=1e-4)


def test_nothing_imaged_is_no_noise():
    visibilities = with_noise(observe(GRID), 1)
    (window,) = visibilities.spectral_windows
    imager = MosaicImager(GRID, change(visibilities, weight=0 * window.weight), ImagerSettings())
    assert imager.expected_noise_jy() is None


@pytest.mark.casa
def test_measurement_set_of_pure_noise(tmp_path):
    """From the receivers' noise through CASA's statwt, as the restore calls it, to the image."""
    casa.configure(tmp_path / "casa.log", tmp_path / "calls.py")
    field = preset("tiny", points=1, flux_range_jy=(1e-9, 1e-9), rfi_spws=(), science_spws=(2, 3, 4))
    ms = tmp_path / "noise.ms"
    write_measurement_set(ms, lay_out(field, 1))
    casa.run_task(
        "statwt",
        vis=str(ms),
        datacolumn="data",
        **WEIGHT_SCATTER,
    )
    grid = grid_of_geometry(ImageGeometry(*field.imsize, field.cell_arcsec, field.phasecenter))
    found = []
    for spw in ("2", "3", "4"):
        selection = DataSelection("", spw, "", "", "", "<0.8km")
        expected, variance = imaged(grid, read_visibilities(ms, selection, column="data"), robust=1.0)
        found.append(expected / np.sqrt(variance))
    print(np.round(found, 3))
    np.testing.assert_allclose(np.mean(found, axis=0), 1, atol=0.05)
