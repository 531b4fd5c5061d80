"""Oracles: CASA's imdev, and its rules written down pixel by pixel."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter

from vlasscube import _kernels
from vlasscube.errors import ProductError
from vlasscube.images.rms_map import rms_map
from vlasscube.records import PixelBox
from vlasscube.testing.casa_images import IMDEV, run_task


def sky(ny, nx, seed, mask):
    """Noise of a beam's size that grows towards the border, with sources."""
    rng = np.random.default_rng(seed)
    plane = gaussian_filter(rng.normal(size=(ny, nx)), 1.7)
    plane *= 1e-4 / plane.std()
    rows, columns = np.indices((7, 7)) - 3
    source = np.exp(-(rows**2 + columns**2) / 5.8)
    for _ in range(ny * nx // 3000):
        y, x = rng.integers(0, ny - 7), rng.integers(0, nx - 7)
        plane[y : y + 7, x : x + 7] += rng.exponential(3e-3) * source
    rows, columns = np.indices((ny, nx))
    radius = np.hypot(rows / ny - 0.5, columns / nx - 0.5)
    plane *= np.exp(6.0 * radius**2)
    if mask == "circle":
        plane[radius > 0.42] = np.nan
    elif mask == "holes":
        plane[rng.random(plane.shape) < 3e-3] = np.nan
    elif mask == "half":
        plane[rng.random(plane.shape) < 0.5] = np.nan
    return plane.astype(np.float32)


# ----------------------------------------------------------------------------------------------- by the rules


def clipped_rms(values):
    values = values[np.isfinite(values)].astype(float)
    while len(values) > 1:
        deviation = np.abs(values - values.mean())
        kept = values[deviation <= _kernels.chauvenet_limit(len(values)) * values.std(ddof=1)]
        if len(kept) in (0, len(values)):
            break
        values = kept
    return 1.482602218505602 * np.median(np.abs(values - np.median(values)))


def linear(s, step):
    return s if step == 1 else 1 - s


def keys(s, step):
    """Keys' kernel of cubic convolution, a = -1/2."""
    d = abs(s - step)
    if d <= 1:
        return 1.5 * d**3 - 2.5 * d**2 + 1
    return -0.5 * d**3 + 2.5 * d**2 - 4 * d + 2 if d < 2 else 0.0


def by_the_rules(plane, reach, anchor):
    at_y, at_x = (range(first % 10, n, 10) for first, n in zip(anchor[::-1], plane.shape, strict=True))
    points = np.array(
        [
            [
                clipped_rms(plane[max(y - reach, 0) : y + reach + 1, max(x - reach, 0) : x + reach + 1])
                if np.isfinite(plane[y, x])
                else np.nan
                for x in at_x
            ]
            for y in at_y
        ]
    )
    result = np.full(plane.shape, np.nan)
    for y, x in np.argwhere(np.isfinite(plane)):
        place = (y - at_y[0]) / 10, (x - at_x[0]) / 10
        if y in at_y and x in at_x:
            value = points[round(place[0]), round(place[1])]
        else:
            cell = [min(max(math.floor(p), 0), n - 2) for p, n in zip(place, points.shape, strict=True)]
            inside = all(1 <= c <= n - 3 for c, n in zip(cell, points.shape, strict=True))
            steps = (-1, 0, 1, 2) if inside else (0, 1)
            weight = keys if inside else linear
            s = [p - c for p, c in zip(place, cell, strict=True)]
            value = sum(
                points[cell[0] + i, cell[1] + j] * weight(s[0], i) * weight(s[1], j)
                for i in steps
                for j in steps
            )
        result[y, x] = value
    return result


@pytest.mark.slow
@settings(max_examples=20, deadline=None)
@given(
    st.integers(35, 61),
    st.integers(35, 61),
    st.integers(0, 99),
    st.sampled_from(["circle", "holes", "half", ""]),
    st.sampled_from([3.0, 7.5, 30.0]),
    st.integers(0, 9),
    st.integers(0, 9),
)
def test_rules(ny, nx, seed, mask, cell, dx, dy):
    plane = sky(ny, nx, seed, mask)
    anchor = nx // 2 + dx, ny // 2 + dy
    expected = by_the_rules(plane, int(30 / cell), anchor)
    found = rms_map(plane, cell, anchor)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=2e-5, atol=1e-10)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 10**6),
    st.integers(1, 9),
    st.sampled_from(["normal", "cauchy", "coarse", "flat", "offset"]),
)
def test_statistic(seed, reach, kind):
    """One point, any distribution, ties and few pixels."""
    rng = np.random.default_rng(seed)
    plane = rng.normal(size=(2 * reach + 1, 2 * reach + 1))
    if kind == "cauchy":
        plane = rng.standard_cauchy(size=plane.shape)
    elif kind == "coarse":
        plane = np.round(plane)
    elif kind == "flat":
        plane[:] = 0.1
    elif kind == "offset":
        plane = plane * 1e-4 + 1.0
    plane[rng.random(plane.shape) < rng.random()] = rng.choice([np.nan, np.inf, -np.inf])
    plane[reach, reach] = 0.3
    plane = plane.astype(np.float32)
    found = np.empty((1, 1), np.float32)
    _kernels.local_rms(plane, found, reach, reach, 10, reach, 1)
    assert found[0, 0] == pytest.approx(clipped_rms(plane), rel=1e-6, abs=1e-9)


def test_large_boxes_of_ties_and_outliers():
    """Where counting near the expected place does not find the median at once."""
    rng = np.random.default_rng(4)
    for plane in (
        rng.choice([0.0, 1.0, 1e-6], size=(101, 101)),
        np.where(rng.random((101, 101)) < 0.45, 1e6, rng.normal(size=(101, 101))),
        rng.exponential(size=(101, 101)) ** 8,
    ):
        values = plane.astype(np.float32)
        found = np.empty((1, 1), np.float32)
        _kernels.local_rms(values, found, 50, 50, 10, 50, 1)
        assert found[0, 0] == pytest.approx(clipped_rms(values), rel=1e-6)


@pytest.mark.parametrize(
    ("count", "limit"),
    [
        (5, 1.6875),
        (8, 1.875),
        (12, 2.0625),
        (20, 2.25),
        (50, 2.578125),
        (121, 2.86914),
        (300, 3.14453),
        (441, 3.25537),
        (1000, 3.48096),
        (3000, 3.76489),
    ],
)
def test_limits_measured_with_imdev(count, limit):
    """Found by moving one value among n past the limit; CASA's search for z(n) stops early."""
    assert _kernels.chauvenet_limit(count) == pytest.approx(limit, abs=1e-5)


def test_limit_is_chauvenets():
    for count in (200, 10_201, 1_000_000):
        limit = _kernels.chauvenet_limit(count)
        assert count * math.erfc(limit / math.sqrt(2)) == pytest.approx(0.5, rel=1 / count)


@pytest.mark.parametrize(
    "box", [(0, 0, 0, 0), (31, 17, 77, 92), (90, 0, 122, 9), (4, 5, 4, 104), (12, 13, 19, 14)]
)
def test_part_is_part_of_the_whole(box):
    plane = sky(105, 123, 1, "circle")
    whole = rms_map(plane, 1.5, (61, 52))
    box = PixelBox(*box)
    part = rms_map(plane, 1.5, (61, 52), box=box, threads=2)
    np.testing.assert_array_equal(part, whole[box.blc_y : box.trc_y + 1, box.blc_x : box.trc_x + 1])


def test_noise_is_recovered_under_sources():
    rng = np.random.default_rng(3)
    plane = rng.normal(0, 1.2e-4, (400, 400)).astype(np.float32)
    plane[::20, ::20] += 0.5
    found = rms_map(plane, 0.6, (200, 200))
    assert np.median(found) == pytest.approx(1.2e-4, rel=0.02)


def test_masked_and_small_planes():
    plane = sky(60, 60, 2, "")
    before = plane.copy()
    rms_map(plane, 3.0, (30, 30))
    np.testing.assert_array_equal(plane, before)
    assert np.isnan(rms_map(np.full_like(plane, np.nan), 3.0, (30, 30))).all()
    few = rms_map(plane[:12, :5], 3.0, (2, 6))
    assert few.shape == (12, 5)
    assert np.isfinite(few).all()


def test_refusals():
    plane = np.zeros((40, 40), np.float32)
    with pytest.raises(ProductError, match="needs a plane"):
        rms_map(plane[None], 0.6, (20, 20))
    with pytest.raises(ProductError, match="positive pixel size"):
        rms_map(plane, 0.0, (20, 20))
    with pytest.raises(ProductError, match="no rms map"):
        rms_map(plane, 0.6, (20, 20), box=PixelBox(0, 0, 40, 39))
    with pytest.raises(ProductError, match="no rms map"):
        rms_map(plane[:5, :5], 0.6, (7, 7))
    with pytest.raises(ValueError, match="grid"):
        _kernels.local_rms(plane, np.empty((5, 4), np.float32), 0, 0, 10, 3, 1)


# --------------------------------------------------------------------------------------------------- CASA


@pytest.mark.casa
@pytest.mark.parametrize(
    ("ny", "nx", "cell", "mask"),
    [
        (260, 300, 0.6, "circle"),
        (260, 250, 0.6, ""),
        (163, 147, 1.5, "holes"),
        (200, 200, 2.0, "half"),
        (150, 151, 5.0, "circle"),
    ],
)
def test_equals_imdev(tmp_path, ny, nx, cell, mask):
    planes = np.stack([sky(ny, nx, seed, mask) for seed in range(4)])
    planes[:, np.isnan(planes).any(axis=0)] = np.nan
    expected = run_task("imdev", tmp_path, planes, cell, **IMDEV)
    for plane, casas in zip(planes, expected, strict=True):
        found = rms_map(plane, cell, (nx // 2, ny // 2), threads=2)
        np.testing.assert_allclose(found, casas, rtol=2e-6, atol=1e-11)


@pytest.mark.casa
def test_all_but_equals_imdev_with_another_reference_pixel(tmp_path):
    """Rounding in imdev loses pixels at the edges of its boxes, a few per cent of them at most."""
    plane = sky(260, 250, 5, "circle")
    expected = run_task("imdev", tmp_path, plane[None], 0.6, reference_pixel=(101, 117), **IMDEV)[0]
    found = rms_map(plane, 0.6, (101, 117))
    np.testing.assert_array_equal(np.isnan(found), np.isnan(expected))
    assert np.nanmedian(np.abs(found / expected - 1)) < 5e-3


def test_instruction_sets_do_not_matter(instruction_sets):
    values = sky(150, 170, 3, mask=False)
    maps = []
    for name in instruction_sets:
        _kernels.select_instruction_set(name)
        maps.append(np.empty((15, 17), np.float32))
        _kernels.local_rms(values, maps[-1], 0, 0, 10, 31, 1)
    assert maps[0].min() > 0
    for found in maps:
        np.testing.assert_array_equal(found, maps[-1])
