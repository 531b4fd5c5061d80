"""Headers of the FITS products: what the export of CASA lacks or has wrong.

The functions change `astropy.io.fits` headers and HDU lists in memory; `vlasscube.products.fits_files` reads
and writes them.
"""

from __future__ import annotations

import math
import unicodedata
import warnings
from collections.abc import Collection
from dataclasses import dataclass
from datetime import timedelta

from astropy.io import fits
from astropy.utils.exceptions import AstropyUserWarning

from vlasscube.constants import DAY_S, MJD_EPOCH
from vlasscube.errors import ProductError
from vlasscube.naming import plane_ending
from vlasscube.records import Outcome

EFFECTIVE_FREQUENCY, MEAN_LAMBDA2, EFFECTIVE_BANDWIDTH = "EFFFREQ", "LAMSQ", "EFFBW"
"""Keywords of a plane's `vlasscube.records.SpectralCoverage`."""

_MAX_STRING = 68
"""Characters of a string value in one card; longer ones need CONTINUE, which not all readers know."""

CardValue = bool | int | float | str
"""Value of a card."""

_HISTORY = 72
"""Characters of a HISTORY card."""
_LATE_BREAK = 20
"""Characters at the end of a HISTORY card among which a blank is looked for."""

_COMMENTARY = ("", "HISTORY", "COMMENT")
"""Keywords that may be there many times, and have no value but text."""
TABLE_ERRORS = (
    LookupError,
    ValueError,
    TypeError,
    AttributeError,
    ArithmeticError,
    AssertionError,
    fits.VerifyError,
)
"""What astropy and numpy raise on a table that is not as it should be."""
_MAX_PIECES = 99
"""Of a file name: FILNAM99 has the eight characters of a keyword."""
_MAX_AXES = 999
"""Largest number of axes of a FITS image."""

_IMAGE_TYPES = (
    (".alpha.error.", "ALPHAERR"),
    (".alpha.", "ALPHA"),
    (".rms.", "RMS"),
    (".image.pbcor.", "INTENSITY_PBCOR"),
    (".weight.", "WEIGHT"),
    (".sumwt.", "SUMWT"),
    (".psf.", "PSF"),
    (".pb.", "PB"),
)


@dataclass(frozen=True)
class VlassKeywords:
    """Values of the VLASS keywords; None keeps what the header has."""

    image_type: str | None = None
    product_type: str | None = "CC"
    tile: str | None = None
    phase_center: str | None = None
    epoch: str | None = None
    version: str | None = None
    stokes: str | None = None
    rejected: bool | None = None
    spw: str | None = None
    nominal_bandwidth_hz: float | None = None
    unflagged_bandwidth_hz: float | None = None
    w_planes: int | None = None
    median_rms_jy: float | None = None
    peak_jy: float | None = None


_VLASS_CARDS = (
    ("VLASSITY", "image_type", "VLASS image type"),
    ("VLASSPT", "product_type", "VLASS product type"),
    ("VLASSTN", "tile", "VLASS tile name"),
    ("VLASSPC", "phase_center", "VLASS phasecenter"),
    ("VLASSEP", "epoch", "VLASS epoch"),
    ("VLASSVR", "version", "VLASS version number"),
    ("VLASSPL", "stokes", "VLASS Stokes/polarization parameter"),
    ("VLASSRJ", "rejected", "Rejected plane relevant for VLASS CC processing"),
    ("VLASSSPW", "spw", "Spectral windows used for image"),
    ("VLASSBWN", "nominal_bandwidth_hz", "Nominal bandwidth"),
    ("VLASSBW", "unflagged_bandwidth_hz", "Actual bandwidth after flagging"),
    ("VLASSWP", "w_planes", "Number of w-projection planes"),
    ("VLASSRMS", "median_rms_jy", "Median rms calculated from RMS_TT0 (I)"),
    ("VLASSPK", "peak_jy", "Peak flux density of INTENSITY_PBCOR_TT0 (I)"),
)


# ------------------------------------------------------------------------------------------------- values


def fits_text(text: str, max_length: int | None = None) -> str:
    """Text as FITS allows it: printable ASCII; accents are dropped, other characters become ``?``.

    Parameters
    ----------
    text : str
        Anything; line breaks and control characters become blanks.
    max_length : int, optional
        Longer texts are cut and end in ``...``.
    """
    decomposed = unicodedata.normalize("NFKD", text)
    plain = "".join(
        " " if unicodedata.category(c).startswith(("C", "Z")) else c if c.isascii() else "?"
        for c in decomposed
        if not unicodedata.combining(c)
    )
    plain = " ".join(plain.split())
    if max_length is not None and len(plain) > max_length:
        return plain[: max_length - 3] + "..."
    return plain


def iso_time(mjd_seconds: float) -> str:
    """MJD in seconds (UTC) as a FITS date to the microsecond.

    Raises
    ------
    ProductError
        If it is not a date.
    """
    try:
        moment = MJD_EPOCH + timedelta(seconds=mjd_seconds)
    except (OverflowError, ValueError) as error:
        raise ProductError(f"not a time: MJD {mjd_seconds} s") from error
    return moment.replace(tzinfo=None).isoformat(timespec="microseconds")


def vlass_image_type(image_name: str) -> str:
    """Value of VLASSITY from the name of a CASA image or FITS file; ``'UNKNOWN'`` for other images."""
    dotted = f".{plane_ending(image_name)}."
    for mark, kind in _IMAGE_TYPES:
        if mark in dotted:
            term = next((f"_{tt.upper()}" for tt in ("tt0", "tt1") if f".{tt}." in dotted), "")
            return kind + term
    return "UNKNOWN"


def header_frequency_hz(header: fits.Header) -> float:
    """Reference value of the frequency axis.

    Raises
    ------
    ProductError
        If the header has no frequency axis.
    """
    axis = axis_number(header, "FREQ")
    if axis is None:
        raise ProductError("the image has no frequency axis")
    return header_number(header, f"CRVAL{axis}")


def header_number(header: fits.Header, keyword: str) -> float:
    """Value of a keyword that must be a finite number.

    Raises
    ------
    ProductError
        If it is missing, or not one.
    """
    value = header_value(header, keyword)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ProductError(f"header keyword {keyword} is {value!r}, not a number")
    return float(value)


def header_value(header: fits.Header, keyword: str) -> object:
    """Value of a keyword; None if there is none, or its card cannot be understood."""
    try:
        return header.get(keyword)
    except (fits.VerifyError, ValueError):
        return None


def axis_number(header: fits.Header, axis_type: str) -> int | None:
    """Number of the first axis whose CTYPE begins with a text; None if there is none."""
    count = header_value(header, "NAXIS")
    for axis in range(1, min(count, _MAX_AXES) + 1 if isinstance(count, int) else 1):
        if str(header_value(header, f"CTYPE{axis}")).startswith(axis_type):
            return axis
    return None


# ---------------------------------------------------------------------------------------------- the header


def fix_header(
    header: fits.Header,
    *,
    start_mjd_s: float,
    end_mjd_s: float,
    object_name: str,
    mean_mjd_s: float | None = None,
) -> None:
    """Set times, frame and object as in the archive.

    Parameters
    ----------
    header : Header
        Changed in place.
    start_mjd_s, end_mjd_s : float
        Start of the first and end of the last scan, MJD in seconds.
    object_name : str
        The image name's token, e.g. ``J005000-023000``.
    mean_mjd_s : float, optional
        Mean time of the data by their weights, MJD in seconds.

    Notes
    -----
    RADESYS FK5 is relabelled ICRS without rotating: the calibrator positions, and so the image, are ICRS.
    """
    header.set("DATE-OBS", iso_time(start_mjd_s), "First scan started")
    if "DATE-END" in header:
        del header["DATE-END"]
    header.set("DATE-END", iso_time(end_mjd_s), "Last scan finished", after="DATE-OBS")
    if mean_mjd_s is not None:
        header.set("DATE-AVG", iso_time(mean_mjd_s), "Mean time of the data by weight", after="DATE-END")
        header.set("MJD-AVG", mean_mjd_s / DAY_S, "[d] The same as MJD (UTC)", after="DATE-AVG")
    if str(header.get("RADESYS", "")).strip() == "FK5":
        header["RADESYS"] = "ICRS"
    name = object_keyword(object_name)
    if str(header.get("OBJECT", "")).strip() != name:
        header["OBJECT"] = name


def object_keyword(object_name: str) -> str:
    """Value of the keyword OBJECT for an object: cut to one card."""
    return fits_text(object_name, _MAX_STRING)


def set_vlass_keywords(
    header: fits.Header, keywords: VlassKeywords, may_lack: Collection[str] = ()
) -> tuple[str, ...]:
    """Set the VLASS keywords and their comments.

    Parameters
    ----------
    header : Header
        Changed in place. A keyword without a value here keeps the one it has there.
    keywords : VlassKeywords
        Values that are known.
    may_lack : collection of str
        Attributes of `VlassKeywords` without which there is no warning.

    Returns
    -------
    tuple of str
        One warning for each keyword that has no value, or none that FITS can state.
    """
    missing = []
    for keyword, name, comment in _VLASS_CARDS:
        value = getattr(keywords, name)
        if value is not None:
            if not set_value(header, keyword, value, comment):
                missing.append(f"header keyword {keyword} is left out: its value is {value}")
        elif keyword in header:
            header.comments[keyword] = _fitting_comment(header[keyword], comment)
        elif name not in may_lack:
            missing.append(f"header keyword {keyword} ({comment}) is missing")
    return tuple(missing)


def set_value(header: fits.Header, keyword: str, value: CardValue, comment: str) -> bool:
    """Set a keyword to a value that may be anything, as far as FITS can state it in one card.

    Parameters
    ----------
    header : Header
        Changed in place.
    keyword : str
        Its name.
    value : bool, int, float or str
        A text is cut to one card, and to printable ASCII.
    comment : str
        Left out where the value leaves no room for it.

    Returns
    -------
    bool
        False, with nothing changed, for a number that is not finite.
    """
    if isinstance(value, float) and not math.isfinite(value):
        return False
    if isinstance(value, str):
        value = _one_card(value)
    header[keyword] = (value, _fitting_comment(value, comment))
    return True


def _one_card(text: str) -> str:
    """Cut a text so that it fits into a card, where each quote takes two characters."""
    plain = fits_text(text, _MAX_STRING)
    while len(plain.replace("'", "''")) > _MAX_STRING:
        plain = plain[:-1].rstrip()
    return plain


def _fitting_comment(value: object, comment: str) -> str:
    """Cut a comment to what the card of a string value leaves room for."""
    room = _MAX_STRING - 1 - len(value.replace("'", "''")) if isinstance(value, str) else len(comment)
    return comment if len(comment) <= room else ""


def set_file_name_keywords(header: fits.Header, image_name: str) -> None:
    """State the name of the CASA image in pieces, FILNAM01 … and NFILNAM, as the archive's ingestion reads.

    Parameters
    ----------
    header : Header
        Changed in place.
    image_name : str
        With the stage prefix, ``s7_0.VLASS2.1.cc.T10t02.J005000-023000...``; FILNAM06 is the object, FILNAM09
        the version of an official name. A name of more pieces than there are keywords has its rest in the
        last.
    """
    pieces = fits_text(image_name).split(".", _MAX_PIECES - 1)
    for number, piece in enumerate(pieces, start=1):
        header[f"FILNAM{number:02d}"] = piece[:_MAX_STRING]
    header["NFILNAM"] = len(pieces)


def set_outcome(header: fits.Header, outcome: Outcome, reason: str = "") -> None:
    """State the outcome of the plane; a reason too long for one card goes to HISTORY in full."""
    header["OUTCOME"] = (outcome.value, "Outcome of the plane")
    text = fits_text(reason)
    if text:
        header["OUTREASN"] = fits_text(text, _MAX_STRING - 4)
    elif "OUTREASN" in header:
        del header["OUTREASN"]
    if len(text) > _MAX_STRING - 4:
        add_history(header, f"Outcome {outcome.value}: {text}")


def add_history(header: fits.Header, text: str) -> None:
    """Append HISTORY cards, continued by ``>`` as CASA's, from which `history_lines` reads the text back.

    A card is broken before a blank if there is one near its end: those at the end of a card do not count.
    """
    rest, mark = fits_text(text), ""
    while True:
        room = _HISTORY - len(mark)
        end = len(rest)
        if end > room:
            end = rest.rfind(" ", room - _LATE_BREAK, room + 1)
            if end <= 0:
                end = room
        header.add_history(mark + rest[:end])
        rest, mark = rest[end:], ">"
        if not rest:
            return


def history_lines(header: fits.Header) -> tuple[str, ...]:
    """Lines of the HISTORY of a header, each joined from its card and those that continue it.

    What `add_history` has added is given back as it was; CASA itself loses characters where it continues.
    """
    lines: list[str] = []
    for card in map(str, header.get("HISTORY", ())):
        if card.startswith(">") and lines:
            lines[-1] += card[1:]
        else:
            lines.append(card)
    return tuple(lines)


def set_rest_frequency(header: fits.Header, frequency_hz: float) -> bool:
    """Give a header without a usable rest frequency (positive and finite) that of the plane.

    Parameters
    ----------
    header : Header
        Changed in place if need be: RESTFRQ, and ALTRVAL, the velocity that follows from it.
    frequency_hz : float
        Reference value of the frequency axis.

    Returns
    -------
    bool
        Whether it has been changed.
    """
    if _is_positive(header_value(header, "RESTFRQ")):
        return False
    place = "SPECSYS" if "SPECSYS" in header else None
    header.remove("RESTFRQ", ignore_missing=True, remove_all=True)
    header.set("RESTFRQ", frequency_hz, "[Hz] that of the plane: the data have none", before=place)
    if "ALTRVAL" in header:
        header.remove("ALTRVAL", remove_all=True)
        header.set("ALTRVAL", 0.0, "[m/s] velocity of the reference channel", after="RESTFRQ")
    return True


def _is_positive(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return math.isfinite(value) and value > 0


def tidy_header(header: fits.Header) -> tuple[str, ...]:
    """Make a header legal, so that it passes ``verify('exception')``.

    Cards are repaired where astropy can; the text of others is kept in HISTORY. Characters outside printable
    ASCII are replaced, and repeated keywords are dropped except for the first.

    Returns
    -------
    tuple of str
        What was changed; empty, and the header is left as it is, if it is legal.
    """
    notes = []
    tidy: list[fits.Card] = []
    seen: set[str] = set()
    for card in header.cards:
        legal = card
        try:
            _require_legal(card)
        except (fits.VerifyError, ValueError, AstropyUserWarning):
            legal = _mended(card)
            notes.append(f"illegal card repaired: {fits_text(str(legal))}")
        if legal.keyword in seen:
            notes.append(f"repeated keyword dropped: {fits_text(str(legal))}")
            continue
        if legal.keyword not in _COMMENTARY:
            seen.add(legal.keyword)
        tidy.append(legal)
    if notes:
        header.clear()
        header.extend(tidy, strip=False, end=True)
    return tuple(notes)


def _require_legal(card: fits.Card) -> None:
    """Raise what astropy has against a card; of one without a value it only warns, when it is read."""
    card.verify("exception")
    if card.keyword not in _COMMENTARY:
        with warnings.catch_warnings():
            warnings.simplefilter("error", AstropyUserWarning)
            fits.Card.fromstring(str(card)).value  # noqa: B018


def _mended(card: fits.Card) -> fits.Card:
    """Build a legal card of the same content, or a HISTORY card with its text."""
    with warnings.catch_warnings():
        # What astropy would say of the card is said by our own note.
        warnings.simplefilter("ignore")
        text = "a card and its CONTINUE, not of text"
        try:
            text = "".join(c if " " <= c <= "~" else "?" for c in str(card))
            readable = fits.Card.fromstring(text)
            readable.verify("silentfix")
            mended = fits.Card(readable.keyword.upper(), readable.value, readable.comment)
            mended.verify("exception")
        except (fits.VerifyError, ValueError):
            if card.keyword in _COMMENTARY:
                # To astropy a CONTINUE behind it is a part of it.
                return fits.Card(card.keyword, fits_text(str(card.value), 72))
            return fits.Card("HISTORY", fits_text(f"Illegal card: {text}", 72))
    return mended
