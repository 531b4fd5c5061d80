"""Parameter lists: round trips, hostile texts, and all problems at once."""

from __future__ import annotations

import ast
import math
import os
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vlasscube.errors import ParameterFileError
from vlasscube.parameters import lists as module
from vlasscube.parameters.lists import (
    ImageListParameters,
    PlaneRejectionMs,
    read_parameter_file,
    require_supported_mode,
    resolve_continuum_spw,
    validate_spw_groups,
    write_parameter_file,
)
from vlasscube.parameters.literals import parse_literal
from vlasscube.parameters.values import IMAGING_MODES
from vlasscube.workspace.record_json import from_json, to_json

NAME = "VLASS2.1.cc.T10t02.J005000-023000.06.2048.v1"
CENTRE = "J2000 00:50:0.366 -02.30.0.0000"
CUBE = f"imagename='{NAME}'\nphasecenter='{CENTRE}'\nimaging_mode='VLASS-SE-CUBE'\n"
CONTINUUM = CUBE.replace(".cc.", ".se.").replace("CUBE", "CONT-MOSAIC")


@pytest.fixture
def read(tmp_path):
    def reader(content: str | bytes) -> ImageListParameters:
        path = tmp_path / "CCIP_parameter.list"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return read_parameter_file(path)

    return reader


def problems_of(read, content) -> list[str]:
    with pytest.raises(ParameterFileError) as caught:
        read(content)
    assert caught.value.hint
    return list(caught.value.problems)


def test_the_documented_files(read):
    cube = read(CUBE + "spw=['2','3', '4, 5']\nnterms = 1 # one\n\n# mask=None\n")
    assert cube == ImageListParameters(NAME, CENTRE, "VLASS-SE-CUBE", spw=("2", "3", "4,5"), nterms=1)
    continuum = read(
        CONTINUUM
        + "cfcache='a.cf, b_wbawp_False.cf'\nimsize=[1024,1024]\ncell=['2.0arcsec']\nniter=50\nspw='2,3'\n"
    )
    assert continuum.imsize == (1024, 1024)
    assert continuum.cell_arcsec == 2.0
    assert (continuum.niter, continuum.spw, continuum.cfcache) == (50, "2,3", "a.cf, b_wbawp_False.cf")


def test_fields_are_ids(read):
    assert read(CUBE + "field=['7,5', 6]\n").field == (5, 6, 7)
    assert read(CUBE + "field='5'\n").field == (5,)


def test_upstream_sentinels_mean_not_given(read):
    unset = {
        "''": "editmode spw datatype datacolumn specmode gridder deconvolver stokes uvrange uvtaper reffreq "
        "restfreq start width threshold scales mask cfcache cfcache_nowb intent parameter_file",
        "[]": "imsize cell field scales",
        "0": "nterms niter",
        "-1": "nchan nbin",
        "-999.": "robust nsigma cyclefactor cycleniter pblimit",
        "-999": "robust nsigma cyclefactor cycleniter pblimit",
        "None": "cycleniter_final_image_nomask nmajor mask pbmask wprojplanes cutout_imsize "
        "search_radius_arcsec",
    }
    for literal, keys in unset.items():
        lines = "".join(f"{key}={literal}\n" for key in keys.split())
        assert read(CUBE + lines) == read(CUBE), literal


@pytest.mark.parametrize(
    ("literal", "expected"),
    [
        ("True", PlaneRejectionMs()),
        ("False", PlaneRejectionMs(apply=False)),
        ("{'nfield_thresh': 3, 'exclude_spw': '2, 3'}", PlaneRejectionMs(exclude_spw="2,3", nfield_thresh=3)),
        ("{}", PlaneRejectionMs()),
    ],
)
def test_plane_rejection(read, literal, expected):
    found = read(f"{CUBE}vlass_plane_reject_ms={literal}\n").vlass_plane_reject_ms
    assert found == expected
    assert found.excluded_ids <= {2, 3}


@pytest.mark.parametrize(
    ("literal", "reason"),
    [
        ("1", "expected True, False or a dict"),
        ("{'aply': True}", "did you mean 'apply'"),
        ("{'apply': 1}", "apply: expected True or False"),
        ("{'flagpct_thresh': 1.5}", "flagpct_thresh: 1.5 is out of range"),
        ("{'nfield_thresh': 0}", "nfield_thresh"),
        ("{'exclude_spw': '2~3'}", "exclude_spw"),
        ("{[1]: 2}", "not a Python literal"),
    ],
)
def test_refused_plane_rejection(read, literal, reason):
    (problem,) = problems_of(read, f"{CUBE}vlass_plane_reject_ms={literal}\n")
    assert problem.startswith("CCIP_parameter.list:4: vlass_plane_reject_ms: ")
    assert reason in problem


def test_all_problems_at_once_in_the_order_of_the_lines(read):
    found = problems_of(
        read,
        "imagename='no thing'\n"
        "imsise=[1024,1024]\n"
        "imaging_mode='VLASS-SE-CUB'\n"
        "spw=['2:0~15','1~4','5,5','6','06',7]\n"
        "  # imsize = [1,2,3]\n"
        "niter=1e999\n"
        "niter=5\n"
        "robust=__import__('os').getcwd()\n"
        "just some text\n"
        "cell=['0.6arcsec', '0.7arcsec']\n",
    )
    expected = [
        (0, "phasecenter is required"),
        (1, "imagename: image name 'no thing' has a space"),
        (2, "unknown key 'imsise'; did you mean 'imsize'?"),
        (3, "did you mean 'VLASS-SE-CUBE'?"),
        (4, "channels"),
        (6, "niter: the number is not finite"),
        (7, "niter was already given in line 6"),
        (8, "robust: '__import__' is neither quoted nor a number"),
        (9, "is not key=value"),
        (10, "cell: pixels must be square"),
    ]
    assert len(found) == len(expected)
    for text, (line, reason) in zip(found, expected, strict=True):
        assert text.startswith(f"CCIP_parameter.list:{line}: " if line else "CCIP_parameter.list: "), text
        assert reason in text
    for reason in (
        "ranges are not allowed",
        "'5,5' has 5 more than once",
        "'6' occurs more than once",
        "spw 7 must be",
    ):
        assert reason in found[4]


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("", "no value"),
        ("bare", "quote strings"),
        ("[1,2", "not closed"),
        ("1]", "no partner"),
        ("(1]", "no partner"),
        ("'a", "a quote is not closed"),
        ("nan", "quote strings"),
        ("-inf", "quote strings"),
        ("1e400", "not finite"),
        ("1+1", "comma is missing"),
        ("'a' 'b'", "comma is missing"),
        ("'a'.upper()", "only literals|not a number"),
        ("f'{1}'", "quote strings"),
        ("b'x'", "quote strings"),
        ("[x for x in []]", "quote strings"),
        ("lambda: 0", "quote strings"),
        ("1j", "not a number"),
        ("0x10", "not a number"),
        ("007", "not a Python literal"),
        ("1_000", "not a number"),
        ("--1", "sign"),
        ("[1]*9", r"unexpected character"),
        ("5\u00a0", "U\\+00A0"),
        ("[5,\u200b6]", "U\\+200B"),
        ("'\\x'", "not a Python literal"),
        ("[" * 1_000_000, "longer"),
        ("[" * 50_000, "nested"),
        ("-" * 50_000 + "1", "sign"),
        ("9" * 5000, "not a Python literal"),
        ("{'a'}{'b'}", "comma is missing"),
        ("[" + "1," * 30_000 + "]", "items"),
        ("...", "not a number"),
    ],
)
def test_refused_literals(value, reason):
    with pytest.raises(ValueError, match=reason) as caught:
        parse_literal(value)
    assert len(str(caught.value)) < 300


@given(st.text(max_size=80) | st.text(alphabet="[](){}'\",:+-.e019 #\\TrueNone_", max_size=40))
def test_any_text_is_a_finite_literal_or_refused(text):
    try:
        value = parse_literal(text)
    except ValueError as error:
        assert "\n" not in str(error)  # noqa: PT017
        return
    assert ast.literal_eval(text.strip()) == value


literals = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=12,
)


@given(literals)
def test_literals_round_trip(value):
    try:
        assert parse_literal(repr(value)) == value
    except ValueError as error:
        assert "nested" in str(error)  # noqa: PT017


# ------------------------------------------------------------------------------------------- the file


def test_encodings_and_line_ends(read):
    plain = read(CUBE)
    assert read(b"\xef\xbb\xbf" + CUBE.encode()) == plain
    assert read(CUBE.replace("\n", "\r\n")) == plain
    assert read(CUBE.replace("\n", "\r")) == plain
    assert read(CUBE.replace("=", " \t = ").rstrip()) == plain


def test_bad_encodings(read):
    assert problems_of(read, CUBE.encode() + "# é\nintent='TÀRGET'\n".encode("latin-1")) == [
        "CCIP_parameter.list:4: byte 0xe9 is not UTF-8; save the file as UTF-8",
        "CCIP_parameter.list:5: byte 0xc0 is not UTF-8; save the file as UTF-8",
    ]
    assert "UTF-16" in problems_of(read, CUBE.encode("utf-16"))[0]
    assert problems_of(read, CUBE.encode() + b"intent='\x00'\n")
    assert problems_of(read, CUBE.encode() + b"intent='\\x1b[31m'\n")


@pytest.mark.parametrize("content", ["", "\n\n", "# nothing\n", "\ufeff"])
def test_empty_files(read, content):
    assert problems_of(read, content) == ["CCIP_parameter.list: no parameters in the file"]


def test_no_file(tmp_path):
    with pytest.raises(ParameterFileError, match="No such file"):
        read_parameter_file(tmp_path / "missing.list")
    with pytest.raises(ParameterFileError, match="is a directory"):
        read_parameter_file(tmp_path)
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(ParameterFileError, match="not a regular file"):
        read_parameter_file(tmp_path / "fifo")


def test_huge_files(read):
    assert "larger" in problems_of(read, CUBE + "#" * 1_000_000)[0]
    many = problems_of(read, "x\n" * 10_000)
    assert len(many) < 200
    assert many[-1].startswith("... and")


@given(
    st.binary(max_size=400) | st.text(alphabet="imaging_mode='\"[]{}=#\n ,0", max_size=200).map(str.encode)
)
def test_any_bytes_are_read_or_refused_by_name(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "fuzz.list"
    for prefix in (b"", CUBE.encode()):
        path.write_bytes(prefix + content)
        try:
            read_parameter_file(path)
        except ParameterFileError as error:
            assert error.problems  # noqa: PT017


numbers = st.floats(0, 1, allow_nan=False)
valid = st.fixed_dictionaries(
    {"imagename": st.just(NAME), "phasecenter": st.just(CENTRE), "imaging_mode": st.just("VLASS-SE-CUBE")},
    optional={
        "spw": st.lists(st.integers(0, 99).map(str), min_size=1, unique=True).map(tuple),
        "imsize": st.tuples(st.integers(1, 20_000), st.integers(1, 20_000)),
        "cell": st.floats(0.01, 100).map(lambda size: (f"{size:.3f}arcsec",)),
        "search_radius_arcsec": st.floats(0, 5000),
        "field": st.sets(st.integers(0, 25_000), min_size=1).map(lambda ids: tuple(sorted(ids))),
        "niter": st.integers(1, 10**6),
        "robust": st.floats(-2, 2),
        "threshold": numbers.map(lambda value: f"{value:.3f}mJy"),
        "scales": st.lists(st.integers(0, 50), min_size=1).map(tuple),
        "mask": st.lists(st.sampled_from(["a'b.mask", 'c"d.mask', "é \\ #=.mask", "pb"]), min_size=1).map(
            tuple
        ),
        "conjbeams": st.booleans(),
        "vlass_plane_reject_ms": st.builds(
            PlaneRejectionMs, st.booleans(), st.sampled_from(["", "2,3"]), numbers, st.integers(1, 99)
        ),
    },
)


@given(valid)
def test_lists_round_trip(tmp_path_factory, values):
    expected = ImageListParameters(**values)
    path = tmp_path_factory.getbasetemp() / "round trip.list"
    write_parameter_file(path, values)
    assert read_parameter_file(path) == expected
    write_parameter_file(path, expected)
    assert read_parameter_file(path) == expected
    assert from_json(ImageListParameters, to_json(expected)) == expected


def test_writing_refuses_what_reading_would(tmp_path):
    path = tmp_path / "x.list"
    for mapping in ({"imsise": 1}, {"robust": math.nan}, {"robust": object()}):
        with pytest.raises(ParameterFileError):
            write_parameter_file(path, mapping)
    assert list(tmp_path.iterdir()) == []


def test_every_documented_key_has_a_converter():
    from vlasscube.parameters.values import CONVERTERS

    assert tuple(CONVERTERS) == module.KEYS


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("imsize=[0, 10]", "out of range"),
        ("imsize='10'", "expected a number"),
        ("imsize=[1,2,3]", "[nx, ny]"),
        ("imsize=[10.5, 10]", "whole number"),
        ("imsize=[True, 10]", "expected a number"),
        ("cell=['0arcsec']", "above zero"),
        ("cell=['-1arcsec']", "above zero"),
        ("cell=['1parsec']", "above zero"),
        ("robust=3", "out of range"),
        ("nterms=-1", "out of range"),
        ("conjbeams=1", "True or False"),
        ("stokes='XYZ'", "none of"),
        ("threshold='1 horse'", "not a flux density"),
        ("threshold='-1mJy'", "negative"),
        ("uvrange='; rm -rf /'", "not understood"),
        ("uvrange='<12parsec'", "not understood"),
        ("uvtaper=['2.6parsec']", "'2.6parsec' is not the width of a uv taper"),
        ("uvtaper=['1arcsec','1arcsec','0deg','5m']", "more than three parts"),
        ("reffreq='3.0parsec'", "'3.0parsec' is not a frequency"),
        ("reffreq='-3.0GHz'", "not a frequency"),
        ("niter='20'", "number"),
        ("phasecenter='J2000 0:0:0 0:0:0'", "already given"),
        ("parameter_file='../x'", "must not occur"),
        ("cyclefactor=0", "out of range"),
        ("nmajor=0", "out of range"),
        ("gridder=5", "expected a string"),
        ("spw='2,3'", "must be a list"),
        ("spw=[]", "empty list"),
        ("field=['0050003-023000']", "field ids"),
        ("field=[1.5]", "field ids"),
        ("spw=2", "must be a list"),
    ],
)
def test_refused_values(read, line, reason):
    found = problems_of(read, CUBE + line + "\n")
    assert len(found) == 1
    assert found[0].startswith("CCIP_parameter.list:4: ")
    assert reason in found[0]


@pytest.mark.parametrize(("line", "reason"), [("spw=['2','3']", "one string"), ("spw='2:0~3'", "channels")])
def test_refused_continuum_spw(read, line, reason):
    assert reason in problems_of(read, CONTINUUM + line + "\n")[0]


# --------------------------------------------------------------------------------------- spw and mode


def test_spw_groups_against_the_measurement_set():
    assert validate_spw_groups(["2, 3,4", "05", "17"], range(2, 18)) == ("2,3,4", "5", "17")
    with pytest.raises(ParameterFileError) as caught:
        validate_spw_groups(["1", "2,18", "3~4"], range(2, 18))
    assert len(caught.value.problems) == 3
    assert "2, 3, 4" in caught.value.hint


@given(st.lists(st.text(alphabet="0123456789,~: x", max_size=6) | st.integers(), max_size=6))
def test_accepted_groups_are_canonical(value):
    try:
        groups = validate_spw_groups(value)
    except ParameterFileError:
        return
    assert validate_spw_groups(groups) == groups
    for group in groups:
        ids = [int(spw) for spw in group.split(",")]
        assert group == ",".join(map(str, ids))
        assert len(set(ids)) == len(ids)
    assert len({frozenset(group.split(",")) for group in groups}) == len(groups)


def test_the_same_group_in_another_order_is_the_same():
    with pytest.raises(ParameterFileError, match="more than once"):
        validate_spw_groups(["2,3", "3,2"])


def test_continuum_spw():
    centres = {spw: 2.028e9 + 0.128e9 * (spw - 2) for spw in range(2, 18)}
    assert resolve_continuum_spw("2~4, 17", centres) == (2, 3, 4, 17)
    assert resolve_continuum_spw("2028MHz,2150", centres) == (2, 3)
    for wrong in ("2~", "1,2", "4~2", "2:0~15", "", "x"):
        with pytest.raises(ParameterFileError):
            resolve_continuum_spw(wrong, centres)


@pytest.mark.parametrize(
    ("mode", "expected", "outcome"),
    [
        ("VLASS-SE-CUBE", None, "cube"),
        ("VLASS-SE-CUBE", "cube", "cube"),
        ("VLASS-SE-CONT-MOSAIC", "continuum", "continuum"),
        ("VLASS-SE-CONT-MOSAIC", "cube", "expected VLASS-SE-CUBE"),
        *(
            (mode, "continuum", f"{mode}': continuum runs made with A-projection cannot be continued")
            for mode in IMAGING_MODES
            if mode.startswith("VLASS-SE-CONT") and mode != "VLASS-SE-CONT-MOSAIC"
        ),
        ("VLASS-SE-CONT", None, "A-projection"),
        ("VLASS-QL", None, "VLASS-SE-CONT-MOSAIC or VLASS-SE-CUBE"),
    ],
)
def test_modes(mode, expected, outcome):
    parameters = ImageListParameters(NAME, CENTRE, mode)
    if outcome in {"cube", "continuum"}:
        assert require_supported_mode(parameters, expected) == outcome
    else:
        with pytest.raises(ParameterFileError, match=outcome) as caught:
            require_supported_mode(parameters, expected)
        assert caught.value.hint


@pytest.mark.parametrize(
    "lines",
    [
        "xyz=1\n" * 100_000,
        "spw=[" + ",".join(f"'{spw}'" for spw in range(12_000)) + "]\n",
        "spw=[" + ",".join(["'1'"] * 24_000) + "]\n",
        "spw=['" + ",".join(map(str, range(16_000))) + ",5']\n",
        "spw=[" + ",".join(["'x'"] * 900) + "]\n",
        "niter=" + "9" * 90_000 + "\n",
    ],
    ids=["unknown keys", "planes", "the same plane", "windows", "no windows", "digits"],
)
def test_long_lists_are_refused_soon_and_in_short(read, lines):
    started = time.process_time()
    problems = problems_of(read, CUBE + lines)
    assert time.process_time() - started < 3
    assert sum(map(len, problems)) < 10_000


def test_long_ranges_of_spectral_windows_are_refused_soon():
    started = time.process_time()
    with pytest.raises(ParameterFileError, match="more than 100000 ids") as caught:
        resolve_continuum_spw(",".join(["0~99999"] * 1200), {2: 2e9})
    assert time.process_time() - started < 3
    assert len(caught.value.problems) <= 100
