"""Answers as Vespa 8.700.24 writes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from index.vespa.settings import EndpointSettings, VespaSettings
from index.vespa.version import Version

TYPE = "item_demo_0123abcd"
#: Eight-wide vectors, an attribute of each type.
VERSION = Version(
    "demo-0123abcd", 8, {"brand": "string", "price": "number", "in_stock": "bool", "tags": "list"}
)
COVERAGE = {"coverage": 100, "documents": 1000, "full": True, "nodes": 1, "results": 1, "resultsFull": 1}


def settings(*urls: str, **endpoints: Any) -> VespaSettings:
    """Settings of a client of `VERSION`."""
    # A busy machine may take a while to connect to itself.
    where = EndpointSettings(urls or ("http://127.0.0.1:1",), **{"connect_share": 1.0, **endpoints})
    return VespaSettings(where, VERSION)


def closeness(cosine: float) -> float:
    return 1.0 / (2.0 - cosine)


def hit(item: str, cosine: float, **fields: Any) -> dict[str, Any]:
    return {
        "id": f"index:items/0/{item}",
        "relevance": closeness(cosine),
        "source": "items",
        "fields": {"matchfeatures": {"item": {item: 1.0}}, **fields},
    }


def stored_hit(item: str, embedding: str) -> dict[str, Any]:
    """A hit with a summary: the id, and the vector in hex."""
    return {
        "id": f"index:items/0/{item}",
        "relevance": 0.0,
        "fields": {"item_id": item, "embedding": embedding},
    }


def first_hit(item: str, cosine: float, vector: str | None = None, *, own: int = 0) -> dict[str, Any]:
    """A hit of a search that brings vectors; with ``own`` of the history: 1 found too, 2 not."""
    features = {"item": {item: 1.0}, "vector": {} if vector is None else {item: vector}}
    return {"id": item, "relevance": cosine + 4.0 * own, "fields": {"matchfeatures": features}}


def related_hit(item: str, cosines: Sequence[float]) -> dict[str, Any]:
    """A hit of a search by several vectors: cosines to the query and to each."""
    digits = np.asarray(cosines, ">f4").tobytes().hex()
    features = {"found": {item: digits}}
    return {"id": item, "relevance": max(cosines[1:]), "fields": {"matchfeatures": features}}


def root(
    hits: Sequence[Mapping[str, Any]] = (),
    *,
    coverage: Mapping[str, Any] | None = COVERAGE,
    errors: Sequence[Mapping[str, Any]] = (),
    total: int | None = None,
) -> dict[str, Any]:
    content: dict[str, Any] = {
        "id": "toplevel",
        "relevance": 1.0,
        "fields": {"totalCount": len(hits) if total is None else total},
    }
    if coverage is not None:
        content["coverage"] = coverage
    if errors:
        content["errors"] = list(errors)
    if hits:
        content["children"] = list(hits)
    return {"root": content}


def error(code: int, summary: str = "Error", message: str = "") -> dict[str, Any]:
    return {"code": code, "summary": summary, "source": "items", "message": message}


HITS = [hit("a", 0.9), hit("b", 0.5), hit("c", -0.25)]
GOOD = root(HITS)
#: What a failed query says of its coverage.
NOTHING = {"coverage": 100, "documents": 0, "full": True, "nodes": 0, "results": 0, "resultsFull": 0}
