"""What is acknowledged can be kept: rebuilt, served and found, whatever its values are."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.deadline import Deadline
from devtools.embeddings import make_embeddings, unit_vectors
from index.changes import ChangeRefused, ItemPut, ItemUpdate
from index.embedded.build import build_index
from index.embedded.index import EmbeddedIndex
from index.embedded.rebuild import rebuild_index
from index.filters import FilterError, parse_filter

DIM = 16
VECTOR = unit_vectors(1, DIM)[0]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("values")
    make_embeddings(folder / "e", rows=5, dim=DIM, expert_dim=8)
    build_index(folder / "e", folder / "index")
    return folder / "index"


def deadline() -> Deadline:
    return Deadline.after(60)


texts = st.text(max_size=12) | st.text("a>\ud800\u0301ßİ \0", max_size=8)
numbers = (
    st.floats()
    | st.integers()
    | st.sampled_from([2**53, 2**53 + 1, -(2**53) - 1, 2**63, 2**64, 2**70, 10**400, -0.0, 5e-324, 1e308])
)
anything = texts | numbers | st.booleans() | st.none() | st.lists(texts, max_size=3) | st.just({})
attributes = st.fixed_dictionaries(
    {},
    optional={
        "brand": texts | anything,
        "price": numbers | anything,
        "in_stock": st.booleans() | anything,
        "tags": st.lists(texts, max_size=3) | anything,
    },
)
categories = texts | st.lists(texts, max_size=20).map(" > ".join)


@settings(max_examples=15, deadline=None)
@given(items=st.lists(st.tuples(attributes, categories, st.booleans()), min_size=1, max_size=12))
def test_what_is_acknowledged_can_be_rebuilt_and_served(built: Path, items: list[Any]) -> None:
    root = built.parent / "copy"
    shutil.rmtree(root, ignore_errors=True)
    shutil.copytree(built, root)
    asyncio.run(acknowledged_is_kept(root, items))


async def acknowledged_is_kept(root: Path, items: list[Any]) -> None:
    index = EmbeddedIndex.open(root)
    kept: dict[str, dict[str, Any]] = {}

    async def one(number: int, values: dict[str, Any], category: str, updated: bool) -> None:
        item_id = f"new-{number}"
        try:
            if updated:
                await index.upsert([ItemPut(item_id, VECTOR)], deadline())
                kept[item_id] = {}
                await index.update([ItemUpdate(item_id, values, category)], deadline())
            else:
                await index.upsert([ItemPut(item_id, VECTOR, None, category, values)], deadline())
        except ChangeRefused:
            return
        kept[item_id] = values

    await asyncio.gather(*(one(number, *item) for number, item in enumerate(items)))
    for rebuilt in (False, True):
        if rebuilt:
            rebuild_index(root)
        opened = EmbeddedIndex.open(root)
        assert (await opened.stats()).items == 5 + len(kept)
        for item_id, values in kept.items():
            for name, value in values.items():
                if value is not None and value != []:
                    raw = {name: value[0] if isinstance(value, list) else value}
                    (found,) = await opened.search(
                        VECTOR[None, :], 100, parse_filter(raw, opened.attributes), deadline()
                    )
                    assert item_id in found.ids
        await opened.close()
    await index.close()


@pytest.mark.parametrize("price", [2**53 + 1, -(2**53) - 1, 2**63, 2**64, 2**70, 1e16, 10**400])
async def test_a_number_that_cannot_be_kept_spoils_nobody_elses_change(
    built: Path, tmp_path: Path, price: float
) -> None:
    index = EmbeddedIndex.open(shutil.copytree(built, tmp_path / "index"))
    fine = [index.upsert([ItemPut(f"fine-{n}", VECTOR)], deadline()) for n in range(20)]
    put = index.upsert([ItemPut("x", VECTOR, None, "", {"price": price})], deadline())
    update = index.update([ItemUpdate("item-1", {"price": price})], deadline())
    *results, first, second = await asyncio.gather(*fine, put, update, return_exceptions=True)
    assert all(result.written == 1 for result in results)
    for refused in (first, second):
        assert isinstance(refused, ChangeRefused)
        assert "price is a number beyond 2^53" in str(refused)
    rebuild_index(tmp_path / "index")
    assert (await index.stats()).items == 25
    await index.close()


async def test_a_change_that_cannot_be_written_spoils_nobody_elses(built: Path, tmp_path: Path) -> None:
    index = EmbeddedIndex.open(shutil.copytree(built, tmp_path / "index"))
    with pytest.raises(ChangeRefused):
        await index.upsert([ItemPut("x", VECTOR, None, "\ud800")], deadline())
    with pytest.raises(ChangeRefused):
        await index.upsert([ItemPut("x", VECTOR, np.full((3, 8), 1e6, np.float32))], deadline())  # type: ignore[arg-type]
    # Whatever gets by the checks: each call is packed by itself.
    index._checker._kinds = {**index.attributes, "brand": "string"}
    odd: Any = index._checker.put(ItemPut("odd", VECTOR))
    odd.attributes["brand"] = object()
    calls = [index.upsert([ItemPut(f"fine-{n}", VECTOR)], deadline()) for n in range(5)]
    strange = index._write(lambda lookup: lookup.put([odd]), deadline())
    *results, failed = await asyncio.gather(*calls, strange, return_exceptions=True)
    assert all(result.written == 1 for result in results)
    assert isinstance(failed, TypeError)
    assert (await index.stats()).items == 10
    await index.close()


def test_a_filter_that_cannot_be_asked_is_no_value() -> None:
    with pytest.raises(FilterError):
        parse_filter({"price": 10**400}, {"price": "number"})
