"""Oracles: Gaussians by their formula on a fine grid, injected spectra, Monte Carlo."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vlasscube.constants import SPEED_OF_LIGHT_M_S
from vlasscube.polarization.point_source import (
    RANDOM_ANGLE_ERROR_DEG,
    beam_mean,
    box_pixels,
    fit_center,
    fit_point_source,
    mean_noise,
    point_source_stokes,
)
from vlasscube.polarization.records import RegionSpectrum, StokesMeasurement
from vlasscube.polarization.stokes import fit_power_law, measure_box
from vlasscube.records import STOKES, Beam

CELL = 0.6
RELEASED = {
    2: Beam(4.26222, 3.35171, -10.3953),
    5: Beam(3.58117, 2.70124, -7.65317),
    6: Beam(3.51545, 2.82937, -13.086),
    7: Beam(3.36185, 2.72055, -14.7473),
    8: Beam(3.1951, 2.55396, -12.5323),
    9: Beam(3.09361, 2.49309, -11.3227),
    10: Beam(2.81576, 2.10381, 2.36914),
    11: Beam(2.71086, 2.04333, 2.90985),
    12: Beam(2.57628, 1.93113, 3.47601),
    13: Beam(2.37545, 1.71905, 4.45382),
    14: Beam(2.28087, 1.54986, 2.97507),
    15: Beam(2.24657, 1.51079, 3.65619),
}
"""Beams of the released planes of J005000-023000, in pixels of 0.6″."""
FREQUENCIES = {spw: 2.028e9 + 0.128e9 * (spw - 2) for spw in RELEASED}
SIZE = 25


def gaussian(beam, x0, y0, size=SIZE):
    """A beam by its axes: along the major axis at bpa east of north, with x growing to the west."""
    y, x = np.mgrid[:size, :size]
    east, north = -(x - x0) * CELL, (y - y0) * CELL
    angle = math.radians(beam.bpa_deg)
    along = east * math.sin(angle) + north * math.cos(angle)
    across = east * math.cos(angle) - north * math.sin(angle)
    return 2.0 ** -((2 * along / beam.bmaj_arcsec) ** 2 + (2 * across / beam.bmin_arcsec) ** 2)


def measurement(means, label="spw2", frequency=2.028e9, rms=1e-4, **more):
    return StokesMeasurement(
        label, frequency, Beam(3.0, 2.0, 0.0), True, *means, rms, dict.fromkeys(STOKES, rms), **more
    )


# ---------------------------------------------------------------------------------------------- the beam


@pytest.mark.parametrize(("spw", "expected"), [(2, 0.91), (15, 0.67)])
def test_mean_of_released_beams(spw, expected):
    """The figures by which the means of point sources are known to be low."""
    pixels = box_pixels(np.zeros((5, 5)), 2, 2)
    assert beam_mean(RELEASED[spw], CELL, pixels, (2, 2)) == pytest.approx(expected, abs=0.005)


@given(
    st.floats(1.5, 6.0), st.floats(0.3, 1.0), st.floats(-90, 90), st.floats(-0.7, 0.7), st.floats(-0.7, 0.7)
)
def test_mean_of_a_beam_between_the_pixels(bmaj, ratio, bpa, dx, dy):
    beam = Beam(bmaj, bmaj * ratio, bpa)
    image = gaussian(beam, 12 + dx, 12 + dy)
    found = beam_mean(beam, CELL, box_pixels(image, 12, 12), (12 + dx, 12 + dy))
    assert found == pytest.approx(image[11:14, 11:14].mean(), rel=1e-9)


def test_only_pixels_with_a_value_count():
    beam = Beam(2.0, 1.5, 40.0)
    image = gaussian(beam, 0.3, 0.2)
    image[1, 1] = np.nan
    pixels = box_pixels(image, 0, 0)
    assert pixels.tolist() == [[0, 0], [1, 0], [0, 1]]
    mean = float(measure_box(image[np.newaxis], 0, 0)[0])
    assert beam_mean(beam, CELL, pixels, (0.3, 0.2)) == pytest.approx(mean, rel=1e-9)


def test_noise_of_a_mean_by_monte_carlo():
    """White noise under a kernel of FWHM b/√2 has the beam b as its correlation."""
    rng = np.random.default_rng(3)
    beam = Beam(2.4, 1.6, 25.0)
    scaled = Beam(beam.bmaj_arcsec / math.sqrt(2), beam.bmin_arcsec / math.sqrt(2), beam.bpa_deg)
    kernel = gaussian(scaled, 128, 128, 256)
    white = rng.normal(size=(40, 256, 256))
    noise = np.fft.irfft2(np.fft.rfft2(white) * np.fft.rfft2(kernel), s=white.shape[1:])
    means = sum(np.roll(noise, (dy, dx), (1, 2)) for dx in (-1, 0, 1) for dy in (-1, 0, 1)) / 9
    factor = mean_noise(beam, CELL, box_pixels(noise[0], 5, 5))
    assert means.std() / noise.std() == pytest.approx(factor, rel=0.01)


# -------------------------------------------------------------------------------------------- the centre


@given(st.sampled_from(sorted(RELEASED)), st.floats(-0.5, 0.5), st.floats(-0.5, 0.5))
def test_center_between_the_pixels(spw, dx, dy):
    beam = RELEASED[spw]
    found = fit_center(0.02 * gaussian(beam, 12 + dx, 12 + dy), 12, 12, beam, CELL, 1e-6)
    assert found == pytest.approx((12 + dx, 12 + dy), abs=1e-5)


def test_center_is_as_good_as_it_is_said_to_be():
    """Where it is fitted, it is nearer than the centre of the pixel is."""
    rng = np.random.default_rng(7)
    beam = RELEASED[2]
    kernel = gaussian(
        replace(beam, bmaj_arcsec=beam.bmaj_arcsec / 2**0.5, bmin_arcsec=beam.bmin_arcsec / 2**0.5), 12, 12
    )
    errors, centers = [], []
    for _ in range(300):
        x0, y0 = 12 + rng.uniform(-0.5, 0.5, 2)
        noise = np.fft.irfft2(
            np.fft.rfft2(rng.normal(size=(SIZE, SIZE))) * np.fft.rfft2(kernel), s=(SIZE, SIZE)
        )
        image = 15 * gaussian(beam, x0, y0) + noise / np.sqrt((kernel**2).sum())
        y, x = np.unravel_index(image.argmax(), image.shape)
        found = fit_center(image, int(x), int(y), beam, CELL, 1.0)
        if found is not None:
            errors.append((found[0] - x0, found[1] - y0))
            centers.append((x - x0, y - y0))
    assert len(errors) > 250
    assert np.std(errors) < np.std(centers)


def test_center_of_the_pixel_where_the_fit_tells_less():
    beam = RELEASED[2]
    image = gaussian(beam, 12.3, 11.8)
    assert fit_center(image, 12, 12, beam, CELL, 1 / 8) is None
    assert fit_center(image, 12, 12, beam, CELL, 1 / 14) is not None
    assert fit_center(image, 1, 12, beam, CELL, 1e-3) is None
    assert fit_center(-image, 12, 12, beam, CELL, 1e-3) is None
    assert fit_center(image, 12, 12, beam, CELL, 0.0) is None
    assert fit_center(gaussian(beam, 14.0, 12.0), 12, 12, beam, CELL, 1e-3) is None
    image[10, 10] = np.nan
    assert fit_center(image, 12, 12, beam, CELL, 1e-3) is None


# ------------------------------------------------------------------------------------------- the spectrum


def spectrum(
    flux=0.05, alpha=-0.7, fraction=0.05, rm=40.0, noise=None, rng=None, place=(0.31, -0.22), tan_zd=0.0
):
    """3 × 3 means of a point source through the planes.

    ``place`` is its offset from the pixel in spw 2; with frequency it moves as the w-term lets it at a zenith
    distance.
    """
    measured = []
    for spw, frequency in FREQUENCIES.items():
        beam = RELEASED[spw]
        moved = 0.25 * tan_zd * ((3e9 / FREQUENCIES[2]) ** 2 - (3e9 / frequency) ** 2) / CELL
        x, y = 12 + place[0] + 0.6 * moved, 12 + place[1] + 0.8 * moved
        intensity = flux * (frequency / 3e9) ** alpha
        angle = 2 * (math.radians(20) + rm * (SPEED_OF_LIGHT_M_S / frequency) ** 2)
        stokes = intensity * np.array([1, fraction * math.cos(angle), fraction * math.sin(angle), 0.001])
        cube = stokes[:, None, None] * gaussian(beam, x, y)
        means = measure_box(cube, 12, 12)
        if rng is not None:
            means = means + rng.normal(0, noise, 4)
        found = measurement(map(float, means), f"spw{spw}", frequency)
        mean = beam_mean(beam, CELL, box_pixels(cube[0], 12, 12), (x, y))
        errors = dict.fromkeys(STOKES, noise or 1e-6)
        measured.append(replace(found, point_source=point_source_stokes(found, mean, errors)))
    return RegionSpectrum("peak_stokesi", 12, 12, 10.0, 0.0, tuple(measured), None)


def test_spectral_index_and_flux_of_a_point_source_at_released_beams():
    """The means themselves are far off: α of −0.70 reads −1.14, or −1.20 if the planes are displaced from
    each other as at a zenith distance of 37°, and 0.79 of the flux at 3 GHz is left.
    """
    centered = spectrum(place=(0.0, 0.0))
    displaced = spectrum(place=(0.0, 0.0), tan_zd=math.tan(math.radians(37)))
    for region, alpha, flux in ((centered, -1.14, 0.79), (displaced, -1.20, 0.785)):
        raw = fit_power_law(
            [m.frequency_hz for m in region.measurements],
            [m.stokes_i for m in region.measurements],
            [True] * len(RELEASED),
        )
        assert raw.alpha == pytest.approx(alpha, abs=0.01)
        assert raw.flux_3ghz_jy / 0.05 == pytest.approx(flux, abs=0.01)
    for region in (centered, displaced, spectrum()):
        fitted = fit_point_source(region)
        assert fitted.point_source_law.alpha == pytest.approx(-0.7, abs=0.001)
        assert fitted.point_source_law.flux_3ghz_jy == pytest.approx(0.05, rel=1e-3)
        for m in fitted.measurements:
            flux = 0.05 * (m.frequency_hz / 3e9) ** -0.7
            assert m.point_source.flux_jy["I"] == pytest.approx(flux, rel=1e-6)
            assert m.point_source.flux_jy["V"] == pytest.approx(1e-3 * flux, rel=1e-6)
            assert m.point_source.snr == pytest.approx(flux / 1e-4, rel=1e-6)
            assert m.point_source.polarized_jy == pytest.approx(0.05 * flux, rel=1e-4)
            assert m.point_source.residual_percent == pytest.approx(0.0, abs=1e-3)
        assert fitted.rotation_measure.rm == pytest.approx(40.0, abs=0.1)
        assert fitted.rotation_measure.polarized == pytest.approx(0.05, rel=1e-4)


def test_fit_uses_effective_frequencies():
    """Half of the band is flagged: the data stand 32 MHz above the plane's frequency."""
    region = spectrum(rm=300.0)
    shifted = []
    for m in region.measurements:
        frequency = m.frequency_hz - 32e6
        shifted.append(
            replace(
                m,
                frequency_hz=frequency,
                effective_frequency_hz=m.frequency_hz,
                mean_lambda2_m2=(SPEED_OF_LIGHT_M_S / m.frequency_hz) ** 2,
            )
        )
    fitted = fit_point_source(replace(region, measurements=tuple(shifted)))
    assert fitted.point_source_law.alpha == pytest.approx(-0.7, abs=1e-4)
    assert fitted.point_source_law.flux_3ghz_jy == pytest.approx(0.05, rel=1e-4)
    assert fitted.rotation_measure.rm == pytest.approx(300.0, abs=0.01)
    assert fitted.rotation_measure.angle0_deg == pytest.approx(20.0, abs=0.01)


def test_where_a_plane_stands_by_default():
    plain = measurement((1.0, 0.0, 0.0, 0.0), frequency=2e9)
    assert plain.fit_frequency_hz == 2e9
    assert plain.fit_lambda2_m2 == pytest.approx((SPEED_OF_LIGHT_M_S / 2e9) ** 2)
    # The mean of c²/ν² over an evenly filled band, by sampling it.
    band = 2e9 + 128e6 * ((np.arange(10000) + 0.5) / 10000 - 0.5)
    mean = float(np.mean((SPEED_OF_LIGHT_M_S / band) ** 2))
    assert replace(plain, bandwidth_hz=128e6).fit_lambda2_m2 == pytest.approx(mean, rel=1e-8)
    assert replace(plain, mean_lambda2_m2=0.02).fit_lambda2_m2 == 0.02


def test_rejected_planes_do_not_count():
    region = spectrum()
    odd = region.measurements[4]
    values = {stokes: 3 * value for stokes, value in odd.point_source.flux_jy.items()}
    odd = replace(odd, kept=False, point_source=replace(odd.point_source, flux_jy=values))
    measured = (*region.measurements[:4], odd, *region.measurements[5:])
    fitted = fit_point_source(replace(region, measurements=measured))
    assert fitted.point_source_law.alpha == pytest.approx(-0.7, abs=0.001)
    assert fitted.rotation_measure.channels == len(RELEASED) - 1
    assert fitted.measurements[4].point_source.residual_percent == pytest.approx(200 / 3, abs=0.1)


def test_without_values_of_a_point_source():
    region = spectrum()
    bare = tuple(replace(m, point_source=None) for m in region.measurements)
    assert fit_point_source(replace(region, measurements=bare)) == replace(region, measurements=bare)


# ---------------------------------------------------------------------------------------------- the errors


def test_errors_are_the_scatter():
    """Of fractions, angle, polarised intensity, α and flux, over noise realisations."""
    rng = np.random.default_rng(17)
    noise = 3e-4
    regions = [fit_point_source(spectrum(noise=noise, rng=rng)) for _ in range(250)]
    points = [region.measurements[3].point_source for region in regions]
    for name, error in (
        ("q_over_i", "q_over_i_error"),
        ("u_over_i", "u_over_i_error"),
        ("angle_deg", "angle_error_deg"),
        ("polarized_jy", "polarized_error_jy"),
    ):
        values = np.array([getattr(point, name) for point in points])
        said = np.mean([getattr(point, error) for point in points])
        assert values.std() == pytest.approx(said, rel=0.15), name
    laws = [region.point_source_law for region in regions]
    assert np.std([law.alpha for law in laws]) == pytest.approx(
        np.mean([law.alpha_error for law in laws]), rel=0.2
    )
    assert np.std([law.flux_3ghz_jy for law in laws]) == pytest.approx(
        np.mean([law.flux_3ghz_error_jy for law in laws]), rel=0.2
    )


@pytest.mark.parametrize("signal", [3.0, 5.0, 10.0])
def test_polarised_intensity_has_no_bias(signal):
    """At three times the noise √(Q² + U²) is 5 % too high; what is left is 1 %."""
    rng = np.random.default_rng(23)
    drawn = rng.normal([signal, 0.0], 1.0, (20000, 2))
    found = np.array(
        [
            point_source_stokes(measurement((100.0, q, u, 0.0)), 1.0, dict.fromkeys(STOKES, 1.0)).polarized_jy
            for q, u in drawn[:4000]
        ]
    )
    tolerance = 0.01 * signal + 4 / math.sqrt(len(found))
    assert found.mean() == pytest.approx(signal, abs=tolerance)
    biased = np.hypot(*drawn.T).mean()
    assert biased == pytest.approx(signal + 1 / (2 * signal), rel=0.01)


def test_bias_and_angle_come_from_the_noise_across():
    """Q is noisy, U is not, and the source is polarised in Q: neither its angle nor its P suffers."""
    errors = {"I": 1e-3, "Q": 1.0, "U": 0.01, "V": 1.0}
    found = point_source_stokes(measurement((100.0, 5.0, 0.0, 0.0)), 0.5, errors)
    assert found.flux_jy["Q"] == 10.0
    assert found.error_jy["Q"] == 2.0
    assert found.polarized_jy == pytest.approx(math.sqrt(10.0**2 - 0.02**2))
    assert found.polarized_error_jy == pytest.approx(2.0)
    assert found.angle_deg == 0.0
    assert found.angle_error_deg == pytest.approx(math.degrees(0.02 / 20))


def test_errors_of_fractions_hold_that_of_intensity():
    """U/I = 0.5: half of the relative error of I comes in, at right angles to that of U."""
    errors = {"I": 0.4, "Q": 1e-9, "U": 0.3, "V": 1.0}
    found = point_source_stokes(measurement((10.0, 0.0, 5.0, 0.0)), 1.0, errors)
    assert found.u_over_i_error == pytest.approx(math.hypot(0.03, 0.5 * 0.04))
    assert found.q_over_i_error == pytest.approx(0.0, abs=1e-9)


def test_noise_has_neither_polarisation_nor_angle():
    errors = dict.fromkeys(STOKES, 1.0)
    for q, u in ((0.0, 0.0), (0.5, -0.3)):
        found = point_source_stokes(measurement((10.0, q, u, 0.0)), 0.8, errors)
        assert (found.polarized_jy, found.angle_deg, found.angle_error_deg) == (0.0, None, None)
    faint = point_source_stokes(measurement((10.0, 0.81, 0.65, 0.0)), 0.8, errors)
    assert faint.angle_error_deg < RANDOM_ANGLE_ERROR_DEG


def test_no_fractions_without_intensity():
    found = point_source_stokes(measurement((0.0, 1.0, 1.0, 0.0)), 0.8, dict.fromkeys(STOKES, 1e-3))
    assert (found.q_over_i, found.q_over_i_error, found.u_over_i_error) == (None, None, None)
