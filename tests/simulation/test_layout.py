import itertools
import math

import erfa
import numpy as np
import pytest

from vlasscube.simulation import layout
from vlasscube.simulation.presets import preset
from vlasscube.sky import separation_rad, unit_vector


def test_rows_are_scans_to_and_fro():
    p = preset("tiny", rows=3, fields_per_row=4, first_scan=346, first_field_id=100)
    fields = layout.pointings(p)
    assert [f.field_id for f in fields] == list(range(100, 112))
    assert [f.scan for f in fields] == [346] * 4 + [349] * 4 + [353] * 4
    ra = np.array([f.ra_rad for f in fields]).reshape(3, 4)
    assert np.all(np.diff(ra, axis=1)[[0, 2]] > 0)
    assert np.all(np.diff(ra, axis=1)[1] < 0)
    dec = np.degrees([f.dec_rad for f in fields]).reshape(3, 4)
    assert np.diff(dec[:, 0]) * 60 == pytest.approx([7.2, 7.2], abs=0.02)
    steps = np.degrees(np.diff(ra, axis=1)) * np.cos(np.radians(dec[:, 1:])) * 60
    assert np.abs(steps) == pytest.approx(2.98, abs=0.03)


def test_integrations_are_contiguous_within_a_row():
    p = preset("tiny", rows=2, fields_per_row=3, dumps_per_field=2, row_gap_s=180.0)
    times = np.array([f.times_mjd_s for f in layout.pointings(p)]).ravel()
    steps = np.diff(times)
    assert steps[[0, 1, 2, 3, 4, 6, 7]] == pytest.approx(0.45, abs=1e-5)
    assert steps[5] == pytest.approx(180.45, abs=1e-5)


def test_antennas_move_through_the_phase_centre():
    p = preset("tiny", dumps_per_field=2)
    for field in layout.pointings(p):
        offsets = [(ra - field.ra_rad) * math.cos(field.dec_rad) for ra, _ in field.dump_directions_rad]
        assert sum(offsets) == pytest.approx(0.0, abs=1e-9)
        assert abs(math.degrees(offsets[1] - offsets[0]) * 60) == pytest.approx(2.98 / 2, abs=1e-3)


@pytest.mark.parametrize(("ra", "hour_angle"), [(10.0, -3.0), (150.0, 0.5), (359.0, 2.0)])
def test_hour_angle_at_mid_observation(ra, hour_angle):
    p = preset("tiny", ra_deg=ra, hour_angle_h=hour_angle)
    times = np.array([f.times_mjd_s for f in layout.pointings(p)])
    mjd = (times.min() + times.max()) / 2 / 86400
    sidereal = erfa.gst06a(2400000.5, mjd, 2400000.5, mjd) + layout.VLA_LONGITUDE_RAD
    found = math.degrees(sidereal) / 15 - ra / 15
    assert (found - hour_angle + 12) % 24 - 12 == pytest.approx(0.0, abs=1e-3)
    assert p.start_mjd <= mjd <= p.start_mjd + 1


def test_uvw_is_a_rotation():
    baselines = np.random.default_rng(1).normal(size=(20, 3)) * 1000
    rotated = layout.uvw_m(baselines, 59066.3 * 86400, 2.6, 0.6)
    assert rotated @ rotated.T == pytest.approx(baselines @ baselines.T)


def test_w_of_a_vertical_baseline_at_the_zenith():
    p = preset("tiny", dec_deg=34.078, hour_angle_h=0.0)
    field = layout.pointings(p)[0]
    up = layout.array(p, 1).positions_m[:1]
    uvw = layout.uvw_m(up, field.times_mjd_s[0], *p.centre_rad)
    # The first integration is early, the position is J2000, the pad's direction geocentric: 0.6° in all.
    assert uvw[0, 2] / np.linalg.norm(up) == pytest.approx(1.0, abs=1e-4)


def test_array_is_determined_by_the_seed():
    p = preset("tiny", antennas=20, missing_antennas=3)
    array, again, other = (layout.array(p, seed) for seed in (1, 1, 2))
    assert array.pads == again.pads
    assert array.pads != other.pads
    assert len(array.names) == len(set(array.pads)) == 20
    assert len(array.active) == 17
    first, second = array.baselines
    assert len(first) == 17 * 16 // 2
    assert np.all(first < second)
    assert set(first) | set(second) == set(array.active)


@pytest.mark.parametrize(("configuration", "longest_km"), [("d", 1.03), ("c", 3.4), ("b", 11.1)])
def test_configurations(configuration, longest_km):
    p = preset("tiny", configuration=configuration, antennas=27)
    assert layout.array(p, 1).longest_baseline_m / 1000 == pytest.approx(longest_km, rel=0.03)


def test_empty_fields_lie_far_from_the_image():
    p = preset("production")
    empty = layout.empty_fields(p)
    assert len(empty) == p.first_field_id
    assert all(abs(math.degrees(dec) - p.dec_deg) > 5 for _, _, dec in empty)


@pytest.mark.parametrize(("name", "expected"), [("z30", 30), ("z50", 50), ("z65", 65), ("z74", 74)])
def test_presets_lie_at_their_zenith_distance(name, expected):
    p = preset(name)
    assert p.zenith_distance_deg == pytest.approx(expected, abs=0.02)
    times = np.array([f.times_mjd_s for f in layout.pointings(p)])
    zenith = layout.zenith_vector((times.min() + times.max()) / 2, *p.centre_rad)
    # Precession since 2000 is 0.3°, nutation and aberration count for little.
    assert math.degrees(math.acos(zenith[2])) == pytest.approx(expected, abs=0.35)
    # Seen from a field east of the meridian the zenith is to the west.
    assert np.sign(zenith[0]) == np.sign(p.hour_angle_h)


def test_w_is_tied_to_u_and_v_by_the_zenith():
    """The baselines of the array, 20 km wide on a round Earth, lie in the plane normal to the zenith."""
    p = preset("z74", antennas=27)
    field = layout.pointings(p)[0]
    array = layout.array(p, 1)
    first, second = array.baselines
    baselines = array.positions_m[first] - array.positions_m[second]
    u, v, w = layout.uvw_m(baselines, field.times_mjd_s[0], field.ra_rad, field.dec_rad).T
    fitted = np.linalg.lstsq(np.stack([u, v], axis=1), w, rcond=None)[0]
    zenith = layout.zenith_vector(field.times_mjd_s[0], field.ra_rad, field.dec_rad)
    assert -zenith[:2] / zenith[2] == pytest.approx(fitted, abs=0.02)
    assert (
        np.abs(w - np.stack([u, v], axis=1) @ fitted).max() < 0.01 * np.linalg.norm(baselines, axis=1).max()
    )


@pytest.mark.parametrize("name", ["z30", "z50", "pole"])
def test_fields_go_through_zero_hours(name):
    p = preset(name, ra_deg=0.0)
    fields = layout.pointings(p)
    ra = np.degrees([f.ra_rad for f in fields])
    assert ((ra >= 0) & (ra < 360)).all()
    assert (ra < 180).any()
    assert (ra > 180).any()
    for row in range(p.rows):
        own = fields[row * p.fields_per_row : (row + 1) * p.fields_per_row]
        steps = [separation_rad(a.ra_rad, a.dec_rad, b.ra_rad, b.dec_rad) for a, b in itertools.pairwise(own)]
        # Names round to 0.1 s and 1″; at the pole a row is bent.
        assert np.degrees(steps) * 60 == pytest.approx(2.98, abs=0.04)
    centre = np.array([unit_vector(f.ra_rad, f.dec_rad) for f in fields]).mean(axis=0)
    assert np.degrees(np.arccos(centre @ unit_vector(*p.centre_rad) / np.linalg.norm(centre))) * 60 < 0.3


@pytest.mark.parametrize("name", ["z30", "z50", "z74", "pole"])
def test_parallactic_angle(name):
    """tan q = sin H / (tan φ cos δ − sin δ cos H), in the frame of the date."""
    p = preset(name)
    field = layout.pointings(p)[0]
    time = field.times_mjd_s[0]
    q = layout.parallactic_angle_rad(time, field.ra_rad, field.dec_rad)
    # Precession turns the north of J2000 from that of the date: at declination 88° by several degrees.
    tt = 59066.6 + 37 / 86400
    pole = np.linalg.inv(erfa.pnm06a(2400000.5, tt)) @ [0.0, 0.0, 1.0]
    direction = unit_vector(field.ra_rad, field.dec_rad)
    east = np.cross([0.0, 0.0, 1.0], direction)
    north = np.cross(direction, east)
    turn = math.atan2(pole @ east, pole @ north)
    of_date = erfa.pnm06a(2400000.5, tt) @ direction
    dec = math.asin(of_date[2])
    sidereal = erfa.gst06a(2400000.5, time / 86400, 2400000.5, tt) + layout.VLA_LONGITUDE_RAD
    hour_angle = sidereal - math.atan2(of_date[1], of_date[0])
    below = math.tan(math.radians(34.0787)) * math.cos(dec) - math.sin(dec) * math.cos(hour_angle)
    expected = math.atan2(math.sin(hour_angle), below) + turn
    assert (q - expected + math.pi) % math.tau - math.pi == pytest.approx(0.0, abs=2e-3)
    assert abs(q) > 0.2
