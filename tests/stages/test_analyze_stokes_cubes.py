"""What stage 11 records of noise, sources and spectra, on small CASA images; oracles by hand and astropy."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from astropy.wcs import WCS

from vlasscube import casa
from vlasscube.images.casa_images import read_cube
from vlasscube.images.mosaic_images import ImageHeader, write_mosaic_image
from vlasscube.mosaic.visibilities import ObservationInfo
from vlasscube.options import RunOptions
from vlasscube.products.position_correction import position_correction
from vlasscube.records import Beam, ImageGeometry, PixelBox, SpectralCoverage
from vlasscube.results.reading import InputSource
from vlasscube.results.types import StokesAnalysis
from vlasscube.stages.analyze_stokes_cubes import (
    PlaneCutout,
    StokesInputs,
    analyze_stokes_cubes,
    stokes_inputs,
)
from vlasscube.stages.context import StageContext
from vlasscube.testing.synthetic_run import SyntheticRun
from vlasscube.workspace.directory import Workspace
from vlasscube.workspace.record_json import from_json, to_json, to_plain

pytestmark = pytest.mark.casa
SIZE, RMS = 64, 2e-4
PLANES = {
    # Frequency, SEFD there by the table, kept, scaled MAD of Q and median rms of Q over the SEFD.
    "spw2": (2.4015e9, 411.0, True, 2e-7, 3e-7),
    "spw5": (3.054e9, 352.0, True, 4e-7, 5e-7),
    "spw9": (3.438e9, 293.0, True, 6e-7, 7e-7),
    "spw15": (3.559e9, 275.0, False, 1e-3, 1e-3),
}
SOURCES = {"spw2": ((20, 30, 0.08), (60, 10, 0.01)), "spw5": ((40, 50, 0.3),)}
"""Pixel and flux density by plane; only those of the lowest frequency count."""


@pytest.fixture
def analysis(tmp_path):
    casa.configure(tmp_path / "casa.log", tmp_path / "calls.py")
    workspace = Workspace(tmp_path)
    workspace.working.mkdir()
    observation = ObservationInfo("EVLA", "me", 5.1e9, "f", ((-1.6e6, -5e6, 3.5e6),))
    geometry = ImageGeometry(SIZE, SIZE, 1.0, "J2000 10:00:00.000 +34.00.00.0000")
    rng = np.random.default_rng(5)
    cutouts = []
    for label, (frequency, sefd, kept, image_ratio, rms_ratio) in PLANES.items():
        header, beam = ImageHeader(geometry, frequency, 128e6, frequency, observation), Beam(3.0, 3.0, 0.0)
        cube = rng.normal(0, RMS, (4, SIZE, SIZE)).astype(np.float32)
        for x, y, flux in SOURCES.get(label, ()):
            cube[:, y, x] += np.array([flux, flux / 10, 0, 0], np.float32)
        noise = np.full((4, SIZE, SIZE), RMS, np.float32)
        for name, planes in ((f"{label}.pbcor", cube), (f"{label}.rms", noise)):
            write_mosaic_image(workspace.working / name, "image", header, planes, beams=(beam,))
        cutouts.append(
            PlaneCutout(
                label=label,
                frequency_hz=frequency,
                bandwidth_hz=128e6,
                beam=beam,
                kept=kept,
                pbcor=f"{label}.pbcor",
                rms=f"{label}.rms",
                image_noise={"I": 1.0, "Q": image_ratio * sefd, "U": None, "V": None},
                rms_median=dict.fromkeys("IUV", 1.0) | {"Q": rms_ratio * sefd},
                position=position_correction(150.0, 34.0, frequency, 59066.9),
            )
        )
    inputs = StokesInputs(tuple(reversed(cutouts)), (), PixelBox(0, 0, SIZE - 1, SIZE - 1), ())
    return analyze_stokes_cubes(inputs, StageContext(workspace, "analyze_stokes_cubes"))


def test_sources_of_the_lowest_frequency(analysis):
    assert [(s.pixel_x, s.pixel_y) for s in analysis.sources] == [(20, 30), (60, 10)]
    source = analysis.sources[0]
    assert source.peak_jy == pytest.approx(0.08, abs=5 * RMS)
    assert source.snr == pytest.approx(source.peak_jy / RMS, rel=1e-5)
    assert from_json(StokesAnalysis, to_json(analysis)) == analysis


def test_receivers_scaled_to_the_planes_that_are_kept(analysis):
    """Of the images: Q alone, median of 2, 4 and 6 × 10⁻⁷; of the rms images U and V of 1 Jy weigh more."""
    by_image, by_rms = analysis.receivers_by_image, analysis.receivers_by_rms
    assert by_image.scale == pytest.approx(4e-7)
    at = dict(zip(by_image.frequencies_hz, by_image.noise_jy, strict=True))
    assert at[3.438e9] == pytest.approx(4e-7 * 293)
    # Nine ratios: three of Q below 10⁻⁶, and 1/411, 1/352, 1/293 twice each: the fifth is 1/411.
    assert by_rms.scale == pytest.approx(1 / 411)


# ------------------------------------------------------------------------------- a source as a run shows it

CELL = 0.6
CENTER = 150.0, 34.0
SOURCE = 150.0 - 4.17 * CELL / 3600, 34.0 + 3.36 * CELL / 3600
"""Where the source is on the sky; degrees."""
FLUX, ALPHA, FRACTION, RM, ANGLE_DEG = 0.05, -0.7, 0.08, 30.0, 25.0
NOISE = 5e-5
BEAMS = {
    "spw2": (2.028e9, Beam(4.26, 3.35, -10.4)),
    "spw5": (2.412e9, Beam(3.58, 2.70, -7.7)),
    "spw9": (2.924e9, Beam(3.09, 2.49, -11.3)),
    "spw12": (3.308e9, Beam(2.58, 1.93, 3.5)),
    "spw15": (3.692e9, Beam(2.25, 1.51, 3.7)),
}


def sky_of(reference_deg):
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---SIN", "DEC--SIN"]
    wcs.wcs.cdelt = [-CELL / 3600, CELL / 3600]
    wcs.wcs.crval = reference_deg
    wcs.wcs.crpix = [SIZE // 2 + 1, SIZE // 2 + 1]
    return wcs


def beam_image(beam, x0, y0):
    y, x = np.mgrid[:SIZE, :SIZE]
    east, north = -(x - x0) * CELL, (y - y0) * CELL
    angle = math.radians(beam.bpa_deg)
    along = east * math.sin(angle) + north * math.cos(angle)
    across = east * math.cos(angle) - north * math.sin(angle)
    return 2.0 ** -((2 * along / beam.bmaj_arcsec) ** 2 + (2 * across / beam.bmin_arcsec) ** 2)


def point_source(
    directory, *, beams=BEAMS, w_corrected=False, rejected=(), exclude=False, lag_hz=0.0, local_noise=NOISE
):
    """A point source in each plane where the w-term puts it; ``lag_hz``: data lie above the frequency."""
    casa.configure(directory / "casa.log", directory / "calls.py")
    workspace = Workspace(directory)
    workspace.working.mkdir()
    observation = ObservationInfo("EVLA", "me", 5.1e9, "f", ((-1.6e6, -5e6, 3.5e6),))
    geometry = ImageGeometry(SIZE, SIZE, CELL, "J2000 10:00:00.000 +34.00.00.0000")
    rng = np.random.default_rng(9)
    cutouts = []
    for label, (frequency, beam) in beams.items():
        # Zenith distance 55 degrees: the planes are up to 0.8 arcsec off.
        position = position_correction(*CENTER, frequency, 59066.64, w_corrected=w_corrected)
        reference = position.corrected_ra_deg, position.corrected_dec_deg
        x, y = sky_of(reference).wcs_world2pix([SOURCE], 0)[0]
        intensity = FLUX * ((frequency + lag_hz) / 3e9) ** ALPHA
        angle = 2 * (math.radians(ANGLE_DEG) + RM * (299792458.0 / (frequency + lag_hz)) ** 2)
        stokes = intensity * np.array([1, FRACTION * math.cos(angle), FRACTION * math.sin(angle), 0.0])
        cube = stokes[:, None, None] * beam_image(beam, x, y) + rng.normal(0, NOISE / 5, (4, SIZE, SIZE))
        header = ImageHeader(geometry, frequency, 128e6, frequency, observation)
        noise = np.full((4, SIZE, SIZE), local_noise) * np.array([1, 2, 2, 1])[:, None, None]
        for name, planes in ((f"{label}.pbcor", cube), (f"{label}.rms", noise)):
            write_mosaic_image(
                workspace.working / name, "image", header, planes.astype(np.float32), beams=(beam,)
            )
        cutouts.append(
            PlaneCutout(
                label=label,
                frequency_hz=frequency,
                bandwidth_hz=128e6,
                beam=beam,
                kept=label not in rejected,
                pbcor=f"{label}.pbcor",
                rms=f"{label}.rms",
                image_noise=dict.fromkeys("IQUV", NOISE),
                rms_median=dict.fromkeys("IQUV", NOISE),
                position=position,
                coverage=SpectralCoverage(frequency + lag_hz, (299792458.0 / (frequency + lag_hz)) ** 2, 1e6),
            )
        )
    inputs = StokesInputs(tuple(cutouts), (), PixelBox(0, 0, SIZE - 1, SIZE - 1), (), exclude)
    context = StageContext(workspace, "analyze_stokes_cubes")
    return analyze_stokes_cubes(inputs, context), cutouts, context


def separation_arcsec(position):
    return 3600 * math.hypot(
        (position[0] - SOURCE[0]) * math.cos(math.radians(SOURCE[1])), position[1] - SOURCE[1]
    )


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return point_source(tmp_path_factory.mktemp("point"), lag_hz=20e6)


class TestPointSource:
    def test_means_are_those_of_the_pixels(self, run):
        analysis, cutouts, context = run
        region = analysis.native[0]
        x, y = region.pixel_x, region.pixel_y
        for measured, cutout in zip(region.measurements, cutouts, strict=True):
            cube = read_cube(context.workspace.working / cutout.pbcor)
            means = cube[:, y - 1 : y + 2, x - 1 : x + 2].mean(axis=(1, 2), dtype=float)
            found = measured.stokes_i, measured.stokes_q, measured.stokes_u, measured.stokes_v
            assert found == pytest.approx(means, rel=1e-6, abs=1e-9)
        assert region.power_law.alpha < -1.1

    @pytest.mark.parametrize("resolution", ["native", "common"])
    def test_values_of_the_source(self, run, resolution):
        for region in getattr(run[0], resolution):
            law = region.point_source_law
            assert law.alpha == pytest.approx(ALPHA, abs=0.01)
            assert law.flux_3ghz_jy == pytest.approx(FLUX, rel=0.01)
            assert region.rotation_measure.rm == pytest.approx(RM, abs=3 * region.rotation_measure.rm_error)
            for measured in region.measurements:
                point = measured.point_source
                assert point.polarized_jy == pytest.approx(
                    FRACTION * point.flux_jy["I"], abs=2 * point.polarized_error_jy
                )
                assert point.snr == pytest.approx(point.flux_jy["I"] / measured.rms_median["I"])
                assert point.error_jy["Q"] == pytest.approx(2 * point.error_jy["I"], rel=0.3)

    def test_frequencies_are_those_of_the_data(self, run):
        for measured, cutout in zip(run[0].common[0].measurements, run[1], strict=True):
            assert measured.frequency_hz == cutout.frequency_hz
            assert measured.fit_frequency_hz == cutout.frequency_hz + 20e6
            assert measured.fit_lambda2_m2 == cutout.coverage.mean_lambda2_m2
            assert measured.bandwidth_hz == 1e6

    def test_error_of_the_mean_is_that_of_the_rms_image(self, run):
        """At native resolution about the rms itself: the mean lowers the noise as much as the source."""
        region = run[0].native[0]
        for measured in region.measurements[:3]:
            assert measured.point_source.error_jy["I"] == pytest.approx(NOISE, rel=0.15)
            assert measured.point_source.error_jy["U"] == pytest.approx(2 * NOISE, rel=0.15)

    def test_center_by_the_noise_of_the_plane(self, tmp_path):
        """Where beams are wide for the boxes of the rms image, the source itself is in it."""
        beams = {"spw2": BEAMS["spw2"], "spw5": BEAMS["spw5"]}
        analysis, _, _ = point_source(tmp_path, beams=beams, local_noise=0.1 * FLUX)
        region = analysis.native[0]
        assert region.center.fitted
        assert region.measurements[0].point_source.error_jy["I"] == pytest.approx(0.1 * FLUX, rel=0.15)

    def test_positions_are_those_of_the_products(self, run):
        """Of the first plane's FITS file, whose reference position is corrected; of the nominal grid."""
        analysis, cutouts, _ = run
        position = cutouts[0].position
        assert position.delta_arcsec > 0.5
        for region, reference in (
            (analysis.native[0], (position.corrected_ra_deg, position.corrected_dec_deg)),
            (analysis.common[0], CENTER),
        ):
            ra, dec = sky_of(reference).wcs_pix2world([[region.pixel_x, region.pixel_y]], 0)[0]
            assert (region.ra_deg, region.dec_deg) == pytest.approx((ra, dec), abs=1e-9)
            assert separation_arcsec((region.ra_deg, region.dec_deg)) < 0.75 * CELL
            assert region.center.fitted
            assert separation_arcsec((region.center.ra_deg, region.center.dec_deg)) < 0.02
            assert region.position_shift_arcsec == position.delta_arcsec
        assert analysis.reference_positions_deg == {
            c.label: (c.position.corrected_ra_deg, c.position.corrected_dec_deg) for c in cutouts
        }
        assert from_json(StokesAnalysis, to_json(analysis)) == analysis

    def test_no_correction_after_w_correction(self, tmp_path):
        analysis, _, _ = point_source(tmp_path, w_corrected=True)
        region = analysis.native[0]
        assert region.position_shift_arcsec == 0.0
        ra, dec = sky_of(CENTER).wcs_pix2world([[region.pixel_x, region.pixel_y]], 0)[0]
        assert (region.ra_deg, region.dec_deg) == pytest.approx((ra, dec), abs=1e-9)
        assert separation_arcsec((region.center.ra_deg, region.center.dec_deg)) < 0.02
        assert region.point_source_law.alpha == pytest.approx(ALPHA, abs=0.01)


class TestInputs:
    @pytest.mark.parametrize("exclude", [False, True])
    def test_of_planes_and_options(self, tmp_path, exclude):
        run = SyntheticRun(tmp_path).finished()
        found = run.workspace.read_record("make_images", "spw4")
        images = replace(run.images(4), spectral_coverage=SpectralCoverage(2.3e9, 0.017, 6e7))
        run.workspace.write_record(replace(found, result=to_plain(images)))
        inputs = stokes_inputs(InputSource(run.workspace, RunOptions(common_beam_exclude_rejected=exclude)))
        assert inputs.common_beam_exclude_rejected is exclude
        planes = {plane.label: plane for plane in inputs.planes}
        assert planes["spw4"].frequency_hz == images.frequency_hz
        assert planes["spw4"].coverage == images.spectral_coverage
        assert planes["spw3"].coverage is None
        assert [label for label, plane in planes.items() if not plane.kept] == ["spw5"]


class TestRejectedPlanes:
    WIDE = BEAMS | {"spw12": (3.308e9, Beam(6.0, 5.5, 20.0))}

    def test_widen_the_common_beam(self, tmp_path):
        analysis, _, _ = point_source(tmp_path, beams=self.WIDE, rejected=("spw12",))
        assert analysis.common_beam.bmaj_arcsec == pytest.approx(6.0, rel=1e-4)
        assert len(analysis.common[0].measurements) == len(BEAMS)

    def test_do_not_if_the_option_says_so(self, tmp_path):
        analysis, _, context = point_source(tmp_path, beams=self.WIDE, rejected=("spw12",), exclude=True)
        assert analysis.common_beam.bmaj_arcsec == pytest.approx(4.26, rel=1e-4)
        labels = [m.label for m in analysis.common[0].measurements]
        assert labels == [label for label in BEAMS if label != "spw12"]
        assert len(analysis.native[0].measurements) == len(BEAMS)
        assert any("spw12" in message.text and "common" in message.text for message in context.messages)

    def test_all_of_them_are_compared_all_the_same(self, tmp_path):
        analysis, _, _ = point_source(tmp_path, rejected=tuple(BEAMS), exclude=True)
        assert analysis.common_beam.bmaj_arcsec == pytest.approx(4.26, rel=1e-4)
        assert analysis.common[0].point_source_law is None
        assert analysis.common[0].measurements[0].point_source is not None
