"""The choices of a run that are not made in the parameter lists.

The defaults are the workflow as specified in 2022; what production changed later is an option.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from vlasscube.errors import ProblemListError, QuantityError
from vlasscube.id_lists import parse_ids

RENAMED_OPTIONS = {"kernels": "gridding"}
"""Present names of options, by the names under which earlier versions accepted and recorded them."""

_FORMER_SWITCHES = {"reject_by_flags": {False: "off", True: "mark"}}
"""What options mean that earlier versions recorded as yes or no."""

FlagRejection = Literal["off", "mark", "skip"]


def present_options(recorded: Mapping[str, Any]) -> dict[str, Any]:
    """Return options as recorded by any version under their present names and in their present form."""
    options = {RENAMED_OPTIONS.get(name, name): value for name, value in recorded.items()}
    for name, meanings in _FORMER_SWITCHES.items():
        if isinstance(value := options.get(name), bool):
            options[name] = meanings[value]
    return options


@dataclass(frozen=True)
class RunOptions:
    """How a run is done; recorded in the run directory, so that a resumed run makes the same choices."""

    engine: Literal["mosaic", "casa"] = "mosaic"
    """Imaging engine: vlasscube's own, or CASA's tclean."""
    gridding: Literal["casa", "exact"] = "casa"
    """Convolution functions of vlasscube's engine: those of tclean, or more exact ones."""
    w_correction: bool = False
    """Correct for w in the gridding, so that sources have their true positions; needs exact gridding."""
    flag_region: Literal["all", "box"] = "all"
    """Leave a plane out if all its data are flagged: in all fields, or in the central square degree."""
    reject_by_flags: FlagRejection = "off"
    """What becomes of a plane with many heavily flagged fields: it is imaged like any other (off), imaged and
    marked as rejected (mark), or not imaged, as in today's production (skip)."""
    reject_flag_fraction: float = 0.9
    """A field counts as heavily flagged above this fraction."""
    reject_field_count: int = 12
    """Number of such fields from which a plane is rejected."""
    reject_by_beam: bool = False
    """Mark planes whose beam deviates from its expected size as rejected (``vlass_plane_reject_im``)."""
    reject_beam_deviation: float = 0.2
    """Relative deviation of the beam from which a plane is rejected."""
    reject_beam_flag_fraction: float = 0.8
    """Flagged fraction from which the beam rule rejects a plane."""
    reject_exclude_spw: str = ""
    """Spectral windows that are never rejected, e.g. ``'2,3'``."""
    nmajor: int | None = None
    """Limit of major cycles per iteration; production uses 220 since 2023."""
    restore_iter0: bool = False
    """Also make the restored image of iter0."""
    cutout: Literal["archive", "current"] = "archive"
    """Cutouts of 6202 pixels as archived in 2022, or of 6200 as made since 2025."""
    common_beam: Literal["gated", "always"] = "gated"
    """Smooth and regrid the common-beam set only above the thresholds, or always."""
    common_beam_alignment: Literal["casa", "fourier"] = "casa"
    """How planes are brought to the common beam and grid: with CASA's imsmooth and imregrid, whose linear
    interpolation lowers peaks by 1–2 %, or in one Fourier transform."""
    common_beam_exclude_rejected: bool = False
    """Ignore rejected planes when finding the common beam."""
    latitude: Literal["geocentric", "geodetic"] = "geocentric"
    """Observatory latitude in the position correction; geocentric reproduces the archive."""

    def __post_init__(self) -> None:
        fractions = ("reject_flag_fraction", "reject_beam_flag_fraction", "reject_beam_deviation")
        problems = [
            f"{name} is {getattr(self, name)}, not between 0 and 1"
            for name in fractions
            if not 0 <= getattr(self, name) <= 1
        ]
        if self.reject_by_flags not in get_args(FlagRejection):
            problems.append(f"reject_by_flags is {self.reject_by_flags!r}, not 'off', 'mark' or 'skip'")
        if self.reject_field_count < 0:
            problems.append(f"reject_field_count is {self.reject_field_count}; it must not be negative")
        if self.gridding != "casa" and self.engine != "mosaic":
            problems.append(f"gridding '{self.gridding}' needs the engine 'mosaic', not '{self.engine}'")
        if self.w_correction and (self.engine, self.gridding) != ("mosaic", "exact"):
            problems.append("w_correction needs the engine 'mosaic' and gridding 'exact'")
        if self.nmajor is not None and self.nmajor < 1:
            problems.append(f"nmajor is {self.nmajor}; leave it out for no limit")
        try:
            _ = self.excluded_spw_ids
        except QuantityError as error:
            problems.append(f"reject_exclude_spw: {error}")
        if problems:
            raise ProblemListError("the options cannot be used:", problems)

    @property
    def excluded_spw_ids(self) -> frozenset[int]:
        """Spectral windows that are never rejected."""
        return frozenset(parse_ids(self.reject_exclude_spw)) if self.reject_exclude_spw else frozenset()
