"""The mosaic engine from visibilities in memory to CASA images on disk."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from vlasscube.clean_terms import PrimaryBeamMask
from vlasscube.errors import ImagingError, MemoryLimitError
from vlasscube.images.casa_images import image_facts, read_plane
from vlasscube.imaging import mosaic_engine, tclean
from vlasscube.imaging.clean_sequence import CleanParameters, iteration_sequence
from vlasscube.imaging.engine import CleanRequest
from vlasscube.imaging.mosaic_engine import MosaicEngine, _tracks_text
from vlasscube.imaging.tclean import TcleanEngine
from vlasscube.mosaic.scan_tracks import ScanTrack
from vlasscube.records import DataSelection, ImageGeometry
from vlasscube.testing.observations import image_grid, observe

SELECTION = DataSelection("", "8", "", "", "", "")
SOURCES = [(120, 100, (1.0, 0.1, -0.05, 0.02)), (150, 120, (0.5, 0.0, 0.05, 0.0))]


@pytest.fixture
def field(monkeypatch):
    """Have the engine read made-up visibilities; returns what sets them."""
    held = {}

    def read(vis, selection, *, frame):
        assert frame == "J2000"
        return held["visibilities"]

    def hold(visibilities):
        held["visibilities"] = visibilities

    monkeypatch.setattr(mosaic_engine, "read_visibilities", read)
    hold(observe(image_grid(), SOURCES, antennas=14))
    return hold


PB_MASKS = (PrimaryBeamMask(), PrimaryBeamMask())


def parameters(nx=240, ny=200, masks=PB_MASKS, **changes):
    geometry = ImageGeometry(nx, ny, 12.0, "J2000 10:00:00.000 +34.00.00.0000")
    return CleanParameters(geometry=geometry, masks=masks, nmajor=4, **changes)


def make(engines, directory, settings, count=None):
    """Make iterations, each with the next of the engines; the results."""
    results, previous = [], None
    for iteration in iteration_sequence(settings)[:count]:
        root = directory / f"x.iter{iteration.number}"
        request = CleanRequest(Path("x.ms"), SELECTION, 2.796e9, root, previous, settings, iteration)
        results.append(next(engines).clean(request))
        previous = root
    return results


def one_engine(**options):
    engine = MosaicEngine(**options)
    while True:
        yield engine


def new_engines():
    while True:
        yield MosaicEngine()


def planes(directory, name):
    return np.stack([read_plane(directory / name, stokes) for stokes in range(4)])


@pytest.mark.casa
def test_sources_are_cleaned(field, tmp_path):
    results = make(one_engine(), tmp_path, parameters())
    assert [r.stop_code for r in results][1:] != [0, 0]
    assert results[1].major_cycles >= 2
    pb = planes(tmp_path, "x.iter2.pb.tt0")
    image = planes(tmp_path, "x.iter2.image.tt0") / np.nan_to_num(pb, nan=1.0)
    for x, y, stokes in SOURCES:
        np.testing.assert_allclose(image[:, y, x], stokes, atol=0.05)
    assert image_facts(tmp_path / "x.iter2.image.tt0").beam is not None
    assert "mosaic(" in results[0].call
    assert "gridder" in results[0].call


@pytest.mark.casa
def test_going_on_from_disk_is_going_on_from_memory(field, tmp_path):
    (tmp_path / "memory").mkdir()
    (tmp_path / "disk").mkdir()
    make(one_engine(), tmp_path / "memory", parameters())
    make(new_engines(), tmp_path / "disk", parameters())
    for kind in ("image", "residual", "model"):
        name = f"x.iter2.{kind}.tt0"
        assert np.array_equal(
            planes(tmp_path / "memory", name), planes(tmp_path / "disk", name), equal_nan=True
        )


def test_what_stays_the_same_is_shared_and_the_rest_is_not(field, tmp_path):
    make(one_engine(), tmp_path, parameters())

    def inodes(number, kind):
        files = sorted((tmp_path / f"x.iter{number}.{kind}.tt0").glob("table.*"))
        return [path.stat().st_ino for path in files if path.name != "table.lock"]

    assert inodes(0, "psf") == inodes(1, "psf") == inodes(2, "psf")
    assert not set(inodes(1, "residual")) & set(inodes(2, "residual"))


@pytest.mark.parametrize("size", [(101, 96), (64, 150), (75, 75)])
def test_odd_and_oblong_images(field, tmp_path, size):
    field(
        observe(
            image_grid(*size, cell_arcsec=24.0), [(size[0] // 2, size[1] // 2, (1, 0, 0, 0))], antennas=12
        )
    )
    settings = parameters(*size)
    settings = replace(settings, geometry=replace(settings.geometry, cell_arcsec=24.0))
    make(one_engine(), tmp_path, settings)
    image = planes(tmp_path, "x.iter2.image.tt0")[0]
    assert np.unravel_index(np.argmax(image), image.shape) == (size[1] // 2, size[0] // 2)


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        {"gridding": "exact"},
        {"gridding": "exact", "w_correction": True},
        {"gridding": "exact", "w_correction": True, "otf_beam": "smeared", "nsigma_per_stokes": True},
    ],
)
def test_better_kernels(field, tmp_path, options):
    results = make(one_engine(**options), tmp_path, parameters())
    assert all(result.stop_code not in (5, 6) for result in results)
    assert str(options["gridding"]) in results[0].call


@pytest.mark.slow
def test_it_is_told_where_the_antennas_went(field, tmp_path):
    (result,) = make(one_engine(gridding="exact", otf_beam="smeared"), tmp_path, parameters(), count=1)
    message = result.messages[-1]
    assert (message.level, message.text) == (
        "info",
        "x.iter0: the fields are not those of on-the-fly rows: the beam is that at their phase centres",
    )
    assert "otf_beam='smeared'" in result.call


def test_a_row_is_described():
    row = ScanTrack((3.0 / 3438, 0.0), np.array([True, True, False]))
    assert _tracks_text([row]) == (
        "beam averaged over the way of the antennas during a field: "
        "3.00 arcmin at position angle 90 deg (2 fields)"
    )


def flagged(visibilities):
    (window,) = visibilities.spectral_windows
    return replace(visibilities, spectral_windows=(replace(window, usable=np.zeros_like(window.usable)),))


def weightless(visibilities):
    (window,) = visibilities.spectral_windows
    return replace(visibilities, spectral_windows=(replace(window, weight=np.zeros_like(window.weight)),))


@pytest.mark.parametrize("spoil", [flagged, weightless])
def test_nothing_to_image_is_an_error_with_a_hint(field, tmp_path, spoil):
    field(spoil(observe(image_grid(), SOURCES)))
    with pytest.raises(ImagingError, match="no visibility can be imaged") as caught:
        make(one_engine(), tmp_path, parameters(), 1)
    assert "flagged" in caught.value.hint


def test_pointings_off_the_image_are_an_error(field, tmp_path):
    field(observe(image_grid(), SOURCES, pointings=((90.0, 90.0),)))
    with pytest.raises(ImagingError, match="no visibility can be imaged"):
        make(one_engine(), tmp_path, parameters(), 1)


def test_bad_values_are_told(field, tmp_path):
    field(replace(observe(image_grid(), SOURCES, antennas=14), non_finite=7, bad_weights=2))
    (result,) = make(one_engine(), tmp_path, parameters(), 1)
    assert {message.level for message in result.messages} == {"warning"}
    assert "7 visibilities" in result.messages[0].text
    assert "2 weights" in result.messages[1].text


@pytest.mark.parametrize("changes", [{"channels": 1}, {"dumps": 1}, {"pointings": ((0.0, 0.0),)}])
def test_one_of_everything(field, tmp_path, changes):
    field(observe(image_grid(), SOURCES, antennas=14, **changes))
    make(one_engine(), tmp_path, parameters())
    assert np.isfinite(planes(tmp_path, "x.iter2.image.tt0")).any()


def test_one_baseline_cannot_be_deconvolved(field, tmp_path):
    field(observe(image_grid(), SOURCES, antennas=2))
    make(one_engine(), tmp_path, parameters(), 1)
    (tmp_path / "again").mkdir()
    with pytest.raises(ImagingError, match="minor cycle") as caught:
        make(one_engine(), tmp_path / "again", parameters())
    assert "psf" in caught.value.hint


def noise_only(scale=1.0):
    """Noise of weights that are a factor off."""
    observed = observe(image_grid(), antennas=14)
    (window,) = observed.spectral_windows
    noise = np.random.default_rng(1).normal(size=(*window.data.shape, 2)).view(complex)[..., 0]
    data = (noise / np.sqrt(window.weight)[..., None]).astype(np.complex64)
    return replace(observed, spectral_windows=(replace(window, data=data, weight=scale * window.weight),))


@pytest.mark.slow
@pytest.mark.parametrize("changes", [{}, {"robust": -1.0}, {"uvtaper": ("20arcsec",)}, {"pblimit": 0.3}])
def test_noise_is_expected_once_for_a_plane(field, tmp_path, changes):
    field(noise_only())
    first, *others = make(one_engine(), tmp_path, parameters(**changes), 2)
    assert [result.expected_noise_jy for result in others] == [None]
    # Four images of some hundred beams.
    measured = np.nanstd(planes(tmp_path, "x.iter0.residual.tt0"))
    assert measured == pytest.approx(first.expected_noise_jy, rel=0.1)
    field(noise_only(4.0))
    (tmp_path / "again").mkdir()
    (again,) = make(one_engine(), tmp_path / "again", parameters(**changes), 1)
    assert again.expected_noise_jy == pytest.approx(first.expected_noise_jy / 2, rel=1e-4)


@pytest.mark.casa
def test_noise_and_frequency_are_the_same_for_tclean(field, tmp_path, monkeypatch):
    field(noise_only())
    monkeypatch.setattr(tclean, "read_visibilities", mosaic_engine.read_visibilities)

    def made_by_tclean(name, imagename, **arguments):
        psf = tmp_path / "x.iter0.psf.tt0"
        shutil.copytree(psf, f"{imagename}.psf.tt0", dirs_exist_ok=True)
        return {}

    monkeypatch.setattr(tclean.casa, "run_task", made_by_tclean)
    settings = parameters(robust=0.5)
    (ours,) = make(one_engine(), tmp_path, settings, 1)
    of_tclean = make(iter([TcleanEngine(), TcleanEngine()]), tmp_path / "none", settings, 2)
    assert [result.expected_noise_jy for result in of_tclean] == [ours.expected_noise_jy, None]
    assert ours.spectral_coverage is not None
    assert [result.spectral_coverage for result in of_tclean] == [ours.spectral_coverage, None]
    assert [result.w_planes for result in of_tclean] == [ours.w_planes, None] == [0, None]
    assert ours.noncoplanar is not None
    assert [result.noncoplanar for result in of_tclean] == [ours.noncoplanar, None]


def test_too_little_memory_is_refused(field, tmp_path, monkeypatch):
    monkeypatch.setattr(mosaic_engine, "available_memory_bytes", lambda: 10**6)
    with pytest.raises(MemoryLimitError, match=r"million visibilities need .* GB of memory") as caught:
        make(one_engine(), tmp_path, parameters(), 1)
    assert "--workers" in caught.value.hint


NORTH = ((-4.0, 15.0), (4.0, 15.0), (0.0, 19.0))


@pytest.mark.casa
def test_a_mosaic_that_leaves_out_the_image_centre_says_where_its_beam_is_from(field, tmp_path):
    field(observe(image_grid(), [], antennas=14, size_m=250.0))
    (covered,) = make(one_engine(), tmp_path, parameters(), count=1)
    assert covered.messages == ()
    beam = image_facts(tmp_path / "x.iter0.psf.tt0").beam
    field(observe(image_grid(), [], antennas=14, size_m=250.0, pointings=NORTH))
    (tmp_path / "north").mkdir()
    (result,) = make(one_engine(), tmp_path / "north", parameters(), count=1)
    (message,) = result.messages
    assert message.level == "warning"
    assert "do not cover the image centre" in message.text
    found = image_facts(tmp_path / "north" / "x.iter0.psf.tt0").beam
    assert found.bmaj_arcsec == pytest.approx(beam.bmaj_arcsec, rel=0.03)
    assert found.bmin_arcsec == pytest.approx(beam.bmin_arcsec, rel=0.03)


def test_tclean_refuses_a_mosaic_that_leaves_out_the_image_centre(field, tmp_path, monkeypatch):
    monkeypatch.setattr(tclean, "read_visibilities", mosaic_engine.read_visibilities)
    field(observe(image_grid(), [], antennas=14, pointings=NORTH))
    with pytest.raises(ImagingError, match="do not cover the image centre") as caught:
        make(iter([TcleanEngine()]), tmp_path, parameters(), count=1)
    assert "--engine mosaic" in caught.value.hint
