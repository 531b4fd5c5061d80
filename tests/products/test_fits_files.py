"""Oracles: what was written; faults injected where a write can fail."""

from __future__ import annotations

import errno
import hashlib
import os
import warnings

import numpy as np
import pytest
from astropy.io import fits

from vlasscube.errors import ProductError, ResourceLimitError
from vlasscube.products.fits_files import read_fits, read_plane, write_fits
from vlasscube.workspace.files import digest


def image(stokes=3, first=1.0, size=6):
    data = np.arange(stokes * size * size, dtype=np.float32).reshape(stokes, 1, size, size)
    data[0, 0, 0, 0] = np.nan
    hdu = fits.PrimaryHDU(data)
    for axis, (ctype, value) in enumerate(
        [("RA---SIN", 0.0), ("DEC--SIN", 0.0), ("FREQ", 2e9), ("STOKES", first)], 1
    ):
        hdu.header[f"CTYPE{axis}"], hdu.header[f"CRVAL{axis}"] = ctype, value
        hdu.header[f"CRPIX{axis}"], hdu.header[f"CDELT{axis}"] = 1.0, 1.0
    return fits.HDUList([hdu])


def test_round_trip(tmp_path):
    path = tmp_path / "a plane; with 'odd' name.fits"
    write_fits(path, image())
    plane = read_plane(path)
    assert plane.stokes == ("I", "Q", "U")
    assert plane.data.dtype == np.float32
    assert plane.data.dtype.isnative
    np.testing.assert_array_equal(plane.data, image()[0].data[:, 0])
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with fits.open(path) as opened:
            opened.verify("exception")


def test_stokes_v_and_degenerate_axes(tmp_path):
    path = tmp_path / "v.fits"
    write_fits(path, image(1, 4.0))
    assert read_plane(path).stokes == ("V",)
    write_fits(path, fits.HDUList([fits.PrimaryHDU(np.zeros((4, 5), np.float64))]))
    plane = read_plane(path)
    assert (plane.data.shape, plane.data.dtype, plane.stokes) == ((1, 4, 5), np.float32, ("I",))


def test_same_content_same_bytes(tmp_path):
    digests = set()
    for name in ("a.fits", "b.fits"):
        write_fits(tmp_path / name, image())
        digests.add(digest(tmp_path / name))
    assert digests == {hashlib.sha256((tmp_path / "a.fits").read_bytes()).hexdigest()}


def test_replaces_and_does_not_follow_links(tmp_path):
    precious = tmp_path / "precious.txt"
    precious.write_text("keep")
    path = tmp_path / "a.fits"
    path.symlink_to(precious)
    write_fits(path, image())
    write_fits(path, image(1))
    assert precious.read_text() == "keep"
    assert read_plane(path).stokes == ("I",)


def test_stale_checksums_are_dropped(tmp_path):
    hdus = image()
    hdus[0].add_checksum()
    hdus[0].data[1] = 7.0
    path = tmp_path / "a.fits"
    write_fits(path, hdus)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with fits.open(path, checksum=True) as opened:
            assert "CHECKSUM" not in opened[0].header


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), ResourceLimitError),
        (OSError("Not enough space on disk: requested 9, available 1. "), ResourceLimitError),
        (OSError(errno.EIO, "Input/output error"), ProductError),
        (KeyboardInterrupt(), KeyboardInterrupt),
    ],
)
def test_nothing_is_left_after_a_fault(tmp_path, monkeypatch, fault, expected):
    path = tmp_path / "a.fits"
    write_fits(path, image(1))
    before = path.read_bytes()

    def fail(descriptor):
        raise fault

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(expected):
        write_fits(path, image(3))
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.fits"]


def test_illegal_headers_are_refused(tmp_path):
    hdus = image()
    hdus[0].header.append(fits.Card.fromstring("BROKEN  = abc def".ljust(80)))
    with pytest.raises(ProductError, match="legal FITS"):
        write_fits(tmp_path / "a.fits", hdus)
    assert list(tmp_path.iterdir()) == []


def test_missing_directory(tmp_path):
    with pytest.raises(ProductError, match="cannot be written"):
        write_fits(tmp_path / "none" / "a.fits", image())


def test_unreadable_files(tmp_path):
    path = tmp_path / "a.fits"
    with pytest.raises(ProductError, match="cannot be read"):
        read_fits(path)
    for content in (b"", b"not FITS at all" * 400):
        path.write_bytes(content)
        with pytest.raises(ProductError, match="cannot be read"):
            read_fits(path)
    write_fits(path, image(3, size=60))
    path.write_bytes(path.read_bytes()[: -2880 * 4])
    with pytest.raises(ProductError, match="cannot be read"):
        read_plane(path)


def test_other_images_are_refused(tmp_path):
    path = tmp_path / "a.fits"
    write_fits(path, fits.HDUList([fits.PrimaryHDU()]))
    with pytest.raises(ProductError, match="no image"):
        read_plane(path)
    write_fits(path, image(3, 3.0))
    with pytest.raises(ProductError, match="other than"):
        read_plane(path)
    hdus = image()
    hdus[0].header["CTYPE3"], hdus[0].header["CTYPE4"] = "STOKES", "FREQ"
    write_fits(path, hdus)
    with pytest.raises(ProductError, match="planes along axis 4"):
        read_plane(path)
