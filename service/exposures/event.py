"""An exposure, as it is taken while a request is answered, and the event that is made of it later."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from artifacts.exposures import APPLICATION, FORMAT, client_id, query_hash
from service.experiments import Assignment, Unit
from service.recall.routes.outcome import Item


class Exposure(NamedTuple):
    """One answer: references to what it was made of, so that taking it costs nearly nothing.

    Attributes:
        at: when, in seconds since 1970.
        request_id: of the request.
        unit: what keeps its arms.
        words: of the query, normalised, or the item of ``/similar``.
        assignment: its arms.
        bundle_version, index_version: the versions that answered.
        items: best first; not changed any more.
        partial, degraded: as the answer says.
        took_ms: from the first byte in.
    """

    at: float
    request_id: str
    unit: Unit
    words: str
    assignment: Assignment
    bundle_version: str
    index_version: str
    items: Sequence[Item]
    partial: bool
    degraded: Sequence[str]
    took_ms: float


def event_of(exposure: Exposure, key: str) -> dict[str, Any]:
    """The event of an exposure."""
    routes: dict[str, list[str]] = {}
    for item in exposure.items:
        for source in item["sources"]:
            ids = routes.setdefault(source["route"], [])
            if not ids or ids[-1] != item["item_id"]:  # several triggers may lead a route to one item
                ids.append(item["item_id"])
    assignment = exposure.assignment
    shares: Mapping[str, Mapping[str, float]] = assignment.shares or {}
    attributes: dict[str, Any] = {
        "unit": exposure.unit.kind,
        "query_hash": query_hash(exposure.words, key),
        "arms": assignment.arms,
        "forced": list(assignment.forced),
        "shares": {name: shares.get(name, {}).get(arm, 0.0) for name, arm in assignment.arms.items()},
        "bundle": exposure.bundle_version,
        "index": exposure.index_version,
        "routes": routes,
        "teams": _teams(exposure.items),
        "partial": exposure.partial,
        "degraded": list(exposure.degraded),
        "took_ms": exposure.took_ms,
    }
    return {
        "format": FORMAT,
        "application": APPLICATION,
        "query_id": exposure.request_id,
        "client_id": client_id(exposure.unit.value, key),
        "timestamp": datetime.fromtimestamp(exposure.at, UTC).isoformat(timespec="milliseconds"),
        "query_response_hit_ids": [item["item_id"] for item in exposure.items],
        "query_attributes": attributes,
    }


def _teams(items: Sequence[Item]) -> list[str]:
    """Who picked each item, by its place; empty where a rule put it there. Nothing without teams."""
    if not any("team" in item for item in items):
        return []
    return ["" if item.get("pinned") else item.get("team") or "" for item in items]
