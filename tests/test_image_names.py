"""Names of images: free text that is safe, the official form slot by slot, and what a name says."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vlasscube import image_names, naming
from vlasscube.errors import NamingError
from vlasscube.image_names import ImageIdentity, check_image_name, image_identity, nearest_official_name

CUBE = "VLASS2.1.cc.T10t02.J005000-023000.06.2048.v1"
SAFE = string.ascii_letters + string.digits + "._+-"

official_names = st.builds(
    image_names.ImageName,
    epoch=st.tuples(st.integers(1, 9), st.integers(1, 2)).map(lambda pair: f"{pair[0]}.{pair[1]}"),
    product=st.sampled_from(["cc", "se", "ql"]),
    tile=st.from_regex(r"\AT[0-9]{2}t[0-9]{2}\Z"),
    centre=st.from_regex(r"\AJ[0-9]{6}[+-][0-9]{6}\Z", alphabet="J0123456789+-"),
    pixel=st.none() | st.sampled_from(["06", "10", "025"]),
    size=st.none() | st.sampled_from(["2048", "16384"]),
    version=st.none() | st.integers(0, 99).map(str),
)


def test_slots_of_an_image_name():
    name = image_names.parse_image_name(CUBE)
    assert name == image_names.ImageName("2.1", "cc", "T10t02", "J005000-023000", "06", "2048", "1")
    assert (name.text, name.object_name, name.obs_id) == (
        CUBE,
        "J005000-023000",
        "VLASS2.1.T10t02.J005000-023000",
    )


def test_short_image_name():
    name = image_names.parse_image_name("VLASS1.2.se.Txxxx.J133335+164400.v1")
    assert (name.tile, name.pixel, name.size, name.version) == ("Txxxx", None, None, "1")


@given(official_names)
def test_image_name_round_trip(name):
    assert image_names.parse_image_name(name.text) == name


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".",
        "..",
        "/etc/passwd",
        f"../{CUBE}",
        f"{CUBE}/..",
        f"{CUBE}\n",
        f" {CUBE}",
        f"{CUBE} ",
        f"{CUBE}'",
        f'{CUBE}"',
        f"{CUBE}*",
        f"{CUBE}\x00",
        f"{CUBE}\u202e",
        f"{CUBE}\ud800",
        f"{CUBE}1" + "0" * 200,
        CUBE.replace("cc", "xx"),
        CUBE.replace("J", ""),
        CUBE + ".extra",
        CUBE.replace("2.1", "２.1"),
        "VLASS2.1.cc.T10t02",
        CUBE.replace(".", "\\"),
    ],
)
def test_not_official_names(text):
    with pytest.raises(NamingError) as caught:
        image_names.parse_image_name(text)
    assert caught.value.hint
    assert caught.value.message.isprintable()
    assert not image_names.is_official(text)


@given(st.text(max_size=300) | st.text(alphabet="VLASS12.cseT0tJ+-6v8", max_size=60))
def test_any_text_parses_or_is_refused_by_name(text):
    for parser in (image_names.parse_image_name, naming.parse_product_name):
        try:
            result = parser(text)
        except NamingError:
            continue
        if isinstance(result, image_names.ImageName):
            assert result.text == text
    naming.parse_field_position(text)
    naming.is_vlass_field_name(text)


# --------------------------------------------------------------------------------------------- free names


@pytest.mark.parametrize(
    "name",
    [
        "Coarse_Test",
        "VLASS_SE_J0807_0432_c0.6arcsec",
        "VLASS3_radio_galaxy",
        "VLASS2.1.cc.T10t02.J005000-023000.06.2048.v1.again",
        "3C286",
        "a",
        "J1550+1120",
        "my.spw2.IQUV.iter3.image.tt0",
        "x.",
        "_x",
        "x" * 170,
    ],
)
def test_any_safe_name_is_taken(name):
    assert check_image_name(name) == name


@given(st.text(alphabet=SAFE, min_size=1, max_size=170))
def test_letters_digits_and_four_signs_are_safe(name):
    if name[0] in ".-+":
        with pytest.raises(NamingError, match="begins with"):
            check_image_name(name)
    else:
        assert check_image_name(name) == name


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("my source", "a space"),
        ("my/source", "'/'"),
        ("a:b", "':'"),
        ("a,b", "','"),
        ("a~b", "'~'"),
        ("a$b;c", "'\\$', ';'"),
        ("a\tb", "U\\+0009"),
        ("quelle_ä", "'ä'"),
        ("a\u2212b", "'\u2212'"),
        ("a\u202eb", "U\\+202E"),
        ("١", "'١'"),
        (".hidden", "begins with '.'.*hidden"),
        ("..", "begins with"),
        ("-rf", "begins with '-'.*options"),
        ("", "empty"),
        (" ", "empty"),
        ("x" * 171, "171 characters; at most 170"),
    ],
)
def test_what_a_path_or_casa_cannot_take_is_refused_by_its_character(name, reason):
    with pytest.raises(NamingError, match=reason) as caught:
        check_image_name(name)
    assert caught.value.hint
    assert caught.value.message.isprintable()


@given(st.text(max_size=40))
def test_a_name_is_taken_or_refused_and_is_then_one_word(text):
    try:
        check_image_name(text)
    except NamingError:
        return
    assert set(text) <= set(SAFE)


# ------------------------------------------------------------------------------------- what a name says


@pytest.mark.parametrize(
    ("name", "identity"),
    [
        (CUBE, ImageIdentity("J005000-023000", "T10t02", "2.1", "1")),
        ("VLASS1.2.se.Txxxx.J133335+164400.v1", ImageIdentity("J133335+164400", "Txxxx", "1.2", "1")),
        ("Coarse_Test", ImageIdentity("Coarse_Test")),
        ("VLASS3_radio_galaxy", ImageIdentity("VLASS3_radio_galaxy")),
        ("VLASS3.1_radio_galaxy", ImageIdentity("VLASS3.1_radio_galaxy")),
        ("VLASS3.1.radio_galaxy", ImageIdentity("VLASS3.1.radio_galaxy", None, "3.1")),
        ("VLASS_SE_J0807_0432_c0.6arcsec", ImageIdentity("VLASS_SE_J0807_0432_c0.6arcsec")),
        (f"{CUBE}.mine", ImageIdentity("J005000-023000", "T10t02", "2.1")),
        ("mine.T10t02.v3", ImageIdentity("mine.T10t02.v3", "T10t02", None, "3")),
        ("T10t02.T10t03", ImageIdentity("T10t02.T10t03")),
    ],
)
def test_tile_epoch_and_version_are_said_when_the_name_has_them(name, identity):
    assert image_identity(name) == identity


@given(official_names)
def test_official_names_say_all_their_slots(name):
    assert image_identity(name.text) == ImageIdentity(name.centre, name.tile, name.epoch, name.version)


@pytest.mark.parametrize(
    "name",
    [
        CUBE.lower(),
        CUBE.upper(),
        CUBE.replace("cc", "CC"),
        CUBE.replace(".cc", ""),
        CUBE.replace(".", "_"),
        CUBE.replace(".v1", ".1"),
        CUBE.replace(".v1", "_v1"),
        CUBE.replace("T10t02", "T10t2"),
        CUBE.replace("T10t02", "t10t02"),
        CUBE.replace("J005000-023000", "J0050-0230"),
        CUBE.replace("J005000", "005000"),
        CUBE.replace(".J", "J"),
        CUBE.replace("VLASS2.1", "VLASS.2.1"),
        f"{CUBE}.mine",
    ],
)
def test_a_nearly_official_name_has_the_right_one_named(name):
    assert nearest_official_name(name, "cc") == CUBE


@pytest.mark.parametrize(
    "name",
    [
        CUBE,
        "Coarse_Test",
        "VLASS_SE_J0807_0432_c0.6arcsec",
        "VLASS3_radio_galaxy",
        "T10t02.J005000-023000",
        "VLASS2.1",
    ],
)
def test_other_names_have_none(name):
    assert nearest_official_name(name, "cc") is None


@given(official_names, st.data())
def test_a_slip_in_an_official_name_leads_back_to_it(name, data):
    text = name.text
    slip = data.draw(st.sampled_from([text.lower(), text.upper(), text.replace(".", "_"), f"{text}.mine"]))
    if not image_names.is_official(slip):
        assert nearest_official_name(slip, "cc") == text


@given(
    st.text(alphabet=SAFE, max_size=80)
    | st.from_regex(r"VLASS2\.1.{0,5}T[0-9]t[0-9].{0,5}[0-9]{4}-[0-9]{4}.*")
)
def test_what_is_proposed_is_official(text):
    proposed = nearest_official_name(text, "se")
    assert proposed is None or image_names.is_official(proposed)
