"""What the embedded engine promises beyond the contract suite."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from common.deadline import Deadline
from devtools.embeddings import make_embeddings, unit_vectors
from index.embedded import nearest, readable
from index.embedded.build import build_index
from index.embedded.index import EmbeddedIndex
from index.embedded.log import LogReader
from index.filters import Filter, parse_filter
from index.port import IndexUnavailable

ROWS = 200


def _deadline() -> Deadline:
    return Deadline.after(60)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("embedded")
    build_index(make_embeddings(root / "embeddings", rows=ROWS, dim=32, expert_dim=8), root / "index")
    return root


@pytest.fixture
def index(folder: Path) -> Iterator[EmbeddedIndex]:
    opened = EmbeddedIndex.open(folder / "index")
    yield opened
    asyncio.run(opened.close())


async def test_features_of_the_known(index: EmbeddedIndex, folder: Path) -> None:
    known, features = await index.features(["item-7", "nope", "item-3"], _deadline())
    assert known == ["item-7", "item-3"]
    assert features.dtype == np.float16
    np.testing.assert_array_equal(features, np.load(folder / "embeddings" / "features.npy")[[7, 3]])
    known, features = await index.features([], _deadline())
    assert (known, features.shape) == ([], (0, 3, 8))


async def test_vectors_are_the_embeddings_to_the_bit(index: EmbeddedIndex, folder: Path) -> None:
    stored = await index.vectors(["item-7", "item-3"], _deadline())
    expected = np.load(folder / "embeddings" / "embeddings.npy")[[7, 3]]
    np.testing.assert_array_equal(stored.vectors, expected.astype(np.float32))


@pytest.mark.parametrize(
    ("vectors", "k"),
    [
        (np.zeros((1, 31), np.float32), 1),
        (np.zeros(32, np.float32), 1),
        (np.full((1, 32), np.nan, np.float32), 1),
        (np.zeros((1, 32), np.float32), 0),
    ],
)
async def test_what_cannot_be_searched_for(index: EmbeddedIndex, vectors: np.ndarray, k: int) -> None:
    with pytest.raises(ValueError, match="expected"):
        await index.search(vectors, k, None, _deadline())


async def test_a_deadline_between_two_vectors(index: EmbeddedIndex) -> None:
    readings = iter([0.0, 0.0, 0.0, 0.0, 2.0])
    deadline = Deadline(1.0, lambda: next(readings, 2.0))
    with pytest.raises(IndexUnavailable, match="timeout"):
        await index.search(unit_vectors(64, 32), 5, None, deadline)


async def test_an_error_in_a_search_is_the_callers(index: EmbeddedIndex) -> None:
    unknown = parse_filter({"colour": "red"}, {"colour": "string"})
    with pytest.raises(KeyError):
        await index.search(unit_vectors(1, 32), 5, unknown, _deadline())
    assert len((await index.search(unit_vectors(1, 32), 5, None, _deadline()))[0].ids) == 5


async def test_a_filter_whose_searches_are_too_much_is_not_begun_on_the_event_loop(
    index: EmbeddedIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    where: list[bool] = []
    search = nearest.search

    def spy(*arguments: Any) -> Any:
        where.append(threading.current_thread() is threading.main_thread())
        return search(*arguments)

    monkeypatch.setattr(nearest, "search", spy)

    async def searched(limit: int, accepted: Filter | None = None) -> list[bool]:
        monkeypatch.setattr(readable, "AT_ONCE", limit)
        where.clear()
        await index.search(unit_vectors(1, 32), 5, accepted, _deadline())
        return list(where)

    assert [await searched(1) for _ in range(3)] == [[True, False], [True, False], [False]]
    assert await searched(1, parse_filter({"category": "shoes"}, index.attributes)) == [True, False]
    assert [await searched(10**6) for _ in range(2)] == [[False], [True]]


async def test_changes_are_looked_for_once_in_a_turn_of_the_loop_and_none_is_missed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build_index(make_embeddings(tmp_path / "embeddings", rows=20, dim=8, expert_dim=4), tmp_path / "index")
    index, other = (EmbeddedIndex.open(tmp_path / "index") for _ in range(2))
    looks: list[bool] = []
    grown = LogReader.grown

    def spy(log: LogReader) -> bool:
        found = grown(log)
        if log is index._live.state.log:
            looks.append(found)
        return found

    monkeypatch.setattr(LogReader, "grown", spy)

    async def seen() -> list[str]:
        await index.search(unit_vectors(1, 8), 5, None, _deadline())
        await index.features(["item-3"], _deadline())
        assert index.revision is not None
        return (await index.vectors(["item-3", "item-4"], _deadline())).ids

    assert await seen() == ["item-3", "item-4"]
    assert looks == [False]
    await other.remove(["item-3"], _deadline())
    assert await seen() == ["item-4"], "it was acknowledged in a turn before"
    assert True in looks
    await index.close()
    await other.close()
