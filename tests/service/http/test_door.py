"""Between its last byte and its first work a request waits, or is refused before anything is made of it."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest

from common.deadline import Deadline
from devtools.waiting import wait_for
from service.http import recall
from tests.service.conftest import Demo
from tests.support.serving import Server, make_settings, memory_index, opener_in_memory, serving

BODY = b'{"query": "shoes", "k": 3}'
HEAD = (
    b"POST /recall HTTP/1.1\r\nHost: localhost\r\n"
    b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n"
)
REQUEST = HEAD % len(BODY) + BODY


@pytest.fixture
def server(demo: Demo) -> Iterator[Server]:
    settings = make_settings(None, None, server={"access_log": True})
    with serving(settings, opener_in_memory(demo.bundle, memory_index(demo.bundle))) as running:
        yield running


@contextmanager
def busy(server: Server) -> Iterator[socket.socket]:
    """While this lasts nothing is begun: a request waits on this connection, and no other may."""
    gate = server.runtime.admission.gate
    limit, cost_s = gate.concurrency.limit, gate.pulse.cost_s
    gate.concurrency.limit, gate.pulse.cost_s = 0, 1000.0
    try:
        with socket.create_connection(("127.0.0.1", int(server.url.rpartition(":")[2]))) as waiting:
            waiting.sendall(REQUEST)
            wait_for(lambda: gate.waiting == 1)
            yield waiting
    finally:
        gate.concurrency.limit, gate.pulse.cost_s = limit, cost_s


def test_one_that_would_wait_too_long_is_refused_unparsed_and_its_connection_kept(
    server: Server, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with (
        httpx.Client(base_url=server.url, headers={"X-Request-Id": 'my"id'}) as client,
        busy(server) as waiting,
    ):
        caplog.set_level("INFO", "mrse.access")
        with monkeypatch.context() as patched:
            patched.setattr(recall, "parse", None)
            answers = [client.post("/recall", content=b"no JSON") for _ in range(3)]
        for answer in answers:
            assert answer.status_code == 503
            assert answer.headers["content-type"] == "application/problem+json"
            assert answer.json()["type"] == "/problems/overloaded"
            assert answer.json()["request_id"] == answer.headers["x-request-id"] == 'my"id'
            assert answer.headers["retry-after"] in ("1", "2", "3")
            assert "connection" not in answer.headers
        assert len({id(answer.extensions["network_stream"]) for answer in answers}) == 1
        assert not [record for record in caplog.records if record.name == "mrse.access"]
        assert client.get("/livez").status_code == 200, "what costs nothing is answered"
        metrics = client.get("/metrics").text
        assert 'mrse_refused_total{reason="waiting"} 3.0' in metrics
        assert 'mrse_requests_total{method="POST",route="/recall",status="5xx"} 3.0' in metrics
        server.runtime.admission.gate.concurrency.limit = 8
        server.runtime.admission.gate.pulse.cost_s = 0.001
        assert waiting.recv(65_536).startswith(b"HTTP/1.1 200"), "the one that waited"
        assert client.post("/recall", content=BODY).status_code == 200


def test_a_client_that_leaves_while_it_waits_is_no_work(server: Server) -> None:
    gate = server.runtime.admission.gate
    with busy(server) as waiting:
        waiting.close()
        wait_for(lambda: httpx.get(f"{server.url}/livez").status_code == 200)
    wait_for(lambda: gate.waiting == 0)
    with httpx.Client(base_url=server.url) as client:
        assert client.post("/recall", content=BODY).status_code == 200
        assert (
            'mrse_requests_total{method="POST",route="/recall",status="2xx"} 1.0'
            in client.get("/metrics").text
        )


def test_a_body_that_comes_later_waits_for_its_turn_when_it_is_there(server: Server) -> None:
    gate = server.runtime.admission.gate
    with socket.create_connection(("127.0.0.1", int(server.url.rpartition(":")[2]))) as slow:
        slow.sendall(HEAD % len(BODY) + BODY[:5])
        with busy(server) as waiting:
            slow.sendall(BODY[5:])
            refusal = b""
            while not refusal.endswith(b"}"):  # head and body may come apart
                received = slow.recv(65_536)
                assert received
                refusal += received
            assert refusal.startswith(b"HTTP/1.1 503"), "it would wait behind the other one"
        assert waiting.fileno() == -1
        wait_for(lambda: gate.waiting == 0)
        slow.sendall(REQUEST)
        assert slow.recv(65_536).startswith(b"HTTP/1.1 200")


def test_requests_sent_ahead_are_answered_in_order(server: Server) -> None:
    with socket.create_connection(("127.0.0.1", int(server.url.rpartition(":")[2]))) as connection:
        probe = b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n"
        last = probe.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
        connection.sendall(REQUEST + probe + REQUEST + last)
        received = b""
        while more := connection.recv(65_536):
            received += more
    assert received.count(b"HTTP/1.1 200 OK") == 4
    assert received.index(b'"items"') < received.index(b'"status":"ok"') < received.rindex(b'"items"')


def test_a_refusal_says_that_the_connection_ends_where_the_client_wants_it(server: Server) -> None:
    with (
        busy(server),
        socket.create_connection(("127.0.0.1", int(server.url.rpartition(":")[2]))) as connection,
    ):
        connection.sendall(REQUEST.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        received = b""
        while more := connection.recv(65_536):
            received += more
    assert received.startswith(b"HTTP/1.1 503")
    assert b"connection: close\r\n" in received


def test_the_deadline_counts_from_the_first_byte_and_so_covers_what_it_waited(demo: Demo) -> None:
    settings = make_settings(None, None, deadline={"default_ms": 5000})
    with serving(settings, opener_in_memory(demo.bundle, memory_index(demo.bundle))) as server:
        gate = server.runtime.admission.gate
        with busy(server) as waiting:
            arrived = gate._queue._jobs["127.0.0.1"][0].arrived
            seen = []
            recalled = server.runtime.recaller.recall

            async def recall_and_see(*args: object) -> object:
                seen.extend(each for each in args if isinstance(each, Deadline))
                return await recalled(*args)  # type: ignore[arg-type]

            server.runtime.recaller.recall = recall_and_see  # type: ignore[method-assign,assignment]
            wait_for(lambda: gate.clock() - arrived > 0.3)
            gate.concurrency.limit = 8
            assert waiting.recv(65_536).startswith(b"HTTP/1.1 200")
        assert seen[0]._at == pytest.approx(arrived + 5.0)


def test_a_batch_that_would_crowd_others_is_refused_before_it_is_checked(server: Server) -> None:
    batches = server.runtime.admission.batches
    wrong = {"requests": [{"k": "wrong"}] * 64}
    with httpx.Client(base_url=server.url) as client:
        assert client.post("/recall/batch", json=wrong).status_code == 422, "one alone is looked at"
        end = batches.begin("other", 2 * batches.limit, 0.25)
        try:
            answer = client.post("/recall/batch", json=wrong)
            assert answer.status_code == 503
            assert answer.json()["type"] == "/problems/overloaded"
            for body in (b"[]", b"no JSON", b'{"requests": {}}', b'{"requests": [{"k": "wrong"}]}'):
                answer = client.post("/recall/batch", content=body)
                assert answer.status_code in (400, 422), "what has no entries to count is told what is wrong"
        finally:
            end()
        assert (
            client.post("/recall/batch", json={"requests": [{"query": "a", "k": 1}] * 64}).status_code == 200
        )
