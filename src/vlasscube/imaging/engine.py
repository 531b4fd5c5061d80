"""What the workflow asks of an imaging engine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from vlasscube.clean_terms import StopCode
from vlasscube.imaging.clean_sequence import CleanParameters, IterationParameters
from vlasscube.naming import TcleanProduct
from vlasscube.records import (
    CleanCycles,
    DataSelection,
    Message,
    NoncoplanarEffect,
    ObservedTime,
    SpectralCoverage,
)

Gridding = Literal["casa", "exact"]
OtfBeam = Literal["field", "smeared"]


@dataclass(frozen=True)
class CleanRequest:
    """One iteration of one plane."""

    vis: Path
    selection: DataSelection
    reffreq_hz: float
    image_root: Path
    """Path and beginning of the names of the images to make."""
    previous_root: Path | None
    """The same for the previous iteration, whose images are not changed; None for the first."""
    parameters: CleanParameters
    iteration: IterationParameters


@dataclass(frozen=True)
class CleanResult:
    """What an engine reports of an iteration; the images lie under the request's ``image_root``."""

    call: str
    iterations_done: int
    major_cycles: int
    stop_code: StopCode
    cycles: Mapping[str, CleanCycles]
    """By Stokes parameter."""
    messages: tuple[Message, ...] = ()
    """Messages for the user."""
    expected_noise_jy: float | None = None
    """Noise of the flat-noise images by the weights of the data, Jy/beam; with the first iteration."""
    observed_time: ObservedTime | None = None
    """Of the data by their imaging weights; with the first iteration."""
    spectral_coverage: SpectralCoverage | None = None
    """Of the data by their imaging weights; with the first iteration."""
    w_planes: int | None = None
    """Planes of w that the data are gridded with, 0 without w-correction; with the first iteration."""
    noncoplanar: NoncoplanarEffect | None = None
    """What leaving w out does to point sources; with the first iteration."""


TAKEN_OVER: tuple[TcleanProduct, ...] = ("psf", "pb", "weight", "sumwt", "model", "residual")
"""Images of the previous iteration that the next one needs."""


class ImagingEngine(Protocol):
    """Makes the images of one iteration, with the names and conventions of tclean.

    One engine makes the iterations of one plane, one after the other, and may keep what it needs in memory.
    """

    name: str

    def clean(self, request: CleanRequest) -> CleanResult:
        """Make ``<image_root>.{residual,psf,pb,weight,sumwt,model,image}.tt0`` and ``.mask`` as asked.

        Raises
        ------
        VlassCubeError
            If the images cannot be made.
        """
        ...
