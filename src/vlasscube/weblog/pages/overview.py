"""The first page: what was requested, its status, and what needs attention."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from vlasscube.options import RunOptions, option_text
from vlasscube.recipe import EDIT_IMAGE_LIST_CONTINUUM, EDIT_IMAGE_LIST_CUBE, IMPORT_DATA
from vlasscube.records import ImageGeometry, MeasurementSetSummary
from vlasscube.weblog.site import FigureLink, Site

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def overview(site: Site) -> dict[str, Any]:
    """Fill the first page."""
    run = site.run
    planes = run.plane_states()
    imported = run.result(IMPORT_DATA)
    continuum = run.result(EDIT_IMAGE_LIST_CONTINUUM)
    geometry = run.plan.geometry if run.plan else continuum.geometry if continuum else None
    return {
        "imported": imported.summary if imported else None,
        "geometry": geometry,
        "planes": planes,
        "outcomes": Counter(plane.word for plane in planes),
        "notices": run.notices(),
        "options": run.options,
        "options_problem": run.options_problem,
        "changed_options": _changed(run.options),
        "profile": _profile(run.options),
        "versions": _versions(site),
        "finder": _finder(site, imported.summary, geometry) if imported and geometry else None,
        "first_started": min((s.record.started for *_, s in run.steps() if s.record), default=""),
        "last_finished": max((s.record.finished for *_, s in run.steps() if s.record), default=""),
    }


def _finder(site: Site, summary: MeasurementSetSummary, geometry: ImageGeometry) -> FigureLink:
    """Where the fields lie that were imaged, and the box of the image."""
    plan = site.run.plan
    imaged = frozenset(plan.field_ids) if plan else frozenset()

    def draw() -> Figure:
        from vlasscube.weblog.figures import finder

        return finder(summary.fields, imaged, geometry)

    used = f", {len(imaged)} of them imaged" if plan else ""
    return site.figure(
        "finder",
        site.keys(IMPORT_DATA, EDIT_IMAGE_LIST_CONTINUUM, EDIT_IMAGE_LIST_CUBE),
        f"Map of the positions of {len(summary.fields)} fields{used}, and of the image.",
        f"Pointings of the {len(summary.fields)} fields{used}; boxes: image and central square degree.",
        draw,
    )


def _changed(options: RunOptions | None) -> list[tuple[str, str, str]]:
    """Name, value and usual value of each option that differs from the profile."""
    changes = {} if options is None else options.changes
    return [(name, option_text(value), option_text(usual)) for name, (value, usual) in changes.items()]


def _profile(options: RunOptions | None) -> str:
    """Name of the profile, and the values that it sets."""
    if options is None:
        return ""
    values = (f"{name} {option_text(value)}" for name, value in options.profile_values.items())
    return f"{options.profile}: {', '.join(values)}"


def _versions(site: Site) -> dict[str, list[str]]:
    """All versions of each program that the steps of the run were done with."""
    versions: dict[str, list[str]] = {}
    for *_, step in site.run.steps():
        for program, version in (step.record.versions if step.record else {}).items():
            known = versions.setdefault(program, [])
            if version not in known:
                known.append(version)
    return versions
