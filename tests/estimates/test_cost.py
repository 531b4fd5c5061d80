"""Estimates against numbers worked out by hand for a production field, and against what runs took."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vlasscube.estimates import cost as estimates
from vlasscube.estimates.cost import Estimate, Pace, Resources, estimate
from vlasscube.estimates.cube_size import CubeSize, PlaneSize
from vlasscube.estimates.machine_speed import REFERENCE, MachineSpeed
from vlasscube.estimates.work_costs import ENGINE_COSTS, imaging_method
from vlasscube.mosaic.memory import TABLE_BYTES
from vlasscube.options import RunOptions

SIDE = 12500
VISIBILITIES = 15_000_000
PLANE = PlaneSize(VISIBILITIES, 3.052e9)


def production(planes: int = 16) -> CubeSize:
    return CubeSize(
        nx=SIDE,
        ny=SIDE,
        cell_arcsec=0.6,
        cutout_nx=6202,
        cutout_ny=6202,
        planes=(PLANE,) * planes,
        ms_rows=planes * 240_000,
        ms_visibilities=planes * VISIBILITIES,
        ms_windows=planes,
        ms_integrations=806,
    )


def seconds_by_stage(cost: Estimate) -> dict[str, float]:
    return {stage.stage: stage.seconds for stage in cost.stages}


# --------------------------------------------------------------------------------------------------- disk


def test_an_iquv_image_is_2_5_gb() -> None:
    assert estimates.image_bytes(SIDE, SIDE) == 2_500_000_000


def test_plane_is_about_40_gb() -> None:
    # 15 images of 2.5 GB and two masks of 0.625 GB.
    assert estimates.plane_bytes(SIDE, SIDE) == 38_750_000_000
    assert estimates.plane_bytes(SIDE, SIDE) == pytest.approx(40e9, rel=0.05)


def test_sixteen_planes_are_about_600_gb_and_their_cutouts_70_gb() -> None:
    cost = estimate(production(), Resources(4, 4))
    assert cost.images_bytes == 620_000_000_000
    assert cost.images_bytes == pytest.approx(600e9, rel=0.05)
    assert cost.cutouts_bytes == 16 * 7 * 6202 * 6202 * 16
    assert cost.cutouts_bytes == pytest.approx(70e9, rel=0.05)
    # pbcor and rms of four Stokes parameters and the primary beam, twice: 18 × 0.154 GB a plane.
    assert cost.products_bytes == pytest.approx(16 * 18 * 0.15386e9, rel=1e-3)


def test_disk_adds_up_and_the_peak_has_the_images_at_work() -> None:
    cost = estimate(production(), Resources(4, 4))
    parts = cost.ms_bytes + cost.images_bytes + cost.cutouts_bytes + cost.products_bytes + cost.weblog_bytes
    assert cost.kept_bytes == parts
    assert cost.disk_bytes - cost.kept_bytes == 4 * 4 * 2_500_000_000


def test_measurement_set() -> None:
    # A row of one channel: 250 bytes; 4 × (3 × 8 + 4 + 0.5) bytes of data.
    assert estimates.measurement_set_bytes(1, 1) == 250 + 114
    # A complex column of a field with 18.2 million visibilities is 0.58 GB of these.
    assert estimates.measurement_set_bytes(0, 18_200_000) == pytest.approx(3.56 * 0.5824e9, rel=1e-3)


def test_web_log_of_sixteen_planes_is_below_200_mb() -> None:
    plane = estimates.weblog_bytes(12500**2, 6202**2) / estimates.WEBLOG_COPIES
    assert 8e6 < plane < 12.5e6
    # As measured on 512 pixels: 3.1 MB a plane.
    assert estimates.weblog_bytes(512**2, 512**2) / estimates.WEBLOG_COPIES == pytest.approx(3.1e6, rel=0.3)


# ------------------------------------------------------------------------------------------------- memory


@pytest.mark.parametrize(
    ("side", "visibilities", "cutout_side", "measured"),
    [
        (320, 38_400, 320, 0.43e9),
        (512, 48_000, 512, 0.46e9),
        (512, 7_680_000, 512, 1.01e9),
        (1024, 677_040, 515, 0.59e9),
        (2048, 38_400, 2048, 0.85e9),
        (4096, 57_600, 4096, 1.62e9),
        (SIDE, 15_300_000, 6202, 11.0e9),
    ],
)
def test_memory_of_a_worker_is_what_runs_had(
    side: int, visibilities: int, cutout_side: int, measured: float
) -> None:
    needed = estimates.worker_memory_bytes(
        side, side, visibilities=visibilities, cutout_pixels=cutout_side**2
    )
    assert needed == pytest.approx(measured, rel=0.15)


def test_memory_of_a_worker_with_tclean() -> None:
    assert estimates.worker_memory_bytes(SIDE, SIDE, "casa") == 430_000_000 + 350 * 156_250_000
    # Measured: 0.67 GB at 1024², 1.8 GB at 2048², 6.2 GB at 4096².
    for side, measured in ((1024, 0.67e9), (2048, 1.8e9), (4096, 6.2e9)):
        assert estimates.worker_memory_bytes(side, side, "casa") == pytest.approx(measured, rel=0.3)


def test_libraries_are_in_memory_once() -> None:
    one, four = (estimate(production(), Resources(workers, 4)) for workers in (1, 4))
    assert four.memory_bytes - one.memory_bytes == 3 * (one.worker_memory_bytes - estimates.LIBRARY_BYTES)


def test_the_leading_process_may_need_most() -> None:
    small = replace(production(), nx=256, ny=256, cutout_nx=256, cutout_ny=256, planes=(PlaneSize(1, 3e9),))
    cost = estimate(small, Resources(1, 1))
    assert cost.memory_bytes == cost.leader_memory_bytes > cost.worker_memory_bytes


@given(
    planes=st.integers(1, 32),
    cores=st.integers(1, 64),
    worker=st.integers(10**9, 10**11),
    available=st.integers(0, 10**13),
)
def test_affordable_workers(planes: int, cores: int, worker: int, available: int) -> None:
    workers = estimates.affordable_workers(planes, cores, worker, available)
    assert 1 <= workers <= min(planes, cores)
    cost = replace(estimate(production(planes), Resources(workers, cores)), worker_memory_bytes=worker)
    cost = replace(cost, leader_memory_bytes=0, workers=workers)
    usable = estimates.MEMORY_SHARE * available
    assert workers == 1 or cost.memory_bytes <= usable
    more = replace(cost, workers=workers + 1)
    assert workers == min(planes, cores) or more.memory_bytes > usable - 1


def test_what_is_left_beside_the_leading_process_is_shared_out() -> None:
    """0.46 GB for the leading process, and 1 GB for each worker without the libraries."""
    for available, workers in ((3.47e9, 3), (3.45e9, 2)):
        usable = int(available / estimates.MEMORY_SHARE)
        assert estimates.affordable_workers(9, 9, 1_200_000_000, usable) == workers


# --------------------------------------------------------------------------------------------------- time


def test_time_of_a_plane_with_tclean_is_what_production_took() -> None:
    cost = estimate(production(1), Resources(1, 1), engine="casa")
    assert 11 * 3600 < cost.plane_seconds < 22 * 3600


def test_work_adds_up() -> None:
    """With one thread on the reference nothing is lost: time is processor time."""
    cost = estimate(production(2), Resources(1, 1))
    assert cost.seconds == pytest.approx(cost.processor_seconds)
    assert cost.seconds == pytest.approx(sum(seconds_by_stage(cost).values()))
    by_stage = seconds_by_stage(cost)
    planes = sum(
        by_stage[stage]
        for stage in ("make_images", "pbcor", "make_rms_images", "make_cutout_images", "pictures")
    )
    assert planes == pytest.approx(2 * cost.plane_seconds)


def test_a_cycle_costs_its_pixels_and_the_cells_of_its_visibilities() -> None:
    def seconds(size: CubeSize, cycles: int) -> float:
        pace = Pace((1.0, float(cycles), 0.0, 0.0))
        return seconds_by_stage(estimate(size, Resources(1, 1), pace=pace))["make_images"]

    size = production(1)
    cycle = seconds(size, 11) - seconds(size, 1)
    # Half-width of 2 + 6 × 2.083 × 1.017 = 14.7 cells.
    cells = 31**2
    visibility = 0.04e-6 + 0.9e-9 * cells
    # 12500² is 3.22 doublings of 4096².
    pixel = 0.1e-6 * (1 + 0.25 * math.log2((SIDE / 4096) ** 2))
    assert cycle == pytest.approx(10 * (0.025 + pixel * SIDE**2 + visibility * VISIBILITIES))
    half_flagged = replace(size, planes=(replace(PLANE, usable=0.5),))
    flagged = seconds(half_flagged, 11) - seconds(half_flagged, 1)
    assert cycle - flagged == pytest.approx(10 * 0.5 * visibility * VISIBILITIES)


def test_twice_as_slow_a_machine_takes_twice_as_long() -> None:
    slow = MachineSpeed(0.5, 0.5)
    for workers in (0, 1, 3):
        fast = estimate(production(), Resources(workers, 4))
        other = estimate(production(), Resources(workers, 4, slow))
        assert other.seconds == pytest.approx(2 * fast.seconds)
        assert other.plane_seconds == pytest.approx(2 * fast.plane_seconds)


def test_cores_that_slow_each_other_down_count_when_all_work() -> None:
    """What one core does alone is as fast as ever."""
    crowded = MachineSpeed(1.0, 0.5)
    reference, other = (estimate(production(), Resources(8, 8, speed)) for speed in (REFERENCE, crowded))
    assert other.plane_seconds == pytest.approx(2 * reference.plane_seconds)
    restore = [seconds_by_stage(cost)["restore_pims"] for cost in (reference, other)]
    assert restore[1] == pytest.approx(restore[0] * (1 + 1 / 8))


def test_more_threads_shorten_a_plane_but_not_what_one_thread_does() -> None:
    one, four, many = (
        seconds_by_stage(estimate(production(1), Resources(1, cores))) for cores in (1, 4, 1000)
    )
    assert one["make_images"] > 1.5 * four["make_images"] > 1.5 * many["make_images"]
    assert many["make_images"] > 0.2 * one["make_images"]
    assert one["pbcor"] == pytest.approx(four["pbcor"])


def test_workers_beyond_the_cores_do_not_help() -> None:
    four, sixteen = (estimate(production(), Resources(workers, 4)) for workers in (4, 16))
    assert sixteen.seconds >= 0.99 * four.seconds


@pytest.mark.parametrize(("workers", "rounds"), [(0, 16), (1, 16), (4, 4), (5, 4), (16, 1), (99, 1)])
def test_workers_share_the_planes(workers: int, rounds: int) -> None:
    cost = estimate(production(), Resources(workers, 400))
    field = {
        stage: seconds
        for stage, seconds in seconds_by_stage(cost).items()
        if stage not in ("make_images", "pbcor", "make_rms_images", "make_cutout_images", "pictures")
    }
    assert cost.seconds == pytest.approx(sum(field.values()) + rounds * cost.plane_seconds)
    assert cost.workers == max(1, min(workers, 16))


def test_limit_of_major_cycles_shortens_the_time() -> None:
    pace = Pace((1.0, 20.0, 4.0, 8.0))
    limited = estimate(production(), Resources(1, 1), nmajor=5, pace=pace)
    known = estimate(production(), Resources(1, 1), pace=Pace((1.0, 5.0, 4.0, 5.0)))
    assert limited.seconds == pytest.approx(known.seconds)
    assert estimate(production(), Resources(1, 1), nmajor=220) == estimate(production(), Resources(1, 1))


def test_finished_planes_set_the_pace() -> None:
    assumed = estimate(production(), Resources(1, 1))
    slower = estimate(production(), Resources(1, 1), pace=replace(estimates.ASSUMED, slowness=1.5))
    assert slower.plane_seconds == pytest.approx(1.5 * assumed.plane_seconds)


def test_what_is_restored_takes_no_time_again() -> None:
    whole, rest = (estimate(production(), Resources(1, 1), is_restored=flag) for flag in (False, True))
    left_out = {"transform_image_data", "restore_pims", "flag_targets_data"}
    assert {stage.stage for stage in whole.stages} - {stage.stage for stage in rest.stages} == left_out
    assert whole.seconds - rest.seconds == pytest.approx(
        sum(seconds_by_stage(whole)[stage] for stage in left_out)
    )


def test_split_of_a_set_with_the_fields_of_a_whole_observation() -> None:
    # Of the preset 'archive', measured; with its 63 fields with data alone 0.7 s.
    size = replace(production(planes=0), ms_rows=11_340, ms_visibilities=8 * 11_340)
    for rows, measured in ((14_358, 2.0), (63, 0.7)):
        cost = estimate(replace(size, ms_field_rows=rows), Resources(1, 1))
        (split,) = (stage for stage in cost.stages if stage.stage == "transform_image_data")
        assert measured / 1.5 < split.processor_seconds < measured * 1.5


def test_without_planes_nothing_but_the_data_is_left() -> None:
    cost = estimate(production(planes=0), Resources(4, 4))
    assert cost.images_bytes == cost.transient_bytes == 0
    assert cost.plane_seconds == 0
    assert [stage.stage for stage in cost.stages][-1] == "flag_targets_data"


@given(
    side=st.integers(64, 20000),
    visibilities=st.integers(0, 10**9),
    more=st.integers(1, 10**8),
    workers=st.integers(0, 40),
)
def test_more_of_anything_never_costs_less(side: int, visibilities: int, more: int, workers: int) -> None:
    def cost(side: int, visibilities: int) -> Estimate:
        size = CubeSize(
            nx=side,
            ny=side,
            cell_arcsec=0.6,
            cutout_nx=side,
            cutout_ny=side,
            planes=(PlaneSize(visibilities, 3e9),) * 3,
            ms_rows=visibilities,
            ms_visibilities=3 * visibilities,
            ms_windows=3,
        )
        return estimate(size, Resources(workers, 4))

    small = cost(side, visibilities)
    for large in (cost(side + 10, visibilities), cost(side, visibilities + more)):
        # But for the web log, which keeps fewer samples of an image that it has to reduce.
        assert large.disk_bytes - large.weblog_bytes >= small.disk_bytes - small.weblog_bytes
        assert large.memory_bytes >= small.memory_bytes
        assert large.seconds >= small.seconds


@given(durations=st.lists(st.floats(0.1, 1e5), max_size=20), workers=st.integers(1, 20))
def test_schedule_lies_between_its_bounds(durations: list[float], workers: int) -> None:
    seconds = estimates.schedule_seconds(tuple(durations), workers)
    longest, total = max(durations, default=0.0), sum(durations)
    assert seconds >= max(longest, total / workers) * (1 - 1e-9)
    assert seconds <= total / workers + longest + 1e-6


# --------------------------------------------------------------------------------------------- exact gridding


def test_the_method_of_imaging_follows_from_the_options() -> None:
    assert imaging_method(RunOptions()) == "mosaic"
    assert imaging_method(RunOptions(engine="casa")) == "casa"
    assert imaging_method(RunOptions(gridding="exact")) == "mosaic exact"
    assert imaging_method(RunOptions(profile="science")) == "mosaic exact w"
    for options in (RunOptions(), RunOptions(engine="casa"), RunOptions(profile="science")):
        assert imaging_method(options) in ENGINE_COSTS


def test_exact_gridding_and_w_cost_more_time_and_memory() -> None:
    methods = ("mosaic", "mosaic exact", "mosaic exact w")
    costs = [estimate(production(), Resources(4, 4), engine=method) for method in methods]
    assert costs[0].plane_seconds < costs[1].plane_seconds < costs[2].plane_seconds
    assert 2 < costs[2].plane_seconds / costs[0].plane_seconds < 6
    for nx, frequency_hz, cells in (
        (12500, 2.05e9, 18),
        (12500, 3e9, 31),
        (12500, 3.95e9, 35),
        (4096, 3e9, 14),
    ):
        size = replace(production(), nx=nx, ny=nx)
        support = (math.sqrt(size.footprint_cells(frequency_hz, is_exact=True)) - 1) / 2
        assert support == pytest.approx(cells, rel=0.25)
    # The border's grid is no larger than what restoration takes.
    for exact in costs[1:]:
        assert exact.worker_memory_bytes == costs[0].worker_memory_bytes + TABLE_BYTES


def test_the_model_of_the_continuum_is_predicted_at_the_same_cost() -> None:
    def restore(method: str) -> float:
        return seconds_by_stage(estimate(production(), Resources(4, 4), engine=method))["restore_pims"]

    assert restore("mosaic exact w") == restore("mosaic")
