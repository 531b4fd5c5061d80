"""Stage 2: from the parameter list of the continuum run to its target."""

from __future__ import annotations

from dataclasses import dataclass

from vlasscube.recipe import EDIT_IMAGE_LIST_CONTINUUM, IMPORT_DATA
from vlasscube.results.reading import InputSource
from vlasscube.results.types import ContinuumTarget, ImportResult
from vlasscube.stages.context import StageContext
from vlasscube.stages.image_lists import plan_continuum, read_list
from vlasscube.stages.step import Step
from vlasscube.workspace.files import digest


@dataclass(frozen=True)
class ContinuumListInputs:
    """The parameter list of the continuum run and the measurement set it is for."""

    parameter_file: str
    digest: str
    imported: ImportResult
    upstream: tuple[str, ...]


def continuum_list_inputs(source: InputSource) -> ContinuumListInputs:
    """Make the inputs of the stage."""
    path = source.workspace.seip_parameter_file
    return ContinuumListInputs(
        parameter_file=path.name,
        digest=digest(path) if path.is_file() else "",
        imported=source.result(IMPORT_DATA),
        upstream=source.keys(IMPORT_DATA),
    )


def edit_image_list_continuum(inputs: ContinuumListInputs, context: StageContext) -> ContinuumTarget:
    """Re-create the target of the continuum run's first imaging, which its model belongs to.

    Raises
    ------
    ParameterFileError
        If the list is incomplete or asks for what the continuum run does not do.
    """
    path = context.workspace.directory / inputs.parameter_file
    parameters, messages = read_list(path, "continuum")
    for message in messages:
        context.report(message)
    return plan_continuum(parameters, inputs.imported)


STEP = Step(EDIT_IMAGE_LIST_CONTINUUM, continuum_list_inputs, edit_image_list_continuum)
