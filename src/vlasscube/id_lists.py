"""Lists of ids of spectral windows, fields, scans and antennas: the only grammar of them.

``'2,3,4'``, and where ranges are allowed ``'2~17'``, as in CASA's selections; blanks around ids and commas do
not count.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

from vlasscube.errors import QuantityError
from vlasscube.texts import shown

MAX_IDS = 100_000
"""In one list; more would only fill the memory."""

_RANGE = re.compile(r"([0-9]{1,7})(?: *(~) *([0-9]{1,7}))?")
_MAX_SHOWN = 20


def parse_ids(text: str, *, ranges: bool = False) -> tuple[int, ...]:
    """Parse a list of ids.

    Parameters
    ----------
    text : str
        E.g. ``'2, 3,4'``.
    ranges : bool
        Whether it may have ranges such as ``'2~17'``, both ends included.

    Returns
    -------
    tuple of int
        In the order given, at least one; what occurs more than once is kept.

    Raises
    ------
    QuantityError
        If it is anything else, such as a selection of channels (``'2:5~60'``), or a range is empty.
    """
    if ":" in text:
        raise QuantityError(f"{shown(text)}: channels cannot be selected; take whole spectral windows")
    if "~" in text and not ranges:
        raise QuantityError(f"{shown(text)}: ranges are not allowed; list the ids, e.g. '1,2,3,4'")
    ids: list[int] = []
    for part in text.split(","):
        match = _RANGE.fullmatch(part.strip(" "))
        if match is None:
            kind, example = ("ids and ranges", "'2,3' or '2~17'") if ranges else ("ids", "'2' or '2,3,4'")
            raise QuantityError(f"{shown(text)} is not a comma-separated list of {kind}, e.g. {example}")
        first = int(match[1])
        last = int(match[3]) if match[2] else first
        if last < first:
            raise QuantityError(f"{shown(text)}: the range {match[0]} is empty")
        if len(ids) + last - first >= MAX_IDS:
            raise QuantityError(f"{shown(text)} has more than {MAX_IDS} ids")
        ids += range(first, last + 1)
    return tuple(ids)


def parse_spw_group(text: str) -> tuple[int, ...]:
    """Parse the spectral windows of one plane: different ids, without ranges.

    Raises
    ------
    QuantityError
        If it is anything else.
    """
    ids = parse_ids(text)
    double = sorted(spw for spw, count in Counter(ids).items() if count > 1)
    if double:
        listed = ", ".join(map(str, double[:_MAX_SHOWN]))
        raise QuantityError(f"{shown(text)} has {listed} more than once")
    return ids


def format_ids(ids: Iterable[int]) -> str:
    """Write ids as `parse_ids` reads them: ``'2,3,4'``."""
    return ",".join(map(str, ids))


def format_ranges(ids: Iterable[int]) -> str:
    """Write ids in ascending order with ranges where they follow each other: ``'2'``, ``'2~4,7'``."""
    runs: list[list[int]] = []
    for number in sorted(set(ids)):
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ",".join(f"{run[0]}~{run[-1]}" if len(run) > 1 else str(run[0]) for run in runs)
