"""The only module that builds or parses VLASS names: images, products, fields, measurement sets, resources.

Archives read VLASS names slot by slot, split at the dots; nothing else in the package may do so. Every name
that comes from outside becomes a file name sooner or later, so it is refused here if it could mean more than
a name.
"""

from __future__ import annotations

import glob
import math
import re
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any, Literal

from vlasscube.errors import NamingError, QuantityError
from vlasscube.id_lists import parse_ids
from vlasscube.sky import right_ascension_parts, sexagesimal_parts

MAX_NAME_BYTES = 200
"""Longest image name: the suffixes of CASA images must still fit into the 255 bytes of a file name."""

_MAX_FILE_NAME_BYTES = 255
_GLOB_CHARACTERS = frozenset("*?[]{}")
_QUOTES = frozenset("'\"`")

_IMAGE_SLOTS = (
    r"VLASS(?P<epoch>[0-9]+\.[0-9]+)\.(?P<product>cc|se|ql)\.(?P<tile>T[0-9A-Za-z]+)"
    r"\.(?P<centre>J[0-9]{6}[+-][0-9]{6})(?:\.(?P<pixel>[0-9]{2,3}))?(?:\.(?P<size>[0-9]{2,6}))?"
    r"(?:\.v(?P<version>[0-9]+))?"
)
_IMAGE_NAME = re.compile(_IMAGE_SLOTS)
_IMAGE_NAME_EXAMPLE = "VLASS2.1.cc.T10t02.J005000-023000.06.2048.v1"
_STAGE_PREFIX = re.compile(r"^s\d+_\d*\.", re.ASCII)
_KINDS = "image|residual|model|psf|pb|weight|sumwt"
_PRODUCT_NAME = re.compile(
    _IMAGE_SLOTS
    + r"\.spw(?P<spw>[0-9]{1,7}(?:_[0-9]{1,7})*)\.(?P<stokes>I?Q?U?V?)\.iter(?P<iteration>0|[1-9][0-9]*)"
    rf"\.(?P<kind>(?:{_KINDS}|image\.residual)(?:\.pbcor)?)\.tt0"
    r"(?P<rms>\.rms)?(?P<subim>\.subim)?(?P<com>\.com)?\.fits"
)
_MEAN_NAME = re.compile(
    _IMAGE_SLOTS + r"\.(?P<kind>(?P<stokes>[IQUV])_mean_minmaxrej)(?P<rms>\.rms)?(?P<subim>\.subim)?\.fits"
)

TcleanProduct = Literal["image", "residual", "model", "psf", "pb", "weight", "sumwt", "mask", "cleanmask"]
"""Images of one iteration, as tclean's mtmfs deconvolver leaves them."""


def check_file_name(text: str, what: str = "name", *, max_bytes: int = _MAX_FILE_NAME_BYTES) -> str:
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
    shown = repr(text if len(text) <= 80 else f"{text[:77]}...")
    if not text or text in {".", ".."}:
        raise NamingError(f"{what} {shown} is not a name.", hint=f"Expected e.g. {_IMAGE_NAME_EXAMPLE}")
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


# ------------------------------------------------------------------------------------------- image names


@dataclass(frozen=True)
class ImageName:
    """A VLASS image name, slot by slot.

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
                f"{self.text[:120]!r} is not a VLASS image name.", hint=f"Expected e.g. {_IMAGE_NAME_EXAMPLE}"
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


def parse_image_name(text: str) -> ImageName:
    """Parse a VLASS image name; the slots after the centre may be missing.

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
        If it is not such a name, or not safe as a file name.
    """
    check_file_name(text, "image name", max_bytes=MAX_NAME_BYTES)
    match = _IMAGE_NAME.fullmatch(text)
    if match is None:
        raise NamingError(
            f"{text!r} is not a VLASS image name.",
            hint=f"Expected VLASS<epoch>.<half>.<cc|se|ql>.<tile>.<centre>[...][.v<n>], "
            f"e.g. {_IMAGE_NAME_EXAMPLE}",
        )
    return _image_name(match)


def _image_name(match: re.Match[str]) -> ImageName:
    names = ("epoch", "product", "tile", "centre", "pixel", "size", "version")
    slots: dict[str, Any] = {name: match[name] for name in names}
    return ImageName(**slots)


def spw_group_label(group: str) -> str:
    """Turn a spectral-window group as asked for into its form in names: ``'2,3,4'`` to ``'2_3_4'``.

    Raises
    ------
    NamingError
        If it is not a comma-separated list of ids.
    """
    try:
        parse_ids(group)
    except QuantityError as error:
        raise NamingError(f"spw group {error}.") from None
    return group.replace(" ", "").replace(",", "_")


def plane_label(group: str) -> str:
    """Label of a plane in files, records and on pages: ``'2,3,4'`` to ``'spw2_3_4'``."""
    return f"spw{spw_group_label(group)}"


def plane_image_root(image_name: ImageName | str, spw: str, stage: int = 7) -> str:
    """Root of the CASA images of one plane: ``s7_0.<NAME>.spw2.IQUV``."""
    name = image_name if isinstance(image_name, ImageName) else parse_image_name(image_name)
    return f"s{stage}_0.{name.text}.{plane_label(spw)}.IQUV"


def iteration_root(root: str, n: int) -> str:
    """Root of the CASA images of iteration `n`: ``<root>.iter<n>``."""
    return f"{root}.iter{n}"


def tclean_product(root: str, kind: TcleanProduct) -> str:
    """Name of an image of one iteration.

    Parameters
    ----------
    root : str
        From `iteration_root`.
    kind : str
        E.g. ``'image'``; masks carry no ``.tt0``, everything else does even with one Taylor term.
    """
    return f"{root}.{kind}" if kind in {"mask", "cleanmask"} else f"{root}.{kind}.tt0"


def pbcor_name(root: str) -> str:
    """Primary-beam corrected image of an iteration root."""
    return f"{root}.image.pbcor.tt0"


def residual_pbcor_name(root: str) -> str:
    """Primary-beam corrected residual of an iteration root."""
    return f"{root}.image.residual.pbcor.tt0"


def rms_name(name: str) -> str:
    """Rms image of an image."""
    return f"{name}.rms"


def subim_name(name: str) -> str:
    """Cutout of an image."""
    return f"{name}.subim"


def stokes_variant(name: str, stokes: str) -> str:
    """Replace the Stokes slot ``.IQUV.`` of a name; the directory part of a path stays as it is.

    Raises
    ------
    NamingError
        If the name has not exactly one such slot.
    """
    directory, separator, base = name.rpartition("/")
    slots = base.split(".")
    if slots.count("IQUV") != 1 or slots[0] == "IQUV" or slots[-1] == "IQUV":
        raise NamingError(
            f"{base[:120]!r} has not exactly one .IQUV. slot.", hint="Expected an image of a plane."
        )
    slots[slots.index("IQUV")] = stokes
    return directory + separator + ".".join(slots)


def fits_name(casa_image: str | PurePath) -> str:
    """FITS name of a CASA image: without the directory and the stage prefix, with ``.fits``."""
    return f"{_STAGE_PREFIX.sub('', PurePath(casa_image).name)}.fits"


def com_fits_name(name: str | PurePath) -> str:
    """Name of the common-beam version of a FITS product: ``.fits`` becomes ``.com.fits``.

    Raises
    ------
    NamingError
        If the name does not end in ``.fits``.
    """
    base = PurePath(name).name
    if not base.endswith(".fits"):
        raise NamingError(f"{base[:120]!r} does not end in .fits.", hint="Give the name of a FITS product.")
    return f"{base.removesuffix('.fits')}.com.fits"


@dataclass(frozen=True)
class ProductName:
    """The name of a FITS product.

    Attributes
    ----------
    image : ImageName
        The first slots.
    spw : str or None
        Group as asked for (``'2'``, ``'2,3,4'``); None for a mean over the planes.
    stokes : str
        ``'IQU'``, ``'V'``, ``'IQUV'``.
    iteration : int or None
        3 in products; None for a mean.
    kind : str
        ``'image.pbcor'``, ``'image.residual.pbcor'``, ``'V_mean_minmaxrej'``.
    rms, subim, com : bool
        Whether it is an rms image, a cutout, of the common-beam set.
    """

    image: ImageName
    spw: str | None
    stokes: str
    iteration: int | None
    kind: str
    rms: bool = False
    subim: bool = False
    com: bool = False

    @property
    def label(self) -> str | None:
        """Label of the plane, ``'spw2_3_4'``; None for a mean."""
        return None if self.spw is None else plane_label(self.spw)

    @property
    def text(self) -> str:
        """The file name."""
        parts = [self.image.text]
        if self.spw is not None:
            parts += [plane_label(self.spw), self.stokes, f"iter{self.iteration}", self.kind, "tt0"]
        else:
            parts += [self.kind]
        parts += [word for word in ("rms", "subim", "com") if getattr(self, word)]
        return ".".join([*parts, "fits"])


def parse_product_name(fits: str | PurePath) -> ProductName:
    """Parse the name of a FITS product.

    Parameters
    ----------
    fits : str or path
        The directory part is ignored.

    Returns
    -------
    ProductName
        ``parse_product_name(name).text == name``.

    Raises
    ------
    NamingError
        If it is not the name of a product of a plane or of a mean over planes.
    """
    name = check_file_name(PurePath(fits).name, "product name")
    match = _PRODUCT_NAME.fullmatch(name) or _MEAN_NAME.fullmatch(name)
    if match is None or not match["stokes"]:
        raise NamingError(
            f"{name!r} is not the name of a cube product.",
            hint=f"Expected e.g. {_IMAGE_NAME_EXAMPLE}.spw2.IQU.iter3.image.pbcor.tt0.subim.fits",
        )
    slots = match.groupdict()
    return ProductName(
        image=_image_name(match),
        spw=slots["spw"].replace("_", ",") if slots.get("spw") else None,
        stokes=slots["stokes"],
        iteration=int(slots["iteration"]) if slots.get("iteration") else None,
        kind=slots["kind"],
        rms=bool(slots.get("rms")),
        subim=bool(slots.get("subim")),
        com=bool(slots.get("com")),
    )


# ------------------------------------------------------------------------- measurement sets and resources


def working_ms_name(input_ms: str | PurePath) -> str:
    """Name of the working measurement set made from an input: ``<root>_split.ms``.

    Raises
    ------
    NamingError
        If the input's name is not safe, or too long for its flag versions' directory.
    """
    base = check_file_name(PurePath(input_ms).name, "measurement set name")
    name = f"{base.removesuffix('.ms')}_split.ms"
    check_file_name(f"{name}.flagversions", "measurement set name")
    return name


def resource_patterns(vis: str, se_name: str) -> dict[str, str]:
    """Glob patterns of what the continuum run must supply, by resource key.

    Parameters
    ----------
    vis : str
        Name of the working measurement set.
    se_name : str
        Image name of the continuum run (``...se...``).

    Notes
    -----
    As the official pipeline searches for them; its ``*`` also crosses directory separators.
    """
    vis, se_name = glob.escape(vis), glob.escape(se_name)
    return {
        "flag_dir": f"{vis}.flagversions*",
        "flag_version": f"{vis}.flagversions/flags.statwt_1",
        "selfcal_table": f"{vis}.*.phase-self-cal.tbl*",
        "model_images": f"s*_0.{se_name}.I.iter1.model*",
        "tier1_mask": f"s*_0.{se_name}.QLcatmask-tier1.mask*",
        "tier2_mask": f"s*_0.{se_name}.combined-tier2.mask*",
    }


# ------------------------------------------------------------------------------------------------ fields

_FIELD_NAME = re.compile(r'"?[012T]')
_FIELD_POSITION = re.compile(
    r'"?(?P<h>[0-9]{2})(?P<m>[0-9]{2})(?P<s>[0-9]{3})(?P<sign>[+-])(?P<d>[0-9]{2})(?P<dm>[0-9]{2})(?P<ds>[0-9]{2})"?'
)


def is_vlass_field_name(name: str) -> bool:
    """Whether a field is named like an on-the-fly phase centre of VLASS.

    These are the globs ``0*,"0*,1*,"1*,2*,"2*,T*,"T*``: right ascensions, and the pole field
    ``T32t02.NCP``; some observations carry a leading double quote.
    """
    return _FIELD_NAME.match(name) is not None


def parse_field_position(name: str) -> tuple[float, float] | None:
    """Position in a field name such as ``'1447214-161911'`` (HHMMSSs±DDMMSS).

    Returns
    -------
    tuple of float or None
        Right ascension and declination in degrees; None if the name holds no position (the pole field).
    """
    match = _FIELD_POSITION.fullmatch(name)
    if match is None:
        return None
    hours, minutes, seconds = int(match["h"]), int(match["m"]), int(match["s"]) / 10
    degrees, arcmin, arcsec = int(match["d"]), int(match["dm"]), int(match["ds"])
    dec = degrees + arcmin / 60 + arcsec / 3600
    if hours >= 24 or minutes >= 60 or seconds >= 60 or arcmin >= 60 or arcsec >= 60 or dec > 90:
        return None
    return 15 * (hours + minutes / 60 + seconds / 3600), -dec if match["sign"] == "-" else dec


def format_field_name(ra_deg: float, dec_deg: float) -> str:
    """Name of the field at a position, rounded to 0.1 s of right ascension and 1″ of declination.

    Raises
    ------
    NamingError
        If the position is not finite or beyond a pole.
    """
    if not (math.isfinite(ra_deg) and math.isfinite(dec_deg) and abs(dec_deg) <= 90):
        raise NamingError(
            f"no field name for the position ({ra_deg}, {dec_deg}) deg.", hint="Expected |dec| <= 90 deg."
        )
    hours, minutes, seconds = right_ascension_parts(ra_deg, 1)
    degrees, arcmin, arcsec = sexagesimal_parts(abs(dec_deg), 0)
    sign = "-" if dec_deg < 0 and (degrees or arcmin or arcsec) else "+"
    return (
        f"{hours:02d}{minutes:02d}{round(seconds * 10):03d}{sign}{degrees:02d}{arcmin:02d}{round(arcsec):02d}"
    )
