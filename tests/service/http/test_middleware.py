"""Request ids, the access log, and the count of requests."""

from __future__ import annotations

import io
import json
import logging

import httpx
import pytest

from service.app import create_app
from service.telemetry.logs import JsonFormatter
from tests.service.conftest import Demo
from tests.service.http.test_health import SECRETS, samples, value
from tests.support.serving import in_process, make_settings, memory_index, opener_in_memory


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


def test_strange_methods_and_paths_make_no_labels(client: httpx.Client) -> None:
    for n, method in enumerate(("PATCH", "PROPFIND", "LOCK", "TRACE", "DELETE")):
        client.request(method, f"/path/{n}")
    labels = {dict(labels).get("method") for name, labels in samples(client) if name == "mrse_requests_total"}
    assert labels <= {"GET", "POST", "other"}
    assert value(client, "mrse_requests_total", route="unmatched", method="other", status="4xx") >= 5


def test_requests_are_counted_by_template_and_class(client: httpx.Client) -> None:
    labels = {"route": "/items/{item_id}/similar", "method": "GET"}
    ok, bad = (value(client, "mrse_requests_total", status=s, **labels) for s in ("2xx", "4xx"))
    client.get("/items/i3/similar")
    client.get("/items/nobody/similar")
    assert value(client, "mrse_requests_total", status="2xx", **labels) == ok + 1
    assert value(client, "mrse_requests_total", status="4xx", **labels) == bad + 1
