"""Constants of nature, of time scales and of statistics that more than one room needs."""

from __future__ import annotations

import math
from datetime import UTC, datetime

SPEED_OF_LIGHT_M_S = 299_792_458.0

ARCSEC_PER_DEG = 3600.0
RAD_PER_ARCSEC = math.pi / (180.0 * 3600.0)

DAY_S = 86_400.0
"""Seconds of a day."""
JD_OF_MJD_ZERO = 2_400_000.5
"""Julian date at which the modified Julian date is 0."""
MJD_OF_UNIX_EPOCH = 40_587.0
"""1970 January 1, 0h, in modified Julian days."""
MJD_OF_J2000 = 51_544.5
"""2000 January 1, 12h, in modified Julian days."""
MJD_EPOCH = datetime(1858, 11, 17, tzinfo=UTC)
"""The date at which the modified Julian date is 0."""

MAD_TO_SIGMA_CASA = 1.4826
"""Standard deviation of a normal distribution over its median absolute deviation, rounded as CASA and the
official pipeline have it: statistics, thresholds and stop criteria are made with it. Rms maps are made with
the exact number 1 / Φ⁻¹(3/4), as CASA's are; it stands in the kernel."""
