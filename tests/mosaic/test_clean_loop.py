"""The clean loop: on a sky whose residuals are exact, and against tclean."""

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest
from scipy.signal import fftconvolve

from vlasscube import casa
from vlasscube.errors import ImagingError
from vlasscube.images.casa_images import image_facts, read_cube, read_plane
from vlasscube.imaging.tclean import clean_result
from vlasscube.mosaic.clean_loop import CleanState, clean
from vlasscube.mosaic.iteration_control import CleanControl
from vlasscube.mosaic.masks import pb_mask, user_mask
from vlasscube.records import STOKES, Beam
from vlasscube.simulation.build import simulate
from vlasscube.simulation.presets import preset

CONTROL = CleanControl(niter=5000, nsigma=3.0, cycleniter=200)
BEAM = Beam(4.7, 4.7, 0.0)


class Sky:
    """Sources seen with a psf that is the same everywhere, so that a major cycle is a convolution."""

    def __init__(self, size=100, planes=4, noise=1e-3, psf_scale=1.0):
        rng = np.random.default_rng(4)
        y, x = np.ogrid[-size // 2 : size // 2, -size // 2 : size // 2]
        radius = np.hypot(y, x)
        psf = np.exp(-(radius**2) / 8) + 0.1 * np.cos(0.8 * radius) * np.exp(-radius / 12) * (radius > 0)
        self.truth = np.zeros((planes, size, size))
        for plane, flux in zip(self.truth, (1.0, 0.2, 0.1, 0.0), strict=False):
            for row, column in ((50, 50), (30, 62), (66, 35)):
                plane[row, column] = flux * rng.uniform(0.5, 1.0)
        self.true_psf = psf
        # Noise of visibilities has gone through the psf as the sky has.
        white = rng.normal(size=self.truth.shape)
        self.noise = noise * np.stack([fftconvolve(plane, psf[1:, 1:], mode="same") for plane in white]) / 3
        pb = np.where(radius < 0.42 * size, np.exp(-(radius**2) / size**2), np.nan)
        self.state = CleanState(
            residual=np.zeros(self.truth.shape, np.float32),
            model=np.zeros(self.truth.shape, np.float32),
            psf=(psf[np.newaxis] ** psf_scale).astype(np.float32),
            pb=pb.astype(np.float32),
            beams=(BEAM,),
            cell_arcsec=1.0,
        )
        self.measured = 0
        self.measure(self.state.model)

    def measure(self, model):
        self.measured += 1
        for plane, (truth, noise) in enumerate(zip(self.truth, self.noise, strict=True)):
            kernel = self.true_psf[1:, 1:]
            image = fftconvolve(truth - model[plane], kernel, mode="same") + noise
            self.state.residual[plane] = np.where(np.isfinite(self.state.pb), image, 0.0)

    def mask(self):
        mask = np.zeros(self.truth.shape[1:], bool)
        for row, column in np.argwhere(self.truth[0]):
            mask[row - 4 : row + 5, column - 4 : column + 5] = True
        return mask

    def clean(self, mask=None, **changes):
        control = dataclasses.replace(CONTROL, **changes)
        return clean(self.state, control, self.mask() if mask is None else mask, self.measure, threads=2)


def test_sources_are_found_down_to_the_noise():
    sky = Sky()
    outcome = sky.clean()
    assert outcome.stop_code == 8
    assert sky.measured == outcome.major_cycles + 1
    noise = 1.4826 * np.median(np.abs(sky.state.residual[0][np.isfinite(sky.state.pb)]))
    assert np.abs(sky.state.residual * sky.mask()).max() < 3.1 * noise
    for row, column in np.argwhere(sky.truth[0]):
        for plane in range(3):
            box = sky.state.model[plane, row - 3 : row + 4, column - 3 : column + 4]
            assert box.sum() == pytest.approx(sky.truth[plane, row, column], abs=0.02)


def test_the_record_has_an_entry_for_each_cycle_and_plane():
    sky = Sky()
    messages = []
    control = dataclasses.replace(CONTROL, nmajor=3)
    outcome = clean(sky.state, control, sky.mask(), sky.measure, messages.append)
    assert outcome.stop_code == 9
    assert outcome.major_cycles == len(messages) == 3
    assert tuple(outcome.cycles) == STOKES
    for plane, course in enumerate(outcome.cycles.values()):
        assert len(course.iterations) == len(course.peak_residual_jy) == 3
        assert course.iterations == tuple(sorted(course.iterations))
        assert course.model_flux_jy[-1] == pytest.approx(sky.state.model[plane].sum(), abs=1e-5)
        assert all(
            end <= start
            for start, end in zip(course.start_peak_residual_jy, course.peak_residual_jy, strict=True)
        )
    assert outcome.iterations == sum(course.iterations[-1] for course in outcome.cycles.values())


def test_the_iteration_limit_is_for_all_planes_together():
    outcome = Sky().clean(niter=30, cycleniter=10)
    assert outcome.stop_code == 1
    assert 30 <= outcome.iterations < 60


def test_the_threshold_ends_the_clean():
    sky = Sky()
    assert sky.clean(threshold_jy=0.1).stop_code == 2
    assert np.abs(sky.state.residual).max() < 0.11


def noise_of(sky, plane):
    return 1.4826 * np.median(np.abs(sky.state.residual[plane][np.isfinite(sky.state.pb)]))


def peak_over_noise(sky, plane):
    """Peak within the mask, in units of the plane's own noise."""
    return np.abs(sky.state.residual[plane] * sky.mask()).max() / noise_of(sky, plane)


class DynamicRangeLimited(Sky):
    """Stokes I has twenty times the noise of Q, U and V."""

    def __init__(self):
        super().__init__()
        self.noise[0] *= 20
        self.measure(self.state.model)


def test_planes_are_cleaned_to_their_own_noise():
    sky = DynamicRangeLimited()
    assert noise_of(sky, 0) > 5 * noise_of(sky, 3)
    outcome = sky.clean(nsigma_per_stokes=True)
    assert outcome.stop_code == 8
    assert noise_of(sky, 0) > 15 * noise_of(sky, 3)
    assert max(peak_over_noise(sky, plane) for plane in range(4)) < 3.04


def test_planes_are_cleaned_to_the_noise_of_the_noisiest_as_by_tclean():
    sky = DynamicRangeLimited()
    assert sky.clean().stop_code == 8
    assert peak_over_noise(sky, 0) < 3.04
    assert peak_over_noise(sky, 1) > 8


def test_a_finished_plane_is_left_as_it_is():
    together, sky = DynamicRangeLimited(), DynamicRangeLimited()
    together.clean()
    outcome = sky.clean(nsigma_per_stokes=True)
    course = outcome.cycles["I"]
    last = course.iterations.index(course.iterations[-1])
    assert last + 1 < len(course.iterations)
    assert course.start_peak_residual_jy[last + 1] < 3.04 * noise_of(sky, 0)
    assert sky.state.model[0].sum() == pytest.approx(together.state.model[0].sum(), rel=0.02)


def test_a_plane_in_which_nothing_changes_does_not_stop_the_others():
    sky = Sky()

    def measure(model):
        before = sky.state.residual[1].copy()
        sky.measure(model)
        sky.state.residual[1] = before

    outcome = clean(sky.state, dataclasses.replace(CONTROL, nsigma_per_stokes=True), sky.mask(), measure)
    assert outcome.stop_code == 4
    assert max(peak_over_noise(sky, plane) for plane in (0, 2, 3)) < 3.04
    assert outcome.cycles["Q"].iterations[-1] == outcome.cycles["Q"].iterations[1]


def test_a_plane_that_diverges_below_the_peak_of_another_stops_the_clean():
    sky = Sky()

    def measure(model):
        sky.measure(model)
        sky.state.residual[3] *= 10

    control = dataclasses.replace(CONTROL, nsigma=0.0, threshold_jy=1e-3, nmajor=1, cycleniter=10)
    assert clean(sky.state, control, sky.mask(), measure).stop_code == 9
    sky.__init__()
    own = dataclasses.replace(control, nsigma_per_stokes=True)
    assert clean(sky.state, own, sky.mask(), measure).stop_code == 5


def test_an_empty_mask_of_a_plane_does_not_stop_the_others():
    sky = DynamicRangeLimited()
    masks = np.stack([sky.mask(), np.zeros_like(sky.mask()), sky.mask(), sky.mask()])
    assert sky.clean(masks, nsigma_per_stokes=True).stop_code == 8
    assert not sky.state.model[1].any()
    assert peak_over_noise(sky, 2) < 3.04


def test_an_empty_mask_changes_nothing():
    sky = Sky()
    outcome = sky.clean(np.zeros_like(sky.mask()))
    assert (outcome.stop_code, outcome.iterations, outcome.major_cycles) == (7, 0, 0)
    assert sky.measured == 1
    assert not sky.state.model.any()


def test_planes_may_have_masks_of_their_own():
    sky = Sky()
    masks = np.stack([sky.mask(), np.zeros_like(sky.mask()), sky.mask(), sky.mask()])
    outcome = sky.clean(masks)
    assert not sky.state.model[1].any()
    assert outcome.cycles["Q"].iterations[-1] == 0
    assert outcome.cycles["U"].iterations[-1] > 0


def test_a_second_clean_goes_on_from_the_first():
    sky = Sky()
    sky.clean(nmajor=2)
    flux = sky.state.model[0].sum()
    outcome = sky.clean(nmajor=2)
    assert outcome.cycles["I"].model_flux_jy[0] > flux
    assert sky.clean().stop_code == 8


def test_the_model_keeps_nothing_beyond_the_primary_beam():
    sky = Sky(noise=1e-5)
    edge = np.isfinite(sky.state.pb)
    row = 50
    column = int(np.flatnonzero(edge[row])[0])
    sky.truth[0, row, column] = 1.0
    sky.measure(sky.state.model)
    mask = sky.mask()
    mask[row - 6 : row + 7, column - 6 : column + 7] = True
    sky.clean(mask, nmajor=4, scales=(0.0, 8.0))
    assert sky.state.model[0, edge].any()
    assert not sky.state.model[:, ~edge].any()


@pytest.mark.parametrize(("psf_scale", "codes"), [(8.0, (5, 6)), (30.0, (5,))])
def test_a_clean_with_a_wrong_psf_is_stopped(psf_scale, codes):
    sky = Sky(psf_scale=psf_scale)
    outcome = sky.clean()
    assert outcome.stop_code in codes


def test_nan_in_the_residual_is_nothing():
    sky, other = Sky(), Sky()
    other.state.residual[:, ~np.isfinite(other.state.pb)] = np.nan
    assert sky.clean(nmajor=1) == other.clean(nmajor=1)


def test_a_residual_of_nan_is_an_error():
    sky = Sky()

    def measure(model):
        sky.state.residual[...] = np.nan

    with pytest.raises(ImagingError, match="no finite pixel"):
        clean(sky.state, CONTROL, sky.mask(), measure)


def test_a_major_cycle_that_changes_nothing_ends_the_clean():
    sky = Sky()
    outcome = clean(sky.state, CONTROL, sky.mask(), lambda model: None)
    assert outcome.stop_code == 4


def test_a_psf_of_zeros_is_an_error():
    sky = Sky()
    sky.state.psf[...] = 0.0
    with pytest.raises(ImagingError, match="psf"):
        sky.clean()


def test_a_residual_of_zeros_has_reached_any_threshold():
    sky = Sky()
    sky.state.residual[...] = 0.0
    outcome = sky.clean(threshold_jy=0.0)
    assert (outcome.stop_code, outcome.iterations) == (2, 0)


def test_images_that_do_not_fit_together_are_refused():
    sky = Sky()
    with pytest.raises(ImagingError, match="do not fit together"):
        sky.clean(np.ones((3, 3), bool))
    sky.state.residual = sky.state.residual[0]
    with pytest.raises(ImagingError, match="not a set of Stokes planes"):
        sky.clean()


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (9, 14), (33, 64)])
def test_images_of_any_shape(shape):
    ny, nx = shape
    psf = np.zeros((1, ny, nx), np.float32)
    psf[0, ny // 2, nx // 2] = 1.0
    truth = np.zeros((1, ny, nx), np.float32)
    truth[0, ny // 3, nx // 3] = 1.0
    pb = np.ones(shape, np.float32)
    state = CleanState(truth.copy(), np.zeros_like(truth), psf, pb, (BEAM,), 1.0)

    def measure(model):
        state.residual[...] = truth - model

    control = dataclasses.replace(CONTROL, nsigma=0.0, threshold_jy=0.01)
    outcome = clean(state, control, pb_mask(pb, 0.0), measure)
    assert outcome.stop_code == 2
    np.testing.assert_allclose(state.model, truth, atol=0.0102)


TCLEAN = {
    "spw": ["3"],
    "datacolumn": "data",
    "imsize": [256, 256],
    "cell": "8arcsec",
    "phasecenter": "J2000 10:00:00.000 +34.00.00.0000",
    "stokes": "IQUV",
    "specmode": "mfs",
    "gridder": "mosaic",
    "mosweight": False,
    "conjbeams": False,
    "pblimit": 0.1,
    "normtype": "flatnoise",
    "deconvolver": "mtmfs",
    "nterms": 1,
    "weighting": "briggs",
    "robust": 1.0,
    "psfcutoff": 0.5,
    "scales": [0, 5, 12],
    "smallscalebias": 0.4,
    "gain": 0.1,
    "cyclefactor": 3.0,
    "fastnoise": True,
    "fullsummary": True,
    "restoration": False,
    "parallel": False,
}


class Tclean:
    """tclean on a small simulated field, as the thing to compare with and as a major cycle."""

    def __init__(self, directory):
        simulate(directory / "data", preset("tiny"))
        self.directory = directory
        self.vis = str(next((directory / "data").glob("*.ms")))
        self.run("dirty", niter=0)
        self.dirty = read_cube(self.image("dirty", "residual.tt0"))
        self.pb = read_plane(self.image("dirty", "pb.tt0"))

    def image(self, name, kind):
        return self.directory / f"{name}.{kind}"

    def run(self, name, **parameters):
        return casa.run_task(
            "tclean", vis=[self.vis], imagename=str(self.directory / name), **{**TCLEAN, **parameters}
        )

    def copy(self, name, new, kinds):
        for kind in kinds:
            shutil.copytree(self.image(name, kind), self.image(new, kind))

    def state(self):
        psf = self.image("dirty", "psf.tt0")
        residual = np.ascontiguousarray(np.nan_to_num(self.dirty))
        return CleanState(
            residual=residual,
            model=np.zeros_like(residual),
            psf=read_plane(psf)[np.newaxis],
            pb=self.pb,
            beams=(image_facts(psf).beam,),
            cell_arcsec=8.0,
        )

    def measure(self, state):
        name = "measured"
        if not self.image(name, "psf.tt0").exists():
            self.copy("dirty", name, ("psf.tt0", "pb.tt0", "weight.tt0", "sumwt.tt0", "residual.tt0"))
            shutil.copytree(self.image("dirty", "residual.tt0"), self.image(name, "model.tt0"))
            with casa.image(self.image(name, "model.tt0")) as image:
                image.maskhandler("set", [""])
                image.maskhandler("delete", ["mask0"])

        def measure(model):
            with casa.image(self.image(name, "model.tt0")) as image:
                image.putchunk(model.transpose(2, 1, 0)[:, :, :, np.newaxis].astype(float))
            self.run(name, niter=0, calcpsf=False, usemask="user", mask="")
            state.residual[...] = np.nan_to_num(read_cube(self.image(name, "residual.tt0")))

        return measure


@pytest.fixture(scope="module")
def tclean(tmp_path_factory):
    return Tclean(tmp_path_factory.mktemp("tclean"))


def user_region(dirty):
    stokes_i = np.nan_to_num(dirty[0])
    return stokes_i > 0.15 * stokes_i.max()


@pytest.mark.casa
@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("user", {"nmajor": 4}),
        ("pb", {"nmajor": 3, "cycleniter": 20, "pbmask": 0.4}),
        ("threshold", {"threshold_jy": 0.1}),
    ],
)
def test_cleans_are_those_of_tclean(tclean, name, changes):
    control = dataclasses.replace(CONTROL, **changes)
    parameters = {key: getattr(control, key) for key in ("niter", "nsigma", "cycleniter", "nmajor", "pbmask")}
    parameters["nmajor"] = -1 if control.nmajor is None else control.nmajor
    parameters["threshold"] = f"{control.threshold_jy}Jy"
    tclean.copy("dirty", name, ("psf.tt0", "pb.tt0", "weight.tt0", "sumwt.tt0", "residual.tt0"))
    if name == "pb":
        mask = pb_mask(tclean.pb, 0.4)
        parameters["usemask"] = "pb"
    else:
        region = user_region(tclean.dirty)
        path = tclean.directory / f"{name}-region"
        shutil.copytree(tclean.image("dirty", "sumwt.tt0"), path)
        mask = user_mask(region.astype(np.float32))
        write_mask(path, tclean.image("dirty", "pb.tt0"), region)
        parameters.update(usemask="user", mask=str(path))
    result = tclean.run(name, calcres=False, calcpsf=False, **parameters)
    expected = clean_result(result, "")
    state = tclean.state()
    outcome = clean(state, control, mask, tclean.measure(state), threads=2)
    assert outcome.stop_code == expected.stop_code
    assert outcome.major_cycles == expected.major_cycles
    assert outcome.iterations == expected.iterations_done
    for stokes, course in expected.cycles.items():
        ours = outcome.cycles[stokes]
        assert ours.iterations == course.iterations
        np.testing.assert_allclose(ours.start_peak_residual_jy, course.start_peak_residual_jy, rtol=1e-5)
        np.testing.assert_allclose(ours.model_flux_jy, course.model_flux_jy, rtol=1e-4, atol=1e-6)
    model = read_cube(tclean.image(name, "model.tt0"))
    residual = np.nan_to_num(read_cube(tclean.image(name, "residual.tt0")))
    np.testing.assert_allclose(state.model, model, atol=1e-5 * np.abs(model).max())
    np.testing.assert_allclose(state.residual, residual, atol=1e-5 * np.abs(residual).max())


def write_mask(path: Path, template: Path, region) -> None:
    shutil.rmtree(path)
    shape = region.shape
    tool = casa.tools().image()
    tool.open(str(template))
    box = casa.tools().regionmanager().box([0, 0, 0, 0], [shape[1] - 1, shape[0] - 1, 0, 0])
    plane = tool.subimage(str(path), region=box, dropdeg=False)
    plane.putchunk(region.T[:, :, np.newaxis, np.newaxis].astype(float))
    plane.maskhandler("set", [""])
    plane.maskhandler("delete", ["mask0"])
    plane.done()
    tool.done()
