"""Clean masks from the continuum run's masks, on CASA images."""

import contextlib
import os
import shutil

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import FK4, FK5, SkyCoord

from vlasscube import casa, casacore_tables
from vlasscube.errors import ImagingError
from vlasscube.images.casa_images import read_cube
from vlasscube.imaging.masks import make_cleanmask
from vlasscube.processes.isolation import ReaderDiedError

pytestmark = pytest.mark.casa


def make_image(path, size, stokes, cell_arcsec=2.0, centre=None, frame="J2000"):
    tool = casa.tools().image()
    coordinates = casa.tools().coordsys().newcoordsys(direction=True, stokes=stokes, spectral=True)
    coordinates.setincrement([-cell_arcsec, cell_arcsec], "direction")
    coordinates.setunits(["arcsec", "arcsec", "", "Hz"])
    coordinates.setincrement([-cell_arcsec, cell_arcsec], "direction")
    coordinates.setreferencepixel([size // 2, size // 2], "direction")
    if centre is not None:
        measures = casa.tools().measures()
        place = measures.measure(measures.direction("J2000", *(f"{angle}deg" for angle in centre)), frame)
        coordinates.setreferencecode(frame, "direction", adjust=False)
        coordinates.setreferencevalue([f"{place[axis]['value']}rad" for axis in ("m0", "m1")], "direction")
    tool.fromshape(str(path), [size, size, len(stokes), 1], csys=coordinates.torecord(), overwrite=True)
    tool.close()
    return path


def fill(path, values):
    with casa.image(path) as image:
        image.putchunk(values.T[:, :, np.newaxis, np.newaxis])


def test_mask_on_the_same_grid_is_copied(tmp_path):
    mask = make_image(tmp_path / "mask", 32, ["I"])
    pattern = (np.arange(32 * 32).reshape(32, 32) % 7 == 0).astype(float)
    fill(mask, pattern)
    template = make_image(tmp_path / "pb", 32, ["I", "Q", "U", "V"])
    assert make_cleanmask(mask, template, tmp_path / "out") == ()
    assert np.array_equal(read_cube(tmp_path / "out")[0], pattern)


def test_mask_of_another_size_is_regridded_with_a_warning(tmp_path):
    mask = make_image(tmp_path / "mask", 48, ["I"])
    values = np.zeros((48, 48))
    values[20:26, 22:30] = 1.0
    fill(mask, values)
    template = make_image(tmp_path / "pb", 32, ["I", "Q", "U", "V"])
    (message,) = make_cleanmask(mask, template, tmp_path / "out")
    assert message.level == "warning"
    assert "48x48" in message.text
    assert "32x32" in message.text
    cut = read_cube(tmp_path / "out")
    assert cut.shape == (1, 32, 32)
    assert np.array_equal(np.nan_to_num(cut[0]), values[8:40, 8:40])


# ----------------------------------------------------------------------------------------- what is no mask


def set_pixels(path, values):
    with casacore_tables.table(path, writable=True) as image:
        pixels = image.getcell("map", 0)
        pixels[0, 0] = values
        image.putcell("map", 0, pixels)


def refusal(mask, template, output):
    with pytest.raises(ImagingError) as caught:
        make_cleanmask(mask, template, output)
    assert mask.name in caught.value.message
    assert caught.value.hint
    assert not output.exists()
    return caught.value.message


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    return make_image(tmp_path_factory.mktemp("template") / "pb", 32, ["I", "Q", "U", "V"])


@pytest.fixture
def mask(tmp_path):
    """Two patches, off the centre."""
    path = make_image(tmp_path / "continuum.mask", 32, ["I"])
    fill(path, patches())
    return path


def patches():
    values = np.zeros((32, 32))
    values[20:23, 6:9] = values[8:10, 24:27] = 1.0
    return values


@pytest.mark.parametrize("value", [np.nan, np.inf, -1.0])
def test_pixels_that_are_no_mask(mask, template, tmp_path, value):
    values = patches()
    values[3, 4] = value
    set_pixels(mask, values)
    reason = "1 negative pixels" if value == -1 else "1 that are NaN or infinite"
    assert reason in refusal(mask, template, tmp_path / "out")


@pytest.mark.parametrize("kind", ["d", "c", "cd"])
def test_pixels_of_another_type(template, tmp_path, kind):
    path = tmp_path / "strange.mask"
    with casa.image(make_image(tmp_path / "plain", 32, ["I"])) as plain:
        plain.newimagefromshape(
            str(path), [32, 32, 1, 1], csys=plain.coordsys().torecord(), type=kind, overwrite=True
        ).close()
    assert "not of type float" in refusal(path, template, tmp_path / "out")


@pytest.mark.parametrize("stokes", [["Q", "U", "V"], ["V", "I"], ["RR", "RL", "LR", "LL"]])
def test_other_stokes_planes(template, tmp_path, stokes):
    path = make_image(tmp_path / "strange.mask", 32, stokes)
    assert f"found {' '.join(stokes)}" in refusal(path, template, tmp_path / "out")


@pytest.mark.parametrize("shape", [[32, 32, 1, 3], [32, 32], [32, 32, 1]])
def test_other_axes(template, tmp_path, shape):
    path = tmp_path / "strange.mask"
    coordinates = (
        casa.tools()
        .coordsys()
        .newcoordsys(direction=True, stokes=["I"] if len(shape) > 2 else "", spectral=len(shape) > 3)
    )
    tool = casa.tools().image()
    tool.fromshape(str(path), shape, csys=coordinates.torecord(), overwrite=True)
    tool.close()
    assert f"the shape {tuple(shape[::-1])}" in refusal(path, template, tmp_path / "out")


def test_axes_in_another_order(mask, template, tmp_path):
    path = tmp_path / "turned.mask"
    casa.run_task("imtrans", imagename=str(mask), outfile=str(path), order="3201")
    refusal(path, template, tmp_path / "out")


def test_what_is_not_there_or_no_image(mask, template, tmp_path):
    (tmp_path / "mask.fits").write_bytes(b"SIMPLE  =                    T")
    (tmp_path / "empty.mask").mkdir()
    assert "no mask image" in refusal(tmp_path / "none.mask", template, tmp_path / "out")
    assert "not a CASA image" in refusal(tmp_path / "mask.fits", template, tmp_path / "out")
    assert "not a CASA image" in refusal(tmp_path / "empty.mask", template, tmp_path / "out")
    assert "cannot be used" in refusal(mask / "logtable", template, tmp_path / "out")


def test_masks_with_files_that_end_too_early(mask, template, tmp_path):
    for number, name in enumerate(("table.dat", "table.f0", "table.f0_TSM0")):
        damaged = tmp_path / f"damaged{number}.mask"
        shutil.copytree(mask, damaged)
        os.truncate(damaged / name, (damaged / name).stat().st_size // 2)
        refusal(damaged, template, tmp_path / "out")


def test_mask_that_ends_the_process(mask, template, tmp_path, monkeypatch):
    class Dying:
        def call(self, *_):
            raise ReaderDiedError("the process ended")

    monkeypatch.setattr("vlasscube.imaging.masks.isolated_reader", lambda: contextlib.nullcontext(Dying()))
    assert "cannot be used: the process ended" in refusal(mask, template, tmp_path / "out")


def test_mask_in_galactic_coordinates(template, tmp_path):
    path = make_image(tmp_path / "strange.mask", 32, ["I"], centre=(12.5, -2.5), frame="GALACTIC")
    assert "found GALACTIC" in refusal(path, template, tmp_path / "out")


# ---------------------------------------------------------------------------------------- what can be used


def test_mask_that_is_empty(template, tmp_path):
    path = make_image(tmp_path / "empty.mask", 32, ["I"])
    (message,) = make_cleanmask(path, template, tmp_path / "out")
    assert message.level == "warning"
    assert "no pixel above zero" in message.text


def test_mask_is_looked_at_again_when_it_changes(mask, template, tmp_path):
    make_cleanmask(mask, template, tmp_path / "out")
    set_pixels(mask, np.full((32, 32), np.nan))
    refusal(mask, template, tmp_path / "again")


@pytest.mark.parametrize("frame", ["B1950", "ICRS"])
def test_mask_in_another_frame(tmp_path, frame):
    """A patch at a known place comes out at that place; astropy is the oracle."""
    centre = SkyCoord(12.5, -2.5, unit="deg", frame=FK5())
    path = make_image(tmp_path / "other.mask", 48, ["I"], centre=(12.5, -2.5), frame=frame)
    target = make_image(tmp_path / "target", 32, ["I", "Q", "U", "V"], centre=(12.5, -2.5))
    values = np.zeros((48, 48))
    values[19:22, 29:32] = 1.0  # six pixels of 2 arcsec west of the centre, four south
    fill(path, values)
    (message,) = make_cleanmask(path, target, tmp_path / "out")
    assert "has 48x48 pixels, the plane 32x32: regridded" in message.text
    sky = FK4(equinox="B1950") if frame == "B1950" else "icrs"
    place = centre.transform_to(sky).spherical_offsets_by(-12 * u.arcsec, -8 * u.arcsec)
    east, north = SkyCoord(centre.icrs.data).spherical_offsets_to(SkyCoord(place.icrs.data))
    wanted = 16 - east.arcsec / 2, 16 + north.arcsec / 2
    y, x = np.nonzero(read_cube(tmp_path / "out")[0] > 0)
    assert 4 <= x.size <= 16
    assert np.hypot(x.mean() - wanted[0], y.mean() - wanted[1]) < 1.0
