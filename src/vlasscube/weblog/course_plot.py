"""Course of a plane's clean, drawn by the page: there is one for each plane, and figures take long to make.

Coordinates of a drawing of `WIDTH` by `HEIGHT`, downwards from the upper left.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from vlasscube.records import STOKES, CleanCycles, PlaneImages

WIDTH, HEIGHT = 560.0, 430.0
_LEFT, _RIGHT = 62.0, 548.0
_PANELS = ((34.0, 196.0), (216.0, 384.0))
"""Upper and lower edge of each panel."""
_MAX_TICKS = 7


@dataclass(frozen=True)
class Tick:
    """A labelled place on an axis."""

    place: float
    label: str


@dataclass(frozen=True)
class Mark:
    """A major cycle of a Stokes plane."""

    x: float
    y: float
    title: str


@dataclass(frozen=True)
class Series:
    """One Stokes plane through one iteration."""

    stokes: str
    marks: tuple[Mark, ...]

    @property
    def path(self) -> str:
        """Points of the line through the marks."""
        return " ".join(f"{mark.x:.1f},{mark.y:.1f}" for mark in self.marks)


@dataclass(frozen=True)
class Panel:
    """One quantity on a logarithmic axis."""

    label: str
    top: float
    bottom: float
    ticks: tuple[Tick, ...]
    series: tuple[Series, ...]


@dataclass(frozen=True)
class CoursePlot:
    """Flux density cleaned, above, and peak residual, below, after each major cycle."""

    panels: tuple[Panel, ...]
    """None if nothing was cleaned."""
    ticks: tuple[Tick, ...]
    ends: tuple[Tick, ...]
    """Ends of the iterations."""
    stokes: tuple[str, ...]
    left: float = _LEFT
    right: float = _RIGHT
    width: float = WIDTH
    height: float = HEIGHT


@dataclass(frozen=True)
class _Run:
    """One Stokes plane through one iteration, in units of the data."""

    stokes: str
    name: str
    start: int
    cycles: CleanCycles


def course_plot(images: PlaneImages) -> CoursePlot:
    """Lay out the course of a clean.

    Each Stokes plane counts its own iterations; a dotted line ends an iteration where the longest of them
    does.
    """
    runs: list[_Run] = []
    ends: list[tuple[int, str]] = []
    start = 0
    for iteration in images.attempted:
        name = f"iter{iteration.number}"
        found = [(s, c) for s, c in iteration.cycles.items() if c.iterations]
        runs += [_Run(stokes, name, start, cycles) for stokes, cycles in found]
        if iteration.iterations_done:
            start += max((cycles.iterations[-1] for _, cycles in found), default=0)
            ends.append((start, name))
    last = max(start, 1)

    def across(count: float) -> float:
        return _LEFT + (_RIGHT - _LEFT) * (0.02 + 0.96 * count / last)

    quantities: tuple[tuple[str, str, Callable[[CleanCycles], tuple[float, ...]]], ...] = (
        ("|flux density cleaned| [Jy]", "Jy", lambda cycles: cycles.model_flux_jy),
        ("|peak residual| [Jy/beam]", "Jy/beam", lambda cycles: cycles.peak_residual_jy),
    )
    panels = tuple(
        _panel(label, unit, [(run, values(run.cycles)) for run in runs], edges, across)
        for (label, unit, values), edges in zip(quantities, _PANELS, strict=True)
    )
    step = _round_step(last / _MAX_TICKS)
    ticks = tuple(Tick(across(count), f"{count:g}") for count in range(0, last + 1, step))
    return CoursePlot(
        panels=panels if runs else (),
        ticks=ticks,
        ends=tuple(Tick(across(count), name) for count, name in ends),
        stokes=tuple(s for s in STOKES if any(run.stokes == s for run in runs)),
    )


def _round_step(least: float) -> int:
    """Smallest of 1, 2, 5, 10, … that is not below."""
    power = int(10.0 ** max(0, math.floor(math.log10(max(least, 1)))))
    return next(power * factor for factor in (1, 2, 5, 10) if power * factor >= least)


def _panel(
    label: str,
    unit: str,
    found: Sequence[tuple[_Run, Sequence[float]]],
    edges: tuple[float, float],
    across: Callable[[float], float],
) -> Panel:
    sizes = [abs(value) for _, values in found for value in values if value and math.isfinite(value)]
    low, high = (min(sizes), max(sizes)) if sizes else (0.1, 1.0)
    ticks = _log_ticks(low, high)
    bounds = math.log10(min(low, ticks[0])), math.log10(max(high, ticks[-1]))
    top, bottom = edges

    def down(value: float) -> float:
        part = (math.log10(value) - bounds[0]) / max(bounds[1] - bounds[0], 1e-9)
        return bottom - (bottom - top) * (0.04 + 0.92 * part)

    series = tuple(
        Series(
            run.stokes,
            tuple(
                Mark(
                    across(run.start + count),
                    down(abs(value)),
                    f"{run.name}, Stokes {run.stokes}, {count} iterations: {value:.4g} {unit}",
                )
                for count, value in zip(run.cycles.iterations, values, strict=False)
                if value and math.isfinite(value)
            ),
        )
        for run, values in found
    )
    return Panel(label, top, bottom, tuple(Tick(down(v), f"{v:g}") for v in ticks), series)


def _log_ticks(low: float, high: float) -> list[float]:
    """Few plain numbers from about the lowest to about the highest value."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    for factors in ((1, 2, 5), (1,)):
        ticks = [factor * 10.0**power for power in range(first, last + 1) for factor in factors]
        # One beyond each end: marks at the edge of a panel need a number to be read by.
        around = zip([0.0, *ticks], ticks, [*ticks[1:], math.inf], strict=False)
        shown = [tick for before, tick, after in around if after > low and before < high]
        if len(shown) <= _MAX_TICKS:
            return [float(f"{tick:.1g}") for tick in shown]
    every = -(-len(shown) // _MAX_TICKS)
    return [float(f"{tick:.1g}") for tick in shown[::every]]
