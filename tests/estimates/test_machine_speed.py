"""Speed of a machine, with the clock in our hand."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from vlasscube.estimates import machine_speed
from vlasscube.estimates.machine_speed import REFERENCE, REFERENCE_SECONDS, MachineSpeed, measure_speed


@pytest.fixture(autouse=True)
def nothing_remembered() -> Iterator[None]:
    measure_speed.cache_clear()
    yield
    measure_speed.cache_clear()


def clock(monkeypatch: pytest.MonkeyPatch, seconds: list[float]) -> None:
    left = iter(seconds)

    def used(work: Callable[[], None]) -> float:
        return next(left)

    monkeypatch.setattr(machine_speed, "_processor_seconds", used)


def test_half_as_fast_and_slower_still_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """The best of the repeats counts: what disturbs makes slower."""
    r = REFERENCE_SECONDS
    clock(monkeypatch, [3 * r, 2 * r, 2.5 * r, *[4 * r] * 2, *[5 * r] * 2, *[9 * r] * 2])
    assert measure_speed(2) == MachineSpeed(pytest.approx(0.5), pytest.approx(0.25))


def test_one_core_is_never_beside_another(monkeypatch: pytest.MonkeyPatch) -> None:
    clock(monkeypatch, [REFERENCE_SECONDS] * 3)
    assert measure_speed(1) == REFERENCE


def test_it_is_measured_once(monkeypatch: pytest.MonkeyPatch) -> None:
    clock(monkeypatch, [REFERENCE_SECONDS] * 3)
    assert measure_speed(1) is measure_speed(1)


def test_speed_between_alone_and_together() -> None:
    speed = MachineSpeed(2.0, 1.0)
    assert speed.busy(0.0) == pytest.approx(2.0)
    assert speed.busy(1.0) == pytest.approx(1.0)
    # Time is what is added up: half of 1/2 and of 1.
    assert speed.busy(0.5) == pytest.approx(4 / 3)


def test_the_work_grids_all_visibilities(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its cost means something only if nothing falls off the grid."""
    made = []
    gridder = machine_speed._kernels.Gridder

    def make(**parts: object) -> object:
        made.append(gridder(**parts))
        return made[-1]

    monkeypatch.setattr(machine_speed._kernels, "Gridder", make)
    machine_speed._piece_of_work()()
    assert made[0].outside == 0
    assert made[0].visibilities == 256_000
