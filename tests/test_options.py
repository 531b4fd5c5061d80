import json

import pytest

from vlasscube.errors import ProblemListError, WorkspaceError
from vlasscube.options import PROFILES, RENAMED_OPTIONS, RunOptions
from vlasscube.workspace.directory import Workspace


@pytest.mark.parametrize(
    ("choices", "problem"),
    [
        ({"engine": "casa", "gridding": "exact"}, "gridding 'exact'"),
        ({"w_correction": True}, "w_correction needs"),
        ({"engine": "casa", "w_correction": True}, "w_correction needs"),
        ({"reject_by_flags": True}, "reject_by_flags is True, not 'off', 'mark' or 'skip'"),
        ({"profile": "science", "engine": "casa"}, "profile 'science' needs the engine 'mosaic'"),
        ({"profile": "science", "gridding": "casa"}, "w_correction needs"),
        ({"otf_beam": "smeared"}, "otf_beam 'smeared' needs"),
        ({"engine": "casa", "nsigma_per_stokes": True}, "nsigma_per_stokes needs the engine 'mosaic'"),
    ],
)
def test_choices_that_an_engine_cannot_honour_are_refused(choices, problem):
    with pytest.raises(ProblemListError) as caught:
        RunOptions(**choices)
    assert any(problem in text for text in caught.value.problems)


def test_choices_that_go_together():
    assert RunOptions(gridding="exact", w_correction=True).engine == "mosaic"
    assert RunOptions(engine="casa").gridding == "casa"


def test_options_recorded_under_a_former_name_are_read_and_written_under_the_present_one(tmp_path):
    assert RENAMED_OPTIONS == {"kernels": "gridding"}
    workspace = Workspace(tmp_path)
    workspace.records.mkdir()
    path = workspace.records / "options.json"
    path.write_text(json.dumps({"engine": "mosaic", "kernels": "exact", "w_correction": True}))
    options = workspace.read_options()
    assert options == RunOptions(gridding="exact", w_correction=True)
    workspace.write_options(options)
    assert workspace.read_options() == options
    assert json.loads(path.read_text()).keys() == RunOptions.__dataclass_fields__.keys()


@pytest.mark.parametrize(("recorded", "present"), [(True, "mark"), (False, "off"), ("skip", "skip")])
def test_rejection_by_flags_was_a_switch(tmp_path, recorded, present):
    """Earlier versions marked the planes, or did nothing."""
    workspace = Workspace(tmp_path)
    workspace.records.mkdir()
    (workspace.records / "options.json").write_text(json.dumps({"reject_by_flags": recorded}))
    assert workspace.read_options() == RunOptions(reject_by_flags=present)


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"kernels": "round"}', "null", '{"reject_by_flags": 1}', '{"reject_by_flags": []}']
)
def test_options_that_are_none_are_refused(tmp_path, text):
    workspace = Workspace(tmp_path)
    workspace.records.mkdir()
    (workspace.records / "options.json").write_text(text)
    with pytest.raises(WorkspaceError, match="RunOptions"):
        workspace.read_options()


ARCHIVE = {
    "gridding": "casa",
    "w_correction": False,
    "common_beam": "gated",
    "common_beam_alignment": "casa",
    "common_beam_exclude_rejected": False,
}
"""Defaults before there were profiles."""


def test_the_archive_profile_is_the_default():
    assert RunOptions() == RunOptions(profile="archive") == RunOptions(**ARCHIVE)
    assert {name: PROFILES["archive"][name] for name in ARCHIVE} == ARCHIVE


def test_profiles_set_the_same_options():
    assert PROFILES["archive"].keys() == PROFILES["science"].keys()
    for name in PROFILES["archive"]:
        assert PROFILES["archive"][name] != PROFILES["science"][name]


def test_a_profile_is_its_single_options():
    named, single = RunOptions(profile="science"), RunOptions(**PROFILES["science"])
    assert named.profile_values == single.profile_values == PROFILES["science"]
    assert named != single
    assert named.without_name == single


def test_what_is_given_overrides_the_profile_in_either_direction():
    science = RunOptions(profile="science", common_beam="gated", w_correction=False)
    assert (science.gridding, science.common_beam, science.w_correction) == ("exact", "gated", False)
    assert science.profile_text == "science with changes: w_correction off, common_beam gated"
    archive = RunOptions(common_beam="always", nmajor=220)
    assert archive.profile_text == "archive with changes: nmajor 220, common_beam always"
    assert RunOptions(profile="science").profile_text == "science"
    assert RunOptions().profile_text == "archive"


def test_resolved_values_are_recorded(tmp_path):
    workspace = Workspace(tmp_path)
    workspace.records.mkdir()
    workspace.write_options(RunOptions(profile="science", w_correction=False))
    recorded = json.loads((workspace.records / "options.json").read_text())
    assert recorded["profile"] == "science"
    expected = {**PROFILES["science"], "w_correction": False}
    assert {name: recorded[name] for name in expected} == expected
    assert workspace.read_options() == RunOptions(profile="science", w_correction=False)


def test_options_recorded_before_there_were_profiles_are_those_of_archive(tmp_path):
    workspace = Workspace(tmp_path)
    workspace.records.mkdir()
    path = workspace.records / "options.json"
    path.write_text(json.dumps({**ARCHIVE, "engine": "mosaic", "gridding": "exact", "nmajor": None}))
    assert workspace.read_options() == RunOptions(profile="archive", gridding="exact")
