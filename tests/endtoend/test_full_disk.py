"""A disk that is full again and again: the run says so, leaves nothing half-made, and goes on with room."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from kill_loop import KilledRun, column_digests, product_digests

from vlasscube.run_state import read_run_state
from vlasscube.weblog.run_records import RunRecords
from vlasscube.workspace import Workspace

pytestmark = [pytest.mark.casa, pytest.mark.endtoend]

ROOM = (0.003, 0.03, 0.3, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 1.0, 1.05, 1.2, 1.6)
"""Room beside the inputs from one try to the next, as a fraction of what a run left alone takes."""

Resize = Callable[[float], None]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[tuple[Path, Resize]]:
    """A file system in memory, and what changes its size in MB."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = shutil.which("mount") and os.geteuid() == 0
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)]
    if not mounted or subprocess.run(command, capture_output=True).returncode != 0:
        pytest.skip("no file system can be mounted here")

    def resize(size_mb: float) -> None:
        subprocess.run(["mount", "-o", f"remount,size={int(size_mb * 1024)}k", str(place)], check=True)

    yield place, resize
    subprocess.run(["umount", "--lazy", str(place)], check=False)


def used_mb(place: Path) -> float:
    usage = shutil.disk_usage(place)
    return usage.used / 2**20


def test_goes_on_when_there_is_room(
    simulated_field: Path, uninterrupted_mosaic_run, small_disk: tuple[Path, Resize]
) -> None:
    place, resize = small_disk
    resize(4000)
    directory = place / "run"
    shutil.copytree(simulated_field, directory)
    run = KilledRun(directory, "mosaic", 0)
    expected = uninterrupted_mosaic_run.workspace
    inputs_mb = used_mb(place)
    wanted_mb = sum(p.stat().st_size for p in expected.directory.rglob("*") if p.is_file()) / 2**20
    failures: list[str] = []
    for room in ROOM:
        resize(inputs_mb + room * (wanted_mb - inputs_mb))
        process = subprocess.run(
            [*run.command(), "--force"], capture_output=True, text=True, check=False, timeout=600
        )
        if process.returncode == 0:
            break
        told = process.stderr + process.stdout
        assert "Traceback" not in told
        assert any(word in told for word in ("space", "disk", "free")), told
        failures += failed_steps(run.workspace)
    assert process.returncode == 0, process.stderr
    # Full before, in, and after imaging.
    assert len(set(failures)) >= 3, failures
    assert product_digests(run.workspace) == product_digests(expected)
    assert column_digests(run.workspace) == column_digests(expected)


def failed_steps(workspace: Workspace) -> list[str]:
    """Steps that are recorded as failed; every record that is there can be read."""
    state = read_run_state(workspace)
    assert state is None or state.state in ("failed", "finished", "running")
    failed = []
    for _, stage, _, step in RunRecords(workspace).steps():
        assert not step.problem, step.problem
        if step.status == "failed":
            failed.append(stage)
    return failed
