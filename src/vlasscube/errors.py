"""The errors vlasscube raises by name, each with a hint for the user."""

from __future__ import annotations

from collections.abc import Sequence


class VlassCubeError(Exception):
    """Base of all errors raised on purpose.

    Parameters
    ----------
    message : str
        What was found, where, and what was expected.
    hint : str, optional
        What the user can do about it.
    """

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __reduce__(self) -> tuple[object, ...]:
        # Exceptions with keyword-only arguments do not survive the way back from a worker process otherwise.
        return (_rebuild, (type(self), self.message, self.hint, self.__dict__.copy()))


def _rebuild(cls: type[VlassCubeError], message: str, hint: str, state: dict[str, object]) -> VlassCubeError:
    error = cls.__new__(cls)
    Exception.__init__(error, message)
    error.__dict__.update(state, message=message, hint=hint)
    return error


def interruption_behind(error: Exception) -> BaseException | None:
    """Return the Ctrl-C or signal that an error was made of, if it was.

    A signal that arrives while compiled code of a library runs comes out of it as an error of that library.
    """
    behind: BaseException | None = error
    seen: set[int] = set()
    while behind is not None and id(behind) not in seen:
        if not isinstance(behind, Exception):
            return behind
        seen.add(id(behind))
        behind = behind.__cause__ or behind.__context__
    return None


class ProblemListError(VlassCubeError):
    """Several problems of one input, reported together."""

    def __init__(self, summary: str, problems: Sequence[str], *, hint: str = "") -> None:
        super().__init__("\n".join([summary, *(f"  {problem}" for problem in problems)]), hint=hint)
        self.problems = tuple(problems)


class ParameterFileError(ProblemListError):
    """A parameter list cannot be used."""


class InputsError(VlassCubeError):
    """More than one input of a run cannot be used.

    ``report`` is the `vlasscube.run.preflight.InputReport` of all that was looked at.
    """

    report: object = None


class NamingError(VlassCubeError):
    """A name does not follow the VLASS conventions."""


class QuantityError(VlassCubeError, ValueError):
    """A text is not the number with a unit, the direction or the list of ids that it should be."""


class MissingResourcesError(ProblemListError):
    """Something that the continuum run must supply is missing or ambiguous.

    ``report`` is the `vlasscube.resources.archive.ResourceReport` of what was looked for.
    """

    report: object = None


class ResourceMismatchError(ProblemListError):
    """What the continuum run supplied is damaged, or is of another image or measurement set."""


class ArchiveError(VlassCubeError):
    """A tar archive is damaged, hostile, or not what it should be."""


class MeasurementSetError(VlassCubeError):
    """A measurement set lacks something or contradicts the parameters."""


class CasaUnavailableError(VlassCubeError):
    """CASA is not installed or does not start."""


class CasaTaskError(VlassCubeError):
    """A CASA task failed."""


class ImagingError(VlassCubeError):
    """A plane could not be imaged."""


class ProductError(VlassCubeError):
    """A product cannot be made or is not what it should be."""


class WorkspaceError(VlassCubeError):
    """The run directory is not usable, or a record in it is damaged."""


class WorkspaceLockedError(WorkspaceError):
    """Another run works in this directory."""


class ResourceLimitError(VlassCubeError):
    """There is not enough disk space or memory."""


class MemoryLimitError(ResourceLimitError):
    """There is not enough memory now; there may be when less is done at once."""


class CodeChangedError(VlassCubeError):
    """The source code of the package changed during a run."""


class StageOrderError(VlassCubeError):
    """A stage was requested before its predecessors have been run."""


class ClusterError(VlassCubeError):
    """The cluster cannot be used as requested."""


class WorkerRefusedError(ClusterError):
    """A worker must not do a plane that it was given; another one may."""


class WorkerLostError(ClusterError):
    """A worker, or the process of a plane on it, ended before the plane was finished."""
