"""One simulated field, taken through the workflow by the command, killed twice on the way."""

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest
from running import command, input_digests, kill_when

from vlasscube import casa
from vlasscube.simulation import simulate
from vlasscube.simulation.presets import preset
from vlasscube.workspace import Workspace


@dataclass(frozen=True)
class FinishedRun:
    workspace: Workspace
    home: Path
    input_digests: dict[str, str]
    exit_status: int
    output: str


@pytest.fixture(scope="session")
def simulated_field(tmp_path_factory):
    directory = tmp_path_factory.mktemp("field") / "run"
    casa.configure(tmp_path_factory.mktemp("logs") / "casa.log")
    simulate(directory, preset("tiny", flagged_spws=(4,)), seed=5)
    return Workspace(directory)


@pytest.fixture(scope="session")
def finished_run(simulated_field, tmp_path_factory):
    workspace = simulated_field
    home = tmp_path_factory.mktemp("home")
    environment = {**os.environ, "HOME": str(home)}
    before = input_digests(workspace)
    model_scratch = workspace.working / ".restore.partial"
    kill_when(workspace, environment, lambda: any(model_scratch.glob("*.model.tt1")))
    kill_when(workspace, environment, workspace.record_path("make_images.iter1", "spw2").exists)
    finished = subprocess.run(
        command("run", workspace.directory), env=environment, capture_output=True, text=True, check=False
    )
    return FinishedRun(workspace, home, before, finished.returncode, finished.stdout + finished.stderr)
