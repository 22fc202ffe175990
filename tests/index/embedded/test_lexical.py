"""Searches by words in an index that changes, against BM25 worked out item by item."""

from __future__ import annotations

import asyncio
import json
import math
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from artifacts.words import RULES, Tokeniser, tokeniser
from common.deadline import Deadline
from common.progress import silent_stage
from devtools.embeddings import make_embeddings, random_items, unit_vectors
from index.changes import ChangeRefused, ItemPut, ItemUpdate
from index.embedded import lexical
from index.embedded.apply import update_from, upsert_embeddings
from index.embedded.build import build_index
from index.embedded.index import EmbeddedIndex
from index.embedded.manifest import IndexDamaged, read_manifest
from index.embedded.rebuild import rebuild_index
from index.embedded.snapshot import restore_index, snapshot_index
from index.embedded.verify import verify_index
from index.filters import parse_filter
from index.port import IndexUnavailable, Neighbours
from tests.support.reference import accepts

DIM, ROWS = 16, 60
ITEMS = random_items(200, seed=2)
VECTORS = unit_vectors(200, DIM, seed=1)
FIELDS = ("title", "category", "description")
VOCABULARY = (
    "red",
    "running",
    "shoes",
    "iphone",
    "15",
    "pro",
    "500",
    "ml",
    "a4",
    "wh-1000xm4",
    "Größe",
    "the",
)
TOKENISER = Tokeniser("english")
FILTERS: tuple[dict[str, Any], ...] = (
    {},
    {"brand": "acme"},
    {"category": "shoes"},
    {"price": {"lt": 20}},
    {"price": {"gte": 10}},
    {"brand": {"not": "acme"}},
    {"brand": "nobody"},
)


def drawn_texts(rng: np.random.Generator) -> dict[str, str]:
    """A title and perhaps a description, of words from common to rare."""
    weights = 1 / np.arange(1, len(VOCABULARY) + 1)
    words = rng.choice(VOCABULARY, rng.integers(0, 8), p=weights / weights.sum())
    texts = {"title": " ".join(words), "description": "the bag" if rng.random() < 0.3 else ""}
    return {name: text for name, text in texts.items() if text}


_rng = np.random.default_rng(7)
TEXTS = [drawn_texts(_rng) for _ in ITEMS]


def said(row: int) -> dict[str, str]:
    """All texts of a row, its category among them."""
    return {**TEXTS[row], "category": ITEMS[row]["category"]}


def words_of(texts: Mapping[str, str]) -> list[str]:
    return [word for field in FIELDS for word in TOKENISER.words(texts.get(field, ""))]


class Model:
    """What an index should answer: the items there are, scored by the statistics of its base."""

    def __init__(self, items: Mapping[str, dict[str, Any]]) -> None:
        self.items = dict(items)
        self.settle()

    def settle(self) -> None:
        """Take the statistics of now, as a rebuild does."""
        words = [words_of(item["texts"]) for item in self.items.values()]
        self.total = len(words)
        self.mean = sum(map(len, words)) / max(1, len(words))
        self.found = Counter(word for each in words for word in set(each))

    def score(self, query: str, item: Mapping[str, Any]) -> float:
        words = words_of(item["texts"])
        counts, score = Counter(words), 0.0
        for word in dict.fromkeys(TOKENISER.words(query)):
            found = self.found[word]
            idf = math.log(1 + (self.total - found + 0.5) / (found + 0.5))
            count = counts[word]
            score += idf * count * 2.2 / (count + 1.2 * (0.25 + 0.75 * len(words) / (self.mean or 1)))
        return score

    def check(self, found: Neighbours, query: str, k: int, raw: Mapping[str, Any]) -> None:
        """Exactly the best items that the filter accepts, up to float32."""
        scores = {
            name: score
            for name, item in self.items.items()
            if accepts(raw, item) and (score := self.score(query, item)) > 0
        }
        assert len(found.ids) == len(set(found.ids)) == min(k, len(scores))
        assert found.scores.dtype == np.float32
        best = sorted(scores.values(), reverse=True)[:k]
        np.testing.assert_allclose(found.scores, best, rtol=1e-5)
        np.testing.assert_allclose(found.scores, [scores[name] for name in found.ids], rtol=1e-5)
        assert (found.coverage, found.degraded) == (1.0, ())


def deadline() -> Deadline:
    return Deadline.after(60)


def item_of(row: int) -> dict[str, Any]:
    return {**ITEMS[row], "texts": said(row)}


def put_of(name: str, row: int) -> ItemPut:
    item = ITEMS[row]
    attributes = {key: item.get(key) for key in ("brand", "price", "in_stock", "tags")}
    return ItemPut(name, VECTORS[row], None, item["category"], attributes, TEXTS[row])


def search(index: EmbeddedIndex, query: str, k: int = 10, raw: Mapping[str, Any] | None = None) -> Any:
    assert index.lexical is not None
    accepted = parse_filter(raw or {}, index.attributes)
    return index.lexical.search_text([query], k, accepted, deadline())


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Index folders of the first rows: flat, and in lists."""
    folder = tmp_path_factory.mktemp("lexical")
    texts = [said(row) for row in range(ROWS)]
    make_embeddings(
        folder / "e",
        items=ITEMS[:ROWS],
        vectors=VECTORS[:ROWS],
        expert_dim=8,
        texts=texts,
        text_fields=FIELDS,
    )
    build_index(folder / "e", folder / "flat")
    build_index(folder / "e", folder / "lists", cluster_rows=1)
    make_embeddings(folder / "bare", items=ITEMS[:ROWS], vectors=VECTORS[:ROWS], expert_dim=8)
    build_index(folder / "bare", folder / "without")
    return folder


@pytest.fixture(params=["flat", "lists"])
def root(built: Path, request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """An index folder to change."""
    shutil.copytree(built / request.param, tmp_path / "index")
    return tmp_path / "index"


@pytest.fixture(scope="module")
def still(built: Path) -> Iterator[tuple[asyncio.Runner, list[EmbeddedIndex], Model]]:
    """Indexes that nobody changes."""
    with asyncio.Runner() as runner:
        indexes = [EmbeddedIndex.open(built / name) for name in ("flat", "lists")]
        yield runner, indexes, Model({f"item-{row}": item_of(row) for row in range(ROWS)})
        for index in indexes:
            runner.run(index.close())


@given(
    words=st.lists(st.sampled_from([*VOCABULARY, "bag", "boots", "zebra"]), max_size=6),
    k=st.integers(1, ROWS + 5),
    raw=st.sampled_from(FILTERS),
)
def test_the_best_items_by_bm25(
    still: tuple[asyncio.Runner, list[EmbeddedIndex], Model], words: list[str], k: int, raw: dict[str, Any]
) -> None:
    runner, indexes, model = still
    for index in indexes:
        (found,) = runner.run(search(index, " ".join(words), k, raw))
        model.check(found, " ".join(words), k, raw)


async def test_changes_are_in_the_next_answer_of_every_opening_and_survive(root: Path) -> None:
    rng = np.random.default_rng(3)
    openings = [EmbeddedIndex.open(root) for _ in range(2)]
    model = Model({f"item-{row}": item_of(row) for row in range(ROWS)})
    for step in range(40):
        index, other = openings[step % 2], openings[1 - step % 2]
        name, row = f"item-{rng.integers(0, 80)}", int(rng.integers(0, 200))
        kind = step % 4
        if kind < 2:
            await index.upsert([put_of(name, row), put_of(f"{name}b", row)], deadline())
            model.items |= {name: item_of(row), f"{name}b": item_of(row)}
        elif kind == 2:
            await index.remove([name], deadline())
            model.items.pop(name, None)
        else:
            update = ItemUpdate(name, {"price": 1.0}, "Bags", {"description": "a4 paper"})
            await index.update(
                [update, ItemUpdate(name, texts={"title": TEXTS[row].get("title", "")})], deadline()
            )
            if (item := model.items.get(name)) is not None:
                texts = {"title": TEXTS[row].get("title", ""), "description": "a4 paper", "category": "Bags"}
                model.items[name] = {**item, "price": 1.0, "category": "Bags", "texts": texts}
        query = " ".join(rng.choice(VOCABULARY, 3))
        raw = FILTERS[step % len(FILTERS)]
        (found,) = await search(other, query, 12, raw)
        model.check(found, query, 12, raw)
    again = EmbeddedIndex.open(root)
    for raw in FILTERS:
        model.check((await search(again, "red shoes bag", 100, raw))[0], "red shoes bag", 100, raw)
    await again.close()
    # A rebuild changes no item, and its scores are by the statistics of all items that there are now.
    rebuild_index(root)
    model.settle()
    for index in openings:
        for raw in FILTERS:
            model.check((await search(index, "red shoes paper", 100, raw))[0], "red shoes paper", 100, raw)
        await index.close()
    assert verify_index(root) == []


async def test_a_log_that_says_an_item_often_is_read_in_the_time_of_one(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = EmbeddedIndex.open(root)
    for row in range(40):
        await index.upsert([put_of("new", row)], deadline())
    await index.remove(["item-1"], deadline())
    await index.upsert([put_of("item-1", 1)], deadline())
    cut: list[str] = []
    item = Tokeniser.item
    monkeypatch.setattr(
        Tokeniser, "item", lambda self, texts, fields: cut.append("") or item(self, texts, fields)
    )
    again = EmbeddedIndex.open(root)
    assert len(cut) == 2
    assert again._live.state.sequence == index._live.state.sequence
    for query in ("red", "shoes", "iphone 15", "the a4"):
        (live,), (read,) = [await search(each, query, 300, {}) for each in (index, again)]
        assert (live.ids, live.scores.tolist()) == (read.ids, read.scores.tolist())
    await index.close()
    await again.close()


async def test_a_search_on_a_thread_answers_as_on_the_loop(
    built: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = EmbeddedIndex.open(built / "flat")
    here = await search(index, "red shoes", 20, {"price": {"gte": 10}})
    monkeypatch.setattr(lexical, "AT_ONCE", 0)
    there = await asyncio.gather(*(search(index, "red shoes", 20, {"price": {"gte": 10}}) for _ in range(8)))
    for found in there:
        assert found[0].ids == here[0].ids
        assert found[0].scores.tolist() == here[0].scores.tolist()
    await index.close()


async def test_what_cannot_be_searched(built: Path) -> None:
    index = EmbeddedIndex.open(built / "flat")
    held = index.lexical
    assert held is not None
    with pytest.raises(ValueError, match="k is 0"):
        await held.search_text(["red"], 0, None, deadline())
    with pytest.raises(IndexUnavailable, match="timeout"):
        await held.search_text(["red"], 5, None, Deadline.after(-1))
    several = await held.search_text(["red", "", "zebra"], 5, None, deadline())
    assert [len(found.ids) for found in several] == [5, 0, 0]
    many = " ".join(f"w{number}" for number in range(40)) + " red"  # beyond the words that are looked for
    assert (await search(index, many))[0].ids == []
    await index.close()
    with pytest.raises(IndexUnavailable, match="closed"):
        await held.search_text(["red"], 5, None, deadline())


async def test_an_index_without_texts_is_of_the_format_before_and_reads_none(
    built: Path, tmp_path: Path
) -> None:
    root = shutil.copytree(built / "without", tmp_path / "index")
    assert read_manifest(root).format == 2
    assert "texts" not in json.loads((root / "index.json").read_text())
    index = EmbeddedIndex.open(root)
    assert (index.lexical, index.text_fields) == (None, ())
    await index.upsert([put_of("new", 1)], deadline())
    await index.update([ItemUpdate("new", texts={"title": "red"})], deadline())
    await index.close()
    assert rebuild_index(root).format == 2


@pytest.mark.parametrize(
    ("texts", "reason"),
    [
        ({"titel": "red"}, "'titel' is no text field of this index; its fields are title, category"),
        ({"title": 5}, "its text title is no string; got '5'"),
        ({"title": "x" * 20_000}, "its text title has 20000 characters; at most 16384"),
        ({"title": "\ud800"}, "its text title has half a surrogate pair"),
    ],
)
async def test_texts_that_do_not_fit_are_refused(root: Path, texts: dict[str, Any], reason: str) -> None:
    index = EmbeddedIndex.open(root)
    with pytest.raises(ChangeRefused, match=reason):
        await index.upsert([ItemPut("new", VECTORS[0], texts=texts)], deadline())
    with pytest.raises(ChangeRefused, match=reason):
        await index.update([ItemUpdate("item-1", texts=texts)], deadline())
    await index.close()


async def test_a_server_goes_on_where_the_base_that_comes_holds_no_texts(built: Path, tmp_path: Path) -> None:
    root = shutil.copytree(built / "flat", tmp_path / "index")
    index = EmbeddedIndex.open(root)
    build_index(built / "bare", root)
    with pytest.raises(IndexUnavailable, match="no-texts"):
        await search(index, "red")
    assert len((await index.search(VECTORS[:1], 3, None, deadline()))[0].ids) == 3
    build_index(built / "e", root)
    assert (await search(index, "red"))[0].ids
    await index.close()


async def test_a_snapshot_holds_the_words_and_damage_to_them_is_found(root: Path, tmp_path: Path) -> None:
    index = EmbeddedIndex.open(root)
    await index.upsert([put_of("new", 1), ItemPut("other", VECTORS[2], texts={"title": "zebra"})], deadline())
    before = [(await search(index, query, 50))[0].ids for query in ("red shoes", "zebra")]
    await index.close()
    snapshot_index(root, tmp_path / "snapshot")
    restore_index(tmp_path / "snapshot", tmp_path / "restored")
    again = EmbeddedIndex.open(tmp_path / "restored")
    assert [(await search(again, query, 50))[0].ids for query in ("red shoes", "zebra")] == before
    await again.close()
    for name in ("words.arrow", "texts.arrow"):
        (file,) = (tmp_path / "restored").glob(f"base-*/{name}")
        content = bytearray(file.read_bytes())
        content[len(content) // 2] ^= 1
        file.write_bytes(content)
        assert [finding.file.name for finding in verify_index(tmp_path / "restored")] == [name]
        with pytest.raises(IndexDamaged, match=name):
            EmbeddedIndex.open(tmp_path / "restored")
        content[len(content) // 2] ^= 1
        file.write_bytes(content)


def test_words_that_other_rules_cut_are_refused(
    built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = shutil.copytree(built / "flat", tmp_path / "index")
    for name in ("OLDEST_RULES", "RULES"):
        monkeypatch.setattr(f"index.embedded.segment_words.{name}", RULES + 1)
    with pytest.raises(
        IndexDamaged, match=f"rules {RULES}, this version cuts by {RULES + 1}: build the index again"
    ):
        EmbeddedIndex.open(root)


async def test_words_that_the_rules_before_cut_are_searched_by_them_until_a_rebuild(
    built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "index"
    with monkeypatch.context() as patch:
        patch.setattr("index.embedded.build.RULES", 1)
        patch.setattr("index.embedded.base.RULES", 1)
        patch.setattr("index.embedded.base.tokeniser", partial(tokeniser, rules=1))
        build_index(built / "e", root)
    index = EmbeddedIndex.open(root)
    await index.upsert([ItemPut("new", VECTORS[0], texts={"title": '19" zebra'})], deadline())
    for rules, found in ((1, []), (2, ["new"])):
        texts = read_manifest(root).texts
        assert texts is not None
        assert texts.rules == rules
        assert (await search(index, "zebra"))[0].ids == ["new"]
        assert (await search(index, "19 inch"))[0].ids == found
        await index.rebuild()
    await index.close()


def test_the_same_embeddings_give_the_same_bytes(built: Path, tmp_path: Path) -> None:
    assert build_index(built / "e", tmp_path / "again") == read_manifest(built / "flat")


async def test_files_of_changes_bring_texts(built: Path, tmp_path: Path) -> None:
    root = shutil.copytree(built / "flat", tmp_path / "index")
    texts: Sequence[dict[str, str]] = [{"title": "zebra crossing"}, {"title": "quagga"}]
    items = [{"id": "z1", "category": "Bags"}, {"id": "z2", "category": ""}]
    make_embeddings(tmp_path / "new", items=items, vectors=VECTORS[:2], expert_dim=8, texts=texts)
    await upsert_embeddings(root, tmp_path / "new", silent_stage)
    (tmp_path / "changes.jsonl").write_text('{"id": "z2", "texts": {"title": "quagga and zebra"}}\n')
    await update_from(root, tmp_path / "changes.jsonl", silent_stage)
    index = EmbeddedIndex.open(root)
    assert set((await search(index, "zebra"))[0].ids) == {"z1", "z2"}
    await index.close()
    # A folder without texts puts items that words do not find.
    make_embeddings(tmp_path / "bare", items=items[:1], vectors=VECTORS[:1], expert_dim=8)
    await upsert_embeddings(root, tmp_path / "bare", silent_stage)
    index = EmbeddedIndex.open(root)
    assert (await search(index, "zebra"))[0].ids == ["z2"]
    assert "z1" in (await search(index, "bags", 100))[0].ids
    await index.close()
