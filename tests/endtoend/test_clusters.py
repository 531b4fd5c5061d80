"""The same data from dask and MPI as from local workers."""

import importlib.util
import os
import shutil
import socket
import subprocess
import sys
import time

import numpy as np
import pytest
from astropy.io import fits

from vlasscube.workspace.directory import Workspace

from .running import command

pytestmark = [pytest.mark.casa, pytest.mark.endtoend]


def product_data(workspace):
    return {path.name: fits.getdata(path) for path in sorted(workspace.products.glob("*.fits"))}


def assert_same_products(directory, run):
    found, expected = product_data(Workspace(directory)), product_data(run.workspace)
    assert found.keys() == expected.keys()
    for name, data in expected.items():
        np.testing.assert_array_equal(found[name], data, err_msg=name)


@pytest.fixture
def dask_scheduler(tmp_path):
    """A scheduler and two workers, each a process of its own."""
    pytest.importorskip("distributed")
    with socket.socket() as stream:
        stream.bind(("127.0.0.1", 0))
        port = stream.getsockname()[1]
    address = f"tcp://127.0.0.1:{port}"
    dask = [sys.executable, "-m", "dask"]
    commands = [[*dask, "scheduler", "--host", "127.0.0.1", "--port", str(port), "--no-dashboard"]]
    for number in (1, 2):
        place = str(tmp_path / f"worker{number}")
        commands.append(
            [*dask, "worker", address, "--nthreads", "1", "--no-dashboard", "--local-directory", place]
        )
    with (tmp_path / "dask.log").open("w") as log:
        processes = [subprocess.Popen(c, stdout=log, stderr=log) for c in commands]
        yield address
        for process in reversed(processes):
            process.terminate()
        for process in processes:
            process.wait(30)


def test_dask(simulated_field, uninterrupted_mosaic_run, dask_scheduler, tmp_path):
    directory = tmp_path / "run"
    shutil.copytree(simulated_field, directory)
    # The workers may take a while to come.
    for _ in range(5):
        finished = subprocess.run(
            command("run", directory, "--scheduler", dask_scheduler), capture_output=True, text=True
        )
        if "has no workers" not in finished.stderr:
            break
        time.sleep(3)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    assert_same_products(directory, uninterrupted_mosaic_run)


def test_mpi(simulated_field, uninterrupted_mosaic_run, tmp_path):
    if shutil.which("mpirun") is None or importlib.util.find_spec("mpi4py") is None:
        pytest.skip("no MPI (Debian: apt-get install openmpi-bin; pip install mpi4py)")
    directory = tmp_path / "run"
    shutil.copytree(simulated_field, directory)
    allowed = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
    finished = subprocess.run(
        ["mpirun", "--oversubscribe", "-n", "3", *command("run", directory, "--mpi")],
        env={**os.environ, **allowed},
        capture_output=True,
        text=True,
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
    assert_same_products(directory, uninterrupted_mosaic_run)
    # Those who wait for the first process are let go when it fails.
    failed = subprocess.run(
        ["mpirun", "--oversubscribe", "-n", "3", *command("run", tmp_path / "nowhere", "--mpi")],
        env={**os.environ, **allowed},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert failed.returncode != 0
    assert "no such directory" in failed.stderr
