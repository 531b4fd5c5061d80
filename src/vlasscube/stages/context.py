"""What a stage may use besides its inputs: places, messages, progress."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from pathlib import Path

from vlasscube.records import FileRecord, Message, StepRecord
from vlasscube.results.working_names import WorkingOwnership
from vlasscube.workspace.directory import Workspace
from vlasscube.workspace.files import content_digest, digest, size_bytes

logger = logging.getLogger("vlasscube")

Progress = Callable[[str, float | None], None]
"""Called with what is being done and, where known, the fraction done."""


class StageContext:
    """The surroundings of one step.

    Parameters
    ----------
    workspace : Workspace
        Where the step works.
    stage : str
        Name of the stage.
    plane : str, optional
        Label of the plane for a step of one plane.
    progress : callable, optional
        Told what is being done.
    key : str
        Key of the step: the hash of what it depends on, by which it recognises what it has begun before.
    previous : StepRecord, optional
        What the step left when it was done before.
    """

    def __init__(
        self,
        workspace: Workspace,
        stage: str,
        plane: str | None = None,
        progress: Progress | None = None,
        key: str = "",
        previous: StepRecord | None = None,
    ) -> None:
        self.workspace = workspace
        self.stage = stage
        self.plane = plane
        self.key = key
        self.previous = previous
        self.messages: list[Message] = []
        self.outputs: list[FileRecord] = []
        self.sources: list[FileRecord] = []
        self._progress = progress

    def report(self, message: Message) -> None:
        """Keep a message for the record, the log and the web log."""
        self.messages.append(message)
        level = {"info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}[message.level]
        logger.log(level, message.text)

    def warn(self, text: str, hint: str = "") -> None:
        """Report a warning."""
        self.report(Message("warning", text, hint))

    def progress(self, text: str, fraction: float | None = None) -> None:
        """Tell what is being done."""
        if self._progress is not None:
            self._progress(text, fraction)

    def claim(self, names: Iterable[str]) -> None:
        """Take names in ``working/`` for what the step is about to put there; a plane's is its images' root.

        Raises
        ------
        ProblemListError
            If something that the run has not made lies there; nothing has been changed.
        """
        WorkingOwnership(self.workspace, self.previous).claim(names)

    def add_output(self, path: Path, *, mutable: bool = False) -> None:
        """Record a finished output; ``mutable`` if later steps are meant to change it."""
        self.outputs.append(self.workspace.file_record(path, mutable=mutable))

    def add_source(self, path: Path) -> None:
        """Record a table of the user's in the run directory, or a link to one, that has been read."""
        table = path.resolve()
        facts = FileRecord(
            self.workspace.relative(path), size_bytes(table), digest(table), content_digest(table)
        )
        self.sources.append(facts)
