"""Each stage makes of the records before it the inputs that release 0.1.0 recorded for the same run."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from vlasscube.options import PROFILES, RunOptions
from vlasscube.recipe import EDIT_IMAGE_LIST_CUBE, IMPORT_DATA, MAKE_IMAGES, RECIPE, Stage
from vlasscube.results.reading import InputSource
from vlasscube.run.steps import step_key
from vlasscube.run.wiring import prepare_step
from vlasscube.workspace.directory import Workspace
from vlasscube.workspace.record_json import to_plain

from ..run.released_run import unpack_released_run

STEPS = [
    pytest.param(stage, plane, id=" ".join(filter(None, (stage.name, plane))))
    for stage in RECIPE
    # Measurement set and archive are not among what is kept of the run.
    if stage != IMPORT_DATA
    for plane in (("spw2", "spw3") if stage.scope == "plane" else (None,))
]
RENAMED = {"kernels": "gridding"}
SWITCHES = {"reject_by_flags": {False: "off", True: "mark"}}
"""Options that were either on or off."""
NOT_KEPT = {"archive_digest"}


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return Workspace(unpack_released_run(tmp_path_factory.mktemp("released") / "run"))


def differences(released: object, made: object, place: str) -> Iterator[str]:
    """Where inputs are other than the release's; what the release did not have is not looked at."""
    if isinstance(released, dict) and isinstance(made, dict) and set(made) != {"kind"}:
        for key, recorded in released.items():
            if key not in NOT_KEPT:
                value = SWITCHES[key][recorded] if key in SWITCHES else recorded
                yield from differences(value, made.get(RENAMED.get(key, key)), f"{place}.{key}")
    elif isinstance(released, list) and isinstance(made, list) and len(released) == len(made):
        for index, (one, other) in enumerate(zip(released, made, strict=True)):
            yield from differences(one, other, f"{place}[{index}]")
    elif isinstance(released, float) and isinstance(made, float):
        if made != pytest.approx(released, rel=1e-9):
            yield f"{place}: {released} -> {made}"
    elif isinstance(released, str) and isinstance(made, dict):
        # A mask, which stood as its text.
        if made != ({"kind": "pb"} if released == "pb" else {"kind": "image", "name": released}):
            yield f"{place}: {released} -> {made}"
    elif released != made:
        yield f"{place}: {released} -> {made}"


@pytest.mark.parametrize(("stage", "plane"), STEPS)
def test_inputs_are_those_of_the_release(
    workspace: Workspace, stage: Stage[object], plane: str | None
) -> None:
    record = workspace.read_record(stage.name, plane)
    assert record is not None
    assert record.inputs
    source = InputSource(workspace, workspace.read_options() or RunOptions(), plane)
    made = to_plain(prepare_step(stage, source).inputs)
    assert list(differences(record.inputs, made, stage.name)) == []


@pytest.mark.parametrize(("stage", "plane"), [(MAKE_IMAGES, "spw2"), (EDIT_IMAGE_LIST_CUBE, None)])
def test_a_profile_has_the_step_keys_of_its_single_options(
    workspace: Workspace, stage: Stage[object], plane: str | None
) -> None:
    def key(options: RunOptions) -> str:
        return step_key(stage.name, prepare_step(stage, InputSource(workspace, options, plane)).inputs)

    assert key(RunOptions(profile="science")) == key(RunOptions(**PROFILES["science"]))
    assert key(RunOptions(profile="science")) != key(RunOptions())
    changed = RunOptions(profile="science", w_correction=False)
    assert key(changed) != key(RunOptions(profile="science"))
