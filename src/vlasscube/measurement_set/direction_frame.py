"""Frames of the directions in FIELD, and their conversion into the frame of an image."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from vlasscube import casa, casacore_tables
from vlasscube.constants import DAY_S
from vlasscube.errors import MeasurementSetError
from vlasscube.sky import direction_cosines

IMAGE_FRAME = "J2000"
"""Frame of the directions in a summary, and of images that do not say theirs."""
_FRAMES = {
    "J2000": "J2000",
    "FK5": "J2000",
    "ICRS": "ICRS",
    "B1950": "B1950",
    "B1950_VLA": "B1950_VLA",
    "GALACTIC": "GALACTIC",
}
"""Frames that are fixed among the stars, by CASA's name for them."""
_STEP_RAD = 1e-3


def direction_frames(ms: Path, fields: Iterable[int]) -> dict[int, str]:
    """Read the frames of the phase centres.

    Parameters
    ----------
    ms : Path
        Measurement set.
    fields : iterable of int
        Rows of its FIELD table.

    Returns
    -------
    dict of int to str
        ``'J2000'``, ``'ICRS'``, ``'B1950'``, ``'B1950_VLA'`` or ``'GALACTIC'``, by field. A column may have
        one frame for all rows, or name it row by row (``VarRefCol``).

    Raises
    ------
    MeasurementSetError
        If a frame depends on time or place (such as AZEL, APP or JMEAN), or there is none.
    """
    with casacore_tables.table(ms / "FIELD") as table:
        measure = table.getcolkeyword("PHASE_DIR", "MEASINFO")
        found = {field: _frame_name(table, measure, field) for field in fields}
    unknown = sorted(field for field, name in found.items() if name not in _FRAMES)
    if unknown:
        names = sorted({found[field] or "(none)" for field in unknown})
        shown = ", ".join(map(str, unknown[:5])) + (" …" if len(unknown) > 5 else "")
        raise MeasurementSetError(
            f"The directions of {len(unknown)} fields of {ms.name} are in the frame {', '.join(names)} "
            f"(fields {shown}).",
            hint=f"Supported are {', '.join(_FRAMES)}. CASA's phaseshift writes phase centres and UVW in "
            "J2000.",
        )
    return {field: _FRAMES[name] for field, name in found.items()}


def _frame_name(table: Any, measure: Mapping[str, Any], field: int) -> str:
    if "VarRefCol" not in measure:
        return str(measure.get("Ref", ""))
    code = table.getcell(str(measure["VarRefCol"]), field)
    if isinstance(code, str):
        return code
    codes = zip(np.atleast_1d(measure.get("TabRefCodes", ())), measure.get("TabRefTypes", ()), strict=True)
    return {int(number): str(name) for number, name in codes}.get(int(code), str(code))


def convert_direction(
    ra_rad: float, dec_rad: float, frame: str, target: str, time_mjd_s: float
) -> tuple[float, float, float]:
    """Convert a direction between frames that are fixed among the stars, as CASA does.

    Parameters
    ----------
    ra_rad, dec_rad : float
        Longitude and latitude in `frame`.
    frame, target : str
        As from `direction_frames`.
    time_mjd_s : float
        When it was observed: B1950 moves by 0.5″ per century among the stars.

    Returns
    -------
    ra_rad, dec_rad : float
        In `target`; as given where that is the frame.
    turn_rad : float
        Position angle, in `target`, of north in `frame`: baselines are turned by it, as (u, v) are along east
        and north of the frame of the phase centre.
    """
    if frame == target:
        return ra_rad, dec_rad, 0.0
    # Towards the equator: a step that passes a pole would turn north about.
    step = -_STEP_RAD if dec_rad > 0 else _STEP_RAD
    day = time_mjd_s / DAY_S
    ra, dec = _converted(ra_rad, dec_rad, frame, target, day)
    east, north, _ = direction_cosines(*_converted(ra_rad, dec_rad + step, frame, target, day), ra, dec)
    sign = math.copysign(1.0, step)
    return ra, dec, math.atan2(sign * float(east), sign * float(north))


def _converted(ra_rad: float, dec_rad: float, frame: str, target: str, mjd_utc: float) -> tuple[float, float]:
    measures = casa.tools().measures()
    try:
        measures.doframe(measures.epoch("UTC", f"{float(mjd_utc)!r}d"))
        direction = measures.direction(frame, f"{float(ra_rad)!r}rad", f"{float(dec_rad)!r}rad")
        found = measures.measure(direction, target)
        return float(found["m0"]["value"]), float(found["m1"]["value"])
    finally:
        measures.done()
