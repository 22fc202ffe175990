"""Traces reach a collector over HTTP, with stages, and with nothing that names a user, a query or an item."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import httpx
import pytest

from tests.service.conftest import Demo
from tests.support.serving import make_settings, serving

pytest.importorskip("opentelemetry.sdk")
TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


class Collector(HTTPServer):
    """Takes OTLP over HTTP and keeps the bodies."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.bodies: list[bytes] = []


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        assert isinstance(self.server, Collector)
        self.server.bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_a_request_is_a_span_of_its_caller_s_trace(demo: Demo, collector: Collector) -> None:
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    endpoint = f"http://127.0.0.1:{collector.server_port}/v1/traces"
    settings = make_settings(demo.bundle.path, demo.index, tracing={"endpoint": endpoint, "sample": 0.0})
    body = {
        "query": "red shoes",
        "user_id": "somebody",
        "history": [{"item_id": "i9", "action": "click"}],
        "k": 3,
    }
    with serving(settings) as server, httpx.Client(base_url=server.url) as client:
        sampled = {"traceparent": f"00-{TRACE}-{PARENT}-01"}
        assert client.post("/recall", json=body, headers=sampled).status_code == 200
        assert client.get("/items/i9/similar?k=2", headers=sampled).status_code == 200
        assert client.post("/recall", json=body).status_code == 200  # not sampled
        assert client.get("/readyz", headers=sampled).status_code == 200  # never traced
    spans = [
        span
        for sent in collector.bodies
        for resource in ExportTraceServiceRequest.FromString(sent).resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    ]
    assert sorted(span.name for span in spans) == ["GET /items/{item_id}/similar", "POST /recall"]
    recall = next(span for span in spans if span.name == "POST /recall")
    assert (recall.trace_id.hex(), recall.parent_span_id.hex()) == (TRACE, PARENT)
    attributes = {a.key: a.value for a in recall.attributes}
    assert attributes["http.response.status_code"].int_value == 200
    assert attributes["mrse.stage.q2i_ms"].double_value > 0
    everything = b"".join(collector.bodies)
    for secret in (b"somebody", b"red shoes", b"i9"):
        assert secret not in everything


def test_off_by_default(demo: Demo) -> None:
    assert make_settings(demo.bundle.path, demo.index).tracing.endpoint is None
