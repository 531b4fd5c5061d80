"""Dirty image, point spread function, primary beam and residual of a mosaic.

The imager does what CASA's ``tclean(gridder='mosaic', stokes='IQUV', normtype='flatnoise')`` does in its
major cycle: A-projection gridding of all pointings onto one uv grid, the weight image, and normalisation to
flat noise.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from vlasscube.mosaic.convolution import (
    ConvolutionFunctions,
    PowerBeam,
    casa_convolution_functions,
)
from vlasscube.mosaic.exact_convolution import exact_convolution_functions
from vlasscube.mosaic.expected_noise import channel_correlation, decorrelation, noise_sums
from vlasscube.mosaic.grid import ImageGrid, locate_pointings
from vlasscube.mosaic.gridded_windows import (
    GriddedWindow,
    Positions,
    by_track,
    find_tracks,
    gridded_window,
    imaging_weights,
    padded_grid,
    uv_grid_shape,
    uv_positions,
)
from vlasscube.mosaic.linear_algebra import one_blas_thread
from vlasscube.mosaic.noncoplanar import displacements, plane_slopes
from vlasscube.mosaic.normalisation import TINY, Normalisation
from vlasscube.mosaic.observed_time import observed_time
from vlasscube.mosaic.primary_beam import beam_radius_rad, evla_power_beam
from vlasscube.mosaic.scan_tracks import ScanTrack
from vlasscube.mosaic.spectral_coverage import spectral_coverage
from vlasscube.mosaic.uv_grid import grid_to_images, images_to_grid
from vlasscube.mosaic.visibilities import ALL_USABLE, SpectralWindowData, Visibilities
from vlasscube.mosaic.weighting import UvTaper
from vlasscube.records import ObservedTime, SpectralCoverage

Float = npt.NDArray[np.float32]
CENTRE_COVERED = 0.4
"""Response of the mosaic's primary beam above which the psf is taken at the image centre: its sidelobes
are seen up to 1 / 0.4 times better than the main lobe, which they must not drown."""
_WELL_COVERED = 0.8
_DISPLACEMENT_SAMPLES = 20
"""Columns and rows, at most, at which the displacement of sources is computed."""
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
    """Correct for w, so that sources have their true positions; needs ``'exact'`` gridding."""
    otf_beam: Literal["field", "smeared"] = "field"
    """Primary beam of a field that was scanned on the fly: at its phase centre, as in tclean, or averaged
    over the way of the antennas during the field, which needs ``'exact'`` gridding."""
    threads: int = 1

    def __post_init__(self) -> None:
        if self.otf_beam == "smeared" and self.gridding != "exact":
            raise ValueError("otf_beam='smeared' needs gridding='exact'")
        if self.w_correction and self.gridding != "exact":
            raise ValueError("w_correction=True needs gridding='exact'")


class MosaicImager:
    """Images the visibilities of one plane.

    Parameters
    ----------
    grid : ImageGrid
        Image.
    visibilities : Visibilities
        Data; they are kept, not copied unless the beam is smeared along rows of several directions.
    settings : ImagerSettings
        Weighting and threads.
    power_beam : callable
        Power beam of an antenna, with the arguments of `evla_power_beam`.
    """

    @one_blas_thread()
    def __init__(
        self,
        grid: ImageGrid,
        visibilities: Visibilities,
        settings: ImagerSettings,
        power_beam: PowerBeam = evla_power_beam,
    ) -> None:
        self.grid = grid
        self.settings = settings
        self._power_beam = power_beam
        windows, fields = visibilities.spectral_windows, visibilities.fields
        centres = [entry.ra_rad for entry in fields], [entry.dec_rad for entry in fields]
        exact = settings.gridding == "exact"
        on_grid = locate_pointings(grid, *centres)
        on_image = on_grid.on_image(grid)
        self.tracks: tuple[ScanTrack, ...] = ()
        """Ways of the antennas during a field that the beam is averaged over."""
        if settings.otf_beam == "smeared":
            self.tracks = find_tracks(grid, on_grid, windows)
        windows, track_of_window = by_track(windows, self.tracks)
        lowest_hz = min(float(window.channel_frequency_hz.min()) for window in windows)
        moved = max((track.length_rad for track in self.tracks), default=0.0)
        reach = beam_radius_rad(lowest_hz) + moved / 2
        self._padded = padded_grid(grid, on_grid, on_image, reach) if exact else grid
        # The density of the weights is counted in (u, v) as stored, as CASA does.
        turns = [entry.turn_rad for entry in fields]
        self.pointings = locate_pointings(self._padded, *centres).turned(turns)
        factor = np.array([entry.lsrk_factor for entry in fields])
        self._mean_factor = float(factor.mean())
        weights = imaging_weights(grid, windows, on_image, factor, settings.robust, settings.taper)
        positions = [
            uv_positions(self._padded, self.pointings, window, factor, exact=exact) for window in windows
        ]
        functions = [
            self._convolution_functions(window, position, power_beam, track)
            for window, position, track in zip(windows, positions, track_of_window, strict=True)
        ]
        self.shape = uv_grid_shape(self._padded, windows, positions, functions)
        self._windows = [
            gridded_window(self.shape, self.pointings, *parts)
            for parts in zip(windows, weights, positions, functions, strict=True)
        ]
        steps = None if exact else functions[0].oversampling
        self._normalisation = Normalisation(grid, self._padded, settings.pblimit, steps, settings.threads)
        self.weight_sum = sum(block.gridder.weight_sum for block in self._windows)
        """Sum of the imaging weights, the same for all Stokes parameters."""
        self.outside = sum(block.gridder.outside for block in self._windows)
        """Number of visibilities left out because they are outside the uv grid."""
        self._residual_data: list[npt.NDArray[np.complex64]] = []

    # --- preparation

    def _convolution_functions(
        self,
        window: SpectralWindowData,
        position: Positions,
        power_beam: PowerBeam,
        track_rad: tuple[float, float],
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
            self._padded,
            frequency,
            power_beam,
            radius,
            largest if self.settings.w_correction else 0.0,
            track_rad,
        )

    # --- images

    @one_blas_thread()
    def weight_image(self) -> Float:
        """Compute ΣwA²/Σw with A the power beams of the pointings; shape (ny, nx)."""
        return self._squared_beams(self._beam_weights(), np.arange(self.grid.nx), np.arange(self.grid.ny))

    def _beam_weights(self) -> list[npt.NDArray[np.float64]]:
        """Sums of the imaging weights of each block, shape (pointings, beams)."""
        return [
            np.array(block.gridder.beam_weights()).reshape(self.pointings.count, -1)
            for block in self._windows
        ]

    def _squared_beams(
        self, sums: list[npt.NDArray[np.float64]], x: npt.NDArray[np.int64], y: npt.NDArray[np.int64]
    ) -> Float:
        """Add up the squared power beams of the pointings, over Σw, at some columns and rows of the image.

        The factors of the beams are given for each block, shape (pointings, beams).
        """
        nx, ny = self._padded.nx, self._padded.ny
        support = max(block.functions.weight.shape[1] // 2 for block in self._windows)
        cells = np.arange(-support, support + 1)
        ramp_x = np.exp(-2j * np.pi * np.outer(self.pointings.pixel_x, cells) / nx)
        ramp_y = np.exp(-2j * np.pi * np.outer(self.pointings.pixel_y, cells) / ny)
        total = np.zeros((cells.size, cells.size), dtype=complex)
        for block, factors in zip(self._windows, sums, strict=True):
            reach = block.functions.weight.shape[1] // 2
            inner = slice(support - reach, support + reach + 1)
            for beam, function in enumerate(block.functions.weight):
                spread = np.einsum("p,py,px->yx", factors[:, beam], ramp_y, ramp_x, optimize=True)
                total[inner, inner] += function * spread[inner, inner]
        top, left = self._normalisation.corner
        to_x = np.exp(2j * np.pi * np.outer(cells, x + left) / nx)
        to_y = np.exp(2j * np.pi * np.outer(y + top, cells) / ny)
        by_row = to_y @ total / max(self.weight_sum, TINY)
        image: Float = by_row.real.astype(np.float32) @ to_x.real.astype(np.float32)
        image -= by_row.imag.astype(np.float32) @ to_x.imag.astype(np.float32)
        return image

    @one_blas_thread()
    def expected_noise_jy(self) -> float | None:
        """Compute the noise expected in the flat-noise image from the weights of the visibilities.

        Returns
        -------
        float or None
            Jy per beam, the same for all Stokes parameters; the mean over the pixels within the primary-beam
            limit. None if there are none. See `vlasscube.mosaic.expected_noise`.
        """
        noise = [self._noise_sums(block) for block in self._windows]
        # Neither changes faster than the primary beam.
        x, y = (np.arange(0, size, -(-size // _NOISE_SAMPLES)) for size in (self.grid.nx, self.grid.ny))
        response = self._squared_beams(self._beam_weights(), x, y)
        peak = float(response.max())
        inside = response > self.settings.pblimit**2 * peak
        if not (self.weight_sum > 0 and inside.any()):
            return None
        variance = self._squared_beams(noise, x, y)[inside] / (response[inside] * peak * self.weight_sum)
        return float(np.sqrt(np.maximum(variance, 0)).mean())

    def _noise_sums(self, block: GriddedWindow) -> npt.NDArray[np.float64]:
        window, beams = block.window, block.functions.weight
        spacing_hz = (
            float(np.abs(np.diff(window.channel_frequency_hz)).mean()) if window.channels > 1 else 0.0
        )
        position = block.position
        return noise_sums(
            window,
            block.gridded_weight(self._padded.nx, self._padded.ny),
            channel_correlation(window),
            decorrelation(position.x * spacing_hz, position.y * spacing_hz, beams.mean(axis=0)),
            block.functions.beam_of_channel,
            self.pointings.count,
            len(beams),
        )

    def observed_time(self) -> ObservedTime | None:
        """Tell when the data were taken, by the weights they are gridded with; None without any weight."""
        weights = [
            block.gridded_weight(self._padded.nx, self._padded.ny).sum(axis=1, dtype=np.float64)
            for block in self._windows
        ]
        times = [block.window.time_mjd_s for block in self._windows]
        return observed_time(np.concatenate(times), np.concatenate(weights))

    @property
    def w_planes(self) -> int:
        """Largest number of planes of w that a spectral window is gridded with; 0 without w-correction."""
        planes = max(block.functions.w_planes for block in self._windows)
        # Of baselines that lie in a plane there is one.
        return max(planes, 1) if self.settings.w_correction else 0

    @one_blas_thread()
    def source_displacements(
        self, pixels: npt.NDArray[np.float64] | None = None
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Tell how far pointings displace point sources, and with what weight.

        Parameters
        ----------
        pixels : ndarray, shape (places, 2), optional
            Pixels (x, y) of the sources; by default places all over the image.

        Returns
        -------
        displacement : ndarray, shape (places, pointings, 2)
            To the east and to the north, rad; 0 with w-correction.
        weight : ndarray, shape (places, pointings)
            Imaging weight times squared power beam; see `vlasscube.mosaic.noncoplanar`.
        """
        grid = self.grid
        if pixels is None:
            steps = [-(-size // _DISPLACEMENT_SAMPLES) for size in (grid.nx, grid.ny)]
            axes = (np.arange(s // 2, size, s) for s, size in zip(steps, (grid.nx, grid.ny), strict=True))
            pixels = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 2).astype(np.float64)
        places = (pixels - np.array([grid.nx // 2, grid.ny // 2])) * [-grid.cell_rad, grid.cell_rad]
        offset = places[:, None] - self.pointings.direction
        arcmin = np.degrees(np.arcsin(np.minimum(np.hypot(offset[..., 0], offset[..., 1]), 1.0))) * 60
        weight = np.zeros(offset.shape[:2])
        rows = []
        for block, sums in zip(self._windows, self._beam_weights(), strict=True):
            frequency = float(block.window.channel_frequency_hz.mean()) * self._mean_factor
            weight += self._power_beam(arcmin, frequency) ** 2 * sums.sum(axis=1)
            position = block.position
            row_weight = block.gridded_weight(self._padded.nx, self._padded.ny).sum(axis=1, dtype=np.float64)
            rows.append(
                np.stack(
                    [position.x / self._padded.nx, -position.y / self._padded.ny, position.w, row_weight]
                )
            )
        u, v, w, row_weight = np.concatenate(rows, axis=1)
        field = np.concatenate([block.window.field_index for block in self._windows])
        # A cell is 1 / (nx cell) wavelengths.
        w *= 0.0 if self.settings.w_correction else grid.cell_rad
        slopes = plane_slopes(u, v, w, row_weight, field, self.pointings.count)
        return displacements(offset, slopes), weight

    def spectral_coverage(self) -> SpectralCoverage | None:
        """Tell where in frequency the data are, by the weights they are gridded with.

        Returns
        -------
        SpectralCoverage or None
            Topocentric; None if no visibility has a weight.
        """
        windows = [block.window for block in self._windows]
        weights = [
            block.gridded_weight(self._padded.nx, self._padded.ny).sum(axis=0, dtype=np.float64)
            for block in self._windows
        ]
        return spectral_coverage(
            np.concatenate([window.channel_frequency_hz for window in windows]),
            np.concatenate([window.channel_width_hz for window in windows]),
            np.concatenate(weights),
        )

    def psf_place(self, weight_image: Float) -> tuple[int, int] | None:
        """Find where the point spread function is to be taken.

        It is that of a source at one place, seen through the primary beams of the pointings around it. A
        place that they hardly reach has hardly any psf: sidelobes seen better than the main lobe drown it.

        Parameters
        ----------
        weight_image : ndarray, shape (ny, nx)
            As from `weight_image`.

        Returns
        -------
        tuple of int or None
            None for the image centre, as tclean has it, if the mosaic covers that; otherwise the pixel (x, y)
            nearest to it that the mosaic covers well (for tclean's ``psfphasecenter``).
        """
        pb = np.sqrt(np.abs(weight_image))
        pb /= pb.max(initial=TINY)
        centre_y, centre_x = self.grid.ny // 2, self.grid.nx // 2
        if pb[centre_y, centre_x] > CENTRE_COVERED or not pb.any():
            return None
        y, x = np.nonzero(pb >= _WELL_COVERED)
        nearest = int(np.argmin((x - centre_x) ** 2 + (y - centre_y) ** 2))
        return int(x[nearest]), int(y[nearest])

    def psf(self, place: tuple[int, int] | None = None) -> Float:
        """Compute the point spread function.

        Parameters
        ----------
        place : tuple of int, optional
            Pixel (x, y) of the source that it is the image of, by default the image centre.

        Returns
        -------
        ndarray, shape (ny, nx)
            Peak 1, at the image centre.
        """
        grid = self.shape.zeros()
        for block in self._windows if place is None else self._seen_from(place):
            block.gridder.grid_psf(grid, self.settings.threads)
        image = np.empty(self.grid.shape, dtype=np.float32)
        grid_to_images(grid, self.shape, image[None], self.settings.threads, self._normalisation.corner)
        del grid
        self._normalisation.correct_sampling(image)
        peak = float(image.max())
        if peak > 0:
            image /= np.float32(peak)
        return image

    def _seen_from(self, place: tuple[int, int]) -> Iterator[GriddedWindow]:
        """Blocks whose pointings lie about the image centre as they do about a place."""
        moved = replace(
            self.pointings,
            pixel_x=self.pointings.pixel_x + (self.grid.nx // 2 - place[0]),
            pixel_y=self.pointings.pixel_y + (self.grid.ny // 2 - place[1]),
        )
        for block in self._windows:
            yield gridded_window(
                self.shape, moved, block.window, block.weight, block.position, block.functions
            )

    def primary_beam(self, weight_image: Float) -> Float:
        """Return the mosaic's primary beam √(W/Wmax), zero below the limit; shape (ny, nx)."""
        pb: Float = np.sqrt(np.abs(weight_image))
        pb /= pb.max(initial=TINY)
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
        data = [block.window.data for block in self._windows]
        if model is not None and np.any(model):
            data = self._subtract(model, weight_image)
        grid = self.shape.zeros()
        for block, values in zip(self._windows, data, strict=True):
            block.gridder.grid(values, grid, self.settings.threads)
        grid_to_images(grid, self.shape, out, self.settings.threads, self._normalisation.corner)
        del grid
        self._normalisation.to_flat_noise(out, weight_image, self.weight_sum)

    def _subtract(self, model: Float, weight_image: Float) -> list[npt.NDArray[np.complex64]]:
        grid = images_to_grid(
            self._normalisation.sky_rows(model, weight_image),
            self.shape,
            model.shape[0],
            self.settings.threads,
        )
        if not self._residual_data:
            self._residual_data = [np.zeros_like(block.window.data) for block in self._windows]
        for block, residual in zip(self._windows, self._residual_data, strict=True):
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
            self._normalisation.sky_rows(models, weight_image),
            self.shape,
            models.shape[0],
            self.settings.threads,
        )
        on_image = self.pointings.on_image(self._padded)
        for block in self._windows:
            window = block.window
            wanted = (window.usable == ALL_USABLE).astype(np.float32)
            wanted[~on_image[window.field_index]] = 0
            gridder = gridded_window(
                self.shape, self.pointings, window, wanted, block.position, block.functions
            ).gridder
            model = np.zeros((window.rows, window.channels, 4), dtype=np.complex64)
            # The kernels know the topocentric frequency; the model is one of the sky's frequencies.
            gridder.predict_taylor(grid, reference_hz / self._mean_factor, model, self.settings.threads)
            yield window, model
