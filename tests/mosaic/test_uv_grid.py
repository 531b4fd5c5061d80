"""The transforms between the half-plane grid and images, beside direct sums over all cells."""

import numpy as np
import pytest

from vlasscube.mosaic import uv_grid
from vlasscube.mosaic.uv_grid import UvGridShape, grid_to_images, images_to_grid

SHAPES = [
    UvGridShape(16, 16, 4, 9),
    UvGridShape(15, 15, 4, 8),
    UvGridShape(16, 12, 3, 9),
    UvGridShape(15, 20, 5, 8),
    UvGridShape(20, 15, 5, 11),
    # Fewer columns than there are.
    UvGridShape(24, 16, 4, 7),
    UvGridShape(25, 18, 3, 5),
    UvGridShape(24, 17, 2, 12),
    # As many columns as the margin, and one more.
    UvGridShape(20, 20, 5, 6),
    UvGridShape(1, 4, 1, 1),
]


def waves(shape):
    """exp(2πi kx x / nx), shape (columns with margin, nx), and the same for y, shape (ny, ny)."""
    kx = np.arange(-shape.margin, shape.columns)
    ky = np.arange(shape.ny)
    return (
        np.exp(2j * np.pi * np.outer(kx, np.arange(shape.nx)) / shape.nx),
        np.exp(2j * np.pi * np.outer(ky, np.arange(shape.ny)) / shape.ny),
    )


def random_grid(shape, seed=1):
    rng = np.random.default_rng(seed)
    grid = shape.zeros()
    grid[:] = rng.normal(size=grid.shape)
    # The outermost column of the margin takes part only where there is a cell opposite.
    kx = np.arange(-shape.margin, shape.columns)
    grid[:, np.abs(kx) >= shape.columns] = 0
    return grid


def direct_images(grid, shape):
    cells = grid.view(np.complex64).astype(complex)
    wave_x, wave_y = waves(shape)
    return np.einsum("kls,lx,ky->syx", cells, wave_x, wave_y, optimize=True).real


def direct_grid(images, shape):
    wave_x, wave_y = waves(shape)
    return np.einsum("syx,lx,ky->kls", images, wave_x.conj(), wave_y.conj(), optimize=True)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_images_are_the_direct_sum(shape, threads):
    grid = random_grid(shape)
    expected = direct_images(grid, shape)
    images = np.empty((4, shape.ny, shape.nx), dtype=np.float32)
    grid_to_images(grid, shape, images, threads)
    np.testing.assert_allclose(images, expected, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_some_planes_can_be_made_by_themselves(shape):
    grid = random_grid(shape)
    expected = direct_images(grid, shape)[:1]
    images = np.empty((1, shape.ny, shape.nx), dtype=np.float32)
    grid_to_images(grid, shape, images, 1)
    np.testing.assert_allclose(images, expected, atol=1e-5 * np.abs(expected).max())


def test_a_part_can_be_cut_out():
    shape = UvGridShape(24, 18, 3, 9)
    grid = random_grid(shape)
    expected = direct_images(grid, shape)[:, 5:15, 3:20]
    images = np.empty((4, 10, 17), dtype=np.float32)
    grid_to_images(grid, shape, images, 2, (5, 3))
    np.testing.assert_allclose(images, expected, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_images_are_those_of_a_whole_plane(shape):
    # A transform of real images: cells in opposite places are conjugate.
    rng = np.random.default_rng(2)
    images = rng.normal(size=(4, shape.ny, shape.nx)).astype(np.float32)
    whole = np.fft.fft2(images)
    grid = images_to_grid(lambda plane, slab: images[plane, slab], shape, 4, 2).view(np.complex64)
    for column in range(shape.columns):
        np.testing.assert_allclose(
            grid[:, shape.margin + column], whole[:, :, column].T, atol=1e-5 * np.abs(whole).max()
        )


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_grid_is_the_direct_sum(shape, threads):
    rng = np.random.default_rng(2)
    images = rng.normal(size=(4, shape.ny, shape.nx)).astype(np.float32)
    grid = images_to_grid(lambda plane, slab: images[plane, slab], shape, 4, threads)
    expected = direct_grid(images, shape)
    known = np.abs(np.arange(-shape.margin, shape.columns)) < shape.columns
    found = grid.view(np.complex64)
    np.testing.assert_allclose(found[:, known], expected[:, known], atol=1e-5 * np.abs(expected).max())


def test_empty_rows_and_planes_left_out_are_zero():
    shape = UvGridShape(16, 12, 3, 9)
    images = np.zeros((2, 12, 16), dtype=np.float32)
    images[0, 4, 5] = 1.0
    images[1] = 3.0
    whole = images_to_grid(lambda plane, slab: images[plane, slab], shape, 2, 1)
    sparse = images_to_grid(lambda plane, slab: images[plane, slab] if plane else None, shape, 2, 1)
    np.testing.assert_array_equal(sparse[..., 2:], whole[..., 2:])
    assert not sparse[..., :2].any()
    assert not whole[..., 4:].any()


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_the_transforms_are_adjoint(shape):
    grid = random_grid(shape)
    rng = np.random.default_rng(5)
    images = rng.normal(size=(4, shape.ny, shape.nx)).astype(np.float32)
    back = images_to_grid(lambda plane, slab: images[plane, slab], shape, 4, 1)
    in_cells = np.vdot(back.astype(float), grid.astype(float))
    norm = float(np.linalg.norm(grid) * np.linalg.norm(back))
    made = np.empty_like(images)
    grid_to_images(grid, shape, made, 1)
    in_pixels = np.vdot(made.astype(float), images.astype(float))
    assert in_pixels == pytest.approx(in_cells, abs=1e-6 * norm)


@pytest.mark.parametrize("shape", SHAPES[:4], ids=str)
def test_slabs_make_no_difference(shape, monkeypatch):
    grid = random_grid(shape)
    images = np.empty((4, shape.ny, shape.nx), dtype=np.float32)
    grid_to_images(grid.copy(), shape, images, 1)
    expected_grid = images_to_grid(lambda plane, slab: images[plane, slab], shape, 4, 1)
    monkeypatch.setattr(uv_grid, "_SLAB_BYTES", 3 * shape.nx * 8)
    parts = np.empty_like(images)
    grid_to_images(grid, shape, parts, 3)
    np.testing.assert_array_equal(parts, images)
    found = images_to_grid(lambda plane, slab: images[plane, slab], shape, 4, 3)
    np.testing.assert_array_equal(found, expected_grid)


def test_grids_are_aligned_for_vector_instructions():
    for shape in SHAPES:
        grid = shape.zeros()
        assert grid.ctypes.data % 32 == 0
        assert grid.nbytes == shape.nbytes
        assert grid.shape == (shape.ny, shape.width, 8)
