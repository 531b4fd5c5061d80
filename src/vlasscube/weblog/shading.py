"""Table cells that stand out, shaded by how far."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from vlasscube.images.statistics import deviations

SIGMA_LEVELS = (3.0, 4.0, 5.0, 6.0)
"""Deviations from the median of all planes, in σ, from which a cell is shaded more strongly."""
MIN_PLANES = 4
"""Fewer planes have no median worth deviating from."""


@dataclass(frozen=True)
class Cell:
    """A cell: text, strength of the shading (0 to 4), and what it means."""

    text: str
    level: int = 0
    note: str = ""


def outliers(
    values: Sequence[float | None],
    form: Callable[[float | None], str],
    *,
    only_high: bool = False,
    absolute: bool = False,
) -> list[Cell]:
    """Cells of one column, one per plane; σ is the scaled median absolute deviation over the planes.

    Parameters
    ----------
    values : sequence of float or None
        The column.
    form : callable
        How a value is written.
    only_high : bool
        Leave low values unshaded.
    absolute : bool
        Judge the sizes of the values.
    """
    judged = [abs(v) if absolute and v is not None else v for v in values]
    if sum(v is not None for v in judged) < MIN_PLANES:
        return [Cell(form(value)) for value in values]
    cells = []
    for value, found in zip(values, deviations(judged), strict=True):
        deviation = found or 0.0
        level = bisect_right(SIGMA_LEVELS, deviation if only_high else abs(deviation))
        note = f"{deviation:+.1f} σ from the median of the planes" if level else ""
        cells.append(Cell(form(value), level, note))
    return cells


def below(value: float | None, text: str, limits: Sequence[float]) -> Cell:
    """Cell shaded when its value is below the limits, given from the mildest to the strongest."""
    return Cell(text, sum(value < limit for limit in limits) if value is not None else 0)


def above(value: float | None, text: str, limits: Sequence[float]) -> Cell:
    """Cell shaded when its value reaches the limits, given from the mildest to the strongest."""
    return Cell(text, sum(value >= limit for limit in limits) if value is not None else 0)
