"""Clean masks: the continuum run's masks on the grid of a plane."""

from __future__ import annotations

import functools
import shutil
from pathlib import Path

import numpy as np

from vlasscube import casa, casacore_tables
from vlasscube.errors import CasaTaskError, ImagingError
from vlasscube.images.casa_images import read_plane
from vlasscube.processes.isolation import UNREADABLE, ReaderDiedError, isolated_reader, reason_text
from vlasscube.records import ImageGeometry, Message
from vlasscube.resources.resource_checks import (
    image_problems,
    mask_pixel_problems,
    mask_stokes_problems,
    stokes_of,
    survey_pixels,
)
from vlasscube.sky import FRAMES
from vlasscube.workspace.files import digest

_TOLERANCE_PIXELS = 0.1
_EQUATORIAL = (*FRAMES, "B1950")
"""Frames that imregrid takes masks from."""


def make_cleanmask(mask: Path, template: Path, output: Path) -> tuple[Message, ...]:
    """Make the clean mask of an iteration.

    A mask with a single Stokes plane keeps it: it is broadcast over I, Q, U and V. Pixels above zero are
    inside; masked pixels and those beyond the mask's own image are outside.

    Parameters
    ----------
    mask : Path
        Mask image, e.g. of the continuum run: one Stokes plane or I, Q, U, V; one frequency.
    template : Path
        An image of the plane, for its grid.
    output : Path
        Clean mask to make.

    Returns
    -------
    tuple of Message
        Warnings if the mask had to be regridded, because its size, pixels, projection or centre are others,
        and if nothing is inside of it.

    Raises
    ------
    ImagingError
        If it is missing, damaged or no image of floats, or has other Stokes planes, or pixels that are
        negative or not finite.
    """
    _require_image(mask)
    have, want = _examined(mask, digest(mask)), _grid(template)
    messages = []
    if _same_grid(have, want):
        shutil.copytree(mask, output)
    else:
        try:
            casa.run_task(
                "imregrid",
                imagename=str(mask),
                template=str(template),
                output=str(output),
                axes=[0, 1],
                interpolation="nearest",
                replicate=False,
                overwrite=True,
            )
        except CasaTaskError as error:
            raise _unusable(mask, f"it cannot be regridded to the plane ({error})") from error
        sizes = [f"{grid.shape[1]}x{grid.shape[0]}" for grid in (have, want)]
        what = (
            f"has {sizes[0]} pixels, the plane {sizes[1]}" if sizes[0] != sizes[1] else "is on another grid"
        )
        messages.append(Message("warning", f"mask {mask.name} {what}: regridded"))
    if not any((read_plane(output, index) > 0).any() for index in range(len(stokes_of(output)))):
        messages.append(
            Message(
                "warning",
                f"mask {mask.name} has no pixel above zero in the plane: nothing is cleaned with it",
                "Compare the mask with the phase centre and size of the image.",
            )
        )
    return tuple(messages)


def _require_image(mask: Path) -> None:
    """Refuse a mask that is not there, or no image.

    Raises
    ------
    ImagingError
        Naming it.
    """
    if not (mask / "table.dat").is_file():
        raise ImagingError(
            f"there is no mask image {mask.name}"
            if not mask.exists()
            else f"{mask.name} is not a CASA image",
            hint="Masks are named by 'mask' in the parameter list, or come from the archive.",
        )


class _Grid:
    """Size and direction axes of an image."""

    def __init__(self, shape: tuple[int, int], direction: dict[str, object]) -> None:
        self.shape = shape
        self.frames = str(direction["system"]), str(direction["projection"])
        self.numbers = {
            name: np.asarray(direction[name], dtype=float) for name in ("crval", "crpix", "cdelt", "pc")
        }
        self.units = tuple(str(unit) for unit in direction["units"])  # type: ignore[attr-defined]


# The masks of a field serve all its planes.
@functools.lru_cache(maxsize=8)
def _examined(mask: Path, state: str) -> _Grid:
    """Read a mask in a process of its own, which a damaged one may end; once for each of its states."""
    with isolated_reader() as reader:
        try:
            return reader.call(_examine, mask)
        except ReaderDiedError as error:
            raise _unusable(mask, str(error)) from error


def check_mask_header(mask: Path, geometry: ImageGeometry) -> tuple[Message, ...]:
    """Look at a mask that a parameter list names as far as that is possible without its pixels.

    Parameters
    ----------
    mask : Path
        Mask image.
    geometry : ImageGeometry
        Of the planes.

    Returns
    -------
    tuple of Message
        A warning if it will be regridded, with what differs.

    Raises
    ------
    ImagingError
        As `make_cleanmask`.
    """
    _require_image(mask)
    with isolated_reader() as reader:
        try:
            differences = reader.call(_differences, mask, geometry)
        except ReaderDiedError as error:
            raise _unusable(mask, str(error)) from error
    if not differences:
        return ()
    text = f"mask {mask.name} is on another grid than the planes and will be regridded"
    return (Message("warning", f"{text}: {'; '.join(differences)}"),)


def _differences(mask: Path, geometry: ImageGeometry) -> list[str]:
    try:
        problems = _axis_problems(mask, _grid(mask))
        if not problems:
            return image_problems(mask, geometry)
    except UNREADABLE as error:
        raise _unusable(mask, reason_text(error)) from error
    raise _unusable(mask, "; ".join(problems))


def _axis_problems(mask: Path, grid: _Grid) -> list[str]:
    problems = mask_stokes_problems(mask)
    if grid.frames[0] not in _EQUATORIAL:
        problems.append(f"expected right ascension and declination, found {grid.frames[0]}")
    return problems


def _examine(mask: Path) -> _Grid:
    try:
        grid = _grid(mask)
        problems = _axis_problems(mask, grid)
        bad, _, negative = survey_pixels(mask)
    except UNREADABLE as error:
        raise _unusable(mask, reason_text(error)) from error
    problems += mask_pixel_problems(bad, negative)
    if problems:
        raise _unusable(mask, "; ".join(problems))
    return grid


def _grid(path: Path) -> _Grid:
    with casacore_tables.table(path) as table:
        coordinates = table.getkeyword("coords")
        (direction,) = (value for key, value in coordinates.items() if key.startswith("direction"))
    with casacore_tables.stored_image(path) as image:
        if image is None:
            raise ValueError("its pixels are not of type float")
        if len(image.shape) != 4 or image.shape[0] != 1:
            raise ValueError(f"it has the shape {image.shape}, not (1, Stokes, y, x)")
        return _Grid((image.shape[2], image.shape[3]), direction)


def _same_grid(have: _Grid, want: _Grid) -> bool:
    if have.shape != want.shape or have.frames != want.frames or have.units != want.units:
        return False
    a, b = have.numbers, want.numbers
    cell = np.abs(b["cdelt"])
    # The longitude of the centre counts less towards the poles; comparing it in full errs on the safe side.
    turn = (
        np.angle(np.exp(1j * (a["crval"] - b["crval"])))
        if have.units[0] == "rad"
        else a["crval"] - b["crval"]
    )
    return bool(
        (np.abs(turn) <= _TOLERANCE_PIXELS * cell).all()
        and (np.abs(a["crpix"] - b["crpix"]) <= _TOLERANCE_PIXELS).all()
        and (np.abs(a["cdelt"] - b["cdelt"]) <= _TOLERANCE_PIXELS * 2 * cell / max(want.shape)).all()
        and np.allclose(a["pc"], b["pc"], atol=1e-6)
    )


def _unusable(mask: Path, reason: str) -> ImagingError:
    return ImagingError(
        f"the mask {mask.name} cannot be used: {reason}",
        hint="A mask is a CASA image of floats with one Stokes plane or I, Q, U, V and one frequency.",
    )
