"""What was found by fuzzing in parsers that have no tests of their own for it."""

from __future__ import annotations

import gzip
import time

import pytest
import typer

from vlasscube.cli.command_options import _spw_list
from vlasscube.errors import ProblemListError, ProductError, QuantityError
from vlasscube.options import RunOptions
from vlasscube.parameters.quantities import parse_flux_jy, parse_frequency_hz, parse_taper
from vlasscube.products.fits_files import read_fits
from vlasscube.products.manifest import ManifestPlane
from vlasscube.records import Outcome
from vlasscube.run.verification import verify_fits

from .seeds import cards, fits_file
from .targets import PRODUCT, TARGETS


@pytest.mark.parametrize(
    "text", ["1" * 100_000 + "!", "1" + " " * 100_000 + "!", "1e999", "٣Jy", ".", "1e", "1" * 400 + "Jy"]
)
def test_flux_densities_that_are_none(text):
    started = time.process_time()
    with pytest.raises(QuantityError) as caught:
        parse_flux_jy(text)
    assert len(str(caught.value)) < 200
    assert time.process_time() - started < 2


def test_quantities_without_a_finite_value():
    with pytest.raises(QuantityError):
        parse_frequency_hz("1e309Hz")
    for taper in (("1e999arcsec",), ("1e-320klambda",), ("5klambda", "3klambda", "1e999deg")):
        with pytest.raises(QuantityError):
            parse_taper(taper)


def test_spectral_windows_of_options():
    with pytest.raises(ProblemListError, match="reject_exclude_spw") as caught:
        RunOptions(reject_exclude_spw="9" * 5000)
    assert len(str(caught.value)) < 500
    # Without the blank this would be window 23.
    for text in ("2 3", "9" * 5000, "2,,3", "\f"):
        with pytest.raises(typer.BadParameter):
            _spw_list(text)
    assert _spw_list(" 2 , 3 ") == "2,3"
    assert _spw_list(" ") == ""


def test_compressed_files_are_no_products(tmp_path):
    # astropy would unpack them, whatever they unpack to.
    path = tmp_path / PRODUCT
    path.write_bytes(gzip.compress(fits_file()))
    with pytest.raises(ProductError, match="SIMPLE"):
        read_fits(path)
    (problem,) = verify_fits(path)
    assert "SIMPLE" in problem.text


def test_stokes_planes_beyond_counting(tmp_path):
    content = fits_file().replace(
        cards("NAXIS1  =                    2"), cards("NAXIS1  =                    0")
    )
    content = content.replace(
        cards("NAXIS4  =                    3"), cards("NAXIS4  =           1000000000")
    )[:2880]
    path = tmp_path / PRODUCT
    path.write_bytes(content)
    started = time.process_time()
    assert verify_fits(path, ManifestPlane("spw2", (2,), 2.028e9, Outcome.IMAGED))
    assert time.process_time() - started < 5


@pytest.mark.parametrize("keyword", ["NAXIS   ", "NAXIS1  ", "NAXIS4  "])
def test_axes_that_would_keep_astropy_busy(tmp_path, keyword):
    path = tmp_path / PRODUCT
    content = fits_file()
    place = content.index(keyword.encode())
    path.write_bytes(content[:place] + cards(f"{keyword}=         999999999999") + content[place + 80 :])
    started = time.process_time()
    with pytest.raises(ProductError, match=r"axes|truncated"):
        read_fits(path)
    assert verify_fits(path)
    assert time.process_time() - started < 2


def test_files_without_an_end_or_with_a_longer_one(tmp_path):
    path = tmp_path / PRODUCT
    for content in (fits_file().replace(b"END ", b"END2"), fits_file()[:5000], fits_file() + bytes(2880)):
        path.write_bytes(content)
        with pytest.raises(ProductError, match=r"truncated|end"):
            read_fits(path)


@pytest.mark.slow
def test_any_value_of_any_card_is_read_or_refused():
    """Each card that has a value, in turn with values that it must not have."""
    content = fits_file(beams=3)
    places = [start for start in range(0, len(content), 80) if content[start + 8 : start + 9] == b"="]
    assert len(places) > 50
    for place in places:
        for value in ("-1", "999999999999", "'1PE(99999)'"):
            card = content[place : place + 10] + value.rjust(20).encode()
            TARGETS["fits_files"](content[:place] + card.ljust(80) + content[place + 80 :])


def test_axes_without_a_length(tmp_path):
    path = tmp_path / PRODUCT
    content = fits_file().replace(
        cards("NAXIS1  =                    2"), cards("NAXIS1  =            999999999")
    )
    content = content.replace(cards("NAXIS2  =                    2"), cards("NAXIS2  = 'two'"))
    path.write_bytes(content)
    # astropy allots gigabytes.
    with pytest.raises(ProductError, match="not a whole number"):
        read_fits(path)
