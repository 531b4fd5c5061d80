"""Kill a run again and again, let it go on each time, and compare its products with those of one left alone.

``python -m tests.endtoend.kill_loop DIR [--engine mosaic|casa] [--kills 50] [--seed 1]``

First a run is killed once at each of its boundaries: as soon as a record was written (the end of a step, or
of an iteration of a plane) and as soon as a CASA task was called. Then kills come at random moments until
there are as many of these as asked for. A kill takes the main process, one worker, or all; some are SIGTERM
or SIGINT. After each, what had been finished must stay as it is: nothing is done twice. A run that comes to
its end is compared and begun anew.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import itertools
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from astropy.io import fits

from vlasscube import casa
from vlasscube.casacore_tables import table
from vlasscube.recipe import RECIPE
from vlasscube.simulation import simulate
from vlasscube.simulation.presets import preset
from vlasscube.workspace.directory import Workspace
from vlasscube.workspace.files import digest
from vlasscube.workspace.run_state import read_run_state

TIMEOUT_S = 900.0
WAYS = ("main", "all", "term", "int")
RANDOM_WAYS = (*WAYS, "worker", "worker")
CALL = re.compile(r"^(?:# )?([a-z]\w* took|[a-z]\w*(?=\())", re.MULTILINE)
"""A task called, or returned from, in the log of CASA's calls."""
MADE = ("working", "products", "records", "weblog", "logs")


@dataclass
class Tally:
    """What happened."""

    kills: Counter[str] = field(default_factory=Counter)
    boundaries: list[str] = field(default_factory=list)
    """At which a kill came."""
    random_moments: int = 0
    kept: int = 0
    """Finished steps that were looked at after a kill and had not been done again."""
    completed: int = 0

    def lines(self) -> list[str]:
        ways = ", ".join(f"{count} × {way}" for way, count in sorted(self.kills.items()))
        return [
            f"{sum(self.kills.values())} kills ({ways}): {self.random_moments} at random moments, "
            f"{len(self.boundaries)} at boundaries: {', '.join(self.boundaries)}",
            f"{self.kept} finished steps and iterations seen after a kill, none done again",
            f"{self.completed} runs came to their end; all products as those of a run left alone",
        ]


def product_digests(workspace: Workspace) -> dict[str, str]:
    """Hash of the data of each FITS product: headers hold times."""
    found = {}
    for path in sorted(workspace.products.glob("*.fits")):
        with fits.open(path) as opened:
            content = hashlib.sha256()
            for unit in opened:
                if unit.data is not None:
                    content.update(np.ascontiguousarray(unit.data).tobytes())
            found[path.name] = content.hexdigest()
    return found


def column_digests(workspace: Workspace) -> dict[str, str]:
    """Hash of the columns of the working measurement set that the restore changes."""
    (path,) = (p for p in workspace.working.glob("*.ms") if p.is_dir())
    with table(path) as opened:
        return {
            name: hashlib.sha256(np.ascontiguousarray(opened.getcol(name)).tobytes()).hexdigest()
            for name in ("FLAG", "WEIGHT", "MODEL_DATA", "CORRECTED_DATA")
        }


def input_digests(workspace: Workspace) -> dict[str, str]:
    """Digests of what must never change."""
    inputs = (workspace.input_ms, workspace.resources_archive)
    return {path.name: digest(path) for path in inputs}


class KilledRun:
    """A run directory in which the command is started and killed."""

    def __init__(self, directory: Path, engine: str, seed: int) -> None:
        self.workspace = Workspace(directory)
        self.engine = engine
        self.choose = random.Random(seed)
        self.logged: dict[Path, int] = {}
        """Length of each log of CASA calls when the run was started."""

    def command(self) -> list[str]:
        command = [sys.executable, "-m", "vlasscube.cli", "run", str(self.workspace.directory), "--quiet"]
        return [*command, "--engine", self.engine, "--workers", "2"]

    def start(self, *options: str) -> subprocess.Popen[bytes]:
        logs = (self.workspace.logs / "calls").glob("*.py")
        self.logged = {path: len(path.read_text()) for path in logs}
        return subprocess.Popen(
            [*self.command(), *options],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def finish(self) -> int:
        return self.start().wait(TIMEOUT_S)

    def places(self) -> set[str]:
        """Where the run is: records written, CASA tasks called and returned from since it was started."""
        records = self.workspace.records
        found = {
            f"{path.relative_to(records).with_suffix('')}"
            for path in records.rglob("*.json")
            if path.name not in ("options.json", "run.json")
        }
        for path in (self.workspace.logs / "calls").glob("*.py"):
            with contextlib.suppress(FileNotFoundError):
                text = path.read_text()
                start = self.logged.get(path, 0)
                events = CALL.findall(text[start:] if start <= len(text) else text)
                found |= {
                    f"{path.stem}: {event} {events[: n + 1].count(event)}" for n, event in enumerate(events)
                }
        return found

    def finished(self) -> dict[Path, int]:
        """When the steps and iterations that are done were recorded."""
        done = {}
        for path in self.workspace.records.rglob("*.json"):
            with contextlib.suppress(FileNotFoundError):
                if path.name not in ("options.json", "run.json") and '"failed"' not in path.read_text():
                    done[path] = path.stat().st_mtime_ns
        return done

    def kill_at_boundary(self, tally: Tally, way: str, until: str = RECIPE.last.name) -> bool:
        """Start, and kill at the first boundary at which no kill came before; False if there is none left."""
        before, known = self.finished(), self.places() | set(tally.boundaries)
        process, begin, place = self.start("--to", until), time.monotonic(), ""
        while process.poll() is None and not place:
            time.sleep(0.002)
            if time.monotonic() - begin > TIMEOUT_S:
                raise TimeoutError("the run does not end")
            place = min(self.places() - known, default="")
        if process.poll() is not None:
            assert process.returncode == 0, process.returncode
            return False
        self.kill(process, way)
        tally.kills[way] += 1
        tally.boundaries.append(place)
        self.require_kept(before, tally)
        return True

    def kill_at_random(self, tally: Tally, longest_s: float) -> bool:
        """Start, and kill at a random moment; False if the run came to its end before."""
        before, process = self.finished(), self.start()
        delay, way = self.choose.uniform(0.3, longest_s), self.choose.choice(RANDOM_WAYS)
        with contextlib.suppress(subprocess.TimeoutExpired):
            status = process.wait(delay)
            assert status == 0, status
            return False
        self.kill(process, way)
        tally.kills[way] += 1
        tally.random_moments += 1
        self.require_kept(before, tally)
        return True

    def require_kept(self, before: dict[Path, int], tally: Tally) -> None:
        """Nothing that was whole has been done again."""
        now = self.finished()
        again = [str(path) for path, when in before.items() if now.get(path) != when]
        assert not again, again
        tally.kept += len(before)

    def kill(self, process: subprocess.Popen[bytes], way: str) -> None:
        if way == "worker":
            workers = list(children(process.pid))
            if workers:
                os.kill(self.choose.choice(workers), signal.SIGKILL)
                time.sleep(self.choose.uniform(0.1, 3.0))
            # The run goes on without it; it is stopped some time later all the same.
            process.kill()
        elif way == "all":
            os.killpg(process.pid, signal.SIGKILL)
        else:
            number = {"main": signal.SIGKILL, "term": signal.SIGTERM, "int": signal.SIGINT}[way]
            process.send_signal(number)
        status = process.wait(30)
        if way in ("term", "int"):
            number = signal.SIGTERM if way == "term" else signal.SIGINT
            assert status in (0, 128 + number, -number), status
            state = read_run_state(self.workspace)
            # Before it has begun, what stands there is of the run before.
            if status == 128 + number and state is not None and state.pid == process.pid:
                assert state.state == "interrupted", state
        assert self.workspace.present_owner is None, "the lock outlives the run"
        deadline = time.monotonic() + 10
        while any(True for _ in group_of(process.pid)):
            assert time.monotonic() < deadline, "workers outlive the run"
            time.sleep(0.05)
        self.check_names()

    def check_names(self) -> None:
        """What stands under a final name is whole: FITS files can be read to their end."""
        for path in self.workspace.products.glob("*.fits"):
            with fits.open(path) as opened:
                for unit in opened:
                    assert unit.data is None or np.asarray(unit.data).size


def group_of(group: int) -> Iterator[int]:
    """Processes of a group that live."""
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            parts = (entry / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        except OSError:
            continue
        if int(parts[2]) == group and parts[0] != "Z":
            yield int(entry.name)


def children(parent: int) -> Iterator[int]:
    """Workers of a process."""
    for process in group_of(parent):
        if process != parent:
            command = Path(f"/proc/{process}/cmdline")
            try:
                if b"spawn_main" in command.read_bytes():
                    yield process
            except OSError:
                continue


def kill_loop(field_directory: Path, scratch: Path, engine: str, kills: int, seed: int) -> Tally:
    """Kill runs in a copy of a simulated field; compare whenever one comes to its end."""
    alone = copy_of(field_directory, scratch / "alone")
    begin = time.monotonic()
    assert KilledRun(alone, engine, 0).finish() == 0
    length_s = time.monotonic() - begin
    expected = product_digests(Workspace(alone)), column_digests(Workspace(alone))
    tally = Tally()
    run = KilledRun(copy_of(field_directory, scratch / "killed"), engine, seed)
    inputs = input_digests(run.workspace)
    for way in itertools.cycle(WAYS):
        if not run.kill_at_boundary(tally, way):
            break
        print(f"{way:5} at {tally.boundaries[-1]}", flush=True)
    while True:
        compare(run.workspace, expected, inputs, tally)
        if tally.random_moments >= kills:
            return tally
        for name in MADE:
            shutil.rmtree(run.workspace.directory / name, ignore_errors=True)
        while tally.random_moments < kills and run.kill_at_random(tally, 0.7 * length_s):
            print(f"{tally.random_moments} at random moments", flush=True)
        assert run.finish() == 0


def copy_of(source: Path, target: Path) -> Path:
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target)
    return target


def compare(
    workspace: Workspace,
    expected: tuple[dict[str, str], dict[str, str]],
    inputs: dict[str, str],
    tally: Tally,
) -> None:
    assert product_digests(workspace) == expected[0]
    assert column_digests(workspace) == expected[1]
    assert input_digests(workspace) == inputs
    tally.completed += 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("directory", type=Path)
    parser.add_argument("--engine", choices=("mosaic", "casa"), default="mosaic")
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    field_directory = given.directory / "field"
    if not field_directory.is_dir():
        given.directory.mkdir(parents=True, exist_ok=True)
        casa.configure(given.directory / "simulation.log")
        simulate(field_directory, preset("tiny", flagged_spws=(4,)), seed=5)
    tally = kill_loop(field_directory, given.directory / given.engine, given.engine, given.kills, given.seed)
    print("\n".join(tally.lines()))


if __name__ == "__main__":
    main()
