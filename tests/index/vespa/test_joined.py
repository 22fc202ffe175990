"""Two round trips for a recall: vectors that come with the first search, and neighbours of many at once."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from common.arrays import F32
from common.deadline import Deadline
from devtools.embeddings import unit_vectors
from devtools.vespa_fakes.fault_server import FaultServer, answer
from index.filters import AnyOf, Filter
from index.port import Related
from index.vespa import errors
from index.vespa.client import VespaIndex
from index.vespa.joined import JoinedVespaIndex
from tests.index.vespa.answers import first_hit, related_hit, root, settings, stored_hit
from tests.index.vespa.cluster import Cluster

E0 = np.eye(1, 8, dtype=np.float32)[0]
ONE = "3f80" + "0000" * 7
FILTERS = Filter((AnyOf("brand", ("acme",)),))


def items(rows: int, seed: int = 1) -> F32:
    """Unit vectors whose cells are bfloat16."""
    rounded = unit_vectors(rows, 8, seed=seed).view(np.uint32) & np.uint32(0xFFFF0000)
    return rounded.view(np.float32)


async def test_the_first_search_brings_the_vectors_of_the_history_and_of_the_head() -> None:
    vectors, query = items(300), unit_vectors(1, 8, seed=9)[0]
    cluster = Cluster(vectors, nodes=3)
    async with FaultServer([cluster]) as server, JoinedVespaIndex(settings(server.url)) as index:
        found = await index.first_search(
            query, 20, None, Deadline.after(5), ids=["i7", "i280", "nobody", "i7"], head=2
        )
    order = np.argsort(-(vectors @ query), kind="stable")[:20]
    assert found.near.ids == [f"i{row}" for row in order]
    np.testing.assert_allclose(found.near.scores, vectors[order] @ query, atol=1e-6)
    assert found.asked.ids == ["i7", "i280"]
    np.testing.assert_array_equal(found.asked.vectors, vectors[[7, 280]])
    assert found.asked.coverage == 1.0
    assert list(found.head) == found.near.ids[:2]
    np.testing.assert_array_equal(np.stack(list(found.head.values())), vectors[order[:2]])
    assert len(server.requests) == 1


@given(
    seed=st.integers(0, 1000),
    nodes=st.integers(1, 5),
    k=st.integers(1, 40),
    share=st.sampled_from([0.02, 0.3, 1.0]),
    count=st.integers(0, 60),
    near=st.booleans(),
)
@hypothesis_settings(max_examples=25)
def test_a_filter_is_not_for_the_history_and_costs_no_query(
    seed: int, nodes: int, k: int, share: float, count: int, near: bool
) -> None:
    vectors, query = items(300, seed), unit_vectors(1, 8, seed=seed + 1)[0]
    random = np.random.default_rng(seed)
    passing = np.flatnonzero(random.random(300) < share).tolist()
    order = np.argsort(-(vectors @ query), kind="stable")
    ids = [f"i{row}" for row in (order if near else random.permutation(300))[:count]]

    async def run() -> None:
        cluster = Cluster(vectors, nodes, passing)
        async with FaultServer([cluster]) as server, JoinedVespaIndex(settings(server.url)) as index:
            found = await index.first_search(query, k, FILTERS, Deadline.after(30), ids=ids, head=2)
        best = [f"i{row}" for row in order if row in set(passing)][:k]
        assert found.near.ids == best
        np.testing.assert_allclose(found.near.scores, [vectors[int(i[1:])] @ query for i in best], atol=1e-6)
        assert (found.asked.ids, found.asked.coverage) == (ids, 1.0)
        assert cluster.asked == ["first"]

    asyncio.run(run())


@pytest.mark.parametrize(("k", "nodes"), [(1, 4), (5, 8), (1, 16)])
async def test_a_history_that_lies_on_one_node_comes_whole(k: int, nodes: int) -> None:
    vectors, query = items(800), unit_vectors(1, 8, seed=9)[0]
    ids = [f"i{row * nodes}" for row in range(40)]
    cluster = Cluster(vectors, nodes)
    async with FaultServer([cluster]) as server, JoinedVespaIndex(settings(server.url)) as index:
        found = await index.first_search(query, k, None, Deadline.after(5), ids=ids, head=0)
    assert found.asked.ids == ids
    assert found.near.ids == [f"i{row}" for row in np.argsort(-(vectors @ query), kind="stable")[:k]]


@pytest.mark.parametrize(
    ("ids", "filters", "profiles"),
    [
        (["a"], FILTERS, 3),
        (['a"'], None, 4),
        (["a'"], None, 4),
        (["{"], None, 4),
        (["a\\"], FILTERS, 4),
    ],
)
async def test_an_odd_id_ends_no_label_and_an_older_package_is_asked_for_the_history_apart(
    ids: list[str], filters: Filter | None, profiles: int
) -> None:
    script = [answer(200, root([first_hit("x", 0.5)]))]
    async with FaultServer(script) as server:
        where = settings(server.url)
        where = replace(where, version=replace(where.version, profiles=profiles))
        async with JoinedVespaIndex(where) as index:
            with pytest.raises(errors.VespaError):  # the second query's answer is none of its kind
                await index.first_search(E0, 5, filters, Deadline.after(5), ids=ids, head=0)
    bodies = {request.json["ranking.profile"]: request.json for request in server.requests}
    assert bodies.keys() == {"first", "unranked"}
    assert "input.query(history)" not in bodies["first"]
    assert "item_id in" not in bodies["first"]["yql"]


async def test_history_that_was_not_reached_lowers_the_coverage() -> None:
    coverage = {"coverage": 50, "documents": 500, "degraded": {"timeout": True}}
    half = answer(200, root([first_hit("a", 0.9, ONE, own=1)], coverage=coverage))
    async with FaultServer([half]) as server, JoinedVespaIndex(settings(server.url)) as index:
        found = await index.first_search(E0, 5, None, Deadline.after(5), ids=["a", "b"], head=0)
    assert (found.asked.ids, found.asked.coverage, found.asked.degraded) == (["a"], 0.5, ("timeout",))
    assert (found.near.ids, found.near.coverage) == (["a"], 0.5)
    np.testing.assert_allclose(found.near.scores, [0.9], atol=1e-6)


def check(found: Related, vectors: F32, wanted: F32, query: F32, k: int) -> None:
    assert len(found.near) == len(wanted)
    for near, row in zip(found.near, wanted, strict=True):
        cosines = vectors @ row
        best = np.sort(cosines)[::-1][:k]
        np.testing.assert_allclose(near.scores, best, atol=1e-6)
        np.testing.assert_allclose([cosines[int(item[1:])] for item in near.ids], best, atol=1e-6)
        for item in near.ids:
            assert found.cosines[item] == pytest.approx(float(vectors[int(item[1:])] @ query), abs=1e-6)


@given(
    seed=st.integers(0, 1000),
    nodes=st.integers(1, 12),
    count=st.integers(1, 10),
    k=st.integers(1, 31),
    rows=st.integers(1, 400),
)
@hypothesis_settings(max_examples=25)
def test_each_vector_gets_all_of_its_neighbours(seed: int, nodes: int, count: int, k: int, rows: int) -> None:
    vectors, wanted = items(rows, seed), unit_vectors(count, 8, seed=seed + 1)

    async def run() -> None:
        cluster = Cluster(vectors, nodes)
        async with FaultServer([cluster]) as server, JoinedVespaIndex(settings(server.url)) as index:
            for _ in range(2):
                check(await index.related(wanted, E0, k, None, Deadline.after(30)), vectors, wanted, E0, k)

    asyncio.run(run())


async def test_how_many_hits_are_worth_it_is_learned() -> None:
    vectors, wanted = items(2000), unit_vectors(5, 8, seed=5)
    cluster = Cluster(vectors, nodes=4)
    async with FaultServer([cluster]) as server, JoinedVespaIndex(settings(server.url)) as index:
        for _ in range(6):
            await index.related(wanted, E0, 31, None, Deadline.after(30))
    assert cluster.asked[-5:] == ["related5"] * 5


BAD = {
    "a cosine too few": related_hit("a", [0.5, 0.5, 0.5]),
    "a cosine over 1": related_hit("a", [0.5, 7.0]),
    "another profile": first_hit("a", 9.5),
    "no features": {"id": "a", "relevance": 0.5, "fields": {}},
    "half a vector": first_hit("a", 0.5, ONE[:-4]),
}


@pytest.mark.parametrize("name", BAD)
async def test_answers_that_cannot_be_are_none(name: str) -> None:
    script = [answer(200, root([BAD[name]]))]
    async with FaultServer(script) as server, JoinedVespaIndex(settings(server.url)) as index:
        with pytest.raises(errors.VespaError, match="bad_answer"):
            await index.related(E0[None], E0, 5, None, Deadline.after(5))
        with pytest.raises(errors.VespaError, match="bad_answer"):
            await index.first_search(E0, 5, None, Deadline.after(5), ids=["a"], head=1)


async def test_features_may_have_the_names_of_their_expressions() -> None:
    long = first_hit("a", 0.9, ONE, own=1)
    features = long["fields"]["matchfeatures"]
    long["fields"]["matchfeatures"] = {f"rankingExpression({name})": features[name] for name in features}
    script = [answer(200, root([long]))]
    async with FaultServer(script) as server, JoinedVespaIndex(settings(server.url)) as index:
        found = await index.first_search(E0, 5, None, Deadline.after(5), ids=["a"], head=0)
    assert (found.near.ids, found.asked.ids) == (["a"], ["a"])


async def test_a_package_of_an_older_release_is_asked_as_before() -> None:
    old = [
        {"id": "x", "relevance": 1 / 1.5, "fields": {"item_id": "a"}},
        stored_hit("b", ONE) | {"relevance": 0.6},
    ]
    async with FaultServer([answer(200, root(old))]) as server, VespaIndex(settings(server.url)) as index:
        (found,) = await index.search(E0[None], 5, None, Deadline.after(5))
    assert found.ids == ["a", "b"]
