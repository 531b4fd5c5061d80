"""Compare the products of a simulated field with the true sky, source by source and plane by plane."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from astropy.io import fits
from astropy.wcs import WCS, FITSFixedWarning
from scipy.optimize import least_squares

from vlasscube import naming
from vlasscube.constants import ARCSEC_PER_DEG
from vlasscube.images.beams import GaussianKernel, beam_area_sr, convolve_beams
from vlasscube.images.casa_images import read_plane
from vlasscube.images.statistics import scaled_mad
from vlasscube.polarization.records import RotationMeasureFit
from vlasscube.polarization.rotation_measure import rotation_measure
from vlasscube.products.headers import EFFECTIVE_FREQUENCY, MEAN_LAMBDA2
from vlasscube.recipe import EDIT_IMAGE_LIST_CUBE, IMPORT_DATA, RESTORE_PIMS
from vlasscube.records import Beam
from vlasscube.results.reading import read_result
from vlasscube.simulation.beam import power_beam
from vlasscube.simulation.sky import (
    IONOSPHERIC_RM,
    Source,
    read_truth,
    read_truth_metadata,
    stokes_spectrum,
)
from vlasscube.sky import image_wcs, parse_phasecenter, separation_rad
from vlasscube.workspace.directory import Workspace

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class SourceMeasurement:
    """A source in one plane: what was measured in the products and what is true; Jy, arcsec."""

    source: Source
    label: str
    frequency_hz: float
    measured: tuple[float, float, float, float]
    """I, Q, U, V."""
    true: tuple[float, float, float, float]
    rms: tuple[float, float, float, float]
    """Noise of the measured values, from the surroundings."""
    offset_pixels: tuple[float, float]
    """Measured minus true position along RA (east positive) and Dec."""
    pb: float
    """Primary-beam response at the source."""
    in_masks: bool
    """Whether the continuum run's masks all cover it. One that the tier-1 mask leaves out is not in the
    self-calibration model either, and loses flux."""
    position_noise_pixels: float
    mean_lambda2_m2: float = math.nan
    """Mean λ² of the plane's data; NaN where the header does not say."""

    @property
    def snr(self) -> float:
        """Signal to noise in Stokes I."""
        return abs(self.measured[0]) / self.rms[0]

    @property
    def ratio(self) -> float:
        """Measured over true Stokes I."""
        return self.measured[0] / self.true[0]


@dataclass(frozen=True)
class _Plane:
    label: str
    data: FloatArray
    """I, Q, U, V; shape (4, ny, nx)."""
    wcs: WCS
    beam: Beam
    frequency_hz: float
    """Mean frequency of the data, where the header has it."""
    mean_lambda2_m2: float
    cell_arcsec: float


def read_planes(products: Path) -> Iterable[_Plane]:
    """Read the exported planes (native resolution) one by one."""
    for path in sorted(products.glob("*.IQU.iter*.image.pbcor.tt0.subim.fits")):
        names = [path.name, path.name.replace(".IQU.", ".V.")]
        data = [fits.getdata(products / name)[:, 0] for name in names]
        header = fits.getheader(path)
        yield _Plane(
            label=naming.parse_product_name(path.name).label or "",
            data=np.concatenate(data).astype(float),
            wcs=_celestial(header),
            beam=Beam(header["BMAJ"] * ARCSEC_PER_DEG, header["BMIN"] * ARCSEC_PER_DEG, header["BPA"]),
            frequency_hz=float(header.get(EFFECTIVE_FREQUENCY, header["CRVAL3"])),
            mean_lambda2_m2=float(header.get(MEAN_LAMBDA2, math.nan)),
            cell_arcsec=abs(float(header["CDELT2"])) * ARCSEC_PER_DEG,
        )


def _celestial(header: fits.Header) -> WCS:
    with warnings.catch_warnings():
        # astropy derives MJD-OBS and OBSGEO-L, -B, -H and says so.
        warnings.simplefilter("ignore", FITSFixedWarning)
        return WCS(header).celestial


def mosaic_response(
    ra_deg: float, dec_deg: float, pointings_deg: Sequence[tuple[float, float]], frequency_hz: float
) -> float:
    """Response of the mosaic, √(Σ A²) relative to its largest value at a pointing centre."""

    def power(ra: float, dec: float) -> float:
        total = 0.0
        for pointing_ra, pointing_dec in pointings_deg:
            there = math.radians(pointing_ra), math.radians(pointing_dec)
            radius = math.degrees(separation_rad(math.radians(ra), math.radians(dec), *there)) * 60
            total += float(power_beam(np.array([radius]), np.array([frequency_hz])).ravel()[0]) ** 2
        return total

    return math.sqrt(power(ra_deg, dec_deg) / max(power(*pointing) for pointing in pointings_deg))


def measure_source(plane: _Plane, source: Source) -> tuple[FloatArray, FloatArray, FloatArray] | None:
    """Fit a source in a plane.

    The shape is the beam (convolved with the source where that is extended); position and Stokes I are free,
    then Q, U and V follow linearly at that position.

    Returns
    -------
    tuple of ndarray or None
        Flux densities in Jy, shape (4,); their noise, shape (4,); position offset (x, y) in pixels from the
        true position. None where the source is off the image.
    """
    shape = plane.beam
    if not source.is_point:
        extent = GaussianKernel(source.major_arcsec, source.minor_arcsec, source.position_angle_deg)
        shape = convolve_beams(plane.beam, extent)
    x0, y0 = (float(v) for v in plane.wcs.wcs_world2pix([[source.ra_deg, source.dec_deg]], 0)[0])
    half = max(2, round(1.2 * shape.bmaj_arcsec / plane.cell_arcsec))
    cx, cy = round(x0), round(y0)
    ny, nx = plane.data.shape[1:]
    if not (half <= cx < nx - half and half <= cy < ny - half):
        return None
    window = np.s_[:, cy - half : cy + half + 1, cx - half : cx + half + 1]
    data = plane.data[window]
    if not np.all(np.isfinite(data)):
        return None
    y, x = np.mgrid[cy - half : cy + half + 1, cx - half : cx + half + 1].astype(float)

    def profile(dx: float, dy: float) -> FloatArray:
        angle = math.radians(shape.bpa_deg)
        east, north = -(x - x0 - dx) * plane.cell_arcsec, (y - y0 - dy) * plane.cell_arcsec
        along = north * math.cos(angle) + east * math.sin(angle)
        across = east * math.cos(angle) - north * math.sin(angle)
        radius = (along / shape.bmaj_arcsec) ** 2 + (across / shape.bmin_arcsec) ** 2
        result: FloatArray = np.exp(-4 * math.log(2) * radius)
        return result

    def residual(p: FloatArray) -> FloatArray:
        result: FloatArray = (p[0] * profile(p[1], p[2]) - data[0]).ravel()
        return result

    fit = least_squares(residual, [float(data[0].max()), 0.0, 0.0])
    model = profile(fit.x[1], fit.x[2])
    amplitudes = np.einsum("yx,syx->s", model, data) / float((model**2).sum())
    scale = beam_area_sr(shape) / beam_area_sr(plane.beam)
    noise = _surrounding_noise(plane, cx, cy, half)
    return amplitudes * scale, noise * scale, np.array([fit.x[1], fit.x[2]])


def _surrounding_noise(plane: _Plane, cx: int, cy: int, half: int) -> FloatArray:
    """Scaled MAD around a source, shape (4,).

    The rms image will not do: where the beam is not small against its 60″ box, the source itself is in it.
    """
    reach = 8 * half
    ny, nx = plane.data.shape[1:]
    box = plane.data[:, max(cy - reach, 0) : min(cy + reach, ny), max(cx - reach, 0) : min(cx + reach, nx)]
    return np.array([scaled_mad(part) or np.nan for part in box])


def compare_with_truth(
    products: Path,
    sources: Sequence[Source],
    pointings_deg: Sequence[tuple[float, float]],
    in_masks: Sequence[bool],
) -> tuple[SourceMeasurement, ...]:
    """Measure every source in every exported plane.

    Parameters
    ----------
    products : Path
        Directory of the FITS products.
    sources : sequence of Source
        The true sky.
    pointings_deg : sequence of (ra, dec)
        Pointing centres of the imaged fields.
    in_masks : sequence of bool
        For each source whether the clean masks cover it.
    """
    measurements = []
    for plane in read_planes(products):
        for source, masked in zip(sources, in_masks, strict=True):
            measured = measure_source(plane, source)
            if measured is None:
                continue
            flux, noise, offset = measured
            true = stokes_spectrum(source, plane.frequency_hz)[:, 0]
            snr = abs(flux[0]) / noise[0]
            width = math.sqrt(plane.beam.bmaj_arcsec * plane.beam.bmin_arcsec) / plane.cell_arcsec
            measurements.append(
                SourceMeasurement(
                    source=source,
                    label=plane.label,
                    frequency_hz=plane.frequency_hz,
                    measured=(float(flux[0]), float(flux[1]), float(flux[2]), float(flux[3])),
                    true=(float(true[0]), float(true[1]), float(true[2]), float(true[3])),
                    rms=(float(noise[0]), float(noise[1]), float(noise[2]), float(noise[3])),
                    offset_pixels=(-float(offset[0]), float(offset[1])),
                    pb=mosaic_response(source.ra_deg, source.dec_deg, pointings_deg, plane.frequency_hz),
                    in_masks=bool(masked),
                    position_noise_pixels=0.6 * width / snr,
                    mean_lambda2_m2=plane.mean_lambda2_m2,
                )
            )
    return tuple(measurements)


def compare_run(workspace: Workspace) -> tuple[SourceMeasurement, ...]:
    """Compare a finished run on a simulated field with the truth written beside its inputs.

    What is true of the polarisation is what arrives below the ionosphere, for which nothing is corrected: its
    mean rotation measure is added to those of the sources.
    """
    summary = read_result(workspace, IMPORT_DATA).summary
    plan = read_result(workspace, EDIT_IMAGE_LIST_CUBE)
    restored = read_result(workspace, RESTORE_PIMS)
    fields = set(plan.field_ids)
    truth = workspace.directory / "truth" / "sky.ecsv"
    ionosphere = float(read_truth_metadata(truth).get(IONOSPHERIC_RM, 0.0))
    sources = [
        replace(source, rotation_measure_rad_m2=source.rotation_measure_rad_m2 + ionosphere)
        for source in read_truth(truth)
    ]
    names = (restored.tier1_mask, restored.tier2_mask)
    mask = np.minimum(*(read_plane(workspace.working / name) for name in names))
    ny, nx = mask.shape
    ra, dec, _ = parse_phasecenter(plan.geometry.phasecenter)
    wcs = image_wcs(ra, dec, plan.geometry.cell_arcsec, (nx // 2, ny // 2))
    pixels = wcs.wcs_world2pix([[source.ra_deg, source.dec_deg] for source in sources], 0)
    return compare_with_truth(
        workspace.products,
        sources,
        [(field.ra_deg, field.dec_deg) for field in summary.fields if field.id in fields],
        [_is_set(mask, round(float(x)), round(float(y))) for x, y in pixels],
    )


def _is_set(mask: FloatArray, x: int, y: int) -> bool:
    """Whether a pixel lies in a mask; one beyond its border does not."""
    ny, nx = mask.shape
    return 0 <= x < nx and 0 <= y < ny and bool(mask[y, x] > 0.5)


def fit_rotation_measure(measurements: Sequence[SourceMeasurement]) -> RotationMeasureFit | None:
    """Rotation measure of one source from its measurements in all planes."""
    ordered = sorted(measurements, key=lambda m: m.frequency_hz)
    return rotation_measure(
        np.array([m.frequency_hz for m in ordered]),
        np.array([m.measured[1] for m in ordered]),
        np.array([m.measured[2] for m in ordered]),
        np.array([0.5 * (m.rms[1] + m.rms[2]) for m in ordered]),
        mean_lambda2_m2=np.array([m.mean_lambda2_m2 for m in ordered]),
    )


@dataclass(frozen=True)
class Assessment:
    """How a run stands against the truth."""

    source_count: int
    """Measurements above 20σ in Stokes I and inside half the primary-beam response."""
    mean_i_ratio: float
    """Mean of measured over true Stokes I."""
    scatter_i_ratio: float
    mean_p_ratio: float | None
    """Mean of measured over true linear polarisation, where that is above 20σ."""
    rotation_measures: tuple[tuple[str, float, RotationMeasureFit], ...]
    """Source, true and measured rotation measure of sources whose polarisation is above 20σ in all planes
    together, rad m⁻²."""
    misses: tuple[str, ...]
    """One line for each requirement that is not met."""
    notes: tuple[str, ...]
    """Deviations of sources that the masks leave out."""


def assess(measurements: Sequence[SourceMeasurement]) -> Assessment:
    """Judge measurements by what a science user needs.

    Above 20σ and inside half the primary-beam response: Stokes I within 5 %, Q and U within 1 % of I plus
    3σ, V within 3σ, position within 0.1 pixel plus 3σ, each; rotation measure within 5 rad m⁻² where the
    polarised intensity is above 20σ in the mean over at least ten planes. Sources that the masks leave out
    may miss more of Stokes I: they are noted. Components of doubles, which a fit one by one mixes, and bright
    sources beyond the image are not judged.
    """
    good = [m for m in measurements if m.snr > 20 and m.pb > 0.5 and m.source.kind == "field"]
    misses: list[str] = []
    notes: list[str] = []
    for m in good:
        place = f"{m.label} {m.source.name}"
        if abs(m.ratio - 1) > 0.05:
            line = f"{place}: I is {m.ratio:.4f} of the truth"
            (misses if m.in_masks else notes).append(line)
        for stokes, name in ((1, "Q"), (2, "U"), (3, "V")):
            error = m.measured[stokes] - m.true[stokes]
            allowed = 3 * m.rms[stokes] + (0.01 * m.true[0] if name != "V" else 0.0)
            if abs(error) > allowed:
                misses.append(f"{place}: {name} is off by {1e3 * error:.3f} mJy, allowed {1e3 * allowed:.3f}")
        offset = math.hypot(*m.offset_pixels)
        if offset > 0.1 + 3 * m.position_noise_pixels:
            misses.append(f"{place}: position is off by {offset:.3f} pixels")
    rotation = []
    for source in {m.source.name: m.source for m in good if m.source.fractional_polarization > 0}.values():
        own = [m for m in good if m.source == source]
        fit = fit_rotation_measure(own) if len(own) >= 10 else None
        if fit is None or fit.snr < 20:
            continue
        true = source.rotation_measure_rad_m2
        rotation.append((source.name, true, fit))
        if np.mean([_polarized_snr(m) for m in own]) > 20 and abs(fit.rm - true) > 5:
            misses.append(f"{source.name}: RM {fit.rm:.2f} instead of {true:.2f}")
    ratios = np.array([m.ratio for m in good])
    polarized = [
        math.hypot(*m.measured[1:3]) / math.hypot(*m.true[1:3]) for m in good if _polarized_snr(m) > 20
    ]
    mean = float(ratios.mean()) if len(ratios) else math.nan
    if not abs(mean - 1) <= 0.02:
        misses.append(f"I is {mean:.4f} of the truth on average")
    return Assessment(
        source_count=len(good),
        mean_i_ratio=mean,
        scatter_i_ratio=float(ratios.std()) if len(ratios) else math.nan,
        mean_p_ratio=float(np.mean(polarized)) if polarized else None,
        rotation_measures=tuple(rotation),
        misses=tuple(misses),
        notes=tuple(notes),
    )


def _polarized_snr(measurement: SourceMeasurement) -> float:
    return math.hypot(*measurement.measured[1:3]) / (0.5 * (measurement.rms[1] + measurement.rms[2]))
