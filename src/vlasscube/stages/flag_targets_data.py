"""Stage 5: flag by a template, if there is one, and count the flags."""

from __future__ import annotations

from dataclasses import dataclass

from vlasscube import casa
from vlasscube.measurement_set.flag_template import template_commands
from vlasscube.measurement_set.flags import count_flags, flags_by_spw, unflagged_channels
from vlasscube.measurement_set.restore import RESTORED_FLAGS, restore_flags
from vlasscube.records import Message
from vlasscube.results.types import FlagResult
from vlasscube.stages.context import StageContext
from vlasscube.workspace.files import write_text


@dataclass(frozen=True)
class FlagInputs:
    """The working measurement set and the text of the template (``''`` without one)."""

    working_ms: str
    template: str
    template_text: str
    science_spws: tuple[int, ...]
    upstream: tuple[str, ...]


def flag_targets_data(inputs: FlagInputs, context: StageContext) -> FlagResult:
    """Apply the flagging commands of the template to the flags as restored.

    Raises
    ------
    ParameterFileError
        If the template has something else than commands.
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
        command_file = workspace.working / f"{ms.stem}.flagtargetscmds.txt"
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
    return FlagResult(
        template=inputs.template,
        commands=commands,
        before=before,
        fields=count_flags(ms, inputs.science_spws),
        unflagged_channels={spw: unflagged_channels(ms, spw) for spw in inputs.science_spws},
    )
