"""Workers: they run what is submitted, survive scripts without a main guard, and end with their parent."""

import json
import os
import subprocess
import sys
import threading
import time

import pytest

from vlasscube import parallel
from vlasscube.errors import WorkspaceLockedError
from vlasscube.parallel import SerialExecutor, available_memory_bytes, make_executor, usable_cores


def run_script(tmp_path, text):
    script = tmp_path / "recipe.py"
    script.write_text(text)
    return subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=120)


def test_no_worker_means_this_process():
    with make_executor(0) as executor:
        assert isinstance(executor, SerialExecutor)
        assert executor.submit(os.getpid).result() == os.getpid()
        assert isinstance(executor.submit(int, "x").exception(), ValueError)


def test_a_script_without_main_guard_is_not_run_again(tmp_path):
    result = run_script(
        tmp_path,
        "import os\n"
        "from vlasscube.parallel import make_executor\n"
        "print('once')\n"
        "executor = make_executor(2)\n"
        "pids = {executor.submit(os.getpid).result() for _ in range(4)}\n"
        "assert os.getpid() not in pids\n"
        "executor.shutdown()\n",
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout == "once\n"


def test_workers_end_with_a_killed_parent(tmp_path):
    result = run_script(
        tmp_path,
        "import os, signal, time\n"
        "from vlasscube.parallel import make_executor\n"
        "executor = make_executor(1)\n"
        "print(executor.submit(os.getpid).result(), flush=True)\n"
        "executor.submit(time.sleep, 60)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n",
    )
    worker = int(result.stdout)
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            os.kill(worker, 0)
        except ProcessLookupError:
            return
        time.sleep(0.05)
    pytest.fail("the worker outlived its parent")


def test_machine_facts():
    assert 1 <= usable_cores() <= os.cpu_count()
    assert available_memory_bytes() > 1 << 20


def test_a_plane_has_its_share_of_the_cores(monkeypatch):
    monkeypatch.delenv("VLASSCUBE_THREADS", raising=False)
    assert parallel.plane_threads() == parallel.usable_cores()
    monkeypatch.setenv("VLASSCUBE_THREADS", "3")
    assert parallel.plane_threads() == 3
    monkeypatch.setenv("VLASSCUBE_THREADS", "none of them")
    assert parallel.plane_threads() == parallel.usable_cores()


def test_workers_share_the_cores():
    cores = parallel.usable_cores()
    with parallel.make_executor(2) as pool:
        assert pool.submit(parallel.plane_threads).result() == max(cores // 2, 1)


@pytest.fixture
def holder(tmp_path):
    """Another process that holds the lock of a plane."""
    script = (
        "import sys, time; from pathlib import Path; from vlasscube.parallel import plane_lock\n"
        "with plane_lock(Path(sys.argv[1]), 'spw2'): print('held', flush=True); time.sleep(60)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", script, tmp_path], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def test_a_plane_is_written_by_one_process_at_a_time(tmp_path, holder, monkeypatch):
    monkeypatch.setattr(parallel, "LOCK_PATIENCE_S", 0.3)
    path = tmp_path / "spw2" / "lock"
    with (
        pytest.raises(WorkspaceLockedError, match=f"plane spw2 .* process {holder.pid} on "),
        parallel.exclusive(path, "plane spw2", 0.3),
    ):
        pass
    with pytest.raises(WorkspaceLockedError, match=f"process {holder.pid}"):
        parallel.wait_for_planes(tmp_path)
    with parallel.plane_lock(tmp_path, "spw3"):
        assert json.loads((tmp_path / "spw3" / "lock").read_text())["pid"] == os.getpid()


def test_the_lock_of_a_plane_ends_with_its_process(tmp_path, holder):
    threading.Timer(0.5, holder.kill).start()
    parallel.wait_for_planes(tmp_path)
    with parallel.plane_lock(tmp_path, "spw2"):
        pass
    assert (tmp_path / "spw2" / "lock").read_text() == ""


def test_no_planes_are_not_waited_for(tmp_path):
    parallel.wait_for_planes(tmp_path / "planes")


def test_looking_leaves_nothing_behind(tmp_path):
    parallel.see_others_changes(tmp_path)
    parallel.see_others_changes(tmp_path / "nowhere")
    assert list(tmp_path.iterdir()) == []
