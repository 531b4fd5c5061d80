"""Planes on workers of dask that die, come late, or are not there."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading

import pytest

from vlasscube.cluster import cluster_executor, dask_scheduler
from vlasscube.errors import ClusterError
from vlasscube.options import RunOptions
from vlasscube.workspace.locks import plane_lock

from .watching import calls, is_gone, wait_for, walk

# Each starts processes of its own.
pytestmark = pytest.mark.slow


def test_each_call_has_a_process_and_a_share_of_the_cores(dask, stub, tmp_path):
    with cluster_executor(tmp_path, scheduler=dask) as executor:
        found = [future.result(timeout=60) for future in [executor.submit(stub.places) for _ in range(4)]]
        assert executor.is_idle
    assert len({pid for pid, *_ in found}) == 4
    assert len({parent for _, parent, *_ in found}) == 2
    assert {threads for *_, threads, _ in found} == {max(len(os.sched_getaffinity(0)) // 2, 1)}
    assert [path.name for path in (tmp_path / "records" / "cluster").iterdir()] == ["lock"]


def test_errors_come_back(dask, stub, tmp_path):
    with cluster_executor(tmp_path, scheduler=dask) as executor:
        named, other = (executor.submit(stub.fail, kind).exception(timeout=60) for kind in ("named", "other"))
    assert (type(named).__name__, str(named), named.hint) == ("ImagingError", "diverged", "look")
    assert str(other) == "ZeroDivisionError: zero"


def test_planes_are_told_of_and_their_output_kept(dask, stub, workspace, monkeypatch):
    with cluster_executor(workspace.directory, scheduler=dask) as executor:
        ends, events = walk(workspace, executor, ["spw2", "spw3", "spw4"], stub, monkeypatch)
    assert ends == {"spw2": None, "spw3": None, "spw4": None}
    for kind in ("plane", "plane_done"):
        assert sorted(event.plane for event in events if event.kind == kind) == ["spw2", "spw3", "spw4"]
    assert "output of spw3" in (workspace.logs / "output.log").read_text()


@pytest.mark.parametrize(
    ("hook", "failed", "times"), [("once", None, {"spw3": 2}), ("always", "stand_in_stage", {"spw3": 2})]
)
def test_a_plane_whose_process_dies_gets_another_chance(
    dask, stub, workspace, monkeypatch, hook, failed, times
):
    (workspace.directory / f"spw3.{hook}").write_text("die")
    with cluster_executor(workspace.directory, scheduler=dask) as executor:
        ends, events = walk(workspace, executor, ["spw2", "spw3", "spw4"], stub, monkeypatch)
    assert ends == {"spw2": None, "spw3": failed, "spw4": None}
    done = [label for label, *_ in calls(workspace)]
    assert {label: done.count(label) for label in set(done)} == {"spw2": 1, "spw4": 1} | times
    assert any("killed by SIGKILL" in event.text for event in events)


def test_leaving_ends_the_planes_at_work(dask, stub, workspace):
    (workspace.directory / "spw2.always").write_text("wait")
    with (  # noqa: PT012 (what is left is the executor)
        pytest.raises(KeyboardInterrupt),
        cluster_executor(workspace.directory, scheduler=dask) as executor,
    ):
        future = executor.submit(stub.run_plane, workspace, "spw2", (stub.STAGE,), RunOptions())
        ((_, pid, _),) = wait_for(lambda: calls(workspace))
        raise KeyboardInterrupt
    assert isinstance(future.exception(timeout=1), ClusterError)
    wait_for(lambda: is_gone(pid), seconds=5)


# ----------------------------------------------------------------------------- dask, in processes of its own


@contextlib.contextmanager
def process(*arguments, **options):
    started = subprocess.Popen(
        [sys.executable, *map(str, arguments)], stderr=subprocess.DEVNULL, start_new_session=True, **options
    )
    try:
        yield started
    finally:
        started.kill()
        started.wait()


@pytest.fixture
def separate_dask(stub, tmp_path_factory):
    """A scheduler and two workers, started as users do; stopped by their process groups."""
    pytest.importorskip("distributed")
    place = tmp_path_factory.mktemp("dask")
    file = place / "scheduler.json"
    command = ("-m", "distributed.cli.dask_scheduler", "--port", "0", "--no-dashboard", "--host", "127.0.0.1")
    worker = ("-m", "distributed.cli.dask_worker", "--scheduler-file", file, "--nthreads", "1")
    worker += ("--no-nanny", "--no-dashboard", "--local-directory", place)
    with process(*command, "--scheduler-file", file, cwd=place) as scheduler:
        wait_for(file.exists)
        with process(*worker, cwd=place) as one, process(*worker, cwd=place) as two:
            yield json.loads(file.read_text())["address"], scheduler, {one.pid: one, two.pid: two}


@contextlib.contextmanager
def scheduler_alone(place):
    """A scheduler, and the means to start a worker of it with a number of threads."""
    file = place / "scheduler.json"
    command = ("-m", "distributed.cli.dask_scheduler", "--port", "0", "--no-dashboard", "--host", "127.0.0.1")

    def worker(threads, **environment):
        arguments = ("-m", "distributed.cli.dask_worker", "--scheduler-file", file, "--nthreads", threads)
        options = ("--no-nanny", "--no-dashboard", "--local-directory", place)
        return process(*arguments, *options, cwd=place, env={**os.environ, **environment})

    with process(*command, "--scheduler-file", file, cwd=place):
        wait_for(file.exists)
        yield json.loads(file.read_text())["address"], worker


def test_the_first_worker_is_waited_for(stub, tmp_path, monkeypatch, caplog):
    pytest.importorskip("distributed")
    monkeypatch.setattr(dask_scheduler, "_CONNECT_S", 1.0)
    (tmp_path / "dask").mkdir()
    with scheduler_alone(tmp_path / "dask") as (address, worker), contextlib.ExitStack() as stack:
        late = threading.Timer(3.0, lambda: stack.enter_context(worker(1)))
        late.start()
        with cluster_executor(tmp_path, scheduler=address) as executor:
            assert executor.submit(os.getpid).result(timeout=60) > 0
        late.join()
    assert any("has no workers yet: waiting up to 10 min" in message for message in caplog.messages)


def test_a_late_worker_with_several_threads_gets_no_plane(stub, workspace, monkeypatch, caplog):
    pytest.importorskip("distributed")
    (workspace.directory / "dask").mkdir()
    labels = [f"spw{number}" for number in range(2, 8)]
    with (
        scheduler_alone(workspace.directory / "dask") as (address, worker),
        worker(1) as good,
        cluster_executor(workspace.directory, scheduler=address) as executor,
        worker(4) as bad,
    ):
        wait_for(lambda: any("is not used" in message for message in caplog.messages), seconds=30)
        ends, _ = walk(workspace, executor, labels, stub, monkeypatch)
    assert ends == dict.fromkeys(labels)
    assert {parent for _, _, parent in calls(workspace)} == {good.pid} != {bad.pid}
    assert any("would image 4 planes at once" in message for message in caplog.messages)


def wait_for_workers(address, count):
    import distributed

    with distributed.Client(address, set_as_default=False) as client:
        client.wait_for_workers(count, timeout=30)


def test_a_worker_that_is_killed_loses_its_plane_for_a_while(separate_dask, stub, workspace, monkeypatch):
    address, _, workers = separate_dask
    wait_for_workers(address, 2)
    (workspace.directory / "spw3.once").write_text("wait")
    killed = []

    def kill():
        ((_, pid, parent),) = wait_for(lambda: [call for call in calls(workspace) if call[0] == "spw3"])
        os.kill(parent, signal.SIGKILL)
        workers[parent].wait()
        wait_for(lambda: is_gone(pid), seconds=5)
        killed.append(parent)

    killer = threading.Thread(target=kill)
    killer.start()
    with cluster_executor(workspace.directory, scheduler=address) as executor:
        ends, events = walk(workspace, executor, ["spw2", "spw3", "spw4"], stub, monkeypatch)
    killer.join()
    assert ends == {"spw2": None, "spw3": None, "spw4": None}
    assert any("the worker that was imaging the plane is lost" in event.text for event in events)
    first, second = [parent for label, _, parent in calls(workspace) if label == "spw3"]
    assert first == killed[0] != second


def test_a_lost_scheduler_ends_the_run(separate_dask, stub, workspace, monkeypatch):
    address, scheduler, _ = separate_dask
    wait_for_workers(address, 2)
    monkeypatch.setattr(dask_scheduler, "PATIENCE_S", 2.0)
    (workspace.directory / "spw3.always").write_text("wait")

    def kill():
        wait_for(lambda: [call for call in calls(workspace) if call[0] == "spw3"])
        scheduler.kill()

    killer = threading.Thread(target=kill)
    killer.start()
    with (
        pytest.raises(ClusterError, match="gone") as caught,
        cluster_executor(workspace.directory, scheduler=address) as executor,
    ):
        walk(workspace, executor, ["spw2", "spw3"], stub, monkeypatch)
    killer.join()
    assert "resume" in caught.value.hint
    wait_for(lambda: all(is_gone(pid) for _, pid, _ in calls(workspace)), seconds=10)


RUN = """
import sys
from vlasscube.testing import stand_in_stage
from vlasscube.cluster import cluster_executor
from vlasscube.options import RunOptions
from vlasscube.workspace.directory import Workspace

workspace = Workspace(sys.argv[1])
with cluster_executor(workspace.directory, scheduler=sys.argv[2]) as executor:
    stages = (stand_in_stage.STAGE,)
    executor.submit(stand_in_stage.run_plane, workspace, "spw2", stages, RunOptions()).result()
"""


def test_planes_end_with_a_killed_run(dask, stub, workspace):
    (workspace.directory / "spw2.always").write_text("wait")
    with process("-c", RUN, workspace.directory, dask) as run:
        ((_, pid, _),) = wait_for(lambda: calls(workspace))
        run.kill()
        run.wait()
        # A run that takes over waits for that.
        with plane_lock(workspace.records / "planes", "spw2"):
            assert is_gone(pid)
