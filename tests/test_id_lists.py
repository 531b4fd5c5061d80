import pytest
from hypothesis import given
from hypothesis import strategies as st

from vlasscube.errors import QuantityError
from vlasscube.id_lists import MAX_IDS, format_ids, format_ranges, parse_ids, parse_spw_group

IDS = st.lists(st.integers(0, 9_999_999), min_size=1, max_size=30)


@given(IDS)
def test_ids_round_trip(ids):
    assert parse_ids(format_ids(ids)) == tuple(ids)


@given(st.lists(st.integers(0, 40), min_size=1, max_size=40))
def test_ranges_round_trip(ids):
    text = format_ranges(ids)
    assert parse_ids(text, ranges=True) == tuple(sorted(set(ids)))
    # As few entries as there are gaps.
    assert text.count(",") == sum(number + 1 not in ids for number in set(ids)) - 1


@pytest.mark.parametrize(
    ("ids", "text"), [((2,), "2"), ((2, 3, 4), "2~4"), ((7, 2, 3, 3), "2~3,7"), ((), ""), ((9, 11), "9,11")]
)
def test_ranges_as_casa_writes_them(ids, text):
    assert format_ranges(ids) == text


@pytest.mark.parametrize(
    ("text", "ids"),
    [("2", (2,)), (" 2 , 03", (2, 3)), ("3,2,3", (3, 2, 3)), ("5~7,2", (5, 6, 7, 2)), ("4 ~ 4", (4,))],
)
def test_what_is_a_list(text, ids):
    assert parse_ids(text, ranges=True) == ids


@pytest.mark.parametrize(
    "text", ["", " ", ",", "2,", ",2", "2,,3", "2 3", "-1", "a", "2.0", "<3", "*", "٣", "2\t", "\f", "9" * 8]
)
@pytest.mark.parametrize("ranges", [False, True])
def test_what_is_no_list(text, ranges):
    with pytest.raises(QuantityError, match="not a comma-separated list") as caught:
        parse_ids(text, ranges=ranges)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize(
    ("text", "reason"), [("2~", "not"), ("~2", "not"), ("2~3~4", "not"), ("3~2", "empty")]
)
def test_what_is_no_range(text, reason):
    with pytest.raises(QuantityError, match=reason):
        parse_ids(text, ranges=True)


def test_ranges_only_where_they_are_allowed():
    with pytest.raises(QuantityError, match="ranges are not allowed"):
        parse_ids("2~4")
    for text in ("2:5~60", "2:5"):
        with pytest.raises(QuantityError, match="channels"):
            parse_ids(text, ranges=True)


def test_a_list_does_not_fill_the_memory():
    assert len(parse_ids(f"1~{MAX_IDS}", ranges=True)) == MAX_IDS
    for text in (f"0~{MAX_IDS}", f"1~{MAX_IDS},1", "0~9999999,0~9999999"):
        with pytest.raises(QuantityError, match="more than"):
            parse_ids(text, ranges=True)


def test_a_group_has_different_windows():
    assert parse_spw_group("4,3") == (4, 3)
    with pytest.raises(QuantityError, match="has 3 more than once"):
        parse_spw_group("3,4,03")
    with pytest.raises(QuantityError, match="ranges"):
        parse_spw_group("3~4")
