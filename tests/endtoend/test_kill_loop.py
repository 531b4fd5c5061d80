"""A few rounds of the kill loop, and two runs that share an input."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from kill_loop import KilledRun, Tally, column_digests, compare, copy_of, input_digests, product_digests

pytestmark = [pytest.mark.casa, pytest.mark.endtoend]

KILLS = 4


def test_killed_again_and_again(simulated_field: Path, uninterrupted_mosaic_run, tmp_path: Path) -> None:
    alone = uninterrupted_mosaic_run.workspace
    run = KilledRun(copy_of(simulated_field, tmp_path / "run"), "mosaic", seed=11)
    inputs, tally = input_digests(run.workspace), Tally()
    while tally.total < KILLS and run.kill_once(tally, longest_s=12.0):
        pass
    assert tally.total >= 3, tally
    assert run.finish() == 0
    compare(run.workspace, (product_digests(alone), column_digests(alone)), inputs, tally)


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
