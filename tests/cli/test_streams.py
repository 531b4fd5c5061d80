"""Terminals: encodings that lack characters, readers that go away, streams that are closed or full."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from vlasscube.cli.streams import open_stream
from vlasscube.recipe import RECIPE
from vlasscube.testing.synthetic_run import SyntheticRun
from vlasscube.workspace.directory import Workspace

# Each starts processes of its own.
pytestmark = pytest.mark.slow

COMMAND = f"{sys.executable} -m vlasscube.cli"
ENCODINGS = ("latin-1", "ascii:strict")


def shell(line: str, **environment: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        ["bash", "-c", line], env=os.environ | environment, capture_output=True, timeout=120, check=False
    )


@pytest.fixture(scope="module")
def run_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("made") / "λ run"
    directory.mkdir()
    SyntheticRun(directory, hostile="50″ × 3 µJy", spws=range(2, 18)).plane_stages(2)
    return directory


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("arguments", ["run --help", "simulate --list-presets"])
def test_help_in_any_encoding(encoding: str, arguments: str) -> None:
    done = shell(f"{COMMAND} {arguments}", PYTHONIOENCODING=encoding)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.decode(encoding.partition(":")[0])


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("command", ["status", "verify", "plan"])
def test_commands_in_any_encoding(run_directory: Path, encoding: str, command: str) -> None:
    utf8 = shell(f"{COMMAND} {command} '{run_directory}'", PYTHONIOENCODING="utf-8")
    done = shell(f"{COMMAND} {command} '{run_directory}'", PYTHONIOENCODING=encoding)
    assert done.returncode == utf8.returncode
    assert b"defect" not in done.stderr
    assert b"Traceback" not in done.stderr
    (done.stdout + done.stderr).decode(encoding.partition(":")[0])


def test_own_signs_have_a_plain_form(run_directory: Path) -> None:
    done = shell(f"{COMMAND} simulate --list-presets", PYTHONIOENCODING="ascii")
    assert 'cell "' in done.stdout.decode("ascii")
    assert b"3 x 4" in done.stdout or b" x " in done.stdout


@pytest.mark.parametrize("locale", ["C"])
def test_plain_locale(run_directory: Path, locale: str) -> None:
    done = shell(
        f"{COMMAND} status '{run_directory}'", LC_ALL=locale, PYTHONUTF8="0", PYTHONCOERCECLOCALE="0"
    )
    assert (done.returncode, done.stderr) == (0, b"")
    done.stdout.decode("ascii")


def test_json_is_ascii_and_says_the_same(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    (tmp_path / "records").mkdir()
    (tmp_path / "records" / "import_data.json").write_text('{"broken ″": "\N{GRINNING FACE}"')
    for encoding in ("ascii", "utf-8"):
        done = shell(f"{COMMAND} status --json {workspace.directory}", PYTHONIOENCODING=encoding)
        assert done.returncode == 0
        assert len(json.loads(done.stdout.decode("ascii"))["stages"]) == len(RECIPE)


@pytest.mark.parametrize("arguments", ["run --help", "status {}"])
def test_reader_that_has_seen_enough(run_directory: Path, arguments: str) -> None:
    command = f"{COMMAND} {arguments.format(repr(str(run_directory)))}"
    whole = shell(f"{command} > /dev/null")
    gone = shell(f"{command} | true; exit ${{PIPESTATUS[0]}}")
    assert gone.returncode == whole.returncode
    assert gone.stderr == whole.stderr


@pytest.mark.parametrize("closed", [">&-", ">&- 2>&- <&-"])
@pytest.mark.parametrize(("arguments", "status"), [("status {}", 0), ("plan {}", 1)])
def test_closed_streams(run_directory: Path, closed: str, arguments: str, status: int) -> None:
    done = shell(f"{COMMAND} {arguments.format(repr(str(run_directory)))} {closed}")
    assert done.returncode == status
    assert b"Traceback" not in done.stderr
    assert b"defect" not in done.stderr


@pytest.mark.parametrize("arguments", ["--version", "status {}"])
def test_full_output(run_directory: Path, arguments: str) -> None:
    done = shell(f"{COMMAND} {arguments.format(repr(str(run_directory)))} > /dev/full")
    assert done.returncode == 1
    assert done.stderr == b"vlasscube: error: cannot write the output: No space left on device.\n"


def test_stream_drops_what_nobody_reads() -> None:
    read, write = os.pipe()
    stream = open_stream(write, "ascii", owned=True)
    print("one µ \ud800", file=stream)
    assert os.read(read, 100) == b"one u \\ud800\n"
    os.close(read)
    print("two", file=stream)
    assert stream.problem is None
    stream.close()


def test_stream_waits_for_a_reader_that_is_slow() -> None:
    read, write = os.pipe()
    os.set_blocking(write, False)
    size = 400_000
    child = subprocess.Popen(
        [sys.executable, "-c", f"import time, sys; time.sleep(0.3); print(len(sys.stdin.read({size})))"],
        stdin=read,
        stdout=subprocess.PIPE,
    )
    os.close(read)
    stream = open_stream(write, "ascii", owned=True)
    stream.write("x" * size)
    stream.close()
    assert child.communicate(timeout=30)[0].strip() == str(size).encode()


RUN = """
    import sys, time
    from pathlib import Path
    from vlasscube import casa, cli
    from vlasscube.run import planning, workflow
    from vlasscube.run.workflow import Event, RunResult

    place = Path(sys.argv[1])
    casa.check_installation = lambda: None
    planning.require_resources = lambda *args, **kwargs: None

    def run_workflow(workspace, options, *, listener, **others):
        (place / "begun").touch()
        while not (place / "go").exists():
            time.sleep(0.02)
        for number in range(50):
            listener(Event("step", "import_data", None, f"step {number}", number / 50))
            time.sleep(0.01)
        (place / "finished").touch()
        return RunResult(None, 1.0)

    workflow.run_workflow = run_workflow
    sys.exit(cli.main(["run", str(place), *sys.argv[2:]]))
"""

SIMULATION = """
    import sys, time
    from pathlib import Path
    from vlasscube import casa, cli, simulation
    from vlasscube.run import planning, workflow
    from vlasscube.run.workflow import RunResult

    place = Path(sys.argv[1])
    casa.check_installation = lambda: None
    casa.configure = lambda *args, **kwargs: None
    planning.require_resources = lambda *args, **kwargs: None
    workflow.run_workflow = lambda *args, **kwargs: RunResult(None, 1.0)

    def simulate(directory, parameters, *, progress, **others):
        (place / "begun").touch()
        while not (place / "go").exists():
            time.sleep(0.02)
        progress("visibilities", 0.5)
        (place / "finished").touch()

    simulation.simulate = simulate
    sys.exit(cli.main([sys.argv[2], str(place / "field")]))
"""


def begin_run(
    directory: Path, stdout: int, *options: str, script: str = RUN, **others: object
) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", textwrap.dedent(script), str(directory), *options]
    process = subprocess.Popen(command, stdout=stdout, stderr=subprocess.PIPE, **others)  # type: ignore[call-overload]
    deadline = time.monotonic() + 60
    while not (directory / "begun").exists():
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.05)
    return process


@pytest.mark.parametrize("options", [(), ("--log-json",), ("--quiet",)])
def test_run_goes_on_when_its_reader_has_gone(tmp_path: Path, options: tuple[str, ...]) -> None:
    read, write = os.pipe()
    process = begin_run(tmp_path, write, *options)
    os.close(write)
    os.close(read)
    (tmp_path / "go").touch()
    _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (0, b"")
    assert (tmp_path / "finished").exists()


@pytest.mark.parametrize(
    ("script", "options"), [(RUN, ()), (SIMULATION, ("simulate",)), (SIMULATION, ("demo",))]
)
def test_work_goes_on_when_its_terminal_is_closed(
    tmp_path: Path, script: str, options: tuple[str, ...]
) -> None:
    ours, theirs = pty.openpty()
    process = begin_run(tmp_path, theirs, *options, script=script, start_new_session=True)
    os.close(theirs)
    os.close(ours)
    process.send_signal(signal.SIGHUP)
    (tmp_path / "go").touch()
    _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (0, b"")
    assert (tmp_path / "finished").exists()


def test_run_onto_a_full_disk_says_that_output_is_lost(tmp_path: Path) -> None:
    with Path("/dev/full").open("wb") as full:
        process = begin_run(tmp_path, full.fileno())
        (tmp_path / "go").touch()
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 0
    assert errors == (b"vlasscube: warning: some of what was to be shown is lost: No space left on device.\n")


@pytest.mark.parametrize("command", ["status"])
def test_current_directory_that_was_removed(run_directory: Path, tmp_path: Path, command: str) -> None:
    gone = tmp_path / "gone"
    enter = f"mkdir {gone}; cd {gone}; rmdir {gone}; {COMMAND} {command}"
    here = shell(enter)
    assert here.returncode == 1
    assert b"the current directory has been removed" in here.stderr
    elsewhere = shell(f"{enter} '{run_directory}'")
    assert b"current directory" not in elsewhere.stderr
    assert b"Traceback" not in elsewhere.stderr
