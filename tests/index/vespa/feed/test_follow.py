"""Changes as they come: to every version, none lost by a kill, order by when they came."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from devtools.redis import redis_server
from devtools.vespa_fakes.document_server import Chaos, DocumentServer
from devtools.vespa_fakes.feed_process import FEED
from index.vespa import names
from index.vespa.feed.follow import Line, Target, follow
from index.vespa.feed.ledger import Ledger
from index.vespa.feed.lines import LinesLost, PipedLines, StreamLines
from index.vespa.feed.report import FeedStopped, Outcome
from index.vespa.settings import EndpointSettings, VespaSettings
from index.vespa.version import Version
from index.vespa.words import TextSpec

BLUE, GREEN = (Version(f"{name}-0123abcd", 8, {"price": "number"}) for name in ("blue", "green"))
VECTOR = [1.0] + [0.0] * 7
OTHER = [0.0] * 7 + [1.0]


def target(server: DocumentServer, version: Version, ledger: Ledger | None = None) -> Target:
    return Target(VespaSettings(EndpointSettings((server.url,)), version), ledger or Ledger())


def piped(*changes: dict[str, Any], junk: bytes = b"") -> PipedLines:
    text = b"\n".join(json.dumps(change).encode() for change in changes) + b"\n" + junk
    return PipedLines(io.BufferedReader(io.BytesIO(text)))  # type: ignore[arg-type]


def price(item: str, value: float, **more: Any) -> dict[str, Any]:
    return {"id": item, "attributes": {"price": value}, **more}


async def test_every_version_gets_each_change() -> None:
    async with DocumentServer() as one, DocumentServer() as two:
        targets = [target(one, BLUE), target(two, GREEN)]
        both = {BLUE.bundle_version: VECTOR, GREEN.bundle_version: OTHER}
        lines = piped(
            {"id": "a", "vectors": both, "attributes": {"price": 1.0}},
            {"id": "b", "vectors": both},
            price("a", 2.0),
            {"id": "b", "remove": True},
            {"id": "c", "vector": VECTOR},
            {"id": "d", "vectors": {BLUE.bundle_version: VECTOR}},
            junk=b"no json\n\n",
        )
        await follow(targets, lines, asyncio.Event(), FEED)
        assert one.documents["a"]["price"] == two.documents["a"]["price"] == 2.0
        assert one.documents["a"]["embedding"] != two.documents["a"]["embedding"]
        assert (one.documents.keys(), two.documents.keys()) == ({"a", "d"}, {"a"})
    blue, green = (each.report for each in targets)
    assert (blue.outcomes[Outcome.STORED], blue.outcomes[Outcome.FAILED]) == (5, 2)
    assert (green.outcomes[Outcome.STORED], green.outcomes[Outcome.FAILED]) == (4, 3)
    assert "`vectors` names the bundle" in blue.failures[0].reason
    assert "no vector of bundle green-0123abcd" in green.failures[1].reason
    assert blue.failures[-1].item_id == "line 7"


async def test_one_version_needs_no_names_of_bundles() -> None:
    async with DocumentServer() as server:
        only = target(server, BLUE)
        await follow([only], piped({"id": "a", "vector": VECTOR}), asyncio.Event(), FEED)
        assert server.documents.keys() == {"a"}


async def test_an_update_of_an_item_that_was_put_without_one_of_its_texts_holds_up_nothing() -> None:
    worded = replace(BLUE, texts=TextSpec(("title", "brand"), "english"))
    async with DocumentServer() as server:
        only = target(server, worded)
        item = {"id": "a", "vector": VECTOR, "texts": {"title": "shoe"}}
        await follow([only], piped(item, price("a", 2.0)), asyncio.Event(), FEED)
        document = server.documents["a"]
    assert (document["price"], document[names.WORDS]) == (2.0, ["shoe"])
    assert (only.report.outcomes[Outcome.FAILED], only.ledger.unsent()[1]) == (0, [])


class Given:
    """Lines that a test gives one batch at a time; ``acknowledged`` batches need not come again."""

    def __init__(self, *batches: Sequence[dict[str, Any]]) -> None:
        self._batches = list(batches)
        self._number = 0
        self.acknowledged = 0

    async def next(self) -> Sequence[Line] | None:
        if self._number == len(self._batches):
            return None
        self._number += 1
        return [
            Line("x", json.dumps(change).encode(), 100 * self._number + place)
            for place, change in enumerate(self._batches[self._number - 1])
        ]

    async def done(self) -> None:
        self.acknowledged += 1


async def test_what_could_not_be_delivered_is_not_done_with_and_sent_first_next_time() -> None:
    impatient = replace(FEED, attempts=2, backoff=0.001)
    async with DocumentServer() as server:
        ledger = Ledger()
        await follow([target(server, BLUE, ledger)], Given([{"id": "a", "vector": VECTOR}]), asyncio.Event())
        server.chaos = Chaos(unavailable=1.0)
        lines = Given([price("a", 5.0)], [price("a", 6.0)])
        with pytest.raises(FeedStopped, match="item_blue_0123abcd: after 2 tries: status 503"):
            await follow([target(server, BLUE, ledger)], lines, asyncio.Event(), impatient)
        assert lines.acknowledged == 0
        assert "price" not in server.documents["a"]
        server.chaos = Chaos()
        # A pipe gives nothing twice: the ledger has it.
        await follow([target(server, BLUE, ledger)], Given(), asyncio.Event(), impatient)
        assert server.documents["a"]["price"] == 5.0
        served = server.served
        await follow([target(server, BLUE, ledger)], Given(), asyncio.Event(), impatient)
        assert server.served == served


async def test_versions_of_piped_lines_rise_even_where_the_clock_does_not() -> None:
    lines = PipedLines(io.BufferedReader(io.BytesIO(b"{}\n\n{}\n{}")), lambda: 5.0)  # type: ignore[arg-type]
    first, last = await lines.next(), await lines.next()
    assert first is not None
    assert last is not None
    assert [(line.name, line.feed_ver) for line in [*first, *last]] == [
        ("line 1", 5_000_000),
        ("line 3", 5_000_001),
        ("line 4", 5_000_002),
    ]
    assert await lines.next() is None


async def test_a_line_that_does_not_end_is_refused() -> None:
    lines = PipedLines(io.BufferedReader(io.BytesIO(b"x" * (1 << 21)), 1 << 16))  # type: ignore[arg-type]
    for _ in range((1 << 20) // (1 << 16)):
        assert await lines.next() == []
    with pytest.raises(LinesLost, match="line 1 has more"):
        await lines.next()


async def test_a_stream_is_read_from_its_beginning_and_acknowledged_when_stored(tmp_path: Path) -> None:
    with redis_server(tmp_path) as redis:
        async with DocumentServer() as server, Redis.from_url(redis.url) as client:
            await client.xadd("changes", {"change": json.dumps({"id": "a", "vector": VECTOR})}, id="1000-1")
            await client.xadd("changes", {"change": json.dumps(price("a", 7.0))}, id="1000-2")
            await client.xadd("changes", {"other": "field"}, id="1001-0")
            # Taken by a feed that was killed before it was done with the entry.
            await client.xgroup_create("changes", "mrse-vespa", id="0")
            await client.xreadgroup("mrse-vespa", "feed", {"changes": ">"}, count=1)
            stop, only = asyncio.Event(), target(server, BLUE)
            following = asyncio.ensure_future(
                follow([only], StreamLines(client, "changes", "mrse-vespa"), stop, FEED)
            )
            await server.has_served(2)
            await client.xadd("changes", {"change": json.dumps({"id": "a", "remove": True})}, id="1002-0")
            await server.has_served(3)
            stop.set()
            await following
            assert server.documents == {}
            assert server.history["a"] == [1_000_001, 1_000_002]
            assert (await client.xpending("changes", "mrse-vespa"))["pending"] == 0
    assert [failure.item_id for failure in only.report.failures] == ["1001-0"]


async def test_a_stream_that_is_lost_is_joined_again(tmp_path: Path) -> None:
    with redis_server(tmp_path) as redis:
        async with Redis.from_url(redis.url) as client:
            lines = StreamLines(client, "changes", "g", retry=0.01)
            assert await lines.next() == []
            await client.delete("changes")
            await client.xadd("changes", {"change": "{}"}, id="5-0")
            found: list[Line] = []
            while not found:
                found += await lines.next() or []
            assert [(line.name, line.feed_ver) for line in found] == [("5-0", 5000)]
