"""What stage 11 records of noise and sources, on small CASA images; oracles by hand."""

from __future__ import annotations

import numpy as np
import pytest

from vlasscube import casa
from vlasscube.images.mosaic_images import ImageHeader, write_mosaic_image
from vlasscube.mosaic.visibilities import ObservationInfo
from vlasscube.products.position_correction import position_correction
from vlasscube.records import Beam, ImageGeometry, PixelBox
from vlasscube.results.types import StokesAnalysis
from vlasscube.stages.analyze_stokes_cubes import PlaneCutout, StokesInputs, analyze_stokes_cubes
from vlasscube.stages.context import StageContext
from vlasscube.workspace.directory import Workspace
from vlasscube.workspace.record_json import from_json, to_json

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
