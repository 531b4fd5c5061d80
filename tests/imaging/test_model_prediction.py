"""The model of the continuum run in MODEL_DATA: beside tclean, beside direct sums, and what is refused."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from vlasscube import casa
from vlasscube.errors import ImagingError
from vlasscube.images.casa_images import read_plane
from vlasscube.imaging import model_prediction
from vlasscube.imaging.model_prediction import predict_continuum_model
from vlasscube.measurement_set.restore import continuum_prediction_arguments
from vlasscube.mosaic.imager import ImagerSettings, MosaicImager
from vlasscube.records import DataSelection, ImageGeometry
from vlasscube.simulation import preset
from vlasscube.simulation.build import observe as simulate
from vlasscube.simulation.measurement_set import INTENT, write_measurement_set
from vlasscube.testing import observations

GEOMETRY = ImageGeometry(256, 256, 5.0, "J2000 10:00:00.000 +34.00.00.0000")
SELECTION = DataSelection("", "", "", "", "", "")
PARAMETERS = dict(robust=-2.0, uvtaper=("2.6476arcsec",), reffreq="3.0GHz", pblimit=0.1)


# ---------------------------------------------------------------------------------------------- beside tclean

FIELD = preset(
    "tiny", rfi_spws=(), science_spws=(3, 9, 11, 16), flagged_row_fraction=0.1, flagged_correlation="LL"
)
SEASONS = {
    # In the frame of the image the channels lie a little higher than observed, or a little lower: CASA then
    # has other beams.
    "moving_towards": FIELD,
    "moving_away": replace(FIELD, start_mjd=FIELD.start_mjd + 180),
}


@pytest.fixture(scope="module", params=SEASONS)
def both(request, tmp_path_factory):
    """MODEL_DATA of all spectral windows as tclean writes it, and as we do."""
    directory = tmp_path_factory.mktemp("prediction")
    casa.configure(directory / "casa.log")
    p = SEASONS[request.param]
    ms = directory / "field.ms"
    observation = simulate(p, 4)
    write_measurement_set(ms, observation)
    geometry = ImageGeometry(*p.imsize, p.cell_arcsec, p.phasecenter)
    fields = ",".join(str(pointing.field_id) for pointing in observation.pointings)
    scans = ",".join(str(scan) for scan in sorted({pointing.scan for pointing in observation.pointings}))
    antennas = ",".join(map(str, range(p.antennas))) + "&"
    selection = DataSelection(fields, ",".join(map(str, p.science_spws)), antennas, scans, INTENT, "<12km")
    models = by_casa(directory, ms, selection, geometry)
    expected = model_data(ms)
    predict_continuum_model(ms, models, selection, geometry, **PARAMETERS)
    return SimpleNamespace(name=request.param, expected=expected, found=model_data(ms))


def by_casa(directory: Path, ms: Path, selection: DataSelection, geometry: ImageGeometry) -> list[Path]:
    """Fill MODEL_DATA by tclean; return the model images, of points with spectra of their own."""
    root = directory / "image"
    arguments = continuum_prediction_arguments(ms, root, selection, geometry, nterms=2, **PARAMETERS)
    casa.run_task("tclean", **arguments, calcpsf=True, savemodel="none")
    weight = read_plane(Path(f"{root}.weight.tt0"))
    pb = np.sqrt(np.abs(weight) / weight.max())
    rng = np.random.default_rng(5)
    places = np.argwhere(pb > 0.3)
    terms = np.zeros((2, *pb.shape))
    for y, x in places[rng.choice(len(places), 6, replace=False)]:
        terms[:, y, x] = rng.uniform(0.1, 1.0) * pb[y, x] * np.array([1, rng.uniform(-1, 1)])
    models = []
    for number, term in enumerate(terms):
        # Images that tclean made itself: it takes no others for its own.
        path = Path(f"{root}.model.tt{number}")
        if not path.exists():
            shutil.copytree(f"{root}.psf.tt0", path)
        with casa.image(path) as image:
            image.putchunk(term.T[:, :, None, None])
        models.append(path)
    casa.run_task("tclean", **arguments, calcpsf=False, savemodel="modelcolumn")
    return models


def model_data(ms: Path) -> dict[int, tuple[np.ndarray, np.ndarray]]:
    """MODEL_DATA and FLAG of each spectral window; shape (4, nchan, rows)."""
    result = {}
    with casa.table(ms) as table:
        for spw in np.unique(table.getcol("DATA_DESC_ID")):
            rows = table.query(f"DATA_DESC_ID=={spw}")
            result[int(spw)] = rows.getcol("MODEL_DATA"), rows.getcol("FLAG")
            rows.close()
    return result


@pytest.mark.casa
def test_model_is_that_of_tclean(both):
    """Largest and rms difference over the rms of the model, of visibilities with no correlation flagged."""
    for spw in FIELD.science_spws:
        (expected, flag), (found, _) = both.expected[spw], both.found[spw]
        good = ~flag.any(axis=0)
        assert good.mean() > 0.5
        for channel in np.flatnonzero(good.any(axis=1)):
            want, got = (part[:, channel, good[channel]] for part in (expected, found))
            difference = np.abs(got - want)
            scale = np.sqrt(np.mean(np.abs(want[[0, 3]]) ** 2))
            rms = np.sqrt(np.mean(difference[[0, 3]] ** 2)) / scale
            print(both.name, spw, channel, f"rms {rms:.1e} largest {difference.max() / scale:.1e}")
            assert rms < 3e-4
            assert difference.max() / scale < 1e-3


@pytest.mark.casa
def test_flagged_visibilities_get_what_tclean_gives_them(both):
    for spw in FIELD.science_spws:
        (expected, flag), (found, _) = both.expected[spw], both.found[spw]
        assert flag.any()
        np.testing.assert_array_equal(found[[0, 3]] == 0, expected[[0, 3]] == 0)


# ----------------------------------------------------------------------------------------- beside direct sums


def test_two_taylor_terms_scale_with_frequency():
    """The model of a source at its pointing's centre is its spectrum, whatever beams and weights are."""
    grid = observations.image_grid()
    visibilities = observations.observe(grid, pointings=((0.0, 0.0),), channels=8, size_m=350.0)
    imager = MosaicImager(grid, visibilities, ImagerSettings(gridding="exact"))
    weight_image = imager.weight_image()
    models = np.zeros((2, *grid.shape), dtype=np.float32)
    models[:, grid.ny // 2, grid.nx // 2] = 2.0, -3.0
    ((window, model),) = imager.predict_taylor(models, weight_image, 3.0e9)
    frequency = window.channel_frequency_hz * visibilities.fields[0].lsrk_factor
    expected = 2.0 - 3.0 * (frequency / 3.0e9 - 1)
    parallel = model[:, :, [0, 3]]
    np.testing.assert_allclose(parallel, np.broadcast_to(expected[:, None], parallel.shape), atol=2e-3)
    assert not model[:, :, 1:3].any()


@pytest.mark.parametrize(("gridding", "tolerance"), [("exact", 3e-3), ("casa", 6e-2)])
def test_two_taylor_terms_are_the_direct_sum(gridding, tolerance):
    grid = observations.image_grid()
    sources = [(120, 100, 1.0, 0.7), (140, 88, 0.6, -0.8), (101, 117, 0.8, 0.0)]
    visibilities = observations.observe(grid, channels=8, size_m=350.0)
    imager = MosaicImager(grid, visibilities, ImagerSettings(gridding=gridding))
    weight_image = imager.weight_image()
    pb = imager.primary_beam(weight_image)
    models = np.zeros((2, *grid.shape), dtype=np.float32)
    for x, y, flux, slope in sources:
        models[:, y, x] = flux * pb[y, x], flux * slope * pb[y, x]
    ((window, model),) = imager.predict_taylor(models, weight_image, 2.8e9)
    for channel in range(window.channels):
        frequency = window.channel_frequency_hz[channel : channel + 1]
        term = frequency[0] * visibilities.fields[0].lsrk_factor / 2.8e9 - 1
        expected = observations.predict(
            grid,
            [(x, y, (flux * (1 + slope * term), 0, 0, 0)) for x, y, flux, slope in sources],
            window.uvw_m,
            window.field_index,
            visibilities.fields,
            frequency,
        )
        np.testing.assert_allclose(model[:, channel], expected[:, 0], atol=tolerance)


def test_visibilities_with_a_flag_get_no_model():
    grid = observations.image_grid()
    visibilities = observations.observe(grid, size_m=350.0)
    visibilities.spectral_windows[0].usable[::7, 2] = 0b1110
    imager = MosaicImager(grid, visibilities, ImagerSettings())
    models = np.zeros((1, *grid.shape), dtype=np.float32)
    models[0, grid.ny // 2, grid.nx // 2] = 1
    ((_, model),) = imager.predict_taylor(models, imager.weight_image(), 3.0e9)
    assert not model[::7, 2].any()
    assert np.all(model[:, :2, 0] != 0)


# ----------------------------------------------------------------------------------------------------- errors


@pytest.fixture
def predict(monkeypatch):
    """Predict from images of a given shape, without files; returns what would be written."""

    def call(shape=(256, 256), terms=2, flagged=False):
        grid = observations.image_grid(256, 256, 5.0)
        visibilities = observations.observe(grid, channels=2, antennas=4)
        if flagged:
            visibilities.spectral_windows[0].usable[:] = 0
        written = []
        monkeypatch.setattr(model_prediction, "read_visibilities", lambda *_, **__: visibilities)
        monkeypatch.setattr(model_prediction, "read_plane", lambda _: np.zeros(shape, dtype=np.float32))
        monkeypatch.setattr(model_prediction, "write_model_column", lambda _, model: written.extend(model))
        models = [Path(f"name.model.tt{term}") for term in range(terms)]
        predict_continuum_model(Path("field.ms"), models, SELECTION, GEOMETRY, **PARAMETERS)
        return written

    return call


def test_all_rows_are_written(predict):
    ((rows, model),) = predict()
    assert model.shape == (rows.size, 2, 4)
    np.testing.assert_array_equal(rows, np.arange(rows.size))


def test_images_that_do_not_fit_the_geometry_are_refused(predict):
    with pytest.raises(ImagingError, match="128x256 pixels, not 256x256") as error:
        predict(shape=(256, 128))
    assert "SEIP_parameter.list" in error.value.hint


@pytest.mark.parametrize("terms", [0, 3])
def test_one_or_two_terms_are_taken(predict, terms):
    with pytest.raises(ImagingError, match=f"{terms} model images"):
        predict(terms=terms)


def test_flagged_data_are_told(predict):
    with pytest.raises(ImagingError, match="no unflagged visibility"):
        predict(flagged=True)
