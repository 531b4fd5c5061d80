"""Clean masks from the continuum run's masks, on CASA images."""

import numpy as np
import pytest

from vlasscube import casa
from vlasscube.images.casa_images import read_cube
from vlasscube.imaging.masks import make_cleanmask

pytestmark = pytest.mark.casa


def make_image(path, size, stokes, cell_arcsec=2.0):
    tool = casa.tools().image()
    coordinates = casa.tools().coordsys().newcoordsys(direction=True, stokes=stokes, spectral=True)
    coordinates.setincrement([-cell_arcsec, cell_arcsec], "direction")
    coordinates.setunits(["arcsec", "arcsec", "", "Hz"])
    coordinates.setincrement([-cell_arcsec, cell_arcsec], "direction")
    coordinates.setreferencepixel([size // 2, size // 2], "direction")
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
