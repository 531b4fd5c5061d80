"""What the workflow asks of an imaging engine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from vlasscube.imaging.clean_sequence import CleanParameters, IterationParameters
from vlasscube.records import CleanCycles, DataSelection


@dataclass(frozen=True)
class CleanRequest:
    """One iteration of one plane.

    The images of the previous iteration (psf, pb, weight, sumwt, model, residual) lie under ``image_root``
    already, unless it is the first.
    """

    vis: Path
    selection: DataSelection
    reffreq_hz: float
    image_root: Path
    parameters: CleanParameters
    iteration: IterationParameters


@dataclass(frozen=True)
class CleanResult:
    """What an engine says of an iteration it made; the images lie under the request's ``image_root``."""

    call: str
    iterations_done: int
    major_cycles: int
    stop_code: int
    cycles: Mapping[str, CleanCycles]
    """By Stokes parameter."""


class ImagingEngine(Protocol):
    """Makes the images of one iteration, with the names and conventions of tclean."""

    name: str

    def clean(self, request: CleanRequest) -> CleanResult:
        """Make ``<image_root>.{residual,psf,pb,weight,sumwt,model,image}.tt0`` and ``.mask`` as asked.

        Raises
        ------
        VlassCubeError
            If the images cannot be made.
        """
        ...


def imaging_engine(name: str) -> ImagingEngine:
    """Return an engine by name."""
    from vlasscube.imaging.tclean import TcleanEngine

    engines = {TcleanEngine.name: TcleanEngine}
    return engines[name]()
