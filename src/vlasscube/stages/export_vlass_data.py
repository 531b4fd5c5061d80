"""Stage 12: FITS products, common-beam set, parameter lists, logs and manifests."""

from __future__ import annotations

import shutil
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from astropy.io import fits

from vlasscube import __version__, casa, naming
from vlasscube.images.beams import common_beam
from vlasscube.options import RunOptions
from vlasscube.products.casa_export import align_with_casa, export_stokes, shift_pixels
from vlasscube.products.command_log import merged_command_log, recipe_script
from vlasscube.products.common_beam import PlaneTreatment, plan_common_beam
from vlasscube.products.fits_files import write_fits
from vlasscube.products.headers import (
    VlassKeywords,
    fix_header,
    mark_aligned,
    normalise_beams,
    set_vlass_keywords,
)
from vlasscube.products.manifest import Manifest, ManifestFile, PlaneEntry, manifest_json, pipeline_manifest_xml
from vlasscube.products.position_correction import PositionCorrection, apply_position_correction
from vlasscube.records import STOKES, Beam, PlaneImages
from vlasscube.stages.context import StageContext
from vlasscube.stages.results import (
    CubeImages,
    CutoutResult,
    ExportedPlane,
    ExportResult,
    PlaneVerdict,
    ProductFile,
)
from vlasscube.workspace import digest, remove, size_bytes, write_text

STOKES_SETS = ("IQU", "V")
MANIFEST_XML = "pipeline_manifest.xml"
MANIFEST_JSON = "manifest.json"
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
    verdicts: CubeImages
    parameter_files: tuple[str, ...]
    options: RunOptions
    upstream: tuple[str, ...]
