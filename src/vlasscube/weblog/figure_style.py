"""One look for all figures: colours that stay apart for the colour-blind, sizes that read as shown."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

DPI = 110

STOKES_COLOURS = {"I": "#3b3f46", "Q": "#0072b2", "U": "#009e73", "V": "#d55e00"}
"""Okabe and Ito's palette."""
STOKES_MARKERS = {"I": "o", "Q": "<", "U": ">", "V": "s"}
ACCENT = "#0072b2"
SECOND = "#009e73"
WARNING = "#d55e00"
MUTED = "#8a9099"

Margins = tuple[float, float, float, float]

_STYLE: dict[str, Any] = {
    "font.size": 10,
    "axes.titlesize": 11,
    "axes.labelsize": 10,
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "legend.fontsize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#d9dce1",
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "figure.facecolor": "white",
    "legend.frameon": False,
    # Names from a measurement set may hold dollar signs.
    "text.parse_math": False,
}


@contextlib.contextmanager
def style() -> Iterator[None]:
    """Settings that figures are made and drawn under; nothing of pyplot is touched."""
    with mpl.rc_context(_STYLE):
        yield


def new_figure(width: float = 7.2, height: float = 4.2, margins_in: Margins | None = None) -> Figure:
    """Empty figure.

    Parameters
    ----------
    width, height : float
        Size in inches.
    margins_in : tuple of float, optional
        Left, right, bottom, top, in inches: to find them takes as long as to draw the figure.
    """
    if margins_in is None:
        return Figure(figsize=(width, height), dpi=DPI, layout="constrained")
    figure = Figure(figsize=(width, height), dpi=DPI)
    left, right, bottom, top = margins_in
    figure.subplots_adjust(left / width, bottom / height, 1 - right / width, 1 - top / height, hspace=0.12)
    return figure


def to_png(figure: Figure) -> bytes:
    """Draw a figure."""
    stream = io.BytesIO()
    with style():
        figure.savefig(stream, format="png", dpi=DPI, pil_kwargs={"compress_level": 3})
    return stream.getvalue()


def short(text: str, limit: int = 28) -> str:
    """Text fit for a label."""
    clean = "".join(c if c.isprintable() else "?" for c in text[: limit + 1])
    return clean if len(clean) <= limit else f"{clean[: limit - 1]}…"


def plane_name(label: str) -> str:
    """Spectral windows of a plane label: ``spw2_3`` is ``2,3``."""
    return short(label.removeprefix("spw").replace("_", ","), 9)


def spectral_colour(index: int, number: int) -> Any:
    """Colour of the ``index``-th of so many planes, from low to high frequency."""
    return mpl.colormaps["plasma"](0.05 + 0.85 * index / max(number - 1, 1))


def log_ticks(axis: Axis, low: float, high: float) -> None:
    """Few plain numbers on a logarithmic axis: those of one decade or less are not all powers of ten."""
    axis.set_major_locator(LogLocator() if high > 30 * low else MaxNLocator(6))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def no_data(axes: Axes, text: str) -> None:
    """Say why a panel is empty."""
    axes.text(0.5, 0.5, text, ha="center", va="center", transform=axes.transAxes, color=MUTED)
