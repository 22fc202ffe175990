"""How many feed requests may be under way: more while Vespa keeps up, fewer when it does not."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import Final

from common.deadline import Clock
from index.vespa.settings import FeedSettings

#: Share of the window that is left after a cut.
_CUT: Final = 0.7
#: Seconds until the next cut may come: one overload answers many requests at once.
_CUT_INTERVAL: Final = 0.25


class Window:
    """A semaphore whose size follows the answers.

    It grows by one for each window full of successes, and a cut takes a share of it away.
    """

    def __init__(self, settings: FeedSettings, clock: Clock = time.monotonic) -> None:
        self._settings = settings
        self._clock = clock
        self._size = float(settings.window_start)
        self._used = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._last_cut = -_CUT_INTERVAL
        self._paused = False

    @property
    def size(self) -> int:
        """Requests that may be under way."""
        return 0 if self._paused else int(self._size)

    @property
    def used(self) -> int:
        """Requests that are under way."""
        return self._used

    async def acquire(self) -> None:
        """Wait for a slot, first come first served."""
        if self._used < self.size and not self._waiting:
            self._used += 1
            return
        slot: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(slot)
        try:
            await slot
        except BaseException:
            if slot.done() and not slot.cancelled():
                # The waiter was cancelled in the moment in which it was given the slot.
                self.release()
            else:
                self._waiting.remove(slot)
            raise

    def release(self) -> None:
        """Give a slot back."""
        self._used -= 1
        self._wake()

    def grow(self) -> None:
        """A request went well."""
        self._size = min(self._settings.window_max, self._size + 1.0 / self._size)

    def cut(self) -> None:
        """Vespa is overloaded, or slow; cuts in quick succession count as one."""
        now = self._clock()
        if now - self._last_cut >= _CUT_INTERVAL:
            self._last_cut = now
            least = min(self._size, self._settings.window_min)
            self._size = max(least, self._size * _CUT)

    def pause(self) -> None:
        """Hand out no slots."""
        self._paused = True

    def resume(self) -> None:
        """Hand out slots again, one at first."""
        self._paused = False
        self._size = 1.0
        self._wake()

    def _wake(self) -> None:
        while self._waiting and self._used < self.size:
            slot = self._waiting.popleft()
            if not slot.done():
                self._used += 1
                slot.set_result(None)
