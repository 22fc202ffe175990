"""The protocol under a real uvicorn on the loop of a test, with a small application behind it."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import uvicorn
from starlette.types import Receive, Scope, Send

from service.errors import Overloaded
from service.process.connections import Bounds, Connections
from service.process.handshake import Handshake
from service.process.hosts import AllowedHosts
from service.process.protocol import Protocol
from service.scope import CONNECTIONS

#: Sizes of the buffers of a test's client and of what it connects to: what is not read stays with the server.
_SMALL_BUFFER = 4096


class App:
    """Answers with the length of the body; ``/early`` before it reads it, ``/big`` with 8 MB."""

    def __init__(self) -> None:
        self.scopes: list[Scope] = []
        self.lengths: list[int] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scopes.append(scope)
        status, body = 200, b""
        if scope["path"] == "/early":
            status = 413
        else:
            try:
                length = await _read(receive)
            except Overloaded:
                status, length = 503, 0
            if length is None:
                return
            self.lengths.append(length)
            body = b"x" * (8 << 20) if scope["path"] == "/big" else b"%d" % length
        headers = [(b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})


async def _read(receive: Receive) -> int | None:
    """Length of the body; None if the client goes."""
    length, more = 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        length += len(message["body"])
        more = message["more_body"]
    return length


@dataclass
class Running:
    """A server that runs."""

    app: App
    server: uvicorn.Server
    port: int
    all: Connections
    closed: list[str]
    refused: list[str]
    clients: list[Client] = field(default_factory=list)

    async def connect(self, tls: ssl.SSLContext | None = None) -> Client:
        """A new connection, which the server has seen; with ``tls``, after the handshake."""
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _SMALL_BUFFER)
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", self.port))
        name = "127.0.0.1" if tls else None
        client = Client(*await asyncio.open_connection(sock=sock, ssl=tls, server_hostname=name))
        self.clients.append(client)
        address = sock.getsockname()
        seen = self.server.server_state.connections
        with suppress(TimeoutError):  # refused at once, if it does not show up
            await until(lambda: any(getattr(one, "client", None) == address for one in tuple(seen)), 0.5)
        return client


@dataclass
class Client:
    """A client's end of a connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    def send(self, data: bytes) -> None:
        """Send, without waiting."""
        self.writer.write(data)

    async def answer(self) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body of the next answer."""
        head = (await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), 30)).decode().split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in head[1:] if line)
        body = await asyncio.wait_for(self.reader.readexactly(int(headers.get("content-length", 0))), 30)
        return int(head[0].split()[1]), headers, body

    async def ended(self) -> bytes:
        """What comes until the server closes the connection."""
        with suppress(ConnectionError):
            return await asyncio.wait_for(self.reader.read(-1), 30)
        return b""

    def close(self) -> None:
        """Close it."""
        self.writer.close()


@asynccontextmanager
async def running(
    bounds: Bounds | None = None,
    hosts: AllowedHosts | None = None,
    app: Any = None,
    tls: ssl.SSLContext | None = None,
) -> AsyncIterator[Running]:
    """A server on a port of its own."""
    app = app or App()
    closed: list[str] = []
    refused: list[str] = []
    connections = Connections(
        bounds or Bounds(), hosts or AllowedHosts((), ""), closed.append, refused.append
    )
    http: Any = Protocol if tls is None else partial(Handshake, tls)
    config = uvicorn.Config(app, http=http, port=0, log_config=None, ws="none", lifespan="off")
    config.load()
    lifespan = config.lifespan_class

    def with_connections(config: uvicorn.Config) -> Any:
        made = lifespan(config)
        made.state[CONNECTIONS] = connections
        return made

    config.lifespan_class = with_connections  # type: ignore[assignment]
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve())
    await until(lambda: server.started)
    sock = server.servers[0].sockets[0]
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SMALL_BUFFER)  # connections inherit it
    made = Running(app, server, sock.getsockname()[1], connections, closed, refused)
    try:
        yield made
    finally:
        for client in made.clients:
            client.writer.transport.abort()
            with suppress(ConnectionError):
                await client.writer.wait_closed()
        server.should_exit = True
        await task


async def until(done: Callable[[], Any], seconds: float = 30.0) -> None:
    """Wait for what comes sooner or later.

    Raises:
        TimeoutError: it did not.
    """
    async with asyncio.timeout(seconds):
        while not done():  # noqa: ASYNC110 -- what is waited for has no event
            await asyncio.sleep(0.002)
