"""uvicorn's server, with an end that loses no request.

It ends in steps: readiness turns false, and every answer says ``Connection: close``, while new connections
are still taken (the lame duck, for those who send requests to find out); then it listens no more, takes what
the kernel had accepted for it, and waits a moment for requests that are on their way on open connections;
then it closes what is idle and lets running requests finish.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Sequence
from types import FrameType
from typing import Any

import uvicorn

from service.process.connections import connections_of
from service.process.sharing import Counts, Taking

log = logging.getLogger("mrse.service")

#: How long open connections are kept for a request that is on its way, when nobody listens any more.
LINGER_S = 0.5
_TICK_S = 0.05
#: After a second signal: how long until the process ends, whatever it is doing.
_AT_ONCE_S = 1.0


class Server(uvicorn.Server):
    """Serves until SIGINT or SIGTERM, or until it is told to leave.

    SIGINT, as of Ctrl-C, is quick: nobody is waited for but running requests. A second signal ends the
    process within a second.

    Args:
        config: uvicorn's.
        lame_duck_s: seconds between SIGTERM and the end of listening.
        on_leaving: told when it begins to end.
        on_hangup: told of SIGHUP, in the event loop; None: SIGHUP is not heard.
        url_of: where it listens, of the port, for the log; None: nothing is said.
        counts: of the workers that listen on the same sockets; None: there are no others.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        *,
        lame_duck_s: float,
        on_leaving: Callable[[], None],
        on_hangup: Callable[[], None] | None = None,
        url_of: Callable[[int], str] | None = None,
        counts: Counts | None = None,
    ) -> None:
        super().__init__(config)
        self._counts = counts
        self._taking: list[Taking] = []
        self._entering: set[asyncio.Task[None]] = set()
        self._lame_duck_s = lame_duck_s
        self._linger_s = LINGER_S
        self._on_leaving = on_leaving
        self._retiring = False
        self._on_hangup = on_hangup
        self._url_of = url_of

    def leave(self, *, quick: bool = False, retire: bool = False) -> None:
        """Begin to end; does nothing where that has begun.

        Args:
            quick: wait for running requests only.
            retire: another process listens on the socket: listen no more at once, and give open connections
                more time for the answer that closes them.
        """
        if self.should_exit:
            return
        if quick:
            self._lame_duck_s = self._linger_s = 0.0
        elif retire:
            self._linger_s = max(self._lame_duck_s, 4 * LINGER_S)
            self._lame_duck_s, self._retiring = 0.0, True
        self.should_exit = True

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and hear SIGHUP from the first moment of the event loop on."""
        if self._on_hangup is not None and threading.current_thread() is threading.main_thread():
            loop, hung_up = asyncio.get_running_loop(), self._on_hangup
            signal.signal(signal.SIGHUP, lambda number, frame: loop.call_soon_threadsafe(hung_up) and None)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})  # one may have waited for this
        if self._counts is None or sockets is None:
            await super().startup(sockets)
            return
        await super().startup([])
        self._taking = [
            Taking(each, self.config.backlog, self._counts, self._open, self._enter_soon) for each in sockets
        ]

    def _open(self) -> int:
        return len(self.server_state.connections) + len(self._entering)

    def _enter_soon(self, connection: socket.socket) -> None:
        task = asyncio.get_running_loop().create_task(self._enter(connection))
        self._entering.add(task)
        task.add_done_callback(self._entering.discard)

    async def _enter(self, connection: socket.socket) -> None:
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                self._protocol, connection, ssl=self.config.ssl
            )
        except OSError:  # the client has gone
            connection.close()

    def _log_started_message(self, listeners: Sequence[socket.SocketType]) -> None:
        """Say where it listens; uvicorn by itself would say ``http`` of what speaks TLS."""
        if self._url_of is not None:
            log.info("listening on %s", self._url_of(listeners[0].getsockname()[1]))

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to end; the second time, end."""
        self._captured_signals.append(sig)
        if self.should_exit:
            self.force_exit = True
            threading.Timer(_AT_ONCE_S, os._exit, (128 + sig,)).start()
        self.leave(quick=sig == signal.SIGINT)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End in the steps that the module describes."""
        if not self._retiring:  # the service goes on elsewhere
            self._on_leaving()
        connections_of(self.lifespan.state).draining = True
        await self._until(lambda: False, self._lame_duck_s)
        await self._listen_no_more(sockets or [])
        await self._until(lambda: not self.server_state.connections, self._linger_s)
        await super().shutdown(None)
        if self._on_hangup is not None and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGHUP, signal.SIG_IGN)  # there is nothing left to reload

    async def _until(self, condition: Callable[[], bool], seconds: float) -> None:
        end = time.monotonic() + seconds
        counter = 0
        while not condition() and not self.force_exit and time.monotonic() < end:
            await self.on_tick(counter)  # keeps the Date of the answers
            counter += 1
            await asyncio.sleep(_TICK_S)

    async def _listen_no_more(self, sockets: list[socket.socket]) -> None:
        """Close the listening sockets, and take the connections that the kernel had accepted by then."""
        servers: Any = self.servers  # of asyncio or uvloop
        listening = sockets if self._taking else [each for server in servers for each in server.sockets]
        listeners = [socket.socket(fileno=os.dup(each.fileno())) for each in listening]
        for taking in self._taking:
            taking.end()
        for server in servers:
            server.close()
        for each in sockets:
            each.close()
        waiting: list[socket.socket] = []
        for listener in listeners:
            with listener:  # closed between two looks at it: what came in between would be lost
                while True:
                    try:
                        waiting.append(listener.accept()[0])
                    except ConnectionAbortedError:
                        continue
                    except OSError:  # there are no more, or no descriptors for them
                        break
        for connection in waiting:
            connection.setblocking(False)
            await self._enter(connection)

    def _protocol(self) -> asyncio.Protocol:
        protocol: Any = self.config.http_protocol_class
        made: asyncio.Protocol = protocol(
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )
        return made
