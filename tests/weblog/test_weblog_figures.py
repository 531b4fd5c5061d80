from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from vlasscube.polarization.records import RegionSpectrum
from vlasscube.polarization.sefd import ReceiverNoise
from vlasscube.records import CleanCycles
from vlasscube.testing.synthetic_run import HOSTILE, SyntheticRun
from vlasscube.weblog import figures
from vlasscube.weblog.course_plot import course_plot
from vlasscube.weblog.figure_style import new_figure, style, to_png


@pytest.fixture
def run(tmp_path: Path) -> SyntheticRun:
    return SyntheticRun(tmp_path).field_stages()


def drawn(figure: Figure) -> Figure:
    assert to_png(figure).startswith(b"\x89PNG")
    return figure


class TestFlagSummary:
    def test_every_field_and_plane(self, run: SyntheticRun) -> None:
        with style():
            figure = drawn(figures.flag_summary(run.plan))
        axes = figure.axes[0]
        values = axes.collections[0].get_array()
        assert values.shape == (40, 16)
        assert values[0, 0] == pytest.approx(13.4)
        assert values[0, 14] == 100
        assert [t.get_text() for t in axes.get_xticklabels()][14] == "16*\nn=0"

    def test_names_that_look_like_formulas(self, run: SyntheticRun) -> None:
        fields = tuple(replace(field, name=HOSTILE) for field in run.plan.box_fields)
        with style():
            drawn(figures.flag_summary(replace(run.plan, box_fields=fields)))

    def test_without_fields(self, run: SyntheticRun) -> None:
        with style():
            drawn(figures.flag_summary(replace(run.plan, box_fields=())))


class TestPlanes:
    def test_summary_of_all_outcomes(self, run: SyntheticRun) -> None:
        run.gather()
        with style():
            figure = drawn(figures.plane_summary(run.verdicts.planes, 0.2, 0.8))
        assert len(figure.axes[1].patches) == 16
        above = figure.axes[0].get_lines()
        line = next(line for line in above if line.get_label() == "major axis, expected ∝ 1/ν")
        # The reference is spw 9, 3.1 arcsec at 3 GHz; the line ends at the frequencies of spw 2 and 15.
        assert line.get_ydata()[0] == pytest.approx(3.1 * 3.0 / 2.028)
        assert line.get_ydata()[-1] == pytest.approx(3.1 * 3.0 / 3.692)

    def test_summary_without_images(self, run: SyntheticRun) -> None:
        run.gather()
        planes = [replace(plane, beam=None) for plane in run.verdicts.planes]
        with style():
            drawn(figures.plane_summary(planes, 0.2, 0.8))


class TestCourseOfTheClean:
    def test_every_major_cycle(self, run: SyntheticRun) -> None:
        images = run.images(3)
        plot = course_plot(images)
        assert [end.label for end in plot.ends] == ["iter1", "iter2", "iter3"]
        assert plot.stokes == ("I", "Q", "U", "V")
        above, below = plot.panels
        assert len(above.series) == len(below.series) == 3 * 4
        for panel, values in (
            (above, lambda cycles: cycles.model_flux_jy),
            (below, lambda cycles: cycles.peak_residual_jy),
        ):
            ticks = {float(tick.label): tick.place for tick in panel.ticks}
            assert len(ticks) >= 2
            (low, low_place), *_, (high, high_place) = sorted(ticks.items())
            for iteration, series in zip((1, 2, 3), panel.series[::4], strict=True):
                cycles = images.iterations[iteration].cycles["I"]
                for mark, value in zip(series.marks, values(cycles), strict=True):
                    assert panel.top <= mark.y <= panel.bottom
                    # Logarithmic: as far between two labelled values as its logarithm is.
                    part = math.log(value / low) / math.log(high / low)
                    assert mark.y == pytest.approx(low_place + part * (high_place - low_place), abs=0.1)
                    assert f"{value:.4g}" in mark.title
        assert [m.x for m in above.series[4].marks] == sorted(m.x for m in above.series[4].marks)
        assert above.series[4].marks[0].x > plot.ends[0].place
        assert all(plot.left <= m.x <= plot.right for s in above.series for m in s.marks)

    @pytest.mark.parametrize("flux", [0.0, -1.0, math.nan])
    def test_clean_that_found_nothing(self, run: SyntheticRun, flux: float) -> None:
        images = run.images(3)
        for found in ({}, {"I": CleanCycles((1,), (0.0,), (flux,), ())}):
            iterations = tuple(replace(i, cycles=found) for i in images.iterations)
            plot = course_plot(replace(images, iterations=iterations))
            assert bool(plot.panels) == bool(found)

    @settings(deadline=None)
    @given(
        st.lists(st.floats(1e-12, 1e12), min_size=1, max_size=30),
        st.integers(1, 10**7),
        st.integers(1, 10**7),
    )
    def test_few_ticks_and_nothing_outside(self, values: list[float], first: int, more: int) -> None:
        counts = tuple(first + more * index for index in range(len(values)))
        cycles = {"Q": CleanCycles(counts, tuple(values), tuple(values), ())}
        images = SyntheticRun(Path()).images(3)
        iterations = (replace(images.iterations[1], cycles=cycles, iterations_done=counts[-1]),)
        plot = course_plot(replace(images, iterations=iterations))
        assert 1 <= len(plot.ticks) <= 9
        for panel in plot.panels:
            assert 1 <= len(panel.ticks) <= 8
            for place in [t.place for t in panel.ticks] + [m.y for s in panel.series for m in s.marks]:
                assert panel.top <= place <= panel.bottom
            for mark in panel.series[0].marks:
                assert plot.left <= mark.x <= plot.right


class TestSpectra:
    def spectrum(self, run: SyntheticRun) -> RegionSpectrum:
        run.analyse()
        record = run.workspace.read_record("analyze_stokes_cubes")
        from vlasscube.results.types import StokesAnalysis
        from vlasscube.workspace.record_json import from_plain

        assert record is not None
        return from_plain(StokesAnalysis, record.result).native[0]

    def test_fractions(self, run: SyntheticRun) -> None:
        region = self.spectrum(run)
        limit = figures.shared_fraction_limit([region])
        with style():
            figure = drawn(figures.stokes_u_vs_q(region, "native", limit))
        points = [line for line in figure.axes[0].get_lines() if line.get_marker() == "o"]
        assert len(points) == 13
        measured = min(region.measurements, key=lambda m: m.frequency_hz)
        assert points[0].get_xdata()[0] == pytest.approx(measured.stokes_q / measured.stokes_i)
        assert points[0].get_ydata()[0] == pytest.approx(measured.stokes_u / measured.stokes_i)

    def test_errors_of_fractions(self, run: SyntheticRun) -> None:
        region = self.spectrum(run)
        with style():
            figure = drawn(figures.stokes_u_vs_q(region, "native", 0.1))
        bars = [c for c in figure.axes[0].collections if isinstance(c, LineCollection)]
        # Two for each plane, that of Q/I first.
        (left, _), (right, _) = bars[0].get_segments()[0]
        point = min(region.measurements, key=lambda m: m.frequency_hz).point_source
        assert point is not None
        assert point.q_over_i is not None
        assert point.q_over_i_error is not None
        assert (left + right) / 2 == pytest.approx(point.q_over_i)
        assert (right - left) / 2 == pytest.approx(point.q_over_i_error)
        assert len(bars) == 2 * 13

    def test_flux_densities(self, run: SyntheticRun) -> None:
        """Of a point source, with its errors and its power law; the means are crosses."""
        region = self.spectrum(run)
        limits = figures.shared_flux_limits([region])
        with style():
            figure = drawn(figures.flux_spectrum(region, "native", limits))
        measured = sorted(region.measurements, key=lambda m: m.frequency_hz)
        lines = figure.axes[0].get_lines()
        crosses = next(line for line in lines if line.get_marker() == "x")
        assert list(crosses.get_ydata()) == pytest.approx([1e3 * m.stokes_i for m in measured])
        bars = [c for c in figure.axes[0].collections if isinstance(c, LineCollection)]
        for m, bar in zip(measured, bars, strict=True):
            (x, low), (_, high) = bar.get_segments()[0]
            assert m.point_source is not None
            assert x == pytest.approx(m.fit_frequency_hz / 1e9)
            assert (low + high) / 2 == pytest.approx(1e3 * m.point_source.flux_jy["I"])
            assert (high - low) / 2 == pytest.approx(1e3 * m.point_source.error_jy["I"])
            assert limits[0] < low < high < limits[1]
        labels = [str(line.get_label()) for line in lines]
        assert region.point_source_law is not None
        assert sum(f"α = {region.point_source_law.alpha:.3f}" in label for label in labels) == 1
        assert sum(label.startswith("3 × 3 mean") for label in labels) == 1

    def test_means_alone(self, run: SyntheticRun) -> None:
        region = self.spectrum(run)
        bare = tuple(replace(m, point_source=None) for m in region.measurements)
        region = replace(region, measurements=bare, point_source_law=None, rotation_measure=None)
        with style():
            figure = drawn(figures.flux_spectrum(region, "native", figures.shared_flux_limits([region])))
            drawn(figures.stokes_u_vs_q(region, "native", 0.1))
            drawn(figures.polarization_spectrum(region, "native"))
        assert not any(line.get_marker() == "x" for line in figure.axes[0].get_lines())

    @pytest.mark.parametrize("rm", [-700.0, 80.0, 900.0])
    def test_angles_beside_the_fit(self, run: SyntheticRun, rm: float) -> None:
        """Angles count modulo 180°: each is drawn in the turn nearest to the line."""
        region = self.spectrum(run)
        assert region.rotation_measure is not None
        fit = replace(region.rotation_measure, rm=rm, angle0_deg=30.0)
        measured = []
        for m in region.measurements:
            assert m.point_source is not None
            angle = (30.0 + math.degrees(rm * m.fit_lambda2_m2)) % 180.0
            measured.append(replace(m, point_source=replace(m.point_source, angle_deg=angle)))
        with style():
            figure = drawn(
                figures.polarization_spectrum(
                    replace(region, measurements=tuple(measured), rotation_measure=fit), "native"
                )
            )
        bars = [c for c in figure.axes[1].collections if isinstance(c, LineCollection)]
        assert len(bars) == 13
        for bar in bars:
            (x, low), (_, high) = bar.get_segments()[0]
            assert (low + high) / 2 == pytest.approx(30.0 + math.degrees(rm * x / 1e3), abs=1e-6)

    def test_nothing_measured(self, run: SyntheticRun) -> None:
        region = replace(self.spectrum(run), measurements=(), power_law=None)
        with style():
            drawn(figures.stokes_u_vs_q(region, "native", figures.shared_fraction_limit([region])))
            drawn(figures.flux_spectrum(region, "native", figures.shared_flux_limits([region])))
            drawn(figures.polarization_spectrum(region, "native"))

    def test_negative_flux_densities(self, run: SyntheticRun) -> None:
        region = self.spectrum(run)
        negative = tuple(
            replace(m, stokes_i=-m.stokes_i, point_source=replace(m.point_source, flux_jy={"I": -1e-3}))
            for m in region.measurements
            if m.point_source is not None
        )
        region = replace(region, measurements=negative)
        with style():
            drawn(figures.stokes_u_vs_q(region, "native", figures.shared_fraction_limit([region])))
            drawn(figures.flux_spectrum(region, "native", figures.shared_flux_limits([region])))

    @pytest.mark.parametrize("expected", [None, 1.5e-4])
    @pytest.mark.parametrize("rms", [{}, {"I": None}, {"I": 1e-4, "Q": 2e-4, "U": None}])
    def test_noise_with_gaps(self, rms: dict[str, float | None], expected: float | None) -> None:
        with style():
            figure = drawn(
                figures.noise_spectrum(
                    "noise", {"spw2": 2e9}, {"spw2"}, {"spw2": rms}, {"spw2": expected}, None
                )
            )
        lines = {line.get_label(): line for line in figure.axes[0].get_lines()}
        assert ("expected from weights" in lines) == (expected is not None)
        if expected is not None:
            assert list(lines["expected from weights"].get_ydata()) == [0.15]

    def test_receivers_are_drawn_as_recorded(self) -> None:
        receivers = ReceiverNoise(2e-7, (2.0e9, 3.5e9), (1.5e-4, 1.25e-4))
        with style():
            figure = drawn(figures.noise_spectrum("n", {"spw2": 2e9}, (), {"spw2": {}}, {}, receivers))
        line = next(line for line in figure.axes[0].get_lines() if line.get_label() == "SEFD, scaled")
        assert list(line.get_xdata()) == [2.0, 3.5]
        assert list(line.get_ydata()) == pytest.approx([0.15, 0.125])


def test_nothing_of_pyplot_is_touched() -> None:
    import matplotlib as mpl

    before = dict(mpl.rcParams)
    with style():
        to_png(new_figure())
    assert dict(mpl.rcParams) == before
