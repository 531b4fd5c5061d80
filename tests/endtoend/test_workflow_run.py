"""The workflow on a simulated field: against its truth, CASA called by hand, and other readers."""

import dataclasses
import json
import math
import os
import shutil
import subprocess
import sys
import tarfile
import xml.etree.ElementTree as ET

import numpy as np
import pytest
import spectral_cube
from astropy.io import fits

from vlasscube import casa, naming
from vlasscube.estimates.machine_speed import REFERENCE
from vlasscube.image_names import image_identity
from vlasscube.images.beams import common_beam
from vlasscube.images.casa_images import image_facts, read_cube
from vlasscube.products.headers import history_lines
from vlasscube.products.imaging_history import call_arguments, imaging_calls
from vlasscube.products.position_correction import position_correction
from vlasscube.recipe import (
    ANALYZE_STOKES_CUBES,
    EDIT_IMAGE_LIST_CUBE,
    GATHER_PLANES,
    MAKE_IMAGES,
    RESTORE_PIMS,
    TRANSFORM_IMAGE_DATA,
)
from vlasscube.records import Outcome
from vlasscube.results.reading import read_result
from vlasscube.run.planning import look_at_machine, make_plan
from vlasscube.simulation.comparison import assess, compare_run
from vlasscube.sky import parse_phasecenter
from vlasscube.workspace.files import remove

from .running import command, input_digests

pytestmark = [pytest.mark.casa, pytest.mark.endtoend]

PLANES = ("spw2", "spw3")
EACH_RUN = ("options.json", "run.json")
"""Records that each run writes, whatever it does."""


def product(run, label, stokes="IQU", tail="image.pbcor.tt0.subim.fits"):
    (path,) = run.workspace.products.glob(f"*.{label}.{stokes}.iter3.{tail}")
    return path


def test_exit_status_and_outcomes(finished_run):
    assert finished_run.exit_status == 0, finished_run.output
    planes = read_result(finished_run.workspace, GATHER_PLANES).planes
    assert {p.label: p.outcome for p in planes} == {
        "spw2": Outcome.IMAGED,
        "spw3": Outcome.IMAGED,
        "spw4": Outcome.FLAGGED,
    }
    assert "spw4" not in {p.name.split(".")[7] for p in finished_run.workspace.products.glob("*.fits")}
    record = finished_run.workspace.read_record("edit_image_list_cube")
    assert any("spw 4" in message.text and message.level == "warning" for message in record.messages)


def test_disk_is_as_estimated(finished_run):
    workspace = finished_run.workspace
    machine = look_at_machine(workspace)
    kept = make_plan(workspace, workspace.read_options(), 2, REFERENCE).estimate.kept_bytes
    assert machine.disk_used_bytes == pytest.approx(kept, rel=0.3)


def test_memory_is_as_estimated(finished_run):
    workspace = finished_run.workspace
    peak = max(workspace.read_record("make_cutout_images", label).peak_memory_bytes for label in PLANES)
    cost = make_plan(workspace, workspace.read_options(), 2, REFERENCE).estimate
    assert cost.worker_memory_bytes == pytest.approx(peak, rel=0.3)


@pytest.mark.parametrize("label", PLANES)
def test_noise_is_that_inside_the_primary_beam_limit(finished_run, label):
    """Beyond it tclean leaves pixels that are all but zero; at high frequencies they are the majority."""
    images = read_result(finished_run.workspace, MAKE_IMAGES, label)
    root = f"{images.target.image_root}.iter3"
    pb = read_cube(finished_run.workspace.working / f"{root}.pb.tt0")
    restored = read_cube(finished_run.workspace.working / f"{root}.image.tt0")
    for index, stokes in enumerate("IQUV"):
        values = restored[index][np.isfinite(pb[index]) & np.isfinite(restored[index])].astype(float)
        expected = 1.4826 * np.median(np.abs(values - np.median(values)))
        assert images.last.statistics[stokes].image_rms == pytest.approx(expected, rel=1e-4)


def test_inputs_and_home_are_untouched(finished_run):
    assert input_digests(finished_run.workspace) == finished_run.input_digests
    assert list(finished_run.home.iterdir()) == []


def sorted_columns(table, names):
    keys = ("ANTENNA2", "ANTENNA1", "TIME", "FIELD_ID", "DATA_DESC_ID")
    order = np.lexsort([table.getcol(key) for key in keys])
    return {name: table.getcol(name)[..., order] for name in names}


def test_restored_state_is_the_continuum_runs(casa_run):
    """Killed while the model was being filled, and still every column ends as it should, bit by bit."""
    workspace = casa_run.workspace
    truth = np.load(workspace.directory / "truth" / "continuum_final.npz")
    keys = ("ANTENNA2", "ANTENNA1", "TIME", "FIELD_ID", "DATA_DESC_ID")
    order = np.lexsort([truth[key] for key in keys])
    working_ms = read_result(workspace, TRANSFORM_IMAGE_DATA).working_ms
    names = ("FLAG", "WEIGHT", "SIGMA", "WEIGHT_SPECTRUM", "MODEL_DATA", "CORRECTED_DATA")
    with casa.table(workspace.working / working_ms) as table:
        restored = sorted_columns(table, names)
    for name in names:
        expected = truth[name][..., order]
        assert np.array_equal(restored[name], expected, equal_nan=expected.dtype.kind in "fc"), name


@pytest.mark.parametrize("label", PLANES)
def test_images_kept_are_those_of_production(finished_run, label):
    workspace = finished_run.workspace
    images = read_result(workspace, MAKE_IMAGES, label)
    root = images.target.image_root
    expected = {f"{root}.iter0.residual.tt0"}
    for n in (1, 2):
        expected |= {f"{root}.iter{n}.{kind}" for kind in ("cleanmask", "image.tt0", "residual.tt0")}
    last = f"{root}.iter3"
    kinds = ("image", "residual", "model", "psf", "pb", "weight", "sumwt")
    expected |= {f"{last}.{kind}.tt0" for kind in kinds} | {f"{last}.mask"}
    derived = ("image.pbcor.tt0", "image.residual.pbcor.tt0", "image.pbcor.tt0.rms")
    expected |= {f"{last}.{name}" for name in derived}
    cut = (*derived, "image.tt0", "residual.tt0", "psf.tt0", "pb.tt0")
    expected |= {f"{last}.{name}.subim" for name in cut}
    assert {path.name for path in workspace.working.glob(f"{root}.*")} == expected
    for name in (f"{last}.image.tt0", f"{last}.residual.tt0", f"{last}.image.pbcor.tt0"):
        with casa.image(workspace.working / name) as image:
            beams = [image.restoringbeam(channel=0, polarization=p) for p in range(4)]
        assert all(beam == beams[0] and beam["major"]["value"] > 0 for beam in beams)


def test_images_equal_a_script_of_casa_calls(casa_run, tmp_path_factory):
    """The plane that was killed after iter1 and continued equals CASA called by hand, bit for bit."""
    workspace = casa_run.workspace
    images = read_result(workspace, MAKE_IMAGES, "spw2")
    plan = read_result(workspace, EDIT_IMAGE_LIST_CUBE)
    ms = workspace.working / read_result(workspace, TRANSFORM_IMAGE_DATA).working_ms
    restored = read_result(workspace, RESTORE_PIMS)
    here = tmp_path_factory.mktemp("script")
    selection = images.target.selection
    common = dict(
        vis=[str(ms)],
        field=[selection.field],
        spw=["2"],
        antenna=[selection.antenna],
        scan=[selection.scan],
        intent="OBSERVE_TARGET#UNSPECIFIED",
        uvrange="<12km",
        datacolumn="corrected",
        imsize=[plan.geometry.nx, plan.geometry.ny],
        cell=f"{plan.geometry.cell_arcsec:g}arcsec",
        phasecenter=plan.geometry.phasecenter,
        stokes="IQUV",
        specmode="mfs",
        reffreq="2.028GHz",
        gridder="mosaic",
        mosweight=False,
        pblimit=0.1,
        normtype="flatnoise",
        deconvolver="mtmfs",
        nterms=1,
        smallscalebias=0.4,
        restoringbeam="common",
        weighting="briggs",
        robust=1.0,
        uvtaper=[""],
        gain=0.1,
        cyclefactor=3.0,
        psfcutoff=0.5,
        interactive=False,
        savemodel="none",
    )
    tclean = casa.tasks().tclean
    tclean(imagename=str(here / "i0"), niter=0, nsigma=2.0, cycleniter=500, restoration=False, **common)
    masks = [str(workspace.working / name) for name in (restored.tier1_mask, restored.tier2_mask)]
    steps = [
        dict(usemask="user", mask=masks[0], nsigma=3.0, cycleniter=500),
        dict(usemask="user", mask=masks[1], nsigma=3.0, cycleniter=500),
        dict(usemask="pb", pbmask=0.4, nsigma=4.5, cycleniter=100),
    ]
    for number, step in enumerate(steps, start=1):
        for path in here.glob(f"i{number - 1}.*"):
            if ".mask" not in path.name and ".image" not in path.name:
                path.rename(here / path.name.replace(f"i{number - 1}.", f"i{number}."))
        tclean(
            imagename=str(here / f"i{number}"),
            niter=20000,
            threshold="0Jy",
            scales=[0, 5, 12],
            calcpsf=False,
            calcres=False,
            **step,
            **common,
        )
    for kind in ("image", "residual", "model", "pb", "psf"):
        ours = read_cube(workspace.working / f"{images.target.image_root}.iter3.{kind}.tt0")
        assert np.array_equal(ours, read_cube(here / f"i3.{kind}.tt0"), equal_nan=True), kind


def test_products_agree_with_the_truth(finished_run):
    verdict = assess(compare_run(finished_run.workspace))
    assert verdict.source_count >= 2 * 4
    assert not verdict.misses, "\n".join(verdict.misses)
    assert abs(verdict.mean_i_ratio - 1.0) < 0.02


@pytest.mark.parametrize("label", PLANES)
@pytest.mark.parametrize("stokes", ["IQU", "V"])
@pytest.mark.parametrize(
    "tail",
    [f"image.pbcor.tt0.{kind}.fits" for kind in ("subim", "rms.subim", "subim.com", "rms.subim.com")],
)
def test_fits_are_legal_and_complete(finished_run, label, stokes, tail, recwarn):
    path = product(finished_run, label, stokes, tail)
    with fits.open(path) as hdus:
        hdus.verify("exception")
        header = hdus[0].header
        assert hdus[0].data.dtype == np.dtype(">f4")
        assert header["NAXIS4"] == len(stokes)
        assert [header[f"CTYPE{n}"] for n in (1, 2, 3, 4)] == ["RA---SIN", "DEC--SIN", "FREQ", "STOKES"]
    assert header["BUNIT"] == "Jy/beam"
    assert header["OBJECT"] == image_identity(naming.parse_product_name(path.name).image).object_name
    assert header["RADESYS"] == "ICRS"
    assert header["DATE-OBS"] < header["DATE-END"]
    assert header["VLASSRJ"] is False
    assert header["VLASSPL"] == stokes
    assert header["VLASSBWN"] == 128e6
    assert not [w for w in recwarn if "Verify" in type(w.message).__name__]


@pytest.mark.parametrize("label", PLANES)
def test_every_product_tells_how_it_was_imaged(finished_run, label):
    """The calls of all iterations as they stand in the records, whatever the product."""
    images = read_result(finished_run.workspace, MAKE_IMAGES, label)
    plan = read_result(finished_run.workspace, EDIT_IMAGE_LIST_CUBE)
    expected = [call_arguments(iteration.call) for iteration in images.iterations]
    assert [entry["niter"] for entry in expected] == [0, 20000, 20000, 20000]
    paths = sorted(finished_run.workspace.products.glob(f"*.{label}.*.fits"))
    assert len(paths) == 10
    for path in paths:
        header = fits.getheader(path)
        lines = history_lines(header)
        assert [call_arguments(call) for call in imaging_calls(lines)] == expected, path.name
        assert any(line.startswith("iter3: mask primary beam above 0.4, nsigma 4.5") for line in lines)
        assert header["NFIELD"] == len(plan.field_ids)
        assert (header["ROBUST"], header["WEIGHT"], header["ITER"]) == (1.0, "briggs", 3)
        assert (header["ENGINE"], header["PROFILE"], header["SPW"]) == (
            finished_run.engine,
            "archive",
            label.removeprefix("spw"),
        )
        assert header["EFFFREQ"] == pytest.approx(images.spectral_coverage.effective_frequency_hz, rel=1e-12)
        assert header["EFFBW"] == pytest.approx(images.spectral_coverage.effective_bandwidth_hz, rel=1e-12)
        assert header["RESTFRQ"] > 0
        assert header["POSCORR"] is True
        pixels = fits.getdata(path)
        assert header["DATAMAX"] == pytest.approx(np.nanmax(pixels), rel=1e-6)


@pytest.mark.parametrize("label", PLANES)
def test_primary_beam_is_that_of_the_image(finished_run, label):
    response = fits.getdata(product(finished_run, label, "I", "pb.tt0.subim.fits"))[0, 0]
    corrected = fits.getdata(product(finished_run, label))[0, 0]
    (path,) = finished_run.workspace.working.glob(f"*.{label}.IQUV.iter3.image.tt0.subim")
    plain = read_cube(path)[0]
    inside = np.isfinite(corrected)
    assert np.array_equal(inside, np.isfinite(response))
    np.testing.assert_allclose((corrected * response)[inside], plain[inside], rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize("label", PLANES)
def test_position_correction_follows_the_plane_frequency(finished_run, label):
    header = fits.getheader(product(finished_run, label))
    plan = read_result(finished_run.workspace, EDIT_IMAGE_LIST_CUBE)
    ra, dec, _ = parse_phasecenter(plan.geometry.phasecenter)
    expected = position_correction(ra, dec, header["CRVAL3"], header["TELMJD"])
    assert header["CRVAL1"] == pytest.approx(expected.corrected_ra_deg, abs=1e-8)
    assert header["CRVAL2"] == pytest.approx(expected.corrected_dec_deg, abs=1e-8)
    history = [str(line) for line in header["HISTORY"]]
    assert any(line == f"Uncorrected CRVAL1 = {ra:.12E} deg" for line in history)
    assert any(line.startswith("Position correction (") for line in history)


def test_common_beam_set(finished_run):
    native = [read_result(finished_run.workspace, MAKE_IMAGES, label).beam for label in PLANES]
    target = common_beam(native)
    cell = read_result(finished_run.workspace, EDIT_IMAGE_LIST_CUBE).geometry.cell_arcsec
    tolerance = 0.2 * math.sqrt(2) * cell
    for label in PLANES:
        header = fits.getheader(product(finished_run, label, tail="image.pbcor.tt0.subim.com.fits"))
        assert "CASAMBM" not in header
        assert header["BMAJ"] * 3600 == pytest.approx(target.bmaj_arcsec, abs=tolerance)
        assert header["BMIN"] * 3600 == pytest.approx(target.bmin_arcsec, abs=tolerance)


def test_fitsverify_finds_nothing(finished_run):
    if shutil.which("fitsverify") is None:
        if os.environ.get("CI"):
            pytest.fail("no fitsverify: apt-get install fitsverify")
        pytest.skip("no fitsverify (Debian: apt-get install fitsverify)")
    paths = sorted(finished_run.workspace.products.glob("*.fits"))
    assert len(paths) == len(PLANES) * 10
    found = subprocess.run(["fitsverify", "-q", *paths], capture_output=True, text=True)
    assert found.returncode == 0, found.stdout
    assert found.stdout.count("verification OK") == len(paths)


def test_other_readers_agree(finished_run, tmp_path):
    path = product(finished_run, "spw2")
    images = read_result(finished_run.workspace, MAKE_IMAGES, "spw2")
    cube = spectral_cube.StokesSpectralCube.read(str(path))
    intensity = cube.I
    assert intensity.spectral_axis[0].to_value("Hz") == pytest.approx(images.frequency_hz)
    assert fits.getheader(path)["BMAJ"] * 3600 == pytest.approx(images.beam.bmaj_arcsec, rel=1e-6)
    casa.run_task(
        "importfits",
        fitsimage=str(path),
        imagename=str(tmp_path / "again"),
        defaultaxes=True,  # RA, Dec, Stokes, frequency, as CASA's own images
        defaultaxesvalues=["", "", "", ""],
    )
    facts = image_facts(tmp_path / "again")
    assert facts.stokes == ("I", "Q", "U")
    assert facts.beam is not None
    assert facts.beam.bmaj_arcsec == pytest.approx(images.beam.bmaj_arcsec, rel=1e-6)
    assert facts.frequency_hz == pytest.approx(images.frequency_hz)
    exported = fits.getdata(path)[:, 0]
    assert np.array_equal(read_cube(tmp_path / "again"), exported.astype("f4"), equal_nan=True)


def test_companions_and_manifests(finished_run):
    products = finished_run.workspace.products
    xml = ET.parse(products / "pipeline_manifest.xml").getroot()
    names = [image.get("name") for image in xml.iter("image")]
    assert len(names) == len(PLANES) * 5
    assert all("/" not in name and ".com." not in name and (products / name).is_file() for name in names)
    lists = {element.get("name") for element in xml.iter("parameter_list")}
    assert lists == {"SEIP_parameter.list", "CCIP_parameter.list"}
    manifest = json.loads((products / "manifest.json").read_text())
    assert {plane["label"]: plane["outcome"] for plane in manifest["planes"]} == {
        "spw2": "imaged",
        "spw3": "imaged",
        "spw4": "flagged",
    }
    for plane in manifest["planes"][:2]:
        coverage = read_result(finished_run.workspace, MAKE_IMAGES, plane["label"]).spectral_coverage
        assert plane["spectral_coverage"] == dataclasses.asdict(coverage)
        # Nothing is flagged but some antennas.
        assert abs(coverage.effective_frequency_hz - plane["frequency_hz"]) < 8e6
        assert 100e6 < coverage.effective_bandwidth_hz <= 128e6 * (1 + 1e-9)
    log = (products / "casa_commands.log").read_text()
    assert log.startswith("raise ")
    # Every call as executed: those cut short by the kills stand there, too; ours as the call they replace.
    mark = "\ntclean(" if finished_run.engine == "casa" else "\n# tclean("
    assert log.count(mark) >= 1 + len(PLANES) * 4
    if finished_run.engine == "casa":
        assert log.count("# tclean took") >= 2 + len(PLANES) * 4
    assert str(finished_run.workspace.directory) not in log
    with tarfile.open(products / "weblog.tgz") as archive:
        assert "weblog/index.html" in archive.getnames()


def test_verify_command(finished_run):
    def verify():
        return subprocess.run(
            command("verify", finished_run.workspace.directory), capture_output=True, text=True, check=False
        )

    good = verify()
    assert good.returncode == 0, good.stdout + good.stderr


def test_stokes_analysis_at_common_resolution_is_flatter(finished_run):
    """The native beam shrinks with frequency, which steepens the spectrum of any source in a box mean."""
    analysis = read_result(finished_run.workspace, ANALYZE_STOKES_CUBES)
    native, common = ({r.name: r for r in regions} for regions in (analysis.native, analysis.common))
    assert set(native) == set(common) == {"peak_stokesi", "peak_linpolint"}
    assert common["peak_stokesi"].power_law.alpha > native["peak_stokesi"].power_law.alpha
    assert common["peak_stokesi"].measurements[0].beam == common["peak_stokesi"].measurements[1].beam


def test_nothing_is_done_twice_and_lost_products_are_made_again(finished_run):
    workspace = finished_run.workspace

    def times():
        return {path: path.stat().st_mtime_ns for path in workspace.records.rglob("*.json")}

    def run():
        return subprocess.run(
            command("run", workspace.directory), capture_output=True, text=True, check=False
        ).returncode

    before = times()
    assert run() == 0
    unchanged = {path for path, time in times().items() if before.get(path) == time}
    assert set(before) - unchanged <= {workspace.records / name for name in EACH_RUN}
    lost = product(finished_run, "spw3", "V")
    content = fits.getdata(lost)
    remove(lost)
    assert run() == 0
    assert np.array_equal(fits.getdata(lost), content, equal_nan=True)
    redone = {path.name for path, time in times().items() if before.get(path) != time}
    assert redone <= {*EACH_RUN, "export_vlass_data.json"}


def test_the_recipe_runs_as_a_script(finished_run):
    """The exported recipe has no main guard; everything being done, it does nothing again."""
    workspace = finished_run.workspace
    before = {path: path.stat().st_mtime_ns for path in workspace.records.rglob("*.json")}
    script = workspace.products / "casa_pipescript.py"
    result = subprocess.run(
        [sys.executable, script], cwd=workspace.directory, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    redone = {path.name for path, time in before.items() if path.stat().st_mtime_ns != time}
    assert redone <= set(EACH_RUN)
