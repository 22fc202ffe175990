"""Each fault gets its documented answer, nothing hangs, and nothing is asked twice that must not be."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from common.deadline import Deadline
from common.seldom import Seldom
from devtools.vespa_fakes.fault_server import (
    Act,
    FaultServer,
    Request,
    answer,
    drip,
    half,
    hang,
    hang_up,
    no_http,
    reset,
)
from index.port import IndexUnavailable, Neighbours
from index.vespa import errors, names
from index.vespa.client import VespaIndex
from index.vespa.settings import EndpointSettings
from index.vespa.transport import Request as Asked
from index.vespa.transport import Transport
from tests.index.vespa.answers import COVERAGE, GOOD, HITS, NOTHING, error, hit, root, settings, stored_hit

QUERY = np.eye(1, 8, dtype=np.float32)
HALF = COVERAGE | {"coverage": 50, "full": False, "degraded": {"timeout": True, "match-phase": False}}
HTML = b"<html><body>Not Found</body></html>"
BOUND = "x" * 3000 + "0123456789abcdef" * 64


@dataclass
class Fault:
    script: list[Act]
    #: The error that comes, or None for an answer.
    raises: type[IndexUnavailable] | None
    reason: str = ""
    #: Requests that the server sees.
    requests: int = 1
    #: Seconds the caller gives; short for what never ends.
    budget: float = 5.0
    #: Of the error's message.
    words: str = ""
    #: Of an answer.
    coverage: float = 1.0
    degraded: tuple[str, ...] = ()


def refused(status: int, *codes: int, coverage: Any = NOTHING, hits: Any = ()) -> Act:
    return answer(status, root(hits, coverage=coverage, errors=[error(code) for code in codes]))


FAULTS: dict[str, Fault] = {
    "no answer": Fault([hang], errors.TimedOut, "timeout", budget=0.15),
    "an answer that never ends": Fault([drip], errors.TimedOut, "timeout", budget=0.15),
    "an answer too late": Fault([answer(200, GOOD, after=60)], errors.TimedOut, "timeout", budget=0.1),
    "504, coverage 100 of 0": Fault([refused(504, 12)], errors.TimedOut, "timeout"),
    "504 of a proxy": Fault([answer(504, HTML)], errors.TimedOut, "timeout"),
    "503, coverage 100 of 0": Fault([refused(503, 10)], errors.VespaError, "backend", words="code 10"),
    "503, code 0": Fault([refused(503, 0)], errors.VespaError, "backend", words="code 0"),
    "503 of a proxy": Fault([answer(503, HTML)], errors.VespaError, "overloaded"),
    "502 of a proxy": Fault([answer(502, HTML)], errors.VespaError, "backend"),
    "500, every node fails": Fault([refused(500, 8)], errors.VespaError, "backend", words="code 8"),
    "429": Fault([answer(429, {"message": "busy"})], errors.VespaError, "overloaded"),
    "400, query": Fault([refused(400, 3, coverage=None)], errors.RequestRefused, "request", words="code 3"),
    "400, YQL": Fault([refused(400, 4, coverage=None)], errors.RequestRefused, "request", words="code 4"),
    "404, HTML": Fault([answer(404, HTML)], errors.RequestRefused, "request"),
    "401": Fault([answer(401, {"code": 401})], errors.VespaError, "auth"),
    "403": Fault([answer(403, {"code": 403})], errors.VespaError, "auth"),
    "a redirect": Fault([answer(302, b"", {"Location": "http://127.0.0.1:9/"})], errors.RequestRefused),
    "200, no document looked at": Fault(
        [answer(200, root(coverage=NOTHING))], errors.NoCoverage, "no_coverage"
    ),
    "200, hits, no document looked at": Fault([answer(200, root(HITS, coverage=NOTHING))], errors.NoCoverage),
    "200, no coverage": Fault([answer(200, root(HITS, coverage=None))], errors.VespaError, "bad_answer"),
    "200 with nothing, of a document type that is not there": Fault(
        [answer(200, root(coverage=None))], errors.NotDeployed, "not_deployed"
    ),
    "200, errors and no hits": Fault([refused(200, 8)], errors.VespaError, "errors", words="code 8"),
    "200, errors beside hits": Fault(
        [refused(200, 8, coverage=COVERAGE, hits=HITS)], errors.VespaError, "errors", words="code 8"
    ),
    "200, a node's connection broke, beside the hits of others": Fault(
        [refused(200, 10, coverage=HALF | {"degraded": {"non-ideal-state": True}}, hits=HITS)],
        None,
        coverage=0.5,
        degraded=("non-ideal-state",),
    ),
    "200, the same, and all documents are said to be looked at": Fault(
        [refused(200, 10, coverage=COVERAGE, hits=HITS)], errors.VespaError, "errors", words="code 10"
    ),
    "200, the same, and no document was looked at": Fault(
        [refused(200, 10, coverage=HALF | {"documents": 0})], errors.VespaError, "errors", words="code 10"
    ),
    "half coverage": Fault(
        [answer(200, root(HITS, coverage=HALF))], None, coverage=0.5, degraded=("timeout",)
    ),
    "degraded though full": Fault(
        [answer(200, root(HITS, coverage=COVERAGE | {"degraded": {"non-ideal-state": True}}))],
        None,
        degraded=("non-ideal-state",),
    ),
    "no hits": Fault([answer(200, root())], None),
    "garbage": Fault([answer(200, b"<<<%$")], errors.VespaError, "bad_answer"),
    "JSON that is no answer": Fault([answer(200, [1, 2])], errors.VespaError, "bad_answer"),
    "root that is no object": Fault([answer(200, {"root": "x"})], errors.VespaError, "bad_answer"),
    "children that are no list": Fault(
        [answer(200, {"root": GOOD["root"] | {"children": {"a": 1}}})], errors.VespaError, "bad_answer"
    ),
    "a hit without its id": Fault(
        [answer(200, root([{"id": "x", "relevance": 0.5, "fields": {}}]))], errors.VespaError, "bad_answer"
    ),
    "a closeness over 1": Fault([answer(200, root([hit("a", 1.5)]))], errors.VespaError, "bad_answer"),
    "a relevance that is NaN": Fault(
        [answer(200, root([hit("a", 1.0) | {"relevance": "NaN"}]))], errors.VespaError, "bad_answer"
    ),
    "a relevance of nothing": Fault(
        [answer(200, root([hit("a", 1.0) | {"relevance": 0.0}]))], errors.VespaError, "bad_answer"
    ),
    "an empty body": Fault([answer(200, b"")], errors.VespaError, "bad_answer"),
    "no HTTP": Fault([no_http], errors.VespaError, "bad_answer"),
    # Tried a second time, and only these.
    "reset twice": Fault([reset], errors.Unreachable, "connection", requests=2),
    "reset once": Fault([reset, answer(200, GOOD)], None, requests=2),
    "closed twice": Fault([hang_up], errors.Unreachable, "connection", requests=2),
    "closed once": Fault([hang_up, answer(200, GOOD)], None, requests=2),
    "half an answer": Fault([half], errors.Unreachable, "connection", requests=2),
    "half an answer, once": Fault([half, answer(200, GOOD)], None, requests=2),
    "reset, then no answer": Fault([reset, hang], errors.TimedOut, "timeout", requests=2, budget=0.15),
    "reset, then 503": Fault([reset, refused(503, 10)], errors.VespaError, "backend", requests=2),
}


async def outcome(fault: Fault, ask: Callable[[VespaIndex, Deadline], Awaitable[Any]]) -> Any:
    """The answer or the error of one call, once the server has read all requests that the fault is about.

    A busy machine may spend a short budget before a request is read: then all is tried anew with more.
    """
    budget = fault.budget
    while True:
        async with FaultServer(fault.script) as server:
            async with VespaIndex(settings(server.url)) as index:
                result: Any
                try:
                    result = await ask(index, Deadline.after(budget))
                except IndexUnavailable as unavailable:
                    result = unavailable
            read = len(server.requests)
        if read >= fault.requests or budget > 20:
            assert read == fault.requests
            return result
        budget *= 3


@pytest.mark.parametrize("name", FAULTS)
async def test_each_fault_gets_its_documented_answer(name: str) -> None:
    fault = FAULTS[name]
    result = await outcome(fault, lambda index, deadline: index.search(QUERY, 10, None, deadline))
    if fault.raises is not None:
        assert type(result) is fault.raises
        assert not fault.reason or result.reason == fault.reason
        assert fault.words in str(result)
    else:
        (found,) = result
        assert isinstance(found, Neighbours)
        assert (found.coverage, found.degraded) == (fault.coverage, fault.degraded)


#: Faults that `vectors` shares: all but those about fields that only a search asks for.
SHARED = [
    name
    for name, fault in FAULTS.items()
    if fault.raises and not any(word in name for word in ("hit", "closeness", "relevance"))
]


@pytest.mark.parametrize("name", SHARED)
async def test_vectors_fail_as_searches_do(name: str) -> None:
    fault = FAULTS[name]
    result = await outcome(fault, lambda index, deadline: index.vectors(["a"], deadline))
    assert type(result) is fault.raises


async def test_good_hits_have_their_cosines() -> None:
    async with FaultServer([answer(200, GOOD)]) as server, VespaIndex(settings(server.url)) as index:
        (found,) = await index.search(QUERY, 10, None, Deadline.after(5))
    assert found.ids == ["a", "b", "c"]
    np.testing.assert_allclose(found.scores, [0.9, 0.5, -0.25], atol=1e-6)
    assert found.scores.dtype == np.float32


async def test_nothing_is_sent_when_the_deadline_has_passed() -> None:
    async with FaultServer([answer(200, GOOD)]) as server, VespaIndex(settings(server.url)) as index:
        with pytest.raises(errors.VespaError) as raised:
            await index.search(QUERY, 10, None, Deadline.after(0.001))
        with pytest.raises(errors.VespaError):
            await index.vectors(["a"], Deadline.after(0))
        assert server.requests == []
    assert raised.value.reason == "timeout"


async def test_a_search_given_up_frees_its_connection() -> None:
    async with FaultServer([hang, answer(200, GOOD)]) as server:
        where = settings(server.url, connections=1)
        async with VespaIndex(where) as index:
            given_up = asyncio.ensure_future(index.search(QUERY, 10, None, Deadline.after(60)))
            await server.arrived.wait()
            given_up.cancel()
            with pytest.raises(asyncio.CancelledError):
                await given_up
            (found,) = await index.search(QUERY, 10, None, Deadline.after(5))
        assert found.ids == ["a", "b", "c"]


async def test_parallel_vectors_fail_as_one_and_leave_nothing_running() -> None:
    vectors = np.eye(6, 8, dtype=np.float32)
    async with FaultServer([refused(503, 10), hang]) as server, VespaIndex(settings(server.url)) as index:
        with pytest.raises(errors.VespaError, match="backend"):
            await index.search(vectors, 10, None, Deadline.after(60))
        assert len(asyncio.all_tasks()) <= 2 + len(server._tasks)


async def test_messages_hold_no_tensors() -> None:
    body = root(coverage=None, errors=[error(3, "Illegal query", f"Could not set 'q' to '{BOUND}'")])
    async with FaultServer([answer(400, body)]) as server, VespaIndex(settings(server.url)) as index:
        with pytest.raises(errors.RequestRefused) as raised:
            await index.search(QUERY, 10, None, Deadline.after(5))
    assert len(str(raised.value)) < 300
    assert "0123456789abcdef" not in str(raised.value)


@pytest.mark.parametrize("act", [refused(400, 4, coverage=None), reset, hang])
async def test_a_failure_is_told_seldom_and_without_what_was_asked(
    act: Act, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("index.vespa.endpoints._told", Seldom(clock=lambda: 0.0))
    async with FaultServer([act]) as server:
        async with VespaIndex(settings(server.url)) as index:
            with caplog.at_level(logging.INFO, "mrse.vespa"):
                for _ in range(3):
                    with pytest.raises(errors.VespaError) as raised:
                        await index.search(QUERY, 10, None, Deadline.after(0.3))
        (line,) = caplog.records
        assert line.__dict__["endpoint"] == server.url
        assert line.__dict__["reason"] == raised.value.reason
    assert line.getMessage() == "vespa gave no answer"


async def test_close_then_no_answer() -> None:
    index = VespaIndex(settings())
    await index.close()
    await index.close()
    with pytest.raises(errors.VespaError, match="closed"):
        await index.search(QUERY, 10, None, Deadline.after(5))


@pytest.mark.parametrize(
    "vectors",
    [
        np.zeros((1, 8), np.float32),
        np.full((1, 8), np.nan, np.float32),
        np.array([[np.inf] + [0.0] * 7], np.float32),
        np.ones((1, 8), np.float32),
        np.eye(1, 7, dtype=np.float32),
        np.ones(8, np.float32) / np.sqrt(8),
    ],
)
async def test_vectors_that_are_none_are_not_sent(vectors: np.ndarray) -> None:
    async with FaultServer([answer(200, GOOD)]) as server, VespaIndex(settings(server.url)) as index:
        with pytest.raises(ValueError, match="vector"):
            await index.search(vectors, 10, None, Deadline.after(5))
        assert server.requests == []


async def test_budgets_travel() -> None:
    async with FaultServer([answer(200, GOOD)]) as server, VespaIndex(settings(server.url)) as index:
        await index.search(QUERY, 10, None, Deadline(60.0, clock=lambda: 0.0))
        body = server.requests[0].json
    assert body["timeout"] == "59960ms"


@pytest.mark.parametrize(
    ("left", "vespa_gets"), [(10.0, "9960ms"), (0.25, "225ms"), (0.1, "90ms"), (0.02, "15ms"), (0.006, "3ms")]
)
async def test_vespa_ends_before_we_do(left: float, vespa_gets: str) -> None:
    async with FaultServer([answer(200, GOOD)]) as server, VespaIndex(settings(server.url)) as index:
        now = 0.0
        with contextlib.suppress(errors.VespaError):  # a time this short may really be over
            await index.search(QUERY, 10, None, Deadline(left, clock=lambda: now))
        for request in server.requests:
            assert request.json["timeout"] == vespa_gets


@pytest.mark.parametrize(("asked", "coverage"), [(["a"], 1.0), (["a", "b"], 0.5)])
async def test_vectors_that_were_not_reached_lower_the_coverage(asked: list[str], coverage: float) -> None:
    half = answer(200, root([stored_hit("a", "3f80" + "0000" * 7)], coverage=HALF))
    async with FaultServer([half]) as server, VespaIndex(settings(server.url)) as index:
        found = await index.vectors(asked, Deadline.after(5))
    assert found.ids == ["a"]
    assert found.coverage == coverage
    assert found.degraded == (() if coverage == 1.0 else ("timeout",))


async def endless(request: Request, writer: asyncio.StreamWriter) -> None:
    """An answer that never ends, as fast as it is taken."""
    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        writer.write(b"10000\r\n" + b" " * 0x10000 + b"\r\n")
        await writer.drain()


async def claims_much(request: Request, writer: asyncio.StreamWriter) -> None:
    """An answer that says that it is very large."""
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 400000000\r\n\r\n" + b" " * 1000)
    await writer.drain()


async def zipped(request: Request, writer: asyncio.StreamWriter) -> None:
    """A small answer that would be a large one."""
    body = gzip.compress(b" " * 10_000_000)
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {len(body)}\r\n\r\n"
    writer.write(head.encode() + body)
    await writer.drain()


async def compressed(request: Request, writer: asyncio.StreamWriter) -> None:
    """What was asked for, gzipped."""
    asked = request.headers["accept-encoding"] == "gzip"
    body = gzip.compress(json.dumps(GOOD).encode()) if asked else json.dumps(GOOD).encode()
    await answer(200, body, {"Content-Encoding": "gzip"} if asked else None)(request, writer)


@pytest.mark.parametrize("compression", [True, False])
async def test_answers_come_gzipped_where_that_is_set(compression: bool) -> None:
    async with FaultServer([compressed]) as server:
        where = settings(server.url, compression=compression)
        async with VespaIndex(where) as index:
            (found,) = await index.search(QUERY, 10, None, Deadline.after(5))
    assert found.ids == ["a", "b", "c"]


async def test_only_answers_to_queries_come_gzipped_which_is_the_default() -> None:
    async with FaultServer([answer(200, GOOD)]) as server:
        where = EndpointSettings((server.url,), connect_share=1.0)
        transport = Transport(where)
        for path in ("/search/", "/document/v1/mrse/item_a/docid/a"):
            await transport.send(server.url, Asked("POST", path, b"{}"), 60.0)
        await transport.close()
    assert [request.headers["accept-encoding"] for request in server.requests] == ["gzip", "identity"]


async def half_gzipped(request: Request, writer: asyncio.StreamWriter) -> None:
    """A gzip body that ends early."""
    body = gzip.compress(json.dumps(GOOD).encode())[:-9]
    await answer(200, body, {"Content-Encoding": "gzip"})(request, writer)


async def no_gzip(request: Request, writer: asyncio.StreamWriter) -> None:
    """A body that says gzip and is none."""
    await answer(200, b"{}", {"Content-Encoding": "gzip"})(request, writer)


@pytest.mark.parametrize("act", [zipped, half_gzipped, no_gzip])
async def test_a_gzipped_answer_that_is_too_large_or_damaged_is_none(act: Act) -> None:
    async with FaultServer([act]) as server, VespaIndex(settings(server.url, compression=True)) as index:
        with pytest.raises(errors.VespaError, match="bad_answer"):
            await index.search(QUERY, 10, None, Deadline.after(60))


@pytest.mark.parametrize("act", [endless, claims_much, zipped])
async def test_an_answer_that_is_too_large_is_none(act: Act) -> None:
    async with FaultServer([act, answer(200, GOOD)]) as server, VespaIndex(settings(server.url)) as index:
        with pytest.raises(errors.VespaError, match="bad_answer"):
            await index.search(QUERY, 10, None, Deadline.after(60))
        (found,) = await index.search(QUERY, 10, None, Deadline.after(60))
    assert found.ids == ["a", "b", "c"]


async def test_the_largest_answers_are_read() -> None:
    items = ["\U0001f9e6" * 120 + f"{n:08}" for n in range(names.MAX_HITS)]
    hits = [hit(item, 0.5) | {"id": "index:items/0/0123456789abcdef01234567"} for item in items]
    body = json.dumps(root(hits)).encode()  # all escaped: 12 bytes for each of these characters
    async with FaultServer([answer(200, body)]) as server, VespaIndex(settings(server.url)) as index:
        (found,) = await index.search(QUERY, names.MAX_HITS, None, Deadline.after(60))
    assert len(found.ids) == names.MAX_HITS


async def test_several_vectors_are_parallel_queries() -> None:
    async with FaultServer([answer(200, GOOD)]) as server, VespaIndex(settings(server.url)) as index:
        assert len(await index.search(np.eye(4, 8, dtype=np.float32), 2, None, Deadline.after(5))) == 4
        assert [request.json["ranking.profile"] for request in server.requests] == ["q2i"] * 4


async def test_stored_vectors_are_one_query() -> None:
    stored = [stored_hit("b", "3f80" + "0000" * 7), stored_hit("a", "0000" * 7 + "bf00")]
    async with FaultServer([answer(200, root(stored))]) as server, VespaIndex(settings(server.url)) as index:
        found = await index.vectors(["a", 'q"', "b", "a", "", "\x00"], Deadline.after(5))
        (request,) = server.requests
    assert request.json["yql"] == (
        'select item_id, embedding, feed_ver from sources * where item_id in ("a", "q\\u0022", "b")'
    )
    assert request.json["presentation.format.tensors"] == "hex-value"
    assert found.ids == ["a", "b"]
    np.testing.assert_array_equal(found.vectors, [[0] * 7 + [-0.5], [1] + [0] * 7])


async def test_the_start_is_refused_when_another_schema_is_deployed() -> None:
    refused = answer(400, root(coverage=None, errors=[error(4, "Invalid query parameter", "No schema")]))
    async with FaultServer([refused]) as server, VespaIndex(settings(server.url)) as index:
        with pytest.raises(errors.VersionMismatch, match="demo-0123abcd needs the document type"):
            await index.check(Deadline.after(5))
    async with FaultServer([answer(200, GOOD)]) as server, VespaIndex(settings(server.url)) as index:
        await index.check(Deadline.after(5))
        for name in index.attributes:
            assert names.field_name(name) in server.requests[1].json["yql"]
    async with FaultServer([hang]) as server, VespaIndex(settings(server.url)) as index:
        with pytest.raises(errors.TimedOut):
            await index.check(Deadline.after(0.1))


async def test_an_empty_version_can_be_checked() -> None:
    empty = answer(200, root(coverage=COVERAGE | {"documents": 0}))
    async with FaultServer([empty]) as server, VespaIndex(settings(server.url)) as index:
        await index.check(Deadline.after(5))


async def test_counts() -> None:
    script = [answer(200, root(total=4321))]
    async with FaultServer(script) as server, VespaIndex(settings(server.url)) as index:
        assert (await index.stats()).items == 4321
        assert server.requests[0].json["hits"] == 0
