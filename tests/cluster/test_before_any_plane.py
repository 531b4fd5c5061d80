"""What is asked of a cluster before anything is handed out."""

import importlib.util
from pathlib import Path

import pytest

from vlasscube.cluster import cluster_executor, dask_scheduler
from vlasscube.cluster.tickets import ticket_directory, versions
from vlasscube.cluster.worker_checks import (
    WorkerView,
    inspect_worker,
    require_usable_workers,
    thread_shares,
    warn_of_unused_cores,
)
from vlasscube.errors import ClusterError, WorkspaceError
from vlasscube.processes.machine import slurm_cores


def view(**changes):
    facts = {"host": "node7", "versions": versions(), "cores": frozenset(range(8))}
    return WorkerView(**{**facts, "directory": True, "alive": True} | changes)


@pytest.mark.parametrize(
    ("seen", "text", "hint"),
    [
        (
            view(versions={**versions(), "Python": "3.12.1"}),
            "node7 has Python 3.12.1",
            "environment",
        ),
        (view(directory=False, alive=False, trouble="no such file: x"), "node7 does not see", "same path"),
        (view(alive=False), "node7 does not see that .* is locked", "flock"),
        (view(trouble="Read-only file system: x"), "node7: Read-only", ""),
        (ModuleNotFoundError("No module named 'vlasscube'"), "worker w: No module", "environment"),
        (OSError("timed out"), "worker w does not answer: timed out", ""),
    ],
)
def test_a_worker_with_which_it_cannot_go_well_is_named(seen, text, hint):
    with pytest.raises(ClusterError, match=text) as caught:
        require_usable_workers(Path("run"), {"good": view(), "w": seen})
    assert hint in caught.value.hint
    require_usable_workers(Path("run"), {"good": view()})


def test_what_a_worker_sees(tmp_path):
    with ticket_directory(tmp_path) as (place, token):
        seen = inspect_worker(str(place), token)
        assert (seen.directory, seen.alive, seen.trouble) == (True, True, "")
        assert not inspect_worker(str(place), "another").directory
    assert not inspect_worker(str(place), token).directory
    assert "nowhere" in inspect_worker(str(tmp_path / "nowhere"), token).trouble


def test_workers_on_the_same_cores_share_them():
    eight, others = frozenset(range(8)), frozenset(range(8, 12))
    together = {"a": view(cores=eight), "b": view(cores=eight), "c": view(host="node8", cores=eight)}
    assert thread_shares(together) == {"node7": 4, "node8": 8}
    assert thread_shares({"a": view(cores=eight), "b": view(cores=others)}) == {"node7": 4}


def test_a_quota_limits_the_threads_of_a_plane():
    assert thread_shares({"a": view(usable_cores=3)}) == {"node7": 3}
    assert thread_shares({"a": view(usable_cores=8), "b": view(usable_cores=8)}) == {"node7": 4}


def test_workers_with_fewer_cores_than_asked_for_are_told(caplog):
    """As srun starts them since SLURM 22.05."""
    fine = view(host="node8", usable_cores=8, requested_cores=8)
    views = {"a": view(usable_cores=1, requested_cores=8), "b": fine, "c": view(host="node9", usable_cores=1)}
    warn_of_unused_cores(views)
    (message,) = caplog.messages
    assert "node7: 1 core usable, 8 asked for" in message
    assert "srun --cpus-per-task=$SLURM_CPUS_PER_TASK" in message


@pytest.mark.parametrize(("text", "cores"), [("8", 8), ("", 0), ("many", 0), ("-1", 0)])
def test_what_slurm_was_asked_for(tmp_path, monkeypatch, text, cores):
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", text)
    assert slurm_cores() == cores
    with ticket_directory(tmp_path) as (place, token):
        assert inspect_worker(str(place), token).requested_cores == cores


@pytest.mark.parametrize("kind", [{"scheduler": "tcp://127.0.0.1:1"}, {"mpi": True}])
def test_what_is_not_installed_is_named(tmp_path, monkeypatch, kind):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
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
    monkeypatch.setattr(dask_scheduler, "_CONNECT_S", 1.0)
    for address in ("tcp://127.0.0.1:1", "no address"):
        with (
            pytest.raises(ClusterError, match=f"no dask scheduler answers at {address}"),
            cluster_executor(tmp_path, scheduler=address),
        ):
            pass


@pytest.mark.parametrize(("workers", "text"), [(0, "has no workers"), (1, "would image 2 planes at once")])
def test_workers_that_do_not_fit(tmp_path, monkeypatch, workers, text):
    distributed = pytest.importorskip("distributed")
    monkeypatch.setattr(dask_scheduler, "PATIENCE_S", 1.0)
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
