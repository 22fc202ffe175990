"""Delivers one operation: sends it until there is an outcome, or until going on is useless."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from common.deadline import Clock, Deadline
from index.vespa.endpoints import Endpoints
from index.vespa.errors import CircuitOpen, TimedOut, VespaError, shorten
from index.vespa.feed.operations import Operation, Operations
from index.vespa.feed.report import FeedReport, FeedStopped, Outcome
from index.vespa.feed.window import Window
from index.vespa.settings import FeedSettings
from index.vespa.transport import Reply

Sleep = Callable[[float], Awaitable[None]]

_IGNORED_FIELDS: Final = "x-vespa-ignored-fields"
#: Times that what others changed of an item meanwhile is sent behind an operation.
_MOST_PASSES: Final = 5
_BUSY, _INTERNAL, _BLOCKED = 429, 500, 507
_PASSING: Final = frozenset({502, 503, 504})


@dataclass(frozen=True, slots=True)
class Settled:
    """How an operation ended; ``reason`` says why it failed."""

    outcome: Outcome
    reason: str = ""
    #: Whether nothing but patience was at its end: later it may go through.
    undelivered: bool = False


@dataclass(frozen=True, slots=True)
class _Again:
    """An answer after which the operation is sent again."""

    reason: str
    detail: str
    #: Tries in all; None for as long as patience lasts.
    limit: int | None
    #: The feed is blocked: everybody waits, and this costs no try.
    blocked: bool = False


def _nothing(operation: Operation) -> None:
    """Nobody else changes anything."""


@dataclass
class Delivery:
    """Delivers the operations of one feed within one window; counts retries in ``report``.

    Vespa keeps no trace of what it removed, so no condition keeps an older put from bringing it back. So what
    is known of the item is looked at whenever an operation is sent, which may have waited for long, and again
    when it was taken: what was removed while it was on its way is removed once more, at once.
    """

    operations: Operations
    endpoints: Endpoints
    settings: FeedSettings
    report: FeedReport
    clock: Clock
    sleep: Sleep
    #: What others changed of an item since an operation of it was made, as an operation; None: nothing.
    newest: Callable[[Operation], Operation | None] = _nothing

    def __post_init__(self) -> None:
        self._window = Window(self.settings, self.clock)
        self._pause = self.settings.pause_blocked
        self._blocked_for = 0.0
        #: Pauses so far: tells whether a request was sent before the last one.
        self._era = 0

    async def deliver(self, operation: Operation, group: asyncio.TaskGroup) -> Settled:
        """Send until there is an outcome.

        Args:
            operation: what to send.
            group: where the tasks run that end a pause.

        Raises:
            FeedStopped: no operation would get through.
        """
        first: Settled | None = None
        tries = failures = passes = 0
        #: Since when Vespa answers that it is busy; what came before (a feed that is blocked, a turn to wait
        #: for) is no part of that.
        busy_since: float | None = None
        while True:
            await self._window.acquire()
            era = self._era
            deadline = Deadline.after(self.settings.request_timeout, self.clock)
            try:
                newer = self.newest(operation)
                # An update says nothing of what is not there yet: it is sent behind what puts the item.
                if newer is not None and (newer.kind != "update" or operation.kind == "update"):
                    operation = newer
                request = self.operations.request(operation, self.settings.request_timeout)
                reply = await self.endpoints.send(request, deadline)
                result = self._read(reply)
            except VespaError as error:
                result = self._failed(error)
            finally:
                await self._window.release()
            if isinstance(result, Settled):
                if result.outcome is Outcome.FAILED:
                    return result
                first = first or result
                later = None if passes == _MOST_PASSES else self.newest(operation)
                if later is None:
                    return first
                operation = later
                tries, failures, passes, busy_since = 0, 0, passes + 1, None
                continue
            if result.blocked:
                self._block(era, group)
                continue
            tries += 1
            if result.limit is not None:
                failures, busy_since = failures + 1, None
            elif busy_since is None:
                busy_since = self.clock()
            waited = 0.0 if busy_since is None else self.clock() - busy_since
            if result.limit is not None and failures >= result.limit:
                return Settled(Outcome.FAILED, f"after {failures} tries: {result.detail}", undelivered=True)
            if result.limit is None and waited > self.settings.patience_busy:
                return Settled(Outcome.FAILED, f"after {waited:.0f} s: {result.detail}", undelivered=True)
            self.report.retries[result.reason] += 1
            await self.sleep(self._backoff(tries))

    def _read(self, reply: Reply) -> Settled | _Again:
        """What an answer means; see the table in `feeder`."""
        status = reply.status
        if status in (200, 412):
            self._window.grow()
        if status == 200:
            self._pause, self._blocked_for = self.settings.pause_blocked, 0.0
            if reply.headers.get(_IGNORED_FIELDS):
                return Settled(Outcome.FAILED, "Vespa ignored fields that its schema does not have")
            return Settled(Outcome.STORED)
        if status == 412:
            return Settled(Outcome.SUPERSEDED)
        reason = f"status {status}"
        detail = f"{reason}: {shorten(reply.body[:2048].decode('utf-8', 'replace'))}"
        if status in (401, 403):
            raise FeedStopped(f"{reason}: certificate or token are not accepted")
        if status == _BUSY or status in _PASSING:
            self._window.cut()
            return _Again(reason, detail, None if status == _BUSY else self.settings.attempts)
        if status == _INTERNAL:
            return _Again(reason, detail, self.settings.attempts_internal)
        if status == _BLOCKED:
            return _Again(reason, detail, None, blocked=True)
        return Settled(Outcome.FAILED, detail)

    def _failed(self, error: VespaError) -> _Again:
        if isinstance(error, TimedOut):
            self._window.cut()
        # An open circuit sent nothing, so it costs patience and no try.
        limit = None if isinstance(error, CircuitOpen) else self.settings.attempts
        return _Again(error.reason, str(error), limit)

    def _backoff(self, tries: int) -> float:
        longest = min(self.settings.backoff_max, self.settings.backoff * 2.0 ** min(tries - 1, 30))
        return longest * random.uniform(0.5, 1.0)

    def _block(self, era: int, group: asyncio.TaskGroup) -> None:
        """The feed is blocked: pause all deliveries, and let one request through after a while.

        Many requests are under way and meet the same answer; only the first of them starts a pause.
        """
        if era != self._era:
            return
        if self._blocked_for > self.settings.patience_blocked:
            raise FeedStopped(f"the feed stayed blocked for {self._blocked_for:.0f} s")
        self._era += 1
        self._window.pause()
        group.create_task(self._unblock(self._pause))

    async def _unblock(self, pause: float) -> None:
        await self.sleep(pause)
        self._blocked_for += pause
        self._pause = min(2 * pause, self.settings.pause_blocked_max)
        await self._window.resume()
