"""The recipe: handles by name, number and task; light, and true to the stages' modules."""

from __future__ import annotations

import pickle
import subprocess
import sys

import pytest

from vlasscube.errors import StageOrderError
from vlasscube.recipe import (
    GATHER_PLANES,
    MAKE_IMAGES,
    PBCOR,
    RECIPE,
    Recipe,
    Stage,
    iteration_step,
)
from vlasscube.records import Iteration


def test_stages_are_numbered_in_their_order() -> None:
    assert [stage.number for stage in RECIPE] == list(range(1, 13))
    assert (RECIPE.first.number, RECIPE.last.number, len(RECIPE)) == (1, 12, 12)
    assert [stage.number for stage in RECIPE.of_planes] == [7, 8, 9, 10]


def test_the_closing_step_follows_its_stage() -> None:
    names = [step.name for step in RECIPE.steps]
    assert names.index("gather_planes") == names.index("make_images") + 1
    assert len(names) == len(set(names)) == 13


def test_stages_are_found_by_name_number_and_task() -> None:
    assert RECIPE.find("7") is MAKE_IMAGES
    assert RECIPE.find(" Make-Images ") is MAKE_IMAGES
    assert RECIPE.find("hifv_pbcor") is PBCOR
    with pytest.raises(StageOrderError, match="ambiguous"):
        RECIPE.find("hif_editimlist")
    with pytest.raises(StageOrderError, match="no stage 'imaging'") as caught:
        RECIPE.find("imaging")
    assert "7 make_images" in caught.value.hint


def test_a_step_is_known_by_its_stage() -> None:
    assert RECIPE.stage_of(GATHER_PLANES) is MAKE_IMAGES
    assert RECIPE.stage_of(iteration_step(2)) is MAKE_IMAGES
    alone = Stage(99, "other", "", "", "field", int)
    assert Recipe(PBCOR).stage_of(alone) is alone


def test_iterations_have_steps_of_their_own() -> None:
    step = iteration_step(2)
    assert (step.name, step.scope, step.result) == ("make_images.iter2", "plane", Iteration)


def test_handles_go_to_workers() -> None:
    for step in RECIPE.steps:
        assert pickle.loads(pickle.dumps(step)) == step


def imported_by(*modules: str) -> set[str]:
    """All modules that are loaded when these are imported."""
    code = f"import sys, {', '.join(modules)}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_handles_import_nothing_heavy() -> None:
    loaded = imported_by("vlasscube.recipe")
    assert not loaded & {"scipy", "astropy", "pydantic", "casatools", "vlasscube._kernels"}
    assert not [name for name in loaded if name.startswith("vlasscube.stages")]


def test_status_and_web_log_do_without_the_stages() -> None:
    loaded = imported_by("vlasscube.run.status", "vlasscube.weblog.render", "vlasscube.run.verification")
    assert not [name for name in loaded if name.startswith("vlasscube.stages")]
