"""The memory that imaging takes, beside what NumPy says that it allocates."""

import tracemalloc

import numpy as np
import pytest

from vlasscube.mosaic.clean_loop import CleanState, clean
from vlasscube.mosaic.imager import ImagerSettings, MosaicImager
from vlasscube.mosaic.iteration_control import CleanControl
from vlasscube.mosaic.memory import TABLE_BYTES, further_bytes, imaging_bytes, padded_pixels
from vlasscube.mosaic.primary_beam import beam_radius_rad
from vlasscube.mosaic.restoration import fit_beam, restore
from vlasscube.testing.observations import image_grid, observe


def image_a_plane(grid, visibilities, **settings):
    imager = MosaicImager(grid, visibilities, ImagerSettings(**settings))
    weight_image, psf = imager.weight_image(), imager.psf()
    residual = np.empty((4, *grid.shape), np.float32)
    imager.residual(None, weight_image, residual)
    cell_arcsec = float(np.degrees(grid.cell_rad) * 3600)
    pb = imager.primary_beam(weight_image)
    beam = fit_beam(psf, cell_arcsec)
    state = CleanState(residual, np.zeros_like(residual), psf[None], pb, (beam,), cell_arcsec)
    control = CleanControl(niter=20, nsigma=0.0, cycleniter=10)
    clean(state, control, pb > 0.2, lambda model: imager.residual(model, weight_image, state.residual))
    for planes in zip(state.model, state.residual, strict=True):
        restore(*planes, beam, cell_arcsec, 1)


def measured(side, dumps):
    """Peak of what NumPy allocates besides the visibilities, and what is estimated."""
    grid = image_grid(side, side, 6.0)
    source = (side // 2, side // 2, (1.0, 0.0, 0.0, 0.0))
    visibilities = observe(grid, [source], antennas=20, channels=16, dumps=dumps, size_m=250.0)
    tracemalloc.start()
    try:
        image_a_plane(grid, visibilities)
        return tracemalloc.get_traced_memory()[1], further_bytes(side**2, visibilities)
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("small", "large"),
    [((512, 1), (1024, 1)), ((256, 20), (256, 120))],
    ids=["by pixel", "by visibility"],
)
def test_imaging_takes_what_is_estimated(small, large):
    # Of differences, as each run has a few megabytes for its convolution functions.
    # Baselines reach a fifth of the uv grid's columns; where they reach all, 79 bytes a pixel were measured.
    (took, estimated), (took_more, estimated_more) = measured(*small), measured(*large)
    assert took_more - took == pytest.approx(estimated_more - estimated, rel=0.1)


def test_exact_gridding_takes_the_border_as_well():
    def measured(side):
        grid = image_grid(side, side, 2.0)
        edge = side / 60
        pointings = [(0.0, 0.0), (edge, edge), (-edge, -edge)]
        source = (side // 2, side // 2, (1.0, 0.0, 0.0, 0.0))
        visibilities = observe(
            grid, [source], pointings=pointings, antennas=8, channels=4, dumps=1, size_m=1500.0
        )
        (window,) = visibilities.spectral_windows
        padded = padded_pixels(
            side, side, grid.cell_rad, beam_radius_rad(float(window.channel_frequency_hz.min()))
        )
        tracemalloc.start()
        try:
            image_a_plane(grid, visibilities, gridding="exact")
            return tracemalloc.get_traced_memory()[1], further_bytes(side**2, visibilities, padded)
        finally:
            tracemalloc.stop()

    (took, estimated), (took_more, estimated_more) = measured(512), measured(1536)
    assert 0.75 < (took_more - took) / (estimated_more - estimated) < 1.1


def test_memory_of_a_production_plane():
    # 11 GB were measured, of which 0.43 GB are the process.
    assert imaging_bytes(12500**2, 15_300_000) == pytest.approx(11.0e9 - 0.43e9, rel=0.15)
    assert imaging_bytes(0, 0) == 0


def test_visibilities_that_have_been_read_are_not_counted_twice():
    visibilities = observe(image_grid())
    (window,) = visibilities.spectral_windows
    held = window.data.nbytes + window.usable.nbytes + window.weight.nbytes
    assert visibilities.count == window.rows * window.channels
    assert further_bytes(100, visibilities) == imaging_bytes(100, visibilities.count) - held


def test_a_production_plane_with_w_correction_fits_into_12_gb():
    padded = padded_pixels(12500, 12500, 0.6 * np.radians(1 / 3600), beam_radius_rad(1.99e9))
    assert padded > 1.4 * 12500**2
    assert imaging_bytes(12500**2, 15_300_000, padded) < 12e9


@pytest.mark.parametrize("w_correction", [False, True])
def test_tables_are_as_small_as_estimated(w_correction):
    grid = image_grid(512, 512, 6.0)
    visibilities = observe(grid, antennas=12, channels=16, size_m=500.0, tilt=(3.0, -1.8))
    imager = MosaicImager(grid, visibilities, ImagerSettings(gridding="exact", w_correction=w_correction))
    assert imager._windows[0].functions.gridding.nbytes < TABLE_BYTES
