"""A disk that is full in step after step: the run says so, leaves nothing half-made, goes on with room."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from vlasscube.recipe import GATHER_PLANES, RECIPE
from vlasscube.results.run_records import RunRecords
from vlasscube.workspace.directory import Workspace
from vlasscube.workspace.run_state import read_run_state

from .kill_loop import KilledRun, column_digests, product_digests

pytestmark = [pytest.mark.casa, pytest.mark.endtoend]

FILLED_AFTER = {
    "import_data": "of the state",
    "edit_image_list_continuum": "in the split",
    "transform_image_data": "in the restore",
    "edit_image_list_cube": "in imaging",
    "make_images.iter1": "between iterations",
    "make_images": "in correction, rms and cutouts",
    "analyze_stokes_cubes": "in FITS and manifests",
}
"""Records after which the disk has no room left, and what cannot be written then."""
ROOM_MB = 3000.0


class SmallDisk:
    """A file system in memory whose size can be changed."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def resize(self, size_bytes: int) -> bool:
        command = ["mount", "-o", f"remount,size={size_bytes}", str(self.place)]
        return subprocess.run(command, capture_output=True).returncode == 0

    def fill(self) -> None:
        """Leave no room, however much is being written now."""
        for _ in range(1000):
            if self.resize(shutil.disk_usage(self.place).used):
                return
        pytest.fail("the disk could not be filled")

    def empty(self) -> None:
        assert self.resize(int(ROOM_MB * 2**20))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[SmallDisk]:
    place = tmp_path / "disk"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={int(ROOM_MB)}m", "tmpfs", str(place)]
    mountable = shutil.which("mount") and os.geteuid() == 0
    if not mountable or subprocess.run(command, capture_output=True).returncode != 0:
        pytest.skip("no file system can be mounted here")
    yield SmallDisk(place)
    subprocess.run(["umount", "--lazy", str(place)], check=False)


def test_goes_on_when_there_is_room(
    simulated_field: Path, uninterrupted_mosaic_run, small_disk: SmallDisk
) -> None:
    directory = small_disk.place / "run"
    shutil.copytree(simulated_field, directory)
    run = KilledRun(directory, "mosaic", 0)
    failed: set[str] = set()
    for record, what in FILLED_AFTER.items():
        status, told = run_until_full(run, record, small_disk)
        assert status in (1, 2), (what, told)
        assert "Traceback" not in told, what
        assert any(word in told.lower() for word in ("space", "disk", "free")), (what, told)
        small_disk.empty()
        failed.add(first_step_not_done(run.workspace))
        run.check_names()
    # A state is written faster than a disk can be filled.
    assert failed >= {"transform_image_data", "restore_pims", "make_images", "export_vlass_data"}
    assert run.finish() == 0
    expected = uninterrupted_mosaic_run.workspace
    assert product_digests(run.workspace) == product_digests(expected)
    assert column_digests(run.workspace) == column_digests(expected)


def run_until_full(run: KilledRun, record: str, disk: SmallDisk) -> tuple[int, str]:
    """Run, with a disk that is full as soon as a record is there; return exit status and what was told."""
    records: Callable[[], bool] = lambda: any(run.workspace.records.rglob(f"{record}.json"))  # noqa: E731
    process = subprocess.Popen(
        [*run.command(), "--force"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    while process.poll() is None and not records():
        time.sleep(0.002)
    disk.fill()
    told, _ = process.communicate(timeout=300)
    return process.returncode, told


def first_step_not_done(workspace: Workspace) -> str:
    """The step that failed, which a full disk has no record of; every record that is there can be read."""
    state = read_run_state(workspace)
    assert state is None or state.state in ("failed", "finished", "running")
    assert not [step.problem for *_, step in RunRecords(workspace).steps() if step.problem]
    for entry in RECIPE:
        if entry.scope == "field" or entry.name == "make_images":
            record = workspace.read_record(entry.name if entry.scope == "field" else GATHER_PLANES.name)
            if record is None or record.status != "done":
                return entry.name
    return ""
