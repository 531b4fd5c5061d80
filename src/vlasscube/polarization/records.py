"""What the Stokes analysis finds: spectra at bright places, as records."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from vlasscube.constants import SPEED_OF_LIGHT_M_S
from vlasscube.records import Beam


@dataclass(frozen=True)
class DerivedStokes:
    """What the pages show beside a measurement; None where undefined."""

    q_over_i: float | None
    u_over_i: float | None
    snr: float | None
    """I over the median of the plane's rms image of Stokes I."""
    model_jy: float | None
    """I of the power law."""
    residual_jy: float | None
    """I minus the power law."""
    residual_percent: float | None
    """Residual in percent of I."""


@dataclass(frozen=True)
class PointSourceStokes:
    """Stokes parameters of a point source, from means in a box of pixels; the errors are those of the noise.

    The mean over the pixels is divided by the mean of the plane's beam over the same pixels.
    """

    beam_mean: float
    """Mean of the beam, of peak 1, over the pixels; the beam stands at the source."""
    flux_jy: Mapping[str, float]
    """By Stokes parameter."""
    error_jy: Mapping[str, float]
    """Standard deviation by Stokes parameter."""
    snr: float | None
    """I over the median of the plane's rms image of Stokes I."""
    q_over_i: float | None
    q_over_i_error: float | None
    u_over_i: float | None
    u_over_i_error: float | None
    polarized_jy: float
    """Linearly polarised intensity √(Q² + U² − σ²), free of the noise bias; 0 where the noise is larger."""
    polarized_error_jy: float
    angle_deg: float | None
    """Position angle χ of the polarisation, north through east, [0, 180); None where P is 0."""
    angle_error_deg: float | None
    model_jy: float | None = None
    """I of the power law of these values."""
    residual_jy: float | None = None
    residual_percent: float | None = None


@dataclass(frozen=True)
class StokesMeasurement:
    """Mean Stokes parameters in a box of pixels of one plane, Jy/beam."""

    label: str
    frequency_hz: float
    """Of the frequency axis."""
    beam: Beam
    kept: bool
    stokes_i: float
    stokes_q: float
    stokes_u: float
    stokes_v: float
    rms_i_box: float
    """Mean of the rms image in the box, Stokes I."""
    rms_median: Mapping[str, float]
    """Median of the rms image of the cutout, by Stokes parameter."""
    derived: DerivedStokes | None = None
    """Known once the spectrum is fitted."""
    point_source: PointSourceStokes | None = None
    """None: not recorded."""
    effective_frequency_hz: float | None = None
    """What the values of a point source are fitted with; None: the plane's frequency."""
    mean_lambda2_m2: float | None = None
    """Mean λ² of the data by their weights; None: not recorded."""
    bandwidth_hz: float | None = None
    """Width of the plane's data; None: not recorded."""

    @property
    def fit_frequency_hz(self) -> float:
        """Frequency that the values of a point source are fitted with."""
        return self.effective_frequency_hz or self.frequency_hz

    @property
    def fit_lambda2_m2(self) -> float:
        """Mean of λ² over the plane's data; if it is not recorded, over a band that is evenly filled."""
        if self.mean_lambda2_m2 is not None:
            return self.mean_lambda2_m2
        half_width = (self.bandwidth_hz or 0.0) / 2
        return SPEED_OF_LIGHT_M_S**2 / (self.fit_frequency_hz**2 - half_width**2)


@dataclass(frozen=True)
class PowerLaw:
    """I(ν) = flux_3ghz_jy · (ν / 3 GHz)^alpha."""

    flux_3ghz_jy: float
    alpha: float
    alpha_error: float | None
    flux_3ghz_error_jy: float | None = None


@dataclass(frozen=True)
class RotationMeasureFit:
    """A single Faraday screen: P(λ²) = p · exp(2i (χ₀ + RM λ²))."""

    rm: float
    """rad m⁻²."""
    rm_error: float
    angle0_deg: float
    """Intrinsic position angle χ₀ (at λ = 0), [0, 180)."""
    angle0_error_deg: float
    polarized: float
    """Amplitude p in the unit of Q and U, not corrected for the noise bias."""
    snr: float
    """p over its error; below about 6 the rotation measure may be a noise peak."""
    reduced_chi2: float | None
    """Reduced χ² of Q and U; None without degrees of freedom. Far above 1 the screen is not single."""
    channels: int


@dataclass(frozen=True)
class SourceCenter:
    """Centre of a point source in the plane of the lowest frequency."""

    x: float
    """0-based pixel, between pixels too."""
    y: float
    fitted: bool
    """Whether it is fitted; otherwise it is the centre of the peak pixel."""
    ra_deg: float
    dec_deg: float


@dataclass(frozen=True)
class RegionSpectrum:
    """Stokes spectrum at one position."""

    name: Literal["peak_stokesi", "peak_linpolint"]
    pixel_x: int
    pixel_y: int
    ra_deg: float
    dec_deg: float
    measurements: tuple[StokesMeasurement, ...]
    power_law: PowerLaw | None
    """Of the means in the box."""
    position_shift_arcsec: float | None = None
    """By how much the position is corrected for the w-term; None: it is not corrected (earlier versions)."""
    center: SourceCenter | None = None
    """Where in the box the point source stands; None: not recorded."""
    point_source_law: PowerLaw | None = None
    """Of the values of a point source, weighted by their errors."""
    rotation_measure: RotationMeasureFit | None = None
    """Of Q and U of a point source over the Stokes I of `point_source_law`."""
