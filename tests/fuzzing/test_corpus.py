"""Every input that the fuzzer has found worth keeping, and properties of what has no such test elsewhere.

Oracles: the promises in `targets`; CASA's own way of taking flag commands apart; Python's JSON.
"""

# ruff: noqa: PT017

from __future__ import annotations

import itertools
import json
import math
import random
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vlasscube.errors import WorkspaceError
from vlasscube.records import Beam
from vlasscube.workspace.record_json import from_json, from_plain, to_json, to_plain

from .mutators import change_tar
from .seeds import example, seeds
from .targets import RECORDS, TARGETS

CORPUS = Path(__file__).parent / "corpus"
CORPUS_BYTES, INPUT_BYTES = 2_000_000, 12_000


@pytest.mark.parametrize("name", TARGETS)
def test_corpus(name):
    """``find-`` are inputs that once broke a promise."""
    files = sorted((CORPUS / name).iterdir())
    assert files
    for path in files:
        started = time.process_time()
        try:
            TARGETS[name](path.read_bytes())
        except Exception as error:
            raise AssertionError(f"{name}/{path.name}") from error
        assert time.process_time() - started < 5, path.name


@pytest.mark.parametrize("name", TARGETS)
def test_seeds(name):
    for seed in seeds(name):
        TARGETS[name](seed)


def test_corpus_is_small_and_fits_all_file_systems():
    files = [path for path in CORPUS.rglob("*") if path.is_file()]
    assert {path.parent.name for path in files} == TARGETS.keys()
    assert sum(path.stat().st_size for path in files) < CORPUS_BYTES
    for path in files:
        assert path.stat().st_size <= INPUT_BYTES or path.name.startswith("find-")
        assert path.name == path.name.lower()
        assert set(path.name) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")


# ------------------------------------------------------------------------------------------------ records

FLOATS = st.floats(allow_nan=False, allow_infinity=False)
# No lone surrogates: what is not Unicode is replaced on purpose.
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


def changed(value: Any, choices: Iterator[Any]) -> Any:
    """The JSON of a record with its numbers and texts replaced by others of their types."""
    if isinstance(value, dict):
        return {key: changed(item, choices) for key, item in value.items()}
    if isinstance(value, list):
        return [changed(item, choices) for item in value]
    kind = "text" if value == "x" else type(value).__name__
    return next(choices)[kind] if kind in {"bool", "int", "float", "text"} else value


LEAVES = st.fixed_dictionaries({"bool": st.booleans(), "int": st.integers(), "float": FLOATS, "text": TEXTS})


@pytest.mark.parametrize("name", [name for name in RECORDS if name != "RunOptions"])
@settings(max_examples=max(5, settings().max_examples // 10))
@given(leaves=st.lists(LEAVES, min_size=1, max_size=8))
def test_records_survive_json(name, leaves):
    cls = RECORDS[name]
    try:
        record = from_plain(cls, changed(to_plain(example(cls)), itertools.cycle(leaves)))
    except WorkspaceError as error:
        # A beam has sizes; a stop code has no more than 64 bits.
        assert any(word in str(error) for word in ("beam", "stop_code"))
        return
    text = to_json(record)
    assert from_json(cls, text) == record
    assert from_json(cls, to_json(record, indent=None).encode()) == record
    assert json.loads(text) == to_plain(record)


@pytest.mark.parametrize("name", RECORDS)
@settings(max_examples=max(5, settings().max_examples // 10))
@given(data=st.data())
def test_damaged_records_are_refused_or_whole(name, data):
    text = to_json(example(RECORDS[name]), indent=None)
    place = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(place, min(len(text), place + 20)))
    other = data.draw(
        st.text(alphabet='{}[]":,0123456789.eE+-nulltrefasNI\\', max_size=10) | st.text(max_size=5)
    )
    damaged = text[:place] + other + text[end:]
    TARGETS["records"](f"{name}\n{damaged}".encode("utf-8", "surrogatepass"))


# -------------------------------------------------------------------------------- names, HISTORY, archives


@given(st.text(max_size=300))
def test_texts_of_a_measurement_set_are_fit_to_be_shown(text):
    TARGETS["texts"](text.encode("utf-8", "surrogatepass"))


@given(
    st.lists(
        st.sampled_from(
            ["VLASS", "2", ".", "1", "cc", "T10t02", "J005000-023000", "06", "v1", "spw2", "_3", "é"]
        )
        | st.sampled_from(
            [".IQU", ".V", ".iter3", ".image", ".pbcor", ".tt0", ".rms", ".fits", "/", "0", ".."]
        ),
        max_size=30,
    ).map("".join)
)
def test_names_of_right_parts_round_trip_or_are_refused(text):
    for name in ("image_names", "product_names", "other_names", "positions"):
        TARGETS[name](text.encode())


@given(
    st.tuples(*[st.floats(-1e6, 1e6)] * 8),
    st.text(max_size=300) | st.text(alphabet="Position correction (>.", max_size=200),
)
def test_history_of_a_correction_is_read_back(numbers, text):
    TARGETS["history"](struct.pack("<8d", *numbers) + text.encode("utf-8", "surrogatepass"))


@given(st.lists(st.binary(max_size=80) | st.sampled_from(seeds("fits_headers")[0].split(b"\n")), max_size=12))
def test_any_cards_are_read_or_refused(cards):
    TARGETS["fits_headers"](b"".join(card[:80].ljust(80) for card in cards))


@given(st.sampled_from(seeds("archive_tar")[1:]), st.lists(st.integers(0, 2**32), min_size=1, max_size=4))
def test_any_damage_of_a_table_of_contents_is_harmless(archive, seeds_of_changes):
    """Blocks in any order, with numbers and names changed and the checksums right."""
    for seed in seeds_of_changes:
        choice = random.Random(seed)

        def replace(part: bytes, size: int, choice: random.Random = choice) -> bytes:
            place = choice.randint(0, len(part))
            other = choice.choice([b"/", b"..", b"777", b"\0", b"\xff", choice.randbytes(3)])
            return (part[:place] + other + part[place + len(other) :])[:size]

        archive = change_tar(archive, 20_000, seed, replace)
    TARGETS["archive_tar"](archive)


@given(
    st.lists(
        st.sampled_from(["mode=", "timedev=", "a=", "'x'", "{", "}", "[1]", " ", "true", "\n", "#", "f()"])
    )
)
def test_flag_templates_hold_no_code(parts):
    TARGETS["flag_templates"]("".join(parts).encode())


def test_numbers_that_could_not_be_written_are_refused():
    # NaN and infinities have no JSON: they were read, and written as null.
    good = to_json(Beam(2.0, 1.0, 0.0))
    assert math.isfinite(from_json(Beam, good).bpa_deg)
    for number in ("NaN", "Infinity", "1e999", '"nan"', "null"):
        with pytest.raises(WorkspaceError, match="not a valid Beam record"):
            from_json(Beam, good.replace("2.0", number))
