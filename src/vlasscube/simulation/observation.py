"""All that determines the data of a simulated field, before anything is written."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from vlasscube.simulation import corruption
from vlasscube.simulation.layout import Array, Pointing
from vlasscube.simulation.parameters import FieldSimulation
from vlasscube.simulation.sky import Source


@dataclass(frozen=True)
class Observation:
    """All that determines the data of a simulated field."""

    parameters: FieldSimulation
    seed: int
    sources: tuple[Source, ...]
    array: Array
    pointings: tuple[Pointing, ...]
    interference: tuple[corruption.Interference, ...]

    @property
    def modelled_sources(self) -> tuple[Source, ...]:
        """The sources that the continuum run knows of: those within the mosaic."""
        return tuple(source for source in self.sources if source.kind in ("field", "double"))

    @cached_property
    def _scan_spans(self) -> dict[int, tuple[float, float]]:
        """Middle of the first and the last integration of each scan."""
        spans: dict[int, tuple[float, float]] = {}
        for pointing in self.pointings:
            start, _ = spans.get(pointing.scan, (pointing.times_mjd_s[0], 0.0))
            spans[pointing.scan] = start, pointing.times_mjd_s[-1]
        return spans

    def part_of_scan(self, pointing: Pointing) -> NDArray[np.float64]:
        """Where the integrations of a field stand in its scan: −1 for the first, 1 for the last."""
        start, end = self._scan_spans[pointing.scan]
        times = np.array(pointing.times_mjd_s)
        if end == start:
            return np.zeros_like(times)
        return np.asarray(2 * (times - start) / (end - start) - 1)
