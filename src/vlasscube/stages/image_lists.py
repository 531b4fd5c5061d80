"""From the parameter lists to what is to be imaged: what stages 2 and 6 record, and a plan foresees.

Reading a list and working out what it means are apart: the latter are pure functions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from vlasscube import naming
from vlasscube.clean_terms import CleanMask, clean_mask
from vlasscube.errors import MeasurementSetError
from vlasscube.id_lists import parse_spw_group
from vlasscube.imaging.clean_sequence import CleanParameters
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
from vlasscube.records import (
    FieldFlags,
    FlagCount,
    ImageGeometry,
    MeasurementSetSummary,
    Message,
    Outcome,
    PlaneTarget,
)
from vlasscube.results.types import ContinuumTarget, CubePlan, ImportResult

DEFAULT_IMSIZE = 12500
DEFAULT_CELL_ARCSEC = 0.6
CONTINUUM_NTERMS = 2
"""Taylor terms of the continuum run whose list does not say."""
DEFAULT_UVRANGE = "<12km"


@dataclass(frozen=True)
class DataFlags:
    """How much of the data is flagged."""

    fields: tuple[FieldFlags, ...]
    """By field and spectral window."""
    unflagged_channels: Mapping[int, int]
    """Channels that are not completely flagged, by spectral window id."""


def nothing_flagged(summary: MeasurementSetSummary) -> DataFlags:
    """Return the flags of data of which nothing is flagged: what a plan assumes before flags are counted."""
    unflagged = {window.id: FlagCount(0, 1) for window in summary.spectral_windows}
    return DataFlags(
        fields=tuple(FieldFlags(f.id, f.name, f.scan, unflagged) for f in summary.fields),
        unflagged_channels={window.id: window.channels for window in summary.spectral_windows},
    )


def read_list(path: Path, kind: ListKind) -> tuple[ImageListParameters, tuple[Message, ...]]:
    """Read a parameter list, and what is to be said of its keys.

    Parameters
    ----------
    path : Path
        The list.
    kind : {'continuum', 'cube'}
        Whose list it is.

    Raises
    ------
    ParameterFileError
        If it is incomplete or asks for what is not done.
    """
    found = read_image_list(path, kind)
    return found.parameters, tuple(Message("warning", text) for text in found.warnings)


def plan_continuum(parameters: ImageListParameters, imported: ImportResult) -> ContinuumTarget:
    """Re-create the target of the continuum run's first imaging, which its model belongs to.

    Parameters
    ----------
    parameters : ImageListParameters
        The list of the continuum run.
    imported : ImportResult
        The measurement set.

    Raises
    ------
    ParameterFileError, MeasurementSetError
        If the list asks for spectral windows or fields that the measurement set does not have.
    """
    summary = imported.summary
    geometry, field_ids, radius = _geometry_and_fields(parameters, summary)
    science = {
        window.id: window.mean_frequency_hz
        for window in summary.spectral_windows
        if window.id in imported.science_spws
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
        nterms=parameters.nterms or CONTINUUM_NTERMS,
        reffreq=parameters.reffreq or "3.0GHz",
        pblimit=0.1 if parameters.pblimit is None else parameters.pblimit,
        search_radius_arcsec=radius,
        parameters=parameters,
    )


def plan_cube(
    parameters: ImageListParameters,
    imported: ImportResult,
    flags: DataFlags,
    masks: tuple[CleanMask, ...],
    options: RunOptions,
) -> tuple[CubePlan, tuple[Message, ...]]:
    """Make one target for each requested group of spectral windows.

    Parameters
    ----------
    parameters : ImageListParameters
        The list of the cube; what it says takes precedence.
    imported : ImportResult
        The measurement set.
    flags : DataFlags
        Flags of the measurement set, or `nothing_flagged`.
    masks : tuple of CleanMask
        Masks of iter1, iter2, … for which the list names none.
    options : RunOptions
        Rules about planes.

    Returns
    -------
    CubePlan
        A completely flagged group is left out, and so may be one with many heavily flagged fields; one
        without data in the central square degree is empty.
    tuple of Message
        Warnings of these and of rejected groups.

    Raises
    ------
    ParameterFileError, MeasurementSetError
        As `plan_continuum`.
    """
    summary = imported.summary
    geometry, field_ids, radius = _geometry_and_fields(parameters, summary)
    available = {window.id for window in summary.spectral_windows}
    requested = parameters.spw or [str(spw) for spw in imported.science_spws]
    groups = validate_spw_groups(requested, available)
    box_ids = fields_in_box(summary.fields, geometry.phasecenter, FLAG_BOX_HALF_WIDTH_ARCSEC)
    rejection = _rejection(parameters, options)
    targets = tuple(
        _target(group, parameters, summary, field_ids, box_ids, flags, options, rejection) for group in groups
    )
    messages = tuple(
        Message("warning", f"spw {target.spw}: {target.outcome}: {target.reason}")
        for target in targets
        if target.outcome is not None
    )
    windows = {window.id: window for window in summary.spectral_windows}
    plan = CubePlan(
        image_name=parameters.imagename,
        geometry=geometry,
        field_ids=field_ids,
        box_field_ids=box_ids,
        search_radius_arcsec=radius,
        targets=targets,
        clean=_clean_parameters(parameters, geometry, masks, options),
        unflagged_bandwidth_hz={
            target.label: sum(
                flags.unflagged_channels[spw] * windows[spw].channel_width_hz for spw in target.spw_ids
            )
            for target in targets
        },
        box_fields=tuple(field for field in flags.fields if field.field_id in set(box_ids)),
        reject_flag_fraction=rejection.flagpct_thresh,
        reject_field_count=rejection.nfield_thresh,
        parameters=parameters,
    )
    return plan, messages


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
    """The rule for planes with flagged fields: the list's where it says something, else the run's options.

    What becomes of such a plane is the options' to say; if they say nothing, it is what production does.
    """
    if parameters.vlass_plane_reject_ms is not None:
        return parameters.vlass_plane_reject_ms
    return PlaneRejectionMs(
        apply=options.reject_by_flags != "off",
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
    flags: DataFlags,
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
        reason = (
            f"{verdict.field_count} fields of the central square degree are flagged above "
            f"{rejection.flagpct_thresh:.0%}"
        )
        outcome = Outcome.REJECTED
        if options.reject_by_flags != "mark":
            outcome, reason = Outcome.FLAGGED, f"{reason}: not imaged"
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
    parameters: ImageListParameters,
    geometry: ImageGeometry,
    masks: tuple[CleanMask, ...],
    options: RunOptions,
) -> CleanParameters:
    """What the list says takes precedence over production's values."""
    defaults = CleanParameters(geometry=geometry, masks=masks)
    given = {
        "masks": None if parameters.mask is None else tuple(map(clean_mask, parameters.mask)),
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
