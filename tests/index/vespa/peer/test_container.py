"""The peer itself: that its answers are those that Vespa gives, as the client relies on them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import pytest

from devtools.vespa_peer.peer import Peer, start_peer
from index.vespa.tensors import bfloat16_hex, float_hex
from tests.support.vespa_peer import VERSION, require_peer

TYPE = VERSION.document_type
ITEMS = 40
NEAREST = "select item_id from sources * where {targetHits:40}nearestNeighbor(embedding, q)"
Answer = tuple[int, dict[str, Any]]

#: The profile without match-features. Vespa answers 200 where a hit has any field, match-features among them.
BARE = {"ranking.profile": "exact"}


def unit_rows(count: int, seed: int = 5) -> np.ndarray:
    rows = np.random.default_rng(seed).normal(size=(count, 128)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


ROWS = unit_rows(ITEMS)
HEX = [bfloat16_hex(row) for row in ROWS]


def document(number: int, **fields: Any) -> dict[str, Any]:
    return {
        "item_id": f"i{number}",
        "embedding": HEX[number],
        "feed_ver": 1,
        "price": float(number),
        **fields,
    }


class Http:
    """The peer over HTTP."""

    def __init__(self, peer: Peer, session: aiohttp.ClientSession) -> None:
        self._peer = peer
        self._session = session

    async def search(self, yql: str = NEAREST, **parameters: Any) -> Answer:
        body = {
            "yql": yql,
            "hits": 10,
            "timeout": "60s",  # as long as a busy machine may take; tests of time-outs have their own
            "model.restrict": TYPE,
            "ranking.profile": "q2i",
            "input.query(q)": float_hex(ROWS[0]),
            **parameters,
        }
        return await self.send("POST", "/search/", body)

    async def document(
        self, method: str, item: str, fields: Any = None, *, document_type: str = TYPE, **url: Any
    ) -> Answer:
        path = f"/document/v1/mrse/{document_type}/docid/{item}"
        return await self.send(method, path, None if fields is None else {"fields": fields}, **url)

    async def send(self, method: str, path: str, body: Any = None, **url: Any) -> Answer:
        async with self._session.request(method, self._peer.url + path, json=body, params=url) as answer:
            return answer.status, await answer.json(content_type=None)


def error_codes(answer: Answer) -> list[int]:
    return [error["code"] for error in answer[1]["root"].get("errors", [])]


def degraded_by(answer: Answer) -> list[str]:
    return [reason for reason, holds in answer[1]["root"]["coverage"].get("degraded", {}).items() if holds]


def ids(answer: Answer) -> list[Any]:
    return [hit.get("fields", {}).get("item_id") for hit in answer[1]["root"].get("children", [])]


@pytest.fixture(scope="module")
def peer(vespa_application: Path) -> Iterator[Peer]:
    require_peer()
    with start_peer(vespa_application, nodes=2) as peer:
        asyncio.run(_feed(peer))
        yield peer


async def _feed(peer: Peer) -> None:
    async with aiohttp.ClientSession() as session:
        answers = [await Http(peer, session).document("POST", f"i{n}", document(n)) for n in range(ITEMS)]
    assert {status for status, _ in answers} == {200}


@pytest.fixture
async def http(peer: Peer) -> AsyncIterator[Http]:
    async with aiohttp.ClientSession() as session:
        yield Http(peer, session)


@pytest.fixture
async def faulty(peer: Peer, http: Http) -> AsyncIterator[Peer]:
    """The peer, whole again after the test."""
    yield peer
    peer.clear()
    while True:  # until the dispatcher has pinged; where all are down, it says that coverage is 100
        status, answer = await http.search()
        if (
            status == 200
            and answer["root"]["coverage"]["documents"] == ITEMS
            and "errors" not in answer["root"]
        ):
            break
        await asyncio.sleep(0.05)


async def test_neighbours_are_exact(http: Http) -> None:
    status, answer = await http.search()
    stored = np.frombuffer(
        bytes.fromhex("".join(f"{digits[i : i + 4]}0000" for digits in HEX for i in range(0, 512, 4))), ">f4"
    )
    cosines = stored.reshape(ITEMS, 128).astype(np.float64) @ ROWS[0].astype(np.float64)
    best = np.argsort(-cosines)[:10]
    assert (status, error_codes((status, answer))) == (200, [])
    assert ids((status, answer)) == [f"i{n}" for n in best]
    scores = [2 - 1 / hit["relevance"] for hit in answer["root"]["children"]]
    assert scores == pytest.approx(cosines[best], abs=1e-6)
    assert answer["root"]["coverage"] == {
        "coverage": 100, "documents": ITEMS, "full": True, "nodes": 2, "results": 1, "resultsFull": 1,
    }  # fmt: skip
    exact = await http.search("select item_id from sources * where true", **{"ranking.profile": "exact"})
    assert ids(exact) == ids((status, answer))


async def test_filters_come_before_neighbours(http: Http) -> None:
    answer = await http.search(f"{NEAREST.replace('40}', '3}')} and price >= 30.0")
    assert len(ids(answer)) > 3  # three of each node, out of those that the filter leaves
    assert all(int(item[1:]) >= 30 for item in ids(answer))


@pytest.mark.parametrize(
    ("parameters", "status", "code"),
    [
        ({"yql": "select * from sources * where"}, 400, 4),
        ({"yql": "select * from sources nope where true"}, 400, 4),
        ({"yql": "select * from sources * where nope = 1"}, 400, 4),
        ({"ranking.profile": "nope"}, 400, 3),
        ({"input.query(q)": "3f80"}, 400, 3),
        ({"hits": 20_000}, 400, 3),
        ({"yql": "select * from sources * where nearestNeighbor(embedding, q)"}, 400, 3),
        ({"presentation.summary": "nope"}, 200, 4),
        ({"presentation.summary": "nope", **BARE}, 400, 4),
    ],
)
async def test_bad_requests(parameters: dict[str, Any], status: int, code: int, http: Http) -> None:
    answer = await http.search(**parameters)
    assert answer[0] == status
    assert code in error_codes(answer)


async def test_what_the_query_profile_allows(http: Http) -> None:
    answer = await http.search(
        "select item_id from sources * where true", hits=10_000, **{"ranking.profile": "unranked"}
    )
    assert (answer[0], len(ids(answer))) == (200, ITEMS)


async def test_a_type_that_is_not_deployed_is_no_error(http: Http) -> None:
    # Only the missing coverage tells it from a search that found nothing.
    answer = await http.search(**{"model.restrict": "item_gone"})
    assert answer == (200, {"root": {"id": "toplevel", "relevance": 1.0, "fields": {"totalCount": 0}}})
    empty = await http.search("select item_id from sources * where price < 0.0")
    assert "coverage" in empty[1]["root"]
    assert ids(empty) == []


async def test_an_unknown_path_is_html(peer: Peer) -> None:
    async with aiohttp.ClientSession() as session, session.get(f"{peer.url}/nope/") as answer:
        assert answer.status == 404
        assert "html" in answer.headers["Content-Type"]


@pytest.mark.parametrize(
    ("place", "kind", "amount", "status", "codes", "degraded"),
    [
        ("node0", "soft-timeout", 0.5, 200, [], "timeout"),
        ("node0", "match-phase", 0.5, 200, [], "match-phase"),
        ("node0", "ann-timeout", 1, 200, [], "anntimeout"),
        ("node0", "error", 1, 200, [8], None),
        ("nodes", "error", 1, 500, [8], None),
    ],
)
async def test_faults_of_nodes(
    place: str,
    kind: str,
    amount: float,
    status: int,
    codes: list[int],
    degraded: str | None,
    faulty: Peer,
    http: Http,
) -> None:
    faulty.fault(place, kind, amount)
    answer = await http.search()
    assert answer[0] == status
    assert error_codes(answer) == codes
    assert degraded_by(answer) == ([degraded] if degraded else [])


async def test_slow_nodes(faulty: Peer, http: Http) -> None:
    faulty.fault("nodes", "slow", 5000)
    answer = await http.search(timeout="200ms")
    assert (answer[0], error_codes(answer), degraded_by(answer)) == (504, [12], ["timeout"])


@pytest.mark.parametrize(("parameters", "status"), [({}, 200), (BARE, 504)])
async def test_slow_summaries(parameters: dict[str, Any], status: int, faulty: Peer, http: Http) -> None:
    await http.search(**parameters)
    faulty.fault("nodes", "slow-summaries", 8000)
    answer = await http.search(timeout="1s", **parameters)
    while degraded_by(answer):  # the machine was too busy for the search itself
        answer = await http.search(timeout="4s", **parameters)
    assert (answer[0], error_codes(answer)) == (status, [12])
    assert set(ids(answer)) == {None}


@pytest.mark.parametrize(("parameters", "fields"), [({}, {"matchfeatures"}), (BARE, set())])
async def test_hits_without_their_fields(
    parameters: dict[str, Any], fields: set[str], faulty: Peer, http: Http
) -> None:
    faulty.fault("nodes", "no-summaries")
    answer = await http.search(**parameters)
    assert answer[0] == 200
    assert "errors" not in answer[1]["root"]
    hits = answer[1]["root"]["children"]
    assert len(hits) == 10
    assert all(set(hit.get("fields", ())) == fields for hit in hits)


async def test_nodes_that_are_down(faulty: Peer, http: Http) -> None:
    faulty.fault("node0", "down")
    half = await http.search()
    while error_codes(half):  # the first ones find the connection cut, until the dispatcher pings
        half = await http.search()
    assert half[0] == 200
    assert half[1]["root"]["coverage"]["coverage"] < 100
    assert half[1]["root"]["coverage"]["degraded"]["non-ideal-state"]
    faulty.fault("node1", "down")
    answer = await http.search()
    assert answer[0] == 503
    assert error_codes(answer) == [10]
    coverage = answer[1]["root"]["coverage"]
    assert (coverage["coverage"], coverage["documents"], coverage["full"]) == (
        100,
        0,
        True,
    )  # as Vespa has it


async def test_conditions(http: Http) -> None:
    older = {"condition": f"{TYPE}.feed_ver < 5"}
    assert (await http.document("POST", "new", document(0, feed_ver=5), **older))[0] == 412
    assert (await http.document("POST", "new", document(0, feed_ver=5), create="true", **older))[0] == 200
    assert (await http.document("POST", "new", document(0, feed_ver=5), create="true", **older))[0] == 412
    newer = {"condition": f"{TYPE}.feed_ver < 6"}
    update = {"price": {"assign": 9.5}, "feed_ver": {"assign": 6}}
    assert (await http.document("PUT", "new", update, **newer))[0] == 200
    assert (await http.document("PUT", "new", update, **newer))[0] == 412
    status, stored = await http.document("GET", "new", fieldSet=f"{TYPE}:price,feed_ver")
    assert (status, stored["fields"]) == (200, {"price": 9.5, "feed_ver": 6})
    assert (await http.document("DELETE", "new", **newer))[0] == 412
    assert (await http.document("DELETE", "new", condition=f"{TYPE}.feed_ver < 7"))[0] == 200
    assert (await http.document("GET", "new"))[0] == 404
    # Without a condition what is not there is no failure.
    assert (await http.document("PUT", "new", update))[0] == 200
    assert (await http.document("DELETE", "new"))[0] == 200


async def test_bad_documents(http: Http) -> None:
    assert (await http.document("POST", "x", {"colour": "red"}))[0] == 400
    assert (await http.document("POST", "x", {"embedding": HEX[0][:-1]}))[0] == 400
    assert (await http.document("POST", "x", {}, document_type="nope"))[0] == 400
    assert (await http.document("POST", "x", {}, condition="nope <"))[0] == 500
    assert (await http.document("GET", "x"))[0] == 404


@pytest.mark.parametrize(
    ("kind", "status"), [("overload", 429), ("full", 507), ("timeout", 504), ("error", 500)]
)
async def test_faults_in_feeding(kind: str, status: int, faulty: Peer, http: Http) -> None:
    faulty.fault("feed", kind)
    assert (await http.document("PUT", "i0", {"price": {"assign": 1.0}}))[0] == status
    assert (await http.document("GET", "i0"))[0] == 200
