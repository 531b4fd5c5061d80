"""Oracles: closed forms, radio-beam, brute-force search, released VLASS beams."""

from __future__ import annotations

import math
import random

import astropy.units as u
import numpy as np
import pytest
import radio_beam
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from vlasscube.errors import ProductError
from vlasscube.images.beams import (
    GaussianKernel,
    beam_area_pixels,
    beam_area_sr,
    beam_matrix,
    classify_kernel,
    common_beam,
    convolve_beams,
    deconvolve_beam,
    reject_by_beam,
)
from vlasscube.records import Beam

# Native beams of two released tiles, by spectral window.
SPWS = (2, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15)
T10T02 = [
    Beam(4.26222, 3.35171, -10.3953),
    Beam(3.58117, 2.70124, -7.65317),
    Beam(3.51545, 2.82937, -13.086),
    Beam(3.36185, 2.72055, -14.7473),
    Beam(3.1951, 2.55396, -12.5323),
    Beam(3.09361, 2.49309, -11.3227),
    Beam(2.81576, 2.10381, 2.36914),
    Beam(2.71086, 2.04333, 2.90985),
    Beam(2.57628, 1.93113, 3.47601),
    Beam(2.37545, 1.71905, 4.45382),
    Beam(2.28087, 1.54986, 2.97507),
    Beam(2.24657, 1.51079, 3.65619),
]
T10T29 = [
    Beam(4.19151, 3.34743, -13.095),
    Beam(3.49607, 2.71492, -11.7542),
    Beam(3.44406, 2.83203, -19.2405),
    Beam(3.29007, 2.71338, -20.4925),
    Beam(3.10983, 2.55255, -16.7246),
    Beam(2.99607, 2.49224, -15.5825),
    Beam(2.73068, 2.14711, 0.611893),
    Beam(2.617, 2.08287, 1.23407),
    Beam(2.5195, 1.99865, 2.18988),
    Beam(2.32175, 1.76287, 4.03119),
    Beam(2.23839, 1.60971, 2.43796),
    Beam(2.17431, 1.58399, 3.33965),
]
FREQUENCIES = [2.028e9 + 0.128e9 * (spw - 2) for spw in SPWS]


@st.composite
def beams(draw, low=0.5, high=10.0):
    bmaj = draw(st.floats(low, high))
    ratio = draw(st.floats(0.1, 1.0))
    return Beam(bmaj, bmaj * ratio, draw(st.floats(-180.0, 180.0)))


def to_radio_beam(beam):
    return radio_beam.Beam(beam.bmaj_arcsec * u.arcsec, beam.bmin_arcsec * u.arcsec, beam.bpa_deg * u.deg)


def same_ellipse(first, second, tolerance=1e-9):
    a, b = beam_matrix(first), beam_matrix(second)
    return np.abs(a - b).max() <= tolerance * np.abs(b).max()


# ------------------------------------------------------------------------------------------------ algebra


@given(beams(), beams())
def test_convolution_agrees_with_radio_beam(a, b):
    expected = to_radio_beam(a).convolve(to_radio_beam(b))
    ours = convolve_beams(a, b)
    assert ours.bmaj_arcsec == pytest.approx(expected.major.to_value(u.arcsec), rel=1e-6)
    assert ours.bmin_arcsec == pytest.approx(expected.minor.to_value(u.arcsec), rel=1e-6)
    assert -90.0 < ours.bpa_deg <= 90.0


@given(beams(), beams(), beams())
def test_convolution_commutes_and_associates(a, b, c):
    assert same_ellipse(convolve_beams(a, b), convolve_beams(b, a))
    assert same_ellipse(convolve_beams(convolve_beams(a, b), c), convolve_beams(a, convolve_beams(b, c)))


@given(beams(), beams())
def test_deconvolution_inverts_convolution(a, b):
    kernel = deconvolve_beam(convolve_beams(a, b), a)
    assert kernel is not None
    assert same_ellipse(convolve_beams(a, kernel), convolve_beams(a, b))
    assert np.abs(beam_matrix(kernel) - beam_matrix(b)).max() < 1e-9 * (a.bmaj_arcsec + b.bmaj_arcsec) ** 2


@given(beams(), beams())
def test_deconvolution_is_possible_exactly_where_radio_beam_says(target, beam):
    smallest = np.linalg.eigvalsh(beam_matrix(target) - beam_matrix(beam))[0]
    assume(abs(smallest) > 1e-6)
    try:
        to_radio_beam(target).deconvolve(to_radio_beam(beam))
        possible = True
    except radio_beam.utils.BeamError:
        possible = False
    assert (deconvolve_beam(target, beam) is not None) == possible


@given(beams())
def test_deconvolution_of_itself_is_a_point(beam):
    kernel = deconvolve_beam(beam, Beam(beam.bmaj_arcsec, beam.bmin_arcsec, beam.bpa_deg + 180.0))
    assert kernel is not None
    assert kernel.is_point


def test_one_dimensional_kernel():
    kernel = deconvolve_beam(Beam(5.0, 2.0, 90.0), Beam(4.0, 2.0, 90.0))
    assert kernel is not None
    assert (kernel.bmaj_arcsec, kernel.bpa_deg) == (pytest.approx(3.0), pytest.approx(90.0))
    assert kernel.bmin_arcsec == pytest.approx(0.0, abs=1e-5)


@given(beams())
def test_area_is_the_sum_of_the_gaussian(beam):
    assert beam_area_sr(beam) == pytest.approx(to_radio_beam(beam).sr.value, rel=1e-9)
    north, east = np.mgrid[-30:30:241j, -30:30:241j]
    shape = np.linalg.inv(beam_matrix(beam))
    quadratic = shape[0, 0] * north**2 + 2 * shape[0, 1] * north * east + shape[1, 1] * east**2
    total = np.exp(-4 * math.log(2) * quadratic).sum()
    if beam.bmin_arcsec > 0.6:
        assert beam_area_pixels(beam, 0.25) == pytest.approx(total, rel=1e-6)


# ------------------------------------------------------------------------------------- kernel prediction


def test_kernel_prediction_vectors():
    beam = Beam(1.3, 1.2, 50.0)
    assert classify_kernel(beam, Beam(1.3, 1.2, 20.0), 0.01).code == 2
    assert classify_kernel(beam, beam, 0.01).code == 1
    prediction = classify_kernel(Beam(1.0, 1.0, 50.0), Beam(1.3, 1.2, 20.0), 0.01)
    assert prediction.code == 0
    assert prediction.kernel is not None
    assert prediction.kernel.bmaj_arcsec == pytest.approx(0.8306623862918077, abs=1e-12)
    assert prediction.kernel.bmin_arcsec == pytest.approx(0.6633249580710798, abs=1e-12)
    assert prediction.kernel.bpa_deg == pytest.approx(20.0, abs=1e-9)


@pytest.mark.parametrize(
    ("beam", "target", "code"),
    [
        (Beam(3.0, 2.0, 179.9999), Beam(3.0, 2.0, -0.0001), 1),  # position angle wraps
        (Beam(3.0, 2.0, 0.0), Beam(2.9, 1.9, 0.0), 1),  # slightly too large, but alike
        (Beam(3.0, 2.0, 0.0), Beam(2.8, 1.9, 0.0), 2),
        (Beam(3.0, 2.0, 0.0), Beam(3.0, 2.0, 0.002), 2),  # a turn cannot be undone
        (Beam(3.0, 2.9, 0.0), Beam(3.002, 2.903, 0.5), 1),  # kernel below tolerance
        (Beam(3.0, 2.0, 0.0), Beam(4.0, 3.0, 0.0), 0),
    ],
)
def test_kernel_codes(beam, target, code):
    assert classify_kernel(beam, target, 0.1697).code == code


# ------------------------------------------------------------------------------------------- common beam


@pytest.mark.parametrize(
    ("native", "published"),
    [(T10T02, (4.26226, 3.35175, -10.3953)), (T10T29, (4.19156, 3.34747, -13.095))],
)
def test_common_beam_of_released_tiles(native, published):
    for order in (native, native[::-1]):
        common = common_beam(order)
        assert common.bmaj_arcsec == pytest.approx(published[0], abs=1e-4)
        assert common.bmin_arcsec == pytest.approx(published[1], abs=1e-4)
        assert common.bpa_deg == pytest.approx(published[2], abs=1e-4)
        assert common.bmaj_arcsec == native[0].bmaj_arcsec * 1.00001


def smallest_area_by_search(given_beams):
    """Over all shapes, the scale is fixed by the beam that sticks out most; minimise the area."""
    matrices = np.array([beam_matrix(beam) for beam in given_beams])

    def area(parameters):
        stretch, angle = parameters
        c, s = math.cos(angle), math.sin(angle)
        rotation = np.array([[c, -s], [s, c]])
        shape = rotation @ np.diag([math.exp(stretch), math.exp(-stretch)]) @ rotation.T
        root = np.linalg.inv(np.linalg.cholesky(shape))
        return float(np.linalg.eigvalsh(root @ matrices @ root.T)[:, 1].max())

    grid = [(s, a) for s in np.linspace(0, 2.4, 9) for a in np.linspace(0, math.pi, 13)]
    starts = sorted(grid, key=area)[:2]
    options = {"xatol": 1e-7, "fatol": 1e-9, "maxiter": 400}
    return min(minimize(area, start, method="Nelder-Mead", options=options).fun for start in starts)


@settings(max_examples=15, deadline=None)
@given(st.lists(beams(), min_size=1, max_size=6))
def test_common_beam_contains_all_and_is_smallest(given_beams):
    common = common_beam(given_beams, margin=1.0)
    assert all(deconvolve_beam(common, beam) is not None for beam in given_beams)
    best = smallest_area_by_search(given_beams)
    assert common.bmaj_arcsec * common.bmin_arcsec <= best * (1 + 1e-6)


@settings(deadline=None)
@given(st.lists(beams(), min_size=2, max_size=8), st.randoms(use_true_random=False))
def test_common_beam_does_not_depend_on_order(given_beams, rng: random.Random):
    shuffled = list(given_beams)
    rng.shuffle(shuffled)
    assert common_beam(shuffled) == common_beam(given_beams)


def test_common_beam_of_all_but_aligned_beams():
    """Three points of their outlines all but coincide: the ellipse through them overflows."""
    given_beams = [Beam(3.0, 1.5, 3.5e-193), Beam(4.0, 1.0, 0.0)]
    common = common_beam(given_beams, margin=1.0)
    assert (common.bmaj_arcsec, common.bmin_arcsec) == pytest.approx((4.0, 1.5))
    assert common == common_beam(given_beams[::-1], margin=1.0)


@settings(deadline=None)
@given(st.lists(beams(), min_size=1, max_size=5), beams(), st.floats(0.01, 100.0))
def test_common_beam_algebra(given_beams, extra, factor):
    common = common_beam(given_beams, margin=1.0)
    area = common.bmaj_arcsec * common.bmin_arcsec
    larger = common_beam([*given_beams, extra], margin=1.0)
    assert larger.bmaj_arcsec * larger.bmin_arcsec >= area * (1 - 1e-9)
    again = common_beam([*given_beams, common], margin=1.0)
    assert again.bmaj_arcsec * again.bmin_arcsec == pytest.approx(area, rel=1e-9)
    scaled = common_beam(
        [Beam(b.bmaj_arcsec * factor, b.bmin_arcsec * factor, b.bpa_deg) for b in given_beams], 1.0
    )
    assert scaled.bmaj_arcsec * scaled.bmin_arcsec == pytest.approx(area * factor**2, rel=1e-8)


@pytest.mark.slow
def test_common_beam_never_larger_than_radio_beam():
    rng = np.random.default_rng(4)
    for _ in range(5):
        bmaj = rng.uniform(2, 4.5, 16)
        given_beams = [
            Beam(a, a * r, p)
            for a, r, p in zip(bmaj, rng.uniform(0.6, 1, 16), rng.normal(0, 30, 16), strict=True)
        ]
        collection = radio_beam.Beams(
            [b.bmaj_arcsec for b in given_beams] * u.arcsec,
            [b.bmin_arcsec for b in given_beams] * u.arcsec,
            [b.bpa_deg for b in given_beams] * u.deg,
        )
        theirs = collection.common_beam()
        ours = common_beam(given_beams, margin=1.0)
        area = (theirs.major * theirs.minor).to_value(u.arcsec**2)
        assert area * 0.97 < ours.bmaj_arcsec * ours.bmin_arcsec <= area * (1 + 1e-9)


def test_special_sets():
    circle = Beam(3.0, 3.0, 0.0)
    assert same_ellipse(common_beam([circle, Beam(3.0, 3.0, 77.0)], 1.0), circle)
    nested = [Beam(3.0, 2.0, 10.0), Beam(2.0, 1.0, 10.0), Beam(1.0, 0.5, 100.0)]
    assert common_beam(nested, 1.0) == nested[0]
    assert common_beam([T10T02[3]], 1.0) == T10T02[3]
    assert same_ellipse(common_beam([circle, Beam(1e-6, 1e-7, 3.0)], 1.0), circle)
    # Perpendicular ellipses: radio-beam's two-beam solution gives a circle of 5 arcsec here.
    assert same_ellipse(common_beam([Beam(4.0, 3.9, 0.0), Beam(5.0, 1.0, 90.0)], 1.0), Beam(5.0, 4.0, 90.0))
    assert same_ellipse(common_beam([Beam(4.0, 1.0, 0.0), Beam(4.0, 1.0, 90.0)], 1.0), Beam(4.0, 4.0, 0.0))
    # Three equal ellipses at 120°: by symmetry a circle, held by three points.
    star = [Beam(4.0, 1.0, angle) for angle in (0.0, 60.0, 120.0)]
    assert same_ellipse(common_beam(star, 1.0), Beam(4.0, 4.0, 0.0))
    outlier = [*T10T02, Beam(20.0, 2.0, 60.0)]
    assert all(deconvolve_beam(common_beam(outlier), beam) is not None for beam in outlier)


def test_margin_scales_both_axes_and_leaves_the_angle():
    common = common_beam(T10T29, margin=1.01)
    assert common.bmin_arcsec == pytest.approx(3.34743 * 1.01)
    assert common.bpa_deg == T10T29[0].bpa_deg


def test_unusable_beams():
    with pytest.raises(ProductError, match="at least one beam"):
        common_beam([])
    for bad in ((math.nan, 1.0, 0.0), (1.0, 0.0, 0.0), (1.0, 2.0, 0.0)):
        with pytest.raises(ValueError, match="beam needs"):
            Beam(*bad)
    assert GaussianKernel(0.0, 0.0, 0.0).is_point


# ---------------------------------------------------------------------------------------- plane rejection


def test_rule_keeps_all_planes_of_a_released_tile():
    verdicts = reject_by_beam(T10T02, FREQUENCIES, [0.1] * 12)
    assert [spw for spw, verdict in zip(SPWS, verdicts, strict=True) if verdict.reference] == [5]
    assert all(verdict.keep and not verdict.reason for verdict in verdicts)
    major = [verdict.bmaj_ratio for verdict in verdicts]
    minor = [verdict.bmin_ratio for verdict in verdicts]
    assert (round(min(major), 2), round(max(major), 2)) == (0.94, 1.05)
    assert (round(min(minor), 2), round(max(minor), 2)) == (0.85, 1.12)


def scaled_beams(ratio_major=1.0, ratio_minor=1.0):
    """Five planes that scale with 1/ν but for the last."""
    frequencies = [2e9, 2.5e9, 3e9, 3.5e9, 4e9]
    sizes = [Beam(6e9 / f, 4e9 / f, 0.0) for f in frequencies]
    sizes[-1] = Beam(6e9 / 4e9 * ratio_major, 4e9 / 4e9 * ratio_minor, 0.0)
    return sizes, frequencies


@pytest.mark.parametrize(
    ("major", "minor", "flagged", "keep"),
    [
        (1.0, 1.0, 0.1, True),
        (1.199, 1.0, 0.1, True),
        (1.2, 1.0, 0.1, False),  # reaching the threshold rejects
        (0.8, 1.0, 0.1, False),
        (0.801, 1.0, 0.1, True),
        (1.0, 1.2, 0.1, False),
        (1.0, 0.8, 0.1, False),
        (1.0, 1.199, 0.1, True),
        (1.0, 1.0, 0.8, False),
        (1.0, 1.0, 0.7999, True),
        (1.0, 1.0, None, False),
        (1.0, 1.0, math.nan, False),
    ],
)
def test_thresholds(major, minor, flagged, keep):
    sizes, frequencies = scaled_beams(major, minor)
    verdict = reject_by_beam(sizes, frequencies, [0.1] * 4 + [flagged])[-1]
    assert verdict.keep is keep
    assert bool(verdict.reason) is not keep
    for exception in ({"apply": False}, {"excluded": [False] * 4 + [True]}):
        verdict = reject_by_beam(sizes, frequencies, [0.1] * 4 + [flagged], **exception)[-1]
        assert verdict.keep
        assert bool(verdict.reason) is not keep


def test_planes_without_a_beam():
    sizes, frequencies = scaled_beams()
    verdicts = reject_by_beam([None, *sizes[1:]], frequencies, [0.0] * 5, apply=False)
    assert [verdict.keep for verdict in verdicts] == [False, True, True, True, True]
    assert reject_by_beam([None], [2e9], [None])[0].reason == "no image"
    assert reject_by_beam([], [], []) == ()
    with pytest.raises(ProductError, match="differ in number"):
        reject_by_beam(sizes, frequencies[1:], [0.0] * 5)
