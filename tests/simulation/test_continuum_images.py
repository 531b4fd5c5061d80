import numpy as np
import pytest

from vlasscube.simulation import continuum_images as images
from vlasscube.simulation import preset
from vlasscube.simulation.sky import Source
from vlasscube.sky import direction_at, rad_from_arcsec


@pytest.mark.parametrize("offset", [(0.0, 0.0), (0.5, -0.5), (-0.13, 0.37)])
def test_a_point_between_pixels_has_its_true_transform(offset):
    p = preset("z50")
    cell = rad_from_arcsec(p.cell_arcsec)
    ra, dec = direction_at(-(100 + offset[0]) * cell, (-50 + offset[1]) * cell, *p.centre_rad)
    source = Source("A", np.degrees(ra) % 360, np.degrees(dec), 1.0)
    x, y = images.pixel_position(p, source.ra_deg, source.dec_deg)
    assert (x, y) == pytest.approx((1350 + 100 + offset[0], 1350 - 50 + offset[1]), abs=1e-6)
    patch = images.source_patch(p, source)
    columns = patch.x + np.arange(patch.values.shape[0])
    rows = patch.y + np.arange(patch.values.shape[1])
    frequency = np.linspace(-0.33, 0.33, 41)
    found = np.exp(-2j * np.pi * np.outer(frequency, columns - x)) @ patch.values
    found = found @ np.exp(-2j * np.pi * np.outer(frequency, rows - y)).T
    np.testing.assert_allclose(found, 1.0, atol=3e-3)


def test_a_point_at_the_border_is_left_out():
    p = preset("z50")
    ra, dec = direction_at(1348.6 * rad_from_arcsec(p.cell_arcsec), 0.0, *p.centre_rad)
    assert images.source_patch(p, Source("A", np.degrees(ra), np.degrees(dec), 1.0)) is None
