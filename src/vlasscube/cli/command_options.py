"""Command-line options for the fields of `RunOptions`, made from it so that it is their only source."""

from __future__ import annotations

import ast
import dataclasses
import functools
import inspect
import re
import types
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import typer

from vlasscube.options import RunOptions


def _option_texts() -> dict[str, str]:
    """The text below each field of `RunOptions`."""
    body = ast.parse(inspect.getsource(RunOptions)).body[0]
    assert isinstance(body, ast.ClassDef)
    texts = {}
    for statement, following in zip(body.body, body.body[1:], strict=False):
        match statement, following:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                texts[name] = inspect.cleandoc(text).replace("\n", " ").replace("``", "")
    return texts


def _option_parameter(field: dataclasses.Field[Any], hint: Any, text: str) -> inspect.Parameter:
    flag = "--" + field.name.replace("_", "-")
    default = field.default
    settings: dict[str, Any] = {"help": text}
    kind: Any = hint
    if get_origin(hint) is Literal:
        choices = get_args(hint)
        kind = str
        settings |= {"metavar": "|".join(choices), "parser": _choice_parser(flag, choices)}
    elif get_origin(hint) is types.UnionType:
        kind = next(part for part in get_args(hint) if part is not type(None))
        settings |= {"help": f"{text.rstrip('.')}; 0 for no limit.", "min": 0}
    elif hint is bool:
        flag = f"{flag}/--no-{flag[2:]}"
    elif hint is float:
        settings |= {"min": 0.0, "max": 1.0}
    elif hint is int:
        settings |= {"min": 0}
    elif field.name.endswith("_spw"):
        settings |= {"metavar": "IDS", "parser": _spw_list}
    shown = "none" if default in (None, "") else str(default).lower() if hint is bool else str(default)
    annotation = Annotated[kind | None, typer.Option(flag, show_default=shown, **settings)]
    return inspect.Parameter(field.name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)


def _choice_parser(flag: str, choices: Sequence[str]) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in choices:
            raise typer.BadParameter(f"{text!r} is not one of {', '.join(choices)}", param_hint=flag)
        return text

    return parse


def _spw_list(text: str) -> str:
    if text.strip(" ") and not re.fullmatch(r" *[0-9]{1,5} *(, *[0-9]{1,5} *)*", text):
        raise typer.BadParameter(f"{text[:80]!r} is not a list of spectral-window ids such as 2,3")
    return text.replace(" ", "")


def with_run_options(function: Callable[..., int]) -> Callable[..., int]:
    """Give a command an option for each field of `RunOptions`; those used arrive as the mapping ``given``."""
    texts, hints = _option_texts(), get_type_hints(RunOptions)
    fields = dataclasses.fields(RunOptions)
    extra = [_option_parameter(field, hints[field.name], texts.get(field.name, "")) for field in fields]
    own = [
        p.replace(kind=inspect.Parameter.KEYWORD_ONLY)
        for p in inspect.signature(function, eval_str=True).parameters.values()
        if p.name != "given"
    ]

    @functools.wraps(function)
    def wrapper(**kwargs: Any) -> int:
        given = {field.name: kwargs.pop(field.name) for field in fields if field.name in kwargs}
        return function(given={key: value for key, value in given.items() if value is not None}, **kwargs)

    wrapper.__signature__ = inspect.Signature([*own, *extra])  # type: ignore[attr-defined]
    wrapper.__annotations__ = {p.name: p.annotation for p in [*own, *extra]}
    del wrapper.__wrapped__
    return wrapper


def combined_options(recorded: RunOptions | None, given: dict[str, Any]) -> RunOptions:
    """Options of a run: those recorded in its directory, overridden by those on the command line.

    A limit of 0 stands for none.
    """
    hints = get_type_hints(RunOptions)
    values: dict[str, Any] = {
        key: None if value == 0 and type(None) in get_args(hints[key]) else value
        for key, value in given.items()
    }
    return dataclasses.replace(recorded or RunOptions(), **values)
