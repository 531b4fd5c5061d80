"""Directories that cannot be written, inputs that cannot be read, and a strict umask."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow
COMMAND = [sys.executable, "-m", "vlasscube.cli"]
PARAMETERS = "imagename='VLASS2.1.cc.T10t02.J005000-023000.06.2048.v1'\n"


def as_anybody(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Run the command as somebody to whom permissions apply."""
    command = [*COMMAND, *map(str, arguments)]
    if os.geteuid() == 0:
        if shutil.which("setpriv") is None:
            pytest.skip("no setpriv (Debian: util-linux): root may do everything")
        powers = "-dac_override,-dac_read_search,-fowner"
        command = ["setpriv", f"--bounding-set={powers}", f"--inh-caps={powers}", *command]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


@pytest.fixture
def directory(tmp_path: Path):
    place = tmp_path / "run"
    (place / "a_split.ms").mkdir(parents=True)
    for name in ("CCIP_parameter.list", "SEIP_parameter.list"):
        (place / name).write_text(PARAMETERS)
    yield place
    place.chmod(0o755)


def modes(directory: Path) -> dict[str, int]:
    return {str(path): stat.S_IMODE(path.lstat().st_mode) for path in (directory, *directory.rglob("*"))}


def test_directory_that_cannot_be_written(directory: Path) -> None:
    directory.chmod(0o555)
    before = modes(directory)
    ended = as_anybody("run", directory)
    assert ended.returncode == 1
    assert f"error: {directory}" in ended.stderr or f"cannot write to {directory}" in ended.stderr
    assert "ermission" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert modes(directory) == before


@pytest.mark.parametrize("command", ["status", "plan", "verify", "weblog"])
def test_looking_at_a_directory_that_cannot_be_written(directory: Path, command: str) -> None:
    directory.chmod(0o555)
    ended = as_anybody(command, directory)
    assert ended.returncode == (0 if command == "status" else 1)
    assert "Traceback" not in ended.stderr
    assert "defect" not in ended.stderr


def test_measurement_set_that_cannot_be_read(directory: Path) -> None:
    ms = directory / "a_split.ms"
    ms.chmod(0)
    before = modes(directory)
    ended = as_anybody("run", directory)
    after = modes(directory)
    ms.chmod(0o755)
    assert ended.returncode == 1
    assert ms.name in ended.stderr
    assert "Traceback" not in ended.stderr
    assert "defect" not in ended.stderr
    assert before.items() <= after.items()


def test_strict_umask(directory: Path) -> None:
    """What is made follows the umask; nothing that was there is changed."""
    before = modes(directory)
    command = ["sh", "-c", 'umask 077; exec "$@"', "sh", *COMMAND, "weblog", str(directory)]
    assert subprocess.run(command, capture_output=True, timeout=120).returncode == 0
    after = modes(directory)
    assert before.items() <= after.items()
    assert all(mode & 0o077 == 0 for name, mode in after.items() if name not in before)
