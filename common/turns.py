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
        #: When the first step of this turn of the loop was taken; meaningless where there was none yet.
        self._began = 0.0
        self._open = False
        self._number = 0
        #: Those who wait, the one who came first ahead.
        self._waiting: deque[object] = deque()

    @property
    def turn(self) -> int | None:
        """Which turn of the loop it is, among those with a step; None where it has had none so far.

        Tasks that what was received in this turn begins have their first step in a later one.
        """
        return self._number if self._open else None

    async def take(self) -> None:
        """Call before each step. Waits for a later turn of the loop where this one was long enough.

        The first step of a turn never waits: a request that has the loop to itself gives it up to nobody.
        Of many that wait, as many go on in one turn as fit in it, in the order in which they came: who has
        had a step stands behind all who wait, or two steps longer than a turn would starve a third.
        """
        if not self._waiting and not self._over():
            return
        mine = object()
        self._waiting.append(mine)
        try:
            while self._waiting[0] is not mine or self._over():  # noqa: ASYNC110 -- asked in each turn
                await asyncio.sleep(0)
        finally:
            self._waiting.remove(mine)

    def _over(self) -> bool:
        """Whether this turn was long enough; it begins here where it has not."""
        now = self._clock()
        if self._open:
            return now - self._began > TURN_S
        self._began, self._open = now, True
        asyncio.get_running_loop().call_soon(self._end)  # in the next turn, ahead of those who wait for it
        return False

    def _end(self) -> None:
        self._open = False
        self._number += 1
