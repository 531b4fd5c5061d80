"""Names: every slot, round trips, and texts that must not become file names."""

from __future__ import annotations

import fnmatch
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vlasscube import naming
from vlasscube.errors import NamingError

CUBE = "VLASS2.1.cc.T10t02.J005000-023000.06.2048.v1"

digits = st.integers(0, 9).map(str)
image_names = st.builds(
    naming.ImageName,
    epoch=st.tuples(st.integers(1, 9), st.integers(1, 2)).map(lambda pair: f"{pair[0]}.{pair[1]}"),
    product=st.sampled_from(["cc", "se", "ql"]),
    tile=st.from_regex(r"\AT[0-9]{2}t[0-9]{2}\Z"),
    centre=st.from_regex(r"\AJ[0-9]{6}[+-][0-9]{6}\Z", alphabet="J0123456789+-"),
    pixel=st.none() | st.sampled_from(["06", "10", "025"]),
    size=st.none() | st.sampled_from(["2048", "16384"]),
    version=st.none() | st.integers(0, 99).map(str),
)
spw_groups = st.lists(st.integers(0, 63), min_size=1, max_size=16, unique=True).map(
    lambda ids: ",".join(map(str, ids))
)


def test_slots_of_an_image_name():
    name = naming.parse_image_name(CUBE)
    assert name == naming.ImageName("2.1", "cc", "T10t02", "J005000-023000", "06", "2048", "1")
    assert (name.text, name.object_name, name.obs_id) == (
        CUBE,
        "J005000-023000",
        "VLASS2.1.T10t02.J005000-023000",
    )


def test_short_image_name():
    name = naming.parse_image_name("VLASS1.2.se.Txxxx.J133335+164400.v1")
    assert (name.tile, name.pixel, name.size, name.version) == ("Txxxx", None, None, "1")


@given(image_names)
def test_image_name_round_trip(name):
    assert naming.parse_image_name(name.text) == name


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
def test_refused_image_names(text):
    with pytest.raises(NamingError) as caught:
        naming.parse_image_name(text)
    assert caught.value.hint
    assert caught.value.message.isprintable()


@given(st.text(max_size=300) | st.text(alphabet="VLASS12.cseT0tJ+-6v8", max_size=60))
def test_any_text_parses_or_is_refused_by_name(text):
    for parser in (naming.parse_image_name, naming.parse_product_name):
        try:
            result = parser(text)
        except NamingError:
            continue
        if isinstance(result, naming.ImageName):
            assert result.text == text
    naming.parse_field_position(text)
    naming.is_vlass_field_name(text)


# --------------------------------------------------------------------------------------- work products


def test_names_of_a_plane():
    root = naming.plane_image_root(CUBE, "2, 3,4")
    assert root == f"s7_0.{CUBE}.spw2_3_4.IQUV"
    third = naming.iteration_root(root, 3)
    assert naming.tclean_product(third, "image") == f"{root}.iter3.image.tt0"
    assert naming.tclean_product(third, "mask") == f"{root}.iter3.mask"
    assert naming.tclean_product(third, "cleanmask") == f"{root}.iter3.cleanmask"
    assert naming.pbcor_name(third) == f"{root}.iter3.image.pbcor.tt0"
    assert naming.residual_pbcor_name(third) == f"{root}.iter3.image.residual.pbcor.tt0"
    cutout = naming.subim_name(naming.rms_name(naming.pbcor_name(third)))
    assert naming.fits_name(f"/somewhere/{naming.stokes_variant(cutout, 'V')}") == (
        f"{CUBE}.spw2_3_4.V.iter3.image.pbcor.tt0.rms.subim.fits"
    )


@pytest.mark.parametrize("group", ["", "2 3", "2~4", "2:0~15", "2,", ",2", "a", "2;3", "../2", "٣"])
def test_refused_groups(group):
    with pytest.raises(NamingError):
        naming.plane_label(group)


@pytest.mark.parametrize("name", ["x.IQU.y", "IQUV.x", "x.IQUV", "x.IQUV.IQUV.y", "xIQUV.y"])
def test_stokes_slot_must_be_there_once(name):
    with pytest.raises(NamingError):
        naming.stokes_variant(name, "V")


def test_stokes_slot_of_a_path_is_that_of_the_name():
    assert naming.stokes_variant("/data.IQUV.x/a.IQUV.b", "IQU") == "/data.IQUV.x/a.IQU.b"


def test_prefix_is_stripped_only_at_the_start():
    assert naming.fits_name("s7_0.a.s7_0.b") == "a.s7_0.b.fits"
    assert naming.fits_name("s12_.a") == "a.fits"
    assert naming.com_fits_name("a.subim.fits") == "a.subim.com.fits"
    with pytest.raises(NamingError):
        naming.com_fits_name("a.subim")


# ---------------------------------------------------------------------------------------- FITS products


def archive_slots(name: str) -> tuple[str, str, str, str]:
    """What the archive reads: observation id, tile, version, product type (ECOSYSTEM, file name grammar)."""
    slots = name.split(".")
    obs_id = ".".join([slots[0], slots[1], slots[3], slots[4]])
    return obs_id, slots[3], slots[7], "noise" if ".rms." in name else "science"


@given(image_names, spw_groups, st.sampled_from(["IQU", "V"]), st.booleans(), st.booleans())
def test_product_names_round_trip_and_fit_the_archive(image, group, stokes, rms, com):
    product = naming.ProductName(image, group, stokes, 3, "image.pbcor", rms=rms, subim=True, com=com)
    assert naming.parse_product_name(f"products/{product.text}") == product
    assert product.label == naming.plane_label(group)
    if image.pixel and image.size and image.version:
        assert archive_slots(product.text) == (
            image.obs_id,
            image.tile,
            f"v{image.version}",
            "noise" if rms else "science",
        )
        assert product.text.split(".")[8:11] == [product.label, stokes, "iter3"]


def test_product_of_the_work_names():
    cutout = naming.subim_name(
        naming.pbcor_name(naming.iteration_root(naming.plane_image_root(CUBE, "10"), 3))
    )
    name = naming.com_fits_name(naming.fits_name(naming.stokes_variant(cutout, "IQU")))
    assert name == f"{CUBE}.spw10.IQU.iter3.image.pbcor.tt0.subim.com.fits"
    product = naming.parse_product_name(name)
    assert (product.spw, product.stokes, product.iteration, product.com, product.rms) == (
        "10",
        "IQU",
        3,
        True,
        False,
    )


def test_mean_of_v():
    name = "VLASS2.1.cc.T10t02.J005000-023000.06.2048.V_mean_minmaxrej.subim.fits"
    product = naming.parse_product_name(name)
    assert (product.spw, product.stokes, product.label, product.subim) == (None, "V", None, True)
    assert product.image.version is None
    assert product.text == name


@pytest.mark.parametrize(
    "name",
    [
        f"{CUBE}.fits",
        f"{CUBE}.spw2.IQU.iter3.image.pbcor.tt0.subim",
        f"{CUBE}.spw2..iter3.image.pbcor.tt0.subim.fits",
        f"{CUBE}.spw2.UQ.iter3.image.pbcor.tt0.subim.fits",
        f"s7_0.{CUBE}.spw2.IQU.iter3.image.pbcor.tt0.subim.fits",
        f"{CUBE}.spw2.IQU.iter3.image.pbcor.tt0.subim.fits\n",
        f"{CUBE}.spw2.IQU.iter03.image.pbcor.tt0.subim.fits",
    ],
)
def test_refused_product_names(name):
    with pytest.raises(NamingError):
        naming.parse_product_name(name)


# --------------------------------------------------------------------- measurement sets and resources


def test_working_ms():
    fsid = "VLASS2.1.sb38546349.eb38559922.59066.15098736111"
    assert naming.working_ms_name(f"/data/{fsid}_split.ms/") == f"{fsid}_split_split.ms"
    assert naming.working_ms_name(fsid) == f"{fsid}_split.ms"


@pytest.mark.parametrize("name", ["a\nb.ms", "a'b.ms", "a*.ms", "x" * 240 + ".ms", ""])
def test_refused_ms_names(name):
    with pytest.raises(NamingError):
        naming.working_ms_name(name)


def test_resource_patterns_select_what_the_continuum_packs():
    vis, se = "fsid_split_split.ms", "VLASS2.1.se.T10t02.J005000-023000.06.2048.v1"
    packed = {
        "flag_dir": f"{vis}.flagversions",
        "flag_version": f"{vis}.flagversions/flags.statwt_1",
        "selfcal_table": f"{vis}.hifv_selfcal.s8_1.phase-self-cal.tbl",
        "model_images": f"s5_0.{se}.I.iter1.model.tt1",
        "tier1_mask": f"s13_0.{se}.QLcatmask-tier1.mask",
        "tier2_mask": f"s13_0.{se}.combined-tier2.mask",
    }
    patterns = naming.resource_patterns(vis, se)
    assert patterns.keys() == packed.keys()
    assert all(fnmatch.fnmatchcase(packed[key], patterns[key]) for key in packed)


# ------------------------------------------------------------------------------- fields, phase centres


@pytest.mark.parametrize(
    "name", ["0123456+012345", '"1447214-161911"', "2359599+000000", "T32t02.NCP", '"T32t02.NCP"']
)
def test_vlass_fields(name):
    globs = ["0*", '"0*', "1*", '"1*', "2*", '"2*', "T*", '"T*']
    assert naming.is_vlass_field_name(name)
    assert any(fnmatch.fnmatchcase(name, glob) for glob in globs)


@pytest.mark.parametrize("name", ["", "J1331+3030", "3C286", '""0', " 0"])
def test_other_fields(name):
    assert not naming.is_vlass_field_name(name)


def test_field_position():
    ra, dec = naming.parse_field_position("1447214-161911")
    assert ra == pytest.approx(15 * (14 + 47 / 60 + 21.4 / 3600), abs=1e-12)
    assert dec == pytest.approx(-(16 + 19 / 60 + 11 / 3600), abs=1e-12)
    # The sign counts even with zero degrees.
    assert naming.parse_field_position("0000000-000030") == (0, pytest.approx(-30 / 3600))


@pytest.mark.parametrize(
    "name", ["T32t02.NCP", "2447214-161911", "1460214-161911", "1447600-161911", "1447214-906000", "1447214"]
)
def test_no_field_position(name):
    assert naming.parse_field_position(name) is None


@given(st.floats(-720, 720), st.floats(-90, 90))
def test_field_names_round_trip_to_their_resolution(ra, dec):
    name = naming.format_field_name(ra, dec)
    parsed = naming.parse_field_position(name)
    assert parsed is not None
    assert abs((parsed[0] - ra + 180) % 360 - 180) <= 0.0500001 * 15 / 3600
    assert abs(parsed[1] - dec) <= 0.5000001 / 3600
    assert naming.format_field_name(*parsed).replace("-000000", "+000000") == name.replace(
        "-000000", "+000000"
    )


@pytest.mark.parametrize("position", [(math.nan, 0), (0, 91), (math.inf, 0)])
def test_no_name_of_no_position(position):
    with pytest.raises(NamingError):
        naming.format_field_name(*position)
