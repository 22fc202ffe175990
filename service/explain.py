"""The ``explain`` part of an answer: how it came about."""

from __future__ import annotations

from typing import Any

from service.pipeline import RecallResult
from service.recall.routes import ROUTES


def explain(result: RecallResult) -> dict[str, Any]:
    """Plain values: cache tier, gate over the modalities, portrait, what each route tells, stages."""
    gate = result.fused.gate.tolist()
    return {
        "query": result.query.text,
        "cache": result.tier,
        "gate": dict(
            zip(result.deployment.dimensions.experts, [round(weight, 4) for weight in gate], strict=True)
        ),
        "portrait": {
            "used": list(result.portrait.used),
            "unknown": list(result.portrait.unknown),
            "stored": result.portrait.stored,
        },
        **_routes(result),
        "merge": result.options.merge,
        "stages_ms": {name: round(seconds * 1000, 3) for name, seconds in result.stages},
    }


def _routes(result: RecallResult) -> dict[str, Any]:
    told: dict[str, Any] = {}
    for name in result.options.tables:
        told |= ROUTES[name].explain(result.notes.get(name))
    return told
