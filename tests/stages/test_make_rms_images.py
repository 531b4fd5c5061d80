"""Stage 9 on small images. Oracle: at its grid points, the definition of the local noise by numpy."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import erfcinv

from vlasscube import naming
from vlasscube.images.casa_images import image_facts, read_cube
from vlasscube.records import STOKES, PixelBox
from vlasscube.stages.context import StageContext
from vlasscube.stages.make_rms_images import RmsInputs, make_rms_image
from vlasscube.stages.pbcor import PbcorInputs, correct_primary_beam

from .conftest import digests

pytestmark = pytest.mark.casa


@pytest.fixture
def run(plane):
    context = StageContext(plane.workspace, "pbcor", "spw2")
    pbcor = correct_primary_beam(PbcorInputs(plane.root, PixelBox(0, 0, 9, 9), ()), context).image

    def stage(name=pbcor):
        context = StageContext(plane.workspace, "make_rms_images", "spw2")
        return make_rms_image(RmsInputs(name, ()), context), context

    stage.pbcor = plane.workspace.working / pbcor
    return stage


def local_noise(image, x, y, reach, more=0):
    """1.4826 × MAD of a box, after Chauvenet's criterion has been repeated until nothing is rejected.

    CASA's limit lies between those of n and n + 1 values: ``more`` is 0 or 1.
    """
    values = image[max(y - reach, 0) : y + reach + 1, max(x - reach, 0) : x + reach + 1].astype(float)
    values = values[np.isfinite(values)]
    while True:
        # Fewer than half a value is expected beyond z.
        z = np.sqrt(2) * erfcinv(0.5 / (values.size + more))
        kept = values[np.abs(values - values.mean()) <= z * values.std(ddof=1)]
        if kept.size == values.size:
            return 1.4826 * np.median(np.abs(values - np.median(values)))
        values = kept


def test_noise_of_each_stokes_plane_at_the_points_of_the_grid(plane, run):
    before = digests(run.pbcor)
    result, context = run()
    assert digests(run.pbcor) == before
    assert result.image == f"{run.pbcor.name}.rms"
    made, corrected = read_cube(run.pbcor.with_name(result.image)), read_cube(run.pbcor)
    np.testing.assert_array_equal(np.isnan(made[0])[~np.isfinite(corrected[0])], True)
    facts = image_facts(run.pbcor)
    assert facts.cell_arcsec == pytest.approx(plane.geometry.cell_arcsec)
    # Boxes of 60″, every tenth pixel from the reference pixel.
    reach = round(30.0 / plane.geometry.cell_arcsec)
    centre = plane.geometry.nx // 2, plane.geometry.ny // 2
    checked = 0
    for index, stokes in enumerate(STOKES):
        for x in range(centre[0] % 10, plane.geometry.nx, 10):
            for y in range(centre[1] % 10, plane.geometry.ny, 10):
                if np.isfinite(made[index, y, x]):
                    expected = [local_noise(corrected[index], x, y, reach, more) for more in (0, 1)]
                    assert np.isclose(made[index, y, x], expected, rtol=1e-4).any(), (stokes, x, y)
                    checked += 1
        values = made[index][np.isfinite(made[index])]
        found = result.statistics[stokes]
        assert (found.npts, found.max) == (values.size, pytest.approx(values.max()))
        assert found.median == pytest.approx(np.median(values), rel=1e-6)
    assert checked >= 4 * 12
    assert list(result.statistics) == list(STOKES)
    # The noise falls from I to V as it was made, so that planes are not taken for one another.
    medians = [result.statistics[stokes].median for stokes in STOKES]
    assert medians == sorted(medians, reverse=True)
    assert [output.path for output in context.outputs] == [f"working/{result.image}"]
    assert context.messages == []


def test_twice_is_the_same(run):
    first, _ = run()
    pixels = read_cube(run.pbcor.with_name(first.image))
    second, _ = run()
    assert second == first
    np.testing.assert_array_equal(read_cube(run.pbcor.with_name(second.image)), pixels)


def test_without_its_image_nothing_is_left(plane, run):
    run.pbcor.rename(run.pbcor.with_name("elsewhere"))
    before = sorted(plane.workspace.working.iterdir())
    with pytest.raises(RuntimeError, match=r"pbcor\.tt0"):
        run()
    assert sorted(plane.workspace.working.iterdir()) == before
    assert naming.rms_name(run.pbcor.name) not in {path.name for path in before}
