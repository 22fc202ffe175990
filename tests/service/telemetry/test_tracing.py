"""Traces: what is a span, what is said of it, where it goes; and that who traces nothing pays nothing."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from types import FrameType
from typing import Any

import httpx
import pytest

from devtools.redis import RedisServer
from service.app import create_app
from service.errors import StartError
from service.settings import Tracing
from service.telemetry.tracing import open_provider
from tests.service.conftest import Demo
from tests.support.serving import in_process, make_settings, memory_index, opener_in_memory, serving

pytest.importorskip("opentelemetry.sdk")
TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
SAMPLED = {"traceparent": f"00-{TRACE}-{PARENT}-01"}
BODY = {
    "query": "red shoes",
    "user_id": "somebody",
    "history": [{"item_id": "i9", "action": "click"}],
    "k": 3,
}
#: What may not be in any span.
SECRETS = (b"somebody", b"red shoes", b"i9")


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_TRACES_EXPORTER", "OTEL_SDK_DISABLED"):
        monkeypatch.delenv(name, raising=False)


class Collector(HTTPServer):
    """Takes OTLP over HTTP and keeps the bodies."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.bodies: list[bytes] = []
        self.headers: list[Any] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def sent(self) -> list[Any]:
        from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

        return [
            each for body in self.bodies for each in ExportTraceServiceRequest.FromString(body).resource_spans
        ]

    def spans(self) -> list[Any]:
        return [span for each in self.sent() for scope in each.scope_spans for span in scope.spans]


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        assert isinstance(self.server, Collector)
        self.server.bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.headers.append((self.path, self.headers))
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


def test_a_request_and_its_stages_reach_a_collector(demo: Demo, collector: Collector) -> None:
    where = {"endpoint": f"{collector.url}/v1/traces", "sample": 0.0}
    settings = make_settings(demo.bundle.path, demo.index, tracing=where)
    with serving(settings) as server, httpx.Client(base_url=server.url) as client:
        assert client.post("/recall", json=BODY, headers=SAMPLED).status_code == 200
        assert client.get("/items/i9/similar?k=2", headers=SAMPLED).status_code == 200
        assert client.post("/recall", json=BODY).status_code == 200  # not sampled
        assert client.get("/readyz", headers=SAMPLED).status_code == 200  # never traced
    spans = collector.spans()
    whole = [span for span in spans if span.kind == 2]  # SERVER
    assert sorted(span.name for span in whole) == ["GET /items/{item_id}/similar", "POST /recall"]
    recall = next(span for span in whole if span.name == "POST /recall")
    assert (recall.trace_id.hex(), recall.parent_span_id.hex()) == (TRACE, PARENT)
    said = {each.key: each.value for each in recall.attributes}
    assert said["http.response.status_code"].int_value == 200
    assert said["mrse.arm.towers"].string_value == "control"
    parts = {span.name: span for span in spans if span.parent_span_id == recall.span_id}
    assert list(parts) == ["wait", "parse", "encode", "features", "fusion", "routes", "merge", "answer"]
    routes = {span.name for span in spans if span.parent_span_id == parts["routes"].span_id}
    assert {"q2i", "i2i"} <= routes
    for part in parts.values():
        assert recall.start_time_unix_nano <= part.start_time_unix_nano <= part.end_time_unix_nano
        assert part.end_time_unix_nano <= recall.end_time_unix_nano
    sent = collector.sent()
    for span in (span for each in sent for scope in each.scope_spans for span in scope.spans):
        for number in ("trace_id", "span_id", "parent_span_id", "start_time_unix_nano", "end_time_unix_nano"):
            span.ClearField(number)  # some have the two bytes of an item's id by chance
    everything = b"".join(each.SerializeToString() for each in sent)
    assert b"similar" in everything
    assert not [secret for secret in SECRETS if secret in everything]


class Spans:
    """The SDK's own exporter in memory, behind a provider."""

    def __init__(self) -> None:
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import SimpleSpanProcessor
        from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

        self.provider = TracerProvider()
        self._kept = InMemorySpanExporter()
        self.provider.add_span_processor(SimpleSpanProcessor(self._kept))

    def all(self) -> list[Any]:
        return list(self._kept.get_finished_spans())

    def named(self, name: str) -> Any:
        (found,) = (span for span in self.all() if span.name == name)
        return found

    def parts(self, whole: Any) -> list[str]:
        return [s.name for s in self.all() if s.parent and s.parent.span_id == whole.context.span_id]


async def test_redis_is_a_part_of_the_stage_that_waits_for_it(demo: Demo, redis: RedisServer) -> None:
    spans = Spans()
    settings = make_settings(None, None, redis={"url": redis.url, "timeout_ms": 5_000})
    opener = opener_in_memory(demo.bundle, memory_index(demo.bundle))
    async with in_process(create_app(settings, opener=opener, traces=spans.provider)) as client:
        assert (await client.post("/recall", json={"query": "red shoes"})).status_code == 200
        assert (await client.post("/recall", json={"query": "red shoes"})).status_code == 200
        await asyncio.to_thread(redis.kill)
        assert (await client.post("/recall", json={"query": "blue shoes"})).status_code == 200
    first, second, third = (span for span in spans.all() if span.name == "POST /recall")
    assert "encode" in spans.parts(first)
    assert "cache" in spans.parts(second)
    asked, missed = (span for span in spans.all() if span.name == "MGET")
    assert {"db.system.name": "redis", "db.operation.batch.size": 1}.items() <= asked.attributes.items()
    encode = next(s for s in spans.all() if s.name == "encode" and s.parent.span_id == first.context.span_id)
    assert asked.parent.span_id == encode.context.span_id
    assert "error.type" not in asked.attributes
    assert missed.attributes["error.type"] in ("timeout", "open")
    assert "error.type" not in third.attributes, "an answer without Redis is no error"


async def test_what_fails_says_where_and_why(demo: Demo) -> None:
    spans = Spans()
    index = memory_index(demo.bundle)
    index.fail.add("search")
    opener = opener_in_memory(demo.bundle, index)
    app = create_app(make_settings(None, None), opener=opener, traces=spans.provider)
    async with in_process(app) as client:
        assert (await client.post("/recall", json={"query": "red shoes"})).status_code == 503
        assert (await client.post("/recall", json={"k": 0})).status_code == 422
    failed, refused = (span for span in spans.all() if span.name == "POST /recall")
    assert failed.attributes["error.type"] == "unavailable"
    assert failed.status.status_code.name == "ERROR"
    assert spans.named("q2i").attributes["error.type"] == "error"
    assert refused.attributes["mrse.problem"] == "invalid-request"
    assert "error.type" not in refused.attributes, "the client's own mistakes are no errors of ours"
    told = " ".join(span.to_json() for span in spans.all())
    assert "i9" not in told
    assert not any(span.events for span in spans.all()), "messages of errors may name what was asked"


async def test_an_entry_of_a_batch_is_a_span(demo: Demo) -> None:
    spans = Spans()
    opener = opener_in_memory(demo.bundle, memory_index(demo.bundle))
    async with in_process(
        create_app(make_settings(None, None), opener=opener, traces=spans.provider)
    ) as client:
        entries = [{"query": f"shoes {n}", "k": 2} for n in range(40)]
        assert (await client.post("/recall/batch", json={"requests": entries})).status_code == 200
    whole = spans.named("POST /recall/batch")
    parts = [s for s in spans.all() if s.parent and s.parent.span_id == whole.context.span_id]
    assert {span.name for span in parts} == {"entry"}
    assert sorted(span.attributes["mrse.batch.place"] for span in parts) == list(range(32)), "bounded"
    assert {"encode", "fusion", "routes", "merge", "answer"} <= set(spans.parts(parts[0]))


def test_variables_say_what_settings_leave_open(
    collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-team=search")
    monkeypatch.setenv("OTEL_SERVICE_NAME", "shoes")
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=stage")
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "always_on")
    provider = open_provider(Tracing())
    assert provider is not None
    provider.get_tracer("t").start_span("one").end()
    provider.shutdown()
    ((path, headers),) = collector.headers
    assert (path, headers["x-team"]) == ("/v1/traces", "search")
    said = {each.key: each.value.string_value for each in collector.sent()[0].resource.attributes}
    assert said["service.name"] == "shoes"
    assert said["deployment.environment.name"] == "stage"
    assert said["service.version"]
    assert said["service.instance.id"]


def test_settings_come_before_variables(collector: Collector, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "always_off")
    provider = open_provider(Tracing(endpoint=f"{collector.url}/v1/traces", sample=1.0))
    assert provider is not None
    assert hasattr(provider.id_generator, "draw"), "who is not sampled costs next to nothing"
    provider.get_tracer("t").start_span("one").end()
    provider.shutdown()
    assert [span.name for span in collector.spans()] == ["one"]


@pytest.mark.parametrize(
    ("variables", "settings"),
    [
        ({}, Tracing()),
        ({"OTEL_SDK_DISABLED": "true"}, Tracing(endpoint="http://127.0.0.1:9")),
        ({"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}, Tracing()),
        ({"OTEL_TRACES_EXPORTER": "zipkin"}, Tracing()),
    ],
)
def test_off(variables: dict[str, str], settings: Tracing, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert open_provider(settings) is None


def test_variables_that_cannot_be_used_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "-1")
    with pytest.raises(StartError, match=r"OTEL_\* variables"):
        open_provider(Tracing(endpoint="http://127.0.0.1:9"))


async def test_who_traces_nothing_pays_nothing(demo: Demo, redis: RedisServer) -> None:
    """Counts calls: not one goes to what makes spans, and none to OpenTelemetry."""
    called: list[str] = []

    def watch(frame: FrameType, event: str, argument: object) -> None:
        file = frame.f_code.co_filename
        if event == "call" and ("opentelemetry" in file or file.endswith("telemetry/tracing.py")):
            called.append(f"{file}:{frame.f_code.co_name}")
        if event == "call" and file.endswith("common/calling.py"):
            called.append(frame.f_code.co_name)
        if event == "c_call" and "ContextVar" in repr(argument) and file.endswith(WATCHED):
            called.append(f"{file}: {argument!r}")

    settings = make_settings(None, None, redis={"url": redis.url, "timeout_ms": 5_000})
    opener = opener_in_memory(demo.bundle, memory_index(demo.bundle))
    async with in_process(create_app(settings, opener=opener)) as client:
        await client.post("/recall", json=BODY)
        sys.setprofile(watch)
        try:
            answers = [await client.post("/recall", json=BODY | {"query": q}) for q in ("red shoes", "new")]
        finally:
            sys.setprofile(None)
    assert [answer.status_code for answer in answers] == [200, 200]
    assert called == []


#: Where a span would be looked for.
WATCHED = ("pipeline.py", "stages.py", "runtime.py", "recall.py", "run.py", "cache/redis.py")


def test_off_by_default(demo: Demo) -> None:
    assert make_settings(demo.bundle.path, demo.index).tracing.endpoint is None
