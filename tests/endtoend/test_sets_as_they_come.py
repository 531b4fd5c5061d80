"""A measurement set as users and the archive have them, with all its oddities at once, from end to end.

The oracle is the same set without them: same pixels, same headers.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from casacore.tables import makescacoldesc, maketabdesc

from vlasscube import casa
from vlasscube.casacore_tables import table
from vlasscube.recipe import IMPORT_DATA, TRANSFORM_IMAGE_DATA
from vlasscube.results.reading import read_result
from vlasscube.simulation import simulate
from vlasscube.simulation.presets import preset
from vlasscube.workspace.directory import Workspace
from vlasscube.workspace.files import size_bytes

from .running import command, input_digests

pytestmark = [pytest.mark.casa, pytest.mark.endtoend]

FIELD = preset(
    "tiny",
    rows=2,
    fields_per_row=3,
    science_spws=(2,),
    rfi_spws=(),
    imsize=(128, 128),
    continuum_model="truth",
    continuum_predict="direct",
    keep_final_state=False,
    later_fields=14_000,
    whole_observation_rows=200_000,
)
LIMITS = "niter=100\nnmajor=1\n"
REST_FREQUENCIES_HZ = (-1.0, np.nan, 0.0)


def two_observations(ms: Path) -> None:
    """Make the second scan another observation, whose scans are numbered as those of the first."""
    with table(ms / "OBSERVATION", writable=True) as observations:
        observations.addrows(1)
        for name in observations.colnames():
            if observations.iscelldefined(name, 0):
                observations.putcell(name, 1, observations.getcell(name, 0))
        observations.putcell("PROJECT", 1, "another")
    with table(ms, writable=True) as main:
        scan = main.getcol("SCAN_NUMBER")
        assert len(set(scan)) == FIELD.rows
        main.putcol("OBSERVATION_ID", (scan > scan.min()).astype(np.int32))
        main.putcol("SCAN_NUMBER", np.full_like(scan, scan.min()))


def sources_without_rest_frequency(ms: Path) -> None:
    """Give each field a source whose rest frequency is none, and a model in a column of records."""
    with table(ms / "FIELD", writable=True) as fields:
        count = fields.nrows()
        fields.putcol("SOURCE_ID", np.arange(count, dtype=np.int32))
    with table(ms / "SOURCE", writable=True) as sources:
        sources.addrows(count - sources.nrows())
        sources.putcol("SOURCE_ID", np.arange(count, dtype=np.int32))
        sources.putcol("SPECTRAL_WINDOW_ID", np.full(count, -1, np.int32))
        sources.putcol("REST_FREQUENCY", np.resize(REST_FREQUENCIES_HZ, (count, 1)))
        sources.addcols(maketabdesc([makescacoldesc("SOURCE_MODEL", {}, valuetype="record")]))


def calibrator_with_two_correlations(ms: Path) -> None:
    """Add rows of the first field, far from the image, in a window of another band, with RR and LL alone."""
    with table(ms / "POLARIZATION", writable=True) as setups:
        setup = setups.nrows()
        setups.addrows(1)
        setups.putcell("NUM_CORR", setup, 2)
        setups.putcell("CORR_TYPE", setup, np.array([5, 8], np.int32))
        setups.putcell("CORR_PRODUCT", setup, np.array([[0, 0], [1, 1]], np.int32))
    with table(ms / "DATA_DESCRIPTION", writable=True) as descriptions:
        description = descriptions.nrows()
        descriptions.addrows(1)
        descriptions.putcell("SPECTRAL_WINDOW_ID", description, 0)
        descriptions.putcell("POLARIZATION_ID", description, setup)
    with table(ms / "SPECTRAL_WINDOW") as windows:
        channels = windows.getcell("NUM_CHAN", 0)
    with table(ms / "STATE", writable=True) as states:
        state = states.nrows()
        states.addrows(1)
        for name in states.colnames():
            states.putcell(name, state, states.getcell(name, 0))
        states.putcell("OBS_MODE", state, "CALIBRATE_PHASE#UNSPECIFIED")
    with table(ms, writable=True) as main:
        start, rows = main.nrows(), 20
        main.addrows(rows)
        for name in main.colnames():
            for row in range(rows):
                if main.iscelldefined(name, row):
                    cell = main.getcell(name, row)
                    if name in ("DATA", "FLAG", "WEIGHT_SPECTRUM", "SIGMA_SPECTRUM"):
                        cell = np.resize(cell, (channels, 2))
                    elif name in ("WEIGHT", "SIGMA"):
                        cell = np.resize(cell, 2)
                    main.putcell(name, start + row, cell)
        for name, value in (("DATA_DESC_ID", description), ("FIELD_ID", 0), ("STATE_ID", state)):
            main.putcol(name, np.full(rows, value, np.int32), start, rows)


def run(directory: Path, home: Path) -> Workspace:
    workspace = Workspace(directory)
    with workspace.ccip_parameter_file.open("a") as stream:
        stream.write(LIMITS)
    before = input_digests(workspace)
    ended = subprocess.run(
        command("run", directory, "--workers", "0"),
        env={**os.environ, "HOME": str(home)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert input_digests(workspace) == before
    return workspace


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Workspace, Workspace]:
    """The plain set and the odd one, imaged."""
    place = tmp_path_factory.mktemp("sets")
    casa.configure(place / "casa.log")
    simulate(place / "plain", FIELD, seed=3)
    shutil.copytree(place / "plain", place / "odd")
    ms = place / "odd" / FIELD.input_ms
    two_observations(ms)
    sources_without_rest_frequency(ms)
    calibrator_with_two_correlations(ms)
    home = tmp_path_factory.mktemp("home")
    return run(place / "plain", home), run(place / "odd", home)


def test_two_observations_are_imaged_together(runs: tuple[Workspace, Workspace]) -> None:
    plain, odd = runs
    names = sorted(path.name for path in plain.products.glob("*.fits"))
    assert names == sorted(path.name for path in odd.products.glob("*.fits"))
    assert len(names) > 4
    for name in names:
        left, right = fits.getdata(plain.products / name), fits.getdata(odd.products / name)
        np.testing.assert_array_equal(right, left, err_msg=name)
        assert np.isfinite(left).any()
    scans = read_result(odd, IMPORT_DATA).summary.scans
    targets = {(scan.observation, scan.number) for scan in scans}
    assert {(0, FIELD.first_scan), (1, FIELD.first_scan)} <= targets


def test_headers_have_a_rest_frequency(runs: tuple[Workspace, Workspace]) -> None:
    plain, odd = runs
    for path in odd.products.glob("*.fits"):
        expected, found = fits.getheader(plain.products / path.name), fits.getheader(path)
        assert np.isfinite(found["RESTFRQ"])
        assert found["RESTFRQ"] > 0
        for key in ("RESTFRQ", "CRVAL3", "DATE-OBS", "BMAJ", "BMIN"):
            assert found[key] == expected[key], key


def test_only_what_is_needed_is_split_off(runs: tuple[Workspace, Workspace]) -> None:
    plain, odd = runs
    for workspace in runs:
        working = workspace.working / read_result(workspace, TRANSFORM_IMAGE_DATA).working_ms
        for name in ("POINTING", "SYSPOWER"):
            with table(working / name) as copied, table(workspace.input_ms / name) as original:
                assert original.nrows() >= FIELD.whole_observation_rows
                assert copied.nrows() == 0
        with table(working) as main:
            assert main.nrows() > 0
            assert {main.getcell("DATA", row).shape[-1] for row in range(main.nrows())} == {4}
            assert set(main.getcol("OBSERVATION_ID")) == ({0, 1} if workspace is odd else {0})
    sizes = [read_result(workspace, TRANSFORM_IMAGE_DATA).size_bytes for workspace in runs]
    assert sizes[1] == pytest.approx(sizes[0], rel=0.05)
    assert max(sizes) < size_bytes(plain.input_ms)
