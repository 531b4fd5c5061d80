"""How large a cube is: what its disk, memory and time depend on."""

from __future__ import annotations

import math
from dataclasses import dataclass

from vlasscube.constants import ARCSEC_PER_DEG
from vlasscube.mosaic.memory import padded_pixels
from vlasscube.mosaic.primary_beam import beam_radius_rad
from vlasscube.sky import arcsec_from_rad, rad_from_arcsec

_LEAST_SUPPORT = 6
_SUPPORT_PER_DEGREE = 6.0
"""Cells that the half-width of a convolution function grows by with the extent of the image, at 3 GHz."""
_LEAST_EXACT_SUPPORT = 7
_EXACT_SUPPORT_PER_DEGREE = 12.5
"""The same for exact gridding and the image with its border: 18 cells at 2 GHz, 31 at 3 GHz and 35 at 4 GHz
were measured for images of 12500 pixels of 0.6 arcsec, 8, 14 and 14 for 4096."""
_CHANNELS_OF_A_BEAM = 0.005
"""Fractional bandwidth of one convolution function."""
_BANDWIDTH_HZ = 128e6


@dataclass(frozen=True)
class PlaneSize:
    """Data of a plane."""

    visibilities: int
    """Rows × channels; four correlations are counted as one."""
    frequency_hz: float
    windows: int = 1
    """Spectral windows."""
    usable: float = 1.0
    """Share of the visibilities that is not flagged."""


@dataclass(frozen=True)
class CubeSize:
    """Images and data of a run."""

    nx: int
    ny: int
    cell_arcsec: float
    cutout_nx: int
    cutout_ny: int
    planes: tuple[PlaneSize, ...]
    """Planes that would be imaged."""
    ms_rows: int
    """Rows of the working measurement set."""
    ms_visibilities: int
    """Rows × channels of the working measurement set."""
    ms_windows: int
    """Spectral windows of the working measurement set."""
    ms_integrations: int = 1
    """Integrations of the working measurement set, the windows counted as one."""
    ms_field_rows: int = 0
    """Rows of the FIELD table, which the working measurement set keeps all of."""

    @property
    def pixels(self) -> int:
        """Pixels of an image, one Stokes parameter."""
        return self.nx * self.ny

    @property
    def cutout_pixels(self) -> int:
        """Pixels of a cutout, one Stokes parameter."""
        return self.cutout_nx * self.cutout_ny

    def footprint_cells(self, frequency_hz: float, *, is_exact: bool = False) -> int:
        """Cells of the uv grid that a visibility is spread over.

        The larger the image is beside the primary beam, the finer the uv grid is beside the beam's transform.
        """
        extent_deg = max(self.nx, self.ny) * self.cell_arcsec / ARCSEC_PER_DEG
        if is_exact:
            extent_deg += math.degrees(beam_radius_rad(frequency_hz))
            support = max(
                round(_EXACT_SUPPORT_PER_DEGREE * extent_deg * frequency_hz / 3e9), _LEAST_EXACT_SUPPORT
            )
        else:
            support = max(round(2 + _SUPPORT_PER_DEGREE * extent_deg * frequency_hz / 3e9), _LEAST_SUPPORT)
        return (2 * support + 1) ** 2

    def gridded_pixels(self, frequency_hz: float, *, is_exact: bool = False) -> int:
        """Pixels of the image that is gridded: exact gridding adds a border."""
        if not is_exact:
            return self.pixels
        radius_rad = beam_radius_rad(frequency_hz)
        return padded_pixels(self.nx, self.ny, rad_from_arcsec(self.cell_arcsec), radius_rad)

    def screen_pixels(self, frequency_hz: float) -> int:
        """Pixels on which a primary beam is computed and transformed: its extent, or the image."""
        largest = max(self.nx, self.ny)
        beam = 2 * arcsec_from_rad(beam_radius_rad(frequency_hz)) / self.cell_arcsec
        return round(min(max(beam, largest / 10), largest)) ** 2

    def beams(self, frequency_hz: float) -> int:
        """Number of primary beams that the channels of a spectral window have."""
        return max(round(_BANDWIDTH_HZ / frequency_hz / _CHANNELS_OF_A_BEAM), 1)
