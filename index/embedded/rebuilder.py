"""Rebuilds an index that serves once it has many changes, and spaces out tries that fail."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

from common.deadline import Clock
from index.embedded.live import LiveIndex
from index.embedded.rebuild import RebuildFailed
from index.embedded.store import RebuildRunning
from index.port import IndexUnavailable

log = logging.getLogger("mrse.index")

#: Seconds after which a rebuild that failed is tried again: the first time, and at most; doubled in between.
_AGAIN_S, _AGAIN_MAX_S = 30.0, 3600.0


class Backoff:
    """When something that failed may be tried again."""

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self._clock = clock
        self._failures = 0
        self._not_before = 0.0

    @property
    def due(self) -> bool:
        """Whether it may be tried now."""
        return not self._failures or self._clock() >= self._not_before

    def failed(self) -> float:
        """Note a failure; the seconds until the next try."""
        wait: float = min(_AGAIN_S * 2.0 ** min(self._failures, 16), _AGAIN_MAX_S)
        self._failures += 1
        self._not_before = self._clock() + wait
        return wait

    def succeeded(self) -> None:
        """Begin anew."""
        self._failures = 0


class Rebuilder:
    """Keeps no reference to the index, whose files are closed with the last one.

    Args:
        after: so many changes to the base start a rebuild; None: nothing does.
        after_bytes: so many bytes of changes do too.

    Attributes:
        running: the rebuild that was started last.
    """

    def __init__(self, after: int | None, after_bytes: int) -> None:
        self._after, self._after_bytes = after, after_bytes
        self._backoff = Backoff()
        self.running: asyncio.Task[None] | None = None

    def changed(self, live: LiveIndex, rebuild: Callable[[], Awaitable[object]]) -> None:
        """Start a rebuild in the background, if it is time for one."""
        after, state = self._after, live.state
        if after is None or not (state.changes >= after or state.changed_bytes >= self._after_bytes):
            return
        if not state.items or not self._backoff.due:
            return
        if self.running is None or self.running.done():
            self.running = asyncio.create_task(self._run(live, rebuild), name="rebuild the index")

    async def close(self) -> None:
        """Stop it."""
        if self.running is not None:
            self.running.cancel()
            await asyncio.gather(self.running, return_exceptions=True)
            self.running = None  # a task that was cancelled keeps its frames, and with them the index

    async def _run(self, live: LiveIndex, rebuild: Callable[[], Awaitable[object]]) -> None:
        try:
            await rebuild()
        except RebuildRunning:
            pass  # by another worker
        except (RebuildFailed, IndexUnavailable, OSError) as error:
            wait = self._backoff.failed()
            log.error("the index could not be rebuilt, it goes on as it is for %.0f s: %s", wait, error)
            live.told("rebuild_failed")
        else:
            self._backoff.succeeded()
            log.info("rebuilt", extra={"index": live.state.manifest.index_version})
            live.told("rebuilt")
