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
    assert functions.gridding.table.shape[:5] == (8, 2, 11, 11, size)
    assert functions.gridding.table.shape[5] % 8 == 0
    assert not functions.gridding.table[..., size:].any()
    assert functions.oversampling == convolution.OVERSAMPLING
    assert functions.beam_of_channel.tolist() == list(range(8))


def test_casa_functions_sum_to_one(casa_functions):
    _, functions = casa_functions
    sums = functions.gridding.table.sum(axis=(4, 5), dtype=float)
    # As in CASA, the outermost cells are lost to the interpolation.
    np.testing.assert_allclose(sums[:, :, 5, 5], 1, atol=3e-3)
    np.testing.assert_allclose(sums, 1, atol=0.03)
    np.testing.assert_allclose(functions.weight.sum(axis=(1, 2)), 1, atol=3e-3)


def test_casa_functions_are_even(casa_functions):
    _, functions = casa_functions
    # The samples that CASA interpolates from reach less far to one side than to the other.
    inner = slice(3, 2 * functions.support - 2)
    table = functions.gridding.table[:, :1, :, :, inner, inner]
    np.testing.assert_allclose(table[:, :, ::-1, ::-1, ::-1, ::-1], table, atol=1e-8)
    np.testing.assert_allclose(table[:, :, ::-1, :, ::-1], table, atol=1e-8)
    np.testing.assert_allclose(functions.gridding.table[:, 1:, :, :, inner, inner], table, atol=1e-8)
    weight = functions.weight[:, inner, inner]
    np.testing.assert_allclose(weight[:, ::-1, ::-1], weight, atol=1e-12)


def test_casa_functions_without_offset_are_the_transform_of_the_beam(casa_functions):
    grid, functions = casa_functions
    cells = np.arange(-functions.support, functions.support + 1)
    distance = cell_distance(grid, cells, cells)
    for beam in (0, 7):
        for power, found in (
            (1, functions.gridding.table[beam, 0, 5, 5, :, : cells.size]),
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
        found = functions.gridding.table[0, 0, oy, ox, :, : cells.size]
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

STEPS = exact_convolution.OVERSAMPLING


@pytest.fixture(scope="module", params=[(360, 288), (301, 345)], ids=str)
def exact_functions(request):
    grid = image_grid(*request.param)
    return grid, exact_convolution_functions(grid, FREQUENCY, power_beam, RADIUS)


def interpolated(table, beam, offset, plane=0.0):
    """Functions of one axis at an offset in cells and between planes, shape (terms, cells); complex."""
    step = offset * STEPS + STEPS // 2
    steps = [(i, 1 - abs(step - i)) for i in range(STEPS + 1) if abs(step - i) < 1]
    planes = [(p, 1 - abs(plane - p)) for p in range(table.shape[1]) if abs(plane - p) < 1]
    values = sum(sp * so * table[beam, p, o] for p, sp in planes for o, so in steps).astype(complex)
    return values[:, 0] + 1j * values[:, 1] if table.shape[4] == 2 else values[:, 0]


def function_at(functions, beam, offset_y, offset_x, plane=0.0):
    """The function of a visibility, on the cells -s … s."""
    products = functions.gridding
    y = interpolated(products.along_y, beam, offset_y, plane)
    x = interpolated(products.along_x, beam, offset_x, plane)
    size = 2 * products.support + 1
    return (y.T @ x)[:size, :size]


def back_to_sky(grid, table, offset_y, offset_x, x, y):
    """What a visibility gridded with a function contributes to pixels at distances x, y from the pointing."""
    support = table.shape[0] // 2
    cells = np.arange(-support, support + 1)
    to_x = np.exp(2j * np.pi * np.outer(cells + offset_x, x) / grid.nx)
    to_y = np.exp(2j * np.pi * np.outer(y, cells + offset_y) / grid.ny)
    return to_y @ table[:, : cells.size] @ to_x


PIXELS = np.arange(-100, 101, 10)


def distance_arcmin(grid):
    return np.degrees(np.hypot(PIXELS, PIXELS[:, None]) * grid.cell_rad) * 60


def response_error(found, expected, beam):
    """Errors inside half power, and anywhere."""
    error = np.abs(found - expected)
    return error[beam > 0.5].max(), error.max()


@pytest.mark.parametrize("offsets", [(0.0, 0.0), (-0.5, 0.5), (0.31, -0.02), (0.23, 0.44)])
def test_exact_functions_transform_back_to_the_beam(exact_functions, offsets):
    grid, functions = exact_functions
    for beam in (0, 7):
        table = function_at(functions, beam, *offsets)
        expected = power_beam(distance_arcmin(grid), FREQUENCY[beam])
        found = back_to_sky(grid, table, *offsets, PIXELS, PIXELS)
        inner, anywhere = response_error(found, expected, expected)
        assert inner < 1e-3
        assert anywhere < 0.02
        squared = back_to_sky(grid, functions.weight[beam], 0, 0, PIXELS, PIXELS)
        np.testing.assert_allclose(squared, expected**2, atol=1e-3)


def test_exact_functions_are_real_and_narrow(exact_functions):
    grid, functions = exact_functions
    products = functions.gridding
    assert products.along_x.shape[4] == 1
    assert products.plane_support.tolist() == [products.support]
    # The autocorrelation of a dish of 25 m and a few cells.
    dish = 25 / 0.1 * max(grid.nx, grid.ny) * grid.cell_rad
    assert dish < products.support < dish + 10
    assert products.nbytes < 1e6


def test_a_beam_that_is_not_round_is_as_good():
    grid = image_grid(360, 288)
    # From south-east to north-west: odd functions are needed.
    track = np.radians(np.array([5.0, -4.0]) / 60)

    def mean_beam(x, y):
        steps = (np.arange(50) + 0.5) / 50 - 0.5
        places = ((x - step * 5.0, y + step * 4.0) for step in steps)
        return np.mean([power_beam(np.hypot(*place), FREQUENCY[0]) for place in places], axis=0)

    functions = exact_convolution_functions(grid, FREQUENCY[:1], power_beam, RADIUS, track_rad=tuple(track))
    flat = function_at(functions, 0, 0.2, -0.4)
    tilted = exact_convolution_functions(grid, FREQUENCY[:1], power_beam, RADIUS, 5_000.0, tuple(track))
    assert tilted.gridding.w_step > 0
    arcmin = PIXELS * np.degrees(grid.cell_rad) * 60
    expected = mean_beam(arcmin, arcmin[:, None])
    assert 0.95 < expected.max() < 0.99
    for table in (flat, function_at(tilted, 0, 0.2, -0.4)):
        found = back_to_sky(grid, table, 0.2, -0.4, PIXELS, PIXELS)
        inner, anywhere = response_error(found, expected, expected)
        assert inner < 1.2e-3
        assert anywhere < 0.02


def test_casa_functions_transform_back_to_the_beam(casa_functions):
    grid, functions = casa_functions
    found = back_to_sky(grid, functions.gridding.table[0, 0, 5, 5], 0, 0, PIXELS, PIXELS)
    # Its support is narrow.
    np.testing.assert_allclose(found, power_beam(distance_arcmin(grid), FREQUENCY[0]), atol=0.03)


def test_channels_in_descending_order_change_nothing():
    grid = image_grid(301, 288)
    ascending = exact_convolution_functions(grid, FREQUENCY, power_beam, RADIUS, 5_000.0).gridding
    descending = exact_convolution_functions(
        grid, FREQUENCY[::-1].copy(), power_beam, RADIUS, 5_000.0
    ).gridding
    np.testing.assert_array_equal(descending.plane_support, ascending.plane_support)
    np.testing.assert_allclose(descending.along_x[::-1], ascending.along_x, atol=1e-7)
    np.testing.assert_allclose(descending.along_y[::-1], ascending.along_y, atol=1e-7)


# --------------------------------------------------------------------------------------------------- w planes

LARGEST_W = 60_000.0


@pytest.fixture(scope="module")
def w_functions():
    grid = image_grid()
    return grid, exact_convolution_functions(grid, FREQUENCY[:2], power_beam, RADIUS, LARGEST_W)


def test_w_planes_reach_from_zero_to_the_largest_w(w_functions):
    _, functions = w_functions
    products = functions.gridding
    planes = products.plane_support.size
    assert planes > 5
    assert products.w_step * (planes - 1) == pytest.approx(LARGEST_W)
    assert products.along_x.shape == products.along_y.shape
    # Even functions at w = 0 have a real transform.
    assert np.abs(products.along_x[:, 0, :, :, 1]).max() < 1e-6 * np.abs(products.along_x).max()


def test_w_planes_are_close_enough(w_functions):
    _, functions = w_functions
    half_power = np.radians(42 / 2 / 60 / 2.9)
    assert np.pi * functions.gridding.w_step * half_power**2 < 1.05 * exact_convolution._W_PHASE


def test_support_grows_with_w(w_functions):
    grid, functions = w_functions
    products = functions.gridding
    assert np.all(np.diff(products.plane_support) >= 0)
    # At the first null, at 14 arcmin, w turns the phase as fast as this many cells of the uv plane do.
    reach = LARGEST_W * np.radians(14 / 60) * grid.nx * grid.cell_rad
    assert 0.5 * reach < products.support - products.plane_support[0] < 1.5 * reach
    widest = products.support
    for plane, support in enumerate(products.plane_support):
        assert not products.along_x[:, plane, ..., : widest - support].any()
        assert not products.along_x[:, plane, ..., widest + support + 1 :].any()


@pytest.mark.parametrize("offsets", [(0.0, 0.0), (0.31, -0.44)])
@pytest.mark.parametrize("fraction", [0.0, 0.037, 0.34, 0.77, 1.0])
def test_w_planes_transform_back_to_the_beam_with_its_phase(w_functions, fraction, offsets):
    grid, functions = w_functions
    w = fraction * LARGEST_W
    plane = w / functions.gridding.w_step
    r = np.hypot(PIXELS, PIXELS[:, None]) * grid.cell_rad
    beam = power_beam(np.degrees(r) * 60, FREQUENCY[0])
    # Not -r²/2: that this is near enough is found here, too.
    expected = beam * np.exp(-2j * np.pi * w * (np.sqrt(1 - r**2) - 1))
    found = back_to_sky(grid, function_at(functions, 0, *offsets, plane), *offsets, PIXELS, PIXELS)
    inner, anywhere = response_error(found, expected, beam)
    assert inner < 1.5e-3
    assert anywhere < 0.03


def test_a_production_plane_takes_megabytes():
    """VLASS's lowest plane at z = 74°, 12500² pixels of 0.6″ and a border."""
    low = beam_radius_rad(2.03e9)
    grid = image_grid(15120, 15120, 0.6)
    frequency = 1.97e9 + 2e6 * np.arange(64)
    products = exact_convolution_functions(
        grid, frequency[:2], lambda r, f: evla_power_beam(r, f, 2.03e9), low, 72_000.0
    ).gridding
    assert products.support < 35
    # Two beams of thirteen.
    assert products.nbytes < 5e6
