"""CASA's selection syntax, the part that is understood; tests against CASA are in test_visibilities."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vlasscube.errors import MeasurementSetError, QuantityError
from vlasscube.measurement_set.row_selection import (
    matching_states,
    select_baselines,
    select_uv,
    selected_ids,
)
from vlasscube.parameters.uv_ranges import parse_uvrange


@given(st.sets(st.integers(0, 30000), min_size=1))
def test_ids_come_back(ids):
    assert selected_ids(",".join(map(str, ids)), "field") == ids


def test_ranges_of_ids():
    assert selected_ids(" 2, 5~7 ,9", "spw") == {2, 5, 6, 7, 9}
    assert selected_ids("  ", "spw") is None


@pytest.mark.parametrize("text", ["1,", ",1", "1,,2", "-1", "1:2", "<3", "a", "*", "1 2", "٣~٤x"])
def test_what_is_no_list_of_ids(text):
    with pytest.raises(MeasurementSetError, match="not understood"):
        selected_ids(text, "spw")


@pytest.mark.parametrize(
    ("text", "low", "high", "wavelengths"),
    [
        ("<12km", 0, 12000, False),
        ("< 12 KM", 0, 12000, False),
        ("<1.2e4", 0, 12000, False),
        ("0.5~.75km", 500, 750, False),
        (">3m", 3 + 1e-10, float(np.finfo(np.float32).max), False),
        ("1~2Mlambda", 1e6, 2e6, True),
        ("<7lambda", 0, 7, True),
    ],
)
def test_uvrange(text, low, high, wavelengths):
    (found,) = parse_uvrange(text)
    assert (found.low, found.high, found.in_wavelengths) == (low, high, wavelengths)


def test_no_uvrange():
    assert parse_uvrange("") == parse_uvrange("  ") == ()


@pytest.mark.parametrize(
    "text", ["12km", "<12km;>1km", "<-1km", "~5km", "5~km", "<12km,", "<1e", "<1 pc", "nan~5km"]
)
def test_what_is_no_uvrange(text):
    with pytest.raises(QuantityError, match="not understood"):
        parse_uvrange(text)


def test_only_u_and_v_count():
    uvw = np.array([[3.0, 4.0, 0.0], [3.0, 4.0, 1e6], [6.0, 8.0, 0.0]])
    spw = np.zeros(3, np.int32)
    for text, expected in (
        ("<5m", [True, True, False]),
        (">5m", [False, False, True]),
        ("5~10m", [True] * 3),
    ):
        selected = select_uv(parse_uvrange(text), uvw, spw, np.array([3e9]))
        assert selected.tolist() == expected


def test_baselines():
    first, second = (np.array(ids, np.int32) for ids in ([0, 0, 1, 1, 2], [1, 0, 2, 1, 3]))
    assert select_baselines("0~2&", first, second).tolist() == [True, False, True, False, False]
    assert select_baselines("0,1&&", first, second).tolist() == [True, True, False, True, False]
    assert select_baselines("", first, second).all()
    for text in ("0,1", "&", "0&1", "0&&&", "!0&", "0&;1&"):
        with pytest.raises(MeasurementSetError, match="not understood"):
            select_baselines(text, first, second)


def test_states():
    modes = ("OBSERVE_TARGET#UNSPECIFIED", "CALIBRATE_PHASE#A,CALIBRATE_AMPLI#B", "")
    assert matching_states("", modes) is None
    assert matching_states("OBSERVE_TARGET#UNSPECIFIED", modes) == {0}
    assert matching_states("*CALIBRATE*,OBSERVE*", modes) == {0, 1}
    assert matching_states("OBSERVE_TARGET", modes) == frozenset()
    assert matching_states("observe_target*", modes) == frozenset()
