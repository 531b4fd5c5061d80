"""Masks and model images of the continuum run, as 4-D CASA images written patch by patch."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vlasscube import casa
from vlasscube.constants import SPEED_OF_LIGHT_M_S
from vlasscube.simulation.beam import power_beam
from vlasscube.simulation.layout import Pointing
from vlasscube.simulation.parameters import FieldSimulation
from vlasscube.simulation.sky import Source, stokes_spectrum
from vlasscube.simulation.spectral_windows import channel_frequencies_hz
from vlasscube.sky import arcsec_from_rad, direction_cosines, rad_from_arcsec, separation_rad

CONTINUUM_REFERENCE_HZ = 3.0e9
_INTERPOLATION_PIXELS = 10
_KAISER_BETA = 6.0
_FWHM_TO_SIGMA = 1 / math.sqrt(8 * math.log(2))


@dataclass(frozen=True)
class Ellipse:
    """An ellipse on the sky, semi-axes in arcsec, position angle east of north."""

    ra_deg: float
    dec_deg: float
    semi_major_arcsec: float
    semi_minor_arcsec: float
    position_angle_deg: float


@dataclass(frozen=True)
class _Patch:
    """Pixel values to be put at a corner of an image."""

    x: int
    y: int
    values: NDArray[np.float64]


def beam_fwhm_arcsec(parameters: FieldSimulation, longest_baseline_m: float) -> float:
    """Estimate the synthesized beam at the lowest frequency."""
    wavelength = SPEED_OF_LIGHT_M_S / channel_frequencies_hz(parameters, parameters.science_spws[0])[0]
    return arcsec_from_rad(wavelength / longest_baseline_m)


def catalogue(sources: Iterable[Source], beam_arcsec: float) -> tuple[Ellipse, ...]:
    """Ellipses of the sources as a catalogue of their image has them: the source convolved with the beam."""
    return tuple(
        Ellipse(
            source.ra_deg,
            source.dec_deg,
            math.hypot(source.major_arcsec, beam_arcsec),
            math.hypot(source.minor_arcsec, beam_arcsec),
            source.position_angle_deg,
        )
        for source in sources
    )


def write_mask(path: Path, parameters: FieldSimulation, template: Path, ellipses: Iterable[Ellipse]) -> None:
    """Write a mask image with the axes of a template: 1 within the ellipses, 0 elsewhere."""
    _create_image(path, parameters, template, "")
    with casa.image(path) as image:
        for ellipse in ellipses:
            patch = _ellipse_patch(parameters, ellipse)
            if patch is not None:
                _combine(image, patch, maximum=True)


def write_true_models(
    paths: Sequence[Path],
    parameters: FieldSimulation,
    template: Path,
    sources: Sequence[Source],
    pointings: Sequence[Pointing],
) -> None:
    """Write the two Taylor-term model images (Jy/pixel) of the true Stokes I.

    The terms are the straight line in (ν − 3 GHz) / 3 GHz that fits the spectrum over the observed band best.
    As always with ``normtype='flatnoise'``, the model is the sky times the mosaic's primary beam.
    """
    frequencies = np.concatenate([channel_frequencies_hz(parameters, spw) for spw in parameters.science_spws])
    fractional = frequencies / CONTINUUM_REFERENCE_HZ - 1
    terms = []
    for source in sources:
        slope, constant = np.polyfit(fractional, stokes_spectrum(source, frequencies)[0], 1)
        beam = mosaic_beam(source.ra_deg, source.dec_deg, pointings, frequencies, parameters)
        terms.append((constant * beam, slope * beam))
    for order, path in enumerate(paths):
        _create_image(path, parameters, template, "Jy/pixel")
        with casa.image(path) as image:
            for source, values in zip(sources, terms, strict=True):
                patch = source_patch(parameters, source)
                if patch is not None:
                    scaled = _Patch(patch.x, patch.y, patch.values * values[order])
                    _combine(image, scaled, maximum=False)


def mosaic_beam(
    ra_deg: float,
    dec_deg: float,
    pointings: Sequence[Pointing],
    freq_hz: NDArray[np.float64],
    parameters: FieldSimulation,
) -> float:
    """Flat-noise primary beam of the mosaic at a position, √(Σ PB²), relative to the image centre."""

    def weight(ra: float, dec: float) -> float:
        total = 0.0
        for pointing in pointings:
            radius = math.degrees(separation_rad(ra, dec, pointing.ra_rad, pointing.dec_rad)) * 60
            total += float(np.sum(power_beam(radius, freq_hz) ** 2))
        return total

    return math.sqrt(weight(math.radians(ra_deg), math.radians(dec_deg)) / weight(*parameters.centre_rad))


def _create_image(path: Path, parameters: FieldSimulation, template: Path, unit: str) -> None:
    """Create an image of zeros; all but its size and pixels as in a template made by tclean.

    tclean does not take a model whose spectral axis is not exactly that which it derives from the data.
    """
    nx, ny = parameters.imsize
    cell = rad_from_arcsec(parameters.cell_arcsec)
    with casa.image(template) as image:
        axes = image.coordsys()
    try:
        axes.setreferencepixel([nx // 2, ny // 2], "direction")
        axes.setincrement([-cell, cell], "direction")
        record = axes.torecord()
    finally:
        axes.done()
    image = casa.tools().image()
    image.fromshape(str(path), [nx, ny, 1, 1], csys=record, linear=False, overwrite=False)
    try:
        if unit:
            image.setbrightnessunit(unit)
    finally:
        image.close()


def _combine(image: Any, patch: _Patch, *, maximum: bool) -> None:
    """Put a patch into an open image: the larger of the values, or their sum."""
    corner = [patch.x, patch.y, 0, 0]
    shape = patch.values.shape
    opposite = [patch.x + shape[0] - 1, patch.y + shape[1] - 1, 0, 0]
    old = image.getchunk(blc=corner, trc=opposite)
    new = patch.values[:, :, None, None]
    image.putchunk(np.maximum(old, new) if maximum else old + new, blc=corner)


def pixel_position(parameters: FieldSimulation, ra_deg: float, dec_deg: float) -> tuple[float, float]:
    """0-based pixel coordinates of a position in the images."""
    east, north, _ = direction_cosines(math.radians(ra_deg), math.radians(dec_deg), *parameters.centre_rad)
    cell = rad_from_arcsec(parameters.cell_arcsec)
    nx, ny = parameters.imsize
    return nx // 2 - float(east) / cell, ny // 2 + float(north) / cell


def _grid(
    parameters: FieldSimulation, ra_deg: float, dec_deg: float, radius_arcsec: float
) -> tuple[int, int, NDArray[np.floating], NDArray[np.floating]] | None:
    """Corner and offsets (east, north; arcsec) of the pixels within a radius; None if outside the image."""
    x, y = pixel_position(parameters, ra_deg, dec_deg)
    half = radius_arcsec / parameters.cell_arcsec + 1
    low = max(0, math.floor(x - half)), max(0, math.floor(y - half))
    high = (
        min(parameters.imsize[0] - 1, math.ceil(x + half)),
        min(parameters.imsize[1] - 1, math.ceil(y + half)),
    )
    if low[0] > high[0] or low[1] > high[1]:
        return None
    columns, rows = np.meshgrid(
        np.arange(low[0], high[0] + 1.0), np.arange(low[1], high[1] + 1.0), indexing="ij"
    )
    cell = parameters.cell_arcsec
    return low[0], low[1], (x - columns) * cell, (rows - y) * cell


def _elliptical_radius(
    east: NDArray[np.floating], north: NDArray[np.floating], major: float, minor: float, angle_deg: float
) -> NDArray[np.float64]:
    angle = math.radians(angle_deg)
    along = east * math.sin(angle) + north * math.cos(angle)
    across = east * math.cos(angle) - north * math.sin(angle)
    return np.asarray(np.hypot(along / major, across / minor), dtype=np.float64)


def _ellipse_patch(parameters: FieldSimulation, ellipse: Ellipse) -> _Patch | None:
    grid = _grid(parameters, ellipse.ra_deg, ellipse.dec_deg, ellipse.semi_major_arcsec)
    if grid is None:
        return None
    x, y, east, north = grid
    radius = _elliptical_radius(
        east, north, ellipse.semi_major_arcsec, ellipse.semi_minor_arcsec, ellipse.position_angle_deg
    )
    return _Patch(x, y, (radius <= 1).astype(float))


def source_patch(parameters: FieldSimulation, source: Source) -> _Patch | None:
    """Brightness of a source of unit flux: its nearest pixel, or a Gaussian over the pixels."""
    if source.is_point:
        place = pixel_position(parameters, source.ra_deg, source.dec_deg)
        if not parameters.sources_on_pixels:
            return _interpolated_point(parameters, place)
        x, y = (round(value) for value in place)
        inside = 0 <= x < parameters.imsize[0] and 0 <= y < parameters.imsize[1]
        return _Patch(x, y, np.ones((1, 1))) if inside else None
    grid = _grid(parameters, source.ra_deg, source.dec_deg, 2 * source.major_arcsec)
    if grid is None:
        return None
    x, y, east, north = grid
    # A Gaussian narrower than a pixel would vanish between pixel centres.
    sizes = [
        max(axis, parameters.cell_arcsec) * _FWHM_TO_SIGMA
        for axis in (source.major_arcsec, source.minor_arcsec)
    ]
    radius = _elliptical_radius(east, north, sizes[0], sizes[1], source.position_angle_deg)
    values = np.exp(-(radius**2) / 2)
    return _Patch(x, y, values / values.sum())


def _interpolated_point(parameters: FieldSimulation, place: tuple[float, float]) -> _Patch | None:
    """Pixels whose transform is that of a unit point between them.

    A sinc function cut by a Kaiser window: within 1.5e-3 along each axis up to 0.33 cycles a pixel.
    """
    axes = []
    corner = [math.ceil(value) - _INTERPOLATION_PIXELS for value in place]
    for low, value, size in zip(corner, place, parameters.imsize, strict=True):
        distance = low + np.arange(2 * _INTERPOLATION_PIXELS + 1) - value
        window = np.i0(
            _KAISER_BETA * np.sqrt(np.maximum(1 - (distance / (_INTERPOLATION_PIXELS + 0.5)) ** 2, 0))
        )
        kernel = np.sinc(distance) * window / np.i0(_KAISER_BETA)
        if low < 0 or low + kernel.size > size:
            return None
        axes.append(kernel / kernel.sum())
    return _Patch(corner[0], corner[1], np.outer(axes[0], axes[1]))
