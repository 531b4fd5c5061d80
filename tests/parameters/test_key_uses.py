"""Nothing in a parameter list is taken and ignored: every key is used, refused or warned of, with its line.

That a used key changes what is made is tested with the stages, in ``test_edit_image_list``.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from vlasscube.errors import ParameterFileError
from vlasscube.parameters.key_uses import KEY_USES, THE_FILE, Bound, Idle, ListKind, Used
from vlasscube.parameters.lists import KEYS, PlaneRejectionMs, read_image_list
from vlasscube.parameters.values import CONVERTERS

NAMES = {"continuum": "SEIP_parameter.list", "cube": "CCIP_parameter.list"}
HEADS = {
    "continuum": "imagename='VLASS2.1.se.T10t02.J005000-023000.06.2048.v1'\n"
    "phasecenter='J2000 00:50:0.366 -02.30.0.0000'\nimaging_mode='VLASS-SE-CONT-MOSAIC'\n",
    "cube": "imagename='VLASS2.1.cc.T10t02.J005000-023000.06.2048.v1'\n"
    "phasecenter='J2000 00:50:0.366 -02.30.0.0000'\nimaging_mode='VLASS-SE-CUBE'\n",
}
UNUSUAL = {
    "imaging_mode": "VLASS-QL",
    "specmode": "cube",
    "gridder": "awproject",
    "deconvolver": "hogbom",
    "sensitivity": 0.1,
    "conjbeams": True,
    "intent": "CALIBRATE",
    "stokes": "QU",
    "nterms": 3,
    "datacolumn": "data",
    "datatype": "regcal",
    "restfreq": "1.4GHz",
    "start": "3.0GHz",
    "width": "2MHz",
    "nchan": 5,
    "nbin": 2,
    "cfcache": "a.cf",
    "cfcache_nowb": "b.cf",
    "wprojplanes": 32,
    "clean_no_mask_selfcal_image": True,
    "parameter_file": "other.list",
    "reffreq": "3.0GHz",
    "editmode": "add",
    "niter": 50,
    "threshold": "1mJy",
    "nsigma": 3.0,
    "cyclefactor": 2.0,
    "cycleniter": 200,
    "cycleniter_final_image_nomask": 200,
    "nmajor": 3,
    "scales": [0, 5],
    "mask": ["a.mask"],
    "pbmask": 0.2,
    "vlass_plane_reject_ms": {"nfield_thresh": 3},
}
"""A value that is not done here, for each key that is not used in one of the lists."""
UNUSUAL_OF_CONTINUUM = UNUSUAL | {"datacolumn": "corrected", "editmode": "append"}
CASES = [(kind, key) for kind, uses in KEY_USES.items() for key in uses]
NOT_USED = [(kind, key) for kind, key in CASES if not isinstance(KEY_USES[kind][key], Used)]


@pytest.fixture
def read(tmp_path):
    def reader(kind: ListKind, key: str, value: object):
        path = tmp_path / NAMES[kind]
        head = HEADS[kind]
        if key == "imaging_mode":
            head = head.partition("imaging_mode")[0] + "#\n"
        path.write_text(f"{head}{key}={value!r}\n")
        return read_image_list(path, kind)

    return reader


@pytest.mark.parametrize("kind", KEY_USES)
def test_every_key_of_the_grammar_has_one_use(kind):
    assert set(KEY_USES[kind]) == set(KEYS) == set(CONVERTERS)
    assert {type(use) for use in KEY_USES[kind].values()} == {Used, Bound, Idle}


@pytest.mark.parametrize(("kind", "key"), NOT_USED)
def test_what_is_not_done_is_refused_or_warned_of_with_file_and_line(read, kind, key):
    value = (UNUSUAL_OF_CONTINUUM if kind == "continuum" else UNUSUAL)[key]
    problem, warnings = None, ()
    try:
        warnings = read(kind, key, value).warnings
    except ParameterFileError as error:
        (problem,) = error.problems
    assert (problem is None) == (len(warnings) == 1)
    assert (problem or warnings[0]).startswith(f"{NAMES[kind]}:4: {key}")
    if problem is None:
        assert isinstance(KEY_USES[kind][key], Idle)
        assert "has no effect: " in warnings[0]


@pytest.mark.parametrize(("kind", "key"), CASES)
def test_values_that_say_what_is_done_anyway_pass_in_silence(read, kind, key):
    use = KEY_USES[kind][key]
    values = use.values if isinstance(use, Bound) else use.usual if isinstance(use, Idle) else ()
    for value in values:
        written: object = NAMES[kind] if value == THE_FILE else value
        if isinstance(written, PlaneRejectionMs):
            written = written.apply
        assert read(kind, key, written).warnings == ()


def test_all_that_is_wrong_and_all_that_is_idle_is_told_in_the_order_of_the_lines(tmp_path):
    path = tmp_path / "CCIP_parameter.list"
    path.write_text(HEADS["cube"] + "wprojplanes=32\nintent='CALIBRATE'\nreffreq='3GHz'\ngridder='awp2'\n")
    with pytest.raises(ParameterFileError) as caught:
        read_image_list(path, "cube")
    assert [problem[:22] for problem in caught.value.problems] == [
        "CCIP_parameter.list:5:",
        "CCIP_parameter.list:7:",
    ]
    path.write_text(HEADS["cube"] + "wprojplanes=32\n\nreffreq='3GHz'\n")
    assert read_image_list(path, "cube").warnings == (
        "CCIP_parameter.list:4: wprojplanes has no effect: it belongs to gridder='awproject'",
        "CCIP_parameter.list:6: reffreq has no effect: each plane has the mean frequency of its spectral"
        " windows",
    )


@pytest.mark.parametrize(
    ("lines", "warning"),
    [
        ("search_radius_arcsec=500.0\nfield=[1]", "4: search_radius_arcsec has no effect beside field"),
        ("field=[1]\nsearch_radius_arcsec=1000.0", None),
        (
            "cutout_imsize=[9,9]\nsearch_radius_arcsec=5",
            "5: search_radius_arcsec has no effect",
        ),
        ("mask=['a.mask']\npbmask=0.2", "5: pbmask has no effect beside mask without 'pb'"),
        ("mask=['a.mask','pb']\npbmask=0.2\ncycleniter_final_image_nomask=7", None),
        (
            "mask='a.mask'\ncycleniter_final_image_nomask=7",
            "5: cycleniter_final_image_nomask has no",
        ),
    ],
)
def test_a_key_that_another_leaves_without_effect_is_warned_of(tmp_path, lines, warning):
    path = tmp_path / "CCIP_parameter.list"
    path.write_text(f"{HEADS['cube']}{lines}\n")
    found = read_image_list(path, "cube").warnings
    assert len(found) == (warning is not None)
    assert all(text.startswith(f"CCIP_parameter.list:{warning}") for text in found)


def test_the_other_list_is_refused_with_its_line(read, tmp_path):
    (tmp_path / "SEIP_parameter.list").write_text(HEADS["cube"])
    with pytest.raises(ParameterFileError, match=r"SEIP_parameter.list:3: imaging_mode 'VLASS-SE-CUBE'"):
        read_image_list(tmp_path / "SEIP_parameter.list", "continuum")


def keys_with(kind, use):
    return {key for key, other in KEY_USES[kind].items() if isinstance(other, use)}


def test_the_user_guide_says_what_becomes_of_each_key():
    guide = (Path(__file__).parents[2] / "docs" / "user-guide.md").read_text(encoding="utf-8")
    rows = {"is used": Used, "is refused": Bound, "has no effect": Idle}
    for start, use in rows.items():
        cells = re.search(rf"^\| {start}.*$", guide, re.MULTILINE).group().split("|")
        for kind, column in {"continuum": 4, "cube": 3}.items():
            told = set(re.findall(r"`(\w+)[=`]", cells[2] + cells[column]))
            if "all keys of the clean" in cells[column]:
                told |= keys_with("cube", Used) - keys_with("continuum", Used)
            assert told == keys_with(kind, use)
