"""Changes against a folder that is fed before, after or meanwhile: every one of them holds in the end."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from artifacts.embeddings import EmbeddingsFolder
from devtools.embeddings import make_embeddings
from devtools.vespa_fakes.document_server import Chaos, DocumentServer
from devtools.vespa_fakes.feed_process import FEED, settings_for
from index.vespa.feed.changes import ChangesSource
from index.vespa.feed.feeder import feed
from index.vespa.feed.journal import Journal
from index.vespa.feed.ledger import FeedRefused, Ledger
from index.vespa.feed.report import FeedReport, Outcome
from index.vespa.feed.source import EmbeddingsSource
from tests.index.vespa.holding import Holding

QUICK = replace(FEED, failures_max=100)
VECTOR = [1.0] + [0.0] * 127
FOLDER = 1000


class World:
    """A folder, a ledger and a server."""

    def __init__(self, tmp_path: Path, server: DocumentServer, rows: int = 5) -> None:
        self.folder = EmbeddingsFolder.open(make_embeddings(tmp_path / "embeddings", rows=rows))
        self.ledger, self.server, self.path = Ledger(), server, tmp_path
        self.settings = settings_for(server.url, self.folder)
        self._files = 0

    async def feed_folder(self, as_of: int = FOLDER, part: tuple[int, int] = (1, 1)) -> FeedReport:
        source = EmbeddingsSource(self.folder, self.ledger, part)
        report = await feed(self.settings, source, Journal(None, "items", as_of), feeding=QUICK)
        self.ledger.end(as_of, part, [failure.item_id for failure in report.failures])
        return report

    async def feed_changes(self, *changes: dict[str, Any], at: int = 2000) -> FeedReport:
        self._files += 1
        path = self.path / f"changes-{self._files}.jsonl"
        path.write_text("\n".join(map(json.dumps, changes)))
        source = ChangesSource(path, self.ledger)
        return await feed(self.settings, source, Journal(None, "changes", at), feeding=QUICK)

    def price(self, item: str) -> Any:
        return self.server.documents[item].get("price")


def price(item: str, value: float, **more: Any) -> dict[str, Any]:
    return {"id": item, "attributes": {"price": value}, **more}


async def test_of_lines_without_a_version_the_last_wins(tmp_path: Path) -> None:
    async with DocumentServer() as server:
        world = World(tmp_path, server)
        await world.feed_folder()
        report = await world.feed_changes(
            price("item-0", 11.0),
            price("item-0", 22.0),
            {"id": "new", "vector": VECTOR},
            {"id": "new", "remove": True},
            {"id": "item-1", "remove": True},
            {"id": "item-1", "vector": VECTOR, "attributes": {"price": 3.0}},
        )
        assert report.outcomes == {Outcome.STORED: 6}
        assert world.price("item-0") == 22.0
        assert world.price("item-1") == 3.0
        assert "new" not in server.documents


async def test_a_removal_on_its_way_does_not_take_a_put_that_has_its_version(tmp_path: Path) -> None:
    """Both are sent with the version of the update behind them, see `LiveVespaIndex`."""
    async with Holding() as server:
        world = World(tmp_path, server)
        await world.feed_changes({"id": "a", "remove": True, "feed_ver": 2000})
        server.hold()
        removing = asyncio.create_task(world.feed_changes(price("a", 3.0, feed_ver=2020)))
        await server.held.wait()
        await world.feed_changes({"id": "a", "vector": VECTOR, "feed_ver": 2010})
        assert server.documents["a"]["feed_ver"] == 2020
        server.let_go.set()
        await removing
        assert world.price("a") == 3.0


async def test_what_was_removed_stays_removed(tmp_path: Path) -> None:
    async with DocumentServer() as server:
        world = World(tmp_path, server)
        await world.feed_changes({"id": "item-2", "remove": True})
        await world.feed_folder()
        assert set(server.documents) == {"item-0", "item-1", "item-3", "item-4"}


async def test_an_update_of_an_item_not_yet_fed_is_applied(tmp_path: Path) -> None:
    async with DocumentServer() as server:
        world = World(tmp_path, server)
        report = await world.feed_changes(price("item-2", 7.0), price("item-2", 8.0), price("nobody", 1.0))
        assert report.outcomes == {Outcome.SUPERSEDED: 3}
        await world.feed_folder()
        assert world.price("item-2") == 8.0
        assert len(server.documents["item-2"]["embedding"]) == 512
        assert "nobody" not in server.documents


async def test_a_folder_does_not_undo_what_is_newer(tmp_path: Path) -> None:
    async with DocumentServer() as server:
        world = World(tmp_path, server)
        await world.feed_folder(FOLDER)
        await world.feed_changes(price("item-2", 7.0), at=2000)
        await world.feed_folder(FOLDER + 500)
        assert world.price("item-2") == 7.0
        assert server.documents["item-2"]["feed_ver"] == 2000
        # And one that is newer does.
        await world.feed_folder(3000)
        assert world.price("item-2") != 7.0
        late = await world.feed_changes(price("item-2", 9.0), at=2500)
        assert late.outcomes == {Outcome.OLDER: 1}
        with pytest.raises(FeedRefused):
            await world.feed_folder(2900)


async def test_changes_that_come_in_the_wrong_order(tmp_path: Path) -> None:
    async with DocumentServer() as server:
        world = World(tmp_path, server)
        await world.feed_folder()
        await world.feed_changes({"id": "item-0", "attributes": {"in_stock": True}, "feed_ver": 3000})
        await world.feed_changes(price("item-0", 5.0, feed_ver=2000))
        document = server.documents["item-0"]
        assert (document["price"], document["in_stock"], document["feed_ver"]) == (5.0, True, 3000)


async def test_parts_of_a_folder_are_fed_side_by_side(tmp_path: Path) -> None:
    async with DocumentServer() as server:
        world = World(tmp_path, server, rows=2500)
        for number in (1, 2, 3):
            report = await world.feed_folder(part=(number, 3))
            assert report.outcomes.total() in (833, 834)
            assert report.complete
            assert world.ledger.complete == (number == 3)
        assert set(server.documents) == {f"item-{i}" for i in range(2500)}


def expected(folder: EmbeddingsFolder, changes: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Prices by item, after the folder and all changes."""
    columns = next(folder.batches(["id", "price"], folder.meta.rows))
    prices = dict(zip(columns["id"], columns["price"], strict=True))
    for change in changes:
        if change.get("remove"):
            prices.pop(change["id"], None)
        elif "vector" in change or change["id"] in prices:
            prices[change["id"]] = change["attributes"]["price"]
    return prices


async def test_changes_that_race_the_folder_all_hold(tmp_path: Path) -> None:
    rng = random.Random(3)
    async with DocumentServer(chaos=Chaos(seed=2, jitter=0.004, busy=0.05, reset_after=0.05)) as server:
        world = World(tmp_path, server, rows=300)
        changes: list[dict[str, Any]] = []
        for number in range(400):
            item, at = f"item-{rng.randrange(320)}", {"feed_ver": 2000 + number}
            match rng.randrange(4):
                case 0:
                    changes.append({"id": item, "remove": True, **at})
                case 1:
                    changes.append({**price(item, number), "vector": VECTOR, **at})
                case _:
                    changes.append(price(item, number, **at))

        async def live() -> None:
            for start in range(0, len(changes), 20):
                await world.feed_changes(*changes[start : start + 20])

        await asyncio.gather(world.feed_folder(), live())
        stored = {item: document.get("price") for item, document in server.documents.items()}
        assert stored == expected(world.folder, changes)
