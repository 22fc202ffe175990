"""Planted faults: what goes wrong, who must catch it, and a word of what is said.

``vespa``: Vespa's own code refuses it. ``ours``: Vespa takes it, as the tests assert, and a rule of ours
finds it: in a package one that `mrse vespa deploy` asks (the words may be those of the tests' rules for
schemas), in a query or a document one of the tests'.
``tree``: Vespa takes it and no single request is wrong, but the parsed query is not the one that was meant.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any, Literal

TYPE = "item_demo_1a2b3c4d"
CaughtBy = Literal["vespa", "ours", "tree"]
#: A unit vector of 128 float32 cells, and of bfloat16 cells.
QUERY_HEX = "3f800000" + "00000000" * 127
ITEM_HEX = "3f80" + "0000" * 127


@dataclass(frozen=True)
class Planted:
    """One fault. ``plant`` changes a package folder, a request's body or a document's fields."""

    name: str
    caught_by: CaughtBy
    words: str
    plant: Callable[[Any], None]


def _replace(file: str, old: str, new: str, count: int = -1) -> Callable[[Path], None]:
    def plant(application: Path) -> None:
        path = application / file
        text = path.read_text()
        assert old in text, f"{old!r} is not in {file}: the fault is no longer planted"
        path.write_text(text.replace(old, new, count))

    return plant


def _both(*plants: Callable[[Any], None]) -> Callable[[Any], None]:
    def plant(target: Any) -> None:
        for each in plants:
            each(target)

    return plant


_COLOUR = "field colour type string {\n indexing: attribute\n attribute: fast-search\n rank: filter\n }\n"
_TITLE = "field title type string {\n indexing: summary\n }\n"
_CASED = """            match: cased
            dictionary {
                hash
                cased
            }
"""
_CASED_ID = _CASED.replace("cased\n", "cased\n            rank: filter\n", 1)
_BRAND = """field brand type string {
            indexing: attribute | summary
            attribute: fast-search
"""
SCHEMA = f"schemas/{TYPE}.sd"
PROFILE = "search/query-profiles/default.xml"
SERVICES = "services.xml"
_SCAN_PRICE = "field price type double {\n            indexing: attribute | summary\n"

PACKAGE = [
    Planted(
        "a brace too few",
        "vespa",
        "Failed parsing",
        _replace(SCHEMA, "document-summary ids {", "document-summary ids"),
    ),
    Planted("a field type that is none", "vespa", "doubel", _replace(SCHEMA, "type double", "type doubel")),
    Planted(
        "a metric that is none",
        "vespa",
        "DistanceMetric",
        _replace(SCHEMA, "prenormalized-angular\n", "angulr\n"),
    ),
    Planted(
        "a metric that is another",
        "ours",
        "distance-metric must be",
        _replace(SCHEMA, "prenormalized-angular\n", "euclidean\n"),
    ),
    Planted(
        "a rank profile without its parent",
        "vespa",
        "pined",
        _replace(SCHEMA, "q2i inherits pinned", "q2i inherits pined"),
    ),
    Planted(
        "a rank feature of a field that is not there",
        "vespa",
        "embeding",
        _replace(SCHEMA, "attribute(embedding)", "attribute(embeding)"),
    ),
    Planted(
        "a misspelt rank feature",
        "ours",
        "`closenes`",
        _replace(SCHEMA, "expression: closeness(field", "expression: closenes(field"),
    ),
    Planted(
        "a query tensor of another size",
        "vespa",
        "x[64]",
        _replace(SCHEMA, "query(q) tensor<float>(x[128])", "query(q) tensor<float>(x[64])"),
    ),
    Planted(
        "a query tensor with another dimension name",
        "ours",
        "its dimension must be",
        _replace(SCHEMA, "query(q) tensor<float>(x[128])", "query(q) tensor<float>(y[128])"),
    ),
    Planted(
        "a summary of a field that is not there",
        "vespa",
        "itemid",
        _replace(SCHEMA, "summary item_id {}", "summary itemid {}", 1),
    ),
    Planted(
        "a summary that reads the disk",
        "ours",
        "no attribute",
        _both(
            _replace(
                SCHEMA,
                "field feed_ver type long",
                _TITLE + "field feed_ver type long",
            ),
            _replace(SCHEMA, "document-summary ids {", "document-summary ids {\n summary title {}"),
        ),
    ),
    Planted(
        "a filter threshold that is not pinned",
        "ours",
        "filter-first-threshold",
        _replace(SCHEMA, "filter-first-threshold: 0.2\n", "\n"),
    ),
    Planted(
        "a filter that scans",
        "ours",
        "fast-search",
        _replace(SCHEMA, _SCAN_PRICE + "            attribute: fast-search\n", _SCAN_PRICE),
    ),
    Planted(
        "an id that is compared without regard to case",
        "ours",
        "match: cased",
        _replace(
            SCHEMA,
            _CASED_ID,
            "            rank: filter\n",
            1,
        ),
    ),
    Planted(
        "a graph with other links",
        "ours",
        "max-links-per-node",
        _replace(SCHEMA, "max-links-per-node: 16", "max-links-per-node: 8"),
    ),
    Planted(
        "an element that services.xml does not know",
        "vespa",
        "serach",
        _replace(SERVICES, "<search/>", "<serach/>"),
    ),
    Planted(
        "a host that hosts.xml does not know",
        "vespa",
        "node2",
        _replace(SERVICES, '<node hostalias="node1" d', '<node hostalias="node2" d'),
    ),
    Planted(
        "a document type without a schema",
        "vespa",
        "item_other",
        _replace(SERVICES, f'type="{TYPE}"', 'type="item_other_00000000"'),
    ),
    Planted(
        "two copies on one node",
        "ours",
        "redundancy 2 on 1",
        _replace(SERVICES, "<min-redundancy>1<", "<min-redundancy>2<"),
    ),
    Planted(
        "documents that are not indexed",
        "ours",
        "index was expected",
        _replace(SERVICES, 'mode="index"', 'mode="streaming"'),
    ),
    Planted(
        "a query profile without its parent",
        "vespa",
        "nope",
        _replace(PROFILE, 'id="default"', 'id="default" inherits="nope"'),
    ),
    Planted(
        "a misspelt element of a query profile",
        "ours",
        "<feild>",
        _both(
            _replace(PROFILE, '<field name="maxHits">10000</field>', '<feild name="maxHits">10000</feild>')
        ),
    ),
    Planted(
        "a misspelt name in a query profile",
        "ours",
        "maxHit'",
        _replace(PROFILE, 'name="maxHits"', 'name="maxHit"'),
    ),
    Planted(
        "fewer hits than the client asks for", "ours", "maxHits is 400", _replace(PROFILE, ">10000<", ">400<")
    ),
    Planted(
        "a time-out of 500 seconds", "ours", "bare number is seconds", _replace(PROFILE, ">500ms<", ">500<")
    ),
    Planted("a summary class that no schema has", "ours", "'idz'", _replace(PROFILE, ">ids<", ">idz<")),
]

#: Planted in the package that comes after; the good one is what runs.
CHANGE = [
    Planted(
        "a version dropped without an override",
        "vespa",
        "schema-removal",
        lambda application: _drop(application, None),
    ),
    Planted(
        "an override that is misspelt",
        "vespa",
        "schema-removal",
        lambda application: _drop(application, "schema-remval"),
    ),
    Planted(
        "an override for longer than Vespa allows",
        "vespa",
        "30 days",
        lambda application: _drop(application, "schema-removal", 90),
    ),
    Planted(
        "an override for more than dropping",
        "ours",
        "only schema-removal",
        lambda application: _drop(application, "indexing-change", extra=True),
    ),
    Planted("another tensor size", "vespa", "x[64]", _replace(SCHEMA, "x[128]", "x[64]")),
    Planted(
        "another number of links",
        "vespa",
        "hnsw",
        _replace(SCHEMA, "max-links-per-node: 16", "max-links-per-node: 32"),
    ),
    Planted(
        "another metric", "vespa", "distance-metric", _replace(SCHEMA, "prenormalized-angular\n", "angular\n")
    ),
    Planted(
        "another field type",
        "vespa",
        "field-type-change",
        _replace(SCHEMA, "field price type double", "field price type string"),
    ),
    Planted(
        "an attribute more in a version that is served",
        "ours",
        "+ field colour type string {",
        _replace(
            SCHEMA,
            "field price type double",
            _COLOUR + "field price type double",
        ),
    ),
    Planted(
        "strings folded that were not",
        "ours",
        "- match: cased",
        _replace(
            SCHEMA,
            _BRAND + _CASED,
            _BRAND,
        ),
    ),
]


def _drop(application: Path, override: str | None, days: int = 7, *, extra: bool = False) -> None:
    """The package less the second version, with an override or without."""
    (application / "schemas" / "item_demo_deadbeef.sd").unlink()
    services = application / SERVICES
    lines = [line for line in services.read_text().splitlines() if "item_demo_deadbeef" not in line]
    services.write_text("\n".join(lines))
    until = (date.today() + timedelta(days=days)).isoformat()  # noqa: DTZ011 -- Vespa's day, whichever
    allows = [override] if override is not None else []
    if extra:
        allows.append("schema-removal")
    text = "".join(f'<allow until="{until}">{allow}</allow>' for allow in allows)
    (application / "validation-overrides.xml").write_text(
        f"<validation-overrides>{text}</validation-overrides>"
    )


def query_body() -> dict[str, Any]:
    """A request as the client sends it."""
    return {
        "yql": "select item_id from sources * where ({totalTargetHits:100}nearestNeighbor(embedding, q))"
        ' and brand contains "acme"',
        "hits": 100,
        "timeout": "200ms",
        "model.restrict": TYPE,
        "ranking.profile": "q2i",
        "presentation.summary": "ids",
        "input.query(q)": QUERY_HEX,
    }


def _yql(old: str, new: str) -> Callable[[dict[str, Any]], None]:
    def plant(body: dict[str, Any]) -> None:
        assert old in body["yql"]
        body["yql"] = body["yql"].replace(old, new)

    return plant


def _set(name: str, value: object) -> Callable[[dict[str, Any]], None]:
    return lambda body: body.__setitem__(name, value)


QUERY = [
    Planted("a word too many", "vespa", "extraneous", _yql('acme"', 'acme" andd')),
    Planted("a field that is not there", "vespa", "'brnad'", _yql("brand", "brnad")),
    Planted("no query tensor", "vespa", "requires a tensor", lambda body: body.pop("input.query(q)")),
    Planted("a query tensor of another name", "vespa", "query(p)", _yql("embedding, q", "embedding, p")),
    Planted("a query tensor that is cut", "vespa", "1024 hex digits", _set("input.query(q)", QUERY_HEX[:-8])),
    Planted(
        "both kinds of target hits",
        "vespa",
        "both",
        _yql("totalTargetHits:100", "totalTargetHits:100, targetHits:10"),
    ),
    Planted("a rank profile that is not there", "vespa", "q2j", _both(_set("ranking.profile", "q2j"))),
    Planted(
        "a list of numbers that is too short",
        "ours",
        "hex digits",
        _set("input.query(q)", json.dumps([1.0] * 64)),
    ),
    Planted(
        "a query tensor of NaN", "ours", "not finite", _set("input.query(q)", "7fc00000" + QUERY_HEX[8:])
    ),
    Planted(
        "a misspelt annotation",
        "ours",
        "'aproximate'",
        _yql("totalTargetHits:100", "totalTargetHits:100, aproximate:false"),
    ),
    Planted(
        "a misspelt label", "ours", "'lable'", _yql("totalTargetHits:100", 'totalTargetHits:100, lable:"t0"')
    ),
    Planted("a misspelt parameter", "ours", "'rankin.profile'", _set("rankin.profile", "exact")),
    Planted("more hits than the profile allows", "ours", "20000 hits", _set("hits", 20_000)),
    Planted("a time-out of 200 seconds", "ours", "odd value", _set("timeout", "200")),
    Planted("a summary class that is not there", "ours", "odd value", _set("presentation.summary", "idz")),
    Planted("no document type", "ours", "not restricted", lambda body: body.pop("model.restrict")),
    Planted(
        "a filter value that ends its literal",
        "tree",
        "OR",
        _yql('"acme"', '"acme" or true or brand contains "x"'),
    ),
]


def document_fields() -> dict[str, Any]:
    """A document as the feeder sends it."""
    return {
        "item_id": "a1",
        "embedding": ITEM_HEX,
        "feed_ver": 7,
        "category": ["shoes", "shoes > running"],
        "brand": "acme",
        "price": 12.5,
        "in_stock": True,
        "known_bools": {"in_stock": 1},
        "tags": ["new"],
    }


FEED = [
    Planted("a field that is not there", "vespa", "'colour'", _set("colour", "red")),
    Planted("an embedding that lacks a digit", "vespa", "hex", _set("embedding", ITEM_HEX[:-1])),
    Planted("a number that is none", "vespa", "price", _set("price", "cheap")),
    Planted("a list that is none", "vespa", "category", _set("category", 7)),
    Planted("a number with a fraction where none can be", "vespa", "feed_ver", _set("feed_ver", 1.5)),
    Planted("an embedding as int8", "ours", "not 512 hex", _set("embedding", ITEM_HEX[:256])),
    Planted("an embedding as float32", "ours", "not 512 hex", _set("embedding", ITEM_HEX * 2)),
    Planted("an embedding that is too short a list", "ours", "not 512 hex", _set("embedding", [1.0, 2.0])),
    Planted("an embedding of NaN", "ours", "not finite", _set("embedding", "7fc0" + ITEM_HEX[4:])),
    Planted("a bool that is a number", "ours", "in_stock", _set("in_stock", 1)),
    Planted("a bool that is a word", "ours", "in_stock", _set("in_stock", "yes")),
    Planted("a number that is text", "ours", "price", _set("price", "12.5")),
    Planted("null", "ours", "price", _set("price", None)),
    Planted("an infinite number", "vespa", "'Infinity'", _set("price", math.inf)),
    Planted(
        "a document without its vector", "ours", "without embedding", lambda fields: fields.pop("embedding")
    ),
]

TABLES: dict[str, list[Planted]] = {"package": PACKAGE, "change": CHANGE, "query": QUERY, "feed": FEED}
