"""What a user wants headers and manifest to say that the image name does not: the file ``vlasscube.toml``.

The file is optional and stands in the run directory beside the parameter lists::

    tile = "T10t02"
    epoch = "2.1"
    version = "1"
    object = "J0807+0432"
"""

from __future__ import annotations

import math
import re
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

from vlasscube.errors import ParameterFileError
from vlasscube.image_names import ImageIdentity, image_identity
from vlasscube.parameters.values import nearest
from vlasscube.texts import shown

LABELS_FILE = "vlasscube.toml"
MAX_FILE_BYTES = 100_000
_FIELDS = {"tile": "tile", "epoch": "epoch", "version": "version", "object": "object_name"}
"""Attribute of `ImageIdentity` by key of the file."""
_LABEL = re.compile(r"[A-Za-z0-9._+-]{1,40}")
_MAX_OBJECT = 68
"""Characters of a string in one card of a FITS header."""
_EXAMPLE = 'tile = "T10t02"'


def product_identity(path: Path, image_name: str) -> ImageIdentity:
    """Tell tile, epoch, version and object of an image, from its name and from ``vlasscube.toml``.

    Parameters
    ----------
    path : Path
        The file; it need not be there.
    image_name : str
        A name that can be used.

    Returns
    -------
    ImageIdentity
        What the name does not say is taken from the file, None if it is not there either. The object of a
        name without a position in it is the file's, or the name.

    Raises
    ------
    ParameterFileError
        With all problems of the file: not TOML, unknown keys, values that cannot stand in a header or
        contradict the name.
    """
    said = image_identity(image_name)
    given, problems = _read(path)
    for key, value in given.items():
        known = getattr(said, _FIELDS[key])
        if known not in {None, value, image_name}:
            problems.append(f"{key} is {shown(value)}, but imagename {shown(image_name)} says {shown(known)}")
    if problems:
        raise ParameterFileError(
            f"{path} cannot be used:",
            [f"{path.name}: {problem}" for problem in problems],
            hint=f"The file may hold {', '.join(_FIELDS)}, one a line, each a string: {_EXAMPLE}.",
        )
    return replace(said, **{_FIELDS[key]: value for key, value in given.items()})


def _read(path: Path) -> tuple[dict[str, str], list[str]]:
    try:
        with path.open("rb") as stream:
            content = stream.read(MAX_FILE_BYTES + 1)
    except FileNotFoundError:
        return {}, []
    except OSError as error:
        return {}, [f"cannot be read: {error.strerror or error}"]
    if len(content) > MAX_FILE_BYTES:
        return {}, [f"is larger than {MAX_FILE_BYTES} bytes"]
    try:
        table = tomllib.loads(content.decode("utf-8-sig"))
    except UnicodeDecodeError:
        return {}, ["is not UTF-8; save the file as UTF-8"]
    except (tomllib.TOMLDecodeError, RecursionError, ValueError) as error:
        return {}, [f"is not TOML: {' '.join(str(error).split())[:200] or type(error).__name__}"]
    given: dict[str, str] = {}
    problems = []
    for key, value in table.items():
        if key not in _FIELDS:
            problems.append(f"unknown key {shown(key)}{nearest(key, _FIELDS)}")
        elif problem := _problem(key, text := _text(value)):
            problems.append(f"{key}: {problem}")
        elif text is not None:
            given[key] = text
    return given, problems


def _text(value: Any) -> str | None:
    """A string or a number as text; 2.1 is as good as "2.1"."""
    if isinstance(value, str):
        return value.strip()
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return str(value) if is_number else None


def _problem(key: str, text: str | None) -> str:
    if text is None:
        return f"expected a string, e.g. {_EXAMPLE}"
    if key == "object":
        is_fine = 0 < len(text) <= _MAX_OBJECT and text.isascii() and text.isprintable()
        return "" if is_fine else f"expected 1 to {_MAX_OBJECT} printable ASCII characters, not {shown(text)}"
    if _LABEL.fullmatch(text) is None:
        return f"expected up to 40 letters, digits and . _ + -, not {shown(text)}"
    return ""
