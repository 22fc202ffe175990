"""Requests that seek to cost much, written small, and their mutations.

A recipe is a request whose body, path or headers have forms in place of what is long::

    {"$text": ["a>", 60000]}               the text, so many times
    {"$list": [7, 1000]}                   a list of so many of them
    {"$texts": ["brand-%d", 1000]}         a list of texts, each with its number
    {"$fields": ["x%d", 1, 5000]}          an object of so many fields
    {"$picture": [64, 48, "RGB", "PNG"]}   a picture of that size in base64

A body that is ``{"$raw": …}`` is sent as it is, and may be no JSON.
"""

from __future__ import annotations

import base64
import copy
import io
import json
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

Json = Any
CORPUS = Path(__file__).parent / "corpus.json"
#: No text, list or object is made longer than this; the service reads 4 MB.
_LONGEST = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Recipe:
    """A request, written small."""

    name: str
    method: str
    path: str
    headers: dict[str, Json] = field(default_factory=dict)
    body: Json = None

    def request(self) -> Request:
        """The request as it is sent."""
        body = b""
        if isinstance(self.body, dict) and set(self.body) == {"$raw"}:
            body = _written(expanded(self.body["$raw"]))
        elif self.body is not None:
            body = encoded(self.body).encode("utf-8", "surrogatepass")
        parts = [
            _written(expanded(part)) for part in (self.path if isinstance(self.path, list) else [self.path])
        ]
        headers = {name: _written(expanded(value)) for name, value in self.headers.items()}
        return Request(self.method, b"".join(parts), headers, body)

    def as_json(self) -> dict[str, Json]:
        """As the corpus holds it."""
        return {
            "name": self.name,
            "method": self.method,
            "path": self.path,
            "headers": self.headers,
            "body": self.body,
        }


@dataclass(frozen=True, slots=True)
class Request:
    """A request as it is sent."""

    method: str
    path: bytes
    headers: dict[str, bytes]
    body: bytes

    @property
    def size(self) -> int:
        """Bytes of what the client chose."""
        return len(self.path) + len(self.body) + sum(map(len, self.headers.values()))


def corpus() -> list[Recipe]:
    """The committed recipes."""
    return [Recipe(**each) for each in json.loads(CORPUS.read_text(encoding="utf-8"))]


def expanded(value: Json) -> Json:
    """A value with its forms written out."""
    if isinstance(value, list):
        return [expanded(each) for each in value]
    if not isinstance(value, dict):
        return value
    if len(value) == 1 and (form := next(iter(value))) in _FORMS:
        return _FORMS[form](*value[form])
    return {name: expanded(each) for name, each in value.items()}


def encoded(value: Json) -> str:
    """The JSON of `expanded`, where what is repeated is written once."""
    if isinstance(value, list):
        return f"[{', '.join(map(encoded, value))}]"
    if not isinstance(value, dict):
        return _json(value)
    if len(value) == 1 and (form := next(iter(value))) in _FORMS:
        written = _FORMS[form](*value[form])
        if form == "$list" and isinstance(written, list) and written:
            return f"[{', '.join([_json(written[0])] * len(written))}]"
        if form == "$fields" and isinstance(written, dict) and written:
            each = _json(next(iter(written.values())))
            return "{" + ", ".join([f"{_json(name)}: {each}" for name in written]) + "}"
        return _json(written)
    return "{" + ", ".join([f"{_json(name)}: {encoded(each)}" for name, each in value.items()]) + "}"


_json = json.JSONEncoder(ensure_ascii=False).encode


def _text(text: Json, count: int) -> str:
    return str(expanded(text)) * _within(count, len(str(text)))


def _list(value: Json, count: int) -> list[Json]:
    written = expanded(value)
    return [written] * _within(count, len(json.dumps(written)) + 1)


def _texts(pattern: str, count: int) -> list[str]:
    return [pattern.replace("%d", str(number)) for number in range(_within(count, len(pattern) + 6))]


def _fields(pattern: str, value: Json, count: int) -> dict[str, Json]:
    written = expanded(value)
    size = len(pattern) + len(json.dumps(written)) + 10
    return {pattern.replace("%d", str(number)): written for number in range(_within(count, size))}


@cache
def _picture(width: int, height: int, mode: str, kind: str) -> str:
    from PIL import Image

    stream = io.BytesIO()
    Image.new(mode, (width, height)).save(stream, kind)
    return base64.b64encode(stream.getvalue()).decode()


_FORMS: dict[str, Callable[..., Json]] = {
    "$text": _text,
    "$list": _list,
    "$texts": _texts,
    "$fields": _fields,
    "$picture": _picture,
}


def _within(count: int, size: int) -> int:
    return max(0, min(int(count), _LONGEST // max(1, size)))


def _written(value: Json) -> bytes:
    return str(value).encode("utf-8", "surrogatepass")


# -- mutations --------------------------------------------------------------------------------------------

#: Texts that cost more than their length when they are normalised, folded, split, cut or written.
_TEXTS = (
    "a", "a>", ">", " > ", " ", ",", "&", "\\", '"', "[", "{", "q=", ";", "\u0316\u0301", "\u0344", "\ufdfa",
    "\u1f82", "\u33d6", "\u0390", "\u00df", "\u0130", "\ud55c", "\U0001f469\u200d", "\U0001d160", "\ud800",
    "\0", "\n", "=", "-", "0", "9", "AAAA" * 16,
)  # fmt: skip
_FIELDS = (
    "query",
    "user_id",
    "history",
    "k",
    "filters",
    "picture",
    "timeout_ms",
    "explain",
    "requests",
    "items",
    "ids",
)
_NAMES = ("category", "brand", "price", "in_stock", "tags", "colour", "material", "nope", "not", "gt", "lte")


class Mutator:
    """Makes recipes out of recipes."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def mutated(self, recipe: Recipe, other: Recipe) -> Recipe:
        """A recipe with one to four changes; ``other`` gives parts."""
        method, path, headers, body = copy.deepcopy((recipe.method, recipe.path, recipe.headers, recipe.body))
        for _ in range(self._random.randint(1, 4)):
            chance = self._random.random()
            if chance < 0.08:
                name = self._random.choice(
                    ("x-experiment", "accept", "x-request-id", "content-type", "traceparent")
                )
                headers[name] = {"$text": [self._random.choice(_TEXTS[:13]), self._count()]}
                headers = {each: value for each, value in headers.items() if _sendable(value)}
            elif chance < 0.12:
                headers["accept"] = "application/vnd.mrse.columnar+json"
            elif isinstance(path, list) and (chance < 0.2 or body is None):
                path = [path[0], *self._changed(path[1:])]
            elif body is not None:
                body = self._crossed(body, other.body) if chance > 0.9 else self._changed(body)
        return Recipe("found", method, path, headers, body)

    def _changed(self, value: Json) -> Json:
        """The value with a change somewhere within."""
        places = list(_places(value))
        holder, key = self._random.choice(places) if places else ([value], 0)
        held = holder[key]
        form = next(iter(held)) if isinstance(held, dict) and len(held) == 1 else None
        if form in _FORMS and form != "$picture" and self._random.random() < 0.7:
            arguments = held[form]
            if self._random.random() < 0.3 and isinstance(arguments[0], str) and form == "$text":
                arguments[0] = self._random.choice(_TEXTS)
            else:
                arguments[-1] = max(1, int(arguments[-1] * self._random.choice((0.5, 0.9, 1.1, 1.5, 2, 4))))
        elif isinstance(held, dict) and form not in _FORMS and self._random.random() < 0.6:
            names = _NAMES if self._random.random() < 0.6 else _FIELDS
            held[self._random.choice(names)] = self._value()
        elif isinstance(held, list) and self._random.random() < 0.6:
            held.append(copy.deepcopy(self._random.choice(held)) if held else self._value())
        else:
            holder[key] = self._value()
        return value

    def _crossed(self, value: Json, other: Json) -> Json:
        """The value with a part of another one."""
        mine, theirs = list(_places(value)), list(_places(other))
        if mine and theirs:
            (holder, key), (giver, place) = self._random.choice(mine), self._random.choice(theirs)
            holder[key] = copy.deepcopy(giver[place])
        return value

    def _value(self) -> Json:
        count, text = self._count(), self._random.choice(_TEXTS)
        seen = {"item_id": "i1", "action": "click", "ts": "2026-11-19T10:00:00Z"}
        return self._random.choice(
            (
                {"$text": [text, count]},
                {"$list": [{"$text": [text, self._count() % 600]}, count % 1200]},
                {"$texts": [text + "%d", count]},
                {"$fields": ["x%d", self._random.choice((1, "a", {}, [[]])), count]},
                {"$list": [seen, count % 300]},
                {"$list": [self._random.choice(([], {}, 0, None, "")), count]},
                {"not": {"$texts": [text + "%d", count % 1200]}},
                {"gte": -1e308, "lt": 1e308},
                self._random.choice((0, 1, -1, 200, 1000, 10_000, 1e308, True, None, "", "a")),
            )
        )

    def _count(self) -> int:
        return int(2 ** self._random.uniform(0, 17))


def _places(value: Json) -> Iterator[tuple[Any, Any]]:
    """Where something stands: what holds it, and by which name or number."""
    if isinstance(value, dict):
        for name, each in value.items():
            if name not in _FORMS:
                yield value, name
                yield from _places(each)
    elif isinstance(value, list):
        for place, each in enumerate(value):
            yield value, place
            yield from _places(each)


def _sendable(value: Json) -> bool:
    """Whether a header may have this value."""
    written = _written(expanded(value))
    return len(written) < 16_384 and b"\n" not in written and b"\0" not in written
