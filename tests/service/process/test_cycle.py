"""How an answer is written: its head together with what follows."""

from __future__ import annotations

from typing import Any

from starlette.types import Receive, Scope, Send

from tests.support.connections import Running, running, until


class Recorder:
    """A transport that notes what is written."""

    def __init__(self, transport: Any) -> None:
        self.transport = transport
        self.writes: list[bytes] = []

    def write(self, data: bytes) -> None:
        self.writes.append(data)
        self.transport.write(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.transport, name)


def record(server: Running) -> list[bytes]:
    """What the only connection writes from now on."""
    (connection,) = server.server.server_state.connections
    recorder = Recorder(connection.transport)  # type: ignore[union-attr]
    connection.transport = recorder  # type: ignore[union-attr, assignment]
    return recorder.writes


async def test_an_answer_is_one_write() -> None:
    async with running() as server:
        client = await server.connect()
        writes = record(server)
        for number in range(1, 4):  # on a kept connection too
            client.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc")
            status, _, body = await client.answer()
            assert (status, body, len(writes)) == (200, b"3", number)


async def test_the_head_alone_is_written_where_no_body_follows() -> None:
    async with running() as server:
        client = await server.connect()
        writes = record(server)
        client.send(b"HEAD / HTTP/1.1\r\nHost: x\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n")
        await until(lambda: len(server.app.lengths) == 2)
        await until(lambda: b"".join(writes).endswith(b"\r\n\r\n0"))
        assert b"".join(writes).count(b"HTTP/1.1 200 OK") == 2


async def test_a_client_that_asks_is_told_to_go_on_before_it_sends_its_body() -> None:
    async with running() as server:
        client = await server.connect()
        writes = record(server)
        client.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n")
        await until(lambda: writes == [b"HTTP/1.1 100 Continue\r\n\r\n"])
        client.send(b"abc")
        await until(lambda: len(writes) == 2)
        assert writes[1].endswith(b"\r\n\r\n3")


async def test_parts_of_an_answer_are_written_as_they_come() -> None:
    async def parts(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for more in (True, True, False):
            await send({"type": "http.response.body", "body": b"ab", "more_body": more})

    async with running(app=parts) as server:
        client = await server.connect()
        writes = record(server)
        client.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        await until(lambda: len(writes) == 3)
        assert b"".join(writes).endswith(b"\r\n\r\n2\r\nab\r\n2\r\nab\r\n2\r\nab\r\n0\r\n\r\n")
