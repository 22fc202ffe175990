"""The ``explain`` part of an answer: how it came about."""

from __future__ import annotations

from typing import Any

from service.recall.pipeline import RecallResult


def explain(result: RecallResult) -> dict[str, Any]:
    """Plain values: the gate over the modalities, the portrait, the triggers, the cache tier, the stages."""
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
        "triggers": [
            {"item_id": trigger.item_id, "origin": trigger.origin, "score": round(trigger.score, 4)}
            for trigger in origin.triggering.triggers
        ],
        "considered": [
            {
                "item_id": item.item_id,
                "used": item.used,
                "reason": item.reason,
                "score": None if item.score is None else round(item.score, 4),
            }
            for item in origin.triggering.considered
        ],
        "merge": origin.options.merge,
        "stages_ms": {name: round(seconds * 1000, 3) for name, seconds in result.stages},
    }
