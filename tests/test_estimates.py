"""Estimates against numbers worked out by hand for a production field."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vlasscube import estimates
from vlasscube.estimates import CubeSize, estimate

SIDE = 12500
VISIBILITIES = 8_000_000


def production(planes: int = 16) -> CubeSize:
    return CubeSize(
        nx=SIDE,
        ny=SIDE,
        cutout_nx=6202,
        cutout_ny=6202,
        visibilities=(VISIBILITIES,) * planes,
        ms_rows=2_000_000,
        ms_visibilities=planes * VISIBILITIES,
    )


def test_an_iquv_image_is_2_5_gb() -> None:
    assert estimates.image_bytes(SIDE, SIDE) == 2_500_000_000


def test_plane_is_about_40_gb() -> None:
    # 15 images of 2.5 GB and two masks of 0.625 GB.
    assert estimates.plane_bytes(SIDE, SIDE) == 38_750_000_000
    assert estimates.plane_bytes(SIDE, SIDE) == pytest.approx(40e9, rel=0.05)


def test_sixteen_planes_are_about_600_gb_and_their_cutouts_70_gb() -> None:
    cost = estimate(production(), workers=4)
    assert cost.images_bytes == 620_000_000_000
    assert cost.images_bytes == pytest.approx(600e9, rel=0.05)
    assert cost.cutouts_bytes == 16 * 7 * 6202 * 6202 * 16
    assert cost.cutouts_bytes == pytest.approx(70e9, rel=0.05)
    # pbcor, rms, common-beam set and cube: 4 × 0.615 GB a plane.
    assert cost.products_bytes == pytest.approx(16 * 4 * 0.6154e9, rel=1e-3)


def test_disk_adds_up_and_the_peak_has_the_images_at_work() -> None:
    cost = estimate(production(), workers=4)
    parts = cost.ms_bytes + cost.images_bytes + cost.cutouts_bytes + cost.products_bytes + cost.weblog_bytes
    assert cost.kept_bytes == parts
    assert cost.disk_bytes - cost.kept_bytes == 4 * 4 * 2_500_000_000


def test_measurement_set() -> None:
    # A row of one channel: 250 bytes; 4 × (3 × 8 + 4 + 0.5) bytes of data.
    assert estimates.measurement_set_bytes(1, 1) == 250 + 114
    # A complex column of a field with 18.2 million visibilities is 0.58 GB of these.
    assert estimates.measurement_set_bytes(0, 18_200_000) == pytest.approx(3.56 * 0.5824e9, rel=1e-3)


def test_memory_of_a_worker() -> None:
    assert estimates.worker_memory_bytes(SIDE, SIDE, "casa") == 400_000_000 + 350 * 156_250_000
    # Measured: 0.67 GB at 1024², 1.8 GB at 2048², 6.2 GB at 4096².
    for side, measured in ((1024, 0.67e9), (2048, 1.8e9), (4096, 6.2e9)):
        assert estimates.worker_memory_bytes(side, side, "casa") == pytest.approx(measured, rel=0.3)
    # Our own engine, measured: 11.0 GB at 12500².
    assert estimates.worker_memory_bytes(SIDE, SIDE) == pytest.approx(11.0e9, rel=0.1)


def test_time_of_a_plane_is_what_production_took() -> None:
    seconds = estimates.plane_seconds(SIDE * SIDE, VISIBILITIES, engine="casa")
    assert seconds == pytest.approx(28 * (2.0 + 2031.25 + 104.0))
    assert 11 * 3600 < seconds < 22 * 3600
    sixteen = estimate(production(), workers=4, engine="casa").seconds
    assert 50 * 3600 < sixteen < 80 * 3600


def test_limit_of_major_cycles_shortens_the_time() -> None:
    assert estimates.plane_seconds(0, 0, nmajor=5, engine="casa") == pytest.approx(2.0 * (1 + 5 + 5 + 5))
    assert estimates.plane_seconds(0, 0, nmajor=220) == estimates.plane_seconds(0, 0)


@pytest.mark.parametrize(("workers", "rounds"), [(0, 16), (1, 16), (4, 4), (5, 4), (16, 1), (99, 1)])
def test_workers_share_the_planes(workers: int, rounds: int) -> None:
    cost = estimate(production(), workers=workers)
    restore = 3 * 13e-6 * 16 * VISIBILITIES
    assert cost.seconds == pytest.approx(restore + rounds * cost.plane_seconds)
    assert cost.workers == max(1, min(workers, 16))
    assert cost.memory_bytes == cost.workers * cost.worker_memory_bytes


def test_without_planes_nothing_but_the_data_is_left() -> None:
    cost = estimate(production(planes=0), workers=4)
    assert cost.images_bytes == cost.transient_bytes == 0
    assert cost.plane_seconds == 0


@given(
    planes=st.integers(1, 32),
    cores=st.integers(1, 64),
    worker=st.integers(1, 10**11),
    available=st.integers(0, 10**13),
)
def test_affordable_workers(planes: int, cores: int, worker: int, available: int) -> None:
    workers = estimates.affordable_workers(planes, cores, worker, available)
    assert 1 <= workers <= min(planes, cores)
    assert workers == 1 or workers * worker <= available


@given(durations=st.lists(st.floats(0.1, 1e5), max_size=20), workers=st.integers(1, 20))
def test_schedule_lies_between_its_bounds(durations: list[float], workers: int) -> None:
    seconds = estimates.schedule_seconds(tuple(durations), workers)
    longest, total = max(durations, default=0.0), sum(durations)
    assert seconds >= max(longest, total / workers) * (1 - 1e-9)
    assert seconds <= total / workers + longest + 1e-6


def test_web_log_of_sixteen_planes_is_below_200_mb() -> None:
    plane = estimates.weblog_bytes(12500**2, 6202**2) / estimates.WEBLOG_COPIES
    assert 8e6 < plane < 12.5e6
    # As measured on 512 pixels: 3.1 MB a plane.
    assert estimates.weblog_bytes(512**2, 512**2) / estimates.WEBLOG_COPIES == pytest.approx(3.1e6, rel=0.3)
