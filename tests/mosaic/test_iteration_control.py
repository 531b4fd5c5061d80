"""Thresholds and stop codes."""

import dataclasses

import numpy as np
import pytest

from vlasscube import _kernels
from vlasscube.clean_terms import StopCode
from vlasscube.mosaic.beam_model import beam_reach, gaussian, psf_sidelobe
from vlasscube.mosaic.iteration_control import (
    CleanControl,
    IterationControl,
    ResidualLevels,
    common_stop_code,
)
from vlasscube.records import Beam

CONTROL = CleanControl(niter=1000, nsigma=3.0, cycleniter=100, threshold_jy=1e-6)


def levels(peak, unmasked=None, noise=(1e-4,)):
    return ResidualLevels(peak, peak if unmasked is None else unmasked, noise)


def control_after(first, *, iterations=10, **changes):
    """Iteration control that saw a first residual, a minor and a major cycle."""
    iteration = IterationControl(dataclasses.replace(CONTROL, **changes), 0.2)
    assert iteration.stop_code(first, mask_is_empty=False) == 0
    iteration.iterations_done += iterations
    iteration.major_cycles += 1
    return iteration


@pytest.mark.parametrize(
    ("sidelobe", "fraction"),
    [(0.2, 0.6), (0.01, 0.05), (0.5, 0.8), (0.0, 0.05)],
)
def test_cycle_threshold_follows_the_sidelobes_within_limits(sidelobe, fraction):
    limits = IterationControl(CONTROL, sidelobe).minor_cycle(levels(2.0))
    assert limits.cycle_threshold_jy == pytest.approx(2.0 * fraction)
    assert limits.noise_threshold_jy == pytest.approx(3e-4)
    assert limits.threshold_jy == limits.cycle_threshold_jy


def test_cycle_threshold_is_not_below_the_threshold():
    control = dataclasses.replace(CONTROL, threshold_jy=0.5)
    assert IterationControl(control, 0.1).minor_cycle(levels(1.0)).cycle_threshold_jy == 0.5


def test_noise_threshold_of_all_planes_is_that_of_stokes_i_and_the_end_that_of_the_noisiest():
    residual = levels(1.0, noise=(0.01, 0.5, 0.02, 0.03))
    iteration = IterationControl(CONTROL, 0.01)
    assert iteration.minor_cycle(residual).noise_threshold_jy == pytest.approx(0.03)
    assert iteration.minor_cycle(residual).cycle_threshold_jy == pytest.approx(0.05)
    assert iteration.stop_code(residual, mask_is_empty=False) == 8


@pytest.mark.parametrize(
    ("codes", "code"),
    [
        ((8, 8, 8, 8), 8),
        ((8, 0, 8, 8), 0),
        ((8, 2, 2, 2), 8),
        ((2, 2), 2),
        ((7, 2), 2),
        ((7, 7), 7),
        ((8, 4), 4),
        ((0, 4), 0),
        ((8, 9), 9),
        ((8, 1), 1),
        ((0, 5), 5),
        ((0, 6), 6),
        ((0,), 0),
    ],
)
def test_the_common_code_of_planes(codes, code):
    assert common_stop_code([StopCode(entry) for entry in codes]) == code


def test_every_code_that_a_clean_can_stop_with_has_its_place():
    for code in set(StopCode) - {StopCode.UNKNOWN, StopCode.FORCED}:
        assert common_stop_code([code]) is code


def test_cycle_iterations_end_at_the_iteration_limit():
    iteration = IterationControl(CONTROL, 0.1)
    assert iteration.minor_cycle(levels(1.0)).max_iterations == 100
    iteration.iterations_done = 950
    assert iteration.minor_cycle(levels(1.0)).max_iterations == 50


@pytest.mark.parametrize(
    ("peak", "changes", "code"),
    [
        (1.0, {}, 0),
        (0.9e-6, {"nsigma": 0.0}, 2),
        (1.009e-6, {"nsigma": 0.0}, 2),
        (1.011e-6, {"nsigma": 0.0}, 0),
        (2.9e-4, {}, 8),
        (3.02e-4, {}, 8),
        (3.04e-4, {}, 0),
        (3.04e-4, {"nsigma": 0.0}, 0),
        (0.0, {"threshold_jy": 0.0}, 2),
        (2.9e-4, {"threshold_jy": 2.9e-4}, 2),
        (1.0, {"nmajor": 0}, 9),
        (1.0, {"niter": 0}, 1),
    ],
)
def test_first_residual(peak, changes, code):
    iteration = IterationControl(dataclasses.replace(CONTROL, **changes), 0.1)
    assert iteration.stop_code(levels(peak), mask_is_empty=False) == code


def test_empty_mask_comes_before_all_else():
    assert IterationControl(CONTROL, 0.1).stop_code(levels(0.0), mask_is_empty=True) == 7


def test_threshold_comes_before_the_iteration_limit():
    assert control_after(levels(1.0), niter=10).stop_code(levels(0.5), mask_is_empty=False) == 1
    assert control_after(levels(1.0), niter=10).stop_code(levels(2e-4), mask_is_empty=False) == 8


@pytest.mark.parametrize(
    ("peak", "unmasked", "code"),
    [
        (1.0, 2.0, 4),
        (0.5, 2.0, 0),
        (0.5, 7.9, 0),
        (0.5, 8.1, 5),
        (0.5, np.inf, 5),
    ],
)
def test_second_residual(peak, unmasked, code):
    iteration = control_after(levels(1.0, 2.0))
    assert iteration.stop_code(levels(peak, unmasked), mask_is_empty=False) == code


@pytest.mark.parametrize(
    ("change", "code"), [(0.0, 4), (0.9e-10, 4), (-0.9e-10, 4), (1.1e-10, 0), (-1.1e-10, 0), (1e-6, 0)]
)
def test_a_peak_is_unchanged_within_a_tenth_of_a_nanojansky(change, code):
    """As in tclean, whatever the size of the peak and whichever way it goes."""
    for peak in (1.0, 1e-3):
        iteration = control_after(levels(peak))
        assert iteration.stop_code(levels(peak + change), mask_is_empty=False) == code


def test_an_unchanged_peak_within_the_mask_comes_before_divergence_beyond_it():
    assert control_after(levels(1.0, 2.0)).stop_code(levels(1.0, 9.0), mask_is_empty=False) == 4


def test_a_peak_is_compared_with_the_one_just_before():
    iteration = control_after(levels(1.0))
    for peak, code in ((0.5, 0), (1.0, 0), (0.5, 0), (0.5, 4)):
        assert iteration.stop_code(levels(peak), mask_is_empty=False) == code
        iteration.major_cycles += 1


def test_an_unchanged_peak_counts_only_once_something_was_cleaned():
    iteration = control_after(levels(1.0), iterations=0)
    assert iteration.stop_code(levels(1.0), mask_is_empty=False) == 0


def test_slow_divergence_is_measured_from_the_lowest_peak():
    iteration = control_after(levels(1.0))
    for peak, code in ((0.5, 0), (1.2, 0), (1.9, 0), (2.1, 6)):
        assert iteration.stop_code(levels(peak), mask_is_empty=False) == code
        iteration.major_cycles += 1


def test_no_change_does_not_count_without_a_major_cycle():
    iteration = control_after(levels(1.0))
    assert iteration.stop_code(levels(0.7), mask_is_empty=False) == 0
    assert iteration.stop_code(levels(0.7), mask_is_empty=False) == 0


def test_major_cycle_limit_is_the_last_to_be_looked_at():
    assert control_after(levels(1.0), nmajor=1).stop_code(levels(0.5), mask_is_empty=False) == 9
    assert control_after(levels(1.0), nmajor=1).stop_code(levels(2e-4), mask_is_empty=False) == 8
    assert control_after(levels(1.0), nmajor=2).stop_code(levels(0.5), mask_is_empty=False) == 0


def axes(beam, cell_arcsec, size):
    y, x = np.ogrid[-(size // 2) : size - size // 2, -(size // 2) : size - size // 2]
    return gaussian(y, x, beam, cell_arcsec)


def test_gaussian_has_its_widths_and_its_angle():
    beam = Beam(24.0, 12.0, 30.0)
    image = axes(beam, 1.0, 129)
    assert image[64, 64] == 1.0
    north, west = 24 * np.cos(np.deg2rad(30)) / 2, -24 * np.sin(np.deg2rad(30)) / 2
    y, x = round(64 + north), round(64 + west)
    assert image[y, x] == pytest.approx(0.5, abs=0.05)
    assert image[128 - y, 128 - x] == pytest.approx(0.5, abs=0.05)
    assert image.sum() == pytest.approx(np.pi / (4 * np.log(2)) * 24 * 12, rel=1e-3)


@pytest.mark.parametrize("beam", [Beam(9.0, 4.0, 77.0), Beam(3.1, 3.1, 0.0), Beam(40.0, 2.0, -45.0)])
def test_reach_holds_the_gaussian(beam):
    image = axes(beam, 1.0, 301)
    rows, columns = np.nonzero(image)
    assert max(abs(rows - 150).max(), abs(columns - 150).max()) <= beam_reach(beam, 1.0)


def test_sidelobe_is_what_is_left_without_the_beam():
    beam = Beam(5.0, 4.0, 20.0)
    psf = axes(beam, 1.0, 65)[np.newaxis].copy()
    assert psf_sidelobe(psf, [beam], 1.0) == pytest.approx(0.0, abs=1e-6)
    psf[0, 50, 3] = 0.3
    assert psf_sidelobe(psf, [beam], 1.0) == pytest.approx(0.3)
    psf[0, 32, 20] = -0.4
    assert psf_sidelobe(psf, [beam], 1.0) == pytest.approx(0.4)
    psf[0, 33, 34] += 0.5
    assert psf_sidelobe(psf, [beam], 1.0) == pytest.approx(0.5)


@pytest.mark.parametrize("size", [1, 2, 3, 8])
def test_sidelobe_of_tiny_images(size):
    psf = np.zeros((2, size, size), np.float32)
    psf[:, size // 2, size // 2] = 1.0
    assert psf_sidelobe(psf, [Beam(4.0, 4.0, 0.0)] * 2, 1.0) <= 1.0


def statistics(values, use=None, threads=2):
    use = np.ones(values.shape, np.uint8) if use is None else use.astype(np.uint8)
    return _kernels.robust_statistics(values.astype(np.float32), use, threads)


def normal(rng):
    return rng.normal(size=(301, 400))


@pytest.mark.parametrize(
    "values",
    [
        normal,
        lambda rng: np.sort(normal(rng), axis=None).reshape(301, 400),
        lambda rng: np.round(normal(rng)),
        lambda rng: np.where(rng.random((301, 400)) < 0.6, 0.0, normal(rng)),
        lambda rng: np.full((301, 400), -2.5),
        lambda rng: rng.standard_cauchy((301, 400)),
        lambda rng: np.where(normal(rng) > 2, np.nan, normal(rng)),
        lambda rng: rng.normal(size=(2, 3)),
        lambda rng: rng.normal(size=(1, 1)),
        lambda rng: np.tile(rng.normal(size=400), (301, 1)),
    ],
)
@pytest.mark.parametrize("threads", [1, 3])
def test_robust_statistics_are_exact(values, threads):
    image = values(np.random.default_rng(6)).astype(np.float32)
    use = np.random.default_rng(7).random(image.shape) < 0.9
    use.flat[0] = True
    count, median, mad = statistics(image, use, threads)
    chosen = image[use & np.isfinite(image)]
    assert count == chosen.size
    assert median == pytest.approx(np.median(chosen.astype(float)), abs=1e-12)
    assert mad == pytest.approx(np.median(np.abs(chosen - np.median(chosen.astype(float)))), rel=1e-6)


def test_robust_statistics_of_nothing():
    assert statistics(np.full((4, 5), np.nan)) == (0, 0.0, 0.0)
    assert statistics(np.ones((4, 5)), np.zeros((4, 5))) == (0, 0.0, 0.0)


def test_peaks():
    values = np.zeros((300, 200), np.float32)
    values[5, 6], values[7, 8], values[250, 9], values[11, 12] = -3.0, 2.0, np.nan, 9.0
    inside = np.ones(values.shape, np.uint8)
    inside[11, 12] = 0
    mask = np.zeros(values.shape, np.uint8)
    mask[7, 8] = mask[250, 9] = mask[11, 12] = 1
    assert _kernels.find_peaks(values, inside, mask, 2) == (values.size - 2, 3.0, 2.0)
    values[20, 20] = -np.inf
    assert _kernels.find_peaks(values, inside, mask, 2)[1] == np.inf
    assert _kernels.find_peaks(values, 0 * inside, mask, 2) == (0, 0.0, 0.0)
