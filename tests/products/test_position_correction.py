"""Oracles: released corrections, astropy, finite differences."""

from __future__ import annotations

import math

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.io import fits
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import brentq

from vlasscube.errors import ProductError
from vlasscube.mosaic.noncoplanar import displacements, plane_slopes
from vlasscube.products.position_correction import (
    LATITUDE_DEG,
    LONGITUDE_DEG,
    apply_position_correction,
    history_cards,
    is_corrected,
    position_correction,
    shift_beside_correction,
)
from vlasscube.records import NoncoplanarEffect
from vlasscube.sky import sidereal_time_deg

MJD = 58089.82306510417


def test_first_quicklook_image():
    found = position_correction(239.9618166667, 33.5, 3.0e9, MJD)
    assert found.corrected_ra_deg == pytest.approx(239.9617912649343, abs=1e-8)
    assert found.corrected_dec_deg == pytest.approx(33.49999737118265, abs=1e-8)
    assert found.telmjd == MJD
    assert (found.nominal_ra_deg, found.nominal_dec_deg) == (239.9618166667, 33.5)


def test_second_quicklook_image():
    """Its time is not published: the declination gives the hour angle, the right ascension is the check."""
    corrected_ra, corrected_dec = 64.45982059345977, 24.49997953261358

    def excess(mjd):
        return position_correction(corrected_ra, 24.5, 3.0e9, mjd).corrected_dec_deg - corrected_dec

    # From three hours after transit to before setting, on any day.
    transit = brentq(
        lambda mjd: (sidereal_time_deg(mjd, LONGITUDE_DEG) - corrected_ra + 180.0) % 360.0 - 180.0,
        58500.05,
        58500.25,
    )
    mjd = brentq(excess, transit + 1 / 24, transit + 4 / 24, xtol=1e-12)
    found = position_correction(corrected_ra, 24.5, 3.0e9, mjd)
    nominal_ra = corrected_ra + (corrected_ra - found.corrected_ra_deg)
    # The image is J041750+243000.
    assert 15 * (4 + 17 / 60 + 50 / 3600) <= nominal_ra < 15 * (4 + 17 / 60 + 51 / 3600)
    again = position_correction(nominal_ra, 24.5, 3.0e9, mjd)
    assert again.corrected_ra_deg == pytest.approx(corrected_ra, abs=1e-8)
    assert again.corrected_dec_deg == pytest.approx(corrected_dec, abs=1e-8)


def test_released_tile():
    """T10t02 moved by 0.413″ at spw 2 and 0.125″ at spw 15; its first scan began at 10:13:08.85."""
    ra, dec = 15 * (50 / 60 + 0.366 / 3600), -2.5
    start = 59066 + (10 + 13 / 60 + 8.85 / 3600) / 24
    middle = brentq(
        lambda mjd: position_correction(ra, dec, 2.028e9, mjd).delta_arcsec - 0.413, start, start + 1 / 24
    )
    low, high = (position_correction(ra, dec, frequency, middle) for frequency in (2.028e9, 3.692e9))
    assert high.delta_arcsec == pytest.approx(0.125, abs=5e-4)
    assert low.zd_deg == pytest.approx(37.0, abs=0.1)
    geodetic = position_correction(ra, dec, 2.028e9, middle, latitude="geodetic")
    assert geodetic.delta_arcsec - low.delta_arcsec == pytest.approx(0.0027, abs=1e-4)


def at_hour_angle(hours, dec, frequency=3e9):
    """Correction for a source at an hour angle, by choosing its right ascension."""
    ra = (sidereal_time_deg(MJD, LONGITUDE_DEG) - 15.0 * hours) % 360.0
    return position_correction(ra, dec, frequency, MJD)


def displacement_mas(correction):
    nominal = SkyCoord(correction.nominal_ra_deg, correction.nominal_dec_deg, unit="deg")
    corrected = SkyCoord(correction.corrected_ra_deg, correction.corrected_dec_deg, unit="deg")
    east, north = nominal.spherical_offsets_to(corrected)
    return np.array([east.to_value(u.mas), north.to_value(u.mas)])


@given(st.floats(-4.0, 4.0), st.floats(-30.0, 89.5))
def test_size_and_direction(hours, dec):
    correction = at_hour_angle(hours, dec)
    moved = displacement_mas(correction)
    assert math.hypot(*moved) == pytest.approx(250 * math.tan(math.radians(correction.zd_deg)), abs=1e-3)
    # Away from the zenith, which is to the east of a source in the west.
    angle = math.radians(correction.parallactic_angle_deg)
    away = -correction.delta_arcsec * 1000 * np.array([math.sin(angle), math.cos(angle)])
    assert np.abs(moved - away).max() < 1e-2
    if abs(hours) > 1e-3:
        assert np.sign(moved[0]) == -np.sign(hours)


@pytest.mark.slow
@given(st.floats(-4.0, 4.0), st.floats(-30.0, 89.5))
def test_continuity_in_hour_angle_and_declination(hours, dec):
    here = displacement_mas(at_hour_angle(hours, dec))
    # 0.1 s of time and 1.5″ change tan(ZD), below 8 within these limits, by less than 65e-5.
    for hours_there, dec_there in ((hours + 0.1 / 3600, dec), (hours, dec + 1.5 / 3600)):
        there = displacement_mas(at_hour_angle(hours_there, dec_there))
        # Directions turn fast near the pole; compare on the sky.
        step = 0.2 + math.hypot(*here) * 2e-5 / math.cos(math.radians(dec_there))
        assert np.abs(there - here).max() < step


def test_zenith_meridian_and_pole():
    latitude = LATITUDE_DEG["geocentric"]
    zenith = at_hour_angle(0.0, latitude)
    assert zenith.zd_deg < 1e-6
    assert math.hypot(*displacement_mas(zenith)) < 1e-5
    south, north = at_hour_angle(0.0, latitude - 20), at_hour_angle(0.0, latitude + 20)
    assert south.corrected_dec_deg < south.nominal_dec_deg
    assert north.corrected_dec_deg > north.nominal_dec_deg
    assert abs(north.parallactic_angle_deg) == pytest.approx(180.0, abs=1e-6)
    assert displacement_mas(south)[1] == pytest.approx(-displacement_mas(north)[1], abs=1e-4)
    below_pole = at_hour_angle(12.0, 80.0)
    assert below_pole.zd_deg == pytest.approx(100.0 - latitude, abs=1e-6)
    assert below_pole.corrected_dec_deg < 80.0
    pole = at_hour_angle(3.0, 90.0)
    assert pole.corrected_dec_deg == pytest.approx(90.0 - pole.delta_arcsec / 3600.0, abs=1e-9)


def test_right_ascension_wraps():
    mjd = 59066.427  # RA 0 is a little past the meridian: the correction is towards the west
    west = position_correction(1e-6, -2.5, 2.028e9, mjd)
    assert west.parallactic_angle_deg != 0.0
    east_of_zero = 359.9 < west.corrected_ra_deg < 360.0 or 0.0 <= west.corrected_ra_deg < 0.1
    assert east_of_zero
    assert math.hypot(*displacement_mas(west)) == pytest.approx(west.delta_arcsec * 1000, abs=1e-4)


def test_impossible_inputs():
    with pytest.raises(ProductError, match="below the horizon"):
        position_correction(64.45982059345977, 24.49997953261358, 3e9, MJD)
    for frequency in (0.0, -1.0, math.nan):
        with pytest.raises(ProductError, match="frequency"):
            position_correction(239.96, 33.5, frequency, MJD)


# ------------------------------------------------------------------------------------------------- header


def header_at(ra, dec):
    header = fits.Header()
    header["CRVAL1"], header["CUNIT1"], header["CRVAL2"], header["CUNIT2"] = ra, "deg", dec, "deg"
    header.add_history("tclean(...)")
    return header


def test_header_and_history():
    correction = position_correction(239.9618166667, 33.5, 3.0e9, MJD)
    header = header_at(239.9618166667, 33.5)
    assert apply_position_correction(header, correction)
    assert header["CRVAL1"] == correction.corrected_ra_deg
    assert header["CRVAL2"] == correction.corrected_dec_deg
    assert (header["ZD"], header["TELMJD"]) == (correction.zd_deg, MJD)
    lines = list(header["HISTORY"])
    assert lines[1] == "Uncorrected CRVAL1 = 2.399618166667E+02 deg"
    assert lines[2] == "Uncorrected CRVAL2 = 3.350000000000E+01 deg"
    assert lines[-1] == "Position correction (-7.625E-02/cos(CRVAL2), -9.463E-03) arcsec applied"
    assert tuple(lines[1:]) == history_cards(correction)
    assert all(len(line) <= 72 for line in history_cards(correction))
    text = header.tostring()
    assert fits.Header.fromstring(text)["CRVAL1"] == correction.corrected_ra_deg


@pytest.mark.parametrize("mark", ["both", "history", "keyword"])
def test_never_corrected_twice(mark):
    correction = position_correction(239.9618166667, 33.5, 3.0e9, MJD)
    header = header_at(239.9618166667, 33.5)
    assert not is_corrected(header)
    apply_position_correction(header, correction)
    if mark == "history":
        del header["POSCORR"]
    if mark == "keyword":
        del header["HISTORY"]
    before = header.tostring()
    assert is_corrected(header)
    assert not apply_position_correction(header, correction)
    assert header.tostring() == before


def test_correction_of_another_image_is_refused():
    correction = position_correction(239.9618166667, 33.5, 3.0e9, MJD)
    with pytest.raises(ProductError, match="which the correction was made for"):
        apply_position_correction(header_at(239.9618166667, 33.50001), correction)
    assert apply_position_correction(header_at(239.9618166667 - 360.0, 33.5), correction)


def test_a_w_corrected_image_keeps_its_position_and_says_so():
    correction = position_correction(150.0, 34.0, 3.0e9, 59066.86, w_corrected=True)
    assert correction.delta_arcsec == 0
    header = fits.Header({"CRVAL1": 150.0, "CRVAL2": 34.0})
    assert apply_position_correction(header, correction) is False
    assert (header["CRVAL1"], header["CRVAL2"]) == (150.0, 34.0)
    assert header["POSCORR"] is False
    assert "w-correction" in str(header["HISTORY"])
    # Scripts that would correct it look for this mark.
    assert "Position correction (0.000E+00/cos(CRVAL2), 0.000E+00) arcsec applied" in str(header["HISTORY"])


def test_an_expected_shift_beside_the_one_corrected_for():
    correction = position_correction(150.0, 34.0, 2.0e9, 59066.9)
    angle = math.radians(correction.parallactic_angle_deg)
    towards_zenith = np.array([math.sin(angle), math.cos(angle)])
    assert shift_beside_correction(None, correction) == (None, None)
    # A tenth more towards the zenith, and a bit across.
    across = np.array([towards_zenith[1], -towards_zenith[0]])
    east, north = 1.1 * correction.delta_arcsec * towards_zenith + 0.03 * across
    along, apart = shift_beside_correction(NoncoplanarEffect(0.97, 0.9, east, north), correction)
    assert along == pytest.approx(1.1 * correction.delta_arcsec)
    assert apart == pytest.approx(math.hypot(0.1 * correction.delta_arcsec, 0.03))


def test_the_shift_of_a_level_array_is_towards_the_zenith():
    """Antennas on the ground, a source south of the zenith: the correction is opposite to what w does."""
    mjd, dec = 59066.427, -2.5
    correction = position_correction(1e-6, dec, 2.0e9, mjd)
    zenith, angle = math.radians(correction.zd_deg), math.radians(correction.parallactic_angle_deg)
    towards_zenith = np.array([math.sin(angle), math.cos(angle)])
    # Baselines on the ground, along and across the great circle through the zenith, as seen from the source.
    along, across = np.random.default_rng(1).normal(size=(2, 40))
    seen_along, w = -along * math.cos(zenith), along * math.sin(zenith)
    u, v = np.outer(towards_zenith, seen_along) + np.outer(towards_zenith[::-1] * [1, -1], across)
    slopes = plane_slopes(u, v, w, np.ones(40), np.zeros(40, dtype=np.int32), 1)
    radius = math.radians(5 / 60)
    moved = displacements(radius * towards_zenith[None, None], slopes)[0, 0]
    expected = math.tan(zenith) * radius**2 / 2 * towards_zenith
    np.testing.assert_allclose(moved, expected, rtol=1e-5)
    # What is to be corrected is opposite: images are moved away from the zenith.
    assert np.dot(displacement_mas(correction), moved) < 0
