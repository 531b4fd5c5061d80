"""Workers: they run what is submitted, survive scripts without a main guard, and end with their parent."""

import os
import subprocess
import sys
import time

import pytest

from vlasscube.processes import parallel
from vlasscube.processes.parallel import SerialExecutor, available_memory_bytes, make_executor, usable_cores


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
        "from vlasscube.processes.parallel import make_executor\n"
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
        "from vlasscube.processes.parallel import make_executor\n"
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


def test_a_worker_that_starts_after_its_parent_has_ended_ends():
    """As a process whose parent was killed meanwhile, it has another parent than the one that started it."""
    code = "from vlasscube.processes.parallel import start_worker; start_worker(1, {}); print('alive')"
    for parent, output in ((os.getpid(), "alive\n"), (os.getpid() + 1, "")):
        ended = subprocess.run([sys.executable, "-c", code.format(parent)], capture_output=True, text=True)
        assert ended.stdout == output
        assert ended.returncode == (0 if output else 1)


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


def test_looking_leaves_nothing_behind(tmp_path):
    parallel.see_others_changes(tmp_path)
    parallel.see_others_changes(tmp_path / "nowhere")
    assert list(tmp_path.iterdir()) == []
