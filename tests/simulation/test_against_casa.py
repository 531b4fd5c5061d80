"""The simulated sky as CASA predicts and images it."""

import numpy as np
import pytest

from vlasscube import casa
from vlasscube.mosaic.primary_beam import evla_power_beam
from vlasscube.simulation import layout, preset
from vlasscube.simulation.build import observe
from vlasscube.simulation.measurement_set import write_measurement_set
from vlasscube.simulation.sky import Source, stokes_spectrum
from vlasscube.simulation.spectral_windows import spw_mean_frequency_hz
from vlasscube.simulation.visibilities import View, predict
from vlasscube.sky import direction_cosines

pytestmark = pytest.mark.casa

PHASE_CENTRE = (150.0, 34.0)
START_HZ, STEP_HZ, CHANNELS = 1.966e9, 4e6, 512
SOURCES = (
    Source("A", 150.0, 34.0 + 6 / 60, 1.0, 0.0, 0.2, 25.0, 0.0, 0.05),
    Source("B", 150.1, 33.95, 0.6, 0.0, 0.1, -60.0, 0.0, -0.1),
)


def casa_prediction(path, sources, beam):
    """Observe components with CASA's simulator; returns columns of the main table and the antennas."""
    p = preset("tiny", antennas=6)
    array = layout.array(p, 1)
    tools = casa.tools()
    simulator, measures = tools.simulator(), tools.measures()
    simulator.open(str(path))
    x, y, z = array.positions_m.T.tolist()
    simulator.setconfig(
        telescopename="EVLA",
        x=x,
        y=y,
        z=z,
        dishdiameter=[25.0] * 6,
        mount=["alt-az"] * 6,
        antname=list(array.names),
        coordsystem="global",
        referencelocation=measures.observatory("VLA"),
    )
    simulator.setfeed(mode="perfect R L")
    simulator.setspwindow(
        spwname="S",
        freq=f"{START_HZ}Hz",
        deltafreq=f"{STEP_HZ}Hz",
        freqresolution=f"{STEP_HZ}Hz",
        nchannels=CHANNELS,
        stokes="RR RL LR LL",
    )
    simulator.setfield(sourcename="F", sourcedirection=["J2000", *(f"{value}deg" for value in PHASE_CENTRE)])
    simulator.settimes(
        integrationtime="60s", usehourangle=True, referencetime=measures.epoch("UTC", "2020/08/05/20:00:00")
    )
    simulator.setauto(0.0)
    simulator.observe("F", "S", starttime="-3600s", stoptime="-3540s")
    components = tools.componentlist()
    for source in sources:
        components.addcomponent(
            flux=stokes_spectrum(source, 3.0e9)[:, 0].tolist(),
            fluxunit="Jy",
            polarization="Stokes",
            dir=f"J2000 {source.ra_deg}deg {source.dec_deg}deg",
            shape="point",
        )
    components.rename(str(path.with_suffix(".cl")))
    components.close(log=False)
    if beam:
        simulator.setvp(dovp=True, usedefaultvp=True, dosquint=False)
    simulator.predict(complist=str(path.with_suffix(".cl")))
    simulator.close()
    simulator.done()
    with casa.table(path) as table:
        selected = table.query("ANTENNA1 != ANTENNA2")
        names = ("DATA", "UVW", "ANTENNA1", "ANTENNA2", "TIME")
        columns = {name: selected.getcol(name) for name in names}
        selected.close()
    return columns, array


def test_primary_beam_equals_casa(casa_session, tmp_path):
    frequencies = START_HZ + STEP_HZ * np.arange(CHANNELS)
    for number, offset in enumerate((4.0, 8.0, 11.0, 14.0)):
        source = Source("A", 150.0, 34.0 + offset / 60, 1.0)
        columns, _ = casa_prediction(tmp_path / f"beam{number}.ms", [source], beam=True)
        measured = np.abs(columns["DATA"][0, :, 0])
        expected = evla_power_beam(offset, frequencies)
        # Where two polynomials meet, CASA's predictor blends a channel or two; it samples the beam to 3e-4.
        difference = np.abs(measured - expected)
        assert np.sort(difference)[:-20].max() < 1e-3
        assert difference.max() < 1e-2


def test_visibilities_equal_casa(casa_session, tmp_path):
    columns, _ = casa_prediction(tmp_path / "points.ms", SOURCES, beam=False)
    frequencies = START_HZ + STEP_HZ * np.arange(CHANNELS)
    expected = np.zeros_like(columns["DATA"])
    for source in SOURCES:
        # Without a beam: each source by itself, pointed at.
        position = np.radians([source.ra_deg, source.dec_deg])
        centre = np.radians(PHASE_CENTRE)
        expected += predict([source], columns["UVW"].T, frequencies, tuple(centre), View.towards(*position))
    np.testing.assert_allclose(columns["DATA"], expected, atol=2e-5)


def test_uvw_equals_casa(casa_session, tmp_path):
    columns, array = casa_prediction(tmp_path / "uvw.ms", SOURCES[:1], beam=False)
    baselines = array.positions_m[columns["ANTENNA1"]] - array.positions_m[columns["ANTENNA2"]]
    uvw = np.array(
        [
            layout.uvw_m(baseline[None], time, *np.radians(PHASE_CENTRE))[0]
            for baseline, time in zip(baselines, columns["TIME"], strict=True)
        ]
    )
    # CASA includes aberration (1e-4 rad) and UT1 - UTC, which turn the axes a little.
    lengths = np.linalg.norm(baselines, axis=1)
    assert np.all(np.linalg.norm(uvw - columns["UVW"].T, axis=1) < 2e-4 * lengths)


@pytest.fixture(scope="module")
def imaged(casa_session, tmp_path_factory):
    """A small field without phase errors, imaged in IQUV."""
    directory = tmp_path_factory.mktemp("imaged")
    p = preset(
        "tiny",
        fields_per_row=3,
        points=4,
        phase_error_deg=0.0,
        noise_scale=0.1,
        rfi_spws=(),
        science_spws=(3,),
    )
    observation = observe(p, 4)
    write_measurement_set(directory / "field.ms", observation)
    casa.run_task(
        "tclean",
        vis=str(directory / "field.ms"),
        imagename=str(directory / "image"),
        datacolumn="data",
        imsize=list(p.imsize),
        cell=f"{p.cell_arcsec}arcsec",
        phasecenter=p.phasecenter,
        stokes="IQUV",
        gridder="mosaic",
        mosweight=False,
        pblimit=0.1,
        deconvolver="mtmfs",
        nterms=1,
        weighting="briggs",
        robust=1.0,
        niter=2000,
        nsigma=5.0,
        usemask="pb",
        pbmask=0.4,
        cyclefactor=2.0,
        nmajor=6,
    )
    images = {}
    for kind in ("image", "pb"):
        with casa.image(directory / f"image.{kind}.tt0") as image:
            images[kind] = image.getchunk()[:, :, :, 0]
    return observation, images


def peak(values):
    """Height and position (offset from the middle) of the peak in 3 × 3 pixels, by a Gaussian."""
    x, y = (axis.ravel() for axis in np.mgrid[-1:2, -1:2])
    design = np.stack([np.ones(9), x, y, x**2, y**2, x * y], axis=1)
    c = np.linalg.lstsq(design, np.log(values.ravel()), rcond=None)[0]
    offset = -np.linalg.solve([[2 * c[3], c[5]], [c[5], 2 * c[4]]], c[1:3])
    return float(np.exp(c[0] + c[1:3] @ offset / 2)), offset


def test_image_shows_the_sources_as_they_are(imaged):
    observation, images = imaged
    p = observation.parameters
    frequency = spw_mean_frequency_hz(3)
    checked = 0
    for source in observation.sources:
        east, north, _ = direction_cosines(
            np.radians(source.ra_deg), np.radians(source.dec_deg), *p.centre_rad
        )
        cell = np.radians(p.cell_arcsec / 3600)
        position = np.array([p.imsize[0] / 2 - east / cell, p.imsize[1] / 2 + north / cell])
        x, y = np.round(position).astype(int)
        if images["pb"][x, y, 0] < 0.5:
            continue
        checked += 1
        box = images["image"][x - 1 : x + 2, y - 1 : y + 2]
        height, offset = peak(box[:, :, 0])
        assert np.array([x, y]) + offset == pytest.approx(position, abs=0.1)
        measured = box[1, 1] * height / box[1, 1, 0] / images["pb"][x, y, 0]
        true = stokes_spectrum(source, frequency)[:, 0]
        assert measured[0] == pytest.approx(true[0], rel=0.025)
        # Signs of Q, U and V, the angle's zero point and the sense of Faraday rotation all enter here.
        assert measured[1:] == pytest.approx(true[1:], abs=max(0.003 * true[0], 6e-4))
    assert checked >= 3
    assert any(source.fractional_v for source in observation.sources)
