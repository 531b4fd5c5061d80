"""The parameters of a simulated field, and ready-made sets of them."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any, Literal

from vlasscube.errors import ProblemListError, QuantityError
from vlasscube.id_lists import parse_spw_group
from vlasscube.sky import format_phasecenter, right_ascension_parts, sexagesimal_parts
from vlasscube.stokes_codes import CIRCULAR_CORRELATIONS

ALL_SPWS = tuple(range(2, 18))
SPW_COUNT = 18
BANDWIDTH_HZ = 128e6
CONFIGURATIONS = ("a", "b", "c", "d")
VLA_ANTENNAS = 27


@dataclass(frozen=True)
class FieldSimulation:
    """A simulated per-image measurement set and its continuum run.

    The defaults are VLASS's where a number is given by the survey.
    """

    name: str

    # --- where and when
    fsid: str = "VLASS2.1.sb38546349.eb38559922.59066.15098736111"
    """Root of the measurement set's name."""
    epoch: str = "2.1"
    tile: str = "T19t15"
    ra_deg: float = 150.0
    """Image centre."""
    dec_deg: float = 34.0
    hour_angle_h: float = 0.5
    """Hour angle of the image centre at mid-observation."""
    start_mjd: float = 59066.15
    """The observation is at the given hour angle within one day from here."""

    # --- pointings
    rows: int = 2
    """Rows of the mosaic; each is one scan."""
    fields_per_row: int = 5
    row_spacing_arcmin: float = 7.2
    field_step_arcmin: float = 2.98
    dumps_per_field: int = 2
    integration_s: float = 0.45
    row_gap_s: float = 180.0
    """From the end of a row to the start of the next."""
    first_field_id: int = 5
    """Field ids below exist in FIELD, far from the image and without data."""
    first_scan: int = 346
    later_fields: int = 0
    """Fields without data after the last one with data."""
    whole_observation_rows: int = 0
    """Rows of POINTING and SYSPOWER, which a set from the archive has of the whole observation; with them
    come its other subtables, and a place of the array without an antenna. 0 for what the field itself has."""

    # --- array and spectral windows
    configuration: Literal["a", "b", "c", "d"] = "d"
    antennas: int = 25
    missing_antennas: int = 0
    """Antennas of the ANTENNA table, among `antennas`, that have no data."""
    science_spws: tuple[int, ...] = ALL_SPWS
    """Spectral windows with data; SPECTRAL_WINDOW always has ids 0…17."""
    channels: int = 64
    """Per science spectral window of 128 MHz."""

    # --- images
    imsize: tuple[int, int] = (12500, 12500)
    cell_arcsec: float = 0.6
    cutout_imsize: tuple[int, int] | None = None
    """Put into the parameter lists when given."""
    cube_spws: tuple[str, ...] = ()
    """Planes of the CCIP list (``'2'`` or ``'2,3'``); one per science spectral window by default."""

    # --- sky
    points: int = 8
    gaussians: int = 0
    flux_range_jy: tuple[float, float] = (0.03, 0.4)
    """Range of the sources' flux densities at 3 GHz."""
    source_margin_arcmin: float = 4.0
    """Sources lie within the rectangle of the pointing centres widened by this."""
    separation_arcmin: float = 3.0
    gaussian_fwhm_arcsec: tuple[float, float] = (20.0, 40.0)

    # --- errors
    noise_scale: float = 1.0
    """Multiplies the noise that follows from the SEFD; 0 for none."""
    phase_error_deg: float = 10.0
    """Rms of the phase error of an antenna in a scan; the same for R and L."""
    beam_at: Literal["field", "dump"] = "field"
    """Centre of the primary beam: the field's phase centre, as CASA assumes, or each dump's true pointing."""
    flagged_row_fraction: float = 0.01
    """Fraction of the rows, chosen at random, that is flagged in the measurement set."""
    rfi_spws: tuple[int, ...] = ()
    """Spectral windows with interference, which the continuum run flags."""
    rfi_jy: float = 1.0
    flagged_spws: tuple[int, ...] = ()
    """Spectral windows that the continuum run flags completely."""
    heavily_flagged_spws: tuple[int, ...] = ()
    heavily_flagged_fields: int = 0
    """Number of fields flagged to `heavily_flagged_fraction` in those spectral windows."""
    heavily_flagged_fraction: float = 0.95
    nan_visibilities: int = 0
    """Number of NaN visibilities, all of them flagged, as CASA's tasks leave them."""
    flagged_correlation: str = ""
    """Correlation flagged on all baselines of antenna 0 throughout, e.g. ``'LL'``."""

    # --- continuum run
    continuum_model: Literal["clean", "truth"] = "clean"
    """Self-calibration model by imaging the data, or from the true sky (for images too large to clean)."""
    continuum_predict: Literal["tclean", "direct"] = "tclean"
    """MODEL_DATA by tclean from the model images, as production and the restore stage do, or a direct sum."""
    continuum_major_cycles: int = -1
    """Limit of the first clean, -1 for none. A handful suffices for phase self-calibration and saves time."""
    continuum_name: str = ""
    """Image name of a user's own continuum run; by default that of production."""
    keep_final_state: bool = True
    """Write the continuum run's final state to ``truth/continuum_final.npz``."""

    def __post_init__(self) -> None:
        problems = list(_problems(self))
        if problems:
            raise ProblemListError(f"the parameters of simulation '{self.name}' cannot be used", problems)

    @property
    def spw_string(self) -> str:
        """Science spectral windows as CASA selects them, e.g. ``'2,3,4'``."""
        return ",".join(map(str, self.science_spws))

    @property
    def planes(self) -> tuple[str, ...]:
        """Value of ``spw`` in the CCIP list."""
        return self.cube_spws or tuple(map(str, self.science_spws))

    @property
    def centre_rad(self) -> tuple[float, float]:
        """Right ascension and declination of the image centre."""
        return math.radians(self.ra_deg), math.radians(self.dec_deg)

    @property
    def phasecenter(self) -> str:
        """Image centre as the parameter lists write it."""
        return format_phasecenter(self.ra_deg, self.dec_deg)

    @property
    def input_ms(self) -> str:
        """Name of the per-image measurement set."""
        return f"{self.fsid}_split.ms"

    @property
    def working_ms(self) -> str:
        """Name that the measurement set has after the workflow's split."""
        return f"{self.fsid}_split_split.ms"

    def image_name(self, product: Literal["se", "cc"]) -> str:
        """Image name of the continuum (``se``) or cube (``cc``) product."""
        if product == "se" and self.continuum_name:
            return self.continuum_name
        hours, minutes, seconds = right_ascension_parts(self.ra_deg, 0)
        degrees, arcminutes, arcseconds = sexagesimal_parts(abs(self.dec_deg), 0)
        sign = "-" if self.dec_deg < 0 else "+"
        position = (
            f"J{hours:02d}{minutes:02d}{seconds:02.0f}{sign}{degrees:02d}{arcminutes:02d}{arcseconds:02.0f}"
        )
        return (
            f"VLASS{self.epoch}.{product}.{self.tile}.{position}.{round(self.cell_arcsec * 10):02d}.2048.v1"
        )


def spw_mean_frequency_hz(spw: int) -> float:
    """Mean frequency of a VLASS science spectral window, 2.028 GHz + 128 MHz per window from number 2."""
    return 2.028e9 + BANDWIDTH_HZ * (spw - 2)


def _problems(p: FieldSimulation) -> list[str]:
    """Everything that is wrong with the parameters, in words."""
    rules = (*_geometry_rules(p), *_instrument_rules(p), *_sky_and_error_rules(p), *_continuum_rules(p))
    return [text for holds, text in rules if not holds]


def _geometry_rules(p: FieldSimulation) -> Iterator[tuple[bool, str]]:
    yield 0 <= p.ra_deg < 360, "ra_deg must lie within 0…360"
    yield -40 <= p.dec_deg <= 85, "dec_deg must lie within -40…85: seen by the VLA, and not too near the pole"
    counts = p.rows, p.fields_per_row, p.dumps_per_field
    yield min(counts) >= 1, "rows, fields_per_row and dumps_per_field must be at least 1"
    steps = p.row_spacing_arcmin, p.field_step_arcmin, p.integration_s
    yield min(steps) > 0, "row_spacing_arcmin, field_step_arcmin and integration_s must be positive"
    yield p.field_step_arcmin * p.fields_per_row <= 600, "a row must not be longer than 10 degrees"
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
    amounts = p.noise_scale, p.phase_error_deg, p.rfi_jy, p.nan_visibilities
    yield min(amounts) >= 0, "noise_scale, phase_error_deg, rfi_jy, nan_visibilities must not be negative"
    fractions = p.flagged_row_fraction, p.heavily_flagged_fraction
    yield (
        min(fractions) >= 0 and max(fractions) <= 1,
        "flagged_row_fraction and heavily_flagged_fraction must be 0…1",
    )
    affected = {*p.rfi_spws, *p.flagged_spws, *p.heavily_flagged_spws}
    yield affected <= set(p.science_spws), "rfi_spws, flagged_spws, heavily_flagged_spws must be science_spws"
    fields = p.rows * p.fields_per_row
    yield 0 <= p.heavily_flagged_fields <= fields, f"heavily_flagged_fields must lie within 0…{fields}"
    is_known = p.flagged_correlation in ("", *CIRCULAR_CORRELATIONS)
    yield is_known, "flagged_correlation must be empty, RR, RL, LR or LL"
    yield p.beam_at in ("field", "dump"), "beam_at must be 'field' or 'dump'"


def _continuum_rules(p: FieldSimulation) -> Iterator[tuple[bool, str]]:
    yield p.continuum_model in ("clean", "truth"), "continuum_model must be 'clean' or 'truth'"
    yield p.continuum_predict in ("tclean", "direct"), "continuum_predict must be 'tclean' or 'direct'"
    is_plain = re.fullmatch(r"[A-Za-z0-9_.+-]{0,100}", p.continuum_name, re.ASCII) is not None
    yield is_plain, "continuum_name must consist of letters, digits and . _ + -"
    cycles = p.continuum_major_cycles
    yield cycles == -1 or cycles > 0, "continuum_major_cycles must be positive, or -1 for no limit"
    consistent = p.continuum_predict != "direct" or p.continuum_model == "truth"
    yield consistent, "continuum_predict='direct' needs continuum_model='truth'"


_SMALL = FieldSimulation(
    name="small",
    channels=8,
    science_spws=(2, 3, 4),
    imsize=(320, 320),
    cell_arcsec=8.0,
)

PRESETS: dict[str, FieldSimulation] = {
    "tiny": dataclasses.replace(
        _SMALL,
        name="tiny",
        fields_per_row=4,
        points=6,
        flux_range_jy=(0.05, 0.3),
        rfi_spws=(3,),
        continuum_major_cycles=5,
    ),
    "demo": dataclasses.replace(
        _SMALL,
        name="demo",
        science_spws=ALL_SPWS,
        imsize=(512, 512),
        cell_arcsec=4.8,
        points=8,
        gaussians=2,
        rfi_spws=(3, 4, 16),
        flagged_spws=(17,),
        continuum_model="truth",
        continuum_predict="direct",
    ),
    "wide": dataclasses.replace(
        _SMALL,
        name="wide",
        antennas=15,
        rows=13,
        fields_per_row=31,
        science_spws=(2, 8, 14),
        imsize=(1440, 1440),
        cell_arcsec=5.0,
        points=40,
        gaussians=6,
        first_field_id=23000,
        continuum_model="truth",
        continuum_predict="direct",
        keep_final_state=False,
    ),
    "archive": dataclasses.replace(
        _SMALL,
        name="archive",
        rows=7,
        fields_per_row=9,
        antennas=10,
        science_spws=(2, 3),
        first_field_id=8000,
        later_fields=14358 - 8000 - 63,
        imsize=(512, 512),
        whole_observation_rows=3_300_000,
        continuum_model="truth",
        continuum_predict="direct",
    ),
    "production": FieldSimulation(
        name="production",
        rows=13,
        fields_per_row=31,
        configuration="b",
        science_spws=(10,),
        points=60,
        gaussians=10,
        flux_range_jy=(0.003, 0.3),
        separation_arcmin=1.0,
        gaussian_fwhm_arcsec=(4.0, 12.0),
        first_field_id=23000,
        rfi_spws=(10,),
        continuum_model="truth",
        continuum_predict="direct",
        keep_final_state=False,
    ),
}
"""``tiny`` for tests, ``demo`` to look at, ``wide`` (2°, coarse pixels), ``archive`` (little data among
subtables as long as in the archive), ``production`` (full size)."""


def preset(name: str, **overrides: Any) -> FieldSimulation:
    """Take a preset and change some of its parameters.

    Raises
    ------
    ProblemListError
        If there is no such preset or parameter, or the parameters contradict each other.
    """
    if name not in PRESETS:
        raise ProblemListError(f"there is no preset '{name}'", [f"known: {', '.join(PRESETS)}"])
    known = {field.name for field in dataclasses.fields(FieldSimulation)}
    unknown = [f"unknown parameter: {key}" for key in overrides if key not in known]
    if unknown:
        raise ProblemListError("the simulation cannot be set up", unknown)
    return dataclasses.replace(PRESETS[name], **overrides)
