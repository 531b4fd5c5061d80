"""The choices of a run that are not made in the parameter lists.

The defaults are the workflow as specified in 2022; what production changed later is an option. A profile is a
name for the values of several options.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, get_args

from vlasscube.errors import ProblemListError, QuantityError
from vlasscube.id_lists import parse_ids

Profile = Literal["archive", "science"]

PROFILES: Mapping[Profile, Mapping[str, Any]] = {
    "archive": {
        "gridding": "casa",
        "w_correction": False,
        "otf_beam": "field",
        "nsigma_per_stokes": False,
        "first_mask": "tier1",
        "common_beam": "gated",
        "common_beam_alignment": "casa",
        "common_beam_exclude_rejected": False,
    },
    "science": {
        "gridding": "exact",
        "w_correction": True,
        "otf_beam": "smeared",
        "nsigma_per_stokes": True,
        "first_mask": "tier2",
        "common_beam": "always",
        "common_beam_alignment": "fourier",
        "common_beam_exclude_rejected": True,
    },
}
"""Values of the options that a profile sets, by profile; the same options in each."""

PROFILE_TEXTS: Mapping[Profile, str] = {
    "archive": "the numbers of the official pipeline",
    "science": "the best that the data allow: true fluxes, positions and spectra",
}
"""What each profile is for, in a line."""

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


def _of_profile() -> Any:
    """Default of an option that the profile sets; `RunOptions` puts the profile's value in its place."""
    return None


@dataclass(frozen=True)
class RunOptions:
    """How a run is done; recorded in the run directory, so that a resumed run makes the same choices.

    Options of `PROFILES` that are not given have the profile's values.
    """

    profile: Profile = "archive"
    """Sets the options that have a default for each profile; what is given beside it overrides it."""
    engine: Literal["mosaic", "casa"] = "mosaic"
    """Imaging engine: vlasscube's own, or CASA's tclean."""
    gridding: Literal["casa", "exact"] = _of_profile()
    """Convolution functions of vlasscube's engine: those of tclean, or more exact ones."""
    w_correction: bool = _of_profile()
    """Correct for w in the gridding, so that sources have their true positions; needs exact gridding."""
    otf_beam: Literal["field", "smeared"] = _of_profile()
    """Primary beam of a field that was scanned on the fly: at its phase centre, as CASA has it, or averaged
    over the antennas' way during the field; needs exact gridding."""
    nsigma_per_stokes: bool = _of_profile()
    """Clean each Stokes parameter down to n-sigma of its own noise; otherwise all to one level, as tclean."""
    first_mask: Literal["tier1", "tier2"] = _of_profile()
    """Mask of iter1: the bright sources of the quick-look catalogue, as in production, or already all sources
    of the continuum image. Cleaning the bright ones alone makes them absorb flux of the others."""
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
    common_beam: Literal["gated", "always"] = _of_profile()
    """Smooth and regrid the common-beam set only above the thresholds, or always."""
    common_beam_alignment: Literal["casa", "fourier"] = _of_profile()
    """How planes are brought to the common beam and grid: with CASA's imsmooth and imregrid, whose linear
    interpolation lowers peaks by 1–2 %, or in one Fourier transform."""
    common_beam_exclude_rejected: bool = _of_profile()
    """Ignore rejected planes when finding the common beam."""
    latitude: Literal["geocentric", "geodetic"] = "geocentric"
    """Observatory latitude in the position correction; geocentric reproduces the archive."""

    def __post_init__(self) -> None:
        for name, value in PROFILES[self.profile].items():
            if getattr(self, name) is None:
                object.__setattr__(self, name, value)
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
        problems += self._engine_problems()
        if self.nmajor is not None and self.nmajor < 1:
            problems.append(f"nmajor is {self.nmajor}; leave it out for no limit")
        try:
            _ = self.excluded_spw_ids
        except QuantityError as error:
            problems.append(f"reject_exclude_spw: {error}")
        if problems:
            raise ProblemListError("the options cannot be used:", problems)

    def _engine_problems(self) -> list[str]:
        """Tell what the imaging engine cannot do."""
        if self.engine != "mosaic" and self.profile == "science":
            return [
                f"the profile 'science' needs the engine 'mosaic', not '{self.engine}', which has no exact "
                "gridding, w_correction, smeared otf_beam or nsigma_per_stokes; use the engine 'mosaic' or "
                "the profile 'archive'"
            ]
        problems = []
        if self.gridding != "casa" and self.engine != "mosaic":
            problems.append(f"gridding '{self.gridding}' needs the engine 'mosaic', not '{self.engine}'")
        if self.w_correction and (self.engine, self.gridding) != ("mosaic", "exact"):
            problems.append("w_correction needs the engine 'mosaic' and gridding 'exact'")
        if self.otf_beam == "smeared" and (self.engine, self.gridding) != ("mosaic", "exact"):
            problems.append("otf_beam 'smeared' needs the engine 'mosaic' and gridding 'exact'")
        if self.nsigma_per_stokes and self.engine != "mosaic":
            problems.append(f"nsigma_per_stokes needs the engine 'mosaic', not '{self.engine}'")
        return problems

    @property
    def profile_values(self) -> dict[str, Any]:
        """Present values of the options that a profile sets."""
        return {name: getattr(self, name) for name in PROFILES[self.profile]}

    @property
    def changes(self) -> dict[str, tuple[Any, Any]]:
        """Options with another value than the profile has by itself: their value and that one."""
        usual = RunOptions(profile=self.profile)
        pairs = {
            field.name: (getattr(self, field.name), getattr(usual, field.name)) for field in fields(self)
        }
        return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}

    @property
    def without_name(self) -> RunOptions:
        """The same choices, for steps to whose results the profile's name is nothing."""
        return replace(self, profile="archive")

    @property
    def profile_text(self) -> str:
        """The profile, and what was changed of it: ``'science with changes: common_beam gated'``."""
        changes = self.changes_text
        return f"{self.profile} with changes: {changes}" if changes else self.profile

    @property
    def changes_text(self) -> str:
        """What was changed of the profile: ``'common_beam gated, nmajor 220'``."""
        return ", ".join(f"{name} {option_text(value)}" for name, (value, _) in self.changes.items())

    @property
    def excluded_spw_ids(self) -> frozenset[int]:
        """Spectral windows that are never rejected."""
        return frozenset(parse_ids(self.reject_exclude_spw)) if self.reject_exclude_spw else frozenset()


def option_text(value: object) -> str:
    """Write the value of an option: ``'on'`` and ``'off'`` for those that are either."""
    if isinstance(value, bool):
        return "on" if value else "off"
    return "none" if value in (None, "") else str(value)
