"""What is kept of an archive to open its tables, and whose products it has when they are others."""

from __future__ import annotations

from pathlib import Path

import pytest

from vlasscube.errors import MissingResourcesError
from vlasscube.resources import header_files as module
from vlasscube.resources.archive import archive_digest, inspect_archive
from vlasscube.resources.header_files import HeaderFiles
from vlasscube.resources.tar_stream import Member, VettedMember

from .test_archive import MS, SE, WANTED, contents, pack

MASK = WANTED["tier1_mask"]


@pytest.fixture
def headers(tmp_path: Path) -> HeaderFiles:
    directory = tmp_path / "headers"
    directory.mkdir()
    return HeaderFiles(directory)


def test_pixels_become_holes(tmp_path: Path, headers: HeaderFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_TILED_FILE_BYTES", 5000)
    pixels = b"p" * 400_000
    path = pack(tmp_path / "a.tgz", contents() | {f"{MASK}/table.f0_TSM0": pixels, "other/table.dat": b"x"})
    report = inspect_archive(path, MS, SE, headers=headers)
    assert report == inspect_archive(path, MS, SE)
    kept = {str(file.relative_to(headers.directory)) for file in headers.directory.rglob("*.dat")}
    assert kept == {
        f"{name}/{file}" for name in WANTED.values() for file in ("table.dat", "logtable/table.dat")
    }
    assert (headers.directory / MASK / "table.dat").read_bytes() == MASK.encode()
    hole = headers.directory / MASK / "table.f0_TSM0"
    assert hole.stat().st_size == len(pixels)
    assert not any(hole.read_bytes())
    assert headers.can_be_opened(MASK)
    assert not headers.is_whole(MASK)
    assert headers.is_whole(WANTED["selfcal_table"])


def test_all_together_is_bounded(
    tmp_path: Path, headers: HeaderFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_HEADERS_BYTES", 4000)
    inspect_archive(pack(tmp_path / "a.tgz"), MS, SE, headers=headers)
    files = [file for file in headers.directory.rglob("*") if file.is_file()]
    assert sum(any(file.read_bytes()) * file.stat().st_size for file in files) <= 4000


def test_no_room_for_them_is_no_error(tmp_path: Path, headers: HeaderFiles) -> None:
    headers.directory.rmdir()
    headers.directory.write_text("in the way")
    report = inspect_archive(pack(tmp_path / "a.tgz"), MS, SE, headers=headers)
    assert report.complete
    assert not headers.is_usable
    assert not headers.can_be_opened(MASK)


def test_a_table_whose_data_came_with_another_name_is_not_opened(headers: HeaderFiles) -> None:
    link = VettedMember(Member(f"{MASK}/table.dat", False, 100), lambda: iter(()))
    assert list(headers.keeping(iter([link]), [MASK])) == [link]
    assert headers.is_usable
    assert not headers.can_be_opened(MASK)
    assert headers.can_be_opened(f"{MASK}2")


@pytest.mark.parametrize(
    ("found", "wanted", "advice"),
    [
        (SE, "Coarse_Test", f"write imagename={SE!r}"),
        ("VLASS_SE_J0807_0432_c0.6arcsec", SE, "write imagename='VLASS_SE_J0807_0432_c0.6arcsec'"),
    ],
)
def test_both_names_of_the_image_are_told(tmp_path: Path, found: str, wanted: str, advice: str) -> None:
    files = {name.replace(SE, found): data for name, data in contents().items()}
    with pytest.raises(MissingResourcesError) as caught:
        inspect_archive(pack(tmp_path / "a.tgz", files), MS, wanted).require_complete()
    assert advice in caught.value.hint
    assert f"imagename in SEIP_parameter.list is {wanted!r}" in caught.value.hint
    assert "rename the measurement set" not in caught.value.hint


def test_both_names_of_the_measurement_set_are_told(tmp_path: Path) -> None:
    files = {name.replace(MS, "J1550+1120_split.ms"): data for name, data in contents().items()}
    with pytest.raises(MissingResourcesError) as caught:
        inspect_archive(pack(tmp_path / "a.tgz", files), MS, SE).require_complete()
    assert f"are of J1550+1120_split.ms, while the working measurement set is {MS}" in caught.value.hint
    assert "rename the measurement set to J1550+1120.ms" in caught.value.hint
    assert "imagename" not in caught.value.hint


def test_digest_follows_the_content(tmp_path: Path) -> None:
    path = tmp_path / "a.tgz"
    path.write_bytes(b"one")
    first = archive_digest(path)
    assert archive_digest(path) == first
    path.write_bytes(b"two")
    assert archive_digest(path) != first
