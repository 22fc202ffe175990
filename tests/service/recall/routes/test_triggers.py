"""Which items of a user's history may bring their neighbours along."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np

from artifacts.bundle import Behaviour
from index.port import StoredVectors
from service.recall.routes.outcome import Candidate
from service.recall.routes.triggers import head_items, history_triggers, recent_items

NOW = datetime(2026, 11, 20, tzinfo=UTC)
QUERY = np.asarray([1.0, 0.0], np.float32)


def stored(**cosines: float) -> StoredVectors:
    vectors = [[c, (1 - c * c) ** 0.5] for c in cosines.values()]
    return StoredVectors(list(cosines), np.asarray(vectors, np.float32).reshape(-1, 2))


def test_recent_items_are_young_and_stand_once() -> None:
    history = [
        Behaviour("now", "click"),
        Behaviour("young", "cart", NOW - timedelta(days=29)),
        Behaviour("now", "order", NOW - timedelta(days=1)),
        Behaviour("old", "order", NOW - timedelta(days=31)),
    ]
    assert recent_items(history, NOW, max_age_days=30) == ["now", "young"]


def test_the_closest_above_the_floor_trigger() -> None:
    vectors = stored(far=0.1, near=0.5, nearest=0.9, next=0.6)
    triggers, considered = history_triggers(
        ["far", "near", "nearest", "next", "gone"], vectors, QUERY, floor=0.3, most=2
    )
    assert [t.item_id for t in triggers] == ["nearest", "next"]
    assert {c.item_id: c.reason for c in considered if not c.used} == {
        "far": "too far from the query",
        "near": "enough others are closer",
        "gone": "not in the index",
    }


def test_browsing_takes_the_most_recent_whatever_they_are() -> None:
    triggers, _ = history_triggers(["a", "b", "c"], stored(a=-0.5, b=0.9, c=0.99), None, floor=0.3, most=2)
    assert [t.item_id for t in triggers] == ["a", "b"]


def test_an_unknown_history_gives_no_triggers() -> None:
    assert history_triggers(["a"], stored(), QUERY, floor=0.3, most=5)[0] == []


def test_the_head_of_q2i_triggers_when_close_enough() -> None:
    head = [
        Candidate(f"i{n}", 0.9 - n / 5, {"route": "q2i", "rank": n, "score": 0.9 - n / 5})
        for n in range(1, 5)
    ]
    assert list(head_items(head, floor=0.4, most=3)) == ["i1", "i2"]
    assert head_items(head, floor=0.4, most=0) == {}
