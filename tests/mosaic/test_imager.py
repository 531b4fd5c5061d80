"""Images of made-up observations beside direct Fourier sums."""

from dataclasses import replace
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from vlasscube.mosaic.imager import ImagerSettings, MosaicImager
from vlasscube.mosaic.primary_beam import evla_power_beam
from vlasscube.mosaic.restoration import fit_beam
from vlasscube.mosaic.visibilities import ALL_USABLE
from vlasscube.mosaic.weighting import UvTaper
from vlasscube.sky import direction_at
from vlasscube.testing import observations
from vlasscube.testing.observations import ARCSEC, C, axes, direction, image_grid

# Small enough for all footprints to fit on the uv grid.
observe = partial(observations.observe, size_m=250.0)
SOURCES = ((120, 100, (1.0, 0.1, -0.2, 0.05)), (151, 122, (0.7, -0.05, 0.1, 0.2)), (90, 75, (0.4, 0, 0, 0.1)))
NATURAL = 9.0
"""A robust parameter that leaves the weights as they are."""


def image(grid, visibilities, model=None, **settings):
    settings = ImagerSettings(**dict(robust=NATURAL, threads=2) | settings)
    imager = MosaicImager(grid, visibilities, settings)
    weight_image = imager.weight_image()
    residual = np.empty((4, *grid.shape), dtype=np.float32)
    imager.residual(model, weight_image, residual)
    return SimpleNamespace(
        imager=imager, weight=weight_image, pb=imager.primary_beam(weight_image), residual=residual
    )


def flat_noise(grid, sources, pb):
    model = np.zeros((4, *grid.shape), dtype=np.float32)
    for x, y, stokes in sources:
        model[:, y, x] += np.array(stokes) * pb[y, x]
    return model


def direct_sums(grid, visibilities, x, y):
    """At pixels x, y: the weighted sums of beam times Stokes parameters and of squared beams, by Σw."""
    (window,) = visibilities.spectral_windows
    weight = np.where(window.usable == ALL_USABLE, window.weight, 0).astype(float)
    dirty, beams = np.zeros((4, len(x))), np.zeros(len(x))
    towards_pixels = direction(grid, np.array(x), np.array(y))
    for number, entry in enumerate(visibilities.fields):
        rows = window.field_index == number
        east, north, centre = axes(entry)
        lmn = np.stack([towards_pixels @ east, towards_pixels @ north, towards_pixels @ centre - 1])
        frequency = window.channel_frequency_hz * entry.lsrk_factor
        radius = np.degrees(np.arccos(np.clip(towards_pixels @ centre, -1, 1))) * 60
        beam = evla_power_beam(radius[:, None], frequency)
        phase = -2j * np.pi * np.einsum("rd,dp,c->rcp", window.uvw_m[rows], lmn, frequency / C, optimize=True)
        rr, rl, lr, ll = np.moveaxis(window.data[rows].astype(complex), -1, 0)
        stokes = np.stack([rr + ll, rl + lr, -1j * (rl - lr), rr - ll]) / 2
        seen = np.exp(phase) * weight[rows][..., None] * beam.T
        dirty += np.einsum("src,rcp->sp", stokes, seen, optimize=True).real
        beams += np.einsum("rc,pc->p", weight[rows], beam**2)
    return dirty / weight.sum(), beams / weight.sum()


def normalised(grid, visibilities, x, y):
    """What the flat-noise dirty image has at pixels, given the largest weight."""
    dirty, beams = direct_sums(grid, visibilities, x, y)
    return lambda largest: dirty / np.sqrt(beams * largest)


def pixels(grid, pb, count=40, seed=2):
    """Those of the sources and others within the primary beam."""
    y, x = np.nonzero(pb > 0.15)
    chosen = np.random.default_rng(seed).choice(y.size, count, replace=False)
    return [*(s[0] for s in SOURCES), *x[chosen]], [*(s[1] for s in SOURCES), *y[chosen]]


# ------------------------------------------------------------------------------------------------ dirty image


# Beyond the image's half-power edge beams near their null count; CASA's functions are cut short.
@pytest.mark.parametrize(
    ("settings", "tilt", "tolerance", "at_the_edge"),
    [
        (dict(gridding="exact"), (0.0, 0.0), 1e-3, 2e-3),
        (dict(gridding="exact", w_correction=True), (0.0, 0.0), 1e-3, 2e-3),
        (dict(gridding="exact", w_correction=True), (6.0, -4.0), 1e-3, 4e-3),
        (dict(gridding="casa"), (0.0, 0.0), 2e-2, 2e-2),
    ],
)
def test_dirty_image_is_the_direct_sum(settings, tilt, tolerance, at_the_edge):
    grid = image_grid()
    visibilities = observe(grid, SOURCES, tilt=tilt, channels=2)
    made = image(grid, visibilities, **settings)
    x, y = pixels(grid, made.pb)
    expected = normalised(grid, visibilities, x, y)(made.weight.max())
    error = np.abs(made.residual[:, y, x] - expected) / np.abs(expected).max()
    inner = made.pb[y, x] > 0.5
    print(settings, tilt, "dirty", error[:, inner].max(), error.max())
    assert error[:, inner].max() < tolerance
    assert error.max() < at_the_edge


@pytest.mark.parametrize(
    ("settings", "tilt", "tolerance"),
    [
        (dict(gridding="exact"), (0.0, 0.0), 1e-3),
        (dict(gridding="exact", w_correction=True), (6.0, -4.0), 1e-3),
        (dict(gridding="casa"), (0.0, 0.0), 2e-2),
    ],
)
def test_the_true_model_leaves_nothing(settings, tilt, tolerance):
    grid = image_grid()
    visibilities = observe(grid, SOURCES, tilt=tilt, channels=2)
    made = image(grid, visibilities, **settings)
    residual = np.empty_like(made.residual)
    before = [block.data.copy() for block in visibilities.spectral_windows]
    made.imager.residual(flat_noise(grid, SOURCES, made.pb), made.weight, residual)
    left = np.abs(residual).max() / np.abs(made.residual).max()
    print(settings, tilt, "left of the truth", left)
    assert left < tolerance
    for block, data in zip(visibilities.spectral_windows, before, strict=True):
        np.testing.assert_array_equal(block.data, data)


def test_residual_is_linear_in_the_model():
    grid = image_grid()
    visibilities = observe(grid, SOURCES)
    made = image(grid, visibilities)
    model = flat_noise(grid, SOURCES, made.pb)
    whole, half = np.empty_like(model), np.empty_like(model)
    made.imager.residual(model, made.weight, whole)
    made.imager.residual(model / 2, made.weight, half)
    np.testing.assert_allclose(half, (made.residual + whole) / 2, atol=2e-6)
    # The dirty image again, after predictions.
    made.imager.residual(None, made.weight, whole)
    np.testing.assert_array_equal(whole, made.residual)
    made.imager.residual(np.zeros_like(model), made.weight, whole)
    np.testing.assert_array_equal(whole, made.residual)


def test_stokes_parameters_do_not_mix():
    grid = image_grid()
    for stokes in range(4):
        source = (130, 96, tuple(float(k == stokes) for k in range(4)))
        made = image(grid, observe(grid, [source]))
        peaks = np.abs(made.residual).max(axis=(1, 2))
        assert made.residual[stokes, 96, 130] == pytest.approx(made.pb[96, 130], abs=0.02)
        assert np.all(np.delete(peaks, stokes) < 1e-6)


# ---------------------------------------------------------------------------------------------------------- w


def peak_position(values):
    """Position (x, y) of the peak by a paraboloid through the pixels around it."""
    y, x = np.unravel_index(values.argmax(), values.shape)
    dy, dx = (axis.ravel() for axis in np.mgrid[-1:2, -1:2])
    terms = np.stack([np.ones(9), dx, dy, dx**2, dy**2, dx * dy], axis=1)
    c = np.linalg.lstsq(terms, values[y - 1 : y + 2, x - 1 : x + 2].ravel(), rcond=None)[0]
    return np.array([x, y]) - np.linalg.solve([[2 * c[3], c[5]], [c[5], 2 * c[4]]], c[1:3])


@pytest.mark.parametrize("zenith_deg", [50.0, 65.0, 74.0])
def test_sources_anywhere_on_a_tilted_array(zenith_deg):
    grid = image_grid(600, 560, 4.0)
    rng = np.random.default_rng(5)
    places = zip(rng.integers(160, 440, 6), rng.integers(160, 410, 6), strict=True)
    sources = [(int(x), int(y), (1.0, 0.1, -0.2, 0.05)) for x, y in places]
    # Baselines of 30 000 wavelengths; the slope is towards the west and the south.
    tilt = np.tan(np.radians(zenith_deg)) * np.array([0.8, -0.6])
    visibilities = observations.observe(grid, sources, tilt=tilt, channels=2, antennas=12, size_m=800.0)
    made = image(grid, visibilities, gridding="exact", w_correction=True)
    x, y = pixels(grid, made.pb, 150)
    x, y = (
        np.concatenate([[source[axis] for source in sources], places[len(SOURCES) :]])
        for axis, places in enumerate((x, y))
    )
    expected = normalised(grid, visibilities, x, y)(made.weight.max())
    error = np.abs(made.residual[:, y, x] - expected) / np.abs(expected).max()
    residual = np.empty_like(made.residual)
    made.imager.residual(flat_noise(grid, sources, made.pb), made.weight, residual)
    left = np.abs(residual).max() / np.abs(made.residual).max()
    print(zenith_deg, "dirty", error[:, made.pb[y, x] > 0.5].max(), error.max(), "left", left)
    assert error[:, made.pb[y, x] > 0.5].max() < 1e-3
    assert left < 1e-3


@pytest.mark.slow
@pytest.mark.parametrize("tilt", [(20.0, 0.0), (0.0, -20.0), (15.0, 12.0)])
def test_w_correction_puts_a_source_at_its_place(tilt):
    grid = image_grid(cell_arcsec=6.0, nx=300, ny=320)
    source = (205, 125, (1.0, 0, 0, 0))
    visibilities = observe(grid, [source], pointings=((0.0, 0.0),), channels=1, tilt=tilt)
    r = 6.0 * ARCSEC * np.hypot(205 - 150, 125 - 160)
    # u (l - a r²/2) + v (m - b r²/2) is all that a flat array sees; l runs against x.
    expected_shift = np.array([1, -1]) * tilt * r**2 / 2 / (6 * ARCSEC)
    assert np.hypot(*expected_shift) > 0.5
    for settings, shift in (
        (dict(gridding="exact", w_correction=True), np.zeros(2)),
        (dict(gridding="exact"), expected_shift),
        (dict(gridding="casa"), expected_shift),
    ):
        made = image(grid, visibilities, **settings)
        around = slice(125 - 6, 125 + 7), slice(205 - 6, 205 + 7)
        # Flat noise of a single pointing: the beam does not tilt the peak.
        found = peak_position(made.residual[0][around]) - 6
        print(settings, tilt, "position error", found - shift, "shift", shift)
        np.testing.assert_allclose(found, shift, atol=0.05)


def test_w_correction_takes_exact_kernels():
    with pytest.raises(ValueError, match="exact"):
        ImagerSettings(w_correction=True)


# -------------------------------------------------------------------------------------------------------- psf


@pytest.mark.slow
@pytest.mark.parametrize("gridding", ["casa", "exact"])
@pytest.mark.parametrize("shape", [(240, 200), (241, 201)])
def test_psf_is_one_at_the_centre_and_symmetric(gridding, shape):
    grid = image_grid(*shape)
    # Elsewhere the beams around would make it lopsided.
    psf = image(grid, observe(grid, pointings=((0.0, 0.0),)), gridding=gridding).imager.psf()
    centre_y, centre_x = grid.ny // 2, grid.nx // 2
    assert np.unravel_index(psf.argmax(), psf.shape) == (centre_y, centre_x)
    assert psf.max() == 1
    # Even sizes have a row and a column without an opposite.
    inner = psf[1 - grid.ny % 2 :, 1 - grid.nx % 2 :]
    np.testing.assert_allclose(inner[::-1, ::-1], inner, atol=2e-6)


@pytest.mark.slow
def test_psf_is_the_dirty_image_of_a_source_at_the_centre_of_its_pointing():
    grid = image_grid()
    visibilities = observe(grid, [(120, 100, (1.0, 0, 0, 0))], pointings=((0.0, 0.0),))
    made = image(grid, visibilities, gridding="exact")
    near = slice(80, 120), slice(100, 140)
    # The psf has the beam that flat noise has divided out.
    np.testing.assert_allclose((made.residual[0] * made.pb)[near], made.imager.psf()[near], atol=3e-3)


# ----------------------------------------------------------------------------------------------- primary beam


@pytest.mark.parametrize(("gridding", "tolerance"), [("exact", 2e-3), ("casa", 2e-2)])
def test_primary_beam_of_one_field_is_the_power_beam(gridding, tolerance):
    grid = image_grid()
    visibilities = observe(grid, pointings=((1.0, -0.5),), channels=1)
    made = image(grid, visibilities, gridding=gridding)
    (entry,) = visibilities.fields
    x, y = np.meshgrid(np.arange(grid.nx), np.arange(grid.ny))
    centre = axes(entry)[2]
    radius = np.degrees(np.arccos(np.clip(direction(grid, x, y) @ centre, -1, 1))) * 60
    frequency = visibilities.spectral_windows[0].channel_frequency_hz[0] * entry.lsrk_factor
    expected = evla_power_beam(radius, np.full(radius.shape, frequency))
    inside = expected > 0.11
    print(gridding, "pb", np.abs(made.pb - expected)[inside].max())
    np.testing.assert_allclose(made.pb[inside], expected[inside], atol=tolerance)
    assert not made.pb[expected < 0.09].any()


@pytest.mark.slow
@pytest.mark.parametrize(("gridding", "tolerance"), [("exact", 2e-3), ("casa", 2e-2)])
def test_weights_of_a_mosaic_are_the_sum_of_squared_beams(gridding, tolerance):
    grid = image_grid()
    visibilities = observe(grid)
    made = image(grid, visibilities, gridding=gridding)
    x, y = pixels(grid, made.pb)
    expected = direct_sums(grid, visibilities, x, y)[1]
    print(gridding, "weight", np.abs(made.weight[y, x] - expected).max())
    np.testing.assert_allclose(made.weight[y, x], expected, atol=tolerance)
    np.testing.assert_allclose(made.pb[y, x], np.sqrt(made.weight[y, x] / made.weight.max()), rtol=1e-6)


@pytest.mark.parametrize("pblimit", [0.05, 0.4])
def test_beyond_the_limit_there_is_nothing(pblimit):
    grid = image_grid()
    made = image(grid, observe(grid, SOURCES), pblimit=pblimit)
    inside = np.sqrt(np.abs(made.weight) / made.weight.max()) > pblimit
    np.testing.assert_array_equal(made.pb > 0, inside)
    np.testing.assert_array_equal(np.all(made.residual == 0, axis=0), ~inside)


def test_exact_kernels_do_not_wrap_around_the_border():
    grid = image_grid(120, 96)
    # Twelve arcminutes from the centre, of an image that reaches to that.
    visibilities = observe(grid, pointings=((11.5, 0.0),), channels=2)
    opposite = slice(None), slice(100, None)
    assert image(grid, visibilities, gridding="exact").weight[opposite].max() < 1e-3
    assert image(grid, visibilities, gridding="casa").weight[opposite].max() > 0.05


# ---------------------------------------------------------------------------------------------------- weights


def with_window(visibilities, **changes):
    (window,) = visibilities.spectral_windows
    return replace(visibilities, spectral_windows=(replace(window, **changes),))


@pytest.mark.slow
@pytest.mark.parametrize("correlation", range(4))
def test_what_is_flagged_in_one_correlation_is_left_out(correlation):
    grid = image_grid()
    visibilities = observe(grid, SOURCES)
    (window,) = visibilities.spectral_windows
    bad = np.random.default_rng(3).random(window.usable.shape) < 0.3
    usable, data, weight = window.usable.copy(), window.data.copy(), window.weight.copy()
    usable[bad] &= ~np.uint8(1 << correlation)
    data[bad] = 1e6
    weight[bad] = 0
    flagged = image(grid, with_window(visibilities, usable=usable, data=data), robust=0.0)
    absent = image(grid, with_window(visibilities, weight=weight), robust=0.0)
    assert flagged.imager.weight_sum == absent.imager.weight_sum
    np.testing.assert_array_equal(flagged.residual, absent.residual)
    np.testing.assert_array_equal(flagged.weight, absent.weight)


def test_rows_without_weight_might_as_well_be_missing():
    grid = image_grid()
    visibilities = observe(grid, SOURCES)
    (window,) = visibilities.spectral_windows
    kept = np.random.default_rng(3).random(window.rows) < 0.6
    names = ["row", "uvw_m", "antenna1", "antenna2", "time_mjd_s", "field_index"]
    names += ["data", "usable", "weight"]
    fewer = with_window(visibilities, **{name: getattr(window, name)[kept] for name in names})
    without = with_window(visibilities, usable=np.where(kept[:, None], window.usable, np.uint8(0)))
    first, second = image(grid, fewer, robust=0.0), image(grid, without, robust=0.0)
    assert first.imager.weight_sum == pytest.approx(second.imager.weight_sum)
    np.testing.assert_allclose(first.residual, second.residual, atol=2e-6)


@pytest.mark.slow
def test_two_spectral_windows_are_the_sum_of_each():
    grid = image_grid()
    low, high = (observe(grid, SOURCES, seed=seed, spw=seed) for seed in (1, 2))
    both = replace(low, spectral_windows=low.spectral_windows + high.spectral_windows)
    # Without a limit the images can be put together from those of the parts.
    parts = [image(grid, entry, gridding="exact", pblimit=0.01) for entry in (low, high, both)]
    sums = [part.imager.weight_sum for part in parts]
    assert sums[2] == pytest.approx(sums[0] + sums[1])
    plain = [
        part.residual * np.sqrt(np.abs(part.weight) * part.weight.max()) * total
        for part, total in zip(parts, sums, strict=True)
    ]
    inside = np.all([part.pb > 0.05 for part in parts], axis=0)
    np.testing.assert_allclose(
        (plain[0] + plain[1])[:, inside], plain[2][:, inside], atol=1e-5 * np.abs(plain[2]).max()
    )


def width(psf):
    return np.sqrt((psf > 0.5).sum())


@pytest.mark.slow
def test_robust_and_taper_shape_the_psf():
    grid = image_grid(cell_arcsec=1.5, nx=480, ny=400)
    visibilities = observe(grid, antennas=14, size_m=500.0)
    psfs = {robust: image(grid, visibilities, robust=robust).imager.psf() for robust in (-2.0, 0.0, 2.0)}
    assert width(psfs[-2.0]) < width(psfs[0.0]) < width(psfs[2.0])
    tapered = image(grid, visibilities, taper=UvTaper(60 * ARCSEC, 60 * ARCSEC, 0.0)).imager.psf()
    assert width(tapered) > 1.3 * width(psfs[2.0])


def test_natural_weights_sum_to_those_of_the_data():
    grid = image_grid()
    visibilities = observe(grid)
    made = image(grid, visibilities)
    expected = visibilities.spectral_windows[0].weight.sum(dtype=float)
    assert made.imager.weight_sum == pytest.approx(expected, rel=1e-5)


# ---------------------------------------------------------------------------------------------- special cases


@pytest.mark.slow
@pytest.mark.parametrize("gridding", ["casa", "exact"])
@pytest.mark.parametrize("shape", [(241, 199), (200, 241), (255, 160)])
def test_images_may_be_odd_and_not_square(gridding, shape):
    grid = image_grid(*shape)
    x, y = grid.nx // 2 + 9, grid.ny // 2 - 7
    sources = [(x, y, (1.0, 0.1, -0.2, 0.05))]
    visibilities = observe(grid, sources)
    made = image(grid, visibilities, gridding=gridding)
    expected = normalised(grid, visibilities, [x, x + 20], [y, y + 11])(made.weight.max())
    tolerance = 2e-3 if gridding == "exact" else 2e-2
    np.testing.assert_allclose(made.residual[:, [y, y + 11], [x, x + 20]], expected, atol=tolerance)
    residual = np.empty_like(made.residual)
    made.imager.residual(flat_noise(grid, sources, made.pb), made.weight, residual)
    assert np.abs(residual).max() < tolerance


@pytest.mark.slow
@pytest.mark.parametrize("gridding", ["casa", "exact"])
@pytest.mark.parametrize(
    "few", [dict(pointings=((2.0, 1.0),)), dict(channels=1), dict(antennas=2, dumps=1, channels=1)], ids=str
)
def test_small_observations(gridding, few):
    grid = image_grid()
    sources = [(114, 106, (1.0, 0.1, -0.2, 0.05))]
    visibilities = observe(grid, sources, **few)
    made = image(grid, visibilities, gridding=gridding)
    expected = normalised(grid, visibilities, [114, 130], [106, 90])(made.weight.max())
    np.testing.assert_allclose(
        made.residual[:, [106, 90], [114, 130]], expected, atol=2e-3 if gridding == "exact" else 2e-2
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings", [dict(), dict(gridding="exact"), dict(gridding="exact", w_correction=True)]
)
@pytest.mark.parametrize("reason", ["off the image", "flagged", "no weight"])
def test_without_usable_visibilities_all_is_zero(settings, reason):
    grid = image_grid()
    visibilities = observe(
        grid, SOURCES, pointings=((300.0, 0.0),) if reason == "off the image" else ((0.0, 0.0),)
    )
    (window,) = visibilities.spectral_windows
    if reason == "flagged":
        visibilities = with_window(visibilities, usable=np.zeros_like(window.usable))
    if reason == "no weight":
        visibilities = with_window(visibilities, weight=np.zeros_like(window.weight))
    made = image(grid, visibilities, **settings)
    assert made.imager.weight_sum == 0
    for result in (made.weight, made.pb, made.residual, made.imager.psf()):
        assert not result.any()


def test_a_pointing_off_the_image_is_left_out():
    grid = image_grid()
    here = ((-4.0, -3.0), (4.0, -3.0), (0.0, 4.0))
    with_far = observe(grid, SOURCES, pointings=(*here, (200.0, 0.0)))
    (window,) = with_far.spectral_windows
    flagged = with_window(
        with_far, usable=np.where((window.field_index == 3)[:, None], np.uint8(0), window.usable)
    )
    first, second = image(grid, with_far), image(grid, flagged)
    assert first.imager.weight_sum == pytest.approx(second.imager.weight_sum, rel=1e-6)
    np.testing.assert_allclose(first.residual, second.residual, atol=1e-6)


@pytest.mark.parametrize("settings", [dict(), dict(gridding="exact", w_correction=True)])
def test_threads_change_nothing(settings):
    grid = image_grid()
    visibilities = observe(grid, SOURCES, w_m=50.0, channels=2)
    one, three = (image(grid, visibilities, threads=threads, **settings) for threads in (1, 3))
    np.testing.assert_array_equal(one.residual, three.residual)
    np.testing.assert_array_equal(one.imager.psf(), three.imager.psf())


@pytest.mark.parametrize("gridding", ["casa", "exact"])
def test_threads_of_linear_algebra_change_nothing(gridding):
    grid = image_grid(320, 288)
    visibilities = observe(grid, SOURCES, channels=2)
    results = []
    for threads in (1, 2):
        with threadpool_limits(limits=threads, user_api="blas"):
            results.append(image(grid, visibilities, gridding=gridding))
            # The limit is the caller's again.
            assert {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"} == {
                threads
            }
    one, two = results
    np.testing.assert_array_equal(one.weight, two.weight)
    np.testing.assert_array_equal(one.residual, two.residual)
    assert one.imager.expected_noise_jy() == two.imager.expected_noise_jy()


# ------------------------------------------------------------------------------------------ where the psf is

NORTH = ((-4.0, 17.0), (4.0, 17.0), (0.0, 24.0))


def test_the_psf_is_that_of_the_image_centre_where_the_mosaic_covers_it():
    grid = image_grid()
    made = image(grid, observe(grid))
    assert made.imager.psf_place(made.weight) is None
    # A corner of the image without pointings changes nothing.
    corner = image(grid, observe(grid, pointings=((-4.0, -3.0), (4.0, -3.0), (-8.0, -8.0))))
    assert corner.pb[-1, 0] == corner.pb[0, 0] == 0
    assert corner.imager.psf_place(corner.weight) is None


def test_the_psf_of_a_mosaic_that_leaves_out_the_centre_is_that_of_an_image_of_the_mosaic():
    grid = image_grid(200, 320, 9.0)
    visibilities = observe(grid, pointings=NORTH, antennas=12)
    made = image(grid, visibilities)
    place = made.imager.psf_place(made.weight)
    x, y = place
    pb = made.pb / made.pb.max()
    assert pb[y, x] >= 0.8
    assert pb[grid.ny // 2, grid.nx // 2] < 0.1
    well_y, well_x = np.nonzero(pb >= 0.8)
    distance = np.hypot(well_x - grid.nx // 2, well_y - grid.ny // 2)
    assert np.hypot(x - grid.nx // 2, y - grid.ny // 2) == distance.min()
    psf = made.imager.psf(place)
    assert psf[grid.ny // 2, grid.nx // 2] == psf.max() == 1
    # The oracle: the psf at the centre of an image whose centre is there.
    offset = np.array([-(x - grid.nx // 2), y - grid.ny // 2]) * grid.cell_rad
    ra, dec = direction_at(*offset, grid.ra_rad, grid.dec_rad)
    there = image(replace(grid, ra_rad=ra, dec_rad=dec), visibilities)
    assert there.imager.psf_place(there.weight) is None
    expected = there.imager.psf()
    inner = slice(grid.ny // 4, -(grid.ny // 4)), slice(grid.nx // 4, -(grid.nx // 4))
    np.testing.assert_allclose(psf[inner], expected[inner], atol=5e-3)
    found, true = (fit_beam(each, 9.0) for each in (psf, expected))
    assert found.bmaj_arcsec == pytest.approx(true.bmaj_arcsec, rel=2e-3)
    assert found.bmin_arcsec == pytest.approx(true.bmin_arcsec, rel=2e-3)
    # At the image centre there is none.
    nowhere = made.imager.psf()
    assert nowhere[grid.ny // 2, grid.nx // 2] < 0.9
