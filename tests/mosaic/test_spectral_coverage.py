"""The mean frequency of a plane's data beside sums over all visibilities, and what it is good for."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from vlasscube.constants import SPEED_OF_LIGHT_M_S
from vlasscube.mosaic.imager import ImagerSettings, MosaicImager
from vlasscube.mosaic.spectral_coverage import spectral_coverage
from vlasscube.mosaic.visibilities import ALL_USABLE
from vlasscube.mosaic.weighting import UvTaper
from vlasscube.polarization.rotation_measure import rotation_measure
from vlasscube.polarization.stokes import fit_power_law
from vlasscube.testing import observations
from vlasscube.testing.observations import ARCSEC, image_grid

GRID = image_grid()
observe = partial(observations.observe, antennas=12, size_m=250.0)

WINDOW_HZ, CHANNELS = 128e6, 64


def window(middle_hz):
    """Channels of a spectral window of VLASS."""
    width = WINDOW_HZ / CHANNELS
    return middle_hz + (np.arange(CHANNELS) - (CHANNELS - 1) / 2) * width, np.full(CHANNELS, width)


def test_half_a_window():
    """With its lower half flagged the data of a window are 32 MHz above its middle."""
    frequency, width = window(2.1555e9)
    whole = spectral_coverage(frequency, width, np.ones(CHANNELS))
    assert whole.effective_frequency_hz == pytest.approx(2.1555e9, rel=1e-12)
    assert whole.effective_bandwidth_hz == pytest.approx(128e6)
    half = spectral_coverage(frequency, width, 3.0 * (np.arange(CHANNELS) >= 32))
    assert half.effective_frequency_hz - 2.1555e9 == pytest.approx(32e6)
    assert half.effective_bandwidth_hz == pytest.approx(64e6)
    # The mean of 1/ν² over a band is 1 / (lowest edge · highest edge).
    edges = 2.1555e9, 2.1555e9 + 64e6
    assert half.mean_lambda2_m2 == pytest.approx(SPEED_OF_LIGHT_M_S**2 / (edges[0] * edges[1]), rel=1e-4)


def test_gaps_and_weights():
    frequency, width = window(3.0e9)
    every_second = spectral_coverage(frequency, width, np.tile([1.0, 0.0], CHANNELS // 2))
    assert every_second.effective_bandwidth_hz == pytest.approx(64e6)
    # Two channels with weights 3 and 1: (3 + 1)² / (9 + 1) channels.
    weight = np.zeros(CHANNELS)
    weight[[10, 20]] = 3, 1
    found = spectral_coverage(frequency, width, weight)
    assert found.effective_bandwidth_hz == pytest.approx(1.6 * 2e6)
    assert found.effective_frequency_hz == pytest.approx((3 * frequency[10] + frequency[20]) / 4)
    # Splitting channels of the same weight per hertz changes nothing.
    coarse = spectral_coverage(np.array([1.0e9, 2.0e9]), np.array([4e6, 2e6]), np.array([4.0, 1.0]))
    fine = spectral_coverage(
        np.array([1.0e9, 1.0e9, 2.0e9]), np.array([2e6, 2e6, 2e6]), np.array([2.0, 2.0, 1.0])
    )
    assert coarse == fine
    assert spectral_coverage(frequency, width, np.zeros(CHANNELS)) is None


@pytest.mark.parametrize(
    "settings",
    [
        dict(robust=9.0),
        dict(robust=0.5),
        dict(robust=1.0, taper=UvTaper(90 * ARCSEC, 60 * ARCSEC, 0.5)),
        dict(robust=0.5, gridding="exact"),
        dict(robust=0.5, gridding="exact", w_correction=True),
    ],
)
def test_of_an_imager_beside_the_sum_over_all_visibilities(settings):
    """A source at each pointing centre whose flux is f(ν): what the imager makes of it is the mean of f.

    At the centre of the only pointing beam and fringe are 1, so the dirty image there is Σ w f / Σ w with the
    weights that the gridder has, whatever they are, but for what tclean's gridding takes off every flux.
    """
    visibilities = observe(GRID, pointings=((0.0, 0.0),), channels=8)
    (data,) = visibilities.spectral_windows
    rng = np.random.default_rng(3)
    usable = np.where(rng.random(data.usable.shape) < np.linspace(0.9, 0.1, 8), 0, ALL_USABLE)
    usable[:, 2] = ALL_USABLE & 0b1011
    frequency = data.channel_frequency_hz
    means = {}
    spectra = {"one": np.ones(8), "nu": frequency / 1e9, "lambda2": (1e9 / frequency) ** 2}
    for name, spectrum in spectra.items():
        # In Stokes I alone.
        flux = np.zeros((data.rows, 8, 4), np.complex64)
        flux[..., 0] = flux[..., 3] = spectrum
        seen = replace(data, data=flux, usable=usable.astype(np.uint8))
        observed = replace(visibilities, spectral_windows=(seen,))
        imager = MosaicImager(GRID, observed, ImagerSettings(**settings))
        weight_image = imager.weight_image()
        residual = np.empty((4, *GRID.shape), np.float32)
        imager.residual(None, weight_image, residual)
        means[name] = float(residual[0, GRID.ny // 2, GRID.nx // 2])
    found = imager.spectral_coverage()
    assert found.effective_frequency_hz / 1e9 == pytest.approx(means["nu"] / means["one"], rel=3e-4)
    lambda2 = found.mean_lambda2_m2 * (1e9 / SPEED_OF_LIGHT_M_S) ** 2
    assert lambda2 == pytest.approx(means["lambda2"] / means["one"], rel=3e-4)
    # It is not the middle of the band, or the test would show nothing.
    assert abs(found.effective_frequency_hz - frequency.mean()) > 1e-2 * np.ptp(frequency)
    assert (imager.w_planes > 0) == settings.get("w_correction", False)


def test_natural_weights_beside_a_plain_sum():
    visibilities = observe(GRID, channels=8)
    (data,) = visibilities.spectral_windows
    rng = np.random.default_rng(4)
    usable = np.where(rng.random(data.usable.shape) < np.linspace(0.9, 0.1, 8), 0, ALL_USABLE)
    weights = data.weight * rng.uniform(0.2, 2, 8).astype(np.float32)
    seen = replace(data, usable=usable.astype(np.uint8), weight=weights)
    imager = MosaicImager(GRID, replace(visibilities, spectral_windows=(seen,)), ImagerSettings(robust=9.0))
    sums = np.zeros(3)
    for row in range(seen.rows):
        for channel, frequency in enumerate(seen.channel_frequency_hz):
            if usable[row, channel] == ALL_USABLE:
                weight = float(weights[row, channel])
                sums += weight * np.array([1, frequency, (SPEED_OF_LIGHT_M_S / frequency) ** 2])
    found = imager.spectral_coverage()
    assert found.effective_frequency_hz == pytest.approx(sums[1] / sums[0], rel=1e-9)
    assert found.mean_lambda2_m2 == pytest.approx(sums[2] / sums[0], rel=1e-9)


def test_of_an_imager_with_half_a_window_flagged():
    """Briggs' weights of channels next to each other are much the same."""
    visibilities = observe(GRID, channels=64)
    (data,) = visibilities.spectral_windows
    usable = data.usable.copy()
    usable[:, :32] = 0
    seen = replace(data, usable=usable)
    imager = MosaicImager(GRID, replace(visibilities, spectral_windows=(seen,)), ImagerSettings(robust=1.0))
    found = imager.spectral_coverage()
    quarter = 16 * data.channel_width_hz[0]
    middle = data.channel_frequency_hz.mean()
    assert found.effective_frequency_hz - middle == pytest.approx(quarter, rel=0.05)
    assert found.effective_bandwidth_hz == pytest.approx(2 * quarter, rel=0.02)


def test_spectral_index_and_rotation_measure_of_a_half_flagged_cube():
    """Each second plane has lost one half of its window: by the middles of the windows α and RM are wrong."""
    alpha, rm = -0.7, 300.0
    middles = np.array([2.0275e9 + 128e6 * number for number in range(16)])
    coverages, flux, polarization = [], [], []
    for number, middle in enumerate(middles):
        frequency, width = window(middle)
        weight = np.ones(CHANNELS)
        if number % 2 == 0:
            weight[: CHANNELS // 2] = 0
        coverages.append(spectral_coverage(frequency, width, weight))
        share = weight / weight.sum()
        flux.append(share @ (frequency / 3e9) ** alpha)
        polarization.append(share @ np.exp(2j * rm * (SPEED_OF_LIGHT_M_S / frequency) ** 2))
    effective = [coverage.effective_frequency_hz for coverage in coverages]
    lambda2 = [coverage.mean_lambda2_m2 for coverage in coverages]
    kept = [True] * 16
    law = fit_power_law(effective, flux, kept)
    assert law.alpha == pytest.approx(alpha, abs=1e-3)
    assert law.flux_3ghz_jy == pytest.approx(1.0, abs=3e-4)
    q, u = np.real(polarization), np.imag(polarization)
    fit = rotation_measure(effective, q, u, 0.01, mean_lambda2_m2=lambda2)
    assert fit.rm == pytest.approx(rm, abs=0.05)
    assert (fit.angle0_deg + 90) % 180 - 90 == pytest.approx(0, abs=0.5)
    # Without it: the loss that this is for.
    angles = np.rad2deg(rm * (np.array(lambda2) - (SPEED_OF_LIGHT_M_S / middles) ** 2))
    assert 9 < abs(angles).max() < 13
    assert abs(fit_power_law(middles, flux, kept).flux_3ghz_jy - 1) > 2e-3
    assert rotation_measure(middles, q, u, 0.01).reduced_chi2 > 10 * fit.reduced_chi2


def test_mean_lambda2_must_fit():
    from vlasscube.errors import ProductError

    frequency = np.array([2e9, 3e9, 4e9])
    with pytest.raises(ProductError, match="mean λ²"):
        rotation_measure(frequency, [1, 1, 1], [0, 0, 1], 0.1, mean_lambda2_m2=[0.01, 0.02])
    with pytest.raises(ProductError, match="mean λ²"):
        rotation_measure(frequency, [1, 1, 1], [0, 0, 1], 0.1, mean_lambda2_m2=[0.01, 0.02, 0.0])
    unknown = rotation_measure(frequency, [1, 1, 1], [0, 0, 1], 0.1, mean_lambda2_m2=[np.nan] * 3)
    assert unknown == rotation_measure(frequency, [1, 1, 1], [0, 0, 1], 0.1)
