"""Stage 8 on small images. Oracle: the quotient by numpy in double precision."""

from __future__ import annotations

import numpy as np
import pytest

from vlasscube import naming
from vlasscube.images.casa_images import read_cube
from vlasscube.records import PixelBox
from vlasscube.stages.context import StageContext
from vlasscube.stages.pbcor import PbcorInputs, correct_primary_beam

from .conftest import digests

pytestmark = pytest.mark.casa
BOX = PixelBox(5, 3, 60, 58)


@pytest.fixture
def run(plane):
    def stage(root=plane.root):
        context = StageContext(plane.workspace, "pbcor", "spw2")
        return correct_primary_beam(PbcorInputs(root, BOX, ()), context), context

    return stage


def test_image_and_residual_are_divided_stokes_by_stokes(plane, run):
    working = plane.workspace.working
    inputs = [working / naming.tclean_product(plane.root, kind) for kind in ("image", "residual", "pb")]
    before = digests(*inputs)
    result, context = run()
    assert digests(*inputs) == before
    assert result.image == f"{plane.root}.image.pbcor.tt0"
    assert result.residual == f"{plane.root}.image.residual.pbcor.tt0"
    for name, kind in ((result.image, "image"), (result.residual, "residual")):
        expected = getattr(plane, kind).astype(float) / plane.pb.astype(float)
        made = read_cube(working / name)
        assert made.shape == expected.shape
        np.testing.assert_array_equal(np.isnan(made), np.isnan(expected))
        np.testing.assert_allclose(made, expected, rtol=1e-6)
        found = result.statistics[kind]
        values = expected[0][np.isfinite(expected[0])]
        assert found.npts == values.size
        assert found.max == pytest.approx(values.max(), rel=1e-6)
        assert found.median == pytest.approx(np.median(values), rel=1e-6)
        assert found.sigma == pytest.approx(values.std(ddof=1), rel=1e-6)
    assert set(result.statistics) == {"image", "residual"}
    assert [output.path for output in context.outputs] == [
        f"working/{result.image}",
        f"working/{result.residual}",
    ]
    assert all(output.digest.startswith("tree:") for output in context.outputs)
    assert context.messages == []


def test_histogram_is_of_the_response_in_the_box(plane, run):
    result, _ = run()
    inside = plane.pb[0, 3:59, 5:61].astype(float)
    inside = inside[np.isfinite(inside)]
    edges = [0.1 * n for n in range(11)]
    assert result.pb_histogram_edges == pytest.approx(edges)
    # The last bin has its upper edge.
    counts = np.bincount(np.minimum(np.floor(10 * inside).astype(int), 9), minlength=10)
    assert result.pb_histogram_counts == tuple(counts)
    assert min(counts[1:]) > 0


def test_twice_is_the_same(plane, run):
    first, context = run()
    pixels = read_cube(plane.workspace.working / first.image)
    second, again = run()
    assert second == first
    assert [o.path for o in again.outputs] == [o.path for o in context.outputs]
    np.testing.assert_array_equal(read_cube(plane.workspace.working / second.image), pixels)


@pytest.mark.parametrize("kind", ["image", "residual", "pb"])
def test_without_one_of_the_images_nothing_is_left(plane, run, kind):
    working = plane.workspace.working
    path = working / naming.tclean_product(plane.root, kind)
    path.rename(working / "elsewhere")
    before = sorted(working.iterdir())
    with pytest.raises(RuntimeError, match=kind):
        run()
    assert sorted(working.iterdir()) == before
