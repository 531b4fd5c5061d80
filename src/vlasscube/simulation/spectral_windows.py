"""VLASS's spectral windows: two of the X band for pointing, sixteen of 128 MHz for science."""

from __future__ import annotations

ALL_SPWS = tuple(range(2, 18))
SPW_COUNT = 18
BANDWIDTH_HZ = 128e6


def spw_mean_frequency_hz(spw: int) -> float:
    """Mean frequency of a VLASS science spectral window, 2.028 GHz + 128 MHz per window from number 2."""
    return 2.028e9 + BANDWIDTH_HZ * (spw - 2)
