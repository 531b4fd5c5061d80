"""What the common-beam set takes: which planes are smoothed, which are shifted, and why.

Members of the set have one beam and one grid, that of the nominal phase centre. The decisions are made here;
`vlasscube.images.smoothing` does the work.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from vlasscube.errors import ProductError
from vlasscube.images.beams import KernelPrediction, classify_kernel, common_beam
from vlasscube.records import Beam
from vlasscube.sky import arcsec_from_rad, meridian_turn_deg, small_offset_rad

SIZE_TOLERANCE_DIAGONALS = 0.2
"""Kernels below this many pixel diagonals are not applied."""
SHIFT_TOLERANCE_DIAGONALS = 0.1
"""Shifts up to this many pixel diagonals are not applied."""
ANGLE_TOLERANCE_DEG = 1e-3
MARGIN = 1.00001
"""Axes of the target over those of the smallest common beam."""


@dataclass(frozen=True)
class CommonBeamInput:
    """An exported plane as it stands."""

    label: str
    beam: Beam
    corrected_ra_deg: float
    corrected_dec_deg: float
    kept: bool = True
    """False for a rejected plane."""


@dataclass(frozen=True)
class CommonBeamStep:
    """What is done with one plane."""

    label: str
    make: bool
    """Whether there is a member of the set for this plane."""
    smooth: bool
    regrid: bool
    code: Literal[0, 1, 2]
    """Code of the kernel prediction: 0 a kernel is needed, 1 the beam is the target, 2 it is out of reach."""
    separation_arcsec: float
    """Between corrected and nominal reference position."""
    shift_pixels: tuple[float, float]
    """(dx, dy) by which the content moves when it is put on the nominal grid."""
    rotation_deg: float
    """Turn of the corrected against the nominal grid, x to y, which a shift leaves; tiny below Dec 80."""
    beam: Beam
    """Beam of the member: the target if smoothed, otherwise the plane's own."""
    reasons: tuple[str, ...]
    """One each for smoothing and regridding; one alone if there is no member."""


@dataclass(frozen=True)
class CommonBeamPlan:
    """The common-beam set."""

    target: Beam
    size_tolerance_arcsec: float
    shift_tolerance_arcsec: float
    steps: tuple[CommonBeamStep, ...]


def plan_common_beam(
    planes: Sequence[CommonBeamInput],
    nominal_ra_deg: float,
    nominal_dec_deg: float,
    cell_arcsec: float,
    *,
    always: bool = False,
    exclude_rejected: bool = False,
) -> CommonBeamPlan:
    """Plan the common-beam set.

    Parameters
    ----------
    planes : sequence of CommonBeamInput
        All exported planes.
    nominal_ra_deg, nominal_dec_deg : float
        Reference position before the position correction: the grid of the set.
    cell_arcsec : float
        Size of the square pixels; the thresholds are fractions of their diagonal.
    always : bool
        Smooth and shift every plane that can be, as production has done since December 2022; otherwise (2022
        specification) only where a kernel of at least 0.2 diagonals is predicted, and where the positions are
        more than 0.1 diagonals apart.
    exclude_rejected : bool
        Rejected planes take no part in finding the common beam; those that can still reach it are made.

    Returns
    -------
    CommonBeamPlan
        With a step for each plane, in the order given.

    Raises
    ------
    ProductError
        If no plane is left to find the common beam from.
    """
    contributing = [plane for plane in planes if plane.kept or not exclude_rejected]
    if not contributing:
        raise ProductError(
            "no common beam: " + ("all planes are rejected" if planes else "there is no image"),
            hint="The native planes are complete; only the common-beam set is not made.",
        )
    target = common_beam([plane.beam for plane in contributing], MARGIN)
    diagonal = math.sqrt(2.0) * cell_arcsec
    size_tolerance = SIZE_TOLERANCE_DIAGONALS * diagonal
    shift_tolerance = SHIFT_TOLERANCE_DIAGONALS * diagonal
    steps = []
    for plane in planes:
        prediction = classify_kernel(plane.beam, target, size_tolerance, ANGLE_TOLERANCE_DEG)
        east, north = small_offset_rad(
            plane.corrected_ra_deg, plane.corrected_dec_deg, nominal_ra_deg, nominal_dec_deg
        )
        separation = arcsec_from_rad(math.asin(min(math.hypot(east, north), 1.0)))
        smooth, smooth_reason = _decide_smoothing(prediction, size_tolerance, always)
        shift = always or separation > shift_tolerance
        comparison = ">" if separation > shift_tolerance else "<="
        shift_reason = (
            f"{'shifted' if shift else 'not shifted'}: {separation:.4f} arcsec from the nominal position "
            f"({comparison} {shift_tolerance:.4f}{', done always' if always else ''})"
        )
        reachable = prediction.code != 2
        steps.append(
            CommonBeamStep(
                label=plane.label,
                make=reachable,
                smooth=smooth,
                regrid=shift and reachable,
                code=prediction.code,
                separation_arcsec=separation,
                # x grows to the west.
                shift_pixels=(
                    -arcsec_from_rad(east) / cell_arcsec,
                    arcsec_from_rad(north) / cell_arcsec,
                ),
                rotation_deg=meridian_turn_deg(plane.corrected_ra_deg, nominal_ra_deg, nominal_dec_deg),
                beam=target if smooth else plane.beam,
                reasons=(smooth_reason, shift_reason) if reachable else (smooth_reason,),
            )
        )
    return CommonBeamPlan(target, size_tolerance, shift_tolerance, tuple(steps))


def _decide_smoothing(prediction: KernelPrediction, tolerance: float, always: bool) -> tuple[bool, str]:
    kernel = prediction.kernel
    if kernel is None:
        return False, "left out: its beam cannot be convolved to the common beam"
    size = f"kernel {kernel.bmaj_arcsec:.4f} x {kernel.bmin_arcsec:.4f} arcsec"
    if prediction.code == 0:
        return True, f"smoothed: {size}"
    if always and not kernel.is_point:
        return True, f"smoothed: {size}, done always"
    return False, f"not smoothed: its beam is the common beam within {tolerance:.4f} arcsec"
