"""What a key of a parameter list may hold: types, ranges, notations, and the values that mean "not given"."""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from typing import Any

from vlasscube.errors import QuantityError, VlassCubeError
from vlasscube.id_lists import format_ids, parse_ids, parse_spw_group
from vlasscube.image_names import check_file_name, check_image_name
from vlasscube.parameters.quantities import (
    NUMBER,
    parse_angle_arcsec,
    parse_flux_jy,
    parse_frequency_hz,
    parse_taper,
)
from vlasscube.parameters.uv_ranges import parse_uvrange
from vlasscube.sky import direction_for_casa
from vlasscube.texts import shown

CONTINUUM_MODE = "VLASS-SE-CONT-MOSAIC"
CUBE_MODE = "VLASS-SE-CUBE"
IMAGING_MODES = (
    "VLASS-QL",
    "VLASS-SE-CONT",
    *(f"VLASS-SE-CONT-{kind}" for kind in ("AWP", "AWP-P032", "AWP-P001", "AWP2", "AWP2-P032", "AWP2-P001")),
    *(f"VLASS-SE-CONT-{kind}" for kind in ("AWPHPG", "AWPHPG-P032", "AWPHPG-P001", "MOSAIC")),
    CUBE_MODE,
    "VLASS-SE-TAPER",
)
"""All imaging modes of VLASS; only `CONTINUUM_MODE` and `CUBE_MODE` can be processed."""


@dataclass(frozen=True)
class PlaneRejectionMs:
    """The rule that rejects planes by their flags (``vlass_plane_reject_ms``)."""

    apply: bool = True
    """Whether planes are rejected at all."""
    exclude_spw: str = ""
    """Ids of spectral windows that protect their group, e.g. ``'2,3'``."""
    flagpct_thresh: float = 0.9
    """A field counts as flagged when more than this fraction of it is (exclusive)."""
    nfield_thresh: int = 12
    """A plane is rejected from this number of flagged fields on (inclusive)."""

    @property
    def excluded_ids(self) -> frozenset[int]:
        """`exclude_spw` as ids."""
        return frozenset(parse_ids(self.exclude_spw)) if self.exclude_spw else frozenset()


_MAX_GROUPS = 1000
"""Planes of a cube: no measurement set has as many spectral windows."""
_MAX_PROBLEMS = 20
"""Shown of one value."""

Converter = Callable[[Any], Any]
"""Takes a literal and returns the typed value or None for "not given"; raises ValueError."""


def _string(
    check: Callable[[str], object] | None = None, *, choices: Collection[str] = (), example: str = ""
) -> Converter:
    such = f" such as {example}" if example else ""

    def convert(value: Any) -> str | None:
        if not isinstance(value, str):
            raise ValueError(f"expected a string{such}, not {shown(value)}")
        text = value.strip()
        if not text:
            return None
        if len(text) > 10_000:
            raise ValueError("the string is longer than 10000 characters")
        if odd := next((char for char in text if not char.isprintable()), ""):
            # Copied from a PDF or a web page it looks like a blank.
            what = unicodedata.name(odd, "a control character").lower()
            raise ValueError(f"the string has U+{ord(odd):04X} ({what}); type it anew, with plain blanks")
        if choices and text not in choices:
            raise ValueError(f"{text[:60]!r} is none of {', '.join(choices)}")
        if check is not None:
            check(text)
        return text

    return convert


def _strings(check: Callable[[str], object] | None = None, *, example: str = "") -> Converter:
    one = _string(check, example=example)

    def convert(value: Any) -> tuple[str, ...] | None:
        items = value if isinstance(value, list | tuple) else [value]
        texts = tuple(text for text in map(one, items) if text is not None)
        return texts or None

    return convert


def _number(
    kind: type[int] | type[float],
    low: float,
    high: float,
    *,
    unset: Collection[float] = (),
    open_low: bool = False,
) -> Converter:
    def convert(value: Any) -> float | int | None:
        if isinstance(value, bool) or not isinstance(value, int | float):
            unquoted = isinstance(value, str) and re.fullmatch(rf"[+-]?{NUMBER}", value.strip())
            raise ValueError(f"expected a number{' without quotes' if unquoted else ''}, not {shown(value)}")
        if value in unset:
            return None
        if kind is int and value != int(value):
            raise ValueError(f"expected a whole number, not {value!r}")
        if not low <= value <= high or (open_low and value == low):
            raise ValueError(f"{shown(value)} is out of range ({low:g} to {high:g})")
        return kind(value)

    return convert


def _boolean(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"expected True or False, not {shown(value)}")
    return value


def _pixels(value: Any) -> tuple[int, int] | None:
    items = list(value) if isinstance(value, list | tuple) else [value]
    if not items:
        return None
    size = _number(int, 1, 200_000)
    if len(items) > 2:
        raise ValueError(f"expected [nx, ny], not {shown(value)}")
    return size(items[0]), size(items[-1])


def _integers(value: Any) -> tuple[int, ...] | None:
    if value == "":
        return None
    if not isinstance(value, list | tuple):
        raise ValueError(f"expected a list of whole numbers, not {shown(value)}")
    number = _number(int, 0, 100_000)
    return tuple(number(item) for item in value) or None


def _fields(value: Any) -> tuple[int, ...] | None:
    items = list(value) if isinstance(value, list | tuple) else [value]
    # Upstream has one string of ids for each measurement set; ids as such are accepted, too.
    refused = f"expected field ids such as ['5,6,7'], not {shown(value)}"
    if not all(type(item) in {int, str} for item in items):
        raise ValueError(refused)
    texts = [str(item) for item in items if str(item).strip()]
    try:
        return tuple(sorted({number for text in texts for number in parse_ids(text)})) or None
    except QuantityError:
        raise ValueError(refused) from None


def _matching(pattern: str, example: str) -> Callable[[str], None]:
    compiled = re.compile(pattern, re.IGNORECASE)

    def check(text: str) -> None:
        if compiled.fullmatch(text) is None:
            raise ValueError(f"{text[:60]!r} is not understood; expected e.g. {example}")

    return check


def _cell(value: Any) -> tuple[str, ...] | None:
    texts: tuple[str, ...] | None = _strings(parse_angle_arcsec, example="'0.6arcsec'")(value)
    if texts and (len(texts) > 2 or parse_angle_arcsec(texts[0]) != parse_angle_arcsec(texts[-1])):
        raise ValueError("pixels must be square: give one cell size")
    return texts


def _parsed(check: Callable[[str], object]) -> Callable[[str], None]:
    def convert(text: str) -> None:
        try:
            check(text)
        except VlassCubeError as error:
            raise ValueError(f"{error.message} {error.hint}".strip()) from None

    return convert


def _phasecenter(value: Any) -> str | None:
    text: str | None = _string(_parsed(direction_for_casa), example="'J2000 00:50:0.366 -02.30.0.0000'")(
        value
    )
    return None if text is None else direction_for_casa(text)


def _taper(value: Any) -> tuple[str, ...] | None:
    texts: tuple[str, ...] | None = _strings(example="'2.6arcsec'")(value)
    parse_taper(texts or ())
    return texts


def _threshold(text: str) -> None:
    if parse_flux_jy(text) < 0:
        raise ValueError(f"{shown(text)} is negative")


def _imaging_mode(text: str) -> None:
    if text in IMAGING_MODES:
        return
    near = difflib.get_close_matches(text[:100].upper(), IMAGING_MODES, 1)
    guess = f"; did you mean {near[0]!r}?" if near else ""
    raise ValueError(
        f"{text[:60]!r} is no VLASS imaging mode{guess} "
        f"(only {CONTINUUM_MODE!r} and {CUBE_MODE!r} can be processed)"
    )


def _plane_rejection(value: Any) -> PlaneRejectionMs:
    if isinstance(value, bool):
        return PlaneRejectionMs(apply=value)
    if not isinstance(value, dict):
        raise ValueError(f"expected True, False or a dict, not {shown(value)}")
    converters: dict[str, Converter] = {
        "apply": _boolean,
        "exclude_spw": _string(parse_ids),
        "flagpct_thresh": _number(float, 0, 1),
        "nfield_thresh": _number(int, 1, 10_000_000),
    }
    given: dict[str, Any] = {}
    for key, item in value.items():
        if key not in converters:
            raise ValueError(f"unknown entry {shown(key)}{nearest(key, converters)}")
        try:
            given[key] = converters[key](item)
        except ValueError as error:
            raise ValueError(f"{key}: {error}") from None
    given["exclude_spw"] = (given.get("exclude_spw") or "").replace(" ", "")
    return PlaneRejectionMs(**given)


def _spw(value: Any) -> str | tuple[str, ...] | None:
    # Which of the two forms is right depends on imaging_mode: see _mode_problems.
    if isinstance(value, str):
        text: str | None = _string()(value)
        return text
    groups, problems = spw_groups(value)
    if problems:
        more = [f"and {len(problems) - _MAX_PROBLEMS} more"] if len(problems) > _MAX_PROBLEMS else []
        raise ValueError("; ".join(problems[:_MAX_PROBLEMS] + more))
    return groups


_UNSET = (-999,)
_quantity = _matching(rf"[+-]?{NUMBER}\s*[a-z/]{{0,8}}", "'3.0GHz'")
_word = _matching(r"[\w.+/-]{1,64}", "'mosaic'")
CONVERTERS: dict[str, Converter] = {
    "imagename": _string(_parsed(check_image_name)),
    "phasecenter": _phasecenter,
    "imaging_mode": _string(_imaging_mode),
    "editmode": _string(choices=("add", "replace")),
    "spw": _spw,
    "imsize": _pixels,
    "cell": _cell,
    "search_radius_arcsec": _number(float, 0, 36_000),
    "field": _fields,
    "datatype": _string(_word),
    "datacolumn": _string(choices=("data", "corrected")),
    "specmode": _string(choices=("cont", "mfs")),
    "gridder": _string(_word),
    "deconvolver": _string(_word),
    "nterms": _number(int, 1, 10, unset=(0,)),
    "stokes": _string(
        choices=("I", "IQ", "IU", "IV", "QU", "IQU", "QUV", "IQUV", "Q", "U", "V", "RR", "LL", "RRLL")
    ),
    "robust": _number(float, -2, 2, unset=_UNSET),
    "uvrange": _string(parse_uvrange),
    "uvtaper": _taper,
    "reffreq": _string(parse_frequency_hz, example="'3.0GHz'"),
    "restfreq": _string(_quantity),
    "start": _string(_quantity),
    "width": _string(_quantity),
    "nchan": _number(int, 1, 1_000_000, unset=(-1,)),
    "nbin": _number(int, 1, 1_000_000, unset=(-1,)),
    "niter": _number(int, 1, 1_000_000_000, unset=(0,)),
    "threshold": _string(_threshold, example="'0.5mJy'"),
    "nsigma": _number(float, 0, 1e6, unset=_UNSET),
    "cyclefactor": _number(float, 0, 1e6, unset=_UNSET, open_low=True),
    "cycleniter": _number(int, 1, 1_000_000_000, unset=_UNSET),
    "cycleniter_final_image_nomask": _number(int, 1, 1_000_000_000),
    "nmajor": _number(int, 1, 1_000_000, unset=(-1,)),
    "scales": _integers,
    "mask": _strings(),
    "pbmask": _number(float, 0, 1),
    "pblimit": _number(float, -1, 1, unset=_UNSET),
    "sensitivity": _number(float, 0, 1e6),
    "conjbeams": _boolean,
    "cfcache": _string(),
    "cfcache_nowb": _string(),
    "wprojplanes": _number(int, 1, 100_000),
    "cutout_imsize": _pixels,
    "clean_no_mask_selfcal_image": _boolean,
    "vlass_plane_reject_ms": _plane_rejection,
    "intent": _string(_matching(r"[\w#*,.-]{1,200}", "'TARGET'")),
    "parameter_file": _string(_parsed(check_file_name)),
}


def nearest(key: object, known: Iterable[str]) -> str:
    """The end of a message about an unknown key: the known one that it resembles, if any."""
    # Nearer than words that merely share letters: 'interactive' is not 'intent'.
    text, keys = str(key)[:100].lower(), list(known)
    near = difflib.get_close_matches(text, keys, 1, cutoff=0.7) or [
        name
        for name in keys
        if min(len(text), len(name)) >= 4 and (name.startswith(text) or text.startswith(name))
    ]
    return f"; did you mean {near[0]!r}?" if near else ""


def spw_groups(value: Any) -> tuple[tuple[str, ...], list[str]]:
    """Spectral-window groups of a cube in their normal form, and what is wrong with them."""
    if not isinstance(value, list | tuple):
        return (), [
            f"spw must be a list of strings, one per plane, e.g. ['2', '3', '4,5'], not {shown(value)}"
        ]
    if not value:
        return (), ["spw is an empty list; leave the key out to image all spectral windows"]
    if len(value) > _MAX_GROUPS:
        return (), [f"spw lists {len(value)} planes; at most {_MAX_GROUPS} are possible"]
    groups: list[str] = []
    problems: list[str] = []
    seen: set[frozenset[int]] = set()
    for item in value:
        ids, problem = _spw_group(item)
        if problem:
            problems.append(problem)
            continue
        group = format_ids(ids)
        if frozenset(ids) in seen:
            problems.append(f"spw group {shown(group)} occurs more than once")
        seen.add(frozenset(ids))
        groups.append(group)
    return tuple(groups), problems


def _spw_group(item: Any) -> tuple[tuple[int, ...], str]:
    if not isinstance(item, str):
        return (), f"spw {shown(item)} must be a string, e.g. '2' or '2,3,4'"
    try:
        return parse_spw_group(item), ""
    except QuantityError as error:
        return (), f"spw {error}"
