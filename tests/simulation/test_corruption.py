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
