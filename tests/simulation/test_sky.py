import math

import numpy as np
import pytest
from astropy.coordinates import SkyCoord

from vlasscube.simulation.sky import (
    Source,
    random_sky,
    read_truth,
    stokes_spectrum,
    write_truth,
)
from vlasscube.sky import direction_cosines

SKY = {
    "points": 9,
    "gaussians": 3,
    "centre_deg": (359.99, -30.0),
    "half_width_arcmin": (12.0, 8.0),
    "flux_range_jy": (0.01, 0.5),
    "separation_arcmin": 1.5,
    "gaussian_fwhm_arcsec": (10.0, 20.0),
}


def test_stokes_spectrum_follows_its_formula():
    source = Source("A", 0.0, 0.0, 2.0, -0.8, 0.1, 30.0, 25.0, -0.05)
    frequency = 2.5e9
    i, q, u, v = stokes_spectrum(source, frequency)[:, 0]
    angle = math.radians(30.0) + 25.0 * (299792458.0 / frequency) ** 2
    assert i == pytest.approx(2.0 * (2.5 / 3.0) ** -0.8)
    assert (q, u) == pytest.approx((0.1 * i * math.cos(2 * angle), 0.1 * i * math.sin(2 * angle)))
    assert v == pytest.approx(-0.05 * i)


def test_stokes_spectrum_at_3_ghz_is_the_flux():
    assert stokes_spectrum(Source("A", 0.0, 0.0, 0.7, 1.3), [3.0e9])[0, 0] == pytest.approx(0.7)


def test_random_sky_is_determined_by_the_seed():
    assert random_sky(5, **SKY) == random_sky(5, **SKY)
    assert random_sky(5, **SKY) != random_sky(6, **SKY)


def test_random_sky_keeps_its_promises():
    sources = random_sky([3, 0], **SKY)
    assert len(sources) == 12
    assert sum(not source.is_point for source in sources) == 3
    fluxes = [source.flux_3ghz_jy for source in sources]
    assert fluxes == sorted(fluxes, reverse=True)
    assert 0.01 <= fluxes[-1] < fluxes[0] == 0.5
    brightest = sources[0]
    assert brightest.is_point
    assert brightest.fractional_polarization > 0
    assert brightest.fractional_v == 0
    assert any(source.fractional_v for source in sources)
    assert any(source.fractional_polarization == 0 for source in sources)
    positions = SkyCoord([(s.ra_deg, s.dec_deg) for s in sources], unit="deg")
    for index, position in enumerate(positions):
        others = np.delete(position.separation(positions).arcmin, index)
        assert others.min() > 1.49


def test_random_sky_on_pixels():
    for source in random_sky(1, **SKY, pixel_grid_arcsec=6.0):
        centre = np.radians(SKY["centre_deg"])
        east, north, _ = direction_cosines(np.radians(source.ra_deg), np.radians(source.dec_deg), *centre)
        pixels = np.degrees([east, north]) * 600
        assert pixels == pytest.approx(np.round(pixels), abs=1e-6)


def test_too_many_sources_are_an_error():
    with pytest.raises(ValueError, match="do not fit"):
        random_sky(1, **{**SKY, "separation_arcmin": 30.0})


@pytest.mark.parametrize(
    "wrong",
    [
        {"fractional_polarization": 1.2},
        {"fractional_v": -2.0},
        {"major_arcsec": 1.0, "minor_arcsec": 2.0},
        {"major_arcsec": math.nan},
    ],
)
def test_impossible_sources_are_errors(wrong):
    with pytest.raises(ValueError, match="A: "):
        Source("A", 0.0, 0.0, 1.0, **wrong)


def test_truth_table_survives_the_disk(tmp_path):
    sources = random_sky(2, **SKY)
    write_truth(tmp_path / "sky.ecsv", sources, {"seed": 2})
    assert read_truth(tmp_path / "sky.ecsv") == sources
    assert "rad / m2" in (tmp_path / "sky.ecsv").read_text()
