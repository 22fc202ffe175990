"""The client, the feeder and deploying against Vespa's own container, with faults on its nodes."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import httpx
import numpy as np
import pytest

from artifacts.embeddings import EmbeddingsFolder
from common.deadline import Deadline
from devtools.embeddings import make_embeddings, unit_vectors
from devtools.vespa_peer.peer import Peer
from index.filters import parse_filter
from index.port import IndexUnavailable, Neighbours
from index.vespa import errors
from index.vespa.client import VespaIndex
from index.vespa.feed.changes import ChangesSource
from index.vespa.feed.feeder import feed
from index.vespa.feed.journal import Journal
from index.vespa.feed.ledger import FeedRefused, Ledger
from index.vespa.feed.operations import Operations
from index.vespa.feed.prune import prune
from index.vespa.feed.report import FeedReport
from index.vespa.feed.source import EmbeddingsSource
from index.vespa.feed.verify import verify
from index.vespa.joined import JoinedVespaIndex
from index.vespa.package.deploy import DeployRefused, deploy
from index.vespa.package.layout import Layout
from index.vespa.package.render import add_version, drop_version, render
from index.vespa.query import QueryBuilder
from index.vespa.settings import EndpointSettings, FeedSettings, SearchSettings, VespaSettings
from index.vespa.version import Version
from tests.index.vespa.operations import ListedSource
from tests.support.vespa_peer import INT8, VERSION

ROWS = 200
QUERIES = unit_vectors(6, 128, seed=9)
FEED = FeedSettings(backoff=0.005, backoff_max=0.1, pause_blocked=0.02, pause_blocked_max=0.1, attempts=40)


async def feed_folder(settings: VespaSettings, folder: Path, feed_ver: int = 1) -> FeedReport:
    source = EmbeddingsSource(EmbeddingsFolder.open(folder))
    return await feed(settings, source, Journal(None, "test", feed_ver), feeding=FEED)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_embeddings(
        tmp_path_factory.mktemp("shop") / "embeddings", rows=ROWS, bundle_version=VERSION.bundle_version
    )


@pytest.fixture(scope="module")
def settings(vespa_peer: Peer, folder: Path) -> VespaSettings:
    found = VespaSettings(EndpointSettings((vespa_peer.url,), breaker_failures=10_000), VERSION)
    report = asyncio.run(feed_folder(found, folder))
    assert report.complete, report.failures
    return found


@contextmanager
def planted(peer: Peer, place: str, kind: str, amount: float = 1.0) -> Iterator[None]:
    peer.fault(place, kind, amount)
    try:
        yield
    finally:
        peer.clear()


async def outcome(settings: VespaSettings, budget: float = 20.0) -> Neighbours | IndexUnavailable:
    async with VespaIndex(settings) as index:
        try:
            (found,) = await index.search(QUERIES[:1], 50, None, Deadline.after(budget))
        except IndexUnavailable as unavailable:
            return unavailable
        return found


async def recovered(settings: VespaSettings) -> Neighbours:
    """The outcome once the container has seen that its nodes are back, which takes it a while."""
    while True:
        found = await outcome(settings)
        if isinstance(found, Neighbours) and found.coverage == 1:
            return found
        await asyncio.sleep(0.1)


async def test_several_vectors_are_answered_as_each_alone(settings: VespaSettings) -> None:
    raw = {"brand": {"not": "acme"}, "price": {"lt": 90}}
    async with VespaIndex(settings) as index:
        for filters in (None, parse_filter(raw, index.attributes)):
            together = await index.search(QUERIES[:3], 7, filters, Deadline.after(10))
            for row, found in enumerate(together):
                (alone,) = await index.search(QUERIES[row : row + 1], 7, filters, Deadline.after(10))
                assert found.ids == alone.ids
                np.testing.assert_array_equal(found.scores, alone.scores)


async def test_approximate_exact_and_ranked_agree(settings: VespaSettings, vespa_peer: Peer) -> None:
    async with VespaIndex(settings) as index:
        (near,) = await index.search(QUERIES[:1], 20, None, Deadline.after(10))
        exact = await index.search_exact(QUERIES[0], 20, None, Deadline.after(10))
    assert near.ids == exact.ids
    body = QueryBuilder(VERSION).nearest(QUERIES[0], 20, None, 5.0)
    body |= {"yql": "select item_id from sources * where true", "ranking.profile": "exact"}
    async with httpx.AsyncClient(base_url=vespa_peer.url) as client:
        root = (await client.post("/search/", json=body)).json()["root"]
    assert [hit["fields"]["item_id"] for hit in root["children"]] == near.ids
    ranked = [2.0 - 1.0 / hit["relevance"] for hit in root["children"]]
    np.testing.assert_allclose(near.scores, ranked, atol=1e-5)


async def test_a_graph_over_int8_gives_the_items_and_scores_of_the_embeddings(
    vespa_peer: Peer, folder: Path, settings: VespaSettings
) -> None:
    coarse = VespaSettings(EndpointSettings((vespa_peer.url,)), INT8)
    assert (await feed_folder(coarse, folder)).complete
    filters = parse_filter({"price": {"lt": 90}}, VERSION.attributes)
    async with JoinedVespaIndex(settings) as plain, JoinedVespaIndex(coarse) as index:
        await index.check()
        assert (await index.stats()).kind == "hnsw_int8:item_demo_1a2b3c4d_int8"
        for query in QUERIES:
            for kept in (None, filters):
                (wanted,) = await plain.search(query[None], 40, kept, Deadline.after(10))
                (near,) = await index.search(query[None], 40, kept, Deadline.after(10))
                assert near.ids == wanted.ids
                np.testing.assert_allclose(near.scores, wanted.scores, atol=1e-5)
            first = await index.first_search(query, 20, None, Deadline.after(10), ids=["item-7"], head=2)
            assert first.near.ids == wanted_ids(await plain.search(query[None], 20, None, Deadline.after(10)))
            assert first.asked.ids == ["item-7"]
            assert list(first.head) == first.near.ids[:2]
        triggers = np.stack([first.asked.vectors[0], *first.head.values()])
        near = await index.related(triggers, QUERIES[0], 15, None, Deadline.after(10))
        far = await plain.related(triggers, QUERIES[0], 15, None, Deadline.after(10))
        assert [each.ids for each in near.near] == [each.ids for each in far.near]
        exact = await index.search_exact(QUERIES[0], 40, None, Deadline.after(10))
        assert exact.ids == wanted_ids(await plain.search(QUERIES[:1], 40, None, Deadline.after(10)))
        report = await verify(index, EmbeddingsFolder.open(folder), sampled=50, queries=20)
        assert report.holds, report.checks


async def test_item_features_are_read_to_the_bit(
    vespa_peer: Peer, folder: Path, settings: VespaSettings
) -> None:
    keeps = VespaSettings(EndpointSettings((vespa_peer.url,)), INT8)
    assert (await feed_folder(keeps, folder)).complete
    stored = EmbeddingsFolder.open(folder).features
    async with VespaIndex(keeps) as index, VespaIndex(settings) as without:
        ids, features = await index.features(["item-7", "nobody", "", "item-150"], Deadline.after(10))
        assert ids == ["item-7", "item-150"]
        np.testing.assert_array_equal(features, stored[[7, 150]])
        with pytest.raises(IndexUnavailable, match="no-features"):
            await without.features(["item-7"], Deadline.after(10))


def wanted_ids(found: list[Neighbours]) -> list[str]:
    return found[0].ids


async def test_searches_that_are_joined_find_what_they_find_apart(settings: VespaSettings) -> None:
    """Ids, cosines, vectors of a history and of the head: Vespa's own expressions give them with the hits."""
    raw = {"brand": {"not": "acme"}, "price": {"lt": 90}}
    history = ["item-7", "item-150", "nobody", "item-3"]
    async with JoinedVespaIndex(settings) as index:
        stored = await index.vectors(history, Deadline.after(10))
        for filters in (None, parse_filter(raw, index.attributes)):
            (near,) = await index.search(QUERIES[:1], 20, filters, Deadline.after(10))
            first = await index.first_search(QUERIES[0], 20, filters, Deadline.after(10), ids=history, head=2)
            assert first.near.ids == near.ids
            np.testing.assert_allclose(first.near.scores, near.scores, atol=1e-5)
            assert first.asked.ids == stored.ids == ["item-7", "item-150", "item-3"]
            np.testing.assert_array_equal(first.asked.vectors, stored.vectors)
            assert list(first.head) == near.ids[:2]
            head = await index.vectors(near.ids[:2], Deadline.after(10))
            np.testing.assert_array_equal(np.stack(list(first.head.values())), head.vectors)
            apart = await index.search(QUERIES[:5], 31, filters, Deadline.after(10))
            together = await index.related(QUERIES[:5], QUERIES[5], 31, filters, Deadline.after(10))
            for one, other in zip(apart, together.near, strict=True):
                assert one.ids == other.ids
                np.testing.assert_allclose(one.scores, other.scores, atol=1e-5)
            others = await index.vectors(list(together.cosines), Deadline.after(10))
            cosines = [together.cosines[item] for item in others.ids]
            np.testing.assert_allclose(cosines, others.vectors @ QUERIES[5], atol=1e-5)


async def test_a_history_takes_no_place_of_what_a_filter_lets_pass(settings: VespaSettings) -> None:
    """Vespa searches the graph for all that filters or names let pass, with no more candidates than asked."""
    narrow = replace(settings, search=SearchSettings(target_hits_least=1, explore_additional_hits=0))
    async with JoinedVespaIndex(narrow) as index:
        filters = parse_filter({"price": {"lt": 50}}, index.attributes)
        for query in QUERIES:
            (all_near,) = await index.search(query[None], 30, None, Deadline.after(10))
            (near,) = await index.search(query[None], 5, filters, Deadline.after(10))
            first = await index.first_search(query, 5, filters, Deadline.after(10), ids=all_near.ids, head=2)
            assert set(all_near.ids) - set(near.ids)  # the filter leaves some of the history out
            assert first.near.ids == near.ids
            assert first.asked.ids == all_near.ids
            assert first.asked.coverage == 1.0


async def test_a_history_that_lies_on_one_node_comes_whole(vespa_peer: Peer, settings: VespaSettings) -> None:
    async with JoinedVespaIndex(settings) as index:
        vespa_peer.fault("node1", "soft-timeout", 0.0)
        try:
            (there,) = await index.search(QUERIES[:1], ROWS, None, Deadline.after(10))
        finally:
            vespa_peer.clear()
        ids = sorted(there.ids)[:60]
        first = await index.first_search(QUERIES[0], 1, None, Deadline.after(10), ids=ids, head=0)
    assert len(there.ids) < ROWS
    assert first.asked.ids == ids


async def test_no_node_is_asked_for_summaries(vespa_peer: Peer, settings: VespaSettings) -> None:
    with planted(vespa_peer, "nodes", "no-summaries"):
        async with JoinedVespaIndex(settings) as index:
            (found,) = await index.search(QUERIES[:1], 20, None, Deadline.after(10))
            first = await index.first_search(QUERIES[0], 20, None, Deadline.after(10), ids=["item-3"], head=2)
    assert len(found.ids) == 20
    assert (first.near.ids, first.asked.ids) == (found.ids, ["item-3"])


async def test_more_candidates_than_hits(settings: VespaSettings) -> None:
    found = await outcome(replace(settings, search=SearchSettings(target_hits_factor=2.0)))
    assert isinstance(found, Neighbours)
    assert len(found.ids) == 50


async def test_a_node_that_is_down(vespa_peer: Peer, settings: VespaSettings) -> None:
    with planted(vespa_peer, "node0", "down"):
        found = await outcome(settings)
        assert isinstance(found, Neighbours | errors.VespaError)
        if isinstance(found, Neighbours):
            assert found.coverage < 1
            assert found.degraded
        else:
            assert found.reason in ("errors", "backend", "timeout")
    await recovered(settings)


async def test_vectors_of_a_node_that_is_down_are_unknown(vespa_peer: Peer, settings: VespaSettings) -> None:
    ids = [f"item-{number}" for number in range(ROWS)]
    async with VespaIndex(settings) as index:
        whole = await index.vectors(ids, Deadline.after(10))
        assert (len(whole.ids), whole.coverage) == (ROWS, 1.0)
        with planted(vespa_peer, "node0", "down"):
            for _ in range(100):  # the first ones find the connection cut, until the dispatcher pings
                try:
                    half = await index.vectors(ids, Deadline.after(10))
                    break
                except IndexUnavailable:
                    await asyncio.sleep(0.1)
            assert 0 < len(half.ids) < ROWS
            assert half.coverage < 1.0
            assert "non-ideal-state" in half.degraded
            there = await index.vectors(half.ids, Deadline.after(10))
            assert (there.ids, there.coverage) == (half.ids, 1.0)
        await recovered(settings)
        for _ in range(100):  # a busy machine may keep a node waiting once more
            back = await index.vectors(ids, Deadline.after(10))
            if back.coverage == 1:
                break
        assert (back.ids, back.coverage) == (ids, 1.0)
        # All of one node, which by default gives but its share and some more of them.
        assert (await index.vectors(half.ids, Deadline.after(10))).ids == half.ids


async def test_every_node_down(vespa_peer: Peer, settings: VespaSettings) -> None:
    with planted(vespa_peer, "node0", "down"), planted(vespa_peer, "node1", "down"):
        found = await outcome(settings)
    assert isinstance(found, errors.VespaError)
    assert found.reason in ("backend", "errors", "no_coverage")
    await recovered(settings)


async def test_every_node_slow(vespa_peer: Peer, settings: VespaSettings) -> None:
    with planted(vespa_peer, "nodes", "slow", 3000):
        found = await outcome(settings, budget=0.3)
    assert isinstance(found, errors.TimedOut)


async def test_one_node_slow(vespa_peer: Peer, settings: VespaSettings) -> None:
    with planted(vespa_peer, "node1", "slow", 3000):
        found = await outcome(settings, budget=0.4)
    if isinstance(found, Neighbours):
        assert found.coverage < 1
        assert found.degraded
    else:
        assert found.reason in ("timeout", "errors")


async def test_one_node_of_a_group_that_has_no_other_is_slow(
    vespa_peer: Peer, vespa_application: Path, settings: VespaSettings, tmp_path: Path
) -> None:
    layout = Layout(config=("c1",), query=("q1",), feed=("f1",), groups=(("a1", "a2"),))
    alone = render(tmp_path / "package", [VERSION, INT8], layout)
    verdict = vespa_peer.deploy(alone)
    assert verdict.ok, verdict.error
    try:
        # The last node is waited for, though the other's answer would be enough.
        with planted(vespa_peer, "node1", "slow", 200):
            for _ in range(3):
                found = await outcome(settings, budget=20.0)
                assert isinstance(found, Neighbours), found
                assert (found.coverage, found.degraded) == (1.0, ())
        with planted(vespa_peer, "node1", "slow", 20_000):
            for _ in range(4):
                found = await outcome(settings, budget=5.0)
                assert isinstance(found, Neighbours), found
                assert 0.3 < found.coverage < 0.7
                assert found.degraded
                assert found.ids
    finally:
        assert vespa_peer.deploy(vespa_application).ok


@pytest.mark.parametrize(
    ("kind", "reason"),
    [("soft-timeout", "timeout"), ("match-phase", "match-phase"), ("ann-timeout", "anntimeout")],
)
async def test_half_of_the_documents(
    vespa_peer: Peer, settings: VespaSettings, kind: str, reason: str
) -> None:
    with planted(vespa_peer, "nodes", kind, 0.5):
        found = await outcome(settings)
    assert isinstance(found, Neighbours)
    assert reason in found.degraded
    if kind != "ann-timeout":
        assert found.coverage < 1


async def test_errors_of_one_node_beside_hits(vespa_peer: Peer, settings: VespaSettings) -> None:
    await recovered(settings)
    with planted(vespa_peer, "node0", "error"):
        found = await outcome(settings)
    assert isinstance(found, errors.VespaError)
    assert found.reason == "errors"
    assert "code 8" in str(found)


async def test_errors_of_every_node(vespa_peer: Peer, settings: VespaSettings) -> None:
    with planted(vespa_peer, "nodes", "error"):
        found = await outcome(settings)
    assert isinstance(found, errors.VespaError)
    assert found.reason == "backend"


async def test_summaries_that_do_not_come(vespa_peer: Peer, settings: VespaSettings) -> None:
    """A search needs none: ids come with the hits. Vectors of items by their ids are summaries."""
    with planted(vespa_peer, "nodes", "slow-summaries", 60_000):
        found = await outcome(settings)
        assert isinstance(found, Neighbours)
        assert (len(found.ids), found.coverage) == (50, 1.0)
        async with VespaIndex(settings) as index:
            with pytest.raises(errors.VespaError):
                await index.vectors(["item-1"], Deadline.after(0.4))


async def test_after_the_faults_all_is_well(vespa_peer: Peer, settings: VespaSettings) -> None:
    vespa_peer.clear()
    found = await recovered(settings)
    assert found.degraded == ()


@pytest.mark.parametrize(
    ("version", "words"),
    [
        (replace(VERSION, bundle_version="other-00000000"), "other-00000000"),
        (replace(VERSION, attributes={"colour": "string"}), "colour"),
        (replace(VERSION, dimension=64), "width 64"),
    ],
)
async def test_another_bundle_is_refused_at_the_start(
    settings: VespaSettings, version: Version, words: str
) -> None:
    async with VespaIndex(replace(settings, version=version)) as index:
        with pytest.raises(errors.VersionMismatch, match=words):
            await index.check()


async def test_feeding_through_faults(vespa_peer: Peer, settings: VespaSettings, folder: Path) -> None:
    for number, kind in enumerate(("overload", "timeout", "full")):
        with planted(vespa_peer, "feed", kind, 0.1):
            report = await feed_folder(settings, folder, feed_ver=10 + number)
        assert report.complete, report.failures
        assert report.done == ROWS
    assert vespa_peer.count()[VERSION.document_type] == ROWS


async def test_updates_removals_and_late_operations(vespa_peer: Peer, settings: VespaSettings) -> None:
    make = Operations(VERSION)
    steps = [
        make.update("item-0", {"price": 77.25, "in_stock": None}, 100),
        make.update("item-0", {"price": 1.0}, 99),  # late
        make.remove("item-1", 100),
        make.put("item-1", QUERIES[0], {"price": 77.25}, 101),
        make.update("nobody", {"price": 1.0}, 100),
    ]
    async with VespaIndex(settings) as index:
        before = await index.vectors(["item-0"], Deadline.after(10))
        report = await feed(settings, ListedSource(steps), Journal(None, "steps", 1), feeding=FEED)
        assert report.complete
        assert sum(report.outcomes.values()) == 5
        after = await index.vectors(["item-0", "nobody"], Deadline.after(10))
        assert after.ids == ["item-0"]
        np.testing.assert_array_equal(before.vectors, after.vectors)
        filters = parse_filter({"price": 77.25, "in_stock": {"not": [True, False]}}, index.attributes)
        (found,) = await index.search(QUERIES[:1], 10, filters, Deadline.after(10))
        assert found.ids == ["item-1", "item-0"]


async def test_a_fed_version_is_verified(settings: VespaSettings, folder: Path, tmp_path: Path) -> None:
    await feed_folder(settings, folder, feed_ver=1000)
    few = {"sampled": 50, "queries": 10, "k": 20}
    async with VespaIndex(settings) as index:
        good = await verify(index, EmbeddingsFolder.open(folder), **few)
        assert good.holds, good.checks
        other = make_embeddings(tmp_path / "e", rows=ROWS + 1, seed=4, bundle_version=VERSION.bundle_version)
        bad = await verify(index, EmbeddingsFolder.open(other), **few)
        # Items, vectors, attributes; and the graph itself is fine, whatever is in it, with filters too.
        assert [check.holds for check in bad.checks][:5] == [False, False, False, True, True]
    assert good.recall == 1.0


async def test_what_verify_sees(
    vespa_peer: Peer, settings: VespaSettings, folder: Path, tmp_path: Path
) -> None:
    found, ledger, make = EmbeddingsFolder.open(folder), Ledger(), Operations(VERSION)

    async def failing() -> list[str]:
        async with VespaIndex(settings) as index:
            report = await verify(index, found, ledger, sampled=ROWS, queries=4, k=20, within=0.5)
        return [check.name for check in report.checks if not check.holds]

    ledger.begin(2000)
    await feed_folder(settings, folder, feed_ver=2000)
    assert await failing() == []
    wrong = ListedSource([make.update(f"item-{row}", {"price": 12345.0}, 2001) for row in range(9)])
    await feed(settings, wrong, Journal(None, "wrong", 1), feeding=FEED)
    assert await failing() == ["sampled items whose attributes differ"]
    changes = tmp_path / "changes.jsonl"
    changes.write_text(
        "\n".join(
            [f'{{"id": "item-{row}", "attributes": {{"price": 1}}}}' for row in range(9)]
            + ['{"id": "item-0", "remove": true}', f'{{"id": "new", "vector": {[1.0] * 128}}}']
        )
    )
    await feed(settings, ChangesSource(changes, ledger), Journal(None, "changes", 3000), feeding=FEED)
    assert await failing() == []
    with planted(vespa_peer, "node0", "soft-timeout", 0.5):
        assert "answers that looked at a part only" in await failing()
    await recovered(settings)
    # Another folder: what it does not hold any more is removed, and nothing else.
    ledger.begin(4000)
    with pytest.raises(FeedRefused, match="no folder"):
        await prune(settings, ledger)
    half = [make.put(f"item-{row}", found.vectors[row], {}, 4000) for row in range(1, 150)]
    await feed(settings, ListedSource(half), Journal(None, "half", 1), feeding=FEED)
    ledger.end(4000, refused=["item-150"])
    with pytest.raises(FeedRefused, match="--most"):
        await prune(settings, ledger)
    pruned = await prune(settings, ledger, most=0.5, dry_run=True)
    assert (pruned.items, pruned.left, pruned.removed) == (ROWS, 50, 0)
    pruned = await prune(settings, ledger, most=0.5, feeding=FEED)
    assert (pruned.removed, pruned.failed) == (50, 0)
    async with VespaIndex(settings) as index:
        assert await index.count(Deadline.after(5)) == ROWS - 50
        assert await index.count(Deadline.after(5), item="item-150") == 1
    await feed_folder(settings, folder, feed_ver=5000)


async def test_blue_and_green_under_load(
    vespa_peer: Peer, settings: VespaSettings, folder: Path, tmp_path: Path
) -> None:
    """One more version is deployed, fed, verified, takes the traffic; the first is dropped. Last of all."""
    green = Version("demo-bbbbbbbb", 128, VERSION.attributes)
    second = make_embeddings(tmp_path / "green", rows=100, seed=1, bundle_version=green.bundle_version)
    application = render(tmp_path / "package", [VERSION, INT8], Layout())
    config = EndpointSettings((vespa_peer.config_url,))
    await feed_folder(settings, folder, feed_ver=6000)
    expected = {
        version.bundle_version: unit_ids(EmbeddingsFolder.open(path), QUERIES[0])
        for version, path in ((VERSION, folder), (green, second))
    }
    serving, answers, stop = [VERSION], 0, False
    served = asyncio.Condition()

    async def load(indexes: dict[str, VespaIndex]) -> None:
        nonlocal answers
        while not stop:
            version = serving[0].bundle_version
            (found,) = await indexes[version].search(QUERIES[:1], 5, None, Deadline.after(5))
            assert found.ids == expected[version]
            assert found.coverage == 1.0
            async with served:
                answers += 1
                served.notify_all()

    async def some_more() -> None:
        """Wait until nothing from before is under way."""
        goal = answers + 20
        async with served:
            await served.wait_for(lambda: answers >= goal)

    async with (
        VespaIndex(settings) as old,
        VespaIndex(replace(settings, version=green)) as new,
        asyncio.TaskGroup() as clients,
    ):
        indexes = {VERSION.bundle_version: old, green.bundle_version: new}
        running = [clients.create_task(load(indexes)) for _ in range(2)]
        with pytest.raises(errors.VersionMismatch):
            await new.check()
        add_version(tmp_path / "package", green)
        await deploy(config, application, Deadline.after(60))
        await new.check()
        await feed_folder(replace(settings, version=green), second)
        report = await verify(new, EmbeddingsFolder.open(second), sampled=20, queries=5, k=10)
        assert report.holds, report.checks
        serving[0] = green
        await some_more()
        drop_version(tmp_path / "package", VERSION, datetime.now(UTC).date())
        await deploy(config, application, Deadline.after(60))
        await some_more()
        with pytest.raises(errors.VersionMismatch):
            await old.check()
        assert vespa_peer.count().keys() - {INT8.document_type} == {green.document_type}
        stop = True
        await asyncio.gather(*running)
    other = render(tmp_path / "other", [INT8], Layout())  # drops a version, without an override
    with pytest.raises(DeployRefused, match="schema-removal"):
        await deploy(config, other, Deadline.after(60))
    assert answers > 40


def unit_ids(folder: EmbeddingsFolder, query: np.ndarray, k: int = 5) -> list[str]:
    """The exact nearest, in float32."""
    scores = folder.vectors.astype(np.float32) @ query
    ids = folder.ids()
    return [ids[row] for row in np.argsort(-scores)[:k]]
