"""One connection to a server that speaks HTTP/1.1: a request at a time, and bounds on what is answered.

httptools (Node's llhttp) reads the answers. aiohttp did, and asyncio's time-outs: together they took 160 µs
more of the processor for each query, a quarter of all that a query costs (`benchmarks.vespa_client`).
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from typing import Final, NamedTuple, cast

import httptools

from index.vespa.errors import TimedOut, Unreachable, VespaError

#: Most bytes of status line and headers, and of what frames a body, beside the body itself.
_FRAME_BYTES: Final = 1 << 16


class Heard(NamedTuple):
    """A whole answer as it came; names of headers are lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Connection(asyncio.Protocol):
    """Made by ``loop.create_connection``; whoever has it asks once at a time.

    Once anything went wrong it is of no more use, see `usable`: what a server still sends of an answer that
    nobody waits for must not be taken for the next one.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._parser = httptools.HttpResponseParser(self)
        self._transport: asyncio.Transport | None = None
        self._waiting: asyncio.Future[Heard] | None = None
        self._largest = 0
        #: Where it is gone.
        self.lost = False
        self._broken = False
        self._start()

    def _start(self) -> None:
        self._headers: dict[str, str] = {}
        self._parts: list[bytes] = []
        self._received = self._size = self._status = 0
        self._begun = False

    @property
    def usable(self) -> bool:
        """Whether another request may be sent."""
        return not (self.lost or self._broken or self._transport is None or self._transport.is_closing())

    async def ask(self, request: bytes, largest: int, seconds: float) -> Heard:
        """Send a request, head and body, and read its whole answer.

        Args:
            request: as it goes over the wire.
            largest: bytes of a body; a larger one is no answer.
            seconds: that it may take.

        Raises:
            Unreachable: the connection ended before the answer did.
            TimedOut: it took longer.
            VespaError: ``bad_answer``, what came is not HTTP, or too large.
        """
        assert self._transport is not None
        if self.lost or self._transport.is_closing():
            raise Unreachable("connection", "closed before it was used")
        self._start()
        self._largest = largest
        self._waiting = waiting = self._loop.create_future()
        late = self._loop.call_later(seconds, self._late)
        try:
            self._transport.write(request)
            heard: Heard = await waiting
        except BaseException:
            self.abort()
            raise
        finally:
            late.cancel()
            self._waiting = None
        return heard

    def abort(self) -> None:
        """End it at once, without a word to the server."""
        self._broken = True
        if self._transport is not None:
            self._transport.abort()

    def _late(self) -> None:
        self._end(TimedOut("no answer within the deadline"))

    def _end(self, error: VespaError | None = None) -> None:
        """The answer is whole, or there is none."""
        self._broken = self._broken or error is not None
        if self._waiting is not None and not self._waiting.done():
            if error is None:
                self._waiting.set_result(Heard(self._status, self._headers, b"".join(self._parts)))
                self._start()
            else:
                self._waiting.set_exception(error)

    # What asyncio says.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio.Protocol."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is no subclass

    def data_received(self, data: bytes) -> None:
        """See asyncio.Protocol."""
        if self._waiting is None or self._waiting.done():
            # Nobody asked, or the answer was whole, or none, before: what follows belongs to nothing.
            self.abort()
            return
        self._received += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._end(VespaError("bad_answer", type(error).__name__))
        if self._received > _FRAME_BYTES + (2 * self._largest if self._begun else 0):
            self._end(_too_large(self._largest))

    def connection_lost(self, error: Exception | None) -> None:
        """See asyncio.Protocol."""
        self.lost = True
        if error is None and self._begun and self._is_open_ended():
            self._end()
        elif isinstance(error, ssl.SSLError):
            self._end(Unreachable("tls", type(error).__name__))
        else:
            self._end(Unreachable("connection", "closed early" if error is None else type(error).__name__))

    def _is_open_ended(self) -> bool:
        """Whether the body is what comes until the server closes the connection."""
        return not {"content-length", "transfer-encoding"} & self._headers.keys()

    # What httptools says.

    def on_message_begin(self) -> None:
        """An answer begins; it may be one too many, which is thrown away."""
        if self._waiting is None or self._waiting.done():
            self._broken = True

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header, or one behind a body in chunks."""
        self._headers[name.lower().decode("latin-1")] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        """The body follows."""
        self._status = self._parser.get_status_code()
        self._begun = self._status >= 200  # or the answer is still to come
        length = self._headers.get("content-length", "")
        if length.isdecimal() and int(length) > self._largest:
            self._end(_too_large(self._largest))

    def on_body(self, part: bytes) -> None:
        """A part of the body."""
        self._size += len(part)
        if self._size > self._largest:
            self._end(_too_large(self._largest))
        else:
            self._parts.append(part)

    def on_message_complete(self) -> None:
        """The answer is whole; or it was one of those that say to wait."""
        if not self._begun:
            self._headers = {}
            return
        self._broken = self._broken or not self._parser.should_keep_alive()
        self._end()


def _too_large(largest: int) -> VespaError:
    return VespaError("bad_answer", f"an answer of more than {largest} bytes")
