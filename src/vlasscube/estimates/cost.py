"""What a cube costs in disk, memory and time, estimated before it is made. Pure functions.

Disk follows from what is written, memory from the arrays that are held and the peaks that runs had, time from
`work_costs`. The number of major cycles depends on the sky and is an assumption until planes are finished.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from vlasscube.estimates.cube_size import CubeSize, PlaneSize
from vlasscube.estimates.machine_speed import REFERENCE, MachineSpeed
from vlasscube.estimates.work_costs import (
    ENGINE_COSTS,
    MAJOR_CYCLES,
    START,
    Work,
    after_imaging,
    after_planes,
    before_imaging,
    imaging,
)
from vlasscube.mosaic import memory
from vlasscube.recipe import MAKE_IMAGES

FLOAT_BYTES = 4
STOKES_COUNT = 4
CORRELATIONS = 4

COMPLEX_COLUMNS = 3
"""DATA, MODEL_DATA and CORRECTED_DATA of the working measurement set, 8 bytes per correlation each."""
FLAG_COPIES = 4
"""FLAG and the flag versions kept by restore and target flagging, one bit per correlation each."""
ROW_BYTES = 250
"""UVW, times, ids, WEIGHT and SIGMA of a row."""

KEPT_IQUV_IMAGES = 15
"""Per plane: residual of iter0; image and residual of iter1 and iter2; image, residual, model, psf, pb,
weight and mask of iter3; image.pbcor, residual.pbcor and rms."""
KEPT_I_IMAGES = 2
"""Per plane: the clean masks of iter1 and iter2, Stokes I only."""
TRANSIENT_IQUV_IMAGES = 4
"""Per plane at work: psf, pb, weight and model, which exist twice while an iteration is under way."""
CUTOUT_KINDS = 7
"""Cutouts per plane: image, residual, pbcor, residual.pbcor, rms, psf, pb."""
FITS_IMAGES = 18
"""FITS images of one Stokes parameter per plane: pbcor and rms of four and the primary beam, natively and in
the common-beam set."""

WEBLOG_IMAGES, WEBLOG_SIDE, WEBLOG_CUBE_SIDE = 58, 400, 1100
"""Images of a plane in the web log besides the four of the cube, and most samples a side of each of them."""
WEBLOG_SAMPLE_BYTES = 0.8
"""Picture and packed values of a sample."""
WEBLOG_COPIES = 1.75
"""The web log and its archive among the products."""

MEMORY_SHARE = 0.9
"""Share of the available memory that a run may take."""
LIBRARY_BYTES = 200_000_000
"""Code of Python, CASA and the others, in memory once however many processes use it."""
LEADER_BYTES = 260_000_000
"""Memory of the main process itself, without libraries."""
WORKER_BYTES = 230_000_000
PREDICTION_BYTES = 20
"""For each visibility of all spectral windows, while the continuum model is predicted."""
PREDICTION_PIXEL_BYTES = 30
CUTOUT_BYTES = 76
"""For each pixel of a cutout: its statistics, the Stokes analysis, the common-beam set."""
STATWT_INTEGRATION_BYTES = 1_000_000
"""For each integration in a spectral window, by CASA's statwt."""
STATWT_VISIBILITY_BYTES = 25
TCLEAN_PIXEL_BYTES = 350
"""For each pixel of an IQUV image, while tclean makes it; see `vlasscube.mosaic.memory` for the other."""


@dataclass(frozen=True)
class StageTime:
    """Time that a stage takes."""

    stage: str
    """As in the recipe, and ``start``, ``start_workers``, ``pictures``, ``weblog``."""
    seconds: float
    """For a stage that is run plane by plane: for all planes, one after the other."""
    processor_seconds: float
    """Total for all threads."""


@dataclass(frozen=True)
class Estimate:
    """What a run from beginning to end costs."""

    ms_bytes: int
    """Working measurement set."""
    images_bytes: int
    """CASA images of all planes, as they are kept."""
    cutouts_bytes: int
    products_bytes: int
    """FITS files."""
    weblog_bytes: int
    """Web log and its archive."""
    transient_bytes: int
    """Images that exist only while planes are being imaged."""
    worker_memory_bytes: int
    """Peak memory of one worker, libraries included."""
    leader_memory_bytes: int
    """Peak memory of the main process, libraries included."""
    workers: int
    plane_seconds: float
    """Time of the plane that takes longest, from imaging to pictures."""
    seconds: float
    """Time of the run, with the machine to itself."""
    stages: tuple[StageTime, ...]
    """Time by stage, in the order of the recipe."""

    @property
    def kept_bytes(self) -> int:
        """Disk space that is kept after the run."""
        return (
            self.ms_bytes + self.images_bytes + self.cutouts_bytes + self.products_bytes + self.weblog_bytes
        )

    @property
    def disk_bytes(self) -> int:
        """Disk space at the peak."""
        return self.kept_bytes + self.transient_bytes

    @property
    def processor_seconds(self) -> float:
        """Processor time of all processes and threads."""
        return sum(stage.processor_seconds for stage in self.stages)

    @property
    def memory_bytes(self) -> int:
        """Memory of all processes at the peak."""
        beside = LEADER_BYTES + self.workers * (self.worker_memory_bytes - LIBRARY_BYTES) + LIBRARY_BYTES
        return max(self.leader_memory_bytes, beside)


# --------------------------------------------------------------------------------------------------- disk


def image_bytes(nx: int, ny: int, stokes: int = STOKES_COUNT) -> int:
    """Size of an image of 32-bit floats."""
    return nx * ny * stokes * FLOAT_BYTES


def plane_bytes(nx: int, ny: int) -> int:
    """Size of the CASA images that are kept of a plane, without cutouts: 38.8 GB at 12500²."""
    return KEPT_IQUV_IMAGES * image_bytes(nx, ny) + KEPT_I_IMAGES * image_bytes(nx, ny, 1)


def transient_bytes(nx: int, ny: int) -> int:
    """Size of what stands of a plane only while it is being imaged."""
    return TRANSIENT_IQUV_IMAGES * image_bytes(nx, ny)


def weblog_bytes(pixels: int, cutout_pixels: int) -> int:
    """Size of what the web log and its archive hold of a plane; 18 MB at 12500²."""

    def samples(count: int, side: int) -> float:
        return count / max(1, math.ceil(math.sqrt(count) / side)) ** 2

    kept = WEBLOG_IMAGES * samples(pixels, WEBLOG_SIDE) + STOKES_COUNT * samples(
        cutout_pixels, WEBLOG_CUBE_SIDE
    )
    return int(WEBLOG_COPIES * WEBLOG_SAMPLE_BYTES * kept)


def measurement_set_bytes(rows: int, visibilities: int) -> int:
    """Size of the working measurement set.

    Parameters
    ----------
    rows : int
        Main-table rows.
    visibilities : int
        Rows × channels; each of four correlations has three complex values, a weight and flags.
    """
    per_correlation = COMPLEX_COLUMNS * 8 + FLOAT_BYTES + FLAG_COPIES / 8
    return rows * ROW_BYTES + math.ceil(visibilities * CORRELATIONS * per_correlation)


# ------------------------------------------------------------------------------------------------- memory


def worker_memory_bytes(
    nx: int,
    ny: int,
    engine: str = "mosaic",
    *,
    visibilities: int = 0,
    cutout_pixels: int = 0,
    gridded_pixels: int | None = None,
) -> int:
    """Peak memory of a worker that takes a plane through its stages, libraries included.

    At 12500² with 15 million visibilities 12.2 GB, with exact gridding (whose border makes `gridded_pixels`
    of them) 0.05 GB more, or 55 GB with tclean.
    """
    pixels = nx * ny
    engine_bytes = (
        TCLEAN_PIXEL_BYTES * pixels
        if engine == "casa"
        else memory.imaging_bytes(pixels, visibilities, gridded_pixels)
    )
    return LIBRARY_BYTES + WORKER_BYTES + max(engine_bytes, CUTOUT_BYTES * cutout_pixels)


def largest_worker_bytes(size: CubeSize, engine: str = "mosaic") -> int:
    """Peak memory of a worker that takes the largest of the planes through its stages."""
    return worker_memory_bytes(
        size.nx,
        size.ny,
        engine,
        visibilities=max((plane.visibilities for plane in size.planes), default=0),
        cutout_pixels=size.cutout_pixels,
        gridded_pixels=max(
            (
                size.gridded_pixels(plane.frequency_hz, is_exact=True)
                for plane in size.planes
                if ENGINE_COSTS[engine].is_exact
            ),
            default=None,
        ),
    )


def leader_memory_bytes(size: CubeSize) -> int:
    """Peak memory of the leading process, which restores, analyses and exports; libraries included."""
    prediction = PREDICTION_PIXEL_BYTES * size.pixels + PREDICTION_BYTES * size.ms_visibilities
    statwt = (
        STATWT_INTEGRATION_BYTES * size.ms_integrations
        + STATWT_VISIBILITY_BYTES * size.ms_visibilities // max(size.ms_windows, 1)
    )
    return LIBRARY_BYTES + LEADER_BYTES + max(prediction, statwt, CUTOUT_BYTES * size.cutout_pixels)


def affordable_workers(planes: int, cores: int, worker_bytes: int, available_bytes: int) -> int:
    """Number of workers that cores and memory allow, at least 1 and no more than there are planes."""
    room = int(MEMORY_SHARE * available_bytes) - LEADER_BYTES - LIBRARY_BYTES
    return max(1, min(planes, cores, room // max(worker_bytes - LIBRARY_BYTES, 1)))


# --------------------------------------------------------------------------------------------------- time


@dataclass(frozen=True)
class Pace:
    """What the finished planes of a run say about those to come."""

    major_cycles: tuple[float, ...] = MAJOR_CYCLES
    """Major cycles of iter0 … iter3, mean over the planes."""
    slowness: float = 1.0
    """Time that the planes took, over what would have been estimated."""
    planes: int = 0
    """Number of finished planes; 0 for an assumption."""


ASSUMED = Pace()


def limited_cycles(cycles: tuple[float, ...], nmajor: int | None) -> tuple[float, ...]:
    """Major cycles of the iterations where their number is limited."""
    return cycles if nmajor is None else tuple(min(count, nmajor) for count in cycles)


def schedule_seconds(durations: tuple[float, ...], workers: int) -> float:
    """Time until the last of the planes is finished, each given to the first worker that is free."""
    busy = [0.0] * max(workers, 1)
    for seconds in durations:
        first = min(range(len(busy)), key=busy.__getitem__)
        busy[first] += seconds
    return max(busy)


@dataclass(frozen=True)
class Resources:
    """What a run works with."""

    workers: int
    """Planes imaged at the same time; 0, in the process itself, costs as 1."""
    cores: int
    speed: MachineSpeed = REFERENCE

    def threads(self) -> int:
        """Threads of a worker: its share of the cores."""
        return max(self.cores // max(self.workers, 1), 1)


def plane_stages(
    size: CubeSize, plane: PlaneSize, at_work: int, resources: Resources, pace: Pace, engine: str
) -> tuple[StageTime, ...]:
    """Time of a plane by stage, while as many planes are worked on."""
    threads = resources.threads()
    works: dict[str, Work] = {
        MAKE_IMAGES.name: imaging(size, plane, engine, pace.major_cycles),
        **after_imaging(size),
    }
    times = []
    for stage, work in works.items():
        # On average as many threads of a plane are at work as its processor time fills.
        busy = at_work * work.mean_threads(threads) / resources.cores
        time = _stage_time(stage, work, resources.speed, threads, busy)
        times.append(StageTime(stage, time.seconds * pace.slowness, time.processor_seconds * pace.slowness))
    return tuple(times)


def _stage_time(stage: str, work: Work, speed: MachineSpeed, threads: int, busy: float) -> StageTime:
    processor = work.seconds / speed.busy(min(busy, 1.0))
    return StageTime(stage, work.wall_seconds(speed, threads, busy), processor)


def estimate(
    size: CubeSize,
    resources: Resources,
    *,
    nmajor: int | None = None,
    engine: str = "mosaic",
    pace: Pace = ASSUMED,
    is_restored: bool = False,
) -> Estimate:
    """Estimate what a cube costs.

    Parameters
    ----------
    size : CubeSize
        Images and data.
    resources : Resources
        Workers, cores, speed.
    nmajor : int, optional
        Limit of major cycles per iteration.
    engine : str
        Imaging engine and gridding, as from `vlasscube.estimates.work_costs.imaging_method`.
    pace : Pace
        What is known of the major cycles and the time of a plane.
    is_restored : bool
        Leave out the time of the stages before the planes.
    """
    count = len(size.planes)
    at_work = max(1, min(resources.workers, count))
    pace = Pace(limited_cycles(pace.major_cycles, nmajor), pace.slowness, pace.planes)
    by_plane = [plane_stages(size, plane, at_work, resources, pace, engine) for plane in size.planes]
    durations = tuple(sum(stage.seconds for stage in stages) for stages in by_plane)

    def once(works: dict[str, Work]) -> list[StageTime]:
        return [
            _stage_time(stage, work, resources.speed, resources.cores, 1 / resources.cores)
            for stage, work in works.items()
        ]

    before = once({"start": START} | ({} if is_restored else before_imaging(size, engine)))
    workers = at_work if resources.workers and count else 0
    starts = once({"start_workers": START}) if workers else []
    after = once(after_planes(size)) if count else []
    planes = [
        StageTime(
            stages[0].stage,
            sum(stage.seconds for stage in stages),
            sum(stage.processor_seconds for stage in stages),
        )
        for stages in zip(*by_plane, strict=True)
    ]
    field_seconds = sum(stage.seconds for stage in (*before, *starts, *after))
    starts = [StageTime(s.stage, s.seconds, s.processor_seconds * workers) for s in starts]
    cutout = image_bytes(size.cutout_nx, size.cutout_ny)
    return Estimate(
        ms_bytes=measurement_set_bytes(size.ms_rows, size.ms_visibilities),
        images_bytes=count * plane_bytes(size.nx, size.ny),
        cutouts_bytes=count * CUTOUT_KINDS * cutout,
        products_bytes=count * FITS_IMAGES * image_bytes(size.cutout_nx, size.cutout_ny, 1),
        weblog_bytes=count * weblog_bytes(size.pixels, size.cutout_pixels),
        transient_bytes=min(at_work, count) * transient_bytes(size.nx, size.ny),
        worker_memory_bytes=largest_worker_bytes(size, engine),
        leader_memory_bytes=leader_memory_bytes(size),
        workers=at_work,
        plane_seconds=max(durations, default=0.0),
        seconds=field_seconds + schedule_seconds(durations, at_work),
        stages=(*before, *starts, *planes, *after),
    )
