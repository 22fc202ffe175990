"""OpenTelemetry traces of requests, when ``tracing.endpoint`` is set and the ``tracing`` extra is installed.

Each request is a span, a child of the caller's ``traceparent``, with the time of every stage of a recall in
attributes ``mrse.stage.<name>_ms``. FastAPI's own tracing stays off: it slows every request and knows no
stages. No span carries a query, a user or an item.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from common.calling import TRACEPARENT
from service.errors import StartError
from service.settings import Tracing

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

_SERVICE = "mrse-recall"
#: There would be more spans of probes and scrapes than of all other requests.
_UNTRACED = frozenset({"/livez", "/readyz", "/metrics"})


def open_provider(settings: Tracing) -> TracerProvider | None:
    """Make the provider of spans, which exports them from its own thread; None when tracing is off.

    Raises:
        StartError: the extra is not installed.
    """
    if settings.endpoint is None:
        return None
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
    except ImportError as error:
        raise StartError("tracing.endpoint is set, but the tracing extra is not installed") from error
    provider = TracerProvider(
        resource=Resource.create({"service.name": _SERVICE}),
        sampler=ParentBased(TraceIdRatioBased(settings.sample)),
    )
    exporter = OTLPSpanExporter(endpoint=settings.endpoint, timeout=settings.timeout_s)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    return provider


def note_stages(seconds: Iterable[tuple[str, float]]) -> None:
    """Put the stages of a recall on the span of the request that is being answered."""
    from opentelemetry import trace

    span = trace.get_current_span()
    if span.is_recording():
        for name, value in seconds:
            span.set_attribute(f"mrse.stage.{name}_ms", round(value * 1000, 3))


class TraceRequests:
    """ASGI middleware: makes a server span for each request that is not a probe."""

    def __init__(self, app: ASGIApp, provider: Any) -> None:
        from opentelemetry.trace import SpanKind
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        self._app = app
        self._tracer = provider.get_tracer(_SERVICE)
        self._propagator = TraceContextTextMapPropagator()
        self._server = SpanKind.SERVER

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http" or scope["path"] in _UNTRACED:
            await self._app(scope, receive, send)
            return
        parent = self._propagator.extract(Headers(scope=scope))
        with self._tracer.start_as_current_span(scope["method"], parent, self._server) as span:
            span.set_attribute("http.request.method", scope["method"])
            ours: dict[str, str] = {}
            self._propagator.inject(ours)
            TRACEPARENT.set(ours.get("traceparent"))

            async def send_and_note(message: Message) -> None:
                if message["type"] == "http.response.start":
                    span.set_attribute("http.response.status_code", message["status"])
                await send(message)

            try:
                await self._app(scope, receive, send_and_note)
            finally:
                # Known only after routing; the path itself may name an item.
                route = getattr(scope.get("route"), "path_format", None)
                if route is not None:
                    span.update_name(f"{scope['method']} {route}")
                    span.set_attribute("http.route", route)
