"""Feeds operations over document/v1: in order for each item, as fast as Vespa takes them, and no faster.

What each answer means::

    200                        stored; with X-Vespa-Ignored-Fields failed: the schema is another one
    412                        superseded: what is stored is newer, or the item is not there yet; no error
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
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from common.deadline import Clock
from common.progress import Progress, silent
from index.vespa.endpoints import Endpoints
from index.vespa.feed.delivery import Delivery, Settled, Sleep
from index.vespa.feed.journal import Journal
from index.vespa.feed.ledger import Ledger
from index.vespa.feed.operations import Numbered, Older, Operation, Operations, Rejected
from index.vespa.feed.report import MAX_FAILURES_KEPT, Failure, FeedReport, FeedStopped, Outcome
from index.vespa.feed.source import FeedSource
from index.vespa.settings import FeedSettings, VespaSettings

#: Operations read ahead of the window, waiting for a slot or for an earlier one of their item; *inferred*.
_READ_AHEAD: Final = 1024
#: Passes over a folder for what came in meanwhile. What comes later still is sent by its own feeder, to items
#: that are all there by then; without a bound changes that never stop would keep the feed from its end.
_MOST_PASSES: Final = 10


async def feed(
    settings: VespaSettings,
    source: FeedSource,
    journal: Journal,
    progress: Progress = silent,
    feeding: FeedSettings | None = None,
    *,
    clock: Clock = time.monotonic,
    sleep: Sleep = asyncio.sleep,
) -> FeedReport:
    """Feed the operations of a source that ``journal`` has not settled to one document type.

    Returns:
        The counts; failures for good are in it, and the journal keeps them for another try.

    Raises:
        FeedStopped: going on is useless. The journal is saved then, and on any other exception too.
    """
    feeding = FeedSettings() if feeding is None else feeding
    report = FeedReport(skipped=journal.count_settled())
    # The window, not the pool, says how many requests are under way.
    endpoints = Endpoints(replace(settings.endpoints, connections=feeding.window_max), clock)
    operations = Operations(settings.version)
    newest = partial(_newest, source.ledger, operations)
    delivery = Delivery(operations, endpoints, feeding, report, clock, sleep, newest)
    run = _Run(delivery, report, journal, feeding, lambda: progress("feed", report.done, source.total))
    arguments = (settings.version, journal.feed_ver, journal.settled)
    try:
        async with asyncio.TaskGroup() as group:
            saver = group.create_task(run.save_now_and_then())
            await run.dispatch(source.operations(*arguments), group)
            for _ in range(_MOST_PASSES):  # each sees what came in during the one before
                if not await run.dispatch(source.later(*arguments), group):
                    break
            saver.cancel()
    except BaseException as error:
        journal.save()
        if isinstance(error, BaseExceptionGroup):
            raise error.exceptions[0] from None
        raise
    finally:
        await endpoints.close()
    if report.complete:
        journal.finish()
    else:
        journal.save()
    return report


def _newest(ledger: Ledger, operations: Operations, operation: Operation) -> Operation | None:
    """What others changed of an item since an operation of it was made, all of it; None where nothing."""
    # What the ledger says of one version is told in several orders (see `LiveVespaIndex`); a folder's is not.
    least = operation.feed_ver if operation.again else operation.feed_ver + 1
    found = ledger.newest(operation.item_id, least, operation.known)
    if found is None:
        return None
    known, state = found
    try:
        return state.operation(operations, operation.item_id, known=known)
    except ValueError:
        return None  # it is refused, and told, where it comes from


@dataclass
class _Run:
    """One feed: keeps operations of an item in their order, and the journal up to date."""

    delivery: Delivery
    report: FeedReport
    journal: Journal
    settings: FeedSettings
    ended: Callable[[], None]

    def __post_init__(self) -> None:
        self._slots = asyncio.Semaphore(_READ_AHEAD)
        #: Operations of each item that is being fed, the one under way first.
        self._chains: dict[str, deque[tuple[int, Operation]]] = {}

    async def dispatch(self, operations: Iterable[Numbered], group: asyncio.TaskGroup) -> bool:
        """Start each operation, or queue it behind an earlier one of its item; wait for all.

        Returns:
            whether there was any.
        """
        number = None
        for number, operation in operations:
            if isinstance(operation, Older):
                self._end(number, operation.item_id, Settled(Outcome.OLDER))
                continue
            if isinstance(operation, Rejected):
                self._end(number, operation.item_id, Settled(Outcome.FAILED, operation.reason))
                continue
            await self._slots.acquire()
            chain = self._chains.get(operation.item_id)
            if chain is not None:
                chain.append((number, operation))
            else:
                self._chains[operation.item_id] = deque([(number, operation)])
                group.create_task(self._drain(operation.item_id, group))
        # Whoever holds all slots knows that nothing is under way.
        for _ in range(_READ_AHEAD):
            await self._slots.acquire()
        for _ in range(_READ_AHEAD):
            self._slots.release()
        return number is not None

    async def save_now_and_then(self) -> None:
        """Save the journal until cancelled; not in a thread, since two writes of it must not overlap."""
        while True:
            await asyncio.sleep(self.settings.checkpoint_interval)
            self.journal.save()

    async def _drain(self, item_id: str, group: asyncio.TaskGroup) -> None:
        chain = self._chains[item_id]
        while chain:
            number, operation = chain[0]
            settled = await self.delivery.deliver(operation, group)
            chain.popleft()
            if not chain:
                del self._chains[item_id]
            self._end(number, item_id, settled)
            self._slots.release()

    def _end(self, number: int, item_id: str, settled: Settled) -> None:
        report = self.report
        report.outcomes[settled.outcome] += 1
        failed = settled.outcome is Outcome.FAILED
        self.journal.settle(number, failed=failed)
        if settled.undelivered:
            report.undelivered = settled.reason
        if failed and len(report.failures) < MAX_FAILURES_KEPT:
            report.failures.append(Failure(number, item_id, settled.reason))
        if report.outcomes[Outcome.FAILED] >= self.settings.failures_max:
            raise FeedStopped(f"{self.settings.failures_max} operations failed, lately: {settled.reason}")
        self.ended()
