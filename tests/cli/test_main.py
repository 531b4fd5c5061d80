"""The command line: help, exit status, options, progress, messages."""

from __future__ import annotations

import dataclasses
import io
import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from vlasscube import casa, cli
from vlasscube.cli.command_options import combined_options, option_texts
from vlasscube.cli.console import RichProgress
from vlasscube.errors import CasaUnavailableError, ImagingError
from vlasscube.options import PROFILE_TEXTS, RunOptions
from vlasscube.records import Beam, Message, Outcome
from vlasscube.results.types import CubeImages, PlaneVerdict
from vlasscube.run import planning, workflow
from vlasscube.run.workflow import Event, RunResult
from vlasscube.texts import data_size, duration, printable
from vlasscube.workspace.directory import Workspace

from ..clocks import children_processor_s

COMMANDS = ("run", "plan", "status", "verify", "weblog", "prune", "simulate", "demo")


def verdict(spw: str, outcome: Outcome, reason: str = "") -> PlaneVerdict:
    return PlaneVerdict(
        label=f"spw{spw}",
        spw=spw,
        outcome=outcome,
        reason=reason,
        frequency_hz=2.0284e9,
        beam=Beam(3.2, 2.1, 10.0) if outcome.has_images else None,
        flagged_fraction=0.125,
        stop="[8] n-sigma" if outcome.has_images else "",
        rms_jy=5e-4 if outcome.has_images else None,
        seconds=12.0,
    )


class FakeWorkflow:
    """Stands for `run_workflow`: tells events and ends as it is asked to."""

    def __init__(self) -> None:
        self.planes: CubeImages | None = CubeImages((verdict("2", Outcome.IMAGED),))
        self.raised: BaseException | None = None
        self.calls: list[dict[str, Any]] = []
        self.options: RunOptions | None = None

    def __call__(
        self, workspace: Workspace, options: RunOptions, *, listener: Any, **others: Any
    ) -> RunResult:
        self.options = options
        self.calls.append(others)
        listener(Event("stage", "import_data", None, "Import the measurement set"))
        listener(Event("step", "import_data", None, "reading", 0.5))
        listener(Event("message", "import_data", None, "warning: one\x1b[31m antenna"))
        listener(Event("stage_done", "import_data", None, "Import the measurement set"))
        listener(Event("stage", "make_images", None, "1 planes"))
        listener(Event("plane", "make_images.iter0", "spw2", "make images.iter0"))
        listener(Event("plane_done", "make_images", "spw2", "done", 1.0))
        if self.raised is not None:
            raise self.raised
        return RunResult(self.planes, 75.0)


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeWorkflow:
    result = FakeWorkflow()
    monkeypatch.setattr(workflow, "run_workflow", result)
    monkeypatch.setattr(casa, "check_installation", lambda: None)
    return result


# --------------------------------------------------------------------------------------------------- help


def test_help_lists_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--help"]) == 0
    text = capsys.readouterr().out
    assert all(command in text for command in COMMANDS)
    assert "Example:" in text


def test_no_arguments_show_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([]) == 0
    assert "Usage: vlasscube" in capsys.readouterr().out


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([command, "--help"]) == 0
    text = capsys.readouterr().out
    assert f"Example: vlasscube {command}" in text
    assert "[DIR]" in text


@pytest.mark.parametrize("command", ["run", "plan"])
def test_every_option_of_a_run_is_there_with_its_text(
    command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    monkeypatch.setenv("TERMINAL_WIDTH", "300")
    cli.main([command, "--help"])
    text = capsys.readouterr().out
    for field in dataclasses.fields(RunOptions):
        assert f"--{field.name.replace('_', '-')}" in text
    flat = " ".join(text.split())
    assert "Observatory latitude in the position correction" in flat
    assert "archive|current" in flat
    assert "--no-reject-by-beam" in flat


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("vlasscube ")


def test_every_option_of_a_run_has_its_text(capsys: pytest.CaptureFixture[str]) -> None:
    for command in ("run", "plan"):
        assert cli.main([command, "--help"]) == 0
        shown = " ".join(capsys.readouterr().out.split())
        for name, text in option_texts().items():
            assert f"--{name.replace('_', '-')}" in shown
            assert text in shown
    assert set(option_texts()) == {field.name for field in dataclasses.fields(RunOptions)}
    assert option_texts()["latitude"] == (
        "Observatory latitude in the position correction; geocentric reproduces the archive."
    )
    assert option_texts()["nmajor"].endswith("; 0 for no limit.")


def test_a_former_option_is_taken_with_a_note(
    tmp_path: Path, fake: FakeWorkflow, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["run", str(tmp_path), "--kernels", "exact"]) == 0
    assert fake.options == RunOptions(gridding="exact")
    assert capsys.readouterr().err == "note: --kernels is now called --gridding\n"
    assert cli.main(["run", str(tmp_path), "--kernels", "exact", "--gridding", "casa"]) == 1
    assert "it contradicts --gridding" in capsys.readouterr().err
    cli.main(["run", "--help"])
    assert "--kernels" not in capsys.readouterr().out


def test_help_is_fast_and_imports_nothing_heavy() -> None:
    code = """
        import sys
        from vlasscube.cli import main
        status = main(["--help"])
        heavy = {"numpy", "astropy", "casatools", "casatasks", "matplotlib", "scipy", "pydantic"}
        heavy &= set(sys.modules)
        sys.exit(f"imported {heavy}" if heavy else status)
    """
    best = min(_seconds(code) for _ in range(3))
    assert best < 0.5


def _seconds(code: str) -> float:
    started = children_processor_s()
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return children_processor_s() - started


# -------------------------------------------------------------------------------------------- exit status


@pytest.mark.parametrize(
    ("outcomes", "status"),
    [
        ((Outcome.IMAGED, Outcome.IMAGED), 0),
        ((Outcome.IMAGED, Outcome.FLAGGED, Outcome.EMPTY), 0),
        ((Outcome.IMAGED, Outcome.FAILED), 2),
        ((Outcome.IMAGED, Outcome.REJECTED), 2),
        ((Outcome.FAILED, Outcome.FAILED), 1),
    ],
)
def test_exit_status_follows_the_planes(
    tmp_path: Path, fake: FakeWorkflow, outcomes: tuple[Outcome, ...], status: int
) -> None:
    fake.planes = CubeImages(tuple(verdict(str(i), outcome) for i, outcome in enumerate(outcomes)))
    assert cli.main(["run", str(tmp_path)]) == status


def test_a_part_of_the_workflow_without_planes_is_fine(tmp_path: Path, fake: FakeWorkflow) -> None:
    fake.planes = None
    assert cli.main(["run", str(tmp_path), "--to", "3"]) == 0
    assert fake.calls[0]["last"] == "3"


def test_failed_planes_are_named_at_the_end(
    tmp_path: Path, fake: FakeWorkflow, capsys: pytest.CaptureFixture[str]
) -> None:
    fake.planes = CubeImages(
        (verdict("2", Outcome.IMAGED), verdict("3", Outcome.FAILED, "pbcor: the disk is full"))
    )
    assert cli.main(["run", str(tmp_path)]) == 2
    out = capsys.readouterr().out
    assert "3.20 × 2.10, 10.0°" in out
    assert "500.0" in out
    assert "12.5" in out
    assert out.rstrip().endswith("Failed: spw 3: pbcor: the disk is full")
    assert str(tmp_path / "products") in out
    assert str(tmp_path / "weblog" / "index.html") in out


def test_error_is_a_message_with_a_hint(
    tmp_path: Path, fake: FakeWorkflow, capsys: pytest.CaptureFixture[str]
) -> None:
    fake.raised = ImagingError("it \x1b[2J broke", hint="mend it")
    assert cli.main(["run", str(tmp_path)]) == 1
    err = capsys.readouterr().err
    assert err == "vlasscube: error: it \\x1b[2J broke\n  mend it\n"
    log = (tmp_path / "logs" / "vlasscube.log").read_text(encoding="utf-8")
    assert "Traceback" in log
    assert "\x1b" not in log


def test_debug_shows_the_traceback(
    tmp_path: Path, fake: FakeWorkflow, capsys: pytest.CaptureFixture[str]
) -> None:
    fake.raised = ZeroDivisionError("a defect")
    assert cli.main(["run", str(tmp_path)]) == 1
    err = capsys.readouterr().err
    assert "ZeroDivisionError: a defect" in err
    assert "Traceback" not in err
    assert cli.main(["run", str(tmp_path), "--debug"]) == 1
    assert "Traceback" in capsys.readouterr().err


def test_full_disk_is_told_without_a_traceback(
    tmp_path: Path, fake: FakeWorkflow, capsys: pytest.CaptureFixture[str]
) -> None:
    fake.raised = OSError(28, "No space left on device", "image.partial")
    assert cli.main(["run", str(tmp_path)]) == 1
    err = capsys.readouterr().err
    assert "image.partial: No space left on device" in err
    assert "Free disk space" in err


def test_keyboard_interrupt(tmp_path: Path, fake: FakeWorkflow, capsys: pytest.CaptureFixture[str]) -> None:
    fake.raised = KeyboardInterrupt()
    assert cli.main(["run", str(tmp_path)]) == 130
    assert "run the same command again to resume" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        ["walk"],
        ["run", "--no-such-option"],
        ["run", ".", "--workers", "many"],
        ["run", ".", "--workers", "-1"],
        ["run", ".", "--cutout", "large"],
        ["run", ".", "--reject-by-flags", "yes"],
        ["run", ".", "--reject-flag-fraction", "1.5"],
        ["run", ".", "--reject-exclude-spw", "two"],
        ["run", "one", "two"],
    ],
)
def test_wrong_usage_is_1_because_2_means_planes(
    arguments: list[str], fake: FakeWorkflow, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(arguments) == 1
    assert "Usage:" in capsys.readouterr().err
    assert fake.calls == []


@pytest.mark.parametrize("command", ["run", "plan", "status", "verify", "weblog"])
def test_missing_directory(command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([command, str(tmp_path / "nowhere")]) == 1
    err = capsys.readouterr().err
    assert "no such directory" in err
    assert "Traceback" not in err


# ------------------------------------------------------------------------------------------------- options


def test_only_options_given_override_those_recorded(tmp_path: Path, fake: FakeWorkflow) -> None:
    recorded = RunOptions(cutout="current", reject_by_beam=True, nmajor=220)
    Workspace(tmp_path).write_options(recorded)
    cli.main(["run", str(tmp_path)])
    assert fake.options == recorded
    cli.main(["run", str(tmp_path), "--no-reject-by-beam", "--latitude", "geodetic"])
    assert fake.options == dataclasses.replace(recorded, reject_by_beam=False, latitude="geodetic")
    cli.main(["run", str(tmp_path), "--nmajor", "0", "--reject-exclude-spw", "2, 3"])
    assert fake.options == dataclasses.replace(recorded, nmajor=None, reject_exclude_spw="2,3")


def test_a_profile_sets_its_options_and_those_beside_it_override_it(
    tmp_path: Path, fake: FakeWorkflow
) -> None:
    Workspace(tmp_path).write_options(RunOptions(nmajor=220, common_beam="always"))
    cli.main(["run", str(tmp_path), "--profile", "science", "--no-w-correction"])
    assert fake.options == RunOptions(profile="science", nmajor=220, w_correction=False)
    cli.main(["run", str(tmp_path), "--profile", "archive", "--common-beam-alignment", "fourier"])
    assert fake.options == RunOptions(nmajor=220, common_beam="gated", common_beam_alignment="fourier")


def test_a_recorded_profile_is_kept(tmp_path: Path, fake: FakeWorkflow) -> None:
    recorded = RunOptions(profile="science", w_correction=False)
    Workspace(tmp_path).write_options(recorded)
    cli.main(["run", str(tmp_path), "--nmajor", "220"])
    assert fake.options == dataclasses.replace(recorded, nmajor=220)


def test_help_tells_profiles_in_a_line_each(capsys: pytest.CaptureFixture[str]) -> None:
    for command in ("run", "plan"):
        cli.main([command, "--help"])
        lines = [line.strip() for line in capsys.readouterr().out.splitlines()]
        for name, text in PROFILE_TEXTS.items():
            assert f"{name}  {text}" in lines


def test_science_with_tclean_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["run", str(tmp_path), "--profile", "science", "--engine", "casa"]) == 1
    assert "the profile 'science' needs the engine 'mosaic'" in capsys.readouterr().err


def test_first_run_has_the_defaults(tmp_path: Path, fake: FakeWorkflow) -> None:
    cli.main(["run", str(tmp_path), "--workers", "0", "--from", "hifv_pbcor", "--to", "9"])
    assert fake.options == RunOptions()
    (call,) = fake.calls
    assert call.pop("executor") is None
    assert call == {"first": "hifv_pbcor", "last": "9", "workers": 0, "steal_lock": False}


def test_lock_is_stolen_only_when_asked(tmp_path: Path, fake: FakeWorkflow) -> None:
    cli.main(["run", str(tmp_path), "--steal-lock"])
    assert fake.calls[0]["steal_lock"]


def test_run_that_will_not_fit_is_refused(
    tmp_path: Path, fake: FakeWorkflow, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shortage = Message("warning", "not enough disk space: 620 GB needed", "Free 500 GB.")
    plan = SimpleNamespace(shortages=(shortage,), warnings=(shortage,))
    monkeypatch.setattr(planning, "make_plan", lambda *args: plan)
    assert cli.main(["run", str(tmp_path)]) == 1
    assert fake.calls == []
    error = capsys.readouterr().err
    assert "not enough disk space: 620 GB needed" in error
    assert "Free 500 GB. Use --force to try anyway." in error
    # Stages before the images need little.
    assert cli.main(["run", str(tmp_path), "--to", "flag_targets_data"]) == 0
    assert cli.main(["run", str(tmp_path), "--force"]) == 0
    assert len(fake.calls) == 2
    assert "620 GB needed" in capsys.readouterr().out


def test_zero_is_a_number_where_none_is_no_value() -> None:
    options = combined_options(None, {"reject_field_count": 0, "nmajor": 0})
    assert options.reject_field_count == 0
    assert options.nmajor is None


# ------------------------------------------------------------------------------------------------ progress


def test_plain_lines_have_times_and_no_escapes(
    tmp_path: Path, fake: FakeWorkflow, capsys: pytest.CaptureFixture[str]
) -> None:
    cli.main(["run", str(tmp_path)])
    out = capsys.readouterr().out
    assert "\x1b" not in out
    lines = out.splitlines()
    assert lines[0][20:] == "   1/12 import_data: Import the measurement set"
    assert lines[1].endswith("1/12 import_data: reading (50%)")
    assert lines[2].endswith("warning: one\\x1b[31m antenna")
    assert any(line.endswith("7/12 make_images: spw2: done") for line in lines)


def test_json_lines(tmp_path: Path, fake: FakeWorkflow, capsys: pytest.CaptureFixture[str]) -> None:
    fake.planes = CubeImages((verdict("2", Outcome.IMAGED), verdict("3", Outcome.FAILED, "boom")))
    assert cli.main(["run", str(tmp_path), "--log-json"]) == 2
    captured = capsys.readouterr()
    events = [json.loads(line) for line in captured.out.splitlines()]
    assert [event["event"] for event in events][:3] == ["stage", "step", "message"]
    assert all(event["time"].endswith("Z") for event in events)
    assert events[1]["fraction"] == 0.5
    assert events[2] | {"time": ""} == {
        "event": "message",
        "time": "",
        "stage": "import_data",
        "plane": None,
        "level": "warning",
        "text": "one\x1b[31m antenna",
    }
    result = events[-1]
    assert result["event"] == "result"
    assert result["exit_status"] == 2
    assert [plane["outcome"] for plane in result["planes"]] == ["imaged", "failed"]
    assert captured.err == ""


def test_json_lines_end_with_the_error(
    tmp_path: Path, fake: FakeWorkflow, capsys: pytest.CaptureFixture[str]
) -> None:
    fake.raised = ImagingError("it broke", hint="mend it")
    assert cli.main(["run", str(tmp_path), "--log-json"]) == 1
    last = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (last["event"], last["text"], last["hint"]) == ("error", "it broke", "mend it")


def test_quiet_shows_problems_only(
    tmp_path: Path, fake: FakeWorkflow, capsys: pytest.CaptureFixture[str]
) -> None:
    fake.planes = CubeImages((verdict("2", Outcome.IMAGED), verdict("3", Outcome.FAILED, "boom")))
    cli.main(["run", str(tmp_path), "--quiet"])
    assert capsys.readouterr().out.splitlines() == [
        "warning: one\\x1b[31m antenna",
        "Failed: spw 3: boom",
    ]


def test_log_file_keeps_events(tmp_path: Path, fake: FakeWorkflow) -> None:
    cli.main(["run", str(tmp_path), "--quiet"])
    log = (tmp_path / "logs" / "vlasscube.log").read_text(encoding="utf-8")
    assert "[import_data] stage: Import the measurement set" in log
    assert "[make_images spw2] plane_done: done" in log


def test_terminal_shows_what_is_at_work_and_leaves_lines_behind() -> None:
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=True, width=100)
    with RichProgress(console) as progress:
        FakeWorkflow()(Workspace(Path()), RunOptions(), listener=progress)
        progress.close(finished=True)
    shown = stream.getvalue()
    assert "✓" in shown
    assert "spw2: done" in shown
    assert "warning: one\\x1b[31m antenna" in shown
    # The cursor is back.
    assert shown.rindex("\x1b[?25h") > shown.rindex("\x1b[?25l")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain µJy", "plain µJy"),
        ("\x1b[31mred", "\\x1b[31mred"),
        ("a\nb\r", "a\\nb\\r"),
        ("\u202eabc", "\\u202eabc"),
        ("\udc80", "\\udc80"),
    ],
)
def test_neutralise(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_numbers_for_people() -> None:
    assert [duration(s) for s in (0.42, 12, 185, 7620, 273600)] == [
        "0.4 s",
        "12 s",
        "3 min 05 s",
        "2 h 07 min",
        "3 d 04 h",
    ]
    assert [data_size(s) for s in (0, 999, 1500, 38_750_000_000, 620e9)] == [
        "0 B",
        "999 B",
        "1.5 kB",
        "38.8 GB",
        "620 GB",
    ]


# --------------------------------------------------------------------------------------- real processes

_SCRIPT = """
    import ctypes, os, sys, time
    from vlasscube import casa
    from vlasscube.cli import main, signals
    from vlasscube.run import workflow
    from vlasscube.run.workflow import Event

    def run(workspace, options, *, listener, **others):
        listener(Event("stage", "make_images", None, "at work"))
        print("noise of a library")
        os.system("echo noise of C; echo more noise >&2")
        (workspace.directory / "started").touch()
        {body}

    casa.check_installation = lambda: None
    workflow.run_workflow = run
    signals.GRACE_S = 0.5
    sys.exit(main(["run", sys.argv[1], *sys.argv[2:]]))
"""
_SLEEPING = "time.sleep(60)"
# Two locks of one mutex: C code that no signal brings back to Python.
_STUCK = "c = ctypes.CDLL(None); m = ctypes.create_string_buffer(64); [c.pthread_mutex_lock(m) for _ in '12']"


@pytest.mark.slow
@pytest.mark.parametrize("body", [_SLEEPING, _STUCK], ids=["in Python", "in C"])
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signals_end_the_run_with_a_line(tmp_path: Path, body: str, number: int, status: int) -> None:
    script = textwrap.dedent(_SCRIPT).format(body=body)
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path), "--log-json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 30
    while not (tmp_path / "started").exists() and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.05)
    time.sleep(0.2)
    process.send_signal(number)
    out, err = process.communicate(timeout=20)
    assert process.returncode == status, err
    assert err == "vlasscube: interrupted; run the same command again to resume.\n"
    events = [json.loads(line)["event"] for line in out.splitlines()]
    assert events[0] == "stage"
    noise = (tmp_path / "logs" / "output.log").read_text(encoding="utf-8")
    assert "noise of C" in noise
    assert "more noise" in noise


def test_missing_casa_is_told_within_five_seconds(tmp_path: Path) -> None:
    code = """
        import importlib.util, sys
        find = importlib.util.find_spec
        importlib.util.find_spec = lambda name, *a: None if name.startswith("casat") else find(name, *a)
        from vlasscube.cli import main
        sys.exit(main(["run", sys.argv[1]]))
    """
    started = children_processor_s()
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert children_processor_s() - started < 5
    assert done.returncode == 1
    assert "missing casatools, casatasks" in done.stderr
    assert "pip install casatools casatasks" in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", ["demo", "simulate"])
def test_missing_casa_is_told_before_a_simulation(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def missing() -> None:
        raise CasaUnavailableError("CASA cannot be used", hint="Install it.")

    monkeypatch.setattr(casa, "check_installation", missing)
    assert cli.main([command, str(tmp_path / "sim")]) == 1
    assert "Install it." in capsys.readouterr().err
    assert not (tmp_path / "sim").exists()


# ----------------------------------------------------------------------------------- the other commands


def test_status_of_a_fresh_directory(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["status", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert out.count("not run") == 12
    assert list(tmp_path.iterdir()) == []


def test_status_as_json_names_who_works_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    workspace = Workspace(tmp_path)
    with workspace.locked():
        assert cli.main(["status", str(tmp_path), "--json"]) == 0
    status = json.loads(capsys.readouterr().out)
    assert status["running"]["pid"] == os.getpid()
    assert status["stages"][0]["state"] == "running"
    cli.main(["status", str(tmp_path), "--json"])
    status = json.loads(capsys.readouterr().out)
    assert status["running"] is None
    assert status["stages"][0]["state"] == "pending"
    assert [stage["number"] for stage in status["stages"]] == list(range(1, 13))


def test_verify_without_products(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["verify", str(tmp_path)]) == 1
    assert "manifest.json" in capsys.readouterr().err


def test_plan_without_inputs_says_what_is_missing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["plan", str(tmp_path)]) == 1
    assert "no measurement set" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_presets_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["simulate", "--list-presets"]) == 0
    out = capsys.readouterr().out
    assert "tiny" in out
    assert "production" in out


@pytest.mark.parametrize(
    "arguments",
    [["--preset", "nope"], ["--spws", "a,b"], ["--imsize", "big"], ["--declination", "-80"]],
)
def test_simulation_refuses_what_it_cannot_do(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["simulate", str(tmp_path / "sim"), *arguments]) == 1
    assert "error" in capsys.readouterr().err
    assert not (tmp_path / "sim").exists()


def test_simulation_overrides_reach_the_simulator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from vlasscube.cli import simulation_command
    from vlasscube.simulation.parameters import FieldSimulation

    made: list[tuple[Path, FieldSimulation, int]] = []
    monkeypatch.setattr(
        simulation_command,
        "make_field",
        lambda directory, parameters, seed: made.append((directory, parameters, seed)),
    )
    arguments = ["--preset", "demo", "--seed", "7", "--rows", "2", "--spws", "2,3~4", "--imsize", "300x320"]
    arguments += ["--declination", "-10", "--hour-angle", "1.5", "--cell", "6", "--antennas", "12"]
    arguments += ["--fields-per-row", "3", "--channels", "5", "--configuration", "c"]
    assert cli.main(["simulate", str(tmp_path / "sim"), *arguments]) == 0
    ((directory, parameters, seed),) = made
    assert directory == tmp_path / "sim"
    assert seed == 7
    assert (parameters.rows, parameters.fields_per_row, parameters.antennas) == (2, 3, 12)
    assert (parameters.science_spws, parameters.channels) == ((2, 3, 4), 5)
    assert (parameters.dec_deg, parameters.hour_angle_h, parameters.configuration) == (-10, 1.5, "c")
    assert (parameters.imsize, parameters.cell_arcsec) == ((300, 320), 6)
    assert parameters.rfi_spws == (3, 4)
    assert parameters.cube_spws == ()


def test_demo_simulates_once_and_says_where_to_look(
    tmp_path: Path, fake: FakeWorkflow, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from vlasscube.cli import simulation_command

    def make(directory: Path, parameters: Any, seed: int) -> None:
        directory.mkdir()
        (directory / "field_split.ms").mkdir()
        (directory / "reimaging_resources.tgz").touch()

    monkeypatch.setattr(simulation_command, "make_field", make)
    assert cli.main(["demo", str(tmp_path / "demo")]) == 0
    monkeypatch.setattr(simulation_command, "make_field", None)
    assert cli.main(["demo", str(tmp_path / "demo")]) == 0
    assert str(tmp_path / "demo" / "weblog" / "index.html") in capsys.readouterr().out.splitlines()[-1]
