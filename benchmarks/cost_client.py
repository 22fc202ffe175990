"""The clients of `benchmarks.cost_fuzz`: one that sends any bytes, and many that leave early."""

from __future__ import annotations

import asyncio
import json
import random
import socket
from contextlib import suppress
from dataclasses import dataclass

from devtools.cost.requests import Request

#: Status of a request whose connection was closed without an answer.
CLOSED = 0
_PATIENCE_S = 120


class Client:
    """One connection to a server, opened again where it was closed."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._socket: socket.socket | None = None

    def ask(self, request: Request) -> int:
        """The status of the answer, which is read whole."""
        sent = _head(request) + request.body
        if self._socket is None:
            self._socket = socket.create_connection(("127.0.0.1", self._port), timeout=_PATIENCE_S)
        with suppress(BrokenPipeError, ConnectionResetError):  # refused early; the answer may be there
            self._socket.sendall(sent)
        try:
            status, kept = _read(self._socket)
        except (ConnectionResetError, EOFError):
            status, kept = CLOSED, False
        if not kept:
            self._socket.close()
            self._socket = None
        return status


def _head(request: Request) -> bytes:
    path = request.path.replace(b" ", b"%20").replace(b'"', b"%22").replace(b"\n", b"%0A")
    lines = [request.method.encode() + b" " + path + b" HTTP/1.1", b"host: localhost"]
    headers = {name.encode(): value for name, value in request.headers.items()}
    if request.method == "POST":
        headers = {b"content-type": b"application/json"} | headers
        headers[b"content-length"] = str(len(request.body)).encode()
    lines += [name + b": " + value for name, value in headers.items()]
    return b"\r\n".join(lines) + b"\r\n\r\n"


def _read(connection: socket.socket) -> tuple[int, bool]:
    """Status of an answer, and whether the connection goes on."""
    data = bytearray()
    while (end := data.find(b"\r\n\r\n")) < 0:
        data += _more(connection)
    head = bytes(data[:end]).lower()
    length = int(head.partition(b"content-length:")[2].split(b"\r\n")[0] or 0)
    left = length - (len(data) - end - 4)
    while left > 0:
        left -= len(_more(connection))
    return int(head.split(b" ", 2)[1]), b"connection: close" not in head


def _more(connection: socket.socket) -> bytes:
    data = connection.recv(1 << 20)
    if not data:
        raise EOFError
    return data


@dataclass(slots=True)
class Aborted:
    """What came of requests that were given up, and of those beside them."""

    cancelled: int = 0
    answered: int = 0
    crossed: int = 0


async def abort_many(port: int, requests: int, seed: int) -> Aborted:
    """Send requests and leave at any moment; every eighth client stays, and its answer must be its own."""
    found = Aborted()
    chance = random.Random(seed)
    numbers = iter(range(requests))

    async def clients() -> None:
        for number in numbers:
            with suppress(ConnectionError, EOFError, asyncio.IncompleteReadError):
                await _one(port, number, chance, found)

    async with asyncio.TaskGroup() as group:
        for _ in range(16):
            group.create_task(clients())
    return found


async def _one(port: int, number: int, chance: random.Random, found: Aborted) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    body = json.dumps(
        {"query": f"shoes {number % 5000}", "k": 1 + number % 50, "timeout_ms": 10_000}
    ).encode()
    head = (
        f"POST /recall HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\nx-request-id: r{number}\r\n"
    )
    try:
        writer.write(head.encode() + f"content-length: {len(body)}\r\n\r\n".encode() + body)
        if number % 8:
            await asyncio.sleep(chance.expovariate(250))
            found.cancelled += 1
            return
        answer = await reader.readuntil(b"\r\n\r\n")
        length = int(answer.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
        content = json.loads(await reader.readexactly(length))
        found.answered += 1
        own = content["request_id"] == f"r{number}" and len(content.get("items", ())) == 1 + number % 50
        found.crossed += not (own or content.get("status") in (503, 504))
    finally:
        writer.close()
