"""VLASS's spectral windows: two of the X band for pointing, sixteen of 128 MHz for science."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from vlasscube.simulation.parameters import FieldSimulation

ALL_SPWS = tuple(range(2, 18))
SPW_COUNT = 18
BANDWIDTH_HZ = 128e6
NATIVE_CHANNELS = 64
NATIVE_CHANNEL_HZ = BANDWIDTH_HZ / NATIVE_CHANNELS
"""Of VLASS's data; a simulation may have fewer channels."""
LAST_OF_FIRST_BASEBAND = 9
"""A0C0 has the windows up to here, B0D0 the others."""
_XBAND_HZ = (8.332e9, 8.460e9)


def spw_mean_frequency_hz(spw: int) -> float:
    """Mean frequency of a VLASS science spectral window, 2.028 GHz + 128 MHz per window from number 2."""
    return 2.028e9 + BANDWIDTH_HZ * (spw - 2)


def channel_frequencies_hz(parameters: FieldSimulation, spw: int) -> NDArray[np.float64]:
    """Channel centres of a spectral window."""
    if spw < len(_XBAND_HZ):
        width, channels, centre = BANDWIDTH_HZ / NATIVE_CHANNELS, NATIVE_CHANNELS, _XBAND_HZ[spw]
    else:
        width, channels = BANDWIDTH_HZ / parameters.channels, parameters.channels
        centre = spw_mean_frequency_hz(spw)
    return np.asarray(centre + width * (np.arange(channels) - (channels - 1) / 2), dtype=np.float64)


def spw_name(spw: int) -> str:
    """Name of a spectral window as VLA data have it."""
    if spw < len(_XBAND_HZ):
        return f"EVLA_X#A0C0#{spw}"
    return f"EVLA_S#{'A0C0' if spw <= LAST_OF_FIRST_BASEBAND else 'B0D0'}#{spw}"
