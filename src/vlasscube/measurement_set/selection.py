"""Which visibilities go into an image: fields near its centre, antennas, scans, spectral windows."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Collection, Sequence

import numpy as np

from vlasscube.constants import DAY_S, SPEED_OF_LIGHT_M_S
from vlasscube.errors import MeasurementSetError
from vlasscube.naming import is_vlass_field_name
from vlasscube.records import Antenna, DataSelection, Field, MeasurementSetSummary, Scan, SpectralWindow
from vlasscube.sky import arcsec_from_rad, offsets_arcsec, parse_phasecenter

FLAG_BOX_HALF_WIDTH_ARCSEC = 1800.0
"""Half-width of the central square degree, in which the flags of a plane are judged."""
DEFAULT_SEARCH_RADIUS_ARCSEC = 1000.0
"""Width of the margin around the square degree whose fields are imaged."""
TARGET_INTENT = "OBSERVE_TARGET"

# A field on the edge is outside, whatever the last bit of its offset is.
_EDGE_ARCSEC = 1e-6
_PAUSE_S = 0.5 * DAY_S
"""Between two observations; within one it is never as long."""
_PLAIN_INTENT = re.compile(r"[A-Z_]+#[A-Z0-9_]+")


def field_box_half_widths(
    search_radius_arcsec: float | None = None,
    cutout_imsize: tuple[int, int] | None = None,
    cell_arcsec: float | None = None,
) -> tuple[float, float]:
    """Half-widths of the box whose fields are imaged.

    Parameters
    ----------
    search_radius_arcsec : float, optional
        Margin around the square degree; 1000″ if None.
    cutout_imsize : tuple of int, optional
        Size of the cutout in pixels; if given, the box is the cutout, without a margin.
    cell_arcsec : float, optional
        Pixel size; 0.6″ if None. Used with `cutout_imsize` only.

    Returns
    -------
    tuple of float
        In right ascension and in declination, arcsec.
    """
    if cutout_imsize is not None:
        cell = 0.6 if cell_arcsec is None else cell_arcsec
        return cell * cutout_imsize[0] / 2, cell * cutout_imsize[1] / 2
    radius = DEFAULT_SEARCH_RADIUS_ARCSEC if search_radius_arcsec is None else search_radius_arcsec
    return FLAG_BOX_HALF_WIDTH_ARCSEC + radius, FLAG_BOX_HALF_WIDTH_ARCSEC + radius


def fields_in_box(
    fields: Sequence[Field],
    phasecenter: str | tuple[float, float],
    half_width_arcsec: float | tuple[float, float],
) -> tuple[int, ...]:
    """Target fields whose centres lie in a box on the sky.

    Parameters
    ----------
    fields : sequence of Field
        Fields of the measurement set.
    phasecenter : str or tuple of float
        Centre of the box: in CASA's notation, or right ascension and declination in degrees.
    half_width_arcsec : float or tuple of float
        Half-width (in both axes, or in longitude and in latitude); a field on the edge is outside.

    Returns
    -------
    tuple of int
        Field ids, ascending: fields named as VLASS names them and observed as targets.
    """
    ra0, dec0 = parse_phasecenter(phasecenter)[:2] if isinstance(phasecenter, str) else phasecenter
    widths = half_width_arcsec if isinstance(half_width_arcsec, tuple) else (half_width_arcsec,) * 2
    candidates = [field for field in fields if field.intent_target and is_vlass_field_name(field.name)]
    lon, lat = offsets_arcsec(
        np.array([field.ra_deg for field in candidates]),
        np.array([field.dec_deg for field in candidates]),
        ra0,
        dec0,
    )
    inside = (np.abs(lon) < widths[0] - _EDGE_ARCSEC) & (np.abs(lat) < widths[1] - _EDGE_ARCSEC)
    return tuple(sorted(field.id for field, keep in zip(candidates, inside, strict=True) if keep))


def majority_antennas(antennas: Sequence[Antenna]) -> str:
    """Select the antennas with the most frequent diameter, cross-correlations only: ``'0,1,2&'``.

    Places of the array without an antenna, which have rows with a diameter of 0, do not count.

    Raises
    ------
    MeasurementSetError
        If there are none.
    """
    counts = Counter(round(antenna.diameter_m, 2) for antenna in antennas if antenna.diameter_m > 0)
    if not counts:
        raise MeasurementSetError("The measurement set has no antennas.", hint="Check its ANTENNA table.")
    diameter = max(counts, key=lambda size: (counts[size], size))
    ids = sorted(antenna.id for antenna in antennas if round(antenna.diameter_m, 2) == diameter)
    return f"{','.join(map(str, ids))}&"


def target_scans(summary: MeasurementSetSummary, field_ids: Collection[int]) -> tuple[int, ...]:
    """Scans in which the fields may have been observed as targets.

    Parameters
    ----------
    summary : MeasurementSetSummary
        Summary of the measurement set.
    field_ids : collection of int
        The fields; empty for all.

    Returns
    -------
    tuple of int
        Numbers of the scans with a target intent, from the first scan of the fields on. Later scans stay in:
        a field may have been observed twice, and only its first scan is on record.
    """
    firsts = [field.scan for field in summary.fields if not field_ids or field.id in field_ids]
    first = min((scan for scan in firsts if scan >= 0), default=0)
    return tuple(
        sorted(
            {
                scan.number
                for scan in summary.scans
                if scan.number >= first and any(TARGET_INTENT in intent for intent in scan.intents)
            }
        )
    )


def middle_of_observation_mjd_s(scans: Sequence[Scan]) -> float:
    """Middle between the start of the first and the end of the last scan, UTC.

    Of several observations on different days, the one with the longest scans together counts: between them
    the field may not even be above the horizon.
    """
    groups: list[list[Scan]] = []
    for scan in sorted(scans, key=lambda scan: scan.start_mjd_s):
        if groups and scan.start_mjd_s - max(other.end_mjd_s for other in groups[-1]) <= _PAUSE_S:
            groups[-1].append(scan)
        else:
            groups.append([scan])
    longest = max(groups, key=lambda group: sum(scan.end_mjd_s - scan.start_mjd_s for scan in group))
    return 0.5 * (longest[0].start_mjd_s + max(scan.end_mjd_s for scan in longest))


def target_intent(summary: MeasurementSetSummary) -> str:
    """Select the target intents of the measurement set, e.g. ``'OBSERVE_TARGET#UNSPECIFIED'``."""
    scans = [scan.intents for scan in summary.scans if any(TARGET_INTENT in name for name in scan.intents)]
    intents = {intent for names in scans for intent in names}
    # An intent is free text; one that CASA's selection would not take literally is matched by its core. So is
    # one that shares its state with others: CASA compares with the text of the whole state.
    several = any(len(names) > 1 for names in scans)
    if not intents or several or not all(_PLAIN_INTENT.fullmatch(intent) for intent in intents):
        return f"*{TARGET_INTENT}*"
    return ",".join(sorted(intents))


def data_selection(
    summary: MeasurementSetSummary,
    field_ids: Collection[int],
    spw: str,
    uvrange: str = "<12km",
) -> DataSelection:
    """Select the visibilities of an image in CASA's syntax.

    Parameters
    ----------
    summary : MeasurementSetSummary
        Summary of the measurement set.
    field_ids : collection of int
        From `fields_in_box`.
    spw : str
        Ids of the spectral windows, e.g. ``'2,3,4'``.
    uvrange : str
        Baseline lengths.

    Raises
    ------
    MeasurementSetError
        If there is no field: an empty selection would mean everything to CASA.
    """
    if not field_ids or not spw:
        raise MeasurementSetError(
            "No data are selected: no target field is near the phase centre."
            if spw
            else "No data are selected: there is no spectral window.",
            hint="Compare phasecenter in the parameter lists with the fields of the measurement set.",
        )
    return DataSelection(
        field=",".join(map(str, sorted(field_ids))),
        spw=spw,
        antenna=majority_antennas(summary.antennas),
        scan=",".join(map(str, target_scans(summary, field_ids))),
        intent=target_intent(summary),
        uvrange=uvrange,
    )


def spw_group_mean_frequency_hz(windows: Sequence[SpectralWindow], spw_ids: Sequence[int]) -> float:
    """Mean of the mean frequencies of the spectral windows of a group.

    Raises
    ------
    MeasurementSetError
        If one of them has no data.
    """
    known = {window.id: window.mean_frequency_hz for window in windows}
    absent = [spw for spw in spw_ids if spw not in known]
    if absent or not spw_ids:
        raise MeasurementSetError(
            f"No data of spectral window {', '.join(map(str, absent)) or '(none given)'}.",
            hint=f"The measurement set has {', '.join(map(str, sorted(known))) or 'none'}.",
        )
    return math.fsum(known[spw] for spw in spw_ids) / len(spw_ids)


def optimum_size(n: int) -> int:
    """Smallest even image size from `n` on whose only prime factors are 2, 3 and 5, good for FFTs.

    The same as CASA's ``synthesisutils.getOptimumSize`` (which, unlike its documentation, avoids 7).
    """
    size = max(n, 2) + max(n, 2) % 2
    while not _is_smooth(size):
        size += 2
    return size


def _is_smooth(n: int) -> bool:
    for prime in (2, 3, 5):
        while n % prime == 0:
            n //= prime
    return n == 1


def cutout_image_size(
    size: int, cell_arcsec: float, lowest_frequency_hz: float, diameter_m: float = 25.0
) -> int:
    """Size of the image that a cutout of `size` pixels is cut from.

    The cutout and a margin of three quarters of the primary beam (1.22 λ/D at the lowest frequency) on each
    side, rounded up by `optimum_size`.
    """
    beam_arcsec = arcsec_from_rad(1.22 * SPEED_OF_LIGHT_M_S / lowest_frequency_hz / diameter_m)
    return optimum_size(size + 2 * math.ceil(0.5 * 1.5 * beam_arcsec / cell_arcsec))
