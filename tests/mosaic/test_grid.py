"""Where pointings lie on the image, and how their uv planes are turned into that of the image."""

import numpy as np
import pytest
from astropy import units
from astropy.coordinates import SkyCoord
from astropy.wcs import WCS

from vlasscube.mosaic.grid import ImageGrid, locate_pointings
from vlasscube.sky import tangent_axes

ARCSEC = np.radians(1 / 3600)
CENTRES = [(150.0, 34.0), (0.01, -35.0), (359.99, 0.0), (80.0, 84.0)]
SHAPES = [(1200, 1000), (1201, 999)]


def image_grid(centre, shape=(1200, 1000)):
    return ImageGrid(*shape, 6 * ARCSEC, *np.radians(centre))


def image_wcs(grid):
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---SIN", "DEC--SIN"]
    wcs.wcs.crval = np.degrees([grid.ra_rad, grid.dec_rad])
    wcs.wcs.crpix = [grid.nx // 2 + 1, grid.ny // 2 + 1]
    wcs.wcs.cdelt = np.degrees([-grid.cell_rad, grid.cell_rad])
    return wcs


def around(grid, count=20, seed=3):
    """Right ascensions and declinations strewn over a degree around the image centre."""
    east, north = np.radians(np.random.default_rng(seed).uniform(-1, 1, (2, count)))
    dec = grid.dec_rad + north
    return grid.ra_rad + east / np.cos(dec), dec


def towards(ra, dec):
    return np.stack([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)], axis=-1)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("centre", CENTRES)
def test_pixels_are_those_of_astropy(centre, shape):
    grid = image_grid(centre, shape)
    ra, dec = around(grid)
    x, y = image_wcs(grid).world_to_pixel(SkyCoord(ra, dec, unit="rad"))
    found = locate_pointings(grid, ra, dec)
    np.testing.assert_allclose(found.pixel_x, x, atol=1e-7)
    np.testing.assert_allclose(found.pixel_y, y, atol=1e-7)
    assert found.count == ra.size


@pytest.mark.parametrize("centre", CENTRES)
def test_right_ascension_may_be_given_in_any_turn(centre):
    grid = image_grid(centre)
    ra, dec = around(grid)
    first, second = locate_pointings(grid, ra, dec), locate_pointings(grid, ra - 2 * np.pi, dec)
    np.testing.assert_allclose(second.pixel_x, first.pixel_x, atol=1e-7)
    np.testing.assert_allclose(second.rotation, first.rotation, atol=1e-12)


@pytest.mark.parametrize("centre", CENTRES)
def test_direction_is_the_pixel_offset(centre):
    grid = image_grid(centre)
    found = locate_pointings(grid, *around(grid))
    l, m = found.direction.T  # noqa: E741
    np.testing.assert_allclose(grid.nx // 2 - l / grid.cell_rad, found.pixel_x, atol=1e-7)
    np.testing.assert_allclose(grid.ny // 2 + m / grid.cell_rad, found.pixel_y, atol=1e-7)


@pytest.mark.parametrize("centre", CENTRES)
def test_rotation_projects_baselines_onto_the_plane_of_the_image(centre):
    grid = image_grid(centre)
    ra, dec = around(grid)
    u, v = 300.0, -120.0
    east, north = tangent_axes(ra, dec)
    # The unit vectors by differentiation.
    step = 1e-6
    np.testing.assert_allclose(
        (towards(ra + step, dec) - towards(ra - step, dec)) / (2 * step * np.cos(dec)[:, None]),
        east,
        atol=1e-9,
    )
    np.testing.assert_allclose(
        (towards(ra, dec + step) - towards(ra, dec - step)) / (2 * step), north, atol=1e-9
    )
    baseline = u * east + v * north
    image_east, image_north = tangent_axes(np.array([grid.ra_rad]), np.array([grid.dec_rad]))
    expected = np.stack([baseline @ image_east[0], baseline @ image_north[0]], axis=-1)
    rotated = locate_pointings(grid, ra, dec).rotation @ [u, v]
    np.testing.assert_allclose(rotated, expected, rtol=1e-10)


@pytest.mark.parametrize("centre", CENTRES)
def test_tangent_rotation_keeps_phases_near_the_pointing_centre(centre):
    grid = image_grid(centre)
    ra, dec = around(grid)
    wcs = image_wcs(grid)
    found = locate_pointings(grid, ra, dec)
    u, v = 31_000.0, -12_000.0
    image_u, image_v = (found.tangent_rotation() @ [u, v]).T
    step = 1e-6
    for l, m in ((step, 0.0), (0.0, step), (step, step)):  # noqa: E741
        pixels = []
        for sign in (1, -1):
            near = SkyCoord(ra, dec, unit="rad").spherical_offsets_by(
                sign * l * units.rad, sign * m * units.rad
            )
            pixels.append(np.array(wcs.world_to_pixel(near)))
        dx, dy = (pixels[0] - pixels[1]) / 2 * grid.cell_rad
        phase = 2 * np.pi * (-image_u * dx + image_v * dy)
        np.testing.assert_allclose(phase, 2 * np.pi * (u * l + v * m), rtol=1e-4, atol=1e-6)


def test_at_the_image_centre_nothing_is_turned():
    grid = image_grid((150.0, 34.0))
    found = locate_pointings(grid, grid.ra_rad, grid.dec_rad)
    np.testing.assert_allclose(found.rotation[0], np.eye(2), atol=1e-15)
    np.testing.assert_allclose(found.tangent_rotation()[0], np.eye(2), atol=1e-15)
    assert (found.pixel_x[0], found.pixel_y[0]) == (600, 500)


@pytest.mark.parametrize(
    ("x", "y", "on"),
    [
        (0, 0, True),
        (-0.9, 0, True),
        (-1.1, 0, False),
        (99.9, 49.9, True),
        (100.1, 10, False),
        (10, 50.1, False),
        (10, -1.1, False),
    ],
)
def test_pointings_are_on_the_image_up_to_its_last_pixel(x, y, on):
    grid = image_grid((150.0, 34.0), (100, 50))
    position = image_wcs(grid).pixel_to_world(x, y)
    found = locate_pointings(grid, position.ra.rad, position.dec.rad)
    assert found.on_image(grid).tolist() == [on]


@pytest.mark.parametrize("shape", [(0, 10), (10, -1)])
def test_an_image_needs_pixels(shape):
    with pytest.raises(ValueError, match="pixels"):
        ImageGrid(*shape, ARCSEC, 0.0, 0.0)


@pytest.mark.parametrize("cell", [0.0, -1e-6, np.nan])
def test_pixels_need_a_size(cell):
    with pytest.raises(ValueError, match="pixel size"):
        ImageGrid(10, 10, cell, 0.0, 0.0)
