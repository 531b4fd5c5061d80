"""Small observations made up for the tests of the mosaic imager, and what they see, by direct summation."""

from __future__ import annotations

import numpy as np

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


def image_grid(nx=240, ny=200, cell_arcsec=12.0, ra_deg=150.0, dec_deg=34.0):
    return ImageGrid(nx, ny, cell_arcsec * ARCSEC, np.radians(ra_deg), np.radians(dec_deg))


def observe(
    grid,
    sources=(),
    *,
    pointings=((-4.0, -3.0), (4.0, -3.0), (0.0, 4.0)),
    antennas=9,
    channels=6,
    size_m=700.0,
    w_m=0.0,
    tilt=(0.0, 0.0),
    dumps=2,
    seed=1,
    spw=8,
    lsrk_factor=1.00005,
):
    """Observe point sources (x pixel, y pixel, (I, Q, U, V) Jy) with antennas strewn at random.

    Pointings are offsets (east, north) from the image centre in arcmin. The visibilities are exact: power
    beam of each pointing, w and all, each channel at its own frequency.
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
    frequency = 2.796e9 + 16e6 * (np.arange(channels) - channels / 2)
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
    info = ObservationInfo("EVLA", "", 5.1e9, "field0", ("ea01",), ((0.0, 0.0, 0.0),), (25.0,))
    edges = float(frequency[0]) - 8e6, float(frequency[-1]) + 8e6
    return Visibilities((window,), tuple(fields), info, edges, 0.0, 0, 0)


def unit_vectors(ra, dec):
    return np.stack([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)], axis=-1)


def direction(grid, x, y):
    """Unit vector towards a pixel."""
    l = -(np.asarray(x) - grid.nx // 2) * grid.cell_rad  # noqa: E741
    m = (np.asarray(y) - grid.ny // 2) * grid.cell_rad
    east = np.array([-np.sin(grid.ra_rad), np.cos(grid.ra_rad), 0])
    towards = unit_vectors(grid.ra_rad, grid.dec_rad)
    north = np.cross(towards, east)
    n = np.sqrt(1 - l**2 - m**2)
    return l[..., None] * east + m[..., None] * north + n[..., None] * towards


def axes(field):
    east = np.array([-np.sin(field.ra_rad), np.cos(field.ra_rad), 0])
    towards = unit_vectors(field.ra_rad, field.dec_rad)
    return east, np.cross(towards, east), towards


def predict(grid, sources, uvw, field_index, fields, frequency):
    """Sum the visibilities RR, RL, LR, LL of point sources directly."""
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
