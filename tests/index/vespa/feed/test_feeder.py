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
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from artifacts.embeddings import EmbeddingsError, EmbeddingsFolder
from devtools.embeddings import make_embeddings, random_items
from devtools.vespa_fakes.document_server import Chaos, DocumentServer
from devtools.vespa_fakes.fault_server import FaultServer, answer
from devtools.vespa_fakes.feed_process import FEED, settings_for
from devtools.vespa_fakes.feeding import CHAOS, changes, newest
from index.filters import fold
from index.vespa import names
from index.vespa.feed.feeder import Feeder
from index.vespa.feed.journal import Journal, JournalMismatch
from index.vespa.feed.operations import ItemRefused, Operation, Operations, Rejected
from index.vespa.feed.report import FeedStopped, Outcome
from index.vespa.feed.settings import FeedSettings
from index.vespa.feed.source import ChangesSource, EmbeddingsSource
from index.vespa.feed.window import Window
from index.vespa.settings import BreakerSettings
from index.vespa.tensors import parse_bfloat16_hex
from tests.index.vespa import rules
from tests.index.vespa.answers import VERSION, settings
from tests.index.vespa.operations import ListedSource

VECTOR = np.eye(1, 8, dtype=np.float32)[0]
PATIENT = BreakerSettings(failures=1000)
QUICK = replace(FEED, failures_max=100, request_timeout=0.3)


def operations() -> Operations:
    return Operations(VERSION)


def put(item: str, version: int, **attributes: Any) -> Operation:
    return operations().put(item, VECTOR, attributes, version)


async def feed(
    url: str, ops: Sequence[Operation | Rejected], feed_settings: FeedSettings = QUICK, **changes: Any
) -> Any:
    where = settings(url, **({"breaker": PATIENT} | changes))
    async with Feeder(where, feed_settings) as feeder:
        return await feeder.feed(ListedSource(ops), Journal(None, "test", 1))


def test_a_put_has_everything_and_nothing_missing() -> None:
    operation = put(
        "a", 7, brand="ÉCLAIR", price=3, in_stock=False, tags=["Red", ""], category=["shoes", "shoes > x"]
    )
    assert operation.fields == {
        "item_id": "a",
        "embedding": "3f80" + "0000" * 7,
        "feed_ver": 7,
        "brand": "éclair",
        "price": 3.0,
        "in_stock": False,
        "tags": ["red", "\ue000"],
        "category": ["shoes", "shoes > x"],
        "known_bools": {"in_stock": 1},
    }
    assert set(put("a", 7, brand=None, price=float("nan"), in_stock=None, tags=[]).fields) == {
        "item_id",
        "embedding",
        "feed_ver",
    }


def test_an_update_touches_no_vector() -> None:
    operation = operations().update("a", {"price": 2, "in_stock": True, "brand": None}, 9)
    assert operation.fields == {
        "price": {"assign": 2.0},
        "in_stock": {"assign": True},
        "brand": {"assign": None},
        "feed_ver": {"assign": 9},
        "known_bools": {"add": {"in_stock": 1}},
    }
    assert operations().update("a", {"in_stock": None}, 9).fields["known_bools"] == {
        "remove": {"in_stock": 0}
    }


def test_requests_carry_their_condition() -> None:
    make = operations()
    request = make.request(put("a b/c?d=e&f#g%", 7), 2.0)
    assert request.method == "POST"
    assert request.path == (
        "/document/v1/mrse/item_demo_0123abcd/docid/a%20b%2Fc%3Fd%3De%26f%23g%25"
        "?condition=item_demo_0123abcd.feed_ver%20%3C%207&timeout=2000ms&create=true"
    )
    assert "create" not in make.request(make.update("a", {"price": 1.0}, 8), 2.0).path
    request = make.request(make.remove("a", 8), 2.0)
    assert (request.method, request.body) == ("DELETE", None)
    assert "feed_ver%20%3C%208" in request.path


@pytest.mark.parametrize(
    "attributes",
    [
        {"price": "12.5"},
        {"price": True},
        {"price": float("inf")},
        {"in_stock": 1},
        {"in_stock": "yes"},
        {"brand": 7},
        {"tags": "red"},
        {"tags": [1]},
        {"category": 7},
        {"colour": "red"},
    ],
)
def test_values_that_vespa_would_misread_are_not_fed(attributes: dict[str, Any]) -> None:
    with pytest.raises(ItemRefused):
        operations().put("a", VECTOR, attributes, 1)
    with pytest.raises(ItemRefused):
        operations().update("a", attributes, 1)


def test_a_vector_of_another_width_is_not_fed() -> None:
    with pytest.raises(ItemRefused, match="shape"):
        operations().put("a", VECTOR[:7], {}, 1)


@pytest.mark.parametrize("feed_ver", [0, -1, 1 << 63])
def test_feed_versions_that_cannot_be(feed_ver: int) -> None:
    with pytest.raises(ItemRefused, match="64-bit"):
        operations().update("a", {"price": 1.0}, feed_ver)


_values: dict[str, st.SearchStrategy[Any]] = {
    "brand": st.text(),
    "price": st.one_of(st.floats(allow_nan=True, allow_infinity=False), st.integers(-(2**53), 2**53)),
    "in_stock": st.booleans(),
    "tags": st.lists(st.text(), max_size=4),
    "category": st.lists(st.text(), max_size=4),
}
_attributes = st.fixed_dictionaries(
    {}, optional={name: st.one_of(st.none(), values) for name, values in _values.items()}
)


@given(
    attributes=_attributes,
    vector=hnp.arrays(np.float32, 8, elements=st.floats(0.125, 100, width=32)),
    feed_ver=st.integers(1, (1 << 63) - 1),
)
def test_what_is_fed_keeps_the_rules(attributes: dict[str, Any], vector: np.ndarray, feed_ver: int) -> None:
    kinds = VERSION.attributes
    fields = operations().put("a", vector, attributes, feed_ver).fields
    rules.document_fields(fields, kinds, 8, whole=True)
    if attributes:
        changed = operations().update("a", attributes, feed_ver).fields
        assert names.EMBEDDING not in changed
        given_ = {name: change["assign"] for name, change in changed.items() if "assign" in change}
        values = {name: value for name, value in given_.items() if value is not None}
        rules.document_fields(values, kinds, 8, whole=False)


@pytest.mark.parametrize("item", ["", "x" * 129, "a\x00b", "a\ufffe", 7])
def test_ids_that_cannot_be(item: Any) -> None:
    with pytest.raises(ItemRefused):
        operations().put(item, VECTOR, {}, 1)


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
        async with Feeder(settings(server.url, breaker=PATIENT), settings_, sleep=sleep) as feeder:
            ops = [put(f"a{i}", 1) for i in range(50)]
            report = await feeder.feed(ListedSource(ops), Journal(None, "test", 1))
        # After each pause one tries, until one passes.
        assert len(server.requests) == 4 + 50
    assert report.complete
    assert report.pauses == 4
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
    async with DocumentServer() as server, Feeder(settings(server.url)) as feeder:
        source = ListedSource([put(f"a{i}", 1) for i in range(5)])
        await feeder.feed(source, Journal(None, "t", 1), lambda *facts: seen.append(facts))
    assert seen == [("feed", i, 5) for i in range(1, 6)]


async def test_the_window_grows_and_shrinks() -> None:
    now = [0.0]
    window = Window(FeedSettings(window_start=4, window_min=2, window_max=6), clock=lambda: now[0])
    for _ in range(100):
        window.grow()
    assert window.size == 6
    now[0] = 10.0
    for _ in range(5):
        window.cut()
    assert window.size == 4  # one overload, one cut
    for _ in range(20):
        now[0] += 1
        window.cut()
    assert window.size == 2
    window.pause()
    waiting = asyncio.ensure_future(window.acquire())
    await asyncio.sleep(0)
    assert not waiting.done()
    window.resume()
    await waiting
    assert (window.size, window.used) == (1, 1)


def test_a_journal_keeps_what_is_settled(tmp_path: Path) -> None:
    path = tmp_path / "journal.json"
    journal = Journal.open(path, "source", 7)
    for number in (0, 1, 3, 4):
        journal.settle(number, failed=number == 1)
    journal.save()
    again = Journal.open(path, "source", 8)
    assert (again.low, again.feed_ver) == (2, 7)
    assert again.count_settled() == 1
    assert [again.settled(number) for number in range(5)] == [True, False, False, False, False]
    again.settle(1)
    again.settle(2)
    assert again.settled(1)
    with pytest.raises(JournalMismatch):
        Journal.open(path, "another", 7)
    again.finish()
    assert Journal.open(path, "another", 9).low == 0
    path.write_bytes(b"{")
    with pytest.raises(JournalMismatch):
        Journal.open(path, "source", 7)


@pytest.fixture
def embeddings(tmp_path: Path) -> Path:
    items = random_items(40, seed=3)
    items[3]["brand"] = "Straße"
    vectors = np.random.default_rng(1).standard_normal((40, 128)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors[5] = 0.0
    return make_embeddings(tmp_path / "embeddings", items=items, vectors=vectors)


async def test_an_embeddings_folder_is_fed(embeddings: Path) -> None:
    folder = EmbeddingsFolder.open(embeddings)
    async with DocumentServer() as server, Feeder(settings_for(server.url, folder), QUICK) as feeder:
        report = await feeder.feed(EmbeddingsSource(folder), Journal(None, "test", 3))
        documents = server.documents
    assert [failure.item_id for failure in report.failures] == ["item-5"]  # a vector without direction
    assert set(documents) == {f"item-{i}" for i in range(40)} - {"item-5"}
    assert documents["item-3"]["brand"] == fold("Straße") == "strasse"
    original = random_items(40, seed=3)
    for item, document in documents.items():
        vector = parse_bfloat16_hex(document["embedding"], 128)
        assert abs(float(np.linalg.norm(vector)) - 1) < 0.004
        raw = original[int(item[5:])]
        assert ("in_stock" in document) == (raw["in_stock"] is not None) == ("known_bools" in document)
        assert document.get("price") == raw["price"]


def test_folders_that_cannot_be_fed(embeddings: Path) -> None:
    source = EmbeddingsSource(EmbeddingsFolder.open(embeddings))
    version = settings_for("http://localhost", source.folder).version
    for other in (
        replace(version, bundle_version="other-00000000"),
        replace(version, dimension=64),
        replace(version, attributes={"price": "number"}),
    ):
        with pytest.raises(EmbeddingsError):
            next(source.operations(other, 1, lambda number: False))
    (embeddings / "items.parquet").unlink()
    with pytest.raises(EmbeddingsError, match=r"items\.parquet"):
        next(source.operations(version, 1, lambda number: False))


def test_a_file_of_changes(tmp_path: Path) -> None:
    path = tmp_path / "changes.jsonl"
    lines = [
        {"id": "a", "feed_ver": 5, "attributes": {"price": 1}},
        {"id": "a", "feed_ver": 6, "vector": [2.0] + [0.0] * 7, "attributes": {"category": "A > B"}},
        {"id": "a", "remove": True},
        {"id": "a", "attributes": {"price": "1"}},
        {"id": "a", "atributes": {}},
        [1],
    ]
    path.write_text("\n\n".join(map(json.dumps, lines)) + "\nnot json\n\n")
    found = list(ChangesSource(path).operations(VERSION, 9, lambda number: number == 0))
    kinds = [(number, op.kind if isinstance(op, Operation) else "rejected") for number, op in found]
    assert kinds == [(1, "put"), (2, "remove"), *((number, "rejected") for number in (3, 4, 5, 6))]
    put_, remove = found[0][1], found[1][1]
    assert isinstance(put_, Operation)
    assert put_.fields["category"] == ["a", "a > b"]
    assert put_.fields["embedding"] == "3f80" + "0000" * 7
    assert isinstance(remove, Operation)
    assert remove.feed_ver == 9


@pytest.mark.slow
async def test_faults_and_kills_end_with_every_document_at_its_newest(tmp_path: Path) -> None:
    items, kills = 3000, (400, 1500, 3600)
    make_embeddings(tmp_path / "embeddings", rows=items)
    all_changes = list(changes(items, 2000, seed=8))
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
        assert all(versions == sorted(set(versions)) for versions in server.history.values())
        assert min(server.faults[name] for name in ("busy", "507", "reset_after", "garbage")) > 0
    assert (tmp_path / "changes.done").exists()
