"""A user's own continuum run: its products have the user's names, and are found by the user's list."""

from __future__ import annotations

import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from vlasscube import casa
from vlasscube.recipe import RESTORE_PIMS
from vlasscube.results.reading import read_result
from vlasscube.simulation import simulate
from vlasscube.simulation.presets import preset
from vlasscube.workspace.directory import Workspace

from .quick_field import QUICK_FIELD

pytestmark = [pytest.mark.casa, pytest.mark.slow]


@pytest.mark.parametrize(
    ("fsid", "name"),
    [("J1550+1120", "Coarse_Test"), ("J0807+0432.sb1-eb2", "VLASS_SE_J0807_0432_c0.6arcsec")],
)
def test_through_the_restored_state(tmp_path: Path, fsid: str, name: str) -> None:
    parameters = preset(
        "tiny",
        fsid=fsid,
        continuum_name=name,
        **QUICK_FIELD,
    )
    directory = tmp_path / "run"
    casa.configure(tmp_path / "casa.log")
    simulate(directory, parameters, seed=2)
    workspace = Workspace(directory)
    with tarfile.open(workspace.resources_archive) as archive:
        tops = {member.split("/")[0] for member in archive.getnames()}
    assert f"s13_0.{name}.QLcatmask-tier1.mask" in tops
    assert f"{fsid}_split_split.ms.flagversions" in tops
    command = [sys.executable, "-m", "vlasscube.cli"]
    planned = subprocess.run([*command, "plan", directory], capture_output=True, text=True, check=False)
    assert planned.returncode == 0, planned.stderr
    ended = subprocess.run(
        [*command, "run", directory, "--to", "restore_pims"], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
    restored = read_result(workspace, RESTORE_PIMS)
    assert restored.tier2_mask == f"s13_0.{name}.combined-tier2.mask"
    assert restored.selfcal_table.startswith(f"{fsid}_split_split.ms.")
    assert restored.model_images == tuple(f"s5_0.{name}.I.iter1.model.tt{term}" for term in (0, 1))
