"""Feeds operations over document/v1: in order per id, as fast as Vespa takes them, and no faster.

What each answer means::

    200                        stored; with X-Vespa-Ignored-Fields failed: the schema is another one
    412                        superseded: what is stored is as new or newer; no error
    429                        busy: cut the window, back off, send again for `patience_busy` seconds
    507                        feed blocked: all pause, then one request tries
    502 503 504, time-out,     cut the window, back off, send again, `attempts` times; an operation that
      connection, bad answer     had arrived after all then finds itself superseded
    500                        send again, `attempts_internal` times
    401 403                    the feed stops: nobody would be let in
    any other                  failed for good; after `failures_max` of these the feed stops
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import replace
from types import TracebackType
from typing import Final

from service.deadline import Clock, Deadline
from service.index.vespa.endpoints import Endpoints
from service.index.vespa.errors import CircuitOpen, TimedOut, VespaError, shorten
from service.index.vespa.feed.journal import Journal
from service.index.vespa.feed.operations import Operation, Operations, Rejected
from service.index.vespa.feed.report import MAX_FAILURES_KEPT, Failure, FeedReport, Outcome
from service.index.vespa.feed.settings import FeedSettings
from service.index.vespa.feed.window import Window
from service.index.vespa.settings import VespaSettings
from service.index.vespa.transport import AiohttpTransport, Reply, Transport

#: Called with operations done and in all, None where nobody knows.
Progress = Callable[[int, int | None], None]
Numbered = tuple[int, Operation | Rejected]
Sleep = Callable[[float], Awaitable[None]]

_IGNORED_FIELDS: Final = "X-Vespa-Ignored-Fields"
_PASSING: Final = frozenset({502, 503, 504})


class FeedStopped(Exception):  # noqa: N818 -- a decision, not a mistake
    """The feed gave up; ``report`` says how far it came, the journal where to go on."""

    def __init__(self, reason: str, report: FeedReport) -> None:
        super().__init__(reason)
        self.reason = reason
        self.report = report


class Feeder:
    """Feeds one document type; an async context manager."""

    def __init__(
        self,
        settings: VespaSettings,
        feed: FeedSettings | None = None,
        *,
        transport: Transport | None = None,
        clock: Clock = time.monotonic,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._feed = FeedSettings() if feed is None else feed
        connection = replace(settings.connection, limit=self._feed.window_max)
        self._transport = (
            AiohttpTransport(replace(settings, connection=connection)) if transport is None else transport
        )
        self._operations = Operations(settings)
        self._endpoints = Endpoints(
            settings.feed_endpoints or settings.endpoints,
            self._transport,
            settings.breaker,
            least_budget=settings.query.least_budget,
            clock=clock,
        )
        self._clock = clock
        self._sleep = sleep

    async def feed(
        self,
        operations: Iterable[Numbered],
        journal: Journal,
        *,
        total: int | None = None,
        progress: Progress | None = None,
    ) -> FeedReport:
        """Feed operations with their numbers; those that ``journal`` has settled are skipped.

        Returns:
            The counts; failures for good are in it, and the journal keeps them for another try.

        Raises:
            FeedStopped: going on is useless. The journal is saved then, and on any other exception too.
        """
        run = _Run(self._operations, self._endpoints, self._feed, journal, self._clock, self._sleep)
        run.total, run.progress = total, progress
        try:
            async with asyncio.TaskGroup() as group:
                saver = group.create_task(run.save_now_and_then())
                await run.dispatch(operations, group)
                saver.cancel()
        except BaseExceptionGroup as errors:
            journal.write(journal.snapshot())
            raise errors.exceptions[0] from None
        except BaseException:
            journal.write(journal.snapshot())
            raise
        if run.report.complete:
            journal.finish()
        else:
            journal.write(journal.snapshot())
        return run.report

    async def close(self) -> None:
        """Close every connection."""
        await self._transport.close()

    async def __aenter__(self) -> Feeder:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


class _Run:
    """One feed under way."""

    def __init__(
        self,
        operations: Operations,
        endpoints: Endpoints,
        settings: FeedSettings,
        journal: Journal,
        clock: Clock,
        sleep: Sleep,
    ) -> None:
        self.report = FeedReport()
        self.total: int | None = None
        self.progress: Progress | None = None
        self._operations = operations
        self._endpoints = endpoints
        self._settings = settings
        self._journal = journal
        self._clock = clock
        self._sleep = sleep
        self._window = Window(settings, clock)
        self._slots = asyncio.Semaphore(settings.read_ahead)
        #: Operations of an id that is being fed, the one under way first: order holds within an id only.
        self._chains: dict[str, deque[tuple[int, Operation]]] = {}
        self._random = random.Random()
        self._pause = settings.pause_blocked
        self._blocked_for = 0.0
        #: Counts pauses, so that an answer can be told to be from before one.
        self._era = 0
        self._group: asyncio.TaskGroup | None = None

    async def dispatch(self, operations: Iterable[Numbered], group: asyncio.TaskGroup) -> None:
        """Start each operation, or queue it behind an earlier one of its id; wait for all."""
        self._group = group
        for number, operation in operations:
            if self._journal.settled(number):
                self.report.skipped += 1
                continue
            if isinstance(operation, Rejected):
                self._end(number, operation.item_id, Outcome.FAILED, operation.reason)
                continue
            await self._slots.acquire()
            chain = self._chains.get(operation.item_id)
            if chain is not None:
                chain.append((number, operation))
            else:
                self._chains[operation.item_id] = deque([(number, operation)])
                group.create_task(self._drain(operation.item_id))
        # All slots in our hands: nothing is under way.
        for _ in range(self._settings.read_ahead):
            await self._slots.acquire()

    async def save_now_and_then(self) -> None:
        """Checkpoint until cancelled."""
        while True:
            await asyncio.sleep(self._settings.checkpoint_interval)
            await asyncio.to_thread(self._journal.write, self._journal.snapshot())

    async def _drain(self, item_id: str) -> None:
        chain = self._chains[item_id]
        while chain:
            number, operation = chain[0]
            outcome, reason = await self._deliver(operation)
            chain.popleft()
            if not chain:
                del self._chains[item_id]
            self._end(number, item_id, outcome, reason)
            self._slots.release()

    def _end(self, number: int, item_id: str, outcome: Outcome, reason: str) -> None:
        report = self.report
        report.outcomes[outcome] += 1
        failed = outcome is Outcome.FAILED
        self._journal.settle(number, failed=failed)
        if failed and len(report.failures) < MAX_FAILURES_KEPT:
            report.failures.append(Failure(number, item_id, reason))
        if report.outcomes[Outcome.FAILED] >= self._settings.failures_max:
            raise FeedStopped(f"{self._settings.failures_max} operations failed, lately: {reason}", report)
        if self.progress is not None:
            self.progress(report.done, self.total)

    async def _deliver(self, operation: Operation) -> tuple[Outcome, str]:
        """Send until there is an outcome; says which, and why it failed."""
        request = self._operations.request(operation, self._settings.request_timeout)
        started = self._clock()
        tries = 0
        while True:
            await self._window.acquire()
            era = self._era
            deadline = Deadline.after(self._settings.request_timeout, self._clock)
            try:
                reply = await self._endpoints.send(request.method, request.path, request.body, deadline)
            except VespaError as error:
                # A circuit that is open sent nothing: it costs no try, only patience.
                limit = None if isinstance(error, CircuitOpen) else self._settings.attempts
                reason, detail = error.reason, str(error)
                if isinstance(error, TimedOut):
                    self._window.cut()
            else:
                outcome = self._settle(reply)
                if outcome is not None:
                    return outcome
                limit, reason = self._limit(reply.status), f"status {reply.status}"
                detail = f"{reason}: {_message(reply)}"
            finally:
                self._window.release()
            tries += 0 if limit is None and reason != "status 429" else 1
            waited = self._clock() - started
            if reason == "status 507":
                self._block(era)
                continue
            if limit is not None and tries >= limit:
                return Outcome.FAILED, f"after {tries} tries: {detail}"
            if limit is None and waited > self._settings.patience_busy:
                return Outcome.FAILED, f"after {waited:.0f} s: {detail}"
            self.report.retries[reason] += 1
            await self._sleep(self._backoff(max(1, tries)))

    def _settle(self, reply: Reply) -> tuple[Outcome, str] | None:
        """The outcome that an answer stands for; None when the operation is to be sent again."""
        status = reply.status
        if status == 200:
            self._window.grow()
            self._pause, self._blocked_for = self._settings.pause_blocked, 0.0
            if reply.headers.get(_IGNORED_FIELDS):
                return Outcome.FAILED, "Vespa ignored fields that its schema does not have"
            return Outcome.STORED, ""
        if status == 412:
            self._window.grow()
            return Outcome.SUPERSEDED, ""
        if status in (401, 403):
            raise FeedStopped(f"status {status}: certificate or token are not accepted", self.report)
        if status == 429 or status in _PASSING:
            self._window.cut()
            return None
        if status in (500, 507):
            return None
        return Outcome.FAILED, f"status {status}: {_message(reply)}"

    def _limit(self, status: int) -> int | None:
        """How often an operation with such an answer is sent in all; None for as long as patience lasts."""
        if status in (429, 507):
            return None
        return self._settings.attempts_internal if status == 500 else self._settings.attempts

    def _backoff(self, tries: int) -> float:
        longest = min(self._settings.backoff_max, self._settings.backoff * 2.0 ** min(tries - 1, 30))
        return longest * self._random.uniform(0.5, 1.0)

    def _block(self, era: int) -> None:
        """The feed is blocked: pause everything, and let one request through after a while.

        Many requests under way find the same; those sent before the last pause say nothing new.
        """
        if era != self._era:
            return
        self._era += 1
        if self._blocked_for > self._settings.patience_blocked:
            raise FeedStopped(f"the feed stayed blocked for {self._blocked_for:.0f} s", self.report)
        self.report.pauses += 1
        self._window.pause()
        assert self._group is not None
        self._group.create_task(self._unblock(self._pause))

    async def _unblock(self, pause: float) -> None:
        await self._sleep(pause)
        self._blocked_for += pause
        self._pause = min(2 * pause, self._settings.pause_blocked_max)
        self._window.resume()


def _message(reply: Reply) -> str:
    """The start of an answer's text, fit for a log line."""
    return shorten(reply.body[:2048].decode("utf-8", "replace"))
