"""Of ``docs/measured.md``: what hard negatives are worth, from the report of `benchmarks.sparse`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from devtools.reference.results import RESULTS

_TOLD = ("AUC low", "R-prec@10", "nDCG@10", "Recall@100")


def made() -> str:
    """By how much both losses give more than MNSCE alone, from where a step sees least of the catalogue."""
    runs = _runs("sparse")
    head = ["items", "a step sees", "loss", "seeds", *_TOLD, "steps"]
    lines = ["", _line(head), _rule(len(head))]
    for point in sorted(runs["points"].values(), key=lambda point: point["seen"]):
        for place, (name, arm) in enumerate(point["arms"].items()):
            cells = [
                f"{arm['figures'][key]:.3f}" if place == 0 else _interval(arm["gains"][key]) for key in _TOLD
            ]
            steps = ", ".join(
                f"{step:.0f}" if step == step else "never" for step in map(_number, arm["steps"])
            )
            seen, seeds = f"{point['seen']:.2%}", str(arm["seeds"])
            lines.append(_line([f"{point['items']:,}", seen, name, seeds, *cells, steps]))
    return "\n".join([*lines, "", ""])


def _number(step: float | None) -> float:
    return float(np.nan) if step is None else step


def _interval(gain: Mapping[str, float]) -> str:
    bounds = f"{gain['value']:+.4f} ({gain['low']:+.4f} to {gain['high']:+.4f})"
    return f"**{bounds}**" if gain["low"] > 0 else bounds


def _runs(name: str) -> Mapping[str, Any]:
    runs: Mapping[str, Any] = json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))["runs"]
    return runs


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _rule(columns: int) -> str:
    return "|" + "---|" * columns
