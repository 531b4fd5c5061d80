"""Records survive JSON, and damaged JSON is named."""

import math
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vlasscube.errors import MissingResourcesError, WorkspaceError
from vlasscube.records import (
    Beam,
    FieldFlags,
    FlagCount,
    Outcome,
    PlaneStatistics,
    from_json,
    from_plain,
    to_json,
    to_plain,
)

finite = st.floats(0.01, 1e4)


@given(finite, finite, st.floats(-180, 180))
def test_beam_round_trip(one, other, angle):
    beam = Beam(max(one, other), min(one, other), angle)
    assert from_json(Beam, to_json(beam)) == beam
    assert from_plain(Beam, to_plain(beam)) == beam


@pytest.mark.parametrize("axes", [(1.0, 2.0), (1.0, 0.0), (math.nan, 1.0), (math.inf, 1.0)])
def test_impossible_beams_are_refused(axes):
    with pytest.raises(ValueError, match="beam"):
        Beam(*axes, 0.0)


def test_integer_keys_survive_json():
    flags = FieldFlags(7, '"0123', 12, {2: FlagCount(3, 10), 17: FlagCount(0, 0)})
    again = from_json(FieldFlags, to_json(flags))
    assert again == flags
    assert again.by_spw[2].fraction == 0.3
    assert again.by_spw[17].fraction is None


def test_missing_values_are_null():
    statistics = PlaneStatistics(0, None, None, None, None, None, None)
    assert from_json(PlaneStatistics, to_json(statistics)) == statistics
    assert statistics.peak is None
    assert PlaneStatistics(2, 1.0, -3.0, -1.0, -1.0, 2.0, 2.0).peak == -3.0


@pytest.mark.parametrize("text", ["", "{", "[]", '{"bmaj_arcsec": "x"}', "\x00", '{"bmaj_arcsec": 1}'])
def test_damaged_records_are_workspace_errors(text):
    with pytest.raises(WorkspaceError, match="Beam"):
        from_json(Beam, text)


def test_errors_survive_the_way_back_from_a_worker():
    error = MissingResourcesError("missing:", ["a", "b"], hint="look")
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is MissingResourcesError
    assert (str(again), again.hint, again.problems) == (str(error), "look", ("a", "b"))


def test_outcomes_with_images():
    assert {o for o in Outcome if o.has_images} == {Outcome.IMAGED, Outcome.REJECTED}
