"""Oracles: CASA's impbcor, and the functions that the products are put together from."""

from __future__ import annotations

import numpy as np
import pytest
from casa_oracle import run_task

from vlasscube.errors import ProductError
from vlasscube.images.plane_products import correct_primary_beam, cut, make_plane_products, reduce_image
from vlasscube.images.rms_map import rms_map
from vlasscube.images.statistics import cutout_statistics, plane_statistics
from vlasscube.records import PixelBox

CELL = 3.0
BOX = PixelBox(20, 15, 84, 70)


def planes(ny=90, nx=110):
    rng = np.random.default_rng(6)
    image, residual = rng.normal(0, 1e-4, (2, ny, nx)).astype(np.float32)
    rows, columns = np.indices((ny, nx))
    pb = np.exp(-((rows - ny // 2) ** 2 + (columns - nx // 2) ** 2) / 900.0).astype(np.float32)
    image[np.isin(rows, (30, 31)) & (columns == 40)] = 0.02
    pb[pb < 0.2] = np.nan
    return image, residual, pb


def test_products_are_what_their_parts_make():
    image, residual, pb = planes()
    before = [plane.copy() for plane in (image, residual, pb)]
    products = make_plane_products(image, residual, pb, BOX, cell_arcsec=CELL, reference_pixel=(55, 45))
    for plane, copy in zip((image, residual, pb), before, strict=True):
        np.testing.assert_array_equal(plane, copy)
    np.testing.assert_array_equal(products.pbcor.values, image / pb)
    np.testing.assert_array_equal(products.residual_pbcor.values, residual / pb)
    rms = rms_map(image / pb, CELL, (55, 45))
    np.testing.assert_array_equal(products.rms.values, rms)
    for product in (products.pbcor, products.residual_pbcor, products.rms):
        assert product.statistics == plane_statistics(product.values)
    part = np.s_[15:71, 20:85]
    cutout = products.cutout
    expected = dict(
        image=image, residual=residual, pb=pb, pbcor=image / pb, residual_pbcor=residual / pb, rms=rms
    )
    for name, whole in expected.items():
        np.testing.assert_array_equal(getattr(cutout, name), whole[part])
    assert cutout.statistics == cutout_statistics(
        image[part], residual[part], (image / pb)[part], rms[part], np.isfinite(pb[part])
    )
    assert cutout.pb_statistics == plane_statistics(pb[part])


def test_rms_of_the_cutout_alone_is_the_same():
    image, residual, pb = planes()
    parameters = dict(cell_arcsec=CELL, reference_pixel=(55, 45))
    whole = make_plane_products(image, residual, pb, BOX, **parameters)
    alone = make_plane_products(image, residual, pb, BOX, **parameters, whole_rms=False, threads=2)
    np.testing.assert_array_equal(alone.cutout.rms, whole.cutout.rms)
    np.testing.assert_array_equal(alone.rms.values, alone.cutout.rms)
    assert alone.cutout.statistics == whole.cutout.statistics


def test_division_leaves_no_infinities():
    image = np.array([[1.0, 0.0, 1.0, np.nan, 1.0, 3e38]], np.float32)
    pb = np.array([[0.0, 0.0, np.nan, 1.0, -0.5, 1e-3]], np.float32)
    np.testing.assert_array_equal(correct_primary_beam(image, pb), [[np.nan] * 4 + [-2.0, np.nan]])


def test_cut_is_a_view():
    plane = np.arange(20.0, dtype=np.float32).reshape(4, 5)
    part = cut(plane, PixelBox(1, 2, 3, 3))
    np.testing.assert_array_equal(part, [[11, 12, 13], [16, 17, 18]])
    assert np.shares_memory(part, plane)


def test_small_images():
    plane = np.ones((1300, 2500), np.float32)
    plane[5, 7] = -40.0
    plane[600:, :] = np.nan
    mean, extreme = reduce_image(plane), reduce_image(plane, "extreme")
    assert mean.block == extreme.block == 3
    assert mean.values.shape == (434, 834)
    assert mean.values[1, 2] == pytest.approx((8 - 40) / 9)
    assert extreme.values[1, 2] == -40.0
    assert np.isnan(mean.values[200:]).all()


def test_refusals():
    image, residual, pb = planes()
    with pytest.raises(ProductError, match="primary beam of shape"):
        correct_primary_beam(image, pb[1:])
    for box in (PixelBox(0, 0, 110, 89), PixelBox(-1, 0, 5, 5), PixelBox(9, 9, 8, 9)):
        with pytest.raises(ProductError, match="does not lie"):
            make_plane_products(image, residual, pb, box, cell_arcsec=CELL, reference_pixel=(55, 45))


@pytest.mark.casa
def test_equals_impbcor(tmp_path):
    image, _, pb = planes()
    image[40, 50] = np.nan
    pb[41, 52] = -0.1
    parameters = dict(mode="divide", cutoff=-1.0, stretch=False)
    expected = run_task(
        "impbcor", tmp_path, image[None], CELL, companions={"pbimage": pb[None]}, **parameters
    )[0]
    np.testing.assert_array_equal(correct_primary_beam(image, pb), expected)
