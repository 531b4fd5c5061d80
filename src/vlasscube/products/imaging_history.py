"""How a plane was imaged, as lines for the HISTORY of its products: words for readers, calls for programs."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from vlasscube.clean_terms import ImageMask, NoMask, PrimaryBeamMask
from vlasscube.records import Iteration, PlaneImages

CALL_NAMES = ("tclean", "mosaic")
"""Names of the calls of the imaging engines."""


@dataclass(frozen=True)
class ImagingSetup:
    """What all planes of a cube have been imaged with."""

    engine: str
    engine_version: str
    """Of the package that the engine is of."""
    profile: str
    """Named set of options, of which some may have been overridden."""
    gridding: str
    w_correction: bool
    version: str
    """Version of vlasscube."""
    changed_options: str = ""
    """Options that the profile would have set otherwise, with their values."""


def imaging_history(setup: ImagingSetup, images: PlaneImages) -> tuple[str, ...]:
    """Tell how a plane was imaged.

    Parameters
    ----------
    setup : ImagingSetup
        What the cube was imaged with.
    images : PlaneImages
        The plane with its iterations.

    Returns
    -------
    tuple of str
        A line on the setup, and one on what was changed of its profile; then for each iteration a line of
        words and the call as it was executed, as Python on one line. Printable ASCII: `call_arguments` reads
        the calls.
    """
    planes = f" ({images.w_planes} w planes)" if setup.w_correction and images.w_planes else ""
    lines = [
        f"Imaged by vlasscube {setup.version}, engine {setup.engine} {setup.engine_version}, "
        f"profile {setup.profile}, gridding {setup.gridding}, "
        f"w-correction {'on' if setup.w_correction else 'off'}{planes}."
    ]
    if setup.changed_options:
        lines.append(f"Profile {setup.profile} with changes: {setup.changed_options}")
    for iteration in images.iterations:
        call = one_line_call(iteration.call)
        lines += [_in_words(iteration, call_arguments(call)), call]
    return tuple(lines)


def _in_words(iteration: Iteration, arguments: Mapping[str, object]) -> str:
    mask = iteration.mask
    where = "no mask" if isinstance(mask, NoMask) else f"mask {mask}"
    if isinstance(mask, ImageMask):
        where = f"mask {mask.name}"
    elif isinstance(mask, PrimaryBeamMask) and "pbmask" in arguments:
        where = f"mask primary beam above {arguments['pbmask']}"
    parts = [where, f"nsigma {iteration.nsigma:g}"]
    parts += [f"{name} {arguments[name]}" for name in ("niter", "cycleniter") if name in arguments]
    cycles = iteration.major_cycles
    parts += [
        f"{iteration.iterations_done} iterations in {cycles} major cycle{'s' * (cycles != 1)}",
        f"stop code {int(iteration.stop_code)} ({iteration.stop_code.reason})",
    ]
    return f"iter{iteration.number}: {', '.join(parts)}"


def one_line_call(call: str) -> str:
    """Write a recorded call on one line of printable ASCII, with the same meaning to Python.

    A text that is no Python call is kept as it is but for its blanks.
    """
    try:
        text = ast.unparse(ast.parse(call, mode="eval"))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        text = " ".join(call.split())
    plain = text.encode("ascii", "backslashreplace").decode("ascii")
    # Of several blanks, which can only be part of a text here, FITS might keep one.
    return plain.replace("  ", " \\x20")


def call_arguments(text: str) -> dict[str, object]:
    """Arguments of a call by name, as far as they are plain values.

    Parameters
    ----------
    text : str
        One call as Python text; it is parsed, never executed.

    Returns
    -------
    dict
        Empty if the text is no call.
    """
    try:
        tree = ast.parse(text, mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return {}
    found: dict[str, object] = {}
    for keyword in tree.keywords if isinstance(tree, ast.Call) else ():
        if keyword.arg is not None:
            try:
                found[keyword.arg] = ast.literal_eval(keyword.value)
            except (ValueError, TypeError, RecursionError, MemoryError):
                continue
    return found


def imaging_calls(history: Sequence[str]) -> tuple[str, ...]:
    """Find the calls of the imager in the lines of a HISTORY, as `imaging_history` has written them."""
    return tuple(
        line
        for line in history
        if line.startswith(tuple(f"{name}(" for name in CALL_NAMES)) and call_arguments(line)
    )
