"""The pulse of an event loop: how late it is, what a request costs it, and when it last moved."""

from __future__ import annotations

import asyncio
import socket
import struct
import sys
import time
from collections.abc import Callable

#: Seconds between two beats: the loop's lag is known to that, at 40 short callbacks a second.
BEAT_S = 0.025
#: A loop that is so late has left requests lying in the sockets' buffers, and their age is asked for.
LATE_S = 0.02
#: Of what a request costs, how much the newest beat counts.
_NEWEST = 0.2
#: What a request costs the loop before any was measured.
_FIRST_COST_S = 0.002
#: Where ``tcpi_last_data_recv``, milliseconds since the kernel last got data, stands in ``struct tcp_info``.
_LAST_DATA = struct.Struct("=52xI")


class Pulse:
    """Beats on an event loop. `moved` may be read from other threads.

    Attributes:
        moved: when it last beat, in seconds on ``time.monotonic``; 0 before the first.
        lag_s: how late the last beat was.
        cost_s: processor time of the loop's thread for a request.
    """

    def __init__(self) -> None:
        self.moved = 0.0
        self.lag_s = 0.0
        self.cost_s = _FIRST_COST_S
        self._finished = 0
        self._cpu_s = 0.0
        self._each_beat: list[Callable[[], None]] = []
        self._timer: asyncio.TimerHandle | None = None

    def also(self, callback: Callable[[], None]) -> None:
        """Call something with each beat; it must not raise."""
        self._each_beat.append(callback)

    def start(self) -> None:
        """Beat on the running loop, until `stop`."""
        loop = asyncio.get_running_loop()
        self._cpu_s = time.thread_time()

        def beat(due: float) -> None:
            self._timer = loop.call_later(BEAT_S, beat, loop.time() + BEAT_S)
            self._beat(max(0.0, loop.time() - due))

        beat(loop.time())

    def stop(self) -> None:
        """Beat no more."""
        if self._timer is not None:
            self._timer.cancel()

    def finished(self) -> None:
        """Count a request that the loop has done with."""
        self._finished += 1

    def _beat(self, lag_s: float) -> None:
        self.lag_s = lag_s
        cpu_s = time.thread_time()
        if self._finished:
            cost_s = (cpu_s - self._cpu_s) / self._finished
            self.cost_s += _NEWEST * (cost_s - self.cost_s)
        self._cpu_s, self._finished = cpu_s, 0
        for callback in self._each_beat:
            callback()
        self.moved = time.monotonic()

    def lain_s(self, transport: asyncio.BaseTransport) -> float:
        """At least so long the last bytes of a connection lay in the kernel before the loop read them.

        Asked from the kernel, and only of a loop that is late: on time it costs nothing.
        """
        if self.lag_s < LATE_S:
            return 0.0
        connection = transport.get_extra_info("socket")
        if sys.platform != "linux" or connection is None:
            return self.lag_s / 2  # as likely sooner as later
        try:
            answer = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _LAST_DATA.size)
            milliseconds: int = _LAST_DATA.unpack(answer)[0]
        except (OSError, struct.error):
            return self.lag_s / 2
        # Not longer than the loop was away: what lies longer is the rest of what was read before.
        return min(milliseconds / 1000, self.lag_s + BEAT_S)
