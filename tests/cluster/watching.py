"""Planes on their way through a cluster, and the processes they are in."""

import time
from pathlib import Path

from vlasscube.options import RunOptions
from vlasscube.run import plane_walk
from vlasscube.weblog.upkeep import WeblogUpkeep


def walk(workspace, executor, labels, stub, monkeypatch):
    """Take planes through a stub of a stage as a run does; return reports and events."""
    monkeypatch.setattr(plane_walk, "run_plane", stub.run_plane)
    monkeypatch.setattr(WeblogUpkeep, "update", lambda self: None)
    events = []
    planes = plane_walk.PlaneWalk(
        workspace, RunOptions(), (stub.STAGE,), len(labels), events.append, WeblogUpkeep(workspace)
    )
    planes.run_on(executor, labels)
    return {label: report.failed_stage for label, report in planes.reports.items()}, events


def calls(workspace):
    path = workspace.directory / "calls"
    lines = path.read_text().splitlines() if path.exists() else []
    return [(label, int(pid), int(parent)) for label, pid, parent in map(str.split, lines)]


def wait_for(condition, seconds=20.0):
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return found


def is_gone(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except FileNotFoundError:
        return True
