"""Stage 1: register the per-image measurement set."""

from __future__ import annotations

from dataclasses import dataclass

from vlasscube.measurement_set.metadata import require_science_windows, summarise_measurement_set
from vlasscube.stages.context import StageContext
from vlasscube.stages.results import ImportResult


@dataclass(frozen=True)
class ImportInputs:
    """The measurement set by name and digest; it is used in place and never written to."""

    ms: str
    digest: str


def import_data(inputs: ImportInputs, context: StageContext) -> ImportResult:
    """Read what the workflow needs to know of the measurement set."""
    summary = summarise_measurement_set(context.workspace.directory / inputs.ms)
    return ImportResult(summary=summary, science_spws=require_science_windows(summary))
