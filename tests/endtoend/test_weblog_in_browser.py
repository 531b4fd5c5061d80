"""The web log of a whole run in a browser, against the FITS files of its products."""

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from playwright.sync_api import expect

pytestmark = [pytest.mark.casa, pytest.mark.endtoend]

PLANES = ("spw2", "spw3")


@pytest.fixture
def page(browser, mosaic_run):
    page = browser.new_page(viewport={"width": 1280, "height": 850})
    complaints = []
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    yield page
    page.close()
    assert complaints == []


def product(run, label, stokes, kind="pbcor.tt0"):
    (path,) = run.workspace.products.glob(f"*.{label}.{stokes}.iter3.image.{kind}.subim.fits")
    return fits.open(path)[0]


def test_every_page(page, mosaic_run):
    for path in sorted(mosaic_run.workspace.weblog.glob("*.html")):
        page.goto(path.as_uri())
        assert page.locator("h1").count() == 1
        assert "could not be" not in page.locator("main").inner_text(), path.name


@pytest.mark.parametrize("label", PLANES)
def test_spectrum_and_position_of_a_source_are_those_of_the_products(page, mosaic_run, label):
    chosen = product(mosaic_run, label, "IQU")
    image = chosen.data[:, 0] if chosen.data.shape[0] == 3 else chosen.data[0]
    y, x = (int(n) for n in np.unravel_index(np.nanargmax(image[0]), image[0].shape))
    address = (mosaic_run.workspace.weblog / "viewer.html").as_uri()
    page.goto(f"{address}?image={label}/cutout.pbcor.I&x={x}&y={y}")
    expect(page.locator("[data-viewer]")).to_have_attribute("data-spectrum-state", "done")
    for plane in PLANES:
        cubes = {stokes: product(mosaic_run, plane, stokes).data.squeeze() for stokes in ("IQU", "V")}
        expected = [*cubes["IQU"][:, y, x], cubes["V"][y, x]]
        for stokes, value in zip("IQUV", expected, strict=True):
            cell = page.locator(f'[data-spectrum="rows"] td[data-label="{plane}"][data-stokes="{stokes}"]')
            noise = np.nanstd(cubes["V"])
            assert float(cell.get_attribute("data-value")) == pytest.approx(value, abs=float(noise) / 32)
    position = page.locator('[data-readout="position"]')
    ra, dec = WCS(chosen.header).celestial.wcs_pix2world([[x, y]], 0)[0]
    assert float(position.get_attribute("data-ra")) == pytest.approx(ra, abs=1e-7)
    assert float(position.get_attribute("data-dec")) == pytest.approx(dec, abs=1e-7)
    value = page.locator('[data-readout="value"]')
    assert float(value.get_attribute("data-value")) == pytest.approx(image[0, y, x], abs=float(noise) / 32)


def test_thumbnails_open(page, mosaic_run):
    page.goto((mosaic_run.workspace.weblog / "stage07-make_images.html").as_uri())
    page.locator("a[data-image]").first.click()
    expect(page.locator("dialog#viewer")).to_be_visible()
    expect(page.locator("[data-viewer]")).to_have_attribute("data-state", "shown")
