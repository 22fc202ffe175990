"""What I2I keeps of its triggers' neighbours, beside the same rules told one neighbour at a time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from index.port import Neighbours
from service.recall.routes.i2i import I2ISettings, _keep
from service.recall.routes.outcome import Candidate
from service.recall.routes.route import RouteRequest
from service.recall.routes.triggers import Trigger


def _shown(score: np.float32) -> float:
    return float(np.float64(score).round(5))


def told(
    triggers: Sequence[Trigger],
    found: Sequence[Neighbours],
    relevance: dict[str, float],
    floor: float,
    limit: int,
    table: I2ISettings,
) -> tuple[list[Candidate], int]:
    """The rules: each neighbour at the better of its own closeness and its path, best first."""
    kept: list[tuple[float, str, int, int, float]] = []
    for number, (trigger, near) in enumerate(zip(triggers, found, strict=True)):
        factor = np.float32(table.calibration * max(trigger.score, 0.0))
        rank = 0
        for item_id, score in zip(near.ids, near.scores, strict=True):
            close = relevance.get(item_id, -2.0)
            path = _shown(score * factor)
            if item_id == trigger.item_id:
                if table.own_bonus is None or trigger.origin != "history":
                    continue
                path = close + table.own_bonus
            rank += 1
            if close >= floor:
                kept.append((-max(close, path), item_id, rank, number, _shown(score)))
    kept.sort()
    items = list(dict.fromkeys(row[1] for row in kept))
    chosen = set(items[:limit])
    return [
        Candidate(
            item_id,
            -worth,
            {"route": "i2i", "trigger": triggers[number].item_id, "rank": rank, "score": score},
        )
        for worth, item_id, rank, number, score in kept
        if item_id in chosen
    ], min(limit, len(items))


@pytest.mark.parametrize("browse", [False, True])
@pytest.mark.parametrize("own_bonus", [None, 0.5])
@pytest.mark.parametrize("origin", ["history", "head"])
def test_what_is_kept_is_what_the_rules_say(browse: bool, own_bonus: float | None, origin: Any) -> None:
    draw = np.random.default_rng(7)
    table = I2ISettings(own_bonus=own_bonus)
    for k in (1, 20, 400):
        names = [f"i{n}" for n in range(60)]
        triggers, found = [], []
        for number in range(4):
            ids = [names[n] for n in draw.permutation(60)[:31]]
            if number == 3:
                ids = ids[:0]  # a filter let nothing pass
            scores = np.sort(draw.uniform(-0.2, 1, len(ids)).astype(np.float32))[::-1].copy()
            scores[3:6] = scores[3:4]  # equal ones
            # Often its own nearest neighbour, and now and then none of them.
            name = ids[0] if number == 0 else ids[7] if number == 1 else "elsewhere"
            triggers.append(Trigger(name, float(draw.uniform(-0.1, 1)), None, origin))
            found.append(Neighbours(ids, scores))
        relevance = {name: round(float(draw.uniform(-1, 1)), 5) for name in names[:50]}
        request = cast(RouteRequest, SimpleNamespace(browse=browse, k=k))
        candidates, returned = _keep(triggers, found, relevance, request, table)
        limit = math.ceil(table.candidates * k)
        floor = -1.0 if browse else table.relevance_floor
        expected, count = told(triggers, found, relevance, floor, limit, table)
        assert list(candidates) == expected
        assert returned == count
        assert [type(c.value) for c in candidates] == [float] * len(candidates)
        assert {type(c.source["rank"]) for c in candidates} <= {int}
