"""Stage 6: from the parameter list of the cube to its planes."""

from __future__ import annotations

from dataclasses import dataclass

from vlasscube.clean_terms import ImageMask, PrimaryBeamMask
from vlasscube.options import RunOptions
from vlasscube.recipe import EDIT_IMAGE_LIST_CUBE, FLAG_TARGETS_DATA, IMPORT_DATA, RESTORE_PIMS
from vlasscube.results.reading import InputSource
from vlasscube.results.types import CubePlan, FlagResult, ImportResult, RestoreResult
from vlasscube.stages.context import StageContext
from vlasscube.stages.image_lists import DataFlags, plan_cube, read_list
from vlasscube.stages.step import Step
from vlasscube.workspace.files import digest


@dataclass(frozen=True)
class CubeListInputs:
    """The parameter list of the cube, the state of the data, and the rules for planes."""

    parameter_file: str
    digest: str
    imported: ImportResult
    restored: RestoreResult
    flags: FlagResult
    options: RunOptions
    upstream: tuple[str, ...]


def cube_list_inputs(source: InputSource) -> CubeListInputs:
    """Make the inputs of the stage."""
    path = source.workspace.ccip_parameter_file
    return CubeListInputs(
        parameter_file=path.name,
        digest=digest(path) if path.is_file() else "",
        imported=source.result(IMPORT_DATA),
        restored=source.result(RESTORE_PIMS),
        flags=source.result(FLAG_TARGETS_DATA),
        options=source.options.without_name,
        upstream=source.keys(IMPORT_DATA, RESTORE_PIMS, FLAG_TARGETS_DATA),
    )


def edit_image_list_cube(inputs: CubeListInputs, context: StageContext) -> CubePlan:
    """Make one target for each requested group of spectral windows.

    A completely flagged group is left out with a warning; one without data in the central square degree is
    empty.

    Raises
    ------
    ParameterFileError
        If the list is incomplete or asks for what a coarse cube is not.
    ProblemListError
        If ``working/`` holds images under the names of its planes that the run has not made.
    """
    restored = inputs.restored
    parameters, of_list = read_list(context.workspace.directory / inputs.parameter_file, "cube")
    masks = {"tier1": ImageMask(restored.tier1_mask), "tier2": ImageMask(restored.tier2_mask)}
    plan, of_planes = plan_cube(
        parameters,
        inputs.imported,
        DataFlags(inputs.flags.fields, inputs.flags.unflagged_channels),
        (masks[inputs.options.first_mask], masks["tier2"], PrimaryBeamMask()),
        inputs.options,
    )
    for message in (*of_list, *of_planes):
        context.report(message)
    context.claim(target.image_root for target in plan.targets)
    return plan


STEP = Step(EDIT_IMAGE_LIST_CUBE, cube_list_inputs, edit_image_list_cube)
