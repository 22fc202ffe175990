"""Changes to an embedded index, against a dict that is changed in the same way."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from common.deadline import Deadline
from devtools.embeddings import ATTRIBUTES, make_embeddings, random_items, unit_vectors
from index.changes import ChangeRefused, ItemPut, ItemUpdate
from index.embedded.build import build_index
from index.embedded.index import EmbeddedIndex
from index.embedded.probe import EXACT
from index.embedded.rebuild import NothingLeft, rebuild_index
from index.embedded.searched import Planning
from index.filters import parse_filter
from index.port import IndexUnavailable
from tests.support.reference import accepts, raw_filters

DIM, ROWS = 16, 60
VECTORS = unit_vectors(200, DIM, seed=1).astype(np.float16)
ITEMS = random_items(200, seed=2)
NAMES = [f"item-{number}" for number in range(90)]
names = st.sampled_from(NAMES)
rows_by_name = st.lists(st.tuples(names, st.integers(0, 199)), min_size=1, max_size=8)


def deadline() -> Deadline:
    return Deadline.after(60)


def features_of(number: int) -> np.ndarray:
    return np.full((3, 8), number, dtype=np.float16)


class Changes(RuleBasedStateMachine):
    """Two openings of one folder, as two worker processes have it, and the dict that they should equal."""

    lists = False

    @initialize()
    def build(self) -> None:
        self.folder = Path(tempfile.mkdtemp())
        self.runner = asyncio.Runner()
        embeddings = make_embeddings(
            self.folder / "e", items=ITEMS[:ROWS], vectors=VECTORS[:ROWS], expert_dim=8
        )
        features = np.stack([features_of(number) for number in range(ROWS)])
        np.save(embeddings / "features.npy", features)
        build_index(embeddings, self.folder / "index", cluster_rows=1 if self.lists else 1000)
        planning = Planning(exact_rows=0, reach=EXACT)
        self.workers = [EmbeddedIndex.open(self.folder / "index", planning=planning) for _ in range(2)]
        self.model: dict[str, dict[str, Any]] = {
            f"item-{row}": {**ITEMS[row], "row": row, "features": row} for row in range(ROWS)
        }

    def teardown(self) -> None:
        if hasattr(self, "runner"):
            for worker in self.workers:
                self.runner.run(worker.close())
            self.runner.close()
            shutil.rmtree(self.folder)

    @rule(
        chosen=st.lists(st.tuples(names, st.integers(0, 199)), min_size=1, max_size=8), by=st.integers(0, 1)
    )
    def upsert(self, chosen: list[tuple[str, int]], by: int) -> None:
        puts = []
        for name, row in chosen:
            attributes = {key: ITEMS[row].get(key) for key in ATTRIBUTES}
            vector = VECTORS[row].astype(np.float32)
            puts.append(ItemPut(name, vector, features_of(row), ITEMS[row]["category"], attributes))
            self.model[name] = {**ITEMS[row], "id": name, "row": row, "features": row}
        result = self.runner.run(self.workers[by].upsert(puts, deadline()))
        assert (result.written, result.unknown) == (len(chosen), ())

    @rule(
        chosen=st.lists(st.tuples(names, st.sampled_from([*ATTRIBUTES, "category"]), st.integers(0, 199))),
        by=st.integers(0, 1),
    )
    def update(self, chosen: list[tuple[str, str, int]], by: int) -> None:
        updates = []
        for name, field, row in chosen:
            value = ITEMS[row].get(field)
            category = value if field == "category" else None
            updates.append(ItemUpdate(name, {} if field == "category" else {field: value}, category))
            if name in self.model:
                self.model[name][field] = value
        result = self.runner.run(self.workers[by].update(updates, deadline()))
        assert result.unknown == tuple(name for name, _, _ in chosen if name not in self.model)

    @rule(chosen=st.lists(names, max_size=6), by=st.integers(0, 1))
    def remove(self, chosen: list[str], by: int) -> None:
        result = self.runner.run(self.workers[by].remove(chosen, deadline()))
        assert set(result.unknown) == set(chosen) - self.model.keys()
        for name in chosen:
            self.model.pop(name, None)

    @rule()
    def rebuild(self) -> None:
        if self.model:
            rebuild_index(self.folder / "index")

    @rule(by=st.integers(0, 1))
    def reopen(self, by: int) -> None:
        self.runner.run(self.workers[by].close())
        planning = Planning(exact_rows=0, reach=EXACT)
        self.workers[by] = EmbeddedIndex.open(self.folder / "index", planning=planning)

    @rule(raw=raw_filters, k=st.integers(1, 100), query=st.integers(0, 199), by=st.integers(0, 1))
    def search(self, raw: dict[str, Any], k: int, query: int, by: int) -> None:
        index = self.workers[by]
        vector = VECTORS[query].astype(np.float32)
        (found,) = self.runner.run(
            index.search(vector[None, :], k, parse_filter(raw, index.attributes), deadline())
        )
        accepted = {name for name, item in self.model.items() if accepts(raw, item)}
        scores = {name: float(VECTORS[self.model[name]["row"]] @ vector) for name in accepted}
        assert len(found.ids) == len(set(found.ids)) == min(k, len(accepted))
        assert set(found.ids) <= accepted
        expected = sorted(scores.values(), reverse=True)[:k]
        np.testing.assert_allclose(found.scores, expected, atol=1e-3)
        np.testing.assert_allclose(found.scores, [scores[name] for name in found.ids], atol=1e-3)

    @rule(chosen=st.lists(names, max_size=10), by=st.integers(0, 1))
    def look_up(self, chosen: list[str], by: int) -> None:
        known = [name for name in chosen if name in self.model]
        stored = self.runner.run(self.workers[by].vectors(chosen, deadline()))
        assert stored.ids == known
        expected = VECTORS[[self.model[name]["row"] for name in known]].reshape(-1, DIM)
        np.testing.assert_array_equal(stored.vectors, expected.astype(np.float32))
        ids, features = self.runner.run(self.workers[by].features(chosen, deadline()))
        assert ids == known
        assert features[:, 0, 0].tolist() == [self.model[name]["features"] for name in known]

    @invariant()
    def counts(self) -> None:
        for worker in getattr(self, "workers", ()):
            assert self.runner.run(worker.stats()).items == len(self.model)


class ChangesOfLists(Changes):
    """The same over probed lists."""

    lists = True


few = settings(max_examples=8, stateful_step_count=25)
TestChanges = Changes.TestCase
TestChanges.settings = few
TestChangesOfLists = ChangesOfLists.TestCase
TestChangesOfLists.settings = few


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    make_embeddings(tmp_path / "e", rows=20, dim=DIM, expert_dim=8)
    build_index(tmp_path / "e", tmp_path / "index")
    return tmp_path / "index"


VECTOR = unit_vectors(1, DIM)[0]


@pytest.mark.parametrize(
    ("item", "reason"),
    [
        (ItemPut("", VECTOR), "an id is a string that is not empty"),
        (ItemPut("x" * 513, VECTOR), "its id has 513 bytes; at most 512"),
        (ItemPut("\ud800", VECTOR), "half a surrogate pair"),
        (ItemPut("x", VECTOR[:3]), r"its vector has shape \(3,\), expected \(16,\)"),
        (ItemPut("x", VECTOR * 2), r"its vector has length 2\.000, expected 1"),
        (ItemPut("x", VECTOR * np.nan), "its vector has length nan"),
        (ItemPut("x", VECTOR, np.zeros((3, 9), np.float16)), r"its features have shape \(3, 9\)"),
        (ItemPut("x", VECTOR, np.full((3, 8), np.inf, np.float16)), "expected finite values"),
        (ItemPut("x", VECTOR, None, "", {"colour": "red"}), "'colour' is no attribute of this index"),
        (ItemPut("x", VECTOR, None, "", {"category": "Bags"}), "'category' is no attribute"),
        (ItemPut("x", VECTOR, None, "", {"price": "7"}), "price is a number; got '7'"),
        (ItemPut("x", VECTOR, None, "", {"price": True}), "price is a number; got 'True'"),
        (ItemPut("x", VECTOR, None, "", {"price": float("inf")}), "price is a number; got 'inf'"),
        (ItemPut("x", VECTOR, None, "", {"in_stock": 1}), "in_stock is a bool; got '1'"),
        (ItemPut("x", VECTOR, None, "", {"tags": "red"}), "tags is a list; got 'red'"),
        (ItemPut("x", VECTOR, None, "", {"brand": ["a"]}), "brand is a string"),
        (ItemPut("x", VECTOR, None, "", {"brand": "\ud800"}), "brand is a string"),
        (ItemPut("x", VECTOR, None, "", {"brand": "a" * 513}), "brand has a value of 513 characters"),
        (ItemPut("x", VECTOR, None, "", {"tags": ["a"] * 1001}), "tags has 1001 values"),
    ],
)
async def test_items_that_do_not_fit_are_refused_whole(folder: Path, item: ItemPut, reason: str) -> None:
    index = EmbeddedIndex.open(folder)
    with pytest.raises(ChangeRefused, match=reason):
        await index.upsert([ItemPut("fine", VECTOR), item], deadline())
    assert (await index.stats()).items == 20
    assert "+" not in index.version
    await index.close()


async def test_updates_are_checked(folder: Path) -> None:
    index = EmbeddedIndex.open(folder)
    deep = ItemUpdate("item-1", {}, "a>" * 8_000)
    for update in (
        ItemUpdate("item-1", {"price": "7"}),
        ItemUpdate("", {}),
        ItemUpdate("item-1", {}, 7),
        deep,
    ):  # type: ignore[arg-type]
        with pytest.raises(ChangeRefused):
            await index.update([update], deadline())
    await index.close()


async def test_changes_side_by_side_are_all_done(folder: Path) -> None:
    index = EmbeddedIndex.open(folder)
    calls = [index.upsert([ItemPut(f"new-{number}", VECTOR)], deadline()) for number in range(200)]
    refused = index.update([ItemUpdate("nobody", {"price": 1})], deadline())
    *results, unknown = await asyncio.gather(*calls, refused)
    assert [result.written for result in results] == [1] * 200
    assert unknown.unknown == ("nobody",)
    assert (await index.stats()).items == 220
    await index.close()
    again = EmbeddedIndex.open(folder)
    assert (await again.stats()).items == 220
    await again.close()


async def test_deadlines_and_closing(folder: Path) -> None:
    index = EmbeddedIndex.open(folder)
    with pytest.raises(IndexUnavailable, match="timeout"):
        await index.remove(["item-1"], Deadline.after(0))
    await index.close()
    with pytest.raises(IndexUnavailable, match="closed"):
        await index.remove(["item-1"], deadline())


async def test_a_full_disk_fails_the_change_and_nothing_else(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = EmbeddedIndex.open(folder)

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("index.embedded.live.append", full)
        with pytest.raises(IndexUnavailable, match=r"no-space: .*No space left"):
            await index.remove(["item-1"], deadline())
    assert (await index.stats()).items == 20
    assert (await index.remove(["item-1"], deadline())).written == 1
    assert (await index.stats()).items == 19
    await index.close()


async def test_an_empty_index_still_answers(folder: Path) -> None:
    index = EmbeddedIndex.open(folder)
    await index.remove([f"item-{row}" for row in range(20)], deadline())
    (found,) = await index.search(VECTOR[None, :], 5, None, deadline())
    assert found.ids == []
    with pytest.raises(NothingLeft, match="no items left"):
        rebuild_index(folder)
    await index.upsert([ItemPut("item-1", VECTOR)], deadline())
    rebuild_index(folder)
    (found,) = await index.search(VECTOR[None, :], 5, None, deadline())
    assert found.ids == ["item-1"]
    await index.close()
