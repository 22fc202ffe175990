"""What a valid value is, for the strict reader and the checker alike.

A raw value is what a file holds: in CSV a string (an empty cell is None), in JSONL and Parquet the native
type; ``bytes`` stand for text that was not UTF-8. An empty string is a missing value in every format.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from decimal import Decimal

from artifacts.actions import ACTIONS
from artifacts.attributes import CATEGORY, AttributeKind, category_path, too_large
from artifacts.shop.schema import MAX_ID_CHARACTERS, SPLITS, AttributeValue

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_SHOWN_CHARACTERS = 40


class InvalidValueError(Exception):
    """A value is not valid; ``code`` is for machines, ``message`` says what was found and expected."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


def shown(raw: object) -> str:
    """A raw value as an error message shows it: cut to 40 characters, with its type where it is no string."""
    if raw is None:
        return "missing"
    text = raw if isinstance(raw, str) else repr(raw)
    text = text if len(text) <= _SHOWN_CHARACTERS else text[:_SHOWN_CHARACTERS] + "…"
    if isinstance(raw, str):
        return repr(text)
    kind = {"int": "number", "float": "number", "dict": "object"}.get(type(raw).__name__, type(raw).__name__)
    return f"the {kind} {text}"


def not_utf8(raw: bytes, where: str = "") -> str:
    """A message: the bytes are not UTF-8, what they look like, what to do; ``where`` as in " at byte 3"."""
    try:
        plain = all(letter.isprintable() or letter.isspace() for letter in raw.decode("cp1252"))
    except UnicodeDecodeError:
        plain = False
    wide = b"\0" in raw or raw.startswith((b"\xff\xfe", b"\xfe\xff"))
    looks = " (looks like UTF-16)" if wide else " (looks like Windows-1252)" if plain else ""
    return f"not UTF-8{where}{looks}; save the file as UTF-8"


def _unexpected(code: str, raw: object, expected: str) -> InvalidValueError:
    return InvalidValueError(code, f"is {shown(raw)}, expected {expected}")


def text(raw: object) -> str:
    """Any text; missing is the empty string."""
    if raw.__class__ is str:
        return raw
    if raw is None:
        return ""
    if isinstance(raw, bytes):
        raise InvalidValueError("bad-utf8", f"is {not_utf8(raw)}")
    raise _unexpected("wrong-type", raw, "a string")


def optional_text(raw: object) -> str | None:
    """Any text; missing is None."""
    return text(raw) or None


def short_text(raw: object) -> str | None:
    """Text that a filter may ask for; missing is None."""
    value = text(raw)
    _check_size("", value)
    return value or None


def _check_size(name: str, value: str | list[str]) -> None:
    if reason := too_large(name, value):
        raise InvalidValueError("too-large", reason)


def identifier(raw: object) -> str:
    """An item's id: 1 to 128 characters, no control characters, no space at either end."""
    value = text(raw)
    if not value.strip():
        message = f"is missing, expected a string of 1 to {MAX_ID_CHARACTERS} characters"
        raise InvalidValueError("missing-value", message)
    if len(value) > MAX_ID_CHARACTERS:
        found = f"has {len(value)} characters ({shown(value)})"
        raise InvalidValueError("id-too-long", f"{found}, expected at most {MAX_ID_CHARACTERS}")
    if value[0].isspace() or value[-1].isspace() or (not value.isprintable() and _CONTROL.search(value)):
        raise _unexpected("bad-id", value, "no control characters and no space at either end")
    return value


def category(raw: object) -> str:
    """A category path, as in ``Shoes > Running``; spaces around ``>`` are made regular."""
    value = text(raw)
    _check_size(CATEGORY, value)
    try:
        return category_path(value)
    except ValueError as error:
        raise InvalidValueError("bad-category", f"is {shown(value)}, which {error}") from None


def picture(raw: object) -> str | None:
    """A path below the pictures folder, with ``/`` between its parts."""
    value = text(raw)
    if not value:
        return None
    if value.startswith("/") or ".." in value.split("/") or _CONTROL.search(value):
        raise _unexpected("picture-path", value, "a path inside the pictures folder")
    return value


def timestamp(raw: object) -> datetime:
    """A point in time in UTC; without an offset it is taken as UTC."""
    if raw is None or raw == "":
        raise InvalidValueError("missing-value", "is missing, expected a time as in 2026-11-19T10:00:00Z")
    try:
        if isinstance(raw, str):
            # fromisoformat also takes week dates and dates without dashes, which nobody means in a log
            if raw[4:5] != "-" or raw[7:8] != "-":
                raise ValueError
            value = datetime.fromisoformat(raw)
        elif isinstance(raw, datetime):
            value = raw
        else:
            raise ValueError
        if value.tzinfo is UTC:
            return value
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
    except (ValueError, OverflowError):
        raise _unexpected("bad-timestamp", raw, "ISO 8601 as in 2026-11-19T10:00:00Z") from None


def action(raw: object) -> str:
    """The name of one of `ACTIONS`."""
    if raw in ACTIONS.names:
        return raw
    value = text(raw)
    wanted = f"expected one of {', '.join(ACTIONS.names)}"
    if not value:
        raise InvalidValueError("missing-value", f"is missing, {wanted}")
    raise InvalidValueError("unknown-action", f"is {shown(value)}, {wanted}")


def split(raw: object) -> str | None:
    """One of `SPLITS`, or None."""
    value = text(raw)
    if value and value not in SPLITS:
        raise _unexpected("unknown-split", value, f"one of {', '.join(SPLITS)}, or nothing")
    return value or None


def relevance(raw: object, *, textual: bool) -> float | None:
    """A label from 0 to 1, or None."""
    value = number(raw, textual=textual)
    if value is not None and not 0.0 <= value <= 1.0:
        raise InvalidValueError("bad-relevance", f"is {value:g}, expected a number from 0 to 1")
    return value


def number(raw: object, *, textual: bool) -> float | None:
    """A finite number; in a textual file (CSV) written with a decimal point."""
    if raw is None or (textual and raw == ""):
        return None
    value = math.nan
    if textual:
        written = text(raw).strip()
        if _NUMBER.fullmatch(written):
            value = float(written)
    elif isinstance(raw, (float, int, Decimal)) and not isinstance(raw, bool):
        try:
            value = float(raw)
        except OverflowError:
            value = math.inf
    else:
        raise _unexpected("wrong-type", raw, "a number")
    if not math.isfinite(value):
        comma = textual and re.fullmatch(r"[+-]?\d+,\d+", written)
        raise _unexpected("wrong-type", raw, "a finite number" + (", with a point: 9.50" if comma else ""))
    return value


def boolean(raw: object, *, textual: bool) -> bool | None:
    """True or false; in a textual file (CSV) ``true`` or ``false`` in any case."""
    if raw is None or isinstance(raw, bool):
        return raw
    if textual:
        value = text(raw).strip().lower()
        if value in ("true", "false"):
            return value == "true"
        if not value:
            return None
    raise _unexpected("wrong-type", raw, "true or false")


def strings(raw: object, *, textual: bool) -> list[str] | None:
    """A list of non-empty strings; in a textual file (CSV) with ``|`` between them."""
    if raw is None:
        return None
    if textual:
        written = text(raw)
        if not written:
            return None
        value: list[object] = [*written.split("|")]
    elif isinstance(raw, list):
        value = raw
    else:
        raise _unexpected("wrong-type", raw, "a list of strings")
    result: list[str] = []
    for element in value:
        if isinstance(element, bytes) or not isinstance(element, str) or not element:
            found = "an empty string" if element == "" else shown(element)
            raise InvalidValueError("wrong-type", f"has the element {found}, expected a list of strings")
        result.append(element)
    _check_size("", result)
    return result


#: Parses a declared attribute's value; None where it is missing.
ATTRIBUTES: Mapping[AttributeKind, Callable[..., AttributeValue]] = {
    "string": short_text,
    "number": number,
    "bool": boolean,
    "list": strings,
}
