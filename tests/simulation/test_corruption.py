import numpy as np
import pytest

from vlasscube.simulation import corruption
from vlasscube.simulation.layout import array, pointings
from vlasscube.simulation.presets import preset


def test_noise_follows_the_radiometer_equation():
    # 352 Jy / sqrt(2 * 2 MHz * 0.45 s)
    assert corruption.noise_jy(np.array([3.054e9]), 2e6, 0.45) == pytest.approx([0.26237], rel=1e-4)


def test_phase_errors_belong_to_the_scan():
    p = preset("tiny", phase_error_deg=20.0, antennas=27)
    positions = array(p, 1).positions_m
    first = corruption.phase_errors_rad(p, 1, 346, positions)
    assert first.shape == (27,)
    np.testing.assert_array_equal(first, corruption.phase_errors_rad(p, 1, 346, positions))
    assert not np.array_equal(first, corruption.phase_errors_rad(p, 1, 349, positions))
    assert np.degrees(np.std(first)) == pytest.approx(20.0, rel=0.5)


def test_phase_errors_do_not_shift_the_sky():
    """A shift is a phase linear in the antenna positions: the errors have none, nor a common phase."""
    p = preset("tiny", phase_error_deg=20.0, antennas=27)
    positions = array(p, 1).positions_m
    errors = corruption.phase_errors_rad(p, 1, 346, positions)
    assert errors.sum() == pytest.approx(0.0, abs=1e-12)
    moments = (positions - positions.mean(axis=0)).T @ errors
    assert np.abs(moments).max() < 1e-9 * np.abs(positions).max()


def test_interference_is_where_its_flag_command_says():
    p = preset("tiny", rfi_spws=(3, 4))
    events = corruption.interference(p, 1, pointings(p))
    assert {event.spw for event in events} == {3, 4}
    always = next(event for event in events if event.spw == 3 and not event.field_ids)
    burst = next(event for event in events if event.spw == 3 and event.field_ids)
    assert always.flag_command == f"mode='manual' spw='3:{always.first_channel}~{always.last_channel}'"
    assert burst.flag_command.endswith(f"field='{','.join(map(str, burst.field_ids))}'")
    data = np.zeros((4, 8, 10), dtype=np.complex64)
    outside = next(field.field_id for field in pointings(p) if not burst.covers(field.field_id))
    corruption.add_interference(data, events, outside, 3, 2.0, np.random.default_rng(1))
    affected = np.abs(data).max(axis=(0, 2)) > 0
    assert np.flatnonzero(affected).tolist() == list(range(always.first_channel, always.last_channel + 1))
    assert np.abs(data).max() == pytest.approx(2.0, rel=0.21)
    corruption.add_interference(data, events, burst.field_ids[0], 3, 2.0, np.random.default_rng(1))
    assert np.all(np.abs(data).max(axis=(0, 2)) > 0)
    clean = np.zeros_like(data)
    corruption.add_interference(clean, events, outside, 2, 2.0, np.random.default_rng(1))
    assert not np.any(clean)


def flags_of(p, index, spw):
    first, _ = array(p, 1).baselines
    return corruption.initial_flags(p, 1, index, spw, np.tile(first, p.dumps_per_field))


def test_heavily_flagged_fields_are_flagged_above_the_fraction():
    p = preset("tiny", heavily_flagged_spws=(3,), heavily_flagged_fields=3, heavily_flagged_fraction=0.95)
    total = p.rows * p.fields_per_row
    fractions = [flags_of(p, index, 3).mean() for index in range(total)]
    assert sum(fraction >= 0.95 for fraction in fractions) == 3
    assert all(fraction < 0.05 or fraction >= 0.95 for fraction in fractions)
    assert max(flags_of(p, index, 2).mean() for index in range(total)) < 0.05


def test_one_flagged_correlation():
    p = preset("tiny", flagged_correlation="LR", flagged_row_fraction=0.0)
    first = np.tile(array(p, 1).baselines[0], p.dumps_per_field)
    flags = flags_of(p, 0, 2)
    assert np.all(flags[2][:, first == 0])
    assert not np.any(flags[[0, 1, 3]])
    assert not np.any(flags[2][:, first != 0])
