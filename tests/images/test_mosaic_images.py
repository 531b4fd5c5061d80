"""Our images beside tclean's, field by field."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from astropy.io import fits
from hypothesis import given
from hypothesis import strategies as st

from vlasscube import casa, naming
from vlasscube.clean_terms import PrimaryBeamMask
from vlasscube.errors import ImagingError
from vlasscube.images.casa_images import image_facts, read_plane
from vlasscube.images.mosaic_images import ImageHeader, coordinate_record, image_header, write_mosaic_image
from vlasscube.imaging.clean_sequence import CleanParameters, iteration_sequence, tclean_arguments
from vlasscube.measurement_set.visibilities import read_visibilities
from vlasscube.mosaic.visibilities import ObservationInfo
from vlasscube.records import STOKES, Beam, DataSelection, ImageGeometry, PixelBox
from vlasscube.simulation import preset
from vlasscube.simulation.build import observe
from vlasscube.simulation.measurement_set import write_measurement_set
from vlasscube.simulation.spectral_windows import spw_mean_frequency_hz
from vlasscube.testing.casa_images import describe

KINDS = ("psf", "pb", "weight", "sumwt", "residual", "model", "image", "mask")
GROUPS = ((3,), (5, 3))
OBSERVATION = ObservationInfo("EVLA", "me", 5.1e9, "field", ((-1.6e6, -5e6, 3.5e6),))
SMALL = ImageHeader(
    ImageGeometry(6, 4, 1.0, "J2000 10:00:00.000 +34.00.00.0000"), 3e9, 128e6, 2.9e9, OBSERVATION
)
BEAM = Beam(3.0, 2.0, 10.0)


@pytest.fixture(scope="module")
def imaged(tmp_path_factory):
    """Images by tclean, of one spectral window and of a group, with a border beyond the primary beam."""
    directory = tmp_path_factory.mktemp("imaged")
    casa.configure(directory / "casa.log")
    p = preset("tiny", fields_per_row=3, points=3, rfi_spws=(), science_spws=(3, 5))
    ms = directory / "field.ms"
    write_measurement_set(ms, observe(p, 4))
    with casa.table(ms) as table:
        fields = sorted({int(number) for number in table.getcol("FIELD_ID")})
    result = {}
    for group in GROUPS:
        name = "_".join(map(str, group))
        # The reference frequency is not quite the middle, as for groups of uneven windows.
        reffreq = round(sum(map(spw_mean_frequency_hz, group)) / len(group), -6) + 3e6
        geometry = ImageGeometry(216, 180, 15.0, p.phasecenter)
        parameters = CleanParameters(geometry, (PrimaryBeamMask(),), niter=20, nmajor=1)
        selection = DataSelection(",".join(map(str, fields)), ",".join(map(str, group)), "", "", "", "<12km")
        root = directory / name
        for iteration in iteration_sequence(parameters):
            arguments = tclean_arguments(str(ms), selection, reffreq, str(root), parameters, iteration)
            casa.run_task("tclean", **{**arguments, "datacolumn": "data"})
            if iteration.is_first:
                for kind in KINDS[:6]:
                    source = directory / naming.tclean_product(name, kind)
                    shutil.copytree(source, directory / naming.tclean_product(f"first.{name}", kind))
        visibilities = read_visibilities(ms, selection, column="data")
        result[group] = SimpleNamespace(
            directory=directory,
            name=name,
            header=image_header(geometry, reffreq, visibilities),
            restart={**arguments, "datacolumn": "data"},
        )
    return result


def as_beam(record: dict) -> Beam:
    return Beam(*(record[name]["value"] for name in ("major", "minor", "positionangle")))


def copy_by_us(source: Path, target: Path, kind: str, header: ImageHeader) -> None:
    """Write pixels, mask and beams of one of tclean's images with our writer."""
    with casa.image(source) as image:
        pixels, good = (image.getchunk(getmask=mask)[..., 0].T for mask in (False, True))
        has_mask = bool(image.maskhandler("default")[0])
        stored = image.restoringbeam()
    several = [stored["beams"]["*0"][f"*{number}"] for number in range(4)] if "beams" in stored else []
    write_mosaic_image(
        target,
        kind,
        header,
        (plane.astype(np.float32) for plane in pixels),
        mask=good[0] if has_mask else None,
        beams=[as_beam(beam) for beam in several or ([stored] if stored else [])],
        history=("made by a test",),
    )


@pytest.mark.casa
@pytest.mark.parametrize("group", GROUPS)
@pytest.mark.parametrize("kind", KINDS)
def test_images_are_as_tclean_writes_them(imaged, tmp_path, group, kind):
    made = imaged[group]
    theirs = made.directory / naming.tclean_product(made.name, kind)
    ours = tmp_path / "ours"
    copy_by_us(theirs, ours, kind, made.header)
    expected, found = describe(theirs), describe(ours)
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        if key.endswith(("wcs.cdelt", "summary.incr")):
            np.testing.assert_allclose(found[key], value, rtol=1e-7)
        elif isinstance(value, (float, np.ndarray)) and np.asarray(value).dtype.kind == "f":
            np.testing.assert_allclose(found[key], value, rtol=1e-13, atol=0, err_msg=key)
        else:
            np.testing.assert_array_equal(found[key], value, err_msg=key)
    with casa.image(theirs) as one, casa.image(ours) as other:
        for mask in (False, True):
            np.testing.assert_array_equal(other.getchunk(getmask=mask), one.getchunk(getmask=mask))
    facts = image_facts(ours)
    assert (facts.frequency_hz, facts.stokes) == (made.header.reference_frequency_hz, STOKES)


@pytest.mark.casa
def test_masks_of_tclean_are_what_we_think(imaged):
    made = imaged[GROUPS[0]]

    def pixels(kind):
        with casa.image(made.directory / naming.tclean_product(made.name, kind)) as image:
            return image.getchunk(), image.getchunk(getmask=True)

    pb, good = pixels("pb")
    assert 0.1 < good.mean() < 0.9
    np.testing.assert_array_equal(good, pb > 0.1)
    assert not pb[~good].any()
    residual, same = pixels("residual")
    np.testing.assert_array_equal(same, good)
    assert not residual[~good].any()
    for kind in ("psf", "weight", "model", "mask"):
        assert pixels(kind)[1].all()
    # CASA 6.7.0 leaves the restored image without a mask, 6.7.6 gives it that of the residual.
    restored = pixels("image")[1]
    assert restored.all() or (restored == good).all()


@pytest.mark.casa
def test_tclean_goes_on_from_our_images(imaged, tmp_path):
    made = imaged[GROUPS[0]]
    for kind in KINDS[:6]:
        source = made.directory / naming.tclean_product(f"first.{made.name}", kind)
        copy_by_us(source, tmp_path / naming.tclean_product("ours", kind), kind, made.header)
    casa.run_task("tclean", **{**made.restart, "imagename": str(tmp_path / "ours")})
    for kind in ("image", "residual", "model", "mask"):
        for stokes in range(4):
            np.testing.assert_array_equal(
                read_plane(tmp_path / naming.tclean_product("ours", kind), stokes),
                read_plane(made.directory / naming.tclean_product(made.name, kind), stokes),
            )


@pytest.mark.casa
def test_export_to_fits(imaged, tmp_path):
    made = imaged[GROUPS[0]]
    theirs = made.directory / naming.tclean_product(made.name, "image")
    copy_by_us(theirs, tmp_path / "ours", "image", made.header)
    headers = []
    for name, path in (("theirs", theirs), ("ours", tmp_path / "ours")):
        casa.run_task("exportfits", imagename=str(path), fitsimage=str(tmp_path / f"{name}.fits"))
        headers.append(fits.getheader(tmp_path / f"{name}.fits"))
    skipped = {"HISTORY", "COMMENT", "DATE", "CDELT3", "MEMAVAIL", "MEMREQ", "MPIPROCS", "CHNCHNKS"}
    expected, found = ({k: v for k, v in header.items() if k not in skipped} for header in headers)
    assert found == expected
    assert "made by a test" in "\n".join(headers[1]["HISTORY"])


@pytest.mark.casa
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("stokes", [0, 3])
@pytest.mark.parametrize("whole", [True, False])
def test_reading_as_casa_does(imaged, tmp_path, kind, stokes, whole):
    made = imaged[GROUPS[0]]
    theirs = made.directory / naming.tclean_product(made.name, kind)
    copy_by_us(theirs, tmp_path / "ours", kind, made.header)
    box = None if whole else PixelBox(0, 0, 0, 0) if kind == "sumwt" else PixelBox(5, 9, 90, 20)
    part = np.s_[:, :] if box is None else np.s_[box.blc_y : box.trc_y + 1, box.blc_x : box.trc_x + 1]
    for path in (theirs, tmp_path / "ours"):
        plane = read_plane(path, stokes, box)
        with casa.image(path) as image:
            values, good = (image.getchunk(getmask=mask)[:, :, stokes, 0].T[part] for mask in (False, True))
        assert plane.dtype == np.float32
        np.testing.assert_array_equal(plane, np.where(good, values, np.nan))


@pytest.mark.casa
def test_what_is_no_plain_image_is_read_by_casa(imaged, tmp_path):
    made = imaged[GROUPS[0]]
    source = made.directory / naming.tclean_product(made.name, "pb")
    casa.run_task("exportfits", imagename=str(source), fitsimage=str(tmp_path / "pb.fits"))
    np.testing.assert_array_equal(read_plane(tmp_path / "pb.fits", 1), read_plane(source, 1))
    with pytest.raises(RuntimeError):
        read_plane(source, 4)
    with pytest.raises(RuntimeError):
        read_plane(tmp_path / "none")


LIMITED_FILES = """
import resource, signal, sys
from pathlib import Path
import numpy as np
from vlasscube.errors import ImagingError
from vlasscube.images.mosaic_images import ImageHeader, write_mosaic_image
from vlasscube.mosaic.visibilities import ObservationInfo
from vlasscube.records import ImageGeometry
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
observation = ObservationInfo("EVLA", "me", 5.1e9, "field", ((-1.6e6, -5e6, 3.5e6),))
geometry = ImageGeometry(400, 400, 1.0, "J2000 10:00:00.000 +34.00.00.0000")
header = ImageHeader(geometry, 3e9, 128e6, 2.9e9, observation)
planes = [np.ones((400, 400), np.float32)] * 4
try:
    write_mosaic_image(Path(sys.argv[1]) / "image", "image", header, planes)
except ImagingError as error:
    print(error.hint)
"""


def test_a_full_disk_does_not_end_the_process(tmp_path):
    command = [sys.executable, "-c", LIMITED_FILES, str(tmp_path)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr
    assert "disk may be full" in result.stdout
    assert not list(tmp_path.iterdir())


def planes(value: float = 1.0, shape: tuple[int, int] = (4, 6), count: int = 4):
    return [np.full(shape, value + number, np.float32) for number in range(count)]


def test_an_image_is_replaced_when_the_new_one_is_whole(tmp_path):
    path = tmp_path / "image"
    write_mosaic_image(path, "image", SMALL, planes(), beams=[BEAM])

    def failing():
        yield planes()[0]
        raise KeyError("no more")

    with pytest.raises(KeyError):
        write_mosaic_image(path, "image", SMALL, failing())
    assert [item.name for item in tmp_path.iterdir()] == ["image"]
    assert (read_plane(path, 3) == 4).all()
    write_mosaic_image(path, "image", SMALL, planes(5.0), mask=np.arange(24).reshape(4, 6) > 3)
    assert (np.isnan(read_plane(path, 3)) == (np.arange(24).reshape(4, 6) <= 3)).all()
    assert [item.name for item in tmp_path.iterdir()] == ["image"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"planes": planes(count=3)},
        {"planes": planes(count=5)},
        {"planes": []},
        {"planes": planes(shape=(6, 4))},
        {"mask": np.ones((6, 4), bool)},
        {"beams": [BEAM, BEAM]},
    ],
    ids=str,
)
def test_what_does_not_fit(tmp_path, wrong):
    with pytest.raises(ImagingError, match="image"):
        write_mosaic_image(tmp_path / "image", "image", SMALL, **{"planes": planes(), **wrong})
    assert not list(tmp_path.iterdir())


def test_large_planes_in_tiles(tmp_path):
    geometry = ImageGeometry(1030, 520, 1.0, SMALL.geometry.phasecenter)
    header = ImageHeader(geometry, 3e9, 128e6, 2.9e9, OBSERVATION)
    rng = np.random.default_rng(1)
    made = [rng.normal(size=(520, 1030)).astype(np.float32) for _ in range(4)]
    write_mosaic_image(tmp_path / "image", "residual", header, iter(made), mask=made[0] > 0)
    for number, plane in enumerate(made):
        np.testing.assert_array_equal(
            read_plane(tmp_path / "image", number), np.where(made[0] > 0, plane, np.float32(np.nan))
        )
    part = read_plane(tmp_path / "image", 2, PixelBox(500, 100, 600, 110))
    np.testing.assert_array_equal(np.nan_to_num(part), np.where(made[0] > 0, made[2], 0)[100:111, 500:601])


@pytest.mark.casa
@given(ra=st.floats(0, 23.99), dec=st.floats(-89, 89), frame=st.sampled_from(["J2000", "ICRS"]))
def test_coordinates_equal_casa(ra, dec, frame):
    hours, degrees = int(ra), int(abs(dec))
    centre = (
        f"{frame} {hours:02d}:{int(ra % 1 * 60):02d}:12.345 {'-' if dec < 0 else '+'}{degrees:02d}.03.04.567"
    )
    geometry = ImageGeometry(25, 30, 2.5, centre)
    ours = coordinate_record(ImageHeader(geometry, 3e9, 128e6, 2.9e9, OBSERVATION))
    tool = casa.tools().coordsys()
    tool.fromrecord(ours)
    try:
        again = tool.torecord()
        corner = tool.toworld([0.0, 0.0, 0.0, 0.0], "n")["numeric"]
    finally:
        tool.done()
    direction = again["direction0"]
    assert direction["latpole"] == pytest.approx(ours["direction0"]["latpole"], abs=1e-10)
    assert direction["longpole"] == 180
    np.testing.assert_allclose(direction["crpix"], [12, 15])
    turn = (corner[0] - ours["worldreplace0"][0] + np.pi) % (2 * np.pi) - np.pi
    assert turn == pytest.approx(0, abs=1e-12)
    assert corner[1] == pytest.approx(ours["worldreplace0"][1], abs=1e-13)
