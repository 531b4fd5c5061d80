import math

import numpy as np
import pytest
from astropy.coordinates import SkyCoord

from vlasscube.simulation import layout, preset
from vlasscube.simulation.beam import first_null_arcmin, power_beam
from vlasscube.simulation.continuum_images import pixel_position
from vlasscube.simulation.drawing import draw_sky, random_sky
from vlasscube.sky import direction_cosines, separation_rad

SKY = {
    "points": 9,
    "gaussians": 3,
    "centre_deg": (359.99, -30.0),
    "half_width_arcmin": (12.0, 8.0),
    "flux_range_jy": (0.01, 0.5),
    "separation_arcmin": 1.5,
    "gaussian_fwhm_arcsec": (10.0, 20.0),
}


def arcmin_between(one, other):
    there = [math.radians(value) for value in (one.ra_deg, one.dec_deg, other.ra_deg, other.dec_deg)]
    return math.degrees(separation_rad(*there)) * 60


def of_kind(sources, kind):
    return [source for source in sources if source.kind == kind]


def test_additions_leave_the_others_as_they_are():
    plain = draw_sky(preset("z50"), 1)
    more = draw_sky(preset("z50", doubles=2, outside_sources=1, sidelobe_sources=1, beam_sidelobe=True), 1)
    assert of_kind(more, "field") == list(plain)
    assert len({source.name for source in more}) == len(more) == len(plain) + 6


def test_doubles_are_pairs_apart_from_the_rest():
    p = preset("z50", doubles=3)
    sources = draw_sky(p, 1)
    doubles = of_kind(sources, "double")
    assert [source.name for source in doubles] == ["D01a", "D01b", "D02a", "D02b", "D03a", "D03b"]
    for number in range(3):
        one, other = doubles[2 * number : 2 * number + 2]
        assert 10.0 <= 60 * arcmin_between(one, other) <= 30.1
        assert 0.3 <= other.flux_3ghz_jy / one.flux_3ghz_jy <= 1.0
        rest = [source for source in sources if source not in (one, other)]
        assert min(arcmin_between(one, source) for source in rest) > p.separation_arcmin - 0.5


@pytest.mark.parametrize("seed", range(1, 6))
def test_sources_outside_are_outside_and_seen(seed):
    p = preset("z50", outside_sources=4)
    outside = of_kind(draw_sky(p, seed), "outside")
    assert len(outside) == 4
    for source in outside:
        x, y = pixel_position(p, source.ra_deg, source.dec_deg)
        beyond = max(-x, x - (p.imsize[0] - 1), -y, y - (p.imsize[1] - 1)) * p.cell_arcsec / 60
        assert 0.4 < beyond < 3.1
        assert 1.0 <= source.flux_3ghz_jy <= 3.0
        assert best_response(p, source, 2.028e9, sidelobe=False) > 1e-3


def best_response(p, source, frequency, *, sidelobe):
    place = math.radians(source.ra_deg), math.radians(source.dec_deg)
    return max(
        float(
            power_beam(
                math.degrees(separation_rad(*place, field.ra_rad, field.dec_rad)) * 60,
                frequency,
                sidelobe=sidelobe,
            )
        )
        for field in layout.pointings(p)
    )


def test_sources_in_the_first_sidelobe():
    p = preset("sidelobes", rows=1, fields_per_row=1, sidelobe_sources=5, points=3)
    found = of_kind(draw_sky(p, 1), "sidelobe")
    middle = np.mean([2.028e9, 2.54e9, 3.052e9, 3.564e9])
    null = float(first_null_arcmin(middle)[0])
    centre = layout.pointings(p)[0]
    for source in found:
        place = math.radians(source.ra_deg), math.radians(source.dec_deg)
        radius = math.degrees(separation_rad(*place, centre.ra_rad, centre.dec_rad)) * 60
        assert 1.34 < radius / null < 1.50
        assert best_response(p, source, middle, sidelobe=False) == 0.0
        assert best_response(p, source, middle, sidelobe=True) == pytest.approx(0.037, abs=0.002)


def test_sources_lie_between_pixels_unless_asked_for():
    """In the direction of a pixel's centre: not by default in the presets of other zenith distances."""

    def largest_offset(p):
        places = [pixel_position(p, source.ra_deg, source.dec_deg) for source in draw_sky(p, 1)]
        return max(abs(value - round(value)) for place in places for value in place)

    assert largest_offset(preset("z50")) > 0.2
    assert largest_offset(preset("z50", sources_on_pixels=True)) < 1e-4


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
