"""One connection against a real uvicorn: what it notes, and what it bounds."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import uvicorn
from starlette.types import Receive, Scope, Send

from service.process.protocol import ARRIVED, Protocol


class App:
    """Answers every request, and keeps its scope."""

    def __init__(self) -> None:
        self.scopes: list[Scope] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scopes.append(scope)
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})


@asynccontextmanager
async def serving(app: Any) -> AsyncIterator[tuple[uvicorn.Server, int]]:
    """A server on the loop of the test, and its port."""
    config = uvicorn.Config(app, http=Protocol, port=0, log_config=None, ws="none", lifespan="off")
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve())
    await until(lambda: server.started)
    try:
        yield server, server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        await task


async def until(done: Any) -> None:
    """Wait for what comes sooner or later."""
    async with asyncio.timeout(30):
        while not done():  # noqa: ASYNC110 -- what is waited for has no event
            await asyncio.sleep(0.005)


async def test_a_request_arrives_with_the_first_byte_of_its_head() -> None:
    app = App()
    async with serving(app) as (server, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(2):  # the second on a kept connection
            await until(lambda: server.server_state.connections)
            (connection,) = server.server_state.connections
            seen, sent = connection.scope, time.monotonic()  # type: ignore[union-attr]
            writer.write(b"GET / HT")
            await until(lambda: connection.scope is not seen)  # noqa: B023  # type: ignore[union-attr]
            rest = time.monotonic()
            writer.write(b"TP/1.1\r\nHost: x\r\n\r\n")
            await reader.readuntil(b"ok")
            assert sent <= app.scopes[-1][ARRIVED] <= rest
        writer.close()
