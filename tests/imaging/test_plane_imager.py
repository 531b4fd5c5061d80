"""Files handed from iteration to iteration, with a fake engine; a stop anywhere ends in the same files."""

from dataclasses import replace

import numpy as np
import pytest

from vlasscube.clean_terms import ImageMask, NoMask, PrimaryBeamMask, StopCode
from vlasscube.errors import ImagingError
from vlasscube.images.casa_images import ImageFacts
from vlasscube.imaging import plane_imager
from vlasscube.imaging.clean_sequence import CleanParameters
from vlasscube.imaging.engine import CleanResult
from vlasscube.imaging.tclean import take_over
from vlasscube.records import (
    Beam,
    DataSelection,
    FlagCount,
    ImageGeometry,
    PlaneTarget,
    SpectralCoverage,
)
from vlasscube.testing.durability import watched

TARGET = PlaneTarget(
    spw="2",
    spw_ids=(2,),
    label="spw2",
    image_root="s7_0.N.spw2.IQUV",
    reffreq_hz=2.028e9,
    selection=DataSelection("1", "2", "0&", "3", "", ""),
    nominal_bandwidth_hz=128e6,
    flags=FlagCount(0, 1),
    box_flags=FlagCount(0, 1),
    fields_above_threshold=0,
    outcome=None,
)

COVERAGE = SpectralCoverage(2.06e9, 0.0212, 64e6)


class Killed(BaseException):
    """Ends a run at once, as a kill does: no handler of the code under test may catch it."""


class FakeEngine:
    """Writes what tclean would, each image saying how it came about."""

    name = "fake"

    def __init__(self, kill_in=None, stop_code=8, diverge_in=None):
        self.kill_in = kill_in
        self.stop_code = stop_code
        self.diverge_in = diverge_in
        self.made = []

    def clean(self, request):
        root, number = request.image_root, request.iteration.number
        self.made.append(number)
        if request.previous_root is not None:
            take_over(request.previous_root, root)
        kinds = ["residual", "model"]
        kinds += ["psf", "pb", "weight", "sumwt"] if request.iteration.is_first else []
        kinds += ["image"] if request.iteration.restoration else []
        for kind in kinds:
            path = root.with_name(f"{root.name}.{kind}.tt0")
            before = (path / "data").read_text() if path.exists() else ""
            path.mkdir(exist_ok=True)
            (path / "data").write_text(f"{before}{number}")
            if number == self.kill_in:
                raise Killed
        if number:
            root.with_name(f"{root.name}.mask").mkdir()
        code = self.stop_code if number else 0
        if self.diverge_in is not None:
            code = 5 if number >= self.diverge_in else 8
        made = CleanResult("tclean()", number, 1, StopCode(code), {})
        if number:
            return made
        return replace(made, expected_noise_jy=2e-4, spectral_coverage=COVERAGE, w_planes=7)


class Store:
    def __init__(self):
        self.kept = []
        self.kill_at = None

    def load(self):
        return tuple(self.kept)

    def save(self, iteration, paths):
        if iteration.number == self.kill_at:
            raise Killed
        assert paths
        assert all(path.exists() for path in paths)
        self.kept[iteration.number :] = [iteration]


@pytest.fixture
def image(tmp_path, monkeypatch):
    facts = ImageFacts(8, 8, ("I", "Q", "U", "V"), (4, 4), 0.0, 0.0, 1.0, 2e9, 1e8, Beam(3.0, 2.0, 0.0))
    monkeypatch.setattr(plane_imager, "image_facts", lambda path: facts)
    monkeypatch.setattr(plane_imager, "read_plane", lambda path, stokes=0, box=None: np.ones((8, 8), "f4"))
    monkeypatch.setattr(plane_imager, "set_missing_beams", lambda psf, images: ())
    monkeypatch.setattr(plane_imager, "make_cleanmask", lambda mask, template, output: output.mkdir() or ())
    parameters = CleanParameters(
        ImageGeometry(8, 8, 1.0, ""), (ImageMask("/m1"), ImageMask("/m2"), PrimaryBeamMask())
    )
    messages = []

    def run(engine, store):
        return plane_imager.image_plane(
            TARGET, tmp_path / "a.ms", tmp_path, parameters, engine, store, messages.append
        )

    run.directory = tmp_path
    run.messages = messages
    return run


def tree(directory):
    return {
        path.name: (path / "data").read_text() if (path / "data").exists() else ""
        for path in directory.iterdir()
    }


EXPECTED = {
    "s7_0.N.spw2.IQUV.iter0.residual.tt0": "0",
    "s7_0.N.spw2.IQUV.iter1.cleanmask": "",
    "s7_0.N.spw2.IQUV.iter1.image.tt0": "1",
    "s7_0.N.spw2.IQUV.iter1.residual.tt0": "01",
    "s7_0.N.spw2.IQUV.iter2.cleanmask": "",
    "s7_0.N.spw2.IQUV.iter2.image.tt0": "2",
    "s7_0.N.spw2.IQUV.iter2.residual.tt0": "012",
    "s7_0.N.spw2.IQUV.iter3.image.tt0": "3",
    "s7_0.N.spw2.IQUV.iter3.mask": "",
    "s7_0.N.spw2.IQUV.iter3.model.tt0": "0123",
    "s7_0.N.spw2.IQUV.iter3.pb.tt0": "0",
    "s7_0.N.spw2.IQUV.iter3.psf.tt0": "0",
    "s7_0.N.spw2.IQUV.iter3.residual.tt0": "0123",
    "s7_0.N.spw2.IQUV.iter3.sumwt.tt0": "0",
    "s7_0.N.spw2.IQUV.iter3.weight.tt0": "0",
}


def test_files_kept_are_those_of_production(image):
    images = image(FakeEngine(), Store())
    assert tree(image.directory) == EXPECTED
    assert [iteration.number for iteration in images.iterations] == [0, 1, 2, 3]
    assert [iteration.mask for iteration in images.iterations] == [
        NoMask(),
        ImageMask("s7_0.N.spw2.IQUV.iter1.cleanmask"),
        ImageMask("s7_0.N.spw2.IQUV.iter2.cleanmask"),
        PrimaryBeamMask(),
    ]
    assert images.beam == Beam(3.0, 2.0, 0.0)


def test_images_are_on_disk_before_they_are_recorded(image):
    class WatchedStore(Store):
        def save(self, iteration, paths):
            problems.extend(problem for path in paths for problem in watch.problems(path))
            super().save(iteration, paths)

    problems = []
    with watched() as watch:
        image(FakeEngine(), WatchedStore())
    assert problems == []


@pytest.mark.parametrize("number", [0, 1, 2, 3])
@pytest.mark.parametrize("where", ["engine", "before the record"])
def test_killed_anywhere_it_goes_on_with_that_iteration(image, number, where):
    store, engine = Store(), FakeEngine()
    if where == "engine":
        engine.kill_in = number
    else:
        store.kill_at = number
    with pytest.raises(Killed):
        image(engine, store)
    assert [iteration.number for iteration in store.kept] == list(range(number))
    store.kill_at = None
    again = FakeEngine()
    image(again, store)
    assert again.made == list(range(number, 4))
    assert tree(image.directory) == EXPECTED


def test_files_of_other_planes_and_of_others_are_left_alone(image):
    names = [
        "s7_0.N.spw2_3.IQUV.iter1.image.tt0",
        "s7_0.N.spw12.IQUV.iter0.psf.tt0",
        "s7_0.N.spw2.IQUV.iter1.notes",
        "s7_0.N.spw2.IQUV.iter1.image.tt0 (copy)",
    ]
    for name in names:
        (image.directory / name).mkdir()
    (image.directory / "s7_0.N.spw2.IQUV.iter1.image.tt1").mkdir()
    image(FakeEngine(), Store())
    assert set(tree(image.directory)) == {*EXPECTED, *names}


ROOT = "s7_0.N.spw2.IQUV"
LAST_GOOD = {
    1: {
        f"{ROOT}.iter0.{kind}.tt0": "0"
        for kind in ("image", "residual", "model", "psf", "pb", "weight", "sumwt")
    },
    2: {
        f"{ROOT}.iter0.residual.tt0": "0",
        f"{ROOT}.iter1.cleanmask": "",
        f"{ROOT}.iter1.image.tt0": "1",
        f"{ROOT}.iter1.residual.tt0": "01",
        f"{ROOT}.iter1.model.tt0": "01",
        **{f"{ROOT}.iter1.{kind}.tt0": "0" for kind in ("psf", "pb", "weight", "sumwt")},
    },
    3: {
        **{name: text for name, text in EXPECTED.items() if "iter3" not in name},
        f"{ROOT}.iter2.model.tt0": "012",
        **{f"{ROOT}.iter2.{kind}.tt0": "0" for kind in ("psf", "pb", "weight", "sumwt")},
    },
}
"""Files of a plane whose clean diverges in iterN."""


@pytest.mark.parametrize("code", [5, 6])
def test_a_diverged_clean_leaves_the_dirty_image_and_says_so(image, code):
    engine = FakeEngine(stop_code=code)
    images = image(engine, Store())
    assert [iteration.number for iteration in images.iterations] == [0]
    assert (images.diverged.number, images.diverged.stop_code) == (1, code)
    assert images.last_root == f"{ROOT}.iter0"
    assert engine.made == [0, 1, 0], "the dirty image, restored this time, is made again"
    (message,) = image.messages
    assert message.level == "warning"
    assert message.text == (
        f"spw2: the clean of iter1 diverged ({StopCode(code).text}): the images are those of iter0, "
        "the dirty image, and the plane is rejected"
    )


@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_plane_that_diverges_ends_with_the_last_good_iteration(image, number):
    images = image(FakeEngine(diverge_in=number), Store())
    assert [iteration.number for iteration in images.iterations] == list(range(number))
    assert [iteration.number for iteration in images.attempted] == list(range(number + 1))
    assert images.last.number == number - 1
    assert images.last.files == tuple(
        sorted(name for name in LAST_GOOD[number] if f"iter{number - 1}." in name)
    )
    assert tree(image.directory) == LAST_GOOD[number]
    assert images.divergence.startswith(f"the clean of iter{number} diverged ([5] ")
    assert f"those of iter{number - 1}" in images.divergence


@pytest.mark.parametrize("number", [1, 2, 3])
@pytest.mark.parametrize("kill", range(4))
@pytest.mark.parametrize("where", ["engine", "before the record"])
def test_killed_anywhere_a_plane_that_diverges_ends_the_same(image, number, kill, where):
    store, engine = Store(), FakeEngine(diverge_in=number)
    if where == "engine":
        engine.kill_in = kill
    else:
        store.kill_at = kill
    if kill <= number:
        with pytest.raises(Killed):
            image(engine, store)
    store.kill_at = None
    images = image(FakeEngine(diverge_in=number), store)
    assert [iteration.number for iteration in images.attempted] == list(range(number + 1))
    assert tree(image.directory) == LAST_GOOD[number]
    image.messages.clear()
    idle = FakeEngine()
    again = image(idle, store)
    assert idle.made == []
    assert again == images
    assert [message.level for message in image.messages] == ["warning"]


@pytest.mark.parametrize("number", [1, 2, 3])
def test_nothing_is_left_of_an_earlier_clean_that_did_not_diverge(image, number):
    """Else it would lie there as the plane's final images."""
    image(FakeEngine(), Store())
    derived = ("iter3.image.pbcor.tt0.subim", "iter3.image.pbcor.tt0.rms")
    for name in (*derived, "iter3.notes"):
        (image.directory / f"{ROOT}.{name}").mkdir()
    image(FakeEngine(diverge_in=number), Store())
    assert tree(image.directory) == LAST_GOOD[number] | {f"{ROOT}.iter3.notes": ""}


def test_a_dirty_image_that_is_there_is_not_made_again(image):
    store, engine = Store(), FakeEngine(diverge_in=1)
    store.kill_at = 1
    with pytest.raises(Killed):
        image(engine, store)
    assert engine.made == [0, 1, 0]
    store.kill_at = None
    again = FakeEngine(diverge_in=1)
    image(again, store)
    assert again.made == [1]


@pytest.mark.parametrize(
    ("code", "warns"), [(0, True), (1, True), (9, True), (2, False), (7, False), (8, False)]
)
def test_a_clean_that_stopped_early_warns(image, code, warns):
    image(FakeEngine(stop_code=code), Store())
    assert bool(image.messages) == warns
    assert all(message.level == "warning" for message in image.messages)


def test_statistics_leave_out_what_is_beyond_the_primary_beam_limit(image, monkeypatch):
    values = {"pb": np.where(np.arange(64).reshape(8, 8) < 16, 0.5, np.nan), "model": np.zeros((8, 8))}
    noise = np.where(np.arange(64).reshape(8, 8) % 2, 1.0, -1.0)
    kept = np.where(np.isfinite(values["pb"]), noise, 0.0)
    monkeypatch.setattr(
        plane_imager, "read_plane", lambda path, stokes=0: values.get(path.name.split(".")[-2], kept)
    )
    images = image(FakeEngine(), Store())
    assert images.last.statistics["I"].image_rms == pytest.approx(1.4826)
    assert images.last.statistics["V"].residual_madrms == pytest.approx(1.4826)


def test_what_the_first_iteration_says_of_the_data_outlives_a_stop(image):
    store = Store()
    with pytest.raises(Killed):
        image(FakeEngine(kill_in=3), store)
    images = image(FakeEngine(), store)
    assert (images.expected_noise_jy, images.spectral_coverage, images.w_planes) == (2e-4, COVERAGE, 7)
    assert images.effective_frequency_hz == COVERAGE.effective_frequency_hz
    assert replace(images, spectral_coverage=None).effective_frequency_hz == images.frequency_hz


def test_missing_psf_beam_is_an_error(image, monkeypatch):
    facts = plane_imager.image_facts(None)
    monkeypatch.setattr(plane_imager, "image_facts", lambda path: replace(facts, beam=None))
    with pytest.raises(ImagingError, match="no beam"):
        image(FakeEngine(), Store())
