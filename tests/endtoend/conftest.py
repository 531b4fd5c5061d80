"""One simulated field, taken through the workflow by the command, killed twice on the way."""

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from vlasscube import casa
from vlasscube.simulation import simulate
from vlasscube.simulation.presets import preset
from vlasscube.workspace.directory import Workspace

from .running import command, input_digests, kill_when


@dataclass(frozen=True)
class FinishedRun:
    engine: str
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
    return directory


def finish(engine, directory, home, conditions):
    """Run with an engine, killed when each of the conditions holds, to the end."""
    workspace = Workspace(directory)
    environment = {**os.environ, "HOME": str(home)}
    before = input_digests(workspace)
    for condition in conditions:
        kill_when(workspace, environment, lambda holds=condition: holds(workspace), "--engine", engine)
    finished = subprocess.run(
        command("run", workspace.directory, "--engine", engine),
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    return FinishedRun(
        engine, workspace, home, before, finished.returncode, finished.stdout + finished.stderr
    )


def iter1_is_done(workspace):
    return workspace.record_path("make_images.iter1", "spw2").exists()


@pytest.fixture(scope="session")
def casa_run(simulated_field, tmp_path_factory):
    directory = tmp_path_factory.mktemp("casa") / "run"
    shutil.copytree(simulated_field, directory)

    def model_is_being_filled(workspace):
        return any((workspace.working / ".restore.partial").glob("*.model.tt1"))

    home = tmp_path_factory.mktemp("home")
    return finish("casa", directory, home, [model_is_being_filled, iter1_is_done])


@pytest.fixture(scope="session")
def mosaic_run(simulated_field, tmp_path_factory):
    directory = tmp_path_factory.mktemp("mosaic") / "run"
    shutil.copytree(simulated_field, directory)

    def initial_flags_are_saved(workspace):
        return any(workspace.working.glob("*.flagversions/flags.hifv_restorepims_initial"))

    home = tmp_path_factory.mktemp("home")
    return finish("mosaic", directory, home, [initial_flags_are_saved, iter1_is_done])


@pytest.fixture(scope="session")
def uninterrupted_mosaic_run(simulated_field, tmp_path_factory):
    directory = tmp_path_factory.mktemp("straight") / "run"
    shutil.copytree(simulated_field, directory)
    return finish("mosaic", directory, tmp_path_factory.mktemp("home"), [])


@pytest.fixture(scope="session", params=["mosaic", "casa"])
def finished_run(request):
    return request.getfixturevalue(f"{request.param}_run")
