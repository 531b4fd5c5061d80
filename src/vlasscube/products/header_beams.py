"""The beams of FITS files: in the header where all planes have one, in a BEAMS table otherwise."""

from __future__ import annotations

import numpy as np
from astropy.io import fits

from vlasscube.constants import ARCSEC_PER_DEG
from vlasscube.errors import ProductError
from vlasscube.products.headers import TABLE_ERRORS, axis_number, header_number, header_value
from vlasscube.records import Beam


def beams_of(hdus: fits.HDUList) -> tuple[Beam, ...]:
    """Beams of an image in the order of its table (channel, Stokes), or the one beam of its header.

    Raises
    ------
    ProductError
        If there is none, or one is not a beam (NaN, zero).
    """
    header = hdus[0].header
    try:
        if header_value(header, "CASAMBM") is True:
            table = hdus["BEAMS"].data
            rows = zip(table["BMAJ"], table["BMIN"], table["BPA"], strict=True)
            beams = tuple(Beam(float(major), float(minor), float(angle)) for major, minor, angle in rows)
        else:
            major, minor, angle = (header_number(header, keyword) for keyword in ("BMAJ", "BMIN", "BPA"))
            beams = (Beam(major * ARCSEC_PER_DEG, minor * ARCSEC_PER_DEG, angle),)
    except (*TABLE_ERRORS, ProductError) as error:
        raise ProductError(f"the image has no usable beam: {error}") from error
    if not beams:
        raise ProductError("the image has no usable beam: its table of beams is empty")
    return beams


def normalize_beams(hdus: fits.HDUList) -> fits.HDUList:
    """Give an image with a beam for each plane the form that all readers take.

    The beam of the first plane (Stokes I) goes into the primary header, in degrees. The table is written anew
    as float32 with units: CASA repeats XTENSION in it, and float64 makes CARTA fail.

    Parameters
    ----------
    hdus : HDUList
        Primary image with axes RA, Dec, FREQ, STOKES, and the table BEAMS if CASAMBM is true.

    Returns
    -------
    HDUList
        The same primary HDU, with a new table or, for an image of one beam, none.

    Raises
    ------
    ProductError
        If the beams are unusable or do not match the planes of the image.
    """
    beams = beams_of(hdus)
    header = hdus[0].header
    _set_primary_beam(header, beams[0])
    if header_value(header, "CASAMBM") is not True:
        return fits.HDUList([hdus[0]])
    channels, polarizations = _extent(header, "FREQ"), _extent(header, "STOKES")
    if len(beams) != channels * polarizations:
        raise ProductError(
            f"{len(beams)} beams for an image of {channels} channels and {polarizations} Stokes planes"
        )
    try:
        places = [
            fits.Column(name, "1J", array=np.asarray(hdus["BEAMS"].data[name], np.int32))
            for name in ("CHAN", "POL")
        ]
    except TABLE_ERRORS as error:
        raise ProductError(f"the table of beams does not tell the planes: {error}") from error
    columns = [
        _beam_column("BMAJ", "arcsec", [beam.bmaj_arcsec for beam in beams]),
        _beam_column("BMIN", "arcsec", [beam.bmin_arcsec for beam in beams]),
        _beam_column("BPA", "deg", [beam.bpa_deg for beam in beams]),
        *places,
    ]
    table = fits.BinTableHDU.from_columns(columns, name="BEAMS")
    table.header["EXTVER"] = 1
    table.header["NCHAN"] = channels
    table.header["NPOL"] = polarizations
    return fits.HDUList([hdus[0], table])


def without_beam(hdus: fits.HDUList) -> fits.HDUList:
    """Leave out what a header says of a beam: an image of the primary beam has none."""
    header = hdus[0].header
    for keyword in ("CASAMBM", "BMAJ", "BMIN", "BPA"):
        header.remove(keyword, ignore_missing=True, remove_all=True)
    return fits.HDUList([hdus[0]])


def set_single_beam(hdus: fits.HDUList, beam: Beam) -> fits.HDUList:
    """Give an image one beam for all planes: no table, BMAJ, BMIN and BPA in the primary header."""
    header = hdus[0].header
    if "CASAMBM" in header:
        del header["CASAMBM"]
    _set_primary_beam(header, beam)
    return fits.HDUList([hdus[0]])


def _set_primary_beam(header: fits.Header, beam: Beam) -> None:
    values = {
        "BMAJ": beam.bmaj_arcsec / ARCSEC_PER_DEG,
        "BMIN": beam.bmin_arcsec / ARCSEC_PER_DEG,
        "BPA": beam.bpa_deg,
    }
    place = "BZERO" if "BZERO" in header else None
    for keyword, value in values.items():
        header.set(keyword, value, None if keyword in header else "[deg] restoring beam", after=place)
        place = keyword


def _beam_column(name: str, unit: str, values: list[float]) -> fits.Column:
    return fits.Column(name, "1E", unit=unit, array=np.asarray(values, np.float32))


def _extent(header: fits.Header, axis_type: str) -> int:
    axis = axis_number(header, axis_type)
    return 1 if axis is None else int(header_number(header, f"NAXIS{axis}"))
