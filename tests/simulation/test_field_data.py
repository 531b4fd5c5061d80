"""What the antennas receive and what they make of it, by closed forms and numerical integrals."""

import dataclasses
import math

import numpy as np
import pytest
from scipy.integrate import quad

from vlasscube.simulation import corruption, layout, preset
from vlasscube.simulation.beam import power_beam
from vlasscube.simulation.build import observe
from vlasscube.simulation.field_data import field_data, ideal_visibilities, views
from vlasscube.simulation.sky import Source, stokes_spectrum
from vlasscube.sky import direction_at, separation_rad

C = 299792458.0
QUIET = {"noise_scale": 0.0, "phase_error_deg": 0.0, "rfi_spws": (), "flagged_row_fraction": 0.0}


def uvw_of(observation, pointing):
    first, second = observation.array.baselines
    positions = observation.array.positions_m
    return np.stack(
        [
            layout.uvw_m(positions[first] - positions[second], time, pointing.ra_rad, pointing.dec_rad)
            for time in pointing.times_mjd_s
        ]
    )


def source_beside(pointing, east_arcmin, north_arcmin, **properties):
    offsets = (math.sin(math.radians(value / 60)) for value in (east_arcmin, north_arcmin))
    ra, dec = direction_at(*offsets, pointing.ra_rad, pointing.dec_rad)
    return Source("A", math.degrees(ra) % 360, math.degrees(dec), 1.0, **properties)


@pytest.mark.parametrize("row", [0, 1])
@pytest.mark.parametrize("name", ["tiny", "z74", "pole"])
def test_moving_antennas_see_the_mean_of_their_way(name, row):
    """A source at the beam's edge against an integral over the true way, along the row to and fro."""
    p = preset(name, beam_at="otf", **{key: QUIET[key] for key in ("noise_scale", "rfi_spws")})
    pointing = layout.pointings(p)[row * p.fields_per_row + 1]
    source = source_beside(pointing, 7.0, 1.0)
    frequency = np.array([2.1e9, 3.9e9])
    zero = np.zeros((p.dumps_per_field, 1, 3))
    found = ideal_visibilities(p, [source], pointing, zero, frequency)[0]
    # The field is crossed once: 2.98' in all, symmetrically about its centre, in the sense of the row.
    sense = 1 if row == 0 else -1
    position = math.radians(source.ra_deg), math.radians(source.dec_deg)
    for dump in range(p.dumps_per_field):

        def response(part, ghz, dump=dump):
            along = sense * math.radians(2.98 / 60) * ((dump + part) / p.dumps_per_field - 0.5)
            there = direction_at(math.sin(along), 0.0, pointing.ra_rad, pointing.dec_rad)
            return float(power_beam(math.degrees(separation_rad(*position, *there)) * 60, ghz))

        for channel, hertz in enumerate(frequency):
            expected = quad(response, 0.0, 1.0, args=(hertz,))[0]
            assert found[channel, dump].real == pytest.approx(expected, abs=2e-5)
    # Both ends of the way differ by much more than that.
    assert abs(found[1, 0] - found[1, 1]) > 0.02


def test_flux_lost_by_smearing_rises_with_frequency():
    """Beside the row a moving beam is broader along it: the mean is not the beam of the mean."""
    p = preset("tiny", dumps_per_field=1)
    pointing = layout.pointings(p)[0]
    source = source_beside(pointing, 0.0, 0.0)
    zero, frequency = np.zeros((1, 1, 3)), np.array([2.0e9, 3.9e9])
    still = ideal_visibilities(p, [source], pointing, zero, frequency)[0, :, 0]
    moving = ideal_visibilities(dataclasses.replace(p, beam_at="otf"), [source], pointing, zero, frequency)[
        0, :, 0
    ]
    # Near the axis the beam is 1 − 4 ln2 r² / FWHM²; the mean of r² over the way is (2.98′)² / 12.
    full_width = 42.0 / (frequency / 1e9)
    expected = 4 * math.log(2) * 2.98**2 / 12 / full_width**2
    assert (1 - moving / still).real == pytest.approx(expected, rel=0.1)


def test_ionosphere_turns_the_polarisation_with_time():
    """The slope of the angle over λ² is the source's RM and that of the ionosphere at the time."""
    p = preset(
        "tiny",
        science_spws=(2, 3, 4),
        row_gap_s=1800.0,
        ionospheric_rm_rad_m2=1.5,
        ionospheric_rm_rate_rad_m2_h=4.0,
    )
    fields = layout.pointings(p)
    middle = (fields[0].times_mjd_s[0] + fields[-1].times_mjd_s[-1]) / 2
    frequency = np.linspace(2.0e9, 2.4e9, 41)
    for pointing in (fields[0], fields[-1]):
        source = source_beside(
            pointing,
            0.0,
            0.0,
            fractional_polarization=0.1,
            polarization_angle_deg=20.0,
            rotation_measure_rad_m2=30.0,
        )
        zero = np.zeros((p.dumps_per_field, 1, 3))
        rr, rl, lr, ll = ideal_visibilities(p, [source], pointing, zero, frequency)[:, :, 1].astype(complex)
        q, u = (rl + lr) / 2, (rl - lr) / 2j
        angle = np.unwrap(np.angle(q + 1j * u)) / 2
        slope, constant = np.polyfit((C / frequency) ** 2, angle.real, 1)
        rm = 30.0 + 1.5 + 4.0 * (pointing.times_mjd_s[1] - middle) / 3600
        assert slope == pytest.approx(rm, abs=0.01)
        assert math.degrees(constant) == pytest.approx(20.0, abs=0.1)
        assert np.abs((rr + ll) / 2) == pytest.approx(stokes_spectrum(source, frequency)[0], rel=1e-3)
    assert abs(layout.ionospheric_rm_rad_m2(p, fields[0].times_mjd_s[0]) - 1.5) > 0.5


def test_smeared_channels():
    """A source 10′ off on a long baseline, against the mean over the channel's frequencies."""
    p = preset("tiny", channel_smearing=True)
    pointing = layout.pointings(p)[0]
    source = source_beside(pointing, 10.0, 0.0)
    baseline = np.array([[[8000.0, 0.0, 0.0], [8000.0, 0.0, 0.0]]])
    frequency = 2.028e9
    delay = 8000.0 * math.sin(math.radians(10 / 60)) / C

    def fringe(hertz):
        return np.exp(2j * np.pi * delay * hertz)

    within = frequency + np.linspace(-1e6, 1e6, 20001)
    boxcar = fringe(within).mean()
    neighbours = [fringe(within + shift).mean() for shift in (-2e6, 0.0, 2e6)]
    smooth = 0.25 * neighbours[0] + 0.5 * neighbours[1] + 0.25 * neighbours[2]
    plain = dataclasses.replace(p, channel_smearing=False)
    still = ideal_visibilities(plain, [source], pointing, baseline, np.array([frequency]))[0, 0, 0]
    beam = still / fringe(frequency)
    for hanning, expected in ((False, boxcar), (True, smooth)):
        given = dataclasses.replace(p, hanning=hanning)
        found = ideal_visibilities(given, [source], pointing, baseline, np.array([frequency]))[0, 0, 0]
        assert found == pytest.approx(expected * beam, abs=1e-4)
    assert abs(boxcar) < 0.98
    assert abs(smooth) < 0.9


def test_off_axis_leakage_is_seen_by_a_source_at_half_power():
    p = preset("tiny", leakage_beam=True)
    pointing = layout.pointings(p)[0]
    frequency = np.array([2.668e9])
    source = source_beside(pointing, 7.9, 0.0)
    zero = np.zeros((2, 1, 3))
    rr, rl, lr, ll = ideal_visibilities(p, [source], pointing, zero, frequency)[:, 0, 0]
    apparent = (rr + ll) / 2
    assert abs((rr - ll) / 2 / apparent) == pytest.approx(0.06, abs=0.05)
    assert abs(rl / apparent) == pytest.approx(0.034, abs=0.02)
    assert rl == pytest.approx(np.conj(lr), abs=1e-6)
    # Leakage belongs to the antennas: the ionosphere above them does not turn it.
    turned = dataclasses.replace(p, ionospheric_rm_rad_m2=20.0)
    again = ideal_visibilities(turned, [source], pointing, zero, frequency)[1, 0, 0]
    assert again == pytest.approx(rl, abs=1e-6)


def test_views_are_one_by_default():
    p = preset("tiny")
    pointing = layout.pointings(p)[0]
    seen = views(p, pointing)
    assert len(seen) == 2
    assert seen[0] == seen[1]
    assert seen[0].directions_rad == ((pointing.ra_rad, pointing.dec_rad),)


def data_of(p, index=0, spw=2, seed=1):
    observation = observe(p, seed)
    pointing = observation.pointings[index]
    uvw = uvw_of(observation, pointing)
    block = field_data(observation, index, pointing, spw, uvw)
    frequencies = (
        2.028e9 + 128e6 * (spw - 2) + 128e6 / p.channels * (np.arange(p.channels) - (p.channels - 1) / 2)
    )
    ideal = ideal_visibilities(p, observation.sources, pointing, uvw, frequencies)
    return observation, block, ideal


def test_gains_are_the_product_of_two_antennas():
    p = preset("tiny", **{**QUIET, "phase_error_deg": 15.0, "phase_drift_deg": 5.0, "amplitude_error": 0.05})
    observation, block, ideal = data_of(p)
    pointing = observation.pointings[0]
    positions = observation.array.positions_m
    phase = corruption.phase_errors_rad(p, 1, pointing.scan, positions)
    drift = corruption.phase_drift_rad(p, 1, pointing.scan, positions)
    right, left = corruption.amplitudes(p, 1, pointing.scan, 2, observation.array.active)
    first, second = observation.array.baselines
    # The first of the row's four fields of two integrations: −1 and −5/7 of the half scan.
    for dump, part in enumerate((-1.0, -5.0 / 7.0)):
        gain = np.exp(1j * (phase + part * drift))
        rows = slice(dump * len(first), (dump + 1) * len(first))
        for number, (one, other) in enumerate(((right, right), (right, left), (left, right), (left, left))):
            factor = one[first] * gain[first] * np.conj(other[second] * gain[second])
            np.testing.assert_allclose(
                block.data[number][:, rows], ideal[number][:, rows] * factor, atol=1e-5
            )


def test_amplitude_errors_keep_the_flux_scale():
    p = preset("tiny", amplitude_error=0.05, missing_antennas=4)
    observation = observe(p, 1)
    active = list(observation.array.active)
    gains = corruption.amplitudes(p, 1, 346, 2, active)
    assert np.log(gains[:, active]).mean(axis=1) == pytest.approx([0.0, 0.0], abs=1e-12)
    assert np.log(gains).std() == pytest.approx(0.05, rel=0.3)
    assert not np.array_equal(gains, corruption.amplitudes(p, 1, 346, 3, active))


def test_phase_drift_has_its_rms_and_no_mean():
    p = preset("tiny", phase_drift_deg=6.0, antennas=27, fields_per_row=200)
    observation = observe(p, 1)
    drift = corruption.phase_drift_rad(p, 1, 346, observation.array.positions_m)
    own = [pointing for pointing in observation.pointings if pointing.scan == 346]
    part = np.concatenate([observation.part_of_scan(pointing) for pointing in own])
    assert part.mean() == pytest.approx(0.0, abs=1e-8)
    # 23 of 27 degrees of freedom: common phase and gradient are taken out.
    rms = math.degrees(np.sqrt(np.mean(np.outer(part, drift) ** 2)))
    assert rms == pytest.approx(6.0 * math.sqrt(23 / 27), rel=0.35)


def test_a_gradient_shifts_the_sky():
    """Phases linear in the antennas' positions are those of a source elsewhere."""
    p = preset("tiny", **{**QUIET, "phase_gradient_deg": 30.0}, points=1)
    observation, block, ideal = data_of(p)
    turn = np.angle(block.data[0, 0] / ideal[0, 0])
    uvw = uvw_of(observation, observation.pointings[0]).reshape(-1, 3)
    shift, residual, *_ = np.linalg.lstsq(uvw, turn, rcond=None)
    assert np.sqrt(residual[0] / len(turn)) < 1e-3
    assert np.linalg.norm(shift) > 0
    assert np.abs(turn).max() > math.radians(5)


def test_data_with_d_terms():
    p = preset("tiny", **QUIET, d_term_rms=0.01)
    _, block, ideal = data_of(p)
    assert np.abs(block.data[1] - ideal[1]).std() > 0.003 * np.abs(ideal[0]).mean()
    # Of second order where polarisation is weak.
    np.testing.assert_allclose(block.data[0], ideal[0], atol=0.01 * np.abs(ideal).max())


def noise_of(**changes):
    p = preset("tiny", rfi_spws=(), **changes)
    frequency = 2.028e9 + 128e6 / p.channels * (np.arange(p.channels) - (p.channels - 1) / 2)
    return p, frequency, corruption.noise(p, frequency, 6000, np.random.default_rng(1))


def test_hanning_correlates_neighbours():
    """¼, ½, ¼: variance 3/8; correlation 2/3 with the neighbour, 1/6 with the next."""
    _, frequency, noise = noise_of(channels=64, hanning=True)
    expected = corruption.noise_jy(frequency, 2e6, 0.45)
    assert not np.any(noise[:, [0, -1]])
    inner = noise[:, 1:-1]
    variance = np.mean(np.abs(inner) ** 2, axis=(0, 2)) / 2
    assert variance / expected[1:-1] ** 2 == pytest.approx(np.full(62, 3 / 8), rel=0.04)
    for distance, correlation in ((1, 2 / 3), (2, 1 / 6), (3, 0.0)):
        product = np.mean(inner[:, distance:] * inner[:, :-distance].conj())
        assert product.real / 2 / variance.mean() == pytest.approx(correlation, abs=0.01)


def test_hanning_of_coarse_channels():
    """The mean of n smoothed channels has nearly the noise of n channels."""
    _, frequency, noise = noise_of(channels=8, hanning=True)
    expected = corruption.noise_jy(frequency, 16e6, 0.45)
    scatter = np.sqrt(np.mean(np.abs(noise) ** 2, axis=(0, 2)) / 2) / expected
    # Var of the mean of 8: (8 · 3/8 + 2 · 7 · 1/4 + 2 · 6 · 1/16) / 64 = 7.25 / 64.
    assert scatter[1:-1] == pytest.approx(np.full(6, math.sqrt(7.25 / 8)), rel=0.02)
    # Of 7: (7 · 3/8 + 2 · 6 · 1/4 + 2 · 5 · 1/16) / 49 = 6.25 / 49.
    assert scatter[[0, -1]] == pytest.approx(np.full(2, math.sqrt(6.25 * 8) / 7), rel=0.02)


@pytest.mark.parametrize("hanning", [False, True])
def test_noise_rises_at_the_ends_of_a_window(hanning):
    p, frequency, noise = noise_of(channels=64, hanning=hanning, edge_noise=2.0)
    plain = corruption.noise_jy(frequency, 2e6, 0.45) * (math.sqrt(3 / 8) if hanning else 1)
    scatter = np.sqrt(np.mean(np.abs(noise) ** 2, axis=(0, 2)) / 2) / plain
    assert scatter[8:-8] == pytest.approx(np.ones(48), rel=0.04)
    profile = corruption.edge_profile(p, 64)
    assert profile[[0, -1]] == pytest.approx([1.976, 1.976], abs=0.02)
    assert scatter[[1, -2]] == pytest.approx(profile[[1, -2]], rel=0.05)
    assert np.all(np.diff(profile[:32]) <= 0)


def test_coherence_is_what_a_source_keeps():
    """The mean of the corrected gains over the data, as one solution a scan leaves them."""
    p = preset("tiny", fields_per_row=40, phase_error_deg=25.0, phase_drift_deg=8.0)
    observation = observe(p, 1)
    positions = observation.array.positions_m
    first, second = observation.array.baselines
    unsolved = {3, 7}
    kept = []
    for pointing in observation.pointings:
        errors = corruption.phase_errors_rad(p, 1, pointing.scan, positions)
        drift = corruption.phase_drift_rad(p, 1, pointing.scan, positions)
        solution = np.where(np.isin(np.arange(p.antennas), list(unsolved)), 0.0, errors)
        for part in observation.part_of_scan(pointing):
            gain = np.exp(1j * (errors + part * drift - solution))
            kept.append(np.mean(gain[first] * gain[second].conj()).real)
    found = corruption.coherence(p, 1, {346, 349}, positions, (first, second), unsolved)
    assert found == pytest.approx(np.mean(kept), abs=1e-3)
    assert 0.9 < found < 0.985
    still = dataclasses.replace(p, phase_drift_deg=0.0)
    assert corruption.coherence(still, 1, {346}, positions, (first, second), set()) == 1.0
