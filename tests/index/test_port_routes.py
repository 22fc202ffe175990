"""What every search by words, pictures and popularity does, whatever the engine; see ``adapters.py``."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from artifacts.popularity import POPULARITY
from artifacts.words import Tokeniser
from common.deadline import Deadline
from devtools.embeddings import ATTRIBUTES, random_items, unit_vectors
from index.embedded.index import EmbeddedIndex
from index.filters import parse_filter
from index.port import (
    IndexUnavailable,
    ItemIndex,
    ItemTitles,
    LexicalIndex,
    Neighbours,
    PhotoIndex,
    RankedIndex,
)
from index.vespa.client import VespaIndex
from tests.index.adapters import ADAPTERS, Adapter, Catalogue
from tests.support.reference import accepts, raw_filters

DIM, PICTURE, ROWS = 16, 8, 300
WORDS = (
    "red",
    "running",
    "shoes",
    "iphone 15 pro",
    "500 ml",
    "a4",
    "WH-1000XM4",
    "Größe",
    "运动鞋",
    "the",
    "15",
)
TOKENISER = Tokeniser("english")
DEADLINE_S = 60


def _texts(rng: np.random.Generator) -> dict[str, str]:
    """Titles of words from common to rare; one in ten items has none."""
    weights = 1 / np.arange(1, len(WORDS) + 1)
    return {"title": " ".join(rng.choice(WORDS, rng.integers(1, 7), p=weights / weights.sum())).title()}


def _catalogue() -> Catalogue:
    items, rng = random_items(ROWS, seed=5), np.random.default_rng(8)
    texts = [{} if rng.random() < 0.1 else _texts(rng) for _ in items]
    said = [{**text, "category": item["category"]} for text, item in zip(texts, items, strict=True)]
    # One item in six has none, one in four nobody bought, and some are as popular as others.
    items = [
        {**item, POPULARITY: None if row % 6 == 5 else float(rng.integers(0, 4) and rng.integers(1, 900) / 8)}
        for row, item in enumerate(items)
    ]
    pictures = unit_vectors(ROWS, PICTURE, seed=7)
    pictures[::5] = 0
    pictures[101:104] = pictures[101]  # the same photo three times
    attributes = {**ATTRIBUTES, POPULARITY: "number"}
    return Catalogue(items, unit_vectors(ROWS, DIM, seed=6), attributes, "contract-89abcdef", said, pictures)


CATALOGUE = _catalogue()
ITEM_WORDS = {
    str(item["id"]): TOKENISER.item(texts, ("title", "category"))
    for item, texts in zip(CATALOGUE.items, CATALOGUE.texts or (), strict=True)
}
ITEMS = {str(item["id"]): item for item in CATALOGUE.items}
assert CATALOGUE.pictures is not None
PICTURES = {
    str(item["id"]): picture
    for item, picture in zip(CATALOGUE.items, CATALOGUE.pictures, strict=True)
    if picture.any()
}
PHOTOS = unit_vectors(4, PICTURE, seed=9)


@dataclass
class Running:
    """An index and the event loop it lives on."""

    engine: Adapter
    runner: asyncio.Runner
    index: ItemIndex

    @property
    def lexical(self) -> LexicalIndex:
        if isinstance(self.index, EmbeddedIndex):
            assert self.index.lexical is not None
            return self.index.lexical
        assert isinstance(self.index, VespaIndex)
        return self.index

    def search(self, texts: Sequence[str], k: int, raw: Mapping[str, Any] | None = None) -> list[Neighbours]:
        parsed = parse_filter(raw or {}, self.index.attributes)
        return self.runner.run(self.lexical.search_text(texts, k, parsed, Deadline.after(DEADLINE_S)))

    def check(self, text: str, k: int, raw: Mapping[str, Any]) -> None:
        """Every accepted item with one of the words, or the best ``k`` of them; each with a score."""
        wanted = set(TOKENISER.words(text))
        matching = {
            str(item["id"])
            for item in CATALOGUE.items
            if accepts(raw, item) and wanted & set(ITEM_WORDS[str(item["id"])])
        }
        (found,) = self.search([text], k, raw)
        assert len(found.ids) == len(set(found.ids)) == len(found.scores) == min(k, len(matching))
        assert set(found.ids) <= matching
        assert found.scores.dtype == np.float32
        assert (found.scores > 0).all()
        assert (np.diff(found.scores) <= 0).all()
        assert (found.coverage, found.degraded) == (1.0, ())

    def photos(self, photos: np.ndarray, k: int, raw: Mapping[str, Any]) -> list[Neighbours]:
        parsed = parse_filter(raw, self.index.attributes)
        index = cast("PhotoIndex", self.index)
        return self.runner.run(index.search_pictures(photos, k, parsed, Deadline.after(DEADLINE_S)))

    def check_photo(self, photo: np.ndarray, k: int, raw: Mapping[str, Any]) -> None:
        """Exactly the ``k`` nearest of the pictures of accepted items."""
        cosines = {
            item_id: float(picture @ photo)
            for item_id, picture in PICTURES.items()
            if accepts(raw, ITEMS[item_id])
        }
        (found,) = self.photos(photo[None], k, raw)
        self._check_best(found, cosines, k, self.engine.tolerance)

    def check_popular(self, k: int, raw: Mapping[str, Any]) -> None:
        """Exactly ``k`` of the most popular of the accepted items."""
        index = cast("RankedIndex", self.index)
        parsed = parse_filter(raw, self.index.attributes)
        found = self.runner.run(index.top(POPULARITY, k, parsed, Deadline.after(DEADLINE_S)))
        popularity = {
            item_id: item[POPULARITY]
            for item_id, item in ITEMS.items()
            if item[POPULARITY] is not None and accepts(raw, item)
        }
        self._check_best(found, popularity, k, 0.0)

    def _check_best(self, found: Neighbours, scores: Mapping[str, float], k: int, tolerance: float) -> None:
        best = sorted(scores.values(), reverse=True)[:k]
        assert len(found.ids) == len(set(found.ids)) == len(found.scores) == len(best)
        assert set(found.ids) <= scores.keys()
        assert (np.diff(found.scores) <= 0).all()
        np.testing.assert_allclose(found.scores, best, atol=tolerance, rtol=0)
        own = [scores[item_id] for item_id in found.ids]
        np.testing.assert_allclose(found.scores, own, atol=tolerance, rtol=0)
        assert (found.coverage, found.degraded) == (1.0, ())


@pytest.fixture(scope="module", params=ADAPTERS, ids=lambda engine: engine.name)
def running(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    engine: Adapter = request.param
    with engine.up(tmp_path_factory.mktemp(engine.name)) as starter, asyncio.Runner() as runner:
        index = runner.run(starter.start(CATALOGUE))
        yield Running(engine, runner, index)
        runner.run(index.close())


@pytest.mark.parametrize(
    "text",
    [*WORDS, "red shoes", "IPHONE 15", "500ml", "wh1000xm4", "grosse", "groesse", "the red a4", "bags"],
)
def test_items_with_one_of_the_words_are_found(running: Running, text: str) -> None:
    for k in (1, 10, ROWS + 1):
        running.check(text, k, {})


@settings(max_examples=40)
@given(
    words=st.lists(st.sampled_from(WORDS), min_size=1, max_size=4), k=st.integers(1, ROWS), raw=raw_filters
)
def test_filters_are_exact(running: Running, words: list[str], k: int, raw: dict[str, Any]) -> None:
    running.check(" ".join(words), k, raw)


def test_rare_words_and_short_titles_weigh_more(running: Running) -> None:
    (found,) = running.search(["red wh1000xm4"], ROWS)
    has = np.array(["wh1000xm4" in ITEM_WORDS[item_id] for item_id in found.ids])
    ranks = np.arange(len(has))
    assert has[0]
    assert ranks[has].mean() < ranks[~has].mean() / 2


@pytest.mark.parametrize(
    "text", ["", "—", "nosuchword", '" or true or "', "'", "\\", "\x00", "userQuery()", "@x", "{}"]
)
def test_a_text_without_a_known_word_finds_nothing(running: Running, text: str) -> None:
    (found,) = running.search([text], ROWS)
    assert found.ids == []
    assert (found.coverage, found.scores.shape) == (1.0, (0,))


@settings(max_examples=30)
@given(text=st.text(max_size=60))
def test_any_text_is_only_words(running: Running, text: str) -> None:
    running.check(text, ROWS, {})


def test_titles_are_as_the_shop_wrote_them(running: Running) -> None:
    if isinstance(running.index, VespaIndex):
        pytest.skip("its version keeps titles only where that is said")
    index = cast("ItemTitles", running.index)
    asked = [str(item["id"]) for item in CATALOGUE.items]
    found = running.runner.run(index.titles(["nothing", *asked, "a\0b"], Deadline.after(DEADLINE_S)))
    texts = zip(asked, CATALOGUE.texts or (), strict=True)
    assert found == {item_id: said["title"] for item_id, said in texts if said.get("title")}
    assert running.runner.run(index.titles([], Deadline.after(DEADLINE_S))) == {}


def test_several_texts_a_call_are_as_one_by_one(running: Running) -> None:
    texts = ["red shoes", "", "a4 the", "500 ml"]
    for text, found in zip(texts, running.search(texts, 20), strict=True):
        (alone,) = running.search([text], 20)
        assert found.ids == alone.ids
        np.testing.assert_array_equal(found.scores, alone.scores)
    assert running.search([], 20) == []


def test_a_deadline_that_has_passed(running: Running) -> None:
    with pytest.raises(IndexUnavailable, match="timeout"):
        running.runner.run(running.lexical.search_text(["red"], 5, None, Deadline(time.monotonic() - 1)))
    running.check("red", 5, {})


@pytest.mark.parametrize("k", [1, 10, 239, 240, ROWS + 1])
def test_the_nearest_pictures_or_all_there_are(running: Running, k: int) -> None:
    assert cast("PhotoIndex", running.index).picture_dim == PICTURE
    for photo in PHOTOS:
        running.check_photo(photo, k, {})


def test_an_item_s_own_photo_finds_it_and_those_with_the_same(running: Running) -> None:
    ids = [item_id for item_id in PICTURES if item_id not in ("item-101", "item-102", "item-103")]
    for item_id, found in zip(ids, running.photos(np.stack([PICTURES[i] for i in ids]), 1, {}), strict=True):
        assert found.ids == [item_id]
    (found,) = running.photos(PICTURES["item-101"][None], 3, {})
    assert set(found.ids) == {"item-101", "item-102", "item-103"}


@settings(max_examples=20)
@given(photo=st.sampled_from(range(len(PHOTOS))), k=st.integers(1, ROWS), raw=raw_filters)
def test_filters_of_pictures_are_exact(running: Running, photo: int, k: int, raw: dict[str, Any]) -> None:
    running.check_photo(PHOTOS[photo], k, raw)


def test_several_pictures_a_call_are_as_one_by_one(running: Running) -> None:
    for photo, found in zip(PHOTOS, running.photos(PHOTOS, 20, {}), strict=True):
        (alone,) = running.photos(photo[None], 20, {})
        assert found.ids == alone.ids
        np.testing.assert_array_equal(found.scores, alone.scores)
    assert running.photos(np.empty((0, PICTURE), np.float32), 20, {}) == []


@pytest.mark.parametrize("k", [1, 10, 250, ROWS + 1])
def test_the_most_popular_or_all_that_say_so(running: Running, k: int) -> None:
    running.check_popular(k, {})


@settings(max_examples=20)
@given(k=st.integers(1, ROWS), raw=raw_filters)
def test_filters_of_what_is_popular_are_exact(running: Running, k: int, raw: dict[str, Any]) -> None:
    running.check_popular(k, raw)


def test_pictures_and_popularity_keep_the_deadline(running: Running) -> None:
    past = Deadline(time.monotonic() - 1)
    index = cast("Any", running.index)
    with pytest.raises(IndexUnavailable, match="timeout"):
        running.runner.run(index.search_pictures(PHOTOS, 5, None, past))
    with pytest.raises(IndexUnavailable, match="timeout"):
        running.runner.run(index.top(POPULARITY, 5, None, past))
    running.check_popular(5, {})
