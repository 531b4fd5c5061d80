"""Briggs' weights beside a slow reference, and the taper beside the transform of a Gaussian."""

from collections import defaultdict

import numpy as np
import pytest

from vlasscube.mosaic.grid import ImageGrid
from vlasscube.mosaic.weighting import DensityGrid, UvTaper, WeightedBlock, taper_weights

ARCSEC = np.radians(1 / 3600)
C = 299_792_458.0


def image_grid(nx=200, ny=160):
    return ImageGrid(nx, ny, 12 * ARCSEC, 1.0, 0.5)


def observed(rows=400, channels=5, size_m=300.0, seed=1, start_hz=2.8e9):
    rng = np.random.default_rng(seed)
    weight = rng.uniform(0.1, 3.0, (rows, channels)).astype(np.float32)
    weight[rng.random(weight.shape) < 0.1] = 0
    frequency = start_hz + 16e6 * np.arange(channels)
    return WeightedBlock(rng.normal(0, size_m, (rows, 2)), frequency, weight)


def slow_weights(grid, blocks, robust):
    """Briggs' weights visibility by visibility, the density in a dictionary."""
    density = defaultdict(float)

    def cell(u, v):
        x = int(u * grid.nx * grid.cell_rad + grid.nx // 2)
        y = int(v * grid.ny * grid.cell_rad + grid.ny // 2)
        return (x, y) if 0 < x < grid.nx and 0 < y < grid.ny else None

    def each(block):
        for row, (u_m, v_m) in enumerate(block.uv_m):
            for channel, frequency in enumerate(block.frequency_hz):
                inverse = np.float32(frequency / C)
                yield row, channel, float(np.float32(u_m * inverse)), float(np.float32(v_m * inverse))

    total = 0.0
    for block in blocks:
        for row, channel, u, v in each(block):
            for place in (cell(u, v), cell(-u, -v)):
                if place is not None:
                    density[place] += float(block.weight[row, channel])
                    total += float(block.weight[row, channel])
    f2 = (5 * 10.0**-robust) ** 2 * total / sum(value**2 for value in density.values())
    results = []
    for block in blocks:
        weights = np.zeros(block.weight.shape)
        for row, channel, u, v in each(block):
            place = cell(u, v)
            if place is not None:
                weights[row, channel] = block.weight[row, channel] / (1 + density[place] * f2)
        results.append(weights)
    return results


@pytest.mark.parametrize("robust", [-2.0, -0.5, 0.0, 1.0, 2.0])
@pytest.mark.parametrize("shape", [(200, 160), (161, 201)])
def test_weights_are_those_of_the_slow_reference(robust, shape):
    grid = image_grid(*shape)
    blocks = [observed(), observed(rows=150, channels=3, seed=2, start_hz=3.4e9)]
    density = DensityGrid(grid)
    for block in blocks:
        density.add(block)
    for block, expected in zip(blocks, slow_weights(grid, blocks, robust), strict=True):
        found = density.robust_weights(block, robust)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, expected, rtol=2e-5)


def test_more_rows_than_a_batch_change_nothing():
    # The reference is too slow for so many; cells do not care for the order of rows.
    block = observed(rows=40_000, channels=2)
    order = np.random.default_rng(4).permutation(40_000)
    shuffled = WeightedBlock(block.uv_m[order], block.frequency_hz, block.weight[order])
    first, second = DensityGrid(image_grid()), DensityGrid(image_grid())
    first.add(block)
    second.add(shuffled)
    np.testing.assert_allclose(
        second.robust_weights(shuffled, 0.0), first.robust_weights(block, 0.0)[order], rtol=1e-4
    )


@pytest.mark.parametrize("robust", [-2.0, 0.0, 2.0])
def test_a_visibility_and_its_conjugate_weigh_the_same(robust):
    block = observed()
    turned = WeightedBlock(-block.uv_m, block.frequency_hz, block.weight)
    some = np.random.default_rng(3).random(len(block.uv_m)) < 0.5
    mixed = WeightedBlock(np.where(some[:, None], turned.uv_m, block.uv_m), block.frequency_hz, block.weight)
    found = []
    for entry in (block, turned, mixed):
        density = DensityGrid(image_grid())
        density.add(entry)
        found.append(density.robust_weights(entry, robust))
    np.testing.assert_allclose(found[1], found[0], rtol=1e-5)
    np.testing.assert_allclose(found[2], found[0], rtol=1e-5)


def test_large_robust_is_natural_and_small_robust_uniform():
    grid = image_grid()
    block = observed(rows=3000, size_m=100.0)
    density = DensityGrid(grid)
    density.add(block)
    np.testing.assert_allclose(density.robust_weights(block, 9.0), block.weight, rtol=1e-5)
    uniform = density.robust_weights(block, -9.0)
    # Each filled cell gets the same sum of weights, up to the cell of the conjugate that shares its density.
    cells = DensityGrid(grid)
    cells.add(WeightedBlock(block.uv_m, block.frequency_hz, uniform))
    filled = cells._cells[cells._cells > 0]
    assert filled.size > 500
    np.testing.assert_allclose(filled, filled[0], rtol=1e-3)


def test_what_falls_off_the_grid_weighs_nothing():
    grid = image_grid()
    limit = C / (2 * grid.cell_rad * 2.8e9)
    far = 1.05 * limit
    uv = np.array([[far, 0.0], [0.0, -far], [-far, far], [10.0, 10.0]])
    block = WeightedBlock(uv, np.array([2.8e9]), np.ones((4, 1), dtype=np.float32))
    density = DensityGrid(grid)
    density.add(block)
    found = density.robust_weights(block, 0.0)
    assert found[:3].tolist() == [[0.0], [0.0], [0.0]]
    assert found[3, 0] > 0


def test_nothing_observed_weighs_nothing():
    block = observed(rows=10)
    empty = WeightedBlock(block.uv_m, block.frequency_hz, np.zeros_like(block.weight))
    density = DensityGrid(image_grid())
    density.add(empty)
    assert not density.robust_weights(empty, 0.0).any()


@pytest.mark.parametrize(
    "taper",
    [
        UvTaper(40 * ARCSEC, 40 * ARCSEC, 0.0),
        UvTaper(60 * ARCSEC, 25 * ARCSEC, np.radians(30)),
        UvTaper(60 * ARCSEC, 25 * ARCSEC, np.radians(-75)),
    ],
)
def test_taper_is_the_transform_of_its_gaussian(taper):
    block = observed(rows=6, channels=2)
    offset = np.linspace(-240, 240, 481) * ARCSEC
    east, north = np.meshgrid(offset, offset)
    along = np.sin(taper.bpa_rad) * east + np.cos(taper.bpa_rad) * north
    across = np.cos(taper.bpa_rad) * east - np.sin(taper.bpa_rad) * north
    gaussian = 2.0 ** -((2 * along / taper.bmaj_rad) ** 2 + (2 * across / taper.bmin_rad) ** 2)
    found = taper_weights(block, taper)
    assert found.dtype == np.float32
    for row, (u_m, v_m) in enumerate(block.uv_m):
        for channel, frequency in enumerate(block.frequency_hz):
            phase = 2 * np.pi * frequency / C * (u_m * east + v_m * north)
            expected = (gaussian * np.cos(phase)).sum() / gaussian.sum()
            assert found[row, channel] == pytest.approx(expected, abs=2e-6)


def test_taper_is_one_at_the_origin_and_even():
    taper = UvTaper(60 * ARCSEC, 25 * ARCSEC, 0.4)
    block = observed(rows=50)
    turned = WeightedBlock(-block.uv_m, block.frequency_hz, block.weight)
    np.testing.assert_array_equal(taper_weights(block, taper), taper_weights(turned, taper))
    origin = WeightedBlock(np.zeros((1, 2)), block.frequency_hz, np.ones((1, 5), dtype=np.float32))
    np.testing.assert_array_equal(taper_weights(origin, taper), 1.0)
