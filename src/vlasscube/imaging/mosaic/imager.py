"""Dirty image, point spread function, primary beam and residual of a mosaic.

The imager does what CASA's ``tclean(gridder='mosaic', stokes='IQUV', specmode='mfs', normtype='flatnoise')`` does in
its major cycle: A-projection gridding of all pointings onto one uv grid, the weight image, and normalisation to
flat noise.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from vlasscube.imaging.mosaic import _kernels
from vlasscube.imaging.mosaic.convolution import (
    OVERSAMPLING,
    ConvolutionFunctions,
    PowerBeam,
    convolution_functions,
)
from vlasscube.imaging.mosaic.grid import ImageGrid, Pointings, locate_pointings
from vlasscube.imaging.mosaic.primary_beam import beam_radius_rad, evla_power_beam
from vlasscube.imaging.mosaic.uv_grid import UvGridShape, grid_to_images, images_to_grid, in_slabs
from vlasscube.imaging.mosaic.visibilities import ALL_USABLE, SpectralWindowData, Visibilities
from vlasscube.imaging.mosaic.weighting import (
    SPEED_OF_LIGHT_M_S,
    DensityGrid,
    UvTaper,
    WeightedBlock,
    taper_weights,
)

Float = npt.NDArray[np.float32]


@dataclass(frozen=True)
class ImagerSettings:
    """How the visibilities are weighted and gridded."""

    robust: float = 1.0
    taper: UvTaper | None = None
    pblimit: float = 0.1
    threads: int = 1


@dataclass(eq=False)
class _Block:
    """A spectral window, ready for gridding."""

    window: SpectralWindowData
    gridder: _kernels.Gridder
    functions: ConvolutionFunctions
    arrays: tuple[npt.NDArray[np.generic], ...] = field(repr=False)
    """What the gridder points into."""


class MosaicImager:
    """Images the visibilities of one plane.

    Parameters
    ----------
    grid : ImageGrid
        Image.
    visibilities : Visibilities
        Data; they are kept, not copied.
    settings : ImagerSettings
        Weighting and threads.
    power_beam : callable
        Power beam of an antenna.
    """

    def __init__(
        self,
        grid: ImageGrid,
        visibilities: Visibilities,
        settings: ImagerSettings,
        power_beam: PowerBeam = evla_power_beam,
    ) -> None:
        self.grid = grid
        self.settings = settings
        fields = visibilities.fields
        self.pointings = locate_pointings(
            grid, [entry.ra_rad for entry in fields], [entry.dec_rad for entry in fields]
        )
        factor = np.array([entry.lsrk_factor for entry in fields])
        windows = visibilities.spectral_windows
        on_image = self.pointings.on_image(grid)
        weights = self._imaging_weights(windows, factor, on_image)
        functions = [
            convolution_functions(
                grid,
                window.channel_frequency_hz * factor.mean(),
                power_beam,
                beam_radius_rad(float(window.channel_frequency_hz.min())),
            )
            for window in windows
        ]
        positions = [self._positions(window, factor) for window in windows]
        self.shape = self._grid_shape(windows, positions, functions)
        self._blocks = [
            self._block(*parts) for parts in zip(windows, weights, positions, functions, strict=True)
        ]
        self.weight_sum = sum(block.gridder.weight_sum for block in self._blocks)
        """Sum of the imaging weights, the same for all Stokes parameters."""
        self._residual_data: list[npt.NDArray[np.complex64]] = []

    # --- preparation

    def _imaging_weights(
        self, windows: tuple[SpectralWindowData, ...], factor: npt.NDArray[np.float64], on_image: npt.NDArray[np.bool_]
    ) -> list[Float]:
        density = DensityGrid(self.grid)
        blocks = []
        for window in windows:
            # Stokes parameters need all four correlations; CASA too leaves out what is flagged in any of them.
            weight = np.where(window.usable == ALL_USABLE, window.weight, np.float32(0))
            # The rows of one spectral window see the same Doppler shift to within 1e-7.
            block = WeightedBlock(window.uvw_m[:, :2], window.channel_frequency_hz, weight)
            density.add(block)
            blocks.append(block)
        weights = []
        for window, block in zip(windows, blocks, strict=True):
            weight = density.robust_weights(block, self.settings.robust)
            if self.settings.taper is not None:
                weight *= taper_weights(block, self.settings.taper)
            # A pointing off the image is left out, as CASA does.
            weight[~on_image[window.field_index]] = 0
            weights.append(weight)
        return weights

    def _positions(
        self, window: SpectralWindowData, factor: npt.NDArray[np.float64]
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Position on the grid in cells per hertz (topocentric), by row."""
        rotated = np.einsum("nij,nj->ni", self.pointings.rotation[window.field_index], window.uvw_m[:, :2])
        scale = self.grid.cell_rad / SPEED_OF_LIGHT_M_S * factor[window.field_index]
        return rotated[:, 0] * scale * self.grid.nx, -rotated[:, 1] * scale * self.grid.ny

    def _grid_shape(
        self,
        windows: tuple[SpectralWindowData, ...],
        positions: list[tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]],
        functions: list[ConvolutionFunctions],
    ) -> UvGridShape:
        support = max(entry.support for entry in functions)
        reach = max(
            float(np.abs(x).max(initial=0.0)) * float(window.channel_frequency_hz.max())
            for window, (x, _) in zip(windows, positions, strict=True)
        )
        columns = min(int(reach) + support + 2, self.grid.nx // 2 + 1)
        return UvGridShape(self.grid.nx, self.grid.ny, support + 1, columns)

    def _block(
        self,
        window: SpectralWindowData,
        weight: Float,
        position: tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]],
        functions: ConvolutionFunctions,
    ) -> _Block:
        order = np.lexsort(
            (window.time_mjd_s, window.field_index, window.antenna2, window.antenna1)
        ).astype(np.int32)
        keys = np.stack([window.antenna1, window.antenna2, window.field_index])[:, order]
        starts = np.flatnonzero(np.any(np.diff(keys, axis=1) != 0, axis=0)) + 1
        group_start = np.concatenate([[0], starts, [order.size]]).astype(np.int64)
        x, y = (np.ascontiguousarray(axis) for axis in position)
        frequency = np.ascontiguousarray(window.channel_frequency_hz)
        gridder = _kernels.Gridder(
            self.grid.nx,
            self.grid.ny,
            self.shape.margin,
            self.shape.columns,
            functions.gridding,
            OVERSAMPLING,
            x,
            y,
            frequency,
            functions.beam_of_channel,
            window.field_index,
            self.pointings.pixel_x,
            self.pointings.pixel_y,
            weight,
            order,
            group_start,
        )
        return _Block(window, gridder, functions, (x, y, frequency, weight, order, group_start))

    # --- images

    def weight_image(self) -> Float:
        """Compute the sum of weights times squared power beams, divided by the sum of weights; shape (ny, nx)."""
        nx, ny = self.grid.nx, self.grid.ny
        support = max(block.functions.support for block in self._blocks)
        cells = np.arange(-support, support + 1)
        ramp_x = np.exp(-2j * np.pi * np.outer(self.pointings.pixel_x, cells) / nx)
        ramp_y = np.exp(-2j * np.pi * np.outer(self.pointings.pixel_y, cells) / ny)
        total = np.zeros((cells.size, cells.size), dtype=complex)
        for block in self._blocks:
            sums = np.array(block.gridder.beam_weights()).reshape(self.pointings.count, -1)
            inner = slice(support - block.functions.support, support + block.functions.support + 1)
            for beam, function in enumerate(block.functions.weight):
                spread = np.einsum("p,py,px->yx", sums[:, beam], ramp_y, ramp_x, optimize=True)
                total[inner, inner] += function * spread[inner, inner]
        to_x = np.exp(2j * np.pi * np.outer(cells, np.arange(nx)) / nx)
        to_y = np.exp(2j * np.pi * np.outer(np.arange(ny), cells) / ny)
        by_row = to_y @ total / max(self.weight_sum, np.finfo(float).tiny)
        real, imaginary = by_row.real.astype(np.float32), by_row.imag.astype(np.float32)
        image: Float = real @ to_x.real.astype(np.float32)
        image -= imaginary @ to_x.imag.astype(np.float32)
        return image

    def psf(self) -> Float:
        """Compute the point spread function at the image centre, peak 1; shape (ny, nx)."""
        grid = self.shape.zeros()
        for block in self._blocks:
            block.gridder.grid_psf(grid, self.settings.threads)
        image = np.empty(self.grid.shape, dtype=np.float32)
        grid_to_images(grid, self.shape, image[None], self.settings.threads)
        del grid
        self._correct_sampling(image)
        peak = float(image.max())
        if peak > 0:
            image /= np.float32(peak)
        return image

    def residual(self, model: Float | None, weight_image: Float, out: Float) -> None:
        """Compute the residual image of a model.

        Parameters
        ----------
        model : ndarray, shape (4, ny, nx), or None
            Flat-noise model image in Jy per pixel; None for the dirty image.
        weight_image : ndarray, shape (ny, nx)
            As from `weight_image`.
        out : ndarray, shape (4, ny, nx)
            Flat-noise residual, Jy per beam, zero where the primary beam is below the limit.
        """
        data = [block.window.data for block in self._blocks]
        if model is not None and np.any(model):
            data = self._subtract(model, weight_image)
        grid = self.shape.zeros()
        for block, values in zip(self._blocks, data, strict=True):
            block.gridder.grid(values, grid, self.settings.threads)
        grid_to_images(grid, self.shape, out, self.settings.threads)
        del grid
        self._normalise(out, weight_image)

    def _subtract(self, model: Float, weight_image: Float) -> list[npt.NDArray[np.complex64]]:
        grid = images_to_grid(
            lambda plane, slab: self._flat_sky(model[plane], weight_image, slab),
            self.shape,
            model.shape[0],
            self.settings.threads,
        )
        if not self._residual_data:
            self._residual_data = [np.zeros_like(block.window.data) for block in self._blocks]
        for block, residual in zip(self._blocks, self._residual_data, strict=True):
            block.gridder.subtract(grid, block.window.data, residual, self.settings.threads)
        return self._residual_data

    # --- normalisation

    def _sampling_response(self) -> tuple[Float, Float]:
        """What rounding positions to tenths of a cell does to the image: sinc functions over its extent."""
        x = (np.arange(self.grid.nx) - self.grid.nx // 2) / (self.grid.nx * OVERSAMPLING)
        y = (np.arange(self.grid.ny) - self.grid.ny // 2) / (self.grid.ny * OVERSAMPLING)
        return np.sinc(x).astype(np.float32), np.sinc(y).astype(np.float32)

    def _correct_sampling(self, image: Float) -> None:
        response_x, response_y = self._sampling_response()
        inverse_x, inverse_y = 1 / response_x, 1 / response_y

        def work(slab: slice) -> None:
            image[slab] *= inverse_x
            image[slab] *= inverse_y[slab, None]

        in_slabs(image.shape[0], image.shape[1] * 4, work, self.settings.threads)

    def _normalise(self, images: Float, weight_image: Float) -> None:
        """Divide by √(W·Wmax), W the weight image: flat noise, unit response where the primary beam peaks."""
        response_x, response_y = self._sampling_response()
        inverse_x, inverse_y = 1 / response_x, 1 / response_y
        peak = float(weight_image.max())
        scale = np.float32(1 / self.weight_sum if self.weight_sum > 0 else 0)

        def work(slab: slice) -> None:
            divisor = np.sqrt(np.abs(weight_image[slab]))
            divisor *= np.float32(np.sqrt(peak))
            good = divisor > self.settings.pblimit * peak
            factor = np.where(good, inverse_x / np.where(good, divisor, 1), 0)
            factor *= scale * inverse_y[slab, None]
            for image in images:
                image[slab] *= factor

        in_slabs(self.grid.ny, self.grid.nx * 16, work, self.settings.threads)

    def _flat_sky(self, model: Float, weight_image: Float, slab: slice) -> Float | None:
        rows = model[slab]
        if not rows.any():
            return None
        response_x, response_y = self._sampling_response()
        pb = np.sqrt(np.abs(weight_image[slab]) / weight_image.max())
        good = pb > self.settings.pblimit
        sky = np.where(good, rows / np.where(good, pb, 1), 0)
        # CASA multiplies here, as when it grids it divides.
        sky *= response_x
        sky *= response_y[slab, None]
        return sky
