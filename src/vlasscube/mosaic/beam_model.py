"""The restoring beam as a sampled Gaussian, and what a psf has beside it."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from vlasscube.records import Beam

FloatArray = npt.NDArray[np.float32]

_GAUSSIAN_CUT = 20.0
"""The restoring Gaussian is zero where its exponent is larger."""


def psf_sidelobe(psf: FloatArray, beams: Sequence[Beam], cell_arcsec: float) -> float:
    """Measure the highest sidelobe of a psf.

    Parameters
    ----------
    psf : ndarray, shape (planes, ny, nx)
        With peak 1 at pixel (ny // 2, nx // 2).
    beams : sequence of Beam
        Fitted to each plane.
    cell_arcsec : float
        Pixel size.

    Returns
    -------
    float
        The largest of: the depth of the deepest negative, the height that is left without the beam.
    """
    return max(_plane_sidelobe(plane, beam, cell_arcsec) for plane, beam in zip(psf, beams, strict=True))


def _plane_sidelobe(plane: FloatArray, beam: Beam, cell_arcsec: float) -> float:
    ny, nx = plane.shape
    reach = beam_reach(beam, cell_arcsec)
    y0, y1 = max(ny // 2 - reach, 0), min(ny // 2 + reach + 1, ny)
    x0, x1 = max(nx // 2 - reach, 0), min(nx // 2 + reach + 1, nx)
    y, x = np.ogrid[y0 - ny // 2 : y1 - ny // 2, x0 - nx // 2 : x1 - nx // 2]
    inner = plane[y0:y1, x0:x1] - gaussian(y, x, beam, cell_arcsec)
    outer = (plane[:y0], plane[y1:], plane[y0:y1, :x0], plane[y0:y1, x1:])
    highest = max(float(part.max(initial=0.0)) for part in (inner, *outer))
    return max(highest, -float(plane.min(initial=0.0)))


def beam_reach(beam: Beam, cell_arcsec: float) -> int:
    """Pixels from the centre within which a sampled beam is not zero."""
    return math.ceil(beam.bmaj_arcsec / cell_arcsec * math.sqrt(_GAUSSIAN_CUT / (4.0 * math.log(2.0))))


def gaussian(
    y: npt.NDArray[np.int64], x: npt.NDArray[np.int64], beam: Beam, cell_arcsec: float
) -> npt.NDArray[np.float32]:
    """Sample a beam of peak 1, cut where it is below exp(-20).

    Parameters
    ----------
    y, x : ndarray
        Pixel offsets north and west of the peak.
    beam : Beam
        What to sample.
    cell_arcsec : float
        Pixel size.
    """
    angle = math.radians(beam.bpa_deg)
    along = math.cos(angle) * y - math.sin(angle) * x
    across = math.sin(angle) * y + math.cos(angle) * x
    exponent = (along * (cell_arcsec / beam.bmaj_arcsec)) ** 2 + (
        across * (cell_arcsec / beam.bmin_arcsec)
    ) ** 2
    exponent *= 4.0 * math.log(2.0)
    return np.where(exponent < _GAUSSIAN_CUT, np.exp(-exponent), 0.0).astype(np.float32)
