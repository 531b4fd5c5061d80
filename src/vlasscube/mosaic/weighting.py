"""Imaging weights: Briggs' robust weighting and a Gaussian taper."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vlasscube.constants import SPEED_OF_LIGHT_M_S
from vlasscube.mosaic.grid import ImageGrid

_BATCH_ROWS = 16384


@dataclass(frozen=True)
class UvTaper:
    """A Gaussian taper of the uv plane, given as the Gaussian it convolves the image with."""

    bmaj_rad: float
    """Full width at half maximum."""
    bmin_rad: float
    bpa_rad: float
    """Position angle of the major axis, from north through east."""


@dataclass(frozen=True, eq=False)
class WeightedBlock:
    """What weighting needs of the visibilities of a spectral window."""

    uv_m: npt.NDArray[np.float64]
    """Shape (n, 2), metres, as observed (not rotated into the mosaic's frame)."""
    frequency_hz: npt.NDArray[np.float64]
    """Shape (nchan,)."""
    weight: npt.NDArray[np.float32]
    """Shape (n, nchan): natural weights, 0 where there are no usable data."""


class DensityGrid:
    """Sum of the natural weights in the cells of the uv plane.

    The plane is kept whole in x and for one half in y: a visibility and its conjugate fall into opposite
    cells.
    """

    def __init__(self, grid: ImageGrid) -> None:
        self._nx, self._ny = grid.nx, grid.ny
        self._scale = grid.nx * grid.cell_rad, grid.ny * grid.cell_rad
        self._cells = np.zeros((grid.ny, grid.nx), dtype=np.float32)
        self._sum = 0.0

    def _cell(
        self, block: WeightedBlock, rows: slice, sign: int
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
        inverse_wavelength = (block.frequency_hz / SPEED_OF_LIGHT_M_S).astype(np.float32)
        u = (block.uv_m[rows, 0, None] * inverse_wavelength).astype(np.float32)
        v = (block.uv_m[rows, 1, None] * inverse_wavelength).astype(np.float32)
        # Truncation towards zero, as in CASA: positions are positive where they count.
        x = (sign * self._scale[0] * u.astype(np.float64) + self._nx // 2).astype(np.int64)
        y = (sign * self._scale[1] * v.astype(np.float64) + self._ny // 2).astype(np.int64)
        inside = (x > 0) & (x < self._nx) & (y > 0) & (y < self._ny)
        return np.where(inside, y * self._nx + x, 0), inside

    def add(self, block: WeightedBlock) -> None:
        """Add the weights of a block."""
        flat = self._cells.reshape(-1)
        for rows in batches(block.weight.shape[0]):
            for sign in (1, -1):
                cell, inside = self._cell(block, rows, sign)
                weight = np.where(inside, block.weight[rows], 0)
                np.add.at(flat, cell.ravel(), weight.ravel())
                self._sum += float(weight.sum(dtype=np.float64))

    def robust_weights(self, block: WeightedBlock, robust: float) -> npt.NDArray[np.float32]:
        """Compute Briggs' weights of a block; shape (n, nchan).

        Parameters
        ----------
        block : WeightedBlock
            Visibilities.
        robust : float
            Briggs' parameter: -2 is close to uniform, 2 to natural weighting.

        Notes
        -----
        D. S. Briggs, PhD thesis (1995), eq. 3.15, in the form of CASA: w / (1 + W f²) with W the density in
        the visibility's cell and f² = (5·10^-R)² ΣW / ΣW².
        """
        f2 = self._f2(robust)
        flat = self._cells.reshape(-1)
        weights = np.empty_like(block.weight)
        for rows in batches(block.weight.shape[0]):
            cell, inside = self._cell(block, rows, 1)
            density = flat[cell]
            weights[rows] = np.where(inside, block.weight[rows] / (density * np.float32(f2) + 1), 0)
        return weights

    def _f2(self, robust: float) -> float:
        squares = float(np.einsum("ij,ij->", self._cells, self._cells, dtype=np.float64))
        if squares == 0:
            return 0.0
        return float((5.0 * 10.0**-robust) ** 2 * self._sum / squares)


def taper_weights(block: WeightedBlock, taper: UvTaper) -> npt.NDArray[np.float32]:
    """Compute the factors by which a taper scales the weights of a block; shape (n, nchan)."""
    u = block.uv_m[:, 0, None] * (block.frequency_hz / SPEED_OF_LIGHT_M_S)
    v = block.uv_m[:, 1, None] * (block.frequency_hz / SPEED_OF_LIGHT_M_S)
    along = np.sin(taper.bpa_rad) * u + np.cos(taper.bpa_rad) * v
    across = np.cos(taper.bpa_rad) * u - np.sin(taper.bpa_rad) * v
    # The Fourier transform of a Gaussian of this width.
    scale = np.pi**2 / (4 * np.log(2))
    exponent = scale * ((taper.bmaj_rad * along) ** 2 + (taper.bmin_rad * across) ** 2)
    factors: npt.NDArray[np.float32] = np.exp(-exponent).astype(np.float32)
    return factors


def batches(rows: int) -> list[slice]:
    """Cut rows into slices whose arrays fit the processor's caches."""
    return [slice(start, min(start + _BATCH_ROWS, rows)) for start in range(0, rows, _BATCH_ROWS)]
