"""The image grid of a mosaic and how the pointings lie on it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from vlasscube.sky import direction_cosines, tangent_axes

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class ImageGrid:
    """A plane of pixels in orthographic (SIN) projection, right ascension decreasing with x.

    The centre is pixel ``(nx // 2, ny // 2)``, counted from 0.
    """

    nx: int
    ny: int
    cell_rad: float
    ra_rad: float
    """Right ascension of the centre."""
    dec_rad: float

    def __post_init__(self) -> None:
        if min(self.nx, self.ny) < 1:
            raise ValueError(f"an image of {self.nx}x{self.ny} pixels cannot be made")
        if not self.cell_rad > 0:
            raise ValueError(f"the pixel size must be positive, not {self.cell_rad}")

    @property
    def shape(self) -> tuple[int, int]:
        """Shape of an image array, ``(ny, nx)``."""
        return self.ny, self.nx


@dataclass(frozen=True, eq=False)
class Pointings:
    """The pointing centres of a mosaic on an image grid."""

    pixel_x: Array
    """Shape (n,): pixel of the pointing centre, counted from 0."""
    pixel_y: Array
    rotation: Array
    """Shape (n, 2, 2): takes (u, v) of the pointing to those of the image's tangent plane."""
    direction: Array
    """Shape (n, 2): direction cosines (l, m) of the pointing centre from the image centre."""

    def tangent_rotation(self) -> Array:
        """Return the rotation that is exact to first order about each pointing centre; shape (n, 2, 2)."""
        inverse = np.linalg.inv(self.rotation)
        return np.swapaxes(inverse, 1, 2).astype(np.float64)

    def turned(self, turn_rad: npt.ArrayLike) -> Pointings:
        """Return the pointings for (u, v) along other axes than east and north.

        Parameters
        ----------
        turn_rad : array_like, shape (n,)
            Position angles of the v axes.
        """
        turn = np.asarray(turn_rad, dtype=float)
        if not turn.any():
            return self
        sine, cosine = np.sin(turn), np.cos(turn)
        axes = np.stack([np.stack([cosine, sine], axis=-1), np.stack([-sine, cosine], axis=-1)], axis=-2)
        return replace(self, rotation=self.rotation @ axes)

    @property
    def count(self) -> int:
        """Number of pointings."""
        return int(self.pixel_x.size)

    def on_image(self, grid: ImageGrid) -> npt.NDArray[np.bool_]:
        """Tell which pointing centres lie on the image; shape (n,)."""
        # CASA truncates the position to a pixel.
        x, y = self.pixel_x, self.pixel_y
        inside: npt.NDArray[np.bool_] = (x > -1) & (x < grid.nx) & (y > -1) & (y < grid.ny)
        return inside


def locate_pointings(grid: ImageGrid, ra_rad: npt.ArrayLike, dec_rad: npt.ArrayLike) -> Pointings:
    """Compute where pointings lie on an image.

    Parameters
    ----------
    grid : ImageGrid
        Image.
    ra_rad, dec_rad : array_like, shape (n,)
        Phase centres of the pointings, in the image's frame.

    Returns
    -------
    Pointings
        The rotation is the 2x2 block of the rotation between the two coordinate systems, as in CASA's mosaic
        gridder: w is left out. A source at the pointing centre is put where it is; one at a distance r from
        it is displaced by about tan(z) r²/2 at zenith angle z.
    """
    ra = np.atleast_1d(np.asarray(ra_rad, dtype=float))
    dec = np.atleast_1d(np.asarray(dec_rad, dtype=float))
    l, m, _ = direction_cosines(ra, dec, grid.ra_rad, grid.dec_rad)  # noqa: E741
    east, north = tangent_axes(ra, dec)
    east0, north0 = tangent_axes(np.array([grid.ra_rad]), np.array([grid.dec_rad]))
    rotation = np.empty((ra.size, 2, 2))
    rotation[:, 0, 0] = east @ east0[0]
    rotation[:, 0, 1] = north @ east0[0]
    rotation[:, 1, 0] = east @ north0[0]
    rotation[:, 1, 1] = north @ north0[0]
    return Pointings(
        grid.nx // 2 - l / grid.cell_rad,
        grid.ny // 2 + m / grid.cell_rad,
        rotation,
        np.stack([l, m], axis=-1),
    )
