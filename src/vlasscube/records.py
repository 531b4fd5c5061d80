"""The typed records that flow from stage to stage.

Every record is a frozen dataclass of plain values: it serialises to JSON and back without loss
(`vlasscube.workspace.record_json`). Lengths, angles and frequencies carry their unit in the name.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal

from vlasscube import naming
from vlasscube.clean_terms import CleanMask, StopCode

STOKES = ("I", "Q", "U", "V")


class Outcome(StrEnum):
    """The one outcome that every requested plane ends with."""

    IMAGED = "imaged"
    REJECTED = "rejected"
    """Imaged and exported, but marked: its beam or its flags are out of bounds, or its clean diverged."""
    FLAGGED = "flagged"
    """Not imaged because of its flags: no unflagged data, or too many heavily flagged fields."""
    EMPTY = "empty"
    """No data at all in the field box."""
    FAILED = "failed"

    @property
    def has_images(self) -> bool:
        """Whether images of the plane exist."""
        return self in (Outcome.IMAGED, Outcome.REJECTED)


@dataclass(frozen=True)
class Message:
    """Something the user should read."""

    level: Literal["info", "warning", "error"]
    text: str
    hint: str = ""


@dataclass(frozen=True)
class Beam:
    """An elliptical Gaussian restoring beam; FWHM axes, position angle east of north."""

    bmaj_arcsec: float
    bmin_arcsec: float
    bpa_deg: float

    def __post_init__(self) -> None:
        if not all(map(math.isfinite, (self.bmaj_arcsec, self.bmin_arcsec, self.bpa_deg))):
            raise ValueError("a beam needs finite axes and position angle")
        if not self.bmaj_arcsec >= self.bmin_arcsec > 0:
            raise ValueError(
                f"a beam needs bmaj >= bmin > 0, not {self.bmaj_arcsec} x {self.bmin_arcsec} arcsec"
            )


@dataclass(frozen=True)
class FileRecord:
    """An output as it was made: path relative to the run directory, size, and a digest.

    ``digest`` is the SHA-256 of a file; for a directory (a CASA image or table) ``tree:`` and the SHA-256 of
    names, sizes, and the content of small or the modification times of large files, casacore's bookkeeping
    left out; empty for what later steps are meant to change.
    """

    path: str
    size_bytes: int
    digest: str
    content: str = ""
    """Of a directory with large files, a digest of their contents, which a copy of it has, too."""


# ------------------------------------------------------------------------------------------ measurement set


@dataclass(frozen=True)
class SpectralWindow:
    """A spectral window of the measurement set; frequencies as recorded (topocentric)."""

    id: int
    name: str
    mean_frequency_hz: float
    bandwidth_hz: float
    channel_width_hz: float
    channels: int
    rows: int
    """Number of main-table rows."""


@dataclass(frozen=True)
class Field:
    """A field (on-the-fly phase centre); position in degrees, J2000."""

    id: int
    name: str
    ra_deg: float
    dec_deg: float
    scan: int
    """First scan of the field, -1 without data."""
    intent_target: bool
    """Whether it was observed with an OBSERVE_TARGET intent."""


@dataclass(frozen=True)
class Antenna:
    """An antenna of the measurement set."""

    id: int
    name: str
    diameter_m: float


@dataclass(frozen=True)
class Scan:
    """A scan: number and its first and last time as MJD seconds (UTC), intervals included."""

    number: int
    start_mjd_s: float
    end_mjd_s: float
    intents: tuple[str, ...]
    observation: int = 0
    """Row of the OBSERVATION table; in a set of several observations numbers of scans come again."""


@dataclass(frozen=True)
class MeasurementSetSummary:
    """What the workflow needs to know of a measurement set."""

    name: str
    telescope: str
    observer: str
    project: str
    rows: int
    size_bytes: int
    columns: tuple[str, ...]
    correlations: tuple[str, ...]
    integration_s: float
    start_mjd_s: float
    end_mjd_s: float
    spectral_windows: tuple[SpectralWindow, ...]
    """Spectral windows with data."""
    spectral_window_count: int
    """Rows of the SPECTRAL_WINDOW table."""
    fields: tuple[Field, ...]
    """Fields with data."""
    antennas: tuple[Antenna, ...]
    scans: tuple[Scan, ...]
    field_rows: int = 0
    """Rows of the FIELD table, most of which may be without data; 0 if not counted."""
    converted_frames: tuple[str, ...] = ()
    """Frames other than J2000 that the FIELD table has directions in; positions of fields are converted."""


@dataclass(frozen=True)
class FlagCount:
    """Flagged and total visibilities (channels × correlations) of a selection."""

    flagged: int
    total: int

    @property
    def fraction(self) -> float | None:
        """Flagged fraction; None without data."""
        return self.flagged / self.total if self.total else None

    def __add__(self, other: FlagCount) -> FlagCount:
        return FlagCount(self.flagged + other.flagged, self.total + other.total)


@dataclass(frozen=True)
class FieldFlags:
    """Flag counts of one field, by spectral window id."""

    field_id: int
    name: str
    scan: int
    by_spw: Mapping[int, FlagCount]
    incomplete: Mapping[int, int] = field(default_factory=dict)
    """Unflagged visibilities, by spectral window (if any), that are not imaged: another correlation of their
    row and channel is flagged."""

    def over(self, spw_ids: Collection[int]) -> FlagCount:
        """Sum over a group of spectral windows."""
        return sum((count for spw, count in self.by_spw.items() if spw in spw_ids), FlagCount(0, 0))


# ------------------------------------------------------------------------------------------------ imaging


@dataclass(frozen=True)
class ImageGeometry:
    """Size, pixel and centre of the images."""

    nx: int
    ny: int
    cell_arcsec: float
    phasecenter: str
    """As given, e.g. ``'J2000 00:50:0.366 -02.30.0.0000'``."""


@dataclass(frozen=True)
class DataSelection:
    """The visibilities of an image, in CASA's selection syntax."""

    field: str
    spw: str
    antenna: str
    scan: str
    intent: str
    uvrange: str


@dataclass(frozen=True)
class PlaneTarget:
    """One plane of the cube: a spectral-window group and how it is to be imaged."""

    spw: str
    """As requested, e.g. ``'2'`` or ``'2,3,4'``."""
    spw_ids: tuple[int, ...]
    label: str
    """``spw2``, ``spw2_3_4``: names the plane in files, records and on pages."""
    image_root: str
    """``s7_0.<name>.spw2.IQUV``."""
    reffreq_hz: float
    selection: DataSelection
    nominal_bandwidth_hz: float
    flags: FlagCount
    """Flags in the region that the flag rule applies to."""
    box_flags: FlagCount
    """Flags in the fields of the central square degree."""
    fields_above_threshold: int
    """Fields of the central square degree flagged above the plane-rejection threshold."""
    outcome: Outcome | None
    """Outcome known before imaging: flagged or empty (not imaged), or rejected by flags (imaged, marked)."""
    reason: str = ""


@dataclass(frozen=True)
class ObservedTime:
    """When the data of a plane were taken: those that are imaged, by the weights they are imaged with.

    MJD in seconds (UTC), times of the middle of integrations.
    """

    first_mjd_s: float
    last_mjd_s: float
    mean_mjd_s: float
    """ΣWt / ΣW."""


@dataclass(frozen=True)
class SpectralCoverage:
    """Where in frequency the data of a plane are, by the weights they are imaged with.

    All frequencies are topocentric, as the value of the images' frequency axis is: that is the mean of the
    channel frequencies as recorded, whatever is flagged.
    """

    effective_frequency_hz: float
    """ΣWν / ΣW: what a spectrum that is a straight line over the plane has the plane's value at."""
    mean_lambda2_m2: float
    """ΣWλ² / ΣW: what a polarisation angle that turns with λ² has the plane's value at."""
    effective_bandwidth_hz: float
    """(ΣW)² / Σ(W²/Δν), W the weight of a channel and Δν its width: the width of an evenly weighted band
    of the same noise."""


@dataclass(frozen=True)
class NoncoplanarEffect:
    """What leaving w out does to the point sources of a plane where its primary beam is 0.5 or more.

    Expected from the planes that the baselines lie in, the weights of the pointings and the restoring beam;
    see `vlasscube.mosaic.noncoplanar`. With w-correction there is none.
    """

    peak_fraction: float
    """Median of the peak that is left of a point source; 1 is all of it."""
    worst_peak_fraction: float
    """The smallest one."""
    shift_east_arcsec: float
    """Mean displacement of the sources in the image, before any position correction."""
    shift_north_arcsec: float

    @property
    def loss(self) -> float:
        """Median of the peak that is lost, as a fraction."""
        return 1.0 - self.peak_fraction

    @property
    def shift_arcsec(self) -> float:
        """Size of the displacement."""
        return math.hypot(self.shift_east_arcsec, self.shift_north_arcsec)


@dataclass(frozen=True)
class CleanCycles:
    """Course of the clean of one Stokes plane, one entry per major cycle."""

    iterations: tuple[int, ...]
    """Cumulative number of minor-cycle iterations."""
    peak_residual_jy: tuple[float, ...]
    model_flux_jy: tuple[float, ...]
    start_peak_residual_jy: tuple[float, ...]


@dataclass(frozen=True)
class PlaneStatistics:
    """Statistics of one Stokes plane of an image, NaN pixels left out; None where nothing is left."""

    npts: int
    max: float | None
    min: float | None
    mean: float | None
    median: float | None
    sigma: float | None
    madrms: float | None
    """1.4826 × median absolute deviation from the median."""

    @property
    def peak(self) -> float | None:
        """Max or min, whichever is larger in absolute value (with its sign)."""
        if self.max is None or self.min is None:
            return None
        return self.max if abs(self.max) > abs(self.min) else self.min

    @property
    def max_over_madrms(self) -> float | None:
        """Maximum over scaled MAD; None without pixels or without noise."""
        return self.max / self.madrms if self.max is not None and self.madrms else None


@dataclass(frozen=True)
class IterationStatistics:
    """Numbers of one iteration and Stokes plane, Jy or Jy/beam."""

    residual_peak: float | None
    residual_madrms: float | None
    image_max: float | None
    image_min: float | None
    image_rms: float | None
    """Scaled MAD of the restored image, not primary-beam corrected; None without one."""
    model_flux_positive: float
    model_flux_negative: float
    model_flux_inner: float
    """Sum of the model within the inner square degree."""


@dataclass(frozen=True)
class Iteration:
    """One of iter0 … iter3 of a plane."""

    number: int
    mask: CleanMask
    nsigma: float
    iterations_done: int
    major_cycles: int
    stop_code: StopCode
    cycles: Mapping[str, CleanCycles]
    """By Stokes parameter."""
    statistics: Mapping[str, IterationStatistics]
    """By Stokes parameter."""
    call: str
    """The imaging call as executed."""
    seconds: float
    files: tuple[str, ...]
    """Image names kept of this iteration, relative to the working directory."""
    expected_noise_jy: float | None = None
    """Noise expected from the weights of the data, Jy/beam; only for the first iteration."""
    observed_time: ObservedTime | None = None
    """Only for the first iteration."""
    spectral_coverage: SpectralCoverage | None = None
    """Only for the first iteration."""
    w_planes: int | None = None
    """Planes of w that the data are gridded with, 0 without w-correction; only for the first iteration."""
    noncoplanar: NoncoplanarEffect | None = None
    """Only for the first iteration."""

    def nsigma_level_jy(self, statistics: IterationStatistics | None) -> float | None:
        """The n-sigma level of a residual, `nsigma` times its scaled MAD, Jy/beam; None where not known."""
        noise = statistics.residual_madrms if statistics else None
        return self.nsigma * noise if noise is not None else None


@dataclass(frozen=True)
class PlaneImages:
    """A plane imaged through iter0 … iter3."""

    target: PlaneTarget
    engine: str
    iterations: tuple[Iteration, ...]
    beam: Beam
    """Beam of Stokes I, fitted to the psf."""
    frequency_hz: float
    """Reference value of the images' frequency axis (LSRK)."""
    bandwidth_hz: float
    """Increment of the images' frequency axis."""
    unflagged_bandwidth_hz: float
    expected_noise_jy: float | None = None
    """Noise expected from the weights of the data, the same for all Stokes, not primary-beam corrected,
    Jy/beam."""
    diverged: Iteration | None = None
    """The iteration that diverged, of which there are no images; `iterations` ends before it."""
    observed_time: ObservedTime | None = None
    """None: not recorded."""
    spectral_coverage: SpectralCoverage | None = None
    """None: not recorded."""
    w_planes: int | None = None
    """Planes of w that the data were gridded with, 0 without w-correction; None: not recorded."""
    noncoplanar: NoncoplanarEffect | None = None
    """None: not recorded."""

    @property
    def effective_frequency_hz(self) -> float:
        """Mean frequency of the data by their weights; where it is not recorded, that of the axis."""
        coverage = self.spectral_coverage
        return coverage.effective_frequency_hz if coverage is not None else self.frequency_hz

    def noise_ratio(self, stokes: str) -> float | None:
        """Scaled MAD of the final residual over the expected noise; None where one of them is not known."""
        statistics = self.last.statistics.get(stokes) if self.iterations else None
        measured = statistics.residual_madrms if statistics else None
        return measured / self.expected_noise_jy if measured is not None and self.expected_noise_jy else None

    @property
    def fractional_bandwidth(self) -> float:
        """Width of the images' channel over its frequency."""
        return self.bandwidth_hz / self.frequency_hz

    @property
    def last(self) -> Iteration:
        """The final iteration with images: the last one that did not diverge."""
        return self.iterations[-1]

    @property
    def attempted(self) -> tuple[Iteration, ...]:
        """All iterations, one that diverged included."""
        return self.iterations if self.diverged is None else (*self.iterations, self.diverged)

    @property
    def divergence(self) -> str:
        """Which iteration diverged, how, and which images there are instead; ``''`` if none did."""
        if self.diverged is None:
            return ""
        kept = f"iter{self.last.number}" if self.last.number else "iter0, the dirty image"
        return (
            f"the clean of iter{self.diverged.number} diverged ({self.diverged.stop_code.text}): "
            f"the images are those of {kept}"
        )

    @property
    def last_root(self) -> str:
        """Beginning of the names of the final images."""
        return naming.iteration_root(self.target.image_root, self.last.number)


@dataclass(frozen=True)
class CutoutStatistics:
    """Statistics over the cutout of one Stokes plane, Jy/beam."""

    image: PlaneStatistics
    residual: PlaneStatistics
    pbcor: PlaneStatistics
    rms: PlaneStatistics
    rms_fraction_below_800ujy: float | None
    rms_masked_fraction: float


@dataclass(frozen=True)
class PixelBox:
    """A box of pixels, 0-based, both corners included."""

    blc_x: int
    blc_y: int
    trc_x: int
    trc_y: int

    @property
    def shape(self) -> tuple[int, int]:
        """Size in pixels, (nx, ny)."""
        return self.trc_x - self.blc_x + 1, self.trc_y - self.blc_y + 1


@dataclass(frozen=True)
class BrightSource:
    """A bright peak of Stokes I."""

    pixel_x: int
    """0-based, of the cutout."""
    pixel_y: int
    peak_jy: float
    """Jy/beam, primary-beam corrected."""
    snr: float
    """Peak over the mean of the rms image around it."""


# ------------------------------------------------------------------------------------------------ products

FileKind = Literal[
    "image",
    "rms",
    "primary_beam",
    "common_beam",
    "cube",
    "table",
    "parameter_list",
    "weblog",
    "log",
    "script",
    "manifest",
    "other",
]
"""What a delivered file is."""


# ------------------------------------------------------------------------------------------------- records


@dataclass(frozen=True)
class ErrorInfo:
    """A failure as it is reported to the user."""

    type: str
    message: str
    hint: str
    traceback: str
    details: Any = None
    """What the error knows beyond its text, e.g. the report of resources found and missing."""


@dataclass(frozen=True)
class StepRecord:
    """What one step did: a stage, or one stage (or iteration) of one plane.

    A step is done when its record stands with status ``done``, its ``key`` is what the step would have now,
    and its outputs are still there as recorded.
    """

    stage: str
    plane: str | None
    key: str
    """SHA-256 over the inputs, the parameters and the code version."""
    status: Literal["done", "failed"]
    started: str
    finished: str
    seconds: float
    inputs: Any
    """The stage's typed inputs, as JSON."""
    result: Any
    """The stage's typed result, as JSON; None when it failed."""
    messages: tuple[Message, ...] = ()
    outputs: tuple[FileRecord, ...] = ()
    error: ErrorInfo | None = None
    versions: Mapping[str, str] = field(default_factory=dict)
    peak_memory_bytes: int = 0
    """Peak resident memory of the process so far, libraries included; 0 if not known."""
    sources: tuple[FileRecord, ...] = ()
    """Tables of the user's that were read, as they were."""
