"""The export beside files of others: a released run exported again from the images of its own products."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from astropy.io import fits

from vlasscube import naming
from vlasscube.errors import ProblemListError
from vlasscube.recipe import EXPORT_VLASS_DATA
from vlasscube.results.reading import InputSource
from vlasscube.stages import export_vlass_data as stage
from vlasscube.stages.context import StageContext
from vlasscube.workspace.directory import Workspace

from ..run.released_run import unpack_released_run


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    workspace = Workspace(unpack_released_run(tmp_path / "run"))
    shutil.copytree(workspace.products, tmp_path / "kept")

    def exported(image: Path, stokes: str, scratch: Path) -> fits.HDUList:
        # The release had no image of the primary beam: any will do here.
        source = image.name.replace(".pb.", ".image.pbcor.")
        name = naming.fits_name(naming.stokes_variant(source, stokes.replace("I", "IQU")))
        name = name if stokes != "IQU" else naming.fits_name(naming.stokes_variant(source, "IQU"))
        return fits.HDUList([hdu.copy() for hdu in fits.open(tmp_path / "kept" / name, memmap=False)])

    @contextlib.contextmanager
    def aligned(image: Path, *_: object) -> Iterator[Path]:
        yield image

    monkeypatch.setattr(stage, "export_stokes", exported)
    monkeypatch.setattr(stage, "aligned_image", aligned)
    # The correction refuses to be applied to a header that has it already.
    monkeypatch.setattr(stage, "fits_product", lambda hdus, *_: (hdus, ()))
    workspace.working.mkdir(exist_ok=True)
    return workspace


def export(workspace: Workspace) -> StageContext:
    options = workspace.read_options()
    assert options is not None
    inputs = stage.export_inputs(InputSource(workspace, options))
    context = StageContext(
        workspace, EXPORT_VLASS_DATA.name, previous=workspace.read_record(EXPORT_VLASS_DATA.name)
    )
    stage.export_vlass_data(inputs, context)
    return context


def test_an_export_replaces_its_own_files_and_no_others(workspace: Workspace) -> None:
    before = {path.name for path in workspace.products.iterdir()}
    (workspace.products / "continuum.image.fits").write_bytes(b"precious")
    export(workspace)
    workspace.remove_record(EXPORT_VLASS_DATA.name)
    export(workspace)
    new = {path.name for path in workspace.products.iterdir()} - before
    # The release made no primary beams, and no rms images of the common-beam set.
    ours = {name for name in new if ".I.iter3.pb.tt0.subim." in name or name.endswith(".rms.subim.com.fits")}
    assert len(ours) == 2 * (2 + 2)
    assert new - ours == {"continuum.image.fits", "weblog.tgz"}
    assert (workspace.products / "continuum.image.fits").read_bytes() == b"precious"


def test_an_export_without_records_of_its_own_overwrites_nothing(workspace: Workspace) -> None:
    workspace.remove_record(EXPORT_VLASS_DATA.name)
    before = {path.name: path.read_bytes() for path in workspace.products.iterdir()}
    with pytest.raises(ProblemListError) as caught:
        export(workspace)
    assert set(caught.value.problems) == set(before)
    assert {path.name: path.read_bytes() for path in workspace.products.iterdir()} == before
