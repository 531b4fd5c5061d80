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
GRID_PIXEL_BYTES = 24
"""For each pixel of the image with the border that it is gridded with: the larger of the uv grid and the
transforms of restoration."""
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
    gridded = pixels if padded is None else padded
    return PIXEL_BYTES * pixels + GRID_PIXEL_BYTES * gridded + VISIBILITY_BYTES * visibilities


def further_bytes(pixels: int, visibilities: Visibilities, padded: int | None = None) -> int:
    """Peak memory that imaging takes besides the visibilities, which have been read."""
    windows = visibilities.spectral_windows
    held = sum(window.data.nbytes + window.usable.nbytes + window.weight.nbytes for window in windows)
    return imaging_bytes(pixels, visibilities.count, padded) - held
