"""The CASA calls of a run as one readable log, and the recipe as a script."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from vlasscube.recipe import RECIPE
from vlasscube.workspace.files import write_text

_HEADER = """raise RuntimeError("casa_commands.log is a record of a run; it is not meant to be executed")

# Directories are left out; every call is as it was executed.
"""


_STEP_LINE = "# step "


def begin_call_log(path: Path, key: str) -> None:
    """Start the log of a step's CASA calls, or go on with that of an interrupted step with the same key.

    The calls of an interrupted step made images that are kept of it.
    """
    line = f"{_STEP_LINE}{key}\n"
    if not path.is_file() or not path.read_text(encoding="utf-8").startswith(line):
        write_text(path, line)


def merged_command_log(call_logs: Path, directories: Sequence[Path], planes: Sequence[str]) -> str:
    """Merge the call logs of all steps in the order of the recipe.

    Parameters
    ----------
    call_logs : Path
        Directory with one file ``<stage>[.<plane>].py`` per step.
    directories : sequence of Path
        Directories whose names are left out of the calls.
    planes : sequence of str
        Labels of the planes in the order of the plan.
    """
    parts = [_HEADER]
    for entry in RECIPE:
        stems = [entry.name, *(f"{entry.name}.{plane}" for plane in planes)]
        for stem in stems:
            path = call_logs / f"{stem}.py"
            if path.is_file():
                plane = stem.removeprefix(entry.name).removeprefix(".")
                rule = "-" * 100
                what = f"# Stage {entry.number}: {entry.task}: {entry.title}" + (
                    f": {plane}" if plane else ""
                )
                parts.append(f"\n# {rule}\n{what}\n{_calls(path)}")
    text = "".join(parts)
    for directory in sorted((str(d) for d in directories), key=len, reverse=True):
        text = text.replace(f"{directory}/", "")
    return text


def _calls(path: Path) -> str:
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    return "".join(line for line in lines if not line.startswith(_STEP_LINE))


def recipe_script() -> str:
    """The recipe as an operator writes it."""
    calls = []
    for entry in RECIPE:
        arguments = "".join(f", {name}={value!r}" for name, value in entry.arguments)
        calls.append(f"{entry.task}(workspace{arguments})")
    tasks = sorted({entry.task for entry in RECIPE})
    imports = "\n".join(f"    {task}," for task in tasks)
    body = "\n".join(calls)
    return (
        "from vlasscube import Workspace\n"
        f"from vlasscube.tasks import (\n{imports}\n)\n\n"
        f"workspace = Workspace('.')\n{body}\n"
    )
