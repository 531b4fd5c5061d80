"""Planes whose noise is not what the weights let expect are warned of."""

import dataclasses

import pytest

from vlasscube.clean_terms import PrimaryBeamMask
from vlasscube.records import STOKES, PlaneImages
from vlasscube.stages import make_images
from vlasscube.stages.context import StageContext
from vlasscube.workspace.directory import Workspace
from vlasscube.workspace.record_json import from_plain, to_plain

from .test_gather_planes import images, target


def plane(expected_jy, **noise_jy):
    made = images(target(2))
    (last,) = made.iterations
    statistics = {
        stokes: dataclasses.replace(last.statistics["I"], residual_madrms=value)
        for stokes, value in noise_jy.items()
    }
    return dataclasses.replace(
        made,
        iterations=(dataclasses.replace(last, statistics=statistics),),
        expected_noise_jy=expected_jy,
    )


@pytest.fixture
def warnings(tmp_path, monkeypatch):
    """Messages of the stage when it makes these images."""

    def run(made):
        monkeypatch.setattr(make_images, "image_plane", lambda *arguments: made)
        context = StageContext(Workspace(tmp_path), "make_images", "spw2")
        inputs = make_images.MakeImagesInputs(
            target(2),
            "a.ms",
            make_images.CleanParameters(None, (PrimaryBeamMask(),)),
            1e8,
            "mosaic",
            "casa",
            False,
            (),
        )
        make_images.make_plane_images(inputs, context)
        return [message for message in context.messages if message.level == "warning"]

    return run


@pytest.mark.parametrize(
    ("scale", "said"),
    [
        (1.0, ""),
        (0.85, ""),
        (1.45, ""),
        (2.0, "2.00 (Q), 2.00 (U), 2.00 (V)"),
        (0.5, "0.50 (I), 0.50 (Q), 0.50 (U), 0.50 (V)"),
    ],
)
def test_noise_that_weights_off_by_four_would_leave(warnings, scale, said):
    found = warnings(plane(1e-4, **dict.fromkeys(STOKES, scale * 1e-4)))
    assert len(found) == bool(said)
    if said:
        assert f"spw2: the noise is {said} times the 0.1 mJy/beam" in found[0].text
        assert "0.8 to 1.5" in found[0].hint


def test_sidelobes_in_stokes_i_are_no_surprise(warnings):
    assert not warnings(plane(1e-4, I=5e-4, Q=1e-4, U=1e-4, V=1e-4))


@pytest.mark.parametrize("made", [plane(None, I=1e-4), plane(1e-4), plane(1e-4, Q=None)])
def test_what_is_not_known_is_not_judged(warnings, made):
    assert not warnings(made)
    assert [made.noise_ratio(stokes) for stokes in STOKES] == [None] * 4


def test_records_from_before_can_be_read():
    record = to_plain(plane(1e-4, I=1e-4))
    del record["expected_noise_jy"]
    del record["iterations"][0]["expected_noise_jy"]
    old = from_plain(PlaneImages, record)
    assert old.expected_noise_jy is None
    assert old.noise_ratio("I") is None
    assert dataclasses.replace(old, iterations=()).noise_ratio("I") is None
