"""Starts, ends and judges the picture processes, from the service's side."""

from __future__ import annotations

import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from common.deadline import Clock
from service.query.decoder.wire import COMMAND, ENDED, FORK, KILL

#: A parent that died is started again after this many seconds, not at once: it might die again.
_START_AGAIN_S = 1.0
#: Longest wait for a parent that has to kill a lane, on a busy machine; one that takes longer is replaced.
_PATIENCE_S = 5.0
#: Longest wait for a parent to end by itself.
_FAREWELL_S = 5.0


class Lane:
    """One lane: the service's end of its socket, its parent, and what it has told so far."""

    __slots__ = ("cpu_s", "parent", "process", "socket")

    def __init__(self, end: socket.socket, parent: subprocess.Popen[bytes]) -> None:
        self.socket = end
        self.parent = parent
        #: Its process; None until it has said so.
        self.process: int | None = None
        #: CPU seconds that it had used after its last picture.
        self.cpu_s = 0.0

    @property
    def ended(self) -> bool:
        """Whether it has closed its socket; it says nothing unasked."""
        try:
            return not self.socket.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return False


class Ending(NamedTuple):
    """How a lane ended: the signal that did it, 0 for none, and its CPU seconds in all."""

    signal: int
    cpu_s: float


class DecoderProcesses:
    """The parent of the lanes, started when the first lane is wanted, and again when it has died.

    Args:
        memory: bytes that a picture may take.
        seconds: CPU seconds that a picture may take, after which the kernel ends its lane.
        clock: seconds.
    """

    def __init__(self, memory: int, seconds: float, clock: Clock = time.monotonic) -> None:
        self._arguments = (str(memory), str(seconds))
        self._clock = clock
        self._lock = threading.Lock()
        self._parent: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._not_before = -float("inf")
        self._closed = False

    def open(self) -> Lane:
        """A new lane, which may still be starting. Takes milliseconds, does not wait for it.

        Raises:
            OSError: it cannot be started now.
        """
        with self._lock:
            if self._closed:
                raise OSError("the picture processes are closed")
            if self._parent is not None and self._parent.poll() is not None:
                self._drop()
            if self._parent is None:
                self._start()
            assert self._parent is not None
            assert self._control is not None
            here, there = socket.socketpair()
            with there:
                try:
                    socket.send_fds(self._control, [COMMAND.pack(FORK, 0)], [there.fileno()])
                except OSError:
                    here.close()
                    self._drop()
                    raise
            here.setblocking(False)
            return Lane(here, self._parent)

    def end(self, lane: Lane) -> Ending | None:
        """Kill a lane and wait for its end, milliseconds; None where its parent died before or with it."""
        lane.socket.close()
        with self._lock:
            if lane.process is None or lane.parent is not self._parent or self._control is None:
                return None
            try:
                self._control.sendall(COMMAND.pack(KILL, lane.process))
                answer = self._control.recv(ENDED.size, socket.MSG_WAITALL)
                status, cpu_s = ENDED.unpack(answer)
            except (OSError, struct.error):
                self._drop()
                return None
        return Ending(os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0, cpu_s)

    def close(self) -> None:
        """End them all; nothing is started any more."""
        with self._lock:
            self._closed = True
            self._drop()

    def _start(self) -> None:
        if self._clock() < self._not_before:
            raise OSError("the picture processes died a moment ago")
        self._not_before = self._clock() + _START_AGAIN_S
        here, there = socket.socketpair()
        here.settimeout(_PATIENCE_S)
        # The path of this process, without the working directory, which might hold a file by any name.
        paths = os.pathsep.join(path or str(Path.cwd()) for path in sys.path)
        environment = {**os.environ, "PYTHONPATH": paths, "PYTHONSAFEPATH": "1"}
        command = [sys.executable, "-m", "service.query.decoder.lane", str(there.fileno()), *self._arguments]
        with there:
            try:
                self._parent = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    pass_fds=[there.fileno()],
                    env=environment,
                    start_new_session=True,  # out of reach of a terminal's Ctrl-C
                )
            except OSError:
                here.close()
                raise
        self._control = here

    def _drop(self) -> None:
        """Let the parent go, which ends by itself when nobody holds ``control`` any more."""
        parent, self._parent = self._parent, None
        if self._control is not None:
            self._control.close()
            self._control = None
        if parent is not None:
            try:
                parent.wait(_FAREWELL_S)
            except subprocess.TimeoutExpired:
                with suppress(ProcessLookupError):
                    parent.send_signal(signal.SIGKILL)
                parent.wait()
