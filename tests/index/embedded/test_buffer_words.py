"""Words of changes: counted once, without the lock that searches wait for, by the base that is there."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from artifacts.words import Tokeniser
from common.deadline import Deadline
from devtools.embeddings import make_embeddings, random_items, unit_vectors
from index.changes import ChangeRefused, ItemPut, ItemUpdate
from index.embedded.build import build_index
from index.embedded.index import EmbeddedIndex
from index.embedded.words import WordTable

DIM, ROWS = 16, 20
ITEMS = random_items(ROWS, seed=2)
VECTORS = unit_vectors(ROWS, DIM, seed=1)
TEXTS = [{"title": f"shoe w{row}", "description": "red bag", "subtitle": "warm"} for row in range(ROWS)]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Embeddings of the same items, which read different texts."""
    folder = tmp_path_factory.mktemp("buffer-words")
    made: dict[str, Any] = {"items": ITEMS, "vectors": VECTORS, "expert_dim": 8}
    for name, fields in (("title", ("title",)), ("more", ("title", "description", "subtitle"))):
        make_embeddings(folder / name, texts=TEXTS, text_fields=fields, **made)
    make_embeddings(folder / "none", **made)
    return folder


@pytest.fixture
def root(folders: Path, tmp_path: Path) -> Path:
    build_index(folders / "title", tmp_path / "index")
    return tmp_path / "index"


def deadline() -> Deadline:
    return Deadline.after(60)


def put(name: str, **texts: str) -> ItemPut:
    return ItemPut(name, VECTORS[0], None, "", {"price": 1.0}, texts)


async def found(index: EmbeddedIndex, query: str) -> set[str]:
    assert index.lexical is not None
    return set((await index.lexical.search_text([query], 50, None, deadline()))[0].ids)


class Cuts:
    """Counts how often items are cut and words are looked up, and how often with the lock held."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.locks: list[threading.Lock] = []
        self.items = self.held = 0
        self.looked_up: Counter[str] = Counter()
        cut, look = Tokeniser.item, WordTable.found

        def item(of: Tokeniser, texts: Mapping[str, str], fields: Any) -> list[str]:
            self.items += 1
            self.held += any(lock.locked() for lock in self.locks)
            return cut(of, texts, fields)

        def looked_up(of: WordTable, word: str) -> int:
            self.looked_up[word] += 1
            self.held += any(lock.locked() for lock in self.locks)
            return look(of, word)

        monkeypatch.setattr(Tokeniser, "item", item)
        monkeypatch.setattr(WordTable, "found", looked_up)


class CountedLock:
    """A lock that counts how often it is taken."""

    def __init__(self) -> None:
        self.taken, self._lock = 0, threading.Lock()
        self.locked = self._lock.locked

    def __enter__(self) -> None:
        self._lock.acquire()
        self.taken += 1

    def __exit__(self, *_: object) -> None:
        self._lock.release()


async def test_words_are_counted_without_the_lock_which_is_held_a_change_at_a_time(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cuts = Cuts(monkeypatch)
    indexes = [EmbeddedIndex.open(root) for _ in range(2)]
    locks = [CountedLock() for _ in indexes]
    for index, lock in zip(indexes, locks, strict=True):
        index._live.lock = lock  # type: ignore[assignment]
        cuts.locks.append(lock)  # type: ignore[arg-type]
    await indexes[0].upsert([put(f"new-{n}", title=f"zebra w{n} w{n + 1}") for n in range(10)], deadline())
    assert await found(indexes[1], "zebra") == {f"new-{n}" for n in range(10)}
    assert (cuts.items, cuts.held) == (20, 0)
    assert all(lock.taken >= 10 for lock in locks)
    # Each word was looked up once in each opening, however many items have it.
    assert cuts.looked_up["zebra"] == cuts.looked_up["w5"] == 2
    for index in indexes:
        await index.close()


async def test_a_change_of_a_price_cuts_no_words(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    index = EmbeddedIndex.open(root)
    await index.upsert([put("a", title="zebra"), put("b", title="zebra quagga")], deadline())
    cuts = Cuts(monkeypatch)
    for price in range(5):
        await index.update([ItemUpdate("a", {"price": float(price)})], deadline())
    await index.upsert([put("b", title="zebra quagga")], deadline())
    assert (cuts.items, cuts.looked_up) == (0, Counter())
    assert await found(index, "zebra") == {"a", "b"}
    await index.update([ItemUpdate("b", texts={"title": "gnu"})], deadline())
    assert cuts.items == 1
    assert [await found(index, query) for query in ("zebra", "quagga", "gnu")] == [{"a"}, set(), {"b"}]
    words = index._live.state.buffer.words
    assert words is not None
    assert len(words._postings["zebra"][0]) == 2  # of the two texts there were, not of nine rows
    again = EmbeddedIndex.open(root)
    assert [await found(again, query) for query in ("zebra", "quagga", "gnu")] == [{"a"}, set(), {"b"}]
    for each in (index, again):
        await each.close()


@pytest.fixture
def held_cut(
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[tuple[threading.Event, threading.Event, list[bool]]]:
    """Cutting an item's words says that it begins, and waits until it is let go on."""
    begun, go_on, let = threading.Event(), threading.Event(), list[bool]()
    cut = Tokeniser.item

    def item(of: Tokeniser, texts: Mapping[str, str], fields: Any) -> list[str]:
        if "slow" in texts.get("title", ""):
            begun.set()
            let.append(go_on.wait(5))
        return cut(of, texts, fields)

    monkeypatch.setattr(Tokeniser, "item", item)
    yield begun, go_on, let
    go_on.set()


async def test_searches_on_the_event_loop_go_on_while_words_are_cut(
    root: Path, held_cut: tuple[threading.Event, threading.Event, list[bool]]
) -> None:
    begun, go_on, let = held_cut
    index = EmbeddedIndex.open(root)
    await index.upsert([put("a", title="zebra")], deadline())
    change = asyncio.create_task(index.upsert([put("b", title="slow zebra")], deadline()))
    await asyncio.to_thread(begun.wait, 5)
    assert await found(index, "zebra") == {"a"}
    assert len((await index.search(VECTORS[:1], 3, None, deadline()))[0].ids) == 3
    go_on.set()
    await change
    assert let == [True], "a search waited for the words"
    assert await found(index, "zebra") == {"a", "b"}
    await index.close()


async def test_an_answer_waits_for_changes_that_another_opening_acknowledged(
    root: Path, held_cut: tuple[threading.Event, threading.Event, list[bool]]
) -> None:
    begun, go_on, _ = held_cut
    index, other = EmbeddedIndex.open(root), EmbeddedIndex.open(root)
    go_on.set()
    await index.upsert([put("a", title="slow zebra")], deadline())
    go_on.clear()
    begun.clear()
    first = asyncio.create_task(found(other, "zebra"))
    await asyncio.to_thread(begun.wait, 5)
    assert other._live.behind
    assert other.revision is None
    second = asyncio.create_task(found(other, "zebra"))
    await asyncio.sleep(0)
    go_on.set()
    assert await first == await second == {"a"}
    for each in (index, other):
        await each.close()


@pytest.mark.parametrize("before", ["title", "none"])
async def test_puts_are_read_by_the_texts_of_the_base_that_came(
    folders: Path, tmp_path: Path, before: str
) -> None:
    root = tmp_path / "index"
    build_index(folders / before, root)
    index = EmbeddedIndex.open(root)
    assert (index.lexical is None) == (before == "none")
    if before == "title":
        with pytest.raises(ChangeRefused, match="subtitle"):
            await index.upsert([put("a", title="zebra", subtitle="warm")], deadline())
    build_index(folders / "more", root)
    # Nothing was searched since, so the change itself is the first to hear of the base.
    await index.upsert([put("a", title="zebra", subtitle="gnu", description="quagga")], deadline())
    await index.update([ItemUpdate("item-1", texts={"description": "okapi"})], deadline())
    assert index.text_fields == ("title", "description", "subtitle")
    for opened in (index, EmbeddedIndex.open(root)):
        answers = [await found(opened, query) for query in ("zebra", "gnu", "quagga", "okapi")]
        assert answers == [{"a"}, {"a"}, {"a"}, {"item-1"}]
        await opened.close()


async def test_a_base_that_comes_between_check_and_write(folders: Path, root: Path) -> None:
    index = EmbeddedIndex.open(root)
    go_on = threading.Event()
    index._writer._thread.submit(go_on.wait, 10)
    calls = [
        asyncio.create_task(index.upsert([put("a", title="zebra", description="quagga")], deadline())),
        asyncio.create_task(index.update([ItemUpdate("item-1", texts={"description": "okapi"})], deadline())),
    ]
    await asyncio.sleep(0.01)
    build_index(folders / "more", root)
    go_on.set()
    await asyncio.gather(*calls)
    assert [await found(index, query) for query in ("zebra", "quagga", "okapi")] == [{"a"}, {"a"}, {"item-1"}]
    await index.close()
