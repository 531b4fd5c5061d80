"""Users' environments: home, locale, limits of the shell, threads."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

PREPARE = "from vlasscube.processes.environment import *; prepare_process(); require_limits(); "
TURKISH = ("tr_TR.UTF-8", "az_AZ.UTF-8", "ku_TR.UTF-8")
READ_A_TABLE = (
    "import sys; from pathlib import Path; from vlasscube import casa; "
    "from vlasscube.processes.isolation import isolated_reader\n"
    "def main():\n"
    "    with isolated_reader() as reader:\n"
    "        reader.start(casa.configure)\n"
    "        print('started')\n"
    "from vlasscube.errors import VlassCubeError\n"
    "try: main()\n"
    "except VlassCubeError as error: sys.exit(f'{error.message} {error.hint}')\n"
)


def python(
    code: str, limits: str = "true", unset: tuple[str, ...] = (), **environment: str
) -> subprocess.CompletedProcess[str]:
    variables = {key: value for key, value in (os.environ | environment).items() if key not in unset}
    return subprocess.run(
        ["bash", "-c", f'{limits} && exec "$0" -c "$1"', sys.executable, code],
        env=variables,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def has_locale(name: str) -> bool:
    """Whether the system knows a locale; Debian: localedef -i tr_TR -f UTF-8 tr_TR.UTF-8."""
    code = f"import locale; locale.setlocale(locale.LC_ALL, '{name}')"
    return python(code).returncode == 0


@pytest.mark.parametrize("name", TURKISH)
def test_capitals_are_those_of_english(name: str) -> None:
    if not has_locale(name):
        pytest.skip(f"no locale {name}")
    look = "import ctypes; c = ctypes.CDLL(None); print(chr(c.toupper(105)), chr(c.tolower(73)))"
    assert python(look, LC_ALL=name, PYTHONUTF8="0").stdout != "I i\n"
    assert python(PREPARE + look, LC_ALL=name, PYTHONUTF8="0").stdout == "I i\n"


def test_decimal_point() -> None:
    if not has_locale("de_DE.UTF-8"):
        pytest.skip("no locale de_DE.UTF-8")
    begin = "import locale; locale.setlocale(locale.LC_ALL, ''); "
    look = "import ctypes; b = ctypes.create_string_buffer(9); ctypes.CDLL(None).snprintf(b, 9, b'%.1f', ctypes.c_double(1.5)); print(b.value.decode())"  # noqa: E501
    assert python(begin + look, LC_ALL="de_DE.UTF-8").stdout == "1,5\n"
    assert python(begin + PREPARE + look, LC_ALL="de_DE.UTF-8").stdout == "1.5\n"


@pytest.mark.parametrize(
    ("given", "expected"), [("0", "1"), ("x", "1"), ("", "1"), ("-3", "1"), ("1", "1"), ("1,2", "1,2")]
)
def test_thread_numbers(given: str, expected: str) -> None:
    look = "import os; print(os.environ['OMP_NUM_THREADS'])"
    assert python(PREPARE + look, OMP_NUM_THREADS=given).stdout.strip() == expected


def test_no_more_threads_than_cores() -> None:
    look = "import os; print(os.environ['OMP_NUM_THREADS'])"
    assert int(python(PREPARE + look, OMP_NUM_THREADS="100000").stdout) == len(os.sched_getaffinity(0))


def test_threads_have_usual_stacks_under_a_large_limit() -> None:
    # 12 threads of the limit's size would take 12 GB; what is reserved is told in VmSize.
    look = (
        "import threading, re; event = threading.Event(); "
        "[threading.Thread(target=event.wait, daemon=True).start() for _ in range(12)]; "
        "print(int(re.search(r'VmSize:\\s*(\\d+)', open('/proc/self/status').read())[1])); event.set()"
    )
    limits = "ulimit -s 1000000"
    if python("", limits).returncode:
        pytest.skip("the hard limit of the stack is lower")
    assert int(python(look, limits).stdout) > 8_000_000
    assert int(python(PREPARE + look, limits).stdout) < 4_000_000


@pytest.mark.parametrize(
    ("limit", "message"), [("ulimit -n 64", "ulimit -n 4096"), ("ulimit -v 700000", "ulimit -v unlimited")]
)
def test_limits_that_are_too_low_are_told(limit: str, message: str, tmp_path: Path) -> None:
    if python("", limit).returncode:
        pytest.skip(f"not here: {limit}")
    for command in ("run", "plan"):
        line = f"{limit} && exec {sys.executable} -m vlasscube.cli {command} {tmp_path}"
        done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 1
        assert message in done.stderr
        assert "Traceback" not in done.stderr


def test_soft_limit_of_open_files_is_raised() -> None:
    look = "import resource; print(resource.getrlimit(resource.RLIMIT_NOFILE)[0])"
    assert int(python(PREPARE + look, "ulimit -S -n 64").stdout) >= 512


@pytest.mark.casa
@pytest.mark.parametrize(
    ("limits", "unset", "environment"),
    [
        ("true", ("HOME",), {}),
        ("true", (), {"HOME": ""}),
        ("true", (), {"HOME": "/nonexistent/home"}),
        ("ulimit -s 1000000", (), {}),
        ("true", (), {"TMPDIR": "/nonexistent", "TZ": "Odd/Zone", "PYTHONWARNINGS": "error"}),
        ("true", ("USER", "LOGNAME", "PATH", "HOME"), {"PYTHONSAFEPATH": "1", "PYTHONNOUSERSITE": "1"}),
    ],
)
def test_casa_starts(
    limits: str, unset: tuple[str, ...], environment: dict[str, str], tmp_path: Path
) -> None:
    script = tmp_path / "script.py"
    script.write_text(READ_A_TABLE)
    done = python(f"exec(open({str(script)!r}).read())", limits, unset, **environment)
    assert (done.stdout, done.returncode) == ("started\n", 0), done.stderr


@pytest.mark.casa
def test_python_without_docstrings_is_named(tmp_path: Path) -> None:
    done = python(
        "from vlasscube import cli; cli.main(['run', '.'])", f"cd {tmp_path}", (), PYTHONOPTIMIZE="2"
    )
    assert "PYTHONOPTIMIZE" in done.stderr
    assert "pip install" not in done.stderr
