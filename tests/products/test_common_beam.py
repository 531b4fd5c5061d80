"""Oracles: published common beams, astropy's WCS, the thresholds by hand."""

from __future__ import annotations

import math

import pytest
from astropy.wcs import WCS
from hypothesis import given
from hypothesis import strategies as st

from vlasscube.errors import ProductError
from vlasscube.products.common_beam import CommonBeamInput, plan_common_beam
from vlasscube.records import Beam
from vlasscube.sky import position_at
from vlasscube.workspace.record_json import from_json, to_json

RA, DEC, CELL = 12.501525, -2.5, 0.6
BEAMS = {
    "spw2": Beam(4.26222, 3.35171, -10.3953),
    "spw5": Beam(3.58117, 2.70124, -7.65317),
    "spw10": Beam(2.81576, 2.10381, 2.36914),
    "spw15": Beam(2.24657, 1.51079, 3.65619),
}
SHIFTS = {"spw2": 0.413, "spw5": 0.29, "spw10": 0.18, "spw15": 0.07}


def planes(**changes):
    result = []
    for label, beam in BEAMS.items():
        ra, dec = position_at(RA, DEC, 195.0, SHIFTS[label] / 3600)
        result.append(CommonBeamInput(label, changes.get(label, beam), ra, dec))
    return result


def test_gated_set():
    plan = plan_common_beam(planes(), RA, DEC, CELL)
    assert plan.target.bmaj_arcsec == pytest.approx(4.26226, abs=1e-5)
    assert plan.target.bmin_arcsec == pytest.approx(3.35175, abs=1e-5)
    assert plan.size_tolerance_arcsec == pytest.approx(0.1697, abs=1e-4)
    assert plan.shift_tolerance_arcsec == pytest.approx(0.0849, abs=1e-4)
    assert [step.smooth for step in plan.steps] == [False, True, True, True]
    assert [step.regrid for step in plan.steps] == [True, True, True, False]
    assert [step.code for step in plan.steps] == [1, 0, 0, 0]
    assert plan.steps[0].beam == BEAMS["spw2"]
    assert plan.steps[1].beam == plan.target
    for step, separation in zip(plan.steps, SHIFTS.values(), strict=True):
        assert step.separation_arcsec == pytest.approx(separation, abs=1e-6)
        assert step.make
        assert len(step.reasons) == 2
    assert plan.steps[0].reasons[0].startswith("not smoothed")
    assert plan.steps[3].reasons[1].startswith("not shifted")
    assert from_json(type(plan), to_json(plan)) == plan


def test_always():
    plan = plan_common_beam(planes(), RA, DEC, CELL, always=True)
    assert all(step.smooth and step.regrid and step.beam == plan.target for step in plan.steps)
    assert "done always" in plan.steps[0].reasons[0]


def test_neither_is_needed():
    plane = CommonBeamInput("spw2", BEAMS["spw2"], RA, DEC)
    step = plan_common_beam([plane], RA, DEC, CELL).steps[0]
    assert (step.make, step.smooth, step.regrid, step.shift_pixels) == (True, False, False, (0.0, 0.0))


def test_shift_threshold_is_strict():
    threshold = 0.1 * math.sqrt(2) * CELL
    for factor, regrid in ((1 - 1e-6, False), (1 + 1e-6, True)):
        ra, dec = position_at(RA, DEC, 0.0, threshold * factor / 3600)
        plane = CommonBeamInput("spw2", BEAMS["spw2"], ra, dec)
        assert plan_common_beam([plane], RA, DEC, CELL).steps[0].regrid is regrid


def test_rejected_planes():
    odd = Beam(6.0, 2.0, 60.0)
    inputs = planes(spw15=odd)
    inputs[3] = CommonBeamInput("spw15", odd, RA, DEC, kept=False)
    plan = plan_common_beam(inputs, RA, DEC, CELL)
    assert plan.target.bmaj_arcsec > 6.0
    assert all(step.make for step in plan.steps)
    plan = plan_common_beam(inputs, RA, DEC, CELL, exclude_rejected=True)
    assert plan.target.bmaj_arcsec == pytest.approx(4.26226, abs=1e-5)
    last = plan.steps[3]
    assert (last.code, last.make, last.smooth, last.regrid) == (2, False, False, False)
    assert last.reasons == ("left out: its beam cannot be convolved to the common beam",)
    assert all(step.make for step in plan.steps[:3])


@pytest.mark.parametrize("inputs", [[], [CommonBeamInput("spw2", BEAMS["spw2"], RA, DEC, kept=False)]])
def test_nothing_to_plan(inputs):
    with pytest.raises(ProductError, match="no common beam"):
        plan_common_beam(inputs, RA, DEC, CELL, exclude_rejected=True)


@given(st.floats(0.0, 359.999), st.floats(-40.0, 80.0), st.floats(0.0, 360.0), st.floats(0.0, 3.0))
def test_shift_is_that_of_the_coordinate_systems(ra, dec, angle, arcsec):
    corrected = position_at(ra, dec, angle, arcsec / 3600)
    step = plan_common_beam([CommonBeamInput("a", BEAMS["spw2"], *corrected)], ra, dec, CELL).steps[0]
    systems = []
    for position in ((ra, dec), corrected):
        wcs = WCS(naxis=2)
        wcs.wcs.ctype = ["RA---SIN", "DEC--SIN"]
        wcs.wcs.crval, wcs.wcs.crpix = position, (3101, 3101)
        wcs.wcs.cdelt = (-CELL / 3600, CELL / 3600)
        systems.append(wcs)
    nominal, moved = systems
    assert step.separation_arcsec == pytest.approx(arcsec, abs=1e-6)
    for pixel in ((3100.0, 3100.0), (3600.0, 2800.0)):
        x, y = nominal.all_world2pix(*moved.all_pix2world(*pixel, 0), 0)
        # 3″ at declination 80 turn the grid by 8e-5, 0.05 pixel at 600 pixels from the centre.
        assert x - pixel[0] == pytest.approx(step.shift_pixels[0], abs=0.06)
        assert y - pixel[1] == pytest.approx(step.shift_pixels[1], abs=0.06)
    x, y = nominal.all_world2pix(*corrected, 0)
    assert (float(x) - 3100, float(y) - 3100) == pytest.approx(step.shift_pixels, abs=1e-5)
    east = nominal.all_world2pix(*moved.all_pix2world(3600.0, 3100.0, 0), 0)
    turn = math.degrees((float(east[1]) - 3100 - step.shift_pixels[1]) / 500)
    assert turn == pytest.approx(step.rotation_deg, rel=0.02, abs=2e-5)
