"""A tiny measurement set by CASA's simulator: two fields, a calibrator, three scans, four windows."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from vlasscube.testing import measurement_sets as small


@pytest.fixture(scope="session")
def layout() -> SimpleNamespace:
    """What the measurement set is made of."""
    return SimpleNamespace(
        fields=small.FIELDS,
        mean_frequencies_hz=small.MEAN_FREQUENCIES_HZ,
        channels=small.CHANNELS,
        integration_s=small.INTEGRATION_S,
        start_mjd_s=small.START_MJD_S,
    )


@pytest.fixture(scope="session")
def pristine_ms(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("ms") / "small_split.ms"
    small.make_small_measurement_set(path)
    return path


@pytest.fixture
def small_ms(pristine_ms, tmp_path) -> Path:
    path = tmp_path / pristine_ms.name
    shutil.copytree(pristine_ms, path)
    return path
