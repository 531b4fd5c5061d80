"""What all tests share."""

import os
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import HealthCheck, settings

from vlasscube.testing import measurement_sets as small

# Hypothesis explores anew on each run at a desk; in continuous integration it repeats itself. How long an
# example takes says more about what else the machine does than about us.
settings.register_profile("exploring", deadline=None)
settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.register_profile(
    "long", max_examples=100_000, deadline=None, suppress_health_check=list(HealthCheck)
)
settings.load_profile("repeatable" if os.environ.get("CI") else "exploring")

MARKS = {"browser": "browser", "dask": "slow", "separate_dask": "slow", "mpirun": "slow"}
"""What a test with one of these fixtures is."""


# Before tests are chosen by their marks.
@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    for item in items:
        for name in MARKS.keys() & set(getattr(item, "fixturenames", ())):
            item.add_marker(MARKS[name])


CHROMIUM = ("chromium", "chromium-browser", "google-chrome")


@pytest.fixture(scope="session")
def browser():
    """Headless Chromium of the system; without one, only continuous integration complains."""
    found = [path for name in CHROMIUM if (path := shutil.which(name))]
    if not found:
        if os.environ.get("CI"):
            pytest.fail("no Chromium: apt-get install chromium")
        pytest.skip("no Chromium (Debian: apt-get install chromium)")
    # Only where a browser is driven.
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=found[0], args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture
def instruction_sets():
    """Names of the instruction sets that the kernels can be run with here, fastest first, `plain` last."""
    from vlasscube import _kernels

    names = _kernels.available_instruction_sets()
    yield names
    _kernels.select_instruction_set(names[0])


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
