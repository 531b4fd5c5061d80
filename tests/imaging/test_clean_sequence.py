"""The clean parameters against the table of production's tclean calls."""

import pytest

from vlasscube.clean_terms import clean_mask
from vlasscube.imaging.clean_sequence import (
    CleanParameters,
    iteration_sequence,
    tclean_arguments,
)
from vlasscube.records import DataSelection, ImageGeometry

GEOMETRY = ImageGeometry(12500, 12500, 0.6, "J2000 00:50:0.366 -02.30.0.0000")
SELECTION = DataSelection("5,6", "10", "0,1&", "346,349", "OBSERVE_TARGET#UNSPECIFIED", "<12km")


def masks(*texts):
    return tuple(map(clean_mask, texts))


PARAMETERS = CleanParameters(GEOMETRY, masks("tier1.mask", "tier2.mask", "pb"))

# Columns iter0 … iter3 as recorded in the HISTORY of released planes.
PRODUCTION = {
    "niter": [0, 20000, 20000, 20000],
    "threshold": ["0.0mJy", "0Jy", "0Jy", "0Jy"],
    "nsigma": [2.0, 3.0, 3.0, 4.5],
    "usemask": ["user", "user", "user", "pb"],
    "mask": ["", "tier1.mask", "tier2.mask", ""],
    "pbmask": [0.0, 0.0, 0.0, 0.4],
    "scales": [[], [0, 5, 12], [0, 5, 12], [0, 5, 12]],
    "cycleniter": [500, 500, 500, 100],
    "calcpsf": [True, False, False, False],
    "calcres": [True, False, False, False],
    "restoration": [False, True, True, True],
}
COMMON = {
    "field": ["5,6"],
    "spw": ["10"],
    "antenna": ["0,1&"],
    "scan": ["346,349"],
    "intent": "OBSERVE_TARGET#UNSPECIFIED",
    "uvrange": "<12km",
    "datacolumn": "corrected",
    "imsize": [12500, 12500],
    "cell": "0.6arcsec",
    "phasecenter": "J2000 00:50:0.366 -02.30.0.0000",
    "stokes": "IQUV",
    "projection": "SIN",
    "outframe": "LSRK",
    "veltype": "radio",
    "specmode": "mfs",
    "reffreq": "3.052GHz",
    "gridder": "mosaic",
    "mosweight": False,
    "conjbeams": False,
    "usepointing": False,
    "pblimit": 0.1,
    "normtype": "flatnoise",
    "deconvolver": "mtmfs",
    "nterms": 1,
    "smallscalebias": 0.4,
    "restoringbeam": "common",
    "pbcor": False,
    "weighting": "briggs",
    "robust": 1.0,
    "uvtaper": [""],
    "gain": 0.1,
    "cyclefactor": 3.0,
    "minpsffraction": 0.05,
    "maxpsffraction": 0.8,
    "psfcutoff": 0.5,
    "restart": True,
    "savemodel": "none",
    "parallel": False,
    "pointingoffsetsigdev": [300, 30],
    "perchanweightdensity": False,
    "wprojplanes": 1,
    "facets": 1,
    "aterm": True,
    "psterm": False,
    "wbawp": True,
    "cfcache": "",
    "rotatepastep": 5.0,
    "computepastep": 360.0,
    "noise": "1.0Jy",
    "npixels": 0,
    "interactive": False,
    "fullsummary": True,
    "fastnoise": True,
    "verbose": False,
}


def calls(parameters=PARAMETERS):
    return [
        tclean_arguments("a.ms", SELECTION, 3.052e9, f"x.iter{i.number}", parameters, i)
        for i in iteration_sequence(parameters)
    ]


@pytest.mark.parametrize("name", PRODUCTION)
def test_iterations_as_in_production(name):
    assert [call[name] for call in calls()] == PRODUCTION[name]


@pytest.mark.parametrize("name", COMMON)
def test_common_parameters_as_in_production(name):
    assert all(call[name] == COMMON[name] for call in calls())


def test_every_argument_is_in_one_of_the_tables():
    for number, call in enumerate(calls()):
        assert call.keys() == {*PRODUCTION, *COMMON, "vis", "imagename"}
        assert (call["vis"], call["imagename"]) == (["a.ms"], f"x.iter{number}")


def test_values_have_the_types_that_tclean_takes():
    """``True == 1``, but not for CASA."""
    for call in calls():
        assert all(type(call[name]) is type(value) for name, value in COMMON.items())
        assert all(type(call[name]) is type(values[1]) for name, values in PRODUCTION.items())


def test_nmajor_is_passed_only_if_given():
    assert not any("nmajor" in call for call in calls())
    limited = calls(CleanParameters(GEOMETRY, masks("tier1.mask", "pb"), nmajor=220))
    assert ["nmajor" in call for call in limited] == [False, True, True]


def test_iteration_number_is_the_position_in_the_mask_list():
    only_pb = calls(CleanParameters(GEOMETRY, masks("pb")))
    assert [(c["usemask"], c["nsigma"], c["cycleniter"]) for c in only_pb] == [
        ("user", 2.0, 500),
        ("pb", 3.0, 500),
    ]


def test_what_the_user_sets_takes_precedence():
    given = CleanParameters(
        GEOMETRY, masks("a", "b", "pb"), nsigma=6.0, cycleniter=50, cycleniter_pbmask=20, scales=(0,), niter=7
    )
    cleaned = calls(given)[1:]
    assert [c["nsigma"] for c in cleaned] == [6.0] * 3
    assert [c["cycleniter"] for c in cleaned] == [50, 50, 20]
    assert [c["scales"] for c in cleaned] == [[0]] * 3
    assert [c["niter"] for c in cleaned] == [7] * 3


@pytest.mark.parametrize(
    ("mask_list", "given", "expected"),
    [
        (("a", "b", "pb"), {"cycleniter": 50}, [50, 50, 100]),
        (("a", "b", "pb"), {"cycleniter_pbmask": 20}, [500, 500, 20]),
        (("a", "pb"), {"cycleniter": 50}, [50, 50]),
        (("a", "pb"), {"cycleniter": 50, "cycleniter_pbmask": 20}, [50, 20]),
        (("a", "b", "c", "pb"), {"cycleniter": 50}, [50, 50, 100, 100]),
        (("a", "b", "c"), {"cycleniter": 50, "cycleniter_pbmask": 20}, [50, 50, 100]),
    ],
)
def test_cycleniter_of_the_list_leaves_iter3_alone(mask_list, given, expected):
    """Production has 100 there whatever the list says, unless it is cycleniter_final_image_nomask."""
    cleaned = calls(CleanParameters(GEOMETRY, masks(*mask_list), **given))[1:]
    assert [c["cycleniter"] for c in cleaned] == expected
