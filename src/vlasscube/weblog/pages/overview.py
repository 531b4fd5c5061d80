"""The first page: what was asked for, how it stands, and what needs attention."""

from __future__ import annotations

from collections import Counter
from dataclasses import fields
from typing import Any

from vlasscube.options import RunOptions
from vlasscube.stages.results import ContinuumTarget, ImportResult
from vlasscube.weblog.site import Site


def overview(site: Site) -> dict[str, Any]:
    """Fill the first page."""
    run = site.run
    planes = run.plane_states()
    imported = run.result(ImportResult, "import_data")
    continuum = run.result(ContinuumTarget, "edit_image_list_continuum")
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
        "versions": _versions(site),
        "last_finished": max((s.record.finished for *_, s in run.steps() if s.record), default=""),
    }


def _changed(options: RunOptions | None) -> list[tuple[str, Any, Any]]:
    """Name, value and default of each option that differs from the default."""
    if options is None:
        return []
    default = RunOptions()
    values = (
        (field.name, getattr(options, field.name), getattr(default, field.name)) for field in fields(options)
    )
    return [(name, value, usual) for name, value, usual in values if value != usual]


def _versions(site: Site) -> dict[str, list[str]]:
    """All versions of each program that the steps of the run were done with."""
    versions: dict[str, list[str]] = {}
    for *_, step in site.run.steps():
        for program, version in (step.record.versions if step.record else {}).items():
            known = versions.setdefault(program, [])
            if version not in known:
                known.append(version)
    return versions
