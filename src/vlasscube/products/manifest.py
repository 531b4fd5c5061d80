"""What has been delivered: ``pipeline_manifest.xml`` as archives know it, and ``manifest.json`` with digests.

Both are deterministic: the same products give the same text.
"""

from __future__ import annotations

import os
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from vlasscube.errors import ProductError, VlassCubeError
from vlasscube.image_names import ImageIdentity
from vlasscube.records import FileKind, NoncoplanarEffect, Outcome, SpectralCoverage
from vlasscube.workspace.files import digest, write_text
from vlasscube.workspace.record_json import from_json, to_json

MANIFEST_JSON = "manifest.json"
MANIFEST_XML = "pipeline_manifest.xml"
PROCEDURE = "hifv_vlassCCIP"


@dataclass(frozen=True)
class ManifestFile:
    """A delivered file."""

    name: str
    """Relative to the products directory, with ``/``."""
    sha256: str
    size_bytes: int
    kind: FileKind
    plane: str | None = None
    """Label of the plane it belongs to."""


@dataclass(frozen=True)
class ManifestPlane:
    """A plane that was asked for, and what became of it."""

    label: str
    spw_ids: tuple[int, ...]
    frequency_hz: float
    outcome: Outcome
    reason: str = ""
    expected_noise_jy: float | None = None
    """By the weights of the data, not primary-beam corrected, Jy/beam."""
    noise_jy: Mapping[str, float] = field(default_factory=dict)
    """Scaled median absolute deviation of the cutout of the final residual, by Stokes parameter."""
    spectral_coverage: SpectralCoverage | None = None
    """Mean frequency, mean λ² and effective bandwidth of the data; None where not known."""
    noncoplanar: NoncoplanarEffect | None = None
    """Loss and shift of point sources expected of leaving w out; None where not known."""


@dataclass(frozen=True)
class Manifest:
    """Content of ``manifest.json``."""

    name: str
    """Image name without plane."""
    planes: tuple[ManifestPlane, ...]
    """Every plane of the request."""
    files: tuple[ManifestFile, ...]
    """Every file of the products directory but the manifest itself, sorted by name."""
    versions: Mapping[str, str] = field(default_factory=dict)
    procedure: str = PROCEDURE
    schema_version: int = 2
    """2: with primary beams, a complete common-beam set, and HISTORY of the imaging in every image."""
    identity: ImageIdentity | None = None
    """Object, tile, epoch and version of the products; None in manifests of release 0.1.0."""


# --------------------------------------------------------------------------------------------------- JSON


def manifest_file(directory: Path, name: str, kind: FileKind, plane: str | None = None) -> ManifestFile:
    """Describe a file of the products directory as it is now.

    Raises
    ------
    ProductError
        If there is no such file in the directory.
    """
    path = directory / name
    if not _stays_inside(name) or path.is_symlink() or not path.is_file():
        raise ProductError(f"manifest: {name} is not a file in {directory}")
    return ManifestFile(PurePosixPath(name).as_posix(), digest(path), path.stat().st_size, kind, plane)


def write_manifest(directory: Path, manifest: Manifest) -> Path:
    """Write ``manifest.json``, with files and versions sorted by name."""
    ordered = Manifest(
        name=manifest.name,
        planes=manifest.planes,
        files=tuple(sorted(manifest.files, key=lambda file: file.name)),
        versions=dict(sorted(manifest.versions.items())),
        procedure=manifest.procedure,
        schema_version=manifest.schema_version,
        identity=manifest.identity,
    )
    path = directory / MANIFEST_JSON
    write_text(path, to_json(ordered) + "\n")
    return path


def read_manifest(directory: Path) -> Manifest:
    """Read ``manifest.json``.

    Raises
    ------
    ProductError
        If it is missing or damaged, or of a later schema.
    """
    path = directory / MANIFEST_JSON
    try:
        manifest = from_json(Manifest, path.read_bytes())
    except (OSError, VlassCubeError) as error:
        raise ProductError(
            f"{path} cannot be read: {error}", hint="Run the export again; the images are not made again."
        ) from error
    if manifest.schema_version > Manifest.schema_version:
        raise ProductError(f"{path} has schema version {manifest.schema_version}, of a later version")
    return manifest


def verify_manifest(directory: Path, manifest: Manifest) -> tuple[str, ...]:
    """Compare a manifest with the files on disk.

    Returns
    -------
    tuple of str
        Problems: files that are missing, have another size or content, are listed twice or not at all, or lie
        outside of the directory; planes with images but none listed, or the reverse. Empty if all is well.
    """
    problems = []
    counts = Counter(file.name for file in manifest.files)
    problems += [f"{name}: listed {count} times" for name, count in sorted(counts.items()) if count > 1]
    for file in manifest.files:
        problem = _file_problem(directory, file)
        if problem:
            problems.append(f"{file.name}: {problem}")
    found = {path.relative_to(directory).as_posix() for path in _files_below(directory)}
    problems += [f"{name}: not listed" for name in sorted(found - counts.keys() - {MANIFEST_JSON})]
    return tuple(problems + _plane_problems(manifest))


def _file_problem(directory: Path, file: ManifestFile) -> str:
    path = directory / file.name
    if not _stays_inside(file.name):
        return "leads out of the products directory"
    try:
        return _content_problem(path, file)
    except OSError as error:
        return f"cannot be read: {error.strerror}"


def _content_problem(path: Path, file: ManifestFile) -> str:
    if path.is_symlink() or (path.exists() and not path.is_file()):
        return "is not a regular file"
    if not path.exists():
        return "missing"
    size = path.stat().st_size
    if size != file.size_bytes:
        return f"has {size} bytes, {file.size_bytes} are expected"
    if digest(path) != file.sha256:
        return "has been changed: its SHA-256 differs"
    return ""


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a name that is too long
        return False


def _plane_problems(manifest: Manifest) -> list[str]:
    problems = []
    pictured = {file.plane for file in manifest.files if file.kind == "image"}
    for plane in manifest.planes:
        if plane.outcome.has_images and plane.label not in pictured:
            problems.append(f"plane {plane.label}: {plane.outcome.value}, but no image is listed")
        if not plane.outcome.has_images and plane.label in pictured:
            problems.append(f"plane {plane.label}: {plane.outcome.value}, but an image is listed")
    unknown = {file.plane for file in manifest.files if file.plane} - {
        plane.label for plane in manifest.planes
    }
    return problems + [f"plane {label}: has files, but was not requested" for label in sorted(unknown)]


def _stays_inside(name: str) -> bool:
    path = PurePosixPath(name)
    return bool(name) and "\0" not in name and not path.is_absolute() and ".." not in path.parts


def _files_below(directory: Path) -> list[Path]:
    # os.walk does not follow links.
    return [Path(root) / name for root, _, names in os.walk(directory) for name in names]


# ---------------------------------------------------------------------------------------------------- XML


@dataclass(frozen=True)
class PipelineManifest:
    """Content of ``pipeline_manifest.xml``; names of files, with or without path."""

    name: str
    casa_version: str
    pipeline_version: str
    images: Sequence[str]
    parameter_lists: Sequence[str]
    weblog: str | None = "weblog.tgz"
    casa_commands: str | None = "casa_commands.log"
    script: str | None = "casa_pipescript.py"
    request: str | None = None
    procedure: str = PROCEDURE
    primary_beams: Sequence[str] = ()


def pipeline_manifest_xml(content: PipelineManifest) -> str:
    """Build the text of ``pipeline_manifest.xml``: file names without path, images and lists sorted."""
    root = ET.Element("piperesults", name=_xml_text(content.name))
    unit = ET.SubElement(root, "ous", name=_xml_text(content.name))

    def add(tag: str, name: str, **attributes: str) -> None:
        ET.SubElement(unit, tag, {"name": _xml_text(PurePosixPath(name).name), **attributes})

    ET.SubElement(unit, "casaversion", name=_xml_text(content.casa_version))
    ET.SubElement(unit, "pipeline_version", name=_xml_text(content.pipeline_version))
    ET.SubElement(unit, "procedure_name", name=_xml_text(content.procedure))
    if content.request:
        add("piperequest", content.request)
    if content.weblog:
        add("weblog", content.weblog, datatype="weblog", format="tgz", level="N/A", package="N/A")
    if content.casa_commands:
        add("casa_cmdlog", content.casa_commands)
    if content.script:
        add("pipescript", content.script)
    for kind, images in (("target", content.images), ("pb", content.primary_beams)):
        for name in sorted(images, key=lambda image: PurePosixPath(image).name):
            add("image", name, imtype=kind, manualstring="N/A", level="N/A", package="N/A")
    for name in sorted(content.parameter_lists, key=lambda entry: PurePosixPath(entry).name):
        add("parameter_list", name)
    ET.indent(root, "  ")
    return ET.tostring(root, encoding="unicode") + "\n"


def pipeline_manifest_names(text: str) -> dict[str, tuple[str, ...]]:
    """File names in a ``pipeline_manifest.xml``, by tag (``image``, ``weblog``, ``parameter_list`` …).

    Raises
    ------
    ProductError
        If the text is not such a manifest. Document types are refused: they can hide entities.
    """
    if "<!DOCTYPE" in text:
        raise ProductError(f"{MANIFEST_XML} has a document type, which it must not have")
    try:
        unit = ET.fromstring(text).find("ous")
    except (ET.ParseError, ValueError) as error:
        raise ProductError(f"{MANIFEST_XML} is not XML: {error}") from error
    if unit is None:
        raise ProductError(f"{MANIFEST_XML} has no element 'ous'")
    names: dict[str, list[str]] = {}
    for element in unit:
        if element.tag not in ("casaversion", "pipeline_version", "procedure_name"):
            names.setdefault(element.tag, []).append(element.get("name", ""))
    return {tag: tuple(found) for tag, found in names.items()}


def verify_pipeline_manifest(directory: Path, text: str) -> tuple[str, ...]:
    """Compare a ``pipeline_manifest.xml`` with the files on disk: a problem for each file that is missing."""
    return tuple(
        f"{name}: listed in {MANIFEST_XML}, but missing"
        for names in pipeline_manifest_names(text).values()
        for name in names
        if not _stays_inside(name) or not _is_file(directory / name)
    )


def _xml_text(text: str) -> str:
    """Replace what XML 1.0 cannot hold: control characters and lone surrogates."""
    return "".join(
        c if c >= " " and not "\ud800" <= c <= "\udfff" and c not in "\ufffe\uffff" else "?" for c in text
    )
