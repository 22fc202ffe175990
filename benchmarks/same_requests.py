"""Requests of all kinds over a shop, the same ones for the same seed."""

from __future__ import annotations

import base64
import json
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from artifacts.shop.schema import Item
from artifacts.shop.shop import Shop

#: Times that give the same age whenever they are asked: not yet, and years ago.
_FUTURE, _LONG_AGO = "2999-01-01T00:00:00Z", "2020-01-01T00:00:00Z"
COLUMNAR = {"Accept": "application/vnd.mrse.columnar+json"}


@dataclass(frozen=True)
class HttpRequest:
    """One request; ``body`` is sent as JSON."""

    kind: str
    method: str
    path: str
    body: bytes | None = None
    headers: dict[str, str] = field(default_factory=dict)


def make_requests(shop: Shop, count: int, seed: int) -> Iterator[HttpRequest]:
    """At least ``count`` requests of all kinds."""
    corpus = _Corpus(shop, random.Random(seed))
    yield HttpRequest("openapi", "GET", "/openapi.json")
    yield from _refused()
    for number in range(count):
        yield corpus.make(number)


class _Corpus:
    def __init__(self, shop: Shop, draw: random.Random) -> None:
        self._shop, self._draw = shop, draw
        self._items: list[Item] = list(shop.items())
        self._queries = sorted({event.query for event in shop.events() if event.query})
        self._pictures = sorted({item.picture for item in self._items if item.picture})
        self._kinds: list[tuple[int, Callable[[], HttpRequest]]] = [
            (30, lambda: self._recall("query", query=self._query())),
            (8, lambda: self._recall("filters", query=self._query(), filters=self._filters())),
            (12, lambda: self._recall("history", query=self._query(), history=self._history())),
            (6, lambda: self._recall("history, filters", query=self._query(), history=self._history(),
                                     filters=self._filters())),
            (8, lambda: self._recall("browse", history=self._history())),
            (6, lambda: self._recall("picture", picture=self._picture())),
            (4, lambda: self._recall("picture and query", query=self._query(), picture=self._picture())),
            (6, lambda: self._recall("explain", query=self._query(), history=self._history(), explain=True)),
            (6, lambda: self._recall("columnar", COLUMNAR, query=self._query(), history=self._history())),
            (4, lambda: self._recall("experiment", {"X-Experiment": "towers=control,no=such"},
                                     query=self._query(), user_id=f"u{self._draw.randrange(99)}")),
            (4, self._batch),
            (4, self._similar),
        ]  # fmt: skip

    def make(self, number: int) -> HttpRequest:
        (choice,) = self._draw.choices(
            [make for _, make in self._kinds], [weight for weight, _ in self._kinds]
        )
        return choice()

    def _recall(self, kind: str, headers: dict[str, str] | None = None, /, **body: Any) -> HttpRequest:
        return HttpRequest(kind, "POST", "/recall", _json(self._sized(body)), headers or {})

    def _sized(self, body: dict[str, Any]) -> dict[str, Any]:
        return body | {"k": self._draw.choice((1, 5, 20, 50, 200, 1000)), "timeout_ms": 10_000}

    def _batch(self) -> HttpRequest:
        # One query: the scale of an int8 graph depends on what it is run with, which is a matter of chance.
        query = self._query()
        entries = [
            self._sized({"query": query, "history": self._history()}) for _ in range(self._draw.randint(1, 4))
        ]
        headers = COLUMNAR if self._draw.random() < 0.3 else {}
        return HttpRequest("batch", "POST", "/recall/batch", _json({"requests": entries}), headers)

    def _similar(self) -> HttpRequest:
        item = self._draw.choice(self._items).id if self._draw.random() < 0.9 else "no-such-item"
        path = f"/items/{item}/similar?k={self._draw.choice((1, 10, 100))}&timeout_ms=10000"
        return HttpRequest("similar", "GET", path, headers=self._draw.choice(({}, COLUMNAR)))

    def _query(self) -> str:
        query = self._draw.choice(self._queries)
        changed = self._draw.random()
        if changed < 0.1:
            return query.upper()
        if changed < 0.2:
            return f"  {query} …"
        return self._draw.choice(self._items).title if changed < 0.3 else query

    def _history(self) -> list[dict[str, Any]]:
        entries = []
        for _ in range(self._draw.randint(1, 12)):
            known = self._draw.random() < 0.9
            entry = {
                "item_id": self._draw.choice(self._items).id if known else "gone",
                "action": self._draw.choice(("click", "cart", "order")),
            }
            if (when := self._draw.choice((None, None, _FUTURE, _LONG_AGO))) is not None:
                entry["ts"] = when
            entries.append(entry)
        return entries

    def _filters(self) -> dict[str, Any]:
        item = self._draw.choice(self._items)
        found: dict[str, Any] = {}
        if item.category and self._draw.random() < 0.6:
            found["category"] = item.category.split(" > ")[0]
        for name, value in item.attributes.items():
            if value is None or self._draw.random() < 0.5:
                continue
            if isinstance(value, float):
                found[name] = {self._draw.choice(("lte", "gte", "lt", "gt")): value}
            elif isinstance(value, str) and self._draw.random() < 0.3:
                found[name] = {"not": value}
            else:
                found[name] = value
        return found

    def _picture(self) -> str:
        return base64.b64encode(self._shop.picture(self._draw.choice(self._pictures))).decode()


def _refused() -> Iterator[HttpRequest]:
    """Requests that are refused, one of each kind that the service tells apart."""
    bodies: list[Any] = [
        {}, [], "text", None, 7, {"query": 7}, {"query": "x", "k": 0}, {"query": "x", "k": "9"},
        {"query": "x", "k": 5000}, {"query": "x", "k": 10_001}, {"query": "x" * 513},
        {"nobody": 1, "query": "x"},
        {"query": "x", "history": [{"item_id": "", "action": "click"}]},
        {"query": "x", "history": [{"item_id": "a", "action": "look"}]},
        {"query": "x", "history": [{"item_id": "a", "action": "impression"}]},
        {"query": "x", "history": [{"item_id": "a", "action": "click", "ts": "2020-01-01T00:00:00"}]},
        {"query": "x", "history": [{"item_id": "a", "action": "click"}] * 201},
        {"query": "x", "filters": {"no_such": 1}}, {"query": "x", "filters": {"price": "cheap"}},
        {"query": "x", "filters": {"price": {"near": 1}}}, {"query": "x", "filters": {"price": []}},
        {"query": "x", "filters": {"category": 1}}, {"query": "x", "filters": 3},
        {"query": "x", "picture": ""}, {"picture": "no base64!"},
        {"picture": base64.b64encode(b"no picture").decode()},
        {"query": "x", "timeout_ms": 0}, {"query": "x", "user_id": ""}, {"query": "…"},
        {"query": "", "user_id": "u"},
    ]  # fmt: skip
    for body in bodies:
        yield HttpRequest("refused", "POST", "/recall", _json(body))
        yield HttpRequest("refused", "POST", "/recall/batch", _json({"requests": [{"query": "a"}, body]}))
    yield HttpRequest("refused", "POST", "/recall/batch", _json({"requests": []}))
    yield HttpRequest("refused", "POST", "/recall/batch", _json({"requests": [{"query": "a"}] * 65}))
    for raw in (b"", b"{", b"\xff\xfe", b'{"query": "\\ud800"}', b"{" * 5000, b'{"k": NaN}'):
        yield HttpRequest("refused", "POST", "/recall", raw)
    yield HttpRequest("refused", "POST", "/recall", b"{}", {"Content-Type": "text/plain"})
    yield HttpRequest("refused", "POST", "/recall", b"{}", {"Content-Encoding": "gzip"})
    for method, path in (
        ("GET", "/recall"), ("PUT", "/recall"), ("GET", "/nowhere"), ("GET", "/items//similar"),
        ("GET", "/items/a/similar?k=0"), ("GET", "/items/a/similar?k=x"), ("GET", "/items/a/similar?more=1"),
        ("GET", "/items/a/similar?filters=no"), ("GET", f"/items/{'a' * 129}/similar"), ("POST", "/livez"),
        ("POST", "/admin/index/remove"), ("GET", "/recall/"), ("HEAD", "/livez"), ("OPTIONS", "/recall"),
    ):  # fmt: skip
        yield HttpRequest("refused", method, path)


def _json(value: Any) -> bytes:
    return json.dumps(value).encode()
