"""Where in frequency the data of an image are: it is not the middle of the band if half of it is flagged."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from vlasscube.constants import SPEED_OF_LIGHT_M_S
from vlasscube.records import SpectralCoverage

Double = npt.NDArray[np.float64]


def spectral_coverage(frequency_hz: Double, width_hz: Double, weight: Double) -> SpectralCoverage | None:
    """Compute weighted means over the channels of an image.

    Parameters
    ----------
    frequency_hz, width_hz : ndarray, shape (nchan,)
        Centres and widths of all channels, whatever spectral window they are of.
    weight : ndarray, shape (nchan,)
        Sums of the imaging weights of the channels; 0 for a channel that is flagged.

    Returns
    -------
    SpectralCoverage or None
        In the frame of `frequency_hz`. None without any weight.

    Notes
    -----
    The effective bandwidth is (∫W dν)² / ∫W² dν with W the weight per hertz: the width of an evenly weighted
    band of the same noise, as radiometers are described. Gaps do not count for it, so a band of which every
    second channel is flagged has half of its width.
    """
    used = (weight > 0) & (width_hz > 0)
    frequency, width, share = frequency_hz[used], width_hz[used], weight[used]
    total = float(share.sum())
    if not total > 0:
        return None
    share = share / total
    return SpectralCoverage(
        effective_frequency_hz=float(share @ frequency),
        mean_lambda2_m2=float(share @ (SPEED_OF_LIGHT_M_S / frequency) ** 2),
        effective_bandwidth_hz=1.0 / float(share @ (share / width)),
    )
