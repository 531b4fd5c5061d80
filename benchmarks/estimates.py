"""What a run takes beside what it was estimated to take: disk, memory, processor time, time, by stage.

    python benchmarks/estimates.py DIR [DIR …] [--workers N]     directories with the inputs of a run
    python benchmarks/estimates.py DIR --preset demo --set science_spws=2,6 --set imsize=1024,1024

Whatever an earlier run has made in DIR is removed. Estimates are made before the run; memory is sampled from
/proc (the peak resident size of a process is the kernel's, what processes share is counted once in the sum).
Time is right with the machine left alone; processor time suffers little from other work.
"""

from __future__ import annotations

import argparse
import ast
import bisect
import json
import os
import resource
import shutil
import subprocess
import sys
import threading
import time
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vlasscube import Workspace, casa
from vlasscube.estimates.cost import Estimate
from vlasscube.options import RunOptions
from vlasscube.recipe import RECIPE
from vlasscube.run.planning import RunPlan, look_at_machine, make_plan
from vlasscube.simulation import simulate
from vlasscube.simulation.presets import preset

TICKS = os.sysconf("SC_CLK_TCK")
INTERVAL_S, SIZE_INTERVAL_S = 0.1, 0.5
PLANE_STAGES = tuple(stage.name for stage in RECIPE.of_planes)
STAGES_WITHOUT_RECORD = ("start", "start_workers", "pictures", "weblog")


# ---------------------------------------------------------------------------------------------- measuring


def resident_peak_bytes(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace").splitlines()
    values = dict(line.split(":", 1) for line in lines)
    return int(values["VmHWM"].split()[0]) * 1024


def proportional_bytes(pid: int) -> int:
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    return 0


def process_tree(root: int) -> dict[int, float]:
    """Processor seconds of a process and all that come from it."""
    children: dict[int, list[int]] = defaultdict(list)
    seconds: dict[int, float] = {}
    for entry in os.scandir("/proc"):
        if not entry.name.isdigit():
            continue
        try:
            text = Path(entry.path, "stat").read_text(encoding="ascii", errors="replace")
        except OSError:
            continue
        fields = text.rpartition(")")[2].split()
        children[int(fields[1])].append(int(entry.name))
        seconds[int(entry.name)] = (int(fields[11]) + int(fields[12])) / TICKS
    found, waiting = {}, [root]
    while waiting:
        pid = waiting.pop()
        if pid in seconds:
            found[pid] = seconds[pid]
        waiting += children[pid]
    return found


@dataclass(eq=False)
class Watch(threading.Thread):
    """Samples a run until it is told to stop."""

    root: int
    workspace: Workspace
    times: list[float] = field(default_factory=list)
    processor: list[dict[int, float]] = field(default_factory=list)
    peak: dict[int, int] = field(default_factory=dict)
    """Peak resident size by process."""
    together: int = 0
    """Largest sum of the proportional sizes."""
    disk: int = 0

    def __post_init__(self) -> None:
        super().__init__(daemon=True)
        self.ended = threading.Event()

    def run(self) -> None:
        next_sizes = 0.0
        while not self.ended.wait(INTERVAL_S):
            tree = process_tree(self.root)
            self.times.append(time.time())
            self.processor.append(tree)
            # The kernel keeps the peaks of single processes.
            if self.times[-1] > next_sizes:
                next_sizes = self.times[-1] + SIZE_INTERVAL_S
                self.look_at_sizes(list(tree))

    def look_at_sizes(self, processes: list[int]) -> None:
        together = 0
        for pid in processes:
            try:
                self.peak[pid] = max(self.peak.get(pid, 0), resident_peak_bytes(pid))
                together += proportional_bytes(pid)
            except (OSError, KeyError):  # it has just ended
                continue
        self.together = max(self.together, together)
        self.disk = max(self.disk, used_bytes(self.workspace))

    def seconds_until(self, moment: float, of_leader: bool) -> float:
        """Processor seconds of the leading process, or of all others, up to a moment."""
        at = min(max(bisect.bisect(self.times, moment), 1), len(self.times) - 1)
        before, after = self.processor[at - 1], self.processor[at]
        share = (moment - self.times[at - 1]) / (self.times[at] - self.times[at - 1])
        total = 0.0
        for pid in before:
            if (pid == self.root) == of_leader:
                total += before[pid] + share * (after.get(pid, before[pid]) - before[pid])
        return total


def used_bytes(workspace: Workspace) -> int:
    try:
        return look_at_machine(workspace).disk_used_bytes
    except FileNotFoundError:  # removed while it was being counted
        return 0


@dataclass
class Measured:
    """What a run took."""

    status: int
    seconds: float
    processor_seconds: float
    worker_bytes: int
    leader_bytes: int
    together_bytes: int
    disk_bytes: int
    kept_bytes: int
    stages: dict[str, tuple[float, float]]
    """Time and processor time by stage."""
    major_cycles: list[tuple[int, ...]]
    load: tuple[float, float]
    """Of the machine, before and after."""


def measure(workspace: Workspace, arguments: list[str]) -> Measured:
    command = [sys.executable, "-m", "vlasscube.cli", "run", str(workspace.directory), "--quiet", *arguments]
    load, used = os.getloadavg()[0], resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.time()
    with subprocess.Popen(command) as process:
        watch = Watch(process.pid, workspace)
        watch.start()
        status = process.wait()
        seconds = time.time() - start
        watch.ended.set()
        watch.join()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    workers = [size for pid, size in watch.peak.items() if pid != process.pid]
    kept = used_bytes(workspace)
    return Measured(
        status=status,
        seconds=seconds,
        processor_seconds=after.ru_utime + after.ru_stime - used.ru_utime - used.ru_stime,
        worker_bytes=max(workers, default=watch.peak[process.pid]),
        leader_bytes=watch.peak[process.pid],
        together_bytes=watch.together,
        disk_bytes=max(watch.disk, kept),
        kept_bytes=kept,
        stages=stage_times(workspace, watch, has_workers=bool(workers)),
        major_cycles=major_cycles(workspace),
        load=(load, os.getloadavg()[0]),
    )


def stage_times(workspace: Workspace, watch: Watch, *, has_workers: bool) -> dict[str, tuple[float, float]]:
    """Times of the records; processor time of planes means something where one is made at a time."""
    found: dict[str, tuple[float, float]] = defaultdict(lambda: (0.0, 0.0))
    for path in workspace.records.rglob("*.json"):
        record = json.loads(path.read_text(encoding="utf-8"))
        if "stage" not in record or ".iter" in path.name:
            continue
        end = path.stat().st_mtime
        of_leader = record["plane"] is None or not has_workers
        used = [watch.seconds_until(moment, of_leader) for moment in (end - record["seconds"], end)]
        seconds, processor = found[record["stage"]]
        found[record["stage"]] = seconds + record["seconds"], processor + used[1] - used[0]
    return dict(found)


def major_cycles(workspace: Workspace) -> list[tuple[int, ...]]:
    records = sorted((workspace.records / "planes").glob("*/make_images.json"))
    results = [json.loads(path.read_text(encoding="utf-8"))["result"] for path in records]
    return [tuple(i["major_cycles"] for i in result["iterations"]) for result in results if result]


# ---------------------------------------------------------------------------------------------- comparing


def row(name: str, estimated: float, measured: float, unit: float = 1.0) -> str:
    ratio = f"{estimated / measured:.2f}" if measured else ""
    return f"| {name} | {estimated / unit:.2f} | {measured / unit:.2f} | {ratio} |"


def report(plan: RunPlan, measured: Measured) -> str:
    cost: Estimate = plan.estimate
    cycles = sum(plan.pace.major_cycles)
    speed = f"speed {plan.speed.alone:.2f} alone, {plan.speed.together:.2f} together"
    load = f"load {measured.load[0]:.1f} … {measured.load[1]:.1f}"
    lines = [
        f"\n{plan.directory}: {plan.nx} × {plan.ny} pixels, {len(measured.major_cycles)} planes, "
        f"{plan.visibilities / 1e6:.3g} million visibilities, {cost.workers} workers",
        f"{speed}; {load}; exit status {measured.status}",
        f"major cycles {cycles:.0f} assumed, {measured.major_cycles}",
        "\n| quantity | estimated | measured | ratio |\n|---|---|---|---|",
        row("disk kept, GB", cost.kept_bytes, measured.kept_bytes, 1e9),
        row("disk at the peak, GB", cost.disk_bytes, measured.disk_bytes, 1e9),
        row("memory of a worker, GB", cost.worker_memory_bytes, measured.worker_bytes, 1e9),
        row("memory of the leading process, GB", cost.leader_memory_bytes, measured.leader_bytes, 1e9),
        row("memory of all, GB", cost.memory_bytes, measured.together_bytes, 1e9),
        row("time, s", cost.seconds, measured.seconds),
        row("processor time, s", cost.processor_seconds, measured.processor_seconds),
        "\n| stage | estimated s | measured s | estimated processor s | measured processor s | ratio |",
        "|---|---|---|---|---|---|",
    ]
    for stage in cost.stages:
        if stage.stage in STAGES_WITHOUT_RECORD:
            lines.append(f"| {stage.stage} | {stage.seconds:.2f} | | {stage.processor_seconds:.2f} | | |")
            continue
        seconds, processor = measured.stages.get(stage.stage, (0.0, 0.0))
        if stage.stage in PLANE_STAGES and cost.workers > 1:
            tail = f"{stage.processor_seconds:.2f} | | |"
        else:
            ratio = f"{stage.processor_seconds / processor:.2f}" if processor else ""
            tail = f"{stage.processor_seconds:.2f} | {processor:.2f} | {ratio} |"
        lines.append(f"| {stage.stage} | {stage.seconds:.2f} | {seconds:.2f} | {tail}")
    return "\n".join(lines)


def settings(texts: list[str]) -> dict[str, Any]:
    values = {}
    for text in texts:
        name, _, value = text.partition("=")
        try:
            values[name] = ast.literal_eval(value)
        except (ValueError, SyntaxError):
            values[name] = value
    return values


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("directories", nargs="+", type=Path)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--engine", default="mosaic")
    parser.add_argument("--profile", default="archive")
    parser.add_argument("--nmajor", type=int)
    parser.add_argument("--preset", help="simulate the inputs where there are none")
    parser.add_argument("--set", action="append", default=[], help="parameter of the simulation, NAME=VALUE")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    for directory in map(Path.absolute, given.directories):
        if given.preset and not any(directory.glob("*.ms")):
            directory.mkdir(parents=True, exist_ok=True)
            casa.configure(directory.parent / f"{directory.name}-simulation.log")
            simulate(directory, preset(given.preset, **settings(given.set)), seed=given.seed)
        for made in ("working", "records", "products", "weblog"):
            shutil.rmtree(directory / made, ignore_errors=True)
        workspace = Workspace(directory)
        arguments = ["--workers", str(given.workers), "--engine", given.engine, "--profile", given.profile]
        if given.nmajor is not None:
            arguments += ["--nmajor", str(given.nmajor)]
        plan = make_plan(
            workspace,
            RunOptions(profile=given.profile, engine=given.engine, nmajor=given.nmajor),
            given.workers,
        )
        print(report(plan, measure(workspace, arguments)), flush=True)


if __name__ == "__main__":
    main()
