"""Turns on the event loop: who has much to do there stops in between, so that others are answered."""

from __future__ import annotations

import asyncio
import time

from common.deadline import Clock

#: How long those that share turns may work on the event loop before others get one.
TURN_S = 0.001


class Turns:
    """Shared by work that may follow each other without waiting for anything. For one event loop.

    Args:
        clock: seconds.
    """

    def __init__(self, clock: Clock = time.perf_counter) -> None:
        self._clock = clock
        self._began = clock()
        self._ending = False

    async def take(self) -> None:
        """Call before each step. Waits for a later turn of the loop where this one was long enough.

        Of many that wait, as many go on in one turn as fit in it: each looks at the time again.
        """
        while self._clock() - self._began > TURN_S:
            if not self._ending:
                self._ending = True
                asyncio.get_running_loop().call_soon(self._begin)  # runs ahead of those who wait from now on
            await asyncio.sleep(0)

    def _begin(self) -> None:
        self._began, self._ending = self._clock(), False
