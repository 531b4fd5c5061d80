"""What the stages of a run cost in processor time. Pure functions.

The constants were measured on fields of 320² to 8192² pixels with 10⁵ to 8·10⁶ visibilities, in processor
seconds of a core of the machine that `machine_speed.REFERENCE_SECONDS` stands for, while other cores were at
work (`benchmarks/estimates.py` compares the estimates with a run on any machine).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from vlasscube.estimates.cube_size import CubeSize, PlaneSize
from vlasscube.estimates.machine_speed import MachineSpeed
from vlasscube.options import RunOptions
from vlasscube.recipe import (
    ANALYZE_STOKES_CUBES,
    EXPORT_VLASS_DATA,
    FLAG_TARGETS_DATA,
    MAKE_CUTOUT_IMAGES,
    MAKE_RMS_IMAGES,
    PBCOR,
    RESTORE_PIMS,
    TRANSFORM_IMAGE_DATA,
)


@dataclass(frozen=True)
class Work:
    """A piece of work."""

    seconds: float
    """Processor time on a core of the reference machine."""
    threaded: float = 0.0
    """Share of it that the threads of a process divide among them."""

    def __add__(self, other: Work) -> Work:
        seconds = self.seconds + other.seconds
        shared = self.seconds * self.threaded + other.seconds * other.threaded
        return Work(seconds, shared / seconds if seconds else 0.0)

    def __mul__(self, count: float) -> Work:
        return Work(self.seconds * count, self.threaded)

    def mean_threads(self, threads: int) -> float:
        """Number of threads that are at work on average."""
        return 1 / (1 - self.threaded + self.threaded / max(threads, 1))

    def wall_seconds(self, speed: MachineSpeed, threads: int, busy: float) -> float:
        """Time that it takes.

        Parameters
        ----------
        speed : MachineSpeed
            Speed of the machine.
        threads : int
            Threads of the process that does it.
        busy : float
            Share of all cores that are at work meanwhile; above 1 they are divided.
        """
        return self.seconds / self.mean_threads(threads) * max(busy, 1.0) / speed.busy(min(busy, 1.0))


@dataclass(frozen=True)
class EngineCost:
    """Processor seconds that an imaging engine takes."""

    cycle_s: float
    """For each major cycle with its minor cycles, whatever the size; what small images cost."""
    cycle_s_per_pixel: float
    cycle_s_per_visibility: float
    cycle_s_per_footprint_cell: float
    """For each cell of the uv grid that a visibility is spread over."""
    iteration_s: float
    """For each iteration, besides its major cycles: writing, statistics."""
    iteration_s_per_pixel: float
    reading_s_per_visibility: float
    beam_s_per_pixel: float
    """For each primary beam and pixel of its screen."""
    threaded: float
    """Share of a major cycle that threads divide."""
    is_exact: bool = False
    """Whether it grids an image with a border, with convolution functions of a wider support."""


ENGINE_COSTS = {
    "casa": EngineCost(2.0, 4e-6, 0.0, 57e-9, 0.0, 0.0, 0.0, 0.0, 0.0),
    "mosaic": EngineCost(0.025, 0.1e-6, 0.04e-6, 0.9e-9, 0.12, 0.33e-6, 0.16e-6, 0.07e-6, 0.7),
    "mosaic exact": EngineCost(
        0.025, 0.1e-6, 0.5e-6, 2.0e-9, 0.12, 0.33e-6, 0.16e-6, 0.07e-6, 0.7, is_exact=True
    ),
    "mosaic exact w": EngineCost(
        0.025, 0.1e-6, 0.5e-6, 2.6e-9, 0.12, 0.33e-6, 0.16e-6, 0.07e-6, 0.7, is_exact=True
    ),
}
"""By engine, and by gridding where it is another than tclean's. tclean's cost by a cycle at 2048², the demo,
and production, which took 11 to 22 hours a plane."""


def imaging_method(options: RunOptions) -> str:
    """Return the key in `ENGINE_COSTS` of how planes are imaged with some options."""
    if options.gridding != "exact":
        return options.engine
    return f"{options.engine} exact{' w' * options.w_correction}"


MAJOR_CYCLES = (1, 23, 12, 3)
"""Assumed major cycles of iter0 … iter3. Simulated fields and planes of production took 21 (all sources below
40 mJy) to 46 in all; a peak ten times as high above the noise takes ten cycles more."""

LARGE_PIXELS = 4096**2
GROWTH_PER_DOUBLING = 0.25
"""What a pixel costs more in a major cycle for each doubling of their number above `LARGE_PIXELS`, where
columns of a transform lie on ever more pages of memory: 1.8 times as much at 12500²."""

START = Work(2.3)
"""Start of a process: Python, CASA."""
WEBLOG = Work(2.0)
WEBLOG_PLANE = Work(0.1)
SPLIT_S, SPLIT_S_PER_ROW, SPLIT_S_PER_FIELD_ROW = 0.5, 20e-6, 70e-6
"""Rows of FIELD are copied one by one, and all are, with data or without. Measured with 63, 8063
and 14,358 of them."""
RESTORE_S = 0.2
STATWT_S_PER_VISIBILITY = 7.8e-6
CALIBRATION_S_PER_ROW = 30e-6
"""Time of statwt and applycal together."""
ARCHIVE_S_PER_PIXEL = 0.1e-6
FLAG_S, FLAG_S_PER_ROW = 0.03, 2e-6
PBCOR_S, PBCOR_S_PER_PIXEL = 0.05, 0.13e-6
RMS_S, RMS_S_PER_PIXEL, RMS_S_PER_PIXEL_OF_BOX = 0.03, 0.2e-6, 65e-12
RMS_BOX_ARCSEC = 60.0
CUTOUT_S, CUTOUT_S_PER_PIXEL = 0.1, 0.55e-6
PICTURES_S, PICTURES_S_PER_PIXEL = 0.4, 0.3e-6
STOKES_S, STOKES_S_PER_PIXEL = 0.1, 0.33e-6
EXPORT_S, EXPORT_S_PER_PIXEL = 0.55, 0.7e-6


# ------------------------------------------------------------------------------------------------- planes


def major_cycle(size: CubeSize, plane: PlaneSize, engine: str) -> Work:
    """Return the cost of a major cycle with its minor cycles."""
    cost = ENGINE_COSTS[engine]
    per_visibility = cost.cycle_s_per_visibility + cost.cycle_s_per_footprint_cell * size.footprint_cells(
        plane.frequency_hz, is_exact=cost.is_exact
    )
    pixels = size.gridded_pixels(plane.frequency_hz, is_exact=cost.is_exact)
    beyond = max(math.log2(pixels / LARGE_PIXELS), 0.0) if pixels else 0.0
    per_pixel = cost.cycle_s_per_pixel * (1 + GROWTH_PER_DOUBLING * beyond)
    divisible = Work(per_pixel * pixels + per_visibility * plane.visibilities * plane.usable, cost.threaded)
    return divisible + Work(cost.cycle_s)


def imaging(size: CubeSize, plane: PlaneSize, engine: str, cycles: tuple[float, ...]) -> Work:
    """Return the cost of iter0 … iter3 of a plane.

    Parameters
    ----------
    size : CubeSize
        Size of the cube.
    plane : PlaneSize
        Size of the plane.
    engine : str
        Imaging engine and gridding, a key of `ENGINE_COSTS`.
    cycles : tuple of float
        Major cycles of the iterations; the first counts for psf and dirty image.
    """
    cost = ENGINE_COSTS[engine]
    beams = cost.beam_s_per_pixel * size.screen_pixels(plane.frequency_hz) * size.beams(plane.frequency_hz)
    once = Work(cost.reading_s_per_visibility * plane.visibilities + plane.windows * beams)
    each = Work(cost.iteration_s + cost.iteration_s_per_pixel * size.pixels)
    return once + each * len(cycles) + major_cycle(size, plane, engine) * sum(cycles)


def after_imaging(size: CubeSize) -> dict[str, Work]:
    """Return the cost of the stages that follow the imaging of a plane; ``pictures`` is the web log's."""
    return {
        PBCOR.name: Work(PBCOR_S + PBCOR_S_PER_PIXEL * size.pixels),
        MAKE_RMS_IMAGES.name: Work(RMS_S) + _rms_map(size, size.pixels),
        MAKE_CUTOUT_IMAGES.name: Work(CUTOUT_S + CUTOUT_S_PER_PIXEL * size.cutout_pixels),
        "pictures": Work(PICTURES_S + PICTURES_S_PER_PIXEL * size.pixels),
    }


def _rms_map(size: CubeSize, pixels: int) -> Work:
    """Return the cost of the rms images of four Stokes parameters."""
    box = RMS_BOX_ARCSEC / size.cell_arcsec
    return Work((RMS_S_PER_PIXEL + RMS_S_PER_PIXEL_OF_BOX * box**2) * pixels, 0.8)


# -------------------------------------------------------------------------------------------------- field


def before_imaging(size: CubeSize, engine: str) -> dict[str, Work]:
    """Return the cost of the stages before the planes, by stage."""
    return {
        TRANSFORM_IMAGE_DATA.name: Work(
            SPLIT_S + SPLIT_S_PER_ROW * size.ms_rows + SPLIT_S_PER_FIELD_ROW * size.ms_field_rows
        ),
        RESTORE_PIMS.name: _restore(size, engine),
        FLAG_TARGETS_DATA.name: Work(FLAG_S + FLAG_S_PER_ROW * size.ms_rows),
    }


def _restore(size: CubeSize, engine: str) -> Work:
    """Archive, prediction of the model, statwt, applycal; the model is predicted as tclean does it."""
    engine = engine.partition(" ")[0]
    calibration = Work(
        RESTORE_S
        + ARCHIVE_S_PER_PIXEL * size.pixels
        + STATWT_S_PER_VISIBILITY * size.ms_visibilities
        + CALIBRATION_S_PER_ROW * size.ms_rows
    )
    frequency = _mean_frequency_hz(size)
    data = PlaneSize(size.ms_visibilities, frequency)
    cost = ENGINE_COSTS[engine]
    beams = cost.beam_s_per_pixel * size.screen_pixels(frequency) * size.beams(frequency)
    reading = Work(cost.reading_s_per_visibility * size.ms_visibilities + size.ms_windows * beams)
    # Half of what a major cycle does: degridding.
    return calibration + reading + major_cycle(size, data, engine) * 0.5


def _mean_frequency_hz(size: CubeSize) -> float:
    frequencies = [plane.frequency_hz for plane in size.planes]
    return sum(frequencies) / len(frequencies) if frequencies else 3e9


def after_planes(size: CubeSize) -> dict[str, Work]:
    """Return the cost of the stages after the planes, by stage; ``weblog`` is that of its pages."""
    count = len(size.planes)
    return {
        ANALYZE_STOKES_CUBES.name: Work(STOKES_S + STOKES_S_PER_PIXEL * size.cutout_pixels) * count,
        EXPORT_VLASS_DATA.name: (
            Work(EXPORT_S + EXPORT_S_PER_PIXEL * size.cutout_pixels) + _rms_map(size, size.cutout_pixels)
        )
        * count,
        "weblog": WEBLOG + WEBLOG_PLANE * count,
    }
