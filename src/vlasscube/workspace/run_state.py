"""How the last run in a directory ended, or that it goes on: ``records/run.json``."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

from vlasscube.errors import VlassCubeError
from vlasscube.workspace.directory import Workspace
from vlasscube.workspace.files import write_text
from vlasscube.workspace.locks import this_process, utc_now
from vlasscube.workspace.record_json import from_json, to_json

FILE = "run.json"

State = Literal["running", "finished", "failed", "interrupted"]


@dataclass(frozen=True)
class RunState:
    """A run; ``running`` without a process that holds the lock means that it was killed."""

    state: State
    host: str
    pid: int
    started: str
    ended: str = ""
    reason: str = ""
    """Why it failed, or the signal that interrupted it."""


_under_way: list[tuple[Workspace, RunState]] = []
"""Runs of this process, for `note_forced_end`."""


@contextlib.contextmanager
def recorded_run(workspace: Workspace) -> Iterator[None]:
    """Keep the state of a run while it goes on and when it ends, however it ends."""
    me = this_process()
    run = RunState("running", me.host, me.pid, me.started)
    _write(workspace, run)
    _under_way.append((workspace, run))
    try:
        yield
    except Exception as error:
        _end(workspace, run, "failed", str(error))
        raise
    except BaseException as error:  # a signal, or Ctrl-C
        _end(workspace, run, "interrupted", str(error) or type(error).__name__)
        raise
    else:
        _end(workspace, run, "finished", "")
    finally:
        _under_way.clear()


def note_forced_end(signal_name: str) -> None:
    """Record that the process is about to end by a signal, because the main thread does not hear of it."""
    for workspace, run in _under_way:
        _end(workspace, run, "interrupted", signal_name)


def _end(workspace: Workspace, run: RunState, state: State, reason: str) -> None:
    # Where nothing can be written any more the run is at its end all the same.
    with contextlib.suppress(OSError):
        _write(workspace, replace(run, state=state, ended=utc_now(), reason=reason[:2000]))


def _write(workspace: Workspace, run: RunState) -> None:
    write_text(workspace.records / FILE, to_json(run))


def read_run_state(workspace: Workspace) -> RunState | None:
    """Return the state of the last run; None if there was none or its file is damaged."""
    try:
        return from_json(RunState, (workspace.records / FILE).read_bytes())
    except (OSError, VlassCubeError):
        return None
