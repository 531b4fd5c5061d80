from dataclasses import replace

import numpy as np
import pytest

from vlasscube.mosaic.imager import ImagerSettings, MosaicImager
from vlasscube.mosaic.primary_beam import evla_power_beam
from vlasscube.simulation.beam import first_null_arcmin, power_beam
from vlasscube.testing.observations import axes, direction, image_grid, observe

FREQUENCY = np.linspace(2.004e9, 4.0e9, 400)
RADIUS = np.linspace(0.0, 30.0, 61)[:, None]


def test_is_the_imagers_beam_where_that_takes_the_s_band():
    """Two tables of one memo, written down separately."""
    np.testing.assert_array_equal(power_beam(RADIUS, FREQUENCY), evla_power_beam(RADIUS, FREQUENCY))


@pytest.mark.parametrize("edge", [1.966e9, 4.010e9])
def test_the_receiver_is_that_of_the_s_band_throughout(edge):
    inside = float(np.clip(edge, 2.004e9, 4.0e9))
    # In units of r ν the beam of the edge is that of the nearest frequency inside.
    scaled = RADIUS * inside / edge
    np.testing.assert_allclose(power_beam(scaled, edge), power_beam(RADIUS, inside), rtol=1e-12)
    assert np.abs(power_beam(10.0, edge) - evla_power_beam(10.0, edge)) > 2e-3


def test_half_power_is_where_the_memo_has_it():
    # Memo 195, abstract: the full width is about 42 arcmin / ν[GHz].
    for ghz in (2.0, 3.0, 4.0):
        radius = np.linspace(0, 20, 20001)
        half = radius[np.abs(power_beam(radius, ghz * 1e9) - 0.5).argmin()]
        assert 2 * half * ghz == pytest.approx(42.0, rel=0.03)


@pytest.mark.parametrize("ghz", [2.028, 3.052, 3.948])
def test_first_sidelobe(ghz):
    null = float(first_null_arcmin(ghz * 1e9)[0])
    assert power_beam(null * 0.999, ghz * 1e9) < 1e-3
    assert power_beam(null * 1.001, ghz * 1e9) == 0.0
    radius = np.linspace(0.0, 3.0 * null, 3001)
    plain, whole = power_beam(radius, ghz * 1e9), power_beam(radius, ghz * 1e9, sidelobe=True)
    np.testing.assert_array_equal(plain[radius < null], whole[radius < null])
    beyond = radius > null
    assert whole[beyond].max() == pytest.approx(0.038, abs=5e-4)
    assert radius[beyond][whole[beyond].argmax()] / null == pytest.approx(1.42, abs=0.01)
    assert whole[np.abs(radius - null).argmin()] < 1e-4
    assert not np.any(whole[radius > 2.11 * null])


def test_shapes():
    assert power_beam(np.ones((3, 1)), np.full(5, 3e9), sidelobe=True).shape == (3, 5)
    assert power_beam(1.0, 3e9).shape == ()


@pytest.mark.parametrize(("gridding", "tolerance"), [("exact", 2e-3), ("casa", 1e-2)])
def test_the_imager_takes_one_receiver_for_all_of_window_2(gridding, tolerance):
    """The lowest channels, below 2.003 GHz, image with the beam of the S band as the window's mean does."""
    grid = image_grid(nx=250, ny=250, cell_arcsec=15.0)
    made_up = observe(grid, pointings=((0.0, 0.0),), channels=8, size_m=150.0)
    (window,) = made_up.spectral_windows
    frequency = 2.028e9 + 16e6 * (np.arange(8) - 3.5)
    window = replace(window, channel_frequency_hz=frequency)
    settings = ImagerSettings(robust=9.0, threads=1, gridding=gridding)
    imager = MosaicImager(grid, replace(made_up, spectral_windows=(window,)), settings)
    found = imager.primary_beam(imager.weight_image())
    (entry,) = made_up.fields
    y, x = np.mgrid[: grid.ny, : grid.nx]
    cosine = np.clip(direction(grid, x, y) @ axes(entry)[2], -1, 1)
    radius = np.degrees(np.arccos(cosine)) * 60
    share = np.asarray(window.weight, dtype=float).sum(axis=0)
    squares = power_beam(radius[..., None], frequency * entry.lsrk_factor) ** 2
    expected = np.sqrt((squares * share).sum(axis=-1) / share.sum())
    inside = expected > 0.15
    np.testing.assert_allclose(found[inside], expected[inside], atol=tolerance)
    other = evla_power_beam(radius[..., None], frequency * entry.lsrk_factor) ** 2
    mixed = np.sqrt((other * share).sum(axis=-1) / share.sum())
    if gridding == "exact":
        assert np.abs(mixed - found)[inside].max() > 2 * tolerance
