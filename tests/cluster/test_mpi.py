"""Planes on the other processes of mpirun."""

import os
import shutil
import signal
import subprocess
import sys

import pytest

from vlasscube.workspace.directory import Workspace

from .watching import calls, is_gone, wait_for

MPI_RUN = """
import os, signal, sys
from vlasscube.testing import stand_in_stage
from vlasscube.cluster import cluster_executor, serve_mpi
from vlasscube.options import RunOptions
from vlasscube.workspace.directory import Workspace

if serve_mpi():
    sys.exit(0)
how = sys.argv[2]
with cluster_executor(sys.argv[1], mpi=True) as executor:
    workspace = Workspace(sys.argv[1])
    if how == "places":
        for future in [executor.submit(stand_in_stage.places) for _ in range(4)]:
            print(*future.result())
        sys.exit(2)
    labels = ("spw2", "spw3", "spw4")
    futures = [
        executor.submit(stand_in_stage.run_plane, workspace, label, (stand_in_stage.STAGE,), RunOptions())
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
                "PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe",
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
    assert "killed by SIGKILL" in spw3


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
    ("directory", "count", "text"), [("run", 1, "only one process"), ("nowhere", 3, "no such directory")]
)
def test_mpi_that_cannot_go_well_ends_at_once(mpirun, tmp_path, run_directory, directory, count, text):
    run = mpirun(tmp_path / directory, "places", count)
    _, errors = run.communicate(timeout=30)
    assert run.returncode == 1
    assert text in errors
