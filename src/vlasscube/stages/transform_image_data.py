"""Stage 3: split the fields of the image into the working measurement set."""

from __future__ import annotations

from dataclasses import dataclass

from vlasscube import naming
from vlasscube.measurement_set.observed_scans import observed_scans
from vlasscube.measurement_set.working_copy import make_working_copy
from vlasscube.recipe import EDIT_IMAGE_LIST_CONTINUUM, IMPORT_DATA, TRANSFORM_IMAGE_DATA
from vlasscube.results.reading import InputSource
from vlasscube.results.types import TransformResult
from vlasscube.results.working_names import set_names
from vlasscube.stages.context import StageContext
from vlasscube.stages.step import Step
from vlasscube.workspace.files import size_bytes


@dataclass(frozen=True)
class TransformInputs:
    """What is split off; ``upstream`` are the keys of the steps it depends on."""

    input_ms: str
    working_ms: str
    field_ids: tuple[int, ...]
    spw: str
    upstream: tuple[str, ...]


def transform_inputs(source: InputSource) -> TransformInputs:
    """Make the inputs of the stage."""
    target = source.result(EDIT_IMAGE_LIST_CONTINUUM)
    imported = source.result(IMPORT_DATA)
    return TransformInputs(
        input_ms=imported.summary.name,
        working_ms=naming.working_ms_name(imported.summary.name),
        field_ids=target.field_ids,
        spw=target.selection.spw,
        upstream=source.keys(IMPORT_DATA),
    )


def transform_image_data(inputs: TransformInputs, context: StageContext) -> TransformResult:
    """Make the working measurement set: ids kept, weights from bandwidth and integration time.

    Raises
    ------
    ProblemListError
        If something that the run has not made lies under its name.
    """
    workspace = context.workspace
    output = workspace.working / inputs.working_ms
    context.claim(set_names(output.name))
    make_working_copy(workspace.directory / inputs.input_ms, output, inputs.field_ids, inputs.spw)
    context.add_output(output, mutable=True)
    return TransformResult(
        input_ms=inputs.input_ms,
        working_ms=inputs.working_ms,
        size_bytes=size_bytes(output),
        field_count=len(inputs.field_ids),
        spw=inputs.spw,
        scans=observed_scans(output),
    )


STEP = Step(TRANSFORM_IMAGE_DATA, transform_inputs, transform_image_data)
