"""Every requested plane ends in exactly one outcome."""

from dataclasses import replace

import pytest

from vlasscube.clean_terms import PrimaryBeamMask, StopCode
from vlasscube.imaging.clean_sequence import CleanParameters
from vlasscube.options import RunOptions
from vlasscube.parameters.lists import ImageListParameters
from vlasscube.records import (
    Beam,
    DataSelection,
    FlagCount,
    ImageGeometry,
    Iteration,
    IterationStatistics,
    Outcome,
    PlaneImages,
    PlaneTarget,
)
from vlasscube.results.types import CubePlan
from vlasscube.stages.context import StageContext
from vlasscube.stages.make_images import GatherInputs, gather_planes
from vlasscube.workspace.directory import Workspace

GEOMETRY = ImageGeometry(100, 100, 1.0, "J2000 10:00:00.000 +34.00.00.0000")


def target(spw, outcome=None, reason="", flagged=100, elsewhere=None):
    return PlaneTarget(
        spw=str(spw),
        spw_ids=(spw,),
        label=f"spw{spw}",
        image_root=f"s7_0.N.spw{spw}.IQUV",
        reffreq_hz=2.028e9 + 128e6 * (spw - 2),
        selection=DataSelection("", "", "", "", "", ""),
        nominal_bandwidth_hz=128e6,
        flags=FlagCount(flagged if elsewhere is None else elsewhere, 1000),
        box_flags=FlagCount(flagged, 1000),
        fields_above_threshold=0,
        outcome=outcome,
        reason=reason,
    )


def images(plane, scale=1.0):
    statistics = IterationStatistics(0.1, 0.01, 1.0, -0.1, 2e-4, 1.0, 0.0, 1.0)
    last = Iteration(
        number=3,
        mask=PrimaryBeamMask(),
        nsigma=4.5,
        iterations_done=10,
        major_cycles=2,
        stop_code=StopCode.NOISE_THRESHOLD,
        cycles={},
        statistics={"I": statistics},
        call="tclean()",
        seconds=60.0,
        files=(),
    )
    size = 30.0 * 2.028e9 / plane.reffreq_hz
    beam = Beam(size * scale, 0.9 * size, 0.0)
    return PlaneImages(plane, "casa", (last,), beam, plane.reffreq_hz, 128e6, 128e6)


@pytest.fixture
def gather(tmp_path):
    def run(targets, failed=(), scales=None, diverged=(), **options):
        plan = CubePlan(
            "N",
            GEOMETRY,
            (),
            (),
            1000.0,
            tuple(targets),
            CleanParameters(GEOMETRY, (PrimaryBeamMask(),)),
            {},
            (),
            0.9,
            12,
            ImageListParameters("N", GEOMETRY.phasecenter, "VLASS-SE-CUBE"),
        )
        done = {
            t.label: images(t, (scales or {}).get(t.label, 1.0))
            for t in targets
            if t.label not in failed and (t.outcome is None or t.outcome.has_images)
        }
        for label in diverged:
            last = done[label].last
            further = replace(last, number=4, stop_code=StopCode.GREW_SINCE_LAST, seconds=10.0)
            done[label] = replace(done[label], diverged=further)
        failures = dict.fromkeys(failed, "make_images: it broke")
        run.context = StageContext(Workspace(tmp_path), "gather_planes")
        return gather_planes(GatherInputs(plan, done, failures, RunOptions(**options)), run.context)

    return run


def test_totals_add_up_to_what_was_requested(gather):
    targets = [target(n) for n in range(2, 15)]
    targets += [target(15, Outcome.FLAGGED, "all"), target(16, Outcome.EMPTY, "none"), target(17)]
    result = gather(targets, failed=["spw17", "spw3"])
    assert [p.label for p in result.planes] == [t.label for t in targets]
    counts = {o: sum(p.outcome is o for p in result.planes) for o in Outcome}
    assert counts == {
        Outcome.IMAGED: 12,
        Outcome.REJECTED: 0,
        Outcome.FLAGGED: 1,
        Outcome.EMPTY: 1,
        Outcome.FAILED: 2,
    }
    assert result.plane("spw3").reason == "make_images: it broke"
    assert result.plane("spw3").beam is None
    assert result.plane("spw2").rms_jy == 2e-4
    assert result.plane("spw2").stop == "[8] n-sigma or another criterion"


def test_the_beam_rule_is_an_option(gather):
    targets = [target(n) for n in range(2, 7)]
    scales = {"spw6": 1.3}
    assert gather(targets, scales=scales).plane("spw6").outcome is Outcome.IMAGED
    judged = gather(targets, scales=scales, reject_by_beam=True)
    assert {p.label: p.outcome for p in judged.planes if p.outcome is not Outcome.IMAGED} == {
        "spw6": Outcome.REJECTED
    }
    assert "major" in judged.plane("spw6").reason
    spared = gather(targets, scales=scales, reject_by_beam=True, reject_exclude_spw="6")
    assert spared.plane("spw6").outcome is Outcome.IMAGED
    assert sum(p.is_reference for p in judged.planes) == 1


def test_rejection_by_flags_stays_with_the_imaged_plane(gather):
    targets = [target(2, Outcome.REJECTED, "12 fields"), target(3)]
    result = gather(targets)
    assert result.plane("spw2").outcome is Outcome.REJECTED
    assert result.plane("spw2").beam is not None
    assert result.plane("spw2").reason == "12 fields"
    assert any("spw 2 is rejected" in m.text for m in gather.context.messages)


def test_a_rejected_plane_that_failed_is_failed(gather):
    result = gather([target(2, Outcome.REJECTED, "12 fields"), target(3)], failed=["spw2"])
    assert result.plane("spw2").outcome is Outcome.FAILED


def test_all_planes_failing_is_no_crash(gather):
    result = gather([target(2), target(3)], failed=["spw2", "spw3"], reject_by_beam=True)
    assert {p.outcome for p in result.planes} == {Outcome.FAILED}
    assert result.with_images == ()


def test_verdicts_are_by_the_flags_of_the_central_square_degree(gather):
    targets = [target(n, flagged=100, elsewhere=950) for n in range(2, 6)]
    targets.append(target(6, flagged=950, elsewhere=100))
    judged = gather(targets, reject_by_beam=True)
    assert [p.flagged_fraction for p in judged.planes] == [0.1, 0.1, 0.1, 0.1, 0.95]
    assert [p.outcome for p in judged.planes] == [Outcome.IMAGED] * 4 + [Outcome.REJECTED]


@pytest.mark.parametrize("target_outcome", [None, Outcome.REJECTED])
def test_a_plane_that_diverged_is_rejected(gather, target_outcome):
    targets = [target(2, target_outcome, "12 fields" if target_outcome else ""), target(3)]
    result = gather(targets, diverged=["spw2"])
    plane = result.plane("spw2")
    assert plane.outcome is Outcome.REJECTED
    assert plane.reason.startswith(
        "12 fields; the clean" if target_outcome else "the clean of iter4 diverged ([5]"
    )
    assert plane.reason.endswith("the images are those of iter3")
    assert plane.stop == StopCode.GREW_SINCE_LAST.text
    assert plane.seconds == 70.0
    assert result.plane("spw3").outcome is Outcome.IMAGED
    assert any("spw 2 is rejected" in m.text for m in gather.context.messages)


def test_the_time_of_a_plane_is_that_of_its_iterations(gather):
    result = gather([target(2), target(3, Outcome.EMPTY, "none")])
    assert [p.seconds for p in result.planes] == [60.0, 0.0]
