"""One HTTP attempt to one endpoint; failures become the types of `errors`."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from common import calling
from index.vespa.connections import Connections, Place, Resolve
from index.vespa.credentials import Credentials
from index.vespa.errors import VespaError
from index.vespa.settings import EndpointSettings

#: Longest time in seconds to find and reach a host; see also ``connect_share``. More than one: after a second
#: the kernel asks again a server that let the first try go by, as one does whose queue is full.
_CONNECT_TIMEOUT: Final = 1.5
#: The path of queries.
SEARCH: Final = "/search/"


@dataclass(frozen=True, slots=True)
class Request:
    """What an endpoint is asked; ``path`` is encoded already."""

    method: str
    path: str
    body: bytes | None = None
    headers: Mapping[str, str] | None = None
    #: Bytes of an answer; a larger one is none.
    largest: int = 4 << 20


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole HTTP answer; what its status means is the caller's to say."""

    status: int
    body: bytes
    #: Names are lower case.
    headers: Mapping[str, str]
    #: Who gave it: the base URL.
    endpoint: str = ""
    #: Bytes of the body as it came, which may have been gzipped.
    received: int = 0


class Transport:
    """Sends requests over keep-alive connections; the first request opens them, in its event loop.

    How many are under way at once is up to the caller.
    """

    def __init__(
        self,
        settings: EndpointSettings,
        *,
        resolve: Resolve | None = None,
        connect_s: float = _CONNECT_TIMEOUT,
    ) -> None:
        self._share = settings.connect_share
        self._connect_s = connect_s
        self._compressed = settings.compression
        # Made here: a certificate that cannot be read must stop the start, not the first request.
        self._credentials = Credentials(settings)
        self._places = {key: Place.of(url) for url in settings.urls for key in (url, url.rstrip("/"))}
        self._connections = Connections(resolve)
        self._closed = False

    async def send(self, endpoint: str, request: Request, budget: float) -> Reply:
        """Ask ``endpoint``, one of the settings, once and read the whole answer within ``budget`` seconds.

        Raises:
            Unreachable: no whole answer.
            TimedOut: the budget ran out.
            VespaError: what came is not HTTP, or this transport is closed.
            ValueError: the path or a header would end a line of the request.
        """
        if self._closed:
            raise VespaError("closed")
        span = calling.SPAN.get()
        if span is not None:
            span = _begun(span, endpoint, request)
        try:
            reply = await self._send(endpoint, request, budget, span)
        except BaseException as error:
            if span is not None:
                span.end(error.reason if isinstance(error, VespaError) else type(error).__name__)
            raise
        if span is not None:
            span.note("http.response.status_code", reply.status)
            span.end(str(reply.status) if reply.status >= 400 else None)
        return reply

    async def _send(self, endpoint: str, request: Request, budget: float, span: calling.Span | None) -> Reply:
        place = self._places[endpoint]
        tls, token = self._credentials.current()
        tls = tls if place.https else None
        whole = _head(place, request, self._headers(request, span, token)) + (request.body or b"")
        connection = self._connections.idle(place, tls)
        if connection is None:
            # The deadline is held here, over connecting, sending and reading together.
            clock = asyncio.get_running_loop().time
            began = clock()
            connection = await self._connections.open(place, tls, min(self._connect_s, budget * self._share))
            budget -= clock() - began
        try:
            status, headers, body = await connection.ask(whole, request.largest, budget)
        finally:
            self._connections.keep(place, tls, connection)
        received = len(body)
        if self._compressed and headers.get("content-encoding") == "gzip":
            body = _plain(body, request.largest)
        return Reply(status, body, headers, endpoint, received)

    def _headers(self, request: Request, span: calling.Span | None, token: str | None) -> dict[str, str]:
        # Only answers to queries are large: those to a feed would cost time and save nothing.
        zipped = self._compressed and request.path == SEARCH
        headers = {
            "Accept": "*/*",
            "Accept-Encoding": "gzip" if zipped else "identity",
            "Content-Type": "application/json",
        }
        headers |= calling.headers(span)
        if request.headers:
            headers |= request.headers
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        return headers

    async def close(self) -> None:
        """Close every connection."""
        self._closed = True
        await self._connections.close()


def _head(place: Place, request: Request, headers: Mapping[str, str]) -> bytes:
    """Request line and headers as they go over the wire.

    Raises:
        ValueError: one of them would end its line.
    """
    lines = [f"{request.method} {place.path}{request.path} HTTP/1.1", f"Host: {place.authority}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    if request.body is not None or request.method != "GET":
        lines.append(f"Content-Length: {len(request.body or b'')}")
    head = "\r\n".join(lines)
    if head.count("\n") != len(lines) - 1 or head.count("\r") != len(lines) - 1 or "\0" in head:
        raise ValueError("a header or a path with a character that ends a line")
    return f"{head}\r\n\r\n".encode()


def _begun(whole: calling.Span, endpoint: str, request: Request) -> calling.Span:
    """The span of a call; the paths of documents name items, so it says no more than what they begin with."""
    if not whole.recording:
        return whole
    path = SEARCH if request.path == SEARCH else "/".join(request.path.split("/", 3)[:3])
    span, url = whole.child(f"{request.method} {path}", calls=True), urlsplit(endpoint)
    span.note("db.system.name", "vespa")
    span.note("http.request.method", request.method)
    span.note("url.template", path)
    span.note("server.address", url.hostname or "")
    span.note("server.port", url.port or 0)
    return span


def _plain(body: bytes, largest: int) -> bytes:
    """What a gzip body holds, up to ``largest`` bytes."""
    unpack = zlib.decompressobj(wbits=31)
    try:
        plain = unpack.decompress(body, largest)
    except zlib.error as error:
        raise VespaError("bad_answer", "a damaged gzip body") from error
    if not unpack.eof:
        raise VespaError("bad_answer", f"a gzip body that is cut, or of more than {largest} bytes")
    return plain
