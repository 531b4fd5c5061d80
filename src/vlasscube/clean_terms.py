"""The terms of a clean that its records, its engines and the pages share: why it stopped, where it looked."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Annotated, Any, Literal

if TYPE_CHECKING:
    from pydantic import GetCoreSchemaHandler
    from pydantic_core import CoreSchema


class StopCode(IntEnum):
    """Why a clean stopped, by the numbers of tclean (which are what stands in JSON)."""

    UNKNOWN = -1
    """A number without meaning here, e.g. of another version of tclean."""
    NOT_REACHED = 0
    """Also means that a clean continues."""
    ITERATION_LIMIT = 1
    THRESHOLD = 2
    FORCED = 3
    UNCHANGED = 4
    GREW_SINCE_LAST = 5
    GREW_FROM_MINIMUM = 6
    EMPTY_MASK = 7
    NOISE_THRESHOLD = 8
    MAJOR_CYCLE_LIMIT = 9

    @classmethod
    def _missing_(cls, value: object) -> StopCode | None:
        return cls.UNKNOWN if isinstance(value, int) else None

    @property
    def reason(self) -> str:
        """In words."""
        return _STOP_REASONS[self]

    @property
    def text(self) -> str:
        """Number and reason, as it is shown."""
        return f"[{int(self)}] {self.reason}"

    @property
    def is_divergence(self) -> bool:
        """Whether the clean diverged: its image is not to be trusted."""
        return self in (StopCode.GREW_SINCE_LAST, StopCode.GREW_FROM_MINIMUM)

    @property
    def is_limit(self) -> bool:
        """Whether the clean would have continued without its limits."""
        return self in (StopCode.ITERATION_LIMIT, StopCode.MAJOR_CYCLE_LIMIT)


_STOP_REASONS = {
    StopCode.UNKNOWN: "unknown",
    StopCode.NOT_REACHED: "global stopping criterion not reached",
    StopCode.ITERATION_LIMIT: "iteration limit",
    StopCode.THRESHOLD: "threshold",
    StopCode.FORCED: "force stop",
    StopCode.UNCHANGED: "peak residual unchanged over two major cycles",
    StopCode.GREW_SINCE_LAST: "peak residual grew more than 3 times since the previous major cycle",
    StopCode.GREW_FROM_MINIMUM: "peak residual grew more than 3 times from its minimum",
    StopCode.EMPTY_MASK: "zero mask",
    StopCode.NOISE_THRESHOLD: "n-sigma or another criterion",
    StopCode.MAJOR_CYCLE_LIMIT: "major cycle limit",
}


@dataclass(frozen=True)
class NoMask:
    """Nothing limits where flux is looked for."""

    kind: Literal["none"] = "none"

    def __str__(self) -> str:
        return ""


@dataclass(frozen=True)
class PrimaryBeamMask:
    """Flux is looked for where the primary beam is above a level, ``pbmask``."""

    kind: Literal["pb"] = "pb"

    def __str__(self) -> str:
        return "pb"


@dataclass(frozen=True)
class ImageMask:
    """Flux is looked for where a mask image is above zero."""

    name: str
    """Name of the image in the working directory; its absolute path where it is handed to the imager."""
    kind: Literal["image"] = "image"

    def __str__(self) -> str:
        return self.name


def clean_mask(text: str) -> NoMask | PrimaryBeamMask | ImageMask:
    """Return the mask that a text of a parameter list stands for: ``''``, ``'pb'``, or the name of an image.

    Records of version 0.1.0 hold masks in this form, too.
    """
    if not text:
        return NoMask()
    return PrimaryBeamMask() if text == str(PrimaryBeamMask()) else ImageMask(text)


class _ReadAlsoFromText:
    """Lets a mask be read from its text."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        # Whoever reads records has imported pydantic; this module is imported where it is not wanted.
        from pydantic_core.core_schema import no_info_before_validator_function

        return no_info_before_validator_function(
            lambda value: clean_mask(value) if isinstance(value, str) else value, handler(source)
        )


CleanMask = Annotated[NoMask | PrimaryBeamMask | ImageMask, _ReadAlsoFromText()]
"""Where a clean may look for flux."""
