"""Names: every slot, round trips, and texts that must not become file names."""

from __future__ import annotations

import fnmatch
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vlasscube import naming
from vlasscube.errors import NamingError

from .test_image_names import SAFE, official_names

CUBE = "VLASS2.1.cc.T10t02.J005000-023000.06.2048.v1"

# What a free name may hold of what is appended to names.
pieces = st.sampled_from(
    [
        "spw2",
        "spw3_4",
        "IQUV",
        "IQU",
        "V",
        "iter3",
        "image",
        "residual",
        "pbcor",
        "tt0",
        "rms",
        "subim",
        "com",
        "fits",
        "s7_0",
        "V_mean_minmaxrej",
        "v1",
        "T10t02",
        "VLASS2",
        "1",
        "cc",
        "se",
        "I",
        "model",
        "mask",
        "QLcatmask-tier1",
        "combined-tier2",
        "ms",
        "list",
        "x",
        "X",
        "my_source",
    ]
)
free_names = st.text(alphabet=SAFE, min_size=1, max_size=60) | st.lists(pieces, min_size=1, max_size=12).map(
    ".".join
)
image_names = free_names.filter(lambda name: name[0] not in ".-+") | official_names.map(
    lambda name: name.text
)
spw_groups = st.lists(st.integers(0, 63), min_size=1, max_size=16, unique=True).map(
    lambda ids: ",".join(map(str, ids))
)


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


@pytest.mark.parametrize("name", ["x.IQU.y", "IQUV.x", "x.IQUV", "xIQUV.y", ".IQUV.y", "x.IQUV."])
def test_stokes_slot_must_be_there(name):
    with pytest.raises(NamingError):
        naming.stokes_variant(name, "V")


def test_stokes_slot_is_that_of_the_plane():
    assert naming.stokes_variant("/data.IQUV.x/a.IQUV.b", "IQU") == "/data.IQUV.x/a.IQU.b"
    root = naming.plane_image_root("my.IQUV.test", "2")
    assert naming.stokes_variant(f"{root}.iter3", "V") == "s7_0.my.IQUV.test.spw2.V.iter3"


@given(image_names, spw_groups, st.booleans(), st.booleans())
def test_what_is_made_of_any_name_is_parsed_back(name, group, rms, com):
    """From the imagename of the list to the product, through every function that appends to it."""
    cutout = naming.pbcor_name(naming.iteration_root(naming.plane_image_root(name, group), 3))
    cutout = naming.subim_name(naming.rms_name(cutout) if rms else cutout)
    for stokes in ("IQU", "V"):
        file = naming.fits_name(naming.stokes_variant(cutout, stokes))
        file = naming.com_fits_name(file) if com else file
        product = naming.parse_product_name(file)
        assert product == naming.ProductName(name, group, stokes, 3, "image.pbcor", rms, True, com)
        assert product.text == file
        assert naming.plane_ending(file) == file.removeprefix(f"{name}.spw")


@given(image_names, image_names, spw_groups, spw_groups)
def test_two_names_have_no_product_in_common(one, other, group, other_group):
    texts = {
        naming.ProductName(name, spw, "IQU", 3, "image.pbcor", subim=True).text
        for name, spw in ((one, group), (other, other_group))
    }
    assert len(texts) == len({(one, group), (other, other_group)})


def test_long_names_are_refused_with_the_planes_they_are_too_long_for():
    windows = ",".join(map(str, range(2, 18)))
    assert naming.plane_image_root("x" * 100, windows)
    with pytest.raises(NamingError, match="characters too long for a plane of the spectral windows 2,3,4"):
        naming.plane_image_root("x" * 160, windows)
    name = naming.plane_image_root("x" * 170, "17")
    assert len(f"{name}.iter3.image.residual.pbcor.tt0.rms.subim") < 255


@given(image_names, st.integers(1, 30))
def test_images_of_a_continuum_run_tell_its_name(name, stage):
    images = {
        f"s{stage}_0.{name}.I.iter1.model.tt1": "model_images",
        f"s{stage}_0.{name}.I.iter1.model": "model_images",
        f"s{stage}_0.{name}.QLcatmask-tier1.mask": "tier1_mask",
        f"s{stage}_0.{name}.combined-tier2.mask": "tier2_mask",
    }
    patterns = naming.resource_patterns("x.ms", name)
    for image, kind in images.items():
        assert naming.parse_continuum_image(image) == naming.ContinuumImage(name, kind)
        assert fnmatch.fnmatchcase(image, patterns[kind])


@pytest.mark.parametrize(
    "name", ["x.mask", "s5_0.I.iter1.model.tt0", "s5_0.x.I.iter2.model.tt0", "s5_0.x.I.iter1"]
)
def test_other_images_of_a_continuum_run(name):
    assert naming.parse_continuum_image(name) is None


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


@given(official_names, spw_groups, st.sampled_from(["IQU", "V"]), st.booleans(), st.booleans())
def test_product_names_round_trip_and_fit_the_archive(image, group, stokes, rms, com):
    product = naming.ProductName(image.text, group, stokes, 3, "image.pbcor", rms=rms, subim=True, com=com)
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
    assert product.identity.version is None
    mine = naming.parse_product_name("my.V_mean_minmaxrej.V_mean_minmaxrej.subim.fits")
    assert (mine.image, mine.stokes) == ("my.V_mean_minmaxrej", "V")
    assert product.text == name


@pytest.mark.parametrize(
    "name",
    [
        f"{CUBE}.fits",
        f"{CUBE}.spw2.IQU.iter3.image.pbcor.tt0.subim",
        f"{CUBE}.spw2..iter3.image.pbcor.tt0.subim.fits",
        f"{CUBE}.spw2.UQ.iter3.image.pbcor.tt0.subim.fits",
        "spw2.IQU.iter3.image.pbcor.tt0.subim.fits",
        ".spw2.IQU.iter3.image.pbcor.tt0.subim.fits",
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


@pytest.mark.parametrize(
    "name",
    [
        "J1550+1120_split.ms",
        "VLASS1.1.sb34292888.eb34477127.58019.26435371528.ms",
        "my.target.ms",
        "3C286.ms",
        "x_split_split.ms",
    ],
)
def test_measurement_sets_of_users(name):
    working = naming.working_ms_name(name)
    assert working == f"{name[:-3]}_split.ms"
    assert fnmatch.fnmatchcase(f"{working}.flagversions", naming.resource_patterns(working, "x")["flag_dir"])


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
