"""The uv grid of four Stokes parameters: its layout, and its transform from and to images.

The layout is that of the C++ kernels: ``[ky modulo ny][margin + kx][Stokes]`` complex, kx ≥ 0, where the
margin takes the cells that a footprint reaches beyond kx = 0.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.fft

Complex = npt.NDArray[np.complex64]
Float = npt.NDArray[np.float32]
STOKES_COUNT = 4
_ALIGNMENT = 64
_SLAB_BYTES = 16_000_000


@dataclass(frozen=True)
class UvGridShape:
    """Extent of a uv grid."""

    nx: int
    """Pixels of the image."""
    ny: int
    margin: int
    columns: int
    """Columns from kx = 0 on; those beyond are empty."""

    @property
    def width(self) -> int:
        """Columns with the margin."""
        return self.margin + self.columns

    def zeros(self) -> Float:
        """Return an empty grid, shape (ny, width, 8): real and imaginary parts of I, Q, U and V."""
        return aligned_zeros((self.ny, self.width, 2 * STOKES_COUNT))

    @property
    def nbytes(self) -> int:
        """Memory of a grid."""
        return self.ny * self.width * 2 * STOKES_COUNT * 4


def aligned_zeros(shape: tuple[int, ...]) -> Float:
    """Return zeros at an address that vector instructions like."""
    count = int(np.prod(shape))
    raw = np.zeros(count * 4 + _ALIGNMENT, dtype=np.uint8)
    start = -raw.ctypes.data % _ALIGNMENT
    return raw[start : start + count * 4].view(np.float32).reshape(shape)


def in_slabs(rows: int, bytes_per_row: int, work: Callable[[slice], Any], threads: int) -> list[Any]:
    """Apply `work` to slabs of rows on several threads; NumPy lets them run at the same time."""
    step = max(1, _SLAB_BYTES // max(bytes_per_row, 1))
    slabs = [slice(start, min(start + step, rows)) for start in range(0, rows, step)]
    if threads <= 1 or len(slabs) == 1:
        return [work(slab) for slab in slabs]
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(work, slabs))


def grid_to_images(
    grid: Float, shape: UvGridShape, out: Float, threads: int, corner: tuple[int, int] = (0, 0)
) -> None:
    """Transform a grid to images; the grid is used up.

    Parameters
    ----------
    grid : ndarray, shape (ny, width, 8)
        As the gridding kernels leave it.
    shape : UvGridShape
        Shape of the grid.
    out : ndarray, shape (planes, ny', nx')
        The first planes of I, Q, U, V, or the part of them that begins at `corner`: real part of the sum of
        the cells times exp(2πi (kx x / nx + ky y / ny)).
    threads : int
        Number of threads.
    corner : tuple of int
        First pixel (y, x) wanted.
    """
    cells = grid.view(np.complex64)
    _fold_margin(cells, shape)
    half = cells[:, shape.margin :, : out.shape[0]]
    # The column kx = 0 holds each visibility once, not the visibility and its conjugate.
    half[:, 0] *= 2
    if shape.nx % 2 == 0 and shape.columns == shape.nx // 2 + 1:
        half[:, -1] *= 2
    columns = scipy.fft.ifft(half, axis=0, norm="forward", overwrite_x=True, workers=threads)
    for plane in range(out.shape[0]):
        _rows_to_image(columns[corner[0] :, :, plane], shape.nx, corner[1], out[plane], threads)


def _rows_to_image(columns: Complex, nx: int, first: int, out: Float, threads: int) -> None:
    def work(slab: slice) -> None:
        rows = scipy.fft.irfft(columns[slab], n=nx, axis=1, norm="forward")
        np.multiply(rows[:, first : first + out.shape[1]], np.float32(0.5), out=out[slab])

    in_slabs(out.shape[0], nx * 4, work, threads)


def images_to_grid(
    image_slab: Callable[[int, slice], Float | None], shape: UvGridShape, planes: int, threads: int
) -> Float:
    """Transform images to a grid for degridding.

    Parameters
    ----------
    image_slab : callable
        Called with a plane number and a slice of rows; returns those rows, shape (rows, nx), or None if they
        are empty.
    shape : UvGridShape
        Shape of the grid to make.
    planes : int
        Number of planes.
    threads : int
        Number of threads.

    Returns
    -------
    ndarray, shape (ny, width, 8)
        Sum of the pixels times exp(-2πi (kx x / nx + ky y / ny)), with the margin filled.
    """
    grid = shape.zeros()
    cells = grid.view(np.complex64)
    half = cells[:, shape.margin :]

    def work(slab: slice) -> None:
        for plane in range(planes):
            rows = image_slab(plane, slab)
            if rows is None:
                continue
            # A model of compact sources has few rows with anything in them.
            used = np.flatnonzero(rows.any(axis=1))
            half[slab.start + used, :, plane] = scipy.fft.rfft(rows[used], axis=1)[:, : shape.columns]

    in_slabs(shape.ny, shape.nx * 8, work, threads)
    part = half[:, :, :planes]
    transformed = scipy.fft.fft(part, axis=0, overwrite_x=True, workers=threads)
    if not np.shares_memory(transformed, grid):
        part[...] = transformed
    _fill_margin(cells, shape)
    return grid


def _fold_margin(cells: Complex, shape: UvGridShape) -> None:
    """Add the margin, conjugated, to the opposite cells."""
    for column in range(1, min(shape.margin + 1, shape.columns)):
        cells[:, shape.margin + column] += _opposite(cells[:, shape.margin - column])
    cells[:, : shape.margin] = 0


def _fill_margin(cells: Complex, shape: UvGridShape) -> None:
    for column in range(1, min(shape.margin + 1, shape.columns)):
        cells[:, shape.margin - column] = _opposite(cells[:, shape.margin + column])


def _opposite(column: Complex) -> Complex:
    """Conjugate of a column with ky reversed."""
    return np.conj(np.roll(column[::-1], 1, axis=0))
