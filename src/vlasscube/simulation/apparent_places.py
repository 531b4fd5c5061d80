"""Where an image that leaves w out shows the sources: the continuum run's masks and models lie there.

The baselines of an array on a plane obey w = −(Z_l u + Z_m v) / Z_n, with Z the zenith in the frame of the
phase centre. The phase w (n − 1) that such an image leaves out is then that of a source displaced by
(Z_l, Z_m) / Z_n · (1 − n), towards the zenith and by tan z · r² / 2 (Cornwell & Perley 1992, A&A 261, 353).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from vlasscube.simulation.beam import power_beam
from vlasscube.simulation.layout import Pointing, zenith_vector
from vlasscube.simulation.parameters import FieldSimulation
from vlasscube.simulation.sky import Source
from vlasscube.simulation.spectral_windows import spw_mean_frequency_hz
from vlasscube.sky import direction_at, direction_cosines


def displacement(source: Source, pointing: Pointing) -> NDArray[np.float64]:
    """Displacement of a source to the east and north, rad, in the image of one pointing; shape (2,)."""
    east, north, toward = zenith_vector(
        pointing.times_mjd_s[len(pointing.times_mjd_s) // 2], pointing.ra_rad, pointing.dec_rad
    )
    position = math.radians(source.ra_deg), math.radians(source.dec_deg)
    depth = -float(direction_cosines(*position, pointing.ra_rad, pointing.dec_rad)[2])
    shift: NDArray[np.float64] = np.array([east, north]) / toward * depth
    return shift


def apparent_sources(
    parameters: FieldSimulation, sources: Sequence[Source], pointings: Sequence[Pointing]
) -> tuple[Source, ...]:
    """Move the sources to where the mosaic shows them: the mean over the pointings, with the squared beams.

    Sources that no pointing sees stay where they are.
    """
    frequencies = np.array([spw_mean_frequency_hz(spw) for spw in parameters.science_spws])
    result = []
    for source in sources:
        position = math.radians(source.ra_deg), math.radians(source.dec_deg)
        total, weight_sum = np.zeros(2), 0.0
        for pointing in pointings:
            l, m, _ = direction_cosines(*position, pointing.ra_rad, pointing.dec_rad)  # noqa: E741
            radius_arcmin = math.degrees(math.hypot(float(l), float(m))) * 60
            weight = float((power_beam(radius_arcmin, frequencies) ** 2).sum())
            if weight:
                total += weight * displacement(source, pointing)
                weight_sum += weight
        shift = total / weight_sum if weight_sum else total
        ra, dec = direction_at(float(shift[0]), float(shift[1]), *position)
        result.append(replace(source, ra_deg=math.degrees(ra) % 360, dec_deg=math.degrees(dec)))
    return tuple(result)
