"""What a plan says of inputs, steps and resources."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from vlasscube import __version__, cli
from vlasscube.errors import ParameterFileError
from vlasscube.estimates import cost as estimates
from vlasscube.estimates.cost import Estimate, Resources
from vlasscube.estimates.cube_size import CubeSize, PlaneSize
from vlasscube.estimates.machine_speed import REFERENCE, MachineSpeed
from vlasscube.options import RunOptions
from vlasscube.parameters.lists import write_parameter_file
from vlasscube.processes.code_identity import CODE, code_digest
from vlasscube.recipe import EDIT_IMAGE_LIST_CONTINUUM, EDIT_IMAGE_LIST_CUBE, IMPORT_DATA, Stage
from vlasscube.records import Antenna, Field, MeasurementSetSummary, Message, Scan, SpectralWindow, StepRecord
from vlasscube.results.reading import InputSource
from vlasscube.results.types import ImportResult
from vlasscube.run import planning, preflight
from vlasscube.run.planned_steps import planned_steps, why_begun_again
from vlasscube.run.planning import Machine, fit_warnings, make_plan, plan_run
from vlasscube.run.steps import step_key
from vlasscube.run.wiring import prepare_step
from vlasscube.workspace.directory import Workspace
from vlasscube.workspace.record_json import to_plain

ROWS, CHANNELS, FIELDS = 3000, 64, 6


def summary() -> MeasurementSetSummary:
    """Six fields in two scans; four of them within the box of the image, 8 kilohertz-wide rows apart."""
    offsets = (-0.6, -0.3, 0.3, 0.6, 3.0, -3.0)
    fields = tuple(
        Field(7 + i, f"T10t02.J0050{i:02d}-023000", 12.5 + offset, -2.5, 3 + i % 2, True)
        for i, offset in enumerate(offsets)
    )
    windows = tuple(
        SpectralWindow(spw, f"EVLA_S#{spw}", 2.028e9 + 1.28e8 * (spw - 2), 1.28e8, 2e6, CHANNELS, ROWS)
        for spw in (2, 3, 4)
    )
    return MeasurementSetSummary(
        name="field_split.ms",
        telescope="EVLA",
        observer="",
        project="VLASS",
        rows=3 * ROWS,
        size_bytes=10**6,
        columns=("DATA",),
        correlations=("RR", "RL", "LR", "LL"),
        integration_s=0.45,
        start_mjd_s=5.1e9,
        end_mjd_s=5.1e9 + 900,
        spectral_windows=windows,
        spectral_window_count=18,
        fields=fields,
        antennas=tuple(Antenna(i, f"ea{i:02d}", 25.0) for i in range(10)),
        scans=(Scan(3, 5.1e9, 5.1e9 + 400, ("OBSERVE_TARGET#UNSPECIFIED",)),),
    )


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    (tmp_path / "field_split.ms").mkdir()
    common = {"phasecenter": "J2000 00:50:00.000 -02.30.00.000", "imsize": [1000, 1200], "cell": "3.0arcsec"}
    write_parameter_file(
        tmp_path / "SEIP_parameter.list",
        {
            "imagename": "VLASS2.1.se.T10t02.J005000-023000.06.2048.v1",
            "imaging_mode": "VLASS-SE-CONT-MOSAIC",
            "spw": "2,3,4",
            **common,
        },
    )
    write_parameter_file(
        tmp_path / "CCIP_parameter.list",
        {
            "imagename": "VLASS2.1.cc.T10t02.J005000-023000.06.2048.v1",
            "imaging_mode": "VLASS-SE-CUBE",
            "spw": ["2", "3,4"],
            **common,
        },
    )
    imported = ImportResult(summary(), (2, 3, 4))
    for module in (planning, preflight):
        monkeypatch.setattr(module, "read_measurement_set", lambda path: imported)
    # Archives are another matter: see test_preflight.
    monkeypatch.setattr(preflight._Preflight, "_resources", lambda *arguments: None)
    monkeypatch.setattr(planning, "measure_speed", lambda cores: REFERENCE)
    return Workspace(tmp_path)


def listing(directory: Path) -> set[str]:
    return {str(path.relative_to(directory)) for path in directory.rglob("*")}


def rewrite(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


def test_plan_of_a_users_own_names(workspace: Workspace) -> None:
    cube, continuum = workspace.ccip_parameter_file, workspace.seip_parameter_file
    rewrite(cube, "VLASS2.1.cc.T10t02.J005000-023000.06.2048.v1", "Coarse_Test.spw3.IQUV")
    rewrite(continuum, "VLASS2.1.se.T10t02.J005000-023000.06.2048.v1", "VLASS2.1.se.T10t2.J005000-023000")
    rewrite(cube, "J2000 00:50:00.000 -02.30.00.000", "12.5deg -2.5deg")
    plan = make_plan(workspace, RunOptions(), workers=1)
    assert plan.image_name == "Coarse_Test.spw3.IQUV"
    assert plan.phasecenter == "J2000 00:50:00.000 -02.30.00.0000"
    assert (plan.fields, plan.scans) == (4, 2)
    texts = [message.text for message in plan.warnings]
    assert any("nearest official name is 'VLASS2.1.se.T10t02.J005000-023000'" in text for text in texts)
    assert any("'12.5deg -2.5deg' has no frame; J2000 is assumed" in text for text in texts)
    (workspace.directory / "vlasscube.toml").write_text('tile = "T10t02"\n', encoding="utf-8")
    assert make_plan(workspace, RunOptions(), workers=1).planes == plan.planes
    (workspace.directory / "vlasscube.toml").write_text('tiel = "T10t02"\n', encoding="utf-8")
    _, inputs = plan_run(workspace, RunOptions(), workers=1)
    with pytest.raises(ParameterFileError, match="unknown key 'tiel'; did you mean 'tile'"):
        inputs.require_usable()


def test_plan_from_the_inputs_alone(workspace: Workspace) -> None:
    before = listing(workspace.directory)
    plan = make_plan(workspace, RunOptions(), workers=1)
    assert listing(workspace.directory) == before
    assert plan.image_name == "VLASS2.1.cc.T10t02.J005000-023000.06.2048.v1"
    assert not plan.from_records
    assert (plan.fields, plan.scans) == (4, 2)
    assert (plan.nx, plan.ny, plan.cell_arcsec) == (1000, 1200, 3.0)
    assert [(p.spw, p.label) for p in plan.planes] == [("2", "spw2"), ("3,4", "spw3_4")]
    assert [p.frequency_hz for p in plan.planes] == pytest.approx([2.028e9, 2.22e9])
    # Four of six fields; the second plane has two spectral windows.
    assert [p.visibilities for p in plan.planes] == [ROWS * CHANNELS * 4 // 6, 2 * ROWS * CHANNELS * 4 // 6]
    assert plan.visibilities == 3 * ROWS * CHANNELS * 4 // 6
    assert plan.estimate.images_bytes == 2 * (15 * 1000 * 1200 * 16 + 2 * 1000 * 1200 * 4)
    assert plan.estimate.workers == 1
    assert plan.remaining_seconds == plan.estimate.seconds
    assert [step.action for step in plan.steps] == ["run"] * 12
    assert {step.reason for step in plan.steps} == {"not yet run"}


def test_a_continuum_run_with_a_projection_is_refused_by_the_plan(
    workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before anything is done, with what it would take; and no product of the wrong model is offered."""
    path = workspace.seip_parameter_file
    rewrite(path, "VLASS-SE-CONT-MOSAIC", "VLASS-SE-CONT-AWP-P032")
    with path.open("a") as stream:
        stream.write("gridder='awproject'\nwprojplanes=32\n")
    assert cli.main(["plan", str(workspace.directory)]) == 1
    shown = " ".join(capsys.readouterr().err.split())
    assert "SEIP_parameter.list:2: imaging_mode 'VLASS-SE-CONT-AWP-P032': continuum runs" in shown
    for words in ("A-projection", "VLASS-SE-CONT-MOSAIC", "reimaging_resources.tgz", "awproject", "cfcache"):
        assert words in shown
    assert "gridder" not in shown.split("imaging_mode")[0]


def test_what_has_no_effect_in_a_list_is_warned_of(
    workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    with workspace.ccip_parameter_file.open("a") as stream:
        stream.write("wprojplanes=32\n")
    with workspace.seip_parameter_file.open("a") as stream:
        stream.write("nchan=5\n")
    assert cli.main(["plan", str(workspace.directory), "--workers", "1"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "CCIP_parameter.list:7: wprojplanes has no effect" in shown
    assert "SEIP_parameter.list:7: nchan has no effect" in shown


def test_warnings_of_lists_that_were_read_are_those_of_their_records(workspace: Workspace) -> None:
    message = Message("warning", "CCIP_parameter.list:6: wprojplanes has no effect")
    record_import(workspace, "key", stage="edit_image_list_cube", messages=(message,))
    found = planning._recorded_messages(workspace, EDIT_IMAGE_LIST_CONTINUUM, EDIT_IMAGE_LIST_CUBE)
    assert found == (message,)


def test_plan_is_printed_and_json(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    directory = str(workspace.directory)
    assert cli.main(["plan", directory, "--workers", "1"]) == 0
    out = capsys.readouterr().out
    assert "4 fields in 2 scans" in out
    assert "1000 × 1200 pixels of 3″" in out
    assert "3,4" in out
    assert cli.main(["plan", directory, "--json"]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert plan["planes"][1]["spw"] == "3,4"
    # 68 bytes a pixel and 74 a visibility; its cutout, the whole image, needs 76 a pixel.
    visibilities = plan["planes"][1]["visibilities"]
    imaging = 68 * 1000 * 1200 + 74 * visibilities
    assert plan["estimate"]["worker_memory_bytes"] == 430_000_000 + max(imaging, 76 * 1000 * 1200)


def test_the_profile_is_shown(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    directory = str(workspace.directory)
    memory = []
    for arguments, text in (
        ([], "Profile archive (gridding casa, w_correction off, "),
        (
            ["--profile", "science", "--common-beam", "gated"],
            "Profile science with changes: common_beam gated (gridding exact, w_correction on, ",
        ),
    ):
        assert cli.main(["plan", directory, "-j", "1", *arguments]) == 0
        assert text in " ".join(capsys.readouterr().out.split())
        assert cli.main(["plan", directory, "-j", "1", "--json", *arguments]) == 0
        plan = json.loads(capsys.readouterr().out)
        assert plan["profile"] == text.partition(" (")[0].removeprefix("Profile ")
        memory.append(plan["estimate"]["worker_memory_bytes"])
    assert memory[1] > memory[0]


def test_options_on_the_command_line_count(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    costs = []
    for arguments in ([], ["--nmajor", "3"], ["--nmajor", "4"]):
        cli.main(["plan", str(workspace.directory), "--json", "-j", "1", *arguments])
        costs.append(json.loads(capsys.readouterr().out)["estimate"]["plane_seconds"])
    # 1 + 23 + 12 + 3 cycles, 1 + 3 + 3 + 3, 1 + 4 + 4 + 3.
    assert (costs[0] - costs[1]) / 29 == pytest.approx((costs[2] - costs[1]) / 2)
    assert costs[0] > costs[1]


def test_as_many_workers_as_memory_allows(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that is not told how many takes so many, and is not refused for more."""
    monkeypatch.setattr(planning, "look_at_machine", lambda workspace: Machine(8, 10**9, 10**12, 0))
    plan = make_plan(workspace, RunOptions())
    assert plan.estimate.workers == 1
    assert not any("memory" in message.text for message in plan.shortages)
    asked_for = make_plan(workspace, RunOptions(), 2)
    assert asked_for.estimate.workers == 2
    assert any("memory" in message.text for message in asked_for.shortages)
    monkeypatch.setattr(planning, "look_at_machine", lambda workspace: Machine(8, 10**11, 10**12, 0))
    assert make_plan(workspace, RunOptions()).estimate.workers == 2


def test_a_slow_machine_takes_longer(workspace: Workspace) -> None:
    times = [
        make_plan(workspace, RunOptions(), 1, MachineSpeed(speed, speed)).remaining_seconds
        for speed in (1.0, 0.25)
    ]
    assert times[1] == pytest.approx(4 * times[0])


def test_finished_planes_tell_of_the_others(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    size = CubeSize(512, 512, 3.0, 512, 512, (PlaneSize(10**6, 3e9),), 10**5, 10**7, 2)
    resources = Resources(1, 1)
    # The clean of the plane c diverged: it tells nothing.
    cycles = {"a": (1, 10, 4, 2), "b": (1, 20, 8, 0), "c": (1, 99, 0, 0)}
    expected = {
        label: estimates.plane_stages(
            size, size.planes[0], 1, resources, estimates.Pace(tuple(map(float, own))), "mosaic"
        )[0].seconds
        for label, own in cycles.items()
    }

    def images(workspace: Workspace, stage: Stage[object], label: str) -> SimpleNamespace:
        # Each iteration took a quarter of one and a half of the time that was expected.
        seconds = 1.5 * expected[label] / 4
        iterations = [SimpleNamespace(major_cycles=count, seconds=seconds) for count in cycles[label]]
        if label == "c":
            return SimpleNamespace(iterations=iterations[:1], diverged=iterations[1])
        return SimpleNamespace(iterations=iterations, diverged=None)

    monkeypatch.setattr(planning, "read_result", images)
    pace = planning._pace(workspace, lambda labels: size, ["a", "c", "b"], resources, "mosaic")
    assert pace.major_cycles == (1.0, 15.0, 6.0, 1.0)
    assert pace.slowness == pytest.approx(1.5)
    assert pace.planes == 2
    assert planning._pace(workspace, lambda labels: size, [], resources, "mosaic") == estimates.ASSUMED


def test_a_bad_parameter_list_is_told(workspace: Workspace) -> None:
    workspace.ccip_parameter_file.write_text("imagename='x'\nspw=['2~4']\n", encoding="utf-8")
    with pytest.raises(ParameterFileError):
        make_plan(workspace, RunOptions())


def record_import(workspace: Workspace, key: str, **changes: object) -> None:
    record = StepRecord(
        stage="import_data",
        plane=None,
        key=key,
        status="done",
        started="",
        finished="",
        seconds=1.0,
        inputs={"ms": "field_split.ms", "digest": "old"},
        result=to_plain(ImportResult(summary(), (2, 3, 4))),
    )
    workspace.write_record(replace(record, **changes))  # type: ignore[arg-type]


def current_import_key(workspace: Workspace) -> str:
    return step_key("import_data", prepare_step(IMPORT_DATA, InputSource(workspace, RunOptions())).inputs)


def test_steps_that_are_done_are_skipped(workspace: Workspace) -> None:
    record_import(workspace, current_import_key(workspace))
    first, second, *_ = planned_steps(workspace, RunOptions())
    assert (first.action, first.reason) == ("skip", "done")
    assert (second.action, second.reason) == ("run", "not yet run")


def test_reasons_to_do_a_step_again(workspace: Workspace) -> None:
    def reason() -> str:
        step = planned_steps(workspace, RunOptions())[0]
        assert step.action == "run"
        return step.reason

    record_import(workspace, "other key")
    assert reason() == "changed: the input file"
    record_import(workspace, "other key", versions={"vlasscube": "0.0.1"})
    assert reason().startswith("changed: code version 0.0.1 → ")
    record_import(workspace, "other key", versions={"vlasscube": __version__, CODE: "0123"})
    assert reason() == f"changed: the code (same version, {__version__}), the input file"
    record_import(workspace, "other key", versions={"vlasscube": __version__, CODE: code_digest()})
    assert reason() == "changed: the input file"
    record_import(workspace, current_import_key(workspace), status="failed")
    assert reason() == "failed before"
    workspace.record_path("import_data").write_text("{", encoding="utf-8")
    assert reason() == "its record is damaged"


def test_what_follows_a_changed_step_may_be_done_again(workspace: Workspace) -> None:
    record_import(workspace, "other key")
    record_import(workspace, "some key", stage="edit_image_list_continuum")
    second = planned_steps(workspace, RunOptions())[1]
    assert (second.action, second.reason) == ("perhaps", "done; again if stage 1 gives a different result")


def test_after_an_upgrade_everything_is_done_again_and_says_so(workspace: Workspace) -> None:
    before = {"vlasscube": "0.0.1"}
    record_import(workspace, "other key", versions=before)
    record_import(workspace, "some key", stage="edit_image_list_continuum", versions=before)
    record_import(workspace, "some key", stage="pbcor", plane="spw2", versions=before)
    steps = {step.name: step for step in planned_steps(workspace, RunOptions())}
    for name in ("edit_image_list_continuum", "pbcor"):
        assert steps[name].action == "run"
        assert steps[name].reason == f"changed: code version 0.0.1 → {__version__}"
    told = why_begun_again(workspace, RunOptions())
    assert told.startswith(
        "stage 1 (import_data) and all that depend on it are done again; changed: code version"
    )
    record_import(workspace, current_import_key(workspace))
    workspace.remove_record("edit_image_list_continuum")
    assert why_begun_again(workspace, RunOptions()) == ""


# ------------------------------------------------------------------------------------------------ fitting

COST = Estimate(
    ms_bytes=10**9,
    images_bytes=80 * 10**9,
    cutouts_bytes=8 * 10**9,
    products_bytes=4 * 10**9,
    weblog_bytes=0,
    transient_bytes=60 * 10**9,
    worker_memory_bytes=55 * 10**9,
    leader_memory_bytes=10**9,
    workers=2,
    plane_seconds=1.0,
    seconds=2.0,
    stages=(),
)


def machine(memory_gb: float, free_gb: float, used_gb: float = 0.0) -> Machine:
    return Machine(4, int(memory_gb * 1e9), int(free_gb * 1e9), int(used_gb * 1e9))


def test_no_warning_when_it_fits() -> None:
    assert fit_warnings(COST, 2, machine(128, 200)) == ()
    assert fit_warnings(COST, 2, machine(128, 100, used_gb=60)) == ()


def test_disk_that_will_not_suffice() -> None:
    (warning,) = fit_warnings(COST, 2, machine(128, 100))
    assert warning.text == "not enough disk space: 153 GB needed in total, 0 B already used, 100 GB free"
    assert "Free 53.0 GB" in warning.hint


def test_memory_that_will_not_suffice() -> None:
    (fewer,) = fit_warnings(COST, 2, machine(100, 200))
    # Libraries are counted once.
    assert fewer.text == "not enough memory: 110 GB needed for 2 × 55.0 GB, 100 GB available"
    assert fewer.hint == "Use --workers 1."
    (none,) = fit_warnings(COST, 2, machine(32, 200))
    assert "Not even one plane fits" in none.hint


def test_it_is_said_what_limits_memory() -> None:
    limited = replace(machine(100, 200), memory_limit="limit of the cgroup /job_1")
    (warning,) = fit_warnings(COST, 2, limited)
    assert warning.text.endswith("100 GB available (limit of the cgroup /job_1)")


def test_the_limit_of_each_process_is_not_shared_among_them() -> None:
    for limit_gb, count in ((60, 0), (50, 1)):
        own = replace(
            machine(128, 200),
            process_memory_bytes=limit_gb * 10**9,
            process_memory_limit="limit of ulimit -v",
        )
        found = fit_warnings(COST, 2, own)
        assert len(found) == count
        for warning in found:
            assert (
                "55.0 GB needed for one plane, 50.0 GB allowed to one process (limit of ulimit -v)"
                in warning.text
            )


def test_nothing_to_image_needs_no_room() -> None:
    assert fit_warnings(COST, 0, machine(1, 1)) == ()
