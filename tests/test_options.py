import json

import pytest

from vlasscube.errors import ProblemListError, WorkspaceError
from vlasscube.options import RENAMED_OPTIONS, RunOptions
from vlasscube.workspace.directory import Workspace


@pytest.mark.parametrize(
    ("choices", "problem"),
    [
        ({"engine": "casa", "gridding": "exact"}, "gridding 'exact'"),
        ({"w_correction": True}, "w_correction needs"),
        ({"engine": "casa", "w_correction": True}, "w_correction needs"),
        ({"reject_by_flags": True}, "reject_by_flags is True, not 'off', 'mark' or 'skip'"),
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
