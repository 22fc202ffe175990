"""OpenTelemetry traces of requests, when ``tracing.endpoint`` or a variable of OpenTelemetry asks for them.

Each request is a span, a child of its caller's, and each stage of a recall is a span in it; so are the calls
to Redis and Vespa, to which the trace context goes on. FastAPI's own tracing stays off: it slows every
request and knows no stages. No span carries a query, a user or an item, nor the message of an error.

This module imports nothing of OpenTelemetry before it is asked for traces: who traces nothing pays nothing.
"""

from __future__ import annotations

import logging
import os
import time
import uuid
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from common.build import service_version
from common.calling import SPAN, Span
from service.errors import StartError
from service.scope import ARRIVED, CLIENT_GONE, CLIENT_LEFT, PROBLEM, REQUEST_ID, TOLD, Told
from service.settings import Tracing
from service.telemetry.unsampled import drawing

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

log = logging.getLogger("mrse.service")

_SERVICE = "mrse-recall"
#: Share of the requests that are traced, where nobody says: *inferred*.
_SAMPLE = 0.01
_SAMPLER = "OTEL_TRACES_SAMPLER"
_EXPORTER = "OTEL_TRACES_EXPORTER"
_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
#: The one protocol of the extra's exporter.
_SPOKEN = "http/protobuf"
#: There would be more spans of probes and scrapes than of all other requests.
_UNTRACED = frozenset({"/livez", "/readyz", "/metrics"})


def open_provider(settings: Tracing) -> TracerProvider | None:
    """Make the provider of spans, which exports them from its own thread; None when tracing is off.

    What the settings leave open, OpenTelemetry's own variables say: where and how to export, what is sampled,
    the service's name and other attributes of the resource, the bounds of spans and queues.

    Raises:
        StartError: ``tracing.endpoint`` is set and the extra is not installed, or a variable cannot be used.
    """
    if not _wanted(settings):
        return None
    try:
        from opentelemetry import propagate  # noqa: F401 -- reads OTEL_PROPAGATORS, which may be wrong
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
    except ImportError as error:
        if settings.endpoint is not None:
            raise StartError("tracing.endpoint is set, but the tracing extra is not installed") from error
        log.warning("OTEL_* variables ask for traces, but the tracing extra is not installed: there are none")
        return None
    except ValueError as error:
        raise _unusable(error) from error
    spoken = next((os.environ[name] for name in _PROTOCOLS if os.environ.get(name)), _SPOKEN)
    if spoken != _SPOKEN:
        log.warning("traces are sent by %s, not by %s", _SPOKEN, spoken)
    sample = settings.sample
    if sample is None and not os.environ.get(_SAMPLER):
        sample = _SAMPLE
    try:
        provider = TracerProvider(
            resource=_resource(),
            id_generator=None if sample is None else drawing(sample),
            # Without one the SDK does as the variable says.
            sampler=None if sample is None else ParentBased(TraceIdRatioBased(sample)),
        )
        exporter = OTLPSpanExporter(endpoint=settings.endpoint, timeout=settings.timeout_s)
        provider.add_span_processor(BatchSpanProcessor(exporter))
    except ValueError as error:
        raise _unusable(error) from error
    return provider


def _unusable(error: Exception) -> StartError:
    return StartError(f"the OTEL_* variables cannot be used: {error}")


def _wanted(settings: Tracing) -> bool:
    if os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return False
    if settings.endpoint is not None:
        return True
    exporter = os.environ.get(_EXPORTER, "").strip().lower()
    if exporter not in ("", "otlp", "none"):
        log.warning("%s=%s is not known here, only otlp and none are: nothing is traced", _EXPORTER, exporter)
        return False
    return exporter == "otlp" or (exporter == "" and any(os.environ.get(name) for name in _ENDPOINTS))


def _resource() -> Any:
    from opentelemetry.sdk.resources import OTELResourceDetector, Resource

    ours = {
        "service.name": _SERVICE,
        "service.version": service_version(),
        "service.instance.id": str(uuid.uuid4()),  # of this worker
    }
    return Resource.create(ours).merge(OTELResourceDetector().detect())


class _Span:
    """`common.calling.Span` of OpenTelemetry's."""

    __slots__ = ("_context", "_span", "_tracer", "recording")

    def __init__(self, tracer: Any, span: Any, context: Any, recording: bool) -> None:
        self._tracer, self._span, self._context = tracer, span, context
        self.recording = recording

    @property
    def trace_id(self) -> str:
        return f"{self._span.get_span_context().trace_id:032x}"

    @property
    def headers(self) -> Mapping[str, str]:
        from opentelemetry.propagate import inject

        found: dict[str, str] = {}
        inject(found, self._context)
        return found

    def child(self, name: str, *, calls: bool = False, ago_s: float = 0.0) -> Span:
        from opentelemetry.trace import SpanKind, set_span_in_context

        if not self.recording:
            return self
        kind = SpanKind.CLIENT if calls else SpanKind.INTERNAL
        span = self._tracer.start_span(name, self._context, kind, start_time=_ago(ago_s))
        return _Span(self._tracer, span, set_span_in_context(span, self._context), True)

    def bare(self) -> Span:
        return _Span(self._tracer, self._span, self._context, False)

    def note(self, name: str, value: str | int | float | bool) -> None:
        if self.recording:
            self._span.set_attribute(name, value)

    def end(self, error: str | None = None, *, name: str | None = None, ago_s: float = 0.0) -> None:
        if not self.recording:
            return
        if name is not None:
            self._span.update_name(name)
        if error is not None:
            from opentelemetry.trace import StatusCode

            self._span.set_attribute("error.type", error)
            self._span.set_status(StatusCode.ERROR)
        self._span.end(_ago(ago_s))


def _ago(seconds: float) -> int:
    """Nanoseconds since 1970, so long ago."""
    return time.time_ns() - int(seconds * 1e9)


class TraceRequests:
    """ASGI middleware: makes a server span for each request that is not a probe.

    Args:
        app: answers.
        provider: gets the spans.
        note: told the route, the seconds and the trace of each request that was recorded.
    """

    def __init__(self, app: ASGIApp, provider: Any, note: Callable[[str, float, str], None]) -> None:
        from opentelemetry.propagate import extract, get_global_textmap

        self._app = app
        self._note = note
        self._tracer = provider.get_tracer(_SERVICE, service_version())
        self._extract = extract
        self._draw: Callable[[], Span | None] | None = getattr(provider.id_generator, "draw", None)
        #: Headers that may make a request a part of a trace.
        self._carried = frozenset(name.lower().encode() for name in get_global_textmap().fields)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http" or scope["path"] in _UNTRACED:
            await self._app(scope, receive, send)
            return
        if self._draw is not None and self._carried.isdisjoint([name for name, _ in scope["headers"]]):
            unsampled = self._draw()
            if unsampled is not None:
                SPAN.set(unsampled)
                await self._app(scope, receive, send)
                return
        from opentelemetry.trace import SpanKind, set_span_in_context

        parent = self._extract(Headers(scope=scope))
        arrived: float = scope.get(ARRIVED) or time.monotonic()
        began = _ago(time.monotonic() - arrived)
        otel = self._tracer.start_span(scope["method"], parent, SpanKind.SERVER, start_time=began)
        span = _Span(self._tracer, otel, set_span_in_context(otel, parent), otel.is_recording())
        SPAN.set(span)
        if not span.recording:
            await self._app(scope, receive, send)
            return
        status = 0

        async def send_and_note(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        failed: str | None = None
        try:
            await self._app(scope, receive, send_and_note)
        except BaseException as error:
            failed = type(error).__name__
            raise
        finally:
            _tell(span, scope, status, failed)
            route = getattr(scope.get("route"), "path_format", None)
            if route is not None:
                self._note(route, time.monotonic() - arrived, span.trace_id)


def _tell(span: _Span, scope: Scope, status: int, failed: str | None) -> None:
    """End the span of a request, with what became of it."""
    span.note("http.request.method", scope["method"])
    span.note("url.scheme", scope["scheme"])
    span.note("network.protocol.version", scope["http_version"])
    span.note("mrse.request_id", scope[REQUEST_ID])
    if status:
        span.note("http.response.status_code", status)
    # Known only after routing; the path itself may name an item.
    route = getattr(scope.get("route"), "path_format", None)
    if route is not None:
        span.note("http.route", route)
    told: Told | None = scope.get(TOLD)
    problem = CLIENT_LEFT if CLIENT_GONE in scope else scope.get(PROBLEM)
    if told is not None:
        for experiment, arm in told.arms.items():
            span.note(f"mrse.arm.{experiment}", arm)
        problem = problem if problem is None else told.cause(problem)
        if problem is None and failed is None:
            span.note("mrse.items", told.items)
            span.note("mrse.partial", told.partial)
            span.note("mrse.degraded", ",".join(told.degraded))
    if problem is not None:
        span.note("mrse.problem", problem)
    if failed is None and status >= 500:
        failed = problem or str(status)
    span.end(failed, name=scope["method"] if route is None else f"{scope['method']} {route}")
