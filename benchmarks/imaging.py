"""Our imaging engine beside CASA's tclean, on the same data in one run.

    python benchmarks/imaging.py compare DIR      ratios of time: dirty image, major cycle, whole clean (an
    hour) python benchmarks/imaging.py scaling DIR      our engine with threads, image size and visibilities
    (minutes) python benchmarks/imaging.py production DIR   our engine at 12500 x 12500 pixels, step by step
    (half an hour)

Each measurement runs in a process of its own; engines take turns. CPU time is user and system time of all
threads. Results are printed as Markdown and kept as JSON in DIR.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from vlasscube import Workspace, casa
from vlasscube.clean_terms import PrimaryBeamMask, StopCode
from vlasscube.imaging.clean_sequence import (
    CleanParameters,
    IterationParameters,
    iteration_sequence,
    tclean_arguments,
)
from vlasscube.imaging.engine import CleanRequest
from vlasscube.imaging.engines import imaging_engine
from vlasscube.recipe import FLAG_TARGETS_DATA
from vlasscube.records import DataSelection, ImageGeometry
from vlasscube.simulation.build import simulate
from vlasscube.simulation.parameters import FieldSimulation
from vlasscube.simulation.presets import preset

ENGINES = ("casa", "mosaic")
WIDE_CHANNELS = 18


def wide_field(size: int) -> FieldSimulation:
    """Two degrees in 403 pointings; 4.35 million visibilities of four correlations."""
    return preset(
        "wide",
        antennas=25,
        channels=WIDE_CHANNELS,
        science_spws=(10,),
        imsize=(size, size),
        cell_arcsec=7200 / size,
    )


# ------------------------------------------------------------------------------------- what is measured


@dataclasses.dataclass(frozen=True)
class Task:
    """One measurement, done by a process of its own."""

    engine: str
    what: str
    """``'dirty'``, ``'major'`` or ``'clean'``."""
    ms: str
    geometry: ImageGeometry
    spw: str
    reffreq_hz: float
    directory: str
    nmajor: int | None = None
    threads: int = 2


def selection(ms: Path, spw: str) -> DataSelection:
    metadata = casa.tools().msmetadata()
    metadata.open(str(ms))
    try:
        intent = "OBSERVE_TARGET#UNSPECIFIED"
        fields = ",".join(map(str, metadata.fieldsforintent(intent)))
        scans = ",".join(map(str, metadata.scansforintent(intent)))
        antennas = ",".join(map(str, metadata.antennaids())) + "&"
    finally:
        metadata.done()
    return DataSelection(fields, spw, antennas, scans, intent, "<12km")


def request(task: Task, iteration: IterationParameters, previous: Path | None) -> CleanRequest:
    parameters = CleanParameters(geometry=task.geometry, masks=(PrimaryBeamMask(),) * 3, nmajor=task.nmajor)
    root = Path(task.directory) / f"{task.engine}.iter{iteration.number}"
    return CleanRequest(
        Path(task.ms),
        selection(Path(task.ms), task.spw),
        task.reffreq_hz,
        root,
        previous,
        parameters,
        iteration,
    )


def timed(work: Callable[[], Any]) -> dict[str, float]:
    cpu, wall = time.process_time(), time.monotonic()
    work()
    return {"wall_s": time.monotonic() - wall, "cpu_s": time.process_time() - cpu}


def measure(task: Task) -> dict[str, float]:
    casa.configure(Path(task.directory) / "casa.log")
    os.environ["VLASSCUBE_THREADS"] = str(task.threads)
    if task.what == "major":
        result = major_casa(task) if task.engine == "casa" else major_mosaic(task)
    else:
        sequence = iteration_sequence(
            CleanParameters(geometry=task.geometry, masks=(PrimaryBeamMask(),) * 3, nmajor=task.nmajor)
        )
        engine = imaging_engine(task.engine)
        count = 1 if task.what == "dirty" else len(sequence)
        majors: list[int] = []

        def work() -> None:
            previous = None
            for iteration in sequence[:count]:
                made = request(task, iteration, previous)
                majors.append(engine.clean(made).major_cycles)
                previous = made.image_root

        result = timed(work) | {"major_cycles": float(sum(majors))}
    return result | {"rss_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6}


def test_model(geometry: ImageGeometry) -> np.ndarray:
    random = np.random.default_rng(3)
    model = np.zeros((4, geometry.ny, geometry.nx), dtype=np.float32)
    x = random.integers(geometry.nx // 4, 3 * geometry.nx // 4, 200)
    y = random.integers(geometry.ny // 4, 3 * geometry.ny // 4, 200)
    model[:, y, x] = np.array([1.0, 0.1, 0.1, 0.02])[:, None] * 0.01
    return model


def major_casa(task: Task) -> dict[str, float]:
    """A major cycle of tclean: prediction and residual of a model that is there already."""
    first = iteration_sequence(CleanParameters(geometry=task.geometry, masks=(PrimaryBeamMask(),)))[0]
    made = request(task, first, None)
    arguments = tclean_arguments(
        task.ms, made.selection, task.reffreq_hz, str(made.image_root), made.parameters, first
    )
    with casa.image(Path(f"{made.image_root}.model.tt0")) as image:
        image.putchunk(test_model(task.geometry).transpose(2, 1, 0)[..., None].astype(float))
    return timed(lambda: casa.run_task("tclean", **arguments | {"calcpsf": False, "calcres": True}))


def major_mosaic(task: Task) -> dict[str, float]:
    from vlasscube.imaging.imager_inputs import image_grid
    from vlasscube.measurement_set.visibilities import read_visibilities
    from vlasscube.mosaic.imager import ImagerSettings, MosaicImager

    chosen = selection(Path(task.ms), task.spw)
    visibilities = read_visibilities(Path(task.ms), chosen)
    imager = MosaicImager(image_grid(task.geometry), visibilities, ImagerSettings(threads=task.threads))
    weight_image = imager.weight_image()
    model = test_model(task.geometry)
    residual = np.empty_like(model)
    # The first residual allocates what the later ones use again.
    imager.residual(model, weight_image, residual)
    return timed(lambda: imager.residual(model, weight_image, residual))


def run(task: Task) -> dict[str, float]:
    """Measure in a process of its own."""
    plain = dataclasses.asdict(task)
    done = subprocess.run(
        [sys.executable, __file__, "measure", json.dumps(plain)], check=True, capture_output=True, text=True
    )
    result: dict[str, float] = json.loads(done.stdout.strip().splitlines()[-1])
    print(
        f"  {task.engine:7s} {task.what:6s}",
        {key: round(value, 2) for key, value in result.items()},
        flush=True,
    )
    return result


# ---------------------------------------------------------------------------------------- the comparisons


def working_set(directory: Path, parameters: FieldSimulation) -> Path:
    """Simulate a field and take it to the stage before imaging."""
    run_directory = directory / parameters.name
    found = sorted(run_directory.glob("working/*_split_split.ms"))
    if not Workspace(run_directory).record_path(FLAG_TARGETS_DATA.name).exists():
        shutil.rmtree(run_directory, ignore_errors=True)
        simulate(run_directory, parameters)
        command = [
            Path(sys.executable).with_name("vlasscube"),
            "run",
            str(run_directory),
            "--to",
            "5",
            "--quiet",
        ]
        subprocess.run(command, check=True)
        found = sorted(run_directory.glob("working/*_split_split.ms"))
    return found[0]


def geometry_of(parameters: FieldSimulation) -> ImageGeometry:
    return ImageGeometry(*parameters.imsize, parameters.cell_arcsec, parameters.phasecenter)


def compare(directory: Path, size: int, repeat: int, nmajor: int, steps: list[str]) -> None:
    parameters = wide_field(size)
    ms = working_set(directory, parameters)
    results: dict[str, dict[str, list[dict[str, float]]]] = {}
    for what in steps:
        for _ in range(1 if what == "clean" else repeat):
            for engine in ENGINES:
                scratch = directory / "images" / engine
                if what != "major":
                    shutil.rmtree(scratch, ignore_errors=True)
                    scratch.mkdir(parents=True)
                elif engine == "casa" and not (scratch / "casa.iter0.psf.tt0").exists():
                    raise SystemExit("a major cycle of tclean needs the images of step dirty")
                result = run(task_for(engine, what, ms, parameters, scratch, nmajor))
                results.setdefault(what, {}).setdefault(engine, []).append(result)
    (directory / "compare.json").write_text(json.dumps(results, indent=1))
    print(f"\n{size}² pixels, 2°, {WIDE_CHANNELS} channels, 403 pointings; median of {repeat}, clean once\n")
    print("| step | tclean wall s | CPU s | vlasscube wall s | CPU s | CPU ratio | wall ratio |")
    print("|---|---|---|---|---|---|---|")
    for what, by_engine in results.items():
        medians = {
            engine: {key: statistics.median(entry[key] for entry in runs) for key in ("wall_s", "cpu_s")}
            for engine, runs in by_engine.items()
        }
        theirs, ours = medians["casa"], medians["mosaic"]
        print(
            f"| {what} | {theirs['wall_s']:.1f} | {theirs['cpu_s']:.1f} "
            f"| {ours['wall_s']:.2f} | {ours['cpu_s']:.2f} "
            f"| {theirs['cpu_s'] / ours['cpu_s']:.0f} | {theirs['wall_s'] / ours['wall_s']:.0f} |"
        )


def task_for(
    engine: str,
    what: str,
    ms: Path,
    parameters: FieldSimulation,
    scratch: Path,
    nmajor: int | None,
    threads: int = 2,
) -> Task:
    spw = str(parameters.science_spws[0])
    reffreq = 2.028e9 + 128e6 * (parameters.science_spws[0] - 2)
    return Task(engine, what, str(ms), geometry_of(parameters), spw, reffreq, str(scratch), nmajor, threads)


def scaling(directory: Path) -> None:
    parameters = wide_field(2048)
    ms = working_set(directory, parameters)
    scratch = directory / "images"
    scratch.mkdir(parents=True, exist_ok=True)
    print(
        "| pixels | channels | threads | major cycle wall s | CPU s | memory GB |\n|---|---|---|---|---|---|"
    )
    rows = []
    for size in (1024, 2048, 4096, 8192):
        for threads in (1, 2):
            sized = dataclasses.replace(parameters, imsize=(size, size), cell_arcsec=7200 / size)
            result = run(task_for("mosaic", "major", ms, sized, scratch, None, threads))
            rows.append({"size": size, "threads": threads} | result)
            print(
                f"| {size}² | {WIDE_CHANNELS} | {threads} | {result['wall_s']:.2f} | {result['cpu_s']:.2f} "
                f"| {result['rss_gb']:.2f} |"
            )
    (directory / "scaling.json").write_text(json.dumps(rows, indent=1))


def production(directory: Path) -> None:
    """A plane of production size through the workflow; the times are in its records."""
    run_directory = directory / "production"
    if not run_directory.exists():
        simulate(run_directory, preset("production"))
    command = [Path(sys.executable).with_name("vlasscube"), "run", str(run_directory), "--workers", "1"]
    subprocess.run(command, check=True)
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1e6
    print("\n| step | minutes | major cycles | components | stop |\n|---|---|---|---|---|")
    total = 0.0
    for path in sorted((run_directory / "records" / "planes").rglob("*make_images.iter*.json")):
        record = json.loads(path.read_text())["result"]
        total += record["seconds"]
        print(
            f"| iter{record['number']} | {record['seconds'] / 60:.1f} | {record['major_cycles']} "
            f"| {record['iterations_done']} | {StopCode(record['stop_code']).text} |"
        )
    print(f"\nThe plane: {total / 60:.1f} minutes; 16 planes: {16 * total / 3600:.1f} hours")
    print(f"Peak memory: {peak:.1f} GB")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("compare", "scaling", "production", "measure"))
    parser.add_argument("directory", help="working directory; it is created and kept")
    parser.add_argument("--size", type=int, default=2048)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument(
        "--nmajor", type=int, default=3, help="limit of major cycles for each iteration of the clean"
    )
    parser.add_argument("--steps", default="dirty,major,clean", help="steps to measure")
    given = parser.parse_args()
    if given.what == "measure":
        plain = json.loads(given.directory)
        task = Task(**plain | {"geometry": ImageGeometry(**plain["geometry"])})
        print(json.dumps(measure(task)))
        return
    directory = Path(given.directory).resolve()
    directory.mkdir(parents=True, exist_ok=True)
    casa.configure()
    if given.what == "compare":
        compare(directory, given.size, given.repeat, given.nmajor, given.steps.split(","))
    elif given.what == "scaling":
        scaling(directory)
    else:
        production(directory)


if __name__ == "__main__":
    main()
