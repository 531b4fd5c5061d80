"""Names of images: any safe text, and the official form of VLASS, slot by slot.

An image is called what its user calls it: letters, digits and ``. _ + -``. A name of the official form also
says which tile, epoch and version it is of; a free name says what of this stands in it as a slot of its own.
Every name that comes from outside becomes a file name sooner or later, so it is refused here if it could mean
more than a name.
"""

from __future__ import annotations

import re
import string
from dataclasses import dataclass
from typing import Any, Literal

from vlasscube.errors import NamingError

MAX_NAME_BYTES = 170
"""Longest image name: what is appended for a plane of one spectral window must fit into a file name."""
MAX_FILE_NAME_BYTES = 255
IMAGE_NAME_EXAMPLE = "VLASS2.1.cc.T10t02.J005000-023000.06.2048.v1"

_GLOB_CHARACTERS = frozenset("*?[]{}")
_QUOTES = frozenset("'\"`")
_NAME_CHARACTERS = frozenset(string.ascii_letters + string.digits + "._+-")

_IMAGE_NAME = re.compile(
    r"VLASS(?P<epoch>[0-9]+\.[0-9]+)\.(?P<product>cc|se|ql)\.(?P<tile>T[0-9A-Za-z]+)"
    r"\.(?P<centre>J[0-9]{6}[+-][0-9]{6})(?:\.(?P<pixel>[0-9]{2,3}))?(?:\.(?P<size>[0-9]{2,6}))?"
    r"(?:\.v(?P<version>[0-9]+))?"
)
_EPOCH_SLOTS = re.compile(r"VLASS([0-9]+\.[0-9]+)(?:\.|$)")
_TILE_SLOT = re.compile(r"T[0-9]{2}t[0-9]{2}|Txxxx")
_CENTRE_SLOT = re.compile(r"J[0-9]{6}[+-][0-9]{6}")
_VERSION_SLOT = re.compile(r"v([0-9]+)")


def _shown(text: str) -> str:
    """Quote a name for an error, however long it is."""
    return repr(text if len(text) <= 80 else f"{text[:77]}...")


def check_file_name(text: str, what: str = "name", *, max_bytes: int = MAX_FILE_NAME_BYTES) -> str:
    """Refuse a text that must not become a file name.

    Parameters
    ----------
    text : str
        The candidate.
    what : str
        How to call it in the error.
    max_bytes : int
        Longest UTF-8 form.

    Returns
    -------
    str
        The text, unchanged.

    Raises
    ------
    NamingError
        If it is empty, ``.`` or ``..``, too long, or has path separators, quotes, glob characters, control or
        other unprintable characters.
    """
    shown = _shown(text)
    if not text or text in {".", ".."}:
        raise NamingError(f"{what} {shown} is not a name.", hint=f"Expected e.g. {IMAGE_NAME_EXAMPLE}")
    if not text.isprintable():
        raise NamingError(f"{what} {shown} has control or other unprintable characters.", hint="Rename it.")
    bad = sorted({char for char in text if char in "/\\" or char in _QUOTES or char in _GLOB_CHARACTERS})
    if bad:
        raise NamingError(
            f"{what} {shown} has {' '.join(bad)}, which must not occur in a name.",
            hint="Use letters, digits and . _ + - only.",
        )
    if len(text.encode()) > max_bytes:
        raise NamingError(f"{what} {shown} is longer than {max_bytes} bytes.", hint="Use a shorter name.")
    return text


@dataclass(frozen=True)
class ImageName:
    """An official image name of VLASS, slot by slot.

    Attributes
    ----------
    epoch : str
        Epoch and half, ``'2.1'``.
    product : {'cc', 'se', 'ql'}
        Coarse cube, single-epoch continuum, quick look.
    tile : str
        ``'T10t02'``.
    centre : str
        ``'J005000-023000'``.
    pixel : str or None
        Pixel size in tenths of an arcsecond, ``'06'``.
    size : str or None
        Legacy size token, ``'2048'``; not the size of the image.
    version : str or None
        Processing version, ``'1'``.

    Raises
    ------
    NamingError
        If the slots do not make a valid name.
    """

    epoch: str
    product: Literal["cc", "se", "ql"]
    tile: str
    centre: str
    pixel: str | None = None
    size: str | None = None
    version: str | None = None

    def __post_init__(self) -> None:
        if _IMAGE_NAME.fullmatch(self.text) is None or len(self.text) > MAX_NAME_BYTES:
            raise NamingError(
                f"{self.text[:120]!r} is not a VLASS image name.", hint=f"Expected e.g. {IMAGE_NAME_EXAMPLE}"
            )

    @property
    def text(self) -> str:
        """The name as written."""
        version = None if self.version is None else f"v{self.version}"
        slots = (f"VLASS{self.epoch}", self.product, self.tile, self.centre, self.pixel, self.size, version)
        return ".".join(slot for slot in slots if slot is not None)

    @property
    def object_name(self) -> str:
        """Value of the FITS keyword OBJECT."""
        return self.centre

    @property
    def obs_id(self) -> str:
        """Observation identifier of the archive: name without product, pixel, size and version."""
        return f"VLASS{self.epoch}.{self.tile}.{self.centre}"

    def __str__(self) -> str:
        return self.text


def check_image_name(text: str) -> str:
    """Refuse a text that cannot be the name of an image.

    Parameters
    ----------
    text : str
        The candidate: letters, digits and ``. _ + -``, beginning with a letter, a digit or ``_``.

    Returns
    -------
    str
        ``text``.

    Raises
    ------
    NamingError
        Naming the character that CASA, the shell or a path would stumble over, or the length.
    """
    shown = _shown(text)
    hint = f"Use letters, digits and . _ + - only, e.g. {IMAGE_NAME_EXAMPLE} or my_source.1arcsec"
    if not text.strip():
        raise NamingError(f"image name {shown} is empty.", hint=hint)
    if bad := sorted(set(text) - _NAME_CHARACTERS):
        listed = ", ".join(map(_described, bad[:8])) + (" ..." if len(bad) > 8 else "")
        raise NamingError(f"image name {shown} has {listed}, which an image name cannot have.", hint=hint)
    if text[0] in ".-+":
        # Files that begin so are hidden, or taken for options of commands.
        raise NamingError(
            f"image name {shown} begins with {text[0]!r}; products of that name would be "
            f"{'hidden files' if text[0] == '.' else 'taken for options of commands'}.",
            hint="Begin the name with a letter, a digit or _.",
        )
    if len(text) > MAX_NAME_BYTES:
        raise NamingError(
            f"image name {shown} has {len(text)} characters; at most {MAX_NAME_BYTES} leave room for the "
            "rest of the file names.",
            hint="Use a shorter name.",
        )
    return text


def _described(char: str) -> str:
    if char == " ":
        return "a space"
    return repr(char) if char.isprintable() else f"U+{ord(char):04X}"


def is_official(text: str) -> bool:
    """Whether a name is of the official form."""
    return len(text) <= MAX_NAME_BYTES and _IMAGE_NAME.fullmatch(text) is not None


def parse_image_name(text: str) -> ImageName:
    """Parse an official image name; the slots after the centre may be missing.

    Parameters
    ----------
    text : str
        E.g. ``'VLASS2.1.cc.T10t02.J005000-023000.06.2048.v1'`` or ``'VLASS1.2.se.Txxxx.J133335+164400.v1'``.

    Returns
    -------
    ImageName
        ``parse_image_name(text).text == text``.

    Raises
    ------
    NamingError
        If it is another name; `check_image_name` tells whether it can be used all the same.
    """
    match = _IMAGE_NAME.fullmatch(check_image_name(text))
    if match is None:
        raise NamingError(
            f"{text!r} is not an official VLASS image name.",
            hint=f"Expected VLASS<epoch>.<half>.<cc|se|ql>.<tile>.<centre>[...][.v<n>], "
            f"e.g. {IMAGE_NAME_EXAMPLE}",
        )
    names = ("epoch", "product", "tile", "centre", "pixel", "size", "version")
    slots: dict[str, Any] = {name: match[name] for name in names}
    return ImageName(**slots)


# --------------------------------------------------------------------------------------- what a name says


@dataclass(frozen=True)
class ImageIdentity:
    """What headers and manifest say of an image besides its name; None for what is not known."""

    object_name: str
    """Value of the FITS keyword OBJECT."""
    tile: str | None = None
    epoch: str | None = None
    version: str | None = None


def image_identity(text: str) -> ImageIdentity:
    """Tell what an image name says of tile, epoch, version and object.

    Parameters
    ----------
    text : str
        A name that can be used.

    Returns
    -------
    ImageIdentity
        Of an official name all slots. Of another one the epoch if it begins with ``VLASS<epoch>.<half>``, and
        tile, centre and version (``v1``, the last slot) if they are slots of their own, between dots. The
        object of a name without centre is the name.
    """
    if is_official(text):
        name = parse_image_name(text)
        return ImageIdentity(name.object_name, name.tile, name.epoch, name.version)
    slots = text.split(".")
    epoch, version = _EPOCH_SLOTS.match(text), _VERSION_SLOT.fullmatch(slots[-1])
    return ImageIdentity(
        object_name=_only(_CENTRE_SLOT, slots) or text,
        tile=_only(_TILE_SLOT, slots),
        epoch=epoch[1] if epoch else None,
        version=version[1] if version else None,
    )


def _only(pattern: re.Pattern[str], slots: list[str]) -> str | None:
    """Return the slot of a form, if exactly one has it."""
    found = [slot for slot in slots if pattern.fullmatch(slot)]
    return found[0] if len(found) == 1 else None


_LOOSE_START = re.compile(r"VLASS[._-]?([0-9])[._-]([0-9])(?![0-9])", re.IGNORECASE)
_LOOSE_PRODUCT = re.compile(r"(?<![a-z0-9])(cc|se|ql)(?![a-z0-9])", re.IGNORECASE)
_LOOSE_TILE = re.compile(r"(?<![a-z0-9])T([0-9]{1,2})t([0-9]{1,2})(?![0-9])", re.IGNORECASE)
_LOOSE_CENTRE = re.compile(r"J?([0-9]{4,9})([+-])([0-9]{4,8})(?![0-9])", re.IGNORECASE)
_LOOSE_REST = re.compile(
    r"(?:[._](?P<pixel>[0-9]{2,3})(?![^._]))?(?:[._](?P<size>[0-9]{2,6})(?![^._]))?"
    r"(?:[._]v?(?P<version>[0-9]+)(?![^._]))?",
    re.IGNORECASE,
)


def nearest_official_name(text: str, product: Literal["cc", "se", "ql"]) -> str | None:
    """Find the official name that a name was probably meant to be.

    Parameters
    ----------
    text : str
        A name.
    product : str
        What the image is, for a name that does not say.

    Returns
    -------
    str or None
        None if the name is right, or does not look like an official one: a name that looks so has epoch, tile
        and centre in this order, whatever stands between them and whatever their case.
    """
    if is_official(text) and _TILE_SLOT.fullmatch(parse_image_name(text).tile):
        return None
    start = _LOOSE_START.match(text)
    tile = _LOOSE_TILE.search(text, start.end()) if start else None
    centre = _LOOSE_CENTRE.search(text, tile.end()) if tile else None
    if start is None or tile is None or centre is None:
        return None
    kind = _LOOSE_PRODUCT.search(text)
    rest = _LOOSE_REST.match(text, centre.end())
    slots = rest.groupdict() if rest else {}
    return ImageName(
        epoch=f"{start[1]}.{start[2]}",
        product=_product(kind[1].lower()) if kind else product,
        tile=f"T{tile[1]:0>2}t{tile[2]:0>2}",
        centre=f"J{centre[1]:0<6.6}{centre[2]}{centre[3]:0<6.6}",
        pixel=slots.get("pixel"),
        size=slots.get("size"),
        version=slots.get("version"),
    ).text


def _product(text: str) -> Literal["cc", "se", "ql"]:
    return "cc" if text == "cc" else "se" if text == "se" else "ql"
