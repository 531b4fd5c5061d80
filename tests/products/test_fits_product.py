"""A product from an exported image: what its header says, and that nothing else changes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from astropy.io import fits

from vlasscube.errors import ProductError
from vlasscube.image_names import image_identity
from vlasscube.products.common_beam import CommonBeamStep
from vlasscube.products.fits_product import ProductField, ProductPlane, fits_product
from vlasscube.products.general_keywords import PlaneImaging
from vlasscube.products.headers import history_lines
from vlasscube.products.imaging_history import ImagingSetup, call_arguments, imaging_calls
from vlasscube.products.position_correction import (
    apply_position_correction,
    is_corrected,
    position_correction,
)
from vlasscube.records import Beam, NoncoplanarEffect, Outcome, SpectralCoverage

RA, DEC = 150.0, 34.0
ROOT = "s7_0.VLASS2.1.cc.T10t02.J100000+340000.06.2048.v1.spw2"
CASA_NAME = f"{ROOT}.IQU.iter3.image.pbcor.tt0.subim"
PB_NAME = f"{ROOT}.I.iter3.pb.tt0.subim"
FIELD = ProductField(
    image_identity("VLASS2.1.cc.T10t02.J100000+340000.06.2048.v1"),
    "J2000 10:00:00.000 +34.00.00.0000",
    59066.25 * 86400,
    59066.5 * 86400,
)
CALL = f"mosaic(vis=['a b.ms'], field=['{','.join(map(str, range(5, 800, 3)))}'], niter=0, robust=1.0)"
IMAGING = PlaneImaging(
    setup=ImagingSetup("mosaic", "1.2.3", "archive", "exact", True, "1.2.3"),
    casa_version="6.7.0.31",
    project="VLASS2.1",
    spw_ids=(2, 3, 7),
    spw_names=("EVLA_S#A0C0#2", "x" * 90, "line\nbreak ß \x00'quoted'"),
    field_ids=(5, 6, 7, 9),
    robust=1.0,
    frequency_hz=2.0e9,
    unflagged_bandwidth_hz=1.2e8,
    coverage=SpectralCoverage(2.032e9, 0.0218, 6.4e7),
    w_planes=17,
    noncoplanar=NoncoplanarEffect(0.964, 0.931, -0.012, 0.384),
    history=("Imaged by us.", "iter0: no mask", CALL),
)
PLANE = ProductPlane(
    Outcome.REJECTED,
    "its beam",
    IMAGING,
    3.84e8,
    2e-4,
    0.5,
    position_correction(RA, DEC, 2.0e9, 59066.9),
)
STEP = CommonBeamStep("spw2", True, True, True, 0, 0.3, (0.1, 0.2), 0.0, Beam(5.0, 4.0, 30.0), ("one", "two"))


def exported():
    """An image with a beam for each of I, Q and U, as CASA writes it."""
    data = np.arange(3 * 16, dtype=">f4").reshape(3, 1, 4, 4)
    data[0, 0, 0, 0] = np.nan
    hdu = fits.PrimaryHDU(data)
    axes = (("RA---SIN", RA), ("DEC--SIN", DEC), ("FREQ", 2.0e9), ("STOKES", 1.0))
    for number, (kind, value) in enumerate(axes, 1):
        hdu.header[f"CTYPE{number}"], hdu.header[f"CRVAL{number}"] = kind, value
    hdu.header["RESTFRQ"] = 2.9e9
    hdu.header["RADESYS"], hdu.header["OBJECT"], hdu.header["CASAMBM"] = "FK5", "other", True
    hdu.header.add_history("what CASA did")
    columns = [
        fits.Column("BMAJ", "1D", unit="arcsec", array=[3.0, 3.1, 3.2]),
        fits.Column("BMIN", "1D", unit="arcsec", array=[2.0, 2.1, 2.2]),
        fits.Column("BPA", "1D", unit="deg", array=[10.0, 11.0, 12.0]),
        fits.Column("CHAN", "1J", array=[0, 0, 0]),
        fits.Column("POL", "1J", array=[0, 1, 2]),
    ]
    return fits.HDUList([hdu, fits.BinTableHDU.from_columns(columns, name="BEAMS")])


def history(header):
    return [str(line) for line in header["HISTORY"]]


def test_native():
    product, warnings = fits_product(exported(), CASA_NAME, "IQU", FIELD, PLANE)
    header = product[0].header
    assert warnings == ()
    assert (header["CRVAL1"], header["CRVAL2"]) == (
        PLANE.position.corrected_ra_deg,
        PLANE.position.corrected_dec_deg,
    )
    assert header["POSCORR"] is True
    wanted = {
        "DATE-OBS": "2020-08-05T06:00:00.000000",
        "DATE-END": "2020-08-05T12:00:00.000000",
        "RADESYS": "ICRS",
        "OBJECT": "J100000+340000",
        "VLASSITY": "INTENSITY_PBCOR_TT0",
        "VLASSTN": "T10t02",
        "VLASSEP": "2.1",
        "VLASSVR": "1",
        "VLASSPC": FIELD.phasecenter,
        "VLASSPL": "IQU",
        "VLASSRJ": True,
        "VLASSSPW": "2~3,7",
        "VLASSBWN": 3.84e8,
        "VLASSBW": 1.2e8,
        "VLASSWP": 17,
        "VLASSRMS": 2e-4,
        "VLASSPK": 0.5,
        "OUTCOME": "rejected",
        "OUTREASN": "its beam",
        "FILNAM06": "J100000+340000",
    }
    assert {keyword: header[keyword] for keyword in wanted} == wanted
    assert header["BMAJ"] * 3600 == pytest.approx(3.0)
    assert [hdu.name for hdu in product] == ["PRIMARY", "BEAMS"]
    assert product["BEAMS"].columns["BMAJ"].format == "1E"
    assert history(header)[0] == "what CASA did"
    assert not any("Common-beam" in line for line in history(header))


@pytest.mark.parametrize(
    ("name", "labels"),
    [
        ("Coarse_Test", {}),
        ("my.rms.psf.alpha.VLASS2", {}),
        ("x" * 100, {}),
        (".".join("abcdefghijklmnopqrstuvwxyz" * 3), {}),
        ("VLASS3.1.mine.T01t02.v2", {"VLASSTN": "T01t02", "VLASSEP": "3.1", "VLASSVR": "2"}),
    ],
)
def test_a_free_name_says_in_the_header_what_it_has(name, labels):
    field = replace(FIELD, identity=image_identity(name))
    casa_name = f"s7_0.{name}.spw2.IQU.iter3.image.pbcor.tt0.subim"
    product, warnings = fits_product(exported(), casa_name, "IQU", field, PLANE)
    header = product[0].header
    assert warnings == ()
    assert {key: header[key] for key in ("VLASSTN", "VLASSEP", "VLASSVR") if key in header} == labels
    assert header["VLASSITY"] == "INTENSITY_PBCOR_TT0"
    assert header["OBJECT"] == (name if len(name) <= 68 else name[:65] + "...")
    pieces = [header[f"FILNAM{number:02d}"] for number in range(1, header["NFILNAM"] + 1)]
    if len(name) < 68:
        assert ".".join(pieces) == casa_name
    product.verify("exception")


@pytest.mark.parametrize("regrid", [True, False])
def test_member_of_the_common_beam_set(regrid):
    step = replace(STEP, regrid=regrid)
    product, _ = fits_product(exported(), CASA_NAME, "IQU", FIELD, PLANE, step)
    header = product[0].header
    nominal = (header["CRVAL1"], header["CRVAL2"]) == (RA, DEC)
    assert nominal == regrid
    assert header["POSCORR"] is True
    assert header["BMAJ"] * 3600 == pytest.approx(5.0)
    assert "CASAMBM" not in header
    assert len(product) == 1
    assert history(header)[-1] == "Common-beam set: one; two"
    # The lines that scripts look for, whichever way the position was corrected.
    assert "Uncorrected CRVAL1 = 1.500000000000E+02 deg" in history(header)
    (done,) = [line for line in history(header) if line.startswith("Position correction (")]
    native, _ = fits_product(exported(), CASA_NAME, "IQU", FIELD, PLANE)
    assert done in history(native[0].header)
    said = "Regridded from the corrected position: CRVAL is the nominal one."
    assert (said in history(header)) == regrid
    # Nothing corrects it again.
    before = repr(header)
    assert is_corrected(header)
    assert apply_position_correction(header, PLANE.position) is False
    assert repr(header) == before
    assert header["ZD"] == pytest.approx(PLANE.position.zd_deg)


@pytest.mark.parametrize("common", [None, STEP])
def test_of_a_w_corrected_image_nothing_is_corrected(common):
    """Its position is right: a script that looks for the mark of a correction must find one, of nothing."""
    plane = replace(PLANE, position=position_correction(RA, DEC, 2.0e9, 59066.9, w_corrected=True))
    header = fits_product(exported(), CASA_NAME, "IQU", FIELD, plane, common)[0][0].header
    assert (header["CRVAL1"], header["CRVAL2"], header["POSCORR"]) == (RA, DEC, False)
    assert "Position correction (0.000E+00/cos(CRVAL2), 0.000E+00) arcsec applied" in history(header)
    assert is_corrected(header)


def test_general_keywords():
    header = fits_product(exported(), CASA_NAME, "IQU", FIELD, PLANE)[0][0].header
    wanted = {
        "PROPCODE": "VLASS2.1",
        "SPW": "2~3,7",
        "VIRTSPW": "2~3,7",
        "SPWNAM01": "EVLA_S#A0C0#2",
        "SPWNAM02": "x" * 65 + "...",
        "SPWNAM03": "line break ? 'quoted'",
        "NSPWNAM": 3,
        "FIELD": "5~7,9",
        "NFIELD": 4,
        "NPOL": 3,
        "STOKES": "IQU",
        "DATATYPE": "corrected",
        "INTENT": "TARGET",
        "TYPE": "image.pbcor",
        "ITER": 3,
        "SPECMODE": "cont",
        "WEIGHT": "briggs",
        "ROBUST": 1.0,
        "ENGINE": "mosaic",
        "GRIDDING": "exact",
        "WCORR": True,
        "NCPPEAK": 0.964,
        "NCPWORST": 0.931,
        "NCPDRA": -0.012,
        "NCPDDEC": 0.384,
        "PROFILE": "archive",
        "PIPEVER": "vlasscube 1.2.3",
        "CASAVER": "6.7.0.31",
        "CTRFRQ": 2.0e9,
        "EFFFREQ": 2.032e9,
        "LAMSQ": 0.0218,
        "EFFBW": 6.4e7,
        "CRVAL3": 2.0e9,
        # Of the pixels 1 … 47, and of Stokes I 1 … 15: deviations of 0 … 7, twice each but for 0.
        "DATAMIN": 1.0,
        "DATAMAX": 47.0,
        "DATARMS": pytest.approx(1.4826 * 4),
    }
    assert {keyword: header.get(keyword) for keyword in wanted} == wanted
    assert all(
        "Hz" in header.comments[key] or "m2" in header.comments[key] for key in ("EFFFREQ", "LAMSQ", "EFFBW")
    )


def test_what_is_not_known_is_left_out():
    imaging = replace(IMAGING, coverage=None, project="")
    data = exported()
    data[0].data[:] = np.nan
    header = fits_product(data, CASA_NAME, "IQU", FIELD, replace(PLANE, imaging=imaging))[0][0].header
    left_out = ("EFFFREQ", "LAMSQ", "PROPCODE", "DATAMIN", "DATAMAX", "DATARMS")
    assert not [keyword for keyword in left_out if keyword in header]
    assert header["EFFBW"] == 1.2e8


def test_history_of_the_imaging_reads_back():
    header = fits_product(exported(), CASA_NAME, "IQU", FIELD, PLANE)[0][0].header
    assert all(len(line) <= 72 for line in history(header))
    lines = history_lines(header)
    start = lines.index("Imaged by us.")
    assert lines[start : start + 3] == IMAGING.history
    (call,) = imaging_calls(lines)
    assert call == CALL
    assert call_arguments(call)["robust"] == 1.0


@pytest.mark.parametrize("value", [None, 0.0, -1.0, "nan", True, "3 GHz"])
@pytest.mark.parametrize("common", [None, STEP])
def test_rest_frequency_is_always_one(value, common):
    given = exported()
    header = given[0].header
    header["SPECSYS"], header["ALTRVAL"] = "LSRK", 12.5
    del header["RESTFRQ"]
    if value == "nan":
        header.append(fits.Card.fromstring("RESTFRQ =                  nan / Rest Frequency (Hz)"))
        header.append(fits.Card.fromstring("ALTRPIX =                  nan"))
    elif value is not None:
        header["RESTFRQ"] = value
    product, notes = fits_product(given, CASA_NAME, "IQU", FIELD, PLANE, common)
    assert any("rest frequency" in note for note in notes)
    made = product[0].header
    assert (made["RESTFRQ"], made["ALTRVAL"]) == (2.0e9, 0.0)
    assert [card.keyword for card in made.cards].count("RESTFRQ") == 1
    product.verify("exception")


def test_a_rest_frequency_is_left_as_it_is():
    given = exported()
    given[0].header["RESTFRQ"], given[0].header["ALTRVAL"] = 3.0e9, 12.5
    product, notes = fits_product(given, CASA_NAME, "IQU", FIELD, PLANE)
    assert notes == ()
    assert (product[0].header["RESTFRQ"], product[0].header["ALTRVAL"]) == (3.0e9, 12.5)


@pytest.mark.parametrize("common", [None, STEP])
def test_primary_beam(common):
    given = exported()
    given = fits.HDUList([fits.PrimaryHDU(given[0].data[:1], given[0].header)])
    del given[0].header["CASAMBM"]
    product, warnings = fits_product(given, PB_NAME, "I", FIELD, PLANE, common)
    header = product[0].header
    assert warnings == ()
    assert not [key for key in ("BMAJ", "BMIN", "BPA", "CASAMBM", "DATARMS") if key in header]
    assert (header["VLASSITY"], header["VLASSPL"], header["TYPE"]) == ("PB_TT0", "I", "pb")
    assert (header["NPOL"], header["DATAMIN"], header["DATAMAX"]) == (1, 1.0, 15.0)
    assert header["POSCORR"] is True
    assert header["CRVAL1"] == (RA if common else PLANE.position.corrected_ra_deg)
    assert len(product) == 1
    product.verify("exception")


@pytest.mark.parametrize("common", [None, STEP])
def test_the_export_is_left_as_it_was(common):
    given = exported()
    before = [(repr(hdu.header), hdu.data.copy()) for hdu in given]
    product, _ = fits_product(given, CASA_NAME, "IQU", FIELD, PLANE, common)
    for hdu, (header, data) in zip(given, before, strict=True):
        assert repr(hdu.header) == header
        assert hdu.data.tobytes() == data.tobytes()
    assert product[0].data.tobytes() == before[0][1].tobytes()
    again, _ = fits_product(given, CASA_NAME, "IQU", FIELD, PLANE, common)
    assert repr(again[0].header) == repr(product[0].header)


def test_what_is_missing_is_told_and_what_does_not_fit_refused():
    _, warnings = fits_product(exported(), CASA_NAME, "IQU", FIELD, replace(PLANE, median_rms_jy=None))
    assert [text for text in warnings if "VLASSRMS" in text] == list(warnings) != []
    elsewhere = replace(PLANE, position=position_correction(RA + 1, DEC, 2.0e9, 59066.9))
    with pytest.raises(ProductError, match="reference position"):
        fits_product(exported(), CASA_NAME, "IQU", FIELD, elsewhere)
