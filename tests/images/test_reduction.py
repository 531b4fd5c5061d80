"""Oracle: block by block."""

from __future__ import annotations

import numpy as np
import pytest

from vlasscube.images.reduction import block_extreme, block_mean, blocks_for


@pytest.mark.parametrize("blank", ["some", "none"])
@pytest.mark.parametrize("shape", [(12, 12), (13, 7), (1, 5), (5, 5), (4, 13)])
@pytest.mark.parametrize("size", [1, 2, 3, 5, 20])
def test_mean_and_extreme(shape, size, blank):
    plane = np.random.default_rng(2).normal(size=shape).astype(np.float32)
    if blank == "some":
        plane[plane > 1] = np.inf
        plane[:2, :2] = np.nan
    blocks = [
        [plane[y : y + size, x : x + size] for x in range(0, shape[1], size)]
        for y in range(0, shape[0], size)
    ]
    finite = [[block[np.isfinite(block)] for block in row] for row in blocks]
    mean = [[block.mean() if block.size else np.nan for block in row] for row in finite]
    extreme = [[block[np.abs(block).argmax()] if block.size else np.nan for block in row] for row in finite]
    if size == 1:
        mean = extreme = plane
    found = block_mean(plane, size), block_extreme(plane, size)
    assert found[0].dtype == found[1].dtype == np.float32
    np.testing.assert_allclose(found[0], mean, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(found[1], extreme)


def test_size_one_is_the_image_itself():
    plane = np.zeros((3, 4), np.float32)
    assert block_mean(plane, 1) is plane


@pytest.mark.parametrize("layout", ["transposed", "every other", "double"])
def test_any_layout(layout):
    plane = np.random.default_rng(3).normal(size=(40, 40)).astype(np.float32)
    other = {"transposed": plane.T, "every other": plane[::2, ::2], "double": plane.astype(float)}[layout]
    np.testing.assert_array_equal(block_extreme(other, 4), block_extreme(other.astype(np.float32).copy(), 4))


def test_block_size():
    assert [blocks_for(shape, 1200) for shape in ((10, 1200), (1201, 5), (12500, 12500))] == [1, 2, 11]
