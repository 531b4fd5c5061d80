from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from vlasscube.recipe import (
    IMPORT_DATA,
    MAKE_CUTOUT_IMAGES,
    MAKE_IMAGES,
    MAKE_RMS_IMAGES,
    PBCOR,
    RECIPE,
    Stage,
)
from vlasscube.records import Beam
from vlasscube.results.types import CutoutResult
from vlasscube.testing.synthetic_run import SyntheticRun, fake_plane, use_planes
from vlasscube.weblog import pictures, previews
from vlasscube.weblog.pictures import Stretch
from vlasscube.weblog.previews import Preview, list_path, make_previews, read_previews

from .viewer_decoder import decode, received


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SyntheticRun:
    use_planes(monkeypatch, lambda path, stokes: fake_plane(path, stokes, size=96))
    run = SyntheticRun(tmp_path).start().field_stages().plane_stages(2)
    run.make_image_names(2)
    return run


class TestMakePreviews:
    def test_images_of_all_iterations(self, run: SyntheticRun) -> None:
        make_previews(run.workspace, MAKE_IMAGES, "spw2")
        made = read_previews(run.workspace, MAKE_IMAGES, "spw2", run.key("make_images", "spw2"))
        kinds = {preview.kind for preview in made}
        assert kinds == {
            "iter0.residual",
            *(f"iter{n}.{kind}" for n in (1, 2, 3) for kind in ("image", "residual", "cleanmask")),
            "model",
            "psf",
            "pb",
        }
        assert [p.stokes for p in made if p.kind == "iter3.image"] == ["I", "Q", "U", "V"]
        assert [p.stokes for p in made if p.kind == "psf"] == ["I"]
        directory = run.workspace.weblog / "images" / "spw2"
        for preview in made:
            ending = "png" if "mask" in preview.kind or preview.kind == "model" else "jpg"
            assert preview.picture == f"{preview.kind}.{preview.stokes}.{ending}"
            assert preview.data == f"{preview.kind}.{preview.stokes}.js"
            with Image.open(directory / preview.picture) as picture:
                assert picture.size == (preview.width, preview.height)
            assert (directory / preview.data).is_file()
        assert not list(directory.glob(".*"))

    @pytest.mark.parametrize(
        ("stage", "kinds"),
        [
            (PBCOR, {"pbcor", "residual_pbcor"}),
            (MAKE_RMS_IMAGES, {"rms"}),
            (MAKE_CUTOUT_IMAGES, {f"cutout.{k}" for k in ("pbcor", "residual_pbcor", "rms", "pb")}),
        ],
    )
    def test_other_stages(self, run: SyntheticRun, stage: Stage[object], kinds: set[str]) -> None:
        make_previews(run.workspace, stage, "spw2")
        made = read_previews(run.workspace, stage, "spw2", run.key(stage.name, "spw2"))
        assert {preview.kind for preview in made} == kinds

    def test_nothing_for_what_is_not_done(self, run: SyntheticRun) -> None:
        run.fail_plane(8)
        for stage, label in ((MAKE_IMAGES, "spw8"), (MAKE_IMAGES, "spw3"), (IMPORT_DATA, "spw2")):
            make_previews(run.workspace, stage, label)
        assert not (run.workspace.weblog / "images").exists()

    @pytest.mark.parametrize("file", ["pbcor.I.jpg", "pbcor.V.js"])
    def test_not_made_again(self, run: SyntheticRun, monkeypatch: pytest.MonkeyPatch, file: str) -> None:
        make_previews(run.workspace, PBCOR, "spw2")
        monkeypatch.setattr(previews, "open_image", lambda *args: pytest.fail("read again"))
        make_previews(run.workspace, PBCOR, "spw2")
        (run.workspace.weblog / "images" / "spw2" / file).unlink()
        with pytest.raises(pytest.fail.Exception):
            make_previews(run.workspace, PBCOR, "spw2")

    def test_no_list_without_all_pictures(self, run: SyntheticRun, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(*args: object) -> np.ndarray:
            raise OSError("disk")

        make_previews(run.workspace, PBCOR, "spw2")
        (run.workspace.weblog / "images" / "spw2" / "pbcor.I.jpg").unlink()
        monkeypatch.setattr(previews, "open_image", fail)
        with pytest.raises(OSError, match="disk"):
            make_previews(run.workspace, PBCOR, "spw2")
        assert not list_path(run.workspace, PBCOR, "spw2").exists()

    @pytest.mark.parametrize("fill", [np.nan, 0.0, 1e-3])
    def test_flat_planes(self, run: SyntheticRun, monkeypatch: pytest.MonkeyPatch, fill: float) -> None:
        flat = np.full((64, 48), fill, dtype=np.float32)
        use_planes(monkeypatch, lambda path, stokes: flat)
        for stage in RECIPE.of_planes:
            make_previews(run.workspace, stage, "spw2")
            for preview in read_previews(run.workspace, stage, "spw2", run.key(stage.name, "spw2")):
                assert preview.high > preview.low
                assert np.isfinite([preview.low, preview.high]).all()

    def test_large_planes_get_small(self, run: SyntheticRun, monkeypatch: pytest.MonkeyPatch) -> None:
        plane = np.random.default_rng(1).normal(size=(1300, 2500)).astype(np.float32)
        use_planes(monkeypatch, lambda path, stokes: plane)
        make_previews(run.workspace, MAKE_RMS_IMAGES, "spw2")
        key = run.key("make_rms_images", "spw2")
        preview = read_previews(run.workspace, MAKE_RMS_IMAGES, "spw2", key)[0]
        assert (preview.width, preview.height, preview.block) == (358, 186, 7)
        array = array_of(run, preview)
        assert (array["width"], array["height"], array["nx"], array["ny"]) == (358, 186, 2500, 1300)

    @pytest.mark.parametrize("strip_pixels", [1, 3000, 1 << 30])
    def test_strips_make_no_difference(
        self, run: SyntheticRun, monkeypatch: pytest.MonkeyPatch, strip_pixels: int
    ) -> None:
        generator = np.random.default_rng(2)
        plane = generator.normal(size=(2210, 1001)).astype(np.float32)
        plane[generator.random(plane.shape) < 0.3] = np.nan
        use_planes(monkeypatch, lambda path, stokes: plane)
        monkeypatch.setattr(previews, "_STRIP_PIXELS", strip_pixels)
        make_previews(run.workspace, MAKE_CUTOUT_IMAGES, "spw2")
        made = read_previews(run.workspace, MAKE_CUTOUT_IMAGES, "spw2", run.key("make_cutout_images", "spw2"))
        for kind, reduce in (("cutout.pbcor", np.nanmean), ("cutout.residual_pbcor", largest)):
            preview = next(p for p in made if (p.kind, p.stokes) == (kind, "I"))
            array = array_of(run, preview)
            values, size = decode(array), preview.block
            assert size == (3 if kind == "cutout.pbcor" else 6)
            for j, i in ((0, 0), (values.shape[0] - 1, values.shape[1] - 1), (100, 37)):
                block = plane[j * size : (j + 1) * size, i * size : (i + 1) * size]
                assert values[j, i] == pytest.approx(float(reduce(block)), abs=0.51 * array["step"])

    def test_values_of_the_products(self, run: SyntheticRun) -> None:
        """Images of up to 1100 pixels are kept whole, far below the noise."""
        make_previews(run.workspace, MAKE_CUTOUT_IMAGES, "spw2")
        made = read_previews(run.workspace, MAKE_CUTOUT_IMAGES, "spw2", run.key("make_cutout_images", "spw2"))
        result = CutoutResult(**run.workspace.read_record("make_cutout_images", "spw2").result)
        for preview in (p for p in made if p.kind == "cutout.pbcor"):
            truth = fake_plane(Path(result.images["pbcor"]), "IQUV".index(preview.stokes), size=96)
            array = array_of(run, preview)
            assert (array["block"], array["unit"]) == (1, "Jy/beam")
            np.testing.assert_allclose(decode(array), truth, rtol=0, atol=2e-6, equal_nan=True)


def largest(block: np.ndarray) -> float:
    return float(block.ravel()[np.nanargmax(np.abs(block))])


def array_of(run: SyntheticRun, preview: Preview) -> dict[str, Any]:
    return received(run.workspace.weblog / "images" / "spw2" / preview.data)[1]


class TestPictures:
    def test_north_is_up(self) -> None:
        plane = np.zeros((4, 3), dtype=np.float32)
        plane[0, 2] = 1.0
        plane[1, 0] = np.nan
        indices = pictures.colour_indices(plane, Stretch(0.0, 1.0))
        assert indices[3, 2] == pictures.COLOURS - 1
        assert indices[2, 0] == pictures.BLANK
        assert indices[0, 0] == 0

    def test_beam_lies_along_its_position_angle(self) -> None:
        for angle, along in ((0.0, "rows"), (90.0, "columns")):
            indices = np.zeros((100, 100), dtype=np.uint8)
            assert pictures.draw_beam(indices, Beam(30.0, 10.0, angle), 1.0) == 1.0
            rows, columns = np.nonzero(indices)
            assert (np.ptp(rows) > np.ptp(columns)) == (along == "rows")
            assert rows.min() > 50
            assert columns.max() < 50
        # 45° from north to east is up and to the left.
        indices = np.zeros((100, 100), dtype=np.uint8)
        pictures.draw_beam(indices, Beam(30.0, 5.0, 45.0), 1.0)
        rows, columns = np.nonzero(indices)
        assert np.corrcoef(rows, columns)[0, 1] > 0.5

    def test_small_beams_are_enlarged(self) -> None:
        indices = np.zeros((100, 100), dtype=np.uint8)
        assert pictures.draw_beam(indices, Beam(3.0, 2.0, 0.0), 3.0) == 14.0
        tiny = np.zeros((8, 8), dtype=np.uint8)
        assert pictures.draw_beam(tiny, Beam(3.0, 2.0, 0.0), 3.0) == 1.0
        assert not tiny.any()

    def test_colours(self) -> None:
        indices = np.array([[0, pictures.COLOURS - 1, pictures.BLANK, pictures.INK]], dtype=np.uint8)
        with Image.open(io.BytesIO(pictures.png(indices, "inferno"))) as image:
            colours = np.asarray(image.convert("RGB"))[0]
        assert tuple(colours[0]) == (0, 0, 4)
        assert tuple(colours[1]) == (252, 255, 164)
        assert tuple(colours[2]) == (128, 134, 142)
        assert tuple(colours[3]) == (255, 255, 255)


def test_noise_is_that_where_the_mosaic_is():
    """At high frequencies most pixels lie beyond the primary-beam limit, where images are all but zero."""
    plane = np.zeros((100, 100), dtype=np.float32)
    plane[:, :30] = np.random.default_rng(1).normal(0, 1e-3, (100, 30))
    plane[50, 10] = 0.3
    assert pictures.noise(plane) == pytest.approx(1e-3, rel=0.1)
    plane[:, 30:] = 1e-9
    assert pictures.noise(plane) == pytest.approx(1e-3, rel=0.1)
    assert pictures.noise(np.zeros((5, 5), dtype=np.float32)) is None
