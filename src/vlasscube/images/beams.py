"""Algebra of elliptical Gaussian beams, and the decisions made from beams.

A beam is the symmetric matrix ``S = R diag(bmaj², bmin²) Rᵀ`` in (north, east), so that convolution of
Gaussians is addition of matrices, deconvolution is subtraction, and "can be convolved to" is the order of
positive semidefinite matrices. The position angle is counted from north to east.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, combinations
from typing import Literal

import numpy as np
import numpy.typing as npt

from vlasscube.constants import RAD_PER_ARCSEC
from vlasscube.errors import ProductError
from vlasscube.records import Beam

Matrix = npt.NDArray[np.float64]

"""One arcsecond in radian."""

# Rounding in sums and differences of squared axes; relative to the larger matrix.
_ROUNDING = 1e-12


@dataclass(frozen=True)
class GaussianKernel:
    """What a beam is convolved with to become another; FWHM axes, either of which may be zero."""

    bmaj_arcsec: float
    bmin_arcsec: float
    bpa_deg: float

    @property
    def is_point(self) -> bool:
        """Whether convolution with it changes nothing."""
        return self.bmaj_arcsec == 0.0


@dataclass(frozen=True)
class KernelPrediction:
    """Whether and how a beam can be brought to a target.

    ``code`` is 0 if a kernel is needed, 1 if the beam is the target within the tolerances, 2 if the target
    cannot be reached. ``kernel`` is None for code 2.
    """

    code: Literal[0, 1, 2]
    kernel: GaussianKernel | None


def beam_matrix(beam: Beam | GaussianKernel) -> Matrix:
    """Matrix of squared FWHM axes in (north, east), arcsec², shape (2, 2)."""
    angle = math.radians(beam.bpa_deg)
    c, s = math.cos(angle), math.sin(angle)
    major, minor = beam.bmaj_arcsec**2, beam.bmin_arcsec**2
    cross = (major - minor) * s * c
    return np.array([[major * c * c + minor * s * s, cross], [cross, major * s * s + minor * c * c]])


def _ellipse(matrix: Matrix, scale: float) -> tuple[float, float, float]:
    """Axes and position angle in (-90, 90] of a matrix; what is below the rounding of ``scale`` is zero."""
    north, east, cross = float(matrix[0, 0]), float(matrix[1, 1]), float(matrix[0, 1])
    mean, half = (north + east) / 2, math.hypot((north - east) / 2, cross)
    noise = _ROUNDING * scale
    major = max(mean + half, 0.0)
    # The product of the eigenvalues keeps the digits that mean - half loses for elongated ellipses.
    minor = max((north * east - cross * cross) / major, 0.0) if major > noise else 0.0
    if major <= noise:
        return 0.0, 0.0, 0.0
    angle = math.degrees(math.atan2(2 * cross, north - east) / 2) if half > noise else 0.0
    if angle <= -90.0:
        angle += 180.0
    return math.sqrt(major), math.sqrt(min(minor, major)), angle


def convolve_beams(first: Beam, second: Beam | GaussianKernel) -> Beam:
    """Beam of an image of beam ``first`` convolved with the Gaussian ``second``."""
    matrix = beam_matrix(first) + beam_matrix(second)
    return Beam(*_ellipse(matrix, float(np.trace(matrix))))


def deconvolve_beam(target: Beam, beam: Beam) -> GaussianKernel | None:
    """Kernel that brings a beam to a target.

    Parameters
    ----------
    target, beam : Beam
        The beam wanted and the beam at hand.

    Returns
    -------
    GaussianKernel or None
        A point kernel (zero axes) if both are the same within rounding (1e-12 of the squared axes); None if
        no Gaussian leads from the one to the other.
    """
    target_matrix = beam_matrix(target)
    scale = float(np.trace(target_matrix)) + beam.bmaj_arcsec**2
    difference = target_matrix - beam_matrix(beam)
    if float(np.linalg.eigvalsh(difference)[0]) < -_ROUNDING * scale:
        return None
    return GaussianKernel(*_ellipse(difference, scale))


def beam_area_sr(beam: Beam) -> float:
    """Solid angle of a beam, π/(4 ln 2)·bmaj·bmin, in steradian."""
    return math.pi / (4 * math.log(2)) * beam.bmaj_arcsec * beam.bmin_arcsec * RAD_PER_ARCSEC**2


def beam_area_pixels(beam: Beam, cell_arcsec: float) -> float:
    """Solid angle of a beam in square pixels: the pixel sum of a source of 1 Jy in an image in Jy/beam."""
    return beam_area_sr(beam) / (cell_arcsec * RAD_PER_ARCSEC) ** 2


def classify_kernel(
    beam: Beam, target: Beam, size_tolerance_arcsec: float, angle_tolerance_deg: float = 1e-3
) -> KernelPrediction:
    """Predict what it takes to bring a beam to a target, as the 2022 export of the pipeline does.

    Parameters
    ----------
    beam, target : Beam
        The beam at hand and the beam wanted.
    size_tolerance_arcsec : float
        Code 1 if both axes agree better than this and the position angles better than
        ``angle_tolerance_deg``, or if the kernel's major axis is below it. Both comparisons are strict.
    angle_tolerance_deg : float
        Tolerance of the position angle, which counts modulo 180°.
    """
    kernel = deconvolve_beam(target, beam)
    turn = abs((beam.bpa_deg - target.bpa_deg + 90.0) % 180.0 - 90.0)
    alike = (
        abs(beam.bmaj_arcsec - target.bmaj_arcsec) < size_tolerance_arcsec
        and abs(beam.bmin_arcsec - target.bmin_arcsec) < size_tolerance_arcsec
        and turn < angle_tolerance_deg
    )
    if alike or (kernel is not None and (kernel.is_point or kernel.bmaj_arcsec < size_tolerance_arcsec)):
        return KernelPrediction(1, kernel or GaussianKernel(0.0, 0.0, 0.0))
    if kernel is None:
        return KernelPrediction(2, None)
    return KernelPrediction(0, kernel)


# ------------------------------------------------------------------------------------------- common beam


def common_beam(beams: Sequence[Beam], margin: float = 1.00001) -> Beam:
    """Smallest beam, by area, that all given beams can be convolved to.

    In terms of ellipses it is the smallest concentric ellipse around all of them, a convex problem with one
    solution, held by at most three points of contact. It is found by exchange: the smallest ellipse around a
    few points, then the point of any beam farthest outside of it joins them, until none is outside.

    Parameters
    ----------
    beams : sequence of Beam
        In any order; at least one.
    margin : float
        Both axes are multiplied by it, so that programs that deconvolve with less care find a kernel for the
        beam that defines the result.

    Raises
    ------
    ProductError
        If there is no beam, or the result does not contain every beam (ill-conditioned beams).
    """
    if not beams:
        raise ProductError("a common beam needs at least one beam", hint="No plane has an image.")
    ordered = sorted(beams, key=lambda beam: (beam.bmaj_arcsec, beam.bmin_arcsec, beam.bpa_deg))
    largest = max(ordered, key=lambda beam: beam.bmaj_arcsec * beam.bmin_arcsec)
    if all(deconvolve_beam(largest, beam) is not None for beam in ordered):
        return _scaled(largest, margin)
    unit = max(beam.bmaj_arcsec for beam in ordered)
    matrices = np.array([beam_matrix(beam) for beam in ordered]) / unit**2
    matrix = _enclosing_matrix(matrices, beam_matrix(largest) / unit**2)
    bmaj, bmin, bpa = _ellipse(matrix, 1.0)
    result = _scaled(Beam(bmaj * unit, bmin * unit, bpa), margin)
    outside = [beam for beam in ordered if deconvolve_beam(result, beam) is None]
    if outside:
        raise ProductError(
            f"no common beam found for {len(beams)} beams: {result} does not contain {outside[0]}",
            hint="A beam that is extremely elongated or small is usually a failed fit; reject that plane.",
        )
    return result


def _scaled(beam: Beam, factor: float) -> Beam:
    return Beam(beam.bmaj_arcsec * factor, beam.bmin_arcsec * factor, beam.bpa_deg)


def _enclosing_matrix(matrices: Matrix, start: Matrix) -> Matrix:
    """Matrix of the smallest centred ellipse around the ellipses ``matrices`` (n, 2, 2)."""
    matrix = start
    points = np.linalg.cholesky(start).T  # rows: two conjugate points, which determine the ellipse
    excess = np.inf
    for _ in range(100):
        # In coordinates where the present ellipse is the unit circle everything is well conditioned.
        root = np.linalg.cholesky(matrix)
        inverse = np.linalg.inv(root)
        values, vectors = np.linalg.eigh(inverse @ matrices @ inverse.T)
        worst = int(np.argmax(values[:, 1]))
        excess = float(values[worst, 1]) - 1.0
        if excess < 1e-11:
            break
        farthest = math.sqrt(values[worst, 1]) * vectors[worst, :, 1]
        candidates = np.vstack([points @ inverse.T, farthest])
        smallest, held_by = _enclosing_points(candidates)
        matrix = root @ smallest @ root.T
        points = held_by @ root.T
    result: Matrix = matrix * (1.0 + max(excess, 0.0))
    return result


def _enclosing_points(points: Matrix) -> tuple[Matrix, Matrix]:
    """Smallest centred ellipse around a handful of points (n, 2), and the two or three points that hold it.

    Two points hold ``p pᵀ + q qᵀ``; three points hold the ellipse through them.
    """
    best: tuple[float, Matrix, Matrix] | None = None
    for subset in chain(combinations(points, 2), combinations(points, 3)):
        held_by = np.array(subset)
        if len(subset) == 2:
            matrix = held_by.T @ held_by
        else:
            x, y = held_by.T
            try:
                solution = np.linalg.solve(np.column_stack([x * x, 2 * x * y, y * y]), np.ones(3))
            except np.linalg.LinAlgError:
                continue
            a, b, c = (float(value) for value in solution)
            held = a * c - b * b
            # Three points that all but coincide hold nothing: a, b, c overflow.
            if not (a > 0 and 0 < held < math.inf):
                continue
            matrix = np.array([[c, -b], [-b, a]]) / held
        determinant = float(matrix[0, 0] * matrix[1, 1] - matrix[0, 1] ** 2)
        if determinant <= 0 or (best is not None and determinant >= best[0]):
            continue
        inside = np.einsum("ni,ij,nj->n", points, np.linalg.inv(matrix), points)
        if float(inside.max()) <= 1.0 + 1e-12:
            best = determinant, matrix, held_by
    if best is None:
        raise ProductError(
            "no ellipse encloses the beams: they are degenerate", hint="Reject planes with bad beams."
        )
    return best[1], best[2]


# ---------------------------------------------------------------------------------------- plane rejection


@dataclass(frozen=True)
class BeamVerdict:
    """What the beam rule says of one plane."""

    keep: bool
    reason: str
    """Why it is rejected; why it is kept against the rule; otherwise empty."""
    bmaj_ratio: float | None
    """Measured over expected major axis; None without a beam."""
    bmin_ratio: float | None
    reference: bool
    """Whether the expected sizes are scaled from this plane."""


def expected_beam(reference: Beam, reference_hz: float, frequency_hz: float) -> Beam:
    """Beam that the same antennas have at another frequency: its axes scale with 1/ν."""
    scale = reference_hz / frequency_hz
    return Beam(reference.bmaj_arcsec * scale, reference.bmin_arcsec * scale, reference.bpa_deg)


def reject_by_beam(
    beams: Sequence[Beam | None],
    frequencies_hz: Sequence[float],
    flag_fractions: Sequence[float | None],
    *,
    beam_deviation: float = 0.2,
    flag_fraction: float = 0.8,
    excluded: Sequence[bool] | None = None,
    apply: bool = True,
) -> tuple[BeamVerdict, ...]:
    """Judge planes by the size of their beams and their flagged fractions.

    The reference is the plane with the median product of minor axis and frequency (element n // 2 of the
    sorted ones). Beams are expected to scale with 1/ν from there. A plane is kept if both axes deviate by
    *less* than ``beam_deviation`` and *less* than ``flag_fraction`` is flagged, or if it is excluded from the
    rule. A plane without a beam has no image and is never kept.

    Parameters
    ----------
    beams : sequence of Beam or None
        Beam of Stokes I of each plane's psf, None where imaging failed.
    frequencies_hz : sequence of float
        Reference frequencies.
    flag_fractions : sequence of float or None
        Flagged fraction in the region of the rule; None (no data there) is not kept.
    beam_deviation, flag_fraction : float
        Thresholds; reaching them (to 1e-12) rejects.
    excluded : sequence of bool, optional
        Planes that the rule does not apply to.
    apply : bool
        If False the rule applies to no plane.

    Raises
    ------
    ProductError
        If the sequences differ in length.
    """
    excluded = [False] * len(beams) if excluded is None else excluded
    if not len(beams) == len(frequencies_hz) == len(flag_fractions) == len(excluded):
        raise ProductError("beam rule: beams, frequencies, flagged fractions and exclusions differ in number")
    present = [index for index, beam in enumerate(beams) if beam is not None]
    scaled = [beam.bmin_arcsec * frequencies_hz[i] for i, beam in enumerate(beams) if beam is not None]
    reference = present[int(np.argsort(scaled, kind="stable")[len(scaled) // 2])] if present else -1
    reference_beam = beams[reference] if present else None
    verdicts = []
    for index, (beam, flagged) in enumerate(zip(beams, flag_fractions, strict=True)):
        if beam is None or reference_beam is None:
            verdicts.append(BeamVerdict(False, "no image", None, None, False))
            continue
        expected = expected_beam(reference_beam, frequencies_hz[reference], frequencies_hz[index])
        ratios = beam.bmaj_arcsec / expected.bmaj_arcsec, beam.bmin_arcsec / expected.bmin_arcsec
        reasons = [
            f"{axis} axis of the beam is {ratio:.3f} of the expected"
            for axis, ratio in zip(("major", "minor"), ratios, strict=True)
            if not _below(abs(ratio - 1.0), beam_deviation)
        ]
        if flagged is None:
            reasons.append("no data in the region of the flag rule")
        elif not _below(flagged, flag_fraction):
            reasons.append(f"{100 * flagged:.2f}% flagged")
        exempt = bool(excluded[index]) or not apply
        reason = "; ".join(reasons)
        if reasons and exempt:
            reason = f"kept by exception although {reason}"
        verdicts.append(BeamVerdict(exempt or not reasons, reason, *ratios, index == reference))
    return tuple(verdicts)


def _below(value: float, threshold: float) -> bool:
    """Strictly below, and not merely by rounding: 1.2 - 1 is not below 0.2."""
    return value < threshold and not math.isclose(value, threshold, rel_tol=0.0, abs_tol=1e-12)
