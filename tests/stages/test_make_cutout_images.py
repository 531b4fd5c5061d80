"""Stage 10 on small images. Oracle: slices of the pixels, and statistics of them by numpy."""

from __future__ import annotations

import numpy as np
import pytest

from vlasscube import naming
from vlasscube.images.casa_images import image_facts, read_cube
from vlasscube.records import STOKES, PixelBox
from vlasscube.stages.context import StageContext
from vlasscube.stages.make_cutout_images import CutoutInputs, make_cutout_images
from vlasscube.stages.make_rms_images import RmsInputs, make_rms_image
from vlasscube.stages.pbcor import PbcorInputs, correct_primary_beam

from .conftest import digests

pytestmark = pytest.mark.casa
EXPECTED_JY = 8e-5


@pytest.fixture
def run(plane):
    context = StageContext(plane.workspace, "pbcor", "spw2")
    pbcor = correct_primary_beam(PbcorInputs(plane.root, PixelBox(0, 0, 9, 9), ()), context).image
    make_rms_image(RmsInputs(pbcor, ()), context)

    def stage(size=(60, 51), expected=EXPECTED_JY):
        context = StageContext(plane.workspace, "make_cutout_images", "spw2")
        inputs = CutoutInputs(plane.root, plane.geometry, size, "archive", expected, ())
        return make_cutout_images(inputs, context), context

    return stage


def sources(plane):
    pbcor = naming.pbcor_name(plane.root)
    names = {kind: naming.tclean_product(plane.root, kind) for kind in ("image", "residual", "psf", "pb")}
    names |= {
        "pbcor": pbcor,
        "residual_pbcor": naming.residual_pbcor_name(plane.root),
        "rms": naming.rms_name(pbcor),
    }
    return {kind: plane.workspace.working / name for kind, name in names.items()}


def scaled_mad(values):
    return 1.4826 * np.median(np.abs(values - np.median(values)))


def test_cutouts_are_the_box_of_every_image(plane, run):
    paths = sources(plane)
    before = digests(*paths.values())
    result, context = run()
    assert digests(*paths.values()) == before
    # 60 and 51 pixels, of which the centre, pixel 36, 30, is pixel 30, 25.
    assert result.box == PixelBox(6, 5, 65, 55)
    assert set(result.images) == set(paths)
    for kind, path in paths.items():
        made = plane.workspace.working / result.images[kind]
        assert made.name == f"{path.name}.subim"
        np.testing.assert_array_equal(read_cube(made), read_cube(path)[:, 5:56, 6:66], err_msg=kind)
        assert image_facts(made).reference_pixel == (30, 25)
        assert image_facts(made).beam == image_facts(path).beam
    assert {output.path for output in context.outputs} == {
        f"working/{name}" for name in result.images.values()
    }
    assert context.messages == []


def test_statistics_are_of_the_pixels_within_the_primary_beam(plane, run):
    result, _ = run()
    paths = sources(plane)
    cut = {kind: read_cube(path)[:, 5:56, 6:66].astype(float) for kind, path in paths.items()}
    for index, stokes in enumerate(STOKES):
        inside = np.isfinite(cut["pb"][index])
        found = result.statistics[stokes]
        for kind in ("image", "residual"):
            values = cut[kind][index][inside]
            assert getattr(found, kind).npts == values.size < inside.size
            assert getattr(found, kind).madrms == pytest.approx(scaled_mad(values), rel=1e-4)
        for kind in ("pbcor", "rms"):
            values = cut[kind][index][np.isfinite(cut[kind][index])]
            assert getattr(found, kind).npts == values.size
            assert getattr(found, kind).median == pytest.approx(np.median(values), rel=1e-5)
        rms = cut["rms"][index]
        assert found.rms_masked_fraction == pytest.approx(np.isnan(rms).mean())
        low = np.count_nonzero((rms <= 800e-6) & np.isfinite(rms)) / np.isfinite(rms).sum()
        assert found.rms_fraction_below_800ujy == pytest.approx(low)
        ratio = scaled_mad(cut["residual"][index][inside]) / EXPECTED_JY
        assert result.noise_ratio[stokes] == pytest.approx(ratio, rel=1e-4)
    response = cut["pb"][0][np.isfinite(cut["pb"][0])]
    assert result.pb.median == pytest.approx(np.median(response), rel=1e-6)
    assert result.expected_noise_jy == EXPECTED_JY
    assert result.expected_corrected_noise_jy == pytest.approx(EXPECTED_JY / np.median(response), rel=1e-6)


def test_noise_that_is_not_known_is_not_compared(run):
    result, _ = run(expected=None)
    assert result.expected_noise_jy is None
    assert result.expected_corrected_noise_jy is None
    assert result.noise_ratio == {}


def test_an_image_smaller_than_the_product_is_taken_whole(plane, run):
    result, _ = run(size=None)
    assert result.box == PixelBox(0, 0, plane.geometry.nx - 1, plane.geometry.ny - 1)


def test_twice_is_the_same_and_another_size_replaces_it(plane, run):
    first, _ = run()
    assert run()[0] == first
    smaller, _ = run(size=(20, 20))
    assert smaller.images == first.images
    shapes = {read_cube(plane.workspace.working / name).shape for name in smaller.images.values()}
    assert shapes == {(4, 20, 20)}


def test_without_one_of_the_images_nothing_is_left(plane, run):
    sources(plane)["rms"].rename(plane.workspace.working / "elsewhere")
    before = sorted(plane.workspace.working.iterdir())
    with pytest.raises(RuntimeError, match="rms"):
        run()
    assert sorted(plane.workspace.working.iterdir()) == before
