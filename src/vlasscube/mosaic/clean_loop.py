"""The clean loop: minor cycles on all Stokes planes, then a major cycle, until it is time to stop.

The order of events is that of tclean when it continues with images of an earlier run (``calcres=False``): it
starts with a minor cycle on the residual it is given.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from vlasscube import _kernels
from vlasscube.clean_terms import StopCode
from vlasscube.constants import MAD_TO_SIGMA_CASA
from vlasscube.errors import ImagingError
from vlasscube.mosaic.beam_model import psf_sidelobe
from vlasscube.mosaic.iteration_control import (
    CleanControl,
    IterationControl,
    MinorCycleLimits,
    ResidualLevels,
    common_stop_code,
)
from vlasscube.mosaic.masks import MaskArray
from vlasscube.records import STOKES, Beam, CleanCycles, Message

FloatArray = npt.NDArray[np.float32]
Measure = Callable[[FloatArray], None]
Report = Callable[[Message], None]


@dataclass
class CleanState:
    """The images of a plane while it is cleaned.

    All are indexed [stokes, y, x] and flat-noise normalised, in Jy/beam.
    """

    residual: FloatArray
    """Shape (planes, ny, nx); NaN counts as zero."""
    model: FloatArray
    """Shape (planes, ny, nx), Jy/pixel; the clean adds to what it holds."""
    psf: FloatArray
    """Shape (1 or planes, ny, nx), peak 1 at the centre. The first serves all Stokes planes, as in tclean."""
    pb: FloatArray
    """Shape (ny, nx); zero or NaN outside the mosaic."""
    beams: tuple[Beam, ...]
    """Fitted to the planes of the psf."""
    cell_arcsec: float


@dataclass(frozen=True)
class CleanOutcome:
    """How a clean went."""

    iterations: int
    """Components found, in all Stokes planes together."""
    major_cycles: int
    stop_code: StopCode
    cycles: dict[str, CleanCycles]
    """By Stokes parameter."""


@dataclass
class _Course:
    """The cycles of one Stokes plane as they come."""

    iterations: list[int] = field(default_factory=list)
    peak_jy: list[float] = field(default_factory=list)
    flux_jy: list[float] = field(default_factory=list)
    start_peak_jy: list[float] = field(default_factory=list)

    def add(self, iterations: int, start_peak_jy: float, peak_jy: float, flux_jy: float) -> None:
        self.iterations.append(iterations + (self.iterations[-1] if self.iterations else 0))
        self.start_peak_jy.append(start_peak_jy)
        self.peak_jy.append(peak_jy)
        self.flux_jy.append(flux_jy)

    def record(self) -> CleanCycles:
        return CleanCycles(
            iterations=tuple(self.iterations),
            peak_residual_jy=tuple(self.peak_jy),
            model_flux_jy=tuple(self.flux_jy),
            start_peak_residual_jy=tuple(self.start_peak_jy),
        )


def clean(
    state: CleanState,
    control: CleanControl,
    masks: MaskArray,
    measure: Measure,
    report: Report | None = None,
    *,
    threads: int = 1,
) -> CleanOutcome:
    """Clean all Stokes planes.

    Parameters
    ----------
    state : CleanState
        Images; model and residual are changed.
    control : CleanControl
        When to stop.
    masks : ndarray of bool, shape (ny, nx) or (planes, ny, nx)
        Where components may be.
    measure : callable
        Makes a major cycle: writes the residual of the model it is given into ``state.residual``.
    report : callable, optional
        Told about each cycle.
    threads : int
        Number of threads.

    Returns
    -------
    CleanOutcome
        Codes 5 and 6 tell of a clean that diverged; the images are as the last major cycle left them.

    Raises
    ------
    ImagingError
        If the psf has no peak, the images do not fit together, or a residual is all NaN.
    """
    loop = _CleanLoop(state, control, masks, threads)
    return loop.run(measure, report)


class _CleanLoop:
    def __init__(self, state: CleanState, control: CleanControl, masks: MaskArray, threads: int) -> None:
        _check_shapes(state, masks)
        planes = state.residual.shape[0]
        self._state = state
        self._control = control
        self._threads = threads
        self._planes = planes
        self._masks = _plane_masks(masks, planes)
        inside = state.pb > control.pblimit
        self._outside = ~inside
        self._inside = inside.view(np.uint8)
        self._has_pixels = bool(inside.any())
        # Also where the primary beam ends: residuals beyond are zero, and not noise.
        self._noise_region = (state.pb > max(control.pbmask, control.pblimit)).view(np.uint8)
        try:
            self._cycle = _kernels.MinorCycle(
                np.ascontiguousarray(state.psf[0], np.float32),
                list(control.scales) or [0.0],
                control.smallscalebias,
                threads,
            )
        except ValueError as error:
            raise ImagingError(
                f"the minor cycle cannot start: {error}",
                hint="Check the psf image: with too few baselines it cannot be deconvolved.",
            ) from error
        self._scale_masks: list[_kernels.ScaleMasks] = []
        for index, mask in enumerate(self._masks):
            is_repeated = index > 0 and mask is self._masks[index - 1]
            self._scale_masks.append(
                self._scale_masks[-1] if is_repeated else _kernels.ScaleMasks(self._cycle, mask)
            )
        self._is_empty = [scale_masks.pixels[0] == 0 for scale_masks in self._scale_masks]
        self._courses = [_Course() for _ in range(planes)]
        every = tuple(range(planes))
        self._groups = [(plane,) for plane in every] if control.nsigma_per_stokes else [every]
        """Planes that are controlled together."""
        self._peaks: list[float] = []

    def run(self, measure: Measure, report: Report | None) -> CleanOutcome:
        levels = self._measure_levels()
        sidelobe = psf_sidelobe(self._state.psf, self._state.beams, self._state.cell_arcsec)
        controls = [IterationControl(self._control, sidelobe) for _ in self._groups]
        iterations = major_cycles = 0
        while True:
            codes = self._stop_codes(controls, levels)
            if (code := common_stop_code(codes)) is not StopCode.NOT_REACHED:
                break
            limits = [
                control.minor_cycle(of_group) for control, of_group in zip(controls, levels, strict=True)
            ]
            found = self._clean_groups(codes, limits)
            iterations += found
            if report is not None:
                report(self._message(major_cycles + 1, found, iterations, levels, limits))
            for control in controls:
                control.iterations_done = iterations
            if found == 0:
                code = common_stop_code(self._stop_codes(controls, levels))
                break
            # The division by the primary beam before the prediction leaves nothing beyond its limit.
            np.copyto(self._state.model, 0.0, where=self._outside)
            measure(self._state.model)
            major_cycles += 1
            for control in controls:
                control.major_cycles = major_cycles
            levels = self._measure_levels()
        return CleanOutcome(
            iterations=iterations,
            major_cycles=major_cycles,
            stop_code=code,
            cycles={name: course.record() for name, course in zip(STOKES, self._courses, strict=False)},
        )

    def _stop_codes(
        self, controls: Sequence[IterationControl], levels: Sequence[ResidualLevels]
    ) -> list[StopCode]:
        """Stop code of each group of planes."""
        return [
            control.stop_code(of_group, mask_is_empty=all(self._is_empty[plane] for plane in group))
            for control, of_group, group in zip(controls, levels, self._groups, strict=True)
        ]

    def _measure_levels(self) -> list[ResidualLevels]:
        """Levels of each group of planes."""
        self._peaks = []
        noise: list[float] = []
        unmasked: list[float] = []
        for residual, mask, is_empty in zip(self._state.residual, self._masks, self._is_empty, strict=True):
            finite, peak, peak_in_mask = _kernels.find_peaks(residual, self._inside, mask, self._threads)
            if finite == 0 and self._has_pixels:
                raise ImagingError("a residual plane has no finite pixel")
            unmasked.append(peak)
            self._peaks.append(peak if is_empty else peak_in_mask)
            if self._control.nsigma > 0:
                _, _, mad = _kernels.robust_statistics(residual, self._noise_region, self._threads)
                noise.append(MAD_TO_SIGMA_CASA * mad)
        levels = []
        for group in self._groups:
            highest = max((unmasked[plane] for plane in group), default=0.0)
            masked = [self._peaks[plane] for plane in group if not self._is_empty[plane]]
            levels.append(
                ResidualLevels(
                    peak_jy=max(masked, default=highest),
                    peak_unmasked_jy=highest,
                    noise_jy=tuple(noise[plane] for plane in group) if noise else (),
                )
            )
        return levels

    def _clean_groups(self, codes: Sequence[StopCode], limits: Sequence[MinorCycleLimits]) -> int:
        """Run the minor cycles of all planes; the number of components found.

        A group that is finished, while others are not, is left as it is.
        """
        found = 0
        for group, code, of_group in zip(self._groups, codes, limits, strict=True):
            left = of_group if code is StopCode.NOT_REACHED else replace(of_group, max_iterations=0)
            found += sum(self._clean_plane(plane, left) for plane in group)
        return found

    def _clean_plane(self, plane: int, limits: MinorCycleLimits) -> int:
        """Run the minor cycle of a plane; the number of components found."""
        model = self._state.model[plane]
        start_peak = peak = self._peaks[plane]
        found = 0
        if not self._is_empty[plane] and start_peak > limits.threshold_jy and limits.max_iterations > 0:
            result = self._cycle.run(
                self._state.residual[plane],
                self._scale_masks[plane],
                limits.threshold_jy,
                limits.max_iterations,
                self._control.gain,
                model,
            )
            found = result.iterations
            peak = result.peak if found > 0 else peak
        flux = float(model.sum(dtype=np.float64))
        self._courses[plane].add(found, start_peak, peak, flux)
        return found

    def _message(
        self,
        cycle: int,
        found: int,
        in_all: int,
        levels: Sequence[ResidualLevels],
        limits: Sequence[MinorCycleLimits],
    ) -> Message:
        thresholds = ", ".join(
            f"{'n-sigma' if entry.noise_threshold_jy > entry.cycle_threshold_jy else 'cycle'} threshold "
            f"{1e3 * entry.threshold_jy:.3f} mJy"
            for entry in limits
        )
        peak_jy = max(entry.peak_jy for entry in levels)
        return Message(
            "info",
            f"minor cycle {cycle}: peak residual {1e3 * peak_jy:.3f} mJy, {thresholds}, {found} components, "
            f"{in_all} in all",
        )


def _check_shapes(state: CleanState, masks: MaskArray) -> None:
    shape = state.residual.shape
    if len(shape) != 3 or shape[0] > len(STOKES):
        raise ImagingError(f"a residual of shape {shape} is not a set of Stokes planes")
    fits = (
        state.model.shape == shape
        and state.psf.shape[1:] == shape[1:]
        and state.psf.shape[0] == len(state.beams)
        and state.pb.shape == shape[1:]
        and masks.shape in (shape, shape[1:])
    )
    if not fits:
        raise ImagingError(
            f"the images do not fit together: residual {shape}, model {state.model.shape}, "
            f"psf {state.psf.shape}, pb {state.pb.shape}, mask {masks.shape}"
        )


def _plane_masks(masks: MaskArray, planes: int) -> Sequence[npt.NDArray[np.uint8]]:
    values = np.ascontiguousarray(masks, np.bool_).view(np.uint8)
    return [values] * planes if values.ndim == 2 else list(values)
