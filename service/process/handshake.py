"""The TLS handshake of a connection, with a place among all connections and a deadline.

uvicorn leaves it to the event loop, where it may take a minute and nobody knows of it. Here the connection is
accepted as it is, counts like any that has sent nothing yet, and then shakes hands; `Protocol` has it after.
"""

from __future__ import annotations

import asyncio
import ssl
from typing import TYPE_CHECKING, Any

from service.process.connection import NO_DUE, RESERVED_S
from service.process.connections import connections_of
from service.process.protocol import Protocol

if TYPE_CHECKING:
    from uvicorn.server import ServerState

    from service.telemetry.labels import Closed


class Handshake(asyncio.Protocol):
    """A connection until its handshake is over; see `Connection`.

    Args:
        context: what it is encrypted with.
        server_state: uvicorn's, where the end of the service finds it.
        app_state: where the connections of this worker are.
        named: what else uvicorn gives a protocol.
    """

    def __init__(
        self, context: ssl.SSLContext, *, server_state: ServerState, app_state: dict[str, Any], **named: Any
    ) -> None:
        self.all = connections_of(app_state)
        self.due = NO_DUE  # the event loop ends the handshake
        self.since = 0.0
        self._context = context
        self._state = server_state
        self._named = named | {"server_state": server_state, "app_state": app_state}
        self._reason: Closed = "handshake"
        self._over = False
        #: What came before TLS was there to take it, and what it gave before `Protocol` was.
        self._hello: list[bytes] = []
        self._early: list[bytes] = []
        self._shaking = False
        self._transport: asyncio.Transport
        self._task: asyncio.Task[None]

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take a place and begin."""
        self._transport = transport
        self._state.connections.add(self)  # type: ignore[arg-type]  # it is asked to shut down
        reserved = self.all.enter(self)
        if self.all.full():
            self.abort("refused")
            return
        transport.pause_reading()  # until TLS is there; uvloop may read all the same
        seconds = RESERVED_S if reserved else self.all.bounds.head_s
        self._task = asyncio.get_running_loop().create_task(self._shake(seconds))

    async def _shake(self, seconds: float) -> None:
        if self._transport.is_closing():
            return
        self._shaking, made = True, None
        if self._hello:
            asyncio.get_running_loop().call_soon(
                self._pass_on
            )  # before the handshake begins, which is called next
        try:
            made = await asyncio.get_running_loop().start_tls(
                self._transport,
                self,
                self._context,
                server_side=True,
                ssl_handshake_timeout=seconds,
                ssl_shutdown_timeout=self.all.bounds.write_s,
            )
        except OSError:  # it failed or took too long; `ssl.SSLError` is one
            pass
        finally:
            if made is None or made.is_closing():  # closing: uvloop gives one also where the client has gone
                self.connection_lost(None)
        if made is not None and not self._over:
            self._leave()
            protocol = Protocol(**self._named, wire=self._transport)
            made.set_protocol(protocol)
            protocol.connection_made(made)
            for data in self._early:
                protocol.data_received(data)

    def _pass_on(self) -> None:
        """Give TLS what was read before it was there; it keeps it until it begins."""
        tls: Any = self._transport.get_protocol()
        rest = memoryview(b"".join(self._hello))
        while rest and tls is not self:
            buffer = memoryview(tls.get_buffer(len(rest)))
            size = min(len(buffer), len(rest))
            buffer[:size] = rest[:size]
            tls.buffer_updated(size)
            rest = rest[size:]

    def data_received(self, data: bytes) -> None:
        """Keep what uvloop reads before TLS is there, and what asyncio decrypts before ``start_tls`` ends."""
        (self._early if self._shaking else self._hello).append(data)

    def connection_lost(self, exc: Exception | None) -> None:
        """Give back the place."""
        if not self._over:
            self._leave()
            self.all.closed(self._reason)

    def _leave(self) -> None:
        self._over = True
        self.all.leave(self)
        self.all.fresh.pop(self, None)
        self._state.connections.discard(self)

    # What `Connections` and uvicorn call.

    def abort(self, reason: Closed) -> None:
        """End the connection at once."""
        self._reason = reason
        self.connection_lost(None)
        self._transport.abort()

    def evict(self) -> None:
        """Give the place to another connection, at once."""
        self.abort("evicted")

    def shutdown(self) -> None:
        """End: there is no request yet that could be lost."""
        self.all.draining = True
        self.abort("shutdown")

    def expire(self, now: float) -> None:
        """Nothing: the event loop ends what takes too long."""

    def refuse_body(self, why: Exception) -> None:
        """Nothing: there is none."""

    def unsent(self) -> int:
        """Bytes of answers that wait for the client."""
        return 0

    def watch_writing(self, now: float) -> int:
        """Bytes of answers that wait for the client."""
        return 0
