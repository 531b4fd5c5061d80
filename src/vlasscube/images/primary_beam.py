"""Correction for the response of the primary beam."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from vlasscube.errors import ProductError

FloatArray = npt.NDArray[np.float32]


def correct_primary_beam(plane: FloatArray, pb: FloatArray) -> FloatArray:
    """Divide an image by the primary beam.

    As CASA's ``impbcor(mode='divide', cutoff=-1)``: masked where one of them is. Where the beam is zero,
    which CASA leaves infinite, the result is masked, too.

    Parameters
    ----------
    plane, pb : ndarray of float32 [y, x]
        Image in Jy/beam and primary beam response.

    Raises
    ------
    ProductError
        If the shapes differ.
    """
    if plane.shape != pb.shape:
        raise ProductError(f"primary beam of shape {pb.shape} for an image of shape {plane.shape}")
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        corrected: FloatArray = plane / pb
    corrected[~np.isfinite(corrected)] = np.nan
    return corrected


def corrected_noise(noise_jy: float | None, response: float | None) -> float | None:
    """Noise that the primary-beam correction makes of that of a flat-noise image.

    Parameters
    ----------
    noise_jy : float or None
        Before the correction, Jy/beam.
    response : float or None
        Response of the primary beam; the median over a region gives the median noise there.

    Returns
    -------
    float or None
        Jy/beam; None where one of them is not known, or without response.
    """
    return noise_jy / response if noise_jy is not None and response else None
