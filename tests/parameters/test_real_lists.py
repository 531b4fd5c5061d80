"""Parameter lists as users write them: they are read, or one message for each line says what to change."""

from __future__ import annotations

import inspect

import pytest

from vlasscube import casa
from vlasscube.errors import ParameterFileError
from vlasscube.parameters.lists import ImageList, read_image_list
from vlasscube.parameters.unknown_keys import TCLEAN_ARGUMENTS, unknown_key
from vlasscube.parameters.values import CONVERTERS

CENTRE = "J2000 12:16:04.600 +059.24.50.300"
HEAD = f"imagename='Coarse_Test'\nphasecenter='{CENTRE}'\nimaging_mode='VLASS-SE-CUBE'\n"


@pytest.fixture
def read(tmp_path):
    def reader(text: str | bytes, kind: str = "cube") -> ImageList:
        path = tmp_path / "x.list"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return read_image_list(path, kind)

    return reader


def problems_of(read, text, kind="cube") -> list[str]:
    with pytest.raises(ParameterFileError) as caught:
        read(text, kind)
    return list(caught.value.problems)


PLAIN = HEAD + "spw=['2','3']\nimsize=[320,320]\ncell=['0.6arcsec']\n"


@pytest.mark.parametrize(
    "text",
    [
        PLAIN,
        "\ufeff" + PLAIN.replace("\n", "\r\n"),
        PLAIN.replace("=", "\t = \t").replace("\n", "   \n\n"),
        PLAIN.replace("'", '"'),
        PLAIN.replace("\n", "  # a 'comment', with \"quotes\" = and #\n"),
        PLAIN.replace("[320,320]", "320"),
        PLAIN.replace("[320,320]", "(320, 320)"),
        PLAIN.replace("['0.6arcsec']", "'0.6arcsec'"),
        PLAIN.replace("['2','3']", "('2', '3',)"),
        PLAIN
        + "robust=''\nniter=''\nuvrange=''\nmask=[]\nfield=['']\nnsigma=None\nconjbeams=''\nscales=''\n",
        "# a list of mine\n  # more\n" + PLAIN.rstrip("\n"),
    ],
)
def test_the_same_list_in_other_hands(read, text):
    found = read(text)
    assert found.warnings == ()
    assert found.parameters == read(PLAIN).parameters
    assert (found.parameters.imagename, found.parameters.phasecenter) == ("Coarse_Test", CENTRE)
    assert (found.parameters.imsize, found.parameters.cell_arcsec) == ((320, 320), 0.6)


PUBLIC = {
    "a tutorial's": (
        "continuum",
        "imagename='VLASS_Tutorial' #image name - can not contain spaces\n"
        "phasecenter='J2000 08:07:57.68 +04.32.34.55' #phasecenter. Typically centered on the source\n"
        "imaging_mode='VLASS-SE-CONT-MOSAIC' #Leave unchanged \n"
        "imsize=[3125,3125] #image size in pixels to include the buffer \n"
        "cell='0.6arcsec' #cell size as defined by the user\n",
        0,
    ),
    "cut off by an editor": (
        "cube",
        "imagename='Course_Cube_Test'\nimaging_mode='VLASS-SE-CUBE'\n"
        f"spw={[str(spw) for spw in range(2, 18)]}\n"
        "phasecenter='J2000 15:50:44.600 +11.20.39.200' #phasecenter of the image the us$\n"
        "imsize=[3200,3200] #image size\ncell='0.6arcsec' #cell size\n",
        0,
    ),
    "of a guide to the pipeline": (
        "continuum",
        "# SEIP_parameter.list\n#\n# Necessary parameters:\n#\n"
        "imagename='VLASS1.2.se.Txxxx.J133335+164400.v1'\nphasecenter='J2000 13:33:35.814 +16.44.04.255'\n"
        "imaging_mode='VLASS-SE-CONT-MOSAIC'\ncfcache='/mnt/a.cf, /mnt/b.cf'\nimsize=[1024, 1024]\n"
        "cell=['2.0arcsec']\npblimit=0.02\nniter=50\n",
        2,
    ),
    "with both sides of a pixel": ("cube", HEAD + "cell = ['0.4arcsec','0.4arcsec']\n", 0),
}  # fmt: skip


@pytest.mark.parametrize("name", PUBLIC)
def test_lists_that_are_public(read, name):
    kind, text, warnings = PUBLIC[name]
    found = read(text, kind)
    assert len(found.warnings) == warnings
    assert all("no effect" in warning for warning in found.warnings)
    assert found.parameters.imsize is not None or "imsize" not in text


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("imagename=", "imagename: ", "x.list:1: imagename: write '=' after the key, not ':'"),
        ("imagename=", "export imagename=", "x.list:1: imagename: take 'export' before the key out"),
        ("'J2000 ", "'0    J2000 ", "take '0' before the frame out"),
        ("J2000 12:16:04.600", "J2000, 12:16:04.600,", "take the commas out"),
        (
            "J2000 12",
            "J2000\u00a012",
            "x.list:2: phasecenter: the string has U+00A0 (no-break space)",
        ),
        ("VLASS-SE-CUBE", "vlass-se-cube", "did you mean 'VLASS-SE-CUBE'?"),
    ],
)
def test_one_slip_in_what_is_required_is_one_problem(read, old, new, message):
    (problem,) = problems_of(read, HEAD.replace(old, new))
    assert message in problem


def test_a_hash_in_a_text_is_no_comment(read):
    assert read(HEAD + "mask=['a#b.mask', 'pb']  # c\n").parameters.mask == ("a#b.mask", "pb")


@pytest.mark.parametrize("name", ["VLASS_SE_J0807_0432_c0.6arcsec", "VLASS3_radio_galaxy", "my.spw2.IQUV.x"])
def test_any_safe_imagename(read, name):
    found = read(HEAD.replace("Coarse_Test", name))
    assert found.parameters.imagename == name
    assert found.warnings == ()


def test_an_unsafe_imagename_has_its_character_named(read):
    (problem,) = problems_of(read, HEAD.replace("Coarse_Test", "Coarse Test"))
    assert problem.startswith("x.list:1: imagename: image name 'Coarse Test' has a space")


def test_a_nearly_official_imagename_is_taken_with_a_warning(read):
    found = read(HEAD.replace("Coarse_Test", "VLASS2.1.CC.T10t02.J005000-023000.06.2048.v1"))
    assert found.parameters.imagename == "VLASS2.1.CC.T10t02.J005000-023000.06.2048.v1"
    (warning,) = found.warnings
    assert warning.startswith("x.list:1: imagename")
    assert "'VLASS2.1.cc.T10t02.J005000-023000.06.2048.v1'" in warning


def test_the_kind_of_image_that_a_name_leaves_out_is_that_of_the_list(read):
    text = HEAD.replace("Coarse_Test", "VLASS2.1.T10t02.J005000-023000").replace("CUBE", "CONT-MOSAIC")
    (warning,) = read(text, "continuum").warnings
    assert "'VLASS2.1.se.T10t02.J005000-023000'" in warning


@pytest.mark.parametrize(
    ("given", "read_as"),
    [
        ("12h16m04.6 +59d24m50.3", "J2000 12:16:04.600 +59.24.50.3000"),
        ("187.5deg -40deg", "J2000 12:30:00.000 -40.00.00.0000"),
        ("12:16:04.6 \u221259.24.50.3", "J2000 12:16:04.600 -59.24.50.3000"),
    ],
)
def test_a_frame_that_is_not_given_is_said(read, given, read_as):
    found = read(HEAD.replace(CENTRE, given))
    assert found.parameters.phasecenter == read_as
    assert found.warnings == (f"x.list:2: phasecenter '{given}' has no frame; J2000 is assumed",)
    assert read(HEAD.replace(CENTRE, read_as)).parameters == found.parameters


def test_a_declination_with_colons_stays_refused(read):
    (problem,) = problems_of(read, HEAD.replace(CENTRE, "12:16:04.6 +59:24:50.3"))
    assert "CASA reads colons as hours; write dots" in problem


def test_arguments_of_tclean_under_ours(read):
    arguments = (
        "vis=['a.ms']\nweighting='briggs'\nusemask='auto-multithresh'\ninteractive=False,\npbcor=True\n"
        "imsize=[320,320],\ngain=0.1,\n"
    )
    found = problems_of(read, HEAD + arguments)
    assert [text.split(": ")[0] for text in found] == [f"x.list:{line}" for line in range(4, 11)]
    for text in found[:5] + found[6:]:
        assert "this file takes the keys of hif_editimlist's parameter list, not tclean's arguments" in text
        assert "did you mean" not in text
    assert found[5] == "x.list:9: imsize: the value ends in a comma; take the comma out"


def test_what_cannot_be_read_and_what_is_not_possible_are_told_together(read):
    found = problems_of(read, HEAD + "gridder='awproject'\nniter='20'\nstokes='I'\n")
    assert [text.split(": ", 1)[1] for text in found] == [
        "gridder: 'awproject' is not supported here, only 'mosaic'",
        "niter: expected a number without quotes, not '20'",
        "stokes: 'I' is not supported here, only 'IQUV'",
    ]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("threshold='0.1mJy',", "threshold: the value ends in a comma; take the comma out"),
        ("conjbeams=false", "conjbeams: 'false' is not 'False': capitals count"),
        ("niter=5;", "niter: the value ends in a semicolon; take the semicolon out"),
        ("intent=\u2018TARGET\u2019", "intent: \u2018 is a typographic quote; write ' or \""),
        ("cell=0.6", "cell: expected a string such as '0.6arcsec', not 0.6"),
        ("threshold=0.1", "threshold: expected a string such as '0.5mJy', not 0.1"),
        ("spw=['2',\n     '3']", "spw: a bracket '[' is not closed; a value stands on one line"),
        ("Niter=5", "unknown key 'Niter'; did you mean 'niter'?"),
        ("cellsize='1arcsec'", "unknown key 'cellsize'; did you mean 'cell'?"),
        ("search_radius=5", "unknown key 'search_radius'; did you mean 'search_radius_arcsec'?"),
        ("bananas=5", "unknown key 'bananas'"),
        ("tier=5", "unknown key 'tier'"),
        ("spw=['2', \\\n'3']", "spw: the line ends in a backslash; a value stands on one line"),
        ("spw=[str(i) for i in range(2, 18)]", "spw: 'str' is neither quoted nor a number; nothing is worked "
         "out here, write the value itself"),
        ("imsize=[2*1600, 3200]", "imsize: unexpected character '*': nothing is worked out here; write the "
         "number that it gives"),
        ("datatype=f'x'", "datatype: 'f' is neither quoted nor a number; quote strings: 'text', with "
         "nothing before the quote"),
        ("spw==['2']", "spw: there is a second '='; write one key=value a line"),
        ("niter=5; nmajor=2", "niter: there is a semicolon in it; write one key=value a line"),
        ("niter: 5", "niter: write '=' after the key, not ':'"),
        ("threshold: '0.1mJy' # = 100 uJy", "threshold: write '=' after the key, not ':'"),
        ("export niter=5", "niter: take 'export' before the key out"),
        ("uvrange='<\u00a012km'", "uvrange: the string has U+00A0 (no-break space); type it anew, with plain "
         "blanks"),
        ("hif_editimlist(nterms=1)", "'hif_editimlist(nterms' looks like the call of a task; write one "
         "key=value a line"),
    ],
)  # fmt: skip
def test_one_message_says_what_to_change(read, line, message):
    assert problems_of(read, HEAD + line + "\n") == [f"x.list:4: {message}"]


@pytest.mark.casa
def test_every_argument_of_tclean_is_known_for_one():
    arguments = set(inspect.signature(casa.tasks().tclean).parameters) - CONVERTERS.keys()
    assert arguments <= TCLEAN_ARGUMENTS
    assert all("not tclean's arguments" in unknown_key(name) for name in arguments)
