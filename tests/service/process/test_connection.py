"""How a connection ends: deadlines, clients that do not read, endless bodies, the end of the service."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress

import pytest

from service.process.connection import LINGER_BYTES
from service.process.connections import Bounds
from tests.support.connections import App, running, until

GET = b"GET / HTTP/1.1\r\nHost: x\r\n"
POST = b"POST / HTTP/1.1\r\nHost: x\r\n"


async def test_a_head_that_does_not_end_is_answered_408() -> None:
    async with running(Bounds(head_s=10)) as server:
        for kept in (False, True):
            client = await server.connect()
            if kept:
                client.send(GET + b"\r\n")
                await client.answer()
            client.send(GET)
            await until(lambda: server.all.partial)
            server.all.sweep(time.monotonic() + 9)
            assert server.all.partial
            server.all.sweep(time.monotonic() + 11)
            status, headers, _ = await client.answer()
            assert (status, headers["connection"]) == (408, "close")
            client.close()
        await until(lambda: server.closed == ["head_timeout"] * 2)
        assert not len(server.all)


async def test_an_idle_connection_is_closed_from_its_accept_on() -> None:
    async with running(Bounds(idle_s=75)) as server:
        silent, kept, crlf = [await server.connect() for _ in range(3)]
        kept.send(GET + b"\r\n")
        await kept.answer()
        server.all.sweep(time.monotonic() + 74)
        assert len(server.all) == 3
        crlf.send(b"\r\n" * 50)  # not a request
        await asyncio.sleep(0.05)
        server.all.sweep(time.monotonic() + 76)
        for client in (silent, kept, crlf):
            assert await client.ended() == b""
        await until(lambda: server.closed == ["idle"] * 3)


async def test_a_client_that_never_reads_is_closed_and_its_answer_is_freed() -> None:
    async with running(Bounds(write_s=30)) as server:
        client = await server.connect()
        client.send(b"GET /big HTTP/1.1\r\nHost: x\r\n\r\n")
        (connection,) = server.server.server_state.connections
        await until(lambda: connection.unsent() > 1 << 20)  # type: ignore[union-attr]
        now = time.monotonic()
        server.all.sweep(now)
        server.all.sweep(now + 29)
        assert len(server.all) == 1
        server.all.sweep(now + 31)
        await until(lambda: server.closed == ["write_timeout"])
        assert connection.transport.get_write_buffer_size() == 0  # type: ignore[union-attr]


async def test_a_slow_reader_of_many_answers_is_not_closed() -> None:
    async with running(Bounds(write_s=30)) as server:
        client = await server.connect()
        for turn in range(3):
            client.send(b"GET /big HTTP/1.1\r\nHost: x\r\n\r\n")
            await until(lambda: client.reader._buffer)  # type: ignore[attr-defined]
            server.all.sweep(time.monotonic() + turn * 20)
            assert (await client.answer())[0] == 200


@pytest.mark.parametrize("chunked", [True, False])
async def test_an_answer_before_the_end_of_the_body_can_be_read_and_the_body_is_not_read_on(
    chunked: bool,
) -> None:
    async with running() as server:
        client = await server.connect()
        kind = b"Transfer-Encoding: chunked" if chunked else b"Content-Length: 1000000000"
        client.send(b"POST /early HTTP/1.1\r\nHost: x\r\n" + kind + b"\r\n\r\n")
        status, headers, _ = await client.answer()
        assert (status, headers["connection"]) == (413, "close")
        sent, piece = 0, b"10000\r\n" + b"x" * 65536 + b"\r\n"
        with suppress(ConnectionError):
            while sent < LINGER_BYTES + (32 << 20):  # and what the buffers of the kernel hold
                client.send(piece)
                sent += len(piece)
                await client.writer.drain()
        assert sent < LINGER_BYTES + (32 << 20)
        assert await client.ended() == b""
        await until(lambda: server.closed == ["answered"])
        assert server.all.held == 0


async def test_a_client_that_lingers_is_closed_in_time() -> None:
    async with running() as server:
        client = await server.connect()
        client.send(b"POST /early HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n")
        await client.answer()
        await until(lambda: server.all.ending)
        server.all.sweep(time.monotonic() + 3)
        await until(lambda: server.closed == ["answered"])


async def test_bodies_hold_no_more_than_their_budget_and_the_slowest_is_refused() -> None:
    async with running(Bounds(body_bytes=300_000)) as server:
        clients = [await server.connect() for _ in range(4)]
        for client in clients[:3]:
            client.send(POST + b"Content-Length: 100001\r\n\r\n")
            before = server.all.held
            client.send(b"x" * 90_000)
            await until(lambda: server.all.held == before + 90_000)  # noqa: B023
        clients[3].send(POST + b"Content-Length: 100001\r\n\r\n" + b"x" * 100_001)
        status, headers, _ = await clients[0].answer()  # the one that is at it for longest
        assert (status, headers["connection"]) == (503, "close")
        assert (await clients[3].answer())[2] == b"100001"
        small = await server.connect()
        small.send(POST + b"Content-Length: 3\r\n\r\nabc")
        assert (await small.answer())[2] == b"3"
        for client in clients[1:3]:
            client.send(b"x" * 10_001)
            assert (await client.answer())[2] == b"100001"
        await until(lambda: server.all.held == 0)
        assert not server.all.bodies
        for client in (*clients, small):
            client.close()
        await until(lambda: not len(server.all))


class Abort(App):
    """Answers once its client has gone."""

    async def __call__(self, scope, receive, send) -> None:  # type: ignore[no-untyped-def]
        while (await receive())["type"] != "http.disconnect":
            pass
        await super().__call__(scope, lambda: _disconnected(), send)
        await send({"type": "http.response.start", "status": 499, "headers": []})
        self.scopes.append(scope)


async def _disconnected() -> dict[str, str]:
    return {"type": "http.disconnect"}


async def test_what_cannot_be_sent_is_dropped_and_told(caplog: pytest.LogCaptureFixture) -> None:
    async with running(app=Abort()) as server:
        for request in (GET + b"\r\n", (GET + b"\r\n") * 3, POST + b"Content-Length: 5\r\n\r\nx"):
            server.app.scopes.clear()
            client = await server.connect()
            client.send(request)
            await until(lambda: server.app.scopes or server.server.server_state.tasks)
            client.writer.transport.abort()
            await until(lambda: len(server.app.scopes) >= 2)
            assert server.app.scopes[-1]["mrse.gone"]
        await until(lambda: not len(server.all))
    assert not [record for record in caplog.records if record.levelname in ("WARNING", "ERROR")]


async def test_the_end_waits_for_no_client_that_does_not_read_or_send() -> None:
    async with running() as server:
        unread, idle, head, body = [await server.connect() for _ in range(4)]
        unread.send(b"GET /big HTTP/1.1\r\nHost: x\r\n\r\n")
        idle.send(GET + b"\r\n")
        await idle.answer()
        head.send(GET)
        body.send(POST + b"Content-Length: 3\r\n\r\nx")
        await until(lambda: len(server.all.partial) == 2)
        await until(lambda: any(one.unsent() for one in server.server.server_state.connections))  # type: ignore[union-attr]
        for connection in tuple(server.server.server_state.connections):
            connection.shutdown()
        assert await idle.ended() == b""
        server.all.sweep(time.monotonic() + 3)
        assert (await head.answer())[0] == 408
        assert (await body.answer())[0] == 503
        server.all.sweep(time.monotonic() + 6)
        await until(lambda: not len(server.all))
