"""What is lost of a point source, and how far it is moved, if w is left out of account.

The baselines of an array far from the zenith lie, for a pointing, nearly in a plane w = a u + b v; at the
zenith angle z it falls by tan z towards the zenith. For a source at a distance r from the pointing centre the
phase u l + v m + w (√(1 - r²) - 1) is that of a flat array for a source displaced by

    δ = (a, b) (√(1 - r²) - 1),

about tan z r²/2 towards the zenith. A mosaic images a source from many pointings, each of which displaces
it by another amount; they count w A², with w the imaging weights and A the power beam at the source. Each
shows the source as the restoring beam G, so the sum is Σ w A² G(x - δ). Where it is highest, at δ̄, there is
of the peak

    Σ w A² G(δ - δ̄) / Σ w A²,

and no cleaning brings back the rest: it is a source of another shape that is seen.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from vlasscube.records import Beam, NoncoplanarEffect
from vlasscube.sky import rad_from_arcsec

Float = npt.NDArray[np.float64]
_STEPS = 50
_INNER_RESPONSE = 0.5
"""Primary beam, over its largest value, within which sources are looked at."""


def plane_slopes(
    u: Float, v: Float, w: Float, weight: Float, pointing: npt.NDArray[np.int32], pointings: int
) -> Float:
    """Fit a plane w = a u + b v to the baselines of each pointing.

    Parameters
    ----------
    u, v, w : ndarray, shape (n,)
        Baselines, in one unit, w as seen from the pointing centre.
    weight : ndarray, shape (n,)
        Weights of the least-squares fit.
    pointing : ndarray of int, shape (n,)
        Index of the pointing of each.
    pointings : int
        How many there are.

    Returns
    -------
    ndarray, shape (pointings, 2)
        a and b; 0 for a pointing whose baselines do not tell.
    """

    def sums(values: Float) -> Float:
        total: Float = np.bincount(pointing, weight * values, minlength=pointings).astype(np.float64)
        return total

    uu, uv, vv, uw, vw = sums(u * u), sums(u * v), sums(v * v), sums(u * w), sums(v * w)
    determinant = uu * vv - uv**2
    good = determinant > 1e-6 * uu * vv
    safe = np.where(good, determinant, 1.0)
    slopes = np.stack([(vv * uw - uv * vw) / safe, (uu * vw - uv * uw) / safe], axis=-1)
    return np.where(good[:, None], slopes, 0.0)


def displacements(offset: Float, slopes: Float) -> Float:
    """Compute how far pointings displace sources.

    Parameters
    ----------
    offset : ndarray, shape (places, pointings, 2)
        Direction cosines (l, m) of the sources from the pointing centres.
    slopes : ndarray, shape (pointings, 2)
        As from `plane_slopes`.

    Returns
    -------
    ndarray, shape (places, pointings, 2)
        Displacement to the east and to the north, rad.
    """
    squared = np.minimum((offset**2).sum(axis=-1), 1.0)
    displacement: Float = (np.sqrt(1 - squared) - 1)[..., None] * slopes
    return displacement


def smeared_peaks(displacement: Float, weight: Float, beam: Beam) -> tuple[Float, Float]:
    """Find the peak of point sources that pointings displace differently.

    Parameters
    ----------
    displacement : ndarray, shape (places, pointings, 2)
        To the east and to the north, rad.
    weight : ndarray, shape (places, pointings)
        Imaging weight times squared power beam.
    beam : Beam
        Restoring beam.

    Returns
    -------
    fraction : ndarray, shape (places,)
        Peak over what it were without displacements; 1 where no pointing has a weight.
    shift : ndarray, shape (places, 2)
        Where it is, east and north of the source, rad.
    """
    angle = math.radians(beam.bpa_deg)
    scale = 2 * math.sqrt(math.log(2))
    axes = np.array(
        [
            [math.sin(angle), math.cos(angle)] / np.array(rad_from_arcsec(beam.bmaj_arcsec)),
            [math.cos(angle), -math.sin(angle)] / np.array(rad_from_arcsec(beam.bmin_arcsec)),
        ]
    )
    total = weight.sum(axis=1)
    share = weight / np.where(total > 0, total, 1)[:, None]
    # In units in which the beam is exp(-x²).
    places = scale * displacement @ axes.T
    peak = np.einsum("kp,kpi->ki", share, places)
    # A sum of Gaussians: its maximum is the mean of their centres, weighted with their heights there.
    for _ in range(_STEPS):
        height = share * np.exp(-((places - peak[:, None]) ** 2).sum(axis=-1))
        sums = height.sum(axis=1)
        peak = np.einsum("kp,kpi->ki", height, places) / np.where(sums > 0, sums, 1)[:, None]
    height = share * np.exp(-((places - peak[:, None]) ** 2).sum(axis=-1))
    fraction = np.where(total > 0, height.sum(axis=1), 1.0)
    return fraction, np.linalg.solve(scale * axes, peak.T).T


def spectral_index_bias(frequency_hz: npt.ArrayLike, peak_fraction: npt.ArrayLike) -> float | None:
    """Fit the power law that losses put on the spectra of point sources.

    Parameters
    ----------
    frequency_hz, peak_fraction : array_like, shape (planes,)
        Frequency of each plane, and the peak that is left there.

    Returns
    -------
    float or None
        What the spectral index is too large by; None for less than two frequencies.
    """
    frequency, fraction = np.asarray(frequency_hz, float), np.asarray(peak_fraction, float)
    good = fraction > 0
    if np.unique(frequency[good]).size < 2:
        return None
    x = np.log(frequency[good])
    x -= x.mean()
    return float(x @ np.log(fraction[good]) / (x @ x))


def noncoplanar_effect(
    displacement: Float, weight: Float, beam: Beam, pblimit: float = _INNER_RESPONSE
) -> NoncoplanarEffect | None:
    """Sum up what w does to point sources of an image.

    Parameters
    ----------
    displacement, weight, beam
        As for `smeared_peaks`, for places spread evenly over the image.
    pblimit : float
        Only places are counted where the primary beam of the mosaic, √Σ w A² over its largest value, is not
        below this.

    Returns
    -------
    NoncoplanarEffect or None
        None if no pointing has a weight.
    """
    response = weight.sum(axis=1)
    if not response.max(initial=0.0) > 0:
        return None
    inside = response >= pblimit**2 * response.max()
    fraction, shift = smeared_peaks(displacement[inside], weight[inside], beam)
    east, north = np.degrees(shift.mean(axis=0)) * 3600
    return NoncoplanarEffect(
        peak_fraction=float(np.median(fraction)),
        worst_peak_fraction=float(fraction.min()),
        shift_east_arcsec=float(east),
        shift_north_arcsec=float(north),
    )
