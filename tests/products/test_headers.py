"""Oracles: astropy's verification, radio-beam and spectral-cube as readers, CASA, published header values."""

from __future__ import annotations

import datetime
import io
import math
import time
import warnings

import numpy as np
import pytest
import radio_beam
import spectral_cube
from astropy.io import fits
from astropy.time import Time
from hypothesis import given
from hypothesis import strategies as st

from vlasscube.errors import ProductError
from vlasscube.products.header_beams import beams_of, normalize_beams, set_single_beam
from vlasscube.products.headers import (
    VlassKeywords,
    add_history,
    fits_text,
    fix_header,
    header_frequency_hz,
    iso_time,
    set_file_name_keywords,
    set_outcome,
    set_vlass_keywords,
    tidy_header,
    vlass_image_type,
)
from vlasscube.records import Beam, Outcome

NAME = "VLASS2.1.cc.T10t02.J005000-023000.06.2048.v1.spw2.IQU.iter3.image.pbcor.tt0.subim.fits"
BEAM = Beam(4.26222, 3.35171, -10.3953)


def casa_export(beams=(BEAM, BEAM, BEAM), pixels=8):
    """An HDU list as CASA's exportfits makes it, down to the repeated XTENSION of its table."""
    data = np.random.default_rng(0).normal(size=(len(beams), 1, pixels, pixels)).astype(np.float32)
    primary = fits.PrimaryHDU(data)
    header = primary.header
    header["BSCALE"], header["BZERO"] = 1.0, 0.0
    header["BTYPE"], header["OBJECT"], header["BUNIT"] = "Intensity", "        ", "Jy/beam"
    header["EQUINOX"], header["RADESYS"] = 2000.0, "FK5"
    axes = [
        ("RA---SIN", 12.5015250, -0.6 / 3600, pixels // 2 + 1, "deg"),
        ("DEC--SIN", -2.5, 0.6 / 3600, pixels // 2 + 1, "deg"),
        ("FREQ", 2.028e9, 1.2827e8, 1, "Hz"),
        ("STOKES", 1.0, 1.0, 1, ""),
    ]
    for number, (ctype, value, increment, pixel, unit) in enumerate(axes, 1):
        header[f"CTYPE{number}"], header[f"CRVAL{number}"] = ctype, value
        header[f"CDELT{number}"], header[f"CRPIX{number}"], header[f"CUNIT{number}"] = increment, pixel, unit
    header["SPECSYS"], header["RESTFRQ"] = "LSRK", 2.0279e9
    header["DATE-OBS"] = "2020-08-05T10:13:10.850000"
    header["TELESCOP"] = "EVLA"
    header["VLASSBW"], header["VLASSRJ"] = 1.2e8, False
    header["CASAMBM"] = (True, "CASA multiple BEAMS table present")
    header.add_history("CASA START LOGTABLE")
    columns = [
        fits.Column("BMAJ", "1E", unit="arcsec", array=[b.bmaj_arcsec for b in beams]),
        fits.Column("BMIN", "1E", unit="arcsec", array=[b.bmin_arcsec for b in beams]),
        fits.Column("BPA", "1E", unit="deg", array=[b.bpa_deg for b in beams]),
        fits.Column("CHAN", "1J", array=[0] * len(beams)),
        fits.Column("POL", "1J", array=range(len(beams))),
    ]
    table = fits.BinTableHDU.from_columns(columns, name="BEAMS")
    table.header["NCHAN"], table.header["NPOL"] = 1, len(beams)
    table.header.append(("XTENSION", "BINTABLE"), end=True)
    return fits.HDUList([primary, table])


def stored(hdus):
    """Write strictly and read back."""
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        hdus.writeto(buffer, output_verify="exception")
        buffer.seek(0)
        back = fits.open(buffer)
        back.verify("exception")
    return back


# ------------------------------------------------------------------------------------------------ values


@given(st.text())
def test_text_is_always_legal(text):
    header = fits.Header()
    header["A"] = fits_text(text, 60)
    header.add_history(fits_text(text))
    add_history(header, text)
    header.tostring()
    assert len(fits_text(text, 10)) <= 10


def test_text():
    assert fits_text("Ångström\t5 µJy\nα") == "Angstrom 5 ?Jy ?"
    assert fits_text("abcdefgh", 6) == "abc..."


@given(st.floats(3.9e9, 5.3e9))
def test_times_agree_with_astropy(mjd_seconds):
    ours = Time(iso_time(mjd_seconds), scale="utc")
    # Leap seconds make days of 86401 s for astropy; MJD seconds count 86400.
    assert abs(ours.mjd - mjd_seconds / 86400.0) < 2e-5
    assert datetime.datetime.fromisoformat(iso_time(mjd_seconds)).microsecond >= 0


def test_published_time():
    assert iso_time(59066 * 86400 + 10 * 3600 + 13 * 60 + 8.85) == "2020-08-05T10:13:08.850000"
    for bad in (math.nan, 1e300, -1e15):
        with pytest.raises(ProductError, match="not a time"):
            iso_time(bad)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        (NAME, "INTENSITY_PBCOR_TT0"),
        (NAME.replace(".tt0.", ".tt0.rms."), "RMS_TT0"),
        ("s13_0.V.I.iter3.alpha.error", "ALPHAERR"),
        ("s13_0.V.I.iter3.alpha", "ALPHA"),
        ("V.I.iter3.image.pbcor.tt1.subim", "INTENSITY_PBCOR_TT1"),
        ("V.iter3.psf.tt0", "PSF_TT0"),
        ("V.iter3.sumwt.tt0", "SUMWT_TT0"),
        ("V.iter3.weight.tt0", "WEIGHT_TT0"),
        ("V.iter3.image.tt0", "UNKNOWN"),
        ("V.iter3.mask", "UNKNOWN"),
    ],
)
def test_image_types(name, kind):
    assert vlass_image_type(name) == kind


def test_frequency():
    assert header_frequency_hz(casa_export()[0].header) == 2.028e9
    with pytest.raises(ProductError, match="no frequency axis"):
        header_frequency_hz(fits.Header())


# ------------------------------------------------------------------------------------------------ header


def test_header_fix():
    hdus = casa_export()
    header = hdus[0].header
    start = 59066 * 86400 + 10 * 3600 + 13 * 60 + 8.85
    for _ in range(2):
        fix_header(header, start_mjd_s=start, end_mjd_s=start + 60, object_name="J005000-023000")
    assert header["DATE-OBS"] == "2020-08-05T10:13:08.850000"
    assert header["DATE-END"] == "2020-08-05T10:14:08.850000"
    assert header.comments["DATE-OBS"] == "First scan started"
    assert header.comments["DATE-END"] == "Last scan finished"
    assert header.index("DATE-END") == header.index("DATE-OBS") + 1
    assert header["RADESYS"] == "ICRS"
    assert header["OBJECT"] == "J005000-023000"
    stored(hdus)


def test_mean_time_by_the_standards_keywords():
    """MJD 59066.25 is six o'clock of 2020 August 5."""
    hdus = casa_export()
    header, start = hdus[0].header, 59066 * 86400.0
    fix_header(header, start_mjd_s=start, end_mjd_s=start + 86400, object_name="x", mean_mjd_s=start + 21600)
    assert header["DATE-AVG"] == "2020-08-05T06:00:00.000000"
    assert header["MJD-AVG"] == 59066.25
    assert header["DATE-OBS"] == "2020-08-05T00:00:00.000000"
    stored(hdus)


def test_header_fix_leaves_other_frames():
    header = fits.Header({"RADESYS": "FK4"})
    fix_header(header, start_mjd_s=0.0, end_mjd_s=0.0, object_name="x")
    assert header["RADESYS"] == "FK4"
    assert header["DATE-OBS"] == "1858-11-17T00:00:00.000000"


def test_vlass_keywords():
    header = casa_export()[0].header
    missing = set_vlass_keywords(
        header,
        VlassKeywords(
            image_type=vlass_image_type(NAME),
            tile="T10t02",
            phase_center="J2000 00:50:0.366 -02.30.0.0000",
            epoch="2.1",
            version="1",
            stokes="IQU",
            rejected=True,
            spw="2",
            nominal_bandwidth_hz=128e6,
            median_rms_jy=math.nan,
            w_planes=0,
        ),
    )
    assert header["VLASSITY"] == "INTENSITY_PBCOR_TT0"
    assert header["VLASSPT"] == "CC"
    assert header["VLASSRJ"] is True
    assert header["VLASSSPW"] == "2"
    assert header["VLASSBW"] == 1.2e8  # exported by CASA, only its comment is new
    assert header.comments["VLASSBW"] == "Actual bandwidth after flagging"
    assert header.comments["VLASSTN"] == "VLASS tile name"
    assert (header["VLASSWP"], header["VLASSBWN"]) == (0, 128e6)
    assert [line.split()[2] for line in missing] == ["VLASSRMS", "VLASSPK"]
    again = fits.Header.fromstring(header.tostring())
    assert again["VLASSRJ"] is True
    assert again.comments["VLASSRJ"] == "Rejected plane relevant for VLASS CC processing"


def test_every_keyword_is_reported_when_missing():
    warnings_found = set_vlass_keywords(fits.Header(), VlassKeywords(product_type=None, w_planes=None))
    assert len(warnings_found) == 14


def test_long_values_push_out_the_comment_not_the_value():
    header = fits.Header()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        set_vlass_keywords(header, VlassKeywords(phase_center="x" * 200, tile="'" * 30))
        text = header.tostring()
    assert "CONTINUE" not in text
    assert header["VLASSPC"].endswith("...")


def test_outcome():
    header = fits.Header()
    set_outcome(
        header, Outcome.REJECTED, "minor axis of the beam is 1.31 of the expected; " + "92.11% flagged " * 5
    )
    assert header["OUTCOME"] == "rejected"
    assert len(header["OUTREASN"]) <= 64
    assert "".join(str(line).lstrip(">") for line in header["HISTORY"]).count("flagged") == 5
    set_outcome(header, Outcome.IMAGED)
    assert header["OUTCOME"] == "imaged"
    assert "OUTREASN" not in header


def test_history_is_wrapped():
    header = fits.Header()
    add_history(header, "tclean(" + "vis='a', " * 40 + ")")
    assert all(len(str(line)) <= 72 for line in header["HISTORY"])
    assert all(str(line).startswith(">") for line in list(header["HISTORY"])[1:])


# ----------------------------------------------------------------------------------------------- clean-up


def raw_header(*cards):
    return fits.Header.fromstring("".join(card.ljust(80) for card in cards))


def test_tidy_mends_illegal_cards():
    header = raw_header(
        "SIMPLE  =                    T",
        "OBJECT  = 'J0050   '           / name",
        "lower   =                    1",
        "BROKEN  = abc def",
        "FIELD   = 'a'",
        "FIELD   = 'b'",
        "OBSERVER= 'caf\xe9'",
        "KE.Y    = 1",
        "CONTINUE  'orphan'",
        "HISTORY   indented  text",
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        notes = tidy_header(header)
    assert len(notes) == 5
    for card in header.cards:
        card.verify("exception")
    assert (header["LOWER"], header["BROKEN"]) == (1, "abc def")
    assert header["OBSERVER"] == "caf?"
    assert header["OBJECT"] == "J0050"
    assert header["FIELD"] == "a"
    history = [str(line) for line in header["HISTORY"]]
    assert any("CONTINUE" in line for line in history)
    assert "  indented  text" in history
    assert tidy_header(header) == ()


def test_tidy_leaves_a_good_header_alone():
    header = casa_export()[0].header
    before = header.tostring()
    assert tidy_header(header) == ()
    assert header.tostring() == before


# ------------------------------------------------------------------------------------------------- beams


def test_beam_tables_are_normalised():
    other = Beam(4.3, 3.4, -11.0)
    hdus = normalize_beams(casa_export((BEAM, other, other)))
    back = stored(hdus)
    header, table = back[0].header, back["BEAMS"]
    assert header["BMAJ"] == pytest.approx(4.26222 / 3600, rel=1e-7)
    assert header["BMIN"] == pytest.approx(3.35171 / 3600, rel=1e-7)
    assert header["BPA"] == pytest.approx(-10.3953, rel=1e-6)
    assert header["CASAMBM"] is True
    assert list(table.header).count("XTENSION") == 1
    assert (table.header["NCHAN"], table.header["NPOL"]) == (1, 3)
    assert [table.columns[n].format for n in ("BMAJ", "BMIN", "BPA", "CHAN", "POL")] == [
        "E",
        "E",
        "E",
        "J",
        "J",
    ]
    assert [table.columns[n].unit for n in ("BMAJ", "BMIN", "BPA", "CHAN")] == [
        "arcsec",
        "arcsec",
        "deg",
        None,
    ]
    assert list(table.data["POL"]) == [0, 1, 2]
    assert beams_of(back)[1].bmaj_arcsec == pytest.approx(4.3, rel=1e-6)
    read = radio_beam.Beams.from_fits_bintable(table)
    assert read[2].minor.to_value("arcsec") == pytest.approx(3.4, rel=1e-6)
    assert radio_beam.Beam.from_fits_header(header).major.to_value("arcsec") == pytest.approx(4.26222)


def test_spectral_cube_reads_it(tmp_path):
    path = tmp_path / "plane.fits"
    normalize_beams(casa_export()).writeto(path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cube = spectral_cube.StokesSpectralCube.read(path)
    assert cube.I.shape == (1, 8, 8)


def test_images_of_one_beam():
    hdus = set_single_beam(casa_export(), Beam(5.0, 4.0, 30.0))
    assert len(hdus) == 1
    assert "CASAMBM" not in hdus[0].header
    back = stored(normalize_beams(hdus))
    assert len(back) == 1
    assert beams_of(back)[0].bmin_arcsec == pytest.approx(4.0)


def test_unusable_beams():
    hdus = casa_export()
    hdus["BEAMS"].data["BMAJ"][1] = np.nan
    with pytest.raises(ProductError, match="no usable beam"):
        normalize_beams(hdus)
    hdus = casa_export()
    del hdus["BEAMS"]
    with pytest.raises(ProductError, match="no usable beam"):
        normalize_beams(hdus)
    hdus = casa_export((BEAM, BEAM))
    hdus[1] = casa_export()[1]
    with pytest.raises(ProductError, match="3 beams for an image"):
        normalize_beams(hdus)
    with pytest.raises(ProductError, match="no usable beam"):
        beams_of(fits.HDUList([fits.PrimaryHDU()]))


@pytest.mark.casa
def test_casa_reads_what_it_exported_and_we_changed(tmp_path):
    from vlasscube import casa

    casa.configure()
    path, name = tmp_path / "plane.fits", tmp_path / "plane.image"
    hdus = normalize_beams(casa_export())
    fix_header(hdus[0].header, start_mjd_s=5.1e9, end_mjd_s=5.1e9 + 60, object_name="J005000-023000")
    hdus.writeto(path, output_verify="exception")
    casa.run_task("importfits", fitsimage=str(path), imagename=str(name))
    with casa.image(name) as image:
        beam = image.restoringbeam()
        shape = [int(n) for n in image.shape()]
    assert sorted(shape) == [1, 3, 8, 8]
    # It takes the beam of the primary header, which is that of all planes, and forgets the table.
    assert beam["major"]["value"] == pytest.approx(BEAM.bmaj_arcsec, rel=1e-6)


def test_file_name_in_pieces_as_the_archive_reads_it():
    header = fits.Header()
    set_file_name_keywords(
        header, "s7_0.VLASS2.1.cc.T10t02.J005000-023000.06.2048.v1.spw10.IQU.iter3.image.pbcor.tt0.subim"
    )
    assert header["FILNAM05"] == "T10t02"
    assert header["FILNAM06"] == "J005000-023000"
    assert header["FILNAM09"] == "v1"
    assert header["NFILNAM"] == 16
    assert header["FILNAM16"] == "subim"


def test_a_file_name_of_more_pieces_than_keywords_has_its_rest_in_the_last():
    header = fits.Header()
    set_file_name_keywords(header, ".".join(["x"] * 120))
    assert header["NFILNAM"] == 99
    assert header["FILNAM99"] == ".".join(["x"] * 22)
    assert all(len(keyword) <= 8 for keyword in header)


@pytest.mark.parametrize(
    "cards",
    [
        ("NAXIS   =           1000000000",),
        ("NAXIS   = 'four'",),
        ("NAXIS   = abc def",),
        ("NAXIS   =                    3", "CTYPE3  = 'FREQ'"),
        ("NAXIS   =                    3", "CTYPE3  = 'FREQ'", "CRVAL3  = 'high'"),
        ("NAXIS   =                    3", "CTYPE3  = 'FREQ'", "CRVAL3  = 1E999"),
        ("NAXIS   =                    3", "CTYPE3  = 'FREQ'", "CRVAL3  = abc def"),
    ],
)
def test_headers_without_a_usable_frequency(cards):
    started = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(ProductError):
            header_frequency_hz(raw_header(*cards))
    assert time.process_time() - started < 2


def test_a_continue_after_history_does_not_lose_it():
    # Or the position would be corrected twice.
    text = "Position correction (1.0E-01/cos(CRVAL2), 2.0E-01) arcsec applied"
    header = raw_header(f"HISTORY {text}", "CONTINUE  '")
    assert len(tidy_header(header)) == 1
    assert str(header["HISTORY"][0]).startswith(text)
    assert tidy_header(header) == ()
