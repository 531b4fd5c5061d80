"""Stop codes and masks: what they mean, and their JSON, that of earlier releases included."""

import json
import pickle
from dataclasses import dataclass

import pytest

from vlasscube.clean_terms import ImageMask, NoMask, PrimaryBeamMask, StopCode, clean_mask
from vlasscube.errors import WorkspaceError
from vlasscube.imaging.clean_sequence import CleanParameters
from vlasscube.records import ImageGeometry
from vlasscube.workspace.record_json import from_json, from_plain, to_json, to_plain


@dataclass(frozen=True)
class StopSample:
    code: StopCode


# Of tclean's documentation, by the numbers that it returns.
TCLEAN_STOPS = {
    1: "iteration limit",
    2: "threshold",
    3: "force stop",
    4: "peak residual unchanged over two major cycles",
    5: "peak residual grew more than 3 times since the previous major cycle",
    6: "peak residual grew more than 3 times from its minimum",
    7: "zero mask",
    8: "n-sigma or another criterion",
    9: "major cycle limit",
}


@pytest.mark.parametrize("code", StopCode)
def test_stop_codes_are_integers_in_json(code):
    assert to_plain(StopSample(code)) == {"code": int(code)}
    assert from_json(StopSample, f'{{"code": {int(code)}}}').code is code
    assert pickle.loads(pickle.dumps(code)) is code


def test_stop_codes_mean_what_tclean_means():
    assert {int(code): code.reason for code in StopCode if code > 0} == TCLEAN_STOPS
    assert StopCode(4).text == "[4] peak residual unchanged over two major cycles"
    assert {int(code) for code in StopCode if code.is_divergence} == {5, 6}
    assert {int(code) for code in StopCode if code.is_limit} == {1, 9}


def test_unknown_stop_codes_are_read():
    assert StopCode(42) is StopCode.UNKNOWN
    assert from_json(StopSample, '{"code": 42}').code is StopCode.UNKNOWN
    with pytest.raises(WorkspaceError):
        from_json(StopSample, '{"code": "x"}')


MASKS = {
    "": NoMask(),
    "pb": PrimaryBeamMask(),
    "a.mask": ImageMask("a.mask"),
    "pb.mask": ImageMask("pb.mask"),
}


@pytest.mark.parametrize(("text", "mask"), MASKS.items())
def test_masks_are_known_by_their_text(text, mask):
    assert clean_mask(text) == mask
    assert str(mask) == text


def test_masks_survive_json_and_are_read_from_text():
    parameters = CleanParameters(ImageGeometry(1, 1, 1.0, "x"), tuple(MASKS.values()))
    written = to_plain(parameters)
    assert [mask["kind"] for mask in written["masks"]] == ["none", "pb", "image", "image"]
    assert from_json(CleanParameters, to_json(parameters)) == parameters
    earlier = written | {"masks": list(MASKS)}
    assert from_json(CleanParameters, json.dumps(earlier)) == parameters
    with pytest.raises(WorkspaceError, match="masks"):
        from_plain(CleanParameters, written | {"masks": [{"kind": "image"}]})
