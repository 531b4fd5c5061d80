"""The flagging template: commands for CASA's flagdata, vetted before CASA sees them.

CASA runs as Python what a command gives in braces, and for some parameters also what it gives as a string.
Of each parameter it takes certain types only, and refuses the whole template if there is another: a number
without quotes is not the text that a selection must be.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping
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
_TEXTS = (
    "field spw antenna timerange correlation scan intent array uvrange observation feed mode reason "
    "datacolumn timebin quackmode timefit freqfit flagdimension usewindowstats antint_ref_antenna name "
    "ntime addantenna"
)
_NUMBERS = (
    "quackinterval tolerance lowerlimit upperlimit ntime timecutoff freqcutoff timedev freqdev timedevscale "
    "freqdevscale spectralmax spectralmin minchanfrac growtime growfreq minrel maxrel"
)
_SWITCHES = (
    "autocorr clipoutside channelavg timeavg clipzeros quackincrement combinescans extendflags verbose "
    "extendpols growaround flagneartime flagnearfreq spwchan spwcorr basecnt fieldcnt overwrite writeflags"
)
_TAKEN: Mapping[type, frozenset[str]] = {
    str: frozenset(_TEXTS.split()),
    float: frozenset(_NUMBERS.split()),
    bool: frozenset(_SWITCHES.split()),
    int: frozenset({"chanbin", "maxnpieces", "halfwin", "winsize", "minabs", "maxabs", "quackinterval"}),
    list: frozenset({"clipminmax", "timedev", "freqdev"}),
    dict: frozenset({"addantenna"}),
}
"""Parameters of flagdata that can stand in a template, by the types that CASA takes of each."""
_EXPECTED = {
    str: "text in quotes",
    float: "a number with a decimal point",
    bool: "True or False",
    int: "a whole number",
    list: "a list",
    dict: "a dictionary",
}
_MODES = ("manual", "clip", "quack", "shadow", "elevation", "tfcrop", "rflag", "antint", "extend", "unflag")
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
    if value.startswith(" "):
        return f"{key}: a blank must not stand before the value"
    try:
        is_bare = _BARE.fullmatch(value) is not None and key not in _EVALUATED
        found: Any = _bare_value(value) if is_bare else parse_literal(value)
    except ValueError as error:
        return f"{key}: {error}"
    if isinstance(found, str) and key in _EVALUATED:
        return f"{key}: expected a number, a list or True or False, not {shown(found)}"
    return _type_problem(key, value, found)


def _bare_value(text: str) -> str | float | bool:
    """Read a value without quotes as CASA does: a number if it can be one."""
    if text in ("True", "False"):
        return text == "True"
    for kind in (int, float):
        with contextlib.suppress(ValueError):
            return kind(text)
    return text


def _type_problem(key: str, value: str, found: Any) -> str:
    kinds = [kind for kind, keys in _TAKEN.items() if key in keys]
    if not kinds:
        return f"{shown(key)} is not a parameter that flagdata takes in a list"
    if type(found) in kinds:
        if key == "mode" and found not in (*_MODES, "summary"):
            return f"mode: {shown(found)} is none of {', '.join(_MODES)}"
        return ""
    is_number = isinstance(found, int | float) and not isinstance(found, bool)
    if is_number and kinds == [str]:
        return f"{key}: to CASA {value} is a number, and text is needed; write {key}='{value}'"
    expected = " or ".join(_EXPECTED[kind] for kind in kinds)
    return f"{key}: expected {expected}, not {shown(found)}"
