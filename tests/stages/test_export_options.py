"""Every option of the export on small CASA images, without the workflow.

Oracles: Gaussians in closed form, CASA's tasks called by hand, astropy for the zenith.
"""

from __future__ import annotations

import math
import warnings
from types import SimpleNamespace

import numpy as np
import pytest
from astropy import units
from astropy.coordinates import Longitude, SkyCoord
from astropy.io import fits
from astropy.time import Time
from astropy.utils import iers

from vlasscube import casa, naming
from vlasscube.image_names import image_identity
from vlasscube.images.casa_images import read_plane
from vlasscube.images.mosaic_images import ImageHeader, write_mosaic_image
from vlasscube.images.rms_map import rms_map
from vlasscube.mosaic.visibilities import ObservationInfo
from vlasscube.options import RunOptions
from vlasscube.products.general_keywords import PlaneImaging
from vlasscube.products.imaging_history import ImagingSetup
from vlasscube.products.position_correction import position_correction
from vlasscube.records import (
    Beam,
    CutoutStatistics,
    DataSelection,
    FlagCount,
    ImageGeometry,
    Outcome,
    PixelBox,
    PlaneImages,
    PlaneStatistics,
    PlaneTarget,
)
from vlasscube.results.types import CubeImages, CutoutResult, PlaneVerdict
from vlasscube.stages.context import StageContext
from vlasscube.stages.export_vlass_data import ExportInputs, ExportPlane, export_vlass_data
from vlasscube.workspace.directory import Workspace

pytestmark = pytest.mark.casa

NAME = "VLASS2.1.cc.T10t02.J100000+340000.06.2048.v1"
PHASECENTER = "J2000 10:00:00.000 +34.00.00.0000"
RA, DEC, SIZE, CELL = 150.0, 34.0, 64, 0.6
START_MJD_S, END_MJD_S = 59066.90 * 86400, 59066.94 * 86400
MIDDLE_MJD = 59066.92
FREQUENCIES = {"spw2": 2.028e9, "spw9": 2.924e9, "spw15": 3.692e9}
BEAMS = {"spw2": Beam(4.2, 4.2, 0.0), "spw9": Beam(3.0, 3.0, 0.0), "spw15": Beam(2.4, 2.4, 0.0)}
FLUX = (1.0, 0.2, -0.1, 0.05)
SOURCE = (30.0, 33.0)
TARGET = 4.2 * 1.00001
"""Of the common beam of round beams: the largest, with the margin."""


def gaussian(fwhm_arcsec, x0, y0):
    y, x = np.indices((SIZE, SIZE))
    return np.exp(-4 * math.log(2) * ((x - x0) ** 2 + (y - y0) ** 2) * (CELL / fwhm_arcsec) ** 2)


def image_name(label, kind):
    root = naming.iteration_root(naming.plane_image_root(NAME, label.removeprefix("spw")), 3)
    pbcor = naming.pbcor_name(root)
    names = {"pbcor": pbcor, "rms": naming.rms_name(pbcor), "pb": naming.tclean_product(root, "pb")}
    return naming.subim_name(names[kind])


def response(dx=0.0, dy=0.0):
    """A primary beam, moved by some pixels."""
    y, x = np.indices((SIZE, SIZE))
    return 1 - ((x - dx - 20) ** 2 + (y - dy - 40) ** 2) / 3000


def plane(working, label, beam, outcome, latitude):
    frequency = FREQUENCIES[label]
    observation = ObservationInfo("EVLA", "me", START_MJD_S, "f", ((-1.6e6, -5e6, 3.5e6),))
    header = ImageHeader(
        ImageGeometry(SIZE, SIZE, CELL, PHASECENTER), frequency, 128e6, frequency, observation
    )
    contents = {"pbcor": [flux * gaussian(beam.bmaj_arcsec, *SOURCE) for flux in FLUX]}
    contents["rms"] = [np.full((SIZE, SIZE), 2e-4)] * 4
    for kind, planes in contents.items():
        path = working / image_name(label, kind)
        write_mosaic_image(path, "image", header, [p.astype(np.float32) for p in planes], beams=(beam,))
    pb = response().astype(np.float32)
    path = working / image_name(label, "pb")
    write_mosaic_image(path, "pb", header, [np.where(pb > 0.2, pb, 0)] * 4, mask=pb > 0.2)
    statistics = PlaneStatistics(SIZE**2, 1.0, 0.0, 0.0, 2e-4, 1e-4, 1e-4)
    spw = int(label.removeprefix("spw"))
    target = PlaneTarget(
        spw=str(spw),
        spw_ids=(spw,),
        label=label,
        image_root=naming.plane_image_root(NAME, str(spw)),
        reffreq_hz=frequency,
        selection=DataSelection("", "", "", "", "", ""),
        nominal_bandwidth_hz=128e6,
        flags=FlagCount(0, 100),
        box_flags=FlagCount(0, 100),
        fields_above_threshold=0,
        outcome=None,
    )
    return ExportPlane(
        PlaneVerdict(
            label, str(spw), outcome, "beam" * (outcome == "rejected"), frequency, beam, 0.1, "", 1e-4, 1.0
        ),
        PlaneImages(target, "casa", (), beam, frequency, 128e6, 120e6),
        CutoutResult(
            PixelBox(0, 0, SIZE - 1, SIZE - 1),
            {kind: image_name(label, kind) for kind in ("pbcor", "rms", "pb")},
            {s: CutoutStatistics(*[statistics] * 4, 1.0, 0.0) for s in "IQUV"},
            statistics,
        ),
        position_correction(RA, DEC, frequency, MIDDLE_MJD, latitude=latitude),
        PlaneImaging(
            setup=ImagingSetup("casa", "6.7", "archive", "casa", False, "1.0"),
            casa_version="6.7",
            project="",
            spw_ids=(spw,),
            spw_names=("x",),
            field_ids=(1, 2),
            robust=1.0,
            frequency_hz=frequency,
            unflagged_bandwidth_hz=120e6,
            coverage=None,
            w_planes=0,
            history=("tclean(niter=0)",),
        ),
    )


@pytest.fixture
def export(tmp_path):
    """Return a function that exports three planes with some options."""
    workspace = Workspace(tmp_path)
    workspace.working.mkdir()
    casa.configure(tmp_path / "casa.log", tmp_path / "calls.py")

    def run(beams=BEAMS, rejected=(), **options):
        chosen = RunOptions(**options)
        planes = tuple(
            plane(
                workspace.working,
                label,
                beam,
                Outcome.REJECTED if label in rejected else Outcome.IMAGED,
                chosen.latitude,
            )
            for label, beam in beams.items()
        )
        inputs = ExportInputs(
            image_name=NAME,
            phasecenter=PHASECENTER,
            cell_arcsec=CELL,
            start_mjd_s=START_MJD_S,
            end_mjd_s=END_MJD_S,
            planes=planes,
            targets=tuple(p.images.target for p in planes),
            verdicts=CubeImages(tuple(p.verdict for p in planes)),
            parameter_files=(),
            options=chosen,
            upstream=(),
            identity=image_identity(NAME),
        )
        context = StageContext(workspace, "export_vlass_data")
        result = export_vlass_data(inputs, context)
        assert not (workspace.working / ".export.partial").exists()
        return SimpleNamespace(
            workspace=workspace,
            inputs=inputs,
            result=result,
            warnings=[message.text for message in context.messages],
            planes={p.label: p for p in result.planes},
            positions={p.verdict.label: p.position for p in planes},
        )

    return run


def member(exported, label, stokes="IQU", common=True, kind="pbcor"):
    name = naming.fits_name(naming.stokes_variant(image_name(label, kind), stokes))
    path = exported.workspace.products / (naming.com_fits_name(name) if common else name)
    if not path.exists():
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with fits.open(path, memmap=False) as opened:
            opened.verify("exception")
            return opened[0].header, np.array(opened[0].data)[:, 0]


def shift_pixels(position):
    """How far the source moves from the grid about its corrected onto that about its nominal position."""
    east = (position.corrected_ra_deg - RA) * math.cos(math.radians(DEC)) * 3600
    north = (position.corrected_dec_deg - DEC) * 3600
    return -east / CELL, north / CELL


def moved(position):
    dx, dy = shift_pixels(position)
    return SOURCE[0] + dx, SOURCE[1] + dy


INNER = (slice(None), slice(12, -12), slice(12, -12))


def test_gated_set_leaves_what_is_within_the_tolerances(export):
    exported = export()
    first, last = exported.planes["spw2"], exported.planes["spw15"]
    # tan ZD (3 GHz / ν)² × 0.25″ is above 0.1 pixel diagonals (85 mas) at 2 GHz, and below at 3.7 GHz.
    assert (first.smoothed, first.regridded) == (False, True)
    assert (last.smoothed, last.regridded) == (True, False)
    header, data = member(exported, "spw15")
    position = exported.positions["spw15"]
    assert (header["CRVAL1"], header["CRVAL2"]) == (position.corrected_ra_deg, position.corrected_dec_deg)
    expected = [flux * gaussian(TARGET, *SOURCE) for flux in FLUX[:3]]
    np.testing.assert_allclose(data[INNER], np.array(expected)[INNER], atol=2e-3)


@pytest.mark.parametrize("method", ["casa", "fourier"])
def test_always_smooths_and_shifts_every_plane(export, method):
    exported = export(common_beam="always", common_beam_alignment=method)
    assert exported.result.common_beam.bmaj_arcsec == pytest.approx(TARGET, rel=1e-9)
    for label, position in exported.positions.items():
        assert exported.planes[label].smoothed
        assert exported.planes[label].regridded
        assert exported.planes[label].treatment.count("done always") >= 1
        for stokes, fluxes in (("IQU", FLUX[:3]), ("V", FLUX[3:])):
            header, data = member(exported, label, stokes)
            assert header["BMAJ"] * 3600 == pytest.approx(TARGET, rel=1e-9)
            assert (header["CRVAL1"], header["CRVAL2"]) == pytest.approx((RA, DEC), abs=1e-11)
            assert header["POSCORR"] is True
            expected = np.array([flux * gaussian(TARGET, *moved(position)) for flux in fluxes])
            # Linear interpolation takes some per cent of a peak between the pixels.
            tolerance = 2e-3 if method == "fourier" else 0.03
            np.testing.assert_allclose(data[INNER], expected[INNER], atol=tolerance)


def test_fourier_keeps_peaks_that_linear_interpolation_lowers(export):
    """The total flux density and the place of the source, too: from the moments of the pixels."""
    exported = export(common_beam="always", common_beam_alignment="fourier")
    for label, position in exported.positions.items():
        _, data = member(exported, label)
        good = np.where(np.isfinite(data[0]), data[0], 0.0)
        y, x = np.indices(good.shape)
        centre = (good * x).sum() / good.sum(), (good * y).sum() / good.sum()
        assert centre == pytest.approx(moved(position), abs=2e-3)
        area = math.pi / (4 * math.log(2)) * (TARGET / CELL) ** 2
        assert good.sum() / area == pytest.approx(1.0, abs=2e-3)


def test_casa_alignment_is_that_of_its_tasks(export, tmp_path):
    exported = export(common_beam="always", common_beam_alignment="casa")
    source = exported.workspace.working / image_name("spw9", "pbcor")
    smoothed, regridded = tmp_path / "smoothed", tmp_path / "regridded"
    beam = {"major": f"{TARGET!r}arcsec", "minor": f"{TARGET!r}arcsec", "pa": "0deg"}
    position = exported.positions["spw9"]
    casa.run_task("imsmooth", imagename=str(source), targetres=True, beam=beam, outfile=str(smoothed))
    for key, value in (("crval1", position.corrected_ra_deg), ("crval2", position.corrected_dec_deg)):
        casa.run_task("imhead", imagename=str(smoothed), mode="put", hdkey=key, hdvalue=f"{value!r}deg")
    casa.run_task(
        "imregrid", imagename=str(smoothed), template=str(source), output=str(regridded), axes=[0, 1]
    )
    _, data = member(exported, "spw9")
    theirs = np.array([read_plane(regridded, index) for index in range(3)])
    np.testing.assert_allclose(data, theirs, atol=1e-6)


@pytest.mark.parametrize("method", ["casa", "fourier"])
def test_rms_images_of_the_set_are_those_of_its_images(export, method):
    """They are measured in the delivered images, not scaled from the native maps, which are even here."""
    exported = export(common_beam="always", common_beam_alignment=method)
    for label, stokes in (("spw9", "IQU"), ("spw15", "V")):
        _, image = member(exported, label, stokes)
        header, noise = member(exported, label, stokes, kind="rms")
        reference = header["CRPIX1"] - 1, header["CRPIX2"] - 1
        for pixels, found in zip(image, noise, strict=True):
            expected = rms_map(pixels.astype(np.float32), CELL, reference)
            np.testing.assert_allclose(found, expected, rtol=1e-6)
            assert np.isfinite(found).mean() > 0.5
            assert np.nanmax(found) < 1e-4
        assert (header["VLASSITY"], header["BUNIT"]) == ("RMS_TT0", "Jy/beam")
        assert header["BMAJ"] * 3600 == pytest.approx(TARGET, rel=1e-9)


def test_rms_image_of_a_plane_that_is_not_changed(export):
    exported = export({"spw15": BEAMS["spw15"]})
    plane_of_set = exported.planes["spw15"]
    assert (plane_of_set.smoothed, plane_of_set.regridded) == (False, False)
    assert np.array_equal(
        member(exported, "spw15", kind="rms")[1], np.full((3, SIZE, SIZE), 2e-4, np.float32)
    )
    assert np.array_equal(
        member(exported, "spw15", "I", kind="pb")[1],
        member(exported, "spw15", "I", kind="pb", common=False)[1],
        equal_nan=True,
    )


@pytest.mark.parametrize("method", ["casa", "fourier"])
def test_primary_beam_is_moved_as_its_image_is(export, method):
    exported = export(common_beam="always", common_beam_alignment=method)
    for label, position in exported.positions.items():
        header, native = member(exported, label, "I", common=False, kind="pb")
        assert native.shape == (1, SIZE, SIZE)
        wanted = np.where(response() > 0.2, response(), np.nan)
        np.testing.assert_allclose(native[0], wanted, rtol=1e-6)
        assert header["CRVAL1"] == position.corrected_ra_deg
        assert "BMAJ" not in header
        header, data = member(exported, label, "I", kind="pb")
        assert (header["CRVAL1"], header["CRVAL2"]) == pytest.approx((RA, DEC), abs=1e-11)
        assert header["POSCORR"] is True
        good = np.isfinite(data[0])
        assert np.isfinite(native[0]).sum() - good.sum() < 5 * SIZE
        # A parabola between pixels: at most 1/8 of its second differences off in each direction; and CASA
        # interpolates the coordinates, too.
        moved_response = response(*shift_pixels(position))
        np.testing.assert_allclose(data[0][good], moved_response[good], atol=5e-4)
        assert abs(moved_response - response())[good].max() > 2e-3


@pytest.mark.parametrize("exclude", [False, True])
def test_rejected_planes_and_the_common_beam(export, exclude):
    beams = {**BEAMS, "spw9": Beam(6.0, 6.0, 0.0)}
    exported = export(beams, ("spw9",), common_beam_exclude_rejected=exclude)
    largest = 4.2 if exclude else 6.0
    assert exported.result.common_beam.bmaj_arcsec == pytest.approx(largest * 1.00001, rel=1e-9)
    assert (member(exported, "spw9") is None) == exclude
    assert (member(exported, "spw9", "V") is None) == exclude
    left_out = [text for text in exported.warnings if "not in the common-beam set" in text]
    assert len(left_out) == exclude
    assert (member(exported, "spw9", kind="rms") is None) == exclude
    assert (member(exported, "spw9", "I", kind="pb") is None) == exclude
    # The native product is there in either case, and says that the plane is rejected.
    header, _ = member(exported, "spw9", common=False)
    assert (header["VLASSRJ"], header["OUTCOME"], header["OUTREASN"]) == (True, "rejected", "beam")
    header, data = member(exported, "spw15")
    assert header["VLASSRJ"] is False
    assert header["BMAJ"] * 3600 == pytest.approx(largest * 1.00001, rel=1e-9)
    expected = gaussian(largest, *SOURCE)
    np.testing.assert_allclose(data[0][16:-16, 16:-16], expected[16:-16, 16:-16], atol=3e-3)


LATITUDES = {"geodetic": 34.0788, "geocentric": math.degrees(0.5916753431)}


@pytest.mark.parametrize("latitude", ["geodetic", "geocentric"])
def test_latitude(export, latitude):
    """The zenith by astropy: the mean sidereal time and the latitude are its place among the stars."""
    exported = export({"spw2": BEAMS["spw2"]}, latitude=latitude)
    header, _ = member(exported, "spw2", common=False)
    assert header["TELMJD"] == pytest.approx(MIDDLE_MJD, abs=1e-9)
    with iers.conf.set_temp("auto_download", False), iers.conf.set_temp("iers_degraded_accuracy", "warn"):
        time = Time(MIDDLE_MJD, format="mjd", scale="utc")
        sidereal = time.sidereal_time("mean", Longitude(math.degrees(-1.8782884344), "deg"))
    zenith = SkyCoord(sidereal, LATITUDES[latitude] * units.deg)
    source = SkyCoord(RA * units.deg, DEC * units.deg)
    distance = source.separation(zenith)
    # Both latitudes differ by 0.18 degrees.
    assert header["ZD"] == pytest.approx(distance.deg, abs=0.005)
    size = 0.25 * math.tan(distance.rad) * (3.0e9 / 2.028e9) ** 2
    expected = source.directional_offset_by(
        source.position_angle(zenith) + 180 * units.deg, size * units.arcsec
    )
    corrected = SkyCoord(header["CRVAL1"] * units.deg, header["CRVAL2"] * units.deg)
    assert corrected.separation(expected).arcsec < 1e-4
    assert corrected.separation(source).arcsec > 0.1
