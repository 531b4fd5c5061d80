"""Check the products of a run: every one there, whole, with the right hash and header. Needs no CASA."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

import numpy as np
from astropy.io import fits
from astropy.utils.exceptions import AstropyUserWarning

from vlasscube import naming
from vlasscube.errors import ProductError, VlassCubeError
from vlasscube.image_names import ImageIdentity
from vlasscube.products.fits_files import READ_ERRORS, require_fits
from vlasscube.products.headers import history_lines, iso_time, object_keyword
from vlasscube.products.imaging_history import imaging_calls
from vlasscube.products.manifest import (
    MANIFEST_JSON,
    MANIFEST_XML,
    Manifest,
    ManifestPlane,
    read_manifest,
    verify_manifest,
    verify_pipeline_manifest,
)
from vlasscube.recipe import EXPORT_VLASS_DATA, GATHER_PLANES, IMPORT_DATA, TRANSFORM_IMAGE_DATA
from vlasscube.records import Outcome
from vlasscube.results.reading import find_result
from vlasscube.results.types import ExportedPlane, observed_scans
from vlasscube.stokes_codes import FITS_CODES
from vlasscube.workspace.directory import Workspace

IMAGES: dict[tuple[str, bool], tuple[str, ...]] = {
    ("image.pbcor", False): ("IQU", "V"),
    ("image.pbcor", True): ("IQU", "V"),
    ("pb", False): ("I",),
}
"""Stokes parameters of the files that a plane has of each kind of image and of its rms image."""
FIRST_COMPLETE_SCHEMA = 2
"""Schema of the manifest from which primary beams, the whole common-beam set and HISTORY must be there."""
FREQUENCY_TOLERANCE = 1e-9
"""Relative."""
POSITION_TOLERANCE_DEG = 1e-9


@dataclass(frozen=True)
class Problem:
    """Something that is not as it should be."""

    kind: Literal["manifest", "fits", "header", "plane"]
    file: str
    """The file, or the plane."""
    text: str


@dataclass(frozen=True)
class VerificationReport:
    """What was checked, and what was found."""

    directory: str
    checked: int
    """Number of files in the manifest."""
    problems: tuple[Problem, ...]


@dataclass(frozen=True)
class Expectations:
    """What the records say that headers must say; None where a record is missing."""

    start_mjd_s: float | None = None
    exported: tuple[ExportedPlane, ...] | None = None
    identity: ImageIdentity | None = None
    """Of the manifest; what the file's name says where a manifest does not."""
    complete: bool = False
    """Whether HISTORY must tell how a plane was imaged: products of earlier versions do not."""

    def plane(self, label: str | None) -> ExportedPlane | None:
        """Position and frequency of a plane."""
        return next((plane for plane in self.exported or () if plane.label == label), None)


def verify_products(workspace: Workspace) -> VerificationReport:
    """Check everything that a run has delivered.

    Parameters
    ----------
    workspace : Workspace
        Run directory with ``products/manifest.json``.

    Returns
    -------
    VerificationReport

    Raises
    ------
    ProductError
        If there is no manifest that can be read.
    """
    directory = workspace.products
    if not (directory / MANIFEST_JSON).exists():
        raise ProductError(
            f"there is no {MANIFEST_JSON} in {directory}",
            hint="It is made by the last stage: vlasscube run.",
        )
    manifest = read_manifest(directory)
    problems = [_split(text) for text in verify_manifest(directory, manifest)]
    problems += _xml_problems(directory)
    problems += _plane_problems(workspace, manifest)
    expectations = _expectations(workspace, manifest)
    broken = {problem.file for problem in problems}
    planes = {plane.label: plane for plane in manifest.planes}
    for file in manifest.files:
        if file.name.endswith(".fits") and file.name not in broken:
            plane = planes.get(file.plane or "")
            problems += verify_fits(directory / file.name, plane, expectations)
    return VerificationReport(str(directory), len(manifest.files), tuple(problems))


def _split(text: str) -> Problem:
    file, _, rest = text.partition(": ")
    return Problem("plane" if file.startswith("plane ") else "manifest", file, rest)


def _xml_problems(directory: Path) -> list[Problem]:
    try:
        text = (directory / MANIFEST_XML).read_text(encoding="utf-8")
        found = verify_pipeline_manifest(directory, text)
    except (OSError, UnicodeDecodeError, ProductError) as error:
        return [Problem("manifest", MANIFEST_XML, f"cannot be read: {error}")]
    return [_split(text) for text in found]


def _expectations(workspace: Workspace, manifest: Manifest) -> Expectations:
    imported = find_result(workspace, IMPORT_DATA)
    transformed = find_result(workspace, TRANSFORM_IMAGE_DATA)
    scans = observed_scans(transformed, imported) if transformed and imported else ()
    exported = find_result(workspace, EXPORT_VLASS_DATA)
    return Expectations(
        start_mjd_s=min((scan.start_mjd_s for scan in scans), default=None),
        exported=None if exported is None else exported.planes,
        identity=manifest.identity,
        complete=_is_complete(manifest),
    )


def _is_complete(manifest: Manifest) -> bool:
    return manifest.schema_version >= FIRST_COMPLETE_SCHEMA


def _plane_problems(workspace: Workspace, manifest: Manifest) -> list[Problem]:
    """Planes that are not as they were imaged, or whose products are not all listed."""
    problems = []
    listed = {plane.label: plane for plane in manifest.planes}
    gathered = find_result(workspace, GATHER_PLANES)
    for verdict in gathered.planes if gathered else ():
        plane = listed.get(verdict.label)
        if plane is None:
            problems.append(Problem("plane", f"plane {verdict.label}", "is not in the manifest"))
        elif plane.outcome is not verdict.outcome:
            text = f"is {plane.outcome} in the manifest, {verdict.outcome} in the records: export again"
            problems.append(Problem("plane", f"plane {verdict.label}", text))
    for plane in manifest.planes:
        if plane.outcome.has_images:
            problems += _missing_products(plane, manifest)
    return problems


def _missing_products(plane: ManifestPlane, manifest: Manifest) -> Iterator[Problem]:
    names = [_product_name(file.name) for file in manifest.files if file.plane == plane.label]
    have = {(name.com, name.kind, name.rms, name.stokes) for name in names if name is not None}
    complete = _is_complete(manifest)
    # A plane whose beam is out of reach has no member in the common-beam set; others have all.
    for com in (False, True) if complete and any(com for com, *_ in have) else (False,):
        for (kind, is_rms), stokes_sets in IMAGES.items():
            for stokes in stokes_sets if complete or kind != "pb" else ():
                if (com, kind, is_rms, stokes) not in have:
                    what = f"{stokes} {'rms' if is_rms else kind.rpartition('.')[2]} image"
                    where = " of the common-beam set" if com else ""
                    yield Problem("plane", f"plane {plane.label}", f"its {what}{where} is not listed")


def _product_name(text: str) -> naming.ProductName | None:
    try:
        return naming.parse_product_name(text)
    except VlassCubeError:
        return None


# -------------------------------------------------------------------------------------------------- FITS


def verify_fits(
    path: Path, plane: ManifestPlane | None = None, expectations: Expectations | None = None
) -> list[Problem]:
    """Check one FITS file.

    Parameters
    ----------
    path : Path
        The file.
    plane : ManifestPlane, optional
        Plane that it shows; None for a cube or table, of which only the form is checked.
    expectations : Expectations, optional
        What the records say.

    Returns
    -------
    list of Problem
        Empty if all is well.
    """
    try:
        require_fits(path)
        with warnings.catch_warnings():
            warnings.simplefilter("error", AstropyUserWarning)
            with fits.open(path, memmap=True, lazy_load_hdus=False) as hdus:
                hdus.verify("exception")
                texts = list(_header_problems(path, hdus, plane, expectations or Expectations()))
                if plane is not None and not np.isfinite(hdus[0].data).any():
                    texts.append("all pixels are NaN")
    except READ_ERRORS as error:
        return [Problem("fits", path.name, f"is not legal FITS: {' '.join(str(error).split())}")]
    return [Problem("header", path.name, text) for text in texts]


def _header_problems(
    path: Path, hdus: fits.HDUList, plane: ManifestPlane | None, expectations: Expectations
) -> Iterator[str]:
    if plane is None:
        return
    header = hdus[0].header
    name = _product_name(path.name)
    if name is None:
        yield "its name is not that of a product"
        return
    yield from _axis_problems(header, name.stokes)
    if name.kind != "pb":
        yield from _beam_problems(header)
    rest = _number(header, "RESTFRQ")
    if not (rest > 0 and math.isfinite(rest)):
        yield f"RESTFRQ is {header.get('RESTFRQ')!r}, no frequency"
    if expectations.complete and not imaging_calls(history_lines(header)):
        yield "HISTORY does not tell how it was imaged"
    exported = expectations.plane(plane.label)
    yield from _frequency_problems(header, plane, exported)
    if exported is not None and not name.com:
        for keyword, value in (("CRVAL1", exported.crval1_deg), ("CRVAL2", exported.crval2_deg)):
            # CASA writes right ascensions beyond 180° as negative.
            offset = (_number(header, keyword) - value + 180.0) % 360.0 - 180.0
            if not abs(offset) <= POSITION_TOLERANCE_DEG:
                yield f"{keyword} is {header.get(keyword)!r}, {value!r} is recorded"
    yield from _time_problems(header, expectations.start_mjd_s)
    rejected = plane.outcome is Outcome.REJECTED
    identity = expectations.identity or name.identity
    expected: dict[str, str | bool] = {
        "BUNIT": "" if name.kind == "pb" else "Jy/beam",
        "OBJECT": object_keyword(identity.object_name),
        "VLASSPL": name.stokes,
        "VLASSRJ": rejected,
    }
    if (said := expectations.identity) is not None:
        labels = {"VLASSTN": said.tile, "VLASSEP": said.epoch, "VLASSVR": said.version}
        expected |= {keyword: label for keyword, label in labels.items() if label is not None}
    for keyword, wanted in expected.items():
        found = header.get(keyword)
        if found != wanted or type(found) is not type(wanted):
            yield f"{keyword} is {found!r}, {wanted!r} is expected"


def _number(header: fits.Header, keyword: str) -> float:
    value = header.get(keyword)
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number else math.nan


def _axis_problems(header: fits.Header, stokes: str) -> Iterator[str]:
    if header.get("NAXIS") != 4:
        yield f"NAXIS is {header.get('NAXIS')!r}, 4 is expected"
        return
    types = [str(header.get(f"CTYPE{axis}", "")).split("-")[0].strip() for axis in range(1, 5)]
    if types != ["RA", "DEC", "FREQ", "STOKES"]:
        yield f"the axes are {', '.join(types)}; RA, DEC, FREQ, STOKES are expected"
        return
    if header["NAXIS3"] != 1:
        yield f"{header['NAXIS3']} channels; 1 is expected"
    start, step, pixel = (_number(header, key) for key in ("CRVAL4", "CDELT4", "CRPIX4"))
    wanted = [FITS_CODES[letter] for letter in stokes]
    # One more than wanted shows that there are too many; a header can claim any number.
    codes = [start + step * (index + 1 - pixel) for index in range(min(header["NAXIS4"], len(wanted) + 1))]
    if len(codes) != len(wanted) or not np.allclose(codes, wanted, atol=1e-6):
        shown = ", ".join(f"{code:g}" for code in codes)
        yield f"the Stokes axis holds the codes {shown}; {stokes} is expected"


def _beam_problems(header: fits.Header) -> Iterator[str]:
    major, minor, angle = (_number(header, key) for key in ("BMAJ", "BMIN", "BPA"))
    if not (major >= minor > 0 and math.isfinite(major) and math.isfinite(angle)):
        shown = ", ".join(f"{key}={header.get(key)!r}" for key in ("BMAJ", "BMIN", "BPA"))
        yield f"there is no usable beam: {shown}"


def _frequency_problems(
    header: fits.Header, plane: ManifestPlane, exported: ExportedPlane | None
) -> Iterator[str]:
    found = _number(header, "CRVAL3")
    # What was asked for and the image's frequency differ by the choice of the frame: 1e-4 at most.
    wanted, tolerance = (
        (exported.frequency_hz, FREQUENCY_TOLERANCE) if exported else (plane.frequency_hz, 1e-3)
    )
    if not abs(found - wanted) <= tolerance * wanted:
        yield f"CRVAL3 is {header.get('CRVAL3')!r} Hz, {wanted!r} Hz is recorded"


def _time_problems(header: fits.Header, start_mjd_s: float | None) -> Iterator[str]:
    times = []
    for keyword in ("DATE-OBS", "DATE-END"):
        try:
            times.append(datetime.fromisoformat(str(header.get(keyword))))
        except ValueError:
            yield f"{keyword} is {header.get(keyword)!r}, no time"
    if len(times) == 2 and times[0] >= times[1]:
        yield "DATE-END is not after DATE-OBS"
    if start_mjd_s is not None and times and str(header.get("DATE-OBS")) != iso_time(start_mjd_s):
        yield f"DATE-OBS is {header.get('DATE-OBS')!r}, {iso_time(start_mjd_s)!r} is recorded"
