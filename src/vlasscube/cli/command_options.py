"""Command-line options for the fields of `RunOptions`, made from it so that it is their only source."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import types
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import typer
from typer.core import TyperCommand, TyperOption

from vlasscube.errors import QuantityError
from vlasscube.id_lists import format_ids, parse_ids
from vlasscube.options import PROFILE_TEXTS, PROFILES, RENAMED_OPTIONS, RunOptions, option_text


@functools.cache
def option_texts() -> dict[str, str]:
    """Help of each option: the docstring of its field in `RunOptions`."""
    from pydantic import ConfigDict, TypeAdapter

    # The settings cannot be given for a dataclass as such, only for a choice.
    choice: Any = RunOptions | None
    adapter = TypeAdapter(choice, config=ConfigDict(use_attribute_docstrings=True))
    schema = adapter.json_schema()["$defs"]["RunOptions"]["properties"]
    texts = {}
    for name, hint in get_type_hints(RunOptions).items():
        text = schema[name]["description"].replace("\n", " ").replace("``", "")
        texts[name] = f"{text.rstrip('.')}; 0 for no limit." if _may_be_none(hint) else text
    # The library that shows help does not ask what the terminal can show.
    return {name: text.replace("–", "-") for name, text in texts.items()}


class RunOptionsCommand(TyperCommand):
    """A command with the options of a run, whose texts are looked up when its help is shown."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        lines = (f"  {name}  {text}" for name, text in PROFILE_TEXTS.items())
        # The mark keeps the lines as they are.
        self.help = "\n".join([self.help or "", "", "\b", "Profiles (--profile):", *lines])

    # The context is one of click, or of the click that newer versions of typer bring along.
    def get_help(self, ctx: Any) -> str:
        """Return the help."""
        for parameter in self.params:
            if isinstance(parameter, TyperOption) and parameter.name in option_texts():
                parameter.help = option_texts()[parameter.name]
        return super().get_help(ctx)


def _may_be_none(hint: Any) -> bool:
    return type(None) in get_args(hint)


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def _option_parameter(field: dataclasses.Field[Any], hint: Any) -> inspect.Parameter:
    flag = _flag(field.name)
    default = field.default
    settings: dict[str, Any] = {}
    kind: Any = hint
    if get_origin(hint) is Literal:
        choices = get_args(hint)
        kind = str
        settings |= {"metavar": "|".join(choices), "parser": _choice_parser(flag, choices)}
    elif get_origin(hint) is types.UnionType:
        kind = next(part for part in get_args(hint) if part is not type(None))
        settings |= {"min": 0}
    elif hint is bool:
        flag = f"{flag}/--no-{flag[2:]}"
    elif hint is float:
        settings |= {"min": 0.0, "max": 1.0}
    elif hint is int:
        settings |= {"min": 0}
    elif field.name.endswith("_spw"):
        settings |= {"metavar": "IDS", "parser": _spw_list}
    if field.name in PROFILES["archive"]:
        shown = "; ".join(f"{name}: {option_text(values[field.name])}" for name, values in PROFILES.items())
    else:
        shown = option_text(default)
    annotation = Annotated[kind | None, typer.Option(flag, show_default=shown, **settings)]
    return inspect.Parameter(field.name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)


def _former_parameter(former: str) -> inspect.Parameter:
    """Make a hidden option of what an option was called before."""
    annotation = Annotated[str | None, typer.Option(_flag(former), hidden=True)]
    return inspect.Parameter(former, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)


def _under_present_names(given: dict[str, Any]) -> dict[str, Any]:
    for former, name in RENAMED_OPTIONS.items():
        if former not in given:
            continue
        typer.echo(f"note: {_flag(former)} is now called {_flag(name)}", err=True)
        value = given.pop(former)
        if given.setdefault(name, value) != value:
            raise typer.BadParameter(f"it contradicts {_flag(name)}", param_hint=_flag(former))
    return given


def _choice_parser(flag: str, choices: Sequence[str]) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in choices:
            raise typer.BadParameter(f"{text!r} is not one of {', '.join(choices)}", param_hint=flag)
        return text

    return parse


def _spw_list(text: str) -> str:
    if not text.strip(" "):
        return ""
    try:
        return format_ids(parse_ids(text))
    except QuantityError as error:
        raise typer.BadParameter(str(error)) from None


def with_run_options(function: Callable[..., int]) -> Callable[..., int]:
    """Give a command an option for each field of `RunOptions`; those used arrive as the mapping ``given``.

    Former names of options are taken, too, with a note on standard error.
    """
    hints = get_type_hints(RunOptions)
    fields = dataclasses.fields(RunOptions)
    extra = [_option_parameter(field, hints[field.name]) for field in fields]
    extra += [_former_parameter(former) for former in RENAMED_OPTIONS]
    own = [
        p.replace(kind=inspect.Parameter.KEYWORD_ONLY)
        for p in inspect.signature(function, eval_str=True).parameters.values()
        if p.name != "given"
    ]

    @functools.wraps(function)
    def wrapper(**kwargs: Any) -> int:
        names = [*(field.name for field in fields), *RENAMED_OPTIONS]
        given = {name: kwargs.pop(name) for name in names if kwargs.get(name) is not None}
        for name in names:
            kwargs.pop(name, None)
        return function(given=_under_present_names(given), **kwargs)

    wrapper.__signature__ = inspect.Signature([*own, *extra])  # type: ignore[attr-defined]
    wrapper.__annotations__ = {p.name: p.annotation for p in [*own, *extra]}
    del wrapper.__wrapped__
    return wrapper


def combined_options(recorded: RunOptions | None, given: dict[str, Any]) -> RunOptions:
    """Options of a run: those recorded in its directory, overridden by those on the command line.

    A limit of 0 stands for none. A profile on the command line sets all the options that profiles set,
    whatever is recorded; options on the command line override it.
    """
    hints = get_type_hints(RunOptions)
    values: dict[str, Any] = {
        key: None if value == 0 and type(None) in get_args(hints[key]) else value
        for key, value in given.items()
    }
    base = dataclasses.asdict(recorded or RunOptions())
    if "profile" in values:
        base |= PROFILES[values["profile"]]
    return RunOptions(**(base | values))
