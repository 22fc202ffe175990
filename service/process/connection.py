"""The life of one connection: its place among all, its deadlines, and how it ends.

`service.process.protocol` parses what it says. `Connections.sweep` looks once a second at what is due. Every
answer that comes before the end of its request's body ends the connection; a client that still sends is
listened to for a short while, so that it can read the answer.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import time
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from service.errors import Overloaded
from service.process.connections import Connection, connections_of
from service.process.cycle import Cycle
from service.process.refusals import HEAD_TOO_SLOW, NO_PLACE, Refusal, answer

if TYPE_CHECKING:
    from uvicorn._types import ASGI3Application
    from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

    from service.telemetry.labels import Closed

#: A client whose answer is ready, or that is refused, may send on for so long and so much.
LINGER_S = 2.0
LINGER_BYTES = 4 * 1024 * 1024
#: How long a connection with a reserved place has for its head.
RESERVED_S = 2.0
NO_DUE = float("inf")
#: ``SO_LINGER``: on, for no second.
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)
#: What of a request is on its way.
IDLE, HEAD, BODY = range(3)


class BoundedConnection(HttpToolsProtocol):
    """uvicorn's protocol with a place, deadlines, and ends of its own.

    Args:
        wire: with TLS, what is below the encryption; there an answer waits for its client.

    Attributes:
        due: see `Connection`.
        since: see `Connection`.
    """

    def __init__(self, *given: Any, wire: asyncio.Transport | None = None, **named: Any) -> None:
        super().__init__(*given, **named)
        self._wire = wire
        self.all = connections_of(self.app_state)
        self.due = NO_DUE
        self.since = 0.0
        self._queue: OrderedDict[Connection, None] | None = None
        self._reserved = False
        self._phase = IDLE
        self._head_bytes = 0
        self._dry_bytes = 0
        self._parts = 0
        self._held = 0
        self._host: bytes | None = None
        self._upgrading = False
        self._deaf = False
        self._discarded = 0
        self._stalled_since = 0.0
        self._running: RequestResponseCycle | None = None
        self._reason: Closed = "client"

    # What the transport calls.

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take a place."""
        super().connection_made(transport)
        self._reserved = self.all.enter(self)
        self._queue = None if self._reserved else self.all.fresh
        self.due = time.monotonic() + (RESERVED_S if self._reserved else self.all.bounds.idle_s)
        if self.all.full():
            self._refuse(NO_PLACE)

    def connection_lost(self, exc: Exception | None) -> None:
        """Give back what it held."""
        self.all.leave(self)
        self._move(None)
        self._release()
        self.all.closed(self._reason)
        super().connection_lost(exc)
        running = self._running
        if isinstance(running, Cycle) and not running.response_complete:
            running.drop_client()
        self.pipeline.clear()

    # What the request's cycle calls.

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self._running = cycle
        self._stalled_since = 0.0
        super()._start_asgi_task(cycle, app)

    def on_response_complete(self) -> None:
        """End the connection, or go on with the next request, or wait for it."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self._running.ends:  # type: ignore[union-attr]
            self._finish("answered")
        elif self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
        elif self._deaf:
            self._finish("answered")
        else:
            self._release()
            if self._phase == IDLE:
                self._rest()
            elif self._phase == BODY:  # turned away; the rest of its small body is thrown away
                self.due = time.monotonic() + self.all.bounds.head_s

    # What `Connections` calls.

    def unsent(self) -> int:
        """Bytes of answers that wait in this process for the client to take them."""
        size = self.transport.get_write_buffer_size()
        return size if self._wire is None else size + self._wire.get_write_buffer_size()

    def watch_writing(self, now: float) -> int:
        """Note whether the client takes its answer, and end the connection if it does not; see `unsent`."""
        size = self.unsent()
        if not size or not self._stalled_since:
            self._stalled_since = now if size else 0.0
            if self._queue is self.all.stalled:
                self._move(None)
        elif now - self._stalled_since > self.all.bounds.write_s:
            self.abort("write_timeout")
        elif self._queue is None:
            self._move(self.all.stalled)
        return size

    def expire(self, now: float) -> None:
        """End what is past its deadline."""
        self.due = NO_DUE
        if self._deaf or self.unsent():
            self.abort(self._reason if self._deaf else "write_timeout")
        elif self._phase == HEAD:
            self._refuse(HEAD_TOO_SLOW, "head_timeout")
        elif self._running is None or self._running.response_complete:
            self._close("idle", now)
        elif self._phase == BODY:
            self.refuse_body(Overloaded("the service is being stopped"))

    def evict(self) -> None:
        """Give the place to another connection, at once."""
        self.all.leave(self)
        # With TLS a soft end waits for the client to agree, and nobody would count it.
        soft = self._wire is None and not (self.unsent() or self._phase == BODY)
        if not soft or self._queue is self.all.ending:
            self.abort("evicted")
            return
        if self._phase == HEAD:
            self._write(NO_PLACE)
        self._close("evicted", time.monotonic())

    def refuse_body(self, why: Exception) -> None:
        """Do not read on the body of the request that is on its way."""
        self._deaf = True
        self._release()
        if isinstance(self.cycle, Cycle):
            self.cycle.refuse(why)

    def abort(self, reason: Closed) -> None:
        """End the connection at once, and free what waits to be sent."""
        self._reason = reason
        self._deaf = True
        self._move(None)
        if self.unsent():
            sock = self.transport.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        self.transport.abort()

    def shutdown(self) -> None:
        """End soon: what is being worked on is answered; who does not read or send is not waited for."""
        self.all.draining = True
        now = time.monotonic()
        running = self._running
        if self._phase != IDLE or self.unsent():
            self.due = min(self.due, now + LINGER_S)
        elif running is None or running.response_complete:
            self._close("shutdown", now)

    # Endings.

    def _refuse(self, refusal: Refusal, reason: Closed = "refused") -> None:
        """Answer by itself, behind what is being answered, and end the connection."""
        if self._deaf:
            return
        self._deaf = True
        self.all.refused(str(refusal.status))
        running = self._running
        if running is not None and not running.response_complete:
            in_body = self._phase == BODY
            if not (in_body and running is self.cycle and not running.response_started):
                if in_body and running is not self.cycle:
                    self.pipeline.popleft()
                return  # the connection ends when all is answered
            self.cycle.drop_client()  # type: ignore[attr-defined]
        self._write(refusal)
        self._finish(reason)

    def _write(self, refusal: Refusal) -> None:
        headers = list(self.server_state.default_headers)
        if refusal.status == 503:
            headers.append((b"retry-after", b"%d" % self.all.bounds.retry_after_s))
        self.transport.write(answer(refusal, headers, with_body=self.parser.get_method() != b"HEAD"))

    def _finish(self, reason: Closed) -> None:
        """Close behind the answer; a client that still sends may go on for a while, to read it first."""
        now = time.monotonic()
        if self._phase == IDLE or not self.transport.can_write_eof():
            self._close(reason, now)
            return
        self._reason = reason
        self._deaf = True
        self._release()
        self._move(self.all.ending)
        self.flow.resume_reading()
        self.transport.write_eof()
        self.due = now + (self.all.bounds.write_s if self.unsent() else LINGER_S)

    def _close(self, reason: Closed, now: float) -> None:
        """Close once all is sent, and at the latest when an answer must have been taken."""
        self._reason = reason
        self._deaf = True
        self._release()
        self._move(None if self._wire is None else self.all.ending)  # it waits for the client to agree
        self.due = now + (LINGER_S if self.all.draining else self.all.bounds.write_s)
        self.transport.close()

    def _discard(self, size: int) -> None:
        self._discarded += size
        if self._discarded > LINGER_BYTES:
            self.abort(self._reason)

    # Small steps.

    def _rest(self) -> None:
        """Wait for the next request."""
        self.due = time.monotonic() + self.all.bounds.idle_s
        self._move(self.all.kept)

    def _move(self, queue: OrderedDict[Connection, None] | None) -> None:
        if self._queue is not None:
            self._queue.pop(self, None)
        self._queue = queue
        if queue is not None:
            queue[self] = None

    def _release(self) -> None:
        if self._held:
            self.all.held -= self._held
            self._held = 0
            self.all.bodies.pop(self, None)
