import numpy as np
import pytest

from vlasscube.simulation import flag_patterns, preset
from vlasscube.simulation.build import observe


def observation_of(**changes):
    return observe(preset("tiny", rfi_spws=(), flagged_row_fraction=0.0, **changes), 1)


def flags_of(observation, index, spw):
    p = observation.parameters
    first, second = (np.tile(antenna, p.dumps_per_field) for antenna in observation.array.baselines)
    pointing = observation.pointings[index]
    flags = flag_patterns.initial_flags(observation, index, pointing, spw, first, second)
    assert flags.shape == (4, p.channels, len(first))
    return flags, first, second


def test_no_pattern_flags_nothing():
    assert not np.any(flags_of(observation_of(), 0, 2)[0])


def test_heavily_flagged_fields_are_flagged_above_the_fraction():
    observation = observe(
        preset("tiny", heavily_flagged_spws=(3,), heavily_flagged_fields=3, heavily_flagged_fraction=0.95), 1
    )
    total = len(observation.pointings)
    fractions = [flags_of(observation, index, 3)[0].mean() for index in range(total)]
    assert sum(fraction >= 0.95 for fraction in fractions) == 3
    assert all(fraction < 0.05 or fraction >= 0.95 for fraction in fractions)
    assert max(flags_of(observation, index, 2)[0].mean() for index in range(total)) < 0.05


def test_one_flagged_correlation():
    flags, first, _ = flags_of(observation_of(flagged_correlation="LR"), 0, 2)
    assert np.all(flags[2][:, first == 0])
    assert not np.any(flags[[0, 1, 3]])
    assert not np.any(flags[2][:, first != 0])


def test_half_a_window_leaves_the_upper_half():
    observation = observation_of(half_flagged_spws=(3,))
    flags, *_ = flags_of(observation, 0, 3)
    assert flags[:, :4].all()
    assert not flags[:, 4:].any()
    assert not flags_of(observation, 0, 2)[0].any()


def test_an_antenna_with_one_receiver():
    observation = observation_of(one_polarization_antennas=2)
    flags, first, second = flags_of(observation, 0, 2)
    receivers = dict(flag_patterns.one_polarization_antennas(observation))
    assert sorted(receivers.values()) == [0, 1]
    # Correlation by correlation: a product of two receivers, of which neither may be flagged.
    for number, pair in enumerate(((0, 0), (0, 1), (1, 0), (1, 1))):
        expected = [
            receivers.get(int(a)) == pair[0] or receivers.get(int(b)) == pair[1]
            for a, b in zip(first, second, strict=True)
        ]
        np.testing.assert_array_equal(flags[number], np.tile(expected, (8, 1)))


def test_antennas_are_out_for_a_scan():
    observation = observation_of(antennas_out_per_scan=3)
    of_scan = {}
    for index, pointing in enumerate(observation.pointings):
        flags, first, second = flags_of(observation, index, 2)
        seen = set(first[~flags.all(axis=(0, 1))]) | set(second[~flags.all(axis=(0, 1))])
        of_scan.setdefault(pointing.scan, []).append(set(observation.array.active) - {int(a) for a in seen})
    for scan, missing in of_scan.items():
        assert all(antennas == flag_patterns.antennas_out_of_scan(observation, scan) for antennas in missing)
        assert len(missing[0]) == 3
    assert len({frozenset(missing[0]) for missing in of_scan.values()}) == len(of_scan) == 2


def test_a_baseband_is_out_for_a_scan():
    observation = observation_of(science_spws=(2, 9, 10, 17), basebands_out_per_scan=6)
    out = flag_patterns.antennas_without_baseband(observation, observation.pointings[0].scan)
    assert len(out) == 6
    assert {second for _, second in out} == {False, True}
    for spw in (2, 9, 10, 17):
        flags, first, second = flags_of(observation, 0, spw)
        expected = [antenna for antenna, is_second in out if is_second == (spw >= 10)]
        np.testing.assert_array_equal(flags[0, 0], np.isin(first, expected) | np.isin(second, expected))


def test_patterns_do_not_disturb_each_other():
    one = flags_of(observation_of(antennas_out_per_scan=2), 0, 2)[0]
    other = flags_of(observation_of(one_polarization_antennas=2), 0, 2)[0]
    both = flags_of(observation_of(antennas_out_per_scan=2, one_polarization_antennas=2), 0, 2)[0]
    np.testing.assert_array_equal(both, one | other)


def test_hanning_loses_the_outermost_channels():
    flags, *_ = flags_of(observation_of(hanning=True, channels=64), 0, 2)
    assert flags[:, [0, 63]].all()
    assert not flags[:, 1:63].any()


@pytest.mark.parametrize("count", [0, 2])
def test_antennas_without_solutions_have_data(count):
    observation = observation_of(missing_antennas=3, antennas_without_solutions=count)
    drawn = flag_patterns.antennas_without_solutions(observation)
    assert len(drawn) == count
    assert drawn <= set(observation.array.active)
