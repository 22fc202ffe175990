"""How many feed requests may be under way: more while Vespa keeps up, fewer when it does not."""

from __future__ import annotations

import asyncio
import time
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
        #: Requests that are under way.
        self.used = 0
        self._changed = asyncio.Condition()
        self._last_cut = -_CUT_INTERVAL
        self._paused = False

    @property
    def size(self) -> int:
        """Requests that may be under way."""
        return 0 if self._paused else int(self._size)

    async def acquire(self) -> None:
        """Wait for a slot."""
        async with self._changed:
            await self._changed.wait_for(lambda: self.used < self.size)
            self.used += 1

    async def release(self) -> None:
        """Give a slot back."""
        async with self._changed:
            self.used -= 1
            self._changed.notify(max(0, self.size - self.used))

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

    async def resume(self) -> None:
        """Hand out slots again, one at first."""
        async with self._changed:
            self._paused = False
            self._size = 1.0
            self._changed.notify()
