"""The minor cycle: against a reference that convolves whole images, against CASA, and on odd input."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from scipy.signal import fftconvolve

from vlasscube import _kernels, casa
from vlasscube.images.casa_images import read_cube

SCALES = [0.0, 5.0, 12.0]
BIAS = 0.4


def spheroidal(nu):
    """Schwab (1984), m = 6, alpha = 1, with the coefficients that everybody uses."""
    top = ([2.312756e-1, -5.335581e-1, 6.278660e-1, -3.644705e-1, 8.203343e-2],
           [6.412774e-2, -1.201436e-1, 1.021332e-1, -3.697768e-2, 4.028559e-3])  # fmt: skip
    bottom = ([2.078043e-1, 8.212018e-1, 1.0], [2.918724e-1, 9.599102e-1, 1.0])
    values = [
        np.polyval(t, nu**2 - end**2) / np.polyval(b, nu**2 - end**2)
        for t, b, end in zip(top, bottom, (0.75, 1.0), strict=True)
    ]
    return np.where(nu <= 0, 1.0, np.where(nu < 0.75, values[0], np.where(nu < 1, values[1], 0.0)))


def kernel(scale):
    if scale == 0:
        return np.ones((1, 1))
    reach = int(np.ceil(scale)) - 1
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    radius = np.hypot(y, x) / scale
    values = np.where(radius < 1, (1 - radius**2) * spheroidal(radius), 0.0)
    return values / values.sum()


def convolve(image, scale, mode="constant"):
    taps = kernel(scale)
    padded = np.pad(np.asarray(image, float), taps.shape[0] // 2, mode=mode)
    return fftconvolve(padded, taps, mode="valid")


def scale_masks(mask, scales):
    ny, nx = mask.shape
    masks = []
    for index, scale in enumerate(scales):
        wide = convolve(mask, scale) > 0.1
        if index > 0:
            border = int(scale * 1.5)
            inner = np.zeros_like(wide)
            inner[border + 1 : ny - border - 1, border + 1 : nx - border - 1] = True
            wide &= inner
        masks.append(wide)
    return masks


def reference_clean(residual, psf, mask, scales, threshold, niter, gain=0.1):
    """Clean with whole images; components as (scale, y, x, flux)."""
    ny, nx = residual.shape
    masks = scale_masks(mask, scales)
    bias = [1 - BIAS * scale / scales[-1] for scale in scales] if len(scales) > 1 else [1.0]
    residuals = [convolve(np.nan_to_num(residual), scale) for scale in scales]
    hessian = [[convolve(convolve(psf, a, "wrap"), b, "wrap") for a in scales] for b in scales]
    size = int(np.sqrt(16 + scales[-1] ** 2) * 20)
    half = min(size, ny, nx) // 2
    peaks = [hessian[s][s][ny // 2, nx // 2] for s in range(len(scales))]
    model, components = np.zeros((ny, nx)), []
    y, x = np.mgrid[:ny, :nx]
    while len(components) < niter and np.abs(residuals[0] * masks[0]).max() / peaks[0] >= threshold:
        merit = [r**2 * m / p * b for r, m, p, b in zip(residuals, masks, peaks, bias, strict=True)]
        best = int(np.argmax([values.max() for values in merit]))
        py, px = np.unravel_index(np.argmax(merit[best]), (ny, nx))
        flux = gain * residuals[best][py, px] / peaks[best]
        components.append((best, py, px, flux))
        blob = np.zeros((ny, nx))
        blob[py, px] = flux
        model += convolve(blob, scales[best])
        dy, dx = y - py, x - px
        patch = (dy >= -half) & (dy < half) & (dx >= -half) & (dx < half)
        for s in range(len(scales)):
            shifted = hessian[s][best][(dy + ny // 2) % ny, (dx + nx // 2) % nx]
            residuals[s] -= np.where(patch, flux * shifted, 0.0)
    return model, components


def make_psf(ny, nx, width=2.0):
    y, x = np.mgrid[-(ny // 2) : ny - ny // 2, -(nx // 2) : nx - nx // 2]
    radius = np.hypot(y, 1.2 * x)
    rings = 0.08 * np.cos(1.1 * radius) * np.exp(-radius / 30)
    psf = np.exp(-(radius**2) / (2 * width**2)) + rings * (radius > 0)
    return (psf / psf[ny // 2, nx // 2]).astype(np.float32)


def make_sky(ny, nx, seed=1):
    """A residual with points, blobs and noise, and a mask around them."""
    rng = np.random.default_rng(seed)
    sky = np.zeros((ny, nx))
    for _ in range(6):
        sky[rng.integers(0, ny), rng.integers(0, nx)] += rng.normal()
    sky += 40 * ndimage.gaussian_filter(np.where(rng.random((ny, nx)) < 2 / sky.size, 1.0, 0.0), 4.0)
    dirty = fftconvolve(sky, make_psf(ny | 1, nx | 1), mode="same")
    dirty += 0.01 * rng.normal(size=dirty.shape)
    mask = ndimage.binary_dilation(np.abs(dirty) > 0.3 * np.abs(dirty).max(), iterations=2)
    return dirty.astype(np.float32), mask.astype(np.uint8)


def run(residual, psf, mask, scales, threshold, niter, threads=2, gain=0.1):
    cycle = _kernels.MinorCycle(psf, scales, BIAS, threads)
    masks = _kernels.ScaleMasks(cycle, mask)
    model = np.zeros_like(residual)
    result = cycle.run(residual, masks, threshold, niter, gain, model)
    return model, result, masks


@pytest.mark.parametrize("shape", [(96, 128), (130, 65), (71, 93)])
@pytest.mark.parametrize("scales", [SCALES, [0.0], [0.0, 3.5]])
def test_components_are_those_of_a_clean_of_whole_images(shape, scales):
    residual, mask = make_sky(*shape)
    psf = make_psf(*shape)
    expected, components = reference_clean(residual, psf, mask, scales, 0.0, 60)
    model, result, masks = run(residual, psf, mask, scales, 0.0, 60)
    assert masks.pixels == [int(m.sum()) for m in scale_masks(mask, scales)]
    assert [c[:3] for c in result.components] == [c[:3] for c in components]
    np.testing.assert_allclose(
        [c[3] for c in result.components], [c[3] for c in components], rtol=1e-4, atol=1e-7
    )
    np.testing.assert_allclose(model, expected, atol=1e-5 * np.abs(expected).max())


def test_all_scales_are_used_where_they_fit():
    ny = nx = 128
    sky = np.zeros((ny, nx))
    sky[40, 40] = 1.0
    sky[80, 80] = 30.0
    blob = sky.copy()
    blob[80, 80] = 0
    blob += convolve(np.where(sky > 10, sky, 0.0), 12.0)
    psf = make_psf(ny, nx)
    residual = fftconvolve(blob, make_psf(ny - 1, nx - 1), mode="same").astype(np.float32)
    _, result, _ = run(residual, psf, np.ones((ny, nx), np.uint8), SCALES, 0.0, 40)
    assert {component[0] for component in result.components} >= {0, 2}


def test_stops_below_the_threshold():
    residual, mask = make_sky(96, 96)
    threshold = 0.4 * float(np.abs(residual * mask).max())
    model, result, _ = run(residual, make_psf(96, 96), mask, SCALES, threshold, 10000)
    _, components = reference_clean(residual, make_psf(96, 96), mask, SCALES, threshold, 10000)
    assert result.reached_threshold
    assert result.peak < threshold <= result.start_peak
    assert result.iterations == len(components) > 1
    assert model.sum() == pytest.approx(sum(c[3] for c in components), rel=1e-4)


def test_a_residual_below_the_threshold_gets_no_component():
    residual, mask = make_sky(64, 64)
    model, result, _ = run(residual, make_psf(64, 64), mask, SCALES, 1e3, 100)
    assert result.iterations == 0
    assert result.reached_threshold
    assert not model.any()


def test_goes_on_from_the_model_it_is_given():
    residual, mask = make_sky(64, 64)
    cycle = _kernels.MinorCycle(make_psf(64, 64), SCALES, BIAS, 1)
    masks = _kernels.ScaleMasks(cycle, mask)
    fresh, model = np.zeros_like(residual), np.full_like(residual, 2.0)
    kept = residual.copy()
    cycle.run(residual, masks, 0.0, 20, 0.1, fresh)
    cycle.run(residual, masks, 0.0, 20, 0.1, model)
    np.testing.assert_allclose(model, fresh + 2.0, atol=1e-6)
    np.testing.assert_array_equal(residual, kept)


def test_threads_do_not_matter():
    residual, mask = make_sky(200, 150)
    first, second = (run(residual, make_psf(200, 150), mask, SCALES, 0.0, 50, threads=n) for n in (1, 5))
    np.testing.assert_array_equal(first[0], second[0])


def test_instruction_sets_do_not_matter(instruction_sets):
    residual, mask = make_sky(120, 150)
    psf = make_psf(120, 150)
    results = []
    for name in instruction_sets:
        _kernels.select_instruction_set(name)
        results.append(run(residual, psf, mask, SCALES, 0.0, 60))
    for model, result, masks in results[:-1]:
        np.testing.assert_array_equal(model, results[-1][0])
        assert result.components == results[-1][1].components
        assert masks.pixels == results[-1][2].pixels


def test_nan_counts_as_zero():
    residual, mask = make_sky(80, 80)
    hole = residual.copy()
    hole[10:20, 30:60] = 0.0
    holes = residual.copy()
    holes[10:20, 30:60] = np.nan
    expected = run(hole, make_psf(80, 80), mask, SCALES, 0.0, 30)[0]
    np.testing.assert_array_equal(run(holes, make_psf(80, 80), mask, SCALES, 0.0, 30)[0], expected)


@pytest.mark.parametrize("value", [0.0, np.nan])
def test_a_residual_without_values_gets_no_component(value):
    residual = np.full((40, 40), value, np.float32)
    model, result, _ = run(residual, make_psf(40, 40), np.ones((40, 40), np.uint8), SCALES, 0.0, 30)
    assert result.iterations == 0
    assert not model.any()


def test_an_empty_mask_gets_no_component():
    residual, mask = make_sky(40, 40)
    model, result, masks = run(residual, make_psf(40, 40), np.zeros_like(mask), SCALES, 0.0, 30)
    assert masks.pixels == [0, 0, 0]
    assert result.iterations == 0
    assert not model.any()


@pytest.mark.parametrize("psf", [np.zeros((32, 32)), np.full((32, 32), np.nan), -make_psf(32, 32)])
def test_a_psf_without_peak_is_refused(psf):
    with pytest.raises(ValueError, match="psf has no positive peak"):
        _kernels.MinorCycle(psf.astype(np.float32), SCALES, BIAS, 1)


def test_a_mask_or_model_of_another_shape_is_refused():
    residual, mask = make_sky(32, 40)
    cycle = _kernels.MinorCycle(make_psf(32, 40), SCALES, BIAS, 1)
    with pytest.raises(ValueError, match="differ in shape"):
        _kernels.ScaleMasks(cycle, np.ascontiguousarray(mask.T))
    masks = _kernels.ScaleMasks(cycle, mask)
    with pytest.raises(ValueError, match="differ in shape"):
        cycle.run(residual, masks, 0.0, 1, 0.1, np.zeros((40, 32), np.float32))
    with pytest.raises(TypeError):
        cycle.run(residual, masks, 0.0, 1, 0.1, np.zeros((40, 32), np.float32).T)


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (2, 2), (3, 5), (64, 64), (65, 64), (63, 129)])
def test_images_of_any_shape(shape):
    psf = np.zeros(shape, np.float32)
    psf[shape[0] // 2, shape[1] // 2] = 1.0
    residual = np.zeros(shape, np.float32)
    residual[-1, -1] = 1.0
    model, result, _ = run(residual, psf, np.ones(shape, np.uint8), [0.0], 0.5, 100)
    assert result.iterations == 7  # 0.9 ** 7 < 0.5
    assert model[-1, -1] == pytest.approx(1 - 0.9**7, rel=1e-5)


@settings(deadline=None, max_examples=40)
@given(
    ny=st.integers(30, 150),
    nx=st.integers(30, 150),
    seed=st.integers(0, 10**6),
    gain=st.sampled_from([0.05, 0.1, 0.5]),
)
def test_what_is_subtracted_is_what_is_found(ny, nx, seed, gain):
    residual, mask = make_sky(ny, nx, seed)
    model, result, _ = run(residual, make_psf(ny, nx), mask, [0.0], 0.0, 30, gain=gain)
    expected = np.zeros((ny, nx))
    for _, y, x, flux in result.components:
        assert mask[y, x]
        expected[y, x] += flux
    np.testing.assert_allclose(model, expected, atol=1e-6 * np.abs(expected).max())
    assert result.peak <= result.start_peak * 1.2


def casa_image(path, planes, cell_arcsec=2.0):
    tool = casa.tools().image()
    coordinates = (
        casa.tools()
        .coordsys()
        .newcoordsys(direction=True, stokes=["I", "Q", "U", "V"][: len(planes)], spectral=True)
    )
    coordinates.setunits(["arcsec", "arcsec", "", "Hz"])
    coordinates.setincrement([-cell_arcsec, cell_arcsec], "direction")
    ny, nx = planes.shape[1:]
    coordinates.setreferencepixel([nx // 2, ny // 2], "direction")
    tool.fromshape(str(path), [nx, ny, len(planes), 1], csys=coordinates.torecord(), overwrite=True)
    tool.putchunk(planes.transpose(2, 1, 0)[:, :, :, np.newaxis].astype(float))
    tool.setbrightnessunit("Jy/beam")
    tool.close()


@pytest.mark.casa
@pytest.mark.parametrize(("niter", "threshold"), [(150, 0.0), (5000, 0.3)])
@pytest.mark.parametrize("shape", [(128, 128), (256, 300)])
@pytest.mark.parametrize("with_mask", [True, False])
def test_components_are_those_of_casa(tmp_path, shape, niter, threshold, with_mask):
    psf = make_psf(*shape)
    skies = [make_sky(*shape, seed=seed) for seed in (1, 2)]
    residual = np.stack([sky for sky, _ in skies])
    mask = skies[0][1] if with_mask else np.ones(shape, np.uint8)
    root = tmp_path / "image"
    casa_image(Path(f"{root}.residual.tt0"), residual)
    casa_image(Path(f"{root}.psf.tt0"), np.stack([psf, psf]))
    casa_image(tmp_path / "user", mask[np.newaxis])
    casa.run_task(
        "deconvolve",
        imagename=str(root),
        deconvolver="mtmfs",
        nterms=1,
        scales=[int(scale) for scale in SCALES],
        smallscalebias=BIAS,
        niter=niter,
        threshold=threshold,
        gain=0.1,
        usemask="user",
        mask=str(tmp_path / "user") if with_mask else "",
        restoration=False,
    )
    expected = read_cube(Path(f"{root}.model.tt0"))
    for plane, sky in zip(expected, residual, strict=True):
        model, _, _ = run(sky, psf, mask, SCALES, threshold, niter)
        np.testing.assert_allclose(model, plane, atol=1e-5 * np.abs(plane).max())
    shutil.rmtree(tmp_path)
