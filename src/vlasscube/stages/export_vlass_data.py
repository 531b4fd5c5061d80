"""Stage 12: FITS products, common-beam set, parameter lists, logs and manifests."""

from __future__ import annotations

import tarfile
from dataclasses import dataclass, replace
from pathlib import Path

from astropy.io import fits

from vlasscube import __version__, casa, naming
from vlasscube.options import RunOptions
from vlasscube.products.alignment import align_by_fourier
from vlasscube.products.casa_export import align_with_casa, export_stokes
from vlasscube.products.command_log import merged_command_log, recipe_script
from vlasscube.products.common_beam import CommonBeamInput, CommonBeamStep, plan_common_beam
from vlasscube.products.fits_files import write_fits
from vlasscube.products.headers import (
    VlassKeywords,
    add_history,
    fix_header,
    normalize_beams,
    set_file_name_keywords,
    set_outcome,
    set_single_beam,
    set_vlass_keywords,
    spw_ranges,
    tidy_header,
    vlass_image_type,
)
from vlasscube.products.manifest import (
    MANIFEST_XML,
    FileKind,
    Manifest,
    ManifestFile,
    ManifestPlane,
    PipelineManifest,
    pipeline_manifest_xml,
    write_manifest,
)
from vlasscube.products.position_correction import PositionCorrection, apply_position_correction
from vlasscube.records import Beam, Outcome, PlaneImages, PlaneTarget
from vlasscube.results.types import (
    CubeImages,
    CutoutResult,
    ExportedPlane,
    ExportResult,
    PlaneVerdict,
    ProductFile,
)
from vlasscube.stages.context import StageContext
from vlasscube.workspace.files import publish, remove, write_text

STOKES_SETS = ("IQU", "V")
WEBLOG_ARCHIVE = "weblog.tgz"
COMMAND_LOG = "casa_commands.log"
RECIPE_SCRIPT = "casa_pipescript.py"


@dataclass(frozen=True)
class ExportPlane:
    """A plane to export: its outcome, images, cutouts and position."""

    verdict: PlaneVerdict
    images: PlaneImages
    """Without its iterations."""
    cutouts: CutoutResult
    position: PositionCorrection


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


def export_vlass_data(inputs: ExportInputs, context: StageContext) -> ExportResult:
    """Write the products of all planes with images, those of rejected ones marked as such.

    Per plane: pbcor and rms, each as IQU and V, with the position corrected for the plane's frequency; and
    the common-beam set on the nominal grid. Then parameter lists, logs, web log and manifests.
    """
    export = _Export(inputs, context)
    for plane in inputs.planes:
        context.progress(f"FITS of {plane.verdict.label}")
        export.write_native(plane)
    export.write_companions()
    export.write_pipeline_manifest()
    if inputs.planes:
        export.write_common_beam_set()
    export.write_command_log()
    export.write_manifest()
    return export.result()


class _Export:
    """The export under way: what has been written so far."""

    def __init__(self, inputs: ExportInputs, context: StageContext) -> None:
        self.inputs = inputs
        self.context = context
        self.workspace = context.workspace
        self.products = context.workspace.products
        self.products.mkdir(exist_ok=True)
        self.scratch = context.workspace.working / ".export.partial"
        remove(self.scratch)
        self.scratch.mkdir()
        self.files: list[ProductFile] = []
        self.planes: list[ExportedPlane] = []
        self.common_beam: Beam | None = None
        self.keywords = {plane.verdict.label: self._keywords(plane) for plane in inputs.planes}

    # ------------------------------------------------------------------------------------------------ FITS

    def write_native(self, plane: ExportPlane) -> None:
        """Write pbcor and rms, IQU and V, of a plane."""
        kinds: dict[str, FileKind] = {"pbcor": "image", "rms": "rms"}
        for cutout, kind in kinds.items():
            source = plane.cutouts.images[cutout]
            for stokes in STOKES_SETS:
                hdus = normalize_beams(export_stokes(self.workspace.working / source, stokes, self.scratch))
                casa_name = naming.stokes_variant(source, stokes)
                apply_position_correction(hdus[0].header, plane.position)
                self._finish(hdus, casa_name, stokes, plane)
                self._write(naming.fits_name(casa_name), hdus, kind, plane.verdict.label, stokes)

    def write_common_beam_set(self) -> None:
        """Write the planes at the smallest common beam and on the nominal grid."""
        planes = self.inputs.planes
        nominal = planes[0].position
        plan = plan_common_beam(
            [
                CommonBeamInput(
                    label=plane.verdict.label,
                    beam=plane.images.beam,
                    corrected_ra_deg=plane.position.corrected_ra_deg,
                    corrected_dec_deg=plane.position.corrected_dec_deg,
                    kept=plane.verdict.outcome is Outcome.IMAGED,
                )
                for plane in planes
            ],
            nominal.nominal_ra_deg,
            nominal.nominal_dec_deg,
            self.inputs.cell_arcsec,
            always=self.inputs.options.common_beam == "always",
            exclude_rejected=self.inputs.options.common_beam_exclude_rejected,
        )
        self.common_beam = plan.target
        for plane, step in zip(planes, plan.steps, strict=True):
            self.context.progress(f"common beam of {step.label}")
            if step.make:
                self._write_common(plane, step)
            else:
                self.context.warn(f"{step.label}: not in the common-beam set: {'; '.join(step.reasons)}")
            self.planes.append(
                ExportedPlane(
                    label=step.label,
                    frequency_hz=plane.images.frequency_hz,
                    crval1_deg=plane.position.corrected_ra_deg,
                    crval2_deg=plane.position.corrected_dec_deg,
                    shift_arcsec=plane.position.delta_arcsec,
                    zenith_distance_deg=plane.position.zd_deg,
                    smoothed=step.smooth,
                    regridded=step.regrid,
                    treatment="; ".join(step.reasons),
                )
            )

    def _write_common(self, plane: ExportPlane, step: CommonBeamStep) -> None:
        source = self.workspace.working / plane.cutouts.images["pbcor"]
        aligned = source
        if step.smooth or step.regrid:
            aligned = self.scratch / f"{source.name}.com"
            if self.inputs.options.common_beam_alignment == "fourier":
                shift = step.shift_pixels if step.regrid else (0.0, 0.0)
                align_by_fourier(source, aligned, plane.images.beam, step.beam, shift)
            else:
                align_with_casa(
                    source,
                    aligned,
                    step.beam if step.smooth else None,
                    plane.position if step.regrid else None,
                )
        for stokes in STOKES_SETS:
            hdus = export_stokes(aligned, stokes, self.scratch)
            if not step.regrid:
                apply_position_correction(hdus[0].header, plane.position)
            hdus = set_single_beam(hdus, step.beam)
            casa_name = naming.stokes_variant(source.name, stokes)
            self._finish(hdus, casa_name, stokes, plane)
            add_history(hdus[0].header, f"Common-beam set: {'; '.join(step.reasons)}")
            name = naming.com_fits_name(naming.fits_name(casa_name))
            self._write(name, hdus, "common_beam", plane.verdict.label, stokes)
        if aligned is not source:
            remove(aligned)

    def _keywords(self, plane: ExportPlane) -> VlassKeywords:
        name = naming.parse_image_name(self.inputs.image_name)
        target = plane.images.target
        intensity = plane.cutouts.statistics["I"]
        return VlassKeywords(
            tile=name.tile,
            phase_center=self.inputs.phasecenter,
            epoch=name.epoch,
            version=name.version,
            rejected=plane.verdict.outcome is Outcome.REJECTED,
            spw=spw_ranges(target.spw_ids),
            nominal_bandwidth_hz=target.nominal_bandwidth_hz,
            unflagged_bandwidth_hz=plane.images.unflagged_bandwidth_hz,
            median_rms_jy=intensity.rms.median,
            peak_jy=intensity.pbcor.max,
        )

    def _finish(self, hdus: fits.HDUList, casa_name: str, stokes: str, plane: ExportPlane) -> None:
        """Mend and complete the primary header."""
        header = hdus[0].header
        image_name = naming.parse_image_name(self.inputs.image_name)
        fix_header(
            header,
            start_mjd_s=self.inputs.start_mjd_s,
            end_mjd_s=self.inputs.end_mjd_s,
            object_name=image_name.object_name,
        )
        keywords = replace(
            self.keywords[plane.verdict.label], image_type=vlass_image_type(casa_name), stokes=stokes
        )
        warnings = set_vlass_keywords(header, keywords)
        set_outcome(header, plane.verdict.outcome, plane.verdict.reason)
        set_file_name_keywords(header, casa_name)
        for text in (*warnings, *tidy_header(header)):
            self.context.warn(f"{casa_name}: {text}")

    def _write(self, name: str, hdus: fits.HDUList, kind: FileKind, label: str, stokes: str) -> None:
        path = self.products / name
        write_fits(path, hdus)
        self._add(path, kind, label, stokes)

    # -------------------------------------------------------------------------------------- everything else

    def write_companions(self) -> None:
        """Copy the parameter lists, write the recipe, pack the web log."""
        for name in self.inputs.parameter_files:
            text = (self.workspace.directory / name).read_text(encoding="utf-8")
            self._write_text(name, text, "parameter_list")
        self._write_text(RECIPE_SCRIPT, recipe_script(), "script")
        self._pack_weblog()

    def _pack_weblog(self) -> None:
        path = self.products / WEBLOG_ARCHIVE
        partial = path.with_name(f".{path.name}.partial")
        # Most of it is pictures and packed arrays, which get no smaller.
        with tarfile.open(partial, "w:gz", compresslevel=1) as archive:
            if self.workspace.weblog.is_dir():
                archive.add(self.workspace.weblog, arcname="weblog")
        publish(partial, path)
        self._add(path, "weblog")

    def write_command_log(self) -> None:
        """Merge the CASA calls of all steps, this one's included."""
        labels = [plane.label for plane in self.inputs.verdicts.planes]
        directories = (
            self.workspace.directory,
            self.workspace.working,
            self.workspace.products,
            self.scratch,
        )
        text = merged_command_log(self.workspace.logs / "calls", directories, labels)
        self._write_text(COMMAND_LOG, text, "log")

    def write_pipeline_manifest(self) -> None:
        """Write the manifest in the official pipeline's form, without the common-beam set."""
        content = PipelineManifest(
            name=self.inputs.image_name,
            casa_version=casa.version(),
            pipeline_version=__version__,
            images=[file.name for file in self.files if file.kind in ("image", "rms")],
            parameter_lists=self.inputs.parameter_files,
            weblog=WEBLOG_ARCHIVE,
            casa_commands=COMMAND_LOG,
            script=RECIPE_SCRIPT,
        )
        self._write_text(MANIFEST_XML, pipeline_manifest_xml(content), "manifest")

    def write_manifest(self) -> None:
        """Write the manifest of all files, hashes and outcomes."""
        for stale in self.products.glob("*.fits"):
            if stale.name not in {file.name for file in self.files}:
                remove(stale)
        manifest = Manifest(
            name=self.inputs.image_name,
            planes=tuple(
                self._manifest_plane(target, verdict)
                for target, verdict in zip(self.inputs.targets, self.inputs.verdicts.planes, strict=True)
            ),
            files=tuple(
                ManifestFile(file.name, file.sha256, file.size_bytes, file.kind, file.label or None)
                for file in self.files
            ),
            versions={"vlasscube": __version__, "casatasks": casa.version()},
        )
        self._add(write_manifest(self.products, manifest), "manifest")
        remove(self.scratch)

    def _manifest_plane(self, target: PlaneTarget, verdict: PlaneVerdict) -> ManifestPlane:
        plane = ManifestPlane(
            target.label, target.spw_ids, target.reffreq_hz, verdict.outcome, verdict.reason
        )
        made = next((made for made in self.inputs.planes if made.verdict.label == verdict.label), None)
        if made is None:
            return plane
        measured = {stokes: s.residual.madrms for stokes, s in made.cutouts.statistics.items()}
        return replace(
            plane,
            expected_noise_jy=made.images.expected_noise_jy,
            noise_jy={stokes: noise for stokes, noise in measured.items() if noise is not None},
        )

    def result(self) -> ExportResult:
        """What has been written."""
        return ExportResult(tuple(self.files), tuple(self.planes), self.common_beam)

    def _write_text(self, name: str, text: str, kind: FileKind) -> None:
        write_text(self.products / name, text)
        self._add(self.products / name, kind)

    def _add(self, path: Path, kind: FileKind, label: str = "", stokes: str = "") -> None:
        self.context.add_output(path)
        record = self.context.outputs[-1]
        self.files.append(ProductFile(path.name, kind, label, stokes, record.size_bytes, record.digest))
