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
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vlasscube.errors import VlassCubeError
from vlasscube.options import RunOptions
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


@dataclass(frozen=True)
class _Argument:
    """An argument of a task as it was given, and the values that mean what this software does."""

    name: str
    value: Any
    accepted: tuple[Any, ...]


def _check(task: str, *arguments: _Argument) -> None:
    for argument in arguments:
        # True == 1 in Python, but wtmode=1 or nocopy=1 is a slip of the pen.
        good = any(
            argument.value == value and type(argument.value) is type(value) for value in argument.accepted
        )
        if not good:
            expected = " or ".join(repr(value) for value in argument.accepted)
            raise VlassCubeError(
                f"{task}: {argument.name}={argument.value!r} is not supported, only {expected}",
                hint="The arguments of the official recipe are accepted; other values make another product.",
            )


def _run(
    workspace: RunDirectory,
    stage: str,
    options: RunOptions | None,
    workers: int | None = None,
    executor: Executor | None = None,
    listener: Listener | None = None,
) -> RunResult:
    place = workspace if isinstance(workspace, Workspace) else Workspace(workspace)
    return run_workflow(
        place, options, first=stage, last=stage, workers=workers, executor=executor, listener=listener
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
    _check("hifv_importdata", _Argument("nocopy", nocopy, (True,)))
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
    return _run(place, "import_data", options, listener=listener)


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
    workspace : Workspace or path-like
        Run directory.
    parameter_file : {'SEIP_parameter.list', 'CCIP_parameter.list'}
        The list, which tells the stage.
    editmode : str
        ``'replace'`` for the list of the cube, which replaces the continuum run's target; otherwise empty.
    options, listener
        As in `hifv_importdata`.

    Returns
    -------
    RunResult
    """
    task = "hif_editimlist"
    name = Path(parameter_file).name
    _check(task, _Argument("parameter_file", name, (SEIP_PARAMETER_FILE, CCIP_PARAMETER_FILE)))
    is_cube = name == CCIP_PARAMETER_FILE
    _check(task, _Argument("editmode", editmode, ("", "replace") if is_cube else ("",)))
    stage = "edit_image_list_cube" if is_cube else "edit_image_list_continuum"
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
    workspace : Workspace or path-like
        Run directory.
    datacolumn : str
        Must be ``'data'``.
    clear_pointing : bool
        Must be False.
    modify_weights : bool
        Must be True.
    wtmode : str
        Must be ``'nyq'``.
    options, listener
        As in `hifv_importdata`.

    Returns
    -------
    RunResult
    """
    _check(
        "hif_transformimagedata",
        _Argument("datacolumn", datacolumn, ("data",)),
        _Argument("clear_pointing", clear_pointing, (False,)),
        _Argument("modify_weights", modify_weights, (True,)),
        _Argument("wtmode", wtmode, ("nyq",)),
    )
    return _run(workspace, "transform_image_data", options, listener=listener)


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
    workspace : Workspace or path-like
        Run directory.
    reimaging_resources : str
        Must be ``'reimaging_resources.tgz'``, in the run directory.
    options, listener
        As in `hifv_importdata`.

    Returns
    -------
    RunResult
    """
    _check(
        "hifv_restorepims",
        _Argument("reimaging_resources", Path(reimaging_resources).name, (RESOURCES_ARCHIVE,)),
    )
    return _run(workspace, "restore_pims", options, listener=listener)


def hifv_flagtargetsdata(
    workspace: RunDirectory, *, options: RunOptions | None = None, listener: Listener | None = None
) -> RunResult:
    """Apply the flag template, if there is one, and count flags (stage 5).

    Parameters
    ----------
    workspace : Workspace or path-like
        Run directory.
    options, listener
        As in `hifv_importdata`.

    Returns
    -------
    RunResult
    """
    return _run(workspace, "flag_targets_data", options, listener=listener)


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
    workspace : Workspace or path-like
        Run directory.
    hm_masking : str
        Must be ``'manual'``: the masks are those of the continuum run.
    options, listener
        As in `hifv_importdata`.
    workers, executor
        As in `vlasscube.run_workflow`.

    Returns
    -------
    RunResult
        With the outcome of every plane; a plane that fails raises nothing.
    """
    _check("hif_makeimages", _Argument("hm_masking", hm_masking, ("manual",)))
    return _run(workspace, "make_images", options, workers, executor, listener)


def hifv_pbcor(
    workspace: RunDirectory,
    *,
    options: RunOptions | None = None,
    workers: int | None = None,
    executor: Executor | None = None,
    listener: Listener | None = None,
) -> RunResult:
    """Correct the images of all planes for the primary beam (stage 8); parameters as in `hif_makeimages`."""
    return _run(workspace, "pbcor", options, workers, executor, listener)


def hif_makermsimages(
    workspace: RunDirectory,
    *,
    options: RunOptions | None = None,
    workers: int | None = None,
    executor: Executor | None = None,
    listener: Listener | None = None,
) -> RunResult:
    """Make the rms images of all planes (stage 9); parameters as in `hif_makeimages`."""
    return _run(workspace, "make_rms_images", options, workers, executor, listener)


def hif_makecutoutimages(
    workspace: RunDirectory,
    *,
    options: RunOptions | None = None,
    workers: int | None = None,
    executor: Executor | None = None,
    listener: Listener | None = None,
) -> RunResult:
    """Cut out the central square degree of all planes (stage 10); parameters as in `hif_makeimages`."""
    return _run(workspace, "make_cutout_images", options, workers, executor, listener)


def hifv_analyzestokescubes(
    workspace: RunDirectory, *, options: RunOptions | None = None, listener: Listener | None = None
) -> RunResult:
    """Measure Stokes spectra (stage 11); parameters as in `hifv_flagtargetsdata`."""
    return _run(workspace, "analyze_stokes_cubes", options, listener=listener)


def hifv_exportvlassdata(
    workspace: RunDirectory, *, options: RunOptions | None = None, listener: Listener | None = None
) -> RunResult:
    """Make the FITS products and manifests (stage 12); parameters as in `hifv_flagtargetsdata`."""
    return _run(workspace, "export_vlass_data", options, listener=listener)
