"""The choices of a run that the parameter lists do not make.

The defaults are the workflow as it was specified in 2022; later changes of production are options by name.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from vlasscube.errors import ProblemListError, QuantityError
from vlasscube.id_lists import parse_ids

RENAMED_OPTIONS = {"kernels": "gridding"}
"""Present names of options by the names under which earlier versions took and recorded them."""


@dataclass(frozen=True)
class RunOptions:
    """How a run is done; recorded in the run directory, so that a continued run makes the same choices."""

    engine: Literal["mosaic", "casa"] = "mosaic"
    """Imaging engine: our own, or CASA's tclean."""
    gridding: Literal["casa", "exact"] = "casa"
    """Convolution functions of our own engine: those of tclean, or more exact ones."""
    w_correction: bool = False
    """Correct for w in the gridding (our own engine, exact gridding): sources are put where they are."""
    flag_region: Literal["all", "box"] = "all"
    """Where all must be flagged for a plane to be left out: everywhere, or in the central square degree."""
    reject_by_flags: bool = False
    """Mark planes with many heavily flagged fields as rejected (``vlass_plane_reject_ms``)."""
    reject_flag_fraction: float = 0.9
    """A field counts as heavily flagged above this fraction."""
    reject_field_count: int = 12
    """Number of such fields from which a plane is rejected."""
    reject_by_beam: bool = False
    """Mark planes whose beam deviates from its expected size as rejected (``vlass_plane_reject_im``)."""
    reject_beam_deviation: float = 0.2
    """Relative deviation from which a beam is rejected."""
    reject_beam_flag_fraction: float = 0.8
    """Flagged fraction from which a plane is rejected together with the beam rule."""
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
    """How planes get the common beam and grid: by CASA's imsmooth and imregrid, whose linear interpolation
    takes 1–2 % off a peak, or in one Fourier transform."""
    common_beam_exclude_rejected: bool = False
    """Rejected planes take no part in finding the common beam."""
    latitude: Literal["geocentric", "geodetic"] = "geocentric"
    """Observatory latitude in the position correction; geocentric reproduces the archive."""

    def __post_init__(self) -> None:
        fractions = ("reject_flag_fraction", "reject_beam_flag_fraction", "reject_beam_deviation")
        problems = [
            f"{name} is {getattr(self, name)}, not between 0 and 1"
            for name in fractions
            if not 0 <= getattr(self, name) <= 1
        ]
        if self.reject_field_count < 0:
            problems.append(f"reject_field_count is {self.reject_field_count}, negative")
        if self.gridding != "casa" and self.engine != "mosaic":
            problems.append(f"gridding '{self.gridding}' is of the engine 'mosaic', not of '{self.engine}'")
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
