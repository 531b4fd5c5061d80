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
from vlasscube.products.position_correction import position_correction
from vlasscube.records import Beam, Outcome

RA, DEC = 150.0, 34.0
CASA_NAME = "s7_0.VLASS2.1.cc.T10t02.J100000+340000.06.2048.v1.spw2.IQU.iter3.image.pbcor.tt0.subim"
FIELD = ProductField(
    image_identity("VLASS2.1.cc.T10t02.J100000+340000.06.2048.v1"),
    "J2000 10:00:00.000 +34.00.00.0000",
    59066.25 * 86400,
    59066.5 * 86400,
)
PLANE = ProductPlane(
    Outcome.REJECTED,
    "its beam",
    (2, 3, 7),
    3.84e8,
    1.2e8,
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
    assert ("POSCORR" in header) != regrid
    assert header["BMAJ"] * 3600 == pytest.approx(5.0)
    assert "CASAMBM" not in header
    assert len(product) == 1
    assert history(header)[-1] == "Common-beam set: one; two"


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
