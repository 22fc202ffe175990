"""One of several workers: what it tells the supervisor, and what the supervisor tells it.

A worker tells by its pipe that it is loaded, why it cannot start, and twice a second that its event loop
lives and what keeps it from answering. When the pipe ends, the supervisor has ended or has given the worker
up, and the worker ends at once.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import pickle
import select
import signal
import socket
from collections.abc import Callable, MutableSequence, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any, Literal, NoReturn

from common.errors import MrseError
from common.memory import share_arena
from service.errors import StartError
from service.process.bound import bind_fork
from service.process.leaving import Server
from service.process.shared_metrics import count_as
from service.process.sharing import Counts
from service.settings import Settings
from service.settings.tree import composed
from service.telemetry import logs

log = logging.getLogger("mrse.service")

ReadSettings = Callable[[], Settings]
#: To a worker: begin to accept; end as after SIGTERM; end, for another takes its place; end as after Ctrl-C.
Order = Literal["accept", "leave", "retire", "quit"]
#: From a worker: the settings that it read; it is loaded; it accepts; it cannot start, and why; it lives, and
#: why it is not ready.
Report = tuple[Literal["read", "loaded", "accepts", "failed", "lives"], list[str] | bytes]
_BEAT_S = 0.5
#: Characters of a reason, so that a report always fits into the pipe.
_REASON = 500


def work(
    read_settings: ReadSettings,
    sockets: list[socket.socket],
    pipe: Connection,
    number: int,
    early: bool,
    workers: int,
    connections: MutableSequence[int],
    given: bytes | None,
) -> None:
    """Load and serve until told to end.

    Args:
        read_settings: reads the settings, with the extensions that they load.
        sockets: to listen on; they are bound.
        pipe: to the supervisor; it sends `Order`, and gets `Report`.
        number: what the metrics' files of this worker are called.
        early: accept before it is loaded, for nobody else does, and probes want an answer.
        workers: how many there are.
        connections: of each worker, in shared memory; see `Counts`.
        given: the settings to go by, of a worker that has ended, in place of those that would be read.
    """
    bind_fork()
    share_arena()
    for ignored in (signal.SIGINT, signal.SIGHUP):  # of a terminal, which sends them to the supervisor too
        signal.signal(ignored, signal.SIG_IGN)
    _keep_pages_shared()
    try:
        read = read_settings() if given is None else unpacked(given)
        pipe.send(("read", packed(read)))
        settings = as_started(read, sockets, workers)
        logs.configure(settings.server.log_level)
        count_as(number)
        _Worker(read_settings, settings, pipe, early, Counts(connections, number)).serve(sockets)
    except MrseError as error:
        _fail(pipe, str(error))
    except Exception as error:
        log.exception("cannot start")
        _fail(pipe, f"unexpected error while starting: {error!r}")


def as_started(settings: Settings, sockets: Sequence[socket.socket], workers: int) -> Settings:
    """The settings with what the service keeps until it is started again, whatever the file says by now.

    Args:
        settings: as they were read.
        sockets: that it listens on; the second, where there is one, is the port for changes.
        workers: how many there are; each has its share of the rates of keys.
    """
    admin_port = sockets[1].getsockname()[1] if len(sockets) > 1 else 0
    server = settings.server.model_copy(update={"admin_port": admin_port, "workers": workers})
    return settings.model_copy(update={"server": server})


def packed(settings: Settings) -> bytes:
    """The settings for another worker, which makes tables of its own for what extensions register."""
    return pickle.dumps(settings.model_dump())


def unpacked(given: bytes) -> Settings:
    """The settings that `packed` was given."""
    return composed().model_validate(pickle.loads(given))


class _Worker:
    def __init__(
        self,
        read_settings: ReadSettings,
        settings: Settings,
        pipe: Connection,
        early: bool,
        counts: Counts,
    ) -> None:
        from service.app import create_app  # its schemas are made of what the settings' extensions register
        from service.process.configuration import server_config

        self._pipe = pipe
        self._may_accept = asyncio.Event()
        if early:
            self._may_accept.set()
        app = create_app(
            settings,
            on_fatal=lambda error: _fail(pipe, str(error)),
            on_loaded=lambda: self._tell("loaded"),
            before_accepting=self._wait_for_turn,
        )
        self._health = app.state.runtime.health
        self._server = Server(
            server_config(settings, app),
            lame_duck_s=settings.server.lame_duck_s,
            on_leaving=app.state.runtime.leave,
            counts=counts,
        )
        self._tasks: list[asyncio.Task[None]] = []

    def serve(self, sockets: list[socket.socket]) -> None:
        self._server.run(sockets)

    async def _wait_for_turn(self) -> None:
        asyncio.get_running_loop().add_reader(self._pipe.fileno(), self._hear)
        self._tasks.append(asyncio.create_task(self._beat(), name="beat"))
        while not self._may_accept.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(self._may_accept.wait(), _BEAT_S)
            if self._server.should_exit:
                os._exit(0)  # it has accepted nothing, so nothing is to be finished

    def _hear(self) -> None:
        try:
            while self._pipe.poll():
                order: Order = self._pipe.recv()
                if order == "accept":
                    self._may_accept.set()
                else:
                    self._server.leave(quick=order == "quit", retire=order == "retire")
        except (EOFError, OSError):
            os._exit(1)

    async def _beat(self) -> None:
        accepts = False
        while True:
            if self._server.started and not accepts:
                accepts = True
                self._tell("accepts")
            self._tell("lives", self._health.reasons)
            await asyncio.sleep(_BEAT_S if accepts else 0.05)

    def _tell(self, what: Any, reasons: list[str] | None = None) -> None:
        if select.select([], [self._pipe], [], 0)[1]:  # never waits for a supervisor that is stopped
            with suppress(OSError):  # the end of the pipe is heard
                self._pipe.send((what, [reason[:_REASON] for reason in reasons or []]))


def _fail(pipe: Connection, reason: str) -> NoReturn:
    with suppress(OSError):
        pipe.send(("failed", [reason[:_REASON]]))
    os._exit(StartError.exit_code)


def _keep_pages_shared() -> None:
    """Take what was imported before the fork out of the garbage collector's sight.

    Gains memory: a collection writes to every object that it looks at, and so makes copies of the pages that
    a worker shares with the other workers.
    """
    gc.freeze()
