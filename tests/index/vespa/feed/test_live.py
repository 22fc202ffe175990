"""Changes over Vespa while it is searched: taken in the ledger's order, never lost once acknowledged."""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from common.deadline import Deadline
from devtools.vespa_fakes.document_server import Chaos, DocumentServer
from index.changes import ChangeRefused, ItemPut, ItemUpdate, Keep
from index.port import IndexUnavailable
from index.vespa import names
from index.vespa.feed.ledger import Ledger
from index.vespa.feed.live import LIVE, LiveVespaIndex
from index.vespa.feed.merged import Change
from index.vespa.feed.source import new_feed_version
from index.vespa.words import TextSpec
from tests.index.vespa.answers import VERSION, settings
from tests.index.vespa.holding import Holding

VECTOR = np.eye(1, 8, dtype=np.float32)[0]
QUICK = replace(LIVE, attempts=3, backoff=0.001, backoff_max=0.01)


def soon() -> Deadline:
    return Deadline.after(30)


@asynccontextmanager
async def opened(server: DocumentServer, package: Path, **feeding: Any) -> AsyncIterator[LiveVespaIndex]:
    index = LiveVespaIndex(settings(server.url, breaker_failures=10_000), package, replace(QUICK, **feeding))
    try:
        yield index
    finally:
        await index.close()


def ledger(package: Path) -> Ledger:
    return Ledger.of(package, VERSION.document_type)


def put(item: str, **attributes: Any) -> ItemPut:
    return ItemPut(item, VECTOR, None, "Shoes", attributes)


async def test_puts_updates_and_removals_are_in_vespa_and_in_the_ledger(tmp_path: Path) -> None:
    async with DocumentServer() as server, opened(server, tmp_path) as index:
        began = new_feed_version()
        done = await index.upsert([put("a", price=1.0, brand="acme"), put("b")], soon())
        assert done.written == 2
        await index.update(
            [ItemUpdate("a", {"price": 2.0}), ItemUpdate("a", {"brand": None}, "Bags")], soon()
        )
        await index.remove(["b"], soon())
        document = server.documents["a"]
        assert (document["price"], "brand" in document) == (2.0, False), document
        assert document["feed_ver"] > began
        assert "b" not in server.documents
        with ledger(tmp_path) as kept:
            states = kept.newer(["a", "b"], began)
        assert (states["a"].whole, states["b"].whole) == ("put", "remove")
        again = await index.upsert([put("b", price=3.0)], soon())
        assert (again.written, server.documents["b"]["price"]) == (1, 3.0)


async def test_an_item_that_was_put_within_wider_bounds_still_changes(tmp_path: Path) -> None:
    tags = ["x" * 400] * 100
    change = Change("put", "a", new_feed_version(), {"tags": tags}, VECTOR.tolist())
    with ledger(tmp_path) as kept:
        kept.record([change])
    async with DocumentServer() as server, opened(server, tmp_path) as index:
        await index.update([ItemUpdate("a", {"price": 2.0}), ItemUpdate("b", {"price": 3.0})], soon())
        document = server.documents["a"]
        assert (document["price"], document["tags"]) == (2.0, tags)
        with pytest.raises(ChangeRefused, match="40000 characters in all"):
            await index.update([ItemUpdate("a", {"tags": tags})], soon())


async def test_words_picture_and_item_features_go_where_the_version_has_room_for_them(tmp_path: Path) -> None:
    wide = replace(VERSION, texts=TextSpec(("title", "category"), "english"), picture_dim=4, features=(1, 2))
    picture = np.array([0.6, 0.8, 0.0, 0.0], np.float32)
    said = {"title": "Red shoes", "description": "none of its fields"}
    whole = replace(put("a"), texts=said, picture=picture, features=np.ones((1, 2), np.float16))
    for version, there in ((wide, True), (VERSION, False)):
        async with DocumentServer() as server:
            where = replace(settings(server.url), version=version)
            index = LiveVespaIndex(where, tmp_path / str(there), QUICK)
            await index.upsert([whole], soon())
            await index.update([ItemUpdate("a", {"price": 2.0})], soon())
            document = server.documents["a"]
            assert (names.PICTURE in document, names.WORDS in document) == (there, there), document
            assert document.get(names.FEATURES) == ("3c00" * 2 if there else None)
            assert document["price"] == 2.0
            await index.upsert([put("a")], soon())
            assert names.PICTURE not in server.documents["a"]
            await index.close()


async def test_what_a_put_keeps_is_what_the_ledger_knows(tmp_path: Path) -> None:
    wide = replace(VERSION, texts=TextSpec(("title", "category"), "english"), picture_dim=4)
    picture = np.array([0.6, 0.8, 0.0, 0.0], np.float32)
    async with DocumentServer() as server:
        index = LiveVespaIndex(replace(settings(server.url), version=wide), tmp_path, QUICK)
        await index.upsert([replace(put("a", price=1.0), texts={"title": "hat"}, picture=picture)], soon())
        before = server.documents["a"]
        await index.update([ItemUpdate("a", {"price": 2.0})], soon())
        keep = Keep(frozenset(("price",)), texts=True, picture=True)
        await index.upsert([replace(put("a", price=1.0), keep=keep)], soon())
        after = server.documents["a"]
        assert after["price"] == 2.0
        assert [after[name] for name in (names.WORDS, names.PICTURE)] == [
            before[name] for name in (names.WORDS, names.PICTURE)
        ]
        await index.remove(["a"], soon())
        await index.upsert([replace(put("a", price=3.0), keep=keep)], soon())
        assert server.documents["a"]["price"] == 3.0
        assert names.PICTURE not in server.documents["a"]
        await index.close()


async def test_what_cannot_be_held_is_refused_before_anything_is_done(tmp_path: Path) -> None:
    async with DocumentServer() as server, opened(server, tmp_path) as index:
        cases: Mapping[str, tuple[str, dict[str, Any]]] = {
            "no attribute": ("a", {"margin": 1.0}),
            "not '12.5'": ("a", {"price": "12.5"}),
            "cannot have the id": ("..", {}),
        }
        for words, (item, attributes) in cases.items():
            assert words in (index.refusal(item, "Shoes", attributes) or "")
            with pytest.raises(ChangeRefused, match=re.escape(words)):
                await index.upsert([put("good"), put(item, **attributes)], soon())
        with pytest.raises(ChangeRefused, match=r"item 'a'"):
            await index.upsert([replace(put("a"), vector=0 * VECTOR)], soon())
        assert index.refusal("a", "Shoes > Running", {"price": 1.0, "brand": None}) is None
        assert server.documents == {}
        with ledger(tmp_path) as kept:
            assert kept.sequence == 0


async def test_what_vespa_does_not_take_is_told_and_not_lost(tmp_path: Path) -> None:
    async with DocumentServer(chaos=Chaos(unavailable=1.0)) as server, opened(server, tmp_path) as index:
        with pytest.raises(IndexUnavailable, match="feed_failed"):
            await index.upsert([put("a", price=1.0)], soon())
        server.chaos = Chaos()
        await index.update([ItemUpdate("a", {"brand": "acme"})], soon())
        assert server.documents["a"]["price"] == 1.0, "the next change of the item brings it along"
        server.chaos = Chaos(blocked=((0, 10_000),))
        with pytest.raises(IndexUnavailable, match="may have been done or not"):
            await index.remove(["a"], Deadline.after(0.3))
        server.chaos = Chaos()
        await index.remove(["a"], soon())
        assert server.documents == {}
    (tmp_path / "feeds" / f"{VERSION.document_type}.db").write_bytes(b"no ledger" * 1000)
    async with DocumentServer() as server, opened(server, tmp_path) as index:
        with pytest.raises(IndexUnavailable, match="ledger"):
            await index.upsert([put("a")], soon())
        assert server.documents == {}


async def test_changes_side_by_side_end_as_the_ledger_has_them(tmp_path: Path) -> None:
    """Two workers, requests that overtake one another, connections that break: all agree in the end."""
    chaos = Chaos(seed=3, reset_before=0.05, reset_after=0.05, busy=0.05, jitter=0.01)
    rng = random.Random(4)
    async with DocumentServer(chaos=chaos) as server:
        async with (
            opened(server, tmp_path, attempts=50) as one,
            opened(server, tmp_path, attempts=50) as other,
        ):

            async def change(number: int) -> None:
                index, item = rng.choice([one, other]), f"item-{rng.randrange(8)}"
                kind = rng.random()
                if kind < 0.4:
                    await index.upsert([put(item, price=float(number))], soon())
                elif kind < 0.8:
                    await index._make([index._change("update", item, {"price": float(number)})], soon())
                else:
                    await index._make([index._change("remove", item)], soon())

            for start in range(0, 200, 20):
                await asyncio.gather(*(change(number) for number in range(start, start + 20)))
        with ledger(tmp_path) as kept:
            states = kept.newer([f"item-{n}" for n in range(8)], 0)
    expected = {
        item: state.attributes.get("price", (0, None))[1]
        for item, state in states.items()
        if state.whole == "put"
    }
    assert {item: document.get("price") for item, document in server.documents.items()} == expected


async def test_a_removal_on_its_way_does_not_take_a_put_that_has_its_version(tmp_path: Path) -> None:
    """Both are sent with the version of the update behind them: the put is older, and was written later."""
    async with Holding() as server, opened(server, tmp_path) as one, opened(server, tmp_path) as other:
        remove, brought = one._change("remove", "a"), put("a", price=1.0)
        await asyncio.sleep(0.001)
        late = other._change("put", "a", brought.attributes, brought.category, brought.vector)
        await asyncio.sleep(0.001)
        update = one._change("update", "a", {"brand": "acme"})
        assert remove.feed_ver < late.feed_ver < update.feed_ver
        await one._make([remove], soon())
        server.hold()
        removing = asyncio.create_task(one._make([update], soon()))
        await server.held.wait()
        await other._make([late], soon())
        assert server.documents["a"]["feed_ver"] == update.feed_ver
        server.let_go.set()
        await removing
        assert (server.documents["a"]["price"], server.documents["a"]["brand"]) == (1.0, "acme")


async def test_a_closed_index_takes_nothing(tmp_path: Path) -> None:
    async with DocumentServer() as server:
        async with opened(server, tmp_path) as index:
            pass
        with pytest.raises(IndexUnavailable, match="closed"):
            await index.upsert([put("a")], soon())
