"""HTTP/1.1 on one connection: uvicorn's parsing, with the bounds that it lacks."""

from __future__ import annotations

import asyncio
import time
import urllib.parse
from functools import partial
from typing import TYPE_CHECKING, Any

import httptools
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT

from service.http.door import DOOR, Door
from service.process.connection import BODY, HEAD, IDLE, NO_DUE, BoundedConnection
from service.process.connections import FREE_BODY
from service.process.cycle import Cycle
from service.process.refusals import (
    HEAD_BYTES,
    HEAD_TOO_LARGE,
    HEADERS,
    MALFORMED,
    NO_PLACE,
    NO_TUNNEL,
    TOO_MANY_HEADERS,
    TOO_MANY_PARTS,
    WRONG_HOST,
    RefusedError,
)
from service.scope import ARRIVED

if TYPE_CHECKING:
    from uvicorn._types import ASGI3Application
    from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

#: Requests that may stand behind the one that is being worked on.
PIPELINED = 64
#: Parts that a body may come in, and the bytes that each further one needs: it costs as much as hundreds.
PARTS = 2000
PART_BYTES = 64
PROBES = frozenset({b"/livez", b"/readyz", b"/metrics"})
#: What clients add when they would rather speak HTTP/2 or WebSocket; without it the request is the same.
_OFFERS = frozenset({b"upgrade", b"http2-settings"})


class Protocol(BoundedConnection):
    """One connection of a client."""

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self._door: Door | None = self.app_state.get(DOOR)
        #: The request that the parser is in, until it is begun.
        self._unbegun: tuple[RequestResponseCycle, ASGI3Application] | None = None

    def data_received(self, data: bytes) -> None:
        """Parse what came, within bounds, and begin a request whose body is still to come."""
        try:
            while data:
                if self._deaf:
                    self._discard(len(data))
                    break
                data = self._parse(data)
        except httptools.HttpParserError as error:
            cause = error.__context__
            self._refuse(cause.refusal if isinstance(cause, RefusedError) else MALFORMED)
        except RefusedError as error:
            self._refuse(error.refusal)
        if self._unbegun is not None:
            (cycle, app), self._unbegun = self._unbegun, None
            arrived: float = cycle.scope[ARRIVED]  # type: ignore[literal-required]  # our own key
            if cycle.disconnected:  # by a refusal
                return
            if self._door is None or not self._door.turn_away(cycle, arrived, self.on_response_complete):
                super()._start_asgi_task(cycle, app)

    def _parse(self, data: bytes) -> bytes:
        """Parse a piece of what came, no larger than a head may still be; what is left of it."""
        phase, held = self._phase, self._held
        room = HEAD_BYTES - (self._head_bytes if phase == HEAD else 0)
        piece, rest = (data, b"") if len(data) <= room else (data[:room], data[room:])
        try:
            self.parser.feed_data(piece)
        except httptools.HttpParserUpgrade as offer:
            self._take_without_offer()
            if self._phase == BODY:
                self._wait_for_rest()
            return piece[offer.args[0] :] + rest
        if self._phase == HEAD:
            if phase != BODY:  # else it began somewhere in the piece
                self._head_bytes += len(piece)
            if self._head_bytes >= HEAD_BYTES:
                raise RefusedError(HEAD_TOO_LARGE)
            self._wait_for_rest()
        elif self._phase == BODY:
            self._dry_bytes = self._dry_bytes + len(piece) if self._held == held else 0
            if self._dry_bytes > HEAD_BYTES:
                raise RefusedError(MALFORMED)
            self._wait_for_rest()
        return rest

    # What the parser calls.

    def on_message_begin(self) -> None:
        """Begin a request: note when its first byte came."""
        if self._deaf:
            raise RefusedError(NO_PLACE)
        super().on_message_begin()
        self.since = time.monotonic()
        self.scope[ARRIVED] = self.since  # type: ignore[literal-required]  # our own key
        self._phase = HEAD
        self._head_bytes = 0
        self._host = None
        if self._queue is not None:
            self._move(None)
        if not self._reserved:
            self.due = self.since + self.all.bounds.head_s

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header; of trailers only the number counts."""
        name = name.lower()
        if self._phase != HEAD:
            self._head_bytes += 1
            if self._head_bytes > HEADERS:
                raise RefusedError(TOO_MANY_HEADERS)
            return
        if name == b"host":
            if self._host is not None:
                raise RefusedError(MALFORMED)
            self._host = value
        elif name == b"expect" and value.lower() == b"100-continue":
            self.expect_100_continue = True
        self.headers.append((name, value))
        if len(self.headers) > HEADERS:
            raise RefusedError(TOO_MANY_HEADERS)

    def on_headers_complete(self) -> None:
        """Hand the request to the application, or let it wait behind the one that is being worked on."""
        parser = self.parser
        method: bytes = parser.get_method()
        if parser.should_upgrade():
            if method == b"CONNECT":
                raise RefusedError(NO_TUNNEL)
            self._upgrading = True
            return
        if self._host is not None and not self.all.hosts.allows(self._host):
            raise RefusedError(WRONG_HOST)
        self._phase = BODY
        self._head_bytes = self._dry_bytes = self._parts = 0
        self.due = NO_DUE
        http_version: str = parser.get_http_version()
        scope = self.scope
        scope["method"] = method.decode("ascii")
        if http_version != "1.1":
            scope["http_version"] = http_version
        url = httptools.parse_url(self.url)
        raw_path: bytes = url.path
        path = raw_path.decode("ascii")
        if "%" in path:
            path = urllib.parse.unquote(path)
        scope["path"] = self.root_path + path
        scope["raw_path"] = self.root_path.encode("ascii") + raw_path
        scope["query_string"] = url.query or b""
        if self._reserved:
            self.all.reserved.pop(self, None)
            if raw_path not in PROBES or method not in (b"GET", b"HEAD"):
                raise RefusedError(NO_PLACE)
        before = self.cycle
        self.cycle = Cycle(
            self.all,
            self.transport,
            scope=scope,
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=self.access_log,
            default_headers=self.server_state.default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=self.expect_100_continue,
            keep_alive=http_version != "1.0"
            and parser.should_keep_alive()
            and not (self._reserved or self.all.draining),
            on_response=self.on_response_complete,
        )
        if before is None or before.response_complete:
            self._start_asgi_task(self.cycle, self.app)
        else:
            self.flow.pause_reading()
            self.pipeline.appendleft((self.cycle, self.app))
            if len(self.pipeline) >= PIPELINED:
                self._deaf = True  # those that follow are not read; a client sends them again

    def on_body(self, body: bytes) -> None:
        """Take a part of the body, and count it."""
        cycle, connections = self.cycle, self.all
        if self._upgrading or self._deaf or cycle is None or cycle.response_complete:
            return
        size = len(body)
        self._parts += 1
        if self._parts > PARTS + self._held // PART_BYTES:
            raise RefusedError(TOO_MANY_PARTS)
        self._held += size
        connections.held += size
        cycle.body += body
        if len(cycle.body) > HIGH_WATER_LIMIT:
            self.flow.pause_reading()
        cycle.message_event.set()
        if self._held > FREE_BODY:
            connections.bodies.setdefault(self, None)
            if connections.held > connections.bounds.body_bytes:
                connections.reclaim(self)

    def on_message_complete(self) -> None:
        """The body is complete."""
        if self._upgrading:
            return
        self._phase = IDLE
        self._head_bytes = 0
        if self._queue is not None:
            self._move(None)
        if self._held > FREE_BODY:
            self.all.bodies.pop(self, None)
        super().on_message_complete()
        if self.cycle.response_complete:  # it was turned away before its end
            self._rest()
        if self._unbegun is not None:
            (cycle, app), self._unbegun = self._unbegun, None
            self._begin(cycle, app)

    # What begins a request.

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self._running = cycle
        if self._door is None:
            super()._start_asgi_task(cycle, app)
        elif cycle.more_body and cycle is self.cycle:  # its body may be in the bytes at hand
            self._unbegun = cycle, app
        else:
            self._begin(cycle, app)

    def _begin(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        if self._door is None:
            super()._start_asgi_task(cycle, app)
            return
        arrived: float = cycle.scope[ARRIVED]  # type: ignore[literal-required]  # our own key
        start = partial(super()._start_asgi_task, cycle, app)
        self._door.begin(cycle, arrived, start, self.on_response_complete)

    def _wait_for_rest(self) -> None:
        if self._queue is None and not self._deaf:
            self._move(self.all.partial)

    def _take_without_offer(self) -> None:
        """Parse the head again without its offer to speak another protocol: the parser stops there."""
        head = [self.parser.get_method(), b" ", self.url, b" HTTP/", self.parser.get_http_version().encode()]
        for name, value in self.headers:
            if name == b"connection":
                tokens = [token.strip() for token in value.split(b",")]
                value = b", ".join(token for token in tokens if token.lower() not in _OFFERS)
            if name not in _OFFERS:
                head += [b"\r\n", name, b": ", value]
        began, self._upgrading = self.since, False
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
        self.parser.feed_data(b"".join(head) + b"\r\n\r\n")
        self.scope[ARRIVED] = began  # type: ignore[literal-required]
