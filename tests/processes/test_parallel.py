"""Workers: they run what is submitted, survive scripts without a main guard, and end with their parent."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool

import pytest

from vlasscube.options import RunOptions
from vlasscube.processes import isolation, parallel
from vlasscube.processes.parallel import SerialExecutor, make_executor
from vlasscube.run.plane_walk import PlaneWalk
from vlasscube.workspace.directory import Workspace


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


# ----------------------------------------------------------------------------------- other people's processes


@pytest.fixture
def foreign():
    """A process and a pool that a library user has started himself."""
    context = multiprocessing.get_context("spawn")
    process = context.Process(target=time.sleep, args=(120,))
    process.start()
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        pool.submit(os.getpid).result()
        yield lambda: process.is_alive() and pool.submit(abs, -1).result(timeout=30) == 1
    process.kill()
    process.join()


def wait_for_the_start_of(call, executor):
    future = executor.submit(call, 60)
    while not future.running():
        time.sleep(0.01)
    return future


def test_only_our_own_workers_are_stopped(foreign):
    pools = [make_executor(1), make_executor(2)]
    futures = [wait_for_the_start_of(time.sleep, pool) for pool in pools]
    parallel.stop_workers()
    for future in futures:
        with pytest.raises(BrokenProcessPool):
            future.result(timeout=30)
    assert foreign()


def test_an_interrupted_reader_ends_no_other_process(foreign):
    def interrupted():
        with isolation.isolated_reader() as reader:
            pids.append(reader.call(os.getpid))
            raise KeyboardInterrupt

    pids = []
    with pytest.raises(KeyboardInterrupt):
        interrupted()
    with pytest.raises(ProcessLookupError):
        os.kill(pids[0], 0)
    assert foreign()


def test_an_interrupted_walk_of_planes_ends_no_other_process(foreign, tmp_path):
    class Walk(PlaneWalk):
        def run(self, executor, labels):
            pids.append(executor.submit(os.getpid).result())
            raise KeyboardInterrupt

    pids = []
    walk = Walk(Workspace(tmp_path), RunOptions(), (), 1, print, None)
    with pytest.raises(KeyboardInterrupt):
        walk.run_locally(["spw2"], 1)
    with pytest.raises(ProcessLookupError):
        os.kill(pids[0], 0)
    assert foreign()
    # An executor that the caller has given is his own, e.g. one of dask or MPI.
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        with pytest.raises(KeyboardInterrupt):
            walk.run_on(pool, ["spw2"])
        assert pool.submit(os.getpid).result() == pids[1]
    assert foreign()


FORCED_END = """
import hashlib, multiprocessing, os, threading, time
from vlasscube.cli import signals
from vlasscube.processes.parallel import make_executor
if __name__ == "__main__":
    signals.GRACE_S = 0.2
    foreign = multiprocessing.get_context("fork").Process(target=time.sleep, args=(120,))
    foreign.start()
    pool = make_executor(1)
    print(foreign.pid, pool.submit(os.getpid).result(), flush=True)
    threading.Timer(0.5, os.kill, (os.getpid(), 15)).start()
    with signals.ending_on_signals():
        # Compiled code that no signal gets into.
        hashlib.pbkdf2_hmac("sha256", b"x", b"x", 10**9)
"""


def test_a_forced_end_ends_no_other_process(tmp_path):
    script = tmp_path / "recipe.py"
    script.write_text(FORCED_END)
    # Not a pipe, whose end the foreign process would keep open.
    with (tmp_path / "out").open("w") as out:
        ended = subprocess.run([sys.executable, script], stdout=out, stderr=out, timeout=120)
    assert ended.returncode == 128 + signal.SIGTERM
    foreign, worker = map(int, (tmp_path / "out").read_text().split()[:2])
    with pytest.raises(ProcessLookupError):
        os.kill(worker, 0)
    os.kill(foreign, signal.SIGKILL)
