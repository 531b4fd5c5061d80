"""From parameter lists to planes: outcomes, precedence, refusals; without CASA."""

from dataclasses import replace
from pathlib import Path

import pytest

from vlasscube.clean_terms import ImageMask, PrimaryBeamMask
from vlasscube.errors import MeasurementSetError, ParameterFileError
from vlasscube.imaging.clean_sequence import iteration_sequence, tclean_arguments
from vlasscube.imaging.imager_inputs import clean_control, imager_settings
from vlasscube.naming import format_field_name
from vlasscube.options import RunOptions
from vlasscube.parameters.key_uses import KEY_USES, Used
from vlasscube.parameters.lists import write_parameter_file
from vlasscube.records import (
    Antenna,
    Field,
    FieldFlags,
    FlagCount,
    MeasurementSetSummary,
    Outcome,
    Scan,
    SpectralWindow,
)
from vlasscube.resources.archive import ResourceReport
from vlasscube.results.types import FlagResult, ImportResult, RestoreResult
from vlasscube.stages.context import StageContext
from vlasscube.stages.edit_image_list_continuum import ContinuumListInputs, edit_image_list_continuum
from vlasscube.stages.edit_image_list_cube import CubeListInputs, edit_image_list_cube
from vlasscube.stages.restore_pims import prediction_arguments
from vlasscube.workspace.directory import Workspace

RA, DEC = 150.0, 34.0
SPWS = (2, 3, 4)


def field(number, offset_arcmin):
    ra = RA + offset_arcmin / 60 / 0.829
    return Field(number, format_field_name(ra, DEC), ra, DEC, 346, True)


FIELDS = (*(field(n, 2.0 * n) for n in range(14)), field(20, 40.0), field(30, 60.0))
"""Fourteen in the central square degree, one outside of it but within the search radius, one beyond."""

SUMMARY = MeasurementSetSummary(
    name="a.ms",
    telescope="EVLA",
    observer="o",
    project="p",
    rows=100,
    size_bytes=1,
    columns=("DATA",),
    correlations=("RR", "RL", "LR", "LL"),
    integration_s=0.45,
    start_mjd_s=5e9,
    end_mjd_s=5e9 + 100,
    spectral_windows=tuple(
        SpectralWindow(n, f"EVLA_S#A0C0#{n}", 2.028e9 + 128e6 * (n - 2), 128e6, 2e6, 64, 100) for n in SPWS
    ),
    spectral_window_count=18,
    fields=FIELDS,
    antennas=tuple(Antenna(n, f"ea{n:02d}", 25.0) for n in range(3)),
    scans=(Scan(346, 5e9, 5e9 + 100, ("OBSERVE_TARGET#UNSPECIFIED",)),),
)
IMPORTED = ImportResult(SUMMARY, SPWS)
RESTORED = RestoreResult(
    ResourceReport("a.tgz", "a.ms", "n", ()), "tier1.mask", "tier2.mask", (), "t", "", {}
)
LIST = {
    "imagename": "VLASS2.1.cc.T10t02.J100000+340000.06.2048.v1",
    "phasecenter": "J2000 10:00:00.000 +34.00.00.0000",
    "imaging_mode": "VLASS-SE-CUBE",
    "spw": ["2", "3", "4"],
}


def flags(fraction_by_spw, fields=FIELDS):
    def counts(f):
        return {
            spw: FlagCount(round(1000 * (value(f) if callable(value) else value)), 1000)
            for spw, value in fraction_by_spw.items()
        }

    return FlagResult(
        "", (), {}, tuple(FieldFlags(f.id, f.name, 346, counts(f)) for f in fields), dict.fromkeys(SPWS, 60)
    )


@pytest.fixture
def plan(tmp_path):
    workspace = Workspace(tmp_path)

    def make(flag_result=None, options=None, **changes):
        write_parameter_file(tmp_path / "CCIP_parameter.list", LIST | changes)
        make.context = StageContext(workspace, "edit_image_list_cube")
        inputs = CubeListInputs(
            "CCIP_parameter.list",
            "",
            IMPORTED,
            RESTORED,
            flag_result or flags(dict.fromkeys(SPWS, 0.1)),
            options or RunOptions(),
            (),
        )
        return edit_image_list_cube(inputs, make.context)

    return make


def outcomes(result):
    return {target.label: target.outcome for target in result.targets}


def test_one_target_for_each_group(plan):
    result = plan(spw=["2", "3,4"])
    assert [t.label for t in result.targets] == ["spw2", "spw3_4"]
    group = result.targets[1]
    assert group.image_root == f"s7_0.{LIST['imagename']}.spw3_4.IQUV"
    assert group.reffreq_hz == pytest.approx(2.22e9)
    assert group.nominal_bandwidth_hz == 256e6
    assert result.unflagged_bandwidth_hz["spw3_4"] == 2 * 60 * 2e6
    assert group.selection.spw == "3,4"
    assert group.selection.antenna == "0,1,2&"
    assert group.selection.uvrange == "<12km"


def test_fields_within_the_search_radius_are_imaged(plan):
    result = plan()
    assert result.field_ids == (*range(14), 20)
    assert result.box_field_ids == tuple(range(14))
    assert 20 not in plan(search_radius_arcsec=100.0).field_ids
    assert plan(field=[3, 5]).field_ids == (3, 5)
    with pytest.raises(MeasurementSetError, match="99"):
        plan(field=[3, 99])


def test_completely_flagged_groups_are_left_out_with_a_warning(plan):
    result = plan(flags({2: 1.0, 3: 0.999, 4: 0.0}))
    assert outcomes(result) == {"spw2": Outcome.FLAGGED, "spw3": None, "spw4": None}
    assert [m.level for m in plan.context.messages] == ["warning"]
    assert "spw 2" in plan.context.messages[0].text
    assert outcomes(plan(flags({2: 1.0, 3: 0.5, 4: 0.0}), spw=["2,3"])) == {"spw2_3": None}


def test_region_of_the_flag_rule_is_an_option(plan):
    """Flagged in the central square degree, but not outside of it."""
    box_only = flags({2: lambda f: 1.0 if f.id < 14 else 0.0, 3: 0.0, 4: 0.0})
    assert outcomes(plan(box_only))["spw2"] is None
    assert outcomes(plan(box_only, RunOptions(flag_region="box")))["spw2"] is Outcome.FLAGGED


def test_no_data_in_the_box_is_empty(plan):
    result = plan(flags({2: 0.0}, FIELDS[14:]), spw=["2"])
    assert outcomes(result) == {"spw2": Outcome.EMPTY}


@pytest.mark.parametrize(("heavy", "rejected"), [(11, False), (12, True)])
def test_rejection_by_flags_is_an_option(plan, heavy, rejected):
    """Twelve fields above 90 % reject a plane: it is imaged and marked, or not imaged as in production."""
    flagged = flags({2: lambda f: 0.95 if f.id < heavy else 0.0, 3: 0.0, 4: 0.0})
    assert outcomes(plan(flagged))["spw2"] is None
    marked = plan(flagged, RunOptions(reject_by_flags="mark")).target("spw2")
    assert marked.outcome is (Outcome.REJECTED if rejected else None)
    assert marked.fields_above_threshold == heavy
    skipped = plan(flagged, RunOptions(reject_by_flags="skip")).target("spw2")
    assert skipped.outcome is (Outcome.FLAGGED if rejected else None)
    assert skipped.reason == (
        "12 fields of the central square degree are flagged above 90%: not imaged" if rejected else ""
    )
    for what in ("mark", "skip"):
        spared = plan(flagged, RunOptions(reject_by_flags=what, reject_exclude_spw="2"))
        assert outcomes(spared)["spw2"] is None


@pytest.mark.parametrize(
    ("option", "outcome"), [("off", Outcome.FLAGGED), ("mark", Outcome.REJECTED), ("skip", Outcome.FLAGGED)]
)
def test_rejection_by_the_list_is_productions_unless_planes_are_to_be_marked(plan, option, outcome):
    flagged = flags({2: lambda f: 0.95 if f.id < 12 else 0.0, 3: 0.0, 4: 0.0})
    options = RunOptions(reject_by_flags=option)
    assert outcomes(plan(flagged, options, vlass_plane_reject_ms=True))["spw2"] is outcome
    assert outcomes(plan(flagged, options, vlass_plane_reject_ms=False))["spw2"] is None


def test_what_the_list_says_takes_precedence(plan):
    assert plan().clean.masks == (ImageMask("tier1.mask"), ImageMask("tier2.mask"), PrimaryBeamMask())
    given = plan(
        nsigma=5.0,
        niter=100,
        robust=0.5,
        mask=["tier1.mask", "pb"],
        nmajor=30,
        pbmask=0.3,
    ).clean
    assert (given.nsigma, given.niter, given.robust, given.nmajor, given.pbmask) == (5.0, 100, 0.5, 30, 0.3)
    assert given.masks == (ImageMask("tier1.mask"), PrimaryBeamMask())
    assert plan(options=RunOptions(nmajor=220)).clean.nmajor == 220
    assert plan(options=RunOptions(nmajor=220), nmajor=7).clean.nmajor == 7


@pytest.mark.parametrize("options", [dict(profile="science"), dict(first_mask="tier2")])
def test_the_first_clean_may_take_the_mask_of_all_sources(plan, options):
    masks = plan(options=RunOptions(**options)).clean.masks
    assert masks == (ImageMask("tier2.mask"), ImageMask("tier2.mask"), PrimaryBeamMask())


def test_cutouts_drive_fields_and_image_size(plan):
    result = plan(cutout_imsize=[1200, 1200], cell=["1.0arcsec"])
    assert result.geometry.nx > 1200
    assert set(result.field_ids) == set(range(5))


@pytest.mark.parametrize(
    "wrong", [{"stokes": "I"}, {"gridder": "awproject"}, {"nterms": 2}, {"spw": ["2", "9"]}]
)
def test_what_a_coarse_cube_is_not_is_refused(plan, wrong):
    with pytest.raises(ParameterFileError) as caught:
        plan(**wrong)
    assert next(iter(wrong)) in str(caught.value)


def test_the_continuum_list_is_not_taken_for_the_cubes(plan):
    with pytest.raises(ParameterFileError, match="imaging_mode"):
        plan(imaging_mode="VLASS-SE-CONT-MOSAIC", spw="2,3")


@pytest.fixture
def continuum(tmp_path):
    def make(**changes):
        values = LIST | {
            "imagename": "VLASS2.1.se.T10t02.J100000+340000.06.2048.v1",
            "imaging_mode": "VLASS-SE-CONT-MOSAIC",
            "spw": "2,3,4",
        }
        write_parameter_file(tmp_path / "SEIP_parameter.list", values | changes)
        make.context = StageContext(Workspace(tmp_path), "x")
        return edit_image_list_continuum(
            ContinuumListInputs("SEIP_parameter.list", "", IMPORTED, ()), make.context
        )

    return make


def test_continuum_target_has_production_values(continuum):
    target = continuum()
    assert (target.geometry.nx, target.geometry.cell_arcsec) == (12500, 0.6)
    assert (target.robust, target.uvtaper, target.nterms) == (-2.0, ("2.6476arcsec",), 2)
    assert (target.reffreq, target.pblimit) == ("3.0GHz", 0.1)
    assert target.selection.spw == "2,3,4"


# ------------------------------------------------------------------------------- every used key is used

ANOTHER = {
    "imagename": "VLASS2.1.cc.T10t03.J100000+340000.06.2048.v1",
    "phasecenter": "J2000 10:00:01.000 +34.00.00.0000",
    "spw": ["2", "3"],
    "imsize": [1000, 2000],
    "cell": ["0.5arcsec"],
    "search_radius_arcsec": 100.0,
    "field": [1, 2],
    "robust": 0.25,
    "uvrange": "<10km",
    "uvtaper": ["3.5arcsec"],
    "pblimit": 0.3,
    "cutout_imsize": [1200, 1200],
    "niter": 77,
    "threshold": "3mJy",
    "nsigma": 6.0,
    "cyclefactor": 1.5,
    "cycleniter": 321,
    "cycleniter_final_image_nomask": 123,
    "nmajor": 12,
    "scales": [0, 7],
    "mask": ["tier1.mask", "pb"],
    "pbmask": 0.25,
    "vlass_plane_reject_ms": {"nfield_thresh": 5},
    "nterms": 1,
    "reffreq": "2.5GHz",
}
"""For each used key of either list a value that is not the default."""


def used_keys(kind):
    return [key for key, use in KEY_USES[kind].items() if isinstance(use, Used)]


def cube_requests(plan):
    """What is asked of tclean, and of our own engine, for all planes and iterations."""
    steps = iteration_sequence(plan.clean)
    of_tclean = [
        tclean_arguments("a.ms", t.selection, t.reffreq_hz, t.image_root, plan.clean, step)
        for t in plan.targets
        for step in steps
    ]
    settings = imager_settings(plan.clean, 1)
    return of_tclean, [(settings, step.mask, clean_control(plan.clean, step)) for step in steps]


@pytest.mark.parametrize("key", used_keys("cube"))
def test_each_used_key_of_the_cubes_list_changes_what_is_asked_of_the_engine(plan, key):
    before, after = plan(), plan(**{key: ANOTHER[key]})
    assert plan.context.messages == []
    assert replace(after, parameters=before.parameters) != before
    tclean_before, own_before = cube_requests(before)
    tclean_after, own_after = cube_requests(after)
    # Rules about planes do not change their images.
    assert (tclean_before != tclean_after) == (key != "vlass_plane_reject_ms")
    cleaning = {"robust", "uvtaper", "pblimit", "niter", "threshold", "nsigma", "cyclefactor", "cycleniter"}
    cleaning |= {"cycleniter_final_image_nomask", "nmajor", "scales", "mask", "pbmask"}
    assert (own_before != own_after) == (key in cleaning)


@pytest.mark.parametrize("key", used_keys("continuum"))
def test_each_used_key_of_the_continuum_list_changes_how_the_model_is_predicted(continuum, key):
    def request(target):
        return prediction_arguments(Path("a.ms"), Path(target.image_name), target)

    value = {"spw": "2,3", "imagename": ANOTHER["imagename"].replace(".cc.", ".se.")}.get(key, ANOTHER[key])
    before, after = continuum(), continuum(**{key: value})
    assert continuum.context.messages == []
    assert request(before) != request(after)


def test_what_has_no_effect_is_a_warning_of_the_stage(plan, continuum):
    plan(reffreq="3.0GHz", nchan=5)
    assert {message.level for message in plan.context.messages} == {"warning"}
    assert [message.text.partition(":5: ")[::2] for message in plan.context.messages[:1]] == [
        (
            "CCIP_parameter.list",
            "reffreq has no effect: each plane has the mean frequency of its spectral windows",
        )
    ]
    assert plan.context.messages[1].text.startswith("CCIP_parameter.list:6: nchan has no effect: ")
    continuum(niter=50)
    assert "SEIP_parameter.list:5: niter has no effect" in continuum.context.messages[0].text
