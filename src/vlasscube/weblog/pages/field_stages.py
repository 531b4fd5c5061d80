"""Pages of stages 1 to 6, which are done once for the field."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from vlasscube.errors import VlassCubeError
from vlasscube.parameters.lists import ImageListParameters
from vlasscube.recipe import (
    EDIT_IMAGE_LIST_CONTINUUM,
    EDIT_IMAGE_LIST_CUBE,
    FLAG_TARGETS_DATA,
    IMPORT_DATA,
    RESTORE_PIMS,
    TRANSFORM_IMAGE_DATA,
)
from vlasscube.resources.archive import ResourceReport
from vlasscube.weblog.site import Site
from vlasscube.workspace.record_json import from_plain


def import_data(site: Site) -> dict[str, Any]:
    """Facts of the measurement set."""
    result = site.run.result(IMPORT_DATA)
    return {
        "summary": result.summary if result else None,
        "science_spws": result.science_spws if result else (),
    }


def edit_image_list_continuum(site: Site) -> dict[str, Any]:
    """The target of the continuum run."""
    target = site.run.result(EDIT_IMAGE_LIST_CONTINUUM)
    return {"target": target, "given": given_parameters(target.parameters) if target else []}


def given_parameters(parameters: ImageListParameters) -> list[tuple[str, Any]]:
    """Keys that a parameter list gives, with their values."""
    named = ((field.name, getattr(parameters, field.name)) for field in fields(parameters))
    return [(name, value) for name, value in named if value is not None]


def transform_image_data(site: Site) -> dict[str, Any]:
    """The working measurement set."""
    imported = site.run.result(IMPORT_DATA)
    return {
        "result": site.run.result(TRANSFORM_IMAGE_DATA),
        "input": imported.summary if imported else None,
    }


def restore_pims(site: Site) -> dict[str, Any]:
    """The resources, found or missing, and what was done with them."""
    result = site.run.result(RESTORE_PIMS)
    record = site.run.step(RESTORE_PIMS).record
    report = result.report if result else None
    if (
        report is None
        and record is not None
        and record.error is not None
        and record.error.details is not None
    ):
        try:
            report = from_plain(ResourceReport, record.error.details)
        except VlassCubeError:
            report = None
    return {"result": result, "report": report}


def flag_targets_data(site: Site) -> dict[str, Any]:
    """Flags by spectral window before and after the template."""
    result = site.run.result(FLAG_TARGETS_DATA)
    return {"result": result, "after": result.after if result else {}}


def edit_image_list_cube(site: Site) -> dict[str, Any]:
    """The planes asked for."""
    plan = site.run.plan
    if plan is None:
        return {"plan": None}

    def draw() -> Any:
        from vlasscube.weblog.figures import flag_summary

        return flag_summary(plan)

    return {
        "plan": plan,
        "given": given_parameters(plan.parameters),
        "figure": site.figure(
            "flag-summary",
            site.keys(EDIT_IMAGE_LIST_CUBE),
            f"Colour map of the flagged fraction: {len(plan.box_fields)} fields, {len(plan.targets)} planes.",
            "Flagged fraction by plane and field of the central square degree, fields upwards in the order "
            "of observation. Grey: no data.",
            draw,
        ),
    }
