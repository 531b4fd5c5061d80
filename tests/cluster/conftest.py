"""Planes without CASA, and a dask to take them."""

import os
import sys
from pathlib import Path

import pytest

from vlasscube.workspace.directory import Workspace

STUB = Path(__file__).with_name("stub")


@pytest.fixture(scope="session")
def stub():
    """The module of planes without CASA, where processes started from here find it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(STUB), prepend=os.pathsep)
        patch.syspath_prepend(STUB)
        patch.delenv("VLASSCUBE_THREADS", raising=False)
        import cluster_stub

        yield cluster_stub
    sys.modules.pop("cluster_stub")


@pytest.fixture(scope="session")
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
