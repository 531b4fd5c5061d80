"""When a clean continues and when it stops: thresholds and stop codes as in tclean.

All stopping decisions are made on residuals that a major cycle made, never on those of a minor cycle.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vlasscube.clean_terms import StopCode

FloatArray = npt.NDArray[np.float32]

"""As CASA rounds it."""

_TOLERANCE = 0.01
"""A peak this little above a threshold has reached it."""
_UNCHANGED_JY = 1e-10
_DIVERGENCE = 3.0


@dataclass(frozen=True)
class CleanControl:
    """Parameters of a clean, named as tclean's."""

    niter: int
    nsigma: float
    cycleniter: int
    threshold_jy: float = 0.0
    cyclefactor: float = 3.0
    minpsffraction: float = 0.05
    maxpsffraction: float = 0.8
    gain: float = 0.1
    nmajor: int | None = None
    """Largest number of major cycles; None for any."""
    scales: tuple[float, ...] = (0.0, 5.0, 12.0)
    """Pixels."""
    smallscalebias: float = 0.4
    pblimit: float = 0.1
    """Pixels count, and may keep model flux, where the primary beam is above this."""
    pbmask: float = 0.0
    """Pixels count for the noise where the primary beam is above this, too."""
    nsigma_per_stokes: bool = False
    """Clean each Stokes plane to n-sigma of its own noise; otherwise, as tclean, all to one level."""


@dataclass(frozen=True)
class ResidualLevels:
    """What the residual planes that are controlled together say to their iteration control."""

    peak_jy: float
    """Largest absolute value within the mask, over all planes; of all pixels if the mask is empty."""
    peak_unmasked_jy: float
    noise_jy: tuple[float, ...]
    """Robust noise of each plane."""


@dataclass(frozen=True)
class MinorCycleLimits:
    """What ends the minor cycle of each plane."""

    cycle_threshold_jy: float
    noise_threshold_jy: float
    max_iterations: int

    @property
    def threshold_jy(self) -> float:
        """The higher of the two thresholds."""
        return max(self.cycle_threshold_jy, self.noise_threshold_jy)


class IterationControl:
    """The iterations of a clean: what was done, and what the next step is.

    For all Stokes planes together, or, with thresholds of their own, for each plane; iterations and major
    cycles are counted over all planes in both cases.

    Parameters
    ----------
    control : CleanControl
        Parameters.
    psf_sidelobe : float
        Highest sidelobe of the psf, relative to its peak.
    """

    def __init__(self, control: CleanControl, psf_sidelobe: float) -> None:
        self.iterations_done = 0
        self.major_cycles = 0
        self._control = control
        fraction = max(psf_sidelobe * control.cyclefactor, control.minpsffraction)
        self._psf_fraction = min(fraction, control.maxpsffraction)
        self._previous_peak = math.inf
        self._previous_unmasked = math.inf
        self._lowest_unmasked = math.inf
        self._major_cycles_at_check = 0

    def stop_code(self, levels: ResidualLevels, *, mask_is_empty: bool) -> StopCode:
        """Return the stop code that a residual leads to, `StopCode.NOT_REACHED` to go on.

        To be called once for each residual that a minor cycle would start from, and once at the end.
        """
        code = StopCode.EMPTY_MASK if mask_is_empty else self._finished(levels) or self._stuck(levels)
        if (
            code is StopCode.NOT_REACHED
            and self._control.nmajor is not None
            and self.major_cycles >= self._control.nmajor
        ):
            code = StopCode.MAJOR_CYCLE_LIMIT
        self._previous_peak = levels.peak_jy
        self._previous_unmasked = levels.peak_unmasked_jy
        self._lowest_unmasked = min(self._lowest_unmasked, levels.peak_unmasked_jy)
        self._major_cycles_at_check = self.major_cycles
        return code

    def _finished(self, levels: ResidualLevels) -> StopCode:
        """Return the code of a clean that reached what it was asked for."""
        if _has_reached(levels.peak_jy, self._control.threshold_jy):
            return StopCode.THRESHOLD
        if _has_reached(levels.peak_jy, self._noise_threshold(levels)):
            return StopCode.NOISE_THRESHOLD
        if self.iterations_done >= self._control.niter:
            return StopCode.ITERATION_LIMIT
        return StopCode.NOT_REACHED

    def _stuck(self, levels: ResidualLevels) -> StopCode:
        """Return the code of a clean that gets nowhere, or diverges."""
        if self.iterations_done == 0:
            return StopCode.NOT_REACHED
        has_new_residual = self.major_cycles > self._major_cycles_at_check
        if has_new_residual and abs(self._previous_peak - levels.peak_jy) < _UNCHANGED_JY:
            return StopCode.UNCHANGED
        if abs(_relative(levels.peak_unmasked_jy, self._previous_unmasked)) > _DIVERGENCE:
            return StopCode.GREW_SINCE_LAST
        if _relative(levels.peak_unmasked_jy, self._lowest_unmasked) > _DIVERGENCE:
            return StopCode.GREW_FROM_MINIMUM
        return StopCode.NOT_REACHED

    def _noise_threshold(self, levels: ResidualLevels) -> float:
        return self._control.nsigma * max(levels.noise_jy, default=0.0)

    def minor_cycle(self, levels: ResidualLevels) -> MinorCycleLimits:
        """Return the limits of the next minor cycle, the same for all Stokes planes.

        tclean takes the n-sigma threshold of all planes from the first, Stokes I.
        """
        noise = levels.noise_jy[0] if levels.noise_jy else 0.0
        return MinorCycleLimits(
            cycle_threshold_jy=max(levels.peak_jy * self._psf_fraction, self._control.threshold_jy),
            noise_threshold_jy=self._control.nsigma * noise,
            max_iterations=min(self._control.cycleniter, self._control.niter - self.iterations_done),
        )


_BY_WEIGHT = (
    StopCode.GREW_SINCE_LAST,
    StopCode.GREW_FROM_MINIMUM,
    StopCode.NOT_REACHED,
    StopCode.MAJOR_CYCLE_LIMIT,
    StopCode.ITERATION_LIMIT,
    StopCode.UNCHANGED,
    StopCode.NOISE_THRESHOLD,
    StopCode.THRESHOLD,
    StopCode.EMPTY_MASK,
)


def common_stop_code(codes: Sequence[StopCode]) -> StopCode:
    """Return what the stop codes of Stokes planes that are controlled one by one mean for their clean.

    It continues as long as any plane does, unless another diverges; a plane that reached its level, or that
    nothing more is found in, waits for the others.
    """
    return min(codes, key=_BY_WEIGHT.index)


def _has_reached(peak: float, threshold: float) -> bool:
    return peak <= threshold or _relative(peak, threshold) < _TOLERANCE


def _relative(value: float, reference: float) -> float:
    return (value - reference) / reference if reference > 0 else math.inf
