"""What a cube costs in disk, memory and time, estimated before it is made. Pure functions.

Disk follows from what is written; memory and time from measurements of the two imaging engines
(docs/imaging-engine.md). The number of major cycles depends on the sky and is an assumption.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

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
FITS_IQUV_IMAGES = 4
"""FITS per plane, I, Q, U, V counted together: pbcor, rms, common-beam set, and its plane of the cube."""

WEBLOG_IMAGES, WEBLOG_SIDE, WEBLOG_CUBE_SIDE = 58, 400, 1100
"""Images of a plane in the web log besides the four of the cube, and most samples a side of each of them."""
WEBLOG_SAMPLE_BYTES = 0.8
"""Picture and packed values of a sample."""
WEBLOG_COPIES = 1.75
"""The web log and its archive among the products."""

WORKER_BASE_BYTES = 400_000_000


@dataclass(frozen=True)
class EngineCost:
    """What an imaging engine needs."""

    bytes_per_pixel: float
    """Peak memory for an IQUV image."""
    cpu_s_per_pixel: float
    """Per major cycle with its minor cycles."""
    cpu_s_per_visibility: float
    """Per visibility of four correlations and major cycle."""
    cycle_overhead_s: float
    """Of a major cycle, whatever the size; what small images cost."""


ENGINE_COSTS = {
    "casa": EngineCost(350, 13e-6, 13e-6, 2.0),
    "mosaic": EngineCost(70, 0.25e-6, 1.3e-6, 0.1),
}
CPU_S_PER_VISIBILITY = 13e-6
"""Of a pass of CASA's over the visibilities."""
MAJOR_CYCLES = (1, 16, 5, 6)
"""Assumed major cycles of iter0 … iter3: at the cost of a cycle above, what production needed at 12500² (11
to 22 hours a plane, most of it in iter1)."""
RESTORE_PASSES = 3
"""Passes over all visibilities to restore the continuum run's state: model, weights, calibration."""


@dataclass(frozen=True)
class CubeSize:
    """What the costs depend on."""

    nx: int
    ny: int
    cutout_nx: int
    cutout_ny: int
    visibilities: tuple[int, ...]
    """Of each plane that would be imaged: rows × channels, four correlations counted as one."""
    ms_rows: int
    """Rows of the working measurement set."""
    ms_visibilities: int
    """Rows × channels of the working measurement set."""

    @property
    def pixels(self) -> int:
        """Pixels of an image, one Stokes parameter."""
        return self.nx * self.ny

    @property
    def planes(self) -> int:
        """Number of planes."""
        return len(self.visibilities)


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
    """Images that stand only while planes are being imaged."""
    worker_memory_bytes: int
    """Peak memory of one worker."""
    workers: int
    plane_seconds: float
    """CPU time of the most expensive plane."""
    seconds: float
    """Wall-clock time of the run."""

    @property
    def kept_bytes(self) -> int:
        """Disk space in the end."""
        return (
            self.ms_bytes + self.images_bytes + self.cutouts_bytes + self.products_bytes + self.weblog_bytes
        )

    @property
    def disk_bytes(self) -> int:
        """Disk space at the peak."""
        return self.kept_bytes + self.transient_bytes

    @property
    def memory_bytes(self) -> int:
        """Memory of all workers."""
        return self.worker_memory_bytes * self.workers


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


def worker_memory_bytes(nx: int, ny: int, engine: str = "mosaic") -> int:
    """Peak memory of a worker that images one plane; at 12500² 11.3 GB, or 55 GB with tclean."""
    return WORKER_BASE_BYTES + int(ENGINE_COSTS[engine].bytes_per_pixel * nx * ny)


def affordable_workers(planes: int, cores: int, worker_bytes: int, available_bytes: int) -> int:
    """Number of workers that cores and memory allow, at least 1 and no more than there are planes."""
    return max(1, min(planes, cores, available_bytes // worker_bytes))


def plane_seconds(pixels: int, visibilities: int, nmajor: int | None = None, engine: str = "mosaic") -> float:
    """CPU time to image a plane.

    Parameters
    ----------
    pixels : int
        Of one Stokes parameter.
    visibilities : int
        Rows × channels.
    nmajor : int, optional
        Limit of major cycles per iteration.
    engine : str
        Imaging engine.
    """
    cost = ENGINE_COSTS[engine]
    cycles = sum(MAJOR_CYCLES if nmajor is None else (min(count, nmajor) for count in MAJOR_CYCLES))
    per_cycle = cost.cpu_s_per_pixel * pixels + cost.cpu_s_per_visibility * visibilities
    return cycles * (cost.cycle_overhead_s + per_cycle)


def schedule_seconds(durations: tuple[float, ...], workers: int) -> float:
    """Time until the last of the planes is finished, each given to the first worker that is free."""
    busy = [0.0] * max(workers, 1)
    for seconds in durations:
        first = min(range(len(busy)), key=busy.__getitem__)
        busy[first] += seconds
    return max(busy)


def estimate(size: CubeSize, workers: int, nmajor: int | None = None, engine: str = "mosaic") -> Estimate:
    """Estimate what a cube costs.

    Parameters
    ----------
    size : CubeSize
        Images and data.
    workers : int
        Planes imaged at the same time; 0, in the process itself, costs as 1.
    nmajor : int, optional
        Limit of major cycles per iteration.
    engine : str
        Imaging engine.
    """
    at_work = max(1, min(workers, size.planes))
    durations = tuple(plane_seconds(size.pixels, count, nmajor, engine) for count in size.visibilities)
    restore = RESTORE_PASSES * CPU_S_PER_VISIBILITY * size.ms_visibilities
    cutout = image_bytes(size.cutout_nx, size.cutout_ny)
    return Estimate(
        ms_bytes=measurement_set_bytes(size.ms_rows, size.ms_visibilities),
        images_bytes=size.planes * plane_bytes(size.nx, size.ny),
        cutouts_bytes=size.planes * CUTOUT_KINDS * cutout,
        products_bytes=size.planes * FITS_IQUV_IMAGES * cutout,
        weblog_bytes=size.planes * weblog_bytes(size.pixels, size.cutout_nx * size.cutout_ny),
        transient_bytes=min(at_work, size.planes) * transient_bytes(size.nx, size.ny),
        worker_memory_bytes=worker_memory_bytes(size.nx, size.ny, engine),
        workers=at_work,
        plane_seconds=max(durations, default=0.0),
        seconds=restore + schedule_seconds(durations, at_work),
    )
