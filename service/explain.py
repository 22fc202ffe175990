"""The ``explain`` part of an answer: how it came about."""

from __future__ import annotations

from typing import Any

from service.pipeline import Provenance, RecallResult
from service.recall.routes import ROUTES


def explain(result: RecallResult) -> dict[str, Any]:
    """Plain values: cache tier, gate over the modalities, portrait, what each route tells, stages."""
    origin = result.provenance
    gate = origin.fused.gate.tolist()
    return {
        "query": origin.query.text,
        "cache": origin.tier,
        "gate": dict(
            zip(origin.deployment.dimensions.experts, [round(weight, 4) for weight in gate], strict=True)
        ),
        "portrait": {
            "used": list(origin.portrait.used),
            "unknown": list(origin.portrait.unknown),
            "stored": origin.portrait.stored,
        },
        **_routes(origin),
        "merge": origin.options.merge,
        "stages_ms": {name: round(seconds * 1000, 3) for name, seconds in result.stages},
    }


def _routes(origin: Provenance) -> dict[str, Any]:
    told: dict[str, Any] = {}
    for name in origin.options.tables:
        told |= ROUTES[name].explain(origin.notes.get(name))
    return told
