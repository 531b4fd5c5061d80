"""The gridding kernels beside a slow gridder written from the definition."""

from dataclasses import dataclass, field, replace

import numpy as np
import pytest

from vlasscube import _kernels
from vlasscube.mosaic.uv_grid import UvGridShape

# Tabulated functions, of which the nearest is taken, even ones or not; and sums of products, interpolated,
# real ones or complex ones with w planes.
MODES = {
    "nearest": dict(),
    "not_even": dict(even=False),
    "products": dict(terms=3),
    "products_w": dict(terms=2, planes=3),
}
FREQUENCY_HZ = 1e9
"""Of the first channel; positions are given for it."""


@dataclass
class Case:
    """Visibilities and convolution functions, at random."""

    nx: int = 60
    ny: int = 52
    columns: int | None = None
    support: int = 3
    oversampling: int = 4
    beams: int = 2
    planes: int = 1
    terms: int = 0
    even: bool = True
    channels: int = 4
    baselines: int = 12
    pointings: int = 3
    dumps: int = 5
    extent: float = 0.4
    """Largest position, as a fraction of the image size."""
    drift: float = 0.5
    """Cells from dump to dump."""
    channel_step: float = 0.02
    seed: int = 1
    arrays: dict = field(init=False)

    def __post_init__(self):
        rng = np.random.default_rng(self.seed)
        kernels = self._products(rng) if self.terms else self._table(rng)
        groups, rows = self.baselines * self.pointings, self.baselines * self.pointings * self.dumps
        frequency = FREQUENCY_HZ * (1 + self.channel_step * np.arange(self.channels))
        start = (
            rng.uniform(-self.extent, self.extent, (2, groups, 1))
            * np.array([self.nx, self.ny])[:, None, None]
        )
        track = start + self.drift * rng.uniform(-1, 1, (2, groups, 1)) * np.arange(self.dumps)
        order = rng.permutation(rows)
        x, y, w, pointing = (np.empty(rows) for _ in range(4))
        x[order], y[order] = (track / frequency[-1]).reshape(2, -1)
        w[order] = rng.uniform(-50, 50, rows) / frequency[-1]
        pointing[order] = np.repeat(np.arange(groups) % self.pointings, self.dumps)
        weight = rng.uniform(0.5, 1.5, (rows, self.channels)).astype(np.float32)
        weight[rng.random(weight.shape) < 0.2] = 0
        beam = np.arange(self.channels, dtype=np.int32) * self.beams // self.channels
        self.arrays = dict(
            nx=self.nx,
            ny=self.ny,
            margin=self.support + 1,
            columns=self.columns or self.nx // 2 + 1,
            **dict.fromkeys(("table", "along_x", "along_y", "plane_support")) | kernels,
            w_step=20.0,
            oversampling=self.oversampling,
            row_x=x,
            row_y=y,
            row_w=w,
            frequency=frequency,
            beam=beam,
            pointing=pointing.astype(np.int32),
            pixel_x=rng.uniform(0, self.nx, self.pointings),
            pixel_y=rng.uniform(0, self.ny, self.pointings),
            weight=weight,
            order=order.astype(np.int32),
            group_start=np.arange(0, rows + 1, self.dumps, dtype=np.int64),
        )

    def _table(self, rng):
        size, offsets = 2 * self.support + 1, self.oversampling + 1
        table = np.zeros((self.beams, 2, offsets, offsets, size, -(-size // 8) * 8), dtype=np.float32)
        part = rng.normal(size=(self.beams, offsets, offsets, size, size))
        if self.even:
            part += part[:, ::-1, ::-1, ::-1, ::-1]
        table[:, 0, ..., :size] = part
        table[:, 1, ..., :size] = part[:, ::-1, ::-1, ::-1, ::-1]
        return dict(table=table)

    def _products(self, rng):
        size, parts = 2 * self.support + 1, 1 if self.planes == 1 else 2
        # The support grows from plane to plane.
        reach = np.arange(self.support - self.planes + 1, self.support + 1, dtype=np.int32)
        shape = (self.beams, self.planes, self.oversampling + 1, self.terms, parts)
        cells = np.abs(np.arange(size) - self.support)
        found = dict(plane_support=reach)
        for name in ("along_x", "along_y"):
            found[name] = np.zeros((*shape, -(-size // 8) * 8 + 8), dtype=np.float32)
            part = rng.normal(size=(*shape, size))
            part = part + part[:, :, ::-1, :, :, ::-1]
            part *= (cells <= reach[:, None])[:, None, None, None]
            found[name][..., :size] = part
        return found

    @property
    def rows(self):
        return self.arrays["row_x"].size

    @property
    def shape(self):
        return UvGridShape(self.nx, self.ny, self.arrays["margin"], self.arrays["columns"])

    def gridder(self, **changes):
        return _kernels.Gridder(**(self.arrays | changes))

    def data(self, seed=7):
        return random_complex((self.rows, self.channels, 4), seed)


def random_complex(shape, seed):
    return np.random.default_rng(seed).normal(size=(*shape, 2)).astype(np.float32).view(np.complex64)[..., 0]


# --------------------------------------------------------------------------------------------- slow reference


def footprint(case, row, channel):
    """Cells (ky, kx) of a visibility, and the factors (without its weight) that they get of it.

    The visibility is turned to the image centre at its own position, the convolution function at the position
    that it is tabulated for. None if the footprint does not fit on the grid.
    """
    a = case.arrays
    n = np.array([case.ny, case.nx])
    position = np.array([a["row_y"][row], a["row_x"][row]]) * a["frequency"][channel]
    nearest = np.floor(position + 0.5).astype(int)
    if (
        np.any(np.abs(nearest) + case.support > (n - 1) // 2)
        or abs(nearest[1]) + case.support >= a["columns"]
    ):
        return None
    half = case.oversampling // 2
    steps = (nearest - position) * case.oversampling + half
    taken = [(int(np.floor(s + 0.5)), 1.0) for s in steps]
    size = 2 * case.support + 1
    beam = a["beam"][channel]
    if case.terms:
        tabulated = position
        lower = np.minimum(np.floor(steps).astype(int), 2 * half - 1)
        offsets = [[(i, 1 - (s - i)), (i + 1, s - i)] for i, s in zip(lower, steps, strict=True)]
        w = a["row_w"][row] * a["frequency"][channel]
        plane = min(abs(w) / a["w_step"], case.planes - 1)
        planes = [(p, 1 - abs(plane - p)) for p in range(case.planes) if abs(plane - p) < 1]
        y, x = (
            sum(sp * so * a[name][beam, p, o, ..., :size] for p, sp in planes for o, so in shares)
            for name, shares in (("along_y", offsets[0]), ("along_x", offsets[1]))
        )
        if case.planes > 1:
            sign = 1j * np.sign(w)
            y, x = (part[:, 0] + sign * part[:, 1] for part in (y, x))
        else:
            y, x = y[:, 0], x[:, 0]
        function = np.einsum("ty,tx->yx", y, x)
    else:
        tabulated = nearest - (np.array([pair[0] for pair in taken]) - half) / case.oversampling
        function = a["table"][beam, 0, taken[0][0], taken[1][0], :, :size]
    pointing = a["pointing"][row]
    pixel = np.array([a["pixel_y"][pointing], a["pixel_x"][pointing]])
    centre = n // 2
    away = (pixel - centre) / n
    ky, kx = (cell + np.arange(-case.support, case.support + 1) for cell in nearest)
    phase = -(position - tabulated) @ away - (ky * pixel[0] / n[0])[:, None] - kx * pixel[1] / n[1]
    return ky, kx, function * np.exp(2j * np.pi * phase)


def each(case):
    a = case.arrays
    for row in range(case.rows):
        for channel in range(case.channels):
            if a["weight"][row, channel] > 0 and a["beam"][channel] >= 0:
                yield row, channel, footprint(case, row, channel)


def to_stokes(correlations):
    rr, rl, lr, ll = correlations
    return np.array([rr + ll, rl + lr, -1j * (rl - lr), rr - ll]) / 2


def slow_grid(case, data):
    """The whole uv plane, each visibility and its conjugate; shape (ny, nx, 4)."""
    plane = np.zeros((case.ny, case.nx, 4), dtype=complex)
    for row, channel, place in each(case):
        if place is None:
            continue
        ky, kx, factor = place
        stokes = case.arrays["weight"][row, channel] * to_stokes(data[row, channel].astype(complex))
        values = factor[..., None] * stokes
        # Cells of one footprint are all different.
        plane[np.ix_(ky % case.ny, kx % case.nx)] += values
        plane[np.ix_(-ky % case.ny, -kx % case.nx)] += values.conj()
    return plane


def whole_plane(case, grid):
    """The whole plane of a half-plane grid: its cells and their conjugates."""
    cells = grid.view(np.complex64).astype(complex)
    plane = np.zeros((case.ny, case.nx, 4), dtype=complex)
    ky = np.arange(case.ny)
    for column, kx in enumerate(range(-case.shape.margin, case.shape.columns)):
        plane[ky, kx % case.nx] += cells[:, column]
        plane[-ky % case.ny, -kx % case.nx] += cells[:, column].conj()
    return plane


def gridded(case, data, threads=2, **changes):
    grid = case.shape.zeros()
    case.gridder(**changes).grid(data, grid, threads)
    return grid


def predicted(case, grid, threads=2, **changes):
    model = np.zeros((case.rows, case.channels, 4), dtype=np.complex64)
    case.gridder(**changes).subtract(grid, np.zeros_like(model), model, threads)
    return -model


def assert_grids_as_defined(case):
    data = case.data()
    expected = slow_grid(case, data)
    found = whole_plane(case, gridded(case, data))
    assert np.abs(expected).max() > 0
    np.testing.assert_allclose(found, expected, atol=1e-6 * np.abs(expected).max())


# ------------------------------------------------------------------------------------------------------ tests


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("shape", [(60, 52), (61, 53), (48, 77)])
def test_gridding_is_as_defined(mode, shape):
    assert_grids_as_defined(Case(nx=shape[0], ny=shape[1], **MODES[mode]))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("shape", [(60, 52), (61, 53)])
def test_prediction_is_as_defined(mode, shape):
    case = Case(nx=shape[0], ny=shape[1], baselines=6, **MODES[mode])
    # The transform of real images, so that the half-plane holds all there is.
    rng = np.random.default_rng(3)
    whole = np.fft.fft2(rng.normal(size=(4, case.ny, case.nx))).transpose(1, 2, 0)
    columns = np.arange(-case.shape.margin, case.shape.columns)
    grid = case.shape.zeros()
    grid.view(np.complex64)[:] = whole[:, columns % case.nx]
    found = predicted(case, grid)
    largest = np.abs(found).max()
    for row, channel, place in each(case):
        if place is None:
            continue
        ky, kx, factor = place
        i, q, u, v = np.einsum("yx,yxs->s", factor.conj(), whole[np.ix_(ky % case.ny, kx % case.nx)])
        expected = [i + v, q + 1j * u, q - 1j * u, i - v]
        np.testing.assert_allclose(found[row, channel], expected, atol=1e-6 * largest)


@pytest.mark.parametrize("mode", MODES)
def test_gridding_and_prediction_are_adjoint(mode):
    case = Case(nx=61, ny=80, baselines=30, **MODES[mode])
    data, weight = case.data(), case.arrays["weight"]
    model = case.shape.zeros()
    model.view(np.complex64)[:] = random_complex((*model.shape[:2], 4), 8)
    grid = gridded(case, data)
    prediction = predicted(case, model)
    in_cells = np.vdot(grid.astype(float), model.astype(float))
    # Half of the sum of the four correlations is what Stokes I … V are defined by.
    in_data = 0.5 * np.vdot(weight[..., None] * data.astype(complex), prediction.astype(complex)).real
    norm = float(np.linalg.norm(grid) * np.linalg.norm(model))
    assert norm > 0
    assert in_cells == pytest.approx(in_data, abs=1e-6 * norm)


@pytest.mark.parametrize("mode", ["nearest", "not_even", "products"])
def test_psf_is_the_grid_of_a_source_at_the_image_centre(mode):
    case = Case(**MODES[mode])
    a = case.arrays
    pixel = np.stack([a["pixel_y"], a["pixel_x"]])[:, a["pointing"]]
    n = np.array([[case.ny], [case.nx]])
    position = np.stack([a["row_y"], a["row_x"]])[..., None] * a["frequency"]
    phase = 2 * np.pi * np.einsum("ar,arc->rc", (pixel - n // 2) / n, position)
    data = np.zeros((case.rows, case.channels, 4), dtype=np.complex64)
    data[..., [0, 3]] = np.exp(1j * phase)[..., None]
    expected = whole_plane(case, gridded(case, data))[..., 0]
    psf = case.shape.zeros()
    case.gridder().grid_psf(psf, 2)
    found = whole_plane(case, psf)
    np.testing.assert_allclose(found[..., 0], expected, atol=2e-6 * np.abs(expected).max())
    assert not found[..., 1:].any()


def test_psf_leaves_w_out():
    case = Case(**MODES["products_w"])
    # Those of the first plane have no imaginary part.
    for name in ("along_x", "along_y"):
        case.arrays[name][:, 0, :, :, 1] = 0
    flat = replace(case, planes=1)
    first = {name: case.arrays[name][:, :1, :, :, :1].copy() for name in ("along_x", "along_y")}
    flat.arrays = case.arrays | first | dict(plane_support=case.arrays["plane_support"][-1:].copy())
    psf, expected = case.shape.zeros(), case.shape.zeros()
    case.gridder().grid_psf(psf, 2)
    flat.gridder().grid_psf(expected, 2)
    np.testing.assert_allclose(psf, expected, atol=1e-6 * np.abs(expected).max())


def test_taylor_terms_are_predicted():
    case = Case()
    grid = case.shape.zeros()
    grid.view(np.complex64)[:] = random_complex((*grid.shape[:2], 4), 8)
    reference_hz = 1.03e9
    found = np.zeros((case.rows, case.channels, 4), dtype=np.complex64)
    case.gridder().predict_taylor(grid, reference_hz, found, 2)
    # RR + LL is twice I, RL + LR twice Q.
    prediction = predicted(case, grid)
    constant, slope = to_stokes(np.moveaxis(prediction, -1, 0))[:2]
    expected = constant + slope * ((case.arrays["frequency"] - reference_hz) / reference_hz)
    for correlation in (0, 3):
        np.testing.assert_allclose(found[..., correlation], expected, atol=2e-6 * np.abs(expected).max())
    assert not found[..., 1:3].any()


@pytest.mark.parametrize("mode", MODES)
def test_threads_change_nothing(mode):
    case = Case(nx=300, ny=280, baselines=60, dumps=3, **MODES[mode])
    data = case.data()
    model = case.shape.zeros()
    model[:] = np.random.default_rng(2).normal(size=model.shape)
    grids = [gridded(case, data, threads) for threads in (1, 2, 3)]
    predictions = [predicted(case, model, threads) for threads in (1, 2, 3)]
    psfs = [case.shape.zeros() for _ in range(3)]
    for threads, psf in enumerate(psfs, 1):
        case.gridder().grid_psf(psf, threads)
    for results in (grids, predictions, psfs):
        assert np.any(results[0])
        for other in results[1:]:
            np.testing.assert_array_equal(other, results[0])


@pytest.mark.parametrize("mode", MODES)
def test_all_instruction_sets_agree(mode, instruction_sets):
    case = Case(support=4, **MODES[mode])
    data = case.data()
    model = case.shape.zeros()
    model[:] = np.random.default_rng(2).normal(size=model.shape)
    results = []
    for name in instruction_sets:
        _kernels.select_instruction_set(name)
        results.append((gridded(case, data), predicted(case, model)))
    assert instruction_sets[-1] == "plain"
    # Sets with fused multiply-add, all but the last, agree to the bit.
    for grid, prediction in results[1:-1]:
        np.testing.assert_array_equal(grid, results[0][0])
        np.testing.assert_array_equal(prediction, results[0][1])
    for grid, prediction in results:
        np.testing.assert_allclose(grid, results[-1][0], atol=1e-6 * np.abs(grid).max())
        np.testing.assert_allclose(prediction, results[-1][1], atol=1e-6 * np.abs(prediction).max())


def test_an_unknown_instruction_set_is_refused():
    with pytest.raises(ValueError, match="altivec"):
        _kernels.select_instruction_set("altivec")


@pytest.mark.parametrize("mode", MODES)
def test_visibilities_without_weight_are_not_looked_at(mode):
    case = Case(**MODES[mode])
    data = case.data()
    expected = gridded(case, data)
    data[case.arrays["weight"] == 0] = np.nan
    np.testing.assert_array_equal(gridded(case, data), expected)
    weight = case.arrays["weight"].copy()
    weight[weight == 0] = [np.nan, -1.0][case.seed % 2]
    np.testing.assert_array_equal(gridded(case, data, weight=weight), expected)


def test_residual_of_visibilities_without_weight_stays():
    case = Case()
    residual = np.full((case.rows, case.channels, 4), 5 + 5j, dtype=np.complex64)
    case.gridder().subtract(case.shape.zeros(), case.data(), residual, 2)
    unweighted = case.arrays["weight"] == 0
    assert np.all(residual[unweighted] == 5 + 5j)
    np.testing.assert_array_equal(residual[~unweighted], case.data()[~unweighted])


def test_channels_without_beam_are_left_out():
    case = Case()
    beam = case.arrays["beam"].copy()
    beam[1:3] = -1
    weight = case.arrays["weight"].copy()
    weight[:, 1:3] = 0
    data = case.data()
    np.testing.assert_array_equal(gridded(case, data, beam=beam), gridded(case, data, weight=weight))
    assert case.gridder(beam=beam).weight_sum == pytest.approx(weight.sum(dtype=float))


@pytest.mark.parametrize("shape", [(60, 52), (61, 53)])
@pytest.mark.parametrize("columns", [None, 20])
def test_what_falls_off_the_grid_is_counted_and_ignored(shape, columns):
    case = Case(nx=shape[0], ny=shape[1], columns=columns, extent=0.7)
    assert_grids_as_defined(case)
    places = list(each(case))
    outside = sum(place is None for _, _, place in places)
    gridder = case.gridder()
    assert 0 < outside < len(places)
    assert gridder.outside == outside
    assert gridder.visibilities == len(places) - outside
    weight = case.arrays["weight"]
    on_grid = sum(float(weight[row, channel]) for row, channel, place in places if place is not None)
    assert gridder.weight_sum == pytest.approx(on_grid, rel=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("shape", [(32, 32), (33, 33), (32, 33), (33, 32)])
def test_the_outermost_places_of_the_grid_are_safe(shape):
    nx, ny = shape
    case = Case(nx=nx, ny=ny, support=2, baselines=1, pointings=1, dumps=2 * nx * ny, channels=1, beams=1)
    # All cells and half-way between, far beyond the border.
    y, x = np.meshgrid(np.linspace(-0.7 * ny, 0.7 * ny, 2 * ny), np.linspace(-0.7 * nx, 0.7 * nx, nx))
    case.arrays |= dict(row_x=x.ravel() / FREQUENCY_HZ, row_y=y.ravel() / FREQUENCY_HZ)
    assert_grids_as_defined(case)
    # A visibility and its conjugate are treated alike.
    turned = case.gridder(row_x=-case.arrays["row_x"], row_y=-case.arrays["row_y"])
    assert turned.visibilities == case.gridder().visibilities


@pytest.mark.parametrize("position", [np.nan, np.inf, -np.inf, 1e300])
def test_positions_that_are_no_numbers_are_off_the_grid(position):
    case = Case(baselines=1, pointings=1, dumps=1, channels=1, beams=1)
    case.arrays["weight"][:] = 1
    for axis in ("row_x", "row_y"):
        gridder = case.gridder(**{axis: np.array([position])})
        grid = case.shape.zeros()
        gridder.grid(case.data(), grid, 1)
        assert gridder.outside == 1
        assert not grid.any()


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    "few", [dict(baselines=1), dict(channels=1, beams=1), dict(baselines=1, pointings=1, dumps=1)], ids=str
)
def test_few_visibilities(mode, few):
    assert_grids_as_defined(Case(seed=4, **few, **MODES[mode]))


def test_no_visibilities():
    case = Case()
    gridder = case.gridder(weight=np.zeros_like(case.arrays["weight"]))
    grid = case.shape.zeros()
    gridder.grid(case.data(), grid, 2)
    assert not grid.any()
    assert (gridder.weight_sum, gridder.visibilities, gridder.outside, gridder.chunks) == (0, 0, 0, 0)


@pytest.mark.parametrize("mode", ["nearest", "products_w"])
def test_dumps_far_apart_are_split_up(mode):
    case = Case(nx=120, ny=110, baselines=4, pointings=2, dumps=30, drift=4.0, extent=0.3, **MODES[mode])
    assert case.gridder().chunks > 3 * 8
    assert_grids_as_defined(case)
    data, model = case.data(), case.shape.zeros()
    model[:] = np.random.default_rng(2).normal(size=model.shape)
    # Each row a group of its own: nothing to split.
    alone = np.arange(case.rows + 1, dtype=np.int64)
    grid = gridded(case, data)
    np.testing.assert_allclose(gridded(case, data, group_start=alone), grid, atol=1e-6 * np.abs(grid).max())
    prediction = predicted(case, model)
    np.testing.assert_allclose(
        predicted(case, model, group_start=alone), prediction, atol=1e-6 * np.abs(prediction).max()
    )


def test_channels_far_apart_are_split_up():
    case = Case(nx=200, ny=200, channels=16, channel_step=0.1, baselines=6, pointings=1, dumps=2)
    assert case.gridder().chunks > 12
    assert_grids_as_defined(case)


def test_some_rows_may_be_in_no_group():
    case = Case()
    count = case.rows // 2 // case.dumps * case.dumps
    weight = case.arrays["weight"].copy()
    weight[case.arrays["order"][count:]] = 0
    data = case.data()
    half = gridded(
        case, data, order=case.arrays["order"][:count], group_start=np.arange(0, count + 1, case.dumps)
    )
    np.testing.assert_array_equal(half, gridded(case, data, weight=weight))


def test_weights_of_pointings_and_beams():
    case = Case(extent=0.7)
    expected = np.zeros((case.pointings, case.beams))
    for row, channel, place in each(case):
        if place is not None:
            at = case.arrays["pointing"][row], case.arrays["beam"][channel]
            expected[at] += case.arrays["weight"][row, channel]
    np.testing.assert_allclose(case.gridder().beam_weights(), expected.ravel(), rtol=1e-9)
    assert case.gridder().weight_sum == pytest.approx(expected.sum())


# -------------------------------------------------------------------------------------------------- arguments


def changed(name, change):
    return lambda arrays: {name: change(arrays[name])}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (changed("row_y", lambda v: v[:-1].copy()), "rows differ"),
        (changed("row_w", lambda v: v[:-1].copy()), "rows differ"),
        (changed("pointing", lambda v: v[:-1].copy()), "rows differ"),
        (changed("weight", lambda v: v[:, :-1].copy()), "weight"),
        (changed("weight", lambda v: v[:-1].copy()), "weight"),
        (changed("beam", lambda v: v[:-1].copy()), "beam"),
        (changed("beam", lambda v: v + 2), "beam out of range"),
        (changed("pixel_y", lambda v: v[:-1].copy()), "pixel_y"),
        (changed("pointing", lambda v: v + 3), "pointing out of range"),
        (changed("pointing", lambda v: v - 3), "pointing out of range"),
        (changed("order", lambda v: v + 1), "order out of range"),
        (changed("order", lambda v: v - 1), "order out of range"),
        (changed("group_start", lambda v: v[::-1].copy()), "ascend"),
        (changed("group_start", lambda v: v - 1), "group_start out of range"),
        (changed("group_start", lambda v: v + 1), "group_start out of range"),
        (changed("group_start", lambda v: v[:0].copy()), "group_start is empty"),
        (changed("group_start", lambda v: v[[0, -1]].copy()), "differ in pointing"),
        (changed("oversampling", lambda v: v + 2), "oversampling"),
        (changed("table", lambda v: v[..., :4].copy()), "kernels"),
        (changed("table", lambda v: v[..., :-1, :].copy()), "odd"),
        (changed("table", lambda v: v[:, :, :4, :4].copy()), "oversampling"),
        (changed("table", lambda v: v[..., :7].copy()), "padded"),
        (changed("table", lambda v: v[:, :1].copy()), "folded"),
        (lambda arrays: dict(table=None), "kernels are needed"),
        (lambda arrays: dict(table=arrays["table"][:, :, :4, :4].copy(), oversampling=3), "oversampling"),
        (changed("margin", lambda v: v - 1), "margin"),
        (changed("columns", lambda v: v + 1), "columns"),
        (changed("columns", lambda v: 0), "columns"),
        (lambda arrays: dict(nx=0, columns=1), "empty"),
        (changed("ny", lambda v: -v), "empty"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(changes, message):
    case = Case()
    with pytest.raises(ValueError, match=message):
        case.gridder(**changes(case.arrays))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (changed("along_x", lambda v: v[:1].copy()), "differ in shape"),
        (lambda arrays: dict(along_y=None), "kernels are needed"),
        (lambda arrays: dict(plane_support=None), "kernels are needed"),
        (changed("oversampling", lambda v: v + 2), "oversampling"),
        (changed("plane_support", lambda v: v[:-1].copy()), "plane_support"),
        (changed("plane_support", lambda v: v[::-1].copy()), "ascend"),
        (changed("plane_support", lambda v: v - 3), "ascend"),
        (changed("plane_support", lambda v: v + 8), "padded"),
        (changed("w_step", lambda v: 0.0), "w_step"),
        (
            lambda arrays: {name: arrays[name][..., :1, :].copy() for name in ("along_x", "along_y")},
            "imaginary",
        ),
        (changed("margin", lambda v: v - 1), "margin"),
    ],
)
def test_products_that_do_not_fit_are_refused(changes, message):
    case = Case(**MODES["products_w"])
    with pytest.raises(ValueError, match=message):
        case.gridder(**changes(case.arrays))


def test_grids_and_data_that_do_not_fit_are_refused():
    case = Case()
    gridder, grid, data = case.gridder(), case.shape.zeros(), case.data()
    for wrong in (data[:-1], data[:, :-1], data[..., :3]):
        with pytest.raises(ValueError, match="visibilities must be"):
            gridder.grid(wrong.copy(), grid, 1)
        with pytest.raises(ValueError, match="visibilities must be"):
            gridder.subtract(grid, data, wrong.copy(), 1)
        with pytest.raises(ValueError, match="visibilities must be"):
            gridder.predict_taylor(grid, 1e9, wrong.copy(), 1)
    for wrong in (grid[:-1], grid[:, :-1], grid[..., :4]):
        with pytest.raises(ValueError, match="grid must be"):
            gridder.grid(data, wrong.copy(), 1)
        with pytest.raises(ValueError, match="grid must be"):
            gridder.grid_psf(wrong.copy(), 1)
    floats = np.empty(grid.size + 16, dtype=np.float32)
    start = (-floats.ctypes.data % 32) // 4 + 1
    unaligned = floats[start : start + grid.size].reshape(grid.shape)
    with pytest.raises(ValueError, match="aligned"):
        gridder.grid(data, unaligned, 1)


def test_arrays_of_another_type_are_not_written_to():
    case = Case()
    with pytest.raises(TypeError):
        case.gridder().grid(case.data(), case.shape.zeros().astype(np.float64), 1)
