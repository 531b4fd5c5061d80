"""A plane whose clean diverges, through the whole workflow: kept with its last good iteration, and marked."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from vlasscube import casa
from vlasscube.clean_terms import StopCode
from vlasscube.images.casa_images import read_cube
from vlasscube.imaging.engine import CleanRequest, CleanResult, ImagingEngine
from vlasscube.products.manifest import read_manifest
from vlasscube.recipe import ANALYZE_STOKES_CUBES, GATHER_PLANES, MAKE_IMAGES
from vlasscube.records import Outcome
from vlasscube.results.reading import read_result
from vlasscube.run.verification import verify_products
from vlasscube.run.workflow import run_workflow
from vlasscube.simulation import simulate
from vlasscube.simulation.presets import preset
from vlasscube.stages import make_images
from vlasscube.workspace.directory import Workspace

from .quick_field import QUICK_FIELD

pytestmark = [pytest.mark.casa, pytest.mark.slow]


class DivergingEngine:
    """The engine of the run, whose cleans of spectral window 2 diverge from an iteration on."""

    name = "mosaic"

    def __init__(self, real: ImagingEngine, diverges_at: int, asked: list[tuple[str, int]]) -> None:
        self._real, self._diverges_at, self._asked = real, diverges_at, asked

    def clean(self, request: CleanRequest) -> CleanResult:
        number = request.iteration.number
        self._asked.append((request.selection.spw, number))
        result = self._real.clean(request)
        if request.selection.spw == "2" and number >= self._diverges_at:
            return replace(result, stop_code=StopCode.GREW_FROM_MINIMUM)
        return result


@pytest.fixture(autouse=True)
def places_of_casa_for_other_tests(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A run in this process leaves CASA with places of its own, which go when it ends."""
    yield
    directory = tmp_path_factory.mktemp("casa")
    casa.configure(directory / "casa.log", directory / "calls.py", directory)


@pytest.fixture(scope="module")
def field(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("field") / "run"
    casa.configure(tmp_path_factory.mktemp("logs") / "casa.log")
    simulate(directory, preset("tiny", **QUICK_FIELD), seed=3)
    return directory


@pytest.mark.parametrize("diverges_at", [1, 3])
def test_it_is_delivered_as_rejected(
    field: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, diverges_at: int
) -> None:
    shutil.copytree(field, tmp_path / "run")
    workspace = Workspace(tmp_path / "run")
    asked: list[tuple[str, int]] = []
    real = make_images.imaging_engine
    monkeypatch.setattr(
        make_images,
        "imaging_engine",
        lambda *names, **options: DivergingEngine(real(*names, **options), diverges_at, asked),
    )
    ended = run_workflow(workspace, workers=0)
    assert ended.exit_status == 2
    last = diverges_at - 1
    images = read_result(workspace, MAKE_IMAGES, "spw2")
    assert (images.last.number, images.attempted[-1].number) == (last, diverges_at)
    assert ("2", diverges_at + 1) not in asked
    root = workspace.working / images.last_root
    assert root.name.endswith(f".iter{last}")
    if last == 0:
        # Nothing is cleaned: the restored image is the dirty one.
        image, dirty = (read_cube(Path(f"{root}.{kind}.tt0")) for kind in ("image", "residual"))
        inside = np.isfinite(dirty)
        np.testing.assert_array_equal(image[inside], dirty[inside])
    verdict = read_result(workspace, GATHER_PLANES).plane("spw2")
    assert verdict.outcome is Outcome.REJECTED
    assert verdict.reason.startswith(f"the clean of iter{diverges_at} diverged ([6] ")
    assert f"the images are those of iter{last}" in verdict.reason
    assert verdict.stop.startswith("[6] ")
    assert read_result(workspace, GATHER_PLANES).plane("spw3").outcome is Outcome.IMAGED

    products = sorted(path.name for path in workspace.products.glob("*.spw2.*.fits"))
    # Native and common-beam images and rms, IQU and V.
    assert len(products) == len(list(workspace.products.glob("*.spw3.*.fits"))) >= 6
    assert all(f".iter{last}." in name for name in products)
    for name in products:
        header = fits.getheader(workspace.products / name)
        assert (header["OUTCOME"], header["VLASSRJ"]) == ("rejected", True)
    assert verify_products(workspace).problems == ()
    plane = next(p for p in read_manifest(workspace.products).planes if p.label == "spw2")
    assert (plane.outcome, plane.reason) == (Outcome.REJECTED, verdict.reason)
    analysis = read_result(workspace, ANALYZE_STOKES_CUBES)
    kept = {m.label: m.kept for region in analysis.native for m in region.measurements}
    assert kept == {"spw2": False, "spw3": True}
    page = (workspace.weblog / "stage07-make_images.html").read_text(encoding="utf-8")
    assert f"the clean of iter{diverges_at} diverged" in page
    assert f"Call of iter{diverges_at}" in page

    made = len(asked)
    assert run_workflow(workspace, workers=0).exit_status == 2
    assert asked[made:] == []
