import numpy as np
import pytest

from vlasscube.errors import ImagingError
from vlasscube.parameters.quantities import parse_flux, parse_frequency, parse_taper


@pytest.mark.parametrize(
    ("text", "value"), [("0Jy", 0.0), ("0.0mJy", 0.0), ("2.5mJy", 2.5e-3), ("1e-4Jy/beam", 1e-4), ("3", 3.0)]
)
def test_flux_densities(text, value):
    assert parse_flux(text) == pytest.approx(value)


@pytest.mark.parametrize("text", ["", "Jy", "3 bananas", "1..2Jy", "--"])
def test_not_flux_densities(text):
    with pytest.raises(ImagingError, match="flux density"):
        parse_flux(text)


def test_frequencies():
    assert parse_frequency("3.0GHz") == 3.0e9
    assert parse_frequency("2996 MHz") == 2.996e9
    with pytest.raises(ImagingError, match="frequency"):
        parse_frequency("3 parsec")


def test_tapers():
    arcsec = np.radians(1 / 3600)
    assert parse_taper(()) is None
    assert parse_taper(("",)) is None
    round_one = parse_taper(("5arcsec",))
    assert round_one.bmaj_rad == round_one.bmin_rad == pytest.approx(5 * arcsec)
    oblong = parse_taper(("5arcsec", "3arcsec", "30deg"))
    assert (oblong.bmin_rad, oblong.bpa_rad) == pytest.approx((3 * arcsec, np.radians(30)))
    # Half width at half maximum of 1000 wavelengths: exp(-ln 2) there.
    width = parse_taper(("1klambda",)).bmaj_rad
    assert np.exp(-((np.pi * width * 1000) ** 2) / (4 * np.log(2))) == pytest.approx(0.5)
    for bad in (
        ("5",),
        ("0lambda",),
        ("5arcsec", "x"),
        ("-5arcsec",),
        ("1..2arcsec",),
        ("1arcsec", "1arcsec", "north"),
        ("1deg",) * 4,
    ):
        with pytest.raises(ImagingError):
            parse_taper(bad)
