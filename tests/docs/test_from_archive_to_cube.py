"""The blocks of the page "From the archive to a cube", pasted into a shell; stand-ins are the downloads."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest

from vlasscube.parameters.lists import read_image_list
from vlasscube.resources.archive import extract_resources, inspect_archive

PAGE = Path(__file__).parents[2] / "docs" / "from-archive-to-cube.md"
SET, IMAGE = "J1550+1120_split", "Coarse_Test"
RESOURCES = (
    f"{SET}_split.ms.flagversions/flags.statwt_1",
    f"{SET}_split.ms.hifv_selfcal.s8_1.phase-self-cal.tbl",
    *(f"s{stage}_0.{IMAGE}.I.iter1.model.tt{term}" for stage in (5, 10, 13) for term in (0, 1)),
    *(f"s{stage}_0.{IMAGE}.QLcatmask-tier1.mask" for stage in (4, 10, 13)),
    f"s12_0.{IMAGE}.secondmask.mask",
    *(f"s{stage}_0.{IMAGE}.combined-tier2.mask" for stage in (9, 13)),
)
CONTINUUM_LIST = f"""imagename='{IMAGE}' # image name - can not contain spaces
phasecenter='J2000 15:50:43.59 +11.20.47.4' # of the source
imaging_mode='VLASS-SE-CONT-MOSAIC' #Leave unchanged
imsize=[3125,3125]
cell='0.6arcsec'
"""


def blocks() -> list[str]:
    return re.findall(r"```sh\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)


@pytest.fixture
def continuum_run(tmp_path: Path) -> Path:
    """A working directory of a continuum run, with small files for tables, some of them hard links."""
    place = tmp_path / "continuum run" / "working"
    for name in RESOURCES:
        (place / name).mkdir(parents=True)
        (place / name / "table.dat").write_text(name)
        (place / name / "table.f0").write_text(name)
    (place / f"{SET}_split.ms.flagversions" / "FLAG_VERSION_LIST").write_text("statwt_1 : x\n")
    (place / f"{SET}.ms").mkdir()
    (place / "SEIP_parameter.list").write_text(CONTINUUM_LIST)
    return place


def paste(block: str, values: dict[str, object], tmp_path: Path) -> str:
    """Run a block with other values of its first lines, and a stand-in for the command at its end."""
    for name, value in values.items():
        block, count = re.subn(rf"^{name}=\S*", f"{name}='{value}'", block, flags=re.MULTILINE)
        assert count == 1, name
    tools = tmp_path / "bin"
    tools.mkdir()
    stand_in = tools / "vlasscube"
    stand_in.write_text('#!/bin/sh\necho "$@" in "$(pwd)"\n')
    stand_in.chmod(0o755)
    environment = {**os.environ, "PATH": f"{tools}:{os.environ['PATH']}", "HOME": str(tmp_path)}
    ended = subprocess.run(
        ["sh", "-eu", "-c", block], env=environment, cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stderr == ""
    return ended.stdout


def assert_ready(cube: Path, told: str, image: str) -> None:
    assert told.splitlines() == [f"{what} . in {cube}" for what in ("plan", "run")]
    assert (cube / f"{SET}.ms").is_dir()
    continuum = read_image_list(cube / "SEIP_parameter.list", "continuum").parameters
    listed = read_image_list(cube / "CCIP_parameter.list", "cube")
    assert listed.warnings == ()
    assert listed.parameters.imagename == image
    for key in ("phasecenter", "imsize", "cell"):
        assert getattr(listed.parameters, key) == getattr(continuum, key)


@pytest.mark.skipif(shutil.which("tar") is None, reason="no tar")
@pytest.mark.parametrize("is_linked", [False, True])
def test_a_continuum_run_of_ones_own(tmp_path: Path, continuum_run: Path, is_linked: bool) -> None:
    if is_linked:
        # As backups and deduplication leave it; the files that are linked to lie in the directory, too.
        subprocess.run(
            ["cp", "-al", f"s13_0.{IMAGE}.combined-tier2.mask", f"s13_0.{IMAGE}.combined-tier2.mask.copy"],
            cwd=continuum_run,
            check=True,
        )
        shutil.rmtree(continuum_run / f"s13_0.{IMAGE}.QLcatmask-tier1.mask")
        subprocess.run(
            ["cp", "-al", f"s4_0.{IMAGE}.QLcatmask-tier1.mask", f"s13_0.{IMAGE}.QLcatmask-tier1.mask"],
            cwd=continuum_run,
            check=True,
        )
    cube = tmp_path / "cubes" / "mine"
    values = {"run": continuum_run, "set": SET, "image": IMAGE, "name": "my_cube", "cube": cube}
    told = paste(blocks()[1], values, tmp_path)
    assert_ready(cube, told, "my_cube")
    archive = cube / "reimaging_resources.tgz"
    with tarfile.open(archive) as packed:
        assert not any(member.islnk() for member in packed)
    report = inspect_archive(archive, f"{SET}_split.ms", IMAGE)
    report.require_complete()
    assert report.tier1_mask.startswith("s13_0.")
    assert report.tier2_mask.startswith("s13_0.")
    assert all(name.startswith("s5_0.") for name in report.model_images)
    extracted = tmp_path / "extracted"
    assert len(extract_resources(archive, extracted, report)) == 6
    expected = f"s{4 if is_linked else 13}_0.{IMAGE}.QLcatmask-tier1.mask"
    assert (extracted / report.tier1_mask / "table.f0").read_text() == expected


def test_a_production_run(tmp_path: Path, continuum_run: Path) -> None:
    products = tmp_path / "products"
    products.mkdir()
    shutil.copy(continuum_run / "SEIP_parameter.list", products)
    (products / "reimaging_resources.tgz").write_bytes(b"packed")
    cube = tmp_path / "cube"
    image = "VLASS2.1.cc.T10t02.J005000-023000.06.2048.v1"
    values = {"set": continuum_run / f"{SET}.ms", "products": products, "image": image, "cube": cube}
    assert_ready(cube, paste(blocks()[0], values, tmp_path), image)
    assert (cube / "reimaging_resources.tgz").read_bytes() == b"packed"
