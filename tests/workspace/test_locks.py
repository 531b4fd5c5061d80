"""Locks of planes; those of run directories are in test_workspace.py."""

import json
import os
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime

import pytest

from vlasscube.errors import WorkspaceLockedError
from vlasscube.workspace import locks


@pytest.fixture
def holder(tmp_path):
    """Another process that holds the lock of a plane."""
    script = (
        "import sys, time; from pathlib import Path; from vlasscube.workspace.locks import plane_lock\n"
        "with plane_lock(Path(sys.argv[1]), 'spw2'): print('held', flush=True); time.sleep(60)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", script, tmp_path], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def test_a_plane_is_written_by_one_process_at_a_time(tmp_path, holder, monkeypatch):
    monkeypatch.setattr(locks, "PLANE_PATIENCE_S", 0.3)
    with (
        pytest.raises(WorkspaceLockedError, match=f"plane spw2 .* process {holder.pid} on "),
        locks.plane_lock(tmp_path, "spw2"),
    ):
        pass
    with pytest.raises(WorkspaceLockedError, match=f"process {holder.pid}"):
        locks.wait_for_planes(tmp_path)
    with locks.plane_lock(tmp_path, "spw3"):
        assert json.loads((tmp_path / "spw3" / "lock").read_text())["pid"] == os.getpid()


def test_the_lock_of_a_plane_ends_with_its_process(tmp_path, holder):
    threading.Timer(0.5, holder.kill).start()
    locks.wait_for_planes(tmp_path)
    with locks.plane_lock(tmp_path, "spw2"):
        pass
    assert (tmp_path / "spw2" / "lock").read_text() == ""


def test_no_planes_are_not_waited_for(tmp_path):
    locks.wait_for_planes(tmp_path / "planes")


def test_times_are_utc_wherever_the_machine_is(monkeypatch):
    for zone in ("UTC", "America/Denver", "Asia/Kolkata", "nonsense/zone"):
        monkeypatch.setenv("TZ", zone)
        time.tzset()
        told = datetime.fromisoformat(locks.utc_now())
        assert abs((datetime.now(UTC) - told).total_seconds()) < 5
    monkeypatch.undo()
    time.tzset()
