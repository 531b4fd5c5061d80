"""Lines on the imaging: what they say, and that calls come back from them as they were executed."""

from __future__ import annotations

from dataclasses import replace

import pytest
from astropy.io import fits
from hypothesis import given
from hypothesis import strategies as st

from vlasscube.casa import format_call
from vlasscube.clean_terms import ImageMask, NoMask, PrimaryBeamMask, StopCode
from vlasscube.products.headers import add_history, fits_text, history_lines
from vlasscube.products.imaging_history import (
    ImagingSetup,
    call_arguments,
    imaging_calls,
    imaging_history,
    one_line_call,
)
from vlasscube.records import Beam, DataSelection, FlagCount, Iteration, PlaneImages, PlaneTarget

SETUP = ImagingSetup("mosaic", "1.2", "science", "exact", True, "1.2")
TARGET = PlaneTarget(
    "2", (2,), "spw2", "s7_0.N.spw2.IQUV", 2e9, DataSelection("1", "2", "", "", "", ""), 1e8, FlagCount(0, 1),
    FlagCount(0, 1), 0, None,
)  # fmt: skip
MASKS = (NoMask(), ImageMask("x.iter1.cleanmask"), PrimaryBeamMask())
STOPS = (StopCode.FORCED, StopCode.NOISE_THRESHOLD, StopCode.ITERATION_LIMIT)


def arguments(number):
    return {
        "vis": ["a.ms"],
        "field": [",".join(map(str, range(100, 900)))],
        "niter": 20000 * (number > 0),
        "cycleniter": 500,
        "pbmask": 0.4 * (number == 2),
    }


def plane():
    iterations = tuple(
        Iteration(
            number=number,
            mask=mask,
            nsigma=3.0,
            iterations_done=7 * number,
            major_cycles=1 + number,
            stop_code=stop,
            cycles={},
            statistics={},
            call=format_call("mosaic", arguments(number)),
            seconds=1.0,
            files=(),
        )
        for number, (mask, stop) in enumerate(zip(MASKS, STOPS, strict=True))
    )
    return PlaneImages(TARGET, "mosaic", iterations, Beam(3, 2, 0), 2e9, 1e8, 1e8, w_planes=12)


def test_what_was_changed_of_the_profile_has_a_line():
    changed = replace(SETUP, changed_options="common_beam gated, nmajor 220")
    setup, line, *_ = imaging_history(changed, plane())
    assert setup.startswith("Imaged by ")
    assert line == "Profile science with changes: common_beam gated, nmajor 220"


def test_words():
    setup, *rest = imaging_history(SETUP, plane())
    assert setup == (
        "Imaged by vlasscube 1.2, engine mosaic 1.2, profile science, gridding exact, "
        "w-correction on (12 w planes)."
    )
    assert rest[::2] == [
        "iter0: no mask, nsigma 3, niter 0, cycleniter 500, 0 iterations in 1 major cycle, "
        "stop code 3 (force stop)",
        "iter1: mask x.iter1.cleanmask, nsigma 3, niter 20000, cycleniter 500, 7 iterations in 2 major "
        "cycles, stop code 8 (n-sigma or another criterion)",
        "iter2: mask primary beam above 0.4, nsigma 3, niter 20000, cycleniter 500, 14 iterations in 3 major "
        "cycles, stop code 1 (iteration limit)",
    ]
    plain = imaging_history(replace(SETUP, profile="archive", w_correction=False), plane())[0]
    assert plain.endswith("profile archive, gridding exact, w-correction off.")


def test_calls_come_back_from_a_header():
    header = fits.Header()
    header.add_history("what CASA did")
    header.add_history("> and how")
    for line in imaging_history(SETUP, plane()):
        add_history(header, line)
    add_history(header, "what was done later")
    written = fits.Header.fromstring(header.tostring())
    calls = imaging_calls(history_lines(written))
    assert [call_arguments(call) for call in calls] == [arguments(number) for number in range(3)]


texts = st.text(max_size=300)


@given(st.dictionaries(st.sampled_from(["a", "b", "mask"]), st.lists(texts) | texts | st.floats(0, 1)))
def test_any_argument_comes_back(values):
    header = fits.Header()
    add_history(header, one_line_call(format_call("tclean", values)))
    (line,) = history_lines(fits.Header.fromstring(header.tostring()))
    if any("\ud800" <= char <= "\udfff" for char in str(values)):
        return
    assert call_arguments(line) == values


@given(texts)
def test_any_line_of_history_comes_back(text):
    header = fits.Header()
    add_history(header, text)
    cards = [str(card) for card in header["HISTORY"]]
    assert all(len(card) <= 72 and card.isascii() and card.isprintable() for card in cards)
    wanted = fits_text(text)
    assert history_lines(fits.Header.fromstring(header.tostring()))[0] in (wanted, "")
    if wanted:
        assert history_lines(header) == (wanted,)


@pytest.mark.parametrize("text", ["", "tclean(", "x" * 10**5, "(" * 5000, "mosaic(**{})", "1", "a\x00b"])
def test_what_is_no_call(text):
    assert call_arguments(text) == {}
    line = one_line_call(text)
    assert line.isascii()
    assert "\n" not in line
    assert imaging_calls([line]) == ()


def test_nothing_is_executed():
    assert call_arguments("mosaic(niter=__import__('os').getpid(), nsigma=3.0)") == {"nsigma": 3.0}
