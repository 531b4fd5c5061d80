"""A run directory with records as a run leaves them, without a run."""

from __future__ import annotations

import contextlib
import hashlib
import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np
import numpy.typing as npt

from vlasscube import naming
from vlasscube.clean_terms import StopCode, clean_mask
from vlasscube.constants import SPEED_OF_LIGHT_M_S
from vlasscube.polarization.point_source import (
    beam_mean,
    fit_point_source,
    mean_noise,
    point_source_stokes,
)
from vlasscube.polarization.records import RegionSpectrum, SourceCenter, StokesMeasurement
from vlasscube.polarization.sefd import ReceiverNoise
from vlasscube.polarization.stokes import derive, fit_power_law
from vlasscube.recipe import GATHER_PLANES
from vlasscube.records import (
    STOKES,
    Beam,
    BrightSource,
    CleanCycles,
    CutoutStatistics,
    ErrorInfo,
    Iteration,
    IterationStatistics,
    Message,
    NoncoplanarEffect,
    Outcome,
    PixelBox,
    PlaneImages,
    PlaneStatistics,
)
from vlasscube.results.types import (
    CubeImages,
    CutoutResult,
    ExportedPlane,
    ExportResult,
    PbcorResult,
    PlaneVerdict,
    ProductFile,
    RmsResult,
    StokesAnalysis,
)
from vlasscube.testing.synthetic_field import HOSTILE, IMAGE_NAME, SyntheticField, noise_jy, spw_frequency
from vlasscube.weblog import previews, source_stamps
from vlasscube.workspace.record_json import to_plain

Plane = npt.NDArray[np.float32]
"""[y, x]."""

__all__ = ["HOSTILE", "SyntheticRun", "fake_plane", "noise_jy", "spw_frequency", "use_planes"]


class SyntheticRun(SyntheticField):
    """Adds planes, their comparison, and the last stages."""

    sources: tuple[BrightSource, ...] = ()

    # ---------------------------------------------------------------------------------------------- planes

    def imaged_spws(self) -> list[int]:
        return [s for s in self.spws if s not in (self.failed, self.flagged, self.empty)]

    def plane_stages(self, spw: int, last: str = "make_cutout_images") -> Self:
        for stage in ("make_images", "pbcor", "make_rms_images", "make_cutout_images"):
            getattr(self, f"_{stage}")(spw)
            if stage == last:
                break
        return self

    def beam(self, spw: int) -> Beam:
        scale = 3.0e9 / spw_frequency(spw) * (0.7 if spw == self.rejected else 1.0)
        return Beam(3.1 * scale, 2.2 * scale, 12.0 + spw)

    def iteration(self, spw: int, number: int) -> Iteration:
        root = naming.iteration_root(naming.plane_image_root(IMAGE_NAME, str(spw)), number)
        mask = clean_mask(("", f"{root}.cleanmask", f"{root}.cleanmask", "pb")[number])
        cycles = {}
        for index, stokes in enumerate(STOKES if number else ()):
            steps = np.arange(1, 5)
            start = 0.08 / 4**index / 3 ** (number - 1)
            cycles[stokes] = CleanCycles(
                iterations=tuple(int(n) for n in steps * 120),
                peak_residual_jy=tuple(float(x) for x in start * 0.6**steps),
                model_flux_jy=tuple(float(x) for x in start * (1 - 0.5**steps) * 4),
                start_peak_residual_jy=(),
            )
        statistics = {
            stokes: IterationStatistics(
                residual_peak=0.0123 / (number + 1),
                residual_madrms=noise_jy(spw, stokes),
                image_max=0.0871,
                image_min=-0.0012,
                image_rms=noise_jy(spw, stokes) if number else None,
                model_flux_positive=0.412 if number else 0.0,
                model_flux_negative=-0.0031 if number else 0.0,
                model_flux_inner=0.398 if number else 0.0,
            )
            for stokes in STOKES
        }
        return Iteration(
            number=number,
            mask=mask,
            nsigma=(2.0, 3.0, 3.0, 4.5)[number],
            iterations_done=480 if number else 0,
            major_cycles=4 if number else 1,
            stop_code=StopCode.THRESHOLD if number else StopCode.ITERATION_LIMIT,
            cycles=cycles,
            statistics=statistics,
            call=f"tclean(vis=[{self.hostile!r}], imagename={root!r})",
            seconds=600.0 + number,
            files=(naming.tclean_product(root, "residual"),),
        )

    def images(self, spw: int) -> PlaneImages:
        return PlaneImages(
            target=self.plane_target(spw),
            engine="casa",
            iterations=tuple(self.iteration(spw, number) for number in range(4)),
            beam=self.beam(spw),
            frequency_hz=spw_frequency(spw) + 1e5,
            bandwidth_hz=1.28e8,
            unflagged_bandwidth_hz=1.2e8,
            expected_noise_jy=noise_jy(spw, "Q") / (2 if spw == self.noisy else 1.05),
            noncoplanar=NoncoplanarEffect(0.973 * (spw_frequency(spw) / 2e9) ** 0.03, 0.941, 0.012, 0.384),
        )

    def _make_images(self, spw: int) -> None:
        upstream = (self.key("restore_pims"), self.key("flag_targets_data"))
        messages = (
            (Message("warning", f"spw{spw} iter1: clean stopped early", "Raise niter."),) if spw == 3 else ()
        )
        self.write("make_images", self.images(spw), f"spw{spw}", upstream, messages, seconds=2406.0)

    def fail_plane(self, spw: int, message: str = "the psf has no beam") -> Self:
        text = f"spw{spw} iter1: {message} {self.hostile}"
        error = ErrorInfo("ImagingError", text, "Look at the residual images.", f"Traceback {self.hostile}")
        upstream = (self.key("restore_pims"), self.key("flag_targets_data"))
        self.write("make_images", None, f"spw{spw}", upstream, error=error)
        return self

    def write_iteration(self, spw: int, number: int) -> None:
        self.write(f"make_images.iter{number}", self.iteration(spw, number), f"spw{spw}")

    def statistics(self, value: float) -> PlaneStatistics:
        return PlaneStatistics(262144, 40 * value, -6 * value, 0.01 * value, 0.0, 1.1 * value, value)

    def _root(self, spw: int) -> str:
        return naming.iteration_root(naming.plane_image_root(IMAGE_NAME, str(spw)), 3)

    def _pbcor(self, spw: int) -> None:
        root, value = self._root(spw), noise_jy(spw, "I")
        result = PbcorResult(
            image=naming.pbcor_name(root),
            residual=naming.residual_pbcor_name(root),
            statistics={"image": self.statistics(value), "residual": self.statistics(value / 2)},
            pb_histogram_counts=(0, 0, 10, 40, 90, 160, 250, 400, 900, 2000),
            pb_histogram_edges=tuple(round(0.1 * i, 1) for i in range(11)),
        )
        self.write("pbcor", result, f"spw{spw}", (self.key("make_images", f"spw{spw}"),))

    def rms(self, spw: int, stokes: str) -> PlaneStatistics:
        value = noise_jy(spw, stokes) * (20 if spw == self.noisy else 1)
        return PlaneStatistics(262144, 3 * value, 0.5 * value, 1.1 * value, value, 0.2 * value, 0.1 * value)

    def _make_rms_images(self, spw: int) -> None:
        result = RmsResult(
            naming.rms_name(naming.pbcor_name(self._root(spw))), {s: self.rms(spw, s) for s in STOKES}
        )
        self.write("make_rms_images", result, f"spw{spw}", (self.key("pbcor", f"spw{spw}"),))

    def _make_cutout_images(self, spw: int) -> None:
        root = self._root(spw)
        names = {
            "image": naming.tclean_product(root, "image"),
            "pbcor": naming.pbcor_name(root),
            "residual_pbcor": naming.residual_pbcor_name(root),
            "rms": naming.rms_name(naming.pbcor_name(root)),
            "pb": naming.tclean_product(root, "pb"),
        }
        result = CutoutResult(
            box=PixelBox(128, 128, 383, 383),
            images={kind: naming.subim_name(name) for kind, name in names.items()},
            statistics={
                s: CutoutStatistics(
                    image=self.statistics(noise_jy(spw, s)),
                    residual=self.statistics(noise_jy(spw, s)),
                    pbcor=self.statistics(noise_jy(spw, s)),
                    rms=self.rms(spw, s),
                    rms_fraction_below_800ujy=0.4 if spw == self.noisy else 0.97,
                    rms_masked_fraction=0.02,
                )
                for s in STOKES
            },
            pb=PlaneStatistics(65536, 1.0, 0.42, 0.9, 0.95, 0.1, 0.05),
            expected_noise_jy=self.images(spw).expected_noise_jy,
            expected_corrected_noise_jy=4.2e-4,
            noise_ratio={
                s: noise_jy(spw, s) / (noise_jy(spw, "Q") / (2 if spw == self.noisy else 1.05))
                for s in STOKES
            },
        )
        upstream = tuple(self.key(s, f"spw{spw}") for s in ("make_images", "pbcor", "make_rms_images"))
        self.write("make_cutout_images", result, f"spw{spw}", upstream)

    def gather(self) -> Self:
        planes = []
        for target in self.plan.targets:
            spw = target.spw_ids[0]
            outcome, reason = target.outcome or Outcome.IMAGED, target.reason
            if spw == self.rejected:
                outcome, reason = Outcome.REJECTED, "major axis of the beam is 0.700 of the expected"
            if spw == self.failed:
                outcome, reason = Outcome.FAILED, f"make_images: the psf has no beam {self.hostile}"
            imaged = outcome.has_images
            planes.append(
                PlaneVerdict(
                    label=target.label,
                    spw=target.spw,
                    outcome=outcome,
                    reason=reason,
                    frequency_hz=target.reffreq_hz,
                    beam=self.beam(spw) if imaged else None,
                    flagged_fraction=target.box_flags.fraction,
                    stop="[2] threshold" if imaged else "",
                    rms_jy=noise_jy(spw, "I") if imaged else None,
                    seconds=2406.0 if imaged else 0.0,
                    is_reference=spw == 9,
                )
            )
        self.verdicts = CubeImages(tuple(planes))
        rejected = [p for p in planes if p.outcome is Outcome.REJECTED]
        messages = tuple(Message("warning", f"spw {p.spw} is rejected: {p.reason}") for p in rejected)
        images = {f"spw{s}": to_plain(self.images(s)) for s in self.imaged_spws()}
        self.write(GATHER_PLANES.name, self.verdicts, inputs={"images": images}, messages=messages)
        return self

    # ----------------------------------------------------------------------------------------------- finish

    def _region(self, name: Any, alpha: float, beams: Mapping[int, Beam]) -> RegionSpectrum:
        """A point source between the pixels, with noise, by the beams of the planes."""
        rng = np.random.default_rng(len(name))
        center = SourceCenter(256.2, 259.9, True, 12.50012, -2.49998)
        pixels = np.stack(np.meshgrid((255.0, 256.0, 257.0), (259.0, 260.0, 261.0)), axis=-1).reshape(-1, 2)
        cell = self.plan.geometry.cell_arcsec
        measurements = []
        for spw, beam in beams.items():
            frequency = spw_frequency(spw)
            # Of one plane half of the data are flagged.
            effective = frequency + (32e6 if spw == 4 else 0.0)
            flux = 0.0812 * (effective / 3e9) ** alpha
            angle = 2 * (0.3 + 80.0 * (SPEED_OF_LIGHT_M_S / effective) ** 2)
            stokes = flux * np.array([1.0, 0.06 * math.cos(angle), 0.06 * math.sin(angle), 0.001])
            mean, share = beam_mean(beam, cell, pixels, (center.x, center.y)), mean_noise(beam, cell, pixels)
            errors = {s: share * noise_jy(spw, s) for s in STOKES}
            i, q, u, v = (float(x) for x in stokes * mean + rng.normal(0, list(errors.values())))
            measured = StokesMeasurement(
                label=f"spw{spw}",
                frequency_hz=frequency,
                beam=beam,
                kept=spw != self.rejected,
                stokes_i=i,
                stokes_q=q,
                stokes_u=u,
                stokes_v=v,
                rms_i_box=noise_jy(spw, "I"),
                rms_median={s: noise_jy(spw, s) for s in STOKES},
                effective_frequency_hz=effective,
                bandwidth_hz=1.28e8,
            )
            measurements.append(replace(measured, point_source=point_source_stokes(measured, mean, errors)))
        law = fit_power_law(
            [m.frequency_hz for m in measurements],
            [m.stokes_i for m in measurements],
            [m.kept for m in measurements],
        )
        derived = tuple(replace(m, derived=derive(m, law)) for m in measurements)
        region = RegionSpectrum(name, 256, 260, 12.5, -2.5, derived, law, 0.46, center)
        return fit_point_source(region)

    def analyse(self) -> Self:
        native = {spw: self.beam(spw) for spw in self.imaged_spws()}
        common = dict.fromkeys(native, self.beam(2))
        alphas: tuple[tuple[Any, float], ...] = (("peak_stokesi", -0.72), ("peak_linpolint", -0.55))
        result = StokesAnalysis(
            lowest_frequency_hz=spw_frequency(2),
            native=tuple(self._region(name, alpha, native) for name, alpha in alphas),
            common=tuple(self._region(name, alpha, common) for name, alpha in alphas),
            common_beam=self.beam(2),
            rms_median={f"spw{s}": {p: noise_jy(s, p) for p in STOKES} for s in self.imaged_spws()},
            receivers_by_image=ReceiverNoise(5e-7, (2.0e9, 3.0e9, 4.0e9), (1.9e-4, 1.7e-4, 1.6e-4)),
            receivers_by_rms=ReceiverNoise(6e-7, (2.0e9, 3.0e9, 4.0e9), (2.3e-4, 2.1e-4, 2.0e-4)),
            sources=self.sources,
            reference_positions_deg={f"spw{s}": (12.50152512, -2.50008123) for s in native},
        )
        self.write("analyze_stokes_cubes", result, upstream=(self.key(GATHER_PLANES.name),))
        return self

    def export(self) -> Self:
        products = self.workspace.products
        products.mkdir(exist_ok=True)
        files = []
        for spw in self.imaged_spws():
            for stokes in ("IQU", "V"):
                name = naming.fits_name(
                    naming.stokes_variant(naming.subim_name(naming.pbcor_name(self._root(spw))), stokes)
                )
                (products / name).write_bytes(b"FITS")
                files.append(
                    ProductFile(name, "image", f"spw{spw}", stokes, 4, hashlib.sha256(b"FITS").hexdigest())
                )
        files.append(ProductFile("gone %&#.fits", "other", "", "", 4, "0" * 64))
        planes = tuple(
            ExportedPlane(
                label=f"spw{spw}",
                frequency_hz=spw_frequency(spw),
                crval1_deg=12.50152512,
                crval2_deg=-2.50008123,
                shift_arcsec=0.25 * 0.839 * (3e9 / spw_frequency(spw)) ** 2,
                zenith_distance_deg=40.02,
                smoothed=True,
                regridded=spw < 6,
                expected_shift_arcsec=0.384,
                shift_difference_arcsec=0.027,
                treatment=f"smoothed {self.hostile}",
            )
            for spw in self.imaged_spws()
        )
        self.write(
            "export_vlass_data",
            ExportResult(tuple(files), planes, self.beam(2)),
            upstream=(self.key(GATHER_PLANES.name),),
        )
        return self

    def finished(self) -> Self:
        """A whole run with planes of every outcome."""
        self.start().field_stages()
        for spw in self.imaged_spws():
            self.plane_stages(spw)
        if self.failed in self.spws:
            self.fail_plane(self.failed)
        return self.gather().analyse().export()

    # --------------------------------------------------------------------------------------------- pictures

    def make_image_names(self, spw: int) -> None:
        """Empty directories in place of a plane's CASA images."""
        root = naming.plane_image_root(IMAGE_NAME, str(spw))
        names = []
        for number in range(4):
            iteration = naming.iteration_root(root, number)
            names.append(naming.tclean_product(iteration, "residual"))
            if number:
                names.append(naming.tclean_product(iteration, "image"))
                names.append(naming.tclean_product(iteration, "cleanmask" if number < 3 else "mask"))
        final = naming.iteration_root(root, 3)
        names += [naming.tclean_product(final, kind) for kind in ("psf", "pb", "model")]
        names += [
            naming.pbcor_name(final),
            naming.residual_pbcor_name(final),
            naming.rms_name(naming.pbcor_name(final)),
        ]
        names += [naming.subim_name(name) for name in names[-6:]]
        for name in names:
            (self.workspace.working / name).mkdir(parents=True, exist_ok=True)


class Patch(Protocol):
    """What replaces an attribute for a while, as pytest's ``MonkeyPatch`` does."""

    def setattr(self, target: object, name: str, value: object) -> None:
        """Replace an attribute."""


def use_planes(patch: Patch, plane: Callable[[Path, int], Plane]) -> None:
    """Let the web log find these arrays, (path, Stokes index) to plane, in place of CASA images."""

    class Reader:
        def __init__(self, path: Path) -> None:
            self.path = path
            self.shape = plane(path, 0).shape

        def read(self, stokes: int = 0, box: PixelBox | None = None) -> Plane:
            whole = plane(self.path, stokes)
            return whole[box.blc_y : box.trc_y + 1, box.blc_x : box.trc_x + 1].copy() if box else whole

    for module in (previews, source_stamps):
        patch.setattr(module, "open_image", lambda path: contextlib.nullcontext(Reader(path)))


def fake_plane(path: Path, stokes: int = 0, size: int = 512) -> Plane:
    """Noise with a few sources, masked where the primary beam ends."""
    # Sources stand where they would on 512 pixels.
    y, x = np.mgrid[:size, :size] * (512 / size)
    radius = np.hypot(x - 256, y - 256) / 256
    response: Plane = np.exp(-(radius**2)).astype(np.float32)
    name = path.name
    plane: Plane
    if ".pb." in name:
        plane = response
    elif "mask" in name:
        in_mask: Plane = ((x - 300) ** 2 + (y - 200) ** 2 < 900).astype(np.float32)
        return in_mask
    elif ".psf." in name:
        plane = np.exp(-((radius * 60) ** 2)).astype(np.float32)
    elif ".model." in name:
        plane = np.zeros((size, size), dtype=np.float32)
        plane[200 * size // 512, 300 * size // 512] = 0.05
    elif name.endswith((".rms", ".rms.subim")):
        plane = (2e-4 / response).astype(np.float32)
    else:
        generator = np.random.default_rng(len(name) + stokes)
        plane = generator.normal(0, 2e-4, (size, size)).astype(np.float32)
        for px, py, flux in ((300, 200, 0.08), (120, 380, 0.02), (400, 420, 0.005)):
            factor = (1.0, 0.05, -0.04, 0.0)[stokes]
            plane += (flux * factor * np.exp(-((x - px) ** 2 + (y - py) ** 2) / 8)).astype(np.float32)
    plane[radius > 0.97] = np.nan
    return plane
