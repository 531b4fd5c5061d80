"""The stages under the names of the official pipeline's tasks, for recipe scripts.

Each function runs one stage on a run directory and takes the arguments that the official recipe gives; other
values would ask for another product and are refused. A recipe reads as it always did:

>>> from vlasscube import Workspace
>>> from vlasscube.tasks import *  # doctest: +SKIP
>>> ws = Workspace("J1234")  # doctest: +SKIP
>>> hifv_importdata(ws, nocopy=True)  # doctest: +SKIP
>>> hif_editimlist(ws, parameter_file="SEIP_parameter.list")  # doctest: +SKIP
>>> hif_transformimagedata(
...     ws, datacolumn="data", clear_pointing=False, modify_weights=True, wtmode="nyq"
... )  # doctest: +SKIP
>>> hifv_restorepims(ws)  # doctest: +SKIP
>>> hifv_flagtargetsdata(ws)  # doctest: +SKIP
>>> hif_editimlist(ws, parameter_file="CCIP_parameter.list", editmode="replace")  # doctest: +SKIP
>>> hif_makeimages(ws, hm_masking="manual")  # doctest: +SKIP
>>> hifv_pbcor(ws)  # doctest: +SKIP
>>> hif_makermsimages(ws)  # doctest: +SKIP
>>> hif_makecutoutimages(ws)  # doctest: +SKIP
>>> hifv_analyzestokescubes(ws)  # doctest: +SKIP
>>> hifv_exportvlassdata(ws)  # doctest: +SKIP

A script that starts workers (`hif_makeimages` to `hif_makecutoutimages`) needs the usual
``if __name__ == "__main__":`` around it, or ``workers=0``.

All functions return the `RunResult` of the part of the workflow that was run, raise `VlassCubeError` if a
stage of the whole field fails, and do nothing if their stage has been done and nothing changed.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import Executor
from pathlib import Path

from vlasscube import recipe
from vlasscube.errors import VlassCubeError
from vlasscube.options import RunOptions
from vlasscube.recipe import Stage
from vlasscube.run.workflow import Listener, RunResult, run_workflow
from vlasscube.workspace.directory import (
    CCIP_PARAMETER_FILE,
    RESOURCES_ARCHIVE,
    SEIP_PARAMETER_FILE,
    Workspace,
)

__all__ = [
    "hif_editimlist",
    "hif_makecutoutimages",
    "hif_makeimages",
    "hif_makermsimages",
    "hif_transformimagedata",
    "hifv_analyzestokescubes",
    "hifv_exportvlassdata",
    "hifv_flagtargetsdata",
    "hifv_importdata",
    "hifv_pbcor",
    "hifv_restorepims",
]

RunDirectory = Workspace | str | os.PathLike[str]


def _require(task: str, name: str, value: object, *accepted: object) -> None:
    """Refuse an argument that does not mean what this software does."""
    # True == 1 in Python, but wtmode=1 or nocopy=1 is a slip of the pen.
    if not any(value == good and type(value) is type(good) for good in accepted):
        raise VlassCubeError(
            f"{task}: {name}={value!r} is not supported, only {' or '.join(map(repr, accepted))}",
            hint="Only the arguments of the official recipe are accepted; others would make another product.",
        )


def _require_recipe(stage: Stage[object], **given: object) -> None:
    """Refuse arguments that are not those of the official recipe."""
    accepted = dict(stage.arguments)
    for name, value in given.items():
        _require(stage.task, name, value, accepted[name])


def _run(
    workspace: RunDirectory,
    stage: Stage[object],
    options: RunOptions | None,
    workers: int | None = None,
    executor: Executor | None = None,
    listener: Listener | None = None,
) -> RunResult:
    place = workspace if isinstance(workspace, Workspace) else Workspace(workspace)
    return run_workflow(
        place,
        options,
        first=stage.name,
        last=stage.name,
        workers=workers,
        executor=executor,
        listener=listener,
    )


def hifv_importdata(
    workspace: RunDirectory,
    *,
    vis: str | Sequence[str] | None = None,
    nocopy: bool = True,
    options: RunOptions | None = None,
    listener: Listener | None = None,
) -> RunResult:
    """Register the per-image measurement set (stage 1).

    Parameters
    ----------
    workspace : Workspace or path-like
        Run directory.
    vis : str or list of one str, optional
        Name of the measurement set in the run directory; it must be the one of the workspace.
    nocopy : bool
        Must be True: the measurement set is used in place and never written to.
    options : RunOptions, optional
        By default those recorded in the run directory.
    listener : callable, optional
        Called with each `Event` of the run.

    Returns
    -------
    RunResult
    """
    _require_recipe(recipe.IMPORT_DATA, nocopy=nocopy)
    place = workspace if isinstance(workspace, Workspace) else Workspace(workspace)
    if vis is not None:
        names = [vis] if isinstance(vis, str) else list(vis)
        wanted = [Path(name).name for name in names]
        if wanted != [place.input_ms.name]:
            raise VlassCubeError(
                f"hifv_importdata: vis={vis!r} is not the measurement set of {place.directory}: "
                f"{place.input_ms.name}",
                hint="Give it to the workspace: Workspace(directory, input_ms=NAME).",
            )
    return _run(place, recipe.IMPORT_DATA, options, listener=listener)


def hif_editimlist(
    workspace: RunDirectory,
    *,
    parameter_file: str,
    editmode: str = "",
    options: RunOptions | None = None,
    listener: Listener | None = None,
) -> RunResult:
    """Read a parameter list: of the continuum run (stage 2) or of the cube (stage 6).

    Parameters
    ----------
    parameter_file : {'SEIP_parameter.list', 'CCIP_parameter.list'}
        The list, which tells the stage.
    editmode : str
        ``'replace'`` for the list of the cube, which replaces the continuum run's target; otherwise empty.
    workspace, options, listener
        As in `hifv_importdata`.
    """
    task = "hif_editimlist"
    name = Path(parameter_file).name
    _require(task, "parameter_file", name, SEIP_PARAMETER_FILE, CCIP_PARAMETER_FILE)
    is_cube = name == CCIP_PARAMETER_FILE
    _require(task, "editmode", editmode, *(("", "replace") if is_cube else ("",)))
    stage = recipe.EDIT_IMAGE_LIST_CUBE if is_cube else recipe.EDIT_IMAGE_LIST_CONTINUUM
    return _run(workspace, stage, options, listener=listener)


def hif_transformimagedata(
    workspace: RunDirectory,
    *,
    datacolumn: str = "data",
    clear_pointing: bool = False,
    modify_weights: bool = True,
    wtmode: str = "nyq",
    options: RunOptions | None = None,
    listener: Listener | None = None,
) -> RunResult:
    """Split the working measurement set and initialise its weights (stage 3).

    Parameters
    ----------
    datacolumn : str
        Must be ``'data'``.
    clear_pointing : bool
        Must be False.
    modify_weights : bool
        Must be True.
    wtmode : str
        Must be ``'nyq'``.
    workspace, options, listener
        As in `hifv_importdata`.
    """
    _require_recipe(
        recipe.TRANSFORM_IMAGE_DATA,
        datacolumn=datacolumn,
        clear_pointing=clear_pointing,
        modify_weights=modify_weights,
        wtmode=wtmode,
    )
    return _run(workspace, recipe.TRANSFORM_IMAGE_DATA, options, listener=listener)


def hifv_restorepims(
    workspace: RunDirectory,
    *,
    reimaging_resources: str = RESOURCES_ARCHIVE,
    options: RunOptions | None = None,
    listener: Listener | None = None,
) -> RunResult:
    """Restore the state of the data that the continuum run ended with (stage 4).

    Parameters
    ----------
    reimaging_resources : str
        Must be ``'reimaging_resources.tgz'``, in the run directory.
    workspace, options, listener
        As in `hifv_importdata`.
    """
    name = Path(reimaging_resources).name
    _require(recipe.RESTORE_PIMS.task, "reimaging_resources", name, RESOURCES_ARCHIVE)
    return _run(workspace, recipe.RESTORE_PIMS, options, listener=listener)


def hifv_flagtargetsdata(
    workspace: RunDirectory, *, options: RunOptions | None = None, listener: Listener | None = None
) -> RunResult:
    """Apply the flag template, if there is one, and count flags (stage 5).

    Parameters
    ----------
    workspace, options, listener
        As in `hifv_importdata`.
    """
    return _run(workspace, recipe.FLAG_TARGETS_DATA, options, listener=listener)


def hif_makeimages(
    workspace: RunDirectory,
    *,
    hm_masking: str = "manual",
    options: RunOptions | None = None,
    workers: int | None = None,
    executor: Executor | None = None,
    listener: Listener | None = None,
) -> RunResult:
    """Image all planes (stage 7).

    Parameters
    ----------
    hm_masking : str
        Must be ``'manual'``: the masks are those of the continuum run.
    workspace, options, listener
        As in `hifv_importdata`.
    workers, executor
        As in `vlasscube.run_workflow`.

    Returns
    -------
    RunResult
        With the outcome of every plane; a plane that fails raises nothing.
    """
    _require_recipe(recipe.MAKE_IMAGES, hm_masking=hm_masking)
    return _run(workspace, recipe.MAKE_IMAGES, options, workers, executor, listener)


def hifv_pbcor(
    workspace: RunDirectory,
    *,
    options: RunOptions | None = None,
    workers: int | None = None,
    executor: Executor | None = None,
    listener: Listener | None = None,
) -> RunResult:
    """Correct the images of all planes for the primary beam (stage 8); parameters as in `hif_makeimages`."""
    return _run(workspace, recipe.PBCOR, options, workers, executor, listener)


def hif_makermsimages(
    workspace: RunDirectory,
    *,
    options: RunOptions | None = None,
    workers: int | None = None,
    executor: Executor | None = None,
    listener: Listener | None = None,
) -> RunResult:
    """Make the rms images of all planes (stage 9); parameters as in `hif_makeimages`."""
    return _run(workspace, recipe.MAKE_RMS_IMAGES, options, workers, executor, listener)


def hif_makecutoutimages(
    workspace: RunDirectory,
    *,
    options: RunOptions | None = None,
    workers: int | None = None,
    executor: Executor | None = None,
    listener: Listener | None = None,
) -> RunResult:
    """Cut out the central square degree of all planes (stage 10); parameters as in `hif_makeimages`."""
    return _run(workspace, recipe.MAKE_CUTOUT_IMAGES, options, workers, executor, listener)


def hifv_analyzestokescubes(
    workspace: RunDirectory, *, options: RunOptions | None = None, listener: Listener | None = None
) -> RunResult:
    """Measure Stokes spectra (stage 11); parameters as in `hifv_flagtargetsdata`."""
    return _run(workspace, recipe.ANALYZE_STOKES_CUBES, options, listener=listener)


def hifv_exportvlassdata(
    workspace: RunDirectory, *, options: RunOptions | None = None, listener: Listener | None = None
) -> RunResult:
    """Make the FITS products and manifests (stage 12); parameters as in `hifv_flagtargetsdata`."""
    return _run(workspace, recipe.EXPORT_VLASS_DATA, options, listener=listener)
