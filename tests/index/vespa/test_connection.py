"""One connection: answers that end in every way, what follows one, and connections that are kept."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from index.vespa import errors
from index.vespa.connections import Addresses, Place
from index.vespa.settings import EndpointSettings
from index.vespa.transport import Request, Transport

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"


class Server:
    """Sends what it was given, piece by piece, for every request; counts connections and requests."""

    def __init__(self, *pieces: bytes, closes: bool = False) -> None:
        self.pieces, self._closes = pieces, closes
        self.heads: list[bytes] = []
        self.connections = 0
        self.arrived = asyncio.Event()
        self.writers: list[asyncio.StreamWriter] = []
        self._tasks: list[asyncio.Task[None]] = []

    @asynccontextmanager
    async def listening(self, host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[int]:
        """Gives the port; at the end every client has hung up."""
        server = await asyncio.start_server(self, host, port)
        yield int(server.sockets[0].getsockname()[1])
        server.close()
        await asyncio.gather(*self._tasks)

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.current_task()
        assert task is not None
        self._tasks.append(task)
        self.writers.append(writer)
        try:
            while True:
                self.heads.append(await reader.readuntil(b"\r\n\r\n"))
                self.arrived.set()
                if length := self.heads[-1].lower().partition(b"content-length: ")[2].split(b"\r\n")[0]:
                    await reader.readexactly(int(length))
                for piece in self.pieces:
                    writer.write(piece)
                    await writer.drain()
                    await asyncio.sleep(0)
                if self._closes:
                    return
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def asking(server: Server, path: str = "") -> AsyncIterator[Callable[..., Awaitable[bytes]]]:
    """Sends requests to a server; gives bodies."""
    async with server.listening() as port:
        url = f"http://127.0.0.1:{port}{path}"
        transport = Transport(EndpointSettings((url,), connect_share=1.0), connect_s=60.0)

        async def ask(request: Request | None = None, budget: float = 60.0) -> bytes:
            asked = Request("POST", "/search/", b"{}", largest=1000) if request is None else request
            return (await transport.send(url, asked, budget)).body

        try:
            yield ask
        finally:
            await transport.close()


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    ("pieces", "closes", "connections"),
    [
        ([OK], False, 1),
        ([bytes([byte]) for byte in OK], False, 1),
        ([CHUNKED, b"1\r\n{\r\n", b"1\r\n}\r\n0\r\n\r\n"], False, 1),
        ([CHUNKED + b"2\r\n{}\r\n0\r\nX-Behind: it\r\n\r\n"], False, 1),
        ([b"HTTP/1.1 100 Continue\r\n\r\n", OK], False, 1),
        ([b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}"], True, 2),
        ([b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}"], False, 2),
        ([b"HTTP/1.0 200 OK\r\n\r\n", b"{", b"}"], True, 2),
        ([OK + b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nwrong"], False, 2),
        ([OK + b"nonsense"], False, 2),
    ],
    ids=["whole", "bytes", "chunks", "trailer", "continue", "close", "says close", "1.0", "two", "more"],
)
async def test_an_answer_in_every_form(pieces: list[bytes], closes: bool, connections: int) -> None:
    server = Server(*pieces, closes=closes)
    async with asking(server) as ask:
        assert [await ask(), await ask()] == [b"{}", b"{}"]
    assert server.connections == connections


@pytest.mark.parametrize(
    ("pieces", "reason"),
    [
        ([b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{}"], "connection"),
        ([CHUNKED + b"2\r\n{}\r\n"], "connection"),
        ([b"HTTP/1.1 200"], "connection"),
        ([b"HTTP/1.1 101 Switching\r\nUpgrade: h2c\r\nConnection: upgrade\r\n\r\n"], "bad_answer"),
        ([b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}"], "bad_answer"),
        ([b"HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\n{}"], "bad_answer"),
        ([b"HTTP/1.1 200 OK\r\nContent-Length: 1001\r\n\r\n"], "bad_answer"),
        ([CHUNKED, *[b"200\r\n" + b" " * 512 + b"\r\n"] * 3], "bad_answer"),
        ([b"HTTP/1.0 200 OK\r\n\r\n", b" " * 1001], "bad_answer"),
        ([b"HTTP/1.1 200 OK\r\n", *[b"X-Many: " + b"x" * 8000 + b"\r\n"] * 9], "bad_answer"),
        ([CHUNKED + b"2\r\n{}\r\n0\r\n", *[b"X-Behind: " + b"x" * 8000 + b"\r\n"] * 9], "bad_answer"),
        ([b"HTTP/1.1 100 Continue\r\n\r\n"] * 3000, "bad_answer"),
        ([b"<html>"], "bad_answer"),
    ],
)
async def test_what_is_no_answer(pieces: list[bytes], reason: str) -> None:
    server = Server(*pieces, closes=True)
    async with asking(server) as ask:
        with pytest.raises(errors.VespaError) as raised:
            await ask()
        assert raised.value.reason == reason
        server.pieces = (OK,)
        assert await ask() == b"{}"
    assert server.connections == 2, "a connection that failed is not used again"


async def test_a_server_that_talks_unasked_is_not_believed() -> None:
    server = Server(OK)
    async with asking(server) as ask:
        await ask()
        server.writers[0].write(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nwrong")
        await server.writers[0].drain()
        await server.writers[0].wait_closed()  # we hang up
        assert await ask() == b"{}"
    assert server.connections == 2


async def test_who_gives_up_leaves_no_connection_for_others() -> None:
    server = Server(OK)
    async with asking(server) as ask:
        await ask()
        server.pieces = ()
        with pytest.raises(errors.TimedOut):
            await ask(budget=0.02)
        call = asyncio.ensure_future(ask())
        server.arrived.clear()
        await server.arrived.wait()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        server.pieces = (OK,)
        assert await ask() == b"{}"
    assert server.connections == 3


async def test_what_is_asked_at_once_has_connections_of_its_own_which_are_kept() -> None:
    server = Server(OK)
    async with asking(server) as ask:
        for _ in range(3):
            await asyncio.gather(*(ask() for _ in range(4)))
    assert server.connections == 4


async def test_what_goes_over_the_wire() -> None:
    server = Server(OK)
    async with asking(server, "/vespa/") as ask:
        await ask(Request("GET", "/state?a=b"))
        await ask(Request("PUT", "/document", None, {"Content-Type": "application/zip"}))
        for headers in ({"X-Request-ID": "a\r\nX-More: b"}, {"a\nb": "c"}, {"a": "\0"}):
            with pytest.raises(ValueError, match="ends a line"):
                await ask(Request("GET", "/", None, headers))
    read, put = (head.decode().split("\r\n") for head in server.heads)
    assert read[0] == "GET /vespa/state?a=b HTTP/1.1"
    assert read[1].startswith("Host: 127.0.0.1:")
    assert not [line for line in read if line.startswith("Content-Length")]
    assert {"Content-Length: 0", "Content-Type: application/zip", "Accept-Encoding: identity"} <= set(put)


@pytest.mark.parametrize(
    ("url", "host", "port", "authority"),
    [
        ("http://vespa", "vespa", 80, "vespa"),
        ("https://Vespa.test/x/", "vespa.test", 443, "vespa.test"),
        ("http://[::1]:8080", "::1", 8080, "[::1]:8080"),
        ("http://käse.test:81", "xn--kse-qla.test", 81, "xn--kse-qla.test:81"),
    ],
)
def test_where_an_endpoint_is(url: str, host: str, port: int, authority: str) -> None:
    place = Place.of(url)
    assert (place.host, place.port, place.authority) == (host, port, authority)


async def test_addresses_of_one_name_share_the_work_and_are_looked_up_once() -> None:
    first, second, asked = Server(OK), Server(OK), 0

    async def resolve(host: str, port: int) -> Addresses:
        nonlocal asked
        asked += 1
        await asyncio.sleep(0)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (f"127.0.0.{i}", port)) for i in (1, 2)]

    async with first.listening() as port, second.listening("127.0.0.2", port):
        url = f"http://two.test:{port}"
        where = EndpointSettings((url,), connect_share=1.0)
        transport = Transport(where, resolve=resolve, connect_s=60.0)
        await asyncio.gather(*(transport.send(url, Request("GET", "/"), 60.0) for _ in range(6)))
        await transport.close()
    # A machine that stalls for a quarter of a second tries the other address too.
    assert asked == 1
    assert min(first.connections, second.connections) >= 3


async def test_a_server_that_is_late_to_take_connections_is_reached() -> None:
    """What its full queue dropped the kernel asks for again after a second."""
    server = Server(OK)
    with socket.create_server(("127.0.0.1", 0), backlog=2) as listening:
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        late = await asyncio.start_server(server, sock=listening, backlog=2, start_serving=False)
        transport = Transport(EndpointSettings((url,), connect_share=1.0))
        asked = asyncio.gather(*(transport.send(url, Request("GET", "/"), 60.0) for _ in range(8)))
        await asyncio.sleep(0.2)
        await late.start_serving()
        assert [reply.status for reply in await asked] == [200] * 8
        await transport.close()
        late.close()
