from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit
from xml.etree.ElementTree import Element

import html5lib
import pytest

from vlasscube.clean_terms import StopCode
from vlasscube.recipe import ANALYZE_STOKES_CUBES, FLAG_TARGETS_DATA, MAKE_IMAGES, RECIPE
from vlasscube.results.types import StokesAnalysis
from vlasscube.testing.synthetic_run import (
    HOSTILE,
    SyntheticRun,
    fake_plane,
    noise_jy,
    spw_frequency,
    use_planes,
)
from vlasscube.weblog import figure_style, previews, render
from vlasscube.weblog.course_plot import course_plot
from vlasscube.weblog.render import render_weblog
from vlasscube.weblog.site import Site, stage_page
from vlasscube.weblog.viewer_index import viewer_index
from vlasscube.workspace.directory import Workspace
from vlasscube.workspace.record_json import from_plain, to_json


class SmallRun(SyntheticRun):
    flagged, empty, rejected, failed, noisy = 6, 7, 5, 8, 4


def small_run(directory: Path) -> SmallRun:
    directory.mkdir(parents=True, exist_ok=True)
    return SmallRun(directory, spws=range(2, 9))


def parse(path: Path) -> Element:
    parser = html5lib.HTMLParser(strict=True, namespaceHTMLElements=False)
    return parser.parse(path.read_text(encoding="utf-8"))


def pages(workspace: Workspace) -> dict[str, Element]:
    return {path.name: parse(path) for path in sorted(workspace.weblog.glob("*.html"))}


def text_of(element: Element) -> str:
    return " ".join("".join(element.itertext()).split())


def rows_of(page: Element) -> list[list[str]]:
    main = page.find(".//main")
    rows = (page if main is None else main).iter("tr")
    return [[text_of(cell) for cell in row if cell.tag in ("td", "th")] for row in rows]


def analysis_of(run: SmallRun) -> StokesAnalysis:
    record = run.workspace.read_record(ANALYZE_STOKES_CUBES.name)
    assert record is not None
    return from_plain(StokesAnalysis, record.result)


def assert_sound(workspace: Workspace) -> None:
    """Valid HTML, nothing active, policy present, no dead links."""
    documents = pages(workspace)
    assert set(documents) >= {"index.html", *(stage_page(entry) for entry in RECIPE)}
    for name, page in documents.items():
        ids = [element.get("id") for element in page.iter() if element.get("id")]
        assert len(ids) == len(set(ids)), name
        head = page.find("head")
        assert head is not None
        policy = head.findall("meta")[1]
        assert policy.get("http-equiv") == "Content-Security-Policy"
        assert policy.get("content", "").startswith("default-src 'none'")
        for element in page.iter():
            assert element.tag not in ("iframe", "object", "embed", "base", "form"), name
            if element.tag == "script":
                # Our own files, nothing on the page itself.
                assert element.get("src") in render.SCRIPTS, name
                assert not (element.text or "").strip(), name
            assert not [key for key in element.attrib if key.startswith("on") or key == "style"], name
            if element.tag == "img":
                assert element.get("alt"), name
            image = element.get("data-image")
            if image is not None:
                assert (workspace.weblog / "images" / f"{image}.js").is_file(), (name, image)
            for link in (element.get("href"), element.get("src")):
                assert_leads_somewhere(link, workspace, documents, name)


def assert_leads_somewhere(
    link: str | None, workspace: Workspace, documents: dict[str, Element], name: str
) -> None:
    if link is None or link == "data:,":
        return
    parts = urlsplit(link)
    assert not parts.scheme, (name, link)
    assert not parts.netloc, (name, link)
    if parts.path:
        target = (workspace.weblog / unquote(parts.path)).resolve()
        assert target.is_file(), (name, link)
        assert target.is_relative_to(workspace.directory.resolve()), (name, link)
    if parts.fragment:
        document = documents[parts.path or name]
        assert any(element.get("id") == parts.fragment for element in document.iter()), (name, link)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> SmallRun:
    run = small_run(tmp_path_factory.mktemp("finished"))
    run.finished()
    with pytest.MonkeyPatch.context() as patch:
        use_planes(patch, lambda path, stokes: fake_plane(path, stokes, size=96))
        run.make_image_names(3)
        for stage in RECIPE.of_planes:
            previews.make_previews(run.workspace, stage, "spw3")
    render_weblog(run.workspace)
    return run


class TestNothingRun:
    def test_pages_stand(self, tmp_path: Path) -> None:
        workspace = Workspace(tmp_path)
        assert render_weblog(workspace) == tmp_path / "weblog" / "index.html"
        assert_sound(workspace)
        table = rows_of(parse(tmp_path / "weblog" / "index.html"))
        assert [row[1] for row in table[1:]] == ["· not run"] * 12


class TestFinishedRun:
    def test_sound(self, finished: SmallRun) -> None:
        assert_sound(finished.workspace)

    def test_every_page_rendered(self, finished: SmallRun) -> None:
        for name, page in pages(finished.workspace).items():
            assert "could not be" not in text_of(page), name

    def test_hostile_text_is_text(self, finished: SmallRun) -> None:
        shown = HOSTILE.replace("\x1b", "\N{REPLACEMENT CHARACTER}")
        assert "<script>" in shown
        for name in ("index.html", "stage01-import_data.html", "stage07-make_images.html", "plane-spw8.html"):
            path = finished.workspace.weblog / name
            assert shown in text_of(parse(path)), name
            assert "<script>" not in path.read_text(), name
            assert "\x1b" not in path.read_text(), name

    def test_overview_numbers(self, finished: SmallRun) -> None:
        page = parse(finished.workspace.weblog / "index.html")
        table = {row[0]: row for row in rows_of(page)}
        for spw in (2, 3, 4, 5):
            row = table[str(spw)]
            beam = finished.beam(spw)
            flags = finished.plane_target(spw).box_flags
            assert row[1] == f"{spw_frequency(spw) / 1e9:.3f}"
            assert row[2].split()[0] == ("rejected" if spw == 5 else "imaged")
            assert row[3] == f"{beam.bmaj_arcsec:.2f} × {beam.bmin_arcsec:.2f}, {beam.bpa_deg:.0f}°"
            assert row[4] == f"{100 * flags.flagged / flags.total:.1f} %"
            assert row[5] == f"{noise_jy(spw, 'I') * 1e3:.3f}"
            assert row[6] == "[2] threshold"
        assert [table[str(spw)][2].split()[0] for spw in (6, 7, 8)] == ["flagged", "empty", "failed"]
        assert "7 planes requested: 3 imaged, 1 rejected, 1 flagged, 1 empty, 1 failed." in text_of(page)

    def test_failures_stand_first(self, finished: SmallRun) -> None:
        page = parse(finished.workspace.weblog / "index.html")
        notices = [item for item in page.iter("li") if item.get("class") in ("error", "warning")]
        assert [item.get("class") for item in notices] == ["error"] + ["warning"] * 4
        assert "spw8 iter1: the psf has no beam" in text_of(notices[0])
        assert "Look at the residual images." in text_of(notices[0])

    def test_changed_options(self, finished: SmallRun) -> None:
        table = rows_of(parse(finished.workspace.weblog / "index.html"))
        assert ["nmajor", "220", "none"] in table
        assert ["reject_by_beam", "on", "off"] in table

    def test_profile(self, finished: SmallRun) -> None:
        shown = text_of(parse(finished.workspace.weblog / "index.html"))
        assert "archive: gridding casa, w_correction off, " in shown

    def test_targets_have_their_rows(self, finished: SmallRun) -> None:
        table = rows_of(parse(finished.workspace.weblog / "stage06-edit_image_list_cube.html"))
        row = next(row for row in table if row[0] == "3")
        target = finished.plane_target(3)
        flagged = f"{100 * target.flags.flagged / target.flags.total:.2f} %"
        assert row[1:3] == ["2.156", flagged]
        settings = {row[0]: row[1] for row in table if len(row) == 2}
        assert f"3 {target.image_root}4 " in settings["imagename"]
        assert settings["mask (per iteration)"].endswith("combined-tier2.maskpb")
        assert settings["spw"].startswith("2 23 2")
        assert "3 2.156 GHz" in settings["reffreq"]
        assert f"3 {flagged}" in settings["flagged"]

    def test_stokes_in_columns(self, finished: SmallRun) -> None:
        page = parse(finished.workspace.weblog / "stage07-make_images.html")
        section = next(s for s in page.iter("section") if s.get("id") == "spw3")
        table = rows_of(section)
        assert ["iter3", "I", "Q", "U", "V"] in table
        noise = [f"{noise_jy(3, s) * 1e3:.3f}" for s in "IQUV"]
        assert ["rms of the image (not corrected), mJy/beam", *noise] in table
        images = [i.get("src", "") for i in section.iter("img")]
        assert [f"images/spw3/iter3.image.{s}.jpg" for s in "IQUV"] == images[:4]
        assert "tclean(vis=" in text_of(section)

    def test_outliers_are_shaded(self, finished: SmallRun) -> None:
        page = parse(finished.workspace.weblog / "stage09-make_rms_images.html")
        shaded = {
            text_of(row[0]): [cell.get("class", "") for cell in row if "shade" in cell.get("class", "")]
            for row in next(page.iter("table")).iter("tr")
        }
        assert len(shaded["4"]) == 24
        assert set(shaded["4"]) == {"num shade4"}
        assert not shaded["2"]

    def test_cutout_statistics(self, finished: SmallRun) -> None:
        table = rows_of(parse(finished.workspace.weblog / "stage10-make_cutout_images.html"))
        row = next(row for row in table if row[0] == "2")
        sigma = noise_jy(2, "I") * 1e3
        assert row[1:4] == [f"{40 * sigma:.3f}", f"{sigma:.3f}", "40.0"]
        expected = noise_jy(2, "Q") * 1e3 / 1.05
        assert row[7:9] == [f"{expected:.3f}", f"{sigma / expected:.2f}"]
        assert row[9:13] == [f"{3 * sigma:.3f}", f"{sigma:.3f}", "97.0 %", "2.0 %"]

    def test_noise_beside_what_the_weights_let_expect(self, finished: SmallRun) -> None:
        """Q, U and V of the noisy plane have twice the noise; so has I, but that may have."""
        page = parse(finished.workspace.weblog / "stage07-make_images.html")
        table = next(table for table in page.iter("table") if "Expected" in text_of(table))
        rows = {text_of(row[0]): list(row) for row in table.iter("tr")}
        assert [text_of(cell) for cell in rows["2"][3:]] == ["1.05"] * 3
        assert not any("shade" in cell.get("class", "") for cell in rows["2"])
        shaded = ["shade4" in cell.get("class", "") for cell in rows["4"]]
        assert shaded == [False, False, False, True, True, True]

    def test_spectra_at_both_resolutions(self, finished: SmallRun) -> None:
        page = parse(finished.workspace.weblog / "stage11-analyze_stokes_cubes.html")
        text = text_of(page)
        analysis = analysis_of(finished)
        for region in (*analysis.native, *analysis.common):
            for law in (region.power_law, region.point_source_law):
                assert (
                    f"{1e3 * law.flux_3ghz_jy:.3f} ± {1e3 * law.flux_3ghz_error_jy:.3f} mJy/beam at 3 GHz, "
                    f"α = {law.alpha:.3f} ± {law.alpha_error:.3f}"
                ) in text
            fit = region.rotation_measure
            assert f"RM = {fit.rm:.1f} ± {fit.rm_error:.1f} rad m⁻²" in text
        assert len(list(page.iter("img"))) == 13
        assert "not recorded" not in text

    def test_point_source_beside_the_mean(self, finished: SmallRun) -> None:
        page = parse(finished.workspace.weblog / "stage11-analyze_stokes_cubes.html")
        region = analysis_of(finished).native[0]
        flux, polarization = [rows_of(table) for table in list(page.iter("table"))[:2]]
        by_plane = {row[0]: row for row in flux}, {row[0]: row for row in polarization}
        for m in region.measurements:
            name, point = m.label.removeprefix("spw"), m.point_source
            row = next(r for key, r in by_plane[0].items() if key.split()[:1] == [name])
            assert row[1:5] == [
                f"{m.frequency_hz / 1e9:.3f}",
                f"{m.fit_frequency_hz / 1e9:.3f}",
                f"{1e3 * m.rms_median['I']:.3f}",
                f"{1e3 * m.stokes_i:.3f}",
            ]
            assert row[9:12] == [
                f"{point.beam_mean:.3f}",
                f"{1e3 * point.flux_jy['I']:.3f} ± {1e3 * point.error_jy['I']:.3f}",
                f"{point.snr:.1f}",
            ]
            row = next(r for key, r in by_plane[1].items() if key.split()[:1] == [name])
            assert row[1] == f"{1e3 * m.stokes_q:.3f}"
            assert row[7:] == [
                f"{1e3 * point.polarized_jy:.3f} ± {1e3 * point.polarized_error_jy:.3f}",
                f"{100 * point.q_over_i:.2f} ± {100 * point.q_over_i_error:.2f}",
                f"{100 * point.u_over_i:.2f} ± {100 * point.u_over_i_error:.2f}",
                f"{point.angle_deg:.1f} ± {point.angle_error_deg:.1f}",
            ]
        text = text_of(page)
        low, high = region.measurements[0].point_source, region.measurements[-1].point_source
        assert f"{low.beam_mean:.2f} of a point source's flux density" in text
        assert f"and {high.beam_mean:.2f} at" in text
        assert "corrected for the w-term, 0.46″" in text
        assert "pixel (256.20, 259.90), fitted" in text

    def test_products_are_linked(self, finished: SmallRun) -> None:
        page = parse(finished.workspace.weblog / "stage12-export_vlass_data.html")
        links = [a.get("href", "") for a in page.iter("a") if a.get("href", "").startswith("../products/")]
        assert len(links) == 8
        assert "gone %&#.fits missing" in text_of(page)

    def test_shifts_stand_beside_each_other(self, finished: SmallRun) -> None:
        page = parse(finished.workspace.weblog / "stage12-export_vlass_data.html")
        table = next(table for table in page.iter("table") if "Shift expected" in text_of(table))
        row = next(row for row in table.iter("tr") if text_of(row[0]) == "2")
        corrected = 0.25 * 0.839 * (3e9 / spw_frequency(2)) ** 2
        assert [text_of(cell) for cell in row[3:6]] == [f"{corrected:.3f}", "0.384", "0.027"]

    def test_what_leaving_w_out_costs(self, finished: SmallRun) -> None:
        left = 97.3 * (spw_frequency(3) / 2e9) ** 0.03
        for name in ("plane-spw3.html", "stage07-make_images.html"):
            text = text_of(parse(finished.workspace.weblog / name))
            assert f"{left:.1f} % of the peak, 94.1 % where it is worst" in text
            assert "0.012″ east, 0.384″ north" in text
        assert "spectral indices are expected to be too large by 0.030" in text

    def test_planes_have_all_pictures(self, finished: SmallRun) -> None:
        page = parse(finished.workspace.weblog / "plane-spw3.html")
        shown = {i.get("src", "").rpartition("/")[2] for i in page.iter("img")}
        for name in ("psf.I", "pb.I", "model.V", "iter0.residual.Q", "iter2.cleanmask.I", "cutout.pbcor.U"):
            assert shown & {f"{name}.jpg", f"{name}.png"}


class TestRecordsOfEarlierVersions:
    """Without what stages 10 and 11 did not record then."""

    def test_pages_say_what_is_not_recorded(self, tmp_path: Path) -> None:
        run = small_run(tmp_path)
        run.finished()
        new = {
            "make_cutout_images": {"expected_noise_jy", "expected_corrected_noise_jy", "noise_ratio"},
            "analyze_stokes_cubes": {"receivers_by_image", "receivers_by_rms", "sources"},
        }
        for stage, names in new.items():
            for label in ["spw2", "spw3", "spw4", "spw5"] if stage == "make_cutout_images" else [None]:
                record = run.workspace.read_record(stage, label)
                assert record is not None
                assert names <= record.result.keys()
                result = {key: value for key, value in record.result.items() if key not in names}
                run.workspace.write_record(replace(record, result=result))
        render_weblog(run.workspace)
        assert_sound(run.workspace)
        cutouts = parse(run.workspace.weblog / "stage10-make_cutout_images.html")
        row = next(row for row in rows_of(cutouts) if row[0] == "2")
        assert row[7:9] == ["not recorded", "–"]
        analysis = text_of(parse(run.workspace.weblog / "stage11-analyze_stokes_cubes.html"))
        for text in (
            "The brightest sources are not recorded",
            "expected from the weights of the data is not recorded",
            "flux density of the receivers, scaled to the planes, is not recorded",
        ):
            assert text in analysis, text
        assert "could not be drawn" not in analysis

    def test_spectra_without_values_of_a_point_source(self, tmp_path: Path) -> None:
        """What 0.1.0 recorded of them."""
        run = small_run(tmp_path)
        run.finished()
        record = run.workspace.read_record(ANALYZE_STOKES_CUBES.name)
        assert record is not None
        result = dict(record.result)
        del result["reference_positions_deg"]
        of_region = {"position_shift_arcsec", "center", "point_source_law", "rotation_measure"}
        of_plane = {"point_source", "effective_frequency_hz", "mean_lambda2_m2", "bandwidth_hz"}
        for name in ("native", "common"):
            result[name] = [
                {key: value for key, value in region.items() if key not in of_region}
                | {
                    "measurements": [
                        {key: value for key, value in m.items() if key not in of_plane}
                        for m in region["measurements"]
                    ]
                }
                for region in result[name]
            ]
        run.workspace.write_record(replace(record, result=result))
        assert analysis_of(run).native[0].point_source_law is None
        render_weblog(run.workspace)
        assert_sound(run.workspace)
        page = parse(run.workspace.weblog / "stage11-analyze_stokes_cubes.html")
        text = text_of(page)
        assert len(list(page.iter("img"))) == 9
        assert "position without the correction for the w-term" in text
        assert "For a point source it falls short" in text
        assert "point source:" not in text
        assert "could not be drawn" not in text
        row = next(row for row in rows_of(page) if row[0] == "2")
        assert len(row) == 8

    def test_positions_in_the_viewer_before_the_export(self, tmp_path: Path) -> None:
        run = small_run(tmp_path)
        run.finished()
        positions = analysis_of(run).reference_positions_deg
        assert positions is not None
        run.workspace.record_path("export_vlass_data").unlink()
        planes = viewer_index(Site(run.workspace))["planes"]
        found = {plane["label"]: plane["crval_deg"] for plane in planes if plane["crval_deg"]}
        assert found == {label: list(position) for label, position in positions.items()}
        run.workspace.record_path("analyze_stokes_cubes").unlink()
        planes = viewer_index(Site(run.workspace))["planes"]
        assert all(plane["crval_deg"] is None for plane in planes)


class TestRestoreFailed:
    @pytest.fixture
    def run(self, tmp_path: Path) -> SmallRun:
        run = small_run(tmp_path)
        run.start().field_stages(last=3)
        run.fail_restore()
        render_weblog(run.workspace)
        return run

    def test_sound(self, run: SmallRun) -> None:
        assert_sound(run.workspace)

    def test_seven_resources(self, run: SmallRun) -> None:
        page = parse(run.workspace.weblog / "stage04-restore_pims.html")
        rows = [row for row in rows_of(page) if len(row) == 4][1:]
        assert [row[1] for row in rows] == [
            "✗ missing" if row[0] in ("Selfcal Table", "Combined Final Mask") else "✓ found" for row in rows
        ]
        assert len(rows) == 7
        assert all(row[3] for row in rows)
        missing = next(row for row in rows if row[0] == "Selfcal Table")
        assert missing[2].startswith("nothing matches <script>")
        assert missing[3].endswith(".phase-self-cal.tbl*")
        assert "Take the archive of the continuum run of this image." in text_of(page)

    def test_overview_tells(self, run: SmallRun) -> None:
        text = text_of(parse(run.workspace.weblog / "index.html"))
        assert "missing in reimaging_resources.tgz: selfcal_table, tier2_mask" in text

    def test_later_stages_of_an_earlier_run(self, tmp_path: Path) -> None:
        run = small_run(tmp_path / "again")
        run.start().field_stages()
        run.fail_restore()
        render_weblog(run.workspace)
        assert_sound(run.workspace)
        status = {
            row[0]: row[1] for row in rows_of(parse(run.workspace.weblog / "index.html")) if len(row) == 3
        }
        assert status["4. Restore the continuum run's state"] == "✗ failed"
        assert status["5. Flag the target data"] == "↻ to be done again"


class TestUnderWay:
    def test_planes_under_way(self, tmp_path: Path) -> None:
        run = small_run(tmp_path)
        run.start().field_stages()
        run.plane_stages(2, last="pbcor")
        run.write_iteration(3, 0)
        run.write_iteration(3, 1)
        run.fail_plane(8)
        render_weblog(run.workspace)
        assert_sound(run.workspace)
        table = {
            row[0]: row[2] for row in rows_of(parse(run.workspace.weblog / "index.html")) if len(row) == 8
        }
        assert table["2"] == "pbcor done"
        assert table["3"] == "iter1 done"
        assert table["4"] == "waiting"
        assert table["6"].startswith("flagged")
        assert table["8"].startswith("failed")

    def test_a_plane_whose_clean_diverged(self, tmp_path: Path) -> None:
        """Its images are those of iter1; how iter2 went is told, on its way and when it is done."""
        run = small_run(tmp_path)
        run.start().field_stages()
        for number in (0, 1):
            run.write_iteration(3, number)
        diverged = replace(
            run.iteration(3, 2), stop_code=StopCode.GREW_SINCE_LAST, statistics={}, files=(), seconds=77.0
        )
        run.write("make_images.iter2", diverged, "spw3")
        assert [found.number for found in render.Site(run.workspace).run.iterations("spw3")] == [0, 1]
        whole = run.images(3)
        images = replace(whole, iterations=whole.iterations[:2], diverged=diverged)
        run.write("make_images", images, "spw3", (run.key("restore_pims"), run.key("flag_targets_data")))
        render_weblog(run.workspace)
        assert_sound(run.workspace)
        state = next(s for s in render.Site(run.workspace).run.plane_states() if s.label == "spw3")
        assert state.stop == StopCode.GREW_SINCE_LAST.text
        page = parse(run.workspace.weblog / "plane-spw3.html")
        text = text_of(page)
        assert "[5] peak residual grew more than 3 times since the previous major cycle in iter2" in text
        assert "iter1.image.tt0" in text
        rows = {row[0]: row for row in rows_of(page)}
        assert rows["iter2"][5] == StopCode.GREW_SINCE_LAST.text
        assert "iter2: image" not in text
        course = course_plot(images)
        assert [tick.label for tick in course.ends] == ["iter1", "iter2"]

    def test_planes_imaged_again_lose_their_verdict(self, finished: SmallRun, tmp_path: Path) -> None:
        run = small_run(tmp_path)
        run.finished()
        run.workspace.remove_record("make_images", "spw3")
        records = render.Site(run.workspace).run
        states = {state.label: state.word for state in records.plane_states()}
        assert states["spw3"] == "make_cutout_images done" or states["spw3"] == "waiting"
        assert not records.verdicts

    def test_pages_of_planes_no_longer_asked_for(self, tmp_path: Path) -> None:
        run = small_run(tmp_path)
        run.start().field_stages()
        stale = run.workspace.weblog / "plane-spw99.html"
        stale.parent.mkdir()
        stale.write_text("old")
        theirs = [
            run.workspace.weblog / name for name in ("plane-notes.html", "notes.html", "figures/mine.png")
        ]
        theirs[-1].parent.mkdir()
        for path in theirs:
            path.write_text("precious")
        render_weblog(run.workspace)
        assert not stale.exists()
        assert {path.read_text() for path in theirs} == {"precious"}


@pytest.mark.slow
class TestDamage:
    @pytest.mark.parametrize("text", ["", "{", "[]", '{"stage": 3}', "\x00\xff"])
    def test_damaged_record(self, tmp_path: Path, text: str) -> None:
        run = small_run(tmp_path)
        run.start().field_stages()
        run.workspace.record_path("flag_targets_data").write_text(text)
        render_weblog(run.workspace)
        assert_sound(run.workspace)
        for name in ("index.html", "stage05-flag_targets_data.html"):
            assert "damaged record: records/flag_targets_data.json" in text_of(
                parse(run.workspace.weblog / name)
            )

    @pytest.mark.parametrize("stage", [entry.name for entry in RECIPE])
    def test_result_of_another_version(self, tmp_path: Path, stage: str) -> None:
        run = small_run(tmp_path)
        run.start().field_stages()
        plane = "spw2" if stage in ("make_images", "pbcor", "make_rms_images", "make_cutout_images") else None
        run.write(stage, None, plane)
        path = run.workspace.record_path(stage, plane)
        path.write_text(path.read_text().replace('"result": null', '"result": {"other": 1}'))
        render_weblog(run.workspace)
        assert_sound(run.workspace)
        assert "not a valid" in text_of(parse(run.workspace.weblog / "index.html"))

    def test_damaged_options(self, tmp_path: Path) -> None:
        run = small_run(tmp_path).start()
        (run.workspace.records / "options.json").write_text("{")
        render_weblog(run.workspace)
        assert "The options cannot be read" in text_of(parse(run.workspace.weblog / "index.html"))

    def test_labels_never_leave_the_directory(self, tmp_path: Path) -> None:
        run = small_run(tmp_path)
        run.start().field_stages()
        path = run.workspace.record_path("edit_image_list_cube")
        path.write_text(path.read_text().replace('"label": "spw2"', '"label": "../../spw2"'))
        render_weblog(run.workspace)
        assert_sound(run.workspace)
        assert "labels in the record are not valid" in text_of(parse(run.workspace.weblog / "index.html"))

    def test_page_that_fails(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(site: object) -> dict[str, Any]:
            raise ValueError(HOSTILE)

        monkeypatch.setitem(render._STAGE_CONTENT, FLAG_TARGETS_DATA, fail)
        run = small_run(tmp_path)
        run.start().field_stages()
        render_weblog(run.workspace)
        assert_sound(run.workspace)
        for name, page in pages(run.workspace).items():
            broken = "This page could not be rendered" in text_of(page)
            assert broken == (name == "stage05-flag_targets_data.html")

    def test_long_messages_are_cut(self, tmp_path: Path) -> None:
        run = small_run(tmp_path)
        run.start().field_stages()
        run.fail_plane(2, "x" * 1_000_000)
        render_weblog(run.workspace)
        assert sum(path.stat().st_size for path in run.workspace.weblog.glob("*.html")) < 500_000
        assert "more characters in the record" in text_of(parse(run.workspace.weblog / "index.html"))

    def test_product_links_stay_inside(self, tmp_path: Path) -> None:
        run = small_run(tmp_path)
        (tmp_path / "secret").write_text("")
        run.workspace.products.mkdir()
        site = render.Site(run.workspace)
        assert site.product_link("../secret") == ""
        assert site.product_link(str(tmp_path / "secret")) == ""
        assert site.product_link("javascript:alert(1)") == ""


class TestFigures:
    def test_drawn_once(self, finished: SmallRun, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(figure: object) -> bytes:
            raise AssertionError("drawn again")

        monkeypatch.setattr(figure_style, "to_png", fail)
        before = sorted((finished.workspace.weblog / "figures").iterdir())
        render_weblog(finished.workspace)
        assert sorted((finished.workspace.weblog / "figures").iterdir()) == before
        assert len(before) == 1 + 1 + 1 + 2 + 12

    def test_failure_is_shown_in_place(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(figure: object) -> bytes:
            raise RuntimeError("no ink")

        monkeypatch.setattr(figure_style, "to_png", fail)
        run = small_run(tmp_path)
        run.start().field_stages()
        render_weblog(run.workspace)
        assert_sound(run.workspace)
        page = parse(run.workspace.weblog / "stage06-edit_image_list_cube.html")
        assert "This figure could not be drawn: RuntimeError: no ink" in text_of(page)
        assert "2.156" in text_of(page)

    def test_drawn_anew_for_a_new_record(self, tmp_path: Path) -> None:
        run = small_run(tmp_path)
        run.start().field_stages()
        render_weblog(run.workspace)
        old = set((run.workspace.weblog / "figures").iterdir())
        record = run.workspace.read_record("edit_image_list_cube")
        assert record is not None
        path = run.workspace.record_path("edit_image_list_cube")
        path.write_text(to_json(replace(record, finished="2026-02-02T00:00:00Z")))
        render_weblog(run.workspace)
        new = set((run.workspace.weblog / "figures").iterdir())
        assert len(old) == len(new) == 2
        assert not old & new

    def test_pictures_of_an_earlier_run_are_not_shown(self, tmp_path: Path) -> None:
        run = small_run(tmp_path)
        run.start().field_stages()
        run.plane_stages(2)
        path = previews.list_path(run.workspace, MAKE_IMAGES, "spw2")
        path.parent.mkdir(parents=True)
        listed = {
            "kind": "iter3.image",
            "stokes": "I",
            "picture": "a.jpg",
            "data": "b.js",
            "width": 1,
            "height": 1,
            "block": 1,
            "ramp": "inferno",
            "low": 0.0,
            "high": 1.0,
            "unit": "Jy/beam",
            "title": "t",
            "caption": "c",
        }
        for name in ("a.jpg", "b.js"):
            (path.parent / name).write_bytes(b"")
        path.write_text(json.dumps({"key": "of another run", "previews": [listed]}))
        assert render.Site(run.workspace).pictures("spw2") == {}
        path.write_text(json.dumps({"key": run.key("make_images", "spw2"), "previews": [listed]}))
        assert list(render.Site(run.workspace).pictures("spw2")) == [("iter3.image", "I")]
