"""Stage 5: flag by a template, if there is one, and count the flags."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vlasscube import casa
from vlasscube.errors import ParameterFileError
from vlasscube.measurement_set.flag_template import template_commands
from vlasscube.measurement_set.flags import count_flags, flags_by_spw, incomplete_by_spw, unflagged_channels
from vlasscube.measurement_set.restore import RESTORED_FLAGS, restore_flags
from vlasscube.recipe import FLAG_TARGETS_DATA, IMPORT_DATA, RESTORE_PIMS, TRANSFORM_IMAGE_DATA
from vlasscube.records import FieldFlags, Message
from vlasscube.results.reading import InputSource
from vlasscube.results.types import FlagResult
from vlasscube.results.working_names import template_commands_name
from vlasscube.stages.context import StageContext
from vlasscube.stages.step import Step
from vlasscube.workspace.files import write_text

_NOTABLE_LOSS = 0.01
TEMPLATE_ENDING = ".flagtargetstemplate.txt"


@dataclass(frozen=True)
class FlagInputs:
    """The working measurement set and the text of the template (``''`` without one)."""

    working_ms: str
    template: str
    template_text: str
    science_spws: tuple[int, ...]
    upstream: tuple[str, ...]


def flag_inputs(source: InputSource) -> FlagInputs:
    """Make the inputs of the stage.

    Raises
    ------
    ParameterFileError
        If there is a template that is not readable text.
    """
    transformed = source.result(TRANSFORM_IMAGE_DATA)
    template = source.workspace.directory / template_name(transformed.working_ms)
    exists = template.is_file()
    return FlagInputs(
        working_ms=transformed.working_ms,
        template=template.name if exists else "",
        template_text=read_flag_template(template) if exists else "",
        science_spws=source.result(IMPORT_DATA).science_spws,
        upstream=source.keys(RESTORE_PIMS),
    )


def template_name(working_ms: str) -> str:
    """Name of the flagging template of a working measurement set."""
    return f"{working_ms.removesuffix('.ms')}{TEMPLATE_ENDING}"


def read_flag_template(path: Path) -> str:
    """Read a template of flagging commands.

    Raises
    ------
    ParameterFileError
        If it is not readable text.
    """
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ParameterFileError(
            f"The flagging template {path.name} cannot be read:",
            [str(error)],
            hint="It must be plain text (UTF-8) with one flagdata command per line, or be left out.",
        ) from error


def flag_targets_data(inputs: FlagInputs, context: StageContext) -> FlagResult:
    """Apply the flagging commands of the template to the flags as restored.

    Raises
    ------
    ParameterFileError
        If the template has something else than commands.
    ProblemListError
        If the file for its commands is there and is not the run's.
    """
    workspace = context.workspace
    ms = workspace.working / inputs.working_ms
    commands = template_commands(inputs.template_text, inputs.template)
    if not inputs.template:
        context.report(Message("info", "no flagging template: flags stay as restored"))
    # The stage may be done again with another template.
    restore_flags(ms, RESTORED_FLAGS)
    before = flags_by_spw(count_flags(ms, inputs.science_spws))
    if commands:
        command_file = workspace.working / template_commands_name(ms.name)
        context.claim([command_file.name])
        summaries = ("mode='summary' name='before'", *commands, "mode='summary' name='template'")
        write_text(command_file, "\n".join(summaries) + "\n")
        casa.run_task(
            "flagdata",
            vis=str(ms),
            mode="list",
            inpfile=str(command_file),
            action="apply",
            flagbackup=True,
        )
    context.add_output(ms, mutable=True)
    fields = count_flags(ms, inputs.science_spws)
    if message := incomplete_message(fields):
        context.report(message)
    return FlagResult(
        template=inputs.template,
        commands=commands,
        before=before,
        fields=fields,
        unflagged_channels={spw: unflagged_channels(ms, spw) for spw in inputs.science_spws},
    )


def incomplete_message(fields: Sequence[FieldFlags]) -> Message | None:
    """Tell what is lost as only some of the correlations of a row and channel are flagged."""
    lost, counts = incomplete_by_spw(fields), flags_by_spw(fields)
    if not lost:
        return None
    shares = {spw: number / (counts[spw].total - counts[spw].flagged) for spw, number in lost.items()}
    shown = ", ".join(f"spw {spw} {shares[spw]:.2%}" for spw in sorted(shares, key=lambda spw: -shares[spw]))
    return Message(
        "warning" if max(shares.values()) > _NOTABLE_LOSS else "info",
        f"{sum(lost.values())} unflagged visibilities are not imaged, as another correlation of the same row "
        f"and channel is flagged: {shown} of the unflagged data",
        "Those that the input has so had no model either when weights were made: near bright sources these "
        "are too low.",
    )


STEP = Step(FLAG_TARGETS_DATA, flag_inputs, flag_targets_data)
