"""Feeding: every document ends at its newest version, whatever happens on the way."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from devtools.embeddings import make_embeddings
from devtools.vespa_fakes.document_server import Chaos, DocumentServer
from devtools.vespa_fakes.fault_server import FaultServer, Request, answer
from devtools.vespa_fakes.feed_process import FEED
from devtools.vespa_fakes.feeding import CHAOS, changes, newest
from index.vespa.feed import feeder
from index.vespa.feed.journal import Journal
from index.vespa.feed.merged import Change
from index.vespa.feed.operations import Operation, Operations, Rejected
from index.vespa.feed.report import FeedStopped, Outcome
from index.vespa.settings import FeedSettings
from tests.index.vespa.answers import VERSION, settings
from tests.index.vespa.operations import ListedSource

VECTOR = np.eye(1, 8, dtype=np.float32)[0]
PATIENT = 1000
QUICK = replace(FEED, failures_max=100, request_timeout=0.3)


def operations() -> Operations:
    return Operations(VERSION)


def put(item: str, version: int, **attributes: Any) -> Operation:
    return operations().put(item, VECTOR, attributes, version)


async def feed(
    url: str, ops: Sequence[Operation | Rejected], feed_settings: FeedSettings = QUICK, **changes: Any
) -> Any:
    where = settings(url, **({"breaker_failures": PATIENT} | changes))
    return await feeder.feed(where, ListedSource(ops), Journal(None, "test", 1), feeding=feed_settings)


async def test_what_an_answer_means() -> None:
    expected = {
        200: (Outcome.STORED, 1),
        412: (Outcome.SUPERSEDED, 1),
        400: (Outcome.FAILED, 1),
        404: (Outcome.FAILED, 1),
        500: (Outcome.FAILED, 3),
        502: (Outcome.FAILED, 4),
        503: (Outcome.FAILED, 4),
        504: (Outcome.FAILED, 4),
    }
    for status, (outcome, requests) in expected.items():
        async with FaultServer([answer(status, {"message": "m"})]) as server:
            report = await feed(server.url, [put("a", 1)], replace(QUICK, attempts=4, attempts_internal=3))
            assert (report.outcomes, len(server.requests)) == ({outcome: 1}, requests), status


async def test_ignored_fields_are_errors() -> None:
    ignored = answer(200, {}, {"X-Vespa-Ignored-Fields": "true"})
    async with FaultServer([ignored]) as server:
        report = await feed(server.url, [put("a", 1)])
    assert not report.complete
    assert "ignored" in report.failures[0].reason


@pytest.mark.parametrize("status", [401, 403])
async def test_without_access_the_feed_stops(status: int) -> None:
    async with FaultServer([answer(status, {})]) as server:
        with pytest.raises(FeedStopped):
            await feed(server.url, [put(f"a{i}", 1) for i in range(1000)])
        assert len(server.requests) < 100


async def test_a_feed_that_fails_throughout_stops() -> None:
    async with FaultServer([answer(400, {"message": "no such field"})]) as server:
        with pytest.raises(FeedStopped, match="no such field"):
            await feed(server.url, [put(f"a{i}", 1) for i in range(1000)], replace(QUICK, failures_max=20))
        assert len(server.requests) < 100


async def test_busy_is_waited_for_and_cuts_the_window() -> None:
    async with FaultServer([answer(429, {})] * 40 + [answer(200, {})]) as server:
        report = await feed(server.url, [put(f"a{i}", 1) for i in range(100)])
        assert len(server.requests) == 140
    assert report.outcomes == {Outcome.STORED: 100}
    assert report.retries["status 429"] == 40


async def test_patience_with_a_busy_vespa_begins_when_it_says_so_and_costs_no_try() -> None:
    blocked, busy, away, stored = (answer(status, {"message": "m"}) for status in (507, 429, 503, 200))
    once = replace(QUICK, pause_blocked=0.3, patience_busy=0.2, attempts=2, backoff=0.001)
    for script in ([blocked, busy, stored], [busy, busy, busy, away, stored]):
        async with FaultServer(script) as server:
            report = await feed(server.url, [put("a", 1)], once)
            assert report.outcomes == {Outcome.STORED: 1}, report.failures


async def test_busy_for_too_long_is_a_failure() -> None:
    async with FaultServer([answer(429, {})]) as server:
        report = await feed(server.url, [put("a", 1)], replace(QUICK, patience_busy=0.05))
    assert report.outcomes == {Outcome.FAILED: 1}


async def test_a_blocked_feed_pauses_and_is_not_hammered() -> None:
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)
        await asyncio.sleep(0)

    settings_ = replace(QUICK, window_start=1, pause_blocked=10.0, pause_blocked_max=30.0)
    script = [answer(507, {})] * 4 + [answer(200, {})]
    async with FaultServer(script) as server:
        source = ListedSource([put(f"a{i}", 1) for i in range(50)])
        where, journal = settings(server.url, breaker_failures=PATIENT), Journal(None, "test", 1)
        report = await feeder.feed(where, source, journal, feeding=settings_, sleep=sleep)
        # After each pause one tries, until one passes.
        assert len(server.requests) == 4 + 50
    assert report.complete
    assert pauses == [10.0, 20.0, 30.0, 30.0]


async def test_a_feed_that_stays_blocked_stops() -> None:
    async with FaultServer([answer(507, {})]) as server:
        with pytest.raises(FeedStopped, match="blocked"):
            await feed(server.url, [put("a", 1)], replace(QUICK, pause_blocked=0.01, patience_blocked=0.05))
        assert len(server.requests) <= 8


async def test_order_holds_within_an_id() -> None:
    async with DocumentServer(chaos=Chaos(jitter=0.003, busy=0.1, reset_after=0.05)) as server:
        ops = [put(f"a{i % 20}", version) for version in range(1, 26) for i in range(20)]
        report = await feed(server.url, ops)
        assert not server.overlapped
        assert all(versions == sorted(versions) for versions in server.history.values())
        assert {document["feed_ver"] for document in server.documents.values()} == {25}
    assert report.done == 500


async def test_an_older_operation_changes_nothing() -> None:
    async with DocumentServer() as server:
        ops = [put("a", 5, price=5.0), put("a", 3, price=3.0), operations().update("a", {"price": 4.0}, 4)]
        report = await feed(server.url, ops)
        assert server.documents["a"]["price"] == 5.0
        await feed(
            server.url, [operations().remove("a", 4), operations().update("missing", {"price": 1.0}, 9)]
        )
        assert set(server.documents) == {"a"}
        await feed(server.url, [operations().remove("a", 6)])
        assert server.documents == {}
    assert report.outcomes == {Outcome.STORED: 1, Outcome.SUPERSEDED: 2}


async def test_what_others_remove_while_it_is_fed_does_not_come_back() -> None:
    """Vespa keeps no trace of a removal: an older put on its way would bring the item back."""
    source = ListedSource([put(f"a{number}", 1) for number in range(4)])
    meanwhile = {
        "POST a0 1": [Change("remove", "a0", 5), Change("remove", "a1", 6)],  # a1 waits for its turn
        "POST a2 1": [Change("remove", "a2", 7)],  # which is to be sent again
        "POST a3 1": [Change("update", "a3", 8, {"price": 2.5})],
    }
    seen: list[str] = []

    async def act(request: Request, writer: asyncio.StreamWriter) -> None:
        item, version = request.path.rsplit("/", 1)[1], request.parameters["condition"][-1]
        seen.append(f"{request.method} {item} {version}")
        source.ledger.record(meanwhile.get(seen[-1], []))
        await answer(429 if seen[-1] == "POST a2 1" else 200, {})(request, writer)

    async with FaultServer([act]) as server:
        alone = replace(QUICK, window_start=1, window_min=1, window_max=1)
        report = await feeder.feed(settings(server.url), source, Journal(None, "t", 1), feeding=alone)
    assert report.outcomes == {Outcome.STORED: 4}
    told = {item: [each for each in seen if item in each] for item in ("a0", "a1", "a2", "a3")}
    assert told == {
        "a0": ["POST a0 1", "DELETE a0 5"],
        "a1": ["DELETE a1 6"],
        "a2": ["POST a2 1", "DELETE a2 7"],
        "a3": ["POST a3 1", "PUT a3 8"],
    }


async def test_an_update_leaves_the_rest() -> None:
    async with DocumentServer() as server:
        await feed(server.url, [put("a", 1, price=1.0, in_stock=True, brand="x")])
        before = dict(server.documents["a"])
        await feed(server.url, [operations().update("a", {"price": 2.0, "in_stock": None}, 2)])
        after = server.documents["a"]
    changed = {"price": 2.0, "feed_ver": 2, "known_bools": {}}
    assert after == {name: value for name, value in before.items() if name != "in_stock"} | changed


async def test_rejected_items_are_failures_and_the_rest_is_fed() -> None:
    async with DocumentServer() as server:
        report = await feed(server.url, [put("a", 1), Rejected("b", "odd"), put("c", 1)])
        assert set(server.documents) == {"a", "c"}
    assert [failure.item_id for failure in report.failures] == ["b"]


async def test_progress_is_told() -> None:
    seen: list[tuple[str, int, int | None]] = []
    async with DocumentServer() as server:
        source, journal = ListedSource([put(f"a{i}", 1) for i in range(5)]), Journal(None, "t", 1)
        await feeder.feed(settings(server.url), source, journal, lambda *facts: seen.append(facts))
    assert seen == [("feed", i, 5) for i in range(1, 6)]


@pytest.mark.slow
async def test_faults_and_kills_end_with_every_document_at_its_newest(tmp_path: Path) -> None:
    items, kills = 1500, (200, 750, 1800)
    make_embeddings(tmp_path / "embeddings", rows=items)
    all_changes = list(changes(items, 1000, seed=8))
    (tmp_path / "changes.jsonl").write_text("\n".join(map(json.dumps, all_changes)))
    async with DocumentServer(chaos=CHAOS) as server:
        paths = [str(tmp_path / "embeddings"), str(tmp_path / "changes.jsonl"), str(tmp_path)]
        for kill_at in (*kills, None):
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "devtools.vespa_fakes.feed_process", server.url, *paths
            )
            if kill_at is not None:
                await server.has_served(kill_at)
                process.send_signal(signal.SIGKILL)
            code = await process.wait()
            assert code == (0 if kill_at is None else -signal.SIGKILL)
        stored = {item: document["feed_ver"] for item, document in server.documents.items()}
        assert stored == newest(items, all_changes)
        assert all(versions == sorted(versions) for versions in server.history.values())
        assert min(server.faults[name] for name in ("busy", "507", "reset_after", "garbage")) > 0
    assert (tmp_path / "changes.done").exists()
