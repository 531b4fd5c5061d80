"""Stages 2 and 6: from the parameter lists to what is to be imaged."""

from __future__ import annotations

from dataclasses import dataclass

from vlasscube import naming
from vlasscube.errors import MeasurementSetError
from vlasscube.id_lists import parse_spw_group
from vlasscube.imaging.clean_sequence import PB_MASK, CleanParameters
from vlasscube.measurement_set.flags import PlaneRejectionMs, group_flags, reject_by_flags
from vlasscube.measurement_set.selection import (
    DEFAULT_SEARCH_RADIUS_ARCSEC,
    FLAG_BOX_HALF_WIDTH_ARCSEC,
    cutout_image_size,
    data_selection,
    field_box_half_widths,
    fields_in_box,
    spw_group_mean_frequency_hz,
)
from vlasscube.options import RunOptions
from vlasscube.parameters.key_uses import ListKind
from vlasscube.parameters.lists import (
    ImageListParameters,
    read_image_list,
    resolve_continuum_spw,
    validate_spw_groups,
)
from vlasscube.parameters.quantities import format_frequency_ghz, parse_frequency_hz
from vlasscube.records import FlagCount, ImageGeometry, MeasurementSetSummary, Outcome, PlaneTarget
from vlasscube.results.types import ContinuumTarget, CubePlan, FlagResult, ImportResult, RestoreResult
from vlasscube.stages.context import StageContext

DEFAULT_IMSIZE = 12500
DEFAULT_CELL_ARCSEC = 0.6
DEFAULT_UVRANGE = "<12km"


@dataclass(frozen=True)
class ContinuumListInputs:
    """The parameter list of the continuum run and the measurement set it is for."""

    parameter_file: str
    digest: str
    imported: ImportResult
    upstream: tuple[str, ...]


def edit_image_list_continuum(inputs: ContinuumListInputs, context: StageContext) -> ContinuumTarget:
    """Re-create the target of the continuum run's first imaging, which its model belongs to."""
    parameters = _read_list(inputs.parameter_file, "continuum", context)
    summary = inputs.imported.summary
    geometry, field_ids, radius = _geometry_and_fields(parameters, summary)
    science = {
        window.id: window.mean_frequency_hz
        for window in summary.spectral_windows
        if window.id in inputs.imported.science_spws
    }
    spw_ids = resolve_continuum_spw(parameters.spw, science) if isinstance(parameters.spw, str) else science
    spws = ",".join(str(spw_id) for spw_id in sorted(spw_ids))
    selection = data_selection(summary, field_ids, spws, parameters.uvrange or DEFAULT_UVRANGE)
    return ContinuumTarget(
        image_name=parameters.imagename,
        geometry=geometry,
        field_ids=field_ids,
        selection=selection,
        robust=-2.0 if parameters.robust is None else parameters.robust,
        uvtaper=("2.6476arcsec",) if parameters.uvtaper is None else parameters.uvtaper,
        nterms=parameters.nterms or 2,
        reffreq=parameters.reffreq or "3.0GHz",
        pblimit=0.1 if parameters.pblimit is None else parameters.pblimit,
        search_radius_arcsec=radius,
        parameters=parameters,
    )


@dataclass(frozen=True)
class CubeListInputs:
    """The parameter list of the cube, the state of the data, and the rules for planes."""

    parameter_file: str
    digest: str
    imported: ImportResult
    restored: RestoreResult
    flags: FlagResult
    options: RunOptions
    upstream: tuple[str, ...]


def edit_image_list_cube(inputs: CubeListInputs, context: StageContext) -> CubePlan:
    """Make one target for each requested group of spectral windows.

    A completely flagged group is left out with a warning; one without data in the central square degree is
    empty.

    Raises
    ------
    ParameterFileError
        If the list is incomplete or asks for what a coarse cube is not.
    """
    parameters = _read_list(inputs.parameter_file, "cube", context)
    summary = inputs.imported.summary
    geometry, field_ids, radius = _geometry_and_fields(parameters, summary)
    available = {window.id for window in summary.spectral_windows}
    requested = parameters.spw or [str(spw) for spw in inputs.imported.science_spws]
    groups = validate_spw_groups(requested, available)
    box_ids = fields_in_box(summary.fields, geometry.phasecenter, FLAG_BOX_HALF_WIDTH_ARCSEC)
    rejection = _rejection(parameters, inputs.options)
    targets = tuple(
        _target(group, parameters, summary, field_ids, box_ids, inputs.flags, inputs.options, rejection)
        for group in groups
    )
    for target in targets:
        if target.outcome is not None:
            context.warn(f"spw {target.spw}: {target.outcome}: {target.reason}")
    windows = {window.id: window for window in summary.spectral_windows}
    return CubePlan(
        image_name=parameters.imagename,
        geometry=geometry,
        field_ids=field_ids,
        box_field_ids=box_ids,
        search_radius_arcsec=radius,
        targets=targets,
        clean=_clean_parameters(parameters, geometry, inputs.restored, inputs.options),
        unflagged_bandwidth_hz={
            target.label: sum(
                inputs.flags.unflagged_channels[spw] * windows[spw].channel_width_hz for spw in target.spw_ids
            )
            for target in targets
        },
        box_fields=tuple(field for field in inputs.flags.fields if field.field_id in set(box_ids)),
        reject_flag_fraction=rejection.flagpct_thresh,
        reject_field_count=rejection.nfield_thresh,
        parameters=parameters,
    )


def _read_list(name: str, kind: ListKind, context: StageContext) -> ImageListParameters:
    found = read_image_list(context.workspace.directory / name, kind)
    for warning in found.warnings:
        context.warn(warning)
    return found.parameters


def _geometry_and_fields(
    parameters: ImageListParameters, summary: MeasurementSetSummary
) -> tuple[ImageGeometry, tuple[int, ...], float]:
    """Image geometry, ids of the fields to use, and the search radius around the image."""
    cell = parameters.cell_arcsec or DEFAULT_CELL_ARCSEC
    radius = parameters.search_radius_arcsec
    nx, ny = parameters.imsize or (DEFAULT_IMSIZE, DEFAULT_IMSIZE)
    if parameters.cutout_imsize is not None and parameters.imsize is None:
        lowest_hz = min(window.mean_frequency_hz for window in summary.spectral_windows)
        nx, ny = (cutout_image_size(size, cell, lowest_hz) for size in parameters.cutout_imsize)
    geometry = ImageGeometry(nx, ny, cell, parameters.phasecenter)
    if parameters.field:
        known = {field.id for field in summary.fields}
        if missing := sorted(set(parameters.field) - known):
            raise MeasurementSetError(
                f"fields without data in {summary.name}: {', '.join(map(str, missing))}",
                hint="Give field ids of the measurement set, or leave 'field' out to select by position.",
            )
        field_ids = tuple(parameters.field)
    else:
        half_widths = field_box_half_widths(radius, parameters.cutout_imsize, cell)
        field_ids = fields_in_box(summary.fields, parameters.phasecenter, half_widths)
    return geometry, field_ids, DEFAULT_SEARCH_RADIUS_ARCSEC if radius is None else radius


def _rejection(parameters: ImageListParameters, options: RunOptions) -> PlaneRejectionMs:
    """The rule for planes with flagged fields: the list's where it says something, else the run's options."""
    if parameters.vlass_plane_reject_ms is not None:
        return parameters.vlass_plane_reject_ms
    return PlaneRejectionMs(
        apply=options.reject_by_flags,
        exclude_spw=options.reject_exclude_spw,
        flagpct_thresh=options.reject_flag_fraction,
        nfield_thresh=options.reject_field_count,
    )


def _target(
    group: str,
    parameters: ImageListParameters,
    summary: MeasurementSetSummary,
    field_ids: tuple[int, ...],
    box_ids: tuple[int, ...],
    flags: FlagResult,
    options: RunOptions,
    rejection: PlaneRejectionMs,
) -> PlaneTarget:
    spw_ids = parse_spw_group(group)
    windows = {window.id: window for window in summary.spectral_windows}
    box_flags = group_flags(flags.fields, spw_ids, box_ids)
    rule_flags = box_flags if options.flag_region == "box" else group_flags(flags.fields, spw_ids, None)
    verdict = reject_by_flags(flags.fields, spw_ids, box_ids, rejection)
    outcome, reason = _outcome(rule_flags, box_flags)
    if outcome is None and verdict.rejected:
        outcome = Outcome.REJECTED
        reason = (
            f"{verdict.field_count} fields of the central square degree are flagged above "
            f"{rejection.flagpct_thresh:.0%}"
        )
    reffreq_hz = spw_group_mean_frequency_hz(summary.spectral_windows, spw_ids)
    return PlaneTarget(
        spw=group,
        spw_ids=spw_ids,
        label=naming.plane_label(group),
        image_root=naming.plane_image_root(parameters.imagename, group),
        reffreq_hz=parse_frequency_hz(format_frequency_ghz(reffreq_hz)),
        selection=data_selection(summary, field_ids, group, parameters.uvrange or DEFAULT_UVRANGE),
        nominal_bandwidth_hz=sum(windows[spw].bandwidth_hz for spw in spw_ids),
        flags=rule_flags,
        box_flags=box_flags,
        fields_above_threshold=verdict.field_count,
        outcome=outcome,
        reason=reason,
    )


def _outcome(rule_flags: FlagCount, box_flags: FlagCount) -> tuple[Outcome | None, str]:
    if box_flags.total == 0:
        return Outcome.EMPTY, "no data in the central square degree"
    if rule_flags.flagged == rule_flags.total:
        return Outcome.FLAGGED, "100.00% of the data are flagged: not imaged"
    return None, ""


def _clean_parameters(
    parameters: ImageListParameters, geometry: ImageGeometry, restored: RestoreResult, options: RunOptions
) -> CleanParameters:
    """What the list says takes precedence over production's values."""
    defaults = CleanParameters(geometry=geometry, masks=(restored.tier1_mask, restored.tier2_mask, PB_MASK))
    given = {
        "masks": parameters.mask,
        "robust": parameters.robust,
        "uvtaper": parameters.uvtaper,
        "pblimit": parameters.pblimit,
        "pbmask": parameters.pbmask,
        "niter": parameters.niter,
        "threshold": parameters.threshold,
        "nsigma": parameters.nsigma,
        "cyclefactor": parameters.cyclefactor,
        "cycleniter": parameters.cycleniter,
        "cycleniter_pbmask": parameters.cycleniter_final_image_nomask,
        "nmajor": parameters.nmajor if parameters.nmajor is not None else options.nmajor,
        "scales": parameters.scales,
        "restore_iter0": options.restore_iter0,
    }
    values = {key: value for key, value in given.items() if value is not None}
    return CleanParameters(**{**defaults.__dict__, **values})
