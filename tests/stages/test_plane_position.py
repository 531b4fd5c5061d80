"""The position correction that reaches stages 11 and 12, by their wiring. Oracle: astropy."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from astropy import units
from astropy.coordinates import EarthLocation, SkyCoord
from astropy.time import Time
from astropy.utils import iers

from vlasscube.options import RunOptions
from vlasscube.recipe import (
    ANALYZE_STOKES_CUBES,
    EDIT_IMAGE_LIST_CUBE,
    EXPORT_VLASS_DATA,
    IMPORT_DATA,
    TRANSFORM_IMAGE_DATA,
)
from vlasscube.results.reading import InputSource, read_result
from vlasscube.run.wiring import prepare_step
from vlasscube.stages.plane_position import plane_position
from vlasscube.testing.synthetic_run import SyntheticRun

VLA_M = (-1601185.365, -5041977.547, 3554875.870)
"""Centre of the array, ITRF."""


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    made = SyntheticRun(tmp_path_factory.mktemp("run")).start().field_stages()
    for spw in made.imaged_spws():
        made.plane_stages(spw)
    return made.gather().analyse().workspace


def zenith_distance_deg(workspace, latitude):
    """Of the image's centre in the middle of the observation, with the zenith of either latitude."""
    scans = read_result(workspace, TRANSFORM_IMAGE_DATA).scans
    middle = (scans[0].start_mjd_s + scans[-1].end_mjd_s) / 2 / 86400
    _, ra, dec = read_result(workspace, EDIT_IMAGE_LIST_CUBE).geometry.phasecenter.split()
    dec = ":".join(dec.replace(".", ":", 2).split(":"))
    position = SkyCoord(ra, dec, unit=("hourangle", "deg"))
    site = EarthLocation.from_geocentric(*VLA_M, unit="m")
    x, y, z = VLA_M
    latitudes = {
        "geodetic": site.lat,
        "geocentric": math.degrees(math.atan2(z, math.hypot(x, y))) * units.deg,
    }
    with iers.conf.set_temp("auto_download", False), iers.conf.set_temp("iers_degraded_accuracy", "warn"):
        sidereal = Time(middle, format="mjd", scale="utc").sidereal_time("mean", site.lon)
    return position.separation(SkyCoord(sidereal, latitudes[latitude])).deg


@pytest.mark.parametrize("latitude", ["geocentric", "geodetic"])
@pytest.mark.parametrize("stage", [ANALYZE_STOKES_CUBES, EXPORT_VLASS_DATA], ids=lambda stage: stage.name)
def test_the_option_reaches_the_inputs_of_the_stage(workspace, stage, latitude):
    inputs = prepare_step(stage, InputSource(workspace, RunOptions(latitude=latitude))).inputs
    expected = zenith_distance_deg(workspace, latitude)
    frequencies = set()
    for plane in inputs.planes:
        position = plane.position
        # Both latitudes differ by 0.18 degrees.
        assert position.zd_deg == pytest.approx(expected, abs=0.005)
        frequency = plane.images.frequency_hz if stage == EXPORT_VLASS_DATA else plane.frequency_hz
        size = 0.25 * math.tan(math.radians(position.zd_deg)) * (3e9 / frequency) ** 2
        assert position.delta_arcsec == pytest.approx(size, rel=1e-9)
        frequencies.add(frequency)
    assert len(frequencies) == len(inputs.planes) > 3


@pytest.mark.parametrize("stage", [ANALYZE_STOKES_CUBES, EXPORT_VLASS_DATA], ids=lambda stage: stage.name)
def test_images_with_w_correction_are_where_they_are(workspace, stage):
    options = RunOptions(engine="mosaic", gridding="exact", w_correction=True)
    inputs = prepare_step(stage, InputSource(workspace, options)).inputs
    assert {plane.position.delta_arcsec for plane in inputs.planes} == {0.0}
    assert all(plane.position.w_corrected for plane in inputs.planes)


def test_of_an_input_larger_than_the_image_the_times_of_its_fields_count(workspace):
    """Calibrators and fields of other images, hours away, are in the input and not in the split set."""
    source = InputSource(workspace, RunOptions())
    scans = read_result(workspace, TRANSFORM_IMAGE_DATA).scans
    start, end = scans[0].start_mjd_s, scans[-1].end_mjd_s
    summary = read_result(workspace, IMPORT_DATA).summary
    assert summary.start_mjd_s < start < end < summary.end_mjd_s
    assert plane_position(source, 3e9).telmjd * 86400 == pytest.approx((start + end) / 2, abs=1e-3)
    inputs = prepare_step(EXPORT_VLASS_DATA, source).inputs
    assert (inputs.start_mjd_s, inputs.end_mjd_s) == (start, end)


def test_records_without_the_times_of_the_split_set_have_those_of_the_input(workspace, tmp_path):
    made = SyntheticRun(tmp_path).start().field_stages()
    transformed = replace(read_result(workspace, TRANSFORM_IMAGE_DATA), scans=())
    made.write("transform_image_data", transformed, upstream=(made.key("import_data"),))
    scans = read_result(made.workspace, IMPORT_DATA).summary.scans
    middle = (scans[0].start_mjd_s + scans[-1].end_mjd_s) / 2
    found = plane_position(InputSource(made.workspace, RunOptions()), 3e9)
    assert found.telmjd * 86400 == pytest.approx(middle, abs=1e-3)


def test_a_plane_has_its_own_displacement(workspace):
    source = InputSource(workspace, RunOptions())
    low, high = (plane_position(source, frequency) for frequency in (2e9, 4e9))
    assert low.delta_arcsec == pytest.approx(4 * high.delta_arcsec, rel=1e-12)
