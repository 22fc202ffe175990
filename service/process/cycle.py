"""One request and its answer, between the protocol and the application."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from service.scope import CLIENT_GONE

if TYPE_CHECKING:
    import asyncio

    from uvicorn._types import ASGIReceiveEvent, ASGISendEvent

    from service.process.connections import Connections


class _OneWrite:
    """A transport that keeps the head of an answer, and writes it together with what follows it.

    Each write is a system call, and wakes the client: with one in place of two a remembered ``POST /recall``
    takes some 10% less time.
    """

    __slots__ = ("_head", "_transport", "keeps")

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._head = b""
        #: Whether what is written next is kept.
        self.keeps = False

    def write(self, data: bytes) -> None:
        if self.keeps:
            self._head, self.keeps = data, False
        else:
            head, self._head = self._head, b""
            self._transport.write(head + data if head else data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


class Cycle(RequestResponseCycle):
    """uvicorn's, but for how it ends, and that the head of an answer goes with its body.

    A client that has gone is no error: what cannot be sent is dropped, and the scope says so. An answer that
    begins before the request's body is complete says ``Connection: close``, since the rest of the body is not
    read on.

    Attributes:
        ends: the connection is to be closed after this answer.
        refusal: why the body is not read to its end; raised to whoever reads it.
    """

    def __init__(self, connections: Connections, transport: asyncio.Transport, **given: Any) -> None:
        self._writing = _OneWrite(transport)
        super().__init__(transport=self._writing, **given)  # type: ignore[arg-type]  # what it calls is there
        self._connections = connections
        self.ends = False
        self.refusal: Exception | None = None

    async def send(self, message: ASGISendEvent) -> None:
        """Send a part of the answer."""
        if self.disconnected or self.transport.is_closing():
            self._drop()
            return
        if not self.response_started:
            self._writing.keeps = self.scope["method"] != "HEAD"  # which has no body
            if self.more_body or self._connections.draining:
                self.keep_alive = False
        elif not self.keep_alive and not message.get("more_body", False):
            # uvicorn would close at once, and with that reset the connection of a client that still sends.
            self.ends = self.keep_alive = True
        try:
            await super().send(message)
        except RuntimeError:
            if not self.transport.is_closing():
                raise
            self._drop()  # closed since it was asked
        if self.disconnected and not self.response_complete:
            self._drop()

    async def receive(self) -> ASGIReceiveEvent:
        """The next part of the body, or that the client has gone.

        Raises:
            Overloaded: the body is not read on, see `Connections.reclaim`.
        """
        if self.refusal is None:
            message = await super().receive()
            if self.refusal is None:
                return message
        refusal, self.refusal = self.refusal, None
        try:
            raise refusal
        finally:
            del refusal  # else it would keep itself, and the body that was read, until the next collection

    def refuse(self, refusal: Exception) -> None:
        """Tell whoever reads the body that it will not come, and why."""
        self.refusal = refusal
        self.body = bytearray()
        self.message_event.set()

    def drop_client(self) -> None:
        """Tell the application that the client has gone."""
        self.disconnected = True
        self.message_event.set()

    def _drop(self) -> None:
        self.disconnected = True
        self.scope[CLIENT_GONE] = True  # type: ignore[literal-required]  # our own key
