"""Small observations made up for the mosaic imager, and what they see, by direct summation."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from vlasscube.mosaic.grid import ImageGrid
from vlasscube.mosaic.primary_beam import evla_power_beam
from vlasscube.mosaic.visibilities import (
    ALL_USABLE,
    ObservationInfo,
    SpectralWindowData,
    Visibilities,
    VisibilityField,
)

ARCSEC = np.radians(1 / 3600)
C = 299_792_458.0

FloatArray = npt.NDArray[np.float64]
Source = tuple[float, float, tuple[float, float, float, float]]
"""Pixel x, pixel y, and I, Q, U, V in Jy."""


def image_grid(
    nx: int = 240, ny: int = 200, cell_arcsec: float = 12.0, ra_deg: float = 150.0, dec_deg: float = 34.0
) -> ImageGrid:
    """Return a grid of the size of a few primary beams at S band."""
    return ImageGrid(nx, ny, cell_arcsec * ARCSEC, np.radians(ra_deg), np.radians(dec_deg))


def observe(
    grid: ImageGrid,
    sources: Sequence[Source] = (),
    *,
    pointings: Sequence[tuple[float, float]] = ((-4.0, -3.0), (4.0, -3.0), (0.0, 4.0)),
    antennas: int = 9,
    channels: int = 6,
    size_m: float = 700.0,
    w_m: float = 0.0,
    tilt: tuple[float, float] = (0.0, 0.0),
    dumps: int = 2,
    seed: int = 1,
    spw: int = 8,
    lsrk_factor: float = 1.00005,
) -> Visibilities:
    """Observe point sources with antennas strewn at random.

    The visibilities are exact: power beam of each pointing, w and all, each channel at its own frequency.

    Parameters
    ----------
    grid : ImageGrid
        Whose pixels the sources stand on.
    sources : sequence of Source
        What there is to see.
    pointings : sequence of (float, float)
        Offsets east and north of the image centre, in arcmin.
    antennas, channels, dumps : int
        How many; a dump is one integration of one pointing.
    size_m : float
        Diameter of the array.
    w_m : float
        Scatter of the antennas towards the source.
    tilt : (float, float)
        Slope of the array's plane.
    seed : int
        Seed of the positions and weights.
    spw : int
        Number of the spectral window, 96 MHz wide with six channels, around 2.8 GHz.
    lsrk_factor : float
        Frequency in the frame of the image over the observed one.

    Returns
    -------
    Visibilities
        With ``pointings × dumps × baselines`` rows.
    """
    rng = np.random.default_rng(seed)
    ra0, dec0 = grid.ra_rad, grid.dec_rad
    fields = []
    for number, (east, north) in enumerate(pointings):
        dec = dec0 + np.radians(north / 60)
        ra = ra0 + np.radians(east / 60) / np.cos(dec)
        fields.append(
            VisibilityField(number + 3, f"field{number}", ra, dec, "J2000", 5.1e9 + number, lsrk_factor)
        )
    position = rng.normal(0, size_m / 2, (antennas, 3)) * [1, 1, 0] + rng.normal(0, 1, (antennas, 3)) * [
        0,
        0,
        w_m,
    ]
    position[:, 2] += position[:, :2] @ tilt
    first, second = np.triu_indices(antennas, 1)
    baseline = position[first] - position[second]
    frequency = 2.796e9 + 16e6 * (np.arange(channels, dtype=float) - channels / 2)
    rows = len(fields) * dumps * first.size
    uvw = np.empty((rows, 3))
    field_index = np.empty(rows, dtype=np.int32)
    time = np.empty(rows)
    row = 0
    for number in range(len(fields)):
        for dump in range(dumps):
            part = slice(row, row + first.size)
            angle = 1e-3 * (2 * number + dump)
            turn = np.array(
                [[np.cos(angle), np.sin(angle), 0], [-np.sin(angle), np.cos(angle), 0], [0, 0, 1]]
            )
            uvw[part] = baseline @ turn.T
            field_index[part] = number
            time[part] = 5.1e9 + 2 * number + dump
            row += first.size
    data = predict(grid, sources, uvw, field_index, fields, frequency)
    window = SpectralWindowData(
        id=spw,
        name="test",
        channel_frequency_hz=frequency,
        channel_width_hz=np.full(channels, 16e6),
        row=np.arange(rows),
        uvw_m=uvw,
        antenna1=np.tile(first, rows // first.size).astype(np.int32),
        antenna2=np.tile(second, rows // first.size).astype(np.int32),
        time_mjd_s=time,
        field_index=field_index,
        data=data,
        usable=np.full((rows, channels), ALL_USABLE, dtype=np.uint8),
        weight=rng.uniform(0.5, 1.5, (rows, channels)).astype(np.float32),
    )
    info = ObservationInfo("EVLA", "", 5.1e9, "field0", ((0.0, 0.0, 0.0),))
    edges = float(frequency[0]) - 8e6, float(frequency[-1]) + 8e6
    return Visibilities((window,), tuple(fields), info, edges, 0.0, 0, 0)


def unit_vectors(ra: npt.ArrayLike, dec: npt.ArrayLike) -> FloatArray:
    """Return directions, [..., 3], of right ascensions and declinations in radians."""
    ra, dec = np.asarray(ra, dtype=float), np.asarray(dec, dtype=float)
    return np.stack([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)], axis=-1)


def direction(grid: ImageGrid, x: npt.ArrayLike, y: npt.ArrayLike) -> FloatArray:
    """Return unit vectors towards pixels, [..., 3], in the orthographic projection."""
    l = -(np.asarray(x) - grid.nx // 2) * grid.cell_rad  # noqa: E741
    m = (np.asarray(y) - grid.ny // 2) * grid.cell_rad
    east = np.array([-np.sin(grid.ra_rad), np.cos(grid.ra_rad), 0])
    towards = unit_vectors(grid.ra_rad, grid.dec_rad)
    north = np.cross(towards, east)
    n = np.sqrt(1 - l**2 - m**2)
    towards_pixel: FloatArray = l[..., None] * east + m[..., None] * north + n[..., None] * towards
    return towards_pixel


def axes(field: VisibilityField) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return the unit vectors to the east, to the north and towards a field."""
    east = np.array([-np.sin(field.ra_rad), np.cos(field.ra_rad), 0])
    towards = unit_vectors(field.ra_rad, field.dec_rad)
    return east, np.cross(towards, east), towards


def predict(
    grid: ImageGrid,
    sources: Sequence[Source],
    uvw: FloatArray,
    field_index: npt.NDArray[np.int32],
    fields: Sequence[VisibilityField],
    frequency: FloatArray,
) -> npt.NDArray[np.complex64]:
    """Sum the visibilities RR, RL, LR, LL of point sources directly, [row, channel, correlation].

    ``uvw`` is [row, 3] in metres, ``frequency`` [channel] in Hz as observed.
    """
    data = np.zeros((len(uvw), frequency.size, 4), dtype=np.complex64)
    for x, y, (i, q, u, v) in sources:
        s = direction(grid, x, y)
        for number, field in enumerate(fields):
            rows = field_index == number
            east, north, towards = axes(field)
            lmn = np.array([s @ east, s @ north, s @ towards - 1])
            radius = np.degrees(np.arccos(np.clip(s @ towards, -1, 1))) * 60
            sky_frequency = frequency * field.lsrk_factor
            phase = 2 * np.pi * (uvw[rows] @ lmn)[:, None] * sky_frequency / C
            seen = evla_power_beam(np.full(frequency.size, radius), sky_frequency) * np.exp(1j * phase)
            correlations = np.array([i + v, q + 1j * u, q - 1j * u, i - v])
            data[rows] += (seen[..., None] * correlations).astype(np.complex64)
    return data
