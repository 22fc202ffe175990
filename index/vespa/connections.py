"""Connections to endpoints, kept for the next request; names are looked up, and remembered for a while."""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias
from urllib.parse import urlsplit

from aiohappyeyeballs import start_connection

from common.deadline import Clock
from index.vespa.connection import Connection
from index.vespa.errors import Unreachable, VespaError

#: Seconds that an idle connection is kept: below Vespa's own 180, or it closes them under our hands.
_KEEPALIVE: Final = 60.0
#: Seconds that an address is remembered.
_DNS_TTL: Final = 10.0
#: Seconds after which another address is tried beside one that does not answer (RFC 8305).
_NEXT_ADDRESS: Final = 0.25

Addresses: TypeAlias = Sequence[tuple[Any, Any, int, str, tuple[Any, ...]]]
#: Addresses of a host and port, as ``loop.getaddrinfo`` gives them.
Resolve: TypeAlias = Callable[[str, int], Awaitable[Addresses]]


@dataclass(frozen=True, slots=True)
class Place:
    """Where an endpoint is, of its base URL."""

    host: str
    port: int
    https: bool
    #: For the header ``Host``.
    authority: str
    #: What paths begin with.
    path: str

    @classmethod
    def of(cls, endpoint: str) -> Place:
        """Read a base URL."""
        parts = urlsplit(endpoint)
        https, host = parts.scheme == "https", parts.hostname or ""
        host = host if host.isascii() else host.encode("idna").decode()
        authority = f"[{host}]" if ":" in host else host
        authority = authority if parts.port is None else f"{authority}:{parts.port}"
        return cls(host, parts.port or (443 if https else 80), https, authority, parts.path.rstrip("/"))


async def resolved(host: str, port: int) -> Addresses:
    """What the system says."""
    return await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)


class Connections:
    """For one event loop, the one of the first request."""

    def __init__(self, resolve: Resolve | None = None, clock: Clock = time.monotonic) -> None:
        self._resolve = resolved if resolve is None else resolve
        self._clock = clock
        #: By place: the one that was used last is at the end, with its TLS context and when it was used.
        self._idle: dict[Place, deque[tuple[Connection, ssl.SSLContext | None, float]]] = {}
        self._all: set[Connection] = set()
        self._known: dict[Place, tuple[float, list[Any]]] = {}
        self._lookups: dict[Place, asyncio.Task[OSError | None]] = {}
        self._closed = False

    def idle(self, place: Place, tls: ssl.SSLContext | None) -> Connection | None:
        """A connection that is open already, made with this context."""
        kept = self._idle.get(place)
        while kept:
            connection, made_with, used_at = kept.pop()
            if connection.usable and made_with is tls and self._clock() - used_at < _KEEPALIVE:
                return connection
            self._drop(connection)
        return None

    def keep(self, place: Place, tls: ssl.SSLContext | None, connection: Connection) -> None:
        """It was used, and may be used again."""
        if not connection.usable or self._closed:
            self._drop(connection)
            return
        kept = self._idle.setdefault(place, deque())
        now = self._clock()
        while kept and (now - kept[0][2] >= _KEEPALIVE or not kept[0][0].usable):
            self._drop(kept.popleft()[0])
        kept.append((connection, tls, now))

    def _drop(self, connection: Connection) -> None:
        self._all.discard(connection)
        connection.abort()

    async def open(self, place: Place, tls: ssl.SSLContext | None, seconds: float) -> Connection:
        """A new connection.

        Raises:
            Unreachable: ``dns``, ``connect`` (also when it takes longer), ``tls``.
            VespaError: these connections were closed.
        """
        try:
            async with asyncio.timeout(seconds):
                connection = await self._open(place, tls)
        except TimeoutError as error:
            raise Unreachable("connect", "not reached in time") from error
        if self._closed:
            connection.abort()
            raise VespaError("closed")
        self._all.add(connection)
        return connection

    async def _open(self, place: Place, tls: ssl.SSLContext | None) -> Connection:
        loop = asyncio.get_running_loop()
        addresses = await self._addresses(place)
        try:
            reached = await start_connection(addresses, happy_eyeballs_delay=_NEXT_ADDRESS, loop=loop)
        except (OSError, RuntimeError) as error:  # uvloop's is a RuntimeError
            raise Unreachable("connect", type(error).__name__) from error
        try:
            reached.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            _, connection = await loop.create_connection(
                Connection, sock=reached, ssl=tls, server_hostname=place.host if tls is not None else None
            )
        except ssl.SSLError as error:
            reached.close()
            raise Unreachable("tls", type(error).__name__) from error
        except OSError as error:
            reached.close()
            raise Unreachable("connect", type(error).__name__) from error
        except BaseException:
            reached.close()
            raise
        return connection

    async def _addresses(self, place: Place) -> list[Any]:
        """Another one first each time, so that those of one name share the work."""
        until, known = self._known.get(place, (0.0, []))
        if not known or self._clock() >= until:
            lookup = self._lookups.get(place)
            if lookup is None:
                # A task of its own: whoever asked may give up, and the answer is of use to others.
                lookup = self._lookups[place] = asyncio.ensure_future(self._look_up(place))
                lookup.add_done_callback(lambda _: self._lookups.pop(place, None))
            failed = await asyncio.shield(lookup)
            if failed is not None:
                raise Unreachable("dns", type(failed).__name__) from failed
            _, known = self._known[place]
        if len(known) > 1:
            known.append(known.pop(0))
        return list(known)

    async def _look_up(self, place: Place) -> OSError | None:
        try:
            found = await self._resolve(place.host, place.port)
        except OSError as error:
            return error
        except UnicodeError as error:  # a name that cannot be
            return OSError(str(error))
        self._known[place] = (self._clock() + _DNS_TTL, list(found))
        return None if found else OSError("no address")

    async def close(self) -> None:
        """Close every connection, also those in use."""
        self._closed = True
        lookups = list(self._lookups.values())
        for lookup in lookups:
            lookup.cancel()
        await asyncio.gather(*lookups, return_exceptions=True)
        gone, self._all = self._all, set()
        for connection in gone:
            connection.abort()
        for _ in range(10):  # until asyncio has said so to each
            if all(connection.lost for connection in gone):
                break
            await asyncio.sleep(0)
