"""The expected effect of w beside closed forms, published figures, and images of our own imager."""

from types import SimpleNamespace

import numpy as np
import pytest

from vlasscube.mosaic.imager import ImagerSettings, MosaicImager
from vlasscube.mosaic.noncoplanar import (
    displacements,
    noncoplanar_effect,
    plane_slopes,
    smeared_peaks,
    spectral_index_bias,
)
from vlasscube.mosaic.primary_beam import evla_power_beam
from vlasscube.mosaic.restoration import fit_beam
from vlasscube.records import Beam
from vlasscube.testing.observations import ARCSEC, image_grid, observe

ARCMIN = 60 * ARCSEC


# ---------------------------------------------------------------------------------------------- closed forms


def test_slopes_are_those_of_the_planes():
    rng = np.random.default_rng(1)
    pointing = np.repeat(np.arange(4, dtype=np.int32), 50)
    u, v = rng.normal(size=(2, 200))
    weight = rng.uniform(0.5, 2, 200)
    slopes = np.array([[1.5, -0.3], [0.0, 2.0], [-4.0, 0.1], [0.2, 0.2]])
    w = np.einsum("ni,in->n", slopes[pointing], np.stack([u, v]))
    # Weights of zero take no part; without weight there is no plane, nor of baselines on a line.
    w[0], weight[0] = 1e9, 0
    weight[pointing == 2] = 0
    v[pointing == 3] = 2 * u[pointing == 3]
    found = plane_slopes(u, v, w, weight, pointing, 5)
    np.testing.assert_allclose(found, [*slopes[:2], [0, 0], [0, 0], [0, 0]], atol=1e-12)


def test_one_pointing_displaces_and_does_not_smear():
    offset = np.array([[[0.003, -0.004]]])
    slopes = np.array([[0.8, -0.6]]) * np.tan(np.radians(60))
    displacement = displacements(offset, slopes)
    fraction, shift = smeared_peaks(displacement, np.array([[0.3]]), Beam(4, 3, 20))
    assert fraction[0] == pytest.approx(1)
    np.testing.assert_allclose(shift, displacement[0])
    # Against the slope by tan z r²/2: baselines that rise towards the zenith are farther from the source.
    np.testing.assert_allclose(shift[0], -slopes[0] * 0.005**2 / 2, rtol=1e-4)


@pytest.mark.parametrize(("bpa", "along"), [(0.0, (0, 1)), (90.0, (1, 0)), (30.0, (0.5, np.sqrt(0.75)))])
def test_two_equal_pointings_meet_half_way(bpa, along):
    # Half the full width apart along the major axis: each has fallen to the fourth root of a half.
    displacement = np.array([[[0.0, 0.0], 2.0 * ARCSEC * np.array(along)]])
    fraction, shift = smeared_peaks(displacement, np.ones((1, 2)), Beam(4, 2, bpa))
    assert fraction[0] == pytest.approx(0.5**0.25)
    np.testing.assert_allclose(shift[0], ARCSEC * np.array(along), atol=1e-12)
    # Across, with half the width, it is the fourth power.
    across = np.array([along[1], -along[0]])
    fraction, _ = smeared_peaks(
        displacement * 0 + [[0, 0], 2.0 * ARCSEC * across], np.ones((1, 2)), Beam(4, 2, bpa)
    )
    assert fraction[0] == pytest.approx(0.5)


def test_the_peak_is_the_maximum_of_the_sum():
    rng = np.random.default_rng(2)
    displacement, weight = rng.normal(0, ARCSEC, (3, 6, 2)), rng.uniform(0, 1, (3, 6))
    beam = Beam(4.0, 2.5, 35.0)
    fraction, shift = smeared_peaks(displacement, weight, beam)
    step = np.linspace(-2, 2, 161) * ARCSEC
    east, north = np.meshgrid(step, step)
    angle = np.radians(beam.bpa_deg)
    for place in range(3):
        image = np.zeros(east.shape)
        for (dl, dm), share in zip(displacement[place], weight[place] / weight[place].sum(), strict=True):
            along = (north - dm) * np.cos(angle) + (east - dl) * np.sin(angle)
            across = (north - dm) * np.sin(angle) - (east - dl) * np.cos(angle)
            image += share * np.exp(
                -4 * np.log(2) * ((along / (4.0 * ARCSEC)) ** 2 + (across / (2.5 * ARCSEC)) ** 2)
            )
        assert fraction[place] == pytest.approx(image.max(), abs=1e-4)
        at = np.unravel_index(image.argmax(), image.shape)
        np.testing.assert_allclose(shift[place], [east[at], north[at]], atol=0.03 * ARCSEC)


def test_where_nothing_has_a_weight_there_is_no_effect():
    displacement = np.zeros((4, 3, 2))
    assert noncoplanar_effect(displacement, np.zeros((4, 3)), Beam(3, 3, 0)) is None
    fraction, _ = smeared_peaks(displacement, np.zeros((4, 3)), Beam(3, 3, 0))
    assert fraction.tolist() == [1.0] * 4


def test_only_the_inner_part_counts():
    # The last place, at a primary beam of 0.3, is smeared most.
    displacement = np.zeros((3, 2, 2))
    displacement[1, 1] = displacement[2, 1] = [0.0, 2.0 * ARCSEC]
    displacement[2, 1] *= 3
    weight = np.array([[1.0, 1.0], [0.6, 0.6], [0.09, 0.09]])
    effect = noncoplanar_effect(displacement, weight, Beam(4, 4, 0))
    assert effect.worst_peak_fraction == pytest.approx(0.5**0.25)
    assert effect.peak_fraction == pytest.approx((1 + 0.5**0.25) / 2)
    assert (effect.shift_east_arcsec, effect.shift_north_arcsec) == pytest.approx((0.0, 0.5))
    assert effect.loss == pytest.approx(1 - effect.peak_fraction)


def test_bias_of_spectral_indices():
    frequency = np.linspace(2e9, 4e9, 9)
    assert spectral_index_bias(frequency, 0.93 * (frequency / 3e9) ** 0.11) == pytest.approx(0.11)
    assert spectral_index_bias([2e9], [0.9]) is None
    assert spectral_index_bias([2e9, 2e9], [0.9, 0.9]) is None
    assert spectral_index_bias([], []) is None
    assert spectral_index_bias([2e9, 3e9, 4e9], [0.9, 0.0, 0.9]) == pytest.approx(0.0)


# ------------------------------------------------------------------------------------------------------ VLASS


@pytest.mark.parametrize(
    ("zenith_deg", "low", "high"), [(37, 0.970, 0.990), (56, 0.904, 0.964), (74, 0.716, 0.852)]
)
def test_losses_of_vlass(zenith_deg, low, high):
    """Spectral windows 2 and 15, fields 2.98′ and rows 7.2′ apart; the high one where it is worst."""
    east, north = np.meshgrid(np.arange(-15, 16) * 2.98 * ARCMIN, np.arange(-6, 7) * 7.2 * ARCMIN)
    centres = np.stack([east.ravel(), north.ravel()], axis=-1)
    east, north = np.meshgrid(np.linspace(-7, 7, 9) * ARCMIN, np.linspace(-3.6, 3.6, 7) * ARCMIN)
    offset = np.stack([east.ravel(), north.ravel()], axis=-1)[:, None] - centres
    arcmin = np.hypot(offset[..., 0], offset[..., 1]) / ARCMIN
    slopes = np.tile([0.0, np.tan(np.radians(zenith_deg))], (len(centres), 1))
    found = SimpleNamespace()
    for name, frequency, fwhm in (("low", 2.028e9, 3.9), ("high", 3.692e9, 2.3)):
        weight = evla_power_beam(arcmin, frequency, 3e9) ** 2
        effect = noncoplanar_effect(displacements(offset, slopes), weight, Beam(fwhm, fwhm, 0))
        setattr(found, name, effect)
        # VLASS memo 14, equation 9, which is the same to a few per cent, but at 74°.
        shift = 0.25 * np.tan(np.radians(zenith_deg)) * (3e9 / frequency) ** 2
        assert effect.shift_north_arcsec == pytest.approx(-shift, rel=0.1 if zenith_deg < 70 else 0.3)
        assert effect.shift_east_arcsec == pytest.approx(0, abs=1e-3 * shift)
    print(zenith_deg, found)
    assert found.low.peak_fraction == pytest.approx(low, abs=0.05 * (1 - low) + 0.005)
    assert found.high.worst_peak_fraction == pytest.approx(high, abs=0.05 * (1 - high) + 0.005)


# ----------------------------------------------------------------------------------------------------- images


def peak(values):
    """Height and place (x, y) of the peak by a paraboloid through the logarithm of the pixels around it."""
    y, x = np.unravel_index(values.argmax(), values.shape)
    dy, dx = (axis.ravel() for axis in np.mgrid[-1:2, -1:2])
    terms = np.stack([np.ones(9), dx, dy, dx**2, dy**2, dx * dy], axis=1)
    c = np.linalg.lstsq(terms, np.log(values[y - 1 : y + 2, x - 1 : x + 2].ravel()), rcond=None)[0]
    off = -np.linalg.solve([[2 * c[3], c[5]], [c[5], 2 * c[4]]], c[1:3])
    return np.exp(c[0] + c[1:3] @ off / 2), np.array([x, y]) + off


@pytest.mark.parametrize("gridding", ["casa", "exact"])
@pytest.mark.parametrize("tilt", [(14.0, 5.0), (-6.0, 18.0)])
def test_images_show_what_is_expected(gridding, tilt):
    """Far pointings of a steep array: displacements of a third of the beam."""
    grid = image_grid(300, 280, 6.0)
    # One of the places looked at: every 15th column and 14th row, by columns.
    source, place_of_source = (172, 119), 11 * 20 + 8
    pointings = ((-6.0, -5.0), (5.0, -6.0), (1.0, 6.0), (-2.0, -1.0))
    common = dict(pointings=pointings, channels=2, antennas=25, size_m=500.0, dumps=1, seed=4)
    tilted, flat = (
        observe(grid, [(*source, (1.0, 0, 0, 0))], tilt=tilt, **common) for tilt in (tilt, (0.0, 0.0))
    )
    images = []
    for visibilities in (tilted, flat):
        imager = MosaicImager(grid, visibilities, ImagerSettings(robust=2.0, gridding=gridding))
        weight_image = imager.weight_image()
        residual = np.empty((4, *grid.shape), dtype=np.float32)
        imager.residual(None, weight_image, residual)
        images.append((imager, residual[0]))
    imager = images[0][0]
    beam = fit_beam(imager.psf(), 6.0)
    around = slice(source[1] - 5, source[1] + 6), slice(source[0] - 5, source[0] + 6)
    (height, place), (full, nominal) = (peak(entry[1][around]) for entry in images)
    # Pixels run to the west.
    moved = (place - nominal) * [-6.0, 6.0]
    places, weight = imager.source_displacements()
    fractions, shifts = smeared_peaks(places, weight, beam)
    expected_shift = np.degrees(shifts[place_of_source]) * 3600
    print(
        gridding,
        tilt,
        beam,
        "loss",
        1 - height / full,
        1 - fractions[place_of_source],
        "shift",
        moved,
        expected_shift,
    )
    assert 1 - height / full > 0.02
    assert 1 - fractions[place_of_source] == pytest.approx(1 - height / full, rel=1 / 3)
    np.testing.assert_allclose(moved, expected_shift, atol=0.1 * np.hypot(*expected_shift))


def test_with_w_correction_nothing_is_displaced():
    grid = image_grid()
    visibilities = observe(grid, size_m=250.0, tilt=(3.0, 1.0))
    for w_correction in (False, True):
        imager = MosaicImager(grid, visibilities, ImagerSettings(gridding="exact", w_correction=w_correction))
        displacement, weight = imager.source_displacements()
        effect = noncoplanar_effect(displacement, weight, Beam(60, 60, 0))
        assert displacement.any() != w_correction
        assert (effect.peak_fraction == 1 and effect.shift_arcsec == 0) == w_correction
