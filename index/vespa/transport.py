"""One HTTP attempt to one endpoint, over aiohttp; failures become the types of `errors`."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import TracebackType
from typing import Protocol

import aiohttp
from aiohttp.abc import AbstractResolver
from yarl import URL

from index.vespa.errors import (
    BadAnswer,
    Closed,
    ConnectFailed,
    ConnectionLost,
    NameNotResolved,
    TimedOut,
    TlsFailed,
    VespaError,
)
from index.vespa.settings import TlsSettings, VespaSettings


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole HTTP answer; what its status means is the caller's to say."""

    status: int
    body: bytes
    headers: Mapping[str, str]


class Transport(Protocol):
    """Sends one request once. Tests put their own in the client's place."""

    async def send(
        self,
        method: str,
        url: str,
        body: bytes | None,
        budget: float,
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        """Ask ``url`` and read the whole answer within ``budget`` seconds.

        Raises:
            Unreachable: no whole answer.
            TimedOut: the budget ran out.
            BadAnswer: not HTTP.
            Closed: after `close`.
        """

    async def close(self) -> None:
        """Close every connection."""


class AiohttpTransport:
    """The transport over a pool of keep-alive connections; opened by the first request, in its loop."""

    def __init__(self, settings: VespaSettings, *, resolver: AbstractResolver | None = None) -> None:
        self._settings = settings
        self._resolver = resolver
        # Made here: a certificate that cannot be read must stop the start, not the first request.
        self._tls = tls_context(settings.tls) if _any_https(settings) else None
        self._session: aiohttp.ClientSession | None = None
        self._closed = False

    def _open(self) -> aiohttp.ClientSession:
        connection = self._settings.connection
        headers = {"Content-Type": "application/json"}
        headers["Accept-Encoding"] = "gzip" if connection.compression else "identity"
        if self._settings.token is not None:
            headers["Authorization"] = f"Bearer {self._settings.token}"
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=0,
                limit_per_host=connection.limit,
                keepalive_timeout=connection.keepalive,
                ttl_dns_cache=max(1, int(connection.dns_ttl)),
                resolver=self._resolver,
                ssl=True if self._tls is None else self._tls,
            ),
            headers=headers,
            # The deadline is held by `send`, over connecting, sending and reading together.
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=connection.connect_timeout),
            cookie_jar=aiohttp.DummyCookieJar(),
            skip_auto_headers=("User-Agent",),
            # A proxy from the environment would carry the query, or the token, elsewhere.
            trust_env=False,
        )

    async def send(
        self,
        method: str,
        url: str,
        body: bytes | None,
        budget: float,
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        """See `Transport.send`."""
        if self._closed:
            raise Closed
        if self._session is None:
            self._session = self._open()
        try:
            async with (
                asyncio.timeout(budget),
                self._session.request(
                    method, _url(url), data=body, headers=headers, allow_redirects=False
                ) as response,
            ):
                return Reply(response.status, await response.read(), response.headers)
        except (aiohttp.ClientError, OSError, ssl.SSLError) as error:
            raise _translate(error) from error

    async def close(self) -> None:
        """Close every connection."""
        self._closed = True
        if self._session is not None:
            await self._session.close()

    async def __aenter__(self) -> AiohttpTransport:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


@lru_cache(maxsize=64)
def _url(url: str) -> URL:
    """Parsed once: queries go to the same few. Encoded already, and to stay as it is."""
    return URL(url, encoded=True)


def _any_https(settings: VespaSettings) -> bool:
    urls = (*settings.endpoints, *settings.feed_endpoints, *settings.config_servers)
    return any(url.startswith("https:") for url in urls)


def tls_context(settings: TlsSettings) -> ssl.SSLContext:
    """The TLS context: TLS 1.2 or newer, trusting ``ca``, with our certificate where one is given.

    Raises:
        OSError, ssl.SSLError: a file cannot be read, or key and certificate do not belong together.
    """
    context = ssl.create_default_context(cafile=None if settings.ca is None else str(settings.ca))
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.check_hostname = settings.check_hostname
    if settings.certificate is not None:
        context.load_cert_chain(
            str(settings.certificate), None if settings.key is None else str(settings.key)
        )
    return context


def _translate(error: Exception) -> VespaError:
    """The most telling type first: aiohttp's errors inherit from one another."""
    # Messages are ours: those of aiohttp carry whole URLs and certificates.
    detail = type(error).__name__
    match error:
        case aiohttp.ClientConnectorDNSError() | socket.gaierror():
            return NameNotResolved(detail)
        case aiohttp.ClientSSLError() | ssl.SSLError():
            return TlsFailed(detail)
        case aiohttp.ConnectionTimeoutError() | aiohttp.ClientConnectorError():
            return ConnectFailed(detail)
        case TimeoutError():
            return TimedOut("no answer within the deadline")
        case aiohttp.ServerDisconnectedError() | aiohttp.ClientOSError() | aiohttp.ClientConnectionError():
            return ConnectionLost(detail)
        case aiohttp.ClientPayloadError():
            return ConnectionLost(detail)
        case aiohttp.ClientError():
            return BadAnswer(detail)
        case _:
            return ConnectionLost(detail)
