"""Each stage's module holds the step of its handle, with inputs and result of the types that it says."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import get_type_hints

import pytest

from vlasscube.options import RunOptions
from vlasscube.recipe import PBCOR, RECIPE, Stage
from vlasscube.results.reading import InputSource
from vlasscube.run.wiring import prepare_step
from vlasscube.stages import pbcor
from vlasscube.stages.context import StageContext
from vlasscube.stages.step import Step
from vlasscube.workspace.directory import Workspace


@pytest.mark.parametrize("stage", RECIPE.stages, ids=lambda stage: stage.name)
def test_the_step_is_that_of_the_handle(stage: Stage[object]) -> None:
    """What the type checker sees statically holds for what is imported by name, too."""
    step = import_module(stage.module).STEP
    assert isinstance(step, Step)
    assert step.stage is stage
    made, work = get_type_hints(step.inputs), get_type_hints(step.run)
    assert made.pop("source") is InputSource
    assert work.pop("context") is StageContext
    assert work.pop("return") is stage.result
    (inputs,) = work.values()
    assert made == {"return": inputs}


@pytest.mark.parametrize(
    "step", [Step(RECIPE.last, lambda source: 1, lambda inputs, context: 2), SimpleNamespace(stage=PBCOR)]
)
def test_another_step_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, step: object) -> None:
    monkeypatch.setattr(pbcor, "STEP", step)
    with pytest.raises(TypeError, match=r"vlasscube\.stages\.pbcor\.STEP is not the step of pbcor"):
        prepare_step(PBCOR, InputSource(Workspace(tmp_path), RunOptions(), "spw2"))


def test_a_prepared_step_runs_with_its_inputs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(
        pbcor,
        "STEP",
        Step(PBCOR, lambda source: f"of {source.plane}", lambda inputs, context: (inputs, context)),
    )
    context = StageContext(Workspace(tmp_path), "pbcor", "spw2")
    prepared = prepare_step(PBCOR, InputSource(context.workspace, RunOptions(), "spw2"))
    assert (prepared.stage, prepared.plane, prepared.inputs) == (PBCOR, "spw2", "of spw2")
    assert prepared.run(context) == ("of spw2", context)
