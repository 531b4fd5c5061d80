"""Compare the products of a simulated field with the true sky, source by source and plane by plane."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from astropy.io import fits
from astropy.wcs import WCS
from scipy.optimize import least_squares

from vlasscube import naming
from vlasscube.images.beams import GaussianKernel, beam_area_sr, convolve_beams
from vlasscube.polarization.rotation_measure import RotationMeasureFit, rotation_measure
from vlasscube.records import Beam
from vlasscube.simulation.primary_beam import evla_power_beam
from vlasscube.simulation.sky import Source, stokes_spectrum

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
    """Noise of the measured values, from the rms images."""
    offset_pixels: tuple[float, float]
    """Measured minus true position along RA (east positive) and Dec."""
    pb: float
    """Primary-beam response at the source."""
    in_masks: bool
    """Whether a clean mask of the continuum run covers it."""
    position_noise_pixels: float

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
    rms: FloatArray
    wcs: WCS
    beam: Beam
    frequency_hz: float
    cell_arcsec: float


def read_planes(products: Path) -> Iterable[_Plane]:
    """Read the exported planes (native resolution) one by one."""
    for path in sorted(products.glob("*.IQU.iter*.image.pbcor.tt0.subim.fits")):
        names = [path.name, path.name.replace(".IQU.", ".V.")]
        data, rms = [], []
        for name in names:
            data.append(fits.getdata(products / name)[:, 0])
            rms.append(fits.getdata(products / name.replace(".subim.fits", ".rms.subim.fits"))[:, 0])
        header = fits.getheader(path)
        yield _Plane(
            label=naming.parse_product_name(path.name).label or "",
            data=np.concatenate(data).astype(float),
            rms=np.concatenate(rms).astype(float),
            wcs=WCS(header).celestial,
            beam=Beam(header["BMAJ"] * 3600, header["BMIN"] * 3600, header["BPA"]),
            frequency_hz=float(header["CRVAL3"]),
            cell_arcsec=abs(float(header["CDELT2"])) * 3600,
        )


def mosaic_response(
    ra_deg: float, dec_deg: float, pointings_deg: Sequence[tuple[float, float]], frequency_hz: float
) -> float:
    """Response of the mosaic, √(Σ A²) relative to its largest value at a pointing centre."""

    def power(ra: float, dec: float) -> float:
        total = 0.0
        for pointing_ra, pointing_dec in pointings_deg:
            cosine = math.sin(math.radians(dec)) * math.sin(math.radians(pointing_dec)) + math.cos(
                math.radians(dec)
            ) * math.cos(math.radians(pointing_dec)) * math.cos(math.radians(ra - pointing_ra))
            radius = math.degrees(math.acos(min(1.0, cosine))) * 60
            total += float(evla_power_beam(np.array([radius]), np.array([frequency_hz])).ravel()[0]) ** 2
        return total

    return math.sqrt(power(ra_deg, dec_deg) / max(power(*pointing) for pointing in pointings_deg))


def measure_source(plane: _Plane, source: Source) -> tuple[FloatArray, FloatArray, FloatArray] | None:
    """Fit a source in a plane.

    The shape is the beam (convolved with the source where that is extended); position and Stokes I are free, then Q,
    U and V follow linearly at that position.

    Returns
    -------
    tuple of ndarray or None
        Flux densities in Jy, shape (4,); their noise, shape (4,); position offset (x, y) in pixels from the true
        position. None where the source is off the image.
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
    data, rms = plane.data[window], plane.rms[window]
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
    centre_rms = rms[:, half, half]
    return amplitudes * scale, centre_rms * scale, np.array([fit.x[1], fit.x[2]])


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
        For each source whether a clean mask covers it.
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
                )
            )
    return tuple(measurements)


def fit_rotation_measure(measurements: Sequence[SourceMeasurement]) -> RotationMeasureFit | None:
    """Rotation measure of one source from its measurements in all planes."""
    ordered = sorted(measurements, key=lambda m: m.frequency_hz)
    return rotation_measure(
        np.array([m.frequency_hz for m in ordered]),
        np.array([m.measured[1] for m in ordered]),
        np.array([m.measured[2] for m in ordered]),
        np.array([0.5 * (m.rms[1] + m.rms[2]) for m in ordered]),
    )
