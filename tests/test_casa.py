"""The door to CASA: what is told when it is missing or fails, what is recorded, where it works."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

from vlasscube import casa
from vlasscube.errors import CasaTaskError, CasaUnavailableError


def test_missing_packages_are_named_with_the_remedy(monkeypatch):
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name in ("casatools", "six") else real(name)
    )
    with pytest.raises(CasaUnavailableError, match="casatools, six") as caught:
        casa.check_installation()
    assert "pip install" in caught.value.hint


def test_short_calls_stand_in_a_line_and_long_ones_are_wrapped():
    short = {"imagename": "a", "mode": "put"}
    assert casa.format_call("imhead", short) == "imhead(imagename='a', mode='put')"
    given = {"vis": ["x" * 60], "field": ",".join(map(str, range(200))), "niter": 3}
    long = casa.format_call("tclean", given)
    assert long.startswith("tclean(\n    vis=")
    assert eval(long, {"tclean": lambda **values: values}) == given


@pytest.mark.casa
def test_a_failing_task_is_an_error_of_its_name_and_is_recorded(tmp_path):
    calls = tmp_path / "calls.py"
    casa.configure(tmp_path / "casa.log", calls, tmp_path)
    before = Path.cwd()
    with pytest.raises(CasaTaskError, match=r"listobs: .*nothing\.ms"):
        casa.run_task("listobs", vis=str(tmp_path / "nothing.ms"))
    assert Path.cwd() == before
    text = calls.read_text()
    assert "listobs(vis=" in text
    assert "# listobs failed" in text


@pytest.mark.casa
def test_casa_starts_from_anywhere_and_leaves_nothing_behind(tmp_path):
    """Home and current directory stay empty; a user's own configuration of CASA is not read."""
    home, here, logs = tmp_path / "home", tmp_path / "here", tmp_path / "logs"
    (home / ".casa").mkdir(parents=True)
    (home / ".casa" / "config.py").write_text("measurespath = '/nowhere'\nmeasures_auto_update = True\n")
    here.mkdir()
    logs.mkdir()
    script = (
        "import sys; from pathlib import Path; from vlasscube import casa\n"
        "casa.configure(Path(sys.argv[1]) / 'casa.log')\n"
        "print(casa.tools().measures().observatory('EVLA')['refer'])\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", script, str(logs)],
        cwd=here,
        env={**os.environ, "HOME": str(home)},
        capture_output=True,
        text=True,
    )
    assert result.stdout.strip() == "ITRF", result.stderr
    assert [path.name for path in home.rglob("*")] == [".casa", "config.py"]
    assert list(here.iterdir()) == []
    assert [path.name for path in logs.iterdir()] == ["casa.log"]


def test_what_we_do_ourselves_is_recorded_as_a_comment(tmp_path, monkeypatch):
    log = tmp_path / "calls" / "step.py"
    monkeypatch.setitem(casa._state, "call_log", log)
    text = casa.record_equivalent("impbcor", imagename="a" * 60, pbimage="b" * 60, cutoff=-1.0)
    assert text.endswith(
        f"in the place of impbcor(imagename='{'a' * 60}', pbimage='{'b' * 60}', cutoff=-1.0)"
    )
    lines = [line for line in log.read_text().splitlines() if line]
    assert all(line.startswith("# ") for line in lines)
    assert "impbcor(" in "\n".join(lines)
    assert f"#     pbimage='{'b' * 60}'," in lines
