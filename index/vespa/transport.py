"""One HTTP attempt to one endpoint, over aiohttp; failures become the types of `errors`."""

from __future__ import annotations

import asyncio
import socket
import ssl
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import aiohttp
from aiohttp.abc import AbstractResolver
from yarl import URL

from common import calling
from index.vespa.credentials import Credentials
from index.vespa.errors import TimedOut, Unreachable, VespaError
from index.vespa.settings import EndpointSettings

#: Seconds that an idle connection is kept: below Vespa's own 180, or it closes them under our hands.
_KEEPALIVE: Final = 60.0
#: Longest time in seconds to find and reach a host; see also ``connect_share``.
_CONNECT_TIMEOUT: Final = 1.0
#: The path of queries.
SEARCH: Final = "/search/"
#: Seconds that an address is remembered.
_DNS_TTL: Final = 10


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
    headers: Mapping[str, str]
    #: Who gave it: the base URL.
    endpoint: str = ""
    #: Bytes of the body as it came, which may have been gzipped.
    received: int = 0


class Transport:
    """Sends requests over keep-alive connections; the first request opens them, in its event loop.

    How many are under way at once is up to the caller.
    """

    def __init__(self, settings: EndpointSettings, *, resolver: AbstractResolver | None = None) -> None:
        self._share = settings.connect_share
        self._compressed = settings.compression
        self._resolver = resolver
        # Made here: a certificate that cannot be read must stop the start, not the first request.
        self._credentials = Credentials(settings)
        self._session: aiohttp.ClientSession | None = None
        self._closed = False

    def _open(self) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=0, keepalive_timeout=_KEEPALIVE, ttl_dns_cache=_DNS_TTL, resolver=self._resolver
            ),
            headers={
                "Content-Type": "application/json",
                "Accept-Encoding": "identity",
            },
            cookie_jar=aiohttp.DummyCookieJar(),
            skip_auto_headers=("User-Agent",),
            # `_plain` does it within bounds: a small body may become a large one.
            auto_decompress=False,
            # A proxy from the environment would carry the query, or the token, elsewhere.
            trust_env=False,
        )

    async def send(self, endpoint: str, request: Request, budget: float) -> Reply:
        """Ask ``endpoint`` once and read the whole answer within ``budget`` seconds.

        Raises:
            Unreachable: no whole answer.
            TimedOut: the budget ran out.
            VespaError: what came is not HTTP, or this transport is closed.
        """
        if self._closed:
            raise VespaError("closed")
        if self._session is None:
            self._session = self._open()
        url = URL(endpoint + request.path, encoded=True)
        tls, token = self._credentials.current()
        span = calling.SPAN.get()
        if span is not None:
            span = _begun(span, endpoint, request)
        headers = calling.headers(span)
        if request.headers:
            headers |= request.headers
        if self._compressed and request.path == SEARCH:
            # Only these answers are large: those to a feed would cost time and save nothing.
            headers["Accept-Encoding"] = "gzip"
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        # The deadline is held here, over connecting, sending and reading together.
        limits = aiohttp.ClientTimeout(total=None, connect=min(_CONNECT_TIMEOUT, budget * self._share))
        try:
            async with (
                asyncio.timeout(budget),
                self._session.request(
                    request.method,
                    url,
                    data=request.body,
                    headers=headers,
                    allow_redirects=False,
                    ssl=True if tls is None else tls,
                    timeout=limits,
                ) as response,
            ):
                body = await _body(response, request.largest)
                received = len(body)
                if self._compressed and response.headers.get("Content-Encoding") == "gzip":
                    body = _plain(body, request.largest)
                reply = Reply(response.status, body, response.headers, endpoint, received)
        except (aiohttp.ClientError, OSError) as error:
            told = _translate(error)
            if span is not None:
                span.end(told.reason)
            raise told from error
        except BaseException as error:
            if span is not None:
                span.end(error.reason if isinstance(error, VespaError) else type(error).__name__)
            raise
        if span is not None:
            span.note("http.response.status_code", reply.status)
            span.end(str(reply.status) if reply.status >= 400 else None)
        return reply

    async def close(self) -> None:
        """Close every connection."""
        self._closed = True
        if self._session is not None:
            await self._session.close()


def _begun(whole: calling.Span, endpoint: str, request: Request) -> calling.Span:
    """The span of a call; the paths of documents name items, so it says no more than what they begin with."""
    if not whole.recording:
        return whole
    path = SEARCH if request.path == SEARCH else "/".join(request.path.split("/", 3)[:3])
    span, url = whole.child(f"{request.method} {path}", calls=True), URL(endpoint)
    span.note("db.system.name", "vespa")
    span.note("http.request.method", request.method)
    span.note("url.template", path)
    span.note("server.address", url.host or "")
    span.note("server.port", url.port or 0)
    return span


async def _body(response: aiohttp.ClientResponse, largest: int) -> bytes:
    """The whole answer; no more of it is read than ``largest`` bytes and what the socket gives at once."""
    length = response.content_length
    if length is not None and length <= largest:
        return await response.read()
    parts: list[bytes] = []
    size = length or 0
    while size <= largest and (part := await response.content.readany()):
        parts.append(part)
        size += len(part)
    if size > largest:
        response.close()
        raise VespaError("bad_answer", f"an answer of more than {largest} bytes")
    return b"".join(parts)


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


def _translate(error: Exception) -> VespaError:
    """The most telling type first: aiohttp's errors inherit from one another."""
    # Messages are ours: those of aiohttp carry whole URLs and certificates.
    detail = type(error).__name__
    match error:
        case aiohttp.ClientConnectorDNSError() | socket.gaierror():
            return Unreachable("dns", detail)
        case aiohttp.ClientSSLError() | ssl.SSLError():
            return Unreachable("tls", detail)
        case aiohttp.ConnectionTimeoutError() | aiohttp.ClientConnectorError():
            return Unreachable("connect", detail)
        case TimeoutError():
            return TimedOut("no answer within the deadline")
        case aiohttp.ClientConnectionError() | aiohttp.ClientPayloadError() | OSError():
            return Unreachable("connection", detail)
        case _:
            return VespaError("bad_answer", detail)
