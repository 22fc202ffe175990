"""The ``explain`` part of an answer: how it came about."""

from __future__ import annotations

from typing import Any

from service.recall.pipeline import RecallResult


def explain(result: RecallResult) -> dict[str, Any]:
    """Plain values: the gate over the modalities, the portrait, the triggers, the cache tier, the stages."""
    trace = result.trace
    gate = trace.fused.gate.tolist()
    return {
        "query": trace.query.text,
        "cache": trace.tier,
        "gate": dict(zip(trace.lane.experts, [round(weight, 4) for weight in gate], strict=True)),
        "portrait": {
            "used": list(trace.portrait.used),
            "unknown": list(trace.portrait.unknown),
            "stored": trace.portrait.stored,
        },
        "triggers": [
            {"item_id": trigger.item_id, "origin": trigger.origin, "score": round(trigger.score, 4)}
            for trigger in trace.triggering.triggers
        ],
        "considered": [
            {
                "item_id": item.item_id,
                "used": item.used,
                "reason": item.reason,
                "score": None if item.score is None else round(item.score, 4),
            }
            for item in trace.triggering.considered
        ],
        "merge": trace.options.merge,
        "stages_ms": {name: round(seconds * 1000, 3) for name, seconds in result.stages},
    }
