"""Kills in the restore, of workers and at random moments, and two runs that share an input."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from vlasscube.records import Outcome
from vlasscube.results.types import CubeImages
from vlasscube.workspace.record_json import from_plain

from .kill_loop import (
    WAYS,
    KilledRun,
    Tally,
    column_digests,
    compare,
    copy_of,
    input_digests,
    product_digests,
)

pytestmark = [pytest.mark.casa, pytest.mark.endtoend]

KILLS = 3


@pytest.fixture
def run(simulated_field: Path, tmp_path: Path) -> KilledRun:
    return KilledRun(copy_of(simulated_field, tmp_path / "run"), "mosaic", seed=11)


def test_killed_again_and_again(run: KilledRun, uninterrupted_mosaic_run) -> None:
    """At each call of a task in the restore, in turn, and then at random moments."""
    alone = uninterrupted_mosaic_run.workspace
    inputs, tally = input_digests(run.workspace), Tally()
    assert subprocess.run([*run.command(), "--to", "transform_image_data"]).returncode == 0
    for way in itertools.cycle(WAYS):
        if not run.kill_at_boundary(tally, way, until="restore_pims"):
            break
    tasks = [place.split()[1] for place in tally.boundaries if place.startswith("restore_pims:")]
    assert {"flagmanager", "statwt", "applycal"} <= set(tasks), tally
    while tally.random_moments < KILLS and run.kill_at_random(tally, longest_s=12.0):
        pass
    assert tally.random_moments, tally
    assert run.finish() == 0
    compare(run.workspace, (product_digests(alone), column_digests(alone)), inputs, tally)


def kill_worker_of(run: KilledRun, label: str, before: int = 0) -> int:
    """Kill the process that images a plane, as the kernel does when memory is short; return what it was."""
    lock = run.workspace.records / "planes" / label / "lock"
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError, ValueError, KeyError):
            pid = json.loads(lock.read_text())["pid"]
            if pid != before:
                os.kill(pid, signal.SIGKILL)
                return pid
        time.sleep(0.01)
    pytest.fail(f"nobody images {label}")


@pytest.mark.parametrize("times", [1, 2])
def test_a_worker_that_is_killed(run: KilledRun, uninterrupted_mosaic_run, times: int) -> None:
    """Its plane gets another chance, alone; then it has failed, and the others are as always."""
    assert subprocess.run([*run.command(), "--to", "edit_image_list_cube"]).returncode == 0
    process, pid = run.start(), 0
    for _ in range(times):
        pid = kill_worker_of(run, "spw3", pid)
    status = process.wait(300)
    expected = product_digests(uninterrupted_mosaic_run.workspace)
    if times == 1:
        assert status == 0
    else:
        assert status == 2
        planes = from_plain(CubeImages, run.workspace.read_record("gather_planes").result).planes
        outcomes = {plane.label: plane.outcome for plane in planes}
        assert outcomes == {"spw2": Outcome.IMAGED, "spw3": Outcome.FAILED, "spw4": Outcome.FLAGGED}
        expected = {
            name: value for name, value in expected.items() if ".spw2." in name and ".com." not in name
        }
    found = product_digests(run.workspace)
    assert {name: found.get(name) for name in expected} == expected


def test_two_runs_share_a_measurement_set(simulated_field: Path, tmp_path: Path) -> None:
    """By links, at the same time; neither waits for the other's locks nor changes the input."""
    runs = []
    for name in ("one", "two"):
        directory = tmp_path / name
        directory.mkdir()
        for path in simulated_field.iterdir():
            if path.is_dir():
                (directory / path.name).symlink_to(path)
            else:
                shutil.copy(path, directory)
        runs.append(KilledRun(directory, "mosaic", 0))
    before = input_digests(runs[0].workspace)
    command = ["--to", "transform_image_data"]
    processes = [subprocess.Popen([*run.command(), *command]) for run in runs]
    assert [process.wait(300) for process in processes] == [0, 0]
    assert input_digests(runs[1].workspace) == before
