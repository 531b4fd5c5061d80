"""Dirty image, point spread function, primary beam and residual of a mosaic.

The imager does what CASA's ``tclean(gridder='mosaic', stokes='IQUV', normtype='flatnoise')`` does in its
major cycle: A-projection gridding of all pointings onto one uv grid, the weight image, and normalisation to
flat noise.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt
import scipy.fft

from vlasscube import _kernels
from vlasscube.constants import SPEED_OF_LIGHT_M_S
from vlasscube.mosaic.convolution import ConvolutionFunctions, PowerBeam, casa_convolution_functions
from vlasscube.mosaic.exact_convolution import exact_convolution_functions
from vlasscube.mosaic.expected_noise import channel_correlation, decorrelation, noise_sums
from vlasscube.mosaic.grid import ImageGrid, Pointings, locate_pointings
from vlasscube.mosaic.primary_beam import beam_radius_rad, evla_power_beam
from vlasscube.mosaic.uv_grid import UvGridShape, grid_to_images, images_to_grid, in_slabs
from vlasscube.mosaic.visibilities import ALL_USABLE, SpectralWindowData, Visibilities
from vlasscube.mosaic.weighting import DensityGrid, UvTaper, WeightedBlock, taper_weights

Float = npt.NDArray[np.float32]
_TINY = float(np.finfo(np.float32).tiny)
_NOISE_SAMPLES = 256
"""Columns and rows, at most, at which the expected noise is computed."""


@dataclass(frozen=True)
class ImagerSettings:
    """How the visibilities are weighted and gridded."""

    robust: float = 1.0
    taper: UvTaper | None = None
    pblimit: float = 0.1
    gridding: Literal["casa", "exact"] = "casa"
    """``'casa'`` gives the image that tclean gives; ``'exact'`` has a wider support, finer steps, and a
    border around the image so that no primary beam wraps."""
    w_correction: bool = False
    """Put sources where they are, w or no w; takes ``'exact'`` gridding."""
    threads: int = 1

    def __post_init__(self) -> None:
        if self.w_correction and self.gridding != "exact":
            raise ValueError("w_correction=True needs gridding='exact'")


@dataclass(eq=False)
class _Block:
    """A spectral window, ready for gridding."""

    window: SpectralWindowData
    weight: Float
    """Imaging weights, shape (n, nchan)."""
    gridder: _kernels.Gridder
    functions: ConvolutionFunctions
    position: _Positions


@dataclass(frozen=True, eq=False)
class _Positions:
    """Positions of the rows of a spectral window in the uv plane per hertz (topocentric); shape (n,) each."""

    x: npt.NDArray[np.float64]
    """Cells."""
    y: npt.NDArray[np.float64]
    w: npt.NDArray[np.float64]
    """Wavelengths, towards the pointing centre."""


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
        Power beam of an antenna, with the arguments of `evla_power_beam`.
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
        windows, fields = visibilities.spectral_windows, visibilities.fields
        centres = [entry.ra_rad for entry in fields], [entry.dec_rad for entry in fields]
        on_image = locate_pointings(grid, *centres).on_image(grid)
        self._lowest_hz = min(float(window.channel_frequency_hz.min()) for window in windows)
        self._padded = (
            grid if settings.gridding == "casa" else self._pad(locate_pointings(grid, *centres), on_image)
        )
        self._corner = self._padded.ny // 2 - grid.ny // 2, self._padded.nx // 2 - grid.nx // 2
        self.pointings = locate_pointings(self._padded, *centres)
        factor = np.array([entry.lsrk_factor for entry in fields])
        self._mean_factor = float(factor.mean())
        weights = self._imaging_weights(windows, on_image, factor)
        positions = [self._positions(window, factor) for window in windows]
        functions = [
            self._convolution_functions(window, position, power_beam)
            for window, position in zip(windows, positions, strict=True)
        ]
        self.shape = self._grid_shape(windows, positions, functions)
        self._blocks = [
            self._block(*parts) for parts in zip(windows, weights, positions, functions, strict=True)
        ]
        self.weight_sum = sum(block.gridder.weight_sum for block in self._blocks)
        """Sum of the imaging weights, the same for all Stokes parameters."""
        self.outside = sum(block.gridder.outside for block in self._blocks)
        """Visibilities left out because the uv grid does not reach so far."""
        self._residual_data: list[npt.NDArray[np.complex64]] = []

    # --- preparation

    def _pad(self, pointings: Pointings, on_image: npt.NDArray[np.bool_]) -> ImageGrid:
        """Widen the image until no beam that reaches over its border wraps onto it."""
        reach = beam_radius_rad(self._lowest_hz) / self.grid.cell_rad
        sizes = []
        for pixel, size in ((pointings.pixel_x, self.grid.nx), (pointings.pixel_y, self.grid.ny)):
            on = pixel[on_image]
            over = max(reach - on.min(initial=size), on.max(initial=0) + reach - size, 0.0)
            padded = scipy.fft.next_fast_len(size + int(np.ceil(over)), real=True)
            while padded % 2:
                padded = scipy.fft.next_fast_len(padded + 1, real=True)
            sizes.append(padded)
        return replace(self.grid, nx=sizes[0], ny=sizes[1])

    def _convolution_functions(
        self, window: SpectralWindowData, position: _Positions, power_beam: PowerBeam
    ) -> ConvolutionFunctions:
        frequency = window.channel_frequency_hz * self._mean_factor
        power_beam = functools.partial(power_beam, band_hz=float(frequency.mean()))
        radius = beam_radius_rad(float(window.channel_frequency_hz.min()))
        if self.settings.gridding == "casa":
            return casa_convolution_functions(
                self.grid, frequency, window.channel_frequency_hz, power_beam, radius
            )
        largest = float(np.abs(position.w).max(initial=0.0)) * float(window.channel_frequency_hz.max())
        return exact_convolution_functions(
            self._padded, frequency, power_beam, radius, largest if self.settings.w_correction else 0.0
        )

    def _imaging_weights(
        self,
        windows: tuple[SpectralWindowData, ...],
        on_image: npt.NDArray[np.bool_],
        factor: npt.NDArray[np.float64],
    ) -> list[Float]:
        density = DensityGrid(self.grid)
        blocks = []
        for window in windows:
            # Stokes parameters need all four correlations; CASA too leaves out what is flagged in any of
            # them.
            weight = np.where(window.usable == ALL_USABLE, window.weight, np.float32(0))
            # In wavelengths of the image's frame: of visibilities near the edge of a cell that decides.
            uv = window.uvw_m[:, :2] * factor[window.field_index, None]
            block = WeightedBlock(uv, window.channel_frequency_hz, weight)
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

    def _positions(self, window: SpectralWindowData, factor: npt.NDArray[np.float64]) -> _Positions:
        settings, pointings, field = self.settings, self.pointings, window.field_index
        rotation = pointings.rotation if settings.gridding == "casa" else pointings.tangent_rotation()
        rotated = np.einsum("nij,nj->ni", rotation[field], window.uvw_m[:, :2])
        per_hz = factor[field] / SPEED_OF_LIGHT_M_S
        # Seen from the pointing centre: what the tangent plane of the image leaves of w.
        w = window.uvw_m[:, 2] - np.einsum("ni,ni->n", rotated, pointings.direction[field])
        cell = self.grid.cell_rad * per_hz
        return _Positions(
            rotated[:, 0] * cell * self._padded.nx, -rotated[:, 1] * cell * self._padded.ny, w * per_hz
        )

    def _grid_shape(
        self,
        windows: tuple[SpectralWindowData, ...],
        positions: list[_Positions],
        functions: list[ConvolutionFunctions],
    ) -> UvGridShape:
        support = max(entry.support for entry in functions)
        reach = max(
            float(np.abs(position.x).max(initial=0.0)) * float(window.channel_frequency_hz.max())
            for window, position in zip(windows, positions, strict=True)
        )
        columns = min(int(reach) + support + 2, self._padded.nx // 2 + 1)
        return UvGridShape(self._padded.nx, self._padded.ny, support + 1, columns)

    def _block(
        self,
        window: SpectralWindowData,
        weight: Float,
        position: _Positions,
        functions: ConvolutionFunctions,
    ) -> _Block:
        order = np.lexsort((window.time_mjd_s, window.field_index, window.antenna2, window.antenna1)).astype(
            np.int32
        )
        keys = np.stack([window.antenna1, window.antenna2, window.field_index])[:, order]
        starts = np.flatnonzero(np.any(np.diff(keys, axis=1) != 0, axis=0)) + 1
        group_start = np.concatenate([[0], starts, [order.size]]).astype(np.int64)
        position = _Positions(*(np.ascontiguousarray(axis) for axis in (position.x, position.y, position.w)))
        frequency = np.ascontiguousarray(window.channel_frequency_hz)
        gridder = _kernels.Gridder(
            nx=self._padded.nx,
            ny=self._padded.ny,
            margin=self.shape.margin,
            columns=self.shape.columns,
            kernels=functions.gridding,
            kernels_imaginary=functions.gridding_imaginary,
            w_step=functions.w_step,
            oversampling=functions.oversampling,
            interpolate=functions.interpolate,
            row_x=position.x,
            row_y=position.y,
            row_w=position.w,
            frequency=frequency,
            beam=functions.beam_of_channel,
            pointing=window.field_index,
            pixel_x=self.pointings.pixel_x,
            pixel_y=self.pointings.pixel_y,
            weight=weight,
            order=order,
            group_start=group_start,
        )
        return _Block(window, weight, gridder, functions, position)

    # --- images

    def weight_image(self) -> Float:
        """Compute ΣwA²/Σw with A the power beams of the pointings; shape (ny, nx)."""
        return self._squared_beams(self._beam_weights(), np.arange(self.grid.nx), np.arange(self.grid.ny))

    def _beam_weights(self) -> list[npt.NDArray[np.float64]]:
        """Sums of the imaging weights of each block, shape (pointings, beams)."""
        return [
            np.array(block.gridder.beam_weights()).reshape(self.pointings.count, -1) for block in self._blocks
        ]

    def _squared_beams(
        self, sums: list[npt.NDArray[np.float64]], x: npt.NDArray[np.int64], y: npt.NDArray[np.int64]
    ) -> Float:
        """Add up the squared power beams of the pointings, over Σw, at some columns and rows of the image.

        The factors of the beams are given for each block, shape (pointings, beams).
        """
        nx, ny = self._padded.nx, self._padded.ny
        support = max(block.functions.weight.shape[1] // 2 for block in self._blocks)
        cells = np.arange(-support, support + 1)
        ramp_x = np.exp(-2j * np.pi * np.outer(self.pointings.pixel_x, cells) / nx)
        ramp_y = np.exp(-2j * np.pi * np.outer(self.pointings.pixel_y, cells) / ny)
        total = np.zeros((cells.size, cells.size), dtype=complex)
        for block, factors in zip(self._blocks, sums, strict=True):
            reach = block.functions.weight.shape[1] // 2
            inner = slice(support - reach, support + reach + 1)
            for beam, function in enumerate(block.functions.weight):
                spread = np.einsum("p,py,px->yx", factors[:, beam], ramp_y, ramp_x, optimize=True)
                total[inner, inner] += function * spread[inner, inner]
        to_x = np.exp(2j * np.pi * np.outer(cells, x + self._corner[1]) / nx)
        to_y = np.exp(2j * np.pi * np.outer(y + self._corner[0], cells) / ny)
        by_row = to_y @ total / max(self.weight_sum, _TINY)
        image: Float = by_row.real.astype(np.float32) @ to_x.real.astype(np.float32)
        image -= by_row.imag.astype(np.float32) @ to_x.imag.astype(np.float32)
        return image

    def expected_noise_jy(self) -> float | None:
        """Compute the noise that the flat-noise image has by the weights of the visibilities.

        Returns
        -------
        float or None
            Jy per beam, the same for all Stokes parameters; the mean over the pixels within the primary-beam
            limit. None if there are none. See `vlasscube.mosaic.expected_noise`.
        """
        noise = [self._noise_sums(block) for block in self._blocks]
        # Neither changes faster than the primary beam.
        x, y = (np.arange(0, size, -(-size // _NOISE_SAMPLES)) for size in (self.grid.nx, self.grid.ny))
        response = self._squared_beams(self._beam_weights(), x, y)
        peak = float(response.max())
        inside = response > self.settings.pblimit**2 * peak
        if not (self.weight_sum > 0 and inside.any()):
            return None
        variance = self._squared_beams(noise, x, y)[inside] / (response[inside] * peak * self.weight_sum)
        return float(np.sqrt(np.maximum(variance, 0)).mean())

    def _noise_sums(self, block: _Block) -> npt.NDArray[np.float64]:
        window, beams = block.window, block.functions.weight
        spacing_hz = (
            float(np.abs(np.diff(window.channel_frequency_hz)).mean()) if window.channels > 1 else 0.0
        )
        position = block.position
        return noise_sums(
            window,
            self._gridded_weight(block),
            channel_correlation(window),
            decorrelation(position.x * spacing_hz, position.y * spacing_hz, beams.mean(axis=0)),
            block.functions.beam_of_channel,
            self.pointings.count,
            len(beams),
        )

    def _gridded_weight(self, block: _Block) -> Float:
        """Imaging weights of a block, 0 for visibilities that the uv grid does not reach."""
        if not block.gridder.outside:
            return block.weight
        on_grid = np.ones(block.weight.shape, dtype=bool)
        position, support = block.position, block.functions.support
        for place, size in ((position.x, self._padded.nx), (position.y, self._padded.ny)):
            cell = np.rint(place[:, None] * block.window.channel_frequency_hz)
            on_grid &= np.abs(cell) + support <= (size - 1) // 2
        weight: Float = np.where(on_grid, block.weight, np.float32(0))
        return weight

    def psf(self) -> Float:
        """Compute the point spread function at the image centre, peak 1; shape (ny, nx)."""
        grid = self.shape.zeros()
        for block in self._blocks:
            block.gridder.grid_psf(grid, self.settings.threads)
        image = np.empty(self.grid.shape, dtype=np.float32)
        grid_to_images(grid, self.shape, image[None], self.settings.threads, self._corner)
        del grid
        self._correct_sampling(image)
        peak = float(image.max())
        if peak > 0:
            image /= np.float32(peak)
        return image

    def primary_beam(self, weight_image: Float) -> Float:
        """Return the mosaic's primary beam √(W/Wmax), zero below the limit; shape (ny, nx)."""
        pb: Float = np.sqrt(np.abs(weight_image))
        pb /= pb.max(initial=_TINY)
        pb[~(pb > self.settings.pblimit)] = 0
        return pb

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
        grid_to_images(grid, self.shape, out, self.settings.threads, self._corner)
        del grid
        self._normalise(out, weight_image)

    def _subtract(self, model: Float, weight_image: Float) -> list[npt.NDArray[np.complex64]]:
        grid = images_to_grid(
            self._flat_sky(model, weight_image), self.shape, model.shape[0], self.settings.threads
        )
        if not self._residual_data:
            self._residual_data = [np.zeros_like(block.window.data) for block in self._blocks]
        for block, residual in zip(self._blocks, self._residual_data, strict=True):
            block.gridder.subtract(grid, block.window.data, residual, self.settings.threads)
        return self._residual_data

    def predict_taylor(
        self, models: Float, weight_image: Float, reference_hz: float
    ) -> Iterator[tuple[SpectralWindowData, npt.NDArray[np.complex64]]]:
        """Predict the visibilities of a Stokes I model in Taylor terms.

        Parameters
        ----------
        models : ndarray, shape (1 or 2, ny, nx)
            Flat-noise model images, Jy per pixel: I0, and I1 of I0 + I1 (ν - ν0) / ν0.
        weight_image : ndarray, shape (ny, nx)
            As from `weight_image`.
        reference_hz : float
            ν0.

        Yields
        ------
        window : SpectralWindowData
        model : ndarray of complex64, shape (n, nchan, 4)
            RR, RL, LR, LL. As tclean has it, zero where any correlation is flagged, or the pointing is off
            the image.
        """
        grid = images_to_grid(
            self._flat_sky(models, weight_image), self.shape, models.shape[0], self.settings.threads
        )
        on_image = self.pointings.on_image(self._padded)
        for block in self._blocks:
            window = block.window
            wanted = (window.usable == ALL_USABLE).astype(np.float32)
            wanted[~on_image[window.field_index]] = 0
            gridder = self._block(window, wanted, block.position, block.functions).gridder
            model = np.zeros((window.rows, window.channels, 4), dtype=np.complex64)
            # The kernels know the topocentric frequency; the model is one of the sky's frequencies.
            gridder.predict_taylor(grid, reference_hz / self._mean_factor, model, self.settings.threads)
            yield window, model

    # --- normalisation

    def _sampling_response(self) -> tuple[Float, Float]:
        """What rounding positions to tenths of a cell does to the image, in CASA's eyes: sinc functions.

        As the pointing's phase is exact, rounding acts on the distance from the pointing centre alone; it is
        not corrected for with exact gridding.
        """
        if self.settings.gridding == "exact":
            return np.ones(self.grid.nx, dtype=np.float32), np.ones(self.grid.ny, dtype=np.float32)
        steps = self._blocks[0].functions.oversampling
        x = (np.arange(self.grid.nx) - self.grid.nx // 2) / (self.grid.nx * steps)
        y = (np.arange(self.grid.ny) - self.grid.ny // 2) / (self.grid.ny * steps)
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

    def _flat_sky(self, models: Float, weight_image: Float) -> Callable[[int, slice], Float | None]:
        """Return what gives slabs of the padded model images, divided by the mosaic's primary beam."""
        top, left = self._corner
        response_x, response_y = self._sampling_response()
        peak = max(float(weight_image.max()), _TINY)

        def rows_of(plane: int, slab: slice) -> Float | None:
            first, last = max(slab.start - top, 0), min(slab.stop - top, self.grid.ny)
            used = np.flatnonzero(models[plane, first:last].any(axis=1)) if first < last else np.zeros(0, int)
            if used.size == 0:
                return None
            used += first
            pb = np.sqrt(np.abs(weight_image[used]) / peak)
            good = pb > self.settings.pblimit
            sky = np.where(good, models[plane, used] / np.where(good, pb, 1), 0)
            # CASA multiplies here, as when it grids it divides.
            sky *= response_x
            sky *= response_y[used, None]
            rows = np.zeros((slab.stop - slab.start, self._padded.nx), dtype=np.float32)
            rows[used + top - slab.start, left : left + self.grid.nx] = sky
            return rows

        return rows_of
