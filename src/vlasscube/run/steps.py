"""Steps: done once, and again only if their inputs, the code version or their outputs changed."""

from __future__ import annotations

import json
import logging
import time
import traceback

from vlasscube import __version__, casa
from vlasscube.errors import VlassCubeError, WorkspaceError, interruption_behind
from vlasscube.processes.code_identity import CODE, code_digest
from vlasscube.processes.parallel import peak_memory_bytes
from vlasscube.products.command_log import begin_call_log
from vlasscube.records import ErrorInfo, StepRecord
from vlasscube.stages.context import Progress, StageContext
from vlasscube.stages.step import PreparedStep
from vlasscube.workspace.directory import Workspace
from vlasscube.workspace.files import text_digest
from vlasscube.workspace.locks import utc_now
from vlasscube.workspace.record_json import to_plain

logger = logging.getLogger("vlasscube")


def step_key(stage: str, inputs: object) -> str:
    """Hash of what a step depends on: its inputs, and the version and the sources of the code."""
    plain = json.dumps([stage, __version__, code_digest(), to_plain(inputs)], sort_keys=True)
    return text_digest(plain)


def is_current(workspace: Workspace, record: StepRecord | None, key: str) -> bool:
    """Whether a step was done with this key and its outputs are as it left them."""
    return (
        record is not None
        and record.status == "done"
        and record.key == key
        and all(workspace.is_unchanged(output) for output in record.outputs)
    )


def readable_record(workspace: Workspace, stage: str, plane: str | None) -> StepRecord | None:
    """Return the record of a step; None without one, or, with a warning, if it is damaged."""
    try:
        return workspace.read_record(stage, plane)
    except WorkspaceError as error:
        logger.warning("%s", error.message)
        return None


def do_step(workspace: Workspace, step: PreparedStep[object], progress: Progress | None = None) -> StepRecord:
    """Do a step unless it is done, and keep its record.

    Raises
    ------
    Exception
        Whatever the step raised, after its failure has been recorded.
    """
    stage, plane = step.stage.name, step.plane
    key = step_key(stage, step.inputs)
    existing = readable_record(workspace, stage, plane)
    if existing is not None and is_current(workspace, existing, key):
        return workspace.with_present_times(existing)
    casa_log, call_log = workspace.step_logs(stage, plane)
    workspace.casa_scratch.mkdir(parents=True, exist_ok=True)
    casa.configure(casa_log, call_log, workspace.casa_scratch)
    begin_call_log(call_log, key)
    workspace.remove_record(stage, plane)
    context = StageContext(workspace, stage, plane, progress, key, existing)
    started, clock = utc_now(), time.monotonic()
    error: Exception | None = None
    result = None
    try:
        result = step.run(context)
    except Exception as failure:  # the boundary at which a failure becomes a record
        if (interruption := interruption_behind(failure)) is not None:
            raise interruption from failure
        error = failure
    record = StepRecord(
        stage=stage,
        plane=plane,
        key=key,
        status="done" if error is None else "failed",
        started=started,
        finished=utc_now(),
        seconds=time.monotonic() - clock,
        inputs=to_plain(step.inputs),
        result=None if result is None else to_plain(result),
        messages=tuple(context.messages),
        outputs=tuple(context.outputs),
        error=None if error is None else error_info(error),
        versions={"vlasscube": __version__, CODE: code_digest(), "casatasks": casa.version()},
        peak_memory_bytes=peak_memory_bytes(),
        sources=tuple(context.sources),
    )
    workspace.write_record(record)
    if error is not None:
        raise error
    return record


def error_info(error: Exception) -> ErrorInfo:
    """Describe an error for a record."""
    report = getattr(error, "report", None)
    return ErrorInfo(
        type=type(error).__name__,
        message=str(error),
        hint=error.hint if isinstance(error, VlassCubeError) else "",
        traceback="".join(traceback.format_exception(error)),
        details=None if report is None else to_plain(report),
    )
