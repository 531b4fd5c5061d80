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
from vlasscube.imaging.imager_inputs import image_grid
from vlasscube.measurement_set.visibilities import read_visibilities
from vlasscube.mosaic.imager import ImagerSettings, MosaicImager
from vlasscube.mosaic.restoration import fit_beam
from vlasscube.parameters.quantities import parse_taper
from vlasscube.records import DataSelection, ImageGeometry
from vlasscube.simulation import preset
from vlasscube.simulation.build import observe
from vlasscube.simulation.measurement_set import INTENT, write_measurement_set
from vlasscube.simulation.parameters import FieldSimulation
from vlasscube.simulation.spectral_windows import spw_mean_frequency_hz

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
    p = case.field
    parameters = CleanParameters(
        geometry=ImageGeometry(*p.imsize, p.cell_arcsec, p.phasecenter),
        masks=(),
        robust=case.robust,
        uvtaper=case.uvtaper,
    )
    fields = ",".join(str(pointing.field_id) for pointing in observation.pointings)
    scans = ",".join(str(scan) for scan in sorted({pointing.scan for pointing in observation.pointings}))
    antennas = ",".join(map(str, range(p.antennas))) + "&"
    selection = DataSelection(fields, case.spw, antennas, scans, INTENT, UVRANGE)
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
    visibilities = read_visibilities(ms, selection, column="data")
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
