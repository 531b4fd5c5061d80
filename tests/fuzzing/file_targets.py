"""Targets that are given files: FITS and its headers, manifests, archives; see `targets`."""

# ruff: noqa: PT017

from __future__ import annotations

import contextlib
import gzip
import math
import struct
import warnings
from pathlib import Path
from types import SimpleNamespace

from astropy.io import fits

from vlasscube.errors import ArchiveError, ProductError
from vlasscube.products.fits_files import read_fits, read_plane, write_fits
from vlasscube.products.header_beams import beams_of, normalize_beams
from vlasscube.products.headers import add_history, fix_header, header_frequency_hz, tidy_header
from vlasscube.products.manifest import (
    MANIFEST_JSON,
    ManifestPlane,
    pipeline_manifest_names,
    read_manifest,
    verify_manifest,
    verify_pipeline_manifest,
    write_manifest,
)
from vlasscube.products.position_correction import (
    PositionCorrection,
    apply_position_correction,
    history_cards,
    is_corrected,
)
from vlasscube.records import Outcome
from vlasscube.resources.archive import inspect_archive
from vlasscube.resources.tar_stream import ArchiveLimits, walk_archive
from vlasscube.run.verification import verify_fits

from .promises import MAX_MESSAGE, attempt, place, target, text_of

MS = "fsid_split_split.ms"
SE = "VLASS2.1.se.T10t02.J005000-023000.06.2048.v1"
PRODUCT = "VLASS2.1.cc.T10t02.J005000-023000.06.2048.v1.spw2.IQU.iter3.image.pbcor.tt0.subim.fits"
LIMITS = ArchiveLimits(max_members=500, max_member_bytes=1 << 22, max_total_bytes=1 << 23)


# ------------------------------------------------------------------------------------------- FITS, HISTORY

CORRECTION = PositionCorrection(37.0, 12.0, 0.3, 12.5, -2.5, 12.500001, -2.50001, 59066.4)


@target
def fits_headers(data: bytes) -> None:
    """Cards of 80 characters, without an end."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        header = fits.Header.fromstring(data[:8000].decode("latin-1"))
        frequency = attempt(ProductError, header_frequency_hz, header)
        assert frequency is None or math.isfinite(frequency)
        before = is_corrected(header)
        attempt(ProductError, apply_position_correction, header.copy(), CORRECTION)
        attempt(ProductError, beams_of, [SimpleNamespace(header=header)])
        tidy_header(header)
        for card in header.cards:
            card.verify("exception")
        assert tidy_header(header) == ()
        assert is_corrected(header) or not before
        fix_header(header, start_mjd_s=5.1e9, end_mjd_s=5.1e9 + 60, object_name="J005000-023000")
        add_history(header, text_of(data[:200]))
        copy = fits.Header.fromstring(header.tostring())
        assert copy["DATE-OBS"] == header["DATE-OBS"]
        if attempt(ProductError, apply_position_correction, header, CORRECTION):
            assert is_corrected(fits.Header.fromstring(header.tostring()))
            assert not apply_position_correction(header, CORRECTION)


@target
def fits_files(data: bytes) -> None:
    path = place(PRODUCT, data)
    plane = ManifestPlane("spw2", (2,), 2.028e9, Outcome.IMAGED)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        problems = verify_fits(path, plane)
        assert all(len(problem.text) < MAX_MESSAGE for problem in problems)
        image = attempt(ProductError, read_plane, path)
        assert image is None or image.data.shape[0] == len(image.stokes)
        hdus = attempt(ProductError, read_fits, path)
        if hdus is None:
            return
        attempt(ProductError, beams_of, hdus)
        normal = attempt(ProductError, normalize_beams, hdus)
        if normal is not None:
            for hdu in normal:
                tidy_header(hdu.header)
            again = place("again.fits")
            with contextlib.suppress(ProductError):
                write_fits(again, normal)
                assert beams_of(read_fits(again))


@target
def history(data: bytes) -> None:
    """Numbers of a correction as doubles, and a text."""
    numbers = struct.unpack("<8d", data[:64].ljust(64, b"\0"))
    # A position or displacement with an exponent of three digits does not exist, nor fit a card.
    if not all(number == 0 or 1e-90 < abs(number) < 1e90 for number in numbers):
        return
    header = fits.Header()
    text = text_of(data[64:2000])
    add_history(header, text)
    assert is_corrected(header) == any("Position correction " in str(line) for line in header["HISTORY"])
    for card in history_cards(PositionCorrection(*numbers)):
        header.add_history(card)
    back = fits.Header.fromstring(header.tostring())
    assert is_corrected(back)
    lines = [str(line) for line in back["HISTORY"]]
    for axis, value in ((1, numbers[3]), (2, numbers[4])):
        (line,) = (line for line in lines[-5:] if line.startswith(f"Uncorrected CRVAL{axis} = "))
        assert math.isclose(float(line.split()[3]), value, rel_tol=1e-12)


# ---------------------------------------------------------------------------------------------- manifests


@target
def manifest_json(data: bytes) -> None:
    directory = place("products")
    directory.mkdir(exist_ok=True)
    (directory / MANIFEST_JSON).write_bytes(data)
    manifest = attempt(ProductError, read_manifest, directory)
    if manifest is None:
        return
    listed = {file.name for file in manifest.files}
    problems = verify_manifest(directory, manifest)
    # There is nothing in the directory.
    assert len(problems) >= len(listed)
    write_manifest(directory, manifest)
    again = read_manifest(directory)
    assert sorted(again.files, key=repr) == sorted(manifest.files, key=repr)
    assert (again.planes, again.versions) == (manifest.planes, manifest.versions)


@target
def manifest_xml(data: bytes) -> None:
    text = text_of(data)
    names = attempt(ProductError, pipeline_manifest_names, text)
    if names is not None:
        directory = place("no products")
        directory.mkdir(exist_ok=True)
        assert len(verify_pipeline_manifest(directory, text)) == sum(map(len, names.values()))


# ----------------------------------------------------------------------------------------------- archives


def _walk(path: Path) -> None:
    seen: set[str] = set()
    total = 0
    try:
        for vetted in walk_archive(path, LIMITS):
            member = vetted.member
            parts = member.name.split("/")
            assert member.name.isprintable()
            assert not {"", ".", ".."} & set(parts)
            assert "\\" not in member.name
            assert all(len(part.encode()) <= 255 for part in parts)
            assert len(parts) <= 16
            assert member.name.casefold() not in seen
            seen.add(member.name.casefold())
            if not member.is_directory:
                read = sum(map(len, vetted.chunks()))
                assert read == member.size_bytes
                total += read
    except ArchiveError as error:
        assert len(str(error)) < MAX_MESSAGE
        assert error.message.isprintable()
        whole = False
    else:
        whole = True
    assert total <= LIMITS.max_total_bytes
    report = attempt(ArchiveError, inspect_archive, path, MS, SE, limits=LIMITS)
    assert (report is not None) == whole
    if report is not None:
        assert len("\n".join(report.problems)) < MAX_MESSAGE


@target
def archive_gzip(data: bytes) -> None:
    _walk(place("x.tgz", data))


@target
def archive_tar(data: bytes) -> None:
    """Blocks of a tar, packed here, so that what is mutated are the headers."""
    _walk(place("x.tgz", gzip.compress(data, 1, mtime=0)))
