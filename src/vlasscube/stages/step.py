"""A stage's step: how its inputs are made and what it does with them, tied to its handle by their types."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from vlasscube.recipe import Stage
from vlasscube.results.reading import InputSource
from vlasscube.stages.context import StageContext

InputsT = TypeVar("InputsT")
ResultT = TypeVar("ResultT")
ResultT_co = TypeVar("ResultT_co", covariant=True)


@dataclass(frozen=True)
class PreparedStep(Generic[ResultT_co]):
    """A step with its inputs, ready to be done."""

    stage: Stage[ResultT_co]
    plane: str | None
    inputs: object
    """A dataclass that serialises to JSON: the step is done again when it changes."""
    run: Callable[[StageContext], ResultT_co]


@dataclass(frozen=True)
class Step(Generic[InputsT, ResultT]):
    """What the module of a stage gives to the workflow, under the name ``STEP``."""

    stage: Stage[ResultT]
    inputs: Callable[[InputSource], InputsT]
    """Makes the inputs from the records of the steps before."""
    run: Callable[[InputsT, StageContext], ResultT]
    """Does the work."""

    def prepare(self, source: InputSource) -> PreparedStep[ResultT]:
        """Make the inputs.

        Raises
        ------
        StageOrderError
            If a stage that they come from has not been run.
        """
        inputs = self.inputs(source)
        return PreparedStep(self.stage, source.plane, inputs, lambda context: self.run(inputs, context))
