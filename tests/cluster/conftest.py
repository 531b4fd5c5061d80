"""Planes without CASA, and a dask to take them."""

import pytest

from vlasscube.testing import stand_in_stage
from vlasscube.workspace.directory import Workspace


@pytest.fixture(scope="session")
def stub():
    """Planes without CASA, each with its share of the cores."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("VLASSCUBE_THREADS", raising=False)
        yield stand_in_stage


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
