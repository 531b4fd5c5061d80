"""What the continuum run must supply: looked for in its archive, and extracted whole or not at all."""

from __future__ import annotations

import errno
import functools
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from vlasscube.errors import ArchiveError, MissingResourcesError, ResourceLimitError
from vlasscube.naming import resource_patterns
from vlasscube.resources.header_files import HeaderFiles
from vlasscube.resources.tar_stream import ArchiveLimits, Progress, VettedMember, walk_archive
from vlasscube.workspace.files import digest, discard, publish_all
from vlasscube.workspace.leftovers import is_leftover

__all__ = [
    "ArchiveLimits",
    "Resource",
    "ResourceReport",
    "ResourceRequest",
    "archive_digest",
    "extract_resources",
    "inspect_archive",
    "is_resource_name",
    "resource_requests",
]

_FREE_SPACE_MARGIN_BYTES = 64 << 20
_TABLE_FILE = "table.dat"
"""What makes a directory a casacore table; CASA images are tables."""
_MAX_SIMILAR = 8
_MAX_CANDIDATES = 100
_IMAGE_OF_RUN = re.compile(
    r"s\d+_0\.(.+)\.(?:QLcatmask-tier1\.mask|combined-tier2\.mask|I\.iter1\.model\.tt\d)", re.ASCII
)
_TABLE_OF_RUN = re.compile(r"(.+?\.ms)\.(?:flagversions(?:/.+)?|.+\.phase-self-cal\.tbl)")
_PRIVATE = (".resources.", ".partial")
"""Prefix and suffix of the directory that is extracted into; see `vlasscube.workspace.leftovers`."""


@dataclass(frozen=True)
class ResourceRequest:
    """Something to look for.

    Attributes
    ----------
    key : str
        As in the official pipeline.
    title : str
        Row title on the web log.
    description : str
        For messages.
    pattern : str
        Glob, as the official pipeline searches and as users know it.
    expressions : tuple of str
        Regular expressions of what is accepted, stricter than the glob; one directory for each.
    """

    key: str
    title: str
    description: str
    pattern: str
    expressions: tuple[str, ...]


@dataclass(frozen=True)
class Resource:
    """What was found of a `ResourceRequest`."""

    key: str
    title: str
    description: str
    pattern: str
    found: tuple[str, ...]
    """Paths in the archive, or candidates if there are too many."""
    available: bool
    problem: str = ""
    """Why it is not available."""


@dataclass(frozen=True)
class ResourceReport:
    """What an archive has of what is needed, one row per resource."""

    archive: str
    ms_name: str
    se_name: str
    resources: tuple[Resource, ...]
    members: int = 0
    wanted_bytes: int = 0
    linked_files: tuple[str, ...] = ()
    """Files of the archive that something wanted is a hard link to, and that are not wanted themselves."""
    similar: tuple[str, ...] = ()
    """Names in the archive that look like what is missing, of another image or measurement set."""

    @property
    def complete(self) -> bool:
        """Whether everything is there, once."""
        return all(resource.available for resource in self.resources)

    def get(self, key: str) -> Resource:
        """The resource with a key."""
        return next(resource for resource in self.resources if resource.key == key)

    @property
    def tier1_mask(self) -> str:
        """Name of the tier-1 mask; only of a complete report, as the names below."""
        return self.get("tier1_mask").found[0]

    @property
    def tier2_mask(self) -> str:
        """Name of the combined mask."""
        return self.get("tier2_mask").found[0]

    @property
    def model_images(self) -> tuple[str, ...]:
        """Names of the self-calibration model's Taylor terms, in order."""
        return self.get("model_images").found

    @property
    def selfcal_table(self) -> str:
        """Name of the self-calibration table."""
        return self.get("selfcal_table").found[0]

    @property
    def problems(self) -> tuple[str, ...]:
        """One line per resource that is not available."""
        return tuple(f"{row.key:<20}: {row.problem}" for row in self.resources if not row.available)

    def _other_names(self) -> str:
        """Whose products the archive has instead, and what to do if they are the right ones."""
        texts = [f"The archive has {', '.join(self.similar)}: it may be of another image or measurement set."]
        images = sorted({found[1] for name in self.similar if (found := _IMAGE_OF_RUN.fullmatch(name))})
        if images and self.se_name not in images:
            texts.append(
                f"Its images are of {', '.join(map(repr, images))}, while imagename in SEIP_parameter.list "
                f"is {self.se_name!r}: if they belong together, write imagename={images[0]!r} there, as in "
                "the list of the continuum run."
            )
        tables = sorted({found[1] for name in self.similar if (found := _TABLE_OF_RUN.fullmatch(name))})
        if tables and self.ms_name not in tables:
            texts.append(
                f"Its flags and self-calibration are of {', '.join(tables)}, while the working measurement "
                f"set is {self.ms_name}"
            )
            root = tables[0].removesuffix("_split.ms")
            texts[-1] += (
                f": if they belong together, rename the measurement set to {root}.ms."
                if root != tables[0]
                else "."
            )
        return " ".join(texts)

    def require_complete(self) -> None:
        """Refuse to go on without everything that is needed.

        Raises
        ------
        MissingResourcesError
            With one line for each missing or ambiguous resource and the pattern searched for; its attribute
            ``report`` is this report.
        """
        if self.complete:
            return
        hint = "Take reimaging_resources.tgz of the continuum run of this image and measurement set."
        if self.similar:
            hint = f"{hint} {self._other_names()}".rstrip()
        error = MissingResourcesError(
            "Some resources required to restore the calibration and to image are unavailable in "
            f"{self.archive}; processing cannot continue:",
            self.problems,
            hint=hint,
        )
        error.report = self
        raise error


def resource_requests(ms_name: str, se_name: str, *, nterms: int = 2) -> tuple[ResourceRequest, ...]:
    """List what a cube run needs of the continuum run, in the order of the web log, the archive itself first.

    Parameters
    ----------
    ms_name : str
        Name of the working measurement set.
    se_name : str
        Image name of the continuum run.
    nterms : int
        Number of Taylor terms of the self-calibration model.
    """
    patterns = resource_patterns(ms_name, se_name)
    vis, name = re.escape(ms_name), re.escape(se_name)
    models = tuple(rf"s\d+_0\.{name}\.I\.iter1\.model\.tt{term}" for term in range(nterms))
    table = (
        ("flag_dir", "Flags Directory", "flag directory", (rf"{vis}\.flagversions",)),
        ("flag_version", "Flag Restore Version", "flag version", (rf"{vis}\.flagversions/flags\.statwt_1",)),
        ("selfcal_table", "Selfcal Table", "selfcal table", (rf"{vis}\.[^/]+\.phase-self-cal\.tbl",)),
        ("tier1_mask", "Tier 1 Mask", "tier 1 mask", (rf"s\d+_0\.{name}\.QLcatmask-tier1\.mask",)),
        ("tier2_mask", "Combined Final Mask", "tier 2 mask", (rf"s\d+_0\.{name}\.combined-tier2\.mask",)),
        ("model_images", "Selfcal Model Image(s)", "model image(s)", models),
    )
    archive = ResourceRequest("reimaging_resources", "Reimaging Resources Tarball", "tarball", "", ())
    return (
        archive,
        *(ResourceRequest(key, title, text, patterns[key], exp) for key, title, text, exp in table),
    )


def is_resource_name(name: str) -> bool:
    """Whether the name is of the form of a mask, model image or table of a continuum run."""
    return any(form.fullmatch(name) is not None for form in (_IMAGE_OF_RUN, _TABLE_OF_RUN))


# ------------------------------------------------------------------------------------------- inspection


@dataclass(frozen=True)
class _Contents:
    """Directories of the archive, the bytes below each, and which of them are tables."""

    sizes: dict[str, int]
    tables: frozenset[str]
    links: dict[str, str]
    """What hard links stand for."""
    members: int


def inspect_archive(
    path: Path,
    ms_name: str,
    se_name: str,
    *,
    nterms: int = 2,
    limits: ArchiveLimits | None = None,
    progress: Progress | None = None,
    headers: HeaderFiles | None = None,
) -> ResourceReport:
    """Read an archive once and tell what it has of what is needed.

    Parameters
    ----------
    path : Path
        ``reimaging_resources.tgz``.
    ms_name : str
        Name of the working measurement set, ``<fsid>_split_split.ms``.
    se_name : str
        Image name of the continuum run.
    nterms : int
        Number of Taylor terms of the self-calibration model.
    limits : ArchiveLimits, optional
        What the archive may hold.
    progress : callable, optional
        Called with bytes done and total.
    headers : HeaderFiles, optional
        Where to put what is needed to open the tables; without it nothing is written.

    Returns
    -------
    ResourceReport
        Also when something is missing, has two candidates, or there is no archive at all; what else the
        archive has is of no interest.

    Raises
    ------
    ArchiveError
        If the archive is damaged or hostile.
    """
    requests = resource_requests(ms_name, se_name, nterms=nterms)
    if not path.is_file():
        rows = [_row(requests[0], (), f"no such file: {path.name}", pattern=path.name)]
        rows += [_row(request, (), f"not looked for: {request.pattern}") for request in requests[1:]]
        return ResourceReport(path.name, ms_name, se_name, tuple(rows))
    members = walk_archive(path, limits, progress)
    if headers is not None:
        below = [item for request in requests if request.key != "flag_dir" for item in request.expressions]
        members = headers.keeping(members, below)
    contents = _contents(members)
    rows = [_row(requests[0], (path.name,), "", pattern=path.name)]
    rows += [_look_for(request, contents) for request in requests[1:]]
    found = {name for row in rows[1:] if row.available and row.key != "flag_dir" for name in row.found}
    report = ResourceReport(
        archive=path.name,
        ms_name=ms_name,
        se_name=se_name,
        resources=tuple(rows),
        members=contents.members,
        wanted_bytes=sum(contents.sizes[name] for name in found),
        similar=_similar(rows, contents),
    )
    return replace(report, linked_files=_linked_files(report, contents)) if report.complete else report


def _contents(members: Iterator[VettedMember]) -> _Contents:
    sizes: dict[str, int] = {}
    tables: set[str] = set()
    links: dict[str, str] = {}
    count = 0
    for vetted in members:
        count += 1
        member = vetted.member
        parts = member.name.split("/")
        # Two levels are enough: everything wanted is at the top, but flag versions are one below.
        depth = len(parts) if member.is_directory else len(parts) - 1
        for level in range(1, min(depth, 2) + 1):
            directory = "/".join(parts[:level])
            sizes[directory] = sizes.get(directory, 0) + member.size_bytes
        if parts[-1] == _TABLE_FILE and not member.is_directory:
            tables.add("/".join(parts[:-1]))
        if depth == 0:
            sizes.setdefault(member.name, -1)
        if member.same_as:
            links[member.name] = member.same_as
    return _Contents(sizes, frozenset(tables), links, count)


def _linked_files(report: ResourceReport, contents: _Contents) -> tuple[str, ...]:
    wanted = _wanted(report)
    targets = {target for name, target in contents.links.items() if _is_within(name, wanted)}
    return tuple(sorted(target for target in targets if not _is_within(target, wanted)))


def _row(
    request: ResourceRequest, found: Sequence[str], problem: str, *, pattern: str | None = None
) -> Resource:
    return Resource(
        key=request.key,
        title=request.title,
        description=request.description,
        pattern=request.pattern if pattern is None else pattern,
        found=tuple(found),
        available=not problem,
        problem=problem,
    )


def _look_for(request: ResourceRequest, contents: _Contents) -> Resource:
    found: list[str] = []
    problems: list[str] = []
    for expression in request.expressions:
        matches = sorted(name for name in contents.sizes if re.fullmatch(expression, name, re.ASCII))
        found += matches[:_MAX_CANDIDATES]
        # With one expression per image the glob does not tell which of them is missing.
        which = f" (Taylor term {expression[-1]})" if len(request.expressions) > 1 else ""
        if not matches:
            problems.append(f"missing{which}: nothing matches {request.pattern}")
        elif len(matches) > 1:
            more = f" and {len(matches) - _MAX_SIMILAR} more" if len(matches) > _MAX_SIMILAR else ""
            names = ", ".join(matches[:_MAX_SIMILAR])
            problems.append(f"ambiguous{which}: {request.pattern} matches {names}{more}")
        elif request.key != "flag_dir" and matches[0] not in contents.tables:
            problems.append(f"damaged{which}: {matches[0]} is not a CASA table (no {_TABLE_FILE})")
        elif contents.sizes[matches[0]] < 0:
            problems.append(f"damaged: {matches[0]} is a file, not a directory")
    return _row(request, found, "; ".join(problems))


def _similar(rows: Sequence[Resource], contents: _Contents) -> tuple[str, ...]:
    endings = {
        "flag_dir": ".flagversions",
        "flag_version": "/flags.statwt_1",
        "selfcal_table": ".phase-self-cal.tbl",
        "model_images": ".iter1.model.tt0",
        "tier1_mask": ".QLcatmask-tier1.mask",
        "tier2_mask": ".combined-tier2.mask",
    }
    missing = tuple(endings[row.key] for row in rows if not row.available and not row.found)
    names = sorted(name for name in contents.sizes if missing and name.endswith(missing))
    return tuple(names[:_MAX_SIMILAR])


def archive_digest(path: Path) -> str:
    """Digest of an archive, computed once for each of its states: it may have gigabytes."""
    facts = path.stat()
    return _digest(path, facts.st_ino, facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns)


@functools.lru_cache(maxsize=4)
def _digest(path: Path, *state: int) -> str:
    return digest(path)


# ------------------------------------------------------------------------------------------- extraction


def extract_resources(
    archive: Path,
    destination: Path,
    report: ResourceReport,
    *,
    limits: ArchiveLimits | None = None,
    progress: Progress | None = None,
    check: Callable[[Path], None] | None = None,
) -> tuple[str, ...]:
    """Extract what is needed, and nothing else.

    Parameters
    ----------
    archive : Path
        The archive that was inspected.
    destination : Path
        Directory to put the resources into; made if need be. What stands there under their names is replaced.
    report : ResourceReport
        From `inspect_archive`.
    limits, progress
        As there.
    check : callable, optional
        Called with the directory of what was extracted before anything is put in its place; what it raises
        leaves everything as it was.

    Returns
    -------
    tuple of str
        Names in `destination`: two masks, the model images, the self-calibration table, and the directory of
        flag versions with the one version that is needed.

    Raises
    ------
    MissingResourcesError
        If the report is not complete.
    ArchiveError
        If the archive is damaged or hostile, or is not the one inspected; nothing is left behind.
    ResourceLimitError
        If the disk is full; nothing is left behind.

    Notes
    -----
    Everything is written to a private directory first, and moved when all of it is whole and on disk. If the
    process is killed, that directory stays; the next call removes it.
    """
    report.require_complete()
    free = 0
    private: Path | None = None
    try:
        destination.mkdir(parents=True, exist_ok=True)
        _remove_leftovers(destination)
        free = shutil.disk_usage(destination).free
        if free < report.wanted_bytes + _FREE_SPACE_MARGIN_BYTES:
            raise _disk_full(destination, report, free)
        private = Path(tempfile.mkdtemp(prefix=_PRIVATE[0], suffix=_PRIVATE[1], dir=destination))
        content, linked = private / "content", private / "linked"
        content.mkdir()
        linked.mkdir()
        _extract(archive, content, linked, report, limits, progress)
        if check is not None:
            check(content)
        names = tuple(sorted(item.name for item in content.iterdir()))
        publish_all((content / name, destination / name) for name in names)
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise _disk_full(destination, report, free) from error
        raise ArchiveError(
            f"{archive.name} cannot be extracted into {destination}: {error.strerror or error}",
            hint="Check the permissions of the run directory and the state of its disk.",
        ) from error
    finally:
        if private is not None:
            discard(private)
    return names


def _remove_leftovers(destination: Path) -> None:
    for path in destination.glob(f"{_PRIVATE[0]}*{_PRIVATE[1]}"):
        if is_leftover(path.name):
            discard(path)


def _disk_full(destination: Path, report: ResourceReport, free: int) -> ResourceLimitError:
    return ResourceLimitError(
        f"The resources of the continuum run need {report.wanted_bytes / 1e9:.2f} GB "
        f"in {destination}, where {free / 1e9:.2f} GB are free.",
        hint="Free disk space, or use a run directory on another disk.",
    )


def _wanted(report: ResourceReport) -> tuple[str, ...]:
    names = [name for row in report.resources[1:] if row.key != "flag_dir" for name in row.found]
    return (*names, f"{report.get('flag_dir').found[0]}/FLAG_VERSION_LIST")


def _is_within(name: str, wanted: Sequence[str]) -> bool:
    return any(name == item or name.startswith(f"{item}/") for item in wanted)


def _extract(
    archive: Path,
    content: Path,
    linked: Path,
    report: ResourceReport,
    limits: ArchiveLimits | None,
    progress: Progress | None,
) -> None:
    """Write what is wanted into `content`, and files that it has hard links to into `linked`."""
    wanted = _wanted(report)
    elsewhere = {name: linked / str(number) for number, name in enumerate(report.linked_files)}
    directories = {content}
    written = 0
    for vetted in walk_archive(archive, limits, progress):
        name = vetted.member.name
        if name in elsewhere:
            _write(elsewhere[name], vetted)
        if not _is_within(name, wanted):
            continue
        target = content / name
        parent = target if vetted.member.is_directory else target.parent
        parent.mkdir(parents=True, exist_ok=True)
        directories.update(path for path in (parent, *parent.parents) if path.is_relative_to(content))
        origin = vetted.member.same_as
        if origin:
            # A copy: CASA changes some of these files in place.
            shutil.copyfile(elsewhere.get(origin, content / origin), target)
        elif not vetted.member.is_directory:
            _write(target, vetted)
        written += vetted.member.size_bytes
    required = [content / row.found[0] for row in report.resources[1:]]
    if written < report.wanted_bytes or not all(path in directories for path in required):
        raise ArchiveError(
            f"{archive.name} is not the archive that was inspected.",
            hint="It changed in the meantime; run the same command again.",
        )


def _write(target: Path, vetted: VettedMember) -> None:
    with target.open("xb") as stream:
        for chunk in vetted.chunks():
            stream.write(chunk)
