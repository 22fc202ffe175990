"""What every `ItemIndex` does, whatever the engine. Their adapters are listed in ``adapters.py``."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.deadline import Deadline
from devtools.embeddings import ATTRIBUTES, random_items, unit_vectors
from index.filters import fold, parse_filter
from index.port import IndexUnavailable, ItemIndex, ItemValues, Neighbours, StoredValues
from tests.index.adapters import ADAPTERS, Adapter, Catalogue, Starter
from tests.support.reference import accepts, raw_filters

DIM = 128
ODD_IDS = (
    "ä",
    "商品-１",
    "🧦" * 128,
    "x" * 128,
    "a b/c?d=e&f#g",
    "100%41",
    "quote\"'\\",
    "id:items:items::1",
    "SKU-1",
    "sku-1",
    " padded ",
)
ODD_BRANDS = ("\ue000", "\ufffd", "\ue001", "a\x07", "a\ufffd", "")
QUERIES = unit_vectors(8, DIM, seed=77)


def _catalogue() -> Catalogue:
    items = random_items(300, seed=5)
    for item, odd in zip(items[100:], ODD_IDS, strict=False):
        item["id"] = odd
    # Rows at the edges of what an attribute may be.
    items[0] |= {"category": "", "brand": None, "price": None, "in_stock": None, "tags": None}
    items[1] |= {"category": "Shoes > Running", "brand": "STRASSE", "price": 0.0, "tags": []}
    items[2] |= {"price": -0.5, "tags": ["red", "Red", "RED"]}
    items[3] |= {"price": 1e12 + 0.5}
    # Strings that an engine may hold in another form; each is another one.
    for row, brand in enumerate(ODD_BRANDS, start=4):
        items[row] |= {"brand": brand, "tags": [brand, "red"]}
    vectors = unit_vectors(len(items), DIM, seed=6)
    vectors[200:210] = vectors[200]  # the same product ten times
    return Catalogue(items, vectors, ATTRIBUTES, "contract-0123abcd")


CATALOGUE = _catalogue()
ROW = {str(item["id"]): row for row, item in enumerate(CATALOGUE.items)}


@dataclass
class Running:
    """An index and the event loop it lives on."""

    engine: Adapter
    starter: Starter
    runner: asyncio.Runner
    index: ItemIndex

    def search(self, vectors: np.ndarray, k: int, raw: Mapping[str, Any] | None = None) -> list[Neighbours]:
        parsed = parse_filter(raw or {}, self.index.attributes)
        return self.runner.run(self.index.search(vectors, k, parsed, Deadline.after(60)))

    def check(self, query: np.ndarray, found: Neighbours, k: int, raw: Mapping[str, Any]) -> None:
        """Exactly the k best of the rows that the filter accepts, up to the engine's precision."""
        cosines = CATALOGUE.vectors @ query
        accepted = [row for row, item in enumerate(CATALOGUE.items) if accepts(raw, item)]
        best = np.sort(cosines[accepted])[::-1][:k]
        rows = [ROW[item_id] for item_id in found.ids]
        assert found.scores.dtype == np.float32
        assert len(rows) == len(set(rows)) == len(found.scores) == len(best)
        assert set(rows) <= set(accepted)
        assert (np.diff(found.scores) <= 0).all()
        tolerance = self.engine.tolerance
        np.testing.assert_allclose(found.scores, cosines[rows], atol=tolerance, rtol=0)
        np.testing.assert_allclose(found.scores, best, atol=tolerance, rtol=0)
        assert found.coverage == 1.0
        assert found.degraded == ()


@pytest.fixture(scope="module", params=ADAPTERS, ids=lambda engine: engine.name)
def running(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    engine: Adapter = request.param
    with engine.up(tmp_path_factory.mktemp(engine.name)) as starter, asyncio.Runner() as runner:
        index = runner.run(starter.start(CATALOGUE))
        yield Running(engine, starter, runner, index)
        runner.run(index.close())


@pytest.mark.parametrize("k", [1, 10, 299, 300, 301, 10_000])
def test_the_k_nearest_or_all_there_are(running: Running, k: int) -> None:
    for query, found in zip(QUERIES, running.search(QUERIES, k), strict=True):
        running.check(query, found, k, {})


def test_several_vectors_a_call_are_as_one_by_one(running: Running) -> None:
    together = running.search(QUERIES, 20)
    for query, found in zip(QUERIES, together, strict=True):
        alone = running.search(query[None, :], 20)[0]
        assert found.ids == alone.ids
        np.testing.assert_array_equal(found.scores, alone.scores)


def test_no_vectors_are_no_answers(running: Running) -> None:
    assert running.search(np.empty((0, DIM), dtype=np.float32), 10) == []


def test_an_item_is_nearest_to_itself(running: Running) -> None:
    found = running.search(CATALOGUE.vectors[:20], 1)
    assert [each.ids for each in found] == [[str(item["id"])] for item in CATALOGUE.items[:20]]
    assert all(abs(float(each.scores[0]) - 1) <= running.engine.tolerance for each in found)


def test_duplicates_are_all_found(running: Running) -> None:
    (found,) = running.search(CATALOGUE.vectors[200:201], 10)
    assert set(found.ids) == {str(item["id"]) for item in CATALOGUE.items[200:210]}


FILTERS: dict[str, dict[str, Any]] = {
    "string": {"brand": "ACME"},
    "string, any of": {"brand": ["éclair", "STRASSE"]},
    "string, not": {"brand": {"not": "acme"}},
    "string, none of": {"brand": {"not": ["acme", "zebra"]}},
    "string, nothing has it": {"brand": "acme2"},
    "string, not what nothing has": {"brand": {"not": "acme2"}},
    "string with a space": {"brand": "blauer bär"},
    "number": {"price": 0},
    "number, any of": {"price": [0, -0.5, 1e12 + 0.5]},
    "number, not": {"price": {"not": 0}},
    "number, from": {"price": {"gte": 50}},
    "number, above": {"price": {"gt": 50}},
    "number, to": {"price": {"lte": 50}},
    "number, below": {"price": {"lt": 50}},
    "number, within": {"price": {"gt": 10, "lte": 20.5}},
    "number, one bound from each pair": {"price": {"gt": 10, "gte": 30, "lt": 80, "lte": 60}},
    "number, outside": {"price": {"not": {"gte": 10, "lt": 90}}},
    "number, an empty range": {"price": {"gt": 20, "lt": 10}},
    "number, below zero": {"price": {"lt": 0}},
    "number, large": {"price": {"gt": 1e12}},
    "bool, true": {"in_stock": True},
    "bool, false": {"in_stock": False},
    "bool, both": {"in_stock": [True, False]},
    "bool, not": {"in_stock": {"not": True}},
    "list": {"tags": "red"},
    "list, any of": {"tags": ["BLUE", "new in"]},
    "list, not": {"tags": {"not": "sale"}},
    "list, none of": {"tags": {"not": ["red", "blue"]}},
    "category": {"category": "shoes"},
    "category, deeper": {"category": ["SHOES > running"]},
    "category, leaf": {"category": "Shoes > Running > Trail"},
    "category, no prefix": {"category": "shoes > run"},
    "category, no level of its own": {"category": "running"},
    "category, any of": {"category": ["bags", "shoes > boots"]},
    "category, not": {"category": {"not": "shoes"}},
    "all must hold": {"category": "shoes", "price": {"lt": 80}, "in_stock": True, "brand": {"not": "acme"}},
}


@pytest.mark.parametrize("raw", FILTERS.values(), ids=FILTERS)
@pytest.mark.parametrize("k", [5, 300])
def test_filters(running: Running, raw: dict[str, Any], k: int) -> None:
    (found,) = running.search(QUERIES[:1], k, raw)
    running.check(QUERIES[0], found, k, raw)


@given(raw=raw_filters, k=st.integers(1, 320), query=st.sampled_from(range(len(QUERIES))))
def test_any_filter_against_the_reference(running: Running, raw: dict[str, Any], k: int, query: int) -> None:
    (found,) = running.search(QUERIES[query : query + 1], k, raw)
    running.check(QUERIES[query], found, k, raw)


def test_many_values(running: Running) -> None:
    # As many as a request may have.
    raw = {"price": [n / 2 for n in range(500)], "brand": [f"brand {n}" for n in range(499)] + ["acme"]}
    (found,) = running.search(QUERIES[:1], 300, raw)
    running.check(QUERIES[0], found, 300, raw)


def test_values_that_mean_something_to_a_query_language_are_only_values(running: Running) -> None:
    for value in ('" or true or brand contains "', "\\", "';--", "*", "a\nb", "\x00", "userQuery()", "@x"):
        raw = {"brand": value}
        (found,) = running.search(QUERIES[:1], 300, raw)
        assert found.ids == []


@pytest.mark.parametrize("brand", ODD_BRANDS, ids=ascii)
def test_odd_strings_are_found_alone(running: Running, brand: str) -> None:
    for raw in ({"brand": brand}, {"tags": [brand]}, {"brand": {"not": brand}}):
        (found,) = running.search(QUERIES[:1], 300, raw)
        running.check(QUERIES[0], found, 300, raw)
    (found,) = running.search(QUERIES[:1], 300, {"brand": brand})
    assert len(found.ids) == 1


def test_what_can_be_filtered_by(running: Running) -> None:
    assert dict(running.index.attributes) == {**ATTRIBUTES, "category": "list"}


def test_vectors_in_the_order_asked_without_the_unknown(running: Running) -> None:
    asked = ["item-9", "nope", "item-2", *ODD_IDS, "item-00", ""]
    known = ["item-9", "item-2", *ODD_IDS]
    stored = running.runner.run(running.index.vectors(asked, Deadline.after(60)))
    assert stored.ids == known
    assert stored.vectors.dtype == np.float32
    expected = CATALOGUE.vectors[[ROW[item_id] for item_id in known]]
    np.testing.assert_allclose(stored.vectors, expected, atol=running.engine.tolerance, rtol=0)


def test_vectors_of_none(running: Running) -> None:
    for asked in ([], ["nope"], ["SKU-2"]):
        stored = running.runner.run(running.index.vectors(asked, Deadline.after(60)))
        assert stored.ids == []
        assert stored.vectors.shape == (0, DIM)


def _values(running: Running, asked: list[str], names: list[str]) -> StoredValues:
    index = cast("ItemValues", running.index)
    return running.runner.run(index.values(asked, names, Deadline.after(60)))


def test_values_are_those_that_filters_see(running: Running) -> None:
    names = ["brand", "price", "in_stock", "tags", "category"]
    ids = [str(item["id"]) for item in CATALOGUE.items][::-1]
    found = _values(running, ids, names)
    assert found.ids == ids
    assert (found.coverage, found.degraded) == (1.0, ())
    for row, item_id in enumerate(ids):
        item = CATALOGUE.items[ROW[item_id]]
        brand, tags, category = item.get("brand"), item.get("tags"), item.get("category")
        expected = {
            "brand": None if brand is None else fold(brand),
            "price": item.get("price"),
            "in_stock": item.get("in_stock"),
            "tags": sorted({fold(tag) for tag in tags}) if tags else None,
            "category": fold(category) if category else None,
        }
        assert {name: found.values[name][row] for name in names} == expected, item_id


def test_values_of_some_in_the_order_asked_without_the_unknown(running: Running) -> None:
    asked = ["item-9", "nope", *ODD_IDS, "item-2"]
    found = _values(running, asked, ["price"])
    assert found.ids == ["item-9", *ODD_IDS, "item-2"]
    assert list(found.values) == ["price"]
    assert _values(running, ["item-2", "nope"], []).ids == ["item-2"]
    assert _values(running, ["nope"], ["brand"]).ids == []
    assert _values(running, [], ["brand"]).values == {"brand": []}


def test_a_deadline_that_has_passed(running: Running) -> None:
    past = Deadline(time.monotonic() - 1)
    with pytest.raises(IndexUnavailable, match="timeout"):
        running.runner.run(running.index.search(QUERIES, 10, None, past))
    with pytest.raises(IndexUnavailable, match="timeout"):
        running.runner.run(running.index.vectors(["item-1"], past))
    running.search(QUERIES, 10)


def test_searches_side_by_side_answer_as_alone(running: Running) -> None:
    raws: list[dict[str, Any]] = [{}, {"brand": "acme"}, {"price": {"lt": 20}}, {"tags": {"not": "red"}}]
    parsed = [parse_filter(raw, running.index.attributes) for raw in raws]
    alone = [running.search(QUERIES, 25, raw) for raw in raws]

    async def together() -> list[list[Neighbours]]:
        calls = [running.index.search(QUERIES, 25, each, Deadline.after(60)) for each in parsed * 8]
        return await asyncio.gather(*calls)

    for number, found in enumerate(running.runner.run(together())):
        expected = alone[number % len(raws)]
        assert [each.ids for each in found] == [each.ids for each in expected]


def test_a_search_given_up_harms_no_other(running: Running) -> None:
    async def some_cancelled() -> list[list[Neighbours] | BaseException]:
        tasks = [
            asyncio.ensure_future(running.index.search(QUERIES, 25, None, Deadline.after(60)))
            for _ in range(20)
        ]
        await asyncio.sleep(0)
        for task in tasks[::2]:
            task.cancel()
        return await asyncio.gather(*tasks, return_exceptions=True)

    results = running.runner.run(some_cancelled())
    for kept in results[1::2]:
        assert not isinstance(kept, BaseException)
        assert len(kept) == len(QUERIES)
    assert all(isinstance(each, asyncio.CancelledError | list) for each in results[::2])
    running.check(QUERIES[0], running.search(QUERIES, 10)[0], 10, {})


def test_what_it_says_of_itself(running: Running) -> None:
    stats = running.runner.run(running.index.stats())
    assert stats.items == len(CATALOGUE.items)
    assert stats.engine == running.engine.name.partition("-")[0]
    assert stats.kind
    assert running.index.version
    assert running.index.bundle_version == CATALOGUE.bundle_version


def test_after_close_there_is_no_answer_and_others_go_on(running: Running) -> None:
    async def closed() -> ItemIndex:
        index = await running.starter.start(CATALOGUE)
        assert index.version == running.index.version
        await index.search(QUERIES, 1, None, Deadline.after(60))
        await index.close()
        await index.close()
        return index

    index = running.runner.run(closed())
    for call in (
        lambda: index.search(QUERIES, 1, None, Deadline.after(60)),
        lambda: index.vectors(["item-1"], Deadline.after(60)),
    ):
        with pytest.raises(IndexUnavailable):
            running.runner.run(call())
    running.check(QUERIES[0], running.search(QUERIES, 10)[0], 10, {})
