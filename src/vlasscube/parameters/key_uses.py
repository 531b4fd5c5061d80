"""What becomes of each key of a parameter list: nothing is taken and ignored.

A key is used, or bound to the one value that a coarse cube is made with, or it changes nothing here. A bound
key with another value is refused; a value that changes nothing is warned of, unless it says what is done
anyway, as the standard values of official lists do.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from vlasscube.parameters.values import CONTINUUM_MODE, CUBE_MODE, PlaneRejectionMs

ListKind = Literal["continuum", "cube"]

THE_FILE = "<name of the list>"
"""Stands, among the usual values, for the name of the file that the list is in."""


@dataclass(frozen=True)
class Used:
    """A key that changes what is made."""

    what: str
    """What it decides."""


@dataclass(frozen=True)
class Bound:
    """A key that must have one of some values, or be left out."""

    values: tuple[object, ...]


@dataclass(frozen=True)
class Idle:
    """A key that changes nothing here."""

    reason: str
    usual: tuple[object, ...] = ()
    """Values that agree with what is done, and pass without a warning."""


KeyUse = Used | Bound | Idle

_NOT_CLEANED = "the continuum is not cleaned again, its model comes from reimaging_resources.tgz"
_NO_CHANNELS = "a plane is one image of whole spectral windows"
_NOT_AWPROJECT = "it belongs to gridder='awproject'"
_ONE_COLUMN = "the column is chosen by the workflow"

_BOTH: dict[str, KeyUse] = {
    "imagename": Used("names of images and products"),
    "phasecenter": Used("centre of the image, fields"),
    "spw": Used("spectral windows"),
    "imsize": Used("size of the image"),
    "cell": Used("size of a pixel"),
    "search_radius_arcsec": Used("fields"),
    "field": Used("fields"),
    "robust": Used("weights"),
    "uvrange": Used("baselines"),
    "uvtaper": Used("weights"),
    "pblimit": Used("edge of the image"),
    "cutout_imsize": Used("fields, size of image and cutouts"),
    "specmode": Bound(("cont", "mfs")),
    "gridder": Bound(("mosaic",)),
    "deconvolver": Bound(("mtmfs",)),
    "sensitivity": Bound((0.0,)),
    "conjbeams": Bound((False,)),
    "intent": Bound(("TARGET", "OBSERVE_TARGET#UNSPECIFIED")),
    "datatype": Idle(_ONE_COLUMN),
    "restfreq": Idle(_NO_CHANNELS),
    "start": Idle(_NO_CHANNELS),
    "width": Idle(_NO_CHANNELS),
    "nchan": Idle(_NO_CHANNELS, (1,)),
    "nbin": Idle(_NO_CHANNELS, (1,)),
    "cfcache": Idle(_NOT_AWPROJECT),
    "cfcache_nowb": Idle(_NOT_AWPROJECT),
    "wprojplanes": Idle(_NOT_AWPROJECT, (1,)),
    "clean_no_mask_selfcal_image": Idle("self-calibration is that of the continuum run", (False,)),
    "parameter_file": Idle("the list is the file it is in", (THE_FILE,)),
}

KEY_USES: Mapping[ListKind, Mapping[str, KeyUse]] = {
    "continuum": _BOTH
    | {
        "imaging_mode": Bound((CONTINUUM_MODE,)),
        "stokes": Bound(("I",)),
        "nterms": Used("Taylor terms of the model"),
        "reffreq": Used("reference frequency of the model"),
        "editmode": Idle("there is no image list before this one", ("add", "replace")),
        "datacolumn": Idle("only the model is predicted, no data are imaged", ("data",)),
        "niter": Idle(_NOT_CLEANED, (20000,)),
        "threshold": Idle(_NOT_CLEANED, ("0Jy", "0.0Jy", "0mJy", "0.0mJy")),
        "nsigma": Idle(_NOT_CLEANED, (5.0, 10.0)),
        "cyclefactor": Idle(_NOT_CLEANED, (3.0,)),
        "cycleniter": Idle(_NOT_CLEANED, (500,)),
        "cycleniter_final_image_nomask": Idle(_NOT_CLEANED, (100,)),
        "nmajor": Idle(_NOT_CLEANED, (220,)),
        "scales": Idle(_NOT_CLEANED, ((0,),)),
        "mask": Idle(_NOT_CLEANED),
        "pbmask": Idle(_NOT_CLEANED, (0.4,)),
        "vlass_plane_reject_ms": Idle(
            "the continuum has no planes", (PlaneRejectionMs(), PlaneRejectionMs(apply=False))
        ),
    },
    "cube": _BOTH
    | {
        "imaging_mode": Bound((CUBE_MODE,)),
        "stokes": Bound(("IQUV",)),
        "nterms": Bound((1,)),
        "datacolumn": Bound(("corrected",)),
        "niter": Used("limit of iterations"),
        "threshold": Used("where cleaning ends"),
        "nsigma": Used("where cleaning ends"),
        "cyclefactor": Used("depth of minor cycles"),
        "cycleniter": Used("length of minor cycles of iter1 and iter2"),
        "cycleniter_final_image_nomask": Used("length of minor cycles with the primary-beam mask"),
        "nmajor": Used("limit of major cycles"),
        "scales": Used("scales of the deconvolution"),
        "mask": Used("iterations"),
        "pbmask": Used("primary-beam mask"),
        "vlass_plane_reject_ms": Used("rejected planes"),
        "reffreq": Idle("each plane has the mean frequency of its spectral windows"),
        "editmode": Idle("the image list of the cube always replaces that of the continuum", ("replace",)),
    },
}
"""Every key of the two lists, with its use."""


@dataclass(frozen=True)
class Overruled:
    """A used key that another key of the same list leaves without effect."""

    key: str
    by: str
    usual: tuple[object, ...] = ()
    """Values that pass without a warning."""
    unless: str = ""
    """Item of the other key's value with which both have their effect."""

    def applies_to(self, given: Mapping[str, object]) -> bool:
        """Whether it is so in a list."""
        if self.key not in given or self.by not in given or given[self.key] in self.usual:
            return False
        other = given[self.by]
        return not (self.unless and isinstance(other, tuple) and self.unless in other)


OVERRULED: Mapping[ListKind, tuple[Overruled, ...]] = {
    "continuum": (
        Overruled("search_radius_arcsec", "field", (1000.0,)),
        Overruled("search_radius_arcsec", "cutout_imsize", (1000.0,)),
    ),
    "cube": (
        Overruled("search_radius_arcsec", "field", (1000.0,)),
        Overruled("search_radius_arcsec", "cutout_imsize", (1000.0,)),
        Overruled("pbmask", "mask", (0.4,), unless="pb"),
        Overruled("cycleniter_final_image_nomask", "mask", unless="pb"),
    ),
}


def refusals(kind: ListKind, given: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    """Yield key and text for each key whose value is not the one that is possible."""
    for key, value in given.items():
        use = KEY_USES[kind][key]
        if isinstance(use, Bound) and value not in use.values:
            expected = " or ".join(map(repr, use.values))
            yield key, f"{key}: {value!r} is not supported here, only {expected}"


def idle_keys(kind: ListKind, given: Mapping[str, object], file_name: str) -> Iterator[tuple[str, str]]:
    """Yield key and text for each key that changes nothing, unless it says what is done anyway."""
    for key, value in given.items():
        use = KEY_USES[kind][key]
        if isinstance(use, Idle):
            usual = tuple(file_name if item == THE_FILE else item for item in use.usual)
            if value not in usual:
                yield key, f"{key} has no effect: {use.reason}"
    for rule in OVERRULED[kind]:
        if rule.applies_to(given):
            without = f" without {rule.unless!r}" if rule.unless else ""
            yield rule.key, f"{rule.key} has no effect beside {rule.by}{without}"
