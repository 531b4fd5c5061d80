"""From sums on the uv grid to images of flat noise, and from flat-noise models back to the sky."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vlasscube.mosaic.grid import ImageGrid
from vlasscube.mosaic.uv_grid import in_slabs

Float = npt.NDArray[np.float32]
TINY = float(np.finfo(np.float32).tiny)


@dataclass(frozen=True)
class Normalisation:
    """How the images of a grid are normalised."""

    grid: ImageGrid
    padded: ImageGrid
    """The grid with the border that it is transformed with."""
    pblimit: float
    sampling_steps: int | None
    """Steps of a cell that positions are rounded to and corrected for, as CASA does; None for neither."""
    threads: int

    @property
    def corner(self) -> tuple[int, int]:
        """First pixel (y, x) of the image in the padded one."""
        return self.padded.ny // 2 - self.grid.ny // 2, self.padded.nx // 2 - self.grid.nx // 2

    def _sampling_response(self) -> tuple[Float, Float]:
        """What rounding positions to steps of a cell does to the image, in CASA's eyes: sinc functions.

        As the pointing's phase is exact, rounding acts on the distance from the pointing centre alone.
        """
        if self.sampling_steps is None:
            return np.ones(self.grid.nx, dtype=np.float32), np.ones(self.grid.ny, dtype=np.float32)
        x = (np.arange(self.grid.nx) - self.grid.nx // 2) / (self.grid.nx * self.sampling_steps)
        y = (np.arange(self.grid.ny) - self.grid.ny // 2) / (self.grid.ny * self.sampling_steps)
        return np.sinc(x).astype(np.float32), np.sinc(y).astype(np.float32)

    def correct_sampling(self, image: Float) -> None:
        """Divide an image by the response of sampling, in place."""
        response_x, response_y = self._sampling_response()
        inverse_x, inverse_y = 1 / response_x, 1 / response_y

        def work(slab: slice) -> None:
            image[slab] *= inverse_x
            image[slab] *= inverse_y[slab, None]

        in_slabs(image.shape[0], image.shape[1] * 4, work, self.threads)

    def to_flat_noise(self, images: Float, weight_image: Float, weight_sum: float) -> None:
        """Divide by √(W·Wmax), W the weight image: flat noise, unit response where the primary beam peaks."""
        response_x, response_y = self._sampling_response()
        inverse_x, inverse_y = 1 / response_x, 1 / response_y
        peak = float(weight_image.max())
        scale = np.float32(1 / weight_sum if weight_sum > 0 else 0)

        def work(slab: slice) -> None:
            divisor = np.sqrt(np.abs(weight_image[slab]))
            divisor *= np.float32(np.sqrt(peak))
            good = divisor > self.pblimit * peak
            factor = np.where(good, inverse_x / np.where(good, divisor, 1), 0)
            factor *= scale * inverse_y[slab, None]
            for image in images:
                image[slab] *= factor

        in_slabs(self.grid.ny, self.grid.nx * 16, work, self.threads)

    def sky_rows(self, models: Float, weight_image: Float) -> Callable[[int, slice], Float | None]:
        """Return what gives slabs of the padded model images, divided by the mosaic's primary beam."""
        top, left = self.corner
        response_x, response_y = self._sampling_response()
        peak = max(float(weight_image.max()), TINY)

        def rows_of(plane: int, slab: slice) -> Float | None:
            first, last = max(slab.start - top, 0), min(slab.stop - top, self.grid.ny)
            used = np.flatnonzero(models[plane, first:last].any(axis=1)) if first < last else np.zeros(0, int)
            if used.size == 0:
                return None
            used += first
            pb = np.sqrt(np.abs(weight_image[used]) / peak)
            good = pb > self.pblimit
            sky = np.where(good, models[plane, used] / np.where(good, pb, 1), 0)
            # CASA multiplies here, as when it grids it divides.
            sky *= response_x
            sky *= response_y[used, None]
            rows = np.zeros((slab.stop - slab.start, self.padded.nx), dtype=np.float32)
            rows[used + top - slab.start, left : left + self.grid.nx] = sky
            return rows

        return rows_of
