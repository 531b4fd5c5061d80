"""What lists mean is worked out by pure functions: a stage records it, and a plan foresees it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from vlasscube.clean_terms import ImageMask, NoMask, PrimaryBeamMask
from vlasscube.errors import ParameterFileError
from vlasscube.options import RunOptions
from vlasscube.parameters.key_uses import ListKind
from vlasscube.parameters.lists import ImageListParameters, write_parameter_file
from vlasscube.records import FlagCount, Outcome
from vlasscube.results.types import FlagResult
from vlasscube.stages.context import StageContext
from vlasscube.stages.edit_image_list_cube import CubeListInputs, edit_image_list_cube
from vlasscube.stages.image_lists import (
    DataFlags,
    nothing_flagged,
    plan_continuum,
    plan_cube,
    read_list,
)
from vlasscube.workspace.directory import Workspace

from .test_edit_image_list_cube import IMPORTED, LIST, RESTORED, SPWS, SUMMARY, flags

MASKS = (ImageMask("tier1.mask"), ImageMask("tier2.mask"), PrimaryBeamMask())
CONTINUUM = LIST | {
    "imagename": "VLASS2.1.se.T10t02.J100000+340000.06.2048.v1",
    "imaging_mode": "VLASS-SE-CONT-MOSAIC",
    "spw": "2,4",
}


@pytest.fixture
def cube_list(tmp_path: Path) -> ImageListParameters:
    return read_list(write(tmp_path, "CCIP_parameter.list", LIST), "cube")[0]


def write(directory: Path, name: str, values: dict[str, object]) -> Path:
    write_parameter_file(directory / name, values)
    return directory / name


def counted(result: FlagResult) -> DataFlags:
    return DataFlags(result.fields, result.unflagged_channels)


def test_the_stage_records_what_the_pure_function_says(
    cube_list: ImageListParameters, tmp_path: Path
) -> None:
    result = flags({2: 1.0, 3: 0.5, 4: 0.0})
    context = StageContext(Workspace(tmp_path), "edit_image_list_cube")
    inputs = CubeListInputs("CCIP_parameter.list", "", IMPORTED, RESTORED, result, RunOptions(), ())
    recorded = edit_image_list_cube(inputs, context)
    plan, messages = plan_cube(cube_list, IMPORTED, counted(result), MASKS, RunOptions())
    assert recorded == plan
    assert context.messages == list(messages)
    assert [(message.level, message.text[:14]) for message in messages] == [("warning", "spw 2: flagged")]


def test_a_plan_without_flags_is_that_of_data_without_flags(cube_list: ImageListParameters) -> None:
    foreseen, messages = plan_cube(cube_list, IMPORTED, nothing_flagged(SUMMARY), MASKS, RunOptions())
    found = counted(flags(dict.fromkeys(SPWS, 0.0)))
    counted_plan, _ = plan_cube(
        cube_list,
        IMPORTED,
        replace(found, unflagged_channels=dict.fromkeys(SPWS, 64)),
        MASKS,
        RunOptions(),
    )
    assert not messages
    assert all(target.outcome is None and target.flags.flagged == 0 for target in foreseen.targets)
    # Only how many visibilities the fractions are of is not known yet.
    nothing = FlagCount(0, 1)

    def without_counts(plan):  # type: ignore[no-untyped-def]
        targets = tuple(replace(t, flags=nothing, box_flags=nothing) for t in plan.targets)
        return replace(plan, targets=targets, box_fields=())

    assert without_counts(foreseen) == without_counts(counted_plan)


def test_masks_are_those_given_unless_the_list_names_some(tmp_path: Path) -> None:
    def masks(**changes: object) -> tuple[object, ...]:
        parameters, _ = read_list(write(tmp_path, "CCIP_parameter.list", LIST | changes), "cube")
        plan, _ = plan_cube(parameters, IMPORTED, nothing_flagged(SUMMARY), (NoMask(),), RunOptions())
        return plan.clean.masks

    assert masks() == (NoMask(),)
    assert masks(mask=["a.mask", "pb"]) == (ImageMask("a.mask"), PrimaryBeamMask())


def test_a_group_without_data_in_the_square_degree_is_empty(cube_list: ImageListParameters) -> None:
    away = tuple(field for field in flags(dict.fromkeys(SPWS, 0.0)).fields if field.field_id == 20)
    plan, messages = plan_cube(
        cube_list, IMPORTED, DataFlags(away, dict.fromkeys(SPWS, 64)), MASKS, RunOptions()
    )
    assert {target.outcome for target in plan.targets} == {Outcome.EMPTY}
    assert len(messages) == 3


def test_the_continuum_target_takes_the_windows_of_its_list(tmp_path: Path) -> None:
    parameters, messages = read_list(write(tmp_path, "SEIP_parameter.list", CONTINUUM), "continuum")
    assert not messages
    target = plan_continuum(parameters, IMPORTED)
    assert target.selection.spw == "2,4"
    assert target.field_ids == (*range(14), 20)


@pytest.mark.parametrize(("kind", "values"), [("cube", CONTINUUM), ("continuum", LIST)])
def test_a_list_of_the_other_run_is_refused(
    tmp_path: Path, kind: ListKind, values: dict[str, object]
) -> None:
    with pytest.raises(ParameterFileError, match="imaging_mode"):
        read_list(write(tmp_path, "any.list", values), kind)


def test_a_key_without_effect_is_told(tmp_path: Path) -> None:
    _, messages = read_list(write(tmp_path, "CCIP_parameter.list", LIST | {"reffreq": "3.0GHz"}), "cube")
    assert [message.level for message in messages] == ["warning"]
    assert "reffreq has no effect" in messages[0].text
