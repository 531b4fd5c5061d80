from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from synthetic_run import HOSTILE, SyntheticRun

from vlasscube.records import CleanCycles, RegionSpectrum
from vlasscube.weblog import figures
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

    def test_summary_without_images(self, run: SyntheticRun) -> None:
        run.gather()
        planes = [replace(plane, beam=None) for plane in run.verdicts.planes]
        with style():
            drawn(figures.plane_summary(planes, 0.2, 0.8))

    def test_course_of_the_clean(self, run: SyntheticRun) -> None:
        images = run.images(3)
        with style():
            figure = drawn(figures.clean_course(images))
        above, below = figure.axes
        assert above.get_yscale() == below.get_yscale() == "log"
        first = above.get_lines()[0]
        cycles = images.iterations[1].cycles["I"]
        np.testing.assert_allclose(first.get_ydata(), cycles.model_flux_jy)
        assert [text.get_text() for text in above.texts] == ["iter1", "iter2", "iter3"]

    @pytest.mark.filterwarnings("error")
    @pytest.mark.parametrize("flux", [0.0, -1.0])
    def test_clean_that_found_nothing(self, run: SyntheticRun, flux: float) -> None:
        images = run.images(3)
        cycles = {"I": CleanCycles((1,), (0.0,), (flux,), ())}
        for found in ({}, cycles):
            iterations = tuple(replace(i, cycles=found) for i in images.iterations)
            with style():
                drawn(figures.clean_course(replace(images, iterations=iterations)))


class TestSpectra:
    def spectrum(self, run: SyntheticRun) -> RegionSpectrum:
        run.analyse()
        record = run.workspace.read_record("analyze_stokes_cubes")
        from vlasscube.records import from_plain
        from vlasscube.stages.results import StokesAnalysis

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

    def test_flux_densities(self, run: SyntheticRun) -> None:
        region = self.spectrum(run)
        with style():
            drawn(figures.flux_spectrum(region, "native", figures.shared_flux_limits([region])))

    def test_nothing_measured(self, run: SyntheticRun) -> None:
        region = replace(self.spectrum(run), measurements=(), power_law=None)
        with style():
            drawn(figures.stokes_u_vs_q(region, "native", figures.shared_fraction_limit([region])))
            drawn(figures.flux_spectrum(region, "native", figures.shared_flux_limits([region])))

    def test_negative_flux_densities(self, run: SyntheticRun) -> None:
        region = self.spectrum(run)
        negative = tuple(replace(m, stokes_i=-m.stokes_i) for m in region.measurements)
        region = replace(region, measurements=negative)
        with style():
            drawn(figures.stokes_u_vs_q(region, "native", figures.shared_fraction_limit([region])))
            drawn(figures.flux_spectrum(region, "native", figures.shared_flux_limits([region])))

    @pytest.mark.parametrize("rms", [{}, {"I": None}, {"I": 1e-4, "Q": 2e-4, "U": None}])
    def test_noise_with_gaps(self, rms: dict[str, float | None]) -> None:
        with style():
            drawn(figures.noise_spectrum("noise", {"spw2": 2e9}, {"spw2"}, {"spw2": rms}, None))


def test_nothing_of_pyplot_is_touched() -> None:
    import matplotlib as mpl

    before = dict(mpl.rcParams)
    with style():
        to_png(new_figure())
    assert dict(mpl.rcParams) == before
