"""The keys of settings and configurations: name, type, bounds, default, and what the code says of each."""

from __future__ import annotations

import ast
import inspect
import json
import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from functools import cache
from pathlib import Path
from typing import Any, get_args, get_origin

from pydantic import BaseModel, SecretStr

_UNITS = {"_ms": "ms", "_s": "s", "_mb": "MB", "_bytes": "bytes", "_days": "days", "_minutes": "minutes"}


@dataclass(frozen=True)
class Table:
    """A class of keys: where it stands, what it is for, and its keys."""

    name: str
    about: str
    keys: tuple[Key, ...]


@dataclass(frozen=True)
class Key:
    """One key; ``name`` has its tables in front, ``NAME`` where a name of one's own stands."""

    name: str
    type: str
    default: str
    means: str


def tables(
    model: type[BaseModel], name: str = "", values: BaseModel | None = None, *, optional: bool
) -> Iterator[Table]:
    """A model's own keys and, behind them, those of the models within it.

    Args:
        model: the class.
        name: its table, empty at the top.
        values: has the defaults, where they are not the class's own.
        optional: whether tables that may be left out are gone into.
    """
    schema = model.model_json_schema(by_alias=False)
    definitions = schema.get("$defs", {})
    told = comments(model)
    own, below = [], []
    for key, field in model.model_fields.items():
        path = f"{name}.{key}" if name else key
        inner, named = _inner(field.annotation), _named(field.annotation)
        default = field.get_default(call_default_factory=True) if values is None else getattr(values, key)
        if inner is not None and (optional or not _optional(field.annotation)):
            below.append((inner, path + ("", ".NAME", ".NAME.ARM")[named], default))
            if not _optional(field.annotation):
                continue
        kind = type_of(schema["properties"][key], definitions) + _unit(key)
        own.append(
            Key(
                path,
                kind,
                "" if field.is_required() and values is None else written(default),
                told.get(key, ""),
            )
        )
    yield Table(name, about(model), tuple(own))
    for each, path, value in below:
        yield from tables(each, path, value if isinstance(value, each) else None, optional=optional)


def about(model: type[BaseModel]) -> str:
    """What the class says of itself, in Markdown."""
    return plain(inspect.cleandoc(model.__doc__ or ""))


@cache
def comments(model: type[BaseModel]) -> dict[str, str]:
    """The ``#:`` comments of a class and of those it comes from."""
    found: dict[str, str] = {}
    for each in reversed(model.__mro__):
        if issubclass(each, BaseModel) and each is not BaseModel:
            try:
                source = textwrap.dedent(inspect.getsource(each))
            except (OSError, TypeError):
                continue
            found |= _comments(source)
    return found


def _comments(source: str) -> dict[str, str]:
    lines = source.splitlines()
    found = {}
    for node in ast.parse(source).body[0].body:  # type: ignore[attr-defined]
        if not isinstance(node, ast.AnnAssign) or not isinstance(node.target, ast.Name):
            continue
        at, words = node.lineno - 2, []
        while at >= 0 and (line := lines[at].strip()).startswith("#:"):
            words.insert(0, line[2:].strip())
            at -= 1
        if words:
            found[node.target.id] = plain(" ".join(words))
    return found


def plain(text: str) -> str:
    """Text of comments and docstrings as Markdown: double backticks become single ones."""
    return re.sub(r"``(.+?)``", r"`\1`", text)


def cell(text: str) -> str:
    """Text fit for a cell of a table: one line, and no tag but within backticks."""
    parts = re.split(r"(`[^`]*`)", re.sub(r"\s+", " ", text).replace("|", "\\|"))
    return "".join(part if part.startswith("`") else part.replace("<", "&lt;") for part in parts)


def written(value: Any) -> str:
    """A default as a file would have it."""
    if value is None:
        return "none"
    if isinstance(value, SecretStr):
        return "none"
    if isinstance(value, BaseModel):
        value = value.model_dump(mode="json")
    if isinstance(value, Path):
        value = str(value)
    if isinstance(value, Enum):
        value = value.value
    if isinstance(value, tuple):
        value = list(value)
    return f"`{json.dumps(value, ensure_ascii=False, default=str)}`"


def type_of(schema: dict[str, Any], definitions: dict[str, Any]) -> str:
    """A JSON schema in words."""
    if "$ref" in schema:
        schema = definitions[schema["$ref"].rpartition("/")[2]]
    if "allOf" in schema:
        return type_of(schema["allOf"][0], definitions)
    if "enum" in schema:
        return " or ".join(f"`{each}`" for each in schema["enum"])
    if "const" in schema:
        return f"`{schema['const']}`"
    if options := schema.get("anyOf"):
        parts = [type_of(each, definitions) for each in options if each.get("type") != "null"]
        return " or ".join(dict.fromkeys(parts))
    kind = schema.get("type")
    if kind == "array":
        if "prefixItems" in schema:
            return "[" + ", ".join(type_of(each, definitions) for each in schema["prefixItems"]) + "]"
        return f"list of {type_of(schema.get('items', {}), definitions)}"
    if kind == "object":
        return "table"
    if kind == "string":
        return {"path": "path", "password": "secret"}.get(schema.get("format", ""), "text")
    if kind in ("integer", "number"):
        return kind + _bounds(schema)
    return {"boolean": "true or false"}.get(str(kind), "value")


def _bounds(schema: dict[str, Any]) -> str:
    low, high = schema.get("minimum"), schema.get("maximum")
    above, below = schema.get("exclusiveMinimum"), schema.get("exclusiveMaximum")
    start = f"{low:,}" if low is not None else f"above {above:,}" if above is not None else ""
    end = f"{high:,}" if high is not None else f"below {below:,}" if below is not None else ""
    if low is not None and high is not None:
        return f", {start} to {end}"
    if low is not None and not end:
        return f", {start} or more"
    if high is not None:
        return f", {start}, {end} or less" if start else f", {end} or less"
    return "".join(f", {each}" for each in (start, end) if each)


def _unit(key: str) -> str:
    return next((f", {unit}" for ending, unit in _UNITS.items() if key.endswith(ending)), "")


def _inner(annotation: Any) -> type[BaseModel] | None:
    """The model within an annotation: itself, or optional, or the values of a table of tables."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    if get_origin(annotation) is tuple:
        return None
    for each in get_args(annotation):
        if (found := _inner(each)) is not None:
            return found
    return None


def _named(annotation: Any) -> int:
    """How many tables with names of one's own lie around the model."""
    if get_origin(annotation) is dict:
        return 1 + _named(get_args(annotation)[1])
    return 0


def _optional(annotation: Any) -> bool:
    return type(None) in get_args(annotation)


def flat(values: dict[str, Any], before: str = "") -> dict[str, Any]:
    """Nested tables as one, with dotted keys."""
    found: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, dict):
            found |= flat(value, f"{before}{key}.")
        else:
            found[before + key] = value
    return found
