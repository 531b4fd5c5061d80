"""Stage 7 on a simulated field, by the mosaic engine. Oracle: the sky and the noise that were simulated."""

from __future__ import annotations

import shutil
import tarfile
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from vlasscube import casa
from vlasscube.clean_terms import ImageMask, PrimaryBeamMask, StopCode
from vlasscube.errors import ImagingError, VlassCubeError
from vlasscube.images.casa_images import read_cube
from vlasscube.imaging import mosaic_engine
from vlasscube.imaging.clean_sequence import CleanParameters
from vlasscube.records import STOKES, DataSelection, FlagCount, ImageGeometry, NoncoplanarEffect, PlaneTarget
from vlasscube.simulation.build import observe
from vlasscube.simulation.continuum_images import pixel_position
from vlasscube.simulation.corruption import noise_jy, phase_errors_rad
from vlasscube.simulation.sky import stokes_spectrum
from vlasscube.simulation.spectral_windows import spw_mean_frequency_hz
from vlasscube.stages import make_images
from vlasscube.stages.context import StageContext
from vlasscube.stages.make_images import MakeImagesInputs, make_plane_images
from vlasscube.workspace.directory import Workspace

from .conftest import digests

pytestmark = [pytest.mark.casa, pytest.mark.slow]
SPW = 2
FREQUENCY_HZ = spw_mean_frequency_hz(SPW)
IMAGE_ROOT = "s7_0.name.spw2.IQUV"
MASK = "bright.mask"
MS = "small.ms"


@pytest.fixture(scope="module")
def begun(simulated, tmp_path_factory):
    """A run directory with data weighted by their noise, and a mask of the brighter of two sources."""
    parameters = simulated.parameters
    workspace = Workspace(tmp_path_factory.mktemp("begun"))
    workspace.working.mkdir()
    ms = workspace.working / MS
    shutil.copytree(f"{simulated.directory}/{simulated.measurement_set}", ms)
    casa.run_task("clearcal", vis=str(ms))
    observation = observe(parameters, simulated.seed)
    # As self-calibration leaves them.
    positions = observation.array.positions_m
    errors = phase_errors_rad(parameters, simulated.seed, observation.pointings[0].scan, positions)
    sigma = noise_jy(np.array([FREQUENCY_HZ]), 128e6 / parameters.channels, parameters.integration_s)[0]
    with casa.table(ms, writable=True) as table:
        phase = errors[table.getcol("ANTENNA1")] - errors[table.getcol("ANTENNA2")]
        table.putcol("CORRECTED_DATA", table.getcol("DATA") * np.exp(-1j * phase))
        table.putcol("WEIGHT", np.full_like(table.getcol("WEIGHT"), sigma**-2))
    sources = sorted(observation.sources, key=lambda source: -stokes_spectrum(source, FREQUENCY_HZ)[0])
    places = [np.round(pixel_position(parameters, s.ra_deg, s.dec_deg)).astype(int) for s in sources]
    mask = workspace.working / MASK
    with tarfile.open(f"{simulated.directory}/{simulated.resources}") as archive:
        archive.extractall(workspace.directory / "unpacked", filter="data")
    next((workspace.directory / "unpacked").glob("*tier1.mask")).rename(mask)
    shutil.rmtree(workspace.directory / "unpacked")
    with casa.image(mask) as image:
        values = image.getchunk()
        x, y = places[1]
        values[x - 8 : x + 9, y - 8 : y + 9] = 0
        image.putchunk(values)
    return SimpleNamespace(workspace=workspace, parameters=parameters, sources=sources, places=places)


@pytest.fixture
def workspace(begun, tmp_path):
    shutil.copytree(begun.workspace.directory, tmp_path / "field")
    return Workspace(tmp_path / "field")


def run(workspace, begun, key="key"):
    parameters = begun.parameters
    geometry = ImageGeometry(*parameters.imsize, parameters.cell_arcsec, parameters.phasecenter)
    target = PlaneTarget(
        spw=str(SPW),
        spw_ids=(SPW,),
        label=f"spw{SPW}",
        image_root=IMAGE_ROOT,
        reffreq_hz=FREQUENCY_HZ,
        selection=DataSelection("", str(SPW), "", "", "", ""),
        nominal_bandwidth_hz=128e6,
        flags=FlagCount(1, 100),
        box_flags=FlagCount(1, 100),
        fields_above_threshold=0,
        outcome=None,
    )
    inputs = MakeImagesInputs(
        target=target,
        working_ms=MS,
        clean=CleanParameters(geometry, (ImageMask(MASK), PrimaryBeamMask()), scales=(0,)),
        unflagged_bandwidth_hz=1.1e8,
        engine="mosaic",
        gridding="casa",
        w_correction=False,
        upstream=(),
    )
    context = StageContext(workspace, "make_images", target.label, key=key)
    return make_plane_images(inputs, context), context


def pixels(workspace, number, kind):
    return read_cube(workspace.working / f"{IMAGE_ROOT}.iter{number}.{kind}.tt0")


def warnings(context):
    return [message.text for message in context.messages if message.level == "warning"]


class Engine:
    """The mosaic engine, but for an iteration that fails or diverges; it keeps what it was asked for."""

    name = "mosaic"

    def __init__(self, monkeypatch, fails_at=None, diverges_at=None):
        self.asked, self.fails_at, self.diverges_at = [], fails_at, diverges_at
        real = make_images.imaging_engine

        def chosen(*arguments, **options):
            self.real = real(*arguments, **options)
            return self

        monkeypatch.setattr(make_images, "imaging_engine", chosen)

    def clean(self, request):
        self.asked.append(request.iteration.number)
        if request.iteration.number == self.fails_at:
            raise ImagingError("it broke")
        result = self.real.clean(request)
        if request.iteration.number == self.diverges_at:
            return replace(result, stop_code=StopCode.GREW_SINCE_LAST)
        return result


def test_the_sky_that_was_observed(workspace, begun):
    inputs = [workspace.working / name for name in (MS, MASK)]
    before = digests(*inputs)
    result, context = run(workspace, begun)
    assert digests(*inputs) == before
    image, pb = pixels(workspace, 2, "image"), pixels(workspace, 2, "pb")
    sky = image / pb
    for source, (x, y) in zip(begun.sources, begun.places, strict=True):
        truth = stokes_spectrum(source, FREQUENCY_HZ)[:, 0]
        # Where eight antennas see two sources at once, cleaning takes something from the fainter one.
        rtol = 0.05 if source is begun.sources[0] else 0.25
        np.testing.assert_allclose(sky[:, y, x], truth, rtol=rtol, atol=0.012)
        assert truth[0] > 0.15
    assert np.abs(stokes_spectrum(begun.sources[0], FREQUENCY_HZ)[1:, 0]).max() > 0.012
    # Near the zenith little is lost.
    assert 0.99 < result.noncoplanar.peak_fraction <= 1
    assert result.noncoplanar.shift_arcsec < 0.2
    assert (result.engine, result.unflagged_bandwidth_hz) == ("mosaic", 1.1e8)
    assert result.frequency_hz == pytest.approx(FREQUENCY_HZ, rel=2e-4)
    assert result.bandwidth_hz == pytest.approx(128e6, rel=1e-3)
    assert [iteration.number for iteration in result.iterations] == [0, 1, 2]
    # The noise is that of the weights, but in Stokes I, where sidelobes are left.
    assert warnings(context) == []
    for stokes in STOKES[1:]:
        assert 0.8 < result.noise_ratio(stokes) < 1.5


def test_the_first_mask_limits_what_is_cleaned_and_the_last_does_not(workspace, begun):
    result, _ = run(workspace, begun)
    first, last = result.iterations[1:]
    assert first.mask == ImageMask(f"{IMAGE_ROOT}.iter1.cleanmask")
    assert last.mask == PrimaryBeamMask()
    bright, (x, y) = begun.places
    truth = [stokes_spectrum(source, FREQUENCY_HZ)[0, 0] for source in begun.sources]
    faint = slice(None), slice(y - 6, y + 7), slice(x - 6, x + 7)
    # What iter1 leaves of the source outside of its mask is all of it; of the other one little.
    residual = pixels(workspace, 1, "residual")
    assert np.nanmax(residual[faint][0]) > 0.7 * truth[1]
    assert abs(residual[0, bright[1], bright[0]]) < 0.2 * truth[0]
    model = np.nan_to_num(pixels(workspace, 2, "model"))
    assert model[faint][0].sum() > 0.5 * truth[1]
    assert first.statistics["I"].model_flux_positive < last.statistics["I"].model_flux_positive
    for index, stokes in enumerate(STOKES):
        found, pixels_of = last.statistics[stokes], model[index].astype(float)
        assert found.model_flux_positive == pytest.approx(np.maximum(pixels_of, 0).sum(), rel=1e-5)
        assert found.model_flux_negative == pytest.approx(np.minimum(pixels_of, 0).sum(), rel=1e-5)
        # The image is smaller than a square degree.
        assert found.model_flux_inner == pytest.approx(pixels_of.sum(), rel=1e-5, abs=1e-7)
    assert last.statistics["U"].model_flux_negative < -0.02


def test_outputs_are_the_images_that_are_there(workspace, begun):
    result, context = run(workspace, begun)
    there = {path.name for path in workspace.working.glob(f"{IMAGE_ROOT}*")}
    assert {output.path for output in context.outputs} == {f"working/{name}" for name in there}
    assert all(workspace.is_unchanged(output) and output.digest for output in context.outputs)
    kept = {name for name in there if ".iter2." in name}
    wanted = ("image", "residual", "model", "psf", "pb")
    assert {f"{IMAGE_ROOT}.iter2.{kind}.tt0" for kind in wanted} <= kept
    assert result.last_root == f"{IMAGE_ROOT}.iter2"
    # What an iteration has handed on is not kept twice.
    assert not any(
        (workspace.working / f"{IMAGE_ROOT}.iter1.{kind}.tt0").exists() for kind in ("psf", "model")
    )


def test_done_again_nothing_is_imaged_unless_the_step_is_another(workspace, begun, monkeypatch):
    first, context = run(workspace, begun)
    engine = Engine(monkeypatch)
    second, again = run(workspace, begun)
    assert engine.asked == []
    assert second == first
    assert again.outputs == context.outputs
    run(workspace, begun, key="another")
    assert engine.asked == [0, 1, 2]


def test_going_on_after_a_failure_is_as_without_it(workspace, begun, monkeypatch):
    whole, _ = run(workspace, begun)
    images = {kind: pixels(workspace, 2, kind) for kind in ("image", "residual", "model")}
    failing = Engine(monkeypatch, fails_at=2)
    with pytest.raises(ImagingError, match="it broke"):
        run(workspace, begun, key="another")
    assert failing.asked == [0, 1, 2]
    failing.fails_at, failing.asked = None, []
    result, _ = run(workspace, begun, key="another")
    assert failing.asked == [2]
    for kind, values in images.items():
        np.testing.assert_array_equal(pixels(workspace, 2, kind), values, err_msg=kind)
    assert result.iterations[2].statistics == whole.iterations[2].statistics


def test_images_that_were_altered_are_made_from_the_beginning(workspace, begun, monkeypatch):
    first, _ = run(workspace, begun)
    image = pixels(workspace, 2, "image")
    with casa.image(workspace.working / f"{IMAGE_ROOT}.iter2.image.tt0") as altered:
        altered.putchunk(2 * altered.getchunk())
    engine = Engine(monkeypatch)
    second, context = run(workspace, begun)
    assert engine.asked == [0, 1, 2]
    assert warnings(context) == ["spw2: images of an earlier run were altered; imaging starts again"]
    np.testing.assert_array_equal(pixels(workspace, 2, "image"), image)
    assert second.beam == first.beam


@pytest.mark.parametrize("number", [1, 2])
def test_a_clean_that_diverged_is_not_tried_again(workspace, begun, monkeypatch, number):
    engine = Engine(monkeypatch, diverges_at=number)
    first, context = run(workspace, begun)
    assert engine.asked == [[0, 1, 0], [0, 1, 2]][number - 1]
    assert first.last.number == number - 1
    assert first.diverged.files == ()
    there = {path.name for path in workspace.working.glob(f"{IMAGE_ROOT}*")}
    assert {output.path for output in context.outputs} == {f"working/{name}" for name in there}
    assert not any(f".iter{number}." in name for name in there)
    assert f"{IMAGE_ROOT}.iter{number - 1}.image.tt0" in there
    assert any(
        text.startswith(f"spw2: the clean of iter{number} diverged ([5]") for text in warnings(context)
    )
    engine.asked = []
    second, again = run(workspace, begun)
    assert engine.asked == []
    assert (second, again.outputs) == (first, context.outputs)
    # What it is kept with is looked after.
    with casa.image(workspace.working / f"{IMAGE_ROOT}.iter{number - 1}.image.tt0") as altered:
        altered.putchunk(2 * altered.getchunk())
    third, _ = run(workspace, begun)
    assert engine.asked[0] == 0
    assert third.last.statistics == first.last.statistics


def test_weights_that_are_too_large_are_told(workspace, begun):
    before, _ = run(workspace, begun)
    with casa.table(workspace.working / MS, writable=True) as table:
        table.putcol("WEIGHT", 16 * table.getcol("WEIGHT"))
    result, context = run(workspace, begun, key="another")
    # The images are the same, the noise that is expected a quarter.
    assert result.expected_noise_jy == pytest.approx(before.expected_noise_jy / 4, rel=1e-4)
    (text,) = warnings(context)
    assert text.startswith("spw2: the noise is ")
    for stokes in STOKES[1:]:
        ratio = 4 * before.noise_ratio(stokes)
        assert result.noise_ratio(stokes) == pytest.approx(ratio, rel=1e-3)
        assert f"{result.noise_ratio(stokes):.2f} ({stokes})" in text


@pytest.mark.parametrize(("loss", "told"), [(0.019, False), (0.0452, True)])
def test_what_leaving_w_out_costs_is_told(workspace, begun, monkeypatch, loss, told):
    effect = NoncoplanarEffect(1 - loss, 0.9, 0.1, 0.3)
    monkeypatch.setattr(mosaic_engine, "noncoplanar_effect", lambda *_: effect)
    result, context = run(workspace, begun)
    assert result.noncoplanar == effect
    texts = warnings(context)
    assert len(texts) == told
    if told:
        assert texts[0].startswith("spw2: point sources are expected to lose 4.5% of their peak (10.0% where")
        (hint,) = [message.hint for message in context.messages if message.level == "warning"]
        assert "--profile science" in hint


@pytest.mark.parametrize("gone", [MS, MASK])
def test_an_input_that_is_gone(workspace, begun, gone):
    shutil.rmtree(workspace.working / gone)
    with pytest.raises(VlassCubeError, match=gone):
        run(workspace, begun)
    done = 0 if gone == MS else 1
    records = sorted(path.name for path in (workspace.records / "planes" / f"spw{SPW}").glob("*.json"))
    assert len(records) == done
