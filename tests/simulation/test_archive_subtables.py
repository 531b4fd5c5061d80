"""A measurement set as the archive has it: little data among the subtables of a whole observation."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

from vlasscube import casa
from vlasscube.measurement_set.inspection import inspect_measurement_set
from vlasscube.measurement_set.lean_input import KEPT_SUBTABLES
from vlasscube.measurement_set.working_copy import make_working_copy
from vlasscube.simulation import preset
from vlasscube.simulation.archive_subtables import write_whole_observation
from vlasscube.simulation.build import observe
from vlasscube.simulation.measurement_set import write_measurement_set

pytestmark = [pytest.mark.casa, pytest.mark.slow]

PARAMETERS = preset("archive", whole_observation_rows=100_000)
SPLIT_LIMIT_S = 30.0


@pytest.fixture(scope="module")
def archive_ms(casa_session: object, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("archive") / PARAMETERS.input_ms
    write_measurement_set(path, observe(PARAMETERS, 3), lambda done: None)
    write_whole_observation(path, PARAMETERS)
    return path


def rows(table: Path) -> int:
    with casa.table(table) as opened:
        return int(opened.nrows())


def column(table: Path, name: str) -> np.ndarray:
    with casa.table(table) as opened:
        return np.asarray(opened.getcol(name))


def test_the_working_copy_has_the_data_and_only_the_subtables_that_are_read(
    archive_ms: Path, tmp_path: Path
) -> None:
    assert rows(archive_ms / "POINTING") == rows(archive_ms / "SYSPOWER") == 100_000
    assert rows(archive_ms / "FIELD") == 14_358
    summary = inspect_measurement_set(archive_ms)
    fields = tuple(field.id for field in summary.fields if field.scan >= 0)
    assert len(fields) == 63
    working = tmp_path / "working.ms"
    started = time.monotonic()
    make_working_copy(archive_ms, working, fields, "2,3")
    seconds = time.monotonic() - started
    assert seconds < SPLIT_LIMIT_S
    assert rows(working) == rows(archive_ms)
    np.testing.assert_array_equal(np.unique(column(working, "FIELD_ID")), fields)
    np.testing.assert_array_equal(column(working / "FIELD", "NAME"), column(archive_ms / "FIELD", "NAME"))
    subtables = {path.parent.name for path in archive_ms.glob("*/table.dat")}
    for name in subtables - set(KEPT_SUBTABLES):
        assert not (working / name).exists() or rows(working / name) == 0, name
    for name in subtables & set(KEPT_SUBTABLES) - {"HISTORY"}:
        assert rows(working / name) == rows(archive_ms / name), name
    tree_bytes = sum(path.stat().st_size for path in (working / "POINTING").rglob("*") if path.is_file())
    assert tree_bytes < 1 << 20
