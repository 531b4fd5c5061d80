"""The mosaic imager beside tclean: weights, psf, primary beam, dirty image and the residual of a model.

Run with ``-rP`` to see the largest differences measured.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.ndimage import binary_dilation, binary_erosion

from vlasscube import casa
from vlasscube.images.casa_images import image_facts, read_plane
from vlasscube.imaging.clean_sequence import CleanParameters, iteration_sequence, tclean_arguments
from vlasscube.imaging.imager_inputs import image_frame, image_grid
from vlasscube.measurement_set.visibilities import read_visibilities
from vlasscube.mosaic.imager import ImagerSettings, MosaicImager
from vlasscube.mosaic.restoration import fit_beam, restore
from vlasscube.parameters.quantities import parse_taper
from vlasscube.records import DataSelection, ImageGeometry
from vlasscube.simulation import preset
from vlasscube.simulation.build import observe
from vlasscube.simulation.measurement_set import INTENT, write_measurement_set
from vlasscube.simulation.parameters import FieldSimulation
from vlasscube.simulation.spectral_windows import spw_mean_frequency_hz
from vlasscube.sky import direction_at, format_phasecenter
from vlasscube.testing.measurement_sets import relabel_frame as relabel

pytestmark = pytest.mark.casa

STOKES = "IQUV"
UVRANGE = "<12km"


@dataclass(frozen=True)
class Case:
    field: FieldSimulation
    spw: str
    robust: float = 1.0
    uvtaper: tuple[str, ...] = ()
    flags_and_weights: bool = False
    flag_rows: bool = False
    """Flag rows by FLAG_ROW alone, and others by FLAG alone."""
    frame: str = "J2000"
    """Frame of the phase centres."""
    image_frame: str = "J2000"
    uvrange: str = UVRANGE


SMALL = preset(
    "tiny",
    rfi_spws=(),
    science_spws=(2, 3),
    imsize=(256, 256),
    points=5,
    source_margin_arcmin=1.0,
    gaussians=1,
)
CASES = {
    # Baselines as long as VLASS's; the beam is wider than the image.
    "b_configuration": Case(
        replace(
            SMALL,
            configuration="b",
            fields_per_row=3,
            field_step_arcmin=0.9,
            row_spacing_arcmin=1.5,
            science_spws=(10,),
            imsize=(480, 480),
            cell_arcsec=0.6,
            points=3,
            source_margin_arcmin=0.3,
            separation_arcmin=0.3,
            gaussian_fwhm_arcsec=(4.0, 8.0),
        ),
        "10",
    ),
    # All pointings well inside of an image that is not square.
    "many_pointings": Case(
        replace(
            SMALL, rows=3, fields_per_row=8, science_spws=(8,), imsize=(640, 512), cell_arcsec=6.0, points=12
        ),
        "8",
    ),
    "flags_and_weights": Case(
        replace(SMALL, flagged_row_fraction=0.1, flagged_correlation="LL", nan_visibilities=50),
        "2",
        flags_and_weights=True,
    ),
    # Low in the south-west, pointings at, 2.5 and 3.5 degrees from the centre of an image of 6 degrees.
    "far_from_zenith_and_centre": Case(
        replace(
            SMALL,
            dec_deg=-30.0,
            hour_angle_h=3.0,
            rows=3,
            fields_per_row=3,
            row_spacing_arcmin=150.0,
            field_step_arcmin=150.0,
            science_spws=(8,),
            imsize=(768, 768),
            cell_arcsec=28.125,
            points=40,
            separation_arcmin=10.0,
            gaussians=0,
        ),
        "8",
        # What the pixels allow.
        uvrange="<0.3km",
    ),
    "flagged_rows": Case(SMALL, "2", flag_rows=True),
    "another_frame": Case(SMALL, "3", frame="B1950_VLA"),
    "image_in_icrs": Case(SMALL, "3", image_frame="ICRS"),
    "taper": Case(SMALL, "3", robust=-0.5, uvtaper=("40arcsec",)),
    "two_spectral_windows": Case(replace(SMALL, imsize=(240, 256)), "2,3"),
}


@pytest.fixture(scope="module", params=CASES)
def both(request, tmp_path_factory):
    """The same observation imaged by tclean and by the mosaic imager."""
    directory = tmp_path_factory.mktemp("parity")
    casa.configure(directory / "casa.log")
    case = CASES[request.param]
    ms = directory / "field.ms"
    observation = observe(case.field, 4)
    write_measurement_set(ms, observation)
    if case.flags_and_weights:
        spoil(ms)
    if case.flag_rows:
        flag_rows(ms)
    if case.frame != "J2000":
        relabel(ms, case.frame)
    p = case.field
    parameters = CleanParameters(
        geometry=ImageGeometry(*p.imsize, p.cell_arcsec, p.phasecenter.replace("J2000", case.image_frame)),
        masks=(),
        robust=case.robust,
        uvtaper=case.uvtaper,
    )
    fields = ",".join(str(pointing.field_id) for pointing in observation.pointings)
    scans = ",".join(str(scan) for scan in sorted({pointing.scan for pointing in observation.pointings}))
    antennas = ",".join(map(str, range(p.antennas))) + "&"
    selection = DataSelection(fields, case.spw, antennas, scans, INTENT, case.uvrange)
    expected = by_casa(directory, ms, selection, parameters)
    ours = by_mosaic(ms, selection, parameters, expected.model)
    return request.param, expected, ours


def spoil(ms: Path) -> None:
    """Give all visibilities weights of their own, and flag single correlations and channels at random."""
    rng = np.random.default_rng(8)
    with casa.table(ms, writable=True) as table:
        weight = table.getcol("WEIGHT")
        table.putcol("WEIGHT", weight * rng.uniform(0.3, 3.0, weight.shape))
        flag = table.getcol("FLAG")
        flag |= rng.random(flag.shape) < 0.02
        flag |= rng.random((1, *flag.shape[1:])) < 0.05
        table.putcol("FLAG", flag)


def flag_rows(ms: Path) -> None:
    rng = np.random.default_rng(9)
    with casa.table(ms, writable=True) as table:
        kind = rng.choice(3, table.nrows(), p=[0.6, 0.3, 0.1])
        flag = np.zeros_like(table.getcol("FLAG"))
        flag[..., kind == 2] = True
        table.putcol("FLAG", flag)
        table.putcol("FLAG_ROW", kind == 1)


def by_casa(
    directory: Path, ms: Path, selection: DataSelection, parameters: CleanParameters
) -> SimpleNamespace:
    spws = [int(spw) for spw in selection.spw.split(",")]
    reffreq_hz = float(np.mean([spw_mean_frequency_hz(spw) for spw in spws]))
    name = str(directory / "image")
    first = iteration_sequence(parameters)[0]
    arguments = tclean_arguments(str(ms), selection, reffreq_hz, name, parameters, first)
    arguments["datacolumn"] = "data"
    casa.run_task("tclean", **arguments)

    def planes(kind: str) -> np.ndarray:
        return np.stack([np.nan_to_num(read_plane(Path(f"{name}.{kind}.tt0"), k)) for k in range(4)])

    result = SimpleNamespace(psf=planes("psf"), pb=planes("pb"), dirty=planes("residual"))
    result.beam = image_facts(Path(f"{name}.psf.tt0")).beam
    with casa.image(f"{name}.sumwt.tt0") as image:
        result.sumwt = image.getchunk().ravel()
    result.model = bright_pixels(result.pb[0], np.abs(result.dirty[0]).max())
    with casa.image(f"{name}.model.tt0") as image:
        image.putchunk(result.model.transpose(2, 1, 0)[..., None].astype(float))
    shutil.rmtree(f"{name}.residual.tt0")
    casa.run_task("tclean", **(arguments | {"calcpsf": False, "calcres": True}))
    result.residual = planes("residual")
    return result


def bright_pixels(pb: np.ndarray, scale: float) -> np.ndarray:
    """A model of points with all Stokes parameters, some of them far out in the primary beam."""
    rng = np.random.default_rng(5)
    model = np.zeros((4, *pb.shape), dtype=np.float32)
    places = np.argwhere(pb > 0.25)
    for y, x in places[rng.choice(len(places), 8, replace=False)]:
        model[:, y, x] = scale * rng.uniform(0.2, 0.6) * np.array([1, *rng.uniform(-0.2, 0.2, 3)])
    return model


def by_mosaic(
    ms: Path, selection: DataSelection, parameters: CleanParameters, model: np.ndarray
) -> SimpleNamespace:
    visibilities = read_visibilities(ms, selection, column="data", frame=image_frame(parameters.geometry))
    settings = ImagerSettings(robust=parameters.robust, taper=parse_taper(parameters.uvtaper), threads=2)
    imager = MosaicImager(image_grid(parameters.geometry), visibilities, settings)
    weight_image = imager.weight_image()
    result = SimpleNamespace(
        psf=imager.psf(),
        pb=imager.primary_beam(weight_image),
        dirty=np.empty_like(model),
        sumwt=imager.weight_sum,
    )
    imager.residual(None, weight_image, result.dirty)
    result.residual = np.empty_like(model)
    imager.residual(model, weight_image, result.residual)
    result.beam = fit_beam(result.psf, parameters.geometry.cell_arcsec)
    return result


def report(case: str, what: str, *values: float) -> None:
    print(case, what, " ".join(f"{value:.2e}" for value in values))


def test_weights(both):
    name, casa_images, ours = both
    difference = np.abs(ours.sumwt / casa_images.sumwt - 1)
    report(name, "sumwt", difference.max())
    assert difference.max() < 1e-4


def test_psf(both):
    name, casa_images, ours = both
    ny, nx = ours.psf.shape
    inner = slice(ny // 4, -(ny // 4)), slice(nx // 4, -(nx // 4))
    difference = np.abs(ours.psf - casa_images.psf)
    report(name, "psf inner, all", difference[:, *inner].max(), difference.max())
    assert difference[:, *inner].max() < 1e-3


def test_beam(both):
    name, casa_images, ours = both
    expected, found = casa_images.beam, ours.beam
    axes = found.bmaj_arcsec / expected.bmaj_arcsec - 1, found.bmin_arcsec / expected.bmin_arcsec - 1
    angle = (found.bpa_deg - expected.bpa_deg + 90) % 180 - 90
    report(name, "beam bmaj, bmin, bpa (deg)", *axes, angle)
    assert np.abs(axes).max() < 1e-3
    # Where the beam is round, its angle means little.
    assert abs(np.radians(angle)) * (expected.bmaj_arcsec / expected.bmin_arcsec - 1) < 1e-3


def test_primary_beam(both):
    name, casa_images, ours = both
    clear = away_from_limit(casa_images.pb[0])
    difference = np.abs(ours.pb - casa_images.pb[0])[clear]
    report(name, "pb", difference.max())
    assert difference.max() < 1e-3
    np.testing.assert_array_equal((ours.pb > 0)[clear], (casa_images.pb[0] > 0)[clear])


@pytest.mark.parametrize("kind", ["dirty", "residual"])
def test_images(both, kind):
    name, casa_images, ours = both
    clear = away_from_limit(casa_images.pb[0])
    expected, found = getattr(casa_images, kind), getattr(ours, kind)
    peak = np.abs(casa_images.dirty[0]).max()
    difference = [np.abs(a - b)[clear].max() / peak for a, b in zip(found, expected, strict=True)]
    report(name, f"{kind} I Q U V", *difference)
    assert np.abs(expected[0]).max() > 0.1 * peak
    assert difference[0] < 1e-3
    assert max(difference[1:]) < 2e-4


def away_from_limit(pb: np.ndarray) -> np.ndarray:
    """Pixels that are inside of the limit of the primary beam in both images, or outside in both."""
    inside = pb > 0
    return binary_erosion(inside, np.ones((3, 3)), border_value=1) | ~binary_dilation(inside, np.ones((3, 3)))


@pytest.fixture(scope="module")
def small_field(tmp_path_factory):
    directory = tmp_path_factory.mktemp("small")
    casa.configure(directory / "casa.log")
    observation = observe(SMALL, 4)
    write_measurement_set(directory / "field.ms", observation)
    fields = ",".join(str(pointing.field_id) for pointing in observation.pointings)
    return directory / "field.ms", DataSelection(fields, "3", "", "", INTENT, UVRANGE)


def test_components_at_the_border_are_restored_without_wrapping(small_field, tmp_path):
    """Convolution in tclean goes on at the opposite border: all by which restored images differ there."""
    ms, selection = small_field
    geometry = ImageGeometry(128, 128, 8.0, SMALL.phasecenter)
    parameters = CleanParameters(geometry=geometry, masks=(), pblimit=1e-3)
    name = str(tmp_path / "image")
    first = iteration_sequence(parameters)[0]
    arguments = tclean_arguments(str(ms), selection, spw_mean_frequency_hz(3), name, parameters, first)
    arguments |= {"datacolumn": "data", "niter": 0, "calcres": True, "restoration": False}
    casa.run_task("tclean", **arguments)
    model = np.zeros((4, 128, 128), dtype=np.float32)
    for stokes, (y, x) in enumerate(((50, 0), (127, 127), (1, 60), (64, 64))):
        model[stokes, y, x] = 1
    with casa.image(f"{name}.model.tt0") as image:
        image.putchunk(model.transpose(2, 1, 0)[..., None].astype(float))
    casa.run_task("tclean", **(arguments | {"calcpsf": False, "calcres": False, "restoration": True}))
    beam = image_facts(Path(f"{name}.image.tt0")).beam
    for stokes in range(4):
        residual = np.nan_to_num(read_plane(Path(f"{name}.residual.tt0"), stokes))
        theirs = np.nan_to_num(read_plane(Path(f"{name}.image.tt0"), stokes)) - residual
        ours = restore(model[stokes], np.zeros_like(residual), beam, 8.0)
        wide = restore(np.pad(model[stokes], 64), np.zeros((256, 256), np.float32), beam, 8.0)
        np.testing.assert_allclose(ours, wide[64:-64, 64:-64], atol=1e-6)
        # What falls beyond a border comes in at the opposite one.
        wrapped = np.zeros_like(ours)
        np.add.at(wrapped, tuple((np.indices(wide.shape) - 64) % 128), wide)
        np.testing.assert_allclose(theirs, wrapped, atol=1e-5)
        assert (np.abs(theirs - ours).max() > 0.1) == (stokes != 3)


def test_psf_of_a_mosaic_that_leaves_out_the_image_centre(small_field, tmp_path):
    """As tclean's psfphasecenter has it, which goes with the other deconvolvers."""
    (ms, selection), p = small_field, SMALL
    geometry = ImageGeometry(512, 512, 8.0, format_phasecenter(p.ra_deg, p.dec_deg + 22 / 60))
    parameters = CleanParameters(geometry=geometry, masks=())
    grid = image_grid(geometry)
    visibilities = read_visibilities(ms, selection, column="data")
    imager = MosaicImager(grid, visibilities, ImagerSettings(threads=2))
    place = imager.psf_place(imager.weight_image())
    ours = imager.psf(place)
    ra, dec = direction_at(
        -(place[0] - 256) * grid.cell_rad, (place[1] - 256) * grid.cell_rad, grid.ra_rad, grid.dec_rad
    )
    first = iteration_sequence(parameters)[0]
    name = str(tmp_path / "image")
    arguments = tclean_arguments(str(ms), selection, spw_mean_frequency_hz(3), name, parameters, first)
    arguments |= {"datacolumn": "data", "deconvolver": "hogbom", "stokes": "I", "calcres": False}
    del arguments["nterms"]
    arguments["psfphasecenter"] = format_phasecenter(
        np.degrees(ra), np.degrees(dec), "J2000", ra_decimals=8, dec_decimals=7
    )
    casa.run_task("tclean", **arguments)
    difference = np.abs(ours - np.nan_to_num(read_plane(Path(f"{name}.psf"))))
    expected, found = image_facts(Path(f"{name}.psf")).beam, fit_beam(ours, 8.0)
    report("uncovered_centre", "psf", difference.max())
    assert difference.max() < 2e-3
    assert found.bmaj_arcsec == pytest.approx(expected.bmaj_arcsec, rel=1e-3)
    assert found.bmin_arcsec == pytest.approx(expected.bmin_arcsec, rel=1e-3)
