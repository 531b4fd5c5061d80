"""What the targets of the fuzzer share: their registry, a place for files, and what an error may be."""

# ruff: noqa: PT017

from __future__ import annotations

import functools
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

MAX_MESSAGE = 20_000
"""Characters of an error: a terminal must be able to show it."""
Target = Callable[[bytes], object]
"""What it returns, if anything, tells inputs apart that reach the same lines."""
TARGETS: dict[str, Target] = {}


def target(function: Target) -> Target:
    TARGETS[function.__name__] = function
    return function


@functools.cache
def _scratch() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="fuzzing.")


def place(name: str, content: bytes | None = None) -> Path:
    """A file to be parsed; always the same one."""
    path = Path(_scratch().name) / name
    if content is not None:
        path.write_bytes(content)
    return path


def text_of(data: bytes) -> str:
    """As text comes from the system: what is not UTF-8 becomes lone surrogates."""
    return data.decode("utf-8", "surrogateescape")


def attempt(expected: type[Exception], parser: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    """What a parser returns; None if it refuses by name."""
    try:
        return parser(*arguments, **options)
    except expected as error:
        assert len(str(error)) < MAX_MESSAGE, "the message is too long"
        return None
