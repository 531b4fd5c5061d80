"""The convolution functions of A-projection: the antennas' power beam, Fourier-transformed and tabulated.

Here as CASA's mosaic gridder makes them; `exact_convolution` makes better ones.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.fft

from vlasscube.mosaic.grid import ImageGrid

OVERSAMPLING = 10
_LANCZOS = 3
_SUPPORT_LEVEL = 0.025
_LEAST_SUPPORT = 5
_BEAM_BANDWIDTH = 0.005
"""Fractional bandwidth of one beam."""

PowerBeam = Callable[..., npt.NDArray[np.float64]]
"""Power beam at (radius in arcmin, frequency in Hz)."""


@dataclass(frozen=True, eq=False)
class TabulatedFunctions:
    """Convolution functions in two dimensions, of which the nearest one is taken."""

    table: npt.NDArray[np.float32]
    """Shape (beams, 2, n, n, 2 s + 1, padded): the power beam's transform at offsets (cell - position) of
    -oversampling // 2 … oversampling // 2 steps in y and x; rows are padded with zeros. The second half is
    for the visibilities that are folded into the other half of the uv plane."""

    @property
    def support(self) -> int:
        """Half-width in cells, without the centre."""
        return int(self.table.shape[4] // 2)

    @property
    def nbytes(self) -> int:
        """Memory of the table."""
        return self.table.nbytes


@dataclass(frozen=True, eq=False)
class SeparableFunctions:
    """Convolution functions as sums of products of functions of x and of y, interpolated linearly."""

    along_x: npt.NDArray[np.float32]
    """Shape (beams, w planes, n, terms, parts, padded): at offsets (cell - position) of -oversampling // 2 …
    oversampling // 2 steps, for the cells -s … s of the widest plane; padded by a whole vector at least.
    Two parts, real and imaginary, if w is corrected for; otherwise one, the functions being real."""
    along_y: npt.NDArray[np.float32]
    plane_support: npt.NDArray[np.int32]
    """Shape (w planes,): half-width in cells, without the centre; never less than that of the plane
    before."""
    w_step: float
    """Distance of the w planes in wavelengths; the first is at 0. 0 if w is not corrected for."""

    @property
    def support(self) -> int:
        """Half-width of the widest plane."""
        return int(self.plane_support[-1])

    @property
    def nbytes(self) -> int:
        """Memory of the tables."""
        return self.along_x.nbytes + self.along_y.nbytes


@dataclass(frozen=True, eq=False)
class ConvolutionFunctions:
    """Convolution functions of the channels of a spectral window."""

    beam_of_channel: npt.NDArray[np.int32]
    """Shape (nchan,); -1 where no beam serves the channel."""
    gridding: TabulatedFunctions | SeparableFunctions
    oversampling: int
    """Steps per cell."""
    weight: npt.NDArray[np.float64]
    """Shape (beams, 2 t + 1, 2 t + 1): transform of the squared power beam, without offset."""

    @property
    def support(self) -> int:
        """Half-width in cells, without the centre."""
        return self.gridding.support

    @property
    def w_planes(self) -> int:
        """Number of planes of w; 1 if w does not matter, or is not corrected for."""
        return int(self.gridding.plane_support.size) if isinstance(self.gridding, SeparableFunctions) else 1


def beam_channels(
    frequency_hz: npt.NDArray[np.float64], topocentric_hz: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int32]]:
    """Choose the frequencies at which beams are computed: about one for each half per cent, as CASA does.

    Parameters
    ----------
    frequency_hz : ndarray, shape (nchan,)
        Channel frequencies in the frame of the image.
    topocentric_hz : ndarray, shape (nchan,)
        The same, as observed.

    Returns
    -------
    beam_frequency_hz : ndarray, shape (beams,)
    beam_of_channel : ndarray of int32, shape (nchan,)

    Notes
    -----
    Beams lie at whole steps below the highest channel as observed, that one left out; if the frame of the
    image takes the channels below it, the next one too. Where that would give as many beams as channels, or
    one less, each channel has its own.
    """
    lowest, highest, count = float(frequency_hz.min()), float(frequency_hz.max()), frequency_hz.size
    spacing = 1e12 if count == 1 else (highest - lowest) / (count - 1)
    top = float(topocentric_hz.max())
    step = max(top * _BEAM_BANDWIDTH, spacing / 2)
    while top > highest:
        top -= step
    if top < lowest:
        top += step
    beams = int(np.ceil((top - lowest) / step))
    bottom = top - beams * step
    if beams > 1:
        beams -= 1
        bottom += step
    if beams >= count - 1:
        return frequency_hz.copy(), np.arange(count, dtype=np.int32)
    if beams == 0:
        return np.array([bottom]), np.zeros(count, dtype=np.int32)
    beam_frequency: npt.NDArray[np.float64] = bottom + step * np.arange(beams, dtype=np.float64)
    distance = np.abs(frequency_hz[:, None] - beam_frequency)
    near = distance <= step / 2
    beam_of_channel = np.where(near.any(axis=1), near.argmax(axis=1), distance.argmin(axis=1))
    return beam_frequency, beam_of_channel.astype(np.int32)


def casa_convolution_functions(
    grid: ImageGrid,
    frequency_hz: npt.NDArray[np.float64],
    topocentric_hz: npt.NDArray[np.float64],
    power_beam: PowerBeam,
    beam_radius_rad: float,
) -> ConvolutionFunctions:
    """Compute the convolution functions of a spectral window as CASA's mosaic gridder does.

    Parameters
    ----------
    grid : ImageGrid
        Image; its extent sets the size of a uv cell.
    frequency_hz : ndarray, shape (nchan,)
        Channel frequencies in the frame of the image.
    topocentric_hz : ndarray, shape (nchan,)
        The same, as observed.
    power_beam : callable
        Power beam, 1 on axis.
    beam_radius_rad : float
        Radius that the beam is tabulated to, at the lowest frequency.

    Returns
    -------
    ConvolutionFunctions
        Each sums to 1 over its support, which is where the transform of the squared beam of the highest
        frequency falls below 2.5 % of its peak on the axes. Between the cells the function is interpolated by
        Lanczos' kernel of 3 lobes.
    """
    beam_frequency, beam_of_channel = beam_channels(frequency_hz, topocentric_hz)
    size = _screen_size(grid, beam_radius_rad)
    quarter = max(size // 4, 2 * (_LEAST_SUPPORT + 2))
    beam_parts, weight_parts = [], []
    for frequency in beam_frequency:
        screen = _beam_screen(grid, size, float(frequency), power_beam)
        beam_parts.append(_central_transform(screen, quarter))
        weight_parts.append(_central_transform(screen**2, quarter))
    support = _support(weight_parts[-1])
    gridding = []
    weight = []
    for beam_part, weight_part in zip(beam_parts, weight_parts, strict=True):
        gridding.append(_tabulate(beam_part / _central(beam_part, support).sum(), support))
        inner = _interpolation_matrix(weight_part.shape[0], support)[OVERSAMPLING // 2]
        weight.append(inner @ (weight_part / _central(weight_part, support).sum()) @ inner.T)
    table = np.stack(gridding)
    # Without an offset the last cells are cut off unequally, of which folding must not change the sides.
    width = 2 * support + 1
    opposite = np.zeros_like(table)
    opposite[..., :width] = table[:, ::-1, ::-1, ::-1, width - 1 :: -1]
    table = np.stack([table, opposite], axis=1)
    return ConvolutionFunctions(beam_of_channel, TabulatedFunctions(table), OVERSAMPLING, np.stack(weight))


def _screen_size(grid: ImageGrid, beam_radius_rad: float) -> int:
    largest = max(grid.nx, grid.ny)
    wanted = min(max(round(2 * beam_radius_rad / grid.cell_rad), largest // 10), largest)
    return max((_next_composite(wanted) // 16) * 16, 16)


def _next_composite(least: int) -> int:
    """Return the next even number above `least` with prime factors 2, 3 and 5 alone."""
    number = least + 1
    while number % 2 or scipy.fft.next_fast_len(number, real=True) != number:
        number += 1
    return number


def _beam_screen(
    grid: ImageGrid, size: int, frequency_hz: float, power_beam: PowerBeam
) -> npt.NDArray[np.float64]:
    offset = np.arange(size) - size // 2
    x = offset * (grid.nx * grid.cell_rad / size)
    y = offset * (grid.ny * grid.cell_rad / size)
    radius_rad = np.hypot(x, y[:, None])
    return power_beam(np.degrees(radius_rad) * 60, frequency_hz)


def _central_transform(screen: npt.NDArray[np.float64], keep: int) -> npt.NDArray[np.float64]:
    transform = scipy.fft.fftshift(scipy.fft.fft2(scipy.fft.ifftshift(screen))).real
    start = max(screen.shape[0] // 2 - keep // 2, 0)
    return np.ascontiguousarray(transform[start : start + keep, start : start + keep])


def _support(weight_part: npt.NDArray[np.float64]) -> int:
    """Half-width beyond which the function is small on both axes."""
    size = weight_part.shape[0]
    centre = size // 2
    magnitude = np.abs(weight_part)
    small = magnitude < _SUPPORT_LEVEL * magnitude.max()
    reach = size - centre - 2
    for trial in range(reach):
        if small[centre, centre - trial] and small[centre - trial, centre]:
            break
    else:
        trial = max(size // 2 - 4, 0)
    if trial < _LEAST_SUPPORT:
        trial = _LEAST_SUPPORT if size > 2 * _LEAST_SUPPORT else max(size // 2 - 4, 0)
    support = trial + 1
    return int(min(support, size // 2 - 1))


def _central(part: npt.NDArray[np.float64], support: int) -> npt.NDArray[np.float64]:
    centre = part.shape[0] // 2
    cells = slice(centre - support, centre + support + 1)
    return part[cells, cells]


def _tabulate(part: npt.NDArray[np.float64], support: int) -> npt.NDArray[np.float32]:
    """Interpolate a function to tenths of a cell; shape (11, 11, 2 s + 1, padded)."""
    interpolation = _interpolation_matrix(part.shape[0], support)
    return padded_rows(np.einsum("ayj,jk,bxk->abyx", interpolation, part, interpolation, optimize=True))


def padded_rows(table: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
    """Return a table in single precision, its rows padded with zeros to whole vectors."""
    width = table.shape[-1]
    padded = np.zeros((*table.shape[:-1], -(-width // 8) * 8), dtype=np.float32)
    padded[..., :width] = table
    return padded


def _interpolation_matrix(size: int, support: int) -> npt.NDArray[np.float64]:
    """Weights of the samples for positions cell + offset / 10; shape (11, 2 s + 1, size).

    CASA interpolates from the samples that it keeps, 2 (s + 2) of them; positions closer than three samples
    to their edge are zero.
    """
    half = OVERSAMPLING // 2
    kept = min(2 * (support + 2), size)
    start = size // 2 - kept // 2
    offsets = np.arange(-half, half + 1) / OVERSAMPLING
    cells = np.arange(-support, support + 1)
    position = cells[None, :] + offsets[:, None] + kept // 2
    floor = np.floor(np.round(position, 6)).astype(int)
    sample = np.arange(kept)
    distance = position[..., None] - sample
    taken = (sample > floor[..., None] - _LANCZOS) & (sample <= floor[..., None] + _LANCZOS)
    inside = (floor >= _LANCZOS) & (floor < kept - _LANCZOS)
    weights = np.where(taken & inside[..., None], np.sinc(distance) * np.sinc(distance / _LANCZOS), 0.0)
    full = np.zeros((offsets.size, cells.size, size))
    full[..., start : start + kept] = weights
    return full
