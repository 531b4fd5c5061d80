"""How well the pointings of a mosaic cover the image centre, before any data are read."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from vlasscube.mosaic.primary_beam import evla_power_beam
from vlasscube.records import Field, ImageGeometry
from vlasscube.sky import parse_phasecenter, separation_rad


def response_at_centre(geometry: ImageGeometry, fields: Sequence[Field], freq_hz: float) -> float:
    """Estimate the mosaic's primary beam at the image centre.

    Parameters
    ----------
    geometry : ImageGeometry
        Image.
    fields : sequence of Field
        Those that are imaged, all with the same weight.
    freq_hz : float
        Frequency.

    Returns
    -------
    float
        √(Σ A²), A the power beams of the fields, over the largest of it at the centre and the fields (up to
        a tenth too large, as the peak may lie between fields); 0 without fields.
    """
    centre = parse_phasecenter(geometry.phasecenter)[:2]
    places = [centre, *((field.ra_deg, field.dec_deg) for field in fields)]

    def response(ra_deg: float, dec_deg: float) -> float:
        here = math.radians(ra_deg), math.radians(dec_deg)
        radius = [
            separation_rad(*here, math.radians(field.ra_deg), math.radians(field.dec_deg)) for field in fields
        ]
        beams = evla_power_beam(np.degrees(radius) * 60, np.full(len(radius), freq_hz))
        return math.sqrt(float(np.sum(beams**2)))

    responses = [response(*place) for place in places]
    return responses[0] / max(responses) if max(responses) > 0 else 0.0
