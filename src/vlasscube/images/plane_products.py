"""From the images of one Stokes plane to its products, everything made from what was read once.

Arrays are [y, x]; masked pixels are NaN. Nothing here changes its arguments.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from vlasscube.errors import ProductError
from vlasscube.images.rms_map import rms_map
from vlasscube.images.statistics import cutout_statistics, plane_statistics
from vlasscube.records import CutoutStatistics, PixelBox, PlaneStatistics
from vlasscube.weblog.pictures import block_extreme, block_mean, blocks_for

FloatArray = npt.NDArray[np.float32]

PICTURE_PIXELS = 1200
"""Longest side of the small images."""


@dataclass(frozen=True)
class SmallImage:
    """An image reduced to a picture's size."""

    values: FloatArray
    block: int
    """Pixels of the image along the side of one of these."""


@dataclass(frozen=True)
class Product:
    """An image of a Stokes plane with what the pages show of it."""

    values: FloatArray
    statistics: PlaneStatistics
    small: SmallImage


@dataclass(frozen=True)
class CutoutProducts:
    """The part of a plane's images that becomes the product."""

    image: FloatArray
    residual: FloatArray
    pb: FloatArray
    pbcor: FloatArray
    residual_pbcor: FloatArray
    rms: FloatArray
    statistics: CutoutStatistics
    pb_statistics: PlaneStatistics


@dataclass(frozen=True)
class PlaneProducts:
    """What is made of one Stokes plane."""

    pbcor: Product
    residual_pbcor: Product
    rms: Product
    """Of the whole plane, or of the cutout if only that was wanted."""
    cutout: CutoutProducts


def correct_primary_beam(plane: FloatArray, pb: FloatArray) -> FloatArray:
    """Divide an image by the primary beam.

    As CASA's ``impbcor(mode='divide', cutoff=-1)``: masked where one of them is. Where the beam is zero,
    which CASA leaves infinite, the result is masked, too.

    Parameters
    ----------
    plane, pb : ndarray of float32 [y, x]
        Image in Jy/beam and primary beam response.

    Raises
    ------
    ProductError
        If the shapes differ.
    """
    if plane.shape != pb.shape:
        raise ProductError(f"primary beam of shape {pb.shape} for an image of shape {plane.shape}")
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        corrected: FloatArray = plane / pb
    corrected[~np.isfinite(corrected)] = np.nan
    return corrected


def cut(plane: FloatArray, box: PixelBox) -> FloatArray:
    """Part of a plane, as a view.

    Raises
    ------
    ProductError
        If the box is not within the plane.
    """
    ny, nx = plane.shape
    if not (0 <= box.blc_x <= box.trc_x < nx and 0 <= box.blc_y <= box.trc_y < ny):
        raise ProductError(f"{box} does not lie in an image of {nx} x {ny} pixels")
    return plane[box.blc_y : box.trc_y + 1, box.blc_x : box.trc_x + 1]


def reduce_image(plane: FloatArray, how: Literal["mean", "extreme"] = "mean") -> SmallImage:
    """Reduce an image by whole blocks until no side is longer than `PICTURE_PIXELS`."""
    block = blocks_for(plane.shape, PICTURE_PIXELS)
    return SmallImage((block_mean if how == "mean" else block_extreme)(plane, block), block)


def _product(values: FloatArray) -> Product:
    return Product(values, plane_statistics(values), reduce_image(values))


def make_plane_products(
    image: FloatArray,
    residual: FloatArray,
    pb: FloatArray,
    box: PixelBox,
    *,
    cell_arcsec: float,
    reference_pixel: tuple[float, float],
    whole_rms: bool = True,
    threads: int = 1,
) -> PlaneProducts:
    """Make the products of one Stokes plane.

    Parameters
    ----------
    image, residual : ndarray of float32 [y, x]
        Restored image and residual, Jy/beam.
    pb : ndarray of float32 [y, x]
        Primary beam response, NaN beyond its limit.
    box : PixelBox
        The cutout.
    cell_arcsec : float
        Size of the square pixels.
    reference_pixel : (float, float)
        (x, y), 0-based.
    whole_rms : bool
        Whether the rms is mapped everywhere. The cutout's values do not depend on it, but take a quarter of
        the time.
    threads : int
        Threads that work.

    Raises
    ------
    ProductError
        If the shapes differ or the box is not within the plane.
    """
    pb_part = cut(pb, box)
    pbcor = _product(correct_primary_beam(image, pb))
    residual_pbcor = _product(correct_primary_beam(residual, pb))
    rms = _product(
        rms_map(pbcor.values, cell_arcsec, reference_pixel, box=None if whole_rms else box, threads=threads)
    )
    image_part, residual_part, pbcor_part = (cut(values, box) for values in (image, residual, pbcor.values))
    rms_part = cut(rms.values, box) if whole_rms else rms.values
    return PlaneProducts(
        pbcor=pbcor,
        residual_pbcor=residual_pbcor,
        rms=rms,
        cutout=CutoutProducts(
            image=image_part,
            residual=residual_part,
            pb=pb_part,
            pbcor=pbcor_part,
            residual_pbcor=cut(residual_pbcor.values, box),
            rms=rms_part,
            statistics=cutout_statistics(
                image_part, residual_part, pbcor_part, rms_part, np.isfinite(pb_part)
            ),
            pb_statistics=plane_statistics(pb_part),
        ),
    )
