"""The flagging template: commands for CASA's flagdata, vetted before CASA sees them.

CASA runs as Python what a command gives in braces, and for some parameters also what it gives as a string.
"""

from __future__ import annotations

import re
from typing import Any

from vlasscube.errors import ParameterFileError
from vlasscube.parameters.literals import parse_literal
from vlasscube.texts import shown

_MAX_PROBLEMS = 100
_MAX_COMMANDS = 100_000
_MAX_CHARACTERS = 10_000
"""Longest command."""
_KEY = re.compile(r"[a-z_]{1,40}")
_BARE = re.compile(r"[\w.~:;,*&<>!+/^%-]*", re.ASCII)
"""A value without quotes: a selection such as ``2:0~15;20`` or ``ea01&&ea02``."""
_EVALUATED = frozenset(
    {
        "autocorr",
        "quackincrement",
        "clipoutside",
        "channelavg",
        "clipzeros",
        "extendpols",
        "growaround",
        "flagneartime",
        "flagnearfreq",
        "combinescans",
        "extendflags",
        "timedev",
        "freqdev",
    }
)
"""Parameters whose strings CASA runs as Python."""


def template_commands(text: str, name: str) -> tuple[str, ...]:
    """Read the commands of a flagging template.

    Parameters
    ----------
    text : str
        One command of the form ``mode='manual' spw='2:0~15'`` a line; empty lines and lines starting with
        ``#`` are skipped.
    name : str
        Name of the template, for the message.

    Returns
    -------
    tuple of str
        The commands, each printable and without line breaks.

    Raises
    ------
    ParameterFileError
        With all lines that are not such commands, in particular those that CASA would run as Python.
    """
    commands: list[str] = []
    problems: list[str] = []
    for number, line in enumerate(text.splitlines(), start=1):
        command = line.strip()
        if not command or command.startswith("#"):
            continue
        problem = _problem(command)
        if problem:
            problems.append(f"{name}:{number}: {problem}")
        commands.append(command)
        if len(problems) >= _MAX_PROBLEMS or len(commands) > _MAX_COMMANDS:
            problems.append("... and perhaps more")
            break
    if problems:
        raise ParameterFileError(
            f"The flagging template {name} cannot be used:",
            problems,
            hint="Each line is one flagdata command, e.g. mode='manual' spw='2:0~15' antenna='ea05'.",
        )
    return tuple(commands)


def _problem(command: str) -> str:
    if len(command) > _MAX_CHARACTERS:
        return f"the command is longer than {_MAX_CHARACTERS} characters"
    if not command.isprintable():
        return "the command has tabs or other control characters"
    # As CASA takes a command apart: at each blank, and what has no equals sign belongs to what is before it.
    pairs: list[str] = []
    # It also writes these two words with a capital wherever they are.
    for part in command.replace("true", "True").replace("false", "False").split(" "):
        if "=" in part:
            pairs.append(part)
        elif pairs:
            pairs[-1] += f" {part}"
        else:
            return f"{shown(part)} is not parameter=value"
    return next(filter(None, map(_pair_problem, pairs)), "")


def _pair_problem(pair: str) -> str:
    key, _, value = pair.partition("=")
    value = value.rstrip()
    if _KEY.fullmatch(key) is None:
        return f"{shown(key)} is not the name of a parameter"
    if _BARE.fullmatch(value) and key not in _EVALUATED:
        return ""
    if value.startswith(" "):
        return f"{key}: a blank must not stand before the value"
    try:
        found: Any = parse_literal(value)
    except ValueError as error:
        return f"{key}: {error}"
    if isinstance(found, str) and key in _EVALUATED:
        return f"{key}: expected a number, a list or True or False, not {shown(found)}"
    return ""
