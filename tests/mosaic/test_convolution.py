"""The convolution functions beside the transform of the power beam by numerical integration."""

import numpy as np
import pytest
from scipy.integrate import simpson
from scipy.special import j0

from vlasscube.mosaic import convolution, exact_convolution
from vlasscube.mosaic.convolution import beam_channels, casa_convolution_functions
from vlasscube.mosaic.exact_convolution import exact_convolution_functions
from vlasscube.mosaic.grid import ImageGrid
from vlasscube.mosaic.primary_beam import beam_radius_rad, evla_power_beam

ARCSEC = np.radians(1 / 3600)
LSRK = 1.00005
FREQUENCY = 2.9e9 + 16e6 * np.arange(8)
# Cells that CASA's interpolation reaches for all offsets.
INNER = (slice(3, -3), slice(3, -3))
RADIUS = beam_radius_rad(FREQUENCY[0])


def image_grid(nx=360, ny=288, cell_arcsec=8.0):
    return ImageGrid(nx, ny, cell_arcsec * ARCSEC, 1.0, 0.5)


def transform_of_beam(q, frequency_hz, power=1, w=0.0):
    """Transform of the beam (to a power), and of what w does to it, at distances q in wavelengths."""
    r = np.linspace(0, 1.2 * RADIUS, 1501)
    beam = (
        evla_power_beam(np.degrees(r) * 60, np.full(r.size, frequency_hz), float(FREQUENCY.mean())) ** power
    )
    seen = beam * np.exp(-2j * np.pi * w * (np.sqrt(1 - r**2) - 1)) * r
    return 2 * np.pi * simpson(seen * j0(2 * np.pi * np.asarray(q)[..., None] * r), x=r)


def power_beam(arcmin, frequency_hz):
    return evla_power_beam(arcmin, frequency_hz, float(FREQUENCY.mean()))


def cell_distance(grid, cells_x, cells_y):
    """Distance of cells from the origin of the uv plane in wavelengths; shape (y, x)."""
    return np.hypot(cells_x / (grid.nx * grid.cell_rad), cells_y[:, None] / (grid.ny * grid.cell_rad))


# --------------------------------------------------------------------------------------------------- channels


@pytest.mark.parametrize(
    ("count", "width"), [(1, 128e6), (2, 2e6), (2, 64e6), (64, 2e6), (8, 16e6), (64, 0.1e6)]
)
@pytest.mark.parametrize("step", [1, -1])
@pytest.mark.parametrize("centre", [2.028e9, 2.9e9, 3.948e9])
@pytest.mark.parametrize("factor", [0.9999, 1.0, 1.0001])
def test_all_channels_have_a_beam_near_their_frequency(count, width, step, centre, factor):
    topocentric = (centre + width * (np.arange(count) - (count - 1) / 2))[::step]
    frequency = topocentric * factor
    for beam_frequency, beam_of_channel in (
        beam_channels(frequency, topocentric),
        exact_convolution._beam_channels(frequency),
    ):
        assert beam_of_channel.dtype == np.int32
        assert beam_of_channel.shape == (count,)
        assert np.all((beam_of_channel >= 0) & (beam_of_channel < beam_frequency.size))
        away = np.abs(beam_frequency[beam_of_channel] - frequency)
        # CASA's outermost beams serve channels up to two steps away.
        assert away.max() <= 2 * 0.0051 * frequency.max()
        assert beam_frequency.size <= count
    # Here always the nearest one.
    assert away.max() <= 0.00251 * frequency.max()
    assert np.all(away <= np.abs(frequency[:, None] - beam_frequency).min(axis=1))


def test_few_wide_channels_have_beams_of_their_own():
    for found in (beam_channels(FREQUENCY, FREQUENCY / LSRK), exact_convolution._beam_channels(FREQUENCY)):
        np.testing.assert_array_equal(found[0], FREQUENCY)
        assert found[1].tolist() == list(range(8))


def test_64_channels_share_beams():
    frequency = 3.0e9 + 2e6 * np.arange(64)
    # 4 % at half a per cent each, CASA without the lowest.
    assert beam_channels(frequency, frequency)[0].size == 8
    assert exact_convolution._beam_channels(frequency)[0].size == 9


# ------------------------------------------------------------------------------------------------- as in CASA


@pytest.fixture(scope="module", params=[(360, 288), (301, 345)], ids=str)
def casa_functions(request):
    grid = image_grid(*request.param)
    return grid, casa_convolution_functions(grid, FREQUENCY, FREQUENCY, power_beam, RADIUS)


def test_casa_functions_are_tabulated_in_tenths(casa_functions):
    _, functions = casa_functions
    size = 2 * functions.support + 1
    assert functions.gridding.shape[:5] == (8, 2, 11, 11, size)
    assert functions.gridding.shape[5] % 8 == 0
    assert not functions.gridding[..., size:].any()
    assert functions.gridding_imaginary is None
    assert functions.oversampling == convolution.OVERSAMPLING
    assert not functions.interpolate
    assert functions.beam_of_channel.tolist() == list(range(8))


def test_casa_functions_sum_to_one(casa_functions):
    _, functions = casa_functions
    sums = functions.gridding.sum(axis=(4, 5), dtype=float)
    # As in CASA, the outermost cells are lost to the interpolation.
    np.testing.assert_allclose(sums[:, :, 5, 5], 1, atol=3e-3)
    np.testing.assert_allclose(sums, 1, atol=0.03)
    np.testing.assert_allclose(functions.weight.sum(axis=(1, 2)), 1, atol=3e-3)


def test_casa_functions_are_even(casa_functions):
    _, functions = casa_functions
    # The samples that CASA interpolates from reach less far to one side than to the other.
    inner = slice(3, 2 * functions.support - 2)
    table = functions.gridding[:, :1, :, :, inner, inner]
    np.testing.assert_allclose(table[:, :, ::-1, ::-1, ::-1, ::-1], table, atol=1e-8)
    np.testing.assert_allclose(table[:, :, ::-1, :, ::-1], table, atol=1e-8)
    np.testing.assert_allclose(functions.gridding[:, 1:, :, :, inner, inner], table, atol=1e-8)
    weight = functions.weight[:, inner, inner]
    np.testing.assert_allclose(weight[:, ::-1, ::-1], weight, atol=1e-12)


def test_casa_functions_without_offset_are_the_transform_of_the_beam(casa_functions):
    grid, functions = casa_functions
    cells = np.arange(-functions.support, functions.support + 1)
    distance = cell_distance(grid, cells, cells)
    for beam in (0, 7):
        for power, found in (
            (1, functions.gridding[beam, 0, 5, 5, :, : cells.size]),
            (2, functions.weight[beam]),
        ):
            expected = transform_of_beam(distance, FREQUENCY[beam], power).real
            expected /= expected.sum()
            # CASA's screen has few pixels across the beam.
            np.testing.assert_allclose(found[INNER], expected[INNER], atol=2e-3 * found.max())


def test_casa_functions_between_cells_follow_the_transform(casa_functions):
    grid, functions = casa_functions
    cells = np.arange(-functions.support, functions.support + 1)
    norm = transform_of_beam(cell_distance(grid, cells, cells), FREQUENCY[0]).real.sum()
    for oy, ox in ((0, 0), (5, 8), (2, 9), (10, 5)):
        shifted = cells + (ox - 5) / 10, cells + (oy - 5) / 10
        expected = transform_of_beam(cell_distance(grid, *shifted), FREQUENCY[0]).real / norm
        found = functions.gridding[0, 0, oy, ox, :, : cells.size]
        # Lanczos' kernel is what limits it.
        np.testing.assert_allclose(found[INNER], expected[INNER], atol=0.02 * expected.max())


def test_casa_support_ends_where_the_weight_function_is_small(casa_functions):
    grid, functions = casa_functions
    q = np.arange(40) / (np.array([[grid.nx], [grid.ny]]) * grid.cell_rad)
    profile = np.abs(transform_of_beam(q, FREQUENCY[-1], 2))
    small = np.all(profile < 0.025 * profile[:, :1], axis=0)
    # One cell more than the first that is small, and never less than 6.
    assert abs(functions.support - max(int(small.argmax()) + 1, 6)) <= 1


# ------------------------------------------------------------------------------------------------------ exact


@pytest.fixture(scope="module", params=[(360, 288), (301, 345)], ids=str)
def exact_functions(request):
    grid = image_grid(*request.param)
    return grid, exact_convolution_functions(grid, FREQUENCY, power_beam, RADIUS)


@pytest.mark.slow
def test_exact_functions_are_the_transform_of_the_beam(exact_functions):
    grid, functions = exact_functions
    cells = np.arange(-functions.support, functions.support + 1)
    assert functions.gridding_imaginary is None
    steps = exact_convolution.OVERSAMPLING
    for beam, oy, ox in ((0, 8, 8), (0, 0, 3), (7, 11, 16), (4, 8, 1)):
        shifted = cells + (ox - steps // 2) / steps, cells + (oy - steps // 2) / steps
        expected = transform_of_beam(cell_distance(grid, *shifted), FREQUENCY[beam]).real
        found = functions.gridding[beam, 0, oy, ox, :, : cells.size]
        np.testing.assert_allclose(found, expected / expected.sum(), atol=1e-4 * found.max())


def test_exact_functions_respond_with_one_at_the_pointing_centre(exact_functions):
    _, functions = exact_functions
    np.testing.assert_allclose(functions.gridding.sum(axis=(4, 5), dtype=float), 1, atol=1e-6)
    np.testing.assert_allclose(functions.weight.sum(axis=(1, 2)), 1, atol=1e-12)


def back_to_beam(grid, table, offset_y, offset_x, x, y):
    """What a visibility gridded with a function contributes to pixels at distances x, y from the pointing."""
    support = table.shape[0] // 2
    cells = np.arange(-support, support + 1)
    to_x = np.exp(2j * np.pi * np.outer(cells + offset_x, x) / grid.nx)
    to_y = np.exp(2j * np.pi * np.outer(y, cells + offset_y) / grid.ny)
    return to_y @ table[:, : cells.size] @ to_x


@pytest.mark.parametrize(("oy", "ox"), [(8, 8), (0, 16), (3, 12)])
def test_exact_functions_transform_back_to_the_beam(exact_functions, oy, ox):
    grid, functions = exact_functions
    x = y = np.arange(-100, 101, 10)
    arcmin = np.degrees(np.hypot(x, y[:, None]) * grid.cell_rad) * 60
    for beam in (0, 7):
        found = back_to_beam(grid, functions.gridding[beam, 0, oy, ox], (oy - 8) / 16, (ox - 8) / 16, x, y)
        np.testing.assert_allclose(found, power_beam(arcmin, FREQUENCY[beam]), atol=6e-3)
        squared = back_to_beam(grid, functions.weight[beam], 0, 0, x, y)
        np.testing.assert_allclose(squared, power_beam(arcmin, FREQUENCY[beam]) ** 2, atol=1e-3)


def test_casa_functions_transform_back_to_the_beam(casa_functions):
    grid, functions = casa_functions
    x = y = np.arange(-100, 101, 10)
    arcmin = np.degrees(np.hypot(x, y[:, None]) * grid.cell_rad) * 60
    found = back_to_beam(grid, functions.gridding[0, 0, 5, 5], 0, 0, x, y)
    # Its support is narrow.
    np.testing.assert_allclose(found, power_beam(arcmin, FREQUENCY[0]), atol=0.03)


@pytest.mark.slow
def test_channels_in_descending_order_change_nothing():
    grid = image_grid(301, 288)
    ascending = exact_convolution_functions(grid, FREQUENCY, power_beam, RADIUS, 5_000.0)
    descending = exact_convolution_functions(grid, FREQUENCY[::-1].copy(), power_beam, RADIUS, 5_000.0)
    assert descending.gridding.shape == ascending.gridding.shape
    np.testing.assert_allclose(descending.gridding[::-1], ascending.gridding, atol=1e-7)


# --------------------------------------------------------------------------------------------------- w planes


@pytest.fixture(scope="module")
def w_functions():
    grid = image_grid()
    return grid, exact_convolution_functions(grid, FREQUENCY[:2], power_beam, RADIUS, 20_000.0)


def test_w_planes_reach_from_zero_to_the_largest_w(w_functions):
    _, functions = w_functions
    planes = functions.gridding.shape[1]
    assert planes > 2
    assert functions.w_step * (planes - 1) == pytest.approx(20_000.0)
    assert functions.gridding_imaginary.shape == functions.gridding.shape
    np.testing.assert_allclose(functions.gridding_imaginary[:, 0], 0, atol=1e-9)


def test_w_planes_are_close_enough(w_functions):
    _, functions = w_functions
    half_power = np.radians(42 / 2 / 60 / 2.9)
    # Half a step off, at the half-power radius.
    assert 2 * np.pi * functions.w_step / 2 * half_power**2 / 2 < 1.05 * exact_convolution._W_PHASE


def test_w_planes_are_the_transform_of_beam_and_w(w_functions):
    grid, functions = w_functions
    cells = np.arange(-functions.support, functions.support + 1)
    for plane, oy, ox in ((1, 2, 13), (functions.gridding.shape[1] - 1, 0, 8)):
        distance = cell_distance(grid, cells + (ox - 8) / 16, cells + (oy - 8) / 16)
        norm = transform_of_beam(distance, FREQUENCY[0]).real.sum()
        for sign in (1, -1):
            # The functions of negative w are the conjugate ones.
            expected = transform_of_beam(distance, FREQUENCY[0], w=sign * plane * functions.w_step) / norm
            real, imaginary = (
                table[0, plane, oy, ox, :, : cells.size]
                for table in (functions.gridding, functions.gridding_imaginary)
            )
            found = real + sign * 1j * imaginary
            np.testing.assert_allclose(found, expected, atol=1e-4 * np.abs(expected).max())


def test_w_planes_are_even(w_functions):
    _, functions = w_functions
    size = 2 * functions.support + 1
    for table in (functions.gridding[..., :size], functions.gridding_imaginary[..., :size]):
        np.testing.assert_allclose(table[:, :, ::-1, ::-1, ::-1, ::-1], table, atol=1e-7)


def test_w_planes_transform_back_to_the_beam_with_its_phase(w_functions):
    grid, functions = w_functions
    x = y = np.arange(-60, 61, 10)
    r = np.hypot(x, y[:, None]) * grid.cell_rad
    for plane in (1, functions.gridding.shape[1] - 1):
        table = functions.gridding[0, plane, 5, 9] + 1j * functions.gridding_imaginary[0, plane, 5, 9]
        found = back_to_beam(grid, table, -3 / 16, 1 / 16, x, y)
        phase = -2 * np.pi * plane * functions.w_step * (np.sqrt(1 - r**2) - 1)
        expected = power_beam(np.degrees(r) * 60, FREQUENCY[0]) * np.exp(1j * phase)
        np.testing.assert_allclose(found, expected, atol=4e-3)
