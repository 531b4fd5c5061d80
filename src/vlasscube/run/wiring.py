"""How each step gets its inputs from the records of the steps before it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from vlasscube import naming
from vlasscube.constants import DAY_S
from vlasscube.errors import ParameterFileError, StageOrderError
from vlasscube.images.cutouts import cutout_box
from vlasscube.imaging.clean_sequence import PB_MASK
from vlasscube.imaging.plane_imager import inner_square_degree
from vlasscube.options import RunOptions
from vlasscube.products.position_correction import PositionCorrection, position_correction
from vlasscube.recipe import GATHER, stage_entry
from vlasscube.records import STOKES, PlaneImages, StepRecord
from vlasscube.results.types import (
    RESULTS,
    ContinuumTarget,
    CubeImages,
    CubePlan,
    CutoutResult,
    ImportResult,
    PbcorResult,
    TransformResult,
)
from vlasscube.sky import parse_phasecenter
from vlasscube.stages.analyze_stokes_cubes import PlaneCutout, StokesInputs, analyze_stokes_cubes
from vlasscube.stages.context import StageContext
from vlasscube.stages.edit_image_list import (
    ContinuumListInputs,
    CubeListInputs,
    edit_image_list_continuum,
    edit_image_list_cube,
)
from vlasscube.stages.export_vlass_data import ExportInputs, ExportPlane, export_vlass_data
from vlasscube.stages.flag_targets_data import FlagInputs, flag_targets_data
from vlasscube.stages.import_data import ImportInputs, import_data
from vlasscube.stages.make_cutout_images import CutoutInputs, make_cutout_images
from vlasscube.stages.make_images import MakeImagesInputs, make_plane_images
from vlasscube.stages.make_rms_images import RmsInputs, make_rms_image
from vlasscube.stages.pbcor import PbcorInputs, correct_primary_beam
from vlasscube.stages.restore_pims import RestoreInputs, restore_pims
from vlasscube.stages.transform_image_data import TransformInputs, transform_image_data
from vlasscube.workspace.directory import Workspace
from vlasscube.workspace.files import digest
from vlasscube.workspace.record_json import from_plain


def _record(workspace: Workspace, stage: str, plane: str | None = None) -> StepRecord:
    record = workspace.read_record(stage, plane)
    if record is None or record.status != "done":
        what = "failed" if record is not None else "has not been run"
        where = "" if plane is None else f" for {plane}"
        name = "make_images" if stage == GATHER else stage
        entry = stage_entry(name)
        raise StageOrderError(
            f"stage {entry.number} ({entry.name}) {what}{where}", hint=f"Run it first: --from {entry.name}."
        )
    return record


def require_result(workspace: Workspace, stage: str, plane: str | None = None) -> Any:
    """Return the typed result of a finished step.

    Raises
    ------
    StageOrderError
        If it has not been run or failed.
    """
    return from_plain(RESULTS[stage], _record(workspace, stage, plane).result)


def _keys(workspace: Workspace, *stages: str, plane: str | None = None) -> tuple[str, ...]:
    return tuple(_record(workspace, stage, plane).key for stage in stages)


def plane_images(workspace: Workspace, plan: CubePlan) -> dict[str, PlaneImages]:
    """Imaged planes by label."""
    images = {}
    for target in plan.targets:
        record = workspace.read_record("make_images", target.label)
        if record is not None and record.status == "done":
            images[target.label] = from_plain(PlaneImages, record.result)
    return images


# ------------------------------------------------------------------------------------------ inputs of steps


def _import_inputs(workspace: Workspace, options: RunOptions, plane: str | None) -> ImportInputs:
    return ImportInputs(ms=workspace.input_ms.name, digest=digest(workspace.input_ms.resolve()))


def _continuum_inputs(workspace: Workspace, options: RunOptions, plane: str | None) -> ContinuumListInputs:
    path = workspace.seip_parameter_file
    return ContinuumListInputs(
        parameter_file=path.name,
        digest=digest(path) if path.is_file() else "",
        imported=require_result(workspace, "import_data"),
        upstream=_keys(workspace, "import_data"),
    )


def _transform_inputs(workspace: Workspace, options: RunOptions, plane: str | None) -> TransformInputs:
    target: ContinuumTarget = require_result(workspace, "edit_image_list_continuum")
    imported: ImportResult = require_result(workspace, "import_data")
    return TransformInputs(
        input_ms=imported.summary.name,
        working_ms=naming.working_ms_name(imported.summary.name),
        field_ids=target.field_ids,
        spw=target.selection.spw,
        upstream=_keys(workspace, "import_data"),
    )


def _restore_inputs(workspace: Workspace, options: RunOptions, plane: str | None) -> RestoreInputs:
    imported: ImportResult = require_result(workspace, "import_data")
    transformed: TransformResult = require_result(workspace, "transform_image_data")
    archive = workspace.resources_archive
    return RestoreInputs(
        input_ms=transformed.input_ms,
        working_ms=transformed.working_ms,
        spw=transformed.spw,
        archive=archive.name,
        archive_digest=digest(archive) if archive.is_file() else "",
        target=require_result(workspace, "edit_image_list_continuum"),
        lowest_science_spw=min(imported.science_spws),
        spw_count=imported.summary.spectral_window_count,
        engine=options.engine,
        upstream=_keys(workspace, "transform_image_data"),
    )


def read_flag_template(path: Path) -> str:
    """Read a template of flagging commands.

    Raises
    ------
    ParameterFileError
        If it is not readable text.
    """
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ParameterFileError(
            f"The flagging template {path.name} cannot be read:",
            [str(error)],
            hint="It is plain text (UTF-8) with one flagdata command a line; without it nothing is flagged.",
        ) from error


def _flag_inputs(workspace: Workspace, options: RunOptions, plane: str | None) -> FlagInputs:
    imported: ImportResult = require_result(workspace, "import_data")
    transformed: TransformResult = require_result(workspace, "transform_image_data")
    stem = transformed.working_ms.removesuffix(".ms")
    template = workspace.directory / f"{stem}.flagtargetstemplate.txt"
    exists = template.is_file()
    return FlagInputs(
        working_ms=transformed.working_ms,
        template=template.name if exists else "",
        template_text=read_flag_template(template) if exists else "",
        science_spws=imported.science_spws,
        upstream=_keys(workspace, "restore_pims"),
    )


def _cube_inputs(workspace: Workspace, options: RunOptions, plane: str | None) -> CubeListInputs:
    path = workspace.ccip_parameter_file
    return CubeListInputs(
        parameter_file=path.name,
        digest=digest(path) if path.is_file() else "",
        imported=require_result(workspace, "import_data"),
        restored=require_result(workspace, "restore_pims"),
        flags=require_result(workspace, "flag_targets_data"),
        options=options,
        upstream=_keys(workspace, "import_data", "restore_pims", "flag_targets_data"),
    )


def _make_images_inputs(workspace: Workspace, options: RunOptions, plane: str | None) -> MakeImagesInputs:
    plan: CubePlan = require_result(workspace, "edit_image_list_cube")
    transformed: TransformResult = require_result(workspace, "transform_image_data")
    target = plan.target(str(plane))
    return MakeImagesInputs(
        # Rules about planes do not change their images: they must not make them stale.
        target=replace(target, fields_above_threshold=0, outcome=None, reason=""),
        working_ms=transformed.working_ms,
        clean=plan.clean,
        unflagged_bandwidth_hz=plan.unflagged_bandwidth_hz[target.label],
        engine=options.engine,
        gridding=options.gridding,
        w_correction=options.w_correction,
        upstream=_keys(workspace, "restore_pims", "flag_targets_data"),
    )


def _last_root(workspace: Workspace, plane: str | None) -> tuple[PlaneImages, str]:
    images: PlaneImages = require_result(workspace, "make_images", plane)
    return images, naming.iteration_root(images.target.image_root, images.last.number)


def _pbcor_inputs(workspace: Workspace, options: RunOptions, plane: str | None) -> PbcorInputs:
    _, root = _last_root(workspace, plane)
    plan: CubePlan = require_result(workspace, "edit_image_list_cube")
    return PbcorInputs(
        iteration_root=root,
        inner_box=inner_square_degree(plan.geometry),
        upstream=_keys(workspace, "make_images", plane=plane),
    )


def _rms_inputs(workspace: Workspace, options: RunOptions, plane: str | None) -> RmsInputs:
    result: PbcorResult = require_result(workspace, "pbcor", plane)
    return RmsInputs(pbcor=result.image, upstream=_keys(workspace, "pbcor", plane=plane))


def _cutout_inputs(workspace: Workspace, options: RunOptions, plane: str | None) -> CutoutInputs:
    images, root = _last_root(workspace, plane)
    plan: CubePlan = require_result(workspace, "edit_image_list_cube")
    return CutoutInputs(
        iteration_root=root,
        geometry=plan.geometry,
        cutout_imsize=plan.parameters.cutout_imsize,
        convention=options.cutout,
        expected_noise_jy=images.expected_noise_jy,
        upstream=_keys(workspace, "make_images", "pbcor", "make_rms_images", plane=plane),
    )


def _position(workspace: Workspace, options: RunOptions, frequency_hz: float) -> PositionCorrection:
    imported: ImportResult = require_result(workspace, "import_data")
    plan: CubePlan = require_result(workspace, "edit_image_list_cube")
    ra, dec, _ = parse_phasecenter(plan.geometry.phasecenter)
    summary = imported.summary
    middle = 0.5 * (summary.start_mjd_s + summary.end_mjd_s) / DAY_S
    return position_correction(
        ra, dec, frequency_hz, middle, latitude=options.latitude, w_corrected=options.w_correction
    )


def _stokes_inputs(workspace: Workspace, options: RunOptions, plane: str | None) -> StokesInputs:
    plan: CubePlan = require_result(workspace, "edit_image_list_cube")
    verdicts: CubeImages = require_result(workspace, GATHER)
    planes = []
    keys: list[str] = []
    for verdict in verdicts.with_images:
        images, _ = _last_root(workspace, verdict.label)
        cutouts: CutoutResult = require_result(workspace, "make_cutout_images", verdict.label)
        keys.extend(_keys(workspace, "make_cutout_images", plane=verdict.label))
        planes.append(
            PlaneCutout(
                label=verdict.label,
                frequency_hz=images.frequency_hz,
                beam=images.beam,
                kept=verdict.outcome == "imaged",
                pbcor=cutouts.images["pbcor"],
                rms=cutouts.images["rms"],
                image_noise={stokes: cutouts.statistics[stokes].image.madrms for stokes in STOKES},
                rms_median={stokes: cutouts.statistics[stokes].rms.median for stokes in STOKES},
                position=_position(workspace, options, images.frequency_hz),
            )
        )
    box = cutout_box(
        plan.geometry.nx,
        plan.geometry.ny,
        plan.geometry.cell_arcsec,
        size_pixels=plan.parameters.cutout_imsize,
        convention=options.cutout,
    )
    return StokesInputs(
        planes=tuple(planes),
        masks=_analysis_masks(workspace, max(planes, key=lambda p: p.frequency_hz).label) if planes else (),
        box=box,
        upstream=(*_keys(workspace, GATHER), *keys),
    )


def _analysis_masks(workspace: Workspace, label: str) -> tuple[str, ...]:
    """Clean mask of the last iteration with a mask image, and the primary-beam mask, of the smallest beam."""
    images, _ = _last_root(workspace, label)
    masks = [i.mask for i in images.iterations if i.mask not in ("", PB_MASK)][-1:]
    if images.last.mask == PB_MASK:
        last = naming.iteration_root(images.target.image_root, images.last.number)
        masks.append(naming.tclean_product(last, "mask"))
    return tuple(masks)


def _export_inputs(workspace: Workspace, options: RunOptions, plane: str | None) -> ExportInputs:
    plan: CubePlan = require_result(workspace, "edit_image_list_cube")
    imported: ImportResult = require_result(workspace, "import_data")
    verdicts: CubeImages = require_result(workspace, GATHER)
    planes = []
    keys: list[str] = []
    for verdict in verdicts.with_images:
        images, _ = _last_root(workspace, verdict.label)
        planes.append(
            ExportPlane(
                verdict=verdict,
                images=replace(images, iterations=()),
                cutouts=require_result(workspace, "make_cutout_images", verdict.label),
                position=_position(workspace, options, images.frequency_hz),
            )
        )
        keys.extend(_keys(workspace, "make_cutout_images", plane=verdict.label))
    return ExportInputs(
        image_name=plan.image_name,
        phasecenter=plan.geometry.phasecenter,
        cell_arcsec=plan.geometry.cell_arcsec,
        start_mjd_s=imported.summary.start_mjd_s,
        end_mjd_s=imported.summary.end_mjd_s,
        planes=tuple(planes),
        targets=plan.targets,
        verdicts=verdicts,
        parameter_files=(workspace.seip_parameter_file.name, workspace.ccip_parameter_file.name),
        options=options,
        upstream=(*_keys(workspace, GATHER, "analyze_stokes_cubes"), *keys),
    )


# --------------------------------------------------------------------------------------------------- steps


@dataclass(frozen=True)
class Step:
    """How a stage gets its inputs and what it does with them."""

    inputs: Callable[[Workspace, RunOptions, str | None], Any]
    run: Callable[[Any, StageContext, str], Any]


def _plain(function: Callable[[Any, StageContext], Any]) -> Callable[[Any, StageContext, str], Any]:
    return lambda inputs, context, key: function(inputs, context)


STEPS: dict[str, Step] = {
    "import_data": Step(_import_inputs, _plain(import_data)),
    "edit_image_list_continuum": Step(_continuum_inputs, _plain(edit_image_list_continuum)),
    "transform_image_data": Step(_transform_inputs, _plain(transform_image_data)),
    "restore_pims": Step(_restore_inputs, _plain(restore_pims)),
    "flag_targets_data": Step(_flag_inputs, _plain(flag_targets_data)),
    "edit_image_list_cube": Step(_cube_inputs, _plain(edit_image_list_cube)),
    "make_images": Step(_make_images_inputs, make_plane_images),
    "pbcor": Step(_pbcor_inputs, _plain(correct_primary_beam)),
    "make_rms_images": Step(_rms_inputs, _plain(make_rms_image)),
    "make_cutout_images": Step(_cutout_inputs, _plain(make_cutout_images)),
    "analyze_stokes_cubes": Step(_stokes_inputs, _plain(analyze_stokes_cubes)),
    "export_vlass_data": Step(_export_inputs, _plain(export_vlass_data)),
}
