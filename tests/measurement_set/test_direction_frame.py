"""Directions of FIELD in other frames, against erfa and astropy; baselines turned as the sky is."""

from __future__ import annotations

import math

import erfa
import numpy as np
import pytest
from astropy.coordinates import FK4, FK5, Galactic, SkyCoord
from astropy.time import Time

from vlasscube import casa, casacore_tables
from vlasscube.errors import MeasurementSetError
from vlasscube.measurement_set.direction_frame import convert_direction, direction_frames
from vlasscube.measurement_set.metadata import summarise_measurement_set
from vlasscube.measurement_set.visibilities import read_visibilities
from vlasscube.records import DataSelection
from vlasscube.sky import unit_vector
from vlasscube.testing.measurement_sets import relabel_frame

pytestmark = pytest.mark.casa

OBSERVED = Time("J2020")
# Largest distances, arcsec: CASA's B1950 and galactic frames are defined a little otherwise than astropy's.
FRAMES = {
    "B1950_VLA": (FK4(equinox="B1950", obstime=Time("B1979.9")), 0.004),
    "B1950": (FK4(equinox="B1950", obstime=OBSERVED), 0.4),
    "GALACTIC": (Galactic(), 0.6),
}
J2000 = FK5(equinox="J2000")
PLACES = [(187.0, 2.3), (-30.0, -20.0), (270.0, 60.0), (0.001, 88.9), (12.5, -88.0)]


@pytest.fixture(autouse=True)
def configured():
    casa.configure()


@pytest.mark.parametrize("place", PLACES)
def test_icrs_and_the_mean_equator_of_j2000(place):
    """CASA's J2000 is the dynamical one, not astropy's FK5: the frame bias of IAU 2000."""
    bias, _, _ = erfa.bp00(2451545.0, 0.0)
    expected = bias @ unit_vector(*np.radians(place))
    ra, dec, turn = convert_direction(*np.radians(place), "ICRS", "J2000", 0.0)
    np.testing.assert_allclose(unit_vector(ra, dec), expected, atol=1e-14)
    assert 1e-8 < math.dist(unit_vector(*np.radians(place)), expected) < 2e-7
    assert abs(turn) < 2e-7 / math.cos(dec)


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("name", FRAMES)
def test_directions(name, place):
    frame, tolerance_arcsec = FRAMES[name]
    given = SkyCoord(*place, unit="deg", frame=frame)
    ra, dec, turn = convert_direction(*np.radians(place), name, "J2000", OBSERVED.mjd * 86400)
    found, expected = SkyCoord(ra, dec, unit="rad", frame="fk5"), given.transform_to(J2000)
    assert found.separation(expected).arcsec < tolerance_arcsec
    # North of the old frame, seen in the new one.
    south = SkyCoord(place[0], place[1] - 0.1, unit="deg", frame=frame).transform_to(J2000)
    turned = (turn - expected.position_angle(south).rad) % (2 * math.pi) - math.pi
    # An arcsec of difference at the place turns the meridian by that over its distance from the pole.
    assert abs(turned) < 2e-6 + math.radians(2 * tolerance_arcsec / 3600) / math.cos(dec)


def test_the_same_frame_changes_nothing():
    assert convert_direction(-3.1, 0.2, "J2000", "J2000", 0.0) == (-3.1, 0.2, 0.0)


@pytest.mark.parametrize("frame", ["ICRS", "B1950", "B1950_VLA", "GALACTIC"])
def test_a_measurement_set_in_another_frame_is_read_as_in_j2000(small_ms, frame):
    selection = DataSelection("0,1", "1", "", "", "", "")
    before = summarise_measurement_set(small_ms)
    expected = read_visibilities(small_ms, selection, column="data")
    relabel_frame(small_ms, frame)
    after = summarise_measurement_set(small_ms)
    assert (before.converted_frames, after.converted_frames) == ((), (frame,))
    for found, original in zip(after.fields, before.fields, strict=True):
        # B1950 depends on the time, which differs by a few years here.
        assert (found.ra_deg, found.dec_deg) == pytest.approx(
            (original.ra_deg, original.dec_deg), abs=2e-5 if frame == "B1950" else 2e-8
        )
    found = read_visibilities(small_ms, selection, column="data")
    window, original = found.spectral_windows[0], expected.spectral_windows[0].uvw_m
    turn = np.array([field.turn_rad for field in found.fields])[window.field_index]
    u_m, v_m, w_m = window.uvw_m.T
    uvw = np.stack(
        [np.cos(turn) * u_m + np.sin(turn) * v_m, np.cos(turn) * v_m - np.sin(turn) * u_m, w_m], axis=1
    )
    np.testing.assert_allclose(uvw, original, atol=1e-6 * np.abs(original).max())
    (place, nominal) = found.fields[1], expected.fields[1]
    assert place.ra_rad == pytest.approx(nominal.ra_rad, abs=1e-6 if frame == "B1950" else 1e-11)


def test_an_image_in_icrs_has_its_pointings_in_icrs(small_ms):
    selection = DataSelection("0", "1", "", "", "", "")
    j2000 = read_visibilities(small_ms, selection, column="data").fields[0]
    icrs = read_visibilities(small_ms, selection, column="data", frame="ICRS").fields[0]
    assert icrs.frame == "ICRS"
    bias, _, _ = erfa.bp00(2451545.0, 0.0)
    expected = bias.T @ unit_vector(j2000.ra_rad, j2000.dec_rad)
    np.testing.assert_allclose(unit_vector(icrs.ra_rad, icrs.dec_rad), expected, atol=1e-14)
    assert abs(icrs.ra_rad - j2000.ra_rad) > 1e-8


@pytest.mark.parametrize("frame", ["AZEL", "APP", "JMEAN", "HADEC", "SUN", ""])
def test_frames_that_move_are_refused_at_the_import(small_ms, frame):
    with casacore_tables.table(small_ms / "FIELD", writable=True) as table:
        measure = table.getcolkeyword("PHASE_DIR", "MEASINFO")
        table.putcolkeyword("PHASE_DIR", "MEASINFO", {**measure, "Ref": frame})
    with pytest.raises(MeasurementSetError, match=frame or r"\(none\)") as caught:
        summarise_measurement_set(small_ms)
    assert "phaseshift" in caught.value.hint


def test_a_field_of_another_frame_that_has_no_data_does_not_matter(small_ms):
    with casacore_tables.table(small_ms / "FIELD", writable=True) as table:
        count = table.nrows()
        table.addrows(1)
    assert set(direction_frames(small_ms, range(count))) == set(range(count))
