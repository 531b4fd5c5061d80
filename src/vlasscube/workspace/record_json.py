"""The JSON form of records: nothing but JSON is ever read back, and what is damaged is refused."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import pydantic_core
from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic_core import PydanticSerializationError

from vlasscube.errors import VlassCubeError, WorkspaceError

RecordType = TypeVar("RecordType")

_adapters: dict[type[Any], TypeAdapter[Any]] = {}
_SETTINGS = ConfigDict(allow_inf_nan=False)
"""What is not a finite number could not be written again."""
_MAX_SHOWN = 200


def _adapter(cls: type[Any]) -> TypeAdapter[Any]:
    if cls not in _adapters:
        # The settings cannot be given for a dataclass as such, only for a choice.
        choice: Any = cls | None
        _adapters[cls] = TypeAdapter(choice, config=_SETTINGS)
    return _adapters[cls]


def to_json(record: Any, *, indent: int | None = 2) -> str:
    """Serialise a record; NaN and infinities become null, and what is not Unicode in a text ``?``."""
    try:
        return _adapter(type(record)).dump_json(record, indent=indent).decode()
    except PydanticSerializationError:
        # Names of files, and so messages, need not be Unicode.
        plain = _unicode(_adapter(type(record)).dump_python(record))
        return pydantic_core.to_json(plain, indent=indent, inf_nan_mode="null").decode()


def _unicode(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {_unicode(key): _unicode(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_unicode(item) for item in value]
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else value


def to_plain(record: Any) -> Any:
    """Turn a record into dicts, lists and scalars, as in its JSON."""
    return _adapter(type(record)).dump_python(record, mode="json")


def from_json(cls: type[RecordType], text: str | bytes) -> RecordType:
    """Read a record back.

    Raises
    ------
    WorkspaceError
        If the text is not JSON or does not fit the record.
    """
    return _validated(cls, lambda: _adapter(cls).validate_json(text))


def from_plain(cls: type[RecordType], value: Any) -> RecordType:
    """Like `from_json`, from dicts, lists and scalars."""
    return _validated(cls, lambda: _adapter(cls).validate_python(value))


def _validated(cls: type[RecordType], validate: Callable[[], RecordType | None]) -> RecordType:
    try:
        record = validate()
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"])[:_MAX_SHOWN] or "the text"
        raise _damaged(cls, f"{place}: {first['msg'][:_MAX_SHOWN]}") from error
    except VlassCubeError as error:
        # What the record itself has to say of its values.
        raise _damaged(cls, error.message) from error
    if record is None:
        raise _damaged(cls, "it is null")
    return record


def _damaged(cls: type[Any], problem: str) -> WorkspaceError:
    return WorkspaceError(
        f"not a valid {cls.__name__} record: {problem}",
        hint="The file was damaged or written by another version; the step will be done again.",
    )
