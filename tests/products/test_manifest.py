"""Oracles: files on disk that are changed, lost and added; the archive's XML by hand."""

from __future__ import annotations

import time
import xml.etree.ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vlasscube.errors import ProductError
from vlasscube.products.manifest import (
    MANIFEST_JSON,
    Manifest,
    ManifestFile,
    ManifestPlane,
    PipelineManifest,
    manifest_file,
    pipeline_manifest_names,
    pipeline_manifest_xml,
    read_manifest,
    verify_manifest,
    verify_pipeline_manifest,
    write_manifest,
)
from vlasscube.records import Outcome

NAME = "VLASS2.1.cc.T10t02.J005000-023000.06.2048.v1"
PLANES = (
    ManifestPlane("spw2", (2,), 2.028e9, Outcome.IMAGED),
    ManifestPlane("spw3", (3,), 2.156e9, Outcome.FLAGGED, "100.00% flagged"),
    ManifestPlane("spw4", (4,), 2.284e9, Outcome.REJECTED, '<beam> & "flags"'),
)


@pytest.fixture
def products(tmp_path):
    for label in ("spw2", "spw4"):
        (tmp_path / f"{NAME}.{label}.fits").write_bytes(label.encode() * 1000)
    (tmp_path / "SEIP_parameter.list").write_text("imagename = 'a'\n")
    return tmp_path


@pytest.fixture
def manifest(products):
    files = [manifest_file(products, f"{NAME}.{label}.fits", "image", label) for label in ("spw4", "spw2")]
    files.append(manifest_file(products, "SEIP_parameter.list", "parameter_list"))
    result = Manifest(NAME, PLANES, tuple(files), {"vlasscube": "0.1.0", "casa": "6.7.0"})
    write_manifest(products, result)
    return result


def test_round_trip(products, manifest):
    back = read_manifest(products)
    assert set(back.files) == set(manifest.files)
    assert [file.name for file in back.files] == sorted(file.name for file in manifest.files)
    assert back.planes == PLANES
    assert back.versions == manifest.versions
    assert list(back.versions) == ["casa", "vlasscube"]
    assert verify_manifest(products, back) == ()
    first = (products / MANIFEST_JSON).read_bytes()
    write_manifest(products, back)
    assert (products / MANIFEST_JSON).read_bytes() == first


def test_problems_are_found(products, manifest):
    (products / f"{NAME}.spw2.fits").write_bytes(b"spw3" * 1000)
    (products / f"{NAME}.spw4.fits").write_bytes(b"short")
    (products / "SEIP_parameter.list").unlink()
    (products / "sub").mkdir()
    (products / "sub" / "stray.fits").write_bytes(b"")
    problems = verify_manifest(products, manifest)
    assert len(problems) == 4
    assert any("spw2.fits: has been changed" in problem for problem in problems)
    assert any("spw4.fits: has 5 bytes, 4000 are expected" in problem for problem in problems)
    assert "SEIP_parameter.list: missing" in problems
    assert "sub/stray.fits: not listed" in problems


def with_files(manifest, *files):
    return Manifest(manifest.name, manifest.planes, (*manifest.files, *files))


def test_hostile_entries(products, manifest):
    secret = products.parent / "secret"
    secret.write_text("x")
    (products / "link").symlink_to(secret)
    listed = with_files(
        manifest,
        ManifestFile("../secret", "0", 1, "other"),
        ManifestFile(str(secret), "0", 1, "other"),
        ManifestFile("link", "0", 1, "other"),
        manifest.files[0],
    )
    problems = verify_manifest(products, listed)
    assert sum("leads out of" in problem for problem in problems) == 2
    assert "link: is not a regular file" in problems
    assert any("listed 2 times" in problem for problem in problems)
    for name in ("../secret", "link", "none", "", str(secret)):
        with pytest.raises(ProductError, match="is not a file"):
            manifest_file(products, name, "other")


def test_planes_and_images_agree(products, manifest):
    planes = (
        ManifestPlane("spw2", (2,), 2e9, Outcome.FAILED, "crashed"),
        ManifestPlane("spw5", (5,), 2.4e9, Outcome.IMAGED),
    )
    problems = verify_manifest(products, Manifest(NAME, planes, manifest.files))
    assert problems == (
        "plane spw2: failed, but an image is listed",
        "plane spw5: imaged, but no image is listed",
        "plane spw4: has files, but was not requested",
    )


@pytest.mark.parametrize("content", [None, b"", b"{}", b"\xff", b'{"schema_version": 1}'])
def test_damaged_manifests(tmp_path, content):
    if content is not None:
        (tmp_path / MANIFEST_JSON).write_bytes(content)
    with pytest.raises(ProductError, match="cannot be read"):
        read_manifest(tmp_path)


def test_later_schema(tmp_path):
    write_manifest(tmp_path, Manifest(NAME, (), (), schema_version=3))
    with pytest.raises(ProductError, match="later version"):
        read_manifest(tmp_path)


# ---------------------------------------------------------------------------------------------------- XML


def content(**changes):
    values = {
        "name": NAME,
        "casa_version": "6.7.0",
        "pipeline_version": "0.1.0",
        "images": ["products/b.fits", "/abs/a.fits"],
        "parameter_lists": ["SEIP_parameter.list", "CCIP_parameter.list"],
    }
    return PipelineManifest(**{**values, **changes})


def test_xml_of_the_archive():
    root = ET.fromstring(pipeline_manifest_xml(content()))
    assert (root.tag, root[0].tag) == ("piperesults", "ous")
    assert [element.tag for element in root[0]] == [
        "casaversion",
        "pipeline_version",
        "procedure_name",
        "weblog",
        "casa_cmdlog",
        "pipescript",
        "image",
        "image",
        "parameter_list",
        "parameter_list",
    ]
    assert root[0].find("procedure_name").get("name") == "hifv_vlassCCIP"
    image = root[0].find("image")
    assert (image.get("name"), image.get("imtype"), image.get("manualstring")) == ("a.fits", "target", "N/A")
    assert [e.get("name") for e in root[0].findall("parameter_list")] == [
        "CCIP_parameter.list",
        "SEIP_parameter.list",
    ]


def test_xml_does_not_depend_on_order():
    assert pipeline_manifest_xml(content()) == pipeline_manifest_xml(
        content(
            images=["a.fits", "products/b.fits"],
            parameter_lists=["CCIP_parameter.list", "SEIP_parameter.list"],
        )
    )


@given(st.text(min_size=1).filter(lambda name: "/" not in name and name != "."))
def test_xml_survives_any_name(name):
    text = pipeline_manifest_xml(content(name=name, images=[name], request=name))
    names = pipeline_manifest_names(text)
    assert len(names["image"]) == 1
    if name.isprintable():
        assert names["image"] == (name,)


def test_xml_is_verified(tmp_path):
    text = pipeline_manifest_xml(content(weblog=None, casa_commands=None, script=None))
    (tmp_path / "a.fits").write_bytes(b"")
    problems = verify_pipeline_manifest(tmp_path, text)
    assert [problem.split(":")[0] for problem in problems] == [
        "b.fits",
        "CCIP_parameter.list",
        "SEIP_parameter.list",
    ]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "<piperesults>",
        "<a/>",
        '<!DOCTYPE a [<!ENTITY b "c">]><piperesults><ous name="&b;"/></piperesults>',
    ],
)
def test_other_xml_is_refused(text):
    with pytest.raises(ProductError):
        pipeline_manifest_names(text)


def test_names_that_no_file_can_have(products, manifest):
    listed = with_files(manifest, ManifestFile("x" * 300, "0", 1, "other"))
    (problem,) = verify_manifest(products, listed)
    assert problem.endswith("cannot be read: File name too long")
    text = pipeline_manifest_xml(content(images=["y" * 300]))
    assert any(problem.startswith("yyy") for problem in verify_pipeline_manifest(products, text))


def test_xml_that_costs_time():
    started = time.process_time()
    names = pipeline_manifest_names(f"<a><ous>{'<image/>' * 100_000}</ous></a>")
    assert len(names["image"]) == 100_000
    with pytest.raises(ProductError):
        pipeline_manifest_names("<a>" * 50_000)
    with pytest.raises(ProductError):
        pipeline_manifest_names("\ud800")
    assert time.process_time() - started < 10
