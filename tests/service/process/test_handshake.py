"""TLS handshakes that do not end: their deadline, their place among all connections, and how they end."""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
import uvloop

from service.process.connections import RESERVED, Bounds
from tests.support.connections import Client, Running, running, until
from tests.support.tls import contexts

GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
LAST = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
BIG = b"GET /big HTTP/1.1\r\nHost: x\r\n\r\n"

Tls = tuple[ssl.SSLContext, ssl.SSLContext]
Run = Callable[[Coroutine[Any, Any, None]], None]

#: The loop of the service, and the one of the standard library.
on_both_loops = pytest.mark.parametrize("run", [uvloop.run, asyncio.run], ids=["uvloop", "asyncio"])


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Tls:
    folder: Path = tmp_path_factory.mktemp("tls")
    return contexts(folder)


async def _silent(server: Running) -> Client:
    """A client that connects and says nothing, and that the server has seen or refused."""
    sock = socket.socket()
    sock.setblocking(False)
    await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", server.port))
    client = Client(*await asyncio.open_connection(sock=sock))
    server.clients.append(client)
    return client


@on_both_loops
def test_a_handshake_that_does_not_end_is_ended(run: Run, tls: Tls) -> None:
    async def scenario() -> None:
        async with running(Bounds(head_s=0.3), tls=tls[0]) as server:
            silent, garbled, gone = [await _silent(server) for _ in range(3)]
            silent.send(b"\x16\x03\x01")  # the first bytes of one
            await until(lambda: len(server.all) + len(server.closed) == 3)
            garbled.send(GET)
            gone.close()
            assert await silent.ended() == b""
            await garbled.ended()
            await until(lambda: server.closed == ["handshake"] * 3)
            assert not len(server.all)
            assert not server.all.fresh
            assert not server.server.server_state.connections

    run(scenario())


@on_both_loops
def test_a_client_that_has_spoken_before_it_was_accepted_is_answered(run: Run, tls: Tls) -> None:
    async def scenario() -> None:
        async with running(tls=tls[0]) as server:

            def ask() -> bytes:
                raw = socket.create_connection(("127.0.0.1", server.port), timeout=30)
                with tls[1].wrap_socket(raw, server_hostname="127.0.0.1") as client:
                    client.sendall(LAST)
                    return client.recv(15)

            for _ in range(3):
                asked = asyncio.ensure_future(asyncio.to_thread(ask))
                await asyncio.sleep(0)
                time.sleep(0.1)  # noqa: ASYNC251 -- meanwhile the first bytes come to a loop that stands still
                assert await asked == b"HTTP/1.1 200 OK"

    run(scenario())


@on_both_loops
def test_handshakes_make_room_for_those_that_ask(run: Run, tls: Tls) -> None:
    async def scenario() -> None:
        async with running(Bounds(open=8), tls=tls[0]) as server:
            silent = [await _silent(server) for _ in range(40)]
            await until(lambda: len(server.closed) == 32)
            assert len(server.all) == 8
            client = await server.connect(tls[1])
            for _ in range(2):
                client.send(GET)
                assert (await client.answer())[0] == 200
            for one in silent[:33]:
                assert await one.ended() == b""
            assert set(server.closed) == {"evicted"}
            assert server.app.scopes[0]["scheme"] == "https"

    run(scenario())


@on_both_loops
def test_where_no_place_is_free_handshakes_have_the_reserved_ones(run: Run, tls: Tls) -> None:
    async def scenario() -> None:
        async with running(Bounds(open=2), tls=tls[0]) as server:
            busy = [await server.connect(tls[1]) for _ in range(2)]
            for one in busy:
                one.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n")
            await until(lambda: len(server.all.partial) == 2)
            for each in server.all.partial:
                each.since = time.monotonic() + 60  # as if they had only just begun
            for _ in range(RESERVED + 4):
                await _silent(server)
            await until(lambda: len(server.closed) == 4)
            assert len(server.all) == 2 + RESERVED
            probe = await server.connect(tls[1])
            probe.send(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
            assert (await probe.answer())[0] == 200

    run(scenario())


@on_both_loops
def test_who_does_not_agree_to_the_end_makes_room(run: Run, tls: Tls) -> None:
    async def scenario() -> None:
        async with running(Bounds(open=4), tls=tls[0]) as server:
            for _ in range(4):
                client = await server.connect(tls[1])
                client.send(LAST)
                assert (await client.answer())[0] == 200
                client.writer.transport.pause_reading()  # type: ignore[attr-defined]
            new = await server.connect(tls[1])
            new.send(GET)
            assert (await new.answer())[0] == 200
            assert len(server.all) <= 4

    run(scenario())


@on_both_loops
def test_a_client_that_never_reads_is_closed_and_its_answer_is_freed(run: Run, tls: Tls) -> None:
    async def scenario() -> None:
        async with running(Bounds(write_s=30), tls=tls[0]) as server:
            client = await server.connect(tls[1])
            client.writer.transport.pause_reading()  # type: ignore[attr-defined]
            client.send(BIG)
            (connection,) = server.server.server_state.connections
            await until(lambda: connection.unsent() > 1 << 20)  # type: ignore[union-attr]
            now = time.monotonic()
            server.all.sweep(now)
            server.all.sweep(now + 29)
            assert len(server.all) == 1
            server.all.sweep(now + 31)
            await until(lambda: server.closed == ["write_timeout"])
            assert connection._wire.get_write_buffer_size() == 0  # type: ignore[union-attr]

    run(scenario())


@on_both_loops
def test_the_end_of_the_service_waits_for_no_handshake(run: Run, tls: Tls) -> None:
    async def scenario() -> None:
        async with running(Bounds(head_s=600), tls=tls[0]) as server:
            silent = await _silent(server)
            await until(lambda: len(server.all) == 1)
            server.server.should_exit = True
            await silent.ended()
            assert server.closed == ["shutdown"]

    run(scenario())
