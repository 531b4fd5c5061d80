"""Convolution functions without the shortcuts of CASA's: evaluated, not interpolated, with a wider support.

With w planes they also carry what the array's being non-coplanar does to a source away from the pointing
centre.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from vlasscube.mosaic.convolution import ConvolutionFunctions, PowerBeam, padded_rows
from vlasscube.mosaic.grid import ImageGrid

OVERSAMPLING = 16
_SUPPORT_LEVEL = 5e-4
_LEAST_SUPPORT = 4
_MOST_SUPPORT = 60
_SCREEN_PIXELS = 256
_BEAM_BANDWIDTH = 0.005
"""Largest fractional bandwidth of one beam."""
_W_PHASE = 0.04
"""Largest phase, rad, that a source at the beam's half-power radius may be off through the distance of w
planes."""

Complex = npt.NDArray[np.complex128]
Float = npt.NDArray[np.float64]


def exact_convolution_functions(
    grid: ImageGrid,
    frequency_hz: Float,
    power_beam: PowerBeam,
    beam_radius_rad: float,
    largest_w: float = 0.0,
) -> ConvolutionFunctions:
    """Compute the convolution functions of a spectral window.

    Parameters
    ----------
    grid : ImageGrid
        Image, padded so that no beam reaches over its border.
    frequency_hz : ndarray, shape (nchan,)
        Channel frequencies.
    power_beam : callable
        Power beam, 1 on axis, 0 from the first null outwards.
    beam_radius_rad : float
        Radius of the first null at the lowest frequency, or more.
    largest_w : float
        Largest absolute w of the visibilities in wavelengths; 0 to leave w out of account.

    Returns
    -------
    ConvolutionFunctions
        Transform of the power beam times exp(-2πi w (√(1 - r²) - 1)), cut where it falls below 0.05 % of its
        peak, and normalised so that the response at the pointing centre is 1 for all offsets.
    """
    beam_frequency, beam_of_channel = _beam_channels(frequency_hz)
    radius = beam_radius_rad
    steps = np.arange(_SCREEN_PIXELS, dtype=np.float64) - _SCREEN_PIXELS / 2 + 0.5
    samples: Float = steps * (2 * radius / _SCREEN_PIXELS)
    distance = np.hypot(samples, samples[:, None])
    arcmin = np.degrees(distance) * 60
    screens = [power_beam(arcmin, float(frequency)) for frequency in beam_frequency]
    widest, narrowest = screens[int(beam_frequency.argmin())], screens[int(beam_frequency.argmax())]
    half_power = float(distance[widest > 0.5].max(initial=radius / 4))
    # (√(1 - r²) - 1) is -r²/2 but for 1e-5 of it.
    planes = 1 if largest_w == 0 else int(np.ceil(largest_w * np.pi * half_power**2 / (2 * _W_PHASE))) + 1
    w_step = largest_w / (planes - 1) if planes > 1 else 0.0
    w_screens = [np.exp(-2j * np.pi * p * w_step * (np.sqrt(1 - distance**2) - 1)) for p in range(planes)]
    support = _support(grid, samples, narrowest * w_screens[-1])
    offsets: Float = np.arange(-(OVERSAMPLING // 2), OVERSAMPLING // 2 + 1, dtype=np.float64) / OVERSAMPLING
    matrix_x = _transform(samples, grid.nx * grid.cell_rad, support, offsets)
    matrix_y = _transform(samples, grid.ny * grid.cell_rad, support, offsets)
    table = np.empty(
        (len(screens), planes, offsets.size, offsets.size, 2 * support + 1, 2 * support + 1), complex
    )
    for beam, screen in enumerate(screens):
        for plane, w_screen in enumerate(w_screens):
            half = np.einsum("jk,bxk->bjx", screen * w_screen, matrix_x, optimize=True)
            values = np.einsum("ayj,bjx->abyx", matrix_y, half, optimize=True)
            if plane == 0:
                norm = values.sum(axis=(2, 3), keepdims=True)
            table[beam, plane] = values / norm
    weight_support = min(2 * support, (min(grid.nx, grid.ny) - 1) // 2)
    weight = _weight_functions(grid, samples, screens, weight_support)
    imaginary = padded_rows(table.imag) if planes > 1 else None
    return ConvolutionFunctions(
        beam_of_channel, padded_rows(table.real), imaginary, w_step, OVERSAMPLING, True, weight
    )


def _beam_channels(frequency_hz: Float) -> tuple[Float, npt.NDArray[np.int32]]:
    """Frequencies of the beams, at most half a per cent apart, and the nearest of them for each channel."""
    lowest, highest, count = float(frequency_hz.min()), float(frequency_hz.max()), frequency_hz.size
    spacing = (highest - lowest) / max(count - 1, 1)
    beams = max(int(np.ceil((highest - lowest + spacing) / (highest * _BEAM_BANDWIDTH))), 1)
    if beams >= count:
        return frequency_hz.copy(), np.arange(count, dtype=np.int32)
    step = (highest - lowest + spacing) / beams
    beam_frequency: Float = lowest + (step - spacing) / 2 + step * np.arange(beams, dtype=np.float64)
    distance = np.abs(frequency_hz[:, None] - beam_frequency)
    return beam_frequency, distance.argmin(axis=1).astype(np.int32)


def _transform(samples: Float, extent: float, support: int, offsets: Float) -> Complex:
    """Fourier matrix from the screen to the cells; shape (offsets, 2 s + 1, samples)."""
    cells = np.arange(-support, support + 1)
    position = cells[None, :] + offsets[:, None]
    matrix: Complex = np.exp(-2j * np.pi * position[..., None] * samples / extent)
    return matrix


def _support(grid: ImageGrid, samples: Float, screen: Complex) -> int:
    """Half-width beyond which the transform is small on both axes."""
    most = min(_MOST_SUPPORT, (min(grid.nx, grid.ny) - 1) // 2 - 1)
    reach = np.zeros(0, dtype=int)
    for extent, profile in (
        (grid.nx * grid.cell_rad, screen.sum(axis=0)),
        (grid.ny * grid.cell_rad, screen.sum(axis=1)),
    ):
        values = np.abs(np.exp(-2j * np.pi * np.outer(np.arange(most + 1), samples) / extent) @ profile)
        reach = np.append(reach, np.flatnonzero(values > _SUPPORT_LEVEL * values[0]).max())
    return int(np.clip(reach.max() + 1, min(_LEAST_SUPPORT, most), most))


def _weight_functions(grid: ImageGrid, samples: Float, screens: list[Float], support: int) -> Float:
    none: Float = np.zeros(1)
    matrix_x = _transform(samples, grid.nx * grid.cell_rad, support, none)[0]
    matrix_y = _transform(samples, grid.ny * grid.cell_rad, support, none)[0]
    weight = np.stack([(matrix_y @ screen**2 @ matrix_x.T).real for screen in screens])
    norm: Float = weight.sum(axis=(1, 2), keepdims=True)
    return weight / norm
