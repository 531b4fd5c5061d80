"""Stage 4: restore flags, weights, model and self-calibration of the continuum run."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vlasscube.imaging.model_prediction import predict_continuum_model
from vlasscube.measurement_set import restore
from vlasscube.measurement_set.restored_data import data_without_model, data_without_solution
from vlasscube.measurement_set.unusable_data import (
    UnusableData,
    flag_unusable_results,
    flag_unusable_visibilities,
)
from vlasscube.measurement_set.working_copy import is_pristine, make_working_copy, mark_touched
from vlasscube.recipe import EDIT_IMAGE_LIST_CONTINUUM, IMPORT_DATA, RESTORE_PIMS, TRANSFORM_IMAGE_DATA
from vlasscube.resources.archive import archive_digest, extract_resources, inspect_archive
from vlasscube.resources.resource_checks import check_resources
from vlasscube.results.reading import InputSource
from vlasscube.results.types import ContinuumTarget, RestoreResult
from vlasscube.results.working_names import restored_names
from vlasscube.stages.context import StageContext
from vlasscube.stages.step import Step
from vlasscube.workspace.files import remove


@dataclass(frozen=True)
class RestoreInputs:
    """What is restored, from what."""

    input_ms: str
    working_ms: str
    spw: str
    archive: str
    archive_digest: str
    target: ContinuumTarget
    lowest_science_spw: int
    spw_count: int
    engine: str
    """What predicts the model."""
    upstream: tuple[str, ...]


def restore_inputs(source: InputSource) -> RestoreInputs:
    """Make the inputs of the stage."""
    imported = source.result(IMPORT_DATA)
    transformed = source.result(TRANSFORM_IMAGE_DATA)
    archive = source.workspace.resources_archive
    return RestoreInputs(
        input_ms=transformed.input_ms,
        working_ms=transformed.working_ms,
        spw=transformed.spw,
        archive=archive.name,
        archive_digest=archive_digest(archive) if archive.is_file() else "",
        target=source.result(EDIT_IMAGE_LIST_CONTINUUM),
        lowest_science_spw=min(imported.science_spws),
        spw_count=imported.summary.spectral_window_count,
        engine=source.options.engine,
        upstream=source.keys(TRANSFORM_IMAGE_DATA),
    )


def restore_pims(inputs: RestoreInputs, context: StageContext) -> RestoreResult:
    """Bring the working measurement set into the state of the continuum run's final imaging.

    Everything needed is looked for, and compared with the measurement set and the continuum image, before
    anything is changed. Data that cannot be used are flagged, with a warning that has their number, before
    weights are made of them; where there are none the state is the continuum run's, bit by bit.

    A working measurement set that was changed before, by a finished or an interrupted restore, is split off
    again first: the end is the same however often the stage is run or killed.

    Raises
    ------
    MissingResourcesError
        Listing all that is missing or ambiguous, with the patterns searched.
    ResourceMismatchError
        Listing all that belongs to another image or measurement set, or is damaged.
    ProblemListError
        Listing what lies in ``working/`` under the names of what is restored and is not the run's.
    """
    workspace = context.workspace
    ms = workspace.working / inputs.working_ms
    archive = workspace.directory / inputs.archive
    target = inputs.target
    seconds: dict[str, float] = {}

    @contextmanager
    def timed(operation: str) -> Iterator[None]:
        context.progress(operation)
        started = time.monotonic()
        yield
        seconds[operation] = time.monotonic() - started

    with timed("look for resources"):
        report = inspect_archive(archive, inputs.working_ms, target.image_name, nterms=target.nterms)
        report.require_complete()
    context.claim(restored_names(report))
    if not is_pristine(ms):
        context.warn("an earlier restore has changed the working measurement set: it is made again")
        with timed("split again"):
            make_working_copy(workspace.directory / inputs.input_ms, ms, target.field_ids, inputs.spw)

    def check(extracted: Path) -> None:
        for message in check_resources(extracted, report, ms, target.geometry, inputs.lowest_science_spw):
            context.report(message)

    with timed("extract resources"):
        extract_resources(archive, workspace.working, report, check=check)
    mark_touched(ms)
    with timed("save initial flags"):
        restore.save_flags(
            ms, restore.INITIAL_FLAGS, "flagversion before running hifv_restorepims() first time"
        )
    with timed("fill model"):
        restore.drop_virtual_model(ms)
        models = [workspace.working / name for name in report.model_images]
        _fill_model(ms, models, workspace.working / ".restore.partial", inputs)
    with timed("restore flags"):
        restore.restore_flags(ms, restore.CONTINUUM_FLAGS)
    with timed("look for unusable data"):
        _warn_of(flag_unusable_visibilities(ms), context)
        without_model = data_without_model(ms, restore.saved_flags(ms, restore.INITIAL_FLAGS))
        if without_model.count:
            context.warn(
                f"{without_model} are flagged in the input and not by the continuum run "
                f"({restore.CONTINUUM_FLAGS}): they have no model, so that their sources count as noise in "
                f"the weights; {without_model.places}",
                "They are imaged, as production does. Flag them in a flagging template if they shall not be.",
            )
    with timed("restore weights"):
        restore.restore_weights(ms)
    with timed("apply self-calibration"):
        restore.apply_selfcal(
            ms, workspace.working / report.selfcal_table, inputs.lowest_science_spw, inputs.spw_count
        )
    with timed("look for unusable results"):
        _warn_of(flag_unusable_results(ms), context)
        without_solution = data_without_solution(
            ms, workspace.working / report.selfcal_table, inputs.lowest_science_spw
        )
        if without_solution.count:
            context.warn(
                f"{without_solution} have no solution of the self-calibration for one antenna or both and "
                f"stay uncalibrated there (applymode 'calonly'); {without_solution.places}",
                "They are imaged, as production does. Flag them in a flagging template if they shall not be.",
            )
    with timed("save restored flags"):
        restore.save_flags(ms, restore.RESTORED_FLAGS, "flags as restored")
    for name in (report.tier1_mask, report.tier2_mask):
        context.add_output(workspace.working / name)
    context.add_output(ms, mutable=True)
    return RestoreResult(
        report=report,
        tier1_mask=report.tier1_mask,
        tier2_mask=report.tier2_mask,
        model_images=report.model_images,
        selfcal_table=report.selfcal_table,
        flag_version=restore.CONTINUUM_FLAGS,
        seconds=seconds,
        without_model=without_model,
        without_solution=without_solution,
    )


def _warn_of(found: UnusableData, context: StageContext) -> None:
    if found.total:
        context.warn(
            f"{found.total} unflagged visibilities of the working measurement set were unusable "
            f"and are now flagged: {found}",
            "The measurement set may be damaged; compare it with the original.",
        )


def prediction_arguments(ms: Path, imagename: Path, target: ContinuumTarget) -> dict[str, Any]:
    """Return what tclean is told to predict the model of the continuum run."""
    return restore.continuum_prediction_arguments(
        ms,
        imagename,
        target.selection,
        target.geometry,
        robust=target.robust,
        uvtaper=target.uvtaper,
        nterms=target.nterms,
        reffreq=target.reffreq,
        pblimit=target.pblimit,
    )


def _fill_model(ms: Path, models: Sequence[Path], scratch: Path, inputs: RestoreInputs) -> None:
    target = inputs.target
    if inputs.engine == "mosaic":
        predict_continuum_model(
            ms,
            models,
            target.selection,
            target.geometry,
            robust=target.robust,
            uvtaper=target.uvtaper,
            reffreq=target.reffreq,
            pblimit=target.pblimit,
        )
        return
    remove(scratch)
    scratch.mkdir()
    arguments = prediction_arguments(ms, scratch / f"s4_0.{target.image_name}.I.iter0", target)
    restore.predict_model(ms, models, scratch, arguments)
    remove(scratch)


STEP = Step(RESTORE_PIMS, restore_inputs, restore_pims)
