"""The service under a real uvicorn, or in process, for tests."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import uvicorn
from fastapi import FastAPI

from artifacts.bundle import Bundle
from devtools.waiting import wait_for
from index.engine import OpenedIndex
from service.app import create_app
from service.deployment import Announce, Deployment, assemble, open_deployment
from service.opening import Opener
from service.process.configuration import protocol_of
from service.runtime import Runtime
from service.settings import Settings, load_settings
from tests.support import shop
from tests.support.index import MemoryIndex


@dataclass(frozen=True)
class Server:
    """A running service."""

    url: str
    app: FastAPI

    @property
    def runtime(self) -> Runtime:
        return self.app.state.runtime


def make_settings(bundle: Path | None, index: Path | None, /, **groups: Mapping[str, Any]) -> Settings:
    """Settings for tests: a generous default deadline, since the machine may be busy."""
    base: dict[str, dict[str, Any]] = {
        "bundle": {"path": bundle},
        "index": {"path": index},
        "deadline": {"default_ms": 10_000},
        # No queries of its own among those that tests count.
        "server": {"access_log": False, "canary_every_s": 0, "recall_check_every_s": 0},
    }
    for name, group in groups.items():
        base[name] = base.get(name, {}) | dict(group)
    return load_settings(None, base)


@contextmanager
def serving(settings: Settings, opener: Opener = open_deployment, *, ready: bool = True) -> Iterator[Server]:
    """Serve on a free port of 127.0.0.1, in a thread, until the block is left."""
    app = create_app(settings, opener=opener)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        http: Any = protocol_of(settings.server)
        config = uvicorn.Config(app, http=http, log_config=None, access_log=False, ws="none", lifespan="on")
        server = uvicorn.Server(config)

        def run() -> None:
            # The loop is kept for tests that do what a signal would do.
            async def keep_loop_and_serve() -> None:
                app.state.loop = asyncio.get_running_loop()
                await server.serve(sockets=[listener])

            asyncio.run(keep_loop_and_serve())

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        wait_for(lambda: server.started)
        running = Server(
            f"http{'s' if settings.server.tls_key else ''}://127.0.0.1:{listener.getsockname()[1]}", app
        )
        if ready:
            wait_for(lambda: running.runtime.ready)
        try:
            yield running
        finally:
            server.should_exit = True
            thread.join()


@asynccontextmanager
async def in_process(app: FastAPI, *, ready: bool = True) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the app without a server; errors that the app lets through are raised."""
    async with app.router.lifespan_context(app):
        if ready:
            while not app.state.runtime.ready:  # noqa: ASYNC110 -- tests only, the app has no need of an event
                await asyncio.sleep(0.002)
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            yield client


def opener_in_memory(bundle: Bundle, index: MemoryIndex) -> Opener:
    """Opens a deployment of the real encoder of a bundle and an index in memory."""

    def opened(*, announce: Announce, **given: Any) -> Deployment:
        return assemble(bundle=bundle, opened=OpenedIndex(index=index, features=index, values=index), **given)

    return opened


def memory_index(bundle: Bundle) -> MemoryIndex:
    """The shop's items in memory."""
    return MemoryIndex(bundle.version, *shop.embed(bundle))
