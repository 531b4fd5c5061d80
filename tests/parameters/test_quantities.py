import math

import numpy as np
import pytest
from astropy import units
from hypothesis import given
from hypothesis import strategies as st

from vlasscube.errors import QuantityError, VlassCubeError
from vlasscube.parameters.quantities import (
    ANGLE_ARCSEC,
    ANGLE_RAD,
    FLUX_JY,
    FREQUENCY_HZ,
    LENGTH_M,
    WAVELENGTHS,
    format_angle_arcsec,
    format_frequency_ghz,
    parse_angle_arcsec,
    parse_flux_jy,
    parse_frequency_hz,
    parse_quantity,
    parse_taper,
)

TABLES = [
    (FLUX_JY, "Jy"),
    (FREQUENCY_HZ, "Hz"),
    (ANGLE_ARCSEC, "arcsec"),
    (ANGLE_RAD, "rad"),
    (LENGTH_M, "m"),
]


@pytest.mark.parametrize(("table", "unit"), TABLES)
def test_units_are_what_astropy_takes_them_for(table, unit):
    for name, value in table.items():
        assert value == pytest.approx(units.Unit(name or unit).to(unit), rel=1e-15)


@given(st.sampled_from(TABLES[:-1]), st.floats(-1e30, 1e30), st.data())
def test_what_python_writes_is_read_back(table, value, data):
    # The shortest text that means the number, with and without an exponent.
    unit = data.draw(st.sampled_from(sorted(table[0])))
    blank = data.draw(st.sampled_from(["", " "]))
    assert parse_quantity(f"{value!r}{blank}{unit}", table[0], "", "") == value * table[0][unit]


@given(st.floats(1e-6, 1e6))
def test_angles_round_trip(arcsec):
    assert parse_angle_arcsec(format_angle_arcsec(arcsec)) == pytest.approx(arcsec, rel=1e-11)


@given(st.floats(1e6, 1e12))
def test_frequencies_round_trip(hertz):
    text = format_frequency_ghz(hertz)
    assert parse_frequency_hz(text) == pytest.approx(hertz, rel=1e-11)
    assert format_frequency_ghz(parse_frequency_hz(text)) == text


@pytest.mark.parametrize(
    ("hz", "text"), [(3.052e9, "3.052GHz"), (2.028e9 + 8 * 0.128e9, "3.052GHz"), (2e9, "2.0GHz")]
)
def test_reference_frequency_as_in_production(hz, text):
    assert format_frequency_ghz(hz) == text


@given(st.floats(1e-6, 3))
def test_units_of_one_kind_agree(value):
    assert parse_angle_arcsec(f"{value}deg") == pytest.approx(parse_angle_arcsec(f"{value * 60}arcmin"))
    assert parse_angle_arcsec(f"{value}arcsec") == pytest.approx(parse_angle_arcsec(f"{value * 1e3}mas"))
    rad = parse_quantity(f"{value}deg", ANGLE_RAD, "", "")
    assert rad == pytest.approx(math.radians(parse_angle_arcsec(f"{value}deg") / 3600))


@pytest.mark.parametrize(
    ("text", "value"),
    [("0Jy", 0.0), ("0.0mJy", 0.0), ("2.5mJy", 2.5e-3), ("1e-4Jy/beam", 1e-4), ("3", 3.0), ("5 uJy", 5e-6)],
)
def test_flux_densities(text, value):
    assert parse_flux_jy(text) == pytest.approx(value)


@pytest.mark.parametrize("text", ["", "Jy", "3 bananas", "1..2Jy", "--", "3Jy/beam/beam", "1e999Jy"])
def test_not_flux_densities(text):
    with pytest.raises(QuantityError, match="flux density"):
        parse_flux_jy(text)


def test_milli_is_not_mega():
    for text in ("1MJy", "1MJY"):
        with pytest.raises(QuantityError):
            parse_flux_jy(text)
    for text in ("3000mHz", "3000mhz"):
        with pytest.raises(QuantityError):
            parse_frequency_hz(text)
    assert parse_frequency_hz("3GHZ") == parse_frequency_hz("3ghz") == parse_frequency_hz("3000Mhz") == 3e9


def test_frequencies():
    assert parse_frequency_hz("3.0GHz") == 3.0e9
    assert parse_frequency_hz("2996 MHz") == 2.996e9
    for text in ("3 parsec", "3", "0Hz", "-1GHz", "GHz"):
        with pytest.raises(QuantityError, match=r"frequency.*'3\.0GHz'"):
            parse_frequency_hz(text)


@pytest.mark.parametrize(
    "text", ["0arcsec", "-1arcsec", "1parsec", "1", "arcsec", "1e-999arcsec", "1arcsec;"]
)
def test_not_angles_above_zero(text):
    with pytest.raises(QuantityError, match="above zero"):
        parse_angle_arcsec(text)


def test_errors_are_named_and_values():
    # Lists of parameters collect what is wrong with values as ValueError.
    assert issubclass(QuantityError, VlassCubeError)
    assert issubclass(QuantityError, ValueError)


def test_tapers():
    arcsec = np.radians(1 / 3600)
    assert parse_taper(()) is None
    assert parse_taper(("",)) is None
    round_one = parse_taper(("5arcsec",))
    assert round_one.bmaj_rad == round_one.bmin_rad == pytest.approx(5 * arcsec)
    oblong = parse_taper(("5arcsec", "3arcsec", "30deg"))
    assert (oblong.bmin_rad, oblong.bpa_rad) == pytest.approx((3 * arcsec, np.radians(30)))
    assert parse_taper(("5arcsec", "5arcsec", "-30deg")).bpa_rad == pytest.approx(np.radians(-30))
    # Half width at half maximum of 1000 wavelengths: exp(-ln 2) there.
    width = parse_taper(("1klambda",)).bmaj_rad
    assert np.exp(-((np.pi * width * 1000) ** 2) / (4 * np.log(2))) == pytest.approx(0.5)
    assert parse_taper([f"1{unit}" for unit in WAVELENGTHS][:1]).bmaj_rad == pytest.approx(1000 * width)
    for bad in (
        ("5",),
        ("0lambda",),
        ("5arcsec", "x"),
        ("-5arcsec",),
        ("1..2arcsec",),
        ("2.6parsec",),
        ("1arcsec", "1arcsec", "north"),
        ("1deg",) * 4,
    ):
        with pytest.raises(QuantityError, match=r"taper|three parts"):
            parse_taper(bad)
