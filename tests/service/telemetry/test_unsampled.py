"""Requests that are not sampled: what they pass on, and that the others are sampled as before."""

from __future__ import annotations

from typing import Any

import pytest

from common.calling import SPAN, Span
from service.telemetry.tracing import TraceRequests
from service.telemetry.unsampled import drawing

pytest.importorskip("opentelemetry.sdk")
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


class Answering:
    """An application that keeps the spans of its requests."""

    def __init__(self, sample: float) -> None:
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import SimpleSpanProcessor
        from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
        from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased

        self.exported = InMemorySpanExporter()
        sampler = ParentBased(TraceIdRatioBased(sample))
        provider = TracerProvider(sampler, id_generator=drawing(sample))
        provider.add_span_processor(SimpleSpanProcessor(self.exported))
        self.spans: list[Span] = []
        self._traced = TraceRequests(self._answer, provider, lambda *_: None)

    async def _answer(self, scope: Any, receive: Any, send: Any) -> None:
        span = SPAN.get()
        assert span is not None
        self.spans.append(span)
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async def ask(self, **headers: str) -> Span:
        async def nothing(*_: Any) -> None: ...

        scope = {"type": "http", "method": "GET", "path": "/x", "scheme": "http", "http_version": "1.1"}
        sent = [(name.encode(), value.encode()) for name, value in headers.items()]
        await self._traced({**scope, "headers": sent, "mrse.request_id": "r"}, nothing, nothing)
        return self.spans[-1]


@pytest.fixture
def half() -> Any:
    return Answering(0.5)


async def test_the_share_that_is_sampled_is_exported_and_no_other(half: Answering) -> None:
    for _ in range(200):
        await half.ask(host="shop")
    sampled = {span.trace_id for span in half.spans if span.recording}
    exported = {f"{span.context.trace_id:032x}" for span in half.exported.get_finished_spans()}
    assert sampled == exported
    assert 50 < len(sampled) < 150
    assert len({span.trace_id for span in half.spans}) == 200
    assert all(int(each, 16) & (2**64 - 1) < 2**63 for each in sampled), "as TraceIdRatioBased has it"


async def test_one_that_is_not_sampled_passes_its_trace_on_as_such(half: Answering) -> None:
    while (span := await half.ask()).recording:
        pass
    version, trace, parent, flags = span.headers["traceparent"].split("-")
    assert (version, trace) == ("00", span.trace_id)
    assert int(flags, 16) & 1 == 0
    assert span.headers["traceparent"].split("-")[2] == parent, "one request is one span"
    part = span.child("encode", calls=True)
    part.note("x", 1)
    part.end("error")
    assert (part.bare().recording, part.trace_id) == (False, span.trace_id)


async def test_a_callers_decision_holds() -> None:
    never, always = Answering(0.0), Answering(1.0)
    assert (await never.ask(traceparent=f"00-{TRACE}-00f067aa0ba902b7-01")).recording
    assert never.spans[-1].trace_id == TRACE
    refused = await always.ask(traceparent=f"00-{TRACE}-00f067aa0ba902b7-00")
    assert (refused.recording, refused.trace_id) == (False, TRACE)
    assert (await always.ask()).recording
    assert not (await never.ask()).recording
