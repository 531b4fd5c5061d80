"""The two imaging engines on one field: the same images, and a killed run ends as an uninterrupted one."""

import numpy as np
import pytest

from vlasscube import casa
from vlasscube.images.casa_images import read_cube
from vlasscube.recipe import MAKE_IMAGES, TRANSFORM_IMAGE_DATA
from vlasscube.results.reading import read_result
from vlasscube.simulation.comparison import assess, compare_run

pytestmark = [pytest.mark.casa, pytest.mark.endtoend]

PLANES = ("spw2", "spw3")


def images(run, label):
    return read_result(run.workspace, MAKE_IMAGES, label)


def cube(run, label, kind):
    return np.nan_to_num(
        read_cube(run.workspace.working / f"{images(run, label).target.image_root}.iter3.{kind}.tt0")
    )


@pytest.mark.parametrize("label", PLANES)
def test_the_clean_stops_for_the_same_reasons(casa_run, mosaic_run, label):
    theirs, ours = images(casa_run, label).iterations, images(mosaic_run, label).iterations
    assert [i.stop_code for i in ours] == [i.stop_code for i in theirs]
    for one, other in zip(ours, theirs, strict=True):
        assert one.major_cycles == pytest.approx(other.major_cycles, abs=2)
        assert one.iterations_done == pytest.approx(other.iterations_done, rel=0.1, abs=5)
        for stokes in "IQUV":
            mine, reference = one.statistics[stokes], other.statistics[stokes]
            assert mine.residual_madrms == pytest.approx(reference.residual_madrms, rel=0.02)


@pytest.mark.parametrize("label", PLANES)
def test_images_are_alike(casa_run, mosaic_run, label):
    theirs, ours = images(casa_run, label).beam, images(mosaic_run, label).beam
    assert ours.bmaj_arcsec == pytest.approx(theirs.bmaj_arcsec, rel=1e-3)
    assert ours.bmin_arcsec == pytest.approx(theirs.bmin_arcsec, rel=1e-3)
    peak = cube(casa_run, label, "image")[0].max()
    # Well within the primary beam: at its limit a pixel is in the one image and not in the other.
    inside = cube(casa_run, label, "pb")[0] > 0.12
    for kind, tolerance in (("pb", 1e-3), ("psf", 1e-3)):
        assert (
            np.abs(cube(mosaic_run, label, kind) - cube(casa_run, label, kind))[:, inside].max() < tolerance
        )
    difference = (cube(mosaic_run, label, "image") - cube(casa_run, label, "image"))[:, inside]
    assert np.abs(difference).max() < 0.01 * peak
    assert difference.std() < 2e-3 * peak


def test_fluxes_are_as_near_to_the_truth(casa_run, mosaic_run):
    theirs, ours = assess(compare_run(casa_run.workspace)), assess(compare_run(mosaic_run.workspace))
    assert not ours.misses, "\n".join(ours.misses)
    assert ours.mean_i_ratio == pytest.approx(theirs.mean_i_ratio, abs=0.005)


def test_restored_state_is_all_but_the_continuum_runs(mosaic_run):
    """The model is predicted by our own engine; the rest follows from it by CASA's tasks."""
    truth = np.load(mosaic_run.workspace.directory / "truth" / "continuum_final.npz")
    keys = ("ANTENNA2", "ANTENNA1", "TIME", "FIELD_ID", "DATA_DESC_ID")
    expected_order = np.lexsort([truth[key] for key in keys])
    name = read_result(mosaic_run.workspace, TRANSFORM_IMAGE_DATA).working_ms
    with casa.table(mosaic_run.workspace.working / name) as table:
        order = np.lexsort([table.getcol(key) for key in keys])
        found = {key: table.getcol(key)[..., order] for key in ("FLAG", "MODEL_DATA", "WEIGHT_SPECTRUM")}
    good = ~found["FLAG"]
    assert np.array_equal(found["FLAG"], truth["FLAG"][..., expected_order])
    model, true_model = found["MODEL_DATA"][good], truth["MODEL_DATA"][..., expected_order][good]
    assert np.sqrt(np.mean(np.abs(model - true_model) ** 2)) < 2e-3 * np.abs(true_model).max()
    weight, true_weight = found["WEIGHT_SPECTRUM"][good], truth["WEIGHT_SPECTRUM"][..., expected_order][good]
    np.testing.assert_allclose(weight, true_weight, rtol=0.02)


@pytest.mark.parametrize("label", PLANES)
def test_a_killed_run_ends_as_an_uninterrupted_one(mosaic_run, uninterrupted_mosaic_run, label):
    for kind in ("image", "residual", "model", "psf", "pb"):
        assert np.array_equal(cube(mosaic_run, label, kind), cube(uninterrupted_mosaic_run, label, kind)), (
            kind
        )
