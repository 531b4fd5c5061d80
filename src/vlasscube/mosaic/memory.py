"""Memory that imaging a plane takes, measured at the peak of runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    # Estimates are made without NumPy.
    from vlasscube.mosaic.visibilities import Visibilities

PIXEL_BYTES = 68
"""For each pixel of an IQUV image, while it is cleaned: residual and model of I, Q, U and V (44 with psf,
primary beam and weights), and the larger of the uv grid and the transforms of restoration."""
VISIBILITY_BYTES = 74
"""Data, residual data, flags and weights of four correlations."""


def imaging_bytes(pixels: int, visibilities: int) -> int:
    """Peak memory that imaging a plane takes, its visibilities included, beyond the process itself.

    Parameters
    ----------
    pixels : int
        Pixels of one Stokes parameter.
    visibilities : int
        Rows × channels, flagged ones included.
    """
    return PIXEL_BYTES * pixels + VISIBILITY_BYTES * visibilities


def further_bytes(pixels: int, visibilities: Visibilities) -> int:
    """Peak memory that imaging takes besides the visibilities, which have been read."""
    windows = visibilities.spectral_windows
    held = sum(window.data.nbytes + window.usable.nbytes + window.weight.nbytes for window in windows)
    return imaging_bytes(pixels, visibilities.count) - held
