"""Stage 11: Stokes spectra at the peak of I and of the linearly polarised intensity."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from vlasscube import naming
from vlasscube.clean_terms import ImageMask, PrimaryBeamMask
from vlasscube.errors import ProductError
from vlasscube.images.casa_images import ImageFacts, image_facts, open_image, read_cube, read_plane
from vlasscube.images.cutouts import cutout_box
from vlasscube.images.smoothing import smooth_and_shift
from vlasscube.images.source_search import brightest_sources
from vlasscube.images.statistics import plane_statistics
from vlasscube.polarization.point_source import (
    beam_mean,
    box_pixels,
    fit_center,
    fit_point_source,
    mean_noise,
    point_source_stokes,
)
from vlasscube.polarization.records import PointSourceStokes, RegionSpectrum, SourceCenter, StokesMeasurement
from vlasscube.polarization.sefd import ReceiverNoise, receiver_noise
from vlasscube.polarization.stokes import (
    PeakPixel,
    derive,
    find_peak_polarization,
    fit_power_law,
    joint_mask,
    linear_polarization,
    measure_box,
)
from vlasscube.products.common_beam import CommonBeamInput, CommonBeamPlan, plan_common_beam
from vlasscube.products.position_correction import PositionCorrection
from vlasscube.recipe import (
    ANALYZE_STOKES_CUBES,
    EDIT_IMAGE_LIST_CUBE,
    GATHER_PLANES,
    MAKE_CUTOUT_IMAGES,
    MAKE_IMAGES,
)
from vlasscube.records import STOKES, Beam, Outcome, PixelBox, PlaneImages, SpectralCoverage
from vlasscube.results.reading import InputSource
from vlasscube.results.types import StokesAnalysis
from vlasscube.sky import image_wcs
from vlasscube.stages.context import StageContext
from vlasscube.stages.plane_position import plane_position
from vlasscube.stages.step import Step

Cube = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_] | None
RegionName = Literal["peak_stokesi", "peak_linpolint"]

LEAST_BEAM_MEAN = 0.2
"""Where the mean of the beam in the box is less, the box lies on its flank and tells little of the source."""


@dataclass(frozen=True)
class PlaneCutout:
    """A plane's cutout images by name, and what is known of it."""

    label: str
    frequency_hz: float
    """Of the frequency axis, as the archive has it: for the means in a box and their fit."""
    bandwidth_hz: float
    beam: Beam
    kept: bool
    pbcor: str
    rms: str
    image_noise: Mapping[str, float | None]
    """Scaled MAD of the restored image, not corrected, by Stokes parameter, Jy/beam."""
    rms_median: Mapping[str, float | None]
    """Median of the rms image by Stokes parameter, Jy/beam."""
    position: PositionCorrection
    coverage: SpectralCoverage | None = None
    """Where in frequency the data are, for the values of a point source; None: not recorded."""


@dataclass(frozen=True)
class StokesInputs:
    """The planes with images, and the masks of the highest-frequency one."""

    planes: tuple[PlaneCutout, ...]
    masks: tuple[str, ...]
    """Names of the tier-2 clean mask and the primary-beam mask."""
    box: PixelBox
    upstream: tuple[str, ...]
    common_beam_exclude_rejected: bool = False
    """Rejected planes take no part in finding the common beam."""


@dataclass(frozen=True)
class _Plane:
    """A plane as it is measured: at native or at common resolution."""

    cutout: PlaneCutout
    beam: Beam
    noise_scale: Mapping[str, float]
    """Noise relative to the native plane's, by Stokes parameter."""
    reference_deg: tuple[float, float]
    """Corrected sky position of the reference pixel."""
    offset: tuple[float, float]
    """(dx, dy) from a pixel of the first plane to the place in this one that shows the same sky."""
    read: Callable[[], Cube]


def stokes_inputs(source: InputSource) -> StokesInputs:
    """Make the inputs of the stage."""
    plan = source.result(EDIT_IMAGE_LIST_CUBE)
    planes: list[PlaneCutout] = []
    diverged: set[str] = set()
    keys: list[str] = []
    for verdict in source.result(GATHER_PLANES).with_images:
        of_plane = source.of_plane(verdict.label)
        images, cutouts = of_plane.result(MAKE_IMAGES), of_plane.result(MAKE_CUTOUT_IMAGES)
        keys.extend(of_plane.keys(MAKE_CUTOUT_IMAGES))
        diverged.update([verdict.label] if images.diverged else [])
        planes.append(
            PlaneCutout(
                label=verdict.label,
                frequency_hz=images.frequency_hz,
                bandwidth_hz=images.bandwidth_hz,
                beam=images.beam,
                kept=verdict.outcome is Outcome.IMAGED,
                pbcor=cutouts.images["pbcor"],
                rms=cutouts.images["rms"],
                image_noise={stokes: cutouts.statistics[stokes].image.madrms for stokes in STOKES},
                rms_median={stokes: cutouts.statistics[stokes].rms.median for stokes in STOKES},
                # The correction is that of the frequency axis, as the archive has it.
                position=plane_position(source, images.frequency_hz),
                coverage=images.spectral_coverage,
            )
        )
    # A plane whose clean diverged may lack the masks.
    highest = max(planes, key=lambda plane: (plane.label not in diverged, plane.frequency_hz), default=None)
    return StokesInputs(
        planes=tuple(planes),
        masks=_analysis_masks(source.of_plane(highest.label).result(MAKE_IMAGES)) if highest else (),
        box=cutout_box(
            plan.geometry.nx,
            plan.geometry.ny,
            plan.geometry.cell_arcsec,
            size_pixels=plan.parameters.cutout_imsize,
            convention=source.options.cutout,
        ),
        upstream=(*source.keys(GATHER_PLANES), *keys),
        common_beam_exclude_rejected=source.options.common_beam_exclude_rejected,
    )


def _analysis_masks(images: PlaneImages) -> tuple[str, ...]:
    """Clean mask of the last iteration with a mask image, and the primary-beam mask, of the smallest beam."""
    masks = [i.mask.name for i in images.iterations if isinstance(i.mask, ImageMask)][-1:]
    if isinstance(images.last.mask, PrimaryBeamMask):
        masks.append(naming.tclean_product(images.last_root, "mask"))
    return tuple(masks)


def analyze_stokes_cubes(inputs: StokesInputs, context: StageContext) -> StokesAnalysis:
    """Measure all planes at the two peaks, natively and at common resolution.

    At native resolution the beam shrinks with frequency and planes are offset from each other by the
    uncorrected w-term: spectra come out too steep. At common resolution, with positions corrected and planes
    aligned, they do not.
    """
    working = context.workspace.working
    planes = sorted(inputs.planes, key=lambda plane: plane.frequency_hz)
    if not planes:
        raise ProductError("no plane was imaged: nothing to analyse", hint="See the outcome of each plane.")
    facts = image_facts(working / planes[0].pbcor)
    mask = _joint_mask(inputs, context)
    plan = _common_beam_plan(planes, facts.cell_arcsec, exclude_rejected=inputs.common_beam_exclude_rejected)
    steps = {step.label: step for step in plan.steps}
    reference = planes[0].position
    first_x, first_y = steps[planes[0].label].shift_pixels

    def native(plane: PlaneCutout) -> _Plane:
        dx, dy = steps[plane.label].shift_pixels
        return _Plane(
            plane,
            plane.beam,
            dict.fromkeys(STOKES, 1.0),
            (plane.position.corrected_ra_deg, plane.position.corrected_dec_deg),
            (first_x - dx, first_y - dy),
            lambda: read_cube(working / plane.pbcor),
        )

    def common(plane: PlaneCutout) -> _Plane:
        cube = read_cube(working / plane.pbcor)
        shift = steps[plane.label].shift_pixels
        aligned = np.stack(
            [smooth_and_shift(part, plane.beam, plan.target, facts.cell_arcsec, shift) for part in cube]
        )
        scale = {
            stokes: _ratio(plane_statistics(after).madrms, plane_statistics(before).madrms)
            for stokes, before, after in zip(STOKES, cube, aligned, strict=True)
        }
        nominal = reference.nominal_ra_deg, reference.nominal_dec_deg
        return _Plane(plane, plan.target, scale, nominal, (0.0, 0.0), lambda: aligned)

    reachable = [plane for plane in planes if steps[plane.label].make]
    for plane in planes:
        if plane not in reachable:
            context.warn(f"{plane.label}: left out at common resolution: {steps[plane.label].reasons[0]}")
    return StokesAnalysis(
        lowest_frequency_hz=planes[0].frequency_hz,
        native=_measure(planes, native, mask, facts, working, context),
        common=_measure(reachable, common, mask, facts, working, context),
        common_beam=plan.target,
        rms_median={
            plane.label: {stokes: value for stokes, value in plane.rms_median.items() if value is not None}
            for plane in planes
        },
        receivers_by_image=_receiver_noise(planes, lambda plane: plane.image_noise),
        receivers_by_rms=_receiver_noise(planes, lambda plane: plane.rms_median),
        sources=brightest_sources(read_plane(working / planes[0].pbcor), read_plane(working / planes[0].rms)),
        reference_positions_deg={
            plane.label: (plane.position.corrected_ra_deg, plane.position.corrected_dec_deg)
            for plane in planes
        },
    )


def _common_beam_plan(
    planes: Sequence[PlaneCutout], cell_arcsec: float, *, exclude_rejected: bool
) -> CommonBeamPlan:
    return plan_common_beam(
        [
            CommonBeamInput(
                plane.label,
                plane.beam,
                plane.position.corrected_ra_deg,
                plane.position.corrected_dec_deg,
                plane.kept,
            )
            for plane in planes
        ],
        planes[0].position.nominal_ra_deg,
        planes[0].position.nominal_dec_deg,
        cell_arcsec,
        always=True,
        # If all are rejected they are compared all the same.
        exclude_rejected=exclude_rejected and any(plane.kept for plane in planes),
    )


def _receiver_noise(
    planes: Sequence[PlaneCutout], noise: Callable[[PlaneCutout], Mapping[str, float | None]]
) -> ReceiverNoise | None:
    """Scale the SEFD to the planes that are not rejected."""
    kept = [plane for plane in planes if plane.kept]
    return receiver_noise(
        [plane.frequency_hz for plane in kept],
        {stokes: [noise(plane).get(stokes) for plane in kept] for stokes in STOKES},
    )


def _ratio(after: float | None, before: float | None) -> float:
    return after / before if after is not None and before else 1.0


def _joint_mask(inputs: StokesInputs, context: StageContext) -> Mask:
    masks = []
    for name in inputs.masks:
        path = context.workspace.working / name
        if path.exists():
            masks.append(read_plane(path, box=inputs.box))
        else:
            context.warn(f"mask {name} is missing: peaks are searched without it")
    return joint_mask(masks)


def _measure(
    planes: list[PlaneCutout],
    prepare: Callable[[PlaneCutout], _Plane],
    mask: Mask,
    facts: ImageFacts,
    working: Path,
    context: StageContext,
) -> tuple[RegionSpectrum, ...]:
    spectra: dict[RegionName, RegionSpectrum] = {}
    for number, cutout in enumerate(planes):
        plane, coverage = prepare(cutout), cutout.coverage
        cube = plane.read()
        if number == 0:
            spectra = _regions(cube, mask, facts, plane, context)
        for name, region in spectra.items():
            box = measure_box(cube, region.pixel_x, region.pixel_y)
            rms_box = _rms_in_box(working / cutout.rms, region, plane.noise_scale)
            values = [float(value) for value in box]
            medians = [cutout.rms_median[stokes] for stokes in STOKES]
            if not np.all(np.isfinite([*values, rms_box["I"]])) or None in medians:
                context.warn(f"{cutout.label}: no measurement at {name}: masked pixels")
                continue
            measurement = StokesMeasurement(
                label=cutout.label,
                frequency_hz=cutout.frequency_hz,
                beam=plane.beam,
                kept=cutout.kept,
                stokes_i=values[0],
                stokes_q=values[1],
                stokes_u=values[2],
                stokes_v=values[3],
                rms_i_box=rms_box["I"],
                rms_median={
                    stokes: (cutout.rms_median[stokes] or 0.0) * plane.noise_scale[stokes]
                    for stokes in STOKES
                },
                effective_frequency_hz=coverage.effective_frequency_hz if coverage else None,
                mean_lambda2_m2=coverage.mean_lambda2_m2 if coverage else None,
                bandwidth_hz=coverage.effective_bandwidth_hz if coverage else cutout.bandwidth_hz,
            )
            point = _point_source(measurement, region, plane, cube[0], rms_box, facts.cell_arcsec)
            measurement = replace(measurement, point_source=point)
            spectra[name] = replace(region, measurements=(*region.measurements, measurement))
    return tuple(_fitted(region) for region in spectra.values())


def _rms_in_box(path: Path, region: RegionSpectrum, scale: Mapping[str, float]) -> dict[str, float]:
    """Mean of the rms image in a region's box by Stokes parameter, scaled to the plane as it is measured."""
    with open_image(path) as image:
        ny, nx = image.shape
        x, y = region.pixel_x, region.pixel_y
        box = PixelBox(max(x - 1, 0), max(y - 1, 0), min(x + 1, nx - 1), min(y + 1, ny - 1))
        parts = np.stack([image.read(index, box) for index in range(len(STOKES))])
    means = measure_box(parts, x - box.blc_x, y - box.blc_y)
    return {stokes: float(mean) * scale[stokes] for stokes, mean in zip(STOKES, means, strict=True)}


def _point_source(
    measurement: StokesMeasurement,
    region: RegionSpectrum,
    plane: _Plane,
    intensity: Cube,
    rms_box: Mapping[str, float],
    cell_arcsec: float,
) -> PointSourceStokes | None:
    """Values of a point source at the region's centre; None if the box says too little of it."""
    if region.center is None or not all(map(math.isfinite, rms_box.values())):
        return None
    pixels = box_pixels(intensity, region.pixel_x, region.pixel_y)
    center = region.center.x + plane.offset[0], region.center.y + plane.offset[1]
    mean = beam_mean(plane.beam, cell_arcsec, pixels, center)
    if mean < LEAST_BEAM_MEAN:
        return None
    noise = mean_noise(plane.beam, cell_arcsec, pixels)
    return point_source_stokes(measurement, mean, {stokes: noise * rms_box[stokes] for stokes in STOKES})


def _regions(
    cube: Cube, mask: Mask, facts: ImageFacts, plane: _Plane, context: StageContext
) -> dict[RegionName, RegionSpectrum]:
    """Peaks of I and √(Q²+U²) of the lowest-frequency plane."""
    intensity, polarized = find_peak_polarization(cube, mask)
    peaks: dict[RegionName, PeakPixel | None] = {"peak_stokesi": intensity, "peak_linpolint": polarized}
    regions: dict[RegionName, RegionSpectrum] = {}
    wcs = image_wcs(*plane.reference_deg, facts.cell_arcsec, facts.reference_pixel)

    # Not the rms at the source: where beams are wide for its boxes, the source is in it.
    noise = {s: (plane.cutout.rms_median[s] or 0.0) * plane.noise_scale[s] for s in STOKES}

    def sky(x: float, y: float) -> tuple[float, float]:
        ra, dec = wcs.wcs_pix2world([[x, y]], 0)[0]
        return float(ra), float(dec)

    for name, peak in peaks.items():
        if peak is None:
            context.warn(f"{name}: no pixel within the joint mask")
            continue
        region = RegionSpectrum(name, peak.x, peak.y, *sky(peak.x, peak.y), (), None)
        if name == "peak_stokesi":
            shown, sigma = cube[0], noise["I"]
        else:
            shown = linear_polarization(cube[1], cube[2])
            sigma = math.hypot(noise["Q"], noise["U"]) / math.sqrt(2)
        found = fit_center(shown, peak.x, peak.y, plane.beam, facts.cell_arcsec, sigma)
        x, y = found or (float(peak.x), float(peak.y))
        regions[name] = replace(
            region,
            position_shift_arcsec=plane.cutout.position.delta_arcsec,
            center=SourceCenter(x, y, found is not None, *sky(x, y)),
        )
    return regions


def _fitted(region: RegionSpectrum) -> RegionSpectrum:
    measured = region.measurements
    law = fit_power_law(
        [m.frequency_hz for m in measured], [m.stokes_i for m in measured], [m.kept for m in measured]
    )
    derived = tuple(replace(m, derived=derive(m, law)) for m in measured)
    return fit_point_source(replace(region, measurements=derived, power_law=law))


STEP = Step(ANALYZE_STOKES_CUBES, stokes_inputs, analyze_stokes_cubes)
