"""Group commit: changes that arrive while the disk is busy go to it together."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from common.deadline import Deadline
from index.embedded.changes import Lookup, Plan
from index.embedded.live import LiveIndex, State
from index.embedded.log import Change
from index.port import IndexUnavailable, WriteResult

#: Calls that may wait to be written.
QUEUE = 4096


class Writer:
    """Writes, on one thread, what has come in since it last did. For one event loop."""

    def __init__(self, live: LiveIndex) -> None:
        self._live = live
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="index-writer")
        self._waiting: list[tuple[Plan, Deadline, asyncio.Future[WriteResult]]] = []
        self._writing: asyncio.Task[None] | None = None
        self._closed = False

    async def write(self, plan: Plan, deadline: Deadline) -> WriteResult:
        """Carry out a plan; it is durable and visible when this returns.

        Raises:
            IndexUnavailable: ``timeout``, ``overloaded``, ``closed``, or ``write-failed`` (such as a full
                disk). After a timeout it may have been done.
        """
        if self._closed:
            raise IndexUnavailable("closed")
        if len(self._waiting) >= QUEUE:
            raise IndexUnavailable("overloaded", "the queue for changes is full")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[WriteResult] = loop.create_future()
        self._waiting.append((plan, deadline, future))
        if self._writing is None or self._writing.done():
            self._writing = loop.create_task(self._write_all(), name="write to the index")
        try:
            async with asyncio.timeout(deadline.remaining()):
                return await asyncio.shield(future)
        except TimeoutError:
            raise IndexUnavailable("timeout", "the change may have been done or not") from None

    async def close(self) -> None:
        """Write what waits, then stop."""
        self._closed = True
        if self._writing is not None:
            await self._writing
        self._thread.shutdown()

    async def _write_all(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting:
            waiting, self._waiting = self._waiting, []
            group = [entry for entry in waiting if not entry[1].passed]
            outcomes = await loop.run_in_executor(self._thread, self._commit, [plan for plan, _, _ in group])
            for (_, _, future), outcome in zip(group, outcomes, strict=True):
                if isinstance(outcome, WriteResult):
                    future.set_result(outcome)
                else:
                    future.set_exception(outcome)

    def _commit(self, plans: Sequence[Plan]) -> list[WriteResult | Exception]:
        """Carry out plans together; the result of each, or why it has none."""
        outcomes: list[WriteResult | Exception] = []

        def changes(state: State) -> Sequence[Change]:
            lookup = Lookup(state)
            planned: list[Change] = []
            for plan in plans:
                try:
                    more, result = plan(lookup)
                except Exception as error:  # a plan that fails does not fail the others
                    outcomes.append(error)
                else:
                    planned.extend(more)
                    outcomes.append(result)
            return planned

        try:
            self._live.commit(changes)
        except Exception as error:
            refused = IndexUnavailable("write-failed", str(error))
            refused.__cause__ = error
            return [refused for _ in plans]
        return outcomes
