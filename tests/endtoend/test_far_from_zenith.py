"""A field 50° from the zenith, from visibilities to FITS: sources are where they are, with their fluxes.

The oracle is the simulated sky; the simulation's uvw and beams are its own. A position correction of the
wrong sign would leave sources twice its size away.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from vlasscube import casa
from vlasscube.constants import ARCSEC_PER_DEG
from vlasscube.recipe import MAKE_IMAGES
from vlasscube.results.reading import read_result
from vlasscube.simulation import simulate
from vlasscube.simulation.comparison import SourceMeasurement, compare_run
from vlasscube.simulation.presets import preset
from vlasscube.workspace.directory import Workspace

from .running import command

pytestmark = [pytest.mark.casa, pytest.mark.endtoend]

FIELD = preset(
    "z50",
    rows=2,
    fields_per_row=3,
    antennas=20,
    imsize=(1200, 1200),
    points=8,
    flux_range_jy=(0.2, 0.6),
    source_margin_arcmin=5.0,
    separation_arcmin=1.5,
    beam_at="otf",
)


@pytest.fixture(scope="module")
def field(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("zenith")
    casa.configure(place / "casa.log")
    simulate(place / "field", FIELD, seed=3)
    return place / "field"


def imaged(field: Path, profile: str) -> Workspace:
    directory = field.with_name(profile)
    shutil.copytree(field, directory)
    ended = subprocess.run(
        command("run", directory, "--workers", "0", "--profile", profile),
        env={**os.environ, "HOME": str(directory.parent)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return Workspace(directory)


def bright(workspace: Workspace) -> list[SourceMeasurement]:
    found = [m for m in compare_run(workspace) if m.snr > 50 and m.pb > 0.5]
    assert len(found) >= 6
    return found


def mean_offset_arcsec(measurements: list[SourceMeasurement]) -> np.ndarray:
    offsets = np.array([m.offset_pixels for m in measurements]) * FIELD.cell_arcsec
    return offsets.mean(axis=0)


def applied_arcsec(workspace: Workspace) -> np.ndarray:
    """How far the header's reference position was moved, to the east and to the north."""
    (product,) = workspace.products.glob("*.IQU.iter3.image.pbcor.tt0.subim.fits")
    header = fits.getheader(product)
    (line,) = (card for card in header["HISTORY"] if card.startswith("Uncorrected CRVAL1"))
    (other,) = (card for card in header["HISTORY"] if card.startswith("Uncorrected CRVAL2"))
    ra, dec = (float(text.split("=")[1].split()[0]) for text in (line, other))
    east = (header["CRVAL1"] - ra + 180) % 360 - 180
    return np.array([east * np.cos(np.radians(dec)), header["CRVAL2"] - dec]) * ARCSEC_PER_DEG


def test_the_archive_profile_corrects_positions(field: Path) -> None:
    workspace = imaged(field, "archive")
    measurements = bright(workspace)
    effect = read_result(workspace, MAKE_IMAGES, "spw2").noncoplanar
    assert effect is not None
    correction = applied_arcsec(workspace)
    left = mean_offset_arcsec(measurements)
    displaced = left - correction
    # Equation 9 knows the way, but the amount only of whole mosaics.
    assert displaced @ correction < -0.95 * np.hypot(*displaced) * np.hypot(*correction)
    assert np.hypot(*left) < np.hypot(*correction)
    # What is expected is of all places within half the primary beam; most sources are nearer to the middle,
    # where displacements are half as large.
    expected = np.array([effect.shift_east_arcsec, effect.shift_north_arcsec])
    assert displaced @ expected > 0.95 * np.hypot(*displaced) * np.hypot(*expected)
    assert 0.5 < np.hypot(*displaced) / np.hypot(*expected) < 1.2


def test_the_science_profile_has_true_positions_and_fluxes(field: Path) -> None:
    workspace = imaged(field, "science")
    measurements = bright(workspace)
    for m in measurements:
        assert np.hypot(*m.offset_pixels) < 0.05 + 3 * m.position_noise_pixels
    ratios = np.array([m.ratio for m in measurements])
    assert ratios.mean() == pytest.approx(1, abs=0.005)
    assert ratios.std() < 0.01
