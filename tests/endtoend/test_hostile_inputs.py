"""Input that does not belong together, and data that are no measurements."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from vlasscube.casacore_tables import table
from vlasscube.errors import ResourceMismatchError
from vlasscube.measurement_set.unusable_data import flag_unusable_results, flag_unusable_visibilities
from vlasscube.recipe import EDIT_IMAGE_LIST_CONTINUUM, RESTORE_PIMS
from vlasscube.resources.resource_checks import check_resources
from vlasscube.results.reading import read_result
from vlasscube.workspace.directory import Workspace

from .running import command, input_digests

pytestmark = [pytest.mark.casa, pytest.mark.endtoend]


class Restored:
    """Resources as extracted from an archive, apart from the run, to be altered."""

    def __init__(self, workspace, directory: Path) -> None:
        self.report = read_result(workspace, RESTORE_PIMS).report
        self.geometry = read_result(workspace, EDIT_IMAGE_LIST_CONTINUUM).geometry
        self.directory = directory
        (self.ms,) = workspace.working.glob("*.ms")
        names = [*self.report.model_images, self.report.tier1_mask, self.report.tier2_mask]
        names += [self.report.selfcal_table, self.report.get("flag_dir").found[0]]
        for name in names:
            shutil.copytree(workspace.working / name, directory / name, dirs_exist_ok=True)

    def check(self, **changes: object):
        geometry = replace(self.geometry, **changes)
        return check_resources(self.directory, self.report, self.ms, geometry, 2)


@pytest.fixture
def restored(mosaic_run, tmp_path: Path) -> Restored:
    return Restored(mosaic_run.workspace, tmp_path)


def test_resources_of_this_image(restored: Restored) -> None:
    assert restored.check() == ()


@pytest.mark.parametrize(
    "changes",
    [
        {"phasecenter": "J2000 10:04:00.000 +34.00.00.0000"},
        {"phasecenter": "J2000 10:00:00.000 +33.00.00.0000"},
        {"cell_arcsec": 0.6},
        {"nx": 500, "ny": 500},
    ],
)
def test_resources_of_another_image(restored: Restored, changes: dict[str, object]) -> None:
    with pytest.raises(ResourceMismatchError) as caught:
        restored.check(**changes)
    told = str(caught.value)
    for name in (restored.report.tier1_mask, restored.report.tier2_mask, *restored.report.model_images):
        assert name in told
    assert "nothing was changed" in told
    assert caught.value.hint


def test_calibration_of_other_antennas(restored: Restored) -> None:
    name = restored.report.selfcal_table
    with table(restored.directory / name / "ANTENNA", writable=True) as antennas:
        antennas.putcol("NAME", [f"xx{number}" for number in range(antennas.nrows())])
    with pytest.raises(ResourceMismatchError, match=name.replace(".", r"\.")):
        restored.check()


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_mask_and_model_with_what_is_no_number(restored: Restored, value: float) -> None:
    for name in (restored.report.tier1_mask, restored.report.model_images[0]):
        with table(restored.directory / name, writable=True) as image:
            pixels = image.getcell("map", 0)
            pixels[0, 0, 3, 3] = value
            image.putcell("map", 0, pixels)
    with pytest.raises(ResourceMismatchError) as caught:
        restored.check()
    assert len(caught.value.problems) == 2


@pytest.fixture
def working_ms(mosaic_run, tmp_path: Path) -> Path:
    (ms,) = mosaic_run.workspace.working.glob("*.ms")
    shutil.copytree(ms, tmp_path / "copy.ms")
    return tmp_path / "copy.ms"


def columns(ms: Path) -> dict[str, np.ndarray]:
    with table(ms) as opened:
        return {name: opened.getcol(name) for name in ("DATA", "FLAG", "WEIGHT")}


def test_clean_data_are_left_alone(working_ms: Path) -> None:
    before = columns(working_ms)
    assert flag_unusable_visibilities(working_ms).total == 0
    assert flag_unusable_results(working_ms).total == 0
    for name, values in columns(working_ms).items():
        np.testing.assert_array_equal(values, before[name])


@pytest.mark.parametrize("value", [np.nan, np.inf, complex(1, np.nan), 0.0])
def test_unusable_visibilities_are_flagged_and_counted(working_ms: Path, value: complex) -> None:
    before = columns(working_ms)
    rows = np.flatnonzero(~before["FLAG"].any(axis=(1, 2)))[:5]
    assert rows.size == 5
    with table(working_ms, writable=True) as opened:
        data = before["DATA"].copy()
        data[rows] = value
        opened.putcol("DATA", data)
    found = flag_unusable_visibilities(working_ms)
    assert found.total == data[rows].size
    assert ("zero" if value == 0 else "not finite") in str(found)
    after = columns(working_ms)["FLAG"]
    assert after[rows].all()
    assert np.count_nonzero(after != before["FLAG"]) == data[rows].size


@pytest.mark.parametrize("value", [-1.0, np.nan])
def test_bad_weights_are_flagged(working_ms: Path, value: float) -> None:
    before = columns(working_ms)
    row = int(np.flatnonzero(~before["FLAG"].any(axis=(1, 2)))[0])
    with table(working_ms, writable=True) as opened:
        name = "WEIGHT_SPECTRUM" if "WEIGHT_SPECTRUM" in opened.colnames() else "WEIGHT"
        weight = opened.getcol(name)
        weight[row] = value
        opened.putcol(name, weight)
    found = flag_unusable_results(working_ms)
    assert found.bad_weights == before["FLAG"][row].size
    assert columns(working_ms)["FLAG"][row].all()


# ----------------------------------------------------------------------------------------------- the command


def spoil_version(ms: Path) -> None:
    """casacore ends the process that reads the table, instead of raising an error."""
    path = ms / "SPECTRAL_WINDOW" / "table.dat"
    content = bytearray(path.read_bytes())
    place = content.index(b"IPosition") + len(b"IPosition")
    content[place : place + 4] = b"\x7f" * 4
    path.write_bytes(content)


def cut_data(ms: Path) -> None:
    stored = max(ms.glob("table.f*_TSM*"), key=lambda path: path.stat().st_size)
    os.truncate(stored, stored.stat().st_size // 2)


def strange_telescope(ms: Path) -> None:
    with table(ms / "OBSERVATION", writable=True) as observation:
        observation.putcell("TELESCOPE_NAME", 0, "<b>\x1b[31m\nTraceback")


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (spoil_version, "SPECTRAL_WINDOW cannot be read: the process that read it died"),
        (cut_data, "cannot be read as a measurement set"),
        (strange_telescope, "not from the VLA"),
    ],
)
def test_run_with_a_damaged_measurement_set(simulated_field: Path, tmp_path: Path, damage, reason) -> None:
    directory = tmp_path / "run"
    shutil.copytree(simulated_field, directory)
    workspace = Workspace(directory)
    damage(workspace.input_ms)
    before = input_digests(workspace)
    finished = subprocess.run(command("run", directory), capture_output=True, text=True, check=False)
    assert finished.returncode == 1
    assert finished.stderr.count(reason) == 1
    assert workspace.input_ms.name in finished.stderr
    for text in (finished.stdout, finished.stderr):
        assert "Traceback (most recent call last)" not in text
        assert "terminate called" not in text
        assert "\x1b[31m\n" not in text
    assert input_digests(workspace) == before
    assert not workspace.products.exists() or not any(workspace.products.iterdir())
    # What CASA's temporary files would be in is left, and nothing in it.
    assert [path for path in workspace.working.rglob("*") if path != workspace.casa_scratch] == []
