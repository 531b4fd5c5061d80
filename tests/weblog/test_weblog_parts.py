from __future__ import annotations

import math
from pathlib import Path

import pytest

from vlasscube.weblog import formats, render, upkeep
from vlasscube.weblog.shading import above, below, outliers
from vlasscube.workspace.directory import Workspace


class TestFormats:
    @pytest.mark.parametrize(
        "form", [formats.mjy, formats.ghz, formats.percent, formats.duration, formats.utc]
    )
    @pytest.mark.parametrize("value", [None, math.nan, math.inf])
    def test_nothing_is_a_dash(self, form: object, value: float | None) -> None:
        assert form(value) == "–"  # type: ignore[operator]

    def test_numbers(self) -> None:
        assert formats.mjy(0.0001234) == "0.123"
        assert formats.ghz(3.052e9) == "3.052"
        assert formats.percent(0.1234, 2) == "12.34 %"
        assert formats.count(2345678) == "2\u202f345\u202f678"
        assert formats.significant(123.456) == "123"

    @pytest.mark.parametrize(
        ("size", "text"),
        [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (45.6e9, "45.6 GB"), (3e15, "3.0 PB")],
    )
    def test_sizes(self, size: int, text: str) -> None:
        assert formats.file_size(size) == text

    @pytest.mark.parametrize(
        ("seconds", "text"),
        [(0.31, "0.3 s"), (59.4, "59 s"), (60, "1 min 00 s"), (3599.6, "1 h 00 min"), (7322, "2 h 02 min")],
    )
    def test_durations(self, seconds: float, text: str) -> None:
        assert formats.duration(seconds) == text

    def test_times(self) -> None:
        assert formats.utc(59066.4257967 * 86400) == "2020-08-05 10:13:08 UTC"
        assert formats.timestamp("2026-02-01T10:05:00Z") == "2026-02-01 10:05:00 UTC"
        assert formats.timestamp("") == "–"

    def test_value_and_error(self) -> None:
        assert formats.with_error(0.0123456, 0.0005, 2, 1000) == "12.35 ± 0.50"
        assert formats.with_error(12.3, 0.45, 1, unit="°") == "12.3° ± 0.5°"
        assert formats.with_error(12.3, None, 1) == "12.3"
        assert formats.with_error(None, 0.5) == formats.DASH

    def test_positions(self) -> None:
        assert formats.sky_position(12.501525, -2.5) == "00:50:00.37 -02°30′00.0″"
        assert formats.sky_position(359.9999999, 89.9999999) == "00:00:00.00 +90°00′00.0″"

    def test_text_is_cleaned_and_cut(self) -> None:
        assert (
            formats.limited("a\x1b[31m\nb\u202e")
            == "a\N{REPLACEMENT CHARACTER}[31m\nb\N{REPLACEMENT CHARACTER}"
        )
        assert formats.limited("x" * 12, 10) == "x" * 10 + " … (2 more characters in the record)"


class TestShading:
    values = (1.0, 1.1, 0.9, 1.05, 0.95, 1.0)

    def test_levels_follow_sigma(self) -> None:
        # Median 1, median absolute deviation 0.075: σ is 0.111.
        cells = outliers([*self.values, 1.38, 0.5], formats.fixed)
        assert [cell.level for cell in cells[:6]] == [0] * 6
        assert cells[6].level == 1
        assert cells[7].level == 2
        assert cells[7].note.startswith("-4.")

    def test_only_high(self) -> None:
        cells = outliers([*self.values, 2.0, 0.1], formats.fixed, only_high=True)
        assert (cells[6].level, cells[7].level) == (4, 0)

    def test_size_counts(self) -> None:
        cells = outliers([*self.values, -1.0, -9.0], formats.fixed, absolute=True)
        assert (cells[6].level, cells[7].level) == (0, 4)
        assert cells[7].text == "-9.00"

    def test_few_or_equal_planes(self) -> None:
        assert [c.level for c in outliers([1.0, 1.0, 9.0], formats.fixed)] == [0, 0, 0]
        assert [c.level for c in outliers([1.0] * 5, formats.fixed)] == [0] * 5
        assert [c.text for c in outliers([1.0, None, 1.0, 1.0, 1.0], formats.fixed)][1] == "–"

    @pytest.mark.parametrize(
        ("value", "level"), [(12.0, 0), (10.0, 0), (9.0, 1), (7.0, 2), (4.0, 3), (1.0, 4)]
    )
    def test_below(self, value: float, level: int) -> None:
        assert below(value, "", (10.0, 7.5, 5.0, 3.0)).level == level

    @pytest.mark.parametrize(("value", "level"), [(4.9, 0), (5.0, 1), (10.0, 2), (29.0, 3), (30.0, 4)])
    def test_above(self, value: float, level: int) -> None:
        assert above(value, "", (5.0, 10.0, 20.0, 30.0)).level == level


class TestUpkeep:
    @pytest.fixture
    def rendered(self, monkeypatch: pytest.MonkeyPatch) -> list[float]:
        """Times of renderings, each of which takes one second of a clock that stands still otherwise."""
        clock, times = [1000.0], []

        def render_weblog(workspace: Workspace) -> None:
            times.append(clock[0])
            clock[0] += 1.0

        monkeypatch.setattr(upkeep.time, "monotonic", lambda: clock[0])
        monkeypatch.setattr(render, "render_weblog", render_weblog)
        self.clock = clock
        return times

    def test_not_again_at_once(self, tmp_path: Path, rendered: list[float]) -> None:
        weblog = upkeep.WeblogUpkeep(Workspace(tmp_path))
        weblog.update()
        self.clock[0] += 49
        weblog.update()
        assert rendered == [1000.0]
        self.clock[0] += 2
        weblog.update()
        weblog.finish()
        assert rendered == [1000.0, 1052.0, 1053.0]

    def test_failure_harms_nothing(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(workspace: Workspace) -> None:
            raise OSError("disk full")

        monkeypatch.setattr(render, "render_weblog", fail)
        upkeep.WeblogUpkeep(Workspace(tmp_path)).finish()
