"""ASGI middleware: request ids, the access log, metrics, and answers for bugs."""

from __future__ import annotations

import logging
import random
import re
import secrets
import time
from collections.abc import Callable, Iterable

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from common.calling import REQUEST, trace_id
from service.http.problems import problem_from
from service.scope import ARRIVED, CLIENT_GONE, CLIENT_LEFT, PROBLEM, REQUEST_ID, TOLD, Told
from service.telemetry.logs import tell
from service.telemetry.metrics import Metrics

access = logging.getLogger("mrse.access")
log = logging.getLogger("mrse.service")

#: Where an endpoint leaves query and user in the scope, for the access log at level debug; never at info.
NOTES = "mrse.notes"
_SANE_ID = re.compile(rb"[\x21-\x7e]{1,128}")
_UNMATCHED = "unmatched"
#: Seen by nobody but the access log: the client has gone.
_GONE = 499
#: How requests end of which there may be thousands a second.
_MANY = (None, "overloaded")


class Lines:
    """Which requests are lines of the access log.

    Args:
        share: of those that were answered, or refused under load.
        slow_ms: from so many milliseconds on a request is one.
        draw: a number from 0 to 1, each as likely as any other.
    """

    def __init__(
        self, share: float = 1.0, slow_ms: float = 0.0, draw: Callable[[], float] = random.random
    ) -> None:
        self._share = share
        self._slow_s = slow_ms / 1000
        self._draw = draw

    def has(self, scope: Scope, seconds: float, told: Told | None, cause: str | None) -> bool:
        """Whether a request that has ended is one."""
        return (
            self._share == 1.0
            or cause not in _MANY
            or seconds >= self._slow_s
            or (told is not None and told.partial)
            or getattr(scope.get("route"), "needs", None) == "write"
            or self._draw() < self._share
        )


class Observe:
    """The outermost middleware: gives each request its id, counts and logs it, and answers for bugs.

    An error that reaches it is logged under the request id and answered with a 500 that tells nothing.
    Starlette's own handler, further out, would leave the id off the answer.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics, lines: Lines | None) -> None:
        self._app = app
        self._metrics = metrics
        self._lines = lines

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = scope.get(ARRIVED) or time.monotonic()
        request_id = scope[REQUEST_ID] = request_id_of(scope["headers"])
        REQUEST.set((request_id, scope["headers"]))
        id_header = (b"x-request-id", request_id.encode())
        status = 0

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", ()), id_header]
            await send(message)

        try:
            await self._app(scope, receive, send_with_id)
        except Exception as error:
            log.exception("unhandled error", extra={"request_id": request_id})
            scope[PROBLEM] = "internal"
            if status == 0:
                response = problem_from(error).response(request_id)
                await response(scope, receive, send_with_id)
            else:
                raise  # the answer has begun; the server must break the connection
        finally:
            seconds = time.monotonic() - started
            route = getattr(scope.get("route"), "path_format", _UNMATCHED)
            if status == 0 or CLIENT_GONE in scope:
                status = _GONE
            self._metrics.request(route, scope["method"], status, seconds)
            told: Told | None = scope.get(TOLD)
            cause = scope.get(PROBLEM) if status != _GONE else CLIENT_LEFT
            if cause is not None:
                cause = cause if told is None else told.cause(cause)
                self._metrics.error(route, cause)
            if told is not None:
                self._metrics.arms.ended(told, cause, seconds)
            if self._lines is not None and self._lines.has(scope, seconds, told, cause):
                _log_access(scope, route, status, seconds, told, cause)


def request_id(request: Request) -> str:
    """The id of the request, as the client sent it or as it was made."""
    return str(request.scope[REQUEST_ID])


def request_id_of(headers: Iterable[tuple[bytes, bytes]]) -> str:
    """The id that a client sent, or a new one."""
    for name, value in headers:
        if name == b"x-request-id":
            if _SANE_ID.fullmatch(value):
                return value.decode("ascii")
            break
    return secrets.token_hex(16)


def _log_access(
    scope: Scope, route: str, status: int, seconds: float, told: Told | None, cause: str | None
) -> None:
    """Write the line of a request."""
    if not access.isEnabledFor(logging.INFO):
        return
    extra = {
        "request_id": scope[REQUEST_ID],
        "method": scope["method"],
        "route": route,
        "status": status,
        "took_ms": round(seconds * 1000, 3),
    }
    if (trace := trace_id()) is not None:
        extra["trace_id"] = trace
    if cause is not None:
        extra["problem"] = cause
    if told is not None:
        extra["arms"] = told.arms
        if cause is None:
            extra["routes"] = told.routes
            extra["degraded"] = told.degraded
            extra["partial"] = told.partial
            extra["items"] = told.items
    tell(access, "request", extra)
    notes = scope.get(NOTES)
    if notes and access.isEnabledFor(logging.DEBUG):
        access.debug("request body", extra={"request_id": scope[REQUEST_ID], **notes})
