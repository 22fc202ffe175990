"""Portraits: order, limits and ages."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from artifacts.actions import ACTIONS
from artifacts.bundle import Behaviour, PortraitBatch, build_portraits
from artifacts.bundle.portrait import item_hash, recent

NOW = datetime(2026, 11, 1, tzinfo=UTC)
behaviours = st.builds(
    Behaviour,
    st.text("abc", min_size=1, max_size=3),
    st.sampled_from([*ACTIONS.behaviours, "impression", "nonsense"]),
    st.none() | st.integers(-50, 5000).map(lambda hours: NOW - timedelta(hours=hours)),
)


@given(st.lists(behaviours, max_size=30), st.integers(0, 12))
def test_recent_is_newest_first_of_known_types(history: list[Behaviour], limit: int) -> None:
    kept = recent(history, limit, ACTIONS.behaviours)
    known = [b for b in history if b.action in ACTIONS.behaviours]
    assert len(kept) == min(limit, len(known))
    assert all(b.action in ACTIONS.behaviours for b in kept)
    times = [b.ts or datetime.max.replace(tzinfo=UTC) for b in kept]
    assert times == sorted(times, reverse=True)
    if kept:
        left_out = sorted((b.ts or datetime.max.replace(tzinfo=UTC) for b in known), reverse=True)[
            len(kept) :
        ]
        assert all(t <= times[-1] for t in left_out)


@given(st.lists(behaviours, max_size=30), st.integers(0, 12))
def test_what_a_bundle_was_not_trained_with_takes_no_place(history: list[Behaviour], limit: int) -> None:
    clicks = [b for b in history if b.action == "click"]
    assert recent(history, limit, ("click",)) == recent(clicks, limit, ACTIONS.behaviours)


@given(st.lists(behaviours, max_size=30), st.integers(0, 12))
def test_one_slot_is_that_of_the_last_action_on_an_item(history: list[Behaviour], limit: int) -> None:
    every = recent(history, 100, ACTIONS.behaviours)
    kept = recent(history, limit, ACTIONS.behaviours, one_slot=True)
    items = list(dict.fromkeys(b.item_id for b in every))
    assert [b.item_id for b in kept] == items[:limit]
    assert all(b is next(other for other in every if other.item_id == b.item_id) for b in kept)


def test_items_have_hashes_that_are_the_same_everywhere() -> None:
    rows = [[Behaviour("i1", "click"), Behaviour("x\ud800", "order")], []]
    features = [np.zeros((len(row), 3, 4), np.float16) for row in rows]
    batch = build_portraits(rows, features, [NOW] * 2, experts=3, expert_dim=4)
    assert batch.item_hashes().tolist() == [[2755183147, item_hash("x\ud800")], [0, 0]]
    assert batch.item_hashes().dtype == np.int64
    nobody = PortraitBatch(batch.features, batch.behaviour, batch.age_days)
    assert not nobody.item_hashes().any()


@given(st.lists(st.lists(behaviours, max_size=6), min_size=1, max_size=4))
def test_a_batch_holds_each_row_and_pads_the_rest(histories: list[list[Behaviour]]) -> None:
    rows = [recent(history, 5, ACTIONS.behaviours) for history in histories]
    features = [np.full((len(row), 3, 4), 1.5, dtype=np.float16) for row in rows]
    batch = build_portraits(rows, features, [NOW] * len(rows), experts=3, expert_dim=4)
    depth = max(1, *(len(row) for row in rows))
    assert batch.features.shape == (len(rows), depth, 3, 4)
    for r, row in enumerate(rows):
        assert [ACTIONS.behaviours[i - 1] for i in batch.behaviour[r, : len(row)]] == [b.action for b in row]
        assert not batch.behaviour[r, len(row) :].any()
        assert not batch.features[r, len(row) :].any()
        assert (batch.age_days[r] >= 0).all()
        for slot, behaviour in enumerate(row):
            if behaviour.ts and behaviour.ts <= NOW:
                days = (NOW - behaviour.ts) / timedelta(days=1)
                assert batch.age_days[r, slot] == np.float32(days)
