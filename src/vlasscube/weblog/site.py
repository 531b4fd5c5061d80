"""What pages are made of besides records: figures drawn once, pictures, links to what is there."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from vlasscube import __version__
from vlasscube.recipe import RECIPE, Stage
from vlasscube.results.run_records import RunRecords
from vlasscube.weblog.previews import DIRECTORY, Preview, read_previews
from vlasscube.workspace.directory import Workspace
from vlasscube.workspace.files import remove, text_digest, write_bytes

if TYPE_CHECKING:
    from matplotlib.figure import Figure

logger = logging.getLogger("vlasscube")

FIGURES = "figures"
"""Directory of the figures, in the web log."""
_FIGURE = re.compile(r".+\.[0-9a-f]{12}\.png", re.DOTALL)


@dataclass(frozen=True)
class FigureLink:
    """A figure on a page, or why it is not there."""

    source: str
    """Link relative to the pages, ``''`` if the figure could not be drawn."""
    alt: str
    caption: str
    problem: str = ""


@dataclass(frozen=True)
class PictureLink:
    """A picture of an image on a page."""

    preview: Preview
    href: str
    image: str
    """Name by which the viewer knows it."""


@dataclass(frozen=True)
class Link:
    """A link to a file beside the web log."""

    text: str
    href: str


def stage_page(entry: Stage[object]) -> str:
    """File name of a stage's page."""
    return f"stage{entry.number:02d}-{entry.name}.html"


def plane_page(label: str) -> str:
    """File name of a plane's page."""
    return f"plane-{label}.html"


class Site:
    """One rendering of the web log.

    Parameters
    ----------
    workspace : Workspace
        Run directory.
    """

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self.run = RunRecords(workspace)
        self._used: set[str] = set()
        self._pictures: dict[str, dict[tuple[str, str], PictureLink]] = {}

    # ---------------------------------------------------------------------------------------------- figures

    def figure(self, name: str, facts: Any, alt: str, caption: str, draw: Callable[[], Figure]) -> FigureLink:
        """Return a figure, drawn only if it is not there yet for these facts.

        Parameters
        ----------
        name : str
            Unique on the site, fit for a file name.
        facts : JSON-like
            What the figure depends on: keys of records, usually from `keys`.
        alt, caption : str
            What is to be seen.
        draw : callable
            Makes the figure.
        """
        state = text_digest(json.dumps([__version__, facts], default=str))
        file_name = f"{name}.{state[:12]}.png"
        path = self.workspace.weblog / FIGURES / file_name
        self._used.add(file_name)
        if not path.is_file():
            try:
                # Drawing needs matplotlib, which takes longer to import than the pages to render.
                from vlasscube.weblog.figure_style import style, to_png

                with style():
                    picture = to_png(draw())
                write_bytes(path, picture)
            except Exception as error:  # one figure that fails must not take its page with it
                logger.warning("web log: figure %s failed: %s", name, error)
                return FigureLink("", alt, caption, f"{type(error).__name__}: {error}")
        return FigureLink(f"{FIGURES}/{file_name}", alt, caption)

    def keys(self, *stages: Stage[object], plane: str | None = None) -> list[str]:
        """Identify the records of steps, for `figure`."""
        records = (self.run.step(stage, plane).record for stage in stages)
        return [f"{record.key} {record.finished}" for record in records if record is not None]

    def remove_unused_figures(self) -> None:
        """Remove figures of earlier states of the run."""
        directory = self.workspace.weblog / FIGURES
        if directory.is_dir():
            for path in directory.glob("*.png"):
                if path.name not in self._used and _FIGURE.fullmatch(path.name):
                    remove(path)

    # --------------------------------------------------------------------------------------------- pictures

    def pictures(self, label: str) -> dict[tuple[str, str], PictureLink]:
        """Pictures of a plane by kind and Stokes parameter."""
        if label not in self._pictures:
            self._pictures[label] = {
                (preview.kind, preview.stokes): picture
                for entry in RECIPE.of_planes
                if (record := self.run.step(entry, label).record) is not None
                for preview in read_previews(self.workspace, entry, label, record.key)
                if (picture := self._picture(label, preview)) is not None
            }
        return self._pictures[label]

    def _picture(self, label: str, preview: Preview) -> PictureLink | None:
        directory = self.workspace.weblog / DIRECTORY / label
        names = preview.picture, preview.data
        if any("/" in name or not (directory / name).is_file() for name in names):
            return None
        href = f"{DIRECTORY}/{quote(label)}/{quote(preview.picture)}"
        return PictureLink(preview, href, f"{label}/{preview.kind}.{preview.stokes}")

    # ------------------------------------------------------------------------------------------------ links

    def product_link(self, name: str) -> str:
        """Link to a product; ``''`` if it is not there."""
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts or not (self.workspace.products / path).is_file():
            return ""
        return f"../{self.workspace.products.name}/{quote(name)}"

    def step_links(self, stage: Stage[object], plane: str | None = None) -> list[Link]:
        """Links to the record and the logs of a step, as far as they are there."""
        casa_log, calls = self.workspace.step_logs(stage.name, plane)
        named = {
            "record": self.workspace.record_path(stage.name, plane),
            "CASA log": casa_log,
            "CASA calls": calls,
        }
        return [
            Link(text, f"../{quote(self.workspace.relative(path))}")
            for text, path in named.items()
            if path.is_file()
        ]
