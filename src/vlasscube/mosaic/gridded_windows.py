"""Spectral windows made ready for gridding: imaging weights, places in the uv plane, and who grids them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import scipy.fft

from vlasscube import _kernels
from vlasscube.constants import SPEED_OF_LIGHT_M_S
from vlasscube.mosaic.convolution import ConvolutionFunctions, SeparableFunctions, TabulatedFunctions
from vlasscube.mosaic.grid import ImageGrid, Pointings
from vlasscube.mosaic.primary_beam import beam_radius_rad
from vlasscube.mosaic.scan_tracks import ScanTrack, scan_tracks
from vlasscube.mosaic.uv_grid import UvGridShape
from vlasscube.mosaic.visibilities import ALL_USABLE, ROW_FLAGGED, SpectralWindowData
from vlasscube.mosaic.weighting import DensityGrid, UvTaper, WeightedBlock, taper_weights

_LARGEST_STEP = 0.4
"""Largest step of an on-the-fly row, in radii of the primary beam: half of the beam's width at half power."""

Float = npt.NDArray[np.float32]
Double = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Positions:
    """Positions of the rows of a spectral window in the uv plane per hertz (topocentric); shape (n,) each."""

    x: Double
    """Cells."""
    y: Double
    w: Double
    """Wavelengths, towards the pointing centre."""


@dataclass(frozen=True, eq=False)
class GriddedWindow:
    """A spectral window, ready for gridding."""

    window: SpectralWindowData
    weight: Float
    """Imaging weights, shape (n, nchan)."""
    gridder: _kernels.Gridder
    functions: ConvolutionFunctions
    position: Positions

    def gridded_weight(self, nx: int, ny: int) -> Float:
        """Return the imaging weights, 0 for visibilities that a uv grid of nx x ny cells does not reach."""
        if not self.gridder.outside:
            return self.weight
        on_grid = np.ones(self.weight.shape, dtype=bool)
        support = self.functions.support
        for place, size in ((self.position.x, nx), (self.position.y, ny)):
            cell = np.rint(place[:, None] * self.window.channel_frequency_hz)
            on_grid &= np.abs(cell) + support <= (size - 1) // 2
        weight: Float = np.where(on_grid, self.weight, np.float32(0))
        return weight


def padded_grid(
    grid: ImageGrid, pointings: Pointings, on_image: npt.NDArray[np.bool_], beam_radius_rad: float
) -> ImageGrid:
    """Widen an image until no beam that reaches over its border wraps onto it."""
    reach = beam_radius_rad / grid.cell_rad
    sizes = []
    for pixel, size in ((pointings.pixel_x, grid.nx), (pointings.pixel_y, grid.ny)):
        on = pixel[on_image]
        over = max(reach - on.min(initial=size), on.max(initial=0) + reach - size, 0.0)
        padded = scipy.fft.next_fast_len(size + int(np.ceil(over)), real=True)
        while padded % 2:
            padded = scipy.fft.next_fast_len(padded + 1, real=True)
        sizes.append(padded)
    return replace(grid, nx=sizes[0], ny=sizes[1])


def find_tracks(
    grid: ImageGrid, pointings: Pointings, windows: Sequence[SpectralWindowData]
) -> tuple[ScanTrack, ...]:
    """Find how far the antennas moved during the fields, from the times of the data."""
    highest_hz = max(float(window.channel_frequency_hz.max()) for window in windows)
    return scan_tracks(
        np.concatenate([window.time_mjd_s for window in windows]),
        np.concatenate([window.field_index for window in windows]),
        pointings.pixel_x * grid.cell_rad,
        pointings.pixel_y * grid.cell_rad,
        _LARGEST_STEP * beam_radius_rad(highest_hz),
    )


def by_track(
    windows: tuple[SpectralWindowData, ...], tracks: Sequence[ScanTrack]
) -> tuple[tuple[SpectralWindowData, ...], list[tuple[float, float]]]:
    """Divide spectral windows by the tracks of their fields; with the track vector of each part."""
    if len(tracks) <= 1:
        vector = tracks[0].vector_rad if tracks else (0.0, 0.0)
        return windows, [vector] * len(windows)
    parts = [
        (window.part(rows), track.vector_rad)
        for window in windows
        for track in tracks
        if (rows := np.flatnonzero(track.pointings[window.field_index])).size
    ]
    return tuple(part for part, _ in parts), [vector for _, vector in parts]


def imaging_weights(
    grid: ImageGrid,
    windows: Sequence[SpectralWindowData],
    on_image: npt.NDArray[np.bool_],
    lsrk_factor: Double,
    robust: float,
    taper: UvTaper | None,
) -> list[Float]:
    """Compute the imaging weights of spectral windows together.

    Parameters
    ----------
    grid : ImageGrid
        Image, without padding.
    windows : sequence of SpectralWindowData
        Data.
    on_image : ndarray of bool, shape (pointings,)
        A pointing off the image is left out, as CASA does.
    lsrk_factor : ndarray, shape (pointings,)
        Frequency in the image's frame over the topocentric one.
    robust : float
        Briggs' parameter.
    taper : UvTaper, optional
        Applied on top.

    Returns
    -------
    list of ndarray, shape (n, nchan)
    """
    density = DensityGrid(grid)
    blocks = []
    for window in windows:
        # Stokes parameters need all four correlations; CASA too leaves out what is flagged in any of them.
        counted = (window.usable == ALL_USABLE) | (window.usable == ROW_FLAGGED)
        weight = np.where(counted, window.weight, np.float32(0))
        # In wavelengths of the image's frame: of visibilities near the edge of a cell that decides.
        uv = window.uvw_m[:, :2] * lsrk_factor[window.field_index, None]
        block = WeightedBlock(uv, window.channel_frequency_hz, weight)
        density.add(block)
        blocks.append(block)
    weights = []
    for window, block in zip(windows, blocks, strict=True):
        weight = density.robust_weights(block, robust)
        if taper is not None:
            weight *= taper_weights(block, taper)
        weight[~on_image[window.field_index]] = 0
        weight[window.usable == ROW_FLAGGED] = 0
        weights.append(weight)
    return weights


def uv_positions(
    grid: ImageGrid, pointings: Pointings, window: SpectralWindowData, lsrk_factor: Double, *, exact: bool
) -> Positions:
    """Compute where the rows of a spectral window lie in the uv plane of an image (padded, if it is).

    With ``exact`` the rotation is that of each pointing's tangent plane; without, as tclean has it.
    """
    field = window.field_index
    rotation = pointings.tangent_rotation() if exact else pointings.rotation
    rotated = np.einsum("nij,nj->ni", rotation[field], window.uvw_m[:, :2])
    per_hz = lsrk_factor[field] / SPEED_OF_LIGHT_M_S
    # Seen from the pointing centre: what the tangent plane of the image leaves of w.
    w = window.uvw_m[:, 2] - np.einsum("ni,ni->n", rotated, pointings.direction[field])
    cell = grid.cell_rad * per_hz
    return Positions(rotated[:, 0] * cell * grid.nx, -rotated[:, 1] * cell * grid.ny, w * per_hz)


def uv_grid_shape(
    grid: ImageGrid,
    windows: Sequence[SpectralWindowData],
    positions: Sequence[Positions],
    functions: Sequence[ConvolutionFunctions],
) -> UvGridShape:
    """Return the shape of the uv grid that holds all visibilities: the columns that the baselines reach."""
    support = max(entry.support for entry in functions)
    reach = max(
        float(np.abs(position.x).max(initial=0.0)) * float(window.channel_frequency_hz.max())
        for window, position in zip(windows, positions, strict=True)
    )
    columns = min(int(reach) + support + 2, grid.nx // 2 + 1)
    return UvGridShape(grid.nx, grid.ny, support + 1, columns)


def gridded_window(
    shape: UvGridShape,
    pointings: Pointings,
    window: SpectralWindowData,
    weight: Float,
    position: Positions,
    functions: ConvolutionFunctions,
) -> GriddedWindow:
    """Make a spectral window ready for a uv grid."""
    order = np.lexsort((window.time_mjd_s, window.field_index, window.antenna2, window.antenna1)).astype(
        np.int32
    )
    keys = np.stack([window.antenna1, window.antenna2, window.field_index])[:, order]
    starts = np.flatnonzero(np.any(np.diff(keys, axis=1) != 0, axis=0)) + 1
    group_start = np.concatenate([[0], starts, [order.size]]).astype(np.int64)
    kernels = functions.gridding
    separable = kernels if isinstance(kernels, SeparableFunctions) else None
    position = Positions(*(np.ascontiguousarray(axis) for axis in (position.x, position.y, position.w)))
    gridder = _kernels.Gridder(
        nx=shape.nx,
        ny=shape.ny,
        margin=shape.margin,
        columns=shape.columns,
        table=kernels.table if isinstance(kernels, TabulatedFunctions) else None,
        along_x=separable.along_x if separable else None,
        along_y=separable.along_y if separable else None,
        plane_support=separable.plane_support if separable else None,
        w_step=separable.w_step if separable else 0.0,
        oversampling=functions.oversampling,
        row_x=position.x,
        row_y=position.y,
        row_w=position.w,
        frequency=np.ascontiguousarray(window.channel_frequency_hz),
        beam=functions.beam_of_channel,
        pointing=window.field_index,
        pixel_x=pointings.pixel_x,
        pixel_y=pointings.pixel_y,
        weight=weight,
        order=order,
        group_start=group_start,
    )
    return GriddedWindow(window, weight, gridder, functions, position)
