from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from vlasscube.records import STOKES, BrightSource
from vlasscube.testing.synthetic_run import SyntheticRun, use_planes
from vlasscube.weblog import source_stamps
from vlasscube.weblog.source_stamps import make_source_stamps, read_source_stamps

from .viewer_decoder import decode, received

SIZE = 1400
SOURCES = ((300, 200, 0.08), (317, 215, 0.02), (5, 1397, 0.01), (800, 900, 0.004))


class ThreePlanes(SyntheticRun):
    flagged = empty = rejected = failed = noisy = -1
    sources = tuple(BrightSource(x, y, flux, flux / 2e-4) for x, y, flux in SOURCES)


@cache
def plane_of(path: Path, stokes: int) -> np.ndarray:
    if ".rms." in path.name:
        return np.full((SIZE, SIZE), 2e-4, dtype=np.float32)
    spw = int(path.name.split(".spw")[1].split(".")[0])
    plane = np.random.default_rng(10 * spw + stokes).normal(0, 2e-4, (SIZE, SIZE)).astype(np.float32)
    for x, y, flux in SOURCES:
        plane[y, x] += flux * (1.0, 0.1, -0.1, 0.0)[stokes] * 3 / spw
    return plane


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ThreePlanes:
    run = ThreePlanes(tmp_path, spws=range(2, 5))
    run.finished()
    use_planes(monkeypatch, plane_of)
    return run


def stamps_of(run: ThreePlanes) -> tuple[source_stamps.SourceStamp, ...]:
    return read_source_stamps(run.workspace, run.key("analyze_stokes_cubes"))


def test_recorded_sources_and_analysed_regions(run: ThreePlanes) -> None:
    make_source_stamps(run.workspace)
    stamps = stamps_of(run)
    peaks = {(stamp.peak_x, stamp.peak_y) for stamp in stamps}
    # The regions of the Stokes analysis, then its sources; one is near the middle of another's stamp.
    assert peaks == {(256, 260), (300, 200), (317, 215), (5, 1397), (800, 900)}
    assert (stamps[0].peak_x, stamps[0].peak_y) == (256, 260)
    for stamp in stamps:
        box = stamp.box
        assert 0 <= box.blc_x <= stamp.peak_x <= box.trc_x < SIZE
        assert 0 <= box.blc_y <= stamp.peak_y <= box.trc_y < SIZE


def test_every_pixel_of_every_plane(run: ThreePlanes) -> None:
    make_source_stamps(run.workspace)
    stamp = next(stamp for stamp in stamps_of(run) if (stamp.peak_x, stamp.peak_y) == (300, 200))
    name, content = received(run.workspace.weblog / stamp.file)
    assert name == f"source/{stamp.name}"
    assert content["box"] == [268, 168, 331, 231]
    assert set(content["planes"]) == {"spw2", "spw3", "spw4"}
    for label in ("spw2", "spw4"):
        for index, stokes in enumerate(STOKES):
            truth = plane_of(Path(f"a.{label}.image"), index)[168:232, 268:332]
            np.testing.assert_allclose(decode(content["planes"][label][stokes]), truth, rtol=0, atol=4e-6)


def test_small_images_need_none(run: ThreePlanes, monkeypatch: pytest.MonkeyPatch) -> None:
    use_planes(monkeypatch, lambda path, stokes: plane_of(path, stokes)[:1000, :1100])
    make_source_stamps(run.workspace)
    assert stamps_of(run) == ()


def test_made_once_and_again_for_a_new_analysis(run: ThreePlanes, monkeypatch: pytest.MonkeyPatch) -> None:
    make_source_stamps(run.workspace)
    monkeypatch.setattr(source_stamps, "open_image", lambda *args: pytest.fail("read again"))
    make_source_stamps(run.workspace)
    assert read_source_stamps(run.workspace, "another key") == ()
    (run.workspace.weblog / stamps_of(run)[0].file).unlink()
    with pytest.raises(pytest.fail.Exception):
        make_source_stamps(run.workspace)


def test_a_record_without_sources_gives_stamps_of_the_regions(run: ThreePlanes) -> None:
    """As earlier versions left it."""
    record = run.workspace.read_record("analyze_stokes_cubes")
    result = {key: value for key, value in record.result.items() if key != "sources"}
    run.workspace.write_record(replace(record, result=result))
    make_source_stamps(run.workspace)
    assert {(stamp.peak_x, stamp.peak_y) for stamp in stamps_of(run)} == {(256, 260)}


def test_nothing_before_the_analysis(tmp_path: Path) -> None:
    run = ThreePlanes(tmp_path, spws=range(2, 5))
    run.start().field_stages()
    make_source_stamps(run.workspace)
    assert not (run.workspace.weblog / "images").exists()
