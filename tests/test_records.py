"""Records survive JSON, and damaged JSON is named."""

import json
import math
import pickle
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vlasscube.clean_terms import PrimaryBeamMask, StopCode
from vlasscube.errors import MissingResourcesError, WorkspaceError
from vlasscube.options import RunOptions
from vlasscube.records import (
    Beam,
    ErrorInfo,
    FieldFlags,
    FlagCount,
    Iteration,
    IterationStatistics,
    Message,
    Outcome,
    PlaneImages,
    PlaneStatistics,
)
from vlasscube.results.types import FlagResult
from vlasscube.workspace.record_json import from_json, from_plain, to_json, to_plain

finite = st.floats(0.01, 1e4)


@dataclass(frozen=True)
class FieldSample:
    value: float


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


@pytest.mark.parametrize("number", ["NaN", "-Infinity", "1e999", '"nan"'])
def test_numbers_that_have_no_json_are_refused(number):
    with pytest.raises(WorkspaceError, match="finite number"):
        from_json(FieldSample, f'{{"value": {number}}}')
    with pytest.raises(WorkspaceError, match="it is null"):
        from_json(FieldSample, "null")


def test_what_a_record_says_of_its_values_is_its_damage():
    with pytest.raises(WorkspaceError, match=r"(?s)RunOptions record: .*nmajor is -1"):
        from_json(RunOptions, '{"nmajor": -1}')


def test_damage_is_told_in_short():
    with pytest.raises(WorkspaceError) as caught:
        from_json(
            FieldFlags, json.dumps({"field_id": 1, "name": "", "scan": 1, "by_spw": {"x" * 100_000: 1}})
        )
    assert len(str(caught.value)) < 1000


def test_texts_that_are_not_unicode_are_written():
    # Names of files, and so messages, may have lone surrogates.
    text = to_json(Message("error", "no such file: a\udcff"))
    assert from_json(Message, text).text == "no such file: a?"
    text = to_json(ErrorInfo("x", "", "", "", {"\udcff": ["\ud800", math.nan, Outcome.FAILED]}))
    assert from_json(ErrorInfo, text).details == {"?": ["?", None, "failed"]}


def test_flags_of_a_group_of_windows():
    fields = (
        FieldFlags(0, "a", 1, {2: FlagCount(1, 10), 3: FlagCount(5, 20)}),
        FieldFlags(1, "b", 1, {3: FlagCount(2, 30)}),
    )
    assert fields[0].over((2, 3, 9)) == FlagCount(6, 30)
    assert fields[1].over((2,)) == FlagCount(0, 0)
    result = FlagResult("", (), {}, fields, {})
    assert result.after == {2: FlagCount(1, 10), 3: FlagCount(7, 50)}


def test_numbers_that_follow_from_an_iteration():
    iteration = Iteration(3, PrimaryBeamMask(), 4.5, 1, 1, StopCode.THRESHOLD, {}, {}, "", 1.0, ())
    statistics = IterationStatistics(None, 2e-4, None, None, None, 0.0, 0.0, 0.0)
    assert iteration.nsigma_level_jy(statistics) == pytest.approx(9e-4)
    assert iteration.nsigma_level_jy(None) is None
    assert iteration.nsigma_level_jy(IterationStatistics(*[None] * 5, 0.0, 0.0, 0.0)) is None
    images = PlaneImages(None, "casa", (iteration,), Beam(3.0, 2.0, 0.0), 3.2e9, 1.28e8, 1e8)
    assert images.fractional_bandwidth == pytest.approx(0.04)
