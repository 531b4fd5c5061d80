"""The psf fit and the restored image."""

import numpy as np
import pytest
from scipy.signal import fftconvolve

from vlasscube import casa
from vlasscube.errors import ImagingError
from vlasscube.images.casa_images import image_facts
from vlasscube.mosaic.beam_model import gaussian
from vlasscube.mosaic.restoration import fit_beam, restore
from vlasscube.records import Beam

CELL = 0.6


def offsets(ny, nx):
    return np.ogrid[-(ny // 2) : ny - ny // 2, -(nx // 2) : nx - nx // 2]


def lumpy_psf(ny, nx, beam, seed=0):
    """A main lobe that is no Gaussian, with sidelobes."""
    rng = np.random.default_rng(seed)
    y, x = offsets(ny, nx)
    radius = np.hypot(y, x)
    psf = gaussian(y, x, beam, CELL) ** 1.2 + 0.1 * np.exp(-radius / 20) * np.cos(
        rng.uniform(0.3, 1.0) * radius
    )
    return (psf / psf.max()).astype(np.float32)


@pytest.mark.parametrize("shape", [(64, 64), (63, 101), (120, 70)])
@pytest.mark.parametrize(
    "beam", [Beam(3.0, 2.2, 30.0), Beam(4.0, 2.0, -75.0), Beam(2.5, 2.4, 88.0), Beam(6.0, 5.0, 0.0)]
)
def test_a_gaussian_is_found(shape, beam):
    fitted = fit_beam(gaussian(*offsets(*shape), beam, CELL), CELL)
    assert fitted.bmaj_arcsec == pytest.approx(beam.bmaj_arcsec, rel=1e-2)
    assert fitted.bmin_arcsec == pytest.approx(beam.bmin_arcsec, rel=1e-2)
    axial = beam.bmaj_arcsec / beam.bmin_arcsec
    difference = (fitted.bpa_deg - beam.bpa_deg + 90.0) % 180.0 - 90.0
    assert abs(difference) < 0.3 / (axial - 1)
    assert -90.0 <= fitted.bpa_deg <= 90.0


def test_the_scale_of_the_psf_does_not_matter():
    psf = lumpy_psf(64, 64, Beam(3.0, 2.0, 10.0))
    first, second = fit_beam(psf, CELL), fit_beam(7.5 * psf, CELL)
    assert second.bmaj_arcsec == pytest.approx(first.bmaj_arcsec, rel=1e-5)


@pytest.mark.parametrize("value", [0.0, np.nan, -1.0])
def test_a_psf_without_peak_is_refused(value):
    with pytest.raises(ImagingError, match="no peak"):
        fit_beam(np.full((32, 32), value, np.float32), CELL)


def test_a_peak_near_the_border_is_refused():
    psf = np.zeros((32, 32), np.float32)
    psf[3, 16] = 1.0
    with pytest.raises(ImagingError, match="inner quarter"):
        fit_beam(psf, CELL)


def test_a_single_pixel_has_a_beam_of_about_a_pixel():
    psf = np.zeros((32, 32), np.float32)
    psf[16, 16] = 1.0
    beam = fit_beam(psf, CELL)
    assert 0.5 * CELL < beam.bmin_arcsec <= beam.bmaj_arcsec < 3 * CELL


@pytest.mark.casa
@pytest.mark.parametrize("cutoff", [0.5, 0.35])
@pytest.mark.parametrize("shape", [(128, 128), (128, 160), (101, 101)])
@pytest.mark.parametrize(
    "beam", [Beam(2.9, 2.1, 40.0), Beam(4.8, 1.9, -80.0), Beam(2.3, 2.2, 5.0), Beam(7.0, 3.0, 89.0)]
)
def test_beams_are_those_of_casa(tmp_path, shape, beam, cutoff):
    psf = lumpy_psf(*shape, beam)
    ny, nx = shape
    coordinates = casa.tools().coordsys().newcoordsys(direction=True, stokes=["I"], spectral=True)
    coordinates.setunits(["rad", "rad", "", "Hz"])
    cell = np.deg2rad(CELL / 3600)
    coordinates.setincrement([-cell, cell], "direction")
    coordinates.setreferencepixel([nx // 2, ny // 2], "direction")
    tool = casa.tools().image()
    tool.fromshape(str(tmp_path / "image.psf"), [nx, ny, 1, 1], csys=coordinates.torecord())
    tool.putchunk(psf.T[:, :, np.newaxis, np.newaxis].astype(float))
    tool.close()
    casa.tools().synthesisutils().fitPsfBeam(str(tmp_path / "image"), 1, cutoff)
    expected = image_facts(tmp_path / "image.psf").beam
    fitted = fit_beam(psf, CELL, cutoff)
    assert fitted.bmaj_arcsec == pytest.approx(expected.bmaj_arcsec, rel=1e-4)
    assert fitted.bmin_arcsec == pytest.approx(expected.bmin_arcsec, rel=1e-4)
    assert (fitted.bpa_deg - expected.bpa_deg + 90.0) % 180.0 - 90.0 == pytest.approx(0.0, abs=1e-2)


@pytest.mark.parametrize("shape", [(40, 64), (33, 57), (1, 1), (5, 3)])
def test_restored_is_the_convolved_model_and_the_residual(shape):
    rng = np.random.default_rng(2)
    beam = Beam(3.0, 2.0, 25.0)
    model = np.where(rng.random(shape) < 0.1, rng.normal(size=shape), 0.0).astype(np.float32)
    residual = rng.normal(size=shape).astype(np.float32)
    y, x = np.ogrid[-60:61, -60:61]
    expected = fftconvolve(np.pad(model, 60), gaussian(y, x, beam, CELL), mode="valid") + residual
    np.testing.assert_allclose(restore(model, residual, beam, CELL, threads=2), expected, atol=1e-5)


def test_a_point_becomes_the_beam_with_its_flux_as_peak():
    beam = Beam(3.0, 2.0, 25.0)
    model = np.zeros((50, 60), np.float32)
    model[30, 20] = 2.5
    image = restore(model, np.zeros_like(model), beam, CELL)
    y, x = np.ogrid[-30:20, -20:40]
    np.testing.assert_allclose(image, 2.5 * gaussian(y, x, beam, CELL), atol=1e-6)


def test_an_empty_model_leaves_the_residual_and_nan_is_zero():
    residual = np.ones((8, 9), np.float32)
    residual[2, 3] = np.nan
    image = restore(np.zeros_like(residual), residual, Beam(3.0, 2.0, 0.0), CELL)
    assert image[2, 3] == 0.0
    assert image.sum() == residual.size - 1
    assert np.isnan(residual[2, 3])
