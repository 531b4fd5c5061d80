"""The recipe: the stages in order, what each is called, and what it needs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from vlasscube.errors import StageOrderError


@dataclass(frozen=True)
class StageEntry:
    """A stage of the recipe."""

    number: int
    name: str
    task: str
    """Name of the task in the official pipeline's recipe."""
    title: str
    scope: Literal["field", "plane"]
    """Done once, or for each plane on its own."""


RECIPE = (
    StageEntry(1, "import_data", "hifv_importdata", "Import the measurement set", "field"),
    StageEntry(2, "edit_image_list_continuum", "hif_editimlist", "Image list of the continuum run", "field"),
    StageEntry(3, "transform_image_data", "hif_transformimagedata", "Split the working data", "field"),
    StageEntry(4, "restore_pims", "hifv_restorepims", "Restore the continuum run's state", "field"),
    StageEntry(5, "flag_targets_data", "hifv_flagtargetsdata", "Flag the target data", "field"),
    StageEntry(6, "edit_image_list_cube", "hif_editimlist", "Image list of the cube", "field"),
    StageEntry(7, "make_images", "hif_makeimages", "Make images", "plane"),
    StageEntry(8, "pbcor", "hifv_pbcor", "Primary-beam correction", "plane"),
    StageEntry(9, "make_rms_images", "hif_makermsimages", "Make rms images", "plane"),
    StageEntry(10, "make_cutout_images", "hif_makecutoutimages", "Make cutout images", "plane"),
    StageEntry(11, "analyze_stokes_cubes", "hifv_analyzestokescubes", "Analyse the Stokes cubes", "field"),
    StageEntry(12, "export_vlass_data", "hifv_exportvlassdata", "Export", "field"),
)
GATHER = "gather_planes"
"""The step at the end of stage 7 that compares all planes and gives each its outcome."""

FIRST, LAST = RECIPE[0].name, RECIPE[-1].name


def stage_entry(text: str) -> StageEntry:
    """Find a stage by its name, number, or (where only one stage has it) task name.

    Raises
    ------
    StageOrderError
        If there is no such stage; the message lists all.
    """
    wanted = text.strip().lower().replace("-", "_")
    found = [e for e in RECIPE if wanted in (e.name, str(e.number))] or [
        e for e in RECIPE if e.task == wanted
    ]
    if len(found) == 1:
        return found[0]
    names = ", ".join(f"{entry.number} {entry.name}" for entry in RECIPE)
    problem = f"stage {text!r} is ambiguous" if found else f"no stage {text!r}"
    raise StageOrderError(problem, hint=f"The stages are: {names}.")
