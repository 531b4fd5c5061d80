"""Oracles: the boxes of released images, arithmetic by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vlasscube.errors import ProductError
from vlasscube.images.cutouts import cut, cutout_box
from vlasscube.records import PixelBox


def test_released_box():
    box = cutout_box(12500, 12500, 0.6)
    assert box == PixelBox(3150, 3150, 9351, 9351)
    assert box.shape == (6202, 6202)
    # The reference pixel 6250 (0-based) of the image becomes CRPIX 3101.
    assert 6250 - box.blc_x + 1 == 3101


def test_current_box():
    assert cutout_box(12500, 12500, 0.6, convention="current") == PixelBox(3150, 3150, 9349, 9349)


@pytest.mark.parametrize("convention", ["archive", "current"])
@pytest.mark.parametrize("n", [1, 512, 6200])
def test_small_fields_are_taken_whole(n, convention):
    assert cutout_box(n, n, 0.6, convention=convention) == PixelBox(0, 0, n - 1, n - 1)


def test_just_larger_than_the_cutout():
    assert cutout_box(6201, 6201, 0.6) == PixelBox(0, 0, 6200, 6200)  # clamped
    assert cutout_box(6201, 512, 0.6, convention="current") == PixelBox(0, 0, 6199, 511)


def test_explicit_size_is_exact():
    assert cutout_box(12500, 12500, 0.6, size_pixels=(1000, 501)).shape == (1000, 501)
    assert cutout_box(800, 800, 0.6, size_pixels=(1000, 400)).shape == (800, 400)


def test_offsets():
    box = cutout_box(1000, 1000, 0.6, offset_blc_arcsec=(60.0, 30.0), offset_trc_arcsec=(6.0, 12.0))
    assert box == PixelBox(400, 450, 509, 519)
    box = cutout_box(100, 100, 1.0, offset_blc_arcsec=(1e4, 1e4), offset_trc_arcsec=(1e4, 1e4))
    assert box == PixelBox(0, 0, 99, 99)


@pytest.mark.parametrize(
    ("arguments", "options"),
    [
        ((0, 10, 0.6), {}),
        ((10, 10, 0.0), {}),
        ((10, 10, math.nan), {}),
        ((10, 10, 0.6), {"size_pixels": (0, 5)}),
        ((10, 10, 0.6), {"offset_blc_arcsec": (1.0, 1.0)}),
        ((100, 100, 1.0), {"offset_blc_arcsec": (-9.0, 9.0), "offset_trc_arcsec": (2.0, 9.0)}),
    ],
)
def test_impossible_boxes(arguments, options):
    with pytest.raises(ProductError):
        cutout_box(*arguments, **options)


@given(
    st.integers(1, 20000),
    st.integers(1, 20000),
    st.floats(0.1, 5.0),
    st.sampled_from(["archive", "current"]),
)
def test_box_is_inside_and_covers_the_square_degree(nx, ny, cell, convention):
    box = cutout_box(nx, ny, cell, convention=convention)
    for low, high, n in ((box.blc_x, box.trc_x, nx), (box.blc_y, box.trc_y, ny)):
        assert 0 <= low <= high < n
        if n * cell > 3720.0 + 1.0:
            assert abs((high - low + 1) * cell - 3720.0) <= 3 * cell
            assert low * cell <= n * cell / 2 - 1800 + cell
            assert high * cell >= n * cell / 2 + 1800 - cell
        else:
            assert high - low + 1 >= n - 3


def test_cut_is_a_view():
    plane = np.arange(20.0, dtype=np.float32).reshape(4, 5)
    part = cut(plane, PixelBox(1, 2, 3, 3))
    np.testing.assert_array_equal(part, [[11, 12, 13], [16, 17, 18]])
    assert np.shares_memory(part, plane)


@pytest.mark.parametrize("box", [(0, 0, 5, 3), (-1, 0, 3, 3), (3, 2, 2, 3)])
def test_cut_stays_inside(box):
    with pytest.raises(ProductError, match="does not lie"):
        cut(np.zeros((4, 5), np.float32), PixelBox(*box))
