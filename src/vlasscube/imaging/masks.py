"""Clean masks: the continuum run's masks on the grid of a plane."""

from __future__ import annotations

import shutil
from pathlib import Path

from vlasscube import casa
from vlasscube.images.casa_images import image_facts
from vlasscube.records import Message


def make_cleanmask(mask: Path, template: Path, output: Path) -> tuple[Message, ...]:
    """Make the clean mask of an iteration.

    The mask keeps its single Stokes plane: tclean broadcasts it over I, Q, U and V.

    Parameters
    ----------
    mask : Path
        Mask of the continuum run, shape (nx, ny, 1, 1), values 0 or 1.
    template : Path
        An image of the plane, for its grid.
    output : Path
        Clean mask to make.

    Returns
    -------
    tuple of Message
        A warning if the mask had to be regridded.
    """
    have, want = image_facts(mask), image_facts(template)
    if (have.nx, have.ny) == (want.nx, want.ny):
        shutil.copytree(mask, output)
        return ()
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
    text = f"mask {mask.name} is {have.nx}x{have.ny} pixels, the plane {want.nx}x{want.ny}: regridded"
    return (Message("warning", text),)
