"""How well fields cover the image centre; oracle: the weight image of the imager."""

from __future__ import annotations

import numpy as np
import pytest

from vlasscube.imaging.coverage import response_at_centre
from vlasscube.mosaic.imager import ImagerSettings, MosaicImager
from vlasscube.records import Field, ImageGeometry
from vlasscube.testing.observations import image_grid, observe

GEOMETRY = ImageGeometry(240, 320, 9.0, "J2000 10:00:00.000 +34.00.00.0000")


@pytest.mark.parametrize("north_arcmin", [0.0, 6.0, 10.0, 14.0])
def test_the_response_is_that_of_the_mosaic(north_arcmin):
    grid = image_grid(GEOMETRY.nx, GEOMETRY.ny, GEOMETRY.cell_arcsec)
    pointings = [(east, north + north_arcmin) for east, north in ((-4.0, 0.0), (4.0, 0.0), (0.0, 5.0))]
    visibilities = observe(grid, pointings=pointings, size_m=250.0)
    imager = MosaicImager(grid, visibilities, ImagerSettings(robust=9.0, gridding="exact"))
    weight = imager.weight_image()
    expected = np.sqrt(weight[160, 120] / weight.max())
    fields = [
        Field(entry.id, entry.name, np.degrees(entry.ra_rad), np.degrees(entry.dec_rad), 1, True)
        for entry in visibilities.fields
    ]
    frequency = visibilities.spectral_windows[0].channel_frequency_hz.mean()
    # The largest response lies between the pointings.
    assert response_at_centre(GEOMETRY, fields, frequency) == pytest.approx(expected, rel=0.1, abs=0.03)


def test_without_fields():
    assert response_at_centre(GEOMETRY, [], 3e9) == 0.0
