"""Items by a number attribute: exact under every filter and change, however many the filter accepts."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.deadline import Deadline
from devtools.embeddings import make_embeddings, random_items, unit_vectors
from index.changes import ItemPut, ItemUpdate
from index.embedded import top
from index.embedded.build import build_index
from index.embedded.index import EmbeddedIndex
from index.embedded.rebuild import rebuild_index
from index.filters import parse_filter
from tests.support.reference import accepts

DIM, ROWS = 16, 300
FILTERS: tuple[dict[str, Any], ...] = (
    {},
    {"brand": ["Acme"]},
    {"in_stock": True},
    {"category": ["Shoes > Boots"]},
    {"price": {"lte": 30}},
)


def deadline() -> Deadline:
    return Deadline.after(60)


async def check(index: EmbeddedIndex, items: dict[str, dict[str, Any]], k: int) -> None:
    for raw in FILTERS:
        parsed = parse_filter(raw, index.attributes) if raw else None
        found = await index.top("price", k, parsed, deadline())
        prices = {i: v["price"] for i, v in items.items() if v["price"] is not None and accepts(raw, v)}
        assert found.scores.tolist() == sorted(prices.values(), reverse=True)[:k]
        assert len(set(found.ids)) == len(found.ids)
        assert [prices[item_id] for item_id in found.ids] == found.scores.tolist()


async def test_the_largest_come_first_through_changes_and_a_rebuild(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(top, "_BLOCK", 7)  # so that a walk has many steps
    rows = random_items(ROWS)
    items = {item["id"]: item for item in rows}
    build_index(make_embeddings(tmp_path / "embeddings", ROWS, DIM, items=rows), tmp_path / "index")
    index, rng = EmbeddedIndex.open(tmp_path / "index"), random.Random(3)
    for k in (1, 20, 1000):
        await check(index, items, k)
    for turn in range(40):
        name = f"item-{rng.randrange(ROWS + 10)}"
        if turn % 3 == 0:
            await index.remove([name], deadline())
            items.pop(name, None)
        elif turn % 3 == 1 and name in items:
            price = None if turn % 4 == 1 else float(rng.randrange(200))
            await index.update([ItemUpdate(name, {"price": price})], deadline())
            items[name] |= {"price": price}
        else:
            item = random_items(1, seed=turn)[0] | {"id": name}
            attributes = {field: item[field] for field in ("brand", "price", "in_stock", "tags")}
            vector = unit_vectors(1, DIM, turn)[0]
            await index.upsert([ItemPut(name, vector, None, item["category"], attributes)], deadline())
            items[name] = item
        await check(index, items, 15)
    rebuild_index(tmp_path / "index")
    await check(index, items, 50)
    await index.close()


async def test_only_numbers_that_there_are_can_be_asked_for(tmp_path: Path) -> None:
    build_index(make_embeddings(tmp_path / "embeddings", 5, DIM), tmp_path / "index")
    index = EmbeddedIndex.open(tmp_path / "index")
    for name, k in (("brand", 5), ("popularity", 5), ("price", 0)):
        with pytest.raises(ValueError, match="k is"):
            await index.top(name, k, None, deadline())
    await index.close()


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.one_of(st.just(float("nan")), st.integers(-3, 3).map(float)), max_size=20),
    st.integers(1, 25),
)
def test_the_best_are_those_of_sorting_all(values: list[float], k: int) -> None:
    import numpy as np

    rows, kept = top.best(np.arange(len(values)), np.array(values, dtype=np.float64), k)
    known = [(-value, row) for row, value in enumerate(values) if value == value]
    assert rows.tolist() == [row for _, row in sorted(known)[:k]]
    assert kept.tolist() == [-value for value, _ in sorted(known)[:k]]
