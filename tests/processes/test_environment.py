"""Users' environments: home, locale, limits of the shell, threads."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

# Each starts processes of its own.
pytestmark = pytest.mark.slow

PREPARE = "from vlasscube.processes.environment import *; prepare_process(); require_limits(); "
TURKISH = ("tr_TR.UTF-8", "az_AZ.UTF-8", "ku_TR.UTF-8")
EXPORT_TEST = "test_gated_set_leaves_what_is_within_the_tolerances"
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


@pytest.mark.parametrize(("limit", "expected"), [("ulimit -u 200", "1"), ("ulimit -S -u 2000", "None")])
def test_blas_starts_no_threads_under_a_small_limit_of_processes(limit: str, expected: str) -> None:
    # Where it cannot start them it sends SIGINT to the process.
    if python("", limit).returncode:
        pytest.skip(f"not here: {limit}")
    look = "import os; print(os.environ.get('OPENBLAS_NUM_THREADS'))"
    assert python(PREPARE + look, limit, ("OPENBLAS_NUM_THREADS",)).stdout.strip() == expected


NO_THREADS = (
    "import sys, threading\n"
    'def refuse(*args, **kwargs): raise RuntimeError("can\'t start new thread")\n'
    "threading._start_new_thread = threading._start_joinable_thread = refuse\n"
    "from vlasscube import cli; sys.exit(cli.main([{command!r}, {directory!r}]))"
)
NO_PROCESSES = (
    "import sys, _posixsubprocess, multiprocessing.util\n"
    "def refuse(*args): raise BlockingIOError(11, 'Resource temporarily unavailable')\n"
    "_posixsubprocess.fork_exec = refuse\n"
    "from vlasscube import cli\n"
    "from vlasscube.processes import isolation\n"
    "from vlasscube.cli import command_errors\n"
    "@command_errors.command\n"
    "def read():\n"
    "    with isolation.isolated_reader() as reader: return reader.call(abs, 1)\n"
    "sys.exit(read())"
)


@pytest.mark.parametrize(
    ("script", "command"), [(NO_THREADS, "run"), (NO_THREADS, "plan"), (NO_PROCESSES, "")]
)
def test_threads_and_processes_that_cannot_start_are_told(script: str, command: str, tmp_path: Path) -> None:
    code = script.format(command=command, directory=str(tmp_path))
    done = python(code, "ulimit -S -u 2000")
    assert done.returncode == 1
    assert "does not allow any more threads or processes" in done.stderr
    assert "ulimit -u 2000" in done.stderr
    assert "Traceback" not in done.stderr


NO_TEMPORARY_DIRECTORY = (
    "import sys, tempfile\n"
    "def none(): raise FileNotFoundError(2, 'No usable temporary directory found')\n"
    "tempfile._get_default_tempdir = none\n"
    "from vlasscube import casa\n"
    "from vlasscube.cli import command_errors\n"
    "casa.check_installation = lambda: None\n"
    "@command_errors.command\n"
    "def start(): casa.configure()\n"
    "sys.exit(start())"
)


@pytest.mark.parametrize("unset", [(), ("HOME",)])
def test_no_temporary_directory_is_told(unset: tuple[str, ...]) -> None:
    done = python(NO_TEMPORARY_DIRECTORY, "true", unset)
    assert done.returncode == 1
    assert "no directory for temporary files: No usable temporary directory found." in done.stderr
    assert "Set TMPDIR" in done.stderr
    assert "Traceback" not in done.stderr


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
@pytest.mark.slow
def test_simulation_and_run_without_a_home(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "vlasscube.cli"]
    without = {key: value for key, value in os.environ.items() if key != "HOME"}
    for arguments, environment in (
        (["simulate", "field", "--preset", "tiny", "--spws", "2"], without),
        (["run", "field", "--to", "3"], without | {"HOME": ""}),
    ):
        done = subprocess.run(
            [*command, *arguments],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        assert done.returncode == 0, done.stderr


EXPORT = f"{Path(__file__).parents[1] / 'stages' / 'test_export_options.py'}::{EXPORT_TEST}"
NO_LOCALE_GUARD = (
    "import vlasscube.processes.environment as environment; environment._give_plain_locale = lambda: None; "
)


def export(name: str, begin: str = "") -> subprocess.CompletedProcess[str]:
    code = begin + f"import pytest, sys; sys.exit(pytest.main(['-q', '-p', 'no:cacheprovider', {EXPORT!r}]))"
    return python(code, LC_ALL=name, PYTHONUTF8="0")


@pytest.mark.casa
@pytest.mark.slow
@pytest.mark.parametrize("name", [*TURKISH, "de_DE.UTF-8"])
def test_export_in_other_locales(name: str) -> None:
    if not has_locale(name):
        pytest.skip(f"no locale {name}")
    done = export(name)
    assert done.returncode == 0, done.stdout


@pytest.mark.casa
@pytest.mark.slow
def test_export_fails_where_the_capital_of_i_is_another() -> None:
    # casacore writes keywords of FITS files in capitals.
    if not has_locale("tr_TR.UTF-8"):
        pytest.skip("no locale tr_TR.UTF-8")
    done = export("tr_TR.UTF-8", NO_LOCALE_GUARD)
    assert done.returncode == 1
    assert "CRPiX1" in done.stdout


UNKNOWN_USER = (
    "import os, pwd\n"
    "def unknown(*args): raise KeyError('getpwuid(): uid not found: 54321')\n"
    "pwd.getpwuid = unknown\n"
    "from vlasscube import casa\n"
    "casa.configure()\n"
    "print('started')"
)


@pytest.mark.casa
def test_user_without_a_passwd_entry() -> None:
    done = python(UNKNOWN_USER, "true", ("HOME", "USER", "LOGNAME", "LNAME", "USERNAME"))
    assert (done.stdout, done.returncode) == ("started\n", 0), done.stderr


@pytest.mark.casa
def test_python_without_docstrings_is_named(tmp_path: Path) -> None:
    done = python(
        "from vlasscube import cli; cli.main(['run', '.'])", f"cd {tmp_path}", (), PYTHONOPTIMIZE="2"
    )
    assert "PYTHONOPTIMIZE" in done.stderr
    assert "pip install" not in done.stderr
