"""Request ids, the access log, and the count of requests."""

from __future__ import annotations

import io
import json
import logging
import socket
import struct
from types import SimpleNamespace

import httpx
import pytest

from devtools.waiting import wait_for
from service.app import create_app
from service.http.middleware import Lines
from service.scope import Told
from service.telemetry.logs import JsonFormatter, Line
from tests.service.conftest import Demo
from tests.service.http.test_health import SECRETS, samples, value
from tests.support.serving import Server, in_process, make_settings, memory_index, opener_in_memory


def test_the_request_id_is_taken_and_returned(client: httpx.Client) -> None:
    response = client.post("/recall", json={"query": "x"}, headers={"X-Request-Id": "abc-123"})
    assert response.headers["x-request-id"] == "abc-123"
    assert response.json()["request_id"] == "abc-123"


@pytest.mark.parametrize("sent", ["", "x" * 129, "a b", "tab\there"])
def test_a_request_id_that_is_not_sane_is_replaced(client: httpx.Client, sent: str) -> None:
    response = client.get("/livez", headers={"X-Request-Id": sent})
    made = response.headers["x-request-id"]
    assert made != sent
    assert len(made) == 32


def test_errors_carry_the_request_id(client: httpx.Client) -> None:
    response = client.post("/recall", json={"k": 0}, headers={"X-Request-Id": "mine"})
    assert response.json()["request_id"] == "mine"


@pytest.mark.parametrize("level", ["INFO", "DEBUG"])
async def test_the_access_log_tells_users_apart_only_at_debug(
    demo: Demo, level: str, caplog: pytest.LogCaptureFixture
) -> None:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter())
    logger = logging.getLogger("mrse")
    logger.addHandler(handler)
    caplog.set_level(level, "mrse")
    settings = make_settings(None, None, server={"access_log": True})
    app = create_app(settings, opener=opener_in_memory(demo.bundle, memory_index(demo.bundle)))
    try:
        async with in_process(app) as client:
            response = await client.post("/recall", json=SECRETS, headers={"X-Request-Id": "r1"})
    finally:
        logger.removeHandler(handler)
    assert response.status_code == 200
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    access = [line for line in lines if line["message"] == "request"]
    assert access[0]["request_id"] == "r1"
    assert (access[0]["route"], access[0]["status"], access[0]["method"]) == ("/recall", 200, "POST")
    seen = any("secret wish" in json.dumps(line) or "user-4711" in json.dumps(line) for line in lines)
    assert seen == (level == "DEBUG")


async def test_of_many_requests_a_share_are_lines_and_all_that_went_wrong(
    demo: Demo, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "mrse.access")
    settings = make_settings(
        None, None, server={"access_log": True, "access_log_share": 0.0, "access_log_slow_ms": 60_000}
    )
    app = create_app(settings, opener=opener_in_memory(demo.bundle, memory_index(demo.bundle)))
    async with in_process(app) as client:
        assert (await client.post("/recall", json={"query": "shoes"})).status_code == 200
        assert (
            await client.post("/recall", json={"k": 0}, headers={"X-Request-Id": "bad"})
        ).status_code == 422
        assert (await client.get("/nowhere", headers={"X-Request-Id": "lost"})).status_code == 404
    told = [record.fields["request_id"] for record in caplog.records if isinstance(record, Line)]
    assert told == ["bad", "lost"]


def test_which_requests_are_lines_whatever_the_share() -> None:
    write = {"route": SimpleNamespace(needs="write")}
    draws = iter((0.009, 0.011))
    lines = Lines(0.01, 250, draw=lambda: next(draws))
    assert lines.has({}, 0.25, None, None), "slow"
    assert lines.has({}, 0.0, Told({}, partial=True), None)
    assert lines.has({}, 0.0, None, "deadline")
    assert lines.has(write, 0.0, None, None)
    assert lines.has({}, 0.0, Told({}, degraded=["no_i2i"]), None), "by the draw"
    assert not lines.has({}, 0.0, None, "overloaded"), "of which there may be thousands a second"
    assert Lines().has({}, 0.0, None, None)


def test_strange_methods_and_paths_make_no_labels(client: httpx.Client) -> None:
    for n, method in enumerate(("PATCH", "PROPFIND", "LOCK", "TRACE", "LINK")):
        client.request(method, f"/path/{n}")
    labels = {dict(labels).get("method") for name, labels in samples(client) if name == "mrse_requests_total"}
    assert labels <= {"GET", "HEAD", "POST", "PUT", "DELETE", "other"}
    assert value(client, "mrse_requests_total", route="unmatched", method="other", status="4xx") >= 5


def test_requests_are_counted_by_template_and_class(client: httpx.Client) -> None:
    labels = {"route": "/items/{item_id}/similar", "method": "GET"}
    ok, bad = (value(client, "mrse_requests_total", status=s, **labels) for s in ("2xx", "4xx"))
    client.get("/items/i3/similar")
    client.get("/items/nobody/similar")
    assert value(client, "mrse_requests_total", status="2xx", **labels) == ok + 1
    assert value(client, "mrse_requests_total", status="4xx", **labels) == bad + 1


def test_clients_that_abort_are_counted_and_leave_no_error(server: Server, client: httpx.Client) -> None:
    labels = {"route": "/recall", "method": "POST"}
    before = value(client, "mrse_requests_total", status="4xx", **labels)
    connections = value(client, "mrse_connections")
    address = ("127.0.0.1", int(server.url.rpartition(":")[2]))
    errors = Errors()
    logging.getLogger().addHandler(errors)
    loggers = [logging.getLogger(name) for name in ("mrse", "mrse.service", "uvicorn.error", "asyncio")]
    for logger in loggers:
        logger.addHandler(errors)
    body = b'{"query": "red shoes", "k": 20, "timeout_ms": 10000}'
    request = (
        b"POST /recall HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        b"Content-Length: %d\r\n\r\n" % len(body) + body
    )
    reset = struct.pack("ii", 1, 0)
    total = 0
    try:
        for cut in (len(request), len(request) - 3):
            for _ in range(100):
                with socket.create_connection(address) as connection:
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset)
                    connection.sendall(request[:cut])
                total += 1
        wait_for(lambda: value(client, "mrse_connections") <= connections)
    finally:
        for logger in (*loggers, logging.getLogger()):
            logger.removeHandler(errors)
    assert errors.seen == []
    assert before < value(client, "mrse_requests_total", status="4xx", **labels) <= before + total


class Errors(logging.Handler):
    """Keeps the messages of warnings and errors."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.seen: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.seen.append(record.getMessage())


@pytest.mark.parametrize("path", ["/livez", "/version", "/metrics", "/items/i3/similar", "/", "/nothing"])
def test_head_is_answered_as_get_without_a_body(client: httpx.Client, path: str) -> None:
    head, get = client.head(path), client.get(path)
    assert head.status_code == get.status_code
    assert head.content == b""
    assert head.headers["content-type"] == get.headers["content-type"]
    assert client.head("/recall").status_code == 405
