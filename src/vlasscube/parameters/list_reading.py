"""The text of a parameter list: lines into typed values, and everything that is wrong, each with its line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vlasscube.errors import ParameterFileError
from vlasscube.parameters.literals import UnclosedBracketError, parse_literal
from vlasscube.parameters.unknown_keys import unknown_key
from vlasscube.parameters.values import CONVERTERS, CUBE_MODE, spw_groups
from vlasscube.sky import FRAMES, gives_frame
from vlasscube.texts import shown

MAX_FILE_BYTES = 1_000_000
MAX_PROBLEMS = 100
REQUIRED = ("imagename", "phasecenter", "imaging_mode")


class Problems:
    """Problems of one file, each with its line, in the order of the lines."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._items: list[tuple[int, str]] = []

    def add(self, line: int, text: str) -> None:
        """Add one; line 0 stands for the file."""
        self._items.append((line, text))

    @property
    def are_many(self) -> bool:
        """Whether further ones will not be shown."""
        return len(self._items) >= MAX_PROBLEMS

    def __bool__(self) -> bool:
        return bool(self._items)

    @property
    def lines(self) -> set[int]:
        """Lines of which there is something to tell."""
        return {line for line, _ in self._items}

    def texts(self) -> list[str]:
        """Each with file and line; many are cut short."""
        ordered = sorted(self._items, key=lambda item: item[0])
        texts = [
            f"{self._name}:{line}: {text}" if line else f"{self._name}: {text}" for line, text in ordered
        ]
        if len(texts) > MAX_PROBLEMS:
            texts[MAX_PROBLEMS:] = [f"... and {len(texts) - MAX_PROBLEMS} more"]
        return texts


@dataclass
class ListContent:
    """What was read of a file."""

    path: Path
    problems: Problems
    """What is wrong."""
    notes: Problems
    """What was assumed."""
    values: dict[str, Any] = field(default_factory=dict)
    """By key, None for "not given"; keys with a value that is wrong are missing."""
    lines: dict[str, int] = field(default_factory=dict)
    """Of each key."""
    is_inside_value: bool = False
    """Whether the line before has left a bracket open."""

    def refuse_if_wrong(self) -> None:
        """Raise an error with all problems, if there are any.

        Raises
        ------
        ParameterFileError
            Listing them.
        """
        if self.problems:
            raise ParameterFileError(
                f"The parameter list {self.path} cannot be used:",
                self.problems.texts(),
                hint="Each line is key=value; strings in quotes, lists in brackets, "
                "e.g. imsize=[12500,12500].",
            )


def read_list(path: Path) -> ListContent:
    """Read a parameter list without refusing it; see `vlasscube.parameters.lists.read_parameter_file`."""
    content = ListContent(path, Problems(path.name), Problems(path.name))
    problems, values, lines = content.problems, content.values, content.lines
    for number, text in _read_lines(path, problems):
        _read_line(number, text, content)
    if not lines and not problems:
        problems.add(0, "no parameters in the file")
    elif lines:
        for key in REQUIRED:
            if key not in lines or (key in values and values[key] is None):
                problems.add(lines.get(key, 0), f"{key} is required")
    for key, text in _mode_problems(values):
        problems.add(lines.get(key, 0), text)
    return content


def _read_lines(path: Path, problems: Problems) -> list[tuple[int, str]]:
    try:
        if path.exists() and not path.is_file():
            problems.add(0, "is a directory" if path.is_dir() else "is not a regular file")
            return []
        with path.open("rb") as stream:
            content = stream.read(MAX_FILE_BYTES + 1)
    except (OSError, ValueError) as error:
        problems.add(0, f"cannot be read: {getattr(error, 'strerror', None) or error}")
        return []
    if len(content) > MAX_FILE_BYTES:
        problems.add(0, f"is larger than {MAX_FILE_BYTES} bytes; this is no parameter list")
        return []
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        problems.add(0, "is UTF-16; save it as UTF-8")
        return []
    content = content.removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    result = []
    for number, raw in enumerate(content.split(b"\n"), start=1):
        try:
            result.append((number, raw.decode()))
        except UnicodeDecodeError as error:
            problems.add(number, f"byte 0x{raw[error.start]:02x} is not UTF-8; save the file as UTF-8")
            # What is left of the line still tells which key it is about, so that it is not also "required".
            result.append((number, raw.decode(errors="ignore")))
    return result


def _read_line(number: int, text: str, content: ListContent) -> None:
    problems, lines = content.problems, content.lines
    line = text.strip()
    if not line or line.startswith("#"):
        return
    key, equals, literal = (part.strip() for part in line.partition("="))
    meant, colon, _ = (part.strip() for part in line.partition(":"))
    if not equals or (colon and meant in CONVERTERS):
        if colon and meant in CONVERTERS:
            problems.add(number, f"{meant}: write '=' after the key, not ':'")
            lines.setdefault(meant, number)
        # The rest of a value over several lines has been told of already.
        elif not content.is_inside_value:
            problems.add(number, f"{shown(line)} is not key=value; start comments with #")
        return
    content.is_inside_value = False
    before, _, meant = key.rpartition(" ")
    if before and meant in CONVERTERS and not before.startswith("#"):
        problems.add(number, f"{meant}: take {shown(before)} before the key out")
        lines.setdefault(meant, number)
        return
    if key not in CONVERTERS:
        # Looking for the nearest takes a millisecond.
        problems.add(number, f"unknown key {shown(key)}" if problems.are_many else unknown_key(key))
        return
    if key in lines:
        problems.add(number, f"{key} was already given in line {lines[key]}")
        return
    lines[key] = number
    try:
        value = parse_literal(literal)
        # An empty text is upstream's "not given", also of numbers.
        content.values[key] = None if value is None or value == "" else CONVERTERS[key](value)
    except ValueError as error:
        problems.add(number, f"{key}: {error}")
        content.is_inside_value = isinstance(error, UnclosedBracketError)
        return
    if key == "phasecenter" and content.values[key] is not None and not gives_frame(value):
        content.notes.add(number, f"phasecenter {shown(value)} has no frame; {FRAMES[0]} is assumed")


def _mode_problems(values: Mapping[str, Any]) -> list[tuple[str, str]]:
    mode, spw = values.get("imaging_mode"), values.get("spw")
    if mode is None or spw is None:
        return []
    if mode == CUBE_MODE:
        return [("spw", f"spw: {text}") for text in spw_groups(spw)[1]]
    if not isinstance(spw, str):
        return [("spw", f"spw: expected one string for {mode}, e.g. '2,3,4', not {shown(list(spw))}")]
    if ":" in spw:
        return [("spw", f"spw: {shown(spw)} selects channels; whole spectral windows are used")]
    return []
