"""The parameters of a simulated field."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from vlasscube.errors import ProblemListError
from vlasscube.simulation.parameter_rules import problems_of
from vlasscube.simulation.spectral_windows import ALL_SPWS
from vlasscube.sky import format_phasecenter, right_ascension_parts, sexagesimal_parts

VLA_LATITUDE_RAD = math.radians(34.0787)


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
    """Hour angle of the image centre at mid-observation; with `dec_deg` it decides the zenith distance."""
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
    sources_on_pixels: bool = True
    """Put the sources on pixel centres if `continuum_model` is ``'truth'``; clean makes that easy and the sky
    does not."""
    gaussian_fwhm_arcsec: tuple[float, float] = (20.0, 40.0)
    doubles: int = 0
    """Pairs of points, besides `points`."""
    double_separation_arcsec: tuple[float, float] = (10.0, 30.0)
    outside_sources: int = 0
    """Bright points beyond the border of the image, where the pointings' beams still reach."""
    sidelobe_sources: int = 0
    """Bright points in the first sidelobe of the middle of the mosaic at the middle frequency."""
    bright_flux_range_jy: tuple[float, float] = (1.0, 3.0)
    """Of `outside_sources` and `sidelobe_sources`, at 3 GHz."""

    # --- errors
    noise_scale: float = 1.0
    """Multiplies the noise that follows from the SEFD; 0 for none."""
    phase_error_deg: float = 10.0
    """Rms of the phase error of an antenna in a scan; the same for R and L."""
    phase_gradient_deg: float = 0.0
    """Rms of a phase that grows across the array, at its edge, in a scan: it shifts the sky, and only
    self-calibration on a model at the true places takes it out."""
    phase_drift_deg: float = 0.0
    """Rms within a scan of the phase error of an antenna that changes linearly through it."""
    amplitude_error: float = 0.0
    """Rms of the logarithm of an antenna's gain in a scan and spectral window, independent for R and L."""
    antennas_without_solutions: int = 0
    """Antennas whose self-calibration solutions are flagged in all scans."""
    beam_at: Literal["field", "dump", "otf"] = "field"
    """Centre of the primary beam: the field's phase centre, as CASA assumes; the true pointing in the middle
    of each dump; or moving through each dump as it does on the sky."""
    positions_per_dump: int = 3
    """Positions over which ``beam_at='otf'`` averages, by Gauss–Legendre quadrature."""
    beam_sidelobe: bool = False
    """Whether the beam goes on beyond its first null; see `vlasscube.simulation.beam`."""
    leakage_beam: bool = False
    """Whether the beam makes polarisation off its axis; see `vlasscube.simulation.leakage`."""
    d_term_rms: float = 0.0
    """Modulus (rms) of the complex D-terms that calibration left, one an antenna, receiver and window."""
    ionospheric_rm_rad_m2: float = 0.0
    """Rotation measure of the ionosphere at mid-observation, less that of the angle calibrator's scan."""
    ionospheric_rm_rate_rad_m2_h: float = 0.0
    """Its change in an hour."""
    hanning: bool = False
    """Smooth the noise over channels of 2 MHz, as the calibration of VLASS does."""
    channel_smearing: bool = False
    """Average the sources' signal over channels of 2 MHz, Hanning-smoothed with `hanning`; otherwise a
    channel sees one frequency."""
    edge_noise: float = 1.0
    """Noise at the ends of a window relative to its middle."""
    flagged_row_fraction: float = 0.01
    """Fraction of the rows, chosen at random, that is flagged in the measurement set."""
    half_flagged_spws: tuple[int, ...] = ()
    """Spectral windows of which the lower half of the channels is flagged."""
    one_polarization_antennas: int = 0
    """Antennas of which one receiver, R or L, is flagged."""
    antennas_out_per_scan: int = 0
    """Antennas without data in a scan, drawn anew for each."""
    basebands_out_per_scan: int = 0
    """Antennas that lack one of their basebands (windows to 9, from 10) in a scan, drawn anew for each."""
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
        problems = problems_of(self)
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
    def zenith_distance_deg(self) -> float:
        """Zenith distance of the image centre at mid-observation, refraction and precession left out."""
        dec, hour_angle = math.radians(self.dec_deg), math.radians(15 * self.hour_angle_h)
        sine = math.sin(VLA_LATITUDE_RAD) * math.sin(dec)
        cosine = math.cos(VLA_LATITUDE_RAD) * math.cos(dec) * math.cos(hour_angle)
        return math.degrees(math.acos(min(1.0, sine + cosine)))

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
