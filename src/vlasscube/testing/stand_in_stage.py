"""A stage that makes nothing: to see where planes go on a cluster, and what happens if their process dies.

It runs in the processes of planes, which import it by name. Files in the run directory tell it what to do
with a plane: ``LABEL.once`` or ``LABEL.always`` holds ``die`` (by SIGKILL) or anything else (take a minute).
"""

import os
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NoReturn

from vlasscube import casa
from vlasscube.errors import ImagingError
from vlasscube.options import RunOptions
from vlasscube.processes.code_identity import code_digest
from vlasscube.processes.parallel import plane_threads
from vlasscube.recipe import Stage
from vlasscube.run import plane_walk
from vlasscube.run.plane_walk import PlaneReport
from vlasscube.stages.context import StageContext
from vlasscube.stages.step import Step
from vlasscube.workspace.directory import Workspace


@dataclass(frozen=True)
class Inputs:
    """Inputs of the stage; they mean nothing."""

    value: int = 1


def stand_in(inputs: Inputs, context: StageContext) -> Inputs:
    """Write label, process and parent into the file ``calls``; then do what the files of the plane say."""
    place = context.workspace.directory
    with (place / "calls").open("a") as calls:
        calls.write(f"{context.plane} {os.getpid()} {os.getppid()}\n")
    print("output of", context.plane, flush=True)
    for hook in ("once", "always"):
        path = place / f"{context.plane}.{hook}"
        if path.exists():
            what = path.read_text()
            if hook == "once":
                path.unlink()
            if what == "die":
                os.kill(os.getpid(), signal.SIGKILL)
            time.sleep(60)
    return inputs


STAGE = Stage(8, "stand_in_stage", "x_standin", "Make nothing", "plane", Inputs, package="vlasscube.testing")
STEP = Step(STAGE, lambda source: Inputs(), stand_in)


def run_plane(
    workspace: Workspace,
    label: str,
    stages: Sequence[Stage[object]],
    options: RunOptions,
    code: str | None = None,
) -> PlaneReport:
    """Take a plane through stages like `vlasscube.run.plane_walk.run_plane`, without CASA."""
    casa.configure = lambda *args: None
    return plane_walk.run_plane(workspace, label, stages, options, code or code_digest())


def places() -> tuple[int, int, int, str | None]:
    """Return process, parent, number of threads for a plane, and the process's number in MPI."""
    time.sleep(0.5)
    return os.getpid(), os.getppid(), plane_threads(), os.environ.get("OMPI_COMM_WORLD_RANK")


def fail(kind: str) -> NoReturn:
    """Raise an error of ours (``named``) or another (``other``)."""
    raise {"named": ImagingError("diverged", hint="look"), "other": ZeroDivisionError("zero")}[kind]
