"""From the handle of a stage to its step, which is imported only when it is needed."""

from __future__ import annotations

from importlib import import_module
from typing import TypeVar

from vlasscube.recipe import Stage
from vlasscube.results.reading import InputSource
from vlasscube.stages.step import PreparedStep, Step

ResultT = TypeVar("ResultT")


def prepare_step(stage: Stage[ResultT], source: InputSource) -> PreparedStep[ResultT]:
    """Make the inputs of a step.

    Parameters
    ----------
    stage : Stage
        What is to be done.
    source : InputSource
        The records and options that the inputs come from.

    Raises
    ------
    StageOrderError
        If a stage that the inputs come from has not been run.
    TypeError
        If the module of the stage does not hold its step: a fault of the program.
    """
    # The one place where the type checker has to be told: a module by its name can hold anything.
    step: Step[object, ResultT] = import_module(stage.module).STEP
    if not isinstance(step, Step) or step.stage != stage:
        raise TypeError(f"{stage.module}.STEP is not the step of {stage.name}")
    return step.prepare(source)
