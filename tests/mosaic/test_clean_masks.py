"""Masks from mask images and primary beams."""

import numpy as np
import pytest

from vlasscube import casa
from vlasscube.images.casa_images import read_cube
from vlasscube.mosaic.masks import full_mask, mask_planes, pb_mask, user_mask

IMAGE = np.array([[0.0, 1.0, 0.2], [-1.0, np.nan, 0.0]])


def test_user_mask_is_where_the_image_is_positive():
    expected = [[False, True, True], [False, False, False]]
    assert np.array_equal(user_mask(IMAGE), expected)
    assert np.array_equal(user_mask(IMAGE[np.newaxis]), expected)


def test_user_mask_may_have_a_plane_for_each_stokes_parameter():
    planes = np.stack([IMAGE, -IMAGE])
    assert user_mask(planes).shape == (2, 2, 3)
    assert np.array_equal(user_mask(planes)[1], user_mask(-IMAGE))


def test_pb_mask_is_above_the_level():
    pb = np.array([[0.4, 0.41], [np.nan, 0.0]], np.float32)
    assert np.array_equal(pb_mask(pb, 0.40001), [[False, True], [False, False]])
    assert np.array_equal(pb_mask(pb, 0.0), [[True, True], [False, False]])


def test_full_mask_is_everywhere():
    assert full_mask((3, 5)).all()
    assert full_mask((3, 5)).shape == (3, 5)


@pytest.mark.parametrize("planes", [1, 4])
def test_written_mask_has_all_planes(planes):
    mask = user_mask(IMAGE)
    written = mask_planes(mask, planes)
    assert written.shape == (planes, 2, 3)
    assert written.dtype == np.float32
    assert all(np.array_equal(plane, mask) for plane in written)
    own = np.stack([mask, ~mask])
    assert np.array_equal(mask_planes(own, 2), own)


@pytest.mark.casa
@pytest.mark.parametrize("kind", ["user", "pb"])
def test_masks_are_those_of_casa(tmp_path, kind):
    rng = np.random.default_rng(5)
    root = tmp_path / "image"
    planes = {
        "residual.tt0": rng.normal(size=(4, 40, 48)),
        "psf.tt0": np.zeros((4, 40, 48)),
        "pb.tt0": np.broadcast_to(rng.random((40, 48)), (4, 40, 48)),
        "user": rng.integers(-1, 3, (1, 40, 48)) * 0.5,
    }
    planes["psf.tt0"][:, 20, 24] = 1.0
    for name, values in planes.items():
        coordinates = (
            casa.tools()
            .coordsys()
            .newcoordsys(direction=True, stokes=["I", "Q", "U", "V"][: len(values)], spectral=True)
        )
        tool = casa.tools().image()
        path = f"{root}.{name}" if name != "user" else str(tmp_path / name)
        tool.fromshape(path, [48, 40, len(values), 1], csys=coordinates.torecord(), overwrite=True)
        tool.putchunk(values.transpose(2, 1, 0)[:, :, :, np.newaxis].astype(float))
        tool.close()
    choice = {"usemask": "user", "mask": str(tmp_path / "user")}
    if kind == "pb":
        choice = {"usemask": "pb", "pbmask": 0.4}
    casa.run_task(
        "deconvolve", imagename=str(root), deconvolver="mtmfs", nterms=1, niter=1, restoration=False, **choice
    )
    pb = planes["pb.tt0"][0].astype(np.float32)
    mask = user_mask(planes["user"]) if kind == "user" else pb_mask(pb, 0.4)
    assert np.array_equal(read_cube(tmp_path / "image.mask"), mask_planes(mask, 4))
