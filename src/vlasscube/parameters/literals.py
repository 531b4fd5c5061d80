"""Python literals out of untrusted text.

The text is checked token by token before Python's own literal reader sees it: nothing is executed, and no
text can exhaust the reader's stack.
"""

from __future__ import annotations

import ast
import math
import re
import warnings
from typing import Any

_MAX_VALUE_CHARACTERS = 100_000
_MAX_NESTING = 8
_MAX_TOKENS = 50_000

_TOKEN = re.compile(
    r"""(?P<space>[ \t]+)
    | (?P<comment>\#.*)
    | (?P<string>'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")
    | (?P<number>(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?(?![\w.]))
    | (?P<word>[^\W0-9]\w*)
    | (?P<open>[\[({]) | (?P<close>[\])}]) | (?P<comma>,) | (?P<colon>:) | (?P<sign>[+-])""",
    re.VERBOSE,
)
_CONSTANTS = ("True", "False", "None")


class UnclosedBracketError(ValueError):
    """The text ends inside of brackets; perhaps it goes on in the next line."""


def parse_literal(text: str) -> Any:
    """Read one Python literal: strings, finite numbers, True, False, None, and lists, tuples, dicts of these.

    Parameters
    ----------
    text : str
        May end in a comment.

    Raises
    ------
    ValueError
        With one line saying what is wrong.
    """
    _check_tokens(text)
    try:
        with warnings.catch_warnings():
            # Unknown escapes such as '\\d' are for the user to see in the value, not on the terminal.
            warnings.simplefilter("ignore")
            value = ast.literal_eval(text.strip())
    except (SyntaxError, ValueError, TypeError, RecursionError, MemoryError, OverflowError) as error:
        reason = str(error).split("(<unknown>")[0].strip() or type(error).__name__
        raise ValueError(f"not a Python literal: {reason}") from None
    _check_finite(value)
    return value


def _check_tokens(text: str) -> None:
    if len(text) > _MAX_VALUE_CHARACTERS:
        raise ValueError(f"the value is longer than {_MAX_VALUE_CHARACTERS} characters")
    position, count, brackets, previous = 0, 0, "", "start"
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None and text[position:].strip() == "\\":
            raise UnclosedBracketError("the line ends in a backslash; a value stands on one line")
        if match is None:
            raise ValueError(_describe_bad_character(text, position))
        kind, token = match.lastgroup or "", match.group()
        position = match.end()
        if kind in {"space", "comment"}:
            continue
        count += 1
        brackets = _check_brackets(brackets, kind, token)
        _check_neighbours(previous, kind, token, text[position : position + 1])
        if count > _MAX_TOKENS:
            raise ValueError(f"the value has more than {_MAX_TOKENS} items")
        previous = kind
    if previous == "start":
        raise ValueError("no value is given")
    if brackets:
        raise UnclosedBracketError(f"a bracket {brackets[-1]!r} is not closed; a value stands on one line")
    if previous == "comma":
        # To Python it makes a tuple of what is before it.
        raise ValueError("the value ends in a comma; take the comma out")


_TYPOGRAPHIC_QUOTES = "\u2018\u2019\u201a\u201b\u201c\u201d\u201e\u201f\u00ab\u00bb`"
_BAD_CHARACTERS = {
    "'\"": "a quote is not closed",
    _TYPOGRAPHIC_QUOTES: "{char} is a typographic quote; write ' or \"",
    "=": "there is a second '='; write one key=value a line",
    "*/%": "unexpected character {char!r}: nothing is worked out here; write the number that it gives",
}


def _describe_bad_character(text: str, position: int) -> str:
    char = text[position]
    if char.isdigit() or char == ".":
        return f"{text[position : position + 20]!r} is not a number"
    if char == ";" and text[position + 1 :].strip():
        return "there is a semicolon in it; write one key=value a line"
    if char == ";":
        return "the value ends in a semicolon; take the semicolon out"
    for characters, description in _BAD_CHARACTERS.items():
        if char in characters:
            return description.format(char=char)
    shown = repr(char) if char.isprintable() and not char.isspace() else f"U+{ord(char):04X}"
    return f"unexpected character {shown}; only literals are allowed"


def _check_brackets(brackets: str, kind: str, token: str) -> str:
    if kind == "open":
        if len(brackets) >= _MAX_NESTING:
            raise ValueError(f"brackets are nested deeper than {_MAX_NESTING}")
        return brackets + token
    if kind == "close":
        if not brackets or "[({".index(brackets[-1]) != "])}".index(token):
            raise ValueError(f"a bracket {token!r} has no partner")
        return brackets[:-1]
    return brackets


def _check_neighbours(previous: str, kind: str, token: str, following: str) -> None:
    values = {"string", "number", "word", "close"}
    if kind == "word" and token.capitalize() in _CONSTANTS and token not in _CONSTANTS:
        raise ValueError(f"{token!r} is not {token.capitalize()!r}: capitals count")
    if kind == "word" and token not in _CONSTANTS:
        advice = f"quote strings: '{token[:40]}'"
        if following == "(":
            advice = "nothing is worked out here, write the value itself"
        elif following in ("'", '"'):
            advice = "quote strings: 'text', with nothing before the quote"
        raise ValueError(f"{token[:40]!r} is neither quoted nor a number; {advice}")
    if previous in values and kind in {"string", "number", "word", "open", "sign"}:
        # Python would join adjacent strings: ['2' '3'] is ['23'].
        raise ValueError(f"a comma is missing before {token[:40]!r}")
    if previous == "sign" and kind != "number":
        raise ValueError("a sign must be followed by a number")


def _check_finite(value: Any) -> None:
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("the number is not finite")
    if isinstance(value, dict):
        _check_finite([*value.keys(), *value.values()])
    elif isinstance(value, list | tuple | set):
        for item in value:
            _check_finite(item)
