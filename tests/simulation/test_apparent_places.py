import math

import numpy as np
import pytest

from vlasscube.simulation import layout, preset
from vlasscube.simulation.apparent_places import apparent_sources, displacement
from vlasscube.simulation.sky import Source
from vlasscube.sky import direction_at, direction_cosines


@pytest.mark.parametrize("name", ["z30", "z50", "z65", "z74", "pole"])
def test_displacement_is_what_fits_the_phases_best(name):
    """Least squares of the phases u l' + v m' to those of the source, w and all."""
    p = preset(name, antennas=27)
    pointing = layout.pointings(p)[0]
    ra, dec = direction_at(0.002, -0.0015, pointing.ra_rad, pointing.dec_rad)
    source = Source("A", math.degrees(ra), math.degrees(dec), 1.0)
    array = layout.array(p, 1)
    first, second = array.baselines
    baselines = array.positions_m[first] - array.positions_m[second]
    time = pointing.times_mjd_s[len(pointing.times_mjd_s) // 2]
    uvw = layout.uvw_m(baselines, time, pointing.ra_rad, pointing.dec_rad)
    lmn = np.array(direction_cosines(ra, dec, pointing.ra_rad, pointing.dec_rad))
    seen = np.linalg.lstsq(uvw[:, :2], uvw @ lmn, rcond=None)[0]
    expected = seen - lmn[:2]
    found = displacement(source, pointing)
    assert found == pytest.approx(expected, abs=0.02 * np.linalg.norm(expected))
    size = math.tan(math.radians(p.zenith_distance_deg)) * -lmn[2]
    assert np.linalg.norm(found) == pytest.approx(size, rel=0.05)


def test_mosaic_shows_the_mean_of_its_pointings():
    p = preset("z74", rows=1, fields_per_row=1)
    pointing = layout.pointings(p)[0]
    ra, dec = direction_at(0.0, 0.002, pointing.ra_rad, pointing.dec_rad)
    source = Source("A", math.degrees(ra), math.degrees(dec), 1.0)
    (moved,) = apparent_sources(p, [source], [pointing])
    l, m, _ = direction_cosines(math.radians(moved.ra_deg), math.radians(moved.dec_deg), ra, dec)  # noqa: E741
    assert [float(l), float(m)] == pytest.approx(displacement(source, pointing), rel=1e-3)
    unseen = Source("B", math.degrees(ra), math.degrees(dec) + 3.0, 1.0)
    assert apparent_sources(p, [unseen], [pointing]) == (unseen,)
