"""The pixels of the central square degree, in closed form."""

from __future__ import annotations

import pytest

from vlasscube.imaging.plane_imager import inner_square_degree
from vlasscube.records import ImageGeometry, PixelBox


@pytest.mark.parametrize(
    ("nx", "ny", "cell_arcsec", "box"),
    [
        # 6000 pixels of 0.6 arcsec around pixel 6250.
        (12500, 12500, 0.6, PixelBox(3250, 3250, 9249, 9249)),
        # 900 of 4 arcsec, around 1000 and 500.
        (2000, 1000, 4.0, PixelBox(550, 50, 1449, 949)),
        # Smaller than that, whole.
        (320, 300, 8.0, PixelBox(0, 0, 319, 299)),
        (512, 101, 8.0, PixelBox(31, 0, 480, 100)),
    ],
)
def test_central_square_degree(nx: int, ny: int, cell_arcsec: float, box: PixelBox) -> None:
    geometry = ImageGeometry(nx, ny, cell_arcsec, "J2000 10:00:00.000 +34.00.00.0000")
    assert inner_square_degree(geometry) == box
