"""What the parameters of a simulated field may be."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING

from vlasscube.errors import QuantityError
from vlasscube.id_lists import parse_spw_group
from vlasscube.simulation.spectral_windows import ALL_SPWS, NATIVE_CHANNELS
from vlasscube.stokes_codes import CIRCULAR_CORRELATIONS

if TYPE_CHECKING:
    from vlasscube.simulation.parameters import FieldSimulation

CONFIGURATIONS = ("a", "b", "c", "d")
VLA_ANTENNAS = 27
LOWEST_ELEVATION_DEG = 8.0
"""The antennas do not go lower."""


def problems_of(p: FieldSimulation) -> list[str]:
    """Everything that is wrong with the parameters, in words."""
    rules = (*_geometry_rules(p), *_instrument_rules(p), *_sky_and_error_rules(p), *_continuum_rules(p))
    return [text for holds, text in rules if not holds]


def _geometry_rules(p: FieldSimulation) -> Iterator[tuple[bool, str]]:
    yield 0 <= p.ra_deg < 360, "ra_deg must lie within 0…360"
    yield -40 <= p.dec_deg <= 88, "dec_deg must lie within -40…88: seen by the VLA, and not too near the pole"
    yield (
        90 - p.zenith_distance_deg > LOWEST_ELEVATION_DEG,
        f"dec_deg and hour_angle_h put the field below an elevation of {LOWEST_ELEVATION_DEG:g} degrees",
    )
    counts = p.rows, p.fields_per_row, p.dumps_per_field
    yield min(counts) >= 1, "rows, fields_per_row and dumps_per_field must be at least 1"
    steps = p.row_spacing_arcmin, p.field_step_arcmin, p.integration_s
    yield min(steps) > 0, "row_spacing_arcmin, field_step_arcmin and integration_s must be positive"
    yield p.field_step_arcmin * p.fields_per_row <= 600, "a row must not be longer than 10 degrees"
    # At the pole the rows, which are circles of declination, would close upon themselves.
    highest = min(abs(p.dec_deg), 88.0) + (p.rows - 1) / 2 * p.row_spacing_arcmin / 60
    yield highest < 89.5, "rows must end half a degree before the pole"
    length = p.field_step_arcmin * p.fields_per_row / 60
    around = length < 180 * math.cos(math.radians(min(highest, 89.5)))
    yield around, "fields_per_row must not take a row half around the pole"
    starts = p.row_gap_s, p.first_field_id, p.first_scan
    yield min(starts) >= 0, "row_gap_s, first_field_id and first_scan must not be negative"
    beyond = p.later_fields, p.whole_observation_rows
    yield min(beyond) >= 0, "later_fields and whole_observation_rows must not be negative"
    yield min(p.imsize) >= 64, "imsize must be at least 64 in both directions"
    yield p.cell_arcsec > 0, "cell_arcsec must be positive"


def _instrument_rules(p: FieldSimulation) -> Iterator[tuple[bool, str]]:
    yield p.configuration in CONFIGURATIONS, f"configuration must be one of {', '.join(CONFIGURATIONS)}"
    yield p.antennas <= VLA_ANTENNAS, f"antennas must be at most {VLA_ANTENNAS}"
    # Self-calibration asks for four baselines per antenna.
    yield 0 <= p.missing_antennas <= p.antennas - 5, "at least 5 antennas must not be missing_antennas"
    spws = set(p.science_spws)
    ascending = list(p.science_spws) == sorted(spws) and spws <= set(ALL_SPWS)
    yield bool(spws) and ascending, "science_spws must be different, ascending numbers within 2…17"
    # The official pipeline takes windows of 1 and 4 channels for channel averages and radiometers.
    yield p.channels >= 2 and p.channels != 4, "channels must be at least 2, and not 4"
    divides = NATIVE_CHANNELS % max(p.channels, 1) == 0
    yield divides or not p.hanning, f"hanning needs channels to divide {NATIVE_CHANNELS}"
    yield p.positions_per_dump >= 3, "positions_per_dump must be at least 3"
    out = p.one_polarization_antennas, p.antennas_out_per_scan, p.basebands_out_per_scan
    yield (
        min(*out, p.antennas_without_solutions) >= 0
        and sum(out) + p.antennas_without_solutions <= max(p.antennas - p.missing_antennas - 5, 0),
        "one_polarization_antennas, antennas_out_per_scan, basebands_out_per_scan and "
        "antennas_without_solutions must not be negative and leave 5 antennas",
    )
    yield (
        all(_is_group(plane, spws) for plane in p.cube_spws),
        "cube_spws must consist of science_spws, comma-separated within a plane",
    )


def _is_group(text: str, spws: Collection[int]) -> bool:
    try:
        return set(parse_spw_group(text)) <= set(spws)
    except QuantityError:
        return False


def _sky_and_error_rules(p: FieldSimulation) -> Iterator[tuple[bool, str]]:
    yield p.points >= 1 and p.gaussians >= 0, "points must be at least 1 and gaussians not negative"
    low, high = p.flux_range_jy
    yield 0 < low <= high, "flux_range_jy must be positive and ascending"
    low, high = p.gaussian_fwhm_arcsec
    yield 0 < low <= high, "gaussian_fwhm_arcsec must be positive and ascending"
    low, high = p.double_separation_arcsec
    yield 0 < low <= high, "double_separation_arcsec must be positive and ascending"
    low, high = p.bright_flux_range_jy
    yield 0 < low <= high, "bright_flux_range_jy must be positive and ascending"
    counts = p.doubles, p.outside_sources, p.sidelobe_sources
    yield min(counts) >= 0, "doubles, outside_sources and sidelobe_sources must not be negative"
    yield p.beam_sidelobe or not p.sidelobe_sources, "sidelobe_sources need beam_sidelobe"
    errors = p.phase_gradient_deg, p.phase_drift_deg, p.amplitude_error, p.d_term_rms
    yield (
        min(errors) >= 0 and max(p.amplitude_error, p.d_term_rms) < 1,
        "phase_gradient_deg, phase_drift_deg, amplitude_error and d_term_rms must not be negative, "
        "the last two below 1",
    )
    yield p.edge_noise >= 1, "edge_noise must be at least 1"
    amounts = p.noise_scale, p.phase_error_deg, p.rfi_jy, p.nan_visibilities
    yield min(amounts) >= 0, "noise_scale, phase_error_deg, rfi_jy, nan_visibilities must not be negative"
    fractions = p.flagged_row_fraction, p.heavily_flagged_fraction
    yield (
        min(fractions) >= 0 and max(fractions) <= 1,
        "flagged_row_fraction and heavily_flagged_fraction must be 0…1",
    )
    affected = {*p.rfi_spws, *p.flagged_spws, *p.heavily_flagged_spws, *p.half_flagged_spws}
    yield (
        affected <= set(p.science_spws),
        "rfi_spws, flagged_spws, heavily_flagged_spws and half_flagged_spws must be science_spws",
    )
    fields = p.rows * p.fields_per_row
    yield 0 <= p.heavily_flagged_fields <= fields, f"heavily_flagged_fields must lie within 0…{fields}"
    is_known = p.flagged_correlation in ("", *CIRCULAR_CORRELATIONS)
    yield is_known, "flagged_correlation must be empty, RR, RL, LR or LL"
    yield p.beam_at in ("field", "dump", "otf"), "beam_at must be 'field', 'dump' or 'otf'"


def _continuum_rules(p: FieldSimulation) -> Iterator[tuple[bool, str]]:
    yield p.continuum_model in ("clean", "truth"), "continuum_model must be 'clean' or 'truth'"
    yield p.continuum_predict in ("tclean", "direct"), "continuum_predict must be 'tclean' or 'direct'"
    is_plain = re.fullmatch(r"[A-Za-z0-9_.+-]{0,100}", p.continuum_name, re.ASCII) is not None
    yield is_plain, "continuum_name must consist of letters, digits and . _ + -"
    cycles = p.continuum_major_cycles
    yield cycles == -1 or cycles > 0, "continuum_major_cycles must be positive, or -1 for no limit"
    consistent = p.continuum_predict != "direct" or p.continuum_model == "truth"
    yield consistent, "continuum_predict='direct' needs continuum_model='truth'"
