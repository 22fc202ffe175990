"""One HTTP attempt to one endpoint, over aiohttp; failures become the types of `errors`."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import aiohttp
from aiohttp.abc import AbstractResolver
from yarl import URL

from index.vespa.errors import TimedOut, Unreachable, VespaError
from index.vespa.settings import EndpointSettings

#: Seconds that an idle connection is kept: below Vespa's own 180, or it closes them under our hands.
_KEEPALIVE: Final = 60.0
#: Longest wait for a connection in seconds; the deadline may be nearer.
_CONNECT_TIMEOUT: Final = 1.0
#: Seconds that an address is remembered.
_DNS_TTL: Final = 10


@dataclass(frozen=True, slots=True)
class Request:
    """What an endpoint is asked; ``path`` is encoded already."""

    method: str
    path: str
    body: bytes | None = None
    headers: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole HTTP answer; what its status means is the caller's to say."""

    status: int
    body: bytes
    headers: Mapping[str, str]


class Transport:
    """Sends requests over a pool of keep-alive connections; the first request opens it, in its event loop."""

    def __init__(self, settings: EndpointSettings, *, resolver: AbstractResolver | None = None) -> None:
        self._settings = settings
        self._resolver = resolver
        # Made here: a certificate that cannot be read must stop the start, not the first request.
        https = any(url.startswith("https:") for url in settings.urls)
        self._tls = _tls_context(settings) if https else None
        self._session: aiohttp.ClientSession | None = None
        self._closed = False

    def _open(self) -> aiohttp.ClientSession:
        headers = {"Content-Type": "application/json", "Accept-Encoding": "identity"}
        if self._settings.token is not None:
            headers["Authorization"] = f"Bearer {self._settings.token}"
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=0,
                limit_per_host=self._settings.connections,
                keepalive_timeout=_KEEPALIVE,
                ttl_dns_cache=_DNS_TTL,
                resolver=self._resolver,
                ssl=True if self._tls is None else self._tls,
            ),
            headers=headers,
            # The deadline is held by `send`, over connecting, sending and reading together.
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_TIMEOUT),
            cookie_jar=aiohttp.DummyCookieJar(),
            skip_auto_headers=("User-Agent",),
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
        try:
            async with (
                asyncio.timeout(budget),
                self._session.request(
                    request.method, url, data=request.body, headers=request.headers, allow_redirects=False
                ) as response,
            ):
                return Reply(response.status, await response.read(), response.headers)
        except (aiohttp.ClientError, OSError) as error:
            raise _translate(error) from error

    async def close(self) -> None:
        """Close every connection."""
        self._closed = True
        if self._session is not None:
            await self._session.close()


def _tls_context(settings: EndpointSettings) -> ssl.SSLContext:
    """The TLS context: TLS 1.2 or newer, trusting ``ca``, with our certificate where one is given.

    Raises:
        OSError, ssl.SSLError: a file cannot be read, or key and certificate do not belong together.
    """
    context = ssl.create_default_context(cafile=settings.ca)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if settings.certificate is not None:
        context.load_cert_chain(settings.certificate, settings.key)
    return context


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
