"""Stage 12: FITS products, common-beam set, parameter lists, logs and manifests."""

from __future__ import annotations

import contextlib
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from vlasscube import __version__, casa, naming
from vlasscube.errors import QuantityError
from vlasscube.id_lists import parse_ids
from vlasscube.image_names import ImageIdentity
from vlasscube.images.rms_image import write_rms_image
from vlasscube.measurement_set.lean_input import DIRECTORY as SPLIT_INPUT
from vlasscube.options import RunOptions
from vlasscube.parameters.product_labels import LABELS_FILE, product_identity
from vlasscube.products.alignment import aligned_image, regridded_response
from vlasscube.products.casa_export import export_stokes
from vlasscube.products.command_log import merged_command_log, recipe_script
from vlasscube.products.common_beam import (
    CommonBeamInput,
    CommonBeamPlan,
    CommonBeamStep,
    plan_common_beam,
)
from vlasscube.products.fits_files import write_fits
from vlasscube.products.fits_product import ProductField, ProductPlane, fits_product
from vlasscube.products.general_keywords import PlaneImaging
from vlasscube.products.imaging_history import ImagingSetup, imaging_history
from vlasscube.products.manifest import (
    MANIFEST_JSON,
    MANIFEST_XML,
    Manifest,
    ManifestFile,
    ManifestPlane,
    PipelineManifest,
    pipeline_manifest_xml,
    write_manifest,
)
from vlasscube.products.owned_files import OwnedFile, Ownership
from vlasscube.products.position_correction import PositionCorrection, shift_beside_correction
from vlasscube.recipe import (
    ANALYZE_STOKES_CUBES,
    EDIT_IMAGE_LIST_CUBE,
    EXPORT_VLASS_DATA,
    GATHER_PLANES,
    IMPORT_DATA,
    MAKE_CUTOUT_IMAGES,
    MAKE_IMAGES,
    TRANSFORM_IMAGE_DATA,
)
from vlasscube.records import FileKind, MeasurementSetSummary, Outcome, PlaneImages, PlaneTarget
from vlasscube.results.reading import InputSource
from vlasscube.results.types import (
    CubeImages,
    CutoutResult,
    ExportedPlane,
    ExportResult,
    PlaneVerdict,
    ProductFile,
    observed_scans,
)
from vlasscube.stages.context import StageContext
from vlasscube.stages.plane_position import plane_position
from vlasscube.stages.step import Step
from vlasscube.workspace.directory import Workspace
from vlasscube.workspace.files import make_directory, new_file, remove, write_text

NATIVE_KINDS: Mapping[str, FileKind] = {"pbcor": "image", "rms": "rms", "pb": "primary_beam"}
"""Cutouts that are exported, and what kind of product each is at native resolution."""
STOKES_SETS: Mapping[str, tuple[str, ...]] = {"pbcor": ("IQU", "V"), "rms": ("IQU", "V"), "pb": ("I",)}
"""Stokes parameters of their files; the primary beam is the same for all."""
WEBLOG_ARCHIVE = "weblog.tgz"
COMMAND_LOG = "casa_commands.log"
RECIPE_SCRIPT = "casa_pipescript.py"
COMPANIONS = (WEBLOG_ARCHIVE, COMMAND_LOG, RECIPE_SCRIPT, MANIFEST_XML, MANIFEST_JSON)
"""Products of every field, besides its parameter lists."""


@dataclass(frozen=True)
class ExportPlane:
    """A plane to export: its outcome, images, cutouts and position."""

    verdict: PlaneVerdict
    images: PlaneImages
    """Without its iterations."""
    cutouts: CutoutResult
    position: PositionCorrection
    imaging: PlaneImaging
    """How it was imaged, for the headers."""


@dataclass(frozen=True)
class ExportInputs:
    """Everything that enters the products."""

    image_name: str
    phasecenter: str
    cell_arcsec: float
    start_mjd_s: float
    end_mjd_s: float
    planes: tuple[ExportPlane, ...]
    targets: tuple[PlaneTarget, ...]
    verdicts: CubeImages
    parameter_files: tuple[str, ...]
    options: RunOptions
    upstream: tuple[str, ...]
    identity: ImageIdentity
    """What headers and manifest say besides the name."""


def export_inputs(source: InputSource) -> ExportInputs:
    """Make the inputs of the stage."""
    plan = source.result(EDIT_IMAGE_LIST_CUBE)
    imported = source.result(IMPORT_DATA)
    summary, scans = imported.summary, observed_scans(source.result(TRANSFORM_IMAGE_DATA), imported)
    verdicts = source.result(GATHER_PLANES)
    planes: list[ExportPlane] = []
    keys: list[str] = []
    for verdict in verdicts.with_images:
        of_plane = source.of_plane(verdict.label)
        images = of_plane.result(MAKE_IMAGES)
        keys.extend(of_plane.keys(MAKE_CUTOUT_IMAGES))
        planes.append(
            ExportPlane(
                verdict=verdict,
                images=replace(images, iterations=()),
                cutouts=of_plane.result(MAKE_CUTOUT_IMAGES),
                position=plane_position(source, images.frequency_hz),
                imaging=_plane_imaging(images, plan.clean.robust, summary, source.options),
            )
        )
    workspace = source.workspace
    return ExportInputs(
        image_name=plan.image_name,
        phasecenter=plan.geometry.phasecenter,
        cell_arcsec=plan.geometry.cell_arcsec,
        start_mjd_s=min(scan.start_mjd_s for scan in scans),
        end_mjd_s=max(scan.end_mjd_s for scan in scans),
        planes=tuple(planes),
        targets=plan.targets,
        verdicts=verdicts,
        parameter_files=(workspace.seip_parameter_file.name, workspace.ccip_parameter_file.name),
        options=source.options,
        upstream=(*source.keys(GATHER_PLANES, ANALYZE_STOKES_CUBES), *keys),
        identity=product_identity(workspace.directory / LABELS_FILE, plan.image_name),
    )


def _plane_imaging(
    images: PlaneImages, robust: float, summary: MeasurementSetSummary, options: RunOptions
) -> PlaneImaging:
    target = images.target
    names = {window.id: window.name for window in summary.spectral_windows}
    setup = ImagingSetup(
        engine=images.engine,
        engine_version=casa.version() if images.engine == "casa" else __version__,
        profile=options.profile,
        gridding=options.gridding,
        w_correction=options.w_correction,
        version=__version__,
        changed_options=options.changes_text,
    )
    try:
        fields = parse_ids(target.selection.field, ranges=True)
    except QuantityError:
        fields = ()
    w_planes = int(options.w_correction) if images.w_planes is None else images.w_planes
    return PlaneImaging(
        setup=setup,
        casa_version=casa.version(),
        project=summary.project,
        spw_ids=target.spw_ids,
        spw_names=tuple(names[spw] for spw in target.spw_ids if spw in names),
        field_ids=fields,
        robust=robust,
        frequency_hz=images.frequency_hz,
        unflagged_bandwidth_hz=images.unflagged_bandwidth_hz,
        coverage=images.spectral_coverage,
        w_planes=w_planes,
        noncoplanar=images.noncoplanar,
        history=imaging_history(setup, images),
    )


def export_vlass_data(inputs: ExportInputs, context: StageContext) -> ExportResult:
    """Write the products of all planes with images, those of rejected ones marked as such.

    Per plane: pbcor and rms, each as IQU and V, and the primary beam, with the position corrected for the
    plane's frequency; and the same of the common-beam set on the nominal grid. Then parameter lists, logs,
    web log and manifests.

    Raises
    ------
    ProblemListError
        If ``products/`` holds files under the names of products that this run has not made.
    ProductError
        If an image has no usable header, or if no plane is left to find the common beam from.
    ResourceLimitError
        If the disk is full.
    """
    workspace = context.workspace
    make_directory(workspace.products)
    owned = Ownership(workspace, context.previous)
    for name, kept in owned.claim(product_names(inputs)).items():
        context.warn(f"{name} was changed after it was made: kept as {kept}, and made again")
    if unknown := [what for what in ("tile", "epoch", "version") if getattr(inputs.identity, what) is None]:
        context.warn(
            f"the headers do not give {', '.join(unknown)}: they are not in the name {inputs.image_name}",
            f"To have them in the headers, write them into {LABELS_FILE} in the run directory.",
        )
    plan: CommonBeamPlan | None = None
    with _scratch_directory(workspace.working / ".export.partial") as scratch:
        delivery = _Delivery(inputs, context, scratch, owned)
        for plane in inputs.planes:
            context.progress(f"FITS of {plane.verdict.label}")
            for cutout, kind in NATIVE_KINDS.items():
                delivery.images(workspace.working / plane.cutouts.images[cutout], cutout, kind, plane)
        for name in inputs.parameter_files:
            delivery.text(name, (workspace.directory / name).read_text(encoding="utf-8"), "parameter_list")
        delivery.text(RECIPE_SCRIPT, recipe_script(), "script")
        delivery.archive(WEBLOG_ARCHIVE, workspace.weblog, "weblog")
        delivery.text(MANIFEST_XML, _pipeline_manifest(inputs, delivery.files), "manifest")
        if inputs.planes:
            plan = _common_beam_plan(inputs)
            for plane, step in zip(inputs.planes, plan.steps, strict=True):
                context.progress(f"common beam of {step.label}")
                if not step.make:
                    context.warn(f"{step.label}: not in the common-beam set: {'; '.join(step.reasons)}")
                    continue
                delivery.common_beam_set(plane, step)
        delivery.text(COMMAND_LOG, _command_log(inputs, workspace, scratch), "log")
    write_manifest(workspace.products, _manifest(inputs, delivery.files))
    delivery.add(MANIFEST_JSON, "manifest")
    for name in owned.settle(file.name for file in delivery.files):
        context.warn(f"{name} was changed after it was made and is no longer a product: it is left in place")
    return ExportResult(
        files=tuple(delivery.files),
        planes=tuple(map(_exported_plane, inputs.planes, plan.steps)) if plan else (),
        common_beam=plan.target if plan else None,
    )


@contextlib.contextmanager
def _scratch_directory(path: Path) -> Iterator[Path]:
    remove(path)
    path.mkdir()
    try:
        yield path
    finally:
        remove(path)


class _Delivery:
    """The products directory, and what has been written to it so far."""

    def __init__(self, inputs: ExportInputs, context: StageContext, scratch: Path, owned: Ownership) -> None:
        self.files: list[ProductFile] = []
        self._field = ProductField(inputs.identity, inputs.phasecenter, inputs.start_mjd_s, inputs.end_mjd_s)
        self._context, self._scratch = context, scratch
        self._alignment = inputs.options.common_beam_alignment
        self._owned = owned

    def images(
        self,
        image: Path,
        cutout: str,
        kind: FileKind,
        plane: ExportPlane,
        common: CommonBeamStep | None = None,
    ) -> None:
        """Write the files of a cutout; `image` is where it is, or what it has become."""
        name = plane.cutouts.images[cutout]
        for stokes in STOKES_SETS[cutout]:
            casa_name = naming.stokes_variant(name, stokes)
            exported = export_stokes(image, stokes, self._scratch)
            hdus, warnings = fits_product(
                exported, casa_name, stokes, self._field, _product_plane(plane), common
            )
            for text in warnings:
                self._context.warn(f"{casa_name}: {text}")
            file = naming.fits_name(casa_name)
            file = file if common is None else naming.com_fits_name(file)
            write_fits(self._owned.path(file), hdus)
            self.add(file, kind, plane.verdict.label, stokes)

    def common_beam_set(self, plane: ExportPlane, step: CommonBeamStep) -> None:
        """Write the members of the common-beam set of a plane: its image, its rms image, its primary beam."""
        working, position, scratch = self._context.workspace.working, plane.position, self._scratch
        cutouts = {cutout: working / plane.cutouts.images[cutout] for cutout in NATIVE_KINDS}
        image, beam = cutouts["pbcor"], plane.images.beam
        with aligned_image(image, scratch, beam, position, step, self._alignment) as aligned:
            self.images(aligned, "pbcor", "common_beam", plane, step)
            if aligned == image:
                self.images(cutouts["rms"], "rms", "common_beam", plane, step)
            else:
                # Of smoothed noise: no scaling of the native map, which knows nothing of its correlation.
                rms = scratch / f"{aligned.name}.rms"
                write_rms_image(aligned, rms)
                self.images(rms, "rms", "common_beam", plane, step)
                remove(rms)
        with regridded_response(cutouts["pb"], scratch, position, step) as response:
            self.images(response, "pb", "common_beam", plane, step)

    def text(self, name: str, text: str, kind: FileKind) -> None:
        """Write a text file."""
        write_text(self._owned.path(name), text)
        self.add(name, kind)

    def archive(self, name: str, directory: Path, kind: FileKind) -> None:
        """Pack a directory; if there is none, the archive is empty."""
        # Most of a web log is pictures and packed arrays, which get no smaller.
        with (
            new_file(self._owned.path(name)) as stream,
            tarfile.open(name, "w:gz", stream, compresslevel=1) as packed,
        ):
            if directory.is_dir():
                packed.add(directory, arcname=directory.name)
        self.add(name, kind)

    def add(self, name: str, kind: FileKind, label: str = "", stokes: str = "") -> None:
        """Add a file that has been written."""
        self._context.add_output(self._owned.path(name))
        record = self._context.outputs[-1]
        self._owned.add(OwnedFile(name, record.size_bytes, record.digest))
        self.files.append(ProductFile(name, kind, label, stokes, record.size_bytes, record.digest))


def product_names(inputs: ExportInputs) -> Iterator[str]:
    """Names of all products that an export can have, whether or not a plane gets into the common-beam set."""
    yield from (*inputs.parameter_files, *COMPANIONS)
    for plane in inputs.planes:
        for cutout in NATIVE_KINDS:
            for stokes in STOKES_SETS[cutout]:
                name = naming.fits_name(naming.stokes_variant(plane.cutouts.images[cutout], stokes))
                yield from (name, naming.com_fits_name(name))


# ------------------------------------------------------------------------------------------------- planes


def _product_plane(plane: ExportPlane) -> ProductPlane:
    intensity = plane.cutouts.statistics["I"]
    return ProductPlane(
        outcome=plane.verdict.outcome,
        reason=plane.verdict.reason,
        imaging=plane.imaging,
        nominal_bandwidth_hz=plane.images.target.nominal_bandwidth_hz,
        median_rms_jy=intensity.rms.median,
        peak_jy=intensity.pbcor.max,
        position=plane.position,
        mean_mjd_s=observed.mean_mjd_s if (observed := plane.images.observed_time) else None,
    )


def _common_beam_plan(inputs: ExportInputs) -> CommonBeamPlan:
    nominal, options = inputs.planes[0].position, inputs.options
    planes = [
        CommonBeamInput(
            label=plane.verdict.label,
            beam=plane.images.beam,
            corrected_ra_deg=plane.position.corrected_ra_deg,
            corrected_dec_deg=plane.position.corrected_dec_deg,
            kept=plane.verdict.outcome is Outcome.IMAGED,
        )
        for plane in inputs.planes
    ]
    return plan_common_beam(
        planes,
        nominal.nominal_ra_deg,
        nominal.nominal_dec_deg,
        inputs.cell_arcsec,
        always=options.common_beam == "always",
        exclude_rejected=options.common_beam_exclude_rejected,
    )


def _exported_plane(plane: ExportPlane, step: CommonBeamStep) -> ExportedPlane:
    along, apart = shift_beside_correction(plane.images.noncoplanar, plane.position)
    return ExportedPlane(
        label=step.label,
        frequency_hz=plane.images.frequency_hz,
        crval1_deg=plane.position.corrected_ra_deg,
        crval2_deg=plane.position.corrected_dec_deg,
        shift_arcsec=plane.position.delta_arcsec,
        zenith_distance_deg=plane.position.zd_deg,
        smoothed=step.smooth,
        regridded=step.regrid,
        treatment="; ".join(step.reasons),
        expected_shift_arcsec=along,
        shift_difference_arcsec=apart,
    )


# -------------------------------------------------------------------------------------- logs and manifests


def _command_log(inputs: ExportInputs, workspace: Workspace, scratch: Path) -> str:
    """Merge the CASA calls of all steps, this one's included."""
    working = workspace.working
    directories = (workspace.directory, working, working / SPLIT_INPUT, workspace.products, scratch)
    labels = [plane.label for plane in inputs.verdicts.planes]
    return merged_command_log(workspace.logs / "calls", directories, labels)


def _pipeline_manifest(inputs: ExportInputs, files: Sequence[ProductFile]) -> str:
    """Build the manifest in the official pipeline's form, without the common-beam set."""
    return pipeline_manifest_xml(
        PipelineManifest(
            name=inputs.image_name,
            casa_version=casa.version(),
            pipeline_version=__version__,
            images=[file.name for file in files if file.kind in ("image", "rms")],
            primary_beams=[file.name for file in files if file.kind == "primary_beam"],
            parameter_lists=inputs.parameter_files,
            weblog=WEBLOG_ARCHIVE,
            casa_commands=COMMAND_LOG,
            script=RECIPE_SCRIPT,
        )
    )


def _manifest(inputs: ExportInputs, files: Sequence[ProductFile]) -> Manifest:
    """List all files, hashes and outcomes."""
    made = {plane.verdict.label: plane for plane in inputs.planes}
    return Manifest(
        name=inputs.image_name,
        planes=tuple(
            _manifest_plane(target, verdict, made.get(verdict.label))
            for target, verdict in zip(inputs.targets, inputs.verdicts.planes, strict=True)
        ),
        files=tuple(
            ManifestFile(file.name, file.sha256, file.size_bytes, file.kind, file.label or None)
            for file in files
        ),
        versions={"vlasscube": __version__, "casatasks": casa.version()},
        identity=inputs.identity,
    )


def _manifest_plane(target: PlaneTarget, verdict: PlaneVerdict, made: ExportPlane | None) -> ManifestPlane:
    plane = ManifestPlane(target.label, target.spw_ids, target.reffreq_hz, verdict.outcome, verdict.reason)
    if made is None:
        return plane
    measured = {stokes: s.residual.madrms for stokes, s in made.cutouts.statistics.items()}
    return replace(
        plane,
        expected_noise_jy=made.images.expected_noise_jy,
        noise_jy={stokes: noise for stokes, noise in measured.items() if noise is not None},
        spectral_coverage=made.images.spectral_coverage,
        noncoplanar=made.images.noncoplanar,
    )


STEP = Step(EXPORT_VLASS_DATA, export_inputs, export_vlass_data)
