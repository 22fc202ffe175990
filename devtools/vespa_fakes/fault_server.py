"""A small server at the socket that can do what Vespa's own container cannot: hang up, talk nonsense, stall.

Each request takes the next act of the script; when the script is at its end the last act goes on.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import struct
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import orjson


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    parameters: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return orjson.loads(self.body)


Act = Callable[[Request, asyncio.StreamWriter], Awaitable[None]]


def answer(
    status: int = 200, body: object = None, headers: Mapping[str, str] | None = None, after: float = 0.0
) -> Act:
    """A whole HTTP answer; ``body`` is JSON, or bytes as they are."""
    payload = body if isinstance(body, bytes) else orjson.dumps(body)

    async def act(request: Request, writer: asyncio.StreamWriter) -> None:
        if after:
            await asyncio.sleep(after)
        lines = [f"HTTP/1.1 {status} X", f"Content-Length: {len(payload)}"]
        if headers is None or "Content-Type" not in headers:
            lines.append("Content-Type: application/json")
        lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
        writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + payload)
        await writer.drain()

    return act


async def reset(request: Request, writer: asyncio.StreamWriter) -> None:
    """RST without an answer."""
    raw: socket.socket = writer.get_extra_info("socket")
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def hang_up(request: Request, writer: asyncio.StreamWriter) -> None:
    """FIN without an answer."""
    writer.close()


async def hang(request: Request, writer: asyncio.StreamWriter) -> None:
    """No answer, the connection stays."""
    await asyncio.Event().wait()


async def half(request: Request, writer: asyncio.StreamWriter) -> None:
    """Half of an answer, then FIN."""
    writer.write(b'HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{"root":{')
    await writer.drain()
    writer.close()


async def drip(request: Request, writer: asyncio.StreamWriter) -> None:
    """An answer that never ends, a byte at a time."""
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
    while True:
        writer.write(b" ")
        await writer.drain()
        await asyncio.sleep(0.005)


async def no_http(request: Request, writer: asyncio.StreamWriter) -> None:
    """Bytes that are no HTTP."""
    writer.write(b"\x00\xff not http at all\r\n\r\n")
    await writer.drain()
    writer.close()


@dataclass
class FaultServer:
    """Listens on loopback for as long as its context lasts; keeps every request."""

    script: Sequence[Act]
    tls: ssl.SSLContext | None = None
    requests: list[Request] = field(default_factory=list)
    connections: int = 0
    url: str = ""
    #: Off for servers of very many requests.
    keep_requests: bool = True
    #: Set when the first request is there.
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    _server: asyncio.Server | None = None
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    async def __aenter__(self) -> FaultServer:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0, ssl=self.tls)
        port = self._server.sockets[0].getsockname()[1]
        self.url = f"{'https' if self.tls else 'http'}://127.0.0.1:{port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
                while not writer.is_closing():
                    request = await read_request(reader)
                    act = self.script[min(len(self.requests), len(self.script) - 1)]
                    if self.keep_requests:
                        self.requests.append(request)
                    self.arrived.set()
                    await act(request, writer)
        finally:
            writer.close()


async def read_request(reader: asyncio.StreamReader) -> Request:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    method, target, _ = head[0].split(" ", 2)
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])}
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    parts = urlsplit(target)
    parameters = {name: values[0] for name, values in parse_qs(parts.query, keep_blank_values=True).items()}
    return Request(method, unquote(parts.path), parameters, headers, body)
