"""One connection of the load generator."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import httptools


class Connection(asyncio.Protocol):
    """Keep-alive HTTP/1.1, one request at a time.

    Args:
        look: keep the bytes of the last answer.
    """

    def __init__(self, look: bool = False) -> None:
        self.transport: asyncio.Transport | None = None
        self._answer: asyncio.Future[int] | None = None
        self._parser: Any = None
        self._look = look
        #: The last answer's bytes, where they are looked at.
        self.seen: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio.Protocol."""
        self.transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio.Protocol."""
        self.transport = None
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(0)

    def data_received(self, data: bytes) -> None:
        """See asyncio.Protocol."""
        if self._look:
            self.seen.append(data)
        self._parser.feed_data(data)

    def on_message_complete(self) -> None:
        """See httptools."""
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(self._parser.get_status_code())

    def ask(self, request: bytes) -> asyncio.Future[int]:
        """Send a request; the status of its answer, 0 where the connection broke."""
        self._answer = asyncio.get_running_loop().create_future()
        if self.transport is None:
            self._answer.set_result(0)
        else:
            self._parser = httptools.HttpResponseParser(self)
            self.seen = []
            self.transport.write(request)
        return self._answer


async def connect(port: int, look: bool) -> Connection:
    """A connection to 127.0.0.1; with ``look`` its answers are read."""
    loop = asyncio.get_running_loop()
    _, connection = await loop.create_connection(lambda: Connection(look), "127.0.0.1", port)
    return connection
