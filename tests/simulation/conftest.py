from __future__ import annotations

from pathlib import Path

import pytest

from vlasscube import casa
from vlasscube.simulation import SimulationRecord, preset, simulate


@pytest.fixture(scope="session")
def casa_session(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """CASA, logging into a directory of its own; returns the log of the calls."""
    directory = tmp_path_factory.mktemp("casa")
    casa.configure(directory / "casa.log", directory / "calls.py")
    return directory / "calls.py"


@pytest.fixture(scope="session")
def tiny_simulation(casa_session: Path, tmp_path_factory: pytest.TempPathFactory) -> SimulationRecord:
    """A whole simulation of the preset `tiny`, made once."""
    return simulate(tmp_path_factory.mktemp("simulation") / "tiny", preset("tiny"))
