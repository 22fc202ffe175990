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
        **{
            key: value
            for name in result.options.tables
            for key, value in ROUTES[name].explain(result.notes.get(name)).items()
        },
        "merge": result.options.merge,
        "stages_ms": {name: round(seconds * 1000, 3) for name, seconds in result.stages},
    }
