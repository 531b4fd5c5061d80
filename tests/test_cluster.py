"""Clusters: planes on workers of dask and MPI that die, come late, see other things, or are not there."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from vlasscube import cluster, workflow
from vlasscube.cluster import ClusterError, Ticket, WorkerLostError, cluster_executor
from vlasscube.errors import WorkspaceError, WorkspaceLockedError
from vlasscube.options import RunOptions
from vlasscube.parallel import exclusive
from vlasscube.weblog.upkeep import WeblogUpkeep
from vlasscube.workspace import Workspace

STUB = '''
"""Planes without CASA; run in the processes of planes, which import it by name."""

import os
import signal
import time
from dataclasses import dataclass

from vlasscube import casa, workflow
from vlasscube.errors import ImagingError
from vlasscube.parallel import plane_threads
from vlasscube.wiring import STEPS, Step


@dataclass(frozen=True)
class Inputs:
    value: int = 1


def step(inputs, context, key):
    place = context.workspace.directory
    with (place / "calls").open("a") as calls:
        calls.write(f"{context.plane} {os.getpid()} {os.getppid()}\\n")
    print("output of", context.plane, flush=True)
    for hook in ("once", "always"):
        path = place / f"{context.plane}.{hook}"
        if path.exists():
            what = path.read_text()
            if hook == "once":
                path.unlink()
            if what == "die":
                os.kill(os.getpid(), signal.SIGKILL)
            time.sleep(60)
    return inputs


def run_plane(workspace, label, stages, options):
    casa.configure = lambda *args: None
    STEPS["pbcor"] = Step(lambda workspace, options, plane: Inputs(), step)
    return workflow.run_plane(workspace, label, stages, options)


def places():
    time.sleep(0.5)
    return os.getpid(), os.getppid(), plane_threads(), os.environ.get("OMPI_COMM_WORLD_RANK")


def fail(kind):
    raise {"named": ImagingError("diverged", hint="look"), "other": ZeroDivisionError("zero")}[kind]
'''


@pytest.fixture(scope="module")
def stub(tmp_path_factory):
    """The module above, where processes started from here find it."""
    place = tmp_path_factory.mktemp("stub")
    (place / "cluster_stub.py").write_text(STUB)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(place), prepend=os.pathsep)
        patch.syspath_prepend(place)
        patch.delenv("VLASSCUBE_THREADS", raising=False)
        import cluster_stub

        yield cluster_stub
    sys.modules.pop("cluster_stub")


@pytest.fixture(scope="module")
def dask(stub):
    """A scheduler with two workers."""
    distributed = pytest.importorskip("distributed", reason="dask.distributed is not installed")
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
    ) as found:
        yield found.scheduler_address


@pytest.fixture
def workspace(tmp_path):
    return Workspace(tmp_path)


def walk(workspace, executor, labels, stub, monkeypatch):
    """Take planes through a stub of a stage as a run does; return reports and events."""
    monkeypatch.setattr(workflow, "run_plane", stub.run_plane)
    monkeypatch.setattr(WeblogUpkeep, "update", lambda self: None)
    events = []
    planes = workflow._Walk(
        workspace, RunOptions(), ("pbcor",), len(labels), events.append, WeblogUpkeep(workspace)
    )
    planes.run_on(executor, labels)
    return {label: report.failed_stage for label, report in planes.reports.items()}, events


def calls(workspace):
    path = workspace.directory / "calls"
    lines = path.read_text().splitlines() if path.exists() else []
    return [(label, int(pid), int(parent)) for label, pid, parent in map(str.split, lines)]


def wait_for(condition, seconds=20.0):
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return found


def is_gone(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except FileNotFoundError:
        return True


# ------------------------------------------------------------------------------------------------- tickets


@pytest.fixture
def office(tmp_path):
    with cluster._ticket_office(tmp_path) as (place, token):
        yield place, token


def make_ticket(office, **changes):
    place, token = office
    return Ticket(**{"office": place, "name": "a", "token": token, "versions": {}, "threads": {}} | changes)


def test_a_ticket_is_taken_once_and_ends_when_revoked(office):
    ticket = make_ticket(office)
    ticket.issue()
    ticket.take()
    assert ticket.is_valid()
    with pytest.raises(WorkerLostError):
        ticket.take()
    ticket.revoke()
    assert not ticket.is_valid()


def test_a_ticket_ends_with_its_run(tmp_path):
    with cluster._ticket_office(tmp_path) as office:
        ticket = make_ticket(office)
        ticket.issue()
        ticket.take()
        refused = pytest.raises(WorkspaceLockedError, match=f"process {os.getpid()}")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(cluster, "_LOCK_S", 0.1)
            with refused, cluster._ticket_office(tmp_path):
                pass
        assert ticket.is_valid()
    assert not ticket.is_valid()
    with cluster._ticket_office(tmp_path) as (place, _):
        assert not ticket.is_valid()
        assert [path.name for path in place.iterdir()] == ["lock"]


def test_a_file_system_that_does_not_answer_ends_nothing(office, monkeypatch):
    ticket = make_ticket(office)
    ticket.issue()
    ticket.take()

    def unreachable(*args):
        raise OSError(116, "Stale file handle")

    monkeypatch.setattr(cluster, "_run_is_alive", unreachable)
    assert ticket.is_valid()


def test_a_late_worker_of_another_version_refuses(office):
    with pytest.raises(ClusterError, match=r"has vlasscube .* instead of 99"):
        make_ticket(office, versions={**cluster._versions(), "vlasscube": "99"}).refuse_other_versions()
    make_ticket(office, versions=cluster._versions()).refuse_other_versions()


# ---------------------------------------------------------------------------------------- before any work


def sight(**changes):
    facts = {"host": "node7", "versions": cluster._versions(), "cores": frozenset(range(8))}
    return cluster._Sight(**{**facts, "directory": True, "alive": True} | changes)


@pytest.mark.parametrize(
    ("seen", "text", "hint"),
    [
        (
            sight(versions={**cluster._versions(), "Python": "3.12.1"}),
            "node7 has Python 3.12.1",
            "environment",
        ),
        (sight(directory=False, alive=False, trouble="no such file: x"), "node7 does not see", "same path"),
        (sight(alive=False), "node7 does not see that .* is locked", "flock"),
        (sight(trouble="Read-only file system: x"), "node7: Read-only", ""),
        (ModuleNotFoundError("No module named 'vlasscube'"), "worker w: No module", "environment"),
        (OSError("timed out"), "worker w does not answer: timed out", ""),
    ],
)
def test_a_worker_with_which_it_cannot_go_well_is_named(seen, text, hint):
    with pytest.raises(ClusterError, match=text) as caught:
        cluster._require_same_sight(Path("run"), {"good": sight(), "w": seen})
    assert hint in caught.value.hint
    cluster._require_same_sight(Path("run"), {"good": sight()})


def test_what_a_worker_sees(tmp_path):
    with cluster._ticket_office(tmp_path) as (place, token):
        seen = cluster._look(str(place), token)
        assert (seen.directory, seen.alive, seen.trouble) == (True, True, "")
        assert not cluster._look(str(place), "another").directory
    assert not cluster._look(str(place), token).directory
    assert "nowhere" in cluster._look(str(tmp_path / "nowhere"), token).trouble


def test_workers_on_the_same_cores_share_them():
    eight, others = frozenset(range(8)), frozenset(range(8, 12))
    together = {"a": sight(cores=eight), "b": sight(cores=eight), "c": sight(host="node8", cores=eight)}
    assert cluster._shares(together) == {"node7": 4, "node8": 8}
    assert cluster._shares({"a": sight(cores=eight), "b": sight(cores=others)}) == {"node7": 4}


@pytest.mark.parametrize("kind", [{"scheduler": "tcp://127.0.0.1:1"}, {"mpi": True}])
def test_what_is_not_installed_is_named(tmp_path, monkeypatch, kind):
    monkeypatch.setattr(cluster.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ClusterError, match="not installed") as caught, cluster_executor(tmp_path, **kind):
        pass
    assert "vlasscube[cluster]" in caught.value.hint


def test_no_cluster_is_no_executor(tmp_path):
    with cluster_executor(tmp_path) as executor:
        assert executor is None
    with pytest.raises(ClusterError), cluster_executor(tmp_path, scheduler="tcp://x:1", mpi=True):
        pass


def test_a_scheduler_that_does_not_answer(tmp_path, monkeypatch):
    pytest.importorskip("distributed")
    monkeypatch.setattr(cluster, "_CONNECT_S", 1.0)
    for address in ("tcp://127.0.0.1:1", "no address"):
        with (
            pytest.raises(ClusterError, match=f"no dask scheduler answers at {address}"),
            cluster_executor(tmp_path, scheduler=address),
        ):
            pass


@pytest.mark.parametrize(("workers", "text"), [(0, "has no workers"), (1, "would image 2 planes at once")])
def test_workers_that_do_not_fit(tmp_path, monkeypatch, workers, text):
    distributed = pytest.importorskip("distributed")
    monkeypatch.setattr(cluster, "_CONNECT_S", 1.0)
    with (
        distributed.LocalCluster(
            n_workers=workers, threads_per_worker=2, processes=False, dashboard_address=None
        ) as found,
        pytest.raises(ClusterError, match=text) as caught,
        cluster_executor(tmp_path, scheduler=found.scheduler_address),
    ):
        pass
    assert "dask worker --nthreads 1" in caught.value.hint


def test_a_directory_that_is_not_there(dask, tmp_path):
    with (
        pytest.raises(WorkspaceError, match="no such directory"),
        cluster_executor(tmp_path / "x", scheduler=dask),
    ):
        pass


# ---------------------------------------------------------------------------------------------------- dask


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
    ("hook", "failed", "times"), [("once", None, {"spw3": 2}), ("always", "pbcor", {"spw3": 2})]
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
    assert any("ended by SIGKILL" in event.text for event in events)


def test_leaving_ends_the_planes_at_work(dask, stub, workspace):
    (workspace.directory / "spw2.always").write_text("wait")
    with (  # noqa: PT012 (what is left is the executor)
        pytest.raises(KeyboardInterrupt),
        cluster_executor(workspace.directory, scheduler=dask) as executor,
    ):
        future = executor.submit(stub.run_plane, workspace, "spw2", ("pbcor",), RunOptions())
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
            import json

            yield json.loads(file.read_text())["address"], scheduler, {one.pid: one, two.pid: two}


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
    assert any("the worker that had the plane is lost" in event.text for event in events)
    first, second = [parent for label, _, parent in calls(workspace) if label == "spw3"]
    assert first == killed[0] != second


def test_a_lost_scheduler_ends_the_run(separate_dask, stub, workspace, monkeypatch):
    address, scheduler, _ = separate_dask
    wait_for_workers(address, 2)
    monkeypatch.setattr(cluster, "PATIENCE_S", 2.0)
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
    assert "goes on" in caught.value.hint
    wait_for(lambda: all(is_gone(pid) for _, pid, _ in calls(workspace)), seconds=10)


RUN = """
import sys
import cluster_stub
from vlasscube.cluster import cluster_executor
from vlasscube.options import RunOptions
from vlasscube.workspace import Workspace

workspace = Workspace(sys.argv[1])
with cluster_executor(workspace.directory, scheduler=sys.argv[2]) as executor:
    executor.submit(cluster_stub.run_plane, workspace, "spw2", ("pbcor",), RunOptions()).result()
"""


def test_planes_end_with_a_killed_run(dask, stub, workspace):
    (workspace.directory / "spw2.always").write_text("wait")
    with process("-c", RUN, workspace.directory, dask) as run:
        ((_, pid, _),) = wait_for(lambda: calls(workspace))
        run.kill()
        run.wait()
        # A run that takes over waits for that.
        with exclusive(workspace.records / "planes" / "spw2" / "lock", "plane spw2", 10.0):
            assert is_gone(pid)


# ----------------------------------------------------------------------------------------------------- MPI

MPI_RUN = """
import os, signal, sys
import cluster_stub
from vlasscube.cluster import cluster_executor, serve_mpi
from vlasscube.options import RunOptions
from vlasscube.workspace import Workspace

if serve_mpi():
    sys.exit(0)
how = sys.argv[2]
with cluster_executor(sys.argv[1], mpi=True) as executor:
    workspace = Workspace(sys.argv[1])
    if how == "places":
        for future in [executor.submit(cluster_stub.places) for _ in range(4)]:
            print(*future.result())
        sys.exit(2)
    labels = ("spw2", "spw3", "spw4")
    futures = [
        executor.submit(cluster_stub.run_plane, workspace, label, ("pbcor",), RunOptions())
        for label in labels
    ]
    if how == "error":
        futures[0].result()
        raise ZeroDivisionError("defect")
    for label, future in zip(labels, futures):
        print(label, future.exception() or future.result().failed_stage)
"""


@pytest.fixture
def mpirun(stub, tmp_path):
    """Start a script of the above in three processes."""
    pytest.importorskip("mpi4py", reason="mpi4py is not installed")
    if shutil.which("mpirun") is None:
        pytest.skip("no mpirun (Debian: apt-get install openmpi-bin)")
    script = tmp_path / "script.py"
    script.write_text(MPI_RUN)

    def start(directory, how, count=3):
        return subprocess.Popen(
            ["mpirun", "-n", str(count), sys.executable, script, directory, how],
            # So that any user on any machine can start three processes.
            env={
                **os.environ,
                "OMPI_ALLOW_RUN_AS_ROOT": "1",
                "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
                "OMPI_MCA_rmaps_base_oversubscribe": "1",
                "PRTE_ALLOW_RUN_AS_ROOT": "1",
                "PRTE_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    return start


@pytest.fixture
def run_directory(tmp_path):
    directory = tmp_path / "run"
    directory.mkdir()
    return directory


def test_mpi_serves_from_all_but_the_first_process(mpirun, run_directory):
    run = mpirun(run_directory, "places")
    output, errors = run.communicate(timeout=60)
    assert run.returncode == 2, errors
    found = [line.split() for line in output.splitlines()]
    assert len({pid for pid, *_ in found}) == 4
    assert len({parent for _, parent, *_ in found}) == 2
    assert {rank for *_, rank in found} == {"None"}


def test_mpi_survives_the_death_of_a_plane(mpirun, run_directory):
    (run_directory / "spw3.always").write_text("die")
    run = mpirun(run_directory, "planes")
    output, errors = run.communicate(timeout=60)
    assert run.returncode == 0, errors
    spw2, spw3, spw4 = output.splitlines()
    assert (spw2, spw4) == ("spw2 None", "spw4 None")
    assert "ended by SIGKILL" in spw3


def test_an_error_of_the_first_process_ends_all(mpirun, run_directory):
    (run_directory / "spw3.always").write_text("wait")
    run = mpirun(run_directory, "error")
    _, errors = run.communicate(timeout=30)
    assert run.returncode == 1
    assert "ZeroDivisionError: defect" in errors
    wait_for(lambda: all(is_gone(pid) for _, pid, _ in calls(Workspace(run_directory))), seconds=5)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_a_signal_ends_mpi_and_its_planes(mpirun, run_directory, number):
    for label in ("spw2", "spw3"):
        (run_directory / f"{label}.always").write_text("wait")
    run = mpirun(run_directory, "planes")
    found = wait_for(lambda: len(calls(Workspace(run_directory))) == 2 and calls(Workspace(run_directory)))
    run.send_signal(number)
    run.communicate(timeout=30)
    assert run.returncode != 0
    wait_for(lambda: all(is_gone(pid) and is_gone(parent) for _, pid, parent in found), seconds=15)


@pytest.mark.parametrize(
    ("directory", "count", "text"), [("run", 1, "one process only"), ("nowhere", 3, "no such directory")]
)
def test_mpi_that_cannot_go_well_ends_at_once(mpirun, tmp_path, run_directory, directory, count, text):
    run = mpirun(tmp_path / directory, "places", count)
    _, errors = run.communicate(timeout=30)
    assert run.returncode == 1
    assert text in errors
