"""Stage 1: register the per-image measurement set."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from vlasscube.errors import WorkspaceError
from vlasscube.measurement_set.inspection import inspect_measurement_set
from vlasscube.measurement_set.metadata import require_science_windows
from vlasscube.recipe import IMPORT_DATA
from vlasscube.records import Message
from vlasscube.results.reading import InputSource
from vlasscube.results.types import ImportResult
from vlasscube.stages.context import StageContext
from vlasscube.stages.step import Step

_FOREIGN_TO_CASA = "'\"$(["
"""CASA puts paths into queries and file names with a syntax of their own, where these have a meaning."""
_MAX_PATH_BYTES = 3500
"""Longest path of a run directory; names of images in it then stay below Linux's limit of 4096."""


@dataclass(frozen=True)
class ImportInputs:
    """The measurement set by name and digest; it is used in place and never written to."""

    ms: str
    digest: str


def import_inputs(source: InputSource) -> ImportInputs:
    """Make the inputs of the stage."""
    ms, workspace = source.workspace.input_ms, source.workspace
    try:
        record = workspace.read_record(IMPORT_DATA.name)
    except WorkspaceError:
        record = None
    return ImportInputs(ms=ms.name, digest=workspace.source_digest(record, ms))


def import_data(inputs: ImportInputs, context: StageContext) -> ImportResult:
    """Read what the workflow needs to know of the measurement set.

    Raises
    ------
    WorkspaceError
        If the path of the run directory, or the measurement set's name, is nothing that CASA can work with.
    MeasurementSetError
        If the measurement set is damaged, incomplete, or not of the survey.
    """
    path = context.workspace.directory / inputs.ms
    result = read_measurement_set(path)
    if frames := result.summary.converted_frames:
        context.report(
            Message(
                "info",
                f"directions in the FIELD table are in the frame {', '.join(frames)}: positions of fields are"
                " converted to J2000, and images made in their own frame",
            )
        )
    context.progress("checksum of the measurement set")
    context.add_source(path)
    return result


def read_measurement_set(path: Path) -> ImportResult:
    """Read what the workflow needs to know of a measurement set; raises as `import_data`."""
    require_path_for_casa(path)
    summary = inspect_measurement_set(path)
    return ImportResult(summary=summary, science_spws=require_science_windows(summary))


def require_path_for_casa(path: Path) -> None:
    """Refuse, before any work, a path that a task of CASA would fail on hours later.

    Spaces, Unicode in any form, and other punctuation are fine.

    Raises
    ------
    WorkspaceError
        If it has quotes, ``$``, an opening parenthesis or bracket, line breaks or bytes that are not UTF-8,
        or is too long.
    """
    text = str(path)
    found = sorted({char for char in text if char in _FOREIGN_TO_CASA or char in "\n\r\0" or _is_lone(char)})
    hint = "Rename the directory, or give a symbolic link to it that has a plain path."
    if found:
        raise WorkspaceError(
            f"CASA cannot work in {text!a}: its path has {' '.join(map(ascii, found))}.", hint=hint
        )
    if len(text.encode()) > _MAX_PATH_BYTES:
        raise WorkspaceError(
            f"The path of the run directory has {len(text.encode())} bytes, more than {_MAX_PATH_BYTES}.",
            hint=hint,
        )


def _is_lone(char: str) -> bool:
    # How Python shows bytes of a file name that are not UTF-8.
    return "\ud800" <= char <= "\udfff"


STEP = Step(IMPORT_DATA, import_inputs, import_data)
