"""For whom a call to another server is made: headers that tie it to the request that it serves."""

from __future__ import annotations

import re
from collections.abc import Iterable
from contextvars import ContextVar

#: The id of the request that this task serves, and the headers that it came with, in lower case.
REQUEST: ContextVar[tuple[str, Iterable[tuple[bytes, bytes]]] | None] = ContextVar("request", default=None)
#: The trace context of our own span, where requests are traced.
TRACEPARENT: ContextVar[str | None] = ContextVar("traceparent", default=None)

#: Bytes of a caller's ``traceparent``: a longer one is none.
_LONGEST = 64
_TRACE = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")


def headers() -> dict[str, str]:
    """``X-Request-ID`` and ``traceparent`` for a call that this task makes; empty outside of requests.

    Without a span of our own the caller's trace context goes on as it came.
    """
    request = REQUEST.get()
    if request is None:
        return {}
    request_id, came = request
    found = {"X-Request-ID": request_id}
    trace = TRACEPARENT.get()
    if trace is None:
        trace = next((value.decode("latin-1") for name, value in came if name == b"traceparent"), None)
    if trace is not None and len(trace) <= _LONGEST and trace.isascii() and trace.isprintable():
        found["traceparent"] = trace
    return found


def trace_id() -> str | None:
    """The id of the trace that the request belongs to, 32 hexadecimal digits; None where it has none."""
    trace = TRACEPARENT.get()
    if trace is None:
        request = REQUEST.get()
        if request is None:
            return None
        trace = next((value.decode("latin-1") for name, value in request[1] if name == b"traceparent"), "")
    found = _TRACE.fullmatch(trace)
    return found and found[1]
