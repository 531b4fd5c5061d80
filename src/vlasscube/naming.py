"""The names of images, products, fields, measurement sets and resources: built and parsed nowhere else.

`vlasscube.image_names` has the image names themselves; here is what is appended to and put before them. An
image name is free text and may hold anything that looks like a part of a product's name: names of products
are therefore read from their end.
"""

from __future__ import annotations

import glob
import math
import re
from dataclasses import dataclass
from pathlib import PurePath
from typing import Literal

from vlasscube.errors import NamingError, QuantityError
from vlasscube.id_lists import parse_ids
from vlasscube.image_names import (
    IMAGE_NAME_EXAMPLE,
    MAX_FILE_NAME_BYTES,
    ImageIdentity,
    check_file_name,
    check_image_name,
    image_identity,
)
from vlasscube.sky import right_ascension_parts, sexagesimal_parts

_STAGE_PREFIX = re.compile(r"^s\d+_\d*\.", re.ASCII)
_KINDS = "image|residual|model|psf|pb|weight|sumwt"
IMAGE_ENDING = rf"(?:{_KINDS}|mask|cleanmask)(?:\.[a-z0-9]+)*"
"""What follows the root and the iteration in the name of a CASA image of a plane, as a regular expression."""
_PLANE_ENDING = (
    r"\.spw(?P<spw>[0-9]{1,7}(?:_[0-9]{1,7})*)\.(?P<stokes>I?Q?U?V?)\.iter(?P<iteration>0|[1-9][0-9]*)"
    rf"\.(?P<kind>(?:{_KINDS}|image\.residual)(?:\.pbcor)?)\.tt0"
    r"(?P<rms>\.rms)?(?P<subim>\.subim)?(?P<com>\.com)?\.fits"
)
# Neither ending holds the beginning of another one, so a name can be divided in one place at most.
_PRODUCT_NAME = re.compile(rf"(?P<image>.+){_PLANE_ENDING}")
_MEAN_NAME = re.compile(
    r"(?P<image>.+)\.(?P<kind>(?P<stokes>[IQUV])_mean_minmaxrej)(?P<rms>\.rms)?(?P<subim>\.subim)?\.fits"
)
_LONGEST_ENDING = ".IQUV.iter3.image.residual.pbcor.tt0.rms.subim"
_MARGIN_BYTES = 20
"""For names of files in the making."""

TcleanProduct = Literal["image", "residual", "model", "psf", "pb", "weight", "sumwt", "mask", "cleanmask"]
"""Images of one iteration, as tclean's mtmfs deconvolver leaves them."""


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


def plane_image_root(image_name: str, spw: str, stage: int = 7) -> str:
    """Root of the CASA images of one plane: ``s7_0.<NAME>.spw2.IQUV``.

    Raises
    ------
    NamingError
        If the name cannot be that of an image, or is too long together with the spectral windows.
    """
    root = f"s{stage}_0.{check_image_name(image_name)}.{plane_label(spw)}"
    excess = len(root) + len(_LONGEST_ENDING) + _MARGIN_BYTES - MAX_FILE_NAME_BYTES
    if excess > 0:
        raise NamingError(
            f"image name {image_name!r} is {excess} characters too long for a plane of the spectral windows "
            f"{spw}.",
            hint="Use a shorter imagename.",
        )
    return f"{root}.IQUV"


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
    """Replace the Stokes slot ``.IQUV.`` of a plane's image; the directory part of a path stays as it is.

    It is the last such slot: what comes before the plane is the user's and may hold another one.

    Raises
    ------
    NamingError
        If the name has no such slot.
    """
    directory, separator, base = name.rpartition("/")
    before, slot, after = base.rpartition(".IQUV.")
    if not before or not slot or not after:
        raise NamingError(f"{base[:120]!r} has no .IQUV. slot.", hint="Expected an image of a plane.")
    return f"{directory}{separator}{before}.{stokes}.{after}"


def plane_ending(name: str) -> str:
    """What follows the image name in the name of a plane's image or product: ``2.IQUV.iter3.image.tt0``.

    The whole name, if it is not that of a plane.
    """
    return name.rpartition(".spw")[2]


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
    image : str
        Image name, the user's.
    spw : str or None
        Group as asked for (``'2'``, ``'2,3,4'``); None for a mean over the planes.
    stokes : str
        ``'IQU'``, ``'V'``, ``'IQUV'``.
    iteration : int or None
        3 in products, less where the clean diverged; None for a mean.
    kind : str
        ``'image.pbcor'``, ``'image.residual.pbcor'``, ``'V_mean_minmaxrej'``.
    rms, subim, com : bool
        Whether it is an rms image, a cutout, of the common-beam set.
    """

    image: str
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
    def identity(self) -> ImageIdentity:
        """What the image name says."""
        return image_identity(self.image)

    @property
    def text(self) -> str:
        """The file name."""
        parts = [self.image]
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
            hint=f"Expected e.g. {IMAGE_NAME_EXAMPLE}.spw2.IQU.iter3.image.pbcor.tt0.subim.fits",
        )
    slots = match.groupdict()
    return ProductName(
        image=check_image_name(slots["image"]),
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


@dataclass(frozen=True)
class ContinuumImage:
    """An image that a continuum run has left, by its name.

    Attributes
    ----------
    image : str
        Image name of the run, the user's.
    kind : {'model_images', 'tier1_mask', 'tier2_mask'}
        As in `resource_patterns`.
    """

    image: str
    kind: Literal["model_images", "tier1_mask", "tier2_mask"]


_CONTINUUM_ENDINGS: tuple[tuple[Literal["model_images", "tier1_mask", "tier2_mask"], str], ...] = (
    ("model_images", r"I\.iter1\.model(?:\.tt[0-9])?"),
    ("tier1_mask", r"QLcatmask-tier1\.mask"),
    ("tier2_mask", r"combined-tier2\.mask"),
)


def parse_continuum_image(name: str) -> ContinuumImage | None:
    """Tell which continuum run an image of `resource_patterns` is of, whatever that run was called.

    Parameters
    ----------
    name : str
        Of the CASA image, without directory, e.g. ``'s5_0.my_source.I.iter1.model.tt0'``.

    Returns
    -------
    ContinuumImage or None
        None if it is none of the images that the cube needs.
    """
    for kind, ending in _CONTINUUM_ENDINGS:
        match = re.fullmatch(rf"s[0-9]+_0\.(?P<image>.+)\.{ending}", name)
        if match is not None:
            return ContinuumImage(match["image"], kind)
    return None


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
