"""Results as the plain values that orjson writes."""

from __future__ import annotations

from typing import Any

from service.http.columnar import columns
from service.http.prepare import Prepared
from service.recall.explain import explain
from service.recall.outcome import Item, RouteOutcome
from service.recall.pipeline import RecallResult


def recall_answer(
    prepared: Prepared, result: RecallResult, request_id: str, took_s: float, *, columnar: bool
) -> dict[str, Any]:
    """The body of ``POST /recall``; described by `service.http.schemas.RecallAnswer` and `ColumnarAnswer`."""
    answer: dict[str, Any] = {
        "request_id": request_id,
        "model_version": prepared.deployment.bundle.version,
        "index_version": prepared.deployment.index.version,
        "variant": prepared.assignment.arms,
        "items": columns(result.items) if columnar else result.items,
        "routes": {name: route_answer(outcome) for name, outcome in result.routes.items()},
        "partial": result.partial,
        "degraded": result.degraded,
        "took_ms": round(took_s * 1000, 3),
    }
    if prepared.request.explain:
        answer["explain"] = explain(result)
    return answer


def similar_items(outcome: RouteOutcome) -> list[Item]:
    """The items of ``GET /items/{item_id}/similar``."""
    return [
        {"item_id": item_id, "score": value, "sources": [source]}
        for item_id, value, source in outcome.candidates
    ]


def route_answer(outcome: RouteOutcome) -> dict[str, Any]:
    """How a route fared."""
    answer: dict[str, Any] = {
        "status": outcome.status,
        "returned": outcome.returned,
        "coverage": outcome.coverage,
        "took_ms": round(outcome.took_ms, 3),
    }
    if outcome.reason is not None:
        answer["reason"] = outcome.reason
    return answer
