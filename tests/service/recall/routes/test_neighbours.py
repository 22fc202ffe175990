"""Neighbours that are known are those that a search would give, whatever was changed in between."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from common.arrays import F32
from common.deadline import Deadline
from devtools.embeddings import make_embeddings, unit_vectors
from index.changes import ItemPut
from index.embedded.build import build_index
from index.embedded.index import EmbeddedIndex
from index.filters import AnyOf, Filter
from service.recall.routes.neighbours import NeighbourCache
from service.recall.routes.triggers import Trigger
from tests.support.index import MemoryIndex

DIM, ROWS = 16, 60
SHOES = Filter((AnyOf("category", ("shoes",)),))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    make_embeddings(tmp_path / "e", rows=ROWS, dim=DIM, expert_dim=8)
    build_index(tmp_path / "e", tmp_path / "index")
    return tmp_path / "index"


def soon() -> Deadline:
    return Deadline.after(30)


async def triggers(index: EmbeddedIndex, numbers: list[int]) -> list[Trigger]:
    stored = await index.vectors([f"item-{number}" for number in numbers], soon())
    return [Trigger(i, 0.9, v, "head") for i, v in zip(stored.ids, stored.vectors, strict=True)]


def vector_of(trigger: Trigger) -> F32:
    assert trigger.vector is not None
    return trigger.vector


def names_and_vectors(wanted: list[Trigger]) -> tuple[list[str], list[F32]]:
    return [trigger.item_id for trigger in wanted], [vector_of(trigger) for trigger in wanted]


@pytest.mark.parametrize("entries", [0, 3, 100])
async def test_known_neighbours_are_those_of_a_search(folder: Path, entries: int) -> None:
    index, other = EmbeddedIndex.open(folder), EmbeddedIndex.open(folder)
    known = NeighbourCache(index, entries, lambda _: None)
    rng = np.random.default_rng(5)
    for turn in range(120):
        if rng.random() < 0.2:  # by another process half of the time
            writer = (index, other)[turn % 2]
            put = ItemPut(f"new-{turn % 7}", unit_vectors(1, DIM, seed=turn)[0])
            await (writer.remove([put.id], soon()) if rng.random() < 0.3 else writer.upsert([put], soon()))
        wanted = await triggers(index, rng.integers(ROWS, size=3).tolist())
        k, filters = int(rng.integers(1, 12)), (None, SHOES)[turn % 2]
        expected = await index.search(np.stack([vector_of(t) for t in wanted]), k, filters, soon())
        found = await known.search(*names_and_vectors(wanted), k, filters, soon())
        assert [near.ids for near in found] == [near.ids for near in expected]
        for near, right in zip(found, expected, strict=True):
            np.testing.assert_array_equal(near.scores, right.scores)
    await index.close()
    await other.close()


async def test_a_list_is_searched_once_until_the_index_changes(folder: Path) -> None:
    index = EmbeddedIndex.open(folder)
    counted: Counter[bool] = Counter()
    known = NeighbourCache(index, 10, lambda hit: counted.update([hit]))
    wanted = await triggers(index, [1, 2])
    for _ in range(3):
        await known.search(*names_and_vectors(wanted), 5, None, soon())
    assert counted == {False: 2, True: 4}
    names, _ = names_and_vectors(wanted)
    kept = known.known(names, 5, None)
    assert kept is not None
    assert [near.ids for near in kept] == [
        near.ids for near in await known.search(names, [], 5, None, soon())
    ]
    assert known.known(names, 6, None) is known.known([*names, "another"], 5, None) is None
    assert counted == {False: 2, True: 8}
    twin = ItemPut("twin", vector_of(wanted[0]))
    await index.upsert([twin], soon())
    assert known.known(names, 5, None) is None
    (near,) = await known.search(*names_and_vectors(wanted[:1]), 5, None, soon())
    assert "twin" in near.ids[:2]
    assert counted[False] == 3
    await index.close()


async def test_a_long_list_takes_the_room_of_several() -> None:
    vectors = unit_vectors(400, DIM)
    features = np.zeros((400, 3, 4), dtype=np.float16)
    index = MemoryIndex("b-1", [f"i{n}".ljust(128, "-") for n in range(400)], vectors, features)
    index.revision = 1
    known = NeighbourCache(index, 10, lambda _: None)
    for _ in range(2):
        for number in range(8):
            await known.search([number], [vectors[number]], 400, None, soon())
    assert index.searches == 16  # of 80 kB each, two have room
    for _ in range(2):
        for number in range(8):
            await known.search([number], [vectors[number]], 5, None, soon())
    assert index.searches == 24


async def test_an_index_that_cannot_tell_when_it_changes_is_searched_every_time() -> None:
    vectors = unit_vectors(8, DIM)
    features = np.zeros((8, 3, 4), dtype=np.float16)
    index = MemoryIndex("b-1", [f"i{n}" for n in range(8)], vectors, features)
    known = NeighbourCache(index, 10, lambda _: None)
    wanted = [Trigger("i1", 0.9, vectors[1], "head")]
    for _ in range(3):
        await known.search(*names_and_vectors(wanted), 4, None, soon())
    assert index.searches == 3
