"""The recipe: a typed handle for each stage, in order.

A handle describes a stage without importing what it works with: its name, what it is called
in the official pipeline, and the type of the result that it leaves. Whoever reads a result, draws a page or
estimates a time names the stage by its handle; the stage's own module, ``vlasscube.stages.NAME``, holds its
inputs and its work. A new stage is such a module and an entry here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

from vlasscube.errors import StageOrderError
from vlasscube.records import Iteration, PlaneImages
from vlasscube.results.types import (
    ContinuumTarget,
    CubeImages,
    CubePlan,
    CutoutResult,
    ExportResult,
    FlagResult,
    ImportResult,
    PbcorResult,
    RestoreResult,
    RmsResult,
    StokesAnalysis,
    TransformResult,
)

ResultT_co = TypeVar("ResultT_co", covariant=True)


@dataclass(frozen=True)
class Stage(Generic[ResultT_co]):
    """A stage of the recipe, or a step that belongs to one."""

    number: int
    name: str
    task: str
    """Name of the task in the official pipeline's recipe."""
    title: str
    scope: Literal["field", "plane"]
    """Whether it is done once, or separately for each plane."""
    result: type[ResultT_co]
    """Type of its result."""
    arguments: tuple[tuple[str, str | bool], ...] = ()
    """Arguments of the task, as the official recipe gives them."""
    closing: Stage[object] | None = None
    """The step that ends a stage of planes, once all are done."""
    package: str = "vlasscube.stages"

    @property
    def module(self) -> str:
        """Where the stage's inputs are made and its work is done."""
        return f"{self.package}.{self.name}"


class Recipe:
    """Stages in the order in which they are done.

    Parameters
    ----------
    *stages : Stage
        Numbered from 1 on.
    """

    def __init__(self, *stages: Stage[object]) -> None:
        self.stages = stages

    def __iter__(self) -> Iterator[Stage[object]]:
        return iter(self.stages)

    def __len__(self) -> int:
        return len(self.stages)

    @property
    def first(self) -> Stage[object]:
        """The stage that a run begins with."""
        return self.stages[0]

    @property
    def last(self) -> Stage[object]:
        """The stage that a run ends with."""
        return self.stages[-1]

    @property
    def steps(self) -> tuple[Stage[object], ...]:
        """Stages, and after those that have one their closing step."""
        return tuple(step for stage in self.stages for step in (stage, stage.closing) if step is not None)

    @property
    def of_planes(self) -> tuple[Stage[object], ...]:
        """Stages that are done for each plane."""
        return tuple(stage for stage in self.stages if stage.scope == "plane")

    def find(self, text: str) -> Stage[object]:
        """Find a stage by its name, number, or (where only one stage has it) task name.

        Raises
        ------
        StageOrderError
            If there is no such stage; the message lists all.
        """
        wanted = text.strip().lower().replace("-", "_")
        found = [s for s in self.stages if wanted in (s.name, str(s.number))] or [
            s for s in self.stages if s.task == wanted
        ]
        if len(found) == 1:
            return found[0]
        names = ", ".join(f"{stage.number} {stage.name}" for stage in self.stages)
        problem = f"stage {text!r} is ambiguous" if found else f"no stage {text!r}"
        raise StageOrderError(problem, hint=f"The stages are: {names}.")

    def stage_of(self, step: Stage[object]) -> Stage[object]:
        """Return the stage that a step belongs to, which the user knows it by."""
        return next((stage for stage in self.stages if stage.number == step.number), step)


IMPORT_DATA = Stage(
    1,
    "import_data",
    "hifv_importdata",
    "Import the measurement set",
    "field",
    ImportResult,
    arguments=(("nocopy", True),),
)
EDIT_IMAGE_LIST_CONTINUUM = Stage(
    2,
    "edit_image_list_continuum",
    "hif_editimlist",
    "Image list of the continuum run",
    "field",
    ContinuumTarget,
    arguments=(("parameter_file", "SEIP_parameter.list"),),
)
TRANSFORM_IMAGE_DATA = Stage(
    3,
    "transform_image_data",
    "hif_transformimagedata",
    "Split the working data",
    "field",
    TransformResult,
    arguments=(
        ("datacolumn", "data"),
        ("clear_pointing", False),
        ("modify_weights", True),
        ("wtmode", "nyq"),
    ),
)
RESTORE_PIMS = Stage(
    4, "restore_pims", "hifv_restorepims", "Restore the continuum run's state", "field", RestoreResult
)
FLAG_TARGETS_DATA = Stage(
    5, "flag_targets_data", "hifv_flagtargetsdata", "Flag the target data", "field", FlagResult
)
EDIT_IMAGE_LIST_CUBE = Stage(
    6,
    "edit_image_list_cube",
    "hif_editimlist",
    "Image list of the cube",
    "field",
    CubePlan,
    arguments=(("parameter_file", "CCIP_parameter.list"), ("editmode", "replace")),
)
GATHER_PLANES = Stage(7, "gather_planes", "hif_makeimages", "Compare the planes", "field", CubeImages)
"""The step at the end of stage 7 that compares all planes and gives each its outcome."""
MAKE_IMAGES = Stage(
    7,
    "make_images",
    "hif_makeimages",
    "Make images",
    "plane",
    PlaneImages,
    arguments=(("hm_masking", "manual"),),
    closing=GATHER_PLANES,
)
PBCOR = Stage(8, "pbcor", "hifv_pbcor", "Primary-beam correction", "plane", PbcorResult)
MAKE_RMS_IMAGES = Stage(9, "make_rms_images", "hif_makermsimages", "Make rms images", "plane", RmsResult)
MAKE_CUTOUT_IMAGES = Stage(
    10, "make_cutout_images", "hif_makecutoutimages", "Make cutout images", "plane", CutoutResult
)
ANALYZE_STOKES_CUBES = Stage(
    11, "analyze_stokes_cubes", "hifv_analyzestokescubes", "Analyse the Stokes cubes", "field", StokesAnalysis
)
EXPORT_VLASS_DATA = Stage(12, "export_vlass_data", "hifv_exportvlassdata", "Export", "field", ExportResult)

RECIPE = Recipe(
    IMPORT_DATA,
    EDIT_IMAGE_LIST_CONTINUUM,
    TRANSFORM_IMAGE_DATA,
    RESTORE_PIMS,
    FLAG_TARGETS_DATA,
    EDIT_IMAGE_LIST_CUBE,
    MAKE_IMAGES,
    PBCOR,
    MAKE_RMS_IMAGES,
    MAKE_CUTOUT_IMAGES,
    ANALYZE_STOKES_CUBES,
    EXPORT_VLASS_DATA,
)

MAX_ITERATIONS = 20
"""More iterations than any mask list asks for; ends the search for records of a plane under way."""


def iteration_step(number: int) -> Stage[Iteration]:
    """Return the step of stage 7 that makes one iteration of a plane, which has a record of its own."""
    name = f"{MAKE_IMAGES.name}.iter{number}"
    return Stage(MAKE_IMAGES.number, name, MAKE_IMAGES.task, f"iter{number}", "plane", Iteration)
