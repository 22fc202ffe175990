"""What the embedded engine promises beyond the contract suite."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.deadline import Deadline
from devtools.embeddings import make_embeddings, unit_vectors
from index.embedded import ids, selection
from index.embedded import index as embedded
from index.embedded.build import build_index
from index.embedded.ids import IdTable, write_ids
from index.embedded.index import EmbeddedIndex
from index.embedded.live import LiveIndex
from index.embedded.segment import nearest
from index.embedded.selection import Selection, Selections, Selector, variation
from index.embedded.vectors import Vectors, write_vectors
from index.embedded.workers import Overruns, Workers
from index.filters import AnyOf, Filter, parse_filter
from index.port import IndexUnavailable

ROWS = 200
FLAT = Selector(np.array([0, 300]))


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


@pytest.fixture(scope="module")
def tied(tmp_path_factory: pytest.TempPathFactory) -> Vectors:
    """300 rows that hold 20 different vectors in a random order."""
    path = tmp_path_factory.mktemp("tied") / "vectors.faiss"
    order = np.random.default_rng(0).integers(0, 20, 300)
    starts = np.array([0, 300])
    write_vectors(path, 32, starts, [unit_vectors(20, 32)[order].astype(np.float16)])
    return Vectors.open(path, 32, starts)


@given(
    k=st.integers(1, 320),
    query=st.integers(0, 5),
    share=st.sampled_from([0.01, 0.04, 0.3, 0.9, 1.0]),
)
def test_equal_scores_come_by_row(tied: Vectors, k: int, query: int, share: float) -> None:
    vector = unit_vectors(6, 32, seed=5)[query]
    mask = np.random.default_rng(k).random(300) < share
    mask[7] = True
    rows, scores = nearest(tied, vector, k, FLAT.select(mask))
    # One search for everything gives every row's score to the bit; ties are broken here, by row.
    every, every_score = tied.search(vector, 300)
    score_of = dict(zip(every.tolist(), every_score.tolist(), strict=True))
    expected = sorted(np.flatnonzero(mask).tolist(), key=lambda row: (-score_of[row], row))[:k]
    assert rows.tolist() == expected
    assert scores.tolist() == [score_of[row] for row in expected]


def test_the_planner_changes_no_result(tied: Vectors, monkeypatch: pytest.MonkeyPatch) -> None:
    mask = np.random.default_rng(1).random(300) < 0.3
    monkeypatch.setattr(selection, "KEPT_SHARE", 0.0)
    walked = FLAT.select(mask)
    monkeypatch.setattr(selection, "KEPT_SHARE", 1.0)
    copied = FLAT.select(mask)
    assert walked.rows is None
    assert copied.rows is not None
    for k in (1, 10, 300):
        for one, other in zip(
            nearest(tied, unit_vectors(1, 32)[0], k, walked),
            nearest(tied, unit_vectors(1, 32)[0], k, copied),
            strict=True,
        ):
            np.testing.assert_array_equal(one, other)


def test_selections() -> None:
    selector = Selector(np.array([0, 100]))
    assert selector.select(np.ones(100, np.bool_)) == Selection(100)
    assert selector.select(np.zeros(100, np.bool_)).count == 0
    few = selector.select(np.arange(100) < 3)
    assert few.rows is not None
    assert few.rows.tolist() == [0, 1, 2]
    many = selector.select(np.arange(100) < 50)
    assert many.bits is not None
    assert (many.rows, many.count, len(many.bits)) == (None, 50, 13)


def test_filters_are_even_that_have_nothing_to_do_with_the_lists() -> None:
    rng = np.random.default_rng(0)
    starts = np.append(0, np.cumsum(rng.integers(50, 150, size=100)))
    number = np.repeat(np.arange(100), np.diff(starts))
    selector = Selector(starts, exact_rows=0)
    for share in (0.02, 0.1, 0.5, 0.98):
        thinned = rng.random(len(number)) < share
        assert selector.select(thinned).even
        assert not selector.select((number < 50) & thinned).even
    sizes = np.diff(starts).astype(np.float32)
    assert variation(np.where(np.arange(100) < 50, sizes, 0), sizes) == pytest.approx(1, abs=0.1)
    assert variation(sizes / 3, sizes) == 0


def test_matches_of_some_lists() -> None:
    starts = np.array([0, 10, 20, 30, 40])
    mask = np.isin(np.arange(40), [1, 5, 20, 29, 30])
    few = Selector(starts, exact_rows=0).select(mask)
    for lists, rows in (([0, 2], [1, 5, 20, 29]), ([1, 3], [30]), ([1], []), ([], []), ([3, 0], [30, 1, 5])):
        assert few.rows_in(np.array(lists, dtype=np.int64)).tolist() == rows


class _Masks:
    """Attributes that count how often they are asked."""

    rows = 80_000

    def __init__(self) -> None:
        self.asked = 0

    def mask(self, accepted: Any) -> np.ndarray:
        self.asked += 1
        return np.arange(self.rows) % 2 == 0


def test_selections_are_kept_within_a_bound() -> None:
    masks = _Masks()
    kept = Selections(masks, Selector(np.array([0, masks.rows])), limit_bytes=3 * 11_000)  # type: ignore[arg-type]
    filters = [parse_filter({"n": number}, {"n": "number"}) for number in range(4)]
    for number in (0, 0, 1, 2, 0, 3, 0):  # 1 is the least recently used when 3 comes
        assert kept.get(filters[number]).count == masks.rows // 2
    assert masks.asked == 4
    kept.get(filters[1])
    assert masks.asked == 5
    assert kept.get(None) == Selection(masks.rows)


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


async def test_a_deadline_while_the_thread_is_busy() -> None:
    workers, gate = Workers(1, 4, lambda: None), threading.Event()
    with pytest.raises(IndexUnavailable, match="timeout"):
        await workers.run(lambda checkpoint: gate.wait(), Deadline.after(0.02))
    gate.set()
    assert await workers.run(lambda checkpoint: "next", _deadline()) == "next"
    await workers.close()


async def test_the_queue_is_bounded_and_recovers() -> None:
    workers, gate = Workers(1, 2, lambda: None), threading.Event()
    waiting = [asyncio.ensure_future(workers.run(lambda _: gate.wait(), _deadline())) for _ in range(3)]
    await asyncio.sleep(0)
    with pytest.raises(IndexUnavailable, match="overloaded"):
        await workers.run(lambda _: None, _deadline())
    gate.set()
    assert await asyncio.gather(*waiting) == [True] * 3
    for _ in range(10):
        await workers.run(lambda _: None, _deadline())
    await workers.close()


async def test_a_cancelled_search_stops_at_its_next_step_and_gives_its_slot_back() -> None:
    workers, started, gate = Workers(1, 0, lambda: None), threading.Event(), threading.Event()
    stopped, finished = [], threading.Event()

    def job(checkpoint: Any) -> None:
        started.set()
        gate.wait()
        try:
            checkpoint(0)
        except IndexUnavailable as error:
            stopped.append(error.reason)
            raise
        finally:
            finished.set()

    task = asyncio.ensure_future(workers.run(job, _deadline()))
    await asyncio.to_thread(started.wait)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    # The thread is still busy, so its slot is still taken.
    with pytest.raises(IndexUnavailable, match="overloaded"):
        await workers.run(lambda _: None, _deadline())
    gate.set()
    await asyncio.to_thread(finished.wait)
    await workers.close()
    assert stopped == ["timeout"]


async def test_an_error_in_a_search_is_the_callers(index: EmbeddedIndex) -> None:
    unknown = parse_filter({"colour": "red"}, {"colour": "string"})
    with pytest.raises(KeyError):
        await index.search(unit_vectors(1, 32), 5, unknown, _deadline())
    assert len((await index.search(unit_vectors(1, 32), 5, None, _deadline()))[0].ids) == 5


async def test_a_filter_whose_searches_are_too_much_is_not_begun_on_the_event_loop(
    index: EmbeddedIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    where: list[bool] = []
    search = LiveIndex.search

    def spy(*arguments: Any) -> Any:
        where.append(threading.current_thread() is threading.main_thread())
        return search(*arguments)

    monkeypatch.setattr(LiveIndex, "search", spy)

    async def searched(limit: int, accepted: Filter | None = None) -> list[bool]:
        monkeypatch.setattr(embedded, "AT_ONCE", limit)
        where.clear()
        await index.search(unit_vectors(1, 32), 5, accepted, _deadline())
        return list(where)

    assert [await searched(1) for _ in range(3)] == [[True, False], [True, False], [False]]
    assert await searched(1, parse_filter({"category": "shoes"}, index.attributes)) == [True, False]
    assert [await searched(10**6) for _ in range(2)] == [[False], [True]]


def test_overruns_are_kept_within_a_bound() -> None:
    overruns = Overruns(filters=2)
    a, b, c = (Filter((AnyOf("name", (name,)),)) for name in "abc")
    for accepted in (a, b, c):
        overruns.note(accepted, True)
        overruns.note(accepted, True)
    assert [a in overruns, b in overruns, c in overruns] == [False, True, True]


async def test_searches_that_wait_when_it_closes_fail() -> None:
    workers, started, gate = Workers(1, 4, lambda: None), threading.Event(), threading.Event()

    def job(checkpoint: Any) -> str:
        started.set()
        gate.wait()
        return "done"

    first = asyncio.ensure_future(workers.run(job, _deadline()))
    second = asyncio.ensure_future(workers.run(job, _deadline()))
    await asyncio.to_thread(started.wait)
    closing = asyncio.ensure_future(workers.close())
    await asyncio.sleep(0)
    gate.set()
    await closing
    assert await first == "done"
    with pytest.raises(IndexUnavailable, match="closed"):
        await second
    with pytest.raises(IndexUnavailable, match="closed"):
        await workers.run(job, _deadline())


def test_ids_whose_hashes_collide(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ids, "_hashes", lambda names: np.array([len(name) for name in names], np.uint64))
    write_ids(tmp_path / "ids", pa.array(["aa", "b", "cc", "dd", "e"]))
    table = IdTable.open(tmp_path / "ids")
    known, rows = table.find(["dd", "xx", "aa", "e", "b", "fff", "cc", ""])
    assert known == ["dd", "aa", "e", "b", "cc"]
    assert rows.tolist() == [3, 0, 4, 1, 2]
    with pytest.raises(ValueError, match="id 'b' is in row 0 and in row 2"):
        write_ids(tmp_path / "ids", pa.array(["b", "aa", "b"]))
