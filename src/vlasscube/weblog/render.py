"""Render the web log: a page per stage and per plane, from the records alone, as far as the run has come."""

from __future__ import annotations

import html
import json
import logging
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, partial
from importlib import resources
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from vlasscube import __version__, recipe
from vlasscube.products.owned_files import Ownership
from vlasscube.recipe import RECIPE, Stage
from vlasscube.results.run_records import StageStatus
from vlasscube.weblog import formats
from vlasscube.weblog.own_pages import (
    INDEX,
    SCRIPTS_DIRECTORY,
    SHEETS,
    VIEWER,
    claim_weblog,
)
from vlasscube.weblog.pages import field_stages, final_stages, plane_stages
from vlasscube.weblog.pages.overview import overview
from vlasscube.weblog.previews import DIRECTORY
from vlasscube.weblog.site import Site, plane_page, stage_page
from vlasscube.weblog.viewer_data import index_script
from vlasscube.weblog.viewer_index import viewer_index
from vlasscube.workspace.directory import Workspace
from vlasscube.workspace.files import remove, write_text

logger = logging.getLogger("vlasscube")

VIEWER_INDEX = f"{DIRECTORY}/index.js"
_VIEWER_PARTS = (
    *("ramps", "colormaps", "numbers", "sky", "catalogue", "values", "painter", "gestures", "spectrum_plot"),
    *("spectrum_panel", "readout", "montage", "viewer", "selection", "scene", "controls", "start"),
)
SCRIPTS = (
    f"{SCRIPTS_DIRECTORY}/data.js",
    VIEWER_INDEX,
    *(f"{SCRIPTS_DIRECTORY}/{name}.js" for name in _VIEWER_PARTS),
)
"""In the order in which they need each other; the index says what there is in terms of the first."""
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; img-src 'self' data: blob:; style-src 'self'; base-uri 'none'; "
    "form-action 'none'"
)
"""Pages hold strings from measurement sets: only our own scripts may run or load anything."""

_PLANE_PAGE = re.compile(r"plane-spw\d+(_\d+)*\.html", re.ASCII)
_MAX_INPUTS = 20000
"""Characters of a step's inputs that are shown."""
_STAGE_CONTENT: Mapping[Stage[object], Callable[[Site], dict[str, Any]]] = {
    recipe.IMPORT_DATA: field_stages.import_data,
    recipe.EDIT_IMAGE_LIST_CONTINUUM: field_stages.edit_image_list_continuum,
    recipe.TRANSFORM_IMAGE_DATA: field_stages.transform_image_data,
    recipe.RESTORE_PIMS: field_stages.restore_pims,
    recipe.FLAG_TARGETS_DATA: field_stages.flag_targets_data,
    recipe.EDIT_IMAGE_LIST_CUBE: field_stages.edit_image_list_cube,
    recipe.MAKE_IMAGES: plane_stages.make_images,
    recipe.PBCOR: plane_stages.pbcor,
    recipe.MAKE_RMS_IMAGES: plane_stages.make_rms_images,
    recipe.MAKE_CUTOUT_IMAGES: plane_stages.make_cutout_images,
    recipe.ANALYZE_STOKES_CUBES: final_stages.analyze_stokes_cubes,
    recipe.EXPORT_VLASS_DATA: final_stages.export_vlass_data,
}
"""What the pages of stages show of their results, by a template of the stage's name; a stage that is not here
has a page with what is known of any stage."""


@dataclass(frozen=True)
class _Page:
    """A page: its file, its template, and what makes its content."""

    file: str
    template: str
    title: str
    content: Callable[[], dict[str, Any]]
    status: StageStatus | None = None


def render_weblog(workspace: Workspace) -> Path:
    """Render all pages.

    A page that cannot be rendered says so in its place; the others go on.

    Parameters
    ----------
    workspace : Workspace
        Run directory.

    Returns
    -------
    Path
        The first page.

    Raises
    ------
    ProblemListError
        If something that the run has not made lies under the name of a page; nothing has been changed.
    """
    site = Site(workspace)
    owned = claim_weblog(workspace, (target.label for target in site.run.targets))
    common = _common(site)
    pages = list(_pages(site))
    for page in pages:
        _write(workspace.weblog / page.file, _render(page, common))
    _write(workspace.weblog / VIEWER_INDEX, _viewer_index_script(site))
    static = resources.files(__package__).joinpath("static")
    for name in (*SHEETS, *(script for script in SCRIPTS if script != VIEWER_INDEX)):
        _write(workspace.weblog / name, static.joinpath(name).read_text(encoding="utf-8"))
    _remove_other_pages(workspace, owned, {page.file for page in pages})
    site.remove_unused_figures()
    return workspace.weblog / INDEX


def _write(path: Path, text: str) -> None:
    # Most pages stay as they are when a plane is done; each write waits for the disk.
    if not path.is_file() or path.read_bytes() != text.encode():
        write_text(path, text)


def _viewer_index_script(site: Site) -> str:
    try:
        return index_script(viewer_index(site))
    except Exception as error:  # the pages stand without the viewer
        logger.warning("web log: the list of images for the viewer failed: %s", error)
        return index_script({"planes": []})


def _common(site: Site) -> dict[str, Any]:
    """What all pages show."""
    run = site.run
    return {
        "policy": CONTENT_SECURITY_POLICY,
        "sheets": SHEETS,
        "scripts": SCRIPTS,
        "version": __version__,
        "stages": [run.stage_status(entry) for entry in RECIPE],
        "image_name": run.plan.image_name if run.plan else "",
        "directory": formats.limited(site.workspace.directory.name, 200),
    }


def _pages(site: Site) -> Iterator[_Page]:
    yield _Page(INDEX, "overview.html", "Overview", partial(overview, site))
    yield _Page(VIEWER, "viewer.html", "Look at the cube", dict)
    for entry in RECIPE:
        content = partial(_stage_content, site, entry)
        title = f"{entry.number}. {entry.title}"
        template = f"{entry.name}.html" if entry in _STAGE_CONTENT else "stage.html"
        yield _Page(stage_page(entry), template, title, content, site.run.stage_status(entry))
    for target in site.run.targets:
        content = partial(plane_stages.plane, site, target.label)
        yield _Page(plane_page(target.label), "plane.html", f"Plane spw {target.spw}", content)


def _stage_content(site: Site, entry: Stage[object]) -> dict[str, Any]:
    record = site.run.step(entry).record if entry.scope == "field" else None
    return {
        **(_STAGE_CONTENT[entry](site) if entry in _STAGE_CONTENT else {}),
        "entry": entry,
        "record": record,
        "notices": site.run.stage_notices(entry),
        "information": [m.text for m in record.messages if m.level == "info"] if record else [],
        "links": site.step_links(entry),
        "inputs": _shown_inputs(record.inputs) if record else "",
    }


def _shown_inputs(inputs: Any) -> str:
    return formats.limited(json.dumps(inputs, indent=2, ensure_ascii=False), _MAX_INPUTS)


def _render(page: _Page, common: dict[str, Any]) -> str:
    try:
        template = _environment().get_template(page.template)
        return template.render(**common, page=page, **page.content())
    except Exception as error:  # one page that fails must not take the others with it
        logger.warning("web log: page %s failed: %s", page.file, error)
        reason = f"{type(error).__name__}: {error}"
    try:
        return _environment().get_template("failure.html").render(**common, page=page, reason=reason)
    except Exception:  # not even the frame of the page
        text = html.escape(f"{page.title}: this page could not be rendered: {formats.limited(reason)}")
        head = '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>vlasscube</title></head>'
        return f"{head}<body><p>{text}</p></body></html>\n"


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("vlasscube.weblog"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(formats.FILTERS)
    environment.globals.update(
        stage_page=stage_page, plane_page=plane_page, sky_position=formats.sky_position
    )
    return environment


def _remove_other_pages(workspace: Workspace, owned: Ownership, wanted: set[str]) -> None:
    """Remove the run's pages of planes that are no longer asked for."""
    others = [name for name in owned.names - wanted if _PLANE_PAGE.fullmatch(name)]
    for name in others:
        remove(workspace.weblog / name)
    owned.release(others)
