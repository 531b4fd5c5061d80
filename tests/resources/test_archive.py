"""The archive of the continuum run: whole, damaged, incomplete, hostile."""

from __future__ import annotations

import errno
import gzip
import io
import os
import stat
import subprocess
import sys
import tarfile
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vlasscube.errors import ArchiveError, MissingResourcesError, ResourceLimitError
from vlasscube.resources import archive as module
from vlasscube.resources.archive import ArchiveLimits, ResourceReport, extract_resources, inspect_archive
from vlasscube.resources.tar_stream import walk_archive
from vlasscube.testing.durability import watched
from vlasscube.workspace.record_json import from_json, to_json

MS = "VLASS2.1.sb38546349.eb38559922.59066.15098736111_split_split.ms"
SE = "VLASS2.1.se.T10t02.J005000-023000.06.2048.v1"
WANTED = {
    "tier1_mask": f"s13_0.{SE}.QLcatmask-tier1.mask",
    "tier2_mask": f"s13_0.{SE}.combined-tier2.mask",
    "model_tt0": f"s5_0.{SE}.I.iter1.model.tt0",
    "model_tt1": f"s5_0.{SE}.I.iter1.model.tt1",
    "selfcal_table": f"{MS}.hifv_selfcal.s8_1.phase-self-cal.tbl",
    "flag_version": f"{MS}.flagversions/flags.statwt_1",
}
EXTRA = [
    f"s12_0.{SE}.secondmask.mask",
    f"s13_0.{SE}.I.iter3.model.tt0",
    f"s13_0.{SE}.I.iter3.model.tt1",
    f"{MS}.flagversions/flags.hifv_checkflag_vlass-imaging_stage6_2020-08-05",
    f"{MS}.flagversions/flags.rfi_flagged_statwt",
]


def table_files(name: str) -> dict[str, bytes]:
    return {
        f"{name}/table.dat": name.encode(),
        f"{name}/table.f0": b"\0" * 3000,
        f"{name}/logtable/table.dat": b"x",
    }


def contents(*, without=(), extra=()) -> dict[str, bytes]:
    files: dict[str, bytes] = {f"{MS}.flagversions/FLAG_VERSION_LIST": b"statwt_1 : before statwt\n"}
    for name in [*(name for key, name in WANTED.items() if key not in without), *EXTRA, *extra]:
        files.update(table_files(name))
    return files


def member(name: str, data: bytes = b"", **attributes) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    for key, value in attributes.items():
        setattr(info, key, value)
    return info, data


def pack(path, files=None, members=(), *, tar_format=tarfile.PAX_FORMAT, directories=True):
    files = contents() if files is None else files
    with tarfile.open(path, "w:gz", format=tar_format) as tar:
        if directories:
            names = {
                "/".join(name.split("/")[:depth]) for name in files for depth in range(1, name.count("/") + 1)
            }
            for name in sorted(names):
                tar.addfile(member(name, type=tarfile.DIRTYPE, mode=0o755)[0])
        for info, data in [*(member(name, data) for name, data in files.items()), *members]:
            tar.addfile(info, io.BytesIO(data))
    return path


@pytest.fixture
def path(tmp_path):
    return tmp_path / "reimaging_resources.tgz"


def inspect(path, **options) -> ResourceReport:
    return inspect_archive(path, MS, SE, **options)


def refused(path, tmp_path, match=None) -> ArchiveError:
    """Inspection and extraction both refuse, and nothing is left or written anywhere."""
    good = inspect(pack(tmp_path / "good.tgz"))
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(ArchiveError, match=match) as caught:
        inspect(path)
    with pytest.raises(ArchiveError):
        extract_resources(path, tmp_path, good)
    assert sorted(tmp_path.rglob("*")) == before
    assert caught.value.hint
    assert caught.value.message.isprintable()
    return caught.value


@pytest.mark.parametrize("tar_format", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
@pytest.mark.parametrize("directories", [True, False])
def test_a_complete_archive(path, tmp_path, tar_format, directories):
    pack(path, tar_format=tar_format, directories=directories)
    report = inspect(path)
    assert report.complete
    assert [row.title for row in report.resources] == [
        "Reimaging Resources Tarball",
        "Flags Directory",
        "Flag Restore Version",
        "Selfcal Table",
        "Tier 1 Mask",
        "Combined Final Mask",
        "Selfcal Model Image(s)",
    ]
    assert report.model_images == (WANTED["model_tt0"], WANTED["model_tt1"])
    assert report.problems == ()
    assert from_json(ResourceReport, to_json(report)) == report

    assert report.tier1_mask == WANTED["tier1_mask"]
    assert report.tier2_mask == WANTED["tier2_mask"]
    assert report.selfcal_table == WANTED["selfcal_table"]
    names = extract_resources(path, tmp_path / "resources", report)
    assert set(names) == {name.split("/")[0] for name in WANTED.values()}
    root = tmp_path / "resources"
    found = {str(item.relative_to(root)): item.read_bytes() for item in root.rglob("*") if item.is_file()}
    assert found == {
        name: data for name, data in contents().items() if not any(name.startswith(other) for other in EXTRA)
    }
    assert sum(len(data) for name, data in found.items() if "LIST" not in name) == report.wanted_bytes
    assert sorted(tmp_path.iterdir()) == sorted([path, root])


def test_nothing_is_taken_from_the_members_but_their_bytes(path, tmp_path):
    name = f"{WANTED['tier1_mask']}/extra"
    pack(path, members=[member(name, b"#!", mode=0o6777, uid=0, mtime=0)])
    extract_resources(path, tmp_path / "resources", inspect(path))
    mode = (tmp_path / "resources" / name).stat().st_mode
    assert not mode & (stat.S_ISUID | stat.S_ISGID | stat.S_IXUSR)


def test_what_stands_under_the_names_is_replaced_and_nothing_else(path, tmp_path):
    pack(path)
    place = tmp_path / "resources"
    (place / WANTED["tier1_mask"] / "old").mkdir(parents=True)
    (place / WANTED["tier2_mask"]).symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere").mkdir()
    (place / "kept").touch()
    names = extract_resources(path, place, inspect(path))
    assert not (place / WANTED["tier1_mask"] / "old").exists()
    assert list((tmp_path / "elsewhere").iterdir()) == []
    assert {item.name for item in place.iterdir()} == {*names, "kept"}


def test_progress_reaches_the_size_of_the_archive(path):
    pack(path)
    calls = []
    inspect(path, progress=lambda done, total: calls.append((done, total)))
    done, total = zip(*calls, strict=True)
    assert list(done) == sorted(done)
    assert done[-1] == path.stat().st_size
    assert set(total) == {path.stat().st_size}


# -------------------------------------------------------------------------------------------- incomplete


@pytest.mark.parametrize("key", WANTED)
def test_one_missing(path, tmp_path, key):
    report = inspect(pack(path, contents(without=[key])))
    assert not report.complete
    with pytest.raises(MissingResourcesError) as caught:
        extract_resources(path, tmp_path / "resources", report)
    (problem,) = caught.value.problems
    row = "model_images" if key.startswith("model") else key
    assert problem.startswith(f"{row:<20}: missing")
    assert report.get(row).pattern in problem
    assert caught.value.report == report
    if key == "model_tt1":
        assert "Taylor term 1" in problem
    assert not (tmp_path / "resources").exists()


def test_all_missing_are_listed_at_once(path):
    report = inspect(pack(path, {"something": b"else"}))
    with pytest.raises(MissingResourcesError) as caught:
        report.require_complete()
    assert len(caught.value.problems) == 6


def test_one_taylor_term_suffices_if_asked_for(path):
    assert inspect(pack(path, contents(without=["model_tt1"])), nterms=1).complete


@pytest.mark.parametrize(
    "extra",
    [
        f"s12_0.{SE}.QLcatmask-tier1.mask",
        f"s9_0.{SE}.combined-tier2.mask",
        f"s10_0.{SE}.I.iter1.model.tt1",
        f"{MS}.hifv_selfcal.s8_2.phase-self-cal.tbl",
    ],
)
def test_two_candidates_are_one_too_many(path, extra):
    report = inspect(pack(path, contents(extra=[extra])))
    (problem,) = report.problems
    assert "ambiguous" in problem
    assert extra in problem
    with pytest.raises(MissingResourcesError):
        report.require_complete()


def test_lookalikes_are_no_candidates(path):
    lookalikes = [
        f"s13_0.{SE}.QLcatmask-tier1.mask.bak",
        f"s13_0.{SE}.I.iter1.model.tt00",
        f"deeper/s13_0.{SE}.QLcatmask-tier1.mask",
        f"s13_0.{SE.replace('.', '_')}.QLcatmask-tier1.mask",
    ]
    assert inspect(pack(path, contents(extra=lookalikes))).complete


def test_an_archive_of_another_image(path):
    report = inspect_archive(pack(path), MS, SE.replace("T10t02", "T10t03"))
    assert len(report.problems) == 3
    with pytest.raises(MissingResourcesError) as caught:
        report.require_complete()
    assert WANTED["tier1_mask"] in caught.value.hint


def test_something_that_is_no_table(path):
    files = {name: data for name, data in contents().items() if name != f"{WANTED['tier2_mask']}/table.dat"}
    (problem,) = inspect(pack(path, files)).problems
    assert "not a CASA table" in problem
    files = contents(without=["tier2_mask"]) | {WANTED["tier2_mask"]: b"x"}
    (problem,) = inspect(pack(path, files)).problems
    assert "not a CASA table" in problem


def test_no_archive(path, tmp_path):
    for place in (path, tmp_path):
        report = inspect(place)
        assert [row.available for row in report.resources] == [False] * 7
        with pytest.raises(MissingResourcesError, match="no such file"):
            report.require_complete()


# ----------------------------------------------------------------------------------------------- hostile

HOSTILE = {
    "parent": member("../escaped", b"x"),
    "parent inside": member(f"{WANTED['tier1_mask']}/../../escaped", b"x"),
    "absolute": member("/tmp/escaped", b"x"),
    "symlink": member(f"{WANTED['tier1_mask']}/link", type=tarfile.SYMTYPE, linkname="/etc"),
    "hard link": member(f"{WANTED['tier1_mask']}/link", type=tarfile.LNKTYPE, linkname="/etc/passwd"),
    "fifo": member(f"{WANTED['tier1_mask']}/fifo", type=tarfile.FIFOTYPE),
    "device": member(f"{WANTED['tier1_mask']}/device", type=tarfile.CHRTYPE, devmajor=1, devminor=3),
    "contiguous": member(f"{WANTED['tier1_mask']}/odd", b"x", type=tarfile.CONTTYPE),
    "newline": member("a\nb", b"x"),
    "escape": member("a\x1b[31m", b"x"),
    "right to left": member("a\u202eb", b"x"),
    "not UTF-8": member("a\udcffb", b"x"),
    "backslash": member("a\\b", b"x"),
    "duplicate": member(f"{WANTED['tier1_mask']}/table.dat", b"other"),
    "duplicate directory": member(WANTED["tier1_mask"], type=tarfile.DIRTYPE),
    "case": member(f"{WANTED['tier1_mask']}/TABLE.dat", b"other"),
    "case of a directory": member(f"{WANTED['tier1_mask'].upper()}/x", b"x"),
    "ligature": member(f"{WANTED['tier1_mask']}/ﬁ", b"x"),
    "long component": member("x" * 256, b"x"),
    "long path": member("/".join(["x" * 200] * 6), b"x"),
    "deep": member("/".join("x" * 40), b"x"),
    "file over directory": member(f"{WANTED['tier1_mask']}/logtable", b"x"),
    "directory over file": member(f"{WANTED['tier1_mask']}/table.dat/x", b"x"),
    "sparse": member(
        "sparse", b"x" * 512, pax_headers={"GNU.sparse.map": "0,1", "GNU.sparse.size": "1000000000"}
    ),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_members(path, tmp_path, kind):
    members = [HOSTILE[kind]]
    if kind == "ligature":
        members.append(member(f"{WANTED['tier1_mask']}/fi", b"x"))
    pack(path, members=members)
    refused(path, tmp_path)


def test_names_that_differ_in_unicode_form(path, tmp_path):
    pack(path, members=[member("caf\u00e9", b"x"), member("cafe\u0301", b"x")])
    refused(path, tmp_path, "Unicode form")


def test_link_and_then_a_file_behind_it(path, tmp_path):
    name = WANTED["tier1_mask"]
    files = {key: data for key, data in contents().items() if not key.startswith(name)}
    link = member(name, type=tarfile.SYMTYPE, linkname=str(tmp_path / "outside"))
    (tmp_path / "outside").mkdir()
    pack(path, files, [link, member(f"{name}/table.dat", b"x")])
    refused(path, tmp_path)
    assert list((tmp_path / "outside").iterdir()) == []


def test_dots_and_doubled_slashes_are_tolerated(path):
    files = {f"./{name.replace('/', '//', 1)}": data for name, data in contents().items()}
    assert inspect(pack(path, files, [member("./", type=tarfile.DIRTYPE)], directories=False)).complete


# -------------------------------------------------------------------------------------------- hard links


def write_tree(directory, files):
    for name, data in files.items():
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_bytes(data)


def linked_tree(directory, *, first):
    """A tree in which files of the same content are one file, as deduplication leaves them."""
    write_tree(directory, contents())
    order = sorted(contents(), key=lambda name: (not name.startswith(first), name))
    seen = {}
    for name in order:
        data = contents()[name]
        if data in seen:
            (directory / name).unlink()
            os.link(directory / seen[data], directory / name)
        seen.setdefault(data, name)
    return order


@pytest.mark.parametrize("outside_first", [False, True])
@pytest.mark.parametrize("prefix", ["", "./"])
def test_hard_links_of_a_deduplicated_tree(path, tmp_path, outside_first, prefix):
    """Packed by GNU tar: the files are as without links, wherever the file with the data stands."""
    tree = tmp_path / "tree"
    order = linked_tree(tree, first=EXTRA[0] if outside_first else WANTED["tier1_mask"])
    subprocess.run(["tar", "czf", path, "-C", tree, *(f"{prefix}{name}" for name in order)], check=True)
    with tarfile.open(path) as tar:
        assert sum(info.islnk() for info in tar) >= 20
    report = inspect(path)
    assert report.complete
    assert report.wanted_bytes == inspect(pack(tmp_path / "plain.tgz")).wanted_bytes
    assert bool(report.linked_files) == outside_first
    assert from_json(ResourceReport, to_json(report)) == report
    names = extract_resources(path, tmp_path / "out", report)
    assert len(names) == 6
    for name, data in contents().items():
        if any(name.startswith(f"{wanted}/") for wanted in WANTED.values()):
            extracted = tmp_path / "out" / name
            assert extracted.read_bytes() == data
            assert extracted.stat().st_nlink == 1
    assert not list((tmp_path / "out").glob(".resources.*"))


def test_hard_link_to_a_hard_link(path, tmp_path):
    mask = WANTED["tier1_mask"]
    links = [
        member(f"{mask}/first", type=tarfile.LNKTYPE, linkname=f"{mask}/table.f0"),
        member(f"{mask}/second", type=tarfile.LNKTYPE, linkname=f"{mask}/first"),
    ]
    report = inspect(pack(path, members=links))
    extract_resources(path, tmp_path / "out", report)
    for name in ("first", "second"):
        assert (tmp_path / "out" / mask / name).read_bytes() == b"\0" * 3000


@pytest.mark.parametrize(
    "target",
    ["/etc/passwd", "../outside", "x/../../outside", "nowhere", "", ".", "/", "a/link", "a", "later"],
)
def test_hard_links_to_what_is_no_file_of_the_archive(path, tmp_path, target):
    members = [
        member("a", type=tarfile.DIRTYPE),
        member("a/link", type=tarfile.LNKTYPE, linkname=target),
        member("later", b"x"),
    ]
    error = refused(pack(path, members=members), tmp_path, "is a hard link to .*, which is no file before it")
    assert "tar --hard-dereference" in error.hint


def test_hard_links_count_against_the_limit(path):
    size = 1 << 20
    members = [member("big", b"\0" * size)]
    members += [member(f"link{n}", type=tarfile.LNKTYPE, linkname="big") for n in range(20)]
    pack(path, members=members)
    assert inspect(path, limits=ArchiveLimits(max_total_bytes=21 * size)).complete
    with pytest.raises(ArchiveError, match="hard links stand for more than"):
        inspect(path, limits=ArchiveLimits(max_total_bytes=19 * size))


# ----------------------------------------------------------------------------------- damaged, too large


@pytest.mark.parametrize("fraction", [0, 0.01, 0.3, 0.9, 0.999])
def test_truncated(path, tmp_path, fraction):
    data = pack(path).read_bytes()
    path.write_bytes(data[: int(len(data) * fraction)])
    refused(path, tmp_path)


def test_truncated_tar_in_a_whole_gzip(path, tmp_path):
    tar = gzip.decompress(pack(path).read_bytes())
    end = len(tar.rstrip(b"\0")) // 512 * 512 + 512
    for size in (512, 1024, 5000, end - 512, end):
        path.write_bytes(gzip.compress(tar[:size]))
        refused(path, tmp_path, "truncated|damaged")
    path.write_bytes(gzip.compress(tar + b"more"))
    refused(path, tmp_path, "after its end")


def test_damaged_header(path, tmp_path):
    tar = bytearray(
        gzip.decompress(pack(path, directories=False, tar_format=tarfile.GNU_FORMAT).read_bytes())
    )
    place = tar.rindex(b"ustar")
    tar[place - 200] ^= 0xFF
    path.write_bytes(gzip.compress(bytes(tar)))
    refused(path, tmp_path)


def test_wrong_checksum(path, tmp_path):
    data = bytearray(pack(path).read_bytes())
    data[-6] ^= 1
    path.write_bytes(bytes(data))
    refused(path, tmp_path, "CRC")


@pytest.mark.parametrize("content", [b"", b"no gzip", gzip.compress(b""), gzip.compress(b"no tar" * 1000)])
def test_no_archive_at_all(path, tmp_path, content):
    path.write_bytes(content)
    refused(path, tmp_path)


def test_limits(path):
    pack(path, members=[member("large", bytes(3_000_000))])
    for limits, reason in (
        (ArchiveLimits(max_members=10), "more than 10 members"),
        (ArchiveLimits(max_member_bytes=2_000_000), "large"),
        (ArchiveLimits(max_total_bytes=2_000_000), "unpacks to more"),
        (ArchiveLimits(max_ratio=10, ratio_from_bytes=1_000_000), "times its size"),
    ):
        with pytest.raises(ArchiveError, match=reason):
            inspect(path, limits=limits)
    assert inspect(path).complete


def gzip_of_zeros(prefix: bytes, gigabytes: int) -> bytes:
    """A bomb, without ever holding what it unpacks to: deflate streams can be joined after a full flush."""
    import zlib

    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    head = packer.compress(prefix) + packer.flush(zlib.Z_FULL_FLUSH)
    first = packer.compress(bytes(1 << 24)) + packer.flush(zlib.Z_FULL_FLUSH)
    return head + first * (gigabytes * 64)


def test_bombs_are_refused_soon(path, tmp_path):
    started = time.process_time()
    info = tarfile.TarInfo("zeros")
    info.size = 10 << 30
    path.write_bytes(gzip_of_zeros(info.tobuf(), 10))
    refused(path, tmp_path, "10.0 GiB")
    path.write_bytes(gzip_of_zeros(bytes(1024), 10))
    refused(path, tmp_path, "after its end|truncated")
    # A header that says it is long.
    info = tarfile.TarInfo("././@PaxHeader")
    info.type, info.size = tarfile.XHDTYPE, 6 << 30
    path.write_bytes(gzip_of_zeros(info.tobuf(), 10))
    refused(path, tmp_path, "header of")
    assert time.process_time() - started < 30


def extended(content: bytes, kind: bytes = tarfile.XHDTYPE) -> bytes:
    info = tarfile.TarInfo("././@PaxHeader")
    info.type, info.size = kind, len(content)
    return info.tobuf() + content + bytes(-len(content) % 512)


def sparse_list(count: int) -> bytes:
    """A file whose table of holes, in its content, has that many entries."""
    info = tarfile.TarInfo("a")
    info.pax_headers = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": "5"}
    return info.tobuf(tarfile.PAX_FORMAT) + b"%d\n" % count + b"0\n" * (2 * count)


@pytest.mark.parametrize(
    ("head", "reason"),
    [
        # Each takes tarfile hours or all memory, in some releases of Python.
        (extended(b"1" * 60_000), "absurd number"),
        (extended(b"2 " * 30_000 + b"="), "damaged extended header"),
        (extended(b"9999 path=a\n"), "damaged extended header"),
        (extended(b"0 path=a\n"), "damaged extended header"),
        (extended(b"1" * 1_000_000), "header of"),
        (b"".join(extended(b"8 %03x=\n" % number, b"g") for number in range(1500)), "damaged|too many"),
        (extended(b"6 a=b\n" * 1001), "too many records"),
        # tarfile would skip other sizes than it reads.
        (extended(b"10 size=1\n", b"g"), "one size or name"),
        (sparse_list(1_000_000), "sparse"),
        (extended(b"22 GNU.sparse.major=1\n"), "sparse"),
        (member("a", type=tarfile.GNUTYPE_SPARSE)[0].tobuf(), "sparse"),
    ],
)
def test_headers_that_cost_time_or_memory(path, tmp_path, head, reason):
    path.write_bytes(gzip.compress(head + tarfile.TarInfo("a").tobuf() + bytes(10_240)))
    started = time.process_time()
    refused(path, tmp_path, reason)
    assert time.process_time() - started < 5


def test_usual_extended_headers_are_read(path):
    headers = {"comment": "with = and 12345678901234567890", "mtime": "1596623588.123456789"}
    names = ["é" * 100, "x" * 150 + "/" + "y" * 150]
    pack(path, members=[member(name, b"x", pax_headers=headers) for name in names])
    assert {vetted.member.name for vetted in walk_archive(path)} >= set(names)
    with tarfile.open(path, "w:gz", pax_headers={"comment": "of all"}) as tar:
        tar.addfile(member("a")[0])
    assert [vetted.member.name for vetted in walk_archive(path)] == ["a"]


def test_many_candidates_are_told_in_short(path):
    extra = [f"s{number}_0.{SE}.QLcatmask-tier1.mask" for number in range(20, 400)]
    (problem,) = inspect(pack(path, contents(extra=extra), directories=False)).problems
    assert "and 373 more" in problem
    assert len(problem) < 2000


def test_many_extended_headers_in_a_row(path, tmp_path):
    info = tarfile.TarInfo("././@PaxHeader")
    info.type = tarfile.XHDTYPE
    path.write_bytes(gzip.compress(info.tobuf() * 20_000))
    refused(path, tmp_path)


@settings(deadline=None)
@given(st.data())
def test_any_damage_is_an_archive_error_or_harmless(tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / "fuzz.tgz"
    tar = bytearray(gzip.decompress(pack(path, {"a/table.dat": b"x" * 600}).read_bytes())[:5120])
    for _ in range(data.draw(st.integers(1, 4))):
        tar[data.draw(st.integers(0, 2600))] = data.draw(st.integers(0, 255))
    path.write_bytes(gzip.compress(bytes(tar)))
    try:
        names = [vetted.member.name for vetted in walk_archive(path)]
    except ArchiveError:
        return
    assert all(not name.startswith("/") and ".." not in name.split("/") for name in names)


# ------------------------------------------------------------------------------------------ extraction


def test_disk_full_before_and_meanwhile(path, tmp_path, monkeypatch):
    report = inspect(pack(path))
    usage = module.shutil.disk_usage(tmp_path)
    monkeypatch.setattr(module.shutil, "disk_usage", lambda _: usage._replace(free=1000))
    with pytest.raises(ResourceLimitError, match="need"):
        extract_resources(path, tmp_path, report)
    monkeypatch.undo()

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(ResourceLimitError):
        extract_resources(path, tmp_path, report)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_read_only_place(path, tmp_path):
    report = inspect(pack(path))
    place = tmp_path / "closed"
    place.mkdir(mode=0o555)
    with pytest.raises(ArchiveError, match="cannot be extracted"):
        extract_resources(path, place / "resources", report)


def test_an_archive_changed_meanwhile(path, tmp_path):
    report = inspect(pack(path))
    pack(path, contents(without=["tier1_mask"]))
    with pytest.raises(ArchiveError, match="inspected"):
        extract_resources(path, tmp_path, report)
    assert list(tmp_path.iterdir()) == [path]


def test_resources_are_on_disk_before_they_have_their_names(path, tmp_path):
    report = inspect(pack(path))
    with watched() as watch:
        names = extract_resources(path, tmp_path / "resources", report)
    assert names
    assert not [problem for name in names for problem in watch.problems(tmp_path / "resources" / name)]


def test_killed_half_way(path, tmp_path):
    pack(path)
    script = f"""
import os, signal
from pathlib import Path
from vlasscube.resources import archive
written = archive._write
def write(*arguments):
    written(*arguments)
    os.kill(os.getpid(), signal.SIGKILL)
archive._write = write
path = Path({str(path)!r})
archive.extract_resources(path, path.parent / "resources", archive.inspect_archive(path, {MS!r}, {SE!r}))
"""
    result = subprocess.run([sys.executable, "-c", script], check=False)
    assert result.returncode == -9
    place = tmp_path / "resources"
    (leftover,) = place.iterdir()
    assert leftover.name.startswith(".resources.")
    assert stat.S_IMODE(leftover.stat().st_mode) == 0o700
    names = extract_resources(path, place, inspect(path))
    assert {item.name for item in place.iterdir()} == set(names)


def test_leftovers_of_a_killed_extraction_go_and_nothing_else(tmp_path):
    """As everywhere by the one rule of what only vlasscube leaves behind."""
    archive = pack(tmp_path / "a.tgz")
    report = inspect_archive(archive, MS, SE)
    destination = tmp_path / "working"
    ours, theirs = destination / ".resources.a1b2c3d4.partial", destination / ".resources.mine.2024.partial"
    for path in (ours, theirs):
        path.mkdir(parents=True)
    extract_resources(archive, destination, report)
    assert not ours.exists()
    assert theirs.exists()


@pytest.mark.parametrize("nterms", [1, 2, 3])
def test_as_many_terms_are_wanted_as_the_list_says(tmp_path, nterms):
    archive = pack(tmp_path / "a.tgz")
    report = inspect_archive(archive, MS, SE, nterms=nterms)
    assert report.complete == (nterms < 3)
    if report.complete:
        assert report.model_images == tuple(f"s5_0.{SE}.I.iter1.model.tt{term}" for term in range(nterms))
