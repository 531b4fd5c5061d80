"""The web log as a user has it: opened from disk in a browser."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.wcs import WCS
from playwright.sync_api import Browser, Page, expect

from vlasscube.records import STOKES, BrightSource
from vlasscube.sky import parse_phasecenter
from vlasscube.testing.synthetic_run import SyntheticRun, fake_plane, use_planes
from vlasscube.weblog.picture_making import make_missing_pictures
from vlasscube.weblog.render import render_weblog

SIZE, CUTOUT = 512, 256
LAPTOP = {"width": 1280, "height": 850}
PHONE = {"width": 390, "height": 844}
IMAGED = ("spw2", "spw3", "spw5")


class FivePlanes(SyntheticRun):
    flagged, empty, rejected, failed, noisy = 6, -1, 5, 4, -1


@cache
def plane_of(path: Path, stokes: int) -> np.ndarray:
    """Pixels that differ from plane to plane, and are negative, blank and bright in places."""
    spw = int(path.name.split(".spw")[1].split(".")[0])
    side = CUTOUT if path.name.endswith(".subim") else SIZE
    scale = 1.0 if "mask" in path.name else 3 / spw
    return (fake_plane(path, stokes, size=side) * scale).astype(np.float32)


def finished_run(directory: Path) -> FivePlanes:
    run = FivePlanes(directory, spws=range(2, 7)).finished()
    for spw in run.imaged_spws():
        run.make_image_names(spw)
    with pytest.MonkeyPatch.context() as patch:
        use_planes(patch, plane_of)
        make_missing_pictures(run.workspace, lambda text, fraction: None)
    render_weblog(run.workspace)
    return run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> FivePlanes:
    return finished_run(tmp_path_factory.mktemp("weblog"))


class Visit:
    """A page, and everything that went wrong on it."""

    def __init__(self, page: Page, weblog: Path) -> None:
        self.page, self.weblog = page, weblog
        self.complaints: list[str] = []
        page.on(
            "console", lambda m: self.complaints.append(m.text) if m.type in ("error", "warning") else None
        )
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on(
            "dialog", lambda dialog: (self.complaints.append(f"dialog: {dialog.message}"), dialog.dismiss())
        )
        page.on("request", lambda request: self._local(request.url))

    def _said(self, kind: str, text: str) -> None:
        if kind in ("error", "warning"):
            self.complaints.append(text)

    def _local(self, url: str) -> None:
        if not url.startswith((self.weblog.as_uri(), "data:", "blob:")):
            self.complaints.append(f"asked for {url}")

    def open(self, address: str) -> Page:
        self.page.goto(f"{self.weblog.as_uri()}/{address}")
        return self.page

    def shown(self, image: str) -> None:
        expect(self.page.locator("[data-viewer]")).to_have_attribute("data-shown", image)
        expect(self.page.locator("[data-viewer]")).to_have_attribute("data-state", "shown")

    def over(self, x: float, y: float) -> tuple[float, float]:
        """Where a pixel of the image is on the screen."""
        self.page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
        view = self.page.evaluate("vlasscube.viewer.view")
        box = self.page.locator('[data-show="canvas"]').bounding_box()
        assert box is not None
        left = box["x"] + box["width"] / 2 + (x - view["x"]) * view["zoom"]
        top = box["y"] + box["height"] / 2 - (y - view["y"]) * view["zoom"]
        return left, top

    def read(self, x: int, y: int) -> dict[str, Any]:
        """What the viewer says with the pointer on a pixel."""
        self.page.mouse.move(*self.over(x, y))
        pixel = self.page.locator('[data-readout="pixel"]')
        expect(pixel).to_have_attribute("data-x", str(x))
        expect(pixel).to_have_attribute("data-y", str(y))
        position = self.page.locator('[data-readout="position"]')
        value = self.page.locator('[data-readout="value"]')
        return {
            "text": value.inner_text(),
            "value": value.get_attribute("data-value"),
            "ra": position.get_attribute("data-ra"),
            "dec": position.get_attribute("data-dec"),
        }

    def spectrum(self) -> dict[tuple[str, str], float]:
        """The table beside the image."""
        expect(self.page.locator("[data-viewer]")).to_have_attribute("data-spectrum-state", "done")
        cells = self.page.locator('[data-spectrum="rows"] td[data-stokes]').all()
        return {
            (str(c.get_attribute("data-label")), str(c.get_attribute("data-stokes"))): float(
                c.get_attribute("data-value") or "nan"
            )
            for c in cells
        }


@pytest.fixture
def visit(browser: Browser, run: FivePlanes) -> Iterator[Visit]:
    page = browser.new_page(viewport=LAPTOP)
    visit = Visit(page, run.workspace.weblog)
    yield visit
    page.close()
    assert visit.complaints == []


def product(run: FivePlanes, label: str, stokes: str) -> np.ndarray:
    names = run.workspace.read_record("make_cutout_images", label).result["images"]
    return plane_of(run.workspace.working / names["pbcor"], STOKES.index(stokes))


class TestPages:
    def test_all_open_without_complaint(self, visit: Visit) -> None:
        names = sorted(path.name for path in visit.weblog.glob("*.html"))
        assert len(names) == 1 + 1 + 12 + 5
        for name in names:
            page = visit.open(name)
            assert page.locator("h1").count() == 1
            broken = page.evaluate(
                "[...document.images].filter((i) => i.loading !== 'lazy' && !i.naturalWidth).length"
            )
            assert broken == 0

    @pytest.mark.parametrize("scheme", ["light", "dark"])
    def test_nothing_is_wider_than_a_phone(self, browser: Browser, run: FivePlanes, scheme: Any) -> None:
        page = browser.new_page(viewport=PHONE, color_scheme=scheme)
        for path in sorted(run.workspace.weblog.glob("*.html")):
            page.goto(path.as_uri())
            assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"], path.name
        page.close()

    def test_hostile_text_stays_text(self, visit: Visit) -> None:
        page = visit.open("stage01-import_data.html")
        assert "<script>alert(1)</script>" in page.locator("main").inner_text()
        assert page.locator("main img[src=x]").count() == 0
        page = visit.open("index.html")
        assert "<img src=x onerror=alert(2)>" in page.locator("main").inner_text()

    def test_text_can_be_read(self, browser: Browser, run: FivePlanes) -> None:
        """Contrast of text to its background is at least 4.5 (WCAG AA) in both schemes."""
        for scheme in ("light", "dark"):
            page = browser.new_page(viewport=LAPTOP, color_scheme=scheme)
            page.goto((run.workspace.weblog / "index.html").as_uri())
            assert page.evaluate(LOW_CONTRAST) == []
            page.close()

    def test_paper_has_what_was_folded(self, visit: Visit) -> None:
        page = visit.open("stage10-make_cutout_images.html")
        folded = page.locator("main details:not([open])").count()
        assert folded >= 3
        page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
        assert page.locator("main details:not([open])").count() == 0
        assert page.locator("main img[loading=lazy]").count() == 0
        page.evaluate("window.dispatchEvent(new Event('afterprint'))")
        assert page.locator("main details:not([open])").count() == folded


LOW_CONTRAST = """() => {
  const channels = (text) => text.match(/[\\d.]+/g).map(Number);
  const luminance = ([r, g, b]) => [r, g, b]
    .map((c) => c / 255).map((c) => (c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
    .reduce((sum, c, k) => sum + c * [0.2126, 0.7152, 0.0722][k], 0);
  const background = (element) => {
    for (let e = element; e; e = e.parentElement) {
      const colour = channels(getComputedStyle(e).backgroundColor);
      if (colour.length === 3 || colour[3] > 0.99) return colour;
    }
    return [255, 255, 255];
  };
  const found = [];
  for (const element of document.querySelectorAll("body *")) {
    const own = [...element.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim());
    if (!own || !element.checkVisibility()) continue;
    const ink = luminance(channels(getComputedStyle(element).color));
    const paper = luminance(background(element));
    const [dark, bright] = [Math.min(ink, paper), Math.max(ink, paper)];
    const ratio = (bright + 0.05) / (dark + 0.05);
    if (ratio < 4.5) found.push(`${element.className} ${element.textContent.slice(0, 30)} ${ratio}`);
  }
  return found;
}"""


class TestThumbnails:
    def test_open_and_close(self, visit: Visit) -> None:
        page = visit.open("stage07-make_images.html")
        thumbnail = page.locator('a[data-image="spw3/iter3.image.Q"]').first
        thumbnail.click()
        visit.shown("spw3/iter3.image.Q")
        expect(page.locator("dialog#viewer")).to_be_visible()
        page.keyboard.press("Escape")
        expect(page.locator("dialog#viewer")).to_be_hidden()
        assert page.evaluate("document.activeElement.dataset.image") == "spw3/iter3.image.Q"

    def test_by_keyboard(self, visit: Visit) -> None:
        page = visit.open("plane-spw2.html")
        page.locator('a[data-image="spw2/psf.I"]').focus()
        page.keyboard.press("Enter")
        visit.shown("spw2/psf.I")

    def test_every_kind(self, visit: Visit) -> None:
        page = visit.open("plane-spw2.html")
        images = page.locator("a[data-image]").evaluate_all("(found) => found.map((a) => a.dataset.image)")
        kinds = {image.rpartition(".")[0]: image for image in images}
        assert len(kinds) == 20
        for image in kinds.values():
            page.locator(f'a[data-image="{image}"]').first.click()
            visit.shown(image)
            page.locator('[data-action="close"]').click()

    def test_pictures_without_scripts(self, browser: Browser, run: FivePlanes) -> None:
        context = browser.new_context(java_script_enabled=False)
        page = context.new_page()
        page.goto((run.workspace.weblog / "plane-spw2.html").as_uri())
        page.locator('a[data-image="spw2/pbcor.I"]').first.click()
        page.wait_for_url("**/images/spw2/pbcor.I.jpg")
        context.close()

    def test_missing_values_leave_the_picture(self, browser: Browser, tmp_path: Path) -> None:
        run = finished_run(tmp_path)
        (run.workspace.weblog / "images" / "spw2" / "pb.I.js").write_text(
            "vlasscube.receive('spw2/pb.I', {});"
        )
        (run.workspace.weblog / "images" / "spw2" / "rms.I.js").unlink()
        page = browser.new_page()
        for kind in ("pb", "rms"):
            page.goto((run.workspace.weblog / "plane-spw2.html").as_uri())
            page.locator(f'a[data-image="spw2/{kind}.I"]').first.click()
            page.wait_for_url(f"**/images/spw2/{kind}.I.jpg")
        page.close()


class TestViewer:
    @pytest.mark.parametrize("stokes", ["I", "Q"])
    def test_values_at_every_zoom(self, visit: Visit, run: FivePlanes, stokes: str) -> None:
        page = visit.open(f"viewer.html?image=spw3/cutout.pbcor.{stokes}")
        visit.shown(f"spw3/cutout.pbcor.{stokes}")
        truth = product(run, "spw3", stokes)
        for _ in range(3):
            view = page.evaluate("vlasscube.viewer.view")
            for dx, dy in ((0, 0), (3, -4), (-6, 5)):
                x, y = round(view["x"]) + dx, round(view["y"]) + dy
                said = visit.read(x, y)
                assert float(said["value"]) == pytest.approx(float(truth[y, x]), abs=3e-6)
                assert float(said["text"].split()[0].replace("−", "-")) == pytest.approx(
                    1e3 * float(truth[y, x]), abs=6e-3
                )
            page.mouse.move(*visit.over(150, 100))
            page.mouse.wheel(0, -400)

    def test_bright_negative_and_blank_pixels(self, visit: Visit, run: FivePlanes) -> None:
        visit.open("viewer.html?image=spw2/cutout.pbcor.U")
        visit.shown("spw2/cutout.pbcor.U")
        truth = product(run, "spw2", "U")
        y, x = np.unravel_index(np.nanargmin(truth), truth.shape)
        assert float(visit.read(int(x), int(y))["value"]) == pytest.approx(float(truth[y, x]), abs=3e-6)
        assert truth[y, x] < -1e-3
        blank = np.argwhere(np.isnan(truth))[0]
        assert "no value" in visit.read(int(blank[1]), int(blank[0]))["text"]

    def test_positions_are_those_of_the_product(self, visit: Visit, run: FivePlanes) -> None:
        """In each plane those of its FITS file, whose reference position is corrected."""
        visit.open("viewer.html?image=spw2/cutout.pbcor.I")
        visit.shown("spw2/cutout.pbcor.I")
        exported = run.workspace.read_record("export_vlass_data").result["planes"][0]
        wcs = WCS(naxis=2)
        wcs.wcs.ctype = ["RA---SIN", "DEC--SIN"]
        wcs.wcs.cdelt = [-0.6 / 3600, 0.6 / 3600]
        wcs.wcs.crval = [exported["crval1_deg"], exported["crval2_deg"]]
        # The cutout begins at pixel 128 of an image with its reference at pixel 256, both counted from 0.
        wcs.wcs.crpix = [256 - 128 + 1, 256 - 128 + 1]
        assert math.dist(wcs.wcs.crval, parse_phasecenter(run.plan.geometry.phasecenter)[:2]) < 0.01
        for x, y in ((10, 200), (250, 3), (128, 128)):
            said = visit.read(x, y)
            ra, dec = wcs.wcs_pix2world([[x, y]], 0)[0]
            assert float(said["ra"]) == pytest.approx(ra, abs=1e-8)
            assert float(said["dec"]) == pytest.approx(dec, abs=1e-8)

    def test_positions_say_if_they_are_not_corrected(self, visit: Visit) -> None:
        page = visit.open("viewer.html")
        visit.shown("spw2/cutout.pbcor.I")
        said = page.evaluate(
            "[[1, 2], null].map((reference) => vlasscube.Catalogue.prototype.system("
            "{ frame: { system: 'J2000' }, plane: { reference } }))"
        )
        assert said == ["J2000", "J2000 (position not corrected)"]

    def test_spectrum_is_that_of_the_products(self, visit: Visit, run: FivePlanes) -> None:
        page = visit.open("viewer.html?image=spw2/cutout.pbcor.I")
        visit.shown("spw2/cutout.pbcor.I")
        truth = product(run, "spw2", "I")
        y, x = (int(n) for n in np.unravel_index(np.nanargmax(truth), truth.shape))
        page.mouse.click(*visit.over(x, y))
        spectrum = visit.spectrum()
        for label in IMAGED:
            for stokes in STOKES:
                expected = float(product(run, label, stokes)[y, x])
                assert spectrum[label, stokes] == pytest.approx(expected, abs=3e-6), (label, stokes)
        assert {label for label, _ in spectrum} == set(IMAGED)
        # The rejected plane has open symbols.
        assert page.locator('.plot-point.open[data-label="spw5"]').count() == 4
        assert page.locator('.plot-point.open[data-label="spw2"]').count() == 0

    def test_position_in_the_address(self, visit: Visit, run: FivePlanes) -> None:
        visit.open("viewer.html?image=spw3/cutout.pbcor.Q&x=150&y=100")
        visit.shown("spw3/cutout.pbcor.Q")
        spectrum = visit.spectrum()
        assert spectrum["spw3", "Q"] == pytest.approx(float(product(run, "spw3", "Q")[100, 150]), abs=3e-6)

    def test_analysed_position_is_linked(self, visit: Visit) -> None:
        page = visit.open("stage11-analyze_stokes_cubes.html")
        page.get_by_role("link", name="look at it").first.click()
        visit.shown("spw2/cutout.pbcor.I")

    def test_planes_and_stokes_by_keyboard(self, visit: Visit) -> None:
        page = visit.open("viewer.html")
        visit.shown("spw2/cutout.pbcor.I")
        page.locator('[data-show="canvas"]').focus()
        page.keyboard.press("]")
        visit.shown("spw3/cutout.pbcor.I")
        page.keyboard.press("u")
        visit.shown("spw3/cutout.pbcor.U")
        zoom = page.evaluate("vlasscube.viewer.view.zoom")
        page.keyboard.press("+")
        page.wait_for_function(f"vlasscube.viewer.view.zoom > {zoom}")
        page.keyboard.press("Enter")
        assert visit.spectrum()

    def test_blinking_keeps_the_view(self, visit: Visit) -> None:
        page = visit.open("viewer.html")
        visit.shown("spw2/cutout.pbcor.I")
        page.locator('[data-action="zoom-in"]').click()
        view = page.evaluate("vlasscube.viewer.view")
        page.locator('[data-action="blink"]').click()
        page.wait_for_selector('[data-viewer][data-shown="spw5/cutout.pbcor.I"]')
        page.locator('[data-action="blink"]').click()
        assert page.evaluate("vlasscube.viewer.view") == view

    def test_side_by_side(self, visit: Visit) -> None:
        page = visit.open("viewer.html?x=150&y=100")
        visit.shown("spw2/cutout.pbcor.I")
        page.locator('[data-action="montage"]').click()
        expect(page.locator('[data-show="montage"]')).to_have_attribute("data-state", "done")
        assert page.locator(".viewer-tile").evaluate_all(
            "(t) => t.map((tile) => tile.dataset.label)"
        ) == list(IMAGED)

    def test_stretch_and_colours(self, visit: Visit) -> None:
        page = visit.open("viewer.html")
        visit.shown("spw2/cutout.pbcor.I")
        picture = "document.querySelector('[data-show=canvas]').toDataURL()"
        before = page.evaluate(picture)
        page.locator('[data-control="high"]').fill("0.5")
        page.locator('[data-control="high"]').press("Enter")
        page.wait_for_function(f"{picture} !== {before!r}")
        page.locator('[data-control="map"]').select_option("grey")
        page.locator('[data-control="transfer"]').select_option("asinh")
        page.locator('[data-action="reset-look"]').click()
        page.mouse.move(5, 5)
        page.wait_for_function(f"{picture} === {before!r}")

    def test_nothing_to_show(self, browser: Browser, tmp_path: Path) -> None:
        run = FivePlanes(tmp_path, spws=range(2, 7))
        run.start().field_stages(last=3)
        run.fail_restore()
        render_weblog(run.workspace)
        page = browser.new_page()
        visit = Visit(page, run.workspace.weblog)
        visit.open("viewer.html")
        expect(page.locator("[data-viewer]")).to_have_attribute("data-state", "empty")
        assert visit.complaints == []
        page.close()


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> FivePlanes:
    run = FivePlanes(tmp_path_factory.mktemp("large"), spws=range(2, 4))
    run.sources = (BrightSource(801, 900, 0.075, 375.0),)
    run.finished()
    with pytest.MonkeyPatch.context() as patch:
        use_planes(patch, large_plane)
        for spw in run.imaged_spws():
            run.make_image_names(spw)
        make_missing_pictures(run.workspace, lambda text, fraction: None)
    render_weblog(run.workspace)
    return run


class TestLargeImages:
    """Of images above 1100 pixels the web log has means, and all pixels only around sources."""

    def test_sources_have_all_pixels(self, browser: Browser, large: FivePlanes) -> None:
        page = browser.new_page(viewport=LAPTOP)
        visit = Visit(page, large.workspace.weblog)
        visit.open("viewer.html?image=spw2/cutout.pbcor.I&x=801&y=900")
        visit.shown("spw2/cutout.pbcor.I")
        spectrum = visit.spectrum()
        names = {f"spw{s}": f"a.spw{s}.image.pbcor.subim" for s in (2, 3)}
        for label, name in names.items():
            for index, stokes in enumerate(STOKES):
                expected = float(large_plane(Path(name), index)[900, 801])
                assert spectrum[label, stokes] == pytest.approx(expected, abs=4e-6)
        assert "pixels of the product" in page.locator('[data-spectrum="basis"]').inner_text()
        assert visit.complaints == []
        page.close()

    def test_elsewhere_it_says_that_it_is_a_mean(self, browser: Browser, large: FivePlanes) -> None:
        page = browser.new_page(viewport=LAPTOP)
        visit = Visit(page, large.workspace.weblog)
        visit.open("viewer.html?image=spw2/cutout.pbcor.I&x=101&y=100")
        visit.shown("spw2/cutout.pbcor.I")
        spectrum = visit.spectrum()
        block = large_plane(Path("a.spw2.image.pbcor.subim"), 0)[100:102, 100:102]
        assert spectrum["spw2", "I"] == pytest.approx(float(block.mean()), abs=1e-5)
        assert "2 × 2" in page.locator('[data-spectrum="basis"]').inner_text()
        page.close()


@cache
def large_plane(path: Path, stokes: int) -> np.ndarray:
    side = 1400 if path.name.endswith(".subim") else 600
    spw = int(path.name.split(".spw")[1].split(".")[0])
    if ".rms" in path.name:
        return np.full((side, side), 2e-4, dtype=np.float32)
    plane = np.random.default_rng(10 * spw + stokes).normal(0, 2e-4, (side, side)).astype(np.float32)
    if side == 1400:
        plane[899:902, 800:803] += 0.05 * (1.0, 0.1, -0.1, 0.0)[stokes] * 3 / spw
    return plane
