"""Answers that the protocol gives by itself, before the application has seen a request."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from typing import NamedTuple

import orjson
from uvicorn.protocols.http.httptools_impl import STATUS_LINE

#: Bytes of a head, and its headers. The frames of a body's chunks have as many between two bytes of body.
HEAD_BYTES = 64 * 1024
HEADERS = 100


class Refusal(NamedTuple):
    """What is answered, and why."""

    status: int
    kind: str
    detail: str


class RefusedError(Exception):
    """Stops the parser: the request is refused."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.detail)
        self.refusal = refusal


MALFORMED = Refusal(400, "malformed-request", "this is not a request of HTTP/1.1")
TOO_MANY_PARTS = Refusal(400, "malformed-request", "the body comes in too many small parts")
NO_TUNNEL = Refusal(405, "method-not-allowed", "this is no proxy")
HEAD_TOO_SLOW = Refusal(408, "request-timeout", "the head did not arrive in time")
WRONG_HOST = Refusal(421, "wrong-host", "the service does not answer to this Host; see server.hosts")
HEAD_TOO_LARGE = Refusal(431, "head-too-large", f"the head is over {HEAD_BYTES} bytes")
TOO_MANY_HEADERS = Refusal(431, "head-too-large", f"there are over {HEADERS} headers")
NO_PLACE = Refusal(503, "overloaded", "too many connections are open")


def answer(refusal: Refusal, headers: Iterable[tuple[bytes, bytes]], *, with_body: bool) -> bytes:
    """The whole answer as it is sent: problem details that end the connection.

    Args:
        refusal: what it says.
        headers: further ones.
        with_body: not for ``HEAD``.
    """
    from service.http.problems import MEDIA_TYPE, ProblemError  # the parent of workers never needs it

    request_id = secrets.token_hex(16)
    body = orjson.dumps(ProblemError(*refusal).body(request_id))
    lines = [
        *headers,
        (b"content-type", MEDIA_TYPE.encode()),
        (b"content-length", b"%d" % len(body)),
        (b"x-request-id", request_id.encode()),
        (b"connection", b"close"),
    ]
    head = b"".join(b"%s: %s\r\n" % line for line in lines)
    return STATUS_LINE[refusal.status] + head + b"\r\n" + (body if with_body else b"")
