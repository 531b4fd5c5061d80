import numpy as np
import pytest

from vlasscube.images.casa_images import image_facts, read_plane
from vlasscube.images.mosaic_images import ImageHeader, write_mosaic_image
from vlasscube.mosaic.visibilities import ObservationInfo
from vlasscube.products.alignment import align_by_fourier
from vlasscube.records import Beam, ImageGeometry

NX, NY, CELL = 120, 100, 1.0
BEAM, TARGET = Beam(6.0, 5.0, 20.0), Beam(8.0, 7.0, 0.0)


def gaussian(beam, x0, y0):
    y, x = np.mgrid[:NY, :NX].astype(float)
    angle = np.radians(beam.bpa_deg)
    west, north = x - x0, y - y0
    along = -west * np.sin(angle) + north * np.cos(angle)
    across = west * np.cos(angle) + north * np.sin(angle)
    return np.exp(-4 * np.log(2) * ((along / beam.bmaj_arcsec) ** 2 + (across / beam.bmin_arcsec) ** 2))


@pytest.fixture
def image(tmp_path):
    info = ObservationInfo("EVLA", "", 5.1e9, "f", ((0.0, 0.0, 0.0),))
    header = ImageHeader(
        ImageGeometry(NX, NY, CELL, "J2000 10:00:00.000 +34.00.00.0000"), 3.0e9, 1.28e8, 3.0e9, info
    )
    planes = [(flux * gaussian(BEAM, 60, 50)).astype(np.float32) for flux in (1.0, 0.2, -0.1, 0.05)]
    write_mosaic_image(tmp_path / "x.image", "image", header, planes, beams=(BEAM,))
    return tmp_path / "x.image"


@pytest.mark.casa
def test_beam_and_place_change_and_the_peak_stays(image, tmp_path):
    output = tmp_path / "x.com"
    align_by_fourier(image, output, BEAM, TARGET, (0.37, -0.21))
    expected = gaussian(TARGET, 60.37, 49.79)
    for index, flux in enumerate((1.0, 0.2, -0.1, 0.05)):
        plane = read_plane(output, index)
        good = np.isfinite(plane)
        assert good[20:-20, 20:-20].all()
        np.testing.assert_allclose(plane[good], flux * expected[good], atol=1e-3)
    assert image_facts(output).reference_pixel == image_facts(image).reference_pixel
