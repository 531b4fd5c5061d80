"""A cube of which one plane has lost half of its channels, from end to end.

The oracle: the lower half of a window flagged puts the data a quarter of the window above its middle.
"""

from __future__ import annotations

import json
import math
import os
import subprocess

import pytest
from astropy.io import fits

from vlasscube import casa
from vlasscube.constants import SPEED_OF_LIGHT_M_S
from vlasscube.recipe import ANALYZE_STOKES_CUBES, IMPORT_DATA, MAKE_IMAGES
from vlasscube.results.reading import read_result
from vlasscube.simulation import simulate
from vlasscube.simulation.presets import preset
from vlasscube.workspace.directory import Workspace

from .running import command

pytestmark = [pytest.mark.casa, pytest.mark.endtoend]

FIELD = preset(
    "tiny",
    rows=2,
    fields_per_row=3,
    science_spws=(2, 3),
    rfi_spws=(),
    imsize=(128, 128),
    continuum_model="truth",
    continuum_predict="direct",
    keep_final_state=False,
)


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    place = tmp_path_factory.mktemp("half")
    casa.configure(place / "casa.log")
    simulate(place / "run", FIELD, seed=4)
    workspace = Workspace(place / "run")
    template = FIELD.input_ms.removesuffix(".ms") + "_split.flagtargetstemplate.txt"
    (workspace.directory / template).write_text(f"mode='manual' spw='3:0~{FIELD.channels // 2 - 1}'\n")
    with workspace.ccip_parameter_file.open("a") as stream:
        stream.write("niter=100\nnmajor=2\n")
    ended = subprocess.run(
        command("run", workspace.directory, "--workers", "0"),
        env={**os.environ, "HOME": str(place)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return workspace


def test_mean_frequency_in_record_header_and_manifest(workspace: Workspace) -> None:
    windows = {window.id: window for window in read_result(workspace, IMPORT_DATA).summary.spectral_windows}
    manifest = json.loads((workspace.products / "manifest.json").read_text())
    listed = {plane["label"]: plane["spectral_coverage"] for plane in manifest["planes"]}
    # Noise of the weights by statwt, and of Briggs' by the uv cells that channels fall into.
    for label, wanted, tolerance in (("spw2", 0.0, 4e6), ("spw3", windows[3].bandwidth_hz / 4, 3e6)):
        middle = windows[int(label[3:])].mean_frequency_hz
        coverage = read_result(workspace, MAKE_IMAGES, label).spectral_coverage
        assert coverage is not None
        assert coverage.effective_frequency_hz - middle == pytest.approx(wanted, abs=tolerance)
        assert listed[label]["effective_frequency_hz"] == coverage.effective_frequency_hz
        paths = sorted(workspace.products.glob(f"*.{label}.*.fits"))
        assert len(paths) == 10
        for path in paths:
            header = fits.getheader(path)
            assert header["CRVAL3"] == pytest.approx(middle, abs=1e6)
            assert header["EFFFREQ"] == pytest.approx(coverage.effective_frequency_hz, rel=1e-12)
            assert header["LAMSQ"] == pytest.approx(coverage.mean_lambda2_m2, rel=1e-12)
            assert header["EFFBW"] == pytest.approx(coverage.effective_bandwidth_hz, rel=1e-12)
    assert coverage.effective_bandwidth_hz == pytest.approx(windows[3].bandwidth_hz / 2, rel=0.03)
    edges = middle, middle + windows[3].bandwidth_hz / 2
    assert coverage.mean_lambda2_m2 == pytest.approx(
        SPEED_OF_LIGHT_M_S**2 / math.prod(edges), rel=2 * 3e6 / middle
    )


def test_fits_of_the_stokes_spectra_use_it(workspace: Workspace) -> None:
    analysis = read_result(workspace, ANALYZE_STOKES_CUBES)
    for region in (*analysis.native, *analysis.common):
        for measurement in region.measurements:
            coverage = read_result(workspace, MAKE_IMAGES, measurement.label).spectral_coverage
            assert measurement.fit_frequency_hz == coverage.effective_frequency_hz
            assert measurement.fit_lambda2_m2 == coverage.mean_lambda2_m2
