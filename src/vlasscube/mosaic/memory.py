"""Memory that imaging a plane takes, measured at the peak of runs."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    # Estimates are made without NumPy.
    from vlasscube.mosaic.visibilities import Visibilities

PIXEL_BYTES = 44
"""For each pixel of an IQUV image, while it is cleaned: residual and model of I, Q, U and V, psf, primary
beam and weights."""
WORK_PIXEL_BYTES = 24
"""For each pixel of the image: the transforms of restoration, or the uv grid, whichever is larger."""
PADDED_PIXEL_BYTES = 16
"""For each pixel of an image with the border of exact gridding: the uv grid with all its columns.

At 12500² pixels with few visibilities 9.5 GB were measured with exact gridding and w-correction at 4 GHz, 8.7
GB at 2 GHz, and 9.1 GB with tclean's gridding at 4 GHz, the process itself included."""
TABLE_BYTES = 50_000_000
"""Convolution functions of exact gridding, all beams and w planes of a spectral window: 30 MB at 12500²
pixels where the array reaches 72 000 wavelengths in w, VLASS's lowest plane at a zenith angle of 74°."""
VISIBILITY_BYTES = 74
"""Data, residual data, flags and weights of four correlations."""


def padded_pixels(nx: int, ny: int, cell_rad: float, beam_radius_rad: float) -> int:
    """Pixels of an image with the border that exact gridding adds, if there are pointings at its edges."""
    border = math.ceil(beam_radius_rad / cell_rad)
    return (nx + border) * (ny + border)


def imaging_bytes(pixels: int, visibilities: int, padded: int | None = None) -> int:
    """Peak memory that imaging a plane takes, its visibilities included, beyond the process itself.

    Parameters
    ----------
    pixels : int
        Pixels of one Stokes parameter.
    visibilities : int
        Rows × channels, flagged ones included.
    padded : int, optional
        Pixels with the border of exact gridding; by default there is none.
    """
    work = WORK_PIXEL_BYTES * pixels
    if padded is not None:
        work = max(work, PADDED_PIXEL_BYTES * padded) + TABLE_BYTES
    return PIXEL_BYTES * pixels + work + VISIBILITY_BYTES * visibilities


def further_bytes(pixels: int, visibilities: Visibilities, padded: int | None = None) -> int:
    """Peak memory that imaging takes besides the visibilities, which have been read."""
    windows = visibilities.spectral_windows
    held = sum(window.data.nbytes + window.usable.nbytes + window.weight.nbytes for window in windows)
    return imaging_bytes(pixels, visibilities.count, padded) - held
