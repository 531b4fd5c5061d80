from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from synthetic_run import SyntheticRun, fake_plane

from vlasscube.records import Beam
from vlasscube.weblog import pictures, previews
from vlasscube.weblog.pictures import Stretch
from vlasscube.weblog.previews import list_path, make_previews, read_previews


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SyntheticRun:
    monkeypatch.setattr(previews, "read_plane", lambda path, stokes=0: fake_plane(path, stokes, size=96))
    run = SyntheticRun(tmp_path).start().field_stages().plane_stages(2)
    run.make_image_names(2)
    return run


class TestMakePreviews:
    def test_images_of_all_iterations(self, run: SyntheticRun) -> None:
        make_previews(run.workspace, "make_images", "spw2")
        made = read_previews(run.workspace, "make_images", "spw2", run.key("make_images", "spw2"))
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
            assert preview.file == f"{preview.kind}.{preview.stokes}.png"
            assert preview.thumb == f"{preview.kind}.{preview.stokes}.thumb.png"
            with Image.open(directory / preview.file) as full:
                assert full.size == (preview.width, preview.height)
            assert (directory / preview.thumb).is_file()
        assert not list(directory.glob(".*"))

    @pytest.mark.parametrize(
        ("stage", "kinds"),
        [
            ("pbcor", {"pbcor", "residual_pbcor"}),
            ("make_rms_images", {"rms"}),
            ("make_cutout_images", {f"cutout.{k}" for k in ("pbcor", "residual_pbcor", "rms", "pb")}),
        ],
    )
    def test_other_stages(self, run: SyntheticRun, stage: str, kinds: set[str]) -> None:
        make_previews(run.workspace, stage, "spw2")
        made = read_previews(run.workspace, stage, "spw2", run.key(stage, "spw2"))
        assert {preview.kind for preview in made} == kinds

    def test_nothing_for_what_is_not_done(self, run: SyntheticRun) -> None:
        run.fail_plane(8)
        for stage, label in (("make_images", "spw8"), ("make_images", "spw3"), ("import_data", "spw2")):
            make_previews(run.workspace, stage, label)
        assert not (run.workspace.weblog / "images").exists()

    def test_not_made_again(self, run: SyntheticRun, monkeypatch: pytest.MonkeyPatch) -> None:
        make_previews(run.workspace, "pbcor", "spw2")
        monkeypatch.setattr(previews, "read_plane", lambda path, stokes=0: pytest.fail("read again"))
        make_previews(run.workspace, "pbcor", "spw2")
        (run.workspace.weblog / "images" / "spw2" / "pbcor.I.png").unlink()
        with pytest.raises(pytest.fail.Exception):
            make_previews(run.workspace, "pbcor", "spw2")

    def test_no_list_without_all_pictures(self, run: SyntheticRun, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(path: Path, stokes: int = 0) -> np.ndarray:
            raise OSError("disk")

        make_previews(run.workspace, "pbcor", "spw2")
        (run.workspace.weblog / "images" / "spw2" / "pbcor.I.png").unlink()
        monkeypatch.setattr(previews, "read_plane", fail)
        with pytest.raises(OSError, match="disk"):
            make_previews(run.workspace, "pbcor", "spw2")
        assert not list_path(run.workspace, "pbcor", "spw2").exists()

    @pytest.mark.parametrize("fill", [np.nan, 0.0, 1e-3])
    def test_flat_planes(self, run: SyntheticRun, monkeypatch: pytest.MonkeyPatch, fill: float) -> None:
        flat = np.full((64, 48), fill, dtype=np.float32)
        monkeypatch.setattr(previews, "read_plane", lambda path, stokes=0: flat)
        for stage in ("make_images", "pbcor", "make_rms_images", "make_cutout_images"):
            make_previews(run.workspace, stage, "spw2")
            for preview in read_previews(run.workspace, stage, "spw2", run.key(stage, "spw2")):
                assert preview.high > preview.low
                assert np.isfinite([preview.low, preview.high]).all()

    def test_large_planes_get_small(self, run: SyntheticRun, monkeypatch: pytest.MonkeyPatch) -> None:
        plane = np.random.default_rng(1).normal(size=(1300, 2500)).astype(np.float32)
        monkeypatch.setattr(previews, "read_plane", lambda path, stokes=0: plane)
        make_previews(run.workspace, "make_rms_images", "spw2")
        key = run.key("make_rms_images", "spw2")
        preview = read_previews(run.workspace, "make_rms_images", "spw2", key)[0]
        assert (preview.width, preview.height) == (834, 434)
        with Image.open(run.workspace.weblog / "images" / "spw2" / preview.thumb) as thumb:
            assert max(thumb.size) <= previews.THUMB_PIXELS


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

    def test_png_colours(self) -> None:
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
