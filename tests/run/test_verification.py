"""Verification of products, on small crafted FITS files and manifests."""

from __future__ import annotations

import dataclasses
import itertools
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from vlasscube import cli
from vlasscube.errors import ProductError
from vlasscube.image_names import ImageIdentity
from vlasscube.naming import parse_product_name
from vlasscube.products.manifest import (
    MANIFEST_JSON,
    MANIFEST_XML,
    Manifest,
    ManifestPlane,
    PipelineManifest,
    manifest_file,
    pipeline_manifest_xml,
    read_manifest,
    write_manifest,
)
from vlasscube.records import Outcome, StepRecord
from vlasscube.results.types import ExportedPlane, ExportResult
from vlasscube.run.verification import Problem, verify_fits, verify_products
from vlasscube.workspace.directory import Workspace
from vlasscube.workspace.record_json import to_plain

NAME = "VLASS2.1.cc.T10t02.J005000-023000.06.2048.v1"
FREQUENCY_HZ = 2.02815e9
Header = fits.Header


def product(
    label: str, stokes: str, *, rms: bool = False, com: bool = False, kind: str = "image.pbcor"
) -> str:
    return f"{NAME}.{label}.{stokes}.iter3.{kind}.tt0{'.rms' * rms}.subim{'.com' * com}.fits"


def make_fits(
    path: Path, stokes: str, *, rejected: bool = False, change: Callable[[Header], None] | None = None
) -> None:
    """Make an image; one of the primary beam if its name is that of one."""
    data = np.zeros((len(stokes), 1, 8, 8), np.float32)
    header = fits.Header()
    axes = (
        ("RA---SIN", 12.5, -1.6e-4, 4.0),
        ("DEC--SIN", -2.5, 1.6e-4, 4.0),
        ("FREQ", FREQUENCY_HZ, 1.28e8, 1.0),
        ("STOKES", {"I": 1.0, "V": 4.0}[stokes[0]], 1.0, 1.0),
    )
    for number, (kind, value, step, pixel) in enumerate(axes, start=1):
        header[f"CTYPE{number}"] = kind
        header[f"CRVAL{number}"] = value
        header[f"CDELT{number}"] = step
        header[f"CRPIX{number}"] = pixel
    if ".pb." in path.name:
        header["BUNIT"] = ""
    else:
        header["BUNIT"] = "Jy/beam"
        header["BMAJ"], header["BMIN"], header["BPA"] = 9e-4, 6e-4, 12.0
    header["RESTFRQ"] = 3.0e9
    header.add_history("mosaic(niter=0, imagename='x.iter0')")
    header["OBJECT"] = "J005000-023000"
    header["DATE-OBS"] = "2020-08-05T10:13:08.850000"
    header["DATE-END"] = "2020-08-05T11:13:08.850000"
    header["VLASSPL"] = stokes
    header["VLASSRJ"] = rejected
    hdu = fits.PrimaryHDU(data, header)
    if change is not None:
        change(hdu.header)
    hdu.writeto(path, overwrite=True, output_verify="ignore")


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """Products of an imaged, a rejected and a flagged plane."""
    workspace = Workspace(tmp_path)
    workspace.products.mkdir()
    names = []
    for label, rejected in (("spw2", False), ("spw3_4", True)):
        for stokes in ("IQU", "V"):
            for rms, com in itertools.product((False, True), (False, True)):
                name = product(label, stokes, rms=rms, com=com)
                make_fits(workspace.products / name, stokes, rejected=rejected)
                names.append((name, label, rms, com))
        for com in (False, True):
            name = product(label, "I", kind="pb", com=com)
            make_fits(workspace.products / name, "I", rejected=rejected)
            names.append((name, label, False, com))
    (workspace.products / "weblog.tgz").write_bytes(b"not looked into")
    write_manifests(workspace, names)
    return workspace


def write_manifests(workspace: Workspace, names: list[tuple[str, str, bool, bool]]) -> None:
    products = workspace.products
    xml = PipelineManifest(
        NAME, "6.7", "1", [n for n, _, _, com in names if not com], (), "weblog.tgz", None, None
    )
    (products / MANIFEST_XML).write_text(pipeline_manifest_xml(xml), encoding="utf-8")
    files = [
        dataclasses.replace(manifest_file(products, name, "other", label), kind="image")
        for name, label, _, _ in names
    ]
    files += [
        manifest_file(products, "weblog.tgz", "weblog"),
        manifest_file(products, MANIFEST_XML, "manifest"),
    ]
    planes = (
        ManifestPlane("spw2", (2,), 2.028e9, Outcome.IMAGED),
        ManifestPlane("spw3_4", (3, 4), 2.028e9, Outcome.REJECTED),
        ManifestPlane("spw5", (5,), 2.412e9, Outcome.FLAGGED),
    )
    write_manifest(products, Manifest(NAME, planes, tuple(files)))


def texts(problems: tuple[Problem, ...]) -> list[str]:
    return [problem.text for problem in problems]


def relist(workspace: Workspace, name: str) -> None:
    """Put a changed file's size and hash into the manifest, so that only its content is to be judged."""
    path = workspace.products / MANIFEST_JSON
    content = json.loads(path.read_text(encoding="utf-8"))
    for entry in content["files"]:
        if entry["name"] == name:
            new = manifest_file(workspace.products, name, "other")
            entry["sha256"], entry["size_bytes"] = new.sha256, new.size_bytes
    path.write_text(json.dumps(content), encoding="utf-8")


def test_good_products_have_no_problems(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    report = verify_products(workspace)
    assert report.problems == ()
    assert report.checked == 22
    assert cli.main(["verify", str(workspace.directory)]) == 0
    assert capsys.readouterr().out == "22 products checked, no problems.\n"


def test_missing_changed_truncated_and_unlisted_files(
    workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    products = workspace.products
    (products / product("spw2", "IQU")).unlink()
    changed = products / product("spw2", "V")
    changed.write_bytes(changed.read_bytes().replace(b"J005000", b"J005001"))
    truncated = products / product("spw3_4", "V", rms=True)
    truncated.write_bytes(truncated.read_bytes()[:-1])
    make_fits(products / "stray.fits", "V")
    found = {problem.file: problem.text for problem in verify_products(workspace).problems}
    assert "missing" in found[product("spw2", "IQU")]
    assert "SHA-256" in found[changed.name]
    assert "bytes" in found[truncated.name]
    assert found["stray.fits"] == "not listed"
    assert cli.main(["verify", str(workspace.directory)]) == 1
    out = capsys.readouterr().out
    assert "stray.fits: not listed" in out
    assert "problems." in out


def test_json_report(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    (workspace.products / "weblog.tgz").unlink()
    assert cli.main(["verify", str(workspace.directory), "--json"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert {problem["file"] for problem in report["problems"]} == {"weblog.tgz"}


def test_no_manifest(tmp_path: Path) -> None:
    with pytest.raises(ProductError, match="manifest"):
        verify_products(Workspace(tmp_path))


def test_damaged_manifests(workspace: Workspace) -> None:
    (workspace.products / MANIFEST_XML).write_text("<piperesults", encoding="utf-8")
    problems = verify_products(workspace).problems
    assert any(p.file == MANIFEST_XML and "cannot be read" in p.text for p in problems)
    (workspace.products / MANIFEST_JSON).write_text("{", encoding="utf-8")
    with pytest.raises(ProductError):
        verify_products(workspace)


def leave_out(workspace: Workspace, *names: str, schema_version: int = 2) -> None:
    """Take products out of directory and manifest, as if they had never been made."""
    path = workspace.products / MANIFEST_JSON
    content = json.loads(path.read_text(encoding="utf-8"))
    content["files"] = [entry for entry in content["files"] if entry["name"] not in names]
    content["schema_version"] = schema_version
    path.write_text(json.dumps(content), encoding="utf-8")
    for name in names:
        (workspace.products / name).unlink()
    (workspace.products / MANIFEST_XML).write_text(
        pipeline_manifest_xml(PipelineManifest(NAME, "6.7", "1", (), (), None, None, None)), encoding="utf-8"
    )
    relist(workspace, MANIFEST_XML)


@pytest.mark.parametrize(
    ("stokes", "rms", "com", "kind", "text"),
    [
        ("V", True, False, "image.pbcor", "its V rms image is not listed"),
        ("IQU", False, False, "image.pbcor", "its IQU pbcor image is not listed"),
        ("I", False, False, "pb", "its I pb image is not listed"),
        ("I", False, True, "pb", "its I pb image of the common-beam set is not listed"),
        ("IQU", True, True, "image.pbcor", "its IQU rms image of the common-beam set is not listed"),
    ],
)
def test_each_plane_has_all_its_images(
    workspace: Workspace, stokes: str, rms: bool, com: bool, kind: str, text: str
) -> None:
    leave_out(workspace, product("spw2", stokes, rms=rms, com=com, kind=kind))
    assert verify_products(workspace).problems == (Problem("plane", "plane spw2", text),)


def test_a_plane_may_be_left_out_of_the_common_beam_set(workspace: Workspace) -> None:
    leave_out(workspace, *(path.name for path in workspace.products.glob("*spw2.*.com.fits")))
    assert verify_products(workspace).problems == ()


def test_products_of_earlier_versions_need_not_have_what_was_not_made_then(workspace: Workspace) -> None:
    """Neither primary beams, nor rms images of the common-beam set, nor HISTORY of the imaging."""
    paths = workspace.products.glob("*.fits")
    later = [path.name for path in paths if ".pb." in path.name or ".rms.subim.com" in path.name]
    leave_out(workspace, *later, schema_version=1)
    for path in workspace.products.glob("*.fits"):
        fits.delval(path, "HISTORY")
        relist(workspace, path.name)
    assert verify_products(workspace).problems == ()
    leave_out(workspace)
    found = texts(verify_products(workspace).problems)
    assert found.count("its I pb image is not listed") == 2
    assert found.count("HISTORY does not tell how it was imaged") == 12


def set_card(keyword: str, value: object) -> Callable[[Header], None]:
    def change(header: Header) -> None:
        header[keyword] = value

    return change


def drop_card(keyword: str) -> Callable[[Header], None]:
    def change(header: Header) -> None:
        del header[keyword]

    return change


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (set_card("BUNIT", "K"), "BUNIT is 'K', 'Jy/beam' is expected"),
        (set_card("OBJECT", "J000000+000000"), "OBJECT is 'J000000+000000'"),
        (set_card("VLASSRJ", True), "VLASSRJ is True, False is expected"),
        (set_card("VLASSRJ", 0), "VLASSRJ is 0, False is expected"),
        (drop_card("VLASSRJ"), "VLASSRJ is None"),
        (set_card("VLASSPL", "IQUV"), "VLASSPL is 'IQUV', 'IQU' is expected"),
        (drop_card("BMAJ"), "no usable beam: BMAJ=None"),
        (set_card("BMAJ", 1e-4), "no usable beam"),
        (set_card("BMIN", 0.0), "no usable beam"),
        (set_card("CRVAL3", 2.1e9), "CRVAL3 is 2100000000.0 Hz, 2028000000.0 Hz is recorded"),
        (drop_card("CRVAL3"), "CRVAL3 is None"),
        (drop_card("RESTFRQ"), "RESTFRQ is None, no frequency"),
        (set_card("RESTFRQ", 0.0), "RESTFRQ is 0.0, no frequency"),
        (set_card("RESTFRQ", -1.0), "RESTFRQ is -1.0, no frequency"),
        (drop_card("HISTORY"), "HISTORY does not tell how it was imaged"),
        (set_card("CTYPE3", "VELO"), "the axes are RA, DEC, VELO, STOKES"),
        (set_card("CRVAL4", 2.0), "the Stokes axis holds the codes 2, 3, 4; IQU is expected"),
        (set_card("DATE-OBS", "yesterday"), "DATE-OBS is 'yesterday', no time"),
        (drop_card("DATE-END"), "DATE-END is None, no time"),
        (set_card("DATE-END", "2020-08-05T10:00:00"), "DATE-END is not after DATE-OBS"),
    ],
)
def test_wrong_headers(workspace: Workspace, change: Callable[[Header], None], expected: str) -> None:
    name = product("spw2", "IQU")
    make_fits(workspace.products / name, "IQU", change=change)
    relist(workspace, name)
    problems = verify_products(workspace).problems
    assert {problem.file for problem in problems} == {name}
    assert any(expected in text for text in texts(problems))


def test_rejected_plane_must_be_marked(workspace: Workspace) -> None:
    name = product("spw3_4", "V")
    make_fits(workspace.products / name, "V", rejected=False)
    relist(workspace, name)
    assert texts(verify_products(workspace).problems) == ["VLASSRJ is False, True is expected"]


def test_other_number_of_axes(workspace: Workspace) -> None:
    name = product("spw2", "V")
    fits.PrimaryHDU(np.zeros((8, 8), np.float32)).writeto(workspace.products / name, overwrite=True)
    relist(workspace, name)
    assert "NAXIS is 2, 4 is expected" in texts(verify_products(workspace).problems)


def test_image_without_a_finite_pixel(workspace: Workspace) -> None:
    name = product("spw2", "V")
    with fits.open(workspace.products / name, mode="update") as hdus:
        hdus[0].data[:] = np.nan
    relist(workspace, name)
    assert texts(verify_products(workspace).problems) == ["all pixels are NaN"]


@pytest.mark.parametrize("content", [b"", b"SIMPLE  =", b"\0" * 2880, b"no FITS at all" * 1000])
def test_what_is_not_fits(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / product("spw2", "IQU")
    path.write_bytes(content)
    (problem,) = verify_fits(path, ManifestPlane("spw2", (2,), FREQUENCY_HZ, Outcome.IMAGED))
    assert problem.kind == "fits"
    assert "not legal FITS" in problem.text


def test_illegal_card_is_found(tmp_path: Path) -> None:
    path = tmp_path / "cube.fits"
    make_fits(path, "IQU")
    path.write_bytes(path.read_bytes().replace(b"BUNIT   = 'Jy/beam '", b"bunit   = 'Jy/beam '"))
    (problem,) = verify_fits(path)
    assert problem.kind == "fits"


def write_export(workspace: Workspace, frequency_hz: float, ra_deg: float) -> None:
    plane = ExportedPlane("spw2", frequency_hz, ra_deg, -2.5, 0.1, 40.0, False, False, "")
    result = to_plain(ExportResult((), (plane,), None))
    workspace.write_record(StepRecord("export_vlass_data", None, "key", "done", "", "", 1.0, None, result))


def test_headers_agree_with_the_records(workspace: Workspace) -> None:
    write_export(workspace, FREQUENCY_HZ, 12.5)
    assert verify_products(workspace).problems == ()
    write_export(workspace, FREQUENCY_HZ * (1 + 1e-7), 12.5 + 1e-7)
    problems = verify_products(workspace).problems
    native = [p for p in problems if ".com." not in p.file]
    assert sum("CRVAL3" in p.text for p in native) == 5
    assert sum("CRVAL1" in p.text for p in native) == 5
    # The common-beam set stands on the nominal grid or on the corrected one.
    assert all("CRVAL3" in p.text for p in problems if ".com." in p.file)


def test_negative_right_ascension_is_the_same(workspace: Workspace) -> None:
    write_export(workspace, FREQUENCY_HZ, 12.5 - 360.0)
    assert verify_products(workspace).problems == ()


def test_products_of_a_free_name_are_what_the_manifest_says(workspace: Workspace) -> None:
    """A name that says nothing: object, tile, epoch and version are those of the manifest."""
    products = workspace.products
    identity = ImageIdentity("3C 286", "T10t02", "2.1", "1")
    names = []
    for path in sorted(products.glob("*.fits")):
        mine = products / path.name.replace(NAME, "my.IQU.spw3.test")
        path.rename(mine)
        with fits.open(mine, mode="update") as hdus:
            header = hdus[0].header
            keywords = ("OBJECT", "VLASSTN", "VLASSEP", "VLASSVR")
            header.update(zip(keywords, dataclasses.astuple(identity), strict=True))
        parsed = parse_product_name(mine)
        assert parsed.image == "my.IQU.spw3.test"
        names.append((mine.name, str(parsed.label), parsed.rms, parsed.com))
    write_manifests(workspace, names)
    manifest = dataclasses.replace(read_manifest(products), name="my.IQU.spw3.test", identity=identity)
    write_manifest(products, manifest)
    assert verify_products(workspace).problems == ()
    write_manifest(products, dataclasses.replace(manifest, identity=ImageIdentity("3C 286", "T10t03")))
    assert texts(verify_products(workspace).problems)[0] == "VLASSTN is 'T10t02', 'T10t03' is expected"
