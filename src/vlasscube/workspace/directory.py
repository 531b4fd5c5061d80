"""The run directory: where things are, who works in it, and what has been done.

Layout::

    DIR/                    the inputs
    DIR/working/            working measurement set and CASA images
    DIR/products/           what is delivered
    DIR/weblog/             index.html and pictures
    DIR/records/            one JSON record per step, options, lock
    DIR/logs/               CASA's logs and the CASA calls as executed

A file with its final name is whole: see `vlasscube.workspace.files`.
"""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pydantic_core

from vlasscube.errors import WorkspaceError
from vlasscube.options import RunOptions, present_options
from vlasscube.records import FileRecord, StepRecord
from vlasscube.workspace.files import content_digest, digest, remove, size_bytes, write_text
from vlasscube.workspace.leftovers import is_leftover
from vlasscube.workspace.locks import LockOwner, held, present_owner
from vlasscube.workspace.record_json import from_json, to_json

SEIP_PARAMETER_FILE = "SEIP_parameter.list"
CCIP_PARAMETER_FILE = "CCIP_parameter.list"
RESOURCES_ARCHIVE = "reimaging_resources.tgz"
LOCK_FILE = "lock"


def _in_present_form(options: bytes) -> bytes:
    try:
        values = pydantic_core.from_json(options)
    except ValueError:
        # What is wrong with it is told by whoever reads it.
        return options
    return pydantic_core.to_json(present_options(values)) if isinstance(values, dict) else options


@functools.lru_cache(maxsize=1024)
def _content_in_state(path: Path, state: str) -> str:
    """Digest of contents, read once for each state by times."""
    return content_digest(path)


def _is_same(path: Path, present: str, record: FileRecord) -> bool:
    """Whether a file or table is as recorded, by its present digest or by its contents."""
    if present == record.digest:
        return True
    return record.content != "" and _content_in_state(path, present) == record.content


class Workspace:
    """A run directory.

    Parameters
    ----------
    directory : path-like
        Existing directory with the inputs.
    input_ms : str, optional
        Name of the input measurement set in it; by default the only ``*.ms`` there.

    Raises
    ------
    WorkspaceError
        If the directory does not exist or is not writable.
    """

    def __init__(self, directory: str | os.PathLike[str], input_ms: str | None = None) -> None:
        self.directory = Path(directory).expanduser().absolute()
        if not self.directory.is_dir():
            raise WorkspaceError(
                f"no such directory: {self.directory}",
                hint="Give the directory that holds the measurement set, the two parameter lists and "
                f"{RESOURCES_ARCHIVE}; 'vlasscube simulate DIR' makes one.",
            )
        self._input_ms = input_ms

    def __reduce__(self) -> tuple[Any, ...]:
        # To a worker goes the place, not the lock.
        return (type(self), (self.directory, self._input_ms))

    def __repr__(self) -> str:
        return f"Workspace({str(self.directory)!r})"

    # ---------------------------------------------------------------------------------------------- places

    @property
    def working(self) -> Path:
        """Directory of the working measurement set and the CASA images."""
        return self.directory / "working"

    @property
    def casa_scratch(self) -> Path:
        """Directory of CASA's temporary files, emptied at the start of a run."""
        return self.working / ".casa.partial"

    @property
    def products(self) -> Path:
        """Directory of what is delivered."""
        return self.directory / "products"

    @property
    def weblog(self) -> Path:
        """Directory of the web log."""
        return self.directory / "weblog"

    @property
    def records(self) -> Path:
        """Directory of the records."""
        return self.directory / "records"

    @property
    def logs(self) -> Path:
        """Directory of the logs."""
        return self.directory / "logs"

    @property
    def resources_archive(self) -> Path:
        """The archive of the continuum run."""
        return self.directory / RESOURCES_ARCHIVE

    @property
    def seip_parameter_file(self) -> Path:
        """Parameter list of the continuum run."""
        return self.directory / SEIP_PARAMETER_FILE

    @property
    def ccip_parameter_file(self) -> Path:
        """Parameter list of the cube."""
        return self.directory / CCIP_PARAMETER_FILE

    @property
    def input_ms(self) -> Path:
        """The per-image measurement set.

        Raises
        ------
        WorkspaceError
            If there is none, or more than one and none was named.
        """
        if self._input_ms is not None:
            return self.directory / self._input_ms
        found = sorted(path for path in self.directory.glob("*.ms") if path.is_dir())
        if not found:
            raise WorkspaceError(
                f"no measurement set (*.ms) in {self.directory}",
                hint="Put the per-image measurement set into the run directory (a link will do).",
            )
        if len(found) > 1:
            raise WorkspaceError(
                f"{len(found)} measurement sets in {self.directory}: {', '.join(p.name for p in found)}",
                hint="Choose one with --vis NAME.",
            )
        return found[0]

    def step_logs(self, stage: str, plane: str | None = None) -> tuple[Path, Path]:
        """Return CASA's log and the log of the CASA calls of a step."""
        stem = stage if plane is None else f"{stage}.{plane}"
        return self.logs / "casa" / f"{stem}.log", self.logs / "calls" / f"{stem}.py"

    def relative(self, path: Path) -> str:
        """Path relative to the run directory."""
        return str(path.relative_to(self.directory))

    # -------------------------------------------------------------------------------------------- records

    def file_record(self, path: Path, *, mutable: bool = False) -> FileRecord:
        """Describe an output as it is now; ``mutable`` if later steps are meant to change it."""
        if mutable:
            return FileRecord(self.relative(path), size_bytes(path), "")
        return FileRecord(self.relative(path), size_bytes(path), digest(path), content_digest(path))

    def is_unchanged(self, record: FileRecord) -> bool:
        """Whether an output is still there as recorded; times may differ where contents are the same."""
        path = self.directory / record.path
        if not path.exists():
            return False
        if not record.digest:
            return True
        if size_bytes(path) != record.size_bytes:
            return False
        return _is_same(path, digest(path), record)

    def source_digest(self, record: StepRecord | None, path: Path) -> str:
        """Digest of an input table: that of the step's record, if contents are as they were then.

        Parameters
        ----------
        record : StepRecord or None
            Of the step that has read it, with the digest among its inputs.
        path : Path
            In the run directory; may be a link.
        """
        table = path.resolve()
        present = digest(table)
        if record is None or not isinstance(record.inputs, dict):
            return present
        recorded = str(record.inputs.get("digest", ""))
        known = [source for source in record.sources if source.path == self.relative(path)]
        return recorded if any(_is_same(table, present, source) for source in known) else present

    def with_present_times(self, record: StepRecord) -> StepRecord:
        """Keep the times of outputs and sources that differ in nothing else, so as to read them only once.

        Parameters
        ----------
        record : StepRecord
            Of a step that is done.
        """
        now = replace(
            record,
            outputs=tuple(self._with_present_time(file) for file in record.outputs),
            sources=tuple(self._with_present_time(file) for file in record.sources),
        )
        if now != record:
            self.write_record(now)
        return now

    def _with_present_time(self, file: FileRecord) -> FileRecord:
        return replace(file, digest=digest((self.directory / file.path).resolve())) if file.content else file

    def record_path(self, stage: str, plane: str | None = None) -> Path:
        """Where the record of a step is kept."""
        if plane is None:
            return self.records / f"{stage}.json"
        return self.records / "planes" / plane / f"{stage}.json"

    def write_record(self, record: StepRecord) -> None:
        """Keep the record of a step."""
        write_text(self.record_path(record.stage, record.plane), to_json(record))

    def read_record(self, stage: str, plane: str | None = None) -> StepRecord | None:
        """Return the record of a step; None if there is none.

        Raises
        ------
        WorkspaceError
            If it is damaged.
        """
        path = self.record_path(stage, plane)
        try:
            text = path.read_bytes()
        except FileNotFoundError:
            return None
        try:
            return from_json(StepRecord, text)
        except WorkspaceError as error:
            raise WorkspaceError(f"{self.relative(path)}: {error.message}", hint=error.hint) from error

    def remove_record(self, stage: str, plane: str | None = None) -> None:
        """Forget a step."""
        remove(self.record_path(stage, plane))

    # -------------------------------------------------------------------------------------------- options

    def read_options(self) -> RunOptions | None:
        """Return the options of the run in this directory; None before the first run.

        Options that an earlier version recorded under another name are read as what they are called now.
        """
        path = self.records / "options.json"
        return from_json(RunOptions, _in_present_form(path.read_bytes())) if path.exists() else None

    def write_options(self, options: RunOptions) -> None:
        """Keep the options of the run."""
        write_text(self.records / "options.json", to_json(options))

    # ----------------------------------------------------------------------------------------------- lock

    @contextlib.contextmanager
    def locked(self, *, steal: bool = False) -> Iterator[LockOwner | None]:
        """Hold the directory for one run; see `vlasscube.workspace.locks.held`."""
        with held(self.records / LOCK_FILE, str(self.directory), steal=steal) as before:
            yield before

    @property
    def present_owner(self) -> LockOwner | None:
        """Who works in the directory now."""
        try:
            return present_owner(self.records / LOCK_FILE)
        except OSError:
            return None

    def clear_partial(self) -> None:
        """Remove what interrupted steps left behind, by the names that only they give.

        Not in ``products/``, where an export removes its own; see `vlasscube.products.owned_files`.
        """
        # Directories in working/ are images and tables, or somebody else's.
        for directory, pattern in ((self.working, ".*"), (self.records, "**/.*"), (self.weblog, "**/.*")):
            if directory.is_dir():
                for path in [path for path in directory.glob(pattern) if is_leftover(path.name)]:
                    remove(path)
