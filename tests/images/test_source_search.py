"""Oracles: sources put in by hand, and a search pixel by pixel."""

from __future__ import annotations

import numpy as np
import pytest

from vlasscube.errors import ProductError
from vlasscube.images import source_search
from vlasscube.images.source_search import brightest_sources


def noise(shape, sigma=2e-4):
    return np.random.default_rng(3).normal(0, sigma, shape).astype(np.float32)


def rms(shape, sigma=2e-4):
    return np.full(shape, sigma, np.float32)


def places(found):
    return [(source.pixel_x, source.pixel_y) for source in found]


@pytest.mark.parametrize("shape", [(700, 600), (1400, 1300), (2500, 1700)])
def test_peaks_by_signal_to_noise(shape):
    image, sigma = noise(shape), rms(shape)
    image[200, 301], image[shape[0] - 3, 5], image[400, 100], image[500, 500] = 0.08, 0.01, 0.02, 0.001
    sigma[360:440, 60:140] = 4e-3
    # At (100, 400) the ratio is 5, at (500, 500) it is 5, too: neither is significant.
    found = brightest_sources(image, sigma)
    assert places(found) == [(301, 200), (5, shape[0] - 3)]
    assert found[0].peak_jy == pytest.approx(0.08)
    assert found[0].snr == pytest.approx(400.0, rel=1e-3)
    assert found[1].snr == pytest.approx(50.0, rel=1e-3)


def test_faintest():
    shape, threshold = (300, 300), source_search.FAINTEST_SNR
    for factor, count in ((0.999, 0), (1.001, 1)):
        image = np.zeros(shape, np.float32)
        image[50, 70] = threshold * factor * 2e-4
        assert len(brightest_sources(image, rms(shape))) == count


@pytest.mark.parametrize(("apart", "count"), [(32, 1), (33, 2)])
@pytest.mark.parametrize("axis", [0, 1])
def test_the_brighter_one_of_neighbours(apart, count, axis):
    image = np.zeros((300, 300), np.float32)
    image[100, 100] = 0.01
    image[(100 + apart, 100) if axis == 0 else (100, 100 + apart)] = 0.02
    found = brightest_sources(image, rms(image.shape))
    assert len(found) == count
    assert found[0].peak_jy == pytest.approx(0.02)


def test_no_more_than_fit():
    image = np.zeros((700, 700), np.float32)
    image[20::70, 20::70] = np.linspace(0.01, 0.02, 100).reshape(10, 10)
    found = brightest_sources(image, rms(image.shape))
    assert len(found) == source_search.MOST_SOURCES
    assert [s.peak_jy for s in found] == sorted((s.peak_jy for s in found), reverse=True)
    assert found[0].peak_jy == pytest.approx(0.02)


def test_what_is_blanked_or_negative_is_no_source():
    image = np.zeros((900, 900), np.float32)
    image[100, 100], image[300, 300], image[301, 301] = np.inf, -1.0, 0.5
    image[500:, :] = np.nan
    image[400, 400] = 0.01
    sigma = rms(image.shape)
    sigma[:200, :] = np.nan
    # The block of two pixels a side with the negative peak hides the positive one beside it.
    assert places(brightest_sources(image, sigma)) == [(400, 400)]
    sigma[:] = 0.0
    assert brightest_sources(image, sigma) == ()


def test_where_the_rms_image_swings_through_zero_there_is_no_source():
    image, sigma = noise((300, 300)), rms((300, 300))
    image[150, 150] = 0.01
    image[5, 50], image[10, 100], image[20, 200] = -0.01, 0.01, 0.01
    sigma[5, 50], sigma[10, 100], sigma[20, 200] = -2e-4, 0.09 * 2e-4, 0.11 * 2e-4
    found = brightest_sources(image, sigma)
    assert places(found) == [(200, 20), (150, 150)]
    assert found[0].snr == pytest.approx(0.01 / 0.22e-4, rel=0.05)


def test_shapes_must_agree():
    with pytest.raises(ProductError, match="rms image of shape"):
        brightest_sources(noise((10, 10)), rms((10, 11)))
