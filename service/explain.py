"""The ``explain`` part of an answer: how it came about."""

from __future__ import annotations

from typing import Any

from service.admission import LoadShedding
from service.pipeline import RecallResult
from service.recall.routes import ROUTES


def explain(result: RecallResult, shedding: LoadShedding) -> dict[str, Any]:
    """Plain values: cache tier, gate over the modalities, pull of the history, portrait, routes, stages.

    And how long the request waited, with the load that decided what it did without.
    """
    gate = result.fused.gate.tolist()
    return {
        "query": result.query.text,
        "waited_ms": round(shedding.waited_s * 1000, 3),
        "load": round(shedding.load, 3),
        "cache": result.tier,
        "gate": dict(
            zip(result.deployment.dimensions.experts, [round(weight, 4) for weight in gate], strict=True)
        ),
        "pull": round(result.fused.pull, 4),
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
        **_merged(result),
        "stages_ms": {name: round(seconds * 1000, 3) for name, seconds in result.stages},
    }


def _merged(result: RecallResult) -> dict[str, Any]:
    """How the items were merged, and what the controls did."""
    options = result.options
    told: dict[str, Any] = {"merge": options.merge}
    methods = {options.merge, *(options.teams if options.merge == "interleave" else ())}
    if "calibrated" in methods:
        told["calibration"] = result.deployment.calibration.version
    if weights := result.query.controls.weights or options.weights:
        told["weights"] = dict(weights)
    if result.controls is not None:
        told["controls"] = result.controls.explain
    return told
