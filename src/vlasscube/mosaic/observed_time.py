"""When the data of an image were taken: not in the middle of the observation if half of it is flagged."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from vlasscube.records import ObservedTime

Double = npt.NDArray[np.float64]


def observed_time(time_mjd_s: Double, weight: Double) -> ObservedTime | None:
    """Find first, last and mean time of data.

    Parameters
    ----------
    time_mjd_s : ndarray, shape (n,)
        Times of the rows, MJD in seconds.
    weight : ndarray, shape (n,)
        Sums of the imaging weights of the rows; 0 for a row that is flagged.

    Returns
    -------
    ObservedTime or None
        None without any weight.
    """
    used = weight > 0
    times, share = time_mjd_s[used], weight[used]
    if not times.size:
        return None
    first = float(times.min())
    # From the first one on: an MJD in seconds has few digits left for the small terms of a long sum.
    mean = first + float(share @ (times - first)) / float(share.sum())
    return ObservedTime(first, float(times.max()), mean)
