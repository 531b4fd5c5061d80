"""The visibilities of a plane as the mosaic engine accepts them: arrays and plain values, no files."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

ALL_USABLE = 0b1111
"""Of RR, RL, LR, LL: bit k of `SpectralWindowData.usable` stands for the k-th."""
ROW_FLAGGED = 0b10000
"""All four would be usable, but for the flag of the row."""


@dataclass(frozen=True)
class VisibilityField:
    """A pointing of the mosaic."""

    id: int
    """Row of the measurement set's FIELD table."""
    name: str
    ra_rad: float
    dec_rad: float
    """Phase centre."""
    frame: str = "ICRS"
    """``'J2000'`` or ``'ICRS'``."""
    time_mjd_s: float = 0.0
    """Mean time (UTC) of the selected data; for headers."""
    lsrk_factor: float = 1.0
    """LSRK over topocentric frequency, towards the phase centre at the mean time."""
    turn_rad: float = 0.0
    """Position angle, in the frame of the image, of north in the frame that (u, v) are stored in."""


@dataclass(frozen=True)
class ObservationInfo:
    """Where, when and by whom the visibilities were observed, for the headers of images."""

    telescope: str = "EVLA"
    observer: str = ""
    start_mjd_s: float = 0.0
    """Time (UTC) of the first selected row."""
    object_name: str = ""
    """Field of the first selected row."""
    antenna_position_m: tuple[tuple[float, float, float], ...] = ()
    """ITRF."""


@dataclass(frozen=True, eq=False)
class SpectralWindowData:
    """The selected visibilities of one spectral window, in the order of the measurement set."""

    id: int
    name: str
    channel_frequency_hz: npt.NDArray[np.float64]
    """Shape (nchan,); topocentric."""
    channel_width_hz: npt.NDArray[np.float64]
    """Shape (nchan,); positive."""
    row: npt.NDArray[np.int64]
    """Shape (n,): row numbers of the measurement set, ascending."""
    uvw_m: npt.NDArray[np.float64]
    """Shape (n, 3), as stored."""
    antenna1: npt.NDArray[np.int32]
    """Shape (n,)."""
    antenna2: npt.NDArray[np.int32]
    """Shape (n,)."""
    time_mjd_s: npt.NDArray[np.float64]
    """Shape (n,); UTC."""
    field_index: npt.NDArray[np.int32]
    """Shape (n,): index into `Visibilities.fields`."""
    data: npt.NDArray[np.complex64]
    """Shape (n, nchan, 4), Jy; RR, RL, LR, LL along the last axis; zero where not finite."""
    usable: npt.NDArray[np.uint8]
    """Shape (n, nchan); bit k is set where correlation k is unflagged, finite, and of two antennas.

    tclean images only what has `ALL_USABLE`: one flagged correlation takes the other three with it. It does
    not grid what only the flag of the row marks, but counts it in the density of robust weights: that is
    `ROW_FLAGGED` here, without any other bit.
    """
    weight: npt.NDArray[np.float32]
    """Shape (n, nchan): mean of the weights of RR and LL, whatever their flags; never negative or NaN."""

    def part(self, rows: npt.NDArray[np.integer]) -> SpectralWindowData:
        """Return a copy of some rows, given by their places."""
        of_rows = ("row", "uvw_m", "antenna1", "antenna2", "time_mjd_s", "field_index")
        arrays = {name: getattr(self, name)[rows] for name in (*of_rows, "data", "usable", "weight")}
        return replace(self, **arrays)

    @property
    def rows(self) -> int:
        """Number of rows."""
        return int(self.row.size)

    @property
    def channels(self) -> int:
        """Number of channels."""
        return int(self.channel_frequency_hz.size)


@dataclass(frozen=True, eq=False)
class Visibilities:
    """The visibilities of a plane.

    The imager needs spectral windows and fields; what follows is for warnings and the headers of images.
    """

    spectral_windows: tuple[SpectralWindowData, ...]
    """Requested spectral windows that have selected rows, by ascending id."""
    fields: tuple[VisibilityField, ...]
    """Fields with selected rows, by ascending id."""
    observation: ObservationInfo = ObservationInfo()
    lsrk_range_hz: tuple[float, float] = (0.0, 0.0)
    """Lowest and highest channel edge over all times and fields, LSRK."""
    rest_frequency_hz: float = 0.0
    """Rest frequency of the first selected field's source; 0 if it has none."""
    non_finite: int = 0
    """Visibilities that no flag marks but that are infinite or not a number: they are not usable."""
    bad_weights: int = 0
    """Weights (of a row and channel) that are negative, infinite or not a number: taken as zero."""

    @property
    def count(self) -> int:
        """Number of visibilities of four correlations each, flagged ones included."""
        return sum(window.rows * window.channels for window in self.spectral_windows)
