"""Images made from others: written with the header of the image they come from."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from vlasscube import casacore_tables
from vlasscube.casacore_tables import LogLine
from vlasscube.errors import ResourceLimitError
from vlasscube.records import PixelBox
from vlasscube.workspace.files import discard, publish, remove

FloatArray = npt.NDArray[np.float32]
AddPlane = Callable[[FloatArray], None]
"""Writes the next Stokes plane, [y, x]."""


@contextlib.contextmanager
def derived_image(
    path: Path,
    template: Path,
    *,
    box: PixelBox | None = None,
    masked: bool | None = None,
    also_from: Sequence[Path] = (),
    history: Sequence[str] = (),
) -> Iterator[AddPlane]:
    """Write an image with coordinates, beams, unit, miscinfo and log of another one.

    What stands there is replaced once the new image is whole, on exit. Several can be under way at once.

    Parameters
    ----------
    path : Path
        Path of the new image.
    template : Path
        CASA image with axes RA, Dec, Stokes, frequency.
    box : PixelBox, optional
        Part of the template that the new image is of.
    masked : bool, optional
        Whether the image has a mask, of the pixels that are not finite; by default, if the template has one.
    also_from : sequence of Path
        Further images whose log is kept.
    history : sequence of str
        Lines added to the log.

    Yields
    ------
    callable
        `AddPlane`.

    Raises
    ------
    ResourceLimitError
        If the disk is full.
    RuntimeError
        If the template is no image, or casacore cannot write.
    """
    description = casacore_tables.describe_image(template)
    log = list(description.log)
    for other in also_from:
        log += [
            LogLine(f"History of image {other.name}"),
            *casacore_tables.describe_image(other).log,
            LogLine(f"End history of image {other.name}"),
        ]
    description = replace(description, log=(*log, *(LogLine(text) for text in history)))
    if box is not None:
        nx, ny = box.shape
        description = replace(
            description,
            shape=(*description.shape[:2], ny, nx),
            coordinates=_shifted(description.coordinates, box),
        )
    if masked is not None:
        description = replace(description, has_mask=masked)
    partial = path.with_name(f".{path.name}.partial")
    remove(partial)
    try:
        with casacore_tables.new_image(partial, description) as add:
            yield lambda plane: add(plane, np.isfinite(plane) if description.has_mask else None)
    except BaseException as error:
        discard(partial)
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise ResourceLimitError(
                f"the disk is full: {path} cannot be written",
                hint="Free disk space, then run the same command again to resume.",
            ) from error
        raise
    publish(partial, path)


def _shifted(coordinates: Mapping[str, Any], box: PixelBox) -> dict[str, Any]:
    direction = coordinates["direction0"]
    pixel = np.asarray(direction["crpix"]) - (box.blc_x, box.blc_y)
    return {**coordinates, "direction0": {**direction, "crpix": pixel}}
