"""Clean masks: the continuum run's masks on the grid of a plane."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np

from vlasscube import casa, casacore_tables
from vlasscube.errors import ImagingError
from vlasscube.images.casa_images import read_plane
from vlasscube.measurement_set.resource_checks import mask_stokes_problems, stokes_of
from vlasscube.records import Message

_TOLERANCE_PIXELS = 0.1


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
        If it is missing, is no image of floats, or has other Stokes planes or pixels that are not finite.
    """
    have, want = _grid(mask), _grid(template)
    if problems := mask_stokes_problems(mask):
        raise _unusable(mask, "; ".join(problems))
    messages = []
    if _same_grid(have, want):
        shutil.copytree(mask, output)
    else:
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
        sizes = [f"{grid.shape[1]}x{grid.shape[0]}" for grid in (have, want)]
        what = f"is {sizes[0]} pixels, the plane {sizes[1]}" if sizes[0] != sizes[1] else "is on another grid"
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


class _Grid:
    """Size and direction axes of an image."""

    def __init__(self, shape: tuple[int, int], direction: dict[str, object]) -> None:
        self.shape = shape
        self.frames = str(direction["system"]), str(direction["projection"])
        self.numbers = {
            name: np.asarray(direction[name], dtype=float) for name in ("crval", "crpix", "cdelt", "pc")
        }
        self.units = tuple(str(unit) for unit in direction["units"])  # type: ignore[attr-defined]


def _grid(path: Path) -> _Grid:
    if not (path / "table.dat").is_file():
        raise ImagingError(
            f"there is no mask image {path.name}"
            if not path.exists()
            else f"{path.name} is not a CASA image",
            hint="Masks are named by 'mask' in the parameter list, or come from the archive.",
        )
    try:
        with casacore_tables.table(path) as table:
            coordinates = table.getkeyword("coords")
            (direction,) = (value for key, value in coordinates.items() if key.startswith("direction"))
        with casacore_tables.stored_image(path) as image:
            if image is None:
                raise ValueError("its pixels are not of type float")
            if len(image.shape) != 4 or image.shape[0] != 1:
                raise ValueError(f"it has the shape {image.shape}, not (1, Stokes, y, x)")
            return _Grid((image.shape[2], image.shape[3]), direction)
    except (RuntimeError, ValueError, KeyError, IndexError) as error:
        raise _unusable(path, str(error)) from error


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
