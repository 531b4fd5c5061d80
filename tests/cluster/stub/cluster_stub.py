"""Planes without CASA; run in the processes of planes, which import it by name."""

import os
import signal
import time
from dataclasses import dataclass

from vlasscube import casa
from vlasscube.errors import ImagingError
from vlasscube.processes.parallel import plane_threads
from vlasscube.run import plane_walk
from vlasscube.run.wiring import STEPS, Step


@dataclass(frozen=True)
class Inputs:
    value: int = 1


def step(inputs, context, key):
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


def run_plane(workspace, label, stages, options):
    casa.configure = lambda *args: None
    STEPS["pbcor"] = Step(lambda workspace, options, plane: Inputs(), step)
    return plane_walk.run_plane(workspace, label, stages, options)


def places():
    time.sleep(0.5)
    return os.getpid(), os.getppid(), plane_threads(), os.environ.get("OMPI_COMM_WORLD_RANK")


def fail(kind):
    raise {"named": ImagingError("diverged", hint="look"), "other": ZeroDivisionError("zero")}[kind]
