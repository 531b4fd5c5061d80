"""What the stages hand to each other: their typed results."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from vlasscube.imaging.clean_sequence import CleanParameters
from vlasscube.measurement_set.flags import flags_by_spw
from vlasscube.measurement_set.restored_data import AffectedData
from vlasscube.parameters.lists import ImageListParameters
from vlasscube.polarization.records import RegionSpectrum
from vlasscube.polarization.sefd import ReceiverNoise
from vlasscube.records import (
    Beam,
    BrightSource,
    CutoutStatistics,
    DataSelection,
    FieldFlags,
    FileKind,
    FlagCount,
    ImageGeometry,
    MeasurementSetSummary,
    Outcome,
    PixelBox,
    PlaneStatistics,
    PlaneTarget,
    Scan,
)
from vlasscube.resources.archive import ResourceReport

LARGEST_NONCOPLANAR_LOSS = 0.02
"""Peak that point sources may be expected to lose without w-terms before a plane is warned of."""

NOISE_RATIO_BOUNDS = (0.8, 1.5)
"""Measured over expected noise beyond which a plane is warned of.

The expected noise is good to a few per cent. The weights come from residuals that still hold what
self-calibration mends, so somewhat less noise than expected is no fault; artefacts make somewhat more.
Weights wrong by a factor of 4 are beyond either bound."""


def is_noise_unexpected(stokes: str, ratio: float) -> bool:
    """Whether measured over expected noise is out of bounds; sidelobes may make any noise in Stokes I."""
    low, high = NOISE_RATIO_BOUNDS
    return ratio < low or (ratio > high and stokes != "I")


@dataclass(frozen=True)
class ImportResult:
    """The imported measurement set."""

    summary: MeasurementSetSummary
    science_spws: tuple[int, ...]


@dataclass(frozen=True)
class ContinuumTarget:
    """The continuum run's image, whose selection and model restore the state of the data."""

    image_name: str
    geometry: ImageGeometry
    field_ids: tuple[int, ...]
    selection: DataSelection
    robust: float
    uvtaper: tuple[str, ...]
    nterms: int
    reffreq: str
    pblimit: float
    search_radius_arcsec: float
    parameters: ImageListParameters


@dataclass(frozen=True)
class TransformResult:
    """The working measurement set."""

    input_ms: str
    working_ms: str
    size_bytes: int
    field_count: int
    spw: str
    scans: tuple[Scan, ...] = ()
    """Scans of the targets, with the times of their rows in the working measurement set; empty: not
    recorded."""


def observed_scans(transformed: TransformResult, imported: ImportResult) -> tuple[Scan, ...]:
    """When the image was observed: of an input that is larger than the image, the fields of the image alone.

    Where that is not recorded, as in release 0.1.0, it is all that the input has.
    """
    return transformed.scans or imported.summary.scans


@dataclass(frozen=True)
class RestoreResult:
    """The restored state of the continuum run."""

    report: ResourceReport
    tier1_mask: str
    """Name of the mask in the working directory."""
    tier2_mask: str
    model_images: tuple[str, ...]
    selfcal_table: str
    flag_version: str
    seconds: Mapping[str, float]
    """Duration of each operation, in the order of execution."""
    without_model: AffectedData | None = None
    """Data that had no model when weights were made, as the continuum run's flags un-flag them. None: not
    counted."""
    without_solution: AffectedData | None = None
    """Data that the self-calibration leaves uncalibrated. None: not counted."""


@dataclass(frozen=True)
class FlagResult:
    """Flags of the working measurement set as it is imaged."""

    template: str
    """Name of the template used, ``''`` if there was none."""
    commands: tuple[str, ...]
    before: Mapping[int, FlagCount]
    """By spectral window id, before the template."""
    fields: tuple[FieldFlags, ...]
    """After the template, by field and spectral window."""
    unflagged_channels: Mapping[int, int]
    """Channels with any row that is imaged (all its correlations unflagged), by spectral window id."""

    @property
    def after(self) -> dict[int, FlagCount]:
        """By spectral window id, after the template."""
        return flags_by_spw(self.fields)


@dataclass(frozen=True)
class CubePlan:
    """The planes of the cube and how they are imaged."""

    image_name: str
    geometry: ImageGeometry
    field_ids: tuple[int, ...]
    box_field_ids: tuple[int, ...]
    """Fields of the central square degree."""
    search_radius_arcsec: float
    targets: tuple[PlaneTarget, ...]
    """One for each requested group, in the order asked for."""
    clean: CleanParameters
    """Masks by name in the working directory."""
    unflagged_bandwidth_hz: Mapping[str, float]
    """By plane label."""
    box_fields: tuple[FieldFlags, ...]
    """Flags of the fields of the central square degree."""
    reject_flag_fraction: float
    reject_field_count: int
    parameters: ImageListParameters

    def target(self, label: str) -> PlaneTarget:
        """Return a plane's target by its label."""
        return next(target for target in self.targets if target.label == label)


@dataclass(frozen=True)
class PlaneVerdict:
    """Outcome of one requested plane."""

    label: str
    spw: str
    outcome: Outcome
    reason: str
    frequency_hz: float
    beam: Beam | None
    flagged_fraction: float | None
    """Over the fields of the central square degree."""
    stop: str
    """Stop code and reason of the last iteration, even if it diverged; ``''`` if not imaged."""
    rms_jy: float | None
    """Scaled MAD of the final restored Stokes I image."""
    seconds: float
    is_reference: bool = False
    """Whether the plane's beam is the reference of the beam rule."""


@dataclass(frozen=True)
class CubeImages:
    """All requested planes after imaging."""

    planes: tuple[PlaneVerdict, ...]

    def plane(self, label: str) -> PlaneVerdict:
        """Return a plane's verdict by its label."""
        return next(plane for plane in self.planes if plane.label == label)

    @property
    def with_images(self) -> tuple[PlaneVerdict, ...]:
        """Planes of which images exist."""
        return tuple(plane for plane in self.planes if plane.outcome.has_images)


@dataclass(frozen=True)
class PbcorResult:
    """Primary-beam corrected images of a plane."""

    image: str
    residual: str
    statistics: Mapping[str, PlaneStatistics]
    """``image`` and ``residual``, Stokes I, all pixels, Jy/beam."""
    pb_histogram_counts: tuple[int, ...]
    """Pixels of the inner square degree by primary-beam response."""
    pb_histogram_edges: tuple[float, ...]


@dataclass(frozen=True)
class RmsResult:
    """The rms image of a plane."""

    image: str
    statistics: Mapping[str, PlaneStatistics]
    """By Stokes parameter, Jy/beam."""


@dataclass(frozen=True)
class CutoutResult:
    """The cutouts of a plane."""

    box: PixelBox
    images: Mapping[str, str]
    """Names by kind: ``image``, ``residual``, ``pbcor``, ``residual_pbcor``, ``rms``, ``psf``, ``pb``."""
    statistics: Mapping[str, CutoutStatistics]
    """By Stokes parameter."""
    pb: PlaneStatistics
    expected_noise_jy: float | None = None
    """By the weights of the data, not primary-beam corrected, Jy/beam; None: not known, or not recorded."""
    expected_corrected_noise_jy: float | None = None
    """The same over the median response of the primary beam."""
    noise_ratio: Mapping[str, float] = field(default_factory=dict)
    """Scaled MAD of the residual over the expected noise, by Stokes parameter, as far as it is known."""


@dataclass(frozen=True)
class StokesAnalysis:
    """Stokes spectra at the peak of I and of the linearly polarised intensity."""

    lowest_frequency_hz: float
    native: tuple[RegionSpectrum, ...]
    """At each plane's own resolution and reference position."""
    common: tuple[RegionSpectrum, ...]
    """At common resolution, position-corrected and aligned."""
    common_beam: Beam
    rms_median: Mapping[str, Mapping[str, float]]
    """Median of the rms image by plane label and Stokes parameter, Jy/beam."""
    receivers_by_image: ReceiverNoise | None = None
    """The SEFD scaled to the scaled MAD of the restored images (not corrected); None: no noise, or not
    recorded."""
    receivers_by_rms: ReceiverNoise | None = None
    """The SEFD scaled to the medians of the rms images."""
    sources: tuple[BrightSource, ...] | None = None
    """The brightest sources of the lowest-frequency plane; None: not recorded."""
    reference_positions_deg: Mapping[str, tuple[float, float]] | None = None
    """Right ascension and declination of the reference pixel, position-corrected, by plane label; None: not
    recorded."""


@dataclass(frozen=True)
class ProductFile:
    """A delivered file."""

    name: str
    kind: FileKind
    label: str
    """Plane, ``''`` if it belongs to none."""
    stokes: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True)
class ExportedPlane:
    """Position correction and common-beam treatment of a plane."""

    label: str
    frequency_hz: float
    crval1_deg: float
    crval2_deg: float
    shift_arcsec: float
    zenith_distance_deg: float
    smoothed: bool
    regridded: bool
    treatment: str
    expected_shift_arcsec: float | None = None
    """Mean shift towards the zenith that the engine expects of leaving w out; None where not recorded."""
    shift_difference_arcsec: float | None = None
    """Length of the difference of that mean shift, as a vector, and the one corrected for."""


@dataclass(frozen=True)
class ExportResult:
    """What was delivered."""

    files: tuple[ProductFile, ...]
    planes: tuple[ExportedPlane, ...]
    common_beam: Beam | None
