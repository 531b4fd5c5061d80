"""Oracle: CASA's impbcor."""

from __future__ import annotations

import numpy as np
import pytest

from vlasscube.errors import ProductError
from vlasscube.images.primary_beam import correct_primary_beam, corrected_noise
from vlasscube.testing.casa_images import run_task


def test_division_leaves_no_infinities():
    image = np.array([[1.0, 0.0, 1.0, np.nan, 1.0, 3e38]], np.float32)
    pb = np.array([[0.0, 0.0, np.nan, 1.0, -0.5, 1e-3]], np.float32)
    before = image.copy(), pb.copy()
    np.testing.assert_array_equal(correct_primary_beam(image, pb), [[np.nan] * 4 + [-2.0, np.nan]])
    np.testing.assert_array_equal((image, pb), before)


def test_shapes_must_agree():
    with pytest.raises(ProductError, match="primary beam of shape"):
        correct_primary_beam(np.zeros((4, 4), np.float32), np.ones((3, 4), np.float32))


@pytest.mark.casa
def test_equals_impbcor(tmp_path):
    rng = np.random.default_rng(6)
    image = rng.normal(0, 1e-4, (90, 110)).astype(np.float32)
    rows, columns = np.indices(image.shape)
    pb = np.exp(-((rows - 45) ** 2 + (columns - 55) ** 2) / 900.0).astype(np.float32)
    pb[pb < 0.2] = np.nan
    image[40, 50] = np.nan
    pb[41, 52] = -0.1
    parameters = dict(mode="divide", cutoff=-1.0, stretch=False)
    expected = run_task(
        "impbcor", tmp_path, image[None], 3.0, companions={"pbimage": pb[None]}, **parameters
    )[0]
    np.testing.assert_array_equal(correct_primary_beam(image, pb), expected)


def test_noise_grows_by_the_correction():
    """Half the response, twice the noise."""
    assert corrected_noise(2e-4, 0.5) == pytest.approx(4e-4)
    assert corrected_noise(2e-4, 1.0) == 2e-4
    assert corrected_noise(None, 0.5) is None
    assert corrected_noise(2e-4, None) is None
    assert corrected_noise(2e-4, 0.0) is None
