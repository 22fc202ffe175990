"""Deadlines, the one retry, and errors of the Python clients, against a server that is told what to say."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, get_type_hints
from urllib.parse import parse_qs, urlsplit

import pytest

from devtools.openapi import DOCUMENT
from mrse_client import (
    AsyncClient,
    Client,
    ConnectionFailed,
    DeadlinePassed,
    Event,
    MrseError,
    RateLimited,
    Unavailable,
    UnexpectedAnswer,
    calls,
    shapes,
)
from mrse_client.errors import ServiceDeadlinePassed
from mrse_client.exchange import LONGEST_MS, Received, Send, Sleep, exchange

BUSY = (503, {"Retry-After": "0"}, {"type": "/problems/overloaded", "detail": "busy", "request_id": "r1"})
FOUND = (200, {}, {"items": []})
Said = tuple[int, dict[str, str], Any]


class Scripted(ThreadingHTTPServer):
    """Gives one answer after another, the last one again and again; keeps what it was asked."""

    daemon_threads = True

    def __init__(self, answers: list[Said]) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers = answers
        self.asked: list[tuple[str, str, Any]] = []
        self.released = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Scripted

    def answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.asked.append((self.command, self.path, json.loads(body) if body else None))
        answers = self.server.answers
        status, headers, content = answers.pop(0) if len(answers) > 1 else answers[0]
        if content is None:  # never
            self.server.released.wait(30)
            return
        kind = "application/problem+json" if status >= 400 else "application/json"
        data = content.encode() if isinstance(content, str) else json.dumps(content).encode()
        self.send_response(status)
        for name, value in ({"Content-Type": kind, "Content-Length": str(len(data))} | headers).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_POST = do_PUT = do_DELETE = answer  # noqa: N815 -- http.server's names

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def scripted(*answers: Said) -> Iterator[Scripted]:
    server = Scripted(list(answers))
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield server
    finally:
        server.released.set()
        server.shutdown()
        thread.join()
        server.server_close()


def ask(kind: str, url: str, method: str, *arguments: Any, **options: Any) -> Any:
    """Ask by one of the two clients."""
    timeout_ms = options.pop("client_timeout_ms", 10_000)
    if kind == "sync":
        with Client(url, timeout_ms=timeout_ms, change_timeout_ms=timeout_ms) as client:
            return getattr(client, method)(*arguments, **options)

    async def asked() -> Any:
        async with AsyncClient(url, timeout_ms=timeout_ms, change_timeout_ms=timeout_ms) as client:
            return await getattr(client, method)(*arguments, **options)

    return asyncio.run(asked())


both = pytest.mark.parametrize("kind", ["sync", "async"])


@both
def test_what_is_left_of_the_deadline_is_passed_on(kind: str) -> None:
    with scripted(FOUND) as server:
        ask(kind, server.url, "recall", query="shoes", timeout_ms=8000)
        ask(kind, server.url, "recall", query="shoes", timeout_ms=60_000)
        ask(kind, server.url, "similar", "a/b", k=3, filters={"brand": "x"}, timeout_ms=8000)
        ask(kind, server.url, "recall_batch", [{"query": "a"}, {"query": "b"}], timeout_ms=8000)
    first, longest, similar, batch = server.asked
    assert first[:2] == ("POST", "/v1/recall")
    assert first[2]["query"] == "shoes"
    assert 1 <= first[2]["timeout_ms"] < 8000
    assert longest[2]["timeout_ms"] == LONGEST_MS
    url = urlsplit(similar[1])
    asked = {name: values[0] for name, values in parse_qs(url.query).items()}
    assert url.path == "/v1/items/a%2Fb/similar"
    assert (asked["k"], json.loads(asked["filters"])) == ("3", {"brand": "x"})
    assert 1 <= int(asked["timeout_ms"]) < 8000
    times = {each["timeout_ms"] for each in batch[2]["requests"]}
    assert len(times) == 1
    assert times.pop() < 8000


@both
def test_a_503_is_tried_once_more_and_no_more(kind: str) -> None:
    with scripted(BUSY, FOUND) as server:
        assert ask(kind, server.url, "recall", query="shoes") == {"items": []}
        assert len(server.asked) == 2
        assert server.asked[1][2]["timeout_ms"] <= server.asked[0][2]["timeout_ms"]
    with scripted(BUSY) as server:
        with pytest.raises(Unavailable) as busy:
            ask(kind, server.url, "recall", query="shoes")
        assert len(server.asked) == 2
    error = busy.value
    assert (error.kind, error.detail, error.request_id, error.retry_after_s) == (
        "overloaded",
        "busy",
        "r1",
        0.0,
    )


@both
@pytest.mark.parametrize("after", [{"Retry-After": "60"}, {}, {"Retry-After": "tomorrow"}])
def test_it_is_not_tried_again_after_the_deadline_nor_where_nobody_says_when(
    kind: str, after: dict[str, str]
) -> None:
    with scripted((503, after, BUSY[2])) as server:
        with pytest.raises(Unavailable):
            ask(kind, server.url, "recall", query="shoes")
        assert len(server.asked) == 1


@both
def test_events_are_sent_again_only_where_they_count_once(kind: str) -> None:
    event: Event = {"user_id": "u", "item_id": "i", "action": "click"}
    for sent, times in ((event, 1), ({**event, "ts": "2026-11-19T10:00:00Z"}, 2)):
        with scripted(BUSY) as server:
            with pytest.raises(Unavailable):
                ask(kind, server.url, "add_events", [sent])
            assert len(server.asked) == times


@both
@pytest.mark.parametrize("status", [429, 500, 502, 504])
def test_other_errors_are_not_tried_again(kind: str, status: int) -> None:
    with scripted((status, {"Retry-After": "0"}, {"type": "/problems/x", "detail": "no"})) as server:
        with pytest.raises(MrseError) as raised:
            ask(kind, server.url, "recall", query="shoes")
        assert len(server.asked) == 1
    assert isinstance(raised.value, {429: RateLimited, 504: ServiceDeadlinePassed}.get(status, MrseError))
    assert isinstance(raised.value, DeadlinePassed) == (status == 504)


@both
def test_a_service_that_never_answers_ends_with_the_deadline(kind: str) -> None:
    with scripted((200, {}, None)) as server:
        with pytest.raises(DeadlinePassed, match="no answer within 300 ms"):
            ask(kind, server.url, "recall", query="shoes", timeout_ms=300)
        assert len(server.asked) == 1
        with pytest.raises(DeadlinePassed, match="3 ms have passed"):
            ask(kind, server.url, "recall", query="shoes", timeout_ms=3)
        assert len(server.asked) == 1, "there was no time left to ask"


@both
def test_a_refused_connection_is_told(kind: str) -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        with pytest.raises(ConnectionFailed):
            ask(kind, f"http://127.0.0.1:{bound.getsockname()[1]}", "recall", query="shoes")


def test_a_refused_connection_is_tried_once_more_whatever_is_asked() -> None:
    import httpx

    call = calls.add_events([{"user_id": "u", "item_id": "i", "action": "click"}], 1000)
    steps = exchange(call, lambda: 0.0)
    assert isinstance(steps.send(None), Send)
    assert isinstance(steps.send(httpx.ConnectError("refused")), Sleep)
    assert isinstance(steps.send(None), Send)
    with pytest.raises(ConnectionFailed, match="refused"):
        steps.send(httpx.ConnectError("refused"))


def test_a_broken_connection_is_not_tried_again() -> None:
    import httpx

    steps = exchange(calls.recall({"query": "a"}, 1000), lambda: 0.0)
    steps.send(None)
    with pytest.raises(ConnectionFailed, match="reset"):
        steps.send(httpx.ReadError("reset"))


def test_the_pause_before_a_retry_never_ends_after_the_deadline() -> None:
    import httpx

    now = 0.0
    steps = exchange(calls.recall({"query": "a"}, 1500), lambda: now)
    first = steps.send(None)
    assert isinstance(first, Send)
    now = 0.4
    problem = json.dumps(BUSY[2]).encode()
    headers = httpx.Headers({"Retry-After": "1", "Content-Type": "application/problem+json"})
    assert steps.send(Received(503, headers, problem)) == Sleep(1.0)
    now = 1.45
    again = steps.send(None)
    assert isinstance(again, Send)
    assert json.loads(again.content or b"")["timeout_ms"] == 45
    assert again.timeout_s == pytest.approx(0.05)


@both
@pytest.mark.parametrize(
    ("said", "told"),
    [
        ((502, {"Content-Type": "text/html"}, "<h1>Bad Gateway</h1>"), "502 text/html: <h1>Bad"),
        ((200, {}, "not JSON"), "no JSON"),
        ((200, {}, "[1]"), "no object"),
        ((500, {}, "not JSON"), "no JSON"),
    ],
)
def test_what_is_not_the_service_is_told(kind: str, said: Said, told: str) -> None:
    with scripted(said) as server, pytest.raises(UnexpectedAnswer, match=told):
        ask(kind, server.url, "recall", query="shoes")


@pytest.mark.parametrize("name", ["", ".", ".."])
def test_an_id_that_cannot_stand_in_a_url_is_refused(name: str) -> None:
    makers: list[Callable[[str], Any]] = [
        lambda name: calls.similar(name, {}, 1000),
        lambda name: calls.delete_item(name, 1000),
    ]
    for make in makers:
        with pytest.raises(ValueError, match="cannot stand in a URL"):
            make(name)


SHAPES = {
    "RecallRequest": shapes.RecallRequest,
    "HistoryEntry": shapes.HistoryEntry,
    "Boost": shapes.Boost,
    "Diversity": shapes.Diversity,
    "RecallAnswer": shapes.RecallAnswer,
    "SimilarAnswer": shapes.SimilarAnswer,
    "BatchAnswer": shapes.BatchAnswer,
    "BatchEntry": shapes.BatchEntry,
    "Item": shapes.Item,
    "Source": shapes.Source,
    "Route": shapes.Route,
    "ItemRow": shapes.ItemRow,
    "NewItem": shapes.NewItem,
    "PutItems": shapes.PutItems,
    "Changed": shapes.Changed,
    "UserEvent": shapes.Event,
    "TakenEvents": shapes.TakenEvents,
}


@pytest.mark.parametrize("name", SHAPES)
def test_shapes_are_those_of_the_document(name: str) -> None:
    schema = json.loads(DOCUMENT.read_text())["components"]["schemas"][name]
    shape: Any = SHAPES[name]
    assert set(get_type_hints(shape)) == set(schema["properties"])
    assert shape.__required_keys__ == set(schema.get("required", ()))


@both
def test_items_that_are_no_columns_are_told(kind: str) -> None:
    with scripted((200, {}, {"items": [{"item_id": "i1"}]})) as server:
        with pytest.raises(UnexpectedAnswer, match="no columns"):
            ask(kind, server.url, "recall_columns", query="shoes")
        assert server.asked[0][2]["query"] == "shoes"


def test_an_answer_that_dribbles_is_given_up_at_its_next_part() -> None:
    parts = threading.Event()

    def dribble(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(65_536)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
            while not parts.wait(0.1):
                try:
                    connection.sendall(b" ")
                except OSError:
                    return

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=dribble, args=(listener,))
        thread.start()
        try:
            with pytest.raises(DeadlinePassed):
                ask(
                    "sync",
                    f"http://127.0.0.1:{listener.getsockname()[1]}",
                    "recall",
                    query="a",
                    timeout_ms=400,
                )
        finally:
            parts.set()
            thread.join()
