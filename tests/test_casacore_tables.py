"""python-casacore beside CASA: both in one process, files left alone, images readable by both."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest

from vlasscube import casacore_tables
from vlasscube.errors import CasaUnavailableError

BOTH_LIBRARIES = """
import sys
import numpy as np
from vlasscube import casa, casacore_tables

def by_casa():
    with casa.table(sys.argv[1]) as table:
        return table.getcol("VALUES").T

def by_casacore():
    with casacore_tables.table(sys.argv[1]) as table:
        return casacore_tables.read_column(table, "VALUES", np.float32)

order = [by_casa, by_casacore] if sys.argv[2] == "casa" else [by_casacore, by_casa]
results = [read() for read in order for _ in range(2)]
assert all(np.array_equal(results[0], other) for other in results)
with casa.table(sys.argv[1], writable=True) as table:
    table.putcell("VALUES", 0, [7.0, 7.0])
assert by_casacore()[0].tolist() == [7.0, 7.0]
with casacore_tables.table(sys.argv[1], writable=True) as table:
    table.putcell("VALUES", 1, np.array([8, 8], np.float32))
assert by_casa()[1].tolist() == [8.0, 8.0]
print("fine")
"""


def make_table(path: Path, rows: int = 10) -> np.ndarray:
    from casacore import tables

    description = tables.maketabdesc(
        [
            tables.makearrcoldesc("VALUES", 0.0, valuetype="float", ndim=1, shape=[2]),
            tables.makescacoldesc("NUMBER", 0),
        ]
    )
    values = np.arange(2 * rows, dtype=np.float32).reshape(rows, 2)
    table = tables.table(str(path), description, nrow=rows, ack=False)
    table.putcol("VALUES", values)
    table.putcol("NUMBER", np.arange(rows, dtype=np.int32))
    table.close()
    return values


def read_values(path: Path) -> np.ndarray:
    with casacore_tables.table(path) as table:
        return casacore_tables.read_column(table, "VALUES", np.float32)


def test_columns(tmp_path):
    values = make_table(tmp_path / "table")
    with casacore_tables.table(tmp_path / "table") as table:
        np.testing.assert_array_equal(casacore_tables.read_column(table, "VALUES", np.float64), values)
        part = casacore_tables.read_column(table, "NUMBER", np.float32, start=3, rows=4)
        assert part.dtype == np.float32
        assert part.tolist() == [3, 4, 5, 6]
        chosen = table.selectrows([8, 1, 5])
        assert casacore_tables.read_column(chosen, "NUMBER", np.int32).tolist() == [8, 1, 5]
        nothing = table.selectrows([])
        assert casacore_tables.read_column(nothing, "VALUES", np.float32).size == 0


def test_reading_leaves_no_trace(tmp_path):
    make_table(tmp_path / "table")

    def state() -> dict[str, tuple[int, bytes]]:
        return {
            path.name: (path.stat().st_mtime_ns, path.read_bytes()) for path in (tmp_path / "table").iterdir()
        }

    before = state()
    read_values(tmp_path / "table")
    assert state() == before


def test_reading_while_another_holds_the_lock(tmp_path):
    values = make_table(tmp_path / "table")
    from casacore import tables

    writer = tables.table(str(tmp_path / "table"), readonly=False, lockoptions="permanent", ack=False)
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        found = pool.submit(read_values, tmp_path / "table").result(timeout=60)
    writer.close()
    np.testing.assert_array_equal(found, values)


def test_no_table(tmp_path):
    with pytest.raises(RuntimeError), casacore_tables.table(tmp_path / "none"):
        pass


def test_not_installed(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "casacore.tables", None)
    with pytest.raises(CasaUnavailableError) as caught, casacore_tables.table(tmp_path):
        pass
    assert "pip install python-casacore" in caught.value.hint


@pytest.mark.casa
@pytest.mark.parametrize("first", ["casa", "casacore"])
def test_both_libraries_in_one_process(tmp_path, first):
    make_table(tmp_path / "table")
    command = [sys.executable, "-c", BOTH_LIBRARIES, str(tmp_path / "table"), first]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert result.stdout.endswith("fine\n"), result.stderr


def test_fork_and_spawn_after_use(tmp_path):
    values = make_table(tmp_path / "table")
    read_values(tmp_path / "table")
    for method in ("fork", "spawn"):
        with ProcessPoolExecutor(2, mp_context=get_context(method)) as pool:
            for found in pool.map(read_values, [tmp_path / "table"] * 4):
                np.testing.assert_array_equal(found, values)
