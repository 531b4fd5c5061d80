"""How fast this machine is, relative to the one on which the costs in `estimates` were measured.

A small piece of what imaging consists of, gridding and Fourier transforms, is timed: on one core with the
others left alone, and on all of them at once, where they share memory, caches and, with two threads a core,
the core itself. Processor time is taken, so that other work on the machine hardly matters.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import scipy.fft

from vlasscube import _kernels
from vlasscube.mosaic.uv_grid import UvGridShape

REFERENCE_SECONDS = 0.0505
"""Time of the work below on one core of the reference, an AMD EPYC (Zen 4)."""

_SIDE, _COLUMNS, _SUPPORT = 1024, 256, 7
_GROUPS, _DUMPS, _CHANNELS = 4000, 4, 16
_REPEATS = 3
_MOST_THREADS = 32
"""Each has a grid of 9 MB; with more cores than this they are as good as all."""


@dataclass(frozen=True)
class MachineSpeed:
    """Speed of a core, 1 for the reference."""

    alone: float
    """While the other cores have nothing to do."""
    together: float
    """While all of them work."""

    def busy(self, share: float) -> float:
        """Speed of a core while a share of all cores works, 0 … 1."""
        slowness = (1 - share) / self.alone + share / self.together
        return 1 / slowness


REFERENCE = MachineSpeed(1.0, 1.0)


@functools.cache
def measure_speed(cores: int) -> MachineSpeed:
    """Measure the speed of this machine; half a second, once for a process.

    Parameters
    ----------
    cores : int
        Cores that this process may use.
    """
    piece = _piece_of_work()
    piece()
    alone = min(_processor_seconds(piece) for _ in range(_REPEATS))
    together = alone
    threads = min(cores, _MOST_THREADS)
    if threads > 1:
        with ThreadPoolExecutor(threads) as pool:
            rounds = [
                sum(pool.map(lambda _: _processor_seconds(piece), range(threads))) for _ in range(_REPEATS)
            ]
        together = max(min(rounds) / threads, alone)
    return MachineSpeed(REFERENCE_SECONDS / alone, REFERENCE_SECONDS / together)


def _processor_seconds(work: Callable[[], None]) -> float:
    start = time.thread_time()
    work()
    return time.thread_time() - start


def _piece_of_work() -> Callable[[], None]:
    """Return what grids 256,000 visibilities and transforms the grid to an image of 1024², I, Q, U and V."""
    random = np.random.default_rng(1)
    rows = _GROUPS * _DUMPS
    size = 2 * _SUPPORT + 1
    kernels = random.normal(size=(1, 1, 11, 11, size, -(-size // 8) * 8)).astype(np.float32)
    # Tracks of baselines, which move by a cell from dump to dump.
    start = random.uniform(0.05, 0.9, (2, _GROUPS, 1)) * np.array([_COLUMNS, _SIDE // 2])[:, None, None]
    track = (start + 0.5 * np.arange(_DUMPS)).reshape(2, rows) / 1e9
    gridder = _kernels.Gridder(
        nx=_SIDE,
        ny=_SIDE,
        margin=_SUPPORT + 1,
        columns=_COLUMNS,
        # The second half is for visibilities of the other half-plane.
        table=np.concatenate([kernels, kernels], axis=1),
        along_x=None,
        along_y=None,
        plane_support=None,
        w_step=0.0,
        oversampling=10,
        row_x=track[0].copy(),
        row_y=track[1].copy(),
        row_w=np.zeros(rows),
        frequency=np.linspace(0.97e9, 1e9, _CHANNELS),
        beam=np.zeros(_CHANNELS, dtype=np.int32),
        pointing=np.zeros(rows, dtype=np.int32),
        pixel_x=np.array([_SIDE / 2]),
        pixel_y=np.array([_SIDE / 2]),
        weight=np.ones((rows, _CHANNELS), dtype=np.float32),
        order=np.arange(rows, dtype=np.int32),
        group_start=np.arange(0, rows + 1, _DUMPS, dtype=np.int64),
    )
    data = random.normal(size=(rows, _CHANNELS, 8)).astype(np.float32).view(np.complex64)
    shape = UvGridShape(_SIDE, _SIDE, _SUPPORT + 1, _COLUMNS)

    def work() -> None:
        grid = shape.zeros()
        gridder.grid(data, grid, 1)
        cells = grid.view(np.complex64)
        columns = scipy.fft.ifft(cells[:, _SUPPORT + 1 :], axis=0, overwrite_x=True)
        for stokes in range(columns.shape[2]):
            scipy.fft.irfft(columns[:, :, stokes], n=_SIDE, axis=1)

    return work
