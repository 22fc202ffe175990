"""Requests that nobody traces, nearly all: for these nothing of OpenTelemetry's is made.

A request that comes without a trace and is not sampled has an id, for its line of the log and for the calls
that it makes. Its span took 8 µs, most of them to find out that it is none; this takes 2.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from common.calling import Span


class Unsampled:
    """`common.calling.Span` of a request that nobody traces: calls pass its trace on, as not sampled."""

    __slots__ = ("_span", "_trace")

    recording = False

    def __init__(self, trace: int) -> None:
        self._trace = trace
        self._span = 0

    @property
    def trace_id(self) -> str:
        """See `Span.trace_id`."""
        return f"{self._trace:032x}"

    @property
    def headers(self) -> Mapping[str, str]:
        """See `Span.headers`."""
        from opentelemetry.propagate import inject
        from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
        from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, set_span_in_context

        self._span = self._span or RandomIdGenerator().generate_span_id()
        flags = TraceFlags(getattr(TraceFlags, "RANDOM_TRACE_ID", TraceFlags.DEFAULT))  # of new versions
        span = NonRecordingSpan(SpanContext(self._trace, self._span, is_remote=False, trace_flags=flags))
        found: dict[str, str] = {}
        inject(found, set_span_in_context(span))
        return found

    def child(self, name: str, *, calls: bool = False, ago_s: float = 0.0) -> Span:
        """See `Span.child`."""
        return self

    def bare(self) -> Span:
        """See `Span.bare`."""
        return self

    def note(self, name: str, value: str | int | float | bool) -> None:
        """See `Span.note`."""

    def end(self, error: str | None = None, *, name: str | None = None, ago_s: float = 0.0) -> None:
        """See `Span.end`."""


def drawing(sample: float) -> Any:
    """Ids of traces that tell which of them the sampler of the settings leaves out.

    Args:
        sample: share of the requests that are traced, as `TraceIdRatioBased` takes it.

    Returns:
        an `IdGenerator`, which has a method ``draw`` beside.
    """
    from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
    from opentelemetry.sdk.trace.sampling import TraceIdRatioBased

    bound, low_bits = TraceIdRatioBased(sample).bound, TraceIdRatioBased.TRACE_ID_LIMIT

    class Drawing(RandomIdGenerator):
        _drawn: int | None = None

        def draw(self) -> Unsampled | None:
            """A request that is left out; None for one that is not, whose span is to be made now."""
            drawn = super().generate_trace_id()
            if drawn & low_bits >= bound:
                return Unsampled(drawn)
            self._drawn = drawn
            return None

        def generate_trace_id(self) -> int:
            drawn, self._drawn = self._drawn, None
            return super().generate_trace_id() if drawn is None else drawn

    return Drawing()
