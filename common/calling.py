"""For whom a call to another server is made: headers that tie it to the request that it serves."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Protocol


class Span(Protocol):
    """A part of a traced request: it has a name, an end, and parts of its own."""

    #: Whether anybody will see it; one that nobody sees has no parts, and is only passed on.
    recording: bool

    @property
    def trace_id(self) -> str:
        """Of the request, 32 hexadecimal digits."""

    @property
    def headers(self) -> Mapping[str, str]:
        """Pass it on to another server, by which that server's spans become its parts."""

    def child(self, name: str, *, calls: bool = False, ago_s: float = 0.0) -> Span:
        """A part that begins now, or began some seconds ago; ``calls``: it is a call to another server."""

    def bare(self) -> Span:
        """The same, whose parts nobody will see."""

    def note(self, name: str, value: str | int | float | bool) -> None:
        """Say something of it: never a query, a user or an item."""

    def end(self, error: str | None = None, *, name: str | None = None, ago_s: float = 0.0) -> None:
        """It ended now, or some seconds ago: with an error of a bounded set, or under a better name."""


#: The id of the request that this task serves, and the headers that it came with, in lower case.
REQUEST: ContextVar[tuple[str, Iterable[tuple[bytes, bytes]]] | None] = ContextVar("request", default=None)
#: The span that this task works on, where requests are traced.
SPAN: ContextVar[Span | None] = ContextVar("span", default=None)

#: Bytes of a caller's ``traceparent``: a longer one is none.
_LONGEST = 64
_TRACE = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")


def headers(span: Span | None) -> dict[str, str]:
    """``X-Request-ID`` and trace context for a call that this task makes; empty outside of requests.

    Args:
        span: of the call, or what it belongs to. Without one the caller's ``traceparent`` goes on as it came.
    """
    request = REQUEST.get()
    if request is None:
        return {}
    request_id, came = request
    found = {"X-Request-ID": request_id}
    if span is not None:
        found |= span.headers
    elif (trace := _came(came)) is not None:
        found["traceparent"] = trace
    return found


def redis_span(operation: str, keys: int, server: Mapping[str, Any]) -> Span | None:
    """A span for a call to Redis that this task makes now; None where nobody will see it.

    Args:
        operation: the command, or what commands do together.
        keys: how many are named.
        server: what redis-py connects with.
    """
    whole = SPAN.get()
    if whole is None or not whole.recording:
        return None
    span = whole.child(operation, calls=True)
    span.note("db.system.name", "redis")
    span.note("db.operation.name", operation)
    span.note("db.operation.batch.size", keys)
    span.note("server.address", server.get("host") or "unix")
    if (port := server.get("port")) is not None:
        span.note("server.port", port)
    return span


@contextmanager
def redis_call(operation: str, keys: int, server: Mapping[str, Any]) -> Iterator[None]:
    """As `redis_span`, for as long as the block takes; an error that leaves it is the span's."""
    span, failed = redis_span(operation, keys, server), None
    try:
        yield
    except BaseException as error:
        failed = type(error).__name__
        raise
    finally:
        if span is not None:
            span.end(failed)


def trace_id() -> str | None:
    """The id of the trace that the request belongs to, 32 hexadecimal digits; None where it has none."""
    if (span := SPAN.get()) is not None:
        return span.trace_id
    request = REQUEST.get()
    trace = None if request is None else _came(request[1])
    found = None if trace is None else _TRACE.fullmatch(trace)
    return found and found[1]


def _came(headers: Iterable[tuple[bytes, bytes]]) -> str | None:
    """The trace context that a request came with, if it can be passed on."""
    trace = next((value.decode("latin-1") for name, value in headers if name == b"traceparent"), None)
    if trace is None or len(trace) > _LONGEST or not (trace.isascii() and trace.isprintable()):
        return None
    return trace
