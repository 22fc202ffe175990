"""A server that ends: what it says meanwhile, and that no request that was sent is lost."""

from __future__ import annotations

import asyncio
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from devtools.waiting import wait_for
from service.process.leaving import Server
from service.process.protocol import Protocol
from service.process.sharing import Counts, row_of

ROOT = Path(__file__).parents[3]
REQUEST = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


@pytest.fixture(params=[False, True], ids=["alone", "sharing"], autouse=True)
def sharing(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test with a server that listens alone, and with one of several workers."""
    monkeypatch.setattr(Running, "sharing", request.param)


class Running:
    """A server on a thread, around an application that answers when it is allowed to."""

    sharing = False

    def __init__(self, lame_duck_s: float) -> None:
        self.go = threading.Event()
        self.go.set()
        self.begun = 0
        self.told: list[str] = []
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=100)
        self.address = self.listener.getsockname()
        config = uvicorn.Config(
            self.app,
            interface="asgi3",
            http=Protocol,
            lifespan="off",
            log_config=None,
            access_log=False,
            ws="none",
        )
        self.server = Server(
            config,
            lame_duck_s=lame_duck_s,
            on_leaving=lambda: self.told.append("not ready"),
            counts=Counts(row_of(1), 0) if self.sharing else None,
        )
        self.thread = threading.Thread(target=self.server.run, args=([self.listener],), daemon=True)

    async def app(self, scope: Any, receive: Any, send: Any) -> None:
        self.loop = asyncio.get_running_loop()
        self.begun += 1
        while not self.go.is_set():  # noqa: ASYNC110 -- set by another thread
            await asyncio.sleep(0.002)
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})

    def connect(self) -> socket.socket:
        return socket.create_connection(self.address, timeout=30)

    def leave(self, **how: bool) -> None:
        self.server.leave(**how)


@contextmanager
def running(lame_duck_s: float) -> Iterator[Running]:
    it = Running(lame_duck_s)
    it.thread.start()
    wait_for(lambda: it.server.started)
    try:
        yield it
    finally:
        it.go.set()
        it.server.force_exit = it.server.should_exit = True
        it.thread.join(30)
        it.listener.close()


def answer(connection: socket.socket) -> str:
    text = b""
    while not text.endswith(b"ok"):
        received = connection.recv(4096)
        assert received, text
        text += received
    return text.decode().lower()


def test_a_lame_duck_answers_on_old_and_new_connections_and_each_answer_closes() -> None:
    with running(lame_duck_s=600) as it, it.connect() as kept:
        kept.sendall(REQUEST)
        assert "connection: close" not in answer(kept)
        it.leave()
        wait_for(lambda: it.told == ["not ready"])
        for connection in (kept, it.connect(), it.connect()):
            with connection:
                connection.sendall(REQUEST)
                assert "connection: close" in answer(connection)
                assert connection.recv(1) == b""


def test_what_the_kernel_had_accepted_is_answered_and_then_nobody_listens() -> None:
    with running(lame_duck_s=0) as it, ExitStack() as stack:
        with it.connect() as first:
            first.sendall(REQUEST)
            answer(first)
        blocked, block = threading.Event(), threading.Event()

        def stand_still() -> None:
            blocked.set()
            block.wait(30)

        it.loop.call_soon_threadsafe(stand_still)
        blocked.wait(30)
        connections = [stack.enter_context(it.connect()) for _ in range(20)]
        for connection in connections:
            connection.sendall(REQUEST)
        it.leave()
        block.set()
        for connection in connections:
            assert "200 ok" in answer(connection)
        it.thread.join(30)
        assert not it.thread.is_alive()
        with pytest.raises(ConnectionRefusedError):
            it.connect()


def test_a_running_request_is_finished_and_its_connection_closed() -> None:
    with running(lame_duck_s=0) as it, it.connect() as busy, it.connect() as idle:
        it.go.clear()
        busy.sendall(REQUEST)
        wait_for(lambda: it.begun == 1)
        it.leave()
        assert idle.recv(1) == b"", "an idle connection is closed after a moment"
        it.go.set()
        assert "connection: close" in answer(busy)
        it.thread.join(30)
        assert not it.thread.is_alive()


def test_one_that_retires_is_still_ready_for_the_service_goes_on_elsewhere() -> None:
    with running(lame_duck_s=600) as it, it.connect() as kept:
        it.leave(retire=True)
        time.sleep(0.2)
        kept.sendall(REQUEST)  # on its way when the server began to retire
        assert "connection: close" in answer(kept)
        it.thread.join(30)
        assert not it.thread.is_alive()
        assert it.told == []


_STUBBORN = """
import asyncio, os, signal, threading, uvicorn
from service.process.leaving import Server
async def app(scope, receive, send): ...
config = uvicorn.Config(app, port=0, lifespan="off", log_config=None)
server = Server(config, lame_duck_s=600, on_leaving=lambda: None)
def signals():
    while not server.started: pass
    threading.Thread(target=threading.Event().wait).start()  # work that does not end
    os.kill(os.getpid(), signal.SIGTERM)
    while not server.should_exit: pass
    os.kill(os.getpid(), signal.SIGTERM)
threading.Thread(target=signals, daemon=True).start()
server.run()
"""


@pytest.mark.parametrize("sharing", [False], indirect=True)  # it listens alone
def test_a_second_signal_ends_a_process_that_would_not() -> None:
    ended = subprocess.run([sys.executable, "-c", _STUBBORN], cwd=ROOT, timeout=100, check=False)
    assert ended.returncode in (128 + signal.SIGTERM, -signal.SIGTERM)
