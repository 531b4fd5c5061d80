"""Real visibilities through the whole workflow: 3C273, scaled to S band, with both engines."""

from __future__ import annotations

import os
import shutil
import subprocess

import numpy as np
import pytest

from vlasscube import casa
from vlasscube.casacore_tables import table
from vlasscube.images.casa_images import read_cube
from vlasscube.polarization.rotation_measure import rotation_measure
from vlasscube.recipe import FLAG_TARGETS_DATA, IMPORT_DATA, MAKE_CUTOUT_IMAGES, MAKE_IMAGES, RESTORE_PIMS
from vlasscube.results.reading import read_result
from vlasscube.workspace.directory import Workspace

from .real_data import WINDOWS, make_run_directory
from .running import command

pytestmark = [pytest.mark.casa, pytest.mark.endtoend, pytest.mark.slow]

LABELS = [f"spw{window}" for window in WINDOWS]


@pytest.fixture(scope="module")
def observed(tmp_path_factory):
    directory = tmp_path_factory.mktemp("real") / "run"
    directory.mkdir()
    casa.configure(tmp_path_factory.mktemp("logs") / "casa.log")
    make_run_directory(directory)
    return directory


def finish(directory, home, *options):
    finished = subprocess.run(
        command("run", directory, *options),
        env={**os.environ, "HOME": str(home)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
    return Workspace(directory)


@pytest.fixture(scope="module")
def mosaic(observed, tmp_path_factory):
    directory = tmp_path_factory.mktemp("mosaic") / "run"
    shutil.copytree(observed, directory)
    return finish(directory, tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="module")
def tclean(observed, tmp_path_factory):
    """One plane: tclean takes ten times as long."""
    directory = tmp_path_factory.mktemp("tclean") / "run"
    shutil.copytree(observed, directory)
    path = directory / "CCIP_parameter.list"
    lines = path.read_text().splitlines()
    path.write_text("\n".join("spw=['13']" if line.startswith("spw=") else line for line in lines) + "\n")
    return finish(directory, tmp_path_factory.mktemp("home"), "--engine", "casa")


def cube(workspace, label, kind):
    root = read_result(workspace, MAKE_IMAGES, label).target.image_root
    return np.nan_to_num(read_cube(workspace.working / f"{root}.iter3.{kind}.tt0"))


def test_every_plane_is_imaged(mosaic):
    assert read_result(mosaic, IMPORT_DATA).summary.converted_frames == ("B1950_VLA",)
    for label in LABELS:
        images = cube(mosaic, label, "image")
        y, x = np.unravel_index(images[0].argmax(), images[0].shape)
        # 3C273 at the phase centre, as its catalogues have it at 8 GHz; and its jet.
        assert (y, x) == (128, 128)
        assert images[0, y, x] == pytest.approx(30, rel=0.02)
        jet = images[0, 128 - 45 : 128 - 20, 128 + 10 : 128 + 40]
        assert 0.3 < jet.max() < 3


def test_planes_of_the_same_data_agree(mosaic):
    """Every window has the same visibilities in wavelengths; what differs is the primary beam."""
    first, beam = cube(mosaic, LABELS[0], "image"), read_result(mosaic, MAKE_IMAGES, LABELS[0]).beam
    peak = first[0].max()
    for label in LABELS[1:]:
        found = read_result(mosaic, MAKE_IMAGES, label).beam
        assert found.bmaj_arcsec == pytest.approx(beam.bmaj_arcsec, rel=1e-4)
        assert found.bmin_arcsec == pytest.approx(beam.bmin_arcsec, rel=1e-4)
        difference = np.abs(cube(mosaic, label, "image") - first)
        print(label, difference.max(axis=(1, 2)) / peak)
        assert difference[0, 128, 128] < 1e-4 * peak
        assert difference[:, 64:-64, 64:-64].max() < 2e-3 * peak


def test_there_is_no_rotation_measure(mosaic):
    frequencies = [read_result(mosaic, MAKE_IMAGES, label).frequency_hz for label in LABELS]
    stokes = np.array([cube(mosaic, label, "image")[:, 128, 128] for label in LABELS])
    noise = max(cube(mosaic, label, "residual")[1:3].std() for label in LABELS)
    fit = rotation_measure(frequencies, stokes[:, 1], stokes[:, 2], noise)
    print(fit)
    assert fit.snr > 20
    assert abs(fit.rm) < fit.rm_error
    assert abs(fit.rm) < 1


def test_both_engines_make_the_same_plane(mosaic, tclean):
    ours, theirs = (read_result(each, MAKE_IMAGES, "spw13") for each in (mosaic, tclean))
    assert [i.stop_code for i in ours.iterations] == [i.stop_code for i in theirs.iterations]
    assert ours.beam.bmaj_arcsec == pytest.approx(theirs.beam.bmaj_arcsec, rel=1e-5)
    assert ours.beam.bmin_arcsec == pytest.approx(theirs.beam.bmin_arcsec, rel=1e-5)
    image, model = cube(mosaic, "spw13", "image"), cube(mosaic, "spw13", "model")
    reference = cube(tclean, "spw13", "image")
    peak = reference[0].max()
    difference = np.abs(image - reference) / peak
    border = np.ones(image.shape[1:], bool)
    border[20:-20, 20:-20] = False
    print("all, inside", difference.max(axis=(1, 2)), np.where(border, 0, difference).max(axis=(1, 2)))
    assert model.any()
    assert np.where(border, 0, difference).max() < 1e-5
    # Convolution in tclean goes on at the opposite border.
    assert difference.max() < 1e-3


def test_what_the_flags_take_is_told(mosaic):
    counts = read_result(mosaic, FLAG_TARGETS_DATA)
    (ms,) = mosaic.working.glob("*.ms")
    with table(ms) as opened:
        flags = opened.getcol("FLAG")[:, 0]
        assert not opened.getcol("FLAG_ROW").any()
    lost = int((~flags & flags.any(axis=1)[:, None]).sum())
    assert sum(sum(field.incomplete.values()) for field in counts.fields) == lost > 0
    uncalibrated = read_result(mosaic, RESTORE_PIMS).without_solution
    assert uncalibrated.by_antenna
    assert set(uncalibrated.by_spw) == set(WINDOWS)


def test_the_noise_expected_is_that_of_residuals_without_a_model(mosaic):
    """Why these planes have a tenth of the noise that their weights promise, and are warned of.

    A row with one flagged correlation has no model (tclean predicts none), so that to statwt all of the 30 Jy
    of its others is scatter. Without these rows, and without the polarised flux that no model has, the
    scatter is hundreds of times smaller.
    """
    ratios = read_result(mosaic, MAKE_CUTOUT_IMAGES, "spw13").noise_ratio
    assert max(ratios.values()) < 0.5
    (ms,) = mosaic.working.glob("*.ms")
    with table(ms) as opened:
        chosen = opened.query("DATA_DESC_ID == 13")
        data, model = (chosen.getcol(name)[:, 0] for name in ("DATA", "MODEL_DATA"))
        weight, flag = chosen.getcol("WEIGHT"), chosen.getcol("FLAG")[:, 0]
        baseline = chosen.getcol("ANTENNA1") * 100 + chosen.getcol("ANTENNA2")
    residual = np.where(flag, np.nan, data - model)
    modelled = np.where((model[:, :1] != 0) & ~flag, residual, np.nan)[:, [0, 3]]
    predicted, clean, found = [], [], []
    for number in np.unique(baseline):
        rows = baseline == number
        if np.isfinite(modelled[rows]).sum() < 10:
            continue
        predicted.append(scatter(residual[rows]))
        clean.append(scatter(modelled[rows]))
        found.append(1 / weight[rows][~flag[rows].all(axis=1)].mean())
    np.testing.assert_allclose(found, predicted, rtol=0.05)
    assert np.median(predicted) > 100 * np.median(clean)


def scatter(values):
    """Variance of the real and the imaginary parts, as statwt takes it."""
    good = values[np.isfinite(values)]
    return (good.real.var() + good.imag.var()) / 2
