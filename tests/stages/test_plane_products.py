"""Stages 8 to 10 on a small plane, beside CASA's tasks: pixels, masks, headers."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from vlasscube import casa, casacore_tables, naming
from vlasscube.errors import ResourceLimitError
from vlasscube.images import derived_images
from vlasscube.images.casa_images import image_facts, read_cube, read_plane
from vlasscube.images.derived_images import derived_image
from vlasscube.images.mosaic_images import ImageHeader, write_mosaic_image
from vlasscube.images.statistics import plane_statistics
from vlasscube.mosaic.visibilities import ObservationInfo
from vlasscube.records import STOKES, Beam, ImageGeometry, PixelBox
from vlasscube.stages.context import StageContext
from vlasscube.stages.make_cutout_images import CutoutInputs, make_cutout_images
from vlasscube.stages.make_rms_images import RmsInputs, make_rms_image
from vlasscube.stages.pbcor import PbcorInputs, correct_primary_beam
from vlasscube.testing.casa_images import IMDEV, describe
from vlasscube.workspace.directory import Workspace

pytestmark = pytest.mark.casa
ROOT = "s7_0.name.spw2.IQUV.iter3"
GEOMETRY = ImageGeometry(120, 100, 3.0, "J2000 10:00:00.000 +34.00.00.0000")
BOX = PixelBox(10, 5, 109, 94)
OBSERVATION = ObservationInfo("EVLA", "me", 5.1e9, "field", ((-1.6e6, -5e6, 3.5e6),))
IMPBCOR = dict(mode="divide", cutoff=-1.0, stretch=False)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A plane's images, what the three stages make of them, and what CASA does (in ``casa``)."""
    directory = tmp_path_factory.mktemp("plane")
    casa.configure(directory / "casa.log", directory / "calls.py")
    workspace = Workspace(directory)
    working = workspace.working
    working.mkdir()
    header = ImageHeader(GEOMETRY, 3e9, 128e6, 2.9e9, OBSERVATION)
    rng = np.random.default_rng(1)
    rows, columns = np.indices((GEOMETRY.ny, GEOMETRY.nx))
    pb = np.exp(-((rows - 50) ** 2 + (columns - 60) ** 2) / 1300.0).astype(np.float32)
    good = pb > 0.1
    beam = Beam(9.0, 7.0, 20.0)
    images = {
        "image": (1e-4, None, [beam]),
        "residual": (9e-5, good, [beam] * 4),
        "psf": (1.0, None, [beam] * 4),
        "pb": (0.0, good, []),
    }
    for kind, (noise, mask, beams) in images.items():
        planes = rng.normal(0, noise, (4, GEOMETRY.ny, GEOMETRY.nx)) if noise else np.array([pb] * 4)
        if mask is not None:
            planes = planes * mask
        write_mosaic_image(
            working / naming.tclean_product(ROOT, kind),
            kind,
            header,
            planes.astype(np.float32),
            mask=mask,
            beams=beams,
            history=(f"made as {kind}",),
        )
    contexts = [StageContext(workspace, stage, "spw2") for stage in ("pbcor", "rms", "cutouts")]
    pbcor = correct_primary_beam(PbcorInputs(ROOT, PixelBox(40, 40, 79, 59), ()), contexts[0])
    rms = make_rms_image(RmsInputs(pbcor.image, ()), contexts[1])
    cutouts = make_cutout_images(CutoutInputs(ROOT, GEOMETRY, (100, 90), "archive", 5e-5, ()), contexts[2])
    by_casa = directory / "casa"
    by_casa.mkdir()
    for kind, name in (("image", pbcor.image), ("residual", pbcor.residual)):
        casa.run_task(
            "impbcor",
            imagename=str(working / naming.tclean_product(ROOT, kind)),
            pbimage=str(working / naming.tclean_product(ROOT, "pb")),
            outfile=str(by_casa / name),
            **IMPBCOR,
        )
    casa.run_task("imdev", imagename=str(by_casa / pbcor.image), outfile=str(by_casa / rms.image), **IMDEV)
    corners = f"{BOX.blc_x},{BOX.blc_y},{BOX.trc_x},{BOX.trc_y}"
    for name in cutouts.images.values():
        source = by_casa / name.removesuffix(".subim")
        source = source if source.exists() else working / source.name
        casa.run_task("imsubimage", imagename=str(source), outfile=str(by_casa / name), box=corners)
    names = [pbcor.image, pbcor.residual, rms.image, *cutouts.images.values()]
    return SimpleNamespace(**locals())


def test_pixels_and_masks_are_those_of_casa(made):
    assert made.cutouts.box == BOX
    for name in made.names:
        ours, theirs = read_cube(made.working / name), read_cube(made.by_casa / name)
        np.testing.assert_array_equal(np.isnan(ours), np.isnan(theirs), err_msg=name)
        tolerance = 2e-6 if ".rms" in name else 0
        np.testing.assert_allclose(ours, theirs, rtol=tolerance, err_msg=name)
    assert 0 < np.isnan(read_cube(made.working / made.rms.image)).mean() < 1


def test_headers_are_those_of_casa(made):
    for name in made.names:
        ours, theirs = describe(made.working / name), describe(made.by_casa / name)
        assert ours.keys() == theirs.keys(), name
        for key, value in theirs.items():
            np.testing.assert_array_equal(ours[key], value, err_msg=f"{name}: {key}")


def test_history_tells_what_was_done(made):
    log = [
        line.message for line in casacore_tables.describe_image(made.working / made.cutouts.images["rms"]).log
    ]
    wanted = ("made as image", "made as pb", "of impbcor(", "of imdev(", "of imsubimage(")
    places = [next(i for i, line in enumerate(log) if text in line) for text in wanted]
    assert places == sorted(places)
    calls = (made.directory / "calls.py").read_text()
    assert calls.count("# impbcor(") == 2
    assert calls.count("# imdev(") == 1
    assert calls.count("# imsubimage(") == 7


def test_results_are_of_the_images(made):
    assert made.pbcor.statistics["residual"] == plane_statistics(
        read_plane(made.working / made.pbcor.residual)
    )
    assert sum(made.pbcor.pb_histogram_counts) == 40 * 20
    for index, stokes in enumerate(STOKES):
        assert made.rms.statistics[stokes] == plane_statistics(
            read_plane(made.working / made.rms.image, index)
        )
        cut = read_plane(made.working / made.cutouts.images["pbcor"], index)
        assert made.cutouts.statistics[stokes].pbcor == plane_statistics(cut)
    pb = made.working / made.cutouts.images["pb"]
    assert made.cutouts.pb == plane_statistics(read_plane(pb))
    assert image_facts(pb).reference_pixel == (60 - BOX.blc_x, 50 - BOX.blc_y)
    assert len(made.contexts[2].outputs) == 7


def test_noise_beside_what_the_weights_let_expect(made):
    """The residual has noise of 90 µJy/beam, 50 are expected; medians by numpy."""
    pb = read_plane(made.working / made.cutouts.images["pb"])
    expected = 5e-5 / float(np.nanmedian(pb))
    assert made.cutouts.expected_noise_jy == 5e-5
    assert made.cutouts.expected_corrected_noise_jy == pytest.approx(expected, rel=1e-6)
    assert expected > 1.2 * 5e-5
    assert set(made.cutouts.noise_ratio) == set(STOKES)
    for index, stokes in enumerate(STOKES):
        residual = read_plane(made.working / made.cutouts.images["residual"], index)[np.isfinite(pb)]
        mad = np.nanmedian(np.abs(residual - np.nanmedian(residual)))
        assert made.cutouts.noise_ratio[stokes] == pytest.approx(1.4826 * mad / 5e-5, rel=1e-5)
        assert 1.5 < made.cutouts.noise_ratio[stokes] < 2.1


def test_nothing_is_left_of_a_failure(made, tmp_path, monkeypatch):
    source, target = made.working / made.pbcor.image, tmp_path / "target"
    target.mkdir()

    def stopped_half_way():
        with derived_image(target, source) as add:
            add(read_plane(source))
            raise KeyError

    with pytest.raises(KeyError):
        stopped_half_way()
    assert [path.name for path in tmp_path.iterdir()] == ["target"]

    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(derived_images.casacore_tables, "new_image", full)
    with pytest.raises(ResourceLimitError, match="disk is full"), derived_image(target, source):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["target"]
