"""Reads ``shop.toml`` and reports every fault; writes it."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from artifacts.attributes import KINDS, AttributeKind
from artifacts.shop.errors import Fault
from artifacts.shop.schema import ITEM_COLUMNS, ShopSchema
from artifacts.shop.text_table import read_texts, render_texts
from artifacts.shop.values import not_utf8, shown
from common.files import OutsideError, inside, read_bounded
from common.hints import absent, meant

FILE_NAME = "shop.toml"
#: The code of a path that leads out of the shop's folder.
OUTSIDE = "outside-shop"
_KNOWN = ("name", "files", "attributes", "texts")
_FILES = ("items", "events", "pictures")
#: Thousands of attributes; a description that is larger is none.
_MAX_BYTES = 1 << 18
#: Dots of a line: the parser keeps every part of a dotted key with all parts before it.
_MAX_DOTS = 64
#: Faults whose line is looked for, each in the whole text.
_FAULTS_WITH_LINES = 100


@dataclass(frozen=True, slots=True)
class SchemaReading:
    """What could be read of a ``shop.toml``.

    ``schema`` holds what was valid. ``untyped`` names attributes whose type is unknown; ``readable`` is
    False where nothing could be read: then no column can be called undeclared.
    """

    schema: ShopSchema
    faults: tuple[Fault, ...]
    untyped: frozenset[str] = frozenset()
    readable: bool = True


def read_shop_toml(folder: Path) -> SchemaReading:
    """Read a shop's ``shop.toml``; never raises: the faults are in the result."""
    name = folder.resolve().name
    line: int | None = None
    code = "bad-shop-toml"
    try:
        text = read_bounded(inside(folder, FILE_NAME), _MAX_BYTES).decode()
        line = next((n for n, each in enumerate(text.splitlines(), 1) if each.count(".") > _MAX_DOTS), None)
        if line is None:
            return _Reader(folder, text, tomllib.loads(text), name).read()
        message = "has a key of too many parts, expected the tables [files] and [attributes]"
    except OutsideError as error:
        message = f"{error}, expected a file in the shop's folder"
    except RecursionError:
        message = "is nested too deep, expected the tables [files] and [attributes]"
    except FileNotFoundError:
        code = "no-shop-toml"
        why = (absent("shop", folder) or "").removeprefix("is not a shop: there is no shop.toml; ")
        message = f"is not there, expected the shop's description; {why}"
    except OSError as error:
        message = f"cannot be read: {error.strerror}"
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        message = f"is {not_utf8(error.object)}"
    except tomllib.TOMLDecodeError as error:
        place = re.search(r"\(at line (\d+), column \d+\)", str(error))
        # "at end of document" has no number: it is the last line
        line = int(place[1]) if place else max(1, len(text.splitlines()))
        open_quote = "; is a quote left open?" if "'\\n'" in str(error) else ""
        message = f"is no TOML: {error}{open_quote}"
    return SchemaReading(ShopSchema(name), (Fault(line, None, code, message),), readable=False)


def render_shop_toml(schema: ShopSchema) -> str:
    """The text of a ``shop.toml`` that reads back as ``schema``."""
    lines = [f"name = {_quoted(schema.name)}", "", "[files]"]
    files = {"items": schema.items, "events": schema.events, "pictures": schema.pictures}
    lines += [f"{key} = {_quoted(value)}" for key, value in files.items() if value is not None]
    lines += ["", "[attributes]"]
    lines += [f"{_quoted(name)} = {_quoted(kind)}" for name, kind in schema.attributes.items()]
    lines += render_texts(schema)
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    # JSON's escapes are TOML's too, but for DEL, which TOML wants escaped
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


class _Reader:
    def __init__(self, folder: Path, text: str, content: Mapping[str, object], default_name: str) -> None:
        self._folder = folder
        self._lines = text.splitlines()
        self._content = content
        self._default_name = default_name
        self._faults: list[Fault] = []
        self._untyped: set[str] = set()

    def read(self) -> SchemaReading:
        content = self._content
        for key in content:
            if key not in _KNOWN:
                self._fault(
                    None,
                    key,
                    "unknown-key",
                    f"is no key of shop.toml, expected {', '.join(_KNOWN)}{meant(key, _KNOWN)}",
                )
        name = content.get("name", self._default_name)
        if not isinstance(name, str) or not name:
            self._fault(None, "name", "bad-value", f"is {shown(name)}, expected a string")
            name = self._default_name
        attributes = {
            key: kind
            for key, value in self._table("attributes").items()
            if (kind := self._type(key, value)) is not None
        }
        files: dict[str, str] = {}
        for key, value in self._table("files").items():
            if key not in _FILES:
                message = f"is no key of [files], expected {', '.join(_FILES)}{meant(key, _FILES)}"
                self._fault("files", key, "unknown-key", message)
            elif not isinstance(value, str) or not value:
                message = f"is {shown(value)}, expected a path inside the shop's folder"
                self._fault("files", key, "bad-value", message)
            elif self._inside(key, value):
                files[key] = value
        if "pictures" not in files:
            self._inside("pictures", ShopSchema.pictures)
        texts, language = read_texts(
            self._table("texts"),
            attributes,
            lambda key, message: self._fault("texts", key, "bad-value", message),
        )
        schema = ShopSchema(name, MappingProxyType(attributes), **files, texts=texts, language=language)
        return SchemaReading(schema, tuple(self._faults), frozenset(self._untyped))

    def _inside(self, key: str, value: str) -> bool:
        try:
            inside(self._folder, value)
        except OutsideError as error:
            message = f"is {shown(value)}, which {error}, expected a path inside the shop's folder"
            self._fault("files", key, OUTSIDE, message)
            return False
        return True

    def _table(self, key: str) -> Mapping[str, object]:
        value = self._content.get(key, {})
        if isinstance(value, dict):
            return value
        self._fault(None, key, "bad-value", f"is {shown(value)}, expected a table [{key}]")
        return {}

    def _type(self, name: str, value: object) -> AttributeKind | None:
        if not name or name in ITEM_COLUMNS:
            message = "is a column that every shop has, expected another name for the attribute"
            self._fault("attributes", name, "reserved-attribute", message)
            return None
        if value in KINDS:
            return value
        message = (
            f"is of the type {shown(value)}, expected one of {', '.join(KINDS)}{meant(str(value), KINDS)}"
        )
        self._fault("attributes", name, "unknown-type", message)
        self._untyped.add(name)
        return None

    def _fault(self, table: str | None, key: str, code: str, message: str) -> None:
        line = self._line(table, key) if len(self._faults) < _FAULTS_WITH_LINES else None
        self._faults.append(Fault(line, key, code, message))

    def _line(self, table: str | None, key: str) -> int | None:
        """Line of a key or of a table's header, found in the text because tomllib keeps no places."""
        name = re.escape(key)
        name = rf"(?:{name}|\"{name}\"|'{name}')"
        assigned = re.compile(rf"\s*{name}\s*[=.]")
        dotted = re.compile(rf"\s*{re.escape(table)}\s*(?:\.\s*{name}\s*)?=") if table else None
        header = re.compile(rf"\s*\[\[?\s*{name}\s*[\].]")
        current: str | None = None
        for number, line in enumerate(self._lines, start=1):
            opened = re.match(r"\s*\[\[?\s*[\"']?([^\]\"']*?)[\"']?\s*\]", line)
            if opened:
                current = opened[1]
                if table is None and header.match(line):
                    return number
            elif (current == table and assigned.match(line)) or (
                dotted and current is None and dotted.match(line)
            ):
                return number
        return None
