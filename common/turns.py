"""Turns on the event loop: who has much to do there stops in between, so that others are answered."""

from __future__ import annotations

import asyncio
import time
from collections import deque

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
        #: Those who wait, the one who came first ahead.
        self._waiting: deque[object] = deque()

    async def take(self) -> None:
        """Call before each step. Waits for a later turn of the loop where this one was long enough.

        Of many that wait, as many go on in one turn as fit in it, in the order in which they came: who has
        had a step stands behind all who wait, or two steps longer than a turn would starve a third.
        """
        if not self._waiting and not self._over:
            return
        mine = object()
        self._waiting.append(mine)
        try:
            while self._over or self._waiting[0] is not mine:
                if self._over and not self._ending:
                    self._ending = True
                    asyncio.get_running_loop().call_soon(self._begin)  # ahead of those who wait from now on
                await asyncio.sleep(0)
        finally:
            self._waiting.remove(mine)

    @property
    def _over(self) -> bool:
        """Whether this turn was long enough."""
        return self._clock() - self._began > TURN_S

    def _begin(self) -> None:
        self._began, self._ending = self._clock(), False
